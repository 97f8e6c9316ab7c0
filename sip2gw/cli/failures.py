"""Expected failures of a command, as sentences and exit statuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from sip2gw.cli import INTERRUPTED

FAILED = 1
"""The operation was refused or failed."""
WRONG_USAGE = 2
"""Wrong usage, or an invalid configuration."""


class CommandError(Exception):
    """The command cannot be carried out; the text says why and holds no secret."""

    status = FAILED


class UsageError(CommandError):
    """The command was called in a wrong way."""

    status = WRONG_USAGE


class StoppedError(CommandError):
    """Somebody pressed Ctrl-C; the text says what was done and what was not."""

    status = INTERRUPTED


@contextmanager
def saying_when_stopped(left: Callable[[], str]) -> Iterator[None]:
    """Say on Ctrl-C what the work inside has `left`: what was done and what was not."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"interrupted: {left()}") from None


class Failure(Struct, frozen=True):
    """What to report, and how the process ends."""

    status: int
    lines: tuple[str, ...]


def failure_of(error: Exception) -> Failure | None:
    """What to report about `error`; None for an unexpected one."""
    if isinstance(error, CommandError):
        return Failure(error.status, tuple(str(error).splitlines()))
    # Imported here, so that commands that never meet these errors start faster.
    from sip2gw.backend.base import BackendError
    from sip2gw.config import ConfigError

    if isinstance(error, ConfigError):
        return Failure(WRONG_USAGE, error.problems)
    if isinstance(error, BackendError):
        return Failure(FAILED, (str(error),))
    if isinstance(error, UnicodeEncodeError):
        return Failure(WRONG_USAGE, ("an argument is not valid text",))
    if isinstance(error, OSError):
        what = error.strerror or type(error).__name__
        if isinstance(error, FileNotFoundError):
            what += "; correct the name"
        return Failure(FAILED, (f"{error.filename}: {what}" if error.filename else what,))
    return None
