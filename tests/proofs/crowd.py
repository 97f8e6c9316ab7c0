"""Two hundred HTTP clients whom nobody wants, in a process of their own.

For each number of seconds on stdin they all come, again and again, and then leave; how often they
came is the answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

CLIENTS = 200
NICENESS = 10
"""As much as that of whom they disturb: the others go first."""
PAUSE_S = 0.01
"""Between two visits of one client."""
BYTE_EVERY_S = 0.02
RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` of who hangs up with a reset."""

METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
MEGABYTE = b"x" * 1_000_000
HUGE_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + MEGABYTE
HUGE_HEADER = b"GET /metrics HTTP/1.1\r\nX: " + MEGABYTE
HUGE_CHUNK = b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n"
GARBAGE = b"GET /\x1b[2J\xff HTTP/1.1\r\nHost: \r\n\r\n" * 20
HELLO = b"\x16\x03\x01\x02\x00\x01" + bytes(range(256)) * 20
"""Of TLS."""

Address = tuple[str, int]


async def say(client: socket.socket, content: bytes) -> None:
    """Send it, and read until hung up on."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, content)
    while await loop.sock_recv(client, 65_536):
        pass


def saying(content: bytes) -> Callable[[socket.socket], Awaitable[None]]:
    """A client that says that."""
    return lambda client: say(client, content)


async def slowly(client: socket.socket) -> None:
    """A good request, a byte at a time."""
    loop = asyncio.get_running_loop()
    for position in range(len(METRICS)):
        await loop.sock_sendall(client, METRICS[position : position + 1])
        await asyncio.sleep(BYTE_EVERY_S)


async def reading_nothing(client: socket.socket) -> None:
    """As many requests as are taken, and no answer read."""
    while True:
        await asyncio.get_running_loop().sock_sendall(client, METRICS * 50)


async def scraping(client: socket.socket) -> None:
    """One scrape after the other, on one connection, as fast as they are answered."""
    loop = asyncio.get_running_loop()
    while True:
        await loop.sock_sendall(client, METRICS)
        if not await loop.sock_recv(client, 1 << 20):
            return


async def resetting(client: socket.socket) -> None:
    """Hang up at once, and rudely."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


KINDS: Sequence[Callable[[socket.socket], Awaitable[None]]] = (
    slowly,
    saying(b""),
    saying(b"GET /met"),
    saying(HUGE_HEADER),
    saying(HUGE_BODY),
    saying(HUGE_CHUNK),
    saying(GARBAGE),
    saying(HELLO),
    reading_nothing,
    resetting,
    scraping,
    saying(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
)


class Crowd:
    """All of them."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.visits = 0

    async def come(self, seconds: float) -> None:
        """Be there for so long."""
        clients = [asyncio.create_task(self._again(n)) for n in range(CLIENTS)]
        await asyncio.sleep(seconds)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _again(self, number: int) -> None:
        loop, kind = asyncio.get_running_loop(), KINDS[number % len(KINDS)]
        while True:
            with socket.socket() as client, suppress(OSError):
                client.setblocking(False)
                await loop.sock_connect(client, self._address)
                self.visits += 1
                await kind(client)
            await asyncio.sleep(PAUSE_S)


def serve(address: Address) -> None:
    """The process."""
    os.nice(NICENESS)
    for line in sys.stdin:
        crowd = Crowd(address)
        asyncio.run(crowd.come(float(line)))
        sys.stdout.write(f"{crowd.visits}\n")
        sys.stdout.flush()
