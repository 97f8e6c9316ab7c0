"""Which patrons a change by staff touches, for whoever writes it into the audit log (B83)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_touched: ContextVar[set[str] | None] = ContextVar("patrons that a change touches", default=None)


def noted_touched() -> set[str] | None:
    """Where to add the ids of the patrons that a change touches; None: nobody wants to know."""
    return _touched.get()


@contextmanager
def noting_touched() -> Iterator[set[str]]:
    """The ids of all patrons whom the changes inside touch."""
    found: set[str] = set()
    token = _touched.set(found)
    try:
        yield found
    finally:
        _touched.reset(token)
