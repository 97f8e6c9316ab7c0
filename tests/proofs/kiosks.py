"""Terminals that go on whatever becomes of their gateway, and count what they were told."""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from harness import Terminal, ask_37

PAUSE_S = 0.02
SLOWER_EVERY = 50.0
"""Debts of cents are paid one day."""


class Kiosk:
    """Asks one question after the other. When its line ends, it connects again at once, and asks
    again, in the same words, what was not answered. A connection that is refused is an error.

    Args:
        connect: opens a line.
        login: empty: it is known without one (B94).
        question: the request with that number.
        pause_s: between an answer and the next request.
        slower_every: after so many requests the pauses have grown by `pause_s`.
        stays: whether it keeps its line; otherwise it opens one for each question.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Terminal]],
        login: str,
        password: str,
        question: Callable[[int], str],
        *,
        pause_s: float = PAUSE_S,
        slower_every: float = SLOWER_EVERY,
        stays: bool = True,
    ) -> None:
        self._pause_s, self._slower_every, self._stays = pause_s, slower_every, stays
        self._connect, self._question = connect, question
        self._login = f"9300CN{login}|CO{password}|" if login else ""
        self._leaves = False
        self._open = ""
        """What was asked and not answered."""
        self.answers: dict[int, str] = {}
        """By the number of the request."""
        self.waits: list[tuple[float, float]] = []
        """When each answered question was asked, and how many seconds its answer took."""
        self.lines = 0
        """How many it has had."""
        self.lost = 0
        """How many of them have ended though it did not hang up."""
        self.is_in = False
        """Whether its line has been good for something."""

    async def run(self, until: asyncio.Event) -> None:
        """Go on until then; what is under way is finished."""
        await self._think()
        while self._open or not until.is_set():
            self.lines += 1
            try:
                async with self._line() as line:
                    self._leaves = False
                    while self._open or not (until.is_set() or self._leaves):
                        await self._ask(line)
            except ConnectionRefusedError:
                raise
            except (EOFError, ConnectionError, ssl.SSLError):
                self.lost += 1
            self.is_in = False

    async def _ask(self, line: Terminal) -> None:
        if not self._open:
            self._open = self._question(len(self.answers))
        asked = time.monotonic()
        self.answers[len(self.answers)] = await line.ask(self._open)
        self.waits.append((asked, time.monotonic() - asked))
        self._open = ""
        self._leaves = self._leaves or not self._stays
        self.is_in = not self._leaves
        await self._think()

    async def _think(self) -> None:
        """Not all at once, for people do not either."""
        slower = 1 + len(self.answers) / self._slower_every
        await asyncio.sleep(self._pause_s * slower * random.uniform(0.5, 1.5))

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[Terminal]:
        line = await self._connect()
        try:
            if self._login:
                assert await line.ask(self._login) == "941"
                self.is_in = True
            yield line
        finally:
            line.close()

    @property
    def is_complete(self) -> bool:
        """Whether each request was answered."""
        return not self._open

    def come_again(self) -> None:
        """Hang up when the question that is asked now has been answered, and connect again."""
        self.is_in, self._leaves = False, True


def cent(login: str) -> Callable[[int], str]:
    """Payments of a cent of a debt, each with a receipt number of its own."""
    return lambda number: ask_37("1004", "0.01", pin="1004", bk=f"{login}-{number}")
