"""What one side has to say to another, gathered so that it costs few packets (B87, C131)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import msgspec

from sip2gw.backend.base import BackendTimeoutError
from sip2gw.foundation.link import LinkLostError
from sip2gw.shared.together.messages import Answered, Asked, Message, Question, Told

LINGER_S = 0.05
"""How long what can wait does. A terminal that moves to another worker is waited for all the
same (`Settle`), so this is only the time that a crash can forget."""
TOLD_BYTES_MAX = 48_000
"""A longer packet is not made, unless one message alone is longer."""

_encode = msgspec.msgpack.Encoder().encode

T = TypeVar("T")


class Wire(Protocol):
    """What is needed of `sip2gw.foundation.link.Link`."""

    def tell(self, message: msgspec.Struct) -> None:
        """Send `message` after all that was sent before."""

    async def ask(self, message: msgspec.Struct) -> Any:
        """The answer to `message`, which is sent after all that was sent before."""


class Courier:
    """One side's way to the other.

    Everything arrives in the order in which it was said, but what is added to a batch after it.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._batches: dict[Callable[..., Message], list[Any]] = {}
        """What is to be said last, in one message of each kind."""
        self._gathered: list[msgspec.Raw] = []
        self._bytes = 0
        self._at_once = False
        """Whether what was gathered leaves in the next turn of the loop."""
        self._later: asyncio.TimerHandle | None = None

    def tell(self, message: Message, *, can_wait: bool = False) -> None:
        """Say `message` in the next turn, or within `LINGER_S`."""
        self.pass_on(written(message), can_wait=can_wait)

    def pass_on(self, message: msgspec.Raw, *, can_wait: bool = False) -> None:
        """The same with what is `written` already."""
        self._gather(message)
        self._leave(can_wait=can_wait)

    def add(self, kind: Callable[[list[T]], Message], one: T) -> None:
        """Say `one` within `LINGER_S`, in a message with all of its kind that come until then.

        That costs much less than a message for each, here and wherever it is passed on to. It comes
        after what is told otherwise, even if that is said later.
        """
        batch = self._batches.get(kind)
        if batch is not None:
            batch.append(one)
            return
        self._batches[kind] = [one]
        self._leave(can_wait=True)

    def _close_batches(self) -> None:
        batches, self._batches = self._batches, {}
        for kind, batch in batches.items():
            self._gather_batch(kind, batch)

    def _gather_batch(self, kind: Callable[[list[Any]], Message], batch: list[Any]) -> None:
        message = written(kind(batch))
        half = len(batch) // 2
        if half and len(memoryview(message)) > TOLD_BYTES_MAX:
            self._gather_batch(kind, batch[:half])
            self._gather_batch(kind, batch[half:])
        else:
            self._gather(message)

    def _gather(self, message: msgspec.Raw) -> None:
        size = len(memoryview(message))
        if self._bytes + size > TOLD_BYTES_MAX:
            self._send()
        self._gathered.append(message)
        self._bytes += size

    def _leave(self, *, can_wait: bool) -> None:
        """See to it that what was gathered leaves in time."""
        if self._at_once:
            return
        loop = asyncio.get_running_loop()
        if not can_wait:
            self._at_once = True
            loop.call_soon(self.flush)
        elif self._later is None:
            self._later = loop.call_later(LINGER_S, self.flush)

    async def ask(self, question: Question) -> float:
        """The answer to `question`, which comes after all that was said before.

        Raises:
            BackendTimeoutError: nobody will answer.
        """
        self.flush()
        try:
            answer = await self._wire.ask(Asked(question))
        except LinkLostError as error:
            raise BackendTimeoutError("the gateway's other processes do not answer") from error
        return cast("Answered", answer).value

    async def take(self, question: Question, give_back: Callable[[float], None]) -> float:
        """The same for a question that takes something; who gives up waiting gives it back."""
        asking = asyncio.get_running_loop().create_task(self.ask(question))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda asked: _give_back(asked, give_back))
            raise

    def flush(self) -> None:
        """Say now what was gathered."""
        self._at_once = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._close_batches()
        self._send()

    def _send(self) -> None:
        if self._gathered:
            gathered, self._gathered, self._bytes = self._gathered, [], 0
            self._wire.tell(Told(cast("Any", gathered)))


def written(message: Message) -> msgspec.Raw:
    """`message` as it goes over a wire."""
    return msgspec.Raw(_encode(message))


def _give_back(asked: asyncio.Task[float], give_back: Callable[[float], None]) -> None:
    if not asked.cancelled() and asked.exception() is None and asked.result():
        give_back(asked.result())
