"""The control socket, seen from a program with an event loop: ask without blocking."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

from sip2gw.control.messages import (
    ANSWER_BYTES_MAX,
    AnyAnswer,
    LineBuffer,
    LineTooLongError,
    Request,
    UnreadableAnswerError,
    encode,
    read_answer,
)

T = TypeVar("T")


class GatewayGoneError(Exception):
    """The gateway has hung up, or sent something unreadable."""


class Channel(asyncio.Protocol):
    """A connection to the gateway; each request gets the next answer.

    Args:
        hear: gets the answers that nobody asked for by `ask`.
    """

    def __init__(self, hear: Callable[[AnyAnswer], None] | None = None) -> None:
        self._hear = hear
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the gateway is gone."""
        self._transport: asyncio.Transport | None = None
        self._lines = LineBuffer(ANSWER_BYTES_MAX)
        self._waiting: deque[asyncio.Future[AnyAnswer]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The gateway is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand the answers to the callers that wait for them."""
        self._lines.feed(data)
        try:
            for line in self._lines.lines():
                answer = read_answer(line)
                if self._hear is not None and not self._waiting:
                    self._hear(answer)
                    continue
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(answer)
        except (LineTooLongError, UnreadableAnswerError, IndexError):
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all waiting callers."""
        self._transport = None
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(GatewayGoneError())
        if not self.lost.done():
            self.lost.set_result(None)

    async def ask(self, request: Request) -> AnyAnswer:
        """The answer to `request`, whenever it comes.

        Raises:
            GatewayGoneError: none will come.
        """
        if self._transport is None:
            raise GatewayGoneError
        turn: asyncio.Future[AnyAnswer] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.say(request)
        return await turn

    def say(self, request: Request) -> None:
        """Send `request`; `hear` gets what comes of it."""
        if self._transport is not None:
            self._transport.write(encode(request))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Shared(Generic[T]):
    """A value that many callers want and that is fetched once for all of them.

    Args:
        get: fetches the value.
        fresh_s: how old, in seconds, a value may be when it is handed out.
    """

    def __init__(self, get: Callable[[], Awaitable[T]], fresh_s: float = 0.0) -> None:
        self._get, self._fresh_s = get, fresh_s
        self._running: asyncio.Future[T] | None = None
        self._until = 0.0

    async def within(self, seconds: float) -> T:
        """The value that the others got or will get.

        Raises:
            TimeoutError: it took too long; the next caller waits for the same fetch.
        """
        loop = asyncio.get_running_loop()
        if self._running is None or (self._running.done() and loop.time() >= self._until):
            self._running = asyncio.ensure_future(self._get())
            self._running.add_done_callback(self._got)
        return await asyncio.wait_for(asyncio.shield(self._running), seconds)

    def _got(self, running: asyncio.Future[T]) -> None:
        failed = running.cancelled() or running.exception() is not None
        now = asyncio.get_running_loop().time()
        self._until = now if failed else now + self._fresh_s
