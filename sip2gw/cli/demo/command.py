"""`demo`: a gateway with a small library, ready to try (C53)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption
from sip2gw.cli.demo import alone, pair, places


def demo(
    sip2: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address for terminals.")
    ] = "127.0.0.1:6001",
    admin: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address for metrics and health checks.")
    ] = "127.0.0.1:9102",
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Keep configuration and library in this directory. Default: keep nothing.",
        ),
    ] = None,
    upstream: Annotated[
        bool,
        typer.Option("--upstream", help="Two gateways: one plays the library system behind."),
    ] = False,
    more: Annotated[
        bool,
        typer.Option(
            "--more",
            help="Print everything to try; with --upstream also how to observe, and when it is"
            " away.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Start a gateway with a small, lively library, and print what you can try with it.

    With --upstream there are two gateways. One plays a library system and has the library; the
    other stands in front of it, serves the terminals, and has nothing but badges. If one of them
    ends, so does the other. With --more you also see how to observe a library system, and you can
    stop it (`sip2gw drain`): it comes back after half a minute.

    On a terminal, the demo of one gateway prints one screen. With --more it prints all there is to
    try, as it does into a file or a pipe.

    Without --dir, everything is deleted at the end. With --dir, an existing demo library is kept
    and the configuration is written again; the command refuses a directory whose configuration or
    store is not the demo's own. Only the owner can read the files.
    """
    with places.for_the_owner_only(), places.place(directory) as place:
        if upstream:
            status = pair.run(Path(place), sip2, admin, more=more)
        else:
            # Only a person at a terminal is short of room: who reads a pipe gets everything.
            more = more or not sys.stdout.isatty()
            status = alone.run(Path(place), sip2, admin, more=more)
        raise typer.Exit(status)
