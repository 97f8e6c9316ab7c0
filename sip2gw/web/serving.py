"""The process for HTTP: uvicorn with a limit on everything that a client can do (C114, C130).

Limited are the time from accept, or from the end of the last answer, to the end of the next one;
the number of open connections, in all and of one address; and the size of a request's head.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from sip2gw.control.channel import Channel, GatewayGoneError
from sip2gw.control.messages import Ping
from sip2gw.monitoring.telemetry import Log
from sip2gw.monitoring.uncaught import told_to
from sip2gw.web.api.gate import Api
from sip2gw.web.api.timely import UNTIL, Timely
from sip2gw.web.pages import application

REQUEST_TIMEOUT_S = 10.0
"""Seconds from accepting a connection to the end of the answer."""
KEEP_ALIVE_S = 5
"""Seconds for which a connection may be idle after an answer."""
REQUEST_BYTES_MAX = 16_384
"""Bytes of the request line and the headers."""
CONNECTIONS_MAX = 256
OF_ONE_ADDRESS = 1 / 4
"""The part of these connections that one address may have."""
RESERVED = 1 / 4
"""The last part of them, for addresses with at most `FEW` connections."""
FEW = 2
BACKLOG = 128
SUM_UP_EVERY_S = 1.0
TELL_EVERY_S = 0.5
"""How often the gateway hears that this process takes its turns; it looks every second."""

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connection(H11Protocol):
    """A client, served for a limited time."""

    address = ""
    """Where the client is."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn
        """Accept the client, unless there are too many."""
        super().connection_made(transport)
        self._give_time()
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        everybody = cast("set[Connection]", self.connections)
        own = sum(one.address == self.address for one in everybody)
        if is_too_many(len(everybody), own):
            transport.write(_BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Read data, unless the connection is being closed.

        h11 limits only data that it cannot use yet. So it never gets more at once than the largest
        head.
        """
        for start in range(0, len(data), REQUEST_BYTES_MAX):
            if not self.transport.is_closing():
                super().data_received(data[start : start + REQUEST_BYTES_MAX])

    def handle_events(self) -> None:
        """Begin to answer requests, which know until when they can be answered."""
        super().handle_events()
        if self.scope is not None and self._deadline is not None:
            cast("Scope", self.scope).setdefault(UNTIL, self._deadline.when())

    def on_response_complete(self) -> None:
        """Give the client time for another request."""
        self._give_time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _give_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self.transport.abort)


def is_too_many(total: int, own: int) -> bool:
    """Whether a connection is refused: the last of `total`, of which its address has `own`."""
    full, mine = total > CONNECTIONS_MAX, own > max(FEW, CONNECTIONS_MAX * OF_ONE_ADDRESS)
    return full or mine or (total > CONNECTIONS_MAX * (1 - RESERVED) and own > FEW)


def unambiguous(app: ASGIApp) -> ASGIApp:
    """`app`, without requests whose end two readers may see at two places (RFC 9112, 6.1)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope["headers"]}
        if names >= {b"content-length", b"transfer-encoding"}:
            refused = "send Content-Length or Transfer-Encoding, not both\n"
            response = PlainTextResponse(refused, 400, {"connection": "close"})
            await response(scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


class _Server(Server):
    """uvicorn's server, but without signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the gateway decides when this process ends."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections: one at a time, while many may wait.

        asyncio accepts up to `backlog` connections in a row. When no descriptor is left, it tries
        again once for each of these failures. So its backlog is 1, and the socket's own is larger.
        """
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)

    def leave(self) -> None:
        """End as soon as possible, even with unfinished answers."""
        self.should_exit = self.force_exit = True


def server_for(app: ASGIApp) -> _Server:
    """The server with all its limits."""
    # Errors of clients are not logged; our own errors are.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return _Server(
        Config(
            cast("Any", unambiguous(app)),
            http=Connection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=1,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=REQUEST_BYTES_MAX,
        )
    )


async def serve(listener: socket.socket, gateway: socket.socket, log: Log) -> None:
    """Serve clients at `listener` with the answers of `gateway`, until the gateway has gone."""
    loop = asyncio.get_running_loop()
    with told_to(log, loop):
        _, channel = await loop.create_unix_connection(Channel, sock=gateway)
        server = server_for(application(channel.ask, Timely(Api(channel.ask))))
        channel.lost.add_done_callback(lambda lost: server.leave())
        beside = [loop.create_task(_sum_up(log)), loop.create_task(_tell(channel))]
        try:
            await server.serve([listener])
        finally:
            for task in beside:
                task.cancel()


async def _tell(gateway: Channel) -> None:
    """Let the gateway hear something, or it takes this process for stuck."""
    with suppress(GatewayGoneError):
        while True:
            await gateway.ask(Ping())
            await asyncio.sleep(TELL_EVERY_S)


async def _sum_up(log: Log) -> None:
    while True:
        await asyncio.sleep(SUM_UP_EVERY_S)
        log.sum_up()
