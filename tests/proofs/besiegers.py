"""Those who try wrong PINs in the proof `guesses`, in a process of their own.

The first line on stdin is a `Task`; each further line names the gateways' addresses as they are
now. The process answers with one line when the guesses are used up.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from harness import Terminal, ask_23

NICENESS = 19
"""As low as can be: real attackers share no processor with a gateway."""
GOODBYE_SHARE = 0.5
"""Of the guesses, so many hang up without waiting for the answer."""

Addresses = list[tuple[str, int]]


class Task(msgspec.Struct):
    """What they are to do."""

    seed: int
    tries: int
    lines: int
    victims: int


class Result(msgspec.Struct):
    """What they did."""

    tries: int
    opened: list[str]
    """Victims whom a wrong PIN let in; there must be none."""


@dataclass
class Siege:
    """Whom they attack, and what they saw."""

    task: Task
    addresses: Addresses
    chance: random.Random
    tries_left: int
    opened: list[str] = field(default_factory=list)

    async def attack(self, name: str) -> None:
        """One line: guess, and come again when it is closed."""
        while self.tries_left > 0:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError, AssertionError):
                line = await logged_in(self.chance.choice(self.addresses), name)
                try:
                    while self.tries_left > 0:
                        self.tries_left -= 1
                        if not await self._guess(line):
                            break
                finally:
                    line.writer.transport.abort()
            await asyncio.sleep(0.01)

    async def _guess(self, line: Terminal) -> bool:
        """Try a wrong PIN; False when the line has hung up."""
        victim = f"V{self.chance.randrange(self.task.victims)}"
        card = victim + self.chance.choice(("", "x"))
        await line.send(ask_23(card, f"{self.chance.randrange(10_000):04}w"))
        if self.chance.random() < GOODBYE_SHARE:
            if self.chance.random() < 0.5:
                await asyncio.sleep(self.chance.random() / 20)
            return False
        if "CQY" in await line.read():
            self.opened.append(victim)
        return True


async def logged_in(address: tuple[str, int], name: str) -> Terminal:
    """A line that may ask; ConnectionResetError when it may not."""
    line = Terminal(*await asyncio.open_connection(*address))
    try:
        if await line.ask(f"9300CN{name}|COpw|") != "941":
            raise ConnectionResetError
    except BaseException:
        line.writer.transport.abort()
        raise
    return line


async def besiege() -> Result:
    """All lines until the guesses are used up."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )

    async def told() -> Addresses:
        return msgspec.json.decode(await orders.readline(), type=Addresses)

    async def listen() -> None:
        while True:
            siege.addresses = await told()

    task = msgspec.json.decode(await orders.readline(), type=Task)
    siege = Siege(task, await told(), random.Random(task.seed), task.tries)
    listening = asyncio.create_task(listen())
    await asyncio.gather(*(siege.attack(f"k{number}") for number in range(task.lines)))
    listening.cancel()
    return Result(task.tries - siege.tries_left, siege.opened)


def serve() -> None:
    """The process."""
    os.nice(NICENESS)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(besiege())) + b"\n")
