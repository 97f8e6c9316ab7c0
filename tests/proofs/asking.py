"""Terminals that ask a hostile library system on and on, and judge whose answer came (B71).

`run` asks through `Ask`: the client of the library system itself, or a whole gateway in between.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from hostile_library import Drawn

from proofs.report import Report

RECOVERY_S = 10.0
PAUSE_S = 0.01
"""Of a terminal that was not served."""

Ask = Callable[[str, str], Awaitable[tuple[str, str] | None]]
"""A terminal asks about a card: the number and name of the answer, None without one."""


class Crowd:
    """Terminals that ask about random patrons as long as they are let."""

    def __init__(self, ask: Ask, report: Report, limit_s: float, pause_s: float) -> None:
        self._ask = ask
        self._pause_s = pause_s
        self._report = report
        self._limit_s = limit_s
        self.ends: Counter[str] = Counter()
        self.longest_s = 0.0

    async def ask(self, terminal: str, card: str) -> bool:
        """Ask once, and judge; whether an answer came."""
        began = time.monotonic()
        answer = await self._ask(terminal, card)
        took_s = time.monotonic() - began
        self.longest_s = max(self.longest_s, took_s)
        self._report.expect_in_time(took_s < self._limit_s, "a call ended too late")
        self.ends["answered" if answer else "failed"] += 1
        if answer is not None:
            own = (card, f"Patron {card}")
            self._report.expect(answer == own, f"{card} was answered with {answer}")
        return answer is not None

    async def terminal(self, name: str, chance: random.Random, goes_on: Callable[[], bool]) -> None:
        """One terminal, asking on and on."""
        while goes_on():
            # Few cards, so that the answer to another request may be about the same patron.
            if not await self.ask(name, f"21{chance.randrange(30):02}"):
                await asyncio.sleep(self._pause_s)


async def run(
    ask: Ask,
    drawn: Drawn,
    report: Report,
    *,
    seed: int,
    limit_s: float,
    terminals: int,
    pause_s: float = PAUSE_S,
) -> Crowd:
    """Ask until all faults are used up, then until everybody has been answered."""
    crowd = Crowd(ask, report, limit_s, pause_s)
    async with asyncio.TaskGroup() as group:
        for number in range(terminals):
            chance = random.Random(f"{seed} {number}")
            group.create_task(crowd.terminal(f"t{number}", chance, lambda: drawn.left > 0))
    ended = time.monotonic()
    for number in range(terminals):
        while not await crowd.ask(f"t{number}", f"22{number:02}"):
            await asyncio.sleep(PAUSE_S)
            if time.monotonic() - ended > RECOVERY_S:
                report.expect(False, "it did not recover")
                return crowd
    report.numbers["recovered_s"] = round(time.monotonic() - ended, 2)
    return crowd
