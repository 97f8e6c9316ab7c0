"""Backends around a backend: calls that they do not change go straight to the one inside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from inspect import isfunction
from typing import TypeVar

from msgspec.structs import replace

from sip2gw.backend.attempts import Settlement, UnknownAttempt, UnknownSending
from sip2gw.backend.base import (
    Backend,
    CirculationOrder,
    CirculationResult,
    EntryOrder,
    PaymentOrder,
    PaymentResult,
)
from sip2gw.model import AccessRow, Block, Presence
from sip2gw.model.items import ItemRecord
from sip2gw.model.journal import JournalEntry, Kept

T = TypeVar("T")

_OPERATIONS = tuple(name for name, what in vars(Backend).items() if isfunction(what))


class PassingOn(Backend):
    """What a subclass does not define is the method of `inner` itself, so it costs no extra call.

    A type checker cannot see this and takes the subclasses for abstract.
    """

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self.capabilities = inner.capabilities
        for name in _OPERATIONS:
            if getattr(type(self), name) is getattr(Backend, name):
                setattr(self, name, getattr(inner, name))


class Unrecorded(PassingOn):
    """Nothing is recorded, lent or taken back, and nobody enters or leaves.

    What would have been is kept here for whoever wants to explain it (B70).
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.row: AccessRow | None = None
        """What the door log would say."""
        self.presence_seen: Presence | None = None
        """Who is inside, if that was looked at."""
        self.result: CirculationResult | None = None
        """What an order would have come to."""

    def log_access(self, row: AccessRow) -> None:
        """Asking does not count as a passage."""
        self.row = row

    def note_activity(self, patron_id: str, now: datetime) -> None:
        """Asking is no activity."""

    async def enter_branch(self, order: EntryOrder) -> Presence:
        """Say who is inside. What is explained would be a row, a second reading would be none."""
        self.presence_seen = replace(await self._inner.presence(order), again=False)
        return self.presence_seen

    async def leave_branch(self, branch: str, patron_id: str) -> None:
        """Nobody goes out."""

    async def leave_by_passage(self, branch: str, passage: str) -> None:
        """Nobody goes out."""

    async def take_back(self, order: EntryOrder) -> None:
        """Nobody has entered."""

    async def move_stays(self, branch: str, since: datetime, ends: datetime) -> None:
        """Nobody stays longer."""

    async def circulate(self, order: CirculationOrder) -> CirculationResult:
        """Say what would be done."""
        self.result = await self._inner.would_circulate(order)
        return self.result

    async def hold_queue(self, record: ItemRecord, now: datetime) -> tuple[str, ...]:
        """The queue with the hold that would be placed: it comes last."""
        queue = await self._inner.hold_queue(record, now)
        placed = self.result.done.hold if self.result and self.result.done else None
        return queue if placed is None or placed.id in queue else (*queue, placed.id)

    async def add_to_journal(self, entry: JournalEntry) -> Kept:
        """Nothing is taken off line."""
        return Kept.FULL

    async def journalled(self, item_id: str) -> JournalEntry | None:
        """Nobody waits: what was taken off line goes up before long."""
        return None

    async def begin_sending(self, sending: UnknownSending) -> None:
        """Nothing goes up that would have to be settled."""

    def end_sending(self, sending: UnknownSending) -> None:
        """Nor does it end."""


class Timed(PassingOn):
    """Reports each write with its seconds to `observe`, even failed ones (`backend_seconds`).

    Look-ups go straight through: a cached one takes less time than measuring it would.
    """

    def __init__(
        self,
        inner: Backend,
        observe: Callable[[str, float], None],
        monotonic: Callable[[], float],
    ) -> None:
        super().__init__(inner)
        self._observe = observe
        self._monotonic = monotonic

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

    async def replace_pin_hash(self, patron_id: str, old: str, new: str) -> None:
        """See `Backend.replace_pin_hash`."""
        waiting = self._inner.replace_pin_hash(patron_id, old, new)
        await self._timed("replace_pin_hash", waiting)

    async def record_guess(
        self, number: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """See `Backend.record_guess`."""
        waiting = self._inner.record_guess(number, now, failures_max, lock_until)
        return await self._timed("record_guess", waiting)

    async def return_guess(self, number: str) -> None:
        """See `Backend.return_guess`."""
        await self._timed("return_guess", self._inner.return_guess(number))

    async def clear_guesses(self, number: str) -> None:
        """See `Backend.clear_guesses`."""
        await self._timed("clear_guesses", self._inner.clear_guesses(number))

    async def join_guesses(self, number: str, other: str) -> None:
        """See `Backend.join_guesses`."""
        await self._timed("join_guesses", self._inner.join_guesses(number, other))

    async def book_payment(self, order: PaymentOrder) -> PaymentResult:
        """See `Backend.book_payment`. Timed here: each coroutine more costs a payment a µs."""
        started = self._monotonic()
        try:
            return await self._inner.book_payment(order)
        finally:
            self._observe("book_payment", self._monotonic() - started)

    async def circulate(self, order: CirculationOrder) -> CirculationResult:
        """See `Backend.circulate`."""
        return await self._timed("circulate", self._inner.circulate(order))

    async def remember_logins(self, digests: Mapping[str, str]) -> None:
        """See `Backend.remember_logins`."""
        await self._timed("remember_logins", self._inner.remember_logins(digests))

    async def settle(
        self, attempts: Iterable[UnknownAttempt], now: datetime
    ) -> Sequence[Settlement]:
        """See `Backend.settle`."""
        return await self._timed("settle", self._inner.settle(attempts, now))

    async def add_to_journal(self, entry: JournalEntry) -> Kept:
        """See `Backend.add_to_journal`."""
        return await self._timed("add_to_journal", self._inner.add_to_journal(entry))

    async def set_block(
        self, patron_id: str, block: Block, *, terminal: str = "", card: str = ""
    ) -> None:
        """See `Backend.set_block`."""
        setting = self._inner.set_block(patron_id, block, terminal=terminal, card=card)
        await self._timed("set_block", setting)

    async def lift_blocks(self, patron_id: str, sources: frozenset[str]) -> int:
        """See `Backend.lift_blocks`."""
        return await self._timed("lift_blocks", self._inner.lift_blocks(patron_id, sources))

    async def enter_branch(self, order: EntryOrder) -> Presence:
        """See `Backend.enter_branch`."""
        return await self._timed("enter_branch", self._inner.enter_branch(order))

    async def leave_branch(self, branch: str, patron_id: str) -> None:
        """See `Backend.leave_branch`."""
        await self._timed("leave_branch", self._inner.leave_branch(branch, patron_id))

    async def take_back(self, order: EntryOrder) -> None:
        """See `Backend.take_back`."""
        await self._timed("take_back", self._inner.take_back(order))

    async def move_stays(self, branch: str, since: datetime, ends: datetime) -> None:
        """See `Backend.move_stays`."""
        await self._timed("move_stays", self._inner.move_stays(branch, since, ends))

    async def leave_by_passage(self, branch: str, passage: str) -> None:
        """See `Backend.leave_by_passage`."""
        waiting = self._inner.leave_by_passage(branch, passage)
        await self._timed("leave_by_passage", waiting)

    async def ping(self) -> None:
        """See `Backend.ping`."""
        await self._timed("ping", self._inner.ping())
