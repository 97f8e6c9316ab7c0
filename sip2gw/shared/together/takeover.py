"""Which worker has which line of which terminal, in the order of logins (B14, C8, C102, C131)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class FarLine(Generic[W]):
    """A line of a terminal at a worker."""

    worker: W
    number: int
    at_s: float = field(compare=False)
    """When the terminal logged in; what workers tell may arrive in another order."""
    address: str = field(compare=False, repr=False)


class TakeOver(Generic[W]):
    """All lines of all terminals, and the workers at which a terminal has been."""

    def __init__(self) -> None:
        self._lines: dict[str, list[FarLine[W]]] = {}
        self._been: dict[str, set[W]] = {}

    def of(self, terminal: str) -> Sequence[FarLine[W]]:
        """The lines of the terminal, oldest first."""
        return tuple(self._lines.get(terminal, ()))

    def join(self, terminal: str, line: FarLine[W], allowed: int) -> Sequence[FarLine[W]]:
        """A terminal has logged in on `line`.

        Returns:
            The oldest lines beyond the `allowed` number, which have to go and are forgotten; this
            may be `line` itself. 0 allows any number.
        """
        lines = self._lines.setdefault(terminal, [])
        insort(lines, line, key=lambda one: one.at_s)
        self._been.setdefault(terminal, set()).add(line.worker)
        too_many = len(lines) - allowed if 0 < allowed < len(lines) else 0
        replaced = lines[:too_many]
        del lines[:too_many]
        return replaced

    def part(self, terminal: str, worker: W, number: int) -> None:
        """A line has ended, or belongs to another terminal."""
        lines = self._lines.get(terminal, [])
        lines[:] = [one for one in lines if (one.worker, one.number) != (worker, number)]
        if not lines:
            self._lines.pop(terminal, None)

    def elsewhere(self, terminal: str, worker: W) -> Sequence[W]:
        """Other workers at which something of the terminal's may still be under way."""
        return tuple(self._been.get(terminal, set()) - {worker})

    def settled(self, terminal: str, workers: Iterable[W]) -> None:
        """Nothing is under way any more at these, unless they have a line of the terminal's."""
        has_lines = {line.worker for line in self._lines.get(terminal, ())}
        been = self._been.get(terminal, set())
        been -= set(workers) - has_lines

    def gone(self, worker: W) -> None:
        """A worker has ended, and its lines with it."""
        for terminal, been in self._been.items():
            if worker in been:
                been.discard(worker)
                lines = self._lines.get(terminal, [])
                lines[:] = [line for line in lines if line.worker is not worker]
