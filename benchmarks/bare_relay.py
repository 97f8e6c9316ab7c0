"""A relay that costs next to nothing: `python -m benchmarks.bare_relay ADDRESS LOOP`.

It stands where a gateway in front of a library system stands: each connection has one of its own to
the library system at ADDRESS, and bytes pass both ways as they come. So it has the second socket
and nothing else of what a gateway does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import cast

from benchmarks.bare import serve


class BareRelay(asyncio.Protocol):
    """One connection of a terminal."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._waiting: list[bytes] = []
        self._line: _Line | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the library system; what comes meanwhile waits."""
        # uvloop's transports are not instances of asyncio's classes.
        answer = cast("asyncio.WriteTransport", transport).write
        self._opening = asyncio.get_running_loop().create_task(self._open(_Line(answer)))

    async def _open(self, line: _Line) -> None:
        host, _, port = self._address.rpartition(":")
        await asyncio.get_running_loop().create_connection(lambda: line, host, int(port))
        self._line = line
        for data in self._waiting:
            line.write(data)

    def data_received(self, data: bytes) -> None:
        """Pass on what the terminal asks."""
        if self._line is None:
            self._waiting.append(data)
        else:
            self._line.write(data)


class _Line(asyncio.Protocol):
    """Its connection to the library system."""

    def __init__(self, answer: Callable[[bytes], None]) -> None:
        self._answer = answer

    def data_received(self, data: bytes) -> None:
        """Pass on what is answered."""
        self._answer(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self.write = cast("asyncio.WriteTransport", transport).write


def main() -> None:
    """Serve until killed; the address is told on stdout."""
    address, loop = sys.argv[1:]
    serve(lambda: BareRelay(address), loop)


if __name__ == "__main__":
    main()
