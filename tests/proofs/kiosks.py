"""Terminals that go on whatever becomes of their gateway, and count what they were told."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress

from harness import Terminal, ask_37

LINE_ENDED = (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError)
PAUSE_S = 0.02
SLOWER_EVERY = 50
"""After so many requests the pauses have grown by that much: debts of cents are paid one day."""


class Kiosk:
    """Asks one question after the other. When its line ends, it connects again at once, and asks
    again what was not answered. A connection that is refused is an error.

    Args:
        connect: opens a line.
        question: the request with that number.
        pause_s: between an answer and the next request.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Terminal]],
        login: str,
        password: str,
        question: Callable[[int], str],
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._pause_s = pause_s
        self._connect, self._question = connect, question
        self._login = f"9300CN{login}|CO{password}|"
        self.answers: dict[int, str] = {}
        """By the number of the request."""
        self.lines = 0
        """How many it has had."""

    async def run(self, until: asyncio.Event) -> None:
        """Go on until then; what is under way is finished."""
        numbers = itertools.count()
        number = next(numbers)
        while not until.is_set():
            line = await self._connect()
            self.lines += 1
            with suppress(*LINE_ENDED):
                assert await line.ask(self._login) == "941"
                while not until.is_set():
                    self.answers[number] = await line.ask(self._question(number))
                    number = next(numbers)
                    await asyncio.sleep(self._pause_s * (1 + number / SLOWER_EVERY))
            line.close()

    @property
    def is_complete(self) -> bool:
        """Whether each request was answered, in their order."""
        return list(self.answers) == list(range(len(self.answers)))


def cent(login: str) -> Callable[[int], str]:
    """Payments of a cent of a debt, each with a receipt number of its own."""
    return lambda number: ask_37("1004", "0.01", pin="1004", bk=f"{login}-{number}")
