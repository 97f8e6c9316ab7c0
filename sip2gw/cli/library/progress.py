"""How far an import is: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from sip2gw.cli.common import say

if TYPE_CHECKING:
    from sip2gw.backend.loading.importing import Progress

LINE_EVERY_S = 60.0

PHASES = {"read": "reading", "check": "checking", "apply": "writing", "hash": "hashing PINs"}
"""What people read for each phase of an import."""


@contextmanager
def shown_progress(note: Callable[[str], object] = str) -> Iterator[Progress]:
    """Show progress on standard error, as a bar if that is a terminal, and `note` each phase."""
    with _shown() as show:

        def tell(phase: str, done: int, total: int) -> None:
            note(phase)
            show(phase, done, total)

        yield tell


@contextmanager
def _shown() -> Iterator[Progress]:
    if not sys.stderr.isatty():
        yield Lines(say, monotonic).tell
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        yield _teller(bar)


def _teller(bar: Any) -> Progress:
    task, current = bar.add_task("", total=None), ""

    def tell(phase: str, done: int, total: int) -> None:
        nonlocal current
        if phase != current:
            # What remains is estimated from this phase alone.
            bar.reset(task, description=PHASES[phase], total=total or None)
            current = phase
        bar.update(task, completed=done, total=total or None)

    return tell


class Lines:
    """Says how many PINs are hashed, and about how long the others will take.

    Everything else is done before a minute has passed.
    """

    def __init__(self, write: Callable[[str], None], clock_s: Callable[[], float]) -> None:
        self._write = write
        self._clock_s = clock_s
        self._began_s: float | None = None
        self._said_s = 0.0

    def tell(self, phase: str, done: int, total: int) -> None:
        """Take note of the progress, and say it once a minute."""
        if phase != "hash":
            return
        now_s = self._clock_s()
        if self._began_s is None:
            self._began_s = self._said_s = now_s
        elif now_s - self._said_s >= LINE_EVERY_S:
            self._said_s = now_s
            left = in_words((now_s - self._began_s) / done * (total - done))
            self._write(f"{done} of {total} PINs are hashed; about {left} left.")


def in_words(seconds: float) -> str:
    """A span of time in whole minutes, or hours and minutes."""
    minutes = max(1, round(seconds / 60))
    hours, minutes = divmod(minutes, 60)
    parts = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")
    return " ".join(part for part in parts if part)
