"""`convert-config`: a library moves its kiosks over from another SIP2 server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption, say, write_new
from sip2gw.cli.failures import CommandError


def convert_config(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="SIPconfig.xml, or the JSON files of one edge-sip2."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write here, to a new file. Default: standard output."),
    ] = None,
    institution: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Institution or tenant that is the library. Default: the first."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Turn the configuration of Koha, Evergreen or edge-sip2 into one of ours.

    Each option that cannot be carried over is named on standard error, with the reason, and in a
    comment. Passwords become hashes. Exit status 0 also when options were not carried over; what
    comes out is valid.
    """
    from sip2gw.convert import SourceError, converted

    sources = {file.name: file.read_bytes() for file in files}
    try:
        result = converted(sources, institution)
    except SourceError as error:
        raise CommandError(str(error)) from None
    if output is None:
        sys.stdout.write(result.toml)
    else:
        write_new(output, result.toml)
    for note in result.notes:
        say(str(note))
    say(f"{len(result.notes)} options were not carried over; see the comments.")
