"""`demo`: a gateway with a small library, ready to try (C53)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption
from sip2gw.cli.demo import alone, pair, places
from sip2gw.cli.failures import UsageError


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
        typer.Option("--more", help="With --upstream: also how to observe, and when it is away."),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Start a gateway with a small, lively library, and print what you can try with it.

    With --upstream there are two gateways. One plays a library system and has the library; the
    other stands in front of it, serves the terminals, and has nothing but badges. If one of them
    ends, so does the other. With --more you also see how to observe a library system, and you can
    stop it (`sip2gw drain`): it comes back after half a minute.

    Without --dir, everything is deleted at the end. With --dir, an existing demo library is kept
    and the configuration is written again; the command refuses a directory whose configuration or
    store is not the demo's own. Only the owner can read the files.
    """
    if more and not upstream:
        raise UsageError("--more needs --upstream")
    with places.for_the_owner_only(), places.place(directory) as place:
        if upstream:
            status = pair.run(Path(place), sip2, admin, more=more)
        else:
            status = alone.run(Path(place), sip2, admin)
        raise typer.Exit(status)
