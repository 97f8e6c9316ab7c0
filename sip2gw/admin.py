"""HTTP for operators: /metrics, /livez, /readyz (interface §3, §5).

Served from threads of its own, so that rendering a scrape never holds up a terminal.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sip2gw.config import Address

REQUEST_TIMEOUT_S = 10
STOP_POLL_S = 0.05
"""How long `stop` waits at most for the thread to notice."""

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


class _QuietHandler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log is for terminals, and scrapes are frequent."""


class _Server(ThreadingWSGIServer):
    def server_bind(self) -> None:
        """Bind without asking for our own name, which takes as long as the name server likes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class AdminServer:
    """The HTTP listener; `is_ready` decides /readyz, `is_alive` /livez."""

    def __init__(
        self,
        registry: CollectorRegistry,
        is_ready: Callable[[], bool],
        is_alive: Callable[[], bool],
    ) -> None:
        self._metrics = make_wsgi_app(registry)
        self._checks = {"/readyz": is_ready, "/livez": is_alive}
        self._server: WSGIServer | None = None

    def start(self, address: Address) -> str:
        """Listen on `address`; returns the real `host:port`. Blocks while its name is looked up.

        Raises:
            OSError: it cannot be bound.
        """
        kind = _Server6 if ":" in address.host else _Server
        self._server = make_server(
            address.host, address.port, self._app, server_class=kind, handler_class=_QuietHandler
        )
        threading.Thread(
            target=self._server.serve_forever,
            args=(STOP_POLL_S,),
            name="sip2gw-admin",
            daemon=True,
        ).start()
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{host}:{self._server.server_port}"

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

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
