"""What happens, as server-sent events: payments, decisions at doors, terminals (B84).

A request has ten seconds in all, so a stream ends before, and a client asks again with the
`Last-Event-ID` that it saw; `EventSource` in a browser does so by itself. That way the token is
looked at again, too. The store is looked at each second: what a gateway, a worker or a command has
written is seen alike. Streams say nothing of persons, whoever asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from sip2gw.backend.base import BackendError
from sip2gw.web.api.problems import ProblemError, unavailable

LOOKS = 7
"""Of one stream: so it ends within the time of a request. Where looking takes long, the server
breaks it off, and the client comes back all the same."""
EVERY_S = 1.0
EVENTS_MAX = 500
"""At each look; the rest comes with the next one."""
STREAMS_MAX = 8
"""At a time: half of what may be answered at once."""
LOOK_BACK = timedelta(seconds=5)
"""What is written so much later than its time is seen, too."""

_RETRY = b"retry: 1000\n\n"
_NOTHING_NEW = b": nothing new\n\n"


class Event(NamedTuple):
    """Something that happened."""

    id: str
    """Which one; the same if it is told again. Empty: the next stream begins anew."""
    document: Any


Look = Callable[[], Iterable[Event]]
"""What happened since the last look; it may block."""


class EventStream(StreamingResponse):
    """A stream of events that is being sent.

    Raises:
        ProblemError: there are too many.
    """

    media_type = "text/event-stream"
    _open = 0

    def __init__(self, kind: str, look: Look) -> None:
        if EventStream._open >= STREAMS_MAX:
            raise unavailable("too many streams at once; try again")
        super().__init__(
            _sent(kind, look), headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, until it ends or the client has gone."""
        EventStream._open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            EventStream._open -= 1


async def _sent(kind: str, look: Look) -> AsyncIterator[bytes]:
    yield _RETRY
    for _ in range(LOOKS):
        try:
            found = await asyncio.to_thread(lambda: list(look()))
        except (BackendError, ProblemError):
            return  # the client asks again, and is told then
        yield b"".join(_line(kind, one) for one in found) or _NOTHING_NEW
        await asyncio.sleep(EVERY_S)


def _line(kind: str, event: Event) -> bytes:
    named = f"id: {event.id}\n" if event.id else ""
    return f"{named}event: {kind}\n".encode() + (
        b"data: " + msgspec.json.encode(event.document) + b"\n\n"
    )


class Following:
    """Looks at a log for what is new in it; each entry is told once in a stream.

    Args:
        read: the entries from a moment on, oldest first.
        named: the time of an entry, and what tells it from others of that time.
        told: its document.
        seen: the id of the last event that the client saw; None: what happens from `now` on.
        now: the moment.
    """

    def __init__(
        self,
        read: Callable[[datetime], Iterable[Any]],
        named: Callable[[Any], tuple[datetime, str]],
        told: Callable[[Any], Any],
        seen: str | None,
        now: datetime,
    ) -> None:
        self._read, self._named, self._told = read, named, told
        self._told_already: dict[str, datetime] = {}
        self._begin = now if seen is None else _moment_of(seen)
        self._since = self._begin

    def __call__(self) -> Iterator[Event]:
        """What is new."""
        fresh = (one for one in map(self._event, self._read(self._since)) if one is not None)
        for time, event in islice(fresh, EVENTS_MAX):
            self._told_already[event.id] = time
            self._since = max(self._since, time - LOOK_BACK)
            yield event
        for name in [it for it, time in self._told_already.items() if time < self._since]:
            del self._told_already[name]

    def _event(self, entry: Any) -> tuple[datetime, Event] | None:
        time, name = self._named(entry)
        event_id = f"{time.astimezone(UTC).isoformat(timespec='microseconds')} {name}"
        if event_id in self._told_already:
            return None
        return time, Event(event_id, self._told(entry))


def _moment_of(event_id: str) -> datetime:
    """Where to go on after this event: a little before it, so that none is lost.

    Raises:
        ProblemError: it is no id of ours.
    """
    try:
        moment = datetime.fromisoformat(event_id.partition(" ")[0])
        return moment.astimezone(UTC) - LOOK_BACK
    except (ValueError, OverflowError):
        raise ProblemError(422, "the Last-Event-ID is none of ours; leave it out") from None
