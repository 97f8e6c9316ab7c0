"""A TCP proxy that breaks connections where it hurts: before a statement, or before its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"
"""PostgreSQL's last word on a statement outside of a transaction: it is committed."""


class BreakableProxy:
    """Passes on what comes from 127.0.0.1 to a Unix socket, until it is told otherwise."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.cut_before: bytes | None = None
        """The connection that sends this is cut, and the bytes go nowhere."""
        self.cut_after: bytes | None = None
        """The connection that sends this is cut when the answer has come, which goes nowhere."""
        self.watch: Callable[[bytes], None] = lambda data: None
        """Called with what a client sends, before it is passed on."""
        self.then_close = False
        """Whether a cut also closes the door for new connections."""
        self.cuts = 0
        self.flowing = asyncio.Event()
        """Cleared, all bytes wait in the proxy, like in a network that has come to a standstill."""
        self.flowing.set()
        self.round_trips = 0
        """How often a client spoke after the server had answered."""

    @property
    def is_open(self) -> bool:
        """Whether new connections are let in."""
        return self._server is not None

    @property
    def address(self) -> str:
        """Host and port for a URL."""
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Let connections in, always at the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse new connections and cut the others."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, ahead = await asyncio.open_unix_connection(str(self._target))
        except OSError:
            writer.transport.abort()  # nobody listens there now
            return
        self._writers |= {writer, ahead}
        line = _Line(self, writer, ahead)
        try:
            await asyncio.gather(line.pass_on(reader), line.pass_back(behind))
        except (OSError, _CutError):
            pass
        finally:
            for end in (writer, ahead):
                end.transport.abort()
            self._writers -= {writer, ahead}

    async def cut(self) -> None:
        """One connection is being cut."""
        self.cuts += 1
        if self.then_close:
            await self.close()
        raise _CutError


class _CutError(Exception):
    """This connection ends here."""


class _Line:
    """One connection through the proxy."""

    def __init__(
        self, proxy: BreakableProxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._near = near
        self._far = far
        self._doomed = False
        self._answered = False

    async def pass_on(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            proxy = self._proxy
            proxy.watch(data)
            proxy.round_trips += self._answered
            self._answered = False
            if proxy.cut_before and proxy.cut_before in data:
                proxy.cut_before = None
                await proxy.cut()
            if proxy.cut_after and proxy.cut_after in data:
                proxy.cut_after = None
                self._doomed = True
            await proxy.flowing.wait()
            self._far.write(data)
        raise _CutError

    async def pass_back(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            self._answered = True
            await self._proxy.flowing.wait()
            if not self._doomed:
                self._near.write(data)
            elif READY_FOR_QUERY in data:
                await self._proxy.cut()
        raise _CutError


@asynccontextmanager
async def breakable(target: Path) -> AsyncIterator[BreakableProxy]:
    """A proxy before the socket `target`."""
    proxy = BreakableProxy(target)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
