"""The pages served over HTTP: `/metrics`, `/livez`, `/readyz` (B67, C130)."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sip2gw.control.channel import GatewayGoneError, Shared
from sip2gw.control.messages import (
    Alive,
    AnyAnswer,
    Numbers,
    Ping,
    ReadNumbers,
)
from sip2gw.control.messages import Request as ControlRequest
from sip2gw.web.exposition import OPENMETRICS, exposition

LIVE_WITHIN_S = 2.0
"""A loop without a turn for this long counts as dead."""
NUMBERS_WITHIN_S = 5.0
NUMBERS_FRESH_S = 0.5
"""The gateway is asked at most once in this time, however often clients ask for the page."""
REQUESTS_MAX = 16
"""While so many requests are being answered, further ones get a 503."""
PROBES = ("/livez", "/readyz")
"""Exempt from that limit: a probe would take the 503 for the gateway's own answer. All waiting
probes share one question to the gateway."""

API = "/api/"
"""What the paths of REST begin with."""

Ask = Callable[[ControlRequest], Awaitable[AnyAnswer]]
T = TypeVar("T", Alive, Numbers)


def application(ask: Ask, api: ASGIApp | None = None) -> ASGIApp:
    """The application; `ask` puts its questions to the gateway, and `api` is REST."""
    pages = _Pages(ask)
    app = Starlette(
        routes=[
            Route("/metrics", pages.metrics),
            Route("/livez", pages.livez),
            Route("/readyz", pages.readyz),
        ],
        exception_handlers={HTTPException: _refuse},
    )
    app.router.redirect_slashes = False
    limited = Limited(app)
    return limited if api is None else _Fork(limited, api)


class _Fork:
    """REST for its paths, and our pages for all others; each has limits of its own."""

    def __init__(self, pages: ASGIApp, api: ASGIApp) -> None:
        self._pages, self._api = pages, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one of them answer."""
        app = self._api if scope["path"].startswith(API) else self._pages
        await app(scope, receive, send)


class _Pages:
    """The pages, and the answers of the gateway that they share."""

    def __init__(self, ask: Ask) -> None:
        self._alive = Shared(lambda: _of(Alive, ask(Ping())))
        self._numbers = Shared(lambda: _of(Numbers, ask(ReadNumbers())), NUMBERS_FRESH_S)
        self._text = lru_cache(maxsize=4)(_text)

    async def metrics(self, request: Request) -> Response:
        """All numbers, in the format that the client accepts."""
        try:
            numbers = await self._numbers.within(NUMBERS_WITHIN_S)
        except (TimeoutError, GatewayGoneError):
            return _not_ready()
        # Nothing else in the Accept header matters; a client may name any version.
        as_openmetrics = OPENMETRICS in request.headers.get("accept", "")
        packed = "gzip" in request.headers.get("accept-encoding", "")
        body, content_type = self._text(_Same(numbers), as_openmetrics, packed)
        headers = {"content-type": content_type} | ({"content-encoding": "gzip"} if packed else {})
        return Response(body, headers=headers)

    async def livez(self, request: Request) -> Response:
        """Whether terminals get their turns (C114)."""
        return _ok() if await self._ping() is not None else _not_ready()

    async def readyz(self, request: Request) -> Response:
        """Whether terminals are served and the store works."""
        alive = await self._ping()
        return _ok() if alive is not None and alive.ready else _not_ready()

    async def _ping(self) -> Alive | None:
        try:
            return await self._alive.within(LIVE_WITHIN_S)
        except (TimeoutError, GatewayGoneError):
            return None


class _Same:
    """Numbers that compare by identity, so that they can be cache keys."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.numbers is self.numbers

    def __hash__(self) -> int:
        return id(self.numbers)


def _text(same: _Same, as_openmetrics: bool, packed: bool) -> tuple[bytes, str]:
    numbers = same.numbers
    body, content_type = exposition(numbers.families, numbers.pid, as_openmetrics=as_openmetrics)
    return gzip.compress(body) if packed else body, content_type


async def _of(kind: type[T], asking: Awaitable[AnyAnswer]) -> T:
    """The gateway's answer, which must be of this kind.

    Raises:
        GatewayGoneError: there is none, or it is of another kind.
    """
    answer = await asking
    if not isinstance(answer, kind):
        raise GatewayGoneError
    return answer


def _ok() -> Response:
    return PlainTextResponse("ok\n")


def _not_ready() -> Response:
    return PlainTextResponse("not ready\n", 503)


async def _refuse(request: Request, error: Exception) -> Response:
    """Refuse a path that is not one of our pages."""
    return PlainTextResponse("/metrics /livez /readyz\n", 404)


class Limited:
    """Admits a limited number of requests at a time, and only GET and HEAD without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it and say why."""
        refusal = self._refusal(scope)
        if refusal is not None:
            refusal.headers["connection"] = "close"
            await refusal(scope, receive, send)
            return
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("only GET and HEAD are allowed\n", 405, {"allow": "GET, HEAD"})
        if any(_announces_body(name, value) for name, value in scope["headers"]):
            return PlainTextResponse("a request must not have a body\n", 413)
        if self._running >= REQUESTS_MAX and scope["path"] not in PROBES:
            return PlainTextResponse(
                "too many requests at once; try again\n", 503, {"retry-after": "1"}
            )
        return None


def _announces_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" 0") != b"")
