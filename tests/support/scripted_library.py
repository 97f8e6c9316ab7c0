"""A library system that plays a script over a real socket: own code, not the gateway's.

It logs anybody in, says to a 99 of its own what it takes, and notes each other body as it came.
"""

import asyncio
from contextlib import asynccontextmanager

STATUS = b"98YYYYYN600003" + b"20260310    120000" + b"2.00AOTHEIRS|BXYYYYYYYYYYYYYYYY|"


def checksum(data):
    return b"%04X" % (-sum(data) & 0xFFFF)


def body_and_sequence(frame):
    """A frame that ends in AYnAZxxxx, taken apart."""
    assert frame[-9:-7] == b"AY", "a trailer of AY and AZ"
    assert frame[-4:] == checksum(frame[:-4])
    return frame[:-9], frame[-7:-6]


def sealed(body, sequence):
    data = body + b"AY" + sequence + b"AZ"
    return data + checksum(data) + b"\r"


class Library:
    """Answers each body as `script` says."""

    def __init__(self, script):
        self.script = script
        self.heard = []
        """The body of each request, in its order."""
        self.address = ("", 0)

    async def serve(self, reader, writer):
        try:
            while True:
                frame = (await reader.readuntil(b"\r"))[:-1]
                body, sequence = body_and_sequence(frame)
                writer.write(sealed(self._answer(body), sequence))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, body):
        if body[:2] == b"93":
            return b"941"
        if body == OWN_99:
            return STATUS
        self.heard.append(body)
        return self.script(body)


OWN_99 = b"9900002.00"
"""What the gateway's lines say by themselves; terminals here say another width."""


@asynccontextmanager
async def scripted(script):
    """A library system that serves on `address` until the end."""
    library = Library(script)
    server = await asyncio.start_server(library.serve, "127.0.0.1", 0, limit=1 << 20)
    library.address = server.sockets[0].getsockname()[:2]
    try:
        yield library
    finally:
        server.close()
