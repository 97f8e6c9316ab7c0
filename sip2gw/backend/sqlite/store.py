"""The embedded store: the library's data in one SQLite file, behind the port (B69, C62, C72).

Reads run in the event loop's thread: an indexed read takes microseconds, and a snapshot that is in
the cache takes one. After a slow one they go to threads for a while (`reads`). All writes go
through the writer thread.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sip2gw.backend.attempts import Settlement, UnknownAttempt
from sip2gw.backend.base import (
    Access,
    Capability,
    CirculationOrder,
    CirculationResult,
    EntryOrder,
    PaymentOrder,
    PaymentResult,
    Role,
    UnavailableError,
)
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.doubts import Doubts
from sip2gw.backend.idle import KEPT_OPEN, Idle
from sip2gw.backend.library import Library
from sip2gw.backend.spool import Spool, read_spool
from sip2gw.backend.sql import circulation, journal, queries
from sip2gw.backend.sql.door_log import FLUSH_AFTER_S, AccessLog
from sip2gw.backend.sql.identity import insist_on_currency, pin_secret_in_file
from sip2gw.backend.sql.members import activity, guesses, lockout
from sip2gw.backend.sql.members.blocks import block_values
from sip2gw.backend.sql.migrate import migrate, schema_number
from sip2gw.backend.sql.money import exports, ledger
from sip2gw.backend.sql.money.ledger import FindAccount
from sip2gw.backend.sql.money.refusals import Refusals, Writing
from sip2gw.backend.sql.records import (
    door_entry,
    load_account,
    load_by_card,
    load_patron,
    membership_of,
    paid_fee,
)
from sip2gw.backend.sql.schema import SCHEMA_NUMBER
from sip2gw.backend.sql.standing import insist_on_standing
from sip2gw.backend.sql.values import time_text
from sip2gw.backend.sqlite.cache import RecordCache
from sip2gw.backend.sqlite.database import (
    WRITE_WAIT_S,
    SqliteConnection,
    connect,
    expect_bulk,
    is_busy,
)
from sip2gw.backend.sqlite.orders import Orders
from sip2gw.backend.sqlite.place import Place
from sip2gw.backend.sqlite.reading import ReadingPlace
from sip2gw.backend.sqlite.reads import Reads
from sip2gw.backend.sqlite.warming import warm
from sip2gw.backend.sqlite.writer import LOCK_WAIT_S, Writer
from sip2gw.backend.staff import calendar, doors
from sip2gw.backend.wish import begin, if_wished
from sip2gw.model import (
    NO_FAILURES,
    OBSERVED,
    AccessRow,
    Block,
    CalendarChange,
    CardHere,
    FailedPins,
    Membership,
    PaidFee,
    PatronRecord,
    Presence,
)
from sip2gw.model.items import ItemRecord
from sip2gw.model.journal import JournalEntry, Waiting
from sip2gw.model.refusals import RefusedPayment
from sip2gw.model.shares import PendingFee
from sip2gw.policy.money.payments import PaymentFacts

RECORDS_CACHED_MAX = 20_000

T = TypeVar("T")


class Store(Library):
    """One open SQLite store; implements `sip2gw.backend.base.Backend`.

    To be used from one event loop; the listings and `snapshot` open connections of their own and
    may be used from any thread.
    """

    capabilities = frozenset(Capability)
    claimant = "gateway"

    def __init__(
        self, place: Place, pin_secret: bytes, *, role: Role, lock: int | None, records_max: int
    ) -> None:
        self.path = place.path
        self._place = place
        self.pin_secret = pin_secret
        """Keys the PIN hashes; never to be shown."""
        self._lock = lock
        self._cache = RecordCache(records_max)
        self._memberships: dict[str, Membership] = {}
        """Definitions that were asked for; kept like snapshots."""
        self._strangers: dict[str, CardHere] = {}
        """Numbers that nobody has here, and what the doors' lists say of them."""
        self._unguessed: set[str] = set()
        """Numbers at which no wrong PIN is counted."""
        self._is_anything_pending: bool | None = None
        """Whether `pending_fees` has anything for anybody; None: that is to be looked up."""
        self._version = -1
        self._is_command = role == "command"
        """Then the gateway writes, too, and tells nobody: every look makes it forget everything."""
        self._cache_checked = False
        self._flush: asyncio.TimerHandle | None = None
        self._closed = False
        self._spool_path = Path(f"{self.path}.spool")
        self._doubts: Doubts | None = None
        """Of the daemon; a command writes no spool."""
        if role == "daemon":
            self._doubts = Doubts(Spool(self._spool_path))
            self._doubts.open()
        self._access_log = AccessLog()
        self._refusals = Refusals(self._write_refusals)
        self._activity = activity.Activity(self._write_activity)
        self._reads = Reads(place)
        kept_open = KEPT_OPEN if role == "command" else 0
        self._looking = Idle(
            partial(connect, place.address, read_only=True), kept_open, sqlite3.Error
        )
        self._beside = Idle(partial(connect, place.address), kept_open, sqlite3.Error)
        writing = connect(self._place.address)
        place.remember()
        self._writer = Writer(
            writing,
            self._access_log,
            self._evict,
            bump_version=role == "command",
            lock_wait_s=LOCK_WAIT_S if role == "daemon" else WRITE_WAIT_S,
            update_fees=self._cache.update_fees,
            change=self._cache.change,
            on_begin=self._trust_cache,
            still_there=place.insist,
        )
        self._orders = Orders(self._writer, self._doubts, self._done_before)

    # Reads

    @property
    def slow_reads(self) -> int:
        """How many reads so far have waited long for the disk."""
        return self._reads.slow

    async def find_by_card(self, number: str) -> PatronRecord | None:
        """The holder of card `number` (any state, a replaced one too), or None."""
        if not self._cache_checked:
            await self._check_cache()
        return self._cache.by_card(number) or await self._load(load_by_card, number)

    async def find_here(self, number: str) -> CardHere:
        """What our store says of card `number` in front of a library system."""
        if not self._cache_checked:
            await self._check_cache()
        holder = self._cache.by_card(number)
        if holder is not None:
            return CardHere(holder)
        return self._strangers.get(number) or await self._look_here(number)

    async def _look_here(self, number: str) -> CardHere:
        apart = self._reads.apart
        holder = await self.find_by_card(number)
        if holder is not None:
            return CardHere(holder)
        rows = await self._reads.rows(queries.DOOR_ENTRIES_OF_CARD, (number,))
        stranger = CardHere(None, tuple(map(door_entry, rows)))
        if not (apart or self._reads.apart):
            if len(self._strangers) >= RECORDS_CACHED_MAX:
                self._strangers.clear()
            self._strangers[number] = stranger
        return stranger

    async def find_patron(self, patron_id: str) -> PatronRecord | None:
        """The patron whose main card is `patron_id`, or None."""
        if not self._cache_checked:
            await self._check_cache()
        return self._cache.by_id(patron_id) or await self._load(load_patron, patron_id)

    async def find_patrons(self, patron_ids: Collection[str]) -> list[PatronRecord]:
        """The patrons with these ids, by id; unknown ones are left out."""
        found = [await self.find_patron(patron_id) for patron_id in sorted(patron_ids)]
        return [record for record in found if record is not None]

    async def find_payer(self, number: str) -> PaymentFacts | None:
        """The holder of card `number` and whom they might pay for; read again when booking."""
        payer = await self.find_by_card(number)
        if payer is None:
            return None
        parties = ledger.other_parties(payer) if payer.payer_for else ()
        return PaymentFacts(payer, tuple(await self.find_patrons(parties) if parties else ()))

    async def _load(
        self, load: Callable[[SqliteConnection, str], PatronRecord | None], key: str
    ) -> PatronRecord | None:
        underway, record = self._cache.begin(), None
        try:
            record = await self._reads.moment(load, key)
        finally:
            self._cache.end(underway, record)
        return record

    async def paid_fees(
        self, patron_id: str, since: datetime, payer_id: str | None = None
    ) -> tuple[PaidFee, ...]:
        """The patron's fees of which something is paid, and how much."""
        rows = await self._reads.rows(*queries.paid_fees(patron_id, time_text(since), payer_id))
        return tuple(map(paid_fee, rows))

    async def pending_fees(self, debtor_id: str) -> Sequence[PendingFee]:
        """What was paid for a patron that the library system was not told yet."""
        if not self._cache_checked:
            await self._check_cache()
        if self._is_anything_pending is None:
            apart = self._reads.apart
            found = await self._reads.rows(exports.ANY_PENDING)
            if not apart:
                self._is_anything_pending = bool(found)
        if self._is_anything_pending is False:
            return ()
        rows = await self._reads.rows(exports.PENDING, (debtor_id,))
        return tuple(map(exports.pending_fee, rows))

    async def fees_settled_by(self, payment_id: str) -> tuple[PaidFee, ...]:
        """What each line of a payment paid, in its order."""
        return tuple(map(paid_fee, await self._reads.rows(queries.FEES_SETTLED_BY, (payment_id,))))

    async def find_membership(self, code: str) -> Membership | None:
        """The definition of a membership as decisions need it, or None."""
        if not self._cache_checked:
            await self._check_cache()
        known = self._memberships.get(code)
        if known is None:
            apart = self._reads.apart
            rows = await self._reads.rows(queries.MEMBERSHIP, (code,))
            known = membership_of(rows[0]) if rows else None
            if known is not None and not apart:
                self._memberships[code] = known
        return known

    async def find_item(self, item_id: str, now: datetime) -> ItemRecord | None:
        """The item with its loan and the first hold that it could serve at `now`, or None."""
        return await self._reads.moment(circulation.load_item, item_id, now)

    async def copy_of_title(self, title_id: str) -> str | None:
        """The id of some copy of the title, one for loan if there is any, or None."""
        rows = await self._reads.rows(queries.COPY_OF_TITLE, (title_id,))
        return str(rows[0][0]) if rows else None

    async def hold_queue(self, record: ItemRecord, now: datetime) -> tuple[str, ...]:
        """The holds that wait for this item or any copy of its title; first come."""
        values = circulation.queue_values(record.item, now)
        return tuple(hold_id for (hold_id,) in await self._reads.rows(queries.HOLD_QUEUE, values))

    async def journalled(self, item_id: str) -> JournalEntry | None:
        """The last that was taken off line about the item and has not gone up yet, or None."""
        rows = await self._reads.rows(journal.ABOUT_ITEM, (item_id,))
        return journal.entry_of(rows[0]) if rows else None

    async def journal_waiting(self) -> Sequence[Waiting]:
        """What was taken off line and has not gone up yet, for each account and message."""
        return [journal.waiting_of(row) for row in await self._reads.rows(journal.WAITING)]

    async def _check_cache(self) -> None:
        """Forget all snapshots when another process has written; once in a turn of the loop.

        A thread may have looked earlier than a request of this turn, which looks again itself.
        """
        apart, known = self._reads.apart, self._version
        ((version, whole),) = await self._reads.rows(queries.STORE_CHANGES)
        if whole > known or self._is_command:
            self._note_version(version, None)
        elif version != known:
            self._note_version(version, await self._reads.rows(queries.CHANGED_PARTS, (known,)))
        if not apart:
            self._cache_checked = True
            asyncio.get_running_loop().call_soon(self.distrust_cache)

    def _trust_cache(self, connection: SqliteConnection) -> None:
        """At the start of a write transaction: drop snapshots that others have made stale."""
        known = self._version
        ((version, whole),) = connection.execute(queries.STORE_CHANGES)
        if whole > known or self._is_command:
            self._note_version(version, None)
        elif version != known:
            parts = connection.execute(queries.CHANGED_PARTS, (known,)).fetchall()
            self._note_version(version, parts)

    def _note_version(self, version: int, parts: Sequence[tuple[int]] | None) -> None:
        """Others have written: only to patrons in `parts`, or, if that is None, to anything."""
        if parts is None:
            self._cache.clear()
            self._memberships.clear()
            self._unguessed.clear()
        else:
            self._cache.evict_parts(part for (part,) in parts)
        self._strangers.clear()
        self._is_anything_pending = None
        self._version = version
        self.on_change()

    def _evict(self, touched: Collection[str]) -> None:
        """Something of these patrons, or about these numbers, has been written."""
        self._cache.evict(touched)
        self._strangers.clear()
        self._unguessed.difference_update(touched)
        self._is_anything_pending = None

    def distrust_cache(self) -> None:
        """Look at the store's version again before the next snapshot is given out."""
        self._cache_checked = False

    # Writes

    def write(self, job: Callable[[SqliteConnection], WriteResult[T]]) -> Awaitable[T]:
        """Run `job` in the writer's next transaction; awaiting gives its result, durable.

        Raises:
            BackendError: nothing was changed.
        """
        self._check_open()
        return self._writer.submit(if_wished(job))

    def _write_if_wanted(self, job: Callable[[SqliteConnection], WriteResult[T]]) -> Awaitable[T]:
        """Like `write`, but it is not begun when nobody waits for it any more."""
        self._check_open()
        return self._writer.submit(if_wished(job), optional=True)

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the store is closed")

    async def record_pin_failure(
        self, patron_id: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """Count a wrong PIN, durably; an expired lock starts a new count (C19, C81).

        This happens even when the terminal has hung up; otherwise guessing would cost nothing.
        """
        return await self.write(
            lambda connection: lockout.record(connection, patron_id, now, failures_max, lock_until)
        )

    async def clear_pin_failures(self, patron_id: str) -> None:
        """Forget the failures of the patron after a right PIN."""
        await self.write(lambda connection: lockout.clear(connection, patron_id))

    async def replace_pin_hash(self, patron_id: str, old: str, new: str) -> None:
        """Put another hash of the same PIN in the place of `old`, if it is still there."""
        await self.write(lambda at: lockout.replace_pin_hash(at, patron_id, old, new))

    async def failed_pins(self, numbers: Sequence[str]) -> Sequence[FailedPins]:
        """The wrong PINs counted by `record_guess`, in the order of `numbers`."""
        if not self._cache_checked:
            await self._check_cache()
        if self._unguessed.issuperset(numbers):
            return [NO_FAILURES] * len(numbers)
        apart = self._reads.apart
        keys = [guesses.key_of(self.pin_secret, number) for number in numbers]
        counted = guesses.in_order(keys, await self._reads.rows(guesses.select(len(keys)), keys))
        if not apart:
            self._note_unguessed(numbers, counted)
        return counted

    def _note_unguessed(self, numbers: Sequence[str], counted: Sequence[FailedPins]) -> None:
        """Remember at which numbers nobody has failed; only if they were read in this turn."""
        if len(self._unguessed) >= RECORDS_CACHED_MAX:
            self._unguessed.clear()
        found = zip(numbers, counted, strict=True)
        self._unguessed.update(number for number, failed in found if failed == NO_FAILURES)

    async def record_guess(
        self, number: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """Count a wrong PIN at a library system, durably (B74), even when nobody waits for it."""
        return await self.write(
            lambda connection: guesses.record(
                connection, self.pin_secret, number, now, failures_max, lock_until
            )
        )

    async def return_guess(self, number: str) -> None:
        """Count one guess less: it was not judged."""
        await self._change_guesses(guesses.RETURN, guesses.key_of(self.pin_secret, number))

    async def clear_guesses(self, number: str) -> None:
        """Forget what `record_guess` has counted."""
        await self._change_guesses(guesses.CLEAR, guesses.key_of(self.pin_secret, number))

    async def join_guesses(self, number: str, other: str) -> None:
        """Note that two numbers at which guesses are counted are one patron's."""
        await self._change_guesses(guesses.JOIN, *guesses.joined(self.pin_secret, number, other))

    async def clear_all_guesses(self, number: str) -> None:
        """Forget what is counted at `number`, and at those joined with it."""
        key = guesses.key_of(self.pin_secret, number)
        await self._change_guesses(guesses.CLEAR_ALL, key, key)

    async def _change_guesses(self, statement: str, *values: str) -> None:
        await self.write(lambda connection: guesses.change(connection, statement, values))

    def book_payment(self, order: PaymentOrder) -> Coroutine[Any, Any, PaymentResult]:
        """Book `order` exactly once, durably before it returns (B46, C98)."""
        return self._orders.run(
            order,
            lambda connection: ledger.book(connection, order, self._account, self._doubts),
            self._reads.ahead(ledger.look_ahead, order),
        )

    async def _done_before(
        self, order: PaymentOrder | CirculationOrder
    ) -> PaymentResult | CirculationResult | None:
        """The result of an earlier order with the same key; None without one."""
        if isinstance(order, PaymentOrder):
            return await self._reads.moment(ledger.done_before, order)
        return await self._reads.moment(circulation.done_before, order, load_patron)

    def circulate(self, order: CirculationOrder) -> Coroutine[Any, Any, CirculationResult]:
        """Do what `order` asks, exactly once under the order's key (B61, C69, C98)."""
        return self._orders.run(
            order,
            lambda connection: circulation.circulate(
                connection, order, partial(self._account, load=load_patron)
            ),
            self._reads.ahead(circulation.look_ahead, order),
        )

    async def would_circulate(self, order: CirculationOrder) -> CirculationResult:
        """What `circulate` would answer now; nothing is written."""
        plan = await self._reads.moment(circulation.planned, order, load_patron)
        return plan.result

    async def has_open_attempt(self, is_meant: Callable[[UnknownAttempt], bool]) -> bool:
        """Whether an attempt that `is_meant` recognises may yet turn out to be done (C98)."""
        return await self._orders.has_open(is_meant)

    def spooled(self) -> Sequence[UnknownAttempt]:
        """Attempts of unknown outcome that are not in the store yet."""
        return read_spool(self._spool_path) if self._doubts is None else self._doubts.all()

    @property
    def spool_problem(self) -> str:
        """Why no attempt could be noted; empty if one could, or if this is a command."""
        doubts = self._doubts
        return "" if doubts is None or doubts.writable else doubts.problem

    async def unknown_attempts(self) -> Sequence[UnknownAttempt]:
        """All attempts that are not settled yet, oldest first; they are only in the spool."""
        if self._doubts is None:
            return await super().unknown_attempts()
        await self._doubts.mend()
        return self._doubts.all()

    async def settle(
        self, attempts: Iterable[UnknownAttempt], now: datetime
    ) -> Sequence[Settlement]:
        """Look what became of `attempts`; committing what was found is the fence (see `writer`)."""
        settled = await super().settle(attempts, now)
        if self._doubts is not None:
            self._doubts.settled(settled)
        return settled

    def _account(
        self, connection: Connection, patron_id: str, load: FindAccount = load_account
    ) -> PatronRecord | None:
        """The patron as the running write transaction sees them (C60).

        Nobody else can write now and `_trust_cache` has found that nobody did, so a snapshot is
        as good as a read unless a job of this very transaction has changed the patron.
        """
        if patron_id not in self._writer.touched:
            record = self._cache.by_id(patron_id)
            if record is not None:
                return record
        return load(connection, patron_id)

    async def set_block(
        self, patron_id: str, block: Block, *, terminal: str = "", card: str = ""
    ) -> None:
        """Add `block`, replacing one of the same type and source."""
        values = block_values(patron_id, block, terminal, card)

        def job(connection: SqliteConnection) -> WriteResult[None]:
            connection.execute(queries.SET_BLOCK, values)
            return WriteResult(None, (patron_id,), is_exact=True)

        await self.write(job)

    async def lift_blocks(self, patron_id: str, sources: frozenset[str]) -> int:
        """Remove the blocks set by `sources`; returns how many (C41)."""

        def job(connection: SqliteConnection) -> WriteResult[int]:
            lifted = sum(
                connection.execute(queries.LIFT_BLOCKS, (patron_id, source)).rowcount
                for source in sorted(sources)
            )
            return WriteResult(lifted, (patron_id,), is_exact=True)

        return await self._write_if_wanted(job)

    def keep_refused_payment(self, refused: RefusedPayment) -> asyncio.Future[None] | None:
        """Keep a 37 that is answered no for staff, at most 1,000 a terminal and day (C104)."""
        return self._refusals.add(refused)

    async def _write_refusals(self, writing: Writing) -> None:
        def job(connection: SqliteConnection) -> WriteResult[None]:
            writing.run(connection)
            return WriteResult(None)

        await self._writer.submit(job)

    async def calendar_changes(self, until: datetime | None = None) -> Sequence[CalendarChange]:
        """The last change of each branch's hours by staff, even one that has ended (C139)."""
        values = calendar.last_changes_values(until)
        return calendar.changes_of(await self._reads.rows(calendar.LAST_CHANGES, values))

    # Logins

    async def known_logins(self) -> Mapping[str, str]:
        """The digests of logins that were good, by login (C100)."""
        return dict(await self._reads.rows(queries.KNOWN_LOGINS))

    async def remember_logins(self, digests: Mapping[str, str]) -> None:
        """Keep these digests, instead of what was kept for the same logins."""

        def job(connection: SqliteConnection) -> WriteResult[None]:
            connection.executemany(queries.REMEMBER_LOGIN, digests.items())
            return WriteResult(None)

        await self.write(job)

    # Doors

    async def enter_branch(self, order: EntryOrder) -> Presence:
        """Note that the patron is inside, if there is room; returns who was inside before."""
        return await self._write_if_wanted(lambda connection: doors.enter(connection, order))

    async def presence(self, order: EntryOrder) -> Presence:
        """Who is inside now."""
        (row,) = await self._reads.rows(queries.PRESENCE, doors.presence_values(order))
        return doors.presence_of(row)

    async def leave_branch(self, branch: str, patron_id: str) -> None:
        """The patron has gone out."""
        await self.write(_executing(queries.LEAVE, (branch, patron_id)))

    async def take_back(self, order: EntryOrder) -> None:
        """The stay that began with `order`, if it did, is none: nobody was let in."""
        # Written behind the order, which may be under way still.
        values = (order.branch, order.passage, time_text(order.now))
        await self.write(_executing(queries.TAKE_BACK, values))

    async def move_stays(self, branch: str, since: datetime, ends: datetime) -> None:
        """All stays at `branch` that had not ended at `since` end by themselves at `ends`."""
        values = (time_text(ends), branch, time_text(since))
        await self.write(_executing(queries.MOVE_STAYS, values))

    async def leave_by_passage(self, branch: str, passage: str) -> None:
        """Whoever came in by that passage has gone out."""
        await self.write(_executing(queries.LEAVE_BY_PASSAGE, (branch, passage)))

    def log_access(self, row: AccessRow) -> None:
        """Queue a door decision; written with the next commit or after 0.25 s (C65)."""
        self._access_log.add(row)
        if row.patron_id is not None and row.decision == "granted" and row.mode != OBSERVED:
            self._activity.note(row.patron_id, row.time)
        if self._flush is None and not self._closed:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_AFTER_S, self._flush_log)

    def note_activity(self, patron_id: str, now: datetime) -> None:
        """Note the day on which the patron was active; written a second later (C161)."""
        self._activity.note(patron_id, now)

    async def _write_activity(self, rows: Sequence[activity.Row]) -> None:
        def job(connection: SqliteConnection) -> WriteResult[None]:
            connection.executemany(activity.PUT, rows)
            return WriteResult(None)

        await self._writer.submit(job)

    def _flush_log(self) -> None:
        self._flush = None
        if self._access_log:
            self._writer.nudge()

    # Listings and imports, each on a connection of its own

    @contextmanager
    def snapshot(self) -> Iterator[SqliteConnection]:
        """A read-only connection that sees one moment of the store.

        Raises:
            UnavailableError: the store cannot be read.
        """
        self._place.insist()
        try:
            with self._looking.lent() as connection:
                connection.execute("BEGIN")
                yield connection
        except sqlite3.Error as error:
            raise UnavailableError(f"the store cannot be read: {error}") from None

    @contextmanager
    def own_connection(self) -> Iterator[SqliteConnection]:
        """A connection of its own; what it has not committed is undone.

        Raises:
            UnavailableError: the store failed.
        """
        begin()
        self._place.insist()
        try:
            with closing(connect(self._place.address)) as connection:
                expect_bulk(connection)
                yield connection
                self._place.insist()
        except sqlite3.Error as error:
            raise UnavailableError(f"the store failed: {error}") from None

    @contextmanager
    def warm_connection(self) -> Iterator[SqliteConnection]:
        """One that may have been used before, see `sip2gw.backend.database.Database`."""
        self._place.insist()
        try:
            with self._beside.lent() as connection:
                yield connection
                self._place.insist()
        except sqlite3.Error as error:
            raise UnavailableError(f"the store failed: {error}") from None

    # Life

    async def look(self) -> None:
        """Look whether the file is still where it was opened; nothing is read or written.

        Raises:
            UnavailableError: it is not.
        """
        await asyncio.to_thread(self._place.insist)

    def warm(self) -> int:
        """Load what doors need into memory; blocks, so use a thread. Returns the number of rows."""
        with self.snapshot() as connection:
            return warm(connection)

    async def disk_free_bytes(self) -> int | None:
        """What the store's file system still takes from us."""
        return await asyncio.to_thread(self._place.free_bytes)

    async def ping(self) -> None:
        """Prove that reads and writes are possible.

        Raises:
            BackendError: they are not.
        """
        await self.look()
        if self._doubts is not None:
            await self._doubts.mend()
        await self._reads.rows(queries.STORE_VERSION)
        await self._write_if_wanted(lambda _: WriteResult(None))

    async def close(self) -> None:
        """Write what is queued and let go of everything; a second call does nothing."""
        if self._closed:
            return
        self._closed = self._orders.closed = True
        if self._flush is not None:
            self._flush.cancel()
        await self._refusals.close()
        await self._activity.close()
        await self._writer.stop()
        if self._doubts is not None:
            await self._doubts.close()
        await self._reads.close()
        self._looking.close()
        self._beside.close()
        if self._lock is not None:
            os.close(self._lock)


def _executing(
    statement: str, values: Sequence[Any]
) -> Callable[[SqliteConnection], WriteResult[None]]:
    """A job of one statement, after which no snapshot is stale."""

    def job(connection: SqliteConnection) -> WriteResult[None]:
        connection.execute(statement, values)
        return WriteResult(None)

    return job


def open_sqlite(
    path: Path,
    *,
    role: Role,
    access: Access,
    currency: str,
    pin_secret_file: Path | None = None,
    records_max: int = RECORDS_CACHED_MAX,
) -> Store:
    """Open the SQLite file `path`.

    Args:
        path: the database; its directory must exist.
        role: a store has one `daemon` at most; `command`s may work next to it.
        access: only `make` makes a missing file and its PIN secret.
        currency: the institution's; a store keeps amounts in one currency only.
        pin_secret_file: default `<path>.pin-secret`.
        records_max: patron snapshots kept in memory.

    Raises:
        BackendError: the store cannot be opened; the text says why.
    """
    with _telling(path), ExitStack() as held:
        if access != "make" or path.exists():
            _look(ReadingPlace(path), access)
        place = ReadingPlace(path) if access == "read" else Place(path, make=access == "make")
        lock = place.lock() if role == "daemon" else None
        if lock is not None:
            held.callback(os.close, lock)
        with closing(connect(place.address)) as connection:
            is_new = access in ("write", "make") and migrate(connection)
            secret_file = pin_secret_file or place.beside(".pin-secret")
            secret = pin_secret_in_file(connection, secret_file, make=access == "make")
            insist_on_currency(connection, currency)
        store = Store(place, secret, role=role, lock=lock, records_max=records_max)
        store.is_new = is_new
        held.pop_all()
        return store


def rehearse_sqlite(
    path: Path, *, access: Access, currency: str, pin_secret_file: Path | None = None
) -> None:
    """Look whether `open_sqlite` would open a daemon's store, but for its lock; changes nothing.

    Raises:
        BackendError: it would not; the text says why.
    """
    if access == "make" and not path.exists():
        return
    with _telling(path):
        place = ReadingPlace(path)
        with closing(connect(place.address)) as connection:
            insist_on_standing(connection, str(path), access)
            if access != "make" and schema_number(connection) == SCHEMA_NUMBER:
                secret_file = pin_secret_file or place.beside(".pin-secret")
                pin_secret_in_file(connection, secret_file, make=False)
                insist_on_currency(connection, currency)


def _look(place: ReadingPlace, access: Access) -> None:
    """Refuse a file that is not for us before anything is written there or beside it."""
    with closing(connect(place.address)) as connection:
        insist_on_standing(connection, str(place.path), access)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Make failures of SQLite and of the system name the store."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        if is_busy(error):
            raise UnavailableError(
                f"{path} is locked by another program: wait until that has ended, or end it, and"
                f" try again (`fuser {path}` shows who has it open)"
            ) from None
        to_do = "; correct store.url" if error.sqlite_errorname == "SQLITE_NOTADB" else ""
        raise UnavailableError(f"{path}: {error}{to_do}") from None
