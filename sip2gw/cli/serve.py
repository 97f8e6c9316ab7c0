"""`serve`: the gateway in the foreground."""

from __future__ import annotations

import typer

from sip2gw.cli.common import ConfigOption, configured


def serve(config: ConfigOption = None) -> None:
    """Run the gateway in the foreground.

    The log goes to standard error: JSON lines, or readable text on a terminal. SIGTERM and Ctrl-C
    let the gateway finish its requests; the exit status is 0, or 1 when something took too long and
    was abandoned. SIGHUP makes it read the configuration again.
    """
    settings = configured(config)
    from sip2gw.daemon.app import serve as run

    raise typer.Exit(run(settings))
