"""HTTP for operators: /metrics, /livez, /readyz (interface §3, §5).

Served from threads of its own, so that rendering a scrape never holds up a terminal.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BufferedIOBase, BytesIO
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from sip2gw.config import Address
from sip2gw.uncaught import EXHAUSTED

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

REQUEST_TIMEOUT_S = 10.0
"""From being accepted to the end of the answer."""
REQUEST_BYTES_MAX = 16_384
REQUESTS_MAX = 16
"""Each takes a thread; whoever comes while so many are answered is told to come later."""
ACCEPT_RETRY_S = 1.0
LOOK_EVERY_S = 0.25
"""How long `stop` waits at most for the thread to notice."""

_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n"

_StartResponse = Callable[[str, list[tuple[str, str]]], Any]


LIVE_WITHIN_S = 2.0
"""A loop that has not had a turn for so long is dead to those who wait for it."""


def answers(loop: asyncio.AbstractEventLoop, within_s: float) -> bool:
    """Whether `loop` takes a turn; to be asked from a thread that may wait for it."""
    turn = threading.Event()
    try:
        loop.call_soon_threadsafe(turn.set)
    except RuntimeError:
        return False  # it has been closed
    return turn.wait(within_s)


class _Request:
    """What is read of one request, and no more of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = REQUEST_BYTES_MAX

    def readline(self, limit: int) -> bytes:
        """The next line, cut where the request gets too long; then empty, as at its end."""
        line = self._file.readline(min(limit, self._left))
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._file.close()


class _Answering(ServerHandler):
    """One answer; a fault in it goes where the others go, and not to stderr."""

    def log_exception(self, exc_info: Any) -> None:
        """The answer could not be made; the client gets a 500."""
        handler = cast("_Handler", self.request_handler)  # type: ignore[attr-defined]
        handler.server.tell(exc_info[1])


class _Handler(WSGIRequestHandler):
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile = cast("BufferedIOBase", _Request(cast("BinaryIO", self.rfile)))

    def handle(self) -> None:
        """Answer one request, as the base class does, but for `_Answering`."""
        self.raw_requestline = self.rfile.readline(REQUEST_BYTES_MAX)
        if not self.raw_requestline or not self.parse_request():
            return
        out = cast("BinaryIO", self.wfile)
        answering = _Answering(BytesIO(), out, self.get_stderr(), self.get_environ())
        answering.request_handler = self  # type: ignore[attr-defined]  # as in the base class
        answering.run(cast("Any", self.server.get_app()))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log is for terminals, and scrapes are frequent."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own, so many at a time and so long at most."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: Address, app: WSGIApplication, tell: Callable[[BaseException], None]
    ) -> None:
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        self.tell = tell
        self._free = threading.Semaphore(REQUESTS_MAX)
        self._deadlines: dict[socket.socket, float] = {}
        self._closing = threading.Event()
        super().__init__((address.host, address.port), _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        """Bind without asking for our own name, which takes as long as the name server likes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; when nothing more can be opened, not again and again."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self.tell(error)
                self._closing.wait(ACCEPT_RETRY_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for it, unless too many run."""
        if self._free.acquire(blocking=False):
            self._deadlines[request] = time.monotonic() + REQUEST_TIMEOUT_S
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # no thread can be started
                self._ended(request)
                raise
        else:
            request.setblocking(False)
            with suppress(OSError):
                request.send(_BUSY)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the thread: answer, and make room for the next one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._ended(request)

    def _ended(self, request: socket.socket) -> None:
        self._deadlines.pop(request, None)
        self._free.release()

    def service_actions(self) -> None:
        """Hang up on whoever takes too long, however busily; called every `LOOK_EVERY_S`."""
        now = time.monotonic()
        for request, deadline in self._deadlines.copy().items():
            if now > deadline:
                with suppress(OSError):  # it has just been closed
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nobody's fault; anything else is ours."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError | ValueError):
            self.tell(error)

    def stop(self) -> None:
        """Accept nobody any more."""
        self._closing.set()
        self.shutdown()
        self.server_close()


class AdminServer:
    """The HTTP listener; `is_ready` decides /readyz, `is_alive` /livez, `tell` hears of faults."""

    def __init__(
        self,
        registry: CollectorRegistry,
        is_ready: Callable[[], bool],
        is_alive: Callable[[], bool],
        tell: Callable[[BaseException], None],
    ) -> None:
        self._metrics = make_wsgi_app(registry)
        self._checks = {"/readyz": is_ready, "/livez": is_alive}
        self._tell = tell
        self._server: _Server | None = None

    def start(self, address: Address) -> str:
        """Listen on `address`; returns the real `host:port`. Blocks while its name is looked up.

        Raises:
            OSError: it cannot be bound.
        """
        self._server = _Server(address, self._app, self._tell)
        threading.Thread(
            target=self._server.serve_forever,
            args=(LOOK_EVERY_S,),
            name="sip2gw-admin",
            daemon=True,
        ).start()
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{host}:{self._server.server_port}"

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.stop()

    def _app(self, environ: dict[str, Any], start_response: _StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _plain(start_response, "405 Method Not Allowed", "only GET and HEAD")
        if path == "/metrics":
            body: Iterable[bytes] = self._metrics(environ, start_response)
            return body
        check = self._checks.get(path)
        if check is None:
            return _plain(start_response, "404 Not Found", "/metrics /livez /readyz")
        if check():
            return _plain(start_response, "200 OK", "ok")
        return _plain(start_response, "503 Service Unavailable", "not ready")


def _plain(start_response: _StartResponse, status: str, text: str) -> list[bytes]:
    body = f"{text}\n".encode()
    start_response(
        status,
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return [body]
