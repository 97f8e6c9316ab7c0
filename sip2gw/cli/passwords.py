"""Passwords on their way in: from an option, a file, the environment or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption
from sip2gw.cli.failures import UsageError

VARIABLE = "SIP2GW_PASSWORD"

PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password",
        envvar=VARIABLE,
        show_envvar=True,
        metavar="P",
        help="Password of the terminal (CO); others on this machine can read it here.",
    ),
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="File with the password."),
]


def read_password(given: str | None, file: Path | None) -> str | None:
    """The password that was given, from the file first.

    Raises:
        OSError: the file cannot be read.
        UsageError: it holds nothing.
    """
    if file is None:
        return given
    password = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError(f"{file}: holds no password")
    return password


def hash_password(config: ConfigOption = None) -> None:
    """Hash a terminal's password, read from standard input, for `password_hash`."""
    from sip2gw.pin import hash_password as hashed

    password = _typed_password() if sys.stdin.isatty() else sys.stdin.readline()
    password = password.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError("no password on standard input")
    typer.echo(hashed(password.encode("utf-8", "surrogateescape")))


def _typed_password() -> str:
    from getpass import getpass

    password = getpass("Password: ")
    if password != getpass("Once more: "):
        raise UsageError("the two passwords differ")
    return password
