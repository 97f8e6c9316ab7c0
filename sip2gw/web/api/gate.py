"""The gate of REST: a token, limits, and the application behind it, made with the first request.

So `/metrics` and the probes start as fast as without REST, and do not depend on the store (C130).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sip2gw.control.channel import GatewayGoneError, Shared
from sip2gw.control.messages import (
    Alive,
    AnyAnswer,
    Configuration,
    Ping,
    ReadConfiguration,
    Request,
)
from sip2gw.web.api.problems import (
    ProblemError,
    problem_response,
    too_fast,
    unauthorized,
    unavailable,
)
from sip2gw.web.api.rates import Rates
from sip2gw.web.api.texts import insist_on_text

if TYPE_CHECKING:
    from sip2gw.web.api.desk import Caller, Desk

BODY_BYTES_MAX = 1024 * 1024
REQUESTS_MAX = 16
"""While so many requests are being answered, further ones get a 503."""
REQUESTS_PER_SECOND, BURST = 100.0, 200.0
"""Of one token."""
GUESSES_PER_SECOND, GUESSES_BURST = 1.0, 20.0
"""Wrong tokens from one address."""
OPEN_WITHIN_S = 8.0
"""Of the ten seconds that a request has; a store that opens later serves the next one."""
PING_WITHIN_S = 2.0
RELOAD_SEEN_WITHIN_S = 1.0
"""The gateway is asked at most once in this time whether it has reloaded; otherwise it would have
to answer a question for each request."""
USED_EVERY = timedelta(minutes=1)
_NOT_GOOD = (
    "the token is not good here and now; `sip2gw token list` shows whether there is such a token,"
    " until when it is good, and in which networks"
)
"""The same for all of them, so that nobody learns which it is."""

Ask = Callable[[Request], Awaitable[AnyAnswer]]


class _Open(NamedTuple):
    desk: Desk
    app: ASGIApp


class Api:
    """REST as a whole.

    Args:
        ask: puts a question to the gateway.
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._ask_again_at = float("-inf")
        self._running = 0
        self._rates = Rates(REQUESTS_PER_SECOND, BURST, clock)
        self._guesses = Rates(GUESSES_PER_SECOND, GUESSES_BURST, clock)
        self._opened: _Open | None = None
        self._opening = Shared(self._open)
        self._following: Shared[None] = Shared(self._follow)
        self._alive: Shared[AnyAnswer] = Shared(lambda: ask(Ping()))
        self._noting: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or say why not."""
        try:
            await self._answer(scope, receive, send)
        except ProblemError as error:
            response = problem_response(error)
            if error.status == 413:
                response.headers["connection"] = "close"
            await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        token = _token_in(headers)
        opened = await self._desk()
        address = (scope.get("client") or ("", 0))[0]
        caller = await self._caller(opened.desk, token, address)
        with self._place():  # which no wrong token takes from a good one
            await self._answer_to(caller, opened, scope, receive, send)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._running >= REQUESTS_MAX:
            raise unavailable("too many requests at once; try again")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _answer_to(
        self, caller: Caller, opened: _Open, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = await _whole(receive, Headers(scope=scope))
        insist_on_text(scope["path"], scope["query_string"], body)
        scope["state"] = {
            "caller": caller,
            "desk": opened.desk,
            "ask": self._ask,
            "loop": asyncio.get_running_loop(),
            "body": body,
        }
        try:
            await opened.app(scope, _replayed(body, receive), send)
        except Exception as error:
            # The client has its 500 already; the operator needs the reason.
            failure = {"message": "a request over REST failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(failure)

    # The desk ------------------------------------------------------------------------------

    async def _desk(self) -> _Open:
        """The desk with the configuration that is in force; opened with the first request."""
        opened = self._opened
        if opened is None:
            opened = await self._try_to_open()
        if self._clock() >= self._ask_again_at:
            with suppress(TimeoutError, GatewayGoneError):
                await self._look_for_a_reload(opened.desk)
        return opened

    async def _look_for_a_reload(self, desk: Desk) -> None:
        alive = await self._alive.within(PING_WITHIN_S)
        if isinstance(alive, Alive) and alive.reloads != desk.reloads:
            await self._following.within(PING_WITHIN_S)
        self._ask_again_at = self._clock() + RELOAD_SEEN_WITHIN_S

    async def _try_to_open(self) -> _Open:
        from sip2gw.backend.base import BackendError

        try:
            self._opened = opened = await self._opening.within(OPEN_WITHIN_S)
        except TimeoutError:
            raise unavailable("the store is being opened; try again") from None
        except BackendError:
            raise unavailable("the store cannot be opened; look in the gateway's log") from None
        except GatewayGoneError:
            raise unavailable("the gateway does not answer; look in its log") from None
        return opened

    async def _open(self) -> _Open:
        running = await self._configuration()
        return await asyncio.to_thread(_opened_with, running)

    async def _follow(self) -> None:
        assert self._opened is not None
        running = await self._configuration()
        await asyncio.to_thread(self._opened.desk.follow, running)

    async def _configuration(self) -> Configuration:
        """What the gateway has in force; its files may say something else, or nothing valid."""
        answer = await self._ask(ReadConfiguration())
        if not isinstance(answer, Configuration):
            raise GatewayGoneError
        return answer

    # Tokens --------------------------------------------------------------------------------

    async def _caller(self, desk: Desk, token: str, address: str) -> Caller:
        from sip2gw.backend.base import BackendError
        from sip2gw.policy.rights import is_good
        from sip2gw.staff.tokens import recognised
        from sip2gw.web.api.desk import Caller

        try:
            found = await asyncio.to_thread(recognised, desk.store, desk.config, token)
        except BackendError:
            raise unavailable("the store cannot be read; look in the gateway's log") from None
        now = datetime.now(UTC)
        if found is None or not is_good(found, now, address):
            # A good token never waits for the bad ones: behind a proxy all have one address.
            if wait := self._guesses.wait_of(address):
                raise too_fast(wait)
            self._guesses.take(address)
            raise unauthorized(_NOT_GOOD, "invalid_token")
        if wait := self._rates.wait_of(found.name):
            raise too_fast(wait)
        self._rates.take(found.name)
        if found.created and (found.last_used is None or now - found.last_used >= USED_EVERY):
            self._note_used(desk, found.name, now)
        return Caller(found, address)

    def _note_used(self, desk: Desk, name: str, now: datetime) -> None:
        """Beside the request: whether it can be noted changes nothing for it."""
        task = asyncio.create_task(_noted(desk, name, now))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)


def _opened_with(running: Configuration) -> _Open:
    """In a thread: FastAPI takes a third of a second to import."""
    from sip2gw.web.api.app import Parted
    from sip2gw.web.api.desk import Desk

    return _Open(Desk(running), Parted())


async def _noted(desk: Desk, name: str, now: datetime) -> None:
    from sip2gw.backend.base import BackendError

    with suppress(BackendError):
        await asyncio.to_thread(desk.store.note_token_used, name, now)


def _token_in(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise unauthorized("send a token as Authorization: Bearer TOKEN")
    return token


async def _whole(receive: Receive, headers: Headers) -> bytes:
    """The body of the request."""
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise _too_large()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)  # the client has gone
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise _too_large()
        if not message.get("more_body"):
            return bytes(body)


def _too_large() -> ProblemError:
    return ProblemError(413, f"a body has at most {BODY_BYTES_MAX} bytes")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives `body`, and then what else comes from the client."""
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return given.pop() if given else await receive()

    return next_message
