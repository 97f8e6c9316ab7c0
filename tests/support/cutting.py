"""A TCP proxy that cuts connections after a few bytes: amid a TLS handshake, or amid a record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class CuttingProxy:
    """`async with CuttingProxy(port, lasts)` passes on what comes to `port` of 127.0.0.1.

    `lasts` says of each new connection after how many bytes it is cut; None: never.
    """

    def __init__(self, target: int, lasts: Callable[[], int | None]) -> None:
        self._target = target
        self._lasts = lasts
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.cuts = 0

    async def __aenter__(self) -> CuttingProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:  # noqa: ASYNC110 -- each leaves by itself
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        behind, far = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {near, far}
        self._writers |= ends
        left = self._lasts()

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            nonlocal left
            while (data := await source.read(65536)) and not sink.is_closing():
                sink.write(data[:left])
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        self.cuts += 1
                        break
            for end in ends:
                end.close()

        await asyncio.gather(pass_on(reader, far), pass_on(behind, near), return_exceptions=True)
        for end in ends:
            end.transport.abort()
        self._writers -= ends
