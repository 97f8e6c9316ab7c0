"""Payments on their way to a library system, so that none goes up twice (B75, B79).

In memory only: the journal in the store is what counts, for all gateways. Here is who waits for
what, and what could not be written into the journal yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec import Struct

from sip2gw.backend.base import PaymentResult
from sip2gw.foundation.eager import Detached
from sip2gw.protocol.structs import Discreet, Hidden

Key = tuple[str, str, str]
"""Terminal, key and content of a payment: two have it in common only if one repeats the other."""


@dataclass(eq=False, slots=True)
class Paying:
    """A payment on its way up."""

    key: Key = field(repr=False)
    work: Detached[PaymentResult] = field(init=False, repr=False)
    """Ends when its outcome is known, or noted as unknown."""
    waiting: int = 0
    """How many requests wait for the answer."""
    is_sent: bool = False
    """Whether anything may have reached the library system."""
    payment_id: str = ""
    """In the journal, once it is there."""
    noted_s: float = 0.0
    """When we last began to write into the journal that a share goes up; monotonic."""


class Outcome(Discreet, Struct, frozen=True):
    """How a share ended that the journal still shows as sent, because the store failed."""

    payment_id: str
    position: int
    booked: bool
    texts: Hidden[tuple[str, ...]]


class Payments:
    """What is under way, and what is to be written yet."""

    def __init__(self) -> None:
        self.unwritten: dict[tuple[str, int], Outcome] = {}
        self._under_way: dict[Key, Paying] = {}
        self._left: set[asyncio.Future[None]] = set()
        """Of those whose terminal has gone."""

    @property
    def ids(self) -> set[str]:
        """Of payments whose shares are going up just now."""
        return {paying.payment_id for paying in self._under_way.values()}

    def under_way(self, key: Key) -> Paying | None:
        """The same payment, on its way already."""
        return self._under_way.get(key)

    def begin(
        self, paying: Paying, work: Coroutine[Any, Any, PaymentResult]
    ) -> Awaitable[PaymentResult]:
        """From now on `paying` is under way, until `work` has ended; await its outcome."""
        self._under_way[paying.key] = paying
        # By the key alone: an end that knew `paying` would be a cycle, which only a look for
        # garbage frees. That was a twentieth of a payment.
        paying.work = Detached(self._left, partial(self._end, paying.key))
        return paying.work.run(work)

    def _end(self, key: Key) -> None:
        del self._under_way[key]
