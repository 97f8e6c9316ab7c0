"""Answers in time: before the connection is closed the client learns what is true (B84).

Either nothing was done and nothing will be, or it has begun and may yet be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sip2gw.backend.wish import Wish, wished
from sip2gw.web.api.problems import ProblemError, problem_response, unavailable

UNTIL = "sip2gw.until"
"""The key of a request's scope with the loop's time at which its connection is closed."""
ANSWER_WITHIN_S = 9.0
"""Without that."""
SPARE_S = 1.0
"""So long before the connection is closed we answer."""


class Timely:
    """`app`, which is given up in time.

    What has not begun by then, or when the client hangs up, is not begun any more; what has begun
    goes on to its end, and keeps its place among the requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, by ourselves if the application takes too long."""
        client = _Client(receive, send)
        with wished(client.wish):
            work = asyncio.create_task(self._work(scope, client))
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        await asyncio.wait({work}, timeout=_seconds_left(scope))
        if work.done() or client.is_answered:
            await work
            return
        client.is_answered = True
        await problem_response(_late(scope, client.wish.give_up()))(scope, receive, send)

    async def _work(self, scope: Scope, client: _Client) -> None:
        try:
            await self._app(scope, client.receive, client.send)
        finally:
            client.leave()


class _Client:
    """The client of one request, as the application sees it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.wish = Wish()
        self.is_answered = False
        """Whether an answer has begun; nothing of another one is sent."""
        self._is_ours = False
        self._watching: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        """The next part of the request. After the last one we look whether the client is there."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.wish.give_up()
        elif not message.get("more_body") and self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        return message

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.wish.give_up()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of the application's answer, unless it comes too late."""
        if not self.is_answered:
            self.is_answered = self._is_ours = True
        if self._is_ours:
            await self._send(message)

    def leave(self) -> None:
        """Look no longer whether it is there."""
        if self._watching is not None:
            self._watching.cancel()


def _seconds_left(scope: Scope) -> float:
    now = asyncio.get_running_loop().time()
    until = scope.get(UNTIL)
    return ANSWER_WITHIN_S if until is None else max(0.0, float(until) - SPARE_S - now)


def _late(scope: Scope, is_nothing_begun: bool) -> ProblemError:
    if scope["method"] == "GET":
        return unavailable("it takes too long just now; try again")
    if is_nothing_begun:
        return unavailable("there was no time for it just now, so nothing was done; try again")
    return ProblemError(
        503,
        "it has begun, but not ended in time, so it may be done or not; look, or send it again with"
        " the same Idempotency-Key",
        headers={"retry-after": "1"},
        kind="outcome-unknown",
    )
