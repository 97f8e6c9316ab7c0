"""`convert-config`: move a library's kiosks over from another SIP2 server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption, say, write_new
from sip2gw.cli.failures import CommandError
from sip2gw.foundation.words import counted


def convert_config(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="SIPconfig.xml, or all JSON files of one edge-sip2."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write to this new file. Default: standard output."),
    ] = None,
    institution: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Institution or tenant to use as the library. Default: the first."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Convert the configuration of Koha, Evergreen or edge-sip2 into one for this gateway.

    The result is valid. Options that cannot be carried over are listed with the reason, on standard
    error and in comments; the exit status is 0 even then. Passwords become hashes.
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
    say(
        f"{counted(len(result.notes), 'option was', 'options were')} not carried over; see the"
        " comments."
    )
