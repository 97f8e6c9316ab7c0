"""A webhook on the loopback that behaves as badly as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

TAKE = "204"
HANG_UP = "hang up"
HANG = "hang"
DRIP = "drip"
"""One byte of the answer at a time, for ever."""
DROP_AFTER_BODY = "drop after body"
"""Take the notice and say nothing about it."""


class WebhookServer:
    """Plays one behaviour for each request, the last one for all further ones; a number is a
    status to answer with."""

    def __init__(
        self, behaviours: Iterable[str] = (TAKE,), *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.behaviours = list(behaviours)
        self.taken: Counter[str] = Counter()
        """How often each notice was taken and confirmed, by id."""
        self.unconfirmed: Counter[str] = Counter()
        self.heads: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.port = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[WebhookServer]:
        """Listen on a port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(behaviour, reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(
        self, behaviour: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if behaviour == HANG_UP:
            return
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        (length,) = (
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.lower().startswith("content-length:")
        )
        body = json.loads(await reader.readexactly(length))
        self.heads.append(head)
        self.bodies.append(body)
        if behaviour == HANG:
            await asyncio.sleep(3600)
        if behaviour == DRIP:
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.05)
        if behaviour == DROP_AFTER_BODY:
            self.unconfirmed[body["id"]] += 1
            return
        if behaviour.startswith("2"):
            self.taken[body["id"]] += 1
        where = "Location: /elsewhere\r\n" if behaviour.startswith("3") else ""
        writer.write(f"HTTP/1.1 {behaviour} X\r\n{where}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
