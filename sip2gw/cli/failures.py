"""Failures that a command foresees, as sentences and exit statuses."""

from __future__ import annotations

from dataclasses import dataclass

FAILED = 1
"""The operation was refused or failed."""
WRONG_USAGE = 2
"""Wrong usage, or an invalid configuration."""


class CommandError(Exception):
    """A command cannot do what it was asked; the text says why and holds no secret."""

    status = FAILED


class UsageError(CommandError):
    """The command was called wrongly."""

    status = WRONG_USAGE


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told, and how the process ends."""

    status: int
    lines: tuple[str, ...]


def failure_of(error: Exception) -> Failure | None:
    """What to tell about `error`; None for one that nobody foresaw."""
    if isinstance(error, CommandError):
        return Failure(error.status, tuple(str(error).splitlines()))
    # Here and not above: commands that never see these errors start faster without them.
    from sip2gw.backend.base import BackendError
    from sip2gw.config import ConfigError

    if isinstance(error, ConfigError):
        return Failure(WRONG_USAGE, error.problems)
    if isinstance(error, BackendError):
        return Failure(FAILED, (str(error),))
    if isinstance(error, UnicodeEncodeError):
        return Failure(WRONG_USAGE, ("an argument is not text",))
    if isinstance(error, OSError):
        what = error.strerror or type(error).__name__
        return Failure(FAILED, (f"{error.filename}: {what}" if error.filename else what,))
    return None
