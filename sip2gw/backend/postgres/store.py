"""The library's data in PostgreSQL, shared by any number of gateways (C62, C72, B69).

Nothing that others may change is kept in memory: every read is one statement that sees what is
committed. A daemon's connections belong to its event loop. A command's belong to a loop of the
store itself, because a command may run several loops one after the other.
"""

from __future__ import annotations

import asyncio
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
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from sip2gw.backend.attempts import Settlement, UnknownAttempt, UnknownPayment
from sip2gw.backend.base import (
    Access,
    BackendError,
    Capability,
    CirculationOrder,
    CirculationResult,
    EntryOrder,
    OutcomeUnknownError,
    PaymentOrder,
    PaymentResult,
    Role,
    UnavailableError,
)
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.doubts import Doubts, insist_on_notable
from sip2gw.backend.idle import KEPT_OPEN, Idle
from sip2gw.backend.ids import new_id
from sip2gw.backend.library import Library
from sip2gw.backend.postgres.address import Address
from sip2gw.backend.postgres.beside import write_beside
from sip2gw.backend.postgres.booking import Booking
from sip2gw.backend.postgres.circulation import Circulating, find_item, foreseen
from sip2gw.backend.postgres.database import (
    HOLD_PROBE,
    LEAVE_PROBE,
    LOCK_REFUSALS,
    TRY_PROBE,
    numbered,
)
from sip2gw.backend.postgres.door_log import DoorLog
from sip2gw.backend.postgres.failures import FAILURES, as_backend_error
from sip2gw.backend.postgres.patrons import (
    HERE_BY_CARD,
    PAYER_BY_CARD,
    RECORD_BY_CARD,
    RECORD_BY_ID,
    RECORDS_BY_ID,
    here_of,
    is_storable,
    payer_of,
    record_of,
)
from sip2gw.backend.postgres.pool import CONNECTIONS_MAX, READS_MAX, Pool
from sip2gw.backend.postgres.session import LoopThread, Session, SnapshotSession
from sip2gw.backend.postgres.settling import InDoubt
from sip2gw.backend.spool import Spool, read_spools
from sip2gw.backend.sql import journal, queries
from sip2gw.backend.sql.circulation import queue_values
from sip2gw.backend.sql.identity import insist_on_currency, pin_secret_in_file, pin_secret_in_store
from sip2gw.backend.sql.members import activity, guesses, lockout
from sip2gw.backend.sql.members.blocks import block_values
from sip2gw.backend.sql.migrate import migrate, schema_number
from sip2gw.backend.sql.money import exports
from sip2gw.backend.sql.money.ledger import refused
from sip2gw.backend.sql.money.refusals import Refusals, Writing
from sip2gw.backend.sql.queries import BUMP_VERSION
from sip2gw.backend.sql.records import membership_of, paid_fee
from sip2gw.backend.sql.schema import SCHEMA_NUMBER
from sip2gw.backend.sql.standing import insist_on_standing
from sip2gw.backend.sql.values import time_text
from sip2gw.backend.staff import calendar, doors
from sip2gw.backend.wish import begin, if_wished
from sip2gw.model import (
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
from sip2gw.policy.reasons import PaymentRefusalReason

TIMEOUT_S = 4.0
"""How long one operation may take; shorter than the gateway's own deadline for a request."""

_RECORD_PIN_FAILURE = numbered(queries.RECORD_PIN_FAILURE)
_CLEAR_PIN_FAILURES = numbered(queries.CLEAR_PIN_FAILURES)
_REPLACE_PIN_HASH = numbered(queries.REPLACE_PIN_HASH)
_GUESSES = f"{guesses.SELECT} = ANY ($1)"
_RECORD_GUESS = numbered(guesses.RECORD)
_RETURN_GUESS = numbered(guesses.RETURN)
_CLEAR_GUESSES = numbered(guesses.CLEAR)
_JOIN_GUESSES = numbered(guesses.JOIN)
_CLEAR_ALL_GUESSES = numbered(guesses.CLEAR_ALL)
_MEMBERSHIP = numbered(queries.MEMBERSHIP)
_SET_BLOCK = numbered(queries.SET_BLOCK)
_PRESENCE = numbered(queries.PRESENCE)
_LAST_CHANGES = numbered(calendar.LAST_CHANGES)
_HOLD_QUEUE = numbered(queries.HOLD_QUEUE)
_COPY_OF_TITLE = numbered(queries.COPY_OF_TITLE)
_JOURNALLED = numbered(journal.ABOUT_ITEM)
_ENTER = "SELECT * FROM enter_branch($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_FEES_SETTLED_BY = numbered(queries.FEES_SETTLED_BY)
_PENDING = numbered(exports.PENDING)
_TAKE_BACK = numbered(queries.TAKE_BACK)
_MOVE_STAYS = numbered(queries.MOVE_STAYS)
_LEAVE = numbered(queries.LEAVE)
_LEAVE_BY_PASSAGE = numbered(queries.LEAVE_BY_PASSAGE)
_LIFT_BLOCKS = numbered(f"{queries.LIFT_BLOCKS} RETURNING 1")
_REMEMBER_LOGINS = queries.REMEMBER_LOGIN.replace(
    "VALUES (?, ?)", "SELECT * FROM unnest($1::text[], $2::text[])"
)
_NOTE_ACTIVITY = numbered(activity.PUT)
_TAKES_WRITES = "SELECT current_setting('transaction_read_only') = 'off'"

T = TypeVar("T")
S = TypeVar("S", bound=Session)


class PostgresStore(Library):
    """One open PostgreSQL store; implements `sip2gw.backend.library.Library`."""

    capabilities = frozenset(Capability)

    def __init__(
        self,
        address: Address,
        pin_secret: bytes,
        *,
        role: Role,
        spool_file: Path | None = None,
        spools_left: Sequence[Path] = (),
        timeout_s: float = TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.pin_secret = pin_secret
        """Keys the PIN hashes; never to be shown."""
        self._address = address
        self._timeout_s = timeout_s
        self._pool = Pool(address, statement_timeout_s=timeout_s, connections_max=connections_max)
        self._reads = Pool(address, statement_timeout_s=timeout_s, connections_max=READS_MAX)
        """For what waits for nobody's booking: however many payments wait, doors do not."""
        self._spool_file = spool_file
        self._is_daemon = role == "daemon"
        self._doubts: Doubts | None = None
        if self._is_daemon:
            if spool_file is None:
                raise UnavailableError("a gateway on PostgreSQL needs a spool file")
            self._doubts = Doubts(Spool(spool_file), spools_left)
            self._doubts.open()
        self._in_doubt = InDoubt(self._pool, self._doubts)
        self._door_log = DoorLog(self._pool)
        self._refusals = Refusals(self._write_refusals)
        self.claimant = new_id()
        self._activity = activity.Activity(self._write_activity)
        self._own_loop = LoopThread() if role == "command" else None
        kept_open = KEPT_OPEN if role == "command" else 0
        self._looking = _idle(address, SnapshotSession, kept_open)
        self._beside = _idle(address, Session, kept_open)
        self._closed = False

    # Reads

    async def find_by_card(self, number: str) -> PatronRecord | None:
        """The holder of card `number` (any state, a replaced one too), or None."""
        return await self._record(RECORD_BY_CARD, number)

    async def find_here(self, number: str) -> CardHere:
        """What our store says of card `number` in front of a library system."""
        rows = await self._read(HERE_BY_CARD, number) if is_storable(number) else []
        return here_of(rows[0]) if rows else CardHere()

    async def find_patron(self, patron_id: str) -> PatronRecord | None:
        """The patron whose main card is `patron_id`, or None."""
        return await self._record(RECORD_BY_ID, patron_id)

    async def paid_fees(
        self, patron_id: str, since: datetime, payer_id: str | None = None
    ) -> tuple[PaidFee, ...]:
        """The patron's fees of which something is paid, and how much."""
        statement, values = queries.paid_fees(patron_id, time_text(since), payer_id)
        return await self._paid_fees(numbered(statement), *values)

    async def fees_settled_by(self, payment_id: str) -> tuple[PaidFee, ...]:
        """What each line of a payment paid, in its order."""
        return await self._paid_fees(_FEES_SETTLED_BY, payment_id)

    async def pending_fees(self, debtor_id: str) -> Sequence[PendingFee]:
        """What was paid for a patron that the library system was not told yet."""
        rows = await self._read(_PENDING, debtor_id) if is_storable(debtor_id) else []
        return tuple(map(exports.pending_fee, rows))

    async def _paid_fees(self, statement: str, *values: str) -> tuple[PaidFee, ...]:
        return tuple(paid_fee(tuple(row)) for row in await self._read(statement, *values))

    async def find_patrons(self, patron_ids: Collection[str]) -> list[PatronRecord]:
        """The patrons with these ids, by id; unknown ones are left out."""
        wanted = sorted(filter(is_storable, patron_ids))
        if not wanted:
            return []
        records = map(record_of, await self._read(RECORDS_BY_ID, wanted))
        return sorted((record for record in records if record), key=lambda record: record.id)

    async def find_payer(self, number: str) -> PaymentFacts | None:
        """The holder of card `number` and whom they might pay for, as of one moment."""
        rows = await self._read(PAYER_BY_CARD, number) if is_storable(number) else []
        return payer_of(rows[0]) if rows else None

    async def _record(self, statement: str, key: str) -> PatronRecord | None:
        rows = await self._read(statement, key) if is_storable(key) else []
        return record_of(rows[0]) if rows else None

    async def _read(self, statement: str, *values: Any) -> list[Any]:
        return await self._at_home(self._reads.fetch(statement, *values))

    async def _fetch(self, statement: str, *values: Any) -> list[Any]:
        begin()
        return await self._at_home(self._pool.fetch(statement, *values))

    async def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop that the connections belong to."""
        return await (self._own_loop.hand_over(work) if self._own_loop else work)

    # Writes of the gateway, one statement each

    async def record_pin_failure(
        self, patron_id: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """Count a wrong PIN, durably; an expired lock starts a new count (C19, C81).

        If a connection is lost, counting twice is better than not counting.
        """
        if not is_storable(patron_id):
            return None
        values = lockout.failure_values(patron_id, now, failures_max, lock_until)
        rows = await self._fetch(_RECORD_PIN_FAILURE, *values)
        return int(rows[0][0]) if rows else None

    async def clear_pin_failures(self, patron_id: str) -> None:
        """Forget the failures of the patron after a right PIN."""
        if is_storable(patron_id):
            await self._fetch(_CLEAR_PIN_FAILURES, patron_id)

    async def replace_pin_hash(self, patron_id: str, old: str, new: str) -> None:
        """Put another hash of the same PIN in the place of `old`, if it is still there."""
        await self._fetch(_REPLACE_PIN_HASH, new, patron_id, old)

    async def failed_pins(self, numbers: Sequence[str]) -> Sequence[FailedPins]:
        """The wrong PINs counted by `record_guess`, in the order of `numbers`."""
        keys = [guesses.key_of(self.pin_secret, number) for number in numbers]
        return guesses.in_order(keys, await self._read(_GUESSES, keys))

    async def record_guess(
        self, number: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """Count a wrong PIN at a library system, durably (B74).

        If a connection is lost, counting twice is better than not counting.
        """
        key = guesses.key_of(self.pin_secret, number)
        values = guesses.values(key, now, failures_max, lock_until)
        rows = await self._fetch(_RECORD_GUESS, *values)
        return int(rows[0][0]) if rows else None

    async def return_guess(self, number: str) -> None:
        """Count one guess less: it was not judged."""
        await self._fetch(_RETURN_GUESS, guesses.key_of(self.pin_secret, number))

    async def clear_guesses(self, number: str) -> None:
        """Forget what `record_guess` has counted."""
        await self._fetch(_CLEAR_GUESSES, guesses.key_of(self.pin_secret, number))

    async def join_guesses(self, number: str, other: str) -> None:
        """Note that two numbers at which guesses are counted are one patron's."""
        await self._fetch(_JOIN_GUESSES, *guesses.joined(self.pin_secret, number, other))

    async def clear_all_guesses(self, number: str) -> None:
        """Forget what is counted at `number`, and at those joined with it."""
        key = guesses.key_of(self.pin_secret, number)
        await self._fetch(_CLEAR_ALL_GUESSES, key, key)

    async def book_payment(self, order: PaymentOrder) -> PaymentResult:
        """Book `order` exactly once, durably before it returns (B46)."""
        return await self._at_home(self._book(order))

    async def _book(self, order: PaymentOrder) -> PaymentResult:
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        known = await self._in_doubt.clear(order)
        if isinstance(known, UnknownPayment) and known.content != order.content:
            return refused(PaymentRefusalReason.BK_REUSED)
        _insist_on_certainty(known)
        result = await Booking(self._pool, self._in_doubt, order, self._doubts).run(deadline)
        return insist_on_notable(self._doubts, result)

    async def find_membership(self, code: str) -> Membership | None:
        """The definition of a membership as decisions need it, or None."""
        rows = await self._read(_MEMBERSHIP, code) if is_storable(code) else []
        return membership_of(tuple(rows[0])) if rows else None

    async def find_item(self, item_id: str, now: datetime) -> ItemRecord | None:
        """The item with its loan and the first hold that it could serve at `now`, or None."""
        return await self._at_home(find_item(self._reads, item_id, now))

    async def copy_of_title(self, title_id: str) -> str | None:
        """The id of some copy of the title, one for loan if there is any, or None."""
        rows = await self._read(_COPY_OF_TITLE, title_id) if is_storable(title_id) else []
        return str(rows[0][0]) if rows else None

    async def hold_queue(self, record: ItemRecord, now: datetime) -> tuple[str, ...]:
        """The holds that wait for this item or any copy of its title; first come."""
        rows = await self._read(_HOLD_QUEUE, *queue_values(record.item, now))
        return tuple(row[0] for row in rows)

    async def would_circulate(self, order: CirculationOrder) -> CirculationResult:
        """What `circulate` would answer now; nothing is written."""
        return await self._at_home(foreseen(self._reads, order))

    async def journalled(self, item_id: str) -> JournalEntry | None:
        """The last that was taken off line about the item and has not gone up yet, or None."""
        rows = await self._read(_JOURNALLED, item_id) if is_storable(item_id) else []
        return journal.entry_of(tuple(rows[0])) if rows else None

    async def journal_waiting(self) -> Sequence[Waiting]:
        """What was taken off line and has not gone up yet, for each account and message."""
        return [journal.waiting_of(tuple(row)) for row in await self._read(journal.WAITING)]

    async def circulate(self, order: CirculationOrder) -> CirculationResult:
        """Do what `order` asks, exactly once under the order's key (B61, C69)."""
        return await self._at_home(self._circulate(order))

    async def _circulate(self, order: CirculationOrder) -> CirculationResult:
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        _insist_on_certainty(await self._in_doubt.clear(order))
        return await Circulating(self._pool, self._in_doubt, order).run(deadline)

    async def set_block(
        self, patron_id: str, block: Block, *, terminal: str = "", card: str = ""
    ) -> None:
        """Add `block`, replacing one of the same type and source."""
        await self._fetch(_SET_BLOCK, *block_values(patron_id, block, terminal, card))

    async def lift_blocks(self, patron_id: str, sources: frozenset[str]) -> int:
        """Remove the blocks set by `sources`; returns how many (C41)."""
        lifted = [await self._fetch(_LIFT_BLOCKS, patron_id, name) for name in sorted(sources)]
        return sum(map(len, lifted))

    async def calendar_changes(self, until: datetime | None = None) -> Sequence[CalendarChange]:
        """The last change of each branch's hours by staff, even one that has ended (C139)."""
        rows = await self._read(_LAST_CHANGES, *calendar.last_changes_values(until))
        return calendar.changes_of(map(tuple, rows))

    # Logins

    async def known_logins(self) -> Mapping[str, str]:
        """The digests of logins that were good, by login (C100)."""
        return dict(map(tuple, await self._read(queries.KNOWN_LOGINS)))

    async def remember_logins(self, digests: Mapping[str, str]) -> None:
        """Keep these digests, instead of what was kept for the same logins."""
        await self._fetch(_REMEMBER_LOGINS, list(digests), list(digests.values()))

    # Doors: on the connections of reads, because an entry waits only for other entries

    async def enter_branch(self, order: EntryOrder) -> Presence:
        """Note that the patron is inside, if there is room; returns who was inside before."""
        rows = await self._read(
            _ENTER,
            order.branch,
            order.passage,
            order.patron_id,
            time_text(order.now),
            time_text(order.stay_ends),
            time_text(order.same_since),
            time_text(order.same_until),
            order.capacity,
            order.refuse_inside,
        )
        return doors.presence_of(tuple(rows[0]))

    async def presence(self, order: EntryOrder) -> Presence:
        """Who is inside now."""
        rows = await self._read(_PRESENCE, *doors.presence_values(order))
        return doors.presence_of(tuple(rows[0]))

    async def leave_branch(self, branch: str, patron_id: str) -> None:
        """The patron has gone out."""
        await self._read(_LEAVE, branch, patron_id)

    async def take_back(self, order: EntryOrder) -> None:
        """The stay that began with `order`, if it did, is none: nobody was let in."""
        await self._read(_TAKE_BACK, order.branch, order.passage, time_text(order.now))

    async def move_stays(self, branch: str, since: datetime, ends: datetime) -> None:
        """All stays at `branch` that had not ended at `since` end by themselves at `ends`."""
        await self._read(_MOVE_STAYS, time_text(ends), branch, time_text(since))

    async def leave_by_passage(self, branch: str, passage: str) -> None:
        """Whoever came in by that passage has gone out."""
        await self._read(_LEAVE_BY_PASSAGE, branch, passage)

    def log_access(self, row: AccessRow) -> None:
        """Queue a door decision; written within one second, never waited for (C65)."""
        if self._own_loop:
            self._own_loop.loop.call_soon_threadsafe(self._door_log.add, row)
        else:
            self._door_log.add(row)
        if row.patron_id is not None and row.decision == "granted" and row.mode != OBSERVED:
            self.note_activity(row.patron_id, row.time)

    def note_activity(self, patron_id: str, now: datetime) -> None:
        """Note the day on which the patron was active; written a second later (C161)."""
        if self._own_loop:
            self._own_loop.loop.call_soon_threadsafe(self._activity.note, patron_id, now)
        else:
            self._activity.note(patron_id, now)

    async def _write_activity(self, rows: Sequence[activity.Row]) -> None:
        try:
            async with self._pool.connection() as connection:
                await connection.executemany(_NOTE_ACTIVITY, rows)
        except FAILURES as error:
            raise as_backend_error(error) from None

    def keep_refused_payment(self, refused: RefusedPayment) -> asyncio.Future[None] | None:
        """Keep a 37 that is answered no for staff, at most 1,000 a terminal and day (C104).

        A command has nothing to wait for: it writes when it closes.
        """
        if self._own_loop:
            self._own_loop.loop.call_soon_threadsafe(self._refusals.add, refused)
            return None
        return self._refusals.add(refused)

    async def _write_refusals(self, writing: Writing) -> None:
        try:
            async with self._pool.connection() as connection, connection.transaction():
                # Otherwise two gateways might each keep the last one of a terminal's day.
                await connection.execute(LOCK_REFUSALS)
                for statement, rows in writing.statements():
                    await connection.executemany(numbered(statement), rows)
        except FAILURES as error:
            raise as_backend_error(error) from None

    # Attempts of unknown outcome

    async def has_open_attempt(self, is_meant: Callable[[UnknownAttempt], bool]) -> bool:
        """Whether an attempt that `is_meant` recognises may yet turn out to be done (C98)."""
        return await self._in_doubt.has_open(is_meant)

    def spooled(self) -> Sequence[UnknownAttempt]:
        """Attempts of unknown outcome that are not in the store yet."""
        if self._is_daemon or self._spool_file is None:
            return self._in_doubt.all()
        return read_spools(self._spool_file)

    @property
    def spool_problem(self) -> str:
        """Why no attempt could be noted; empty if one could, or if this is a command."""
        doubts = self._doubts
        return "" if doubts is None or doubts.writable else doubts.problem

    async def unknown_attempts(self) -> Sequence[UnknownAttempt]:
        """All attempts that are not settled yet, oldest first; they are only in the spool.

        Writing them to the database would settle them (`fence`), so it never has any.
        """
        if not self._is_daemon:
            return await super().unknown_attempts()
        await self._in_doubt.mend()
        return self._in_doubt.all()

    async def settle(
        self, attempts: Iterable[UnknownAttempt], now: datetime
    ) -> Sequence[Settlement]:
        """Look what became of `attempts`, fence those that were not done, note the result."""
        return await self._at_home(self._in_doubt.settle(attempts, now))

    # Staff, imports and listings, each on a connection of its own

    def write(self, job: Callable[[Connection], WriteResult[T]]) -> Awaitable[T]:
        """Run `job` in a write transaction that keeps payments from being booked meanwhile.

        Raises:
            BackendError: nothing was changed.
        """
        return asyncio.to_thread(self._write, if_wished(job))

    def _write(self, job: Callable[[Connection], WriteResult[T]]) -> T:
        with self.warm_connection() as connection:
            for statement in connection.dialect.begin_write:
                connection.execute(statement)
            done = job(connection)
            connection.execute(BUMP_VERSION)
            connection.execute("COMMIT")
        return done.result

    async def write_beside(self, job: Callable[[Connection], WriteResult[T]]) -> T:
        """Run `job` in a write transaction on a warm connection, while payments are booked.

        Raises:
            BackendError: nothing was changed, unless the connection was lost at its very end.
        """
        return await self._at_home(write_beside(self._pool, if_wished(job)))

    @contextmanager
    def own_connection(self) -> Iterator[Session]:
        """A connection of its own; what it has not committed is undone.

        Raises:
            BackendError: the store failed.
        """
        begin()
        self._insist_on_open()
        with session_at(self._address, Session) as session:
            yield session

    @contextmanager
    def warm_connection(self) -> Iterator[Session]:
        """One that may have been used before, see `sip2gw.backend.database.Database`."""
        self._insist_on_open()
        with self._beside.lent() as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[SnapshotSession]:
        """A read-only connection that sees one moment of the store."""
        self._insist_on_open()
        with self._looking.lent() as session:
            session.begin()
            yield session

    def _insist_on_open(self) -> None:
        if self._closed:
            raise UnavailableError("the store is closed")

    def distrust_cache(self) -> None:
        """Nothing to do: there is no cache."""

    # Life

    def warm(self) -> int:
        """Nothing to do: the server keeps its own memory."""
        return 0

    async def look(self) -> None:
        """Nothing to look at: the next request notices that a database is gone."""

    async def disk_free_bytes(self) -> int | None:
        """Unknown here: the database has its own disk, and the spool needs no more space."""
        return None

    async def ping(self) -> None:
        """Prove that reads and writes are possible.

        Raises:
            BackendError: they are not.
        """
        rows = await self._read(_TAKES_WRITES)
        if not rows[0][0]:
            raise UnavailableError("the database takes no writes")

    async def close(self) -> None:
        """Write what is queued and let go of everything; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for idle in (self._looking, self._beside):
            await asyncio.to_thread(idle.close)
        await self._at_home(self._shut())
        if self._own_loop:
            self._own_loop.close()

    async def _shut(self) -> None:
        await self._refusals.close()
        await self._activity.close()
        await self._in_doubt.close()
        await self._door_log.close()
        await self._pool.close()
        await self._reads.close()


def _insist_on_certainty(known: UnknownAttempt | None) -> None:
    """`known` is an earlier attempt that an order repeats, and that could not be settled.

    Raises:
        OutcomeUnknownError: there is one.
    """
    if known is not None:
        raise OutcomeUnknownError("it is still unknown what became of the first request")


def _session(address: Address, kind: type[S]) -> S:
    """A blocking connection with a thread of its own.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    home = LoopThread()
    try:
        return kind(home, home.call(address.connect(statement_timeout_s=None)))
    except BaseException:
        home.close()
        raise


def session_at(address: Address, kind: type[S]) -> AbstractContextManager[S]:
    """The same for one use.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    return closing(_session(address, kind))


def _idle(address: Address, kind: type[S], kept_max: int) -> Idle[S]:
    """The same for any number of uses."""
    return Idle(partial(_session, address, kind), kept_max, BackendError, kind.is_alive)


def open_postgres(
    url: str,
    *,
    password: str | None,
    role: Role,
    access: Access,
    currency: str,
    pin_secret_file: Path | None = None,
    spool_file: Path | None = None,
    spools_left: Sequence[Path] = (),
    timeout_s: float = TIMEOUT_S,
    connections_max: int = CONNECTIONS_MAX,
) -> PostgresStore:
    """Open the database `url`. Blocks.

    Args:
        url: `postgresql://user@host[,host…]/database`, without a password.
        password: the user's, if the server asks for one.
        role: any number of `daemon`s and `command`s may work on one database.
        access: only `make` makes the tables and the PIN secret of a new store.
        currency: the institution's; a store keeps amounts in one currency only.
        pin_secret_file: the same on all hosts; default: the database keeps the secret (C18).
        spool_file: of this process alone; keeps attempts of unknown outcome while the database
            cannot be asked (C98). A command only reads it, and those of the workers beside it.
        spools_left: of workers that there are no longer; what is in them is settled here.
        timeout_s: how long one operation may take; shorter than `server.request_timeout_s`.
        connections_max: of this process, beside the `READS_MAX` for reading and for doors.

    Raises:
        BackendError: the store cannot be opened; the text says why.
    """
    address = Address(url, password, read_only=access == "read")
    if access == "note":
        with session_at(replace(address, read_only=True), Session) as looking:
            insist_on_standing(looking, _WHERE, access)  # waits for no lock
    with session_at(address, Session) as session:
        session.insist_on_server()
        insist_on_standing(session, _WHERE, access)
        if access not in ("read", "note"):
            with session_at(address, Session) as other:
                _insist_on_locks(session, other)
        is_new = access in ("write", "make") and migrate(session)
        if pin_secret_file is None:
            secret = pin_secret_in_store(session, make=access == "make")
        else:
            secret = pin_secret_in_file(session, pin_secret_file, make=access == "make")
        insist_on_currency(session, currency)
    store = PostgresStore(
        address,
        secret,
        role=role,
        spool_file=spool_file,
        spools_left=spools_left,
        timeout_s=timeout_s,
        connections_max=connections_max,
    )
    store.is_new = is_new
    return store


def is_older(address: Address, access: Access) -> bool:
    """Whether the database has to be brought up to date when it is opened. Blocks.

    Raises:
        BackendError: it cannot be opened; the text says why.
    """
    with session_at(address, Session) as session:
        session.insist_on_server()
        insist_on_standing(session, _WHERE, access)
        return 0 < schema_number(session) < SCHEMA_NUMBER


_WHERE = "the database of store.url"


def _insist_on_locks(session: Session, other: Session) -> None:
    """Refuse a database that only pretends to have advisory locks: imports rely on them.

    Raises:
        BackendError: two sessions can hold the same lock.
    """
    session.execute(HOLD_PROBE)
    (held_twice,) = other.execute(TRY_PROBE).fetchone() or (True,)
    session.execute(LEAVE_PROBE)
    if held_twice:
        raise BackendError("the database's advisory locks have no effect; the store needs them")
