"""`serve`: the gateway in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.access import running_access
from sip2gw.cli.common import ConfigOption, configured, opened_store

if TYPE_CHECKING:
    from sip2gw.config import Config


def serve(
    create: Annotated[
        bool,
        typer.Option(
            "--create", help="Make a new, empty store if there is none. An existing one is used."
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Run the gateway in the foreground.

    The log goes to standard error: JSON lines, or readable text on a terminal. SIGTERM and Ctrl-C
    let the gateway finish its requests; the exit status is 0, or 1 when something took too long and
    was abandoned. SIGHUP makes it read the configuration again.

    If a gateway is running on the same configuration, this one takes its place: it takes over the
    listening sockets, so that nobody is refused, and the other finishes its requests and ends. If
    this one cannot start, the other goes on.

    The store must be there: `import` makes it, or --create. So a wrong `store.url` is an error, and
    not an empty library that refuses everybody.
    """
    settings = configured(config)
    if create:
        _make_store(settings)
    from sip2gw.daemon.app import serve as run

    raise typer.Exit(run(settings, access=running_access()))


def _make_store(config: Config) -> None:
    """Make the store if there is none, and tell a person its first token."""
    from sip2gw.cli.first_token import tell_first_token

    if sys.stderr.isatty():
        with opened_store(config) as store:
            if store.is_new:
                tell_first_token(store, config)
