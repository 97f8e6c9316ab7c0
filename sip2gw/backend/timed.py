"""A backend whose writes are timed (the metric `backend_seconds`).

Look-ups go straight through: a cached one takes less time than measuring it would.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sip2gw.backend.attempts import Settlement, UnknownAttempt
from sip2gw.backend.base import (
    Backend,
    CirculationOrder,
    CirculationResult,
    DecideCirculation,
    DecidePayment,
    EntryOrder,
    PaymentFacts,
    PaymentOrder,
    PaymentResult,
)
from sip2gw.model import (
    AccessRow,
    Block,
    PaidFee,
    PatronRecord,
    Presence,
)
from sip2gw.model.items import ItemRecord
from sip2gw.model.refusals import RefusedPayment

T = TypeVar("T")


class _PaidFees(Protocol):
    def __call__(
        self, patron_id: str, since: datetime, payer_id: str | None = None
    ) -> Coroutine[Any, Any, tuple[PaidFee, ...]]: ...


_Find = Callable[[str], Coroutine[Any, Any, PatronRecord | None]]
_FindSome = Callable[[Collection[str]], Coroutine[Any, Any, list[PatronRecord]]]
_KeepRefused = Callable[[RefusedPayment], asyncio.Future[None] | None]
_HasOpen = Callable[[Callable[[UnknownAttempt], bool]], Coroutine[Any, Any, bool]]
_FindPayer = Callable[[str], Coroutine[Any, Any, PaymentFacts | None]]


class TimedBackend:
    """Wraps a backend and tells `observe` the operation and its seconds, failed ones too."""

    def __init__(
        self,
        inner: Backend,
        observe: Callable[[str, float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._observe = observe
        self._monotonic = monotonic
        self.capabilities = inner.capabilities
        self.find_by_card: _Find = inner.find_by_card
        self.find_patron: _Find = inner.find_patron
        self.find_patrons: _FindSome = inner.find_patrons
        self.find_payer: _FindPayer = inner.find_payer
        self.find_item: Callable[[str, datetime], Coroutine[Any, Any, ItemRecord | None]] = (
            inner.find_item
        )
        self.copy_of_title: Callable[[str], Coroutine[Any, Any, str | None]] = inner.copy_of_title
        self.hold_queue: Callable[[ItemRecord, datetime], Coroutine[Any, Any, tuple[str, ...]]] = (
            inner.hold_queue
        )
        self.presence: Callable[[EntryOrder], Coroutine[Any, Any, Presence]] = inner.presence
        self.paid_fees: _PaidFees = inner.paid_fees
        self.fees_settled_by: Callable[[str], Coroutine[Any, Any, tuple[PaidFee, ...]]] = (
            inner.fees_settled_by
        )
        self.keep_refused_payment: _KeepRefused = inner.keep_refused_payment
        self.known_logins: Callable[[], Coroutine[Any, Any, Mapping[str, str]]] = inner.known_logins
        self.log_access: Callable[[AccessRow], None] = inner.log_access
        self.has_open_attempt: _HasOpen = inner.has_open_attempt

    async def _timed(self, operation: str, waiting: Awaitable[T]) -> T:
        started = self._monotonic()
        try:
            return await waiting
        finally:
            self._observe(operation, self._monotonic() - started)

    async def record_pin_failure(
        self, patron_id: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """See `Backend.record_pin_failure`."""
        waiting = self._inner.record_pin_failure(patron_id, now, failures_max, lock_until)
        return await self._timed("record_pin_failure", waiting)

    async def clear_pin_failures(self, patron_id: str) -> None:
        """See `Backend.clear_pin_failures`."""
        await self._timed("clear_pin_failures", self._inner.clear_pin_failures(patron_id))

    async def book_payment(self, order: PaymentOrder, decide: DecidePayment) -> PaymentResult:
        """See `Backend.book_payment`. Timed here: each coroutine more costs a payment a µs."""
        started = self._monotonic()
        try:
            return await self._inner.book_payment(order, decide)
        finally:
            self._observe("book_payment", self._monotonic() - started)

    async def circulate(
        self, order: CirculationOrder, decide: DecideCirculation
    ) -> CirculationResult:
        """See `Backend.circulate`."""
        return await self._timed("circulate", self._inner.circulate(order, decide))

    async def remember_logins(self, digests: Mapping[str, str]) -> None:
        """See `Backend.remember_logins`."""
        await self._timed("remember_logins", self._inner.remember_logins(digests))

    async def unknown_attempts(self) -> Sequence[UnknownAttempt]:
        """See `Backend.unknown_attempts`."""
        return await self._inner.unknown_attempts()

    async def settle(
        self, attempts: Iterable[UnknownAttempt], now: datetime
    ) -> Sequence[Settlement]:
        """See `Backend.settle`."""
        return await self._timed("settle", self._inner.settle(attempts, now))

    async def set_block(self, patron_id: str, block: Block) -> None:
        """See `Backend.set_block`."""
        await self._timed("set_block", self._inner.set_block(patron_id, block))

    async def lift_blocks(self, patron_id: str, sources: frozenset[str]) -> int:
        """See `Backend.lift_blocks`."""
        return await self._timed("lift_blocks", self._inner.lift_blocks(patron_id, sources))

    async def enter_branch(self, order: EntryOrder) -> Presence:
        """See `Backend.enter_branch`."""
        return await self._timed("enter_branch", self._inner.enter_branch(order))

    async def leave_branch(self, branch: str, patron_id: str) -> None:
        """See `Backend.leave_branch`."""
        await self._timed("leave_branch", self._inner.leave_branch(branch, patron_id))

    async def look(self) -> None:
        """See `Backend.look`."""
        await self._inner.look()

    async def ping(self) -> None:
        """See `Backend.ping`."""
        await self._timed("ping", self._inner.ping())

    async def close(self) -> None:
        """See `Backend.close`."""
        await self._inner.close()
