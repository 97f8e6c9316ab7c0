"""Reading passwords from an option, a file, the environment or standard input."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import ConfigOption
from sip2gw.cli.failures import CommandError, UsageError

VARIABLE = "SIP2GW_PASSWORD"

PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password",
        envvar=VARIABLE,
        show_envvar=True,
        metavar="P",
        help="Password of the terminal (CO). Other users of this machine can read it here.",
    ),
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="File with the password."),
]


def read_password(given: str | None, file: Path | None) -> str | None:
    """The given password; a file takes precedence.

    Raises:
        OSError: the file cannot be read.
        UsageError: the file is empty.
    """
    if file is None:
        return given
    password = file.read_text(encoding="utf-8-sig").rstrip()
    if not password:
        raise UsageError(f"{file}: has no password in its first line")
    return password


def hash_password(config: ConfigOption = None) -> None:
    """Hash a terminal's password for `password_hash`. You type it twice, or pipe it in.

    Passwords of our examples are refused: everybody can read them.
    """
    from sip2gw.cli.checking.examples import EXAMPLE_PASSWORDS
    from sip2gw.foundation.hashing import hash_password as hashed

    password = read_secret("password", not sys.stdin.isatty())
    if password in EXAMPLE_PASSWORDS:  # in a hash nobody would see it any more (C172)
        raise CommandError("everybody can read this password in an example; choose another")
    typer.echo(hashed(password.encode("utf-8", "surrogateescape")))


def read_secret(what: str, from_stdin: bool) -> str:
    """A secret that a person types twice, or the first line of standard input.

    Args:
        what: what to call it: PIN, password.
        from_stdin: whether to read standard input instead of asking.

    Raises:
        UsageError: nothing was given, or the two differ.
    """
    secret = sys.stdin.readline() if from_stdin else _typed_twice(what)
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise UsageError(f"you gave no {what}; type it, or write it as one line to standard input")
    return secret


def _typed_twice(what: str) -> str:
    from getpass import GetPassWarning, getpass

    with warnings.catch_warnings():
        warnings.simplefilter("error", GetPassWarning)
        try:
            secret, again = getpass(f"{what[0].upper()}{what[1:]}: "), getpass("Again: ")
        except GetPassWarning:
            raise UsageError(
                f"there is no terminal to type the {what} at; write it as one line to standard"
                " input, with --stdin"
            ) from None
    if secret != again:
        raise UsageError(f"the two {what}s are different; nothing was changed")
    return secret
