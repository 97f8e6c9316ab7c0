"""The lines of each terminal, and which line replaces which (B14, C8, C102)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

L = TypeVar("L")


class Connected(Generic[L]):
    """The open lines of each terminal that has logged in, oldest first."""

    def __init__(self) -> None:
        self._lines: dict[str, list[L]] = {}
        self.on_replaced: Callable[[str, L, str], None] = lambda terminal, line, address: None
        """Called with a terminal, its line that has to go because of a login at another worker,
        and the address of the newer line."""

    def of(self, terminal: str) -> Sequence[L]:
        """The lines of the terminal of that name."""
        return tuple(self._lines.get(terminal, ()))

    def join(self, terminal: str, line: L, allowed: int) -> Sequence[L]:
        """A terminal has logged in on `line`.

        Returns:
            Its older lines beyond the `allowed` number, which have to go; 0 allows any number.
        """
        lines = self._lines.setdefault(terminal, [])
        lines.append(line)
        return lines[: len(lines) - allowed] if 0 < allowed < len(lines) else ()

    def settled(self, line: L) -> asyncio.Future[None] | None:
        """Done when `line`, which has just joined, may begin its first request; None: it may now.

        Here its terminal's earlier requests have ended or are known.
        """
        return None

    def leave(self, terminal: str, line: L) -> None:
        """`line` has ended, is about to, or belongs to another terminal from now on."""
        lines = self._lines.get(terminal)
        if lines is not None and line in lines:
            lines.remove(line)


SHARED_TIMES = 3
SHARED_WITHIN_S = 600.0
HEARD_WITHIN_S = 120.0
"""A line that was heard within this time is in use, so replacing it is not a reconnection."""


class Replacements:
    """Notices terminals that replace each other's lines because they share a login (C102)."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}

    def note(
        self, terminal: str, last_heard: float, now: float, addresses: Sequence[str] = ()
    ) -> bool:
        """A line of `terminal`, last heard at `last_heard`, is being replaced.

        `addresses` are those of the two lines, for whoever has to report them.

        Returns:
            True when this is the third line in use that is replaced within ten minutes; counting
            starts anew then.
        """
        if now - last_heard > HEARD_WITHIN_S:
            return False
        times = [at for at in self._times.get(terminal, ()) if now - at < SHARED_WITHIN_S]
        times.append(now)
        shared = len(times) >= SHARED_TIMES
        self._times[terminal] = [] if shared else times
        return shared
