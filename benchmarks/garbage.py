"""Terminals gone mad: `python -m benchmarks.garbage HOST:PORT CONNECTIONS`, until killed (C80).

Each sends as fast as it is let: unknown commands, broken checksums, random bytes,
mutated messages, now and then a frame beyond all limits. A connection that is closed on them is
opened again.
"""

from __future__ import annotations

import os
import random
import select
import socket
import sys

from benchmarks.load import connect

_NICE = 10
"""Behind whoever measures on the same core."""
_CHUNK_BYTES = 8192
_VALID = b"9900302.00AY2AZFCA4\r"


def chunk(chance: random.Random) -> bytes:
    """Some kilobytes of what no terminal would send."""
    kinds = (
        lambda: b"ZZ" + chance.randbytes(6).replace(b"\r", b"") + b"\r",
        lambda: _mutated(chance),
        lambda: b"23" + chance.randbytes(40),
        lambda: b"\r\n",
        lambda: _VALID,
    )
    parts: list[bytes] = []
    while sum(map(len, parts)) < _CHUNK_BYTES:
        parts.append(chance.choice(kinds)())
    if chance.random() < 0.02:
        parts.append(b"63" + b"x" * 20_000)
    return b"".join(parts)


def _mutated(chance: random.Random) -> bytes:
    frame = bytearray(_VALID)
    frame[chance.randrange(len(frame) - 1)] = chance.randrange(256)
    return bytes(frame)


def main() -> None:
    """Send until killed; a line on stdout says when all connections are there."""
    host, _, port = sys.argv[1].rpartition(":")
    os.nice(_NICE)
    chance = random.Random(2)
    chunks = [chunk(chance) for _ in range(64)]
    poll = select.epoll()
    lines: dict[int, socket.socket] = {}

    def begin(number: int) -> None:
        sock = connect((host, int(port)), number)
        sock.setblocking(False)
        lines[sock.fileno()] = sock
        poll.register(sock, select.EPOLLOUT)

    for number in range(int(sys.argv[2])):
        begin(number)
    print(f"{host}:{port}", flush=True)
    while True:
        for fd, _ in poll.poll():
            try:
                lines[fd].send(chance.choice(chunks))
                lines[fd].recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                lines.pop(fd).close()
                begin(chance.randrange(1000))


if __name__ == "__main__":
    main()
