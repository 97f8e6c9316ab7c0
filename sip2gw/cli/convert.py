"""`convert-config`: move a library's kiosks over from another SIP2 server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import ConfigOption, say, write_new
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.foundation.words import counted

if TYPE_CHECKING:
    from sip2gw.convert import Converted


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
    upstream: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Keep this Koha or Evergreen as the library system behind the gateway.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Convert the configuration of Koha, Evergreen or edge-sip2 into one for this gateway.

    The result is valid. Options that cannot be carried over are listed with the reason, on standard
    error and in comments; the exit status is 0 even then. Passwords become hashes.

    With `--upstream` the gateway stands in front of the system that the file came from. Each login
    gets its own account there; the terminals of a login use that account. The passwords of the
    accounts go to files beside the new configuration, which only you can read.
    """
    from sip2gw.convert import SourceError, converted

    if upstream is not None:
        _check_upstream(upstream, output)
    sources = {file.name: file.read_bytes() for file in files}
    try:
        result = converted(sources, institution, upstream)
    except SourceError as error:
        raise CommandError(str(error)) from None
    if output is None:
        sys.stdout.write(result.toml)
    else:
        _write(output, result)
    for note in result.notes:
        say(str(note))
    say(
        f"{counted(len(result.notes), 'option was', 'options were')} not carried over; see the"
        " comments."
    )


def _check_upstream(address: str, output: Path | None) -> None:
    from sip2gw.config.types import parse_address

    if output is None:
        raise UsageError("--upstream needs --output: the passwords go to files beside it")
    try:
        if parse_address(address).port == 0:
            raise ValueError("needs a port other than 0")
    except ValueError as error:
        raise UsageError(f"--upstream {address}: {error}") from None


def _write(output: Path, result: Converted) -> None:
    """All files or none: what is there already stays as it is."""
    files = {output.with_name(name): f"{text}\n" for name, text in result.passwords.items()}
    for file in files:
        if file.exists():
            raise CommandError(f"{file}: already exists and was left unchanged; move it away")
    write_new(output, result.toml)
    for file, text in files.items():
        write_new(file, text)
