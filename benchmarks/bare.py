"""The bare responder that every ratio refers to (C79): `python -m benchmarks.bare BODY LOOP`.

It splits on CR, reads the sequence digit and answers one of ten precomputed frames. Nothing that a
SIP2 server needs beyond that happens here.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import cast

from sip2gw.protocol.checksum import seal

DIGIT_FROM_END = 7
"""Where the sequence digit stands in `…AY1AZFDFC`."""
FIRST_DIGIT = ord("0")


class BareResponder(asyncio.Protocol):
    """One connection."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        # uvloop's transports are not instances of asyncio's classes.
        self._write = cast("asyncio.WriteTransport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answer every complete frame."""
        *frames, self._rest = (self._rest + data).split(b"\r")
        for frame in frames:
            self._write(self._answers[frame[-DIGIT_FROM_END] - FIRST_DIGIT])


def ten_answers(body: bytes) -> list[bytes]:
    """`body` as a frame with AY0 to AY9, checksum and CR."""
    return [seal(body, b"%d" % sequence, True) + b"\r" for sequence in range(10)]


async def _serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"{host}:{port}", flush=True)
    await server.serve_forever()


def serve(protocol: Callable[[], asyncio.Protocol], loop: str) -> None:
    """Serve every connection by a new `protocol` until killed; the address is told on stdout."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(protocol))


def main() -> None:
    """Serve until killed."""
    answers = ten_answers(bytes.fromhex(sys.argv[1]))
    serve(lambda: BareResponder(answers), sys.argv[2])


if __name__ == "__main__":
    main()
