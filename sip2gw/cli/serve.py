"""`serve`: the gateway in the foreground."""

from __future__ import annotations

import typer

from sip2gw.cli.common import ConfigOption, configured


def serve(config: ConfigOption = None) -> None:
    """Run the gateway in the foreground.

    Logs go to standard error: JSON lines, or readable text on a terminal. SIGTERM and Ctrl-C
    finish what runs and end with 0, or with 1 when something took too long and was given up; SIGHUP
    reads the configuration again.
    """
    settings = configured(config)
    from sip2gw.daemon.app import serve as run

    raise typer.Exit(run(settings))
