"""What a change by staff says of itself, for whoever writes it into the audit log (B83)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct, field


class Touched(Struct):
    """What a change touches."""

    patrons: set[str] = field(default_factory=set)
    """Their ids."""
    object: str = ""
    """What it is about, if only the change itself finds that out; see `note_object`."""


_touched: ContextVar[Touched | None] = ContextVar("what a change touches", default=None)


def noted_touched() -> Touched | None:
    """Where to note what a change touches; None: nobody wants to know."""
    return _touched.get()


def note_object(about: str) -> None:
    """Say what the change under way is about: by ids and codes, nothing that tells more.

    What is noted last goes into the audit log, also if the change is then refused or fails.
    """
    touched = _touched.get()
    if touched is not None:
        touched.object = about


@contextmanager
def noting_touched() -> Iterator[Touched]:
    """What all changes inside touch."""
    found = Touched()
    token = _touched.set(found)
    try:
        yield found
    finally:
        _touched.reset(token)
