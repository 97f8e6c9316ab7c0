"""A request is answered in time, and the answer is true (B84)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from sip2gw.backend.wish import GivenUpError, begin
from sip2gw.web.api.timely import ANSWER_WITHIN_S, SPARE_S, UNTIL, Timely, _seconds_left


class Side:
    """An application that does as it is told, and its client."""

    def __init__(self) -> None:
        self.go_on, self.gone, self.arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.begins_at_once = True
        self.problem: Exception | None = None
        self.answers = True
        self.begun = 0
        self.ended = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self.app = Timely(self.serve)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            if self.begins_at_once:
                self._begin()
            self.arrived.set()
            if not self.answers:
                await self.go_on.wait()
                self._begin()
            if self.problem is not None:
                raise self.problem
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b'"done"'})
        finally:
            self.ended.set()

    def _begin(self) -> None:
        begin()
        self.begun += 1

    async def ask(self, method: str = "POST", left_s: float = 600.0) -> tuple[int, Any]:
        """The status, and what the body says."""
        parts = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)

        now = asyncio.get_running_loop().time()
        scope = {"type": "http", "method": method, UNTIL: now + SPARE_S + left_s}
        await self.app(scope, receive, send)
        body = b"".join(part.get("body", b"") for part in self.sent[1:])
        return self.sent[0]["status"], json.loads(body)

    async def end(self) -> None:
        """Let the application go on to its end."""
        self.go_on.set()
        await self.ended.wait()
        await asyncio.sleep(0)


@pytest.fixture
async def side() -> Side:
    return Side()


async def test_what_is_done_in_time_is_answered(side: Side) -> None:
    assert await side.ask() == (200, "done")
    assert not side.app._under_way
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nobody looks for the client any more"


async def test_what_had_no_time_is_not_done_later(side: Side) -> None:
    side.answers = side.begins_at_once = False
    status, told = await side.ask(left_s=0)
    assert (status, told["type"]) == (503, "urn:sip2gw:problem:service-unavailable")
    assert "nothing was done" in told["detail"]
    count = len(side.sent)
    await side.end()
    assert side.begun == 0
    assert len(side.sent) == count, "one request has one answer"


async def test_what_has_begun_may_be_done_and_is_done(side: Side) -> None:
    side.answers = False
    status, told = await side.ask(left_s=0)
    assert (status, told["type"]) == (503, "urn:sip2gw:problem:outcome-unknown")
    assert "may be done or not" in told["detail"]
    count = len(side.sent)
    assert side.app._under_way
    await side.end()
    assert side.begun == 2
    assert len(side.sent) == count


async def test_a_reading_that_takes_too_long_is_told_so(side: Side) -> None:
    side.answers = False
    status, told = await side.ask("GET", left_s=0)
    assert (status, told["type"]) == (503, "urn:sip2gw:problem:service-unavailable")
    assert "takes too long" in told["detail"]
    await side.end()


async def test_an_answer_that_has_begun_is_sent_whole(side: Side) -> None:
    assert await side.ask(left_s=0) == (200, "done")


async def test_what_the_client_does_not_wait_for_any_more_is_not_begun(side: Side) -> None:
    side.answers = side.begins_at_once = False
    asking = asyncio.ensure_future(side.ask())
    await side.arrived.wait()
    side.gone.set()
    for _ in range(3):
        await asyncio.sleep(0)
    side.go_on.set()
    with pytest.raises(GivenUpError):
        await asking
    assert side.begun == 0


async def test_a_client_that_has_gone_before_the_end_of_its_request_waits_for_nothing(
    side: Side,
) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        side.sent.append(message)

    with pytest.raises(GivenUpError):
        await side.app({"type": "http", "method": "POST"}, receive, send)
    assert not side.sent


async def test_an_error_is_the_servers(side: Side) -> None:
    side.problem = KeyError("bug")
    with pytest.raises(KeyError):
        await side.ask()


async def test_there_is_always_a_limit() -> None:
    now = asyncio.get_running_loop().time()
    assert _seconds_left({}) == ANSWER_WITHIN_S
    assert _seconds_left({UNTIL: now - 1}) == 0
    assert 0 < _seconds_left({UNTIL: now + SPARE_S + 60}) <= 60
