"""A whole store: the port of the gateway, and what staff and the gateway's chores do in it.

What staff do is SQL that both databases understand: functions that get a `Connection`, in
`backend.staff` and `backend.sql`. `Library` lists them as its methods, each with the kind of
connection that it runs on. Their documentation, parameters and results are the functions' own.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sip2gw.backend.attempts import (
    Reconciliation,
    Settlement,
    UnknownAttempt,
    UnknownPayment,
)
from sip2gw.backend.base import Backend, BackendError, RefusedError
from sip2gw.backend.database import (
    Connection,
    Database,
    WriteResult,
    telling,
)
from sip2gw.backend.sendings import Sendings
from sip2gw.backend.shares import SharedPayments
from sip2gw.backend.sql import circulation, door_log, journal, queries
from sip2gw.backend.sql.desk import followup, support, watch
from sip2gw.backend.sql.desk import reviews as review_desk
from sip2gw.backend.sql.members import (
    answers,
    guesses,
    lockout,
    outbox,
)
from sip2gw.backend.sql.money import (
    exports,
    ledger,
    refusals,
    shares,
    surplus,
    unknown,
)
from sip2gw.backend.sql.values import time_value
from sip2gw.backend.staff import calendar
from sip2gw.backend.staff import doors as door_desk
from sip2gw.backend.touched import noted_touched
from sip2gw.backend.wish import begin
from sip2gw.foundation.later import Later, loaded
from sip2gw.model import Payment
from sip2gw.model.journal import Waiting
from sip2gw.model.support import Cause
from sip2gw.policy.desk.support import OpeningDays

if TYPE_CHECKING:
    from sip2gw.backend.sql.members import maintenance, memberships
    from sip2gw.backend.staff import answered, audit, finding, support_tables
    from sip2gw.backend.staff import badges as badge_desk
    from sip2gw.backend.staff import memberships as membership_desk
    from sip2gw.backend.staff import merging as merging_desk
    from sip2gw.backend.staff import people as people_desk
    from sip2gw.backend.staff import privacy as privacy_desk
    from sip2gw.backend.staff import relationships as relationship_desk
    from sip2gw.backend.staff import support as support_desk
    from sip2gw.backend.staff import tokens as token_desk
else:
    # Staff ask for these by commands, and a gateway at most once a day, in a thread. It would
    # start more slowly, and keep five megabytes more, if it imported them.
    maintenance = Later("sip2gw.backend.sql.members.maintenance")
    memberships = Later("sip2gw.backend.sql.members.memberships")
    answered = Later("sip2gw.backend.staff.answered")
    audit = Later("sip2gw.backend.staff.audit")
    badge_desk = Later("sip2gw.backend.staff.badges")
    finding = Later("sip2gw.backend.staff.finding")
    support_tables = Later("sip2gw.backend.staff.support_tables")
    membership_desk = Later("sip2gw.backend.staff.memberships")
    merging_desk = Later("sip2gw.backend.staff.merging")
    people_desk = Later("sip2gw.backend.staff.people")
    privacy_desk = Later("sip2gw.backend.staff.privacy")
    relationship_desk = Later("sip2gw.backend.staff.relationships")
    support_desk = Later("sip2gw.backend.staff.support")
    token_desk = Later("sip2gw.backend.staff.tokens")

P = ParamSpec("P")
T = TypeVar("T")


def _written(
    job: Callable[Concatenate[Connection, P], WriteResult[T]],
) -> Callable[Concatenate[Database, P], Coroutine[Any, Any, T]]:
    """`job` in a write transaction; durable before it returns."""

    @wraps(job)
    async def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
        ready = loaded(job)  # before it takes the lock that everybody waits for
        touched = noted_touched()

        def run(connection: Connection) -> WriteResult[T]:
            done = ready(connection, *args, **kwargs)
            if touched is not None:
                touched.patrons.update(done.touched, done.fees, done.changes)
            return done

        return await store.write(run)

    return operation


def _at_once(
    step: Callable[Concatenate[Connection, P], T],
) -> Callable[Concatenate[Database, P], T]:
    """`step` on a connection of its own: single statements that no payment waits for, and that
    change nothing which snapshots contain. It blocks."""

    @wraps(step)
    def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with store.warm_connection() as connection:
            return step(connection, *args, **kwargs)

    return operation


def _beside(
    step: Callable[Concatenate[Connection, P], T],
) -> Callable[Concatenate[Database, P], Coroutine[Any, Any, T]]:
    """The same for callers in an event loop."""

    at_once = _at_once(step)

    @wraps(step)
    async def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
        begin()
        return await asyncio.to_thread(at_once, store, *args, **kwargs)

    return operation


def _read(
    look: Callable[Concatenate[Connection, P], T],
) -> Callable[Concatenate[Database, P], T]:
    """`look` at one moment of the store."""

    @wraps(look)
    def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with store.snapshot() as connection:
            return look(connection, *args, **kwargs)

    return operation


def _listed(
    rows: Callable[Concatenate[Connection, P], Iterable[T]],
) -> Callable[Concatenate[Database, P], Iterator[T]]:
    """`rows` of one moment of the store, read while they are taken."""

    @wraps(rows)
    def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with store.snapshot() as connection:
            yield from rows(connection, *args, **kwargs)

    return operation


def _listed_with_spool(
    stored: Callable[Concatenate[Connection, P], Iterable[T]],
    spooled: Callable[Concatenate[Connection, Iterable[UnknownAttempt], P], Iterable[T]],
) -> Callable[Concatenate[Database, P], Iterator[T]]:
    """What is `stored`, then what is only in the spool."""

    @wraps(stored)
    def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with store.snapshot() as connection:
            yield from stored(connection, *args, **kwargs)
            yield from spooled(connection, store.spooled(), *args, **kwargs)

    return operation


def _forgetting(
    forget: Callable[[Connection, datetime], int], undone: str
) -> Callable[[Database, datetime], Coroutine[Any, Any, int]]:
    """`forget` on a connection of its own, parallel to all else; `undone` says what is left."""

    @wraps(forget)
    async def operation(store: Database, moment: datetime, /) -> int:
        def run() -> int:
            with (
                telling(undone, "run `sip2gw maintain` again"),
                store.own_connection() as connection,
            ):
                return forget(connection, moment)

        return await asyncio.to_thread(run)

    return operation


def _apart(
    job: Callable[Concatenate[Database, P], T],
) -> Callable[Concatenate[Database, P], Coroutine[Any, Any, T]]:
    """`job`, which takes its own connections and transactions, in a thread."""

    @wraps(job)
    async def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(job, store, *args, **kwargs)

    return operation


def _plain(job: Callable[Concatenate[Database, P], T]) -> Callable[Concatenate[Database, P], T]:
    """`job`, which takes its own connections."""

    @wraps(job)
    def operation(store: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return job(store, *args, **kwargs)

    return operation


class Library(Sendings, SharedPayments, Backend, Database):
    """A store: the library system itself, with its administration."""

    claimant: str
    """The name under which a gateway claims what one at a time does. On SQLite there is only ever
    one gateway, so what an earlier process has claimed is free."""
    is_new = False
    """Whether it was made when it was opened."""

    add_to_journal = _written(journal.add)
    claim_journalled = _written(journal.claim)
    release_journalled = _written(journal.release)
    end_journalled = _written(journal.end)
    journal_entries = _listed(journal.entries)
    forget_journal = _forgetting(journal.forget, "the journal still says who borrowed what")
    count_forgotten_journal = _read(journal.count_forgotten)
    undo_payment = _written(ledger.undo)
    refund = _written(ledger.refund)
    surpluses = _read(surplus.surpluses)
    payments = _listed_with_spool(ledger.payments, unknown.spooled_payments)
    payment_exports = _read(exports.exports)
    set_exported = _written(exports.set_exported)
    refused_payments = _listed(refusals.refused_payments)
    reviews = _listed_with_spool(review_desk.reviews, unknown.spooled_reviews)
    review = _read(review_desk.review)
    close_reviews = _written(review_desk.close)
    support_messages = _listed(support_desk.messages)
    support_message = _read(support_desk.message)
    open_support_message = _written(support_desk.open_message)
    answer_support_message = _written(support_desk.answer)
    set_support_status = _written(support_desk.set_status)
    close_support_messages = _written(support_desk.close)
    support_entries = _read(support_tables.entries)
    support_rules = _read(support_tables.rules)
    add_support_entry = _written(support_tables.add_entry)
    change_support_entry = _written(support_tables.change_entry)
    add_support_rule = _written(support_tables.add_rule)
    change_support_rule = _written(support_tables.change_rule)
    support_counts = _read(support.counts)
    set_pin_hash = _written(lockout.set_pin_hash)
    add_relationship = _written(relationship_desk.add)
    confirm_relationship = _written(relationship_desk.confirm)
    remove_relationship = _written(relationship_desk.remove)
    relationships = _listed(relationship_desk.relationships)
    accept_house_rules = _written(people_desk.accept_house_rules)
    memberships = _read(memberships.definitions)
    add_memberships = _written(membership_desk.add)
    change_membership = _written(membership_desk.change)
    merge_patrons = _written(merging_desk.merge)
    plan_merge = _read(merging_desk.plan)
    search_patrons = _listed(finding.search)
    define_badge = _written(badge_desk.define)
    set_badge_active = _written(badge_desk.set_active)
    assign_badge = _written(badge_desk.assign)
    unassign_badge = _written(badge_desk.unassign)
    plan_badge = _read(badge_desk.plan)
    badge_history = _listed(badge_desk.history)
    badges = _read(badge_desk.definitions)
    badge_holders = _listed(badge_desk.holders)
    change_calendar = _written(calendar.change_calendar)
    calendar_history = _read(calendar.history)
    put_door_entry = _written(door_desk.put_entry)
    remove_door_entry = _written(door_desk.remove_entry)
    door_entries = _read(door_desk.entries)
    unknown_cards = _read(door_desk.unknown_cards)
    door_counts = _read(door_desk.counts)
    observed_counts = _read(door_desk.observed_counts)
    passages = _read(door_desk.passages)
    add_reveal = _written(door_desk.add_reveal)
    reveals = _read(door_desk.reveals)
    access_rows = _read(door_log.access_rows)
    erase_access_identities = _forgetting(
        door_desk.erase_identities, "the door log still says who passed"
    )
    count_access_identities = _read(door_desk.count_identities)
    forget_transactions = _forgetting(
        circulation.forget_transactions, "transactions of items were not forgotten"
    )
    forget_loans = _forgetting(circulation.forget_loans, "ended loans were not forgotten")
    forget_refused_payments = _forgetting(refusals.forget, "refused payments were not forgotten")
    maintenance_batches = _listed(maintenance.batches)
    maintain_memberships = _written(maintenance.apply)
    forget_support_messages = _forgetting(
        support.forget, "closed messages of customer support were not forgotten"
    )
    count_forgotten_support_messages = _read(support.count_forgotten)
    forget_reviews = _forgetting(review_desk.forget, "closed reviews were not forgotten")
    count_forgotten_reviews = _read(review_desk.count_forgotten)
    personal_data = _listed(privacy_desk.report)
    forget_patron = _apart(privacy_desk.forget_patron)
    forget_ended = _apart(privacy_desk.forget_ended)
    count_ended = _plain(privacy_desk.count_ended)
    count_ended_kept = _plain(privacy_desk.count_ended_kept)
    count_forgotten_transactions = _read(circulation.count_forgotten_transactions)
    count_forgotten_loans = _read(circulation.count_forgotten_loans)
    count_forgotten_refusals = _read(refusals.count_forgotten)
    take_notice = _beside(outbox.take)
    note_delivery = _beside(outbox.note)
    try_notices_again = _beside(outbox.try_again)
    count_notices = _beside(outbox.counts)
    notices = _listed(outbox.notices)
    forget_guesses = _forgetting(guesses.forget, "counts of wrong PINs were not forgotten")
    count_forgotten_guesses = _read(guesses.count_forgotten)
    forget_notices = _forgetting(outbox.forget, "notices were not forgotten")
    count_forgotten_notices = _read(outbox.count_forgotten)
    self_check = _read(ledger.problems)
    mark_answers_shown = _written(answers.mark_shown)
    refusing_doors = _read(watch.refusing)
    tell_refusing_doors = _written(watch.tell_refusing)
    last_heard = _read(watch.last_heard)
    tell_silent_terminals = _written(watch.tell_silent)
    add_token = _beside(token_desk.add_token)
    revoke_token = _beside(token_desk.revoke_token)
    tokens = _listed(token_desk.tokens)
    token_of = _read(token_desk.token_of)
    note_token_used = _at_once(token_desk.note_token_used)
    add_audit_entry = _at_once(audit.add_entry)
    end_audit_entry = _at_once(audit.end_entry)
    audit_entries = _listed(audit.entries)
    count_forgotten_audit = _read(audit.count_forgotten)
    forget_audit = _forgetting(audit.forget, "old entries of the audit log were not forgotten")
    claim_answer = _at_once(answered.claim_answer)
    put_answer = _at_once(answered.put_answer)
    release_answer = _at_once(answered.release_answer)
    count_forgotten_answers = _read(answered.count_forgotten)
    forget_answers = _forgetting(answered.forget, "answers to repeat were not forgotten")

    @abstractmethod
    async def journal_waiting(self) -> Sequence[Waiting]:
        """What was taken off line and has not gone up yet, for each account and message. Asked
        every second, so it takes no connection of its own.

        Raises:
            BackendError: the store cannot be read.
        """

    def payment(self, payment_id: str) -> Payment | None:
        """One payment, or None; it may be only in the spool."""
        with self.snapshot() as connection:
            found = ledger.load_payment(connection, payment_id)
            spooled = unknown.spooled_payments(connection, self.spooled())
            return found or next((one for one in spooled if one.id == payment_id), None)

    def reconciliations(self, since: datetime) -> list[Reconciliation]:
        """Payments that were answered with "not sure": open ones, and those settled since (C157).

        Oldest first.
        """
        with self.snapshot() as connection:
            found = unknown.reconciliations(connection, self.spooled(), since)
            found += shares.reconciliations(connection, since)
            return sorted(found, key=lambda one: (one.payment.time, one.payment.id))

    async def settle_payment(
        self, payment_id: str, *, booked: bool, note: str, now: datetime
    ) -> None:
        """Settle an open payment as staff say, with their `note` (C157).

        Raises:
            RefusedError: it is not open, or the store knows otherwise; the text says which.
        """
        if await asyncio.to_thread(self._is_open_share, payment_id):
            await self.write(
                lambda connection: shares.settle_as_told(
                    connection, payment_id, booked=booked, note=note, now=now
                )
            )
            return
        known = next((it for it in await self.unknown_attempts() if it.id == payment_id), None)
        if not isinstance(known, UnknownPayment):
            raise RefusedError(
                f"no payment of unknown outcome has the id {payment_id}; see `payment reconcile`"
            )
        chosen = known
        await self.write(
            lambda connection: unknown.settle_as_told(connection, chosen, booked, note, now)
        )

    def _is_open_share(self, payment_id: str) -> bool:
        with self.snapshot() as connection:
            return shares.is_open(connection, payment_id)

    async def unknown_attempts(self) -> Sequence[UnknownAttempt]:
        """All attempts that are not settled yet, oldest first."""

        def read() -> list[UnknownAttempt]:
            with self.snapshot() as connection:
                stored = unknown.unknown_attempts(connection)
                return unknown.merged(stored, unknown.unsettled(connection, spooled))

        spooled = self.spooled()
        try:
            return await asyncio.to_thread(read)
        except BackendError:
            if not spooled:
                raise
            return spooled

    async def settle(
        self, attempts: Iterable[UnknownAttempt], now: datetime
    ) -> Sequence[Settlement]:
        """Look what became of `attempts`, fence those that were not done, note the result."""
        chosen = tuple(attempts)
        return await self.write(lambda connection: unknown.settle(connection, chosen, now))

    async def open_automatic(
        self, causes: Iterable[Cause], now: datetime, days: OpeningDays
    ) -> int:
        """See `sip2gw.backend.sql.desk.support.open_automatic`, in a transaction of its own.

        Raises:
            BackendError: nothing was opened and nothing counted.
        """
        chosen = tuple(causes)
        return await self.write(
            lambda connection: WriteResult(support.open_automatic(connection, chosen, now, days))
        )

    async def follow_up(self, branches: Mapping[str, str], now: datetime, days: OpeningDays) -> int:
        """Open a message for all in the store that a person must follow up (C145); how many.

        Does nothing, and takes no lock, when every entry has its message.

        Args:
            branches: the branch of each terminal, by the terminal's name.

        Raises:
            BackendError: some entries have no message yet; doing it again goes on.
        """
        new = 0
        while await asyncio.to_thread(self.is_behind):
            new += await self.write(
                lambda connection: followup.follow_up(connection, branches, now, days)
            )
        return new

    def is_behind(self) -> bool:
        """Whether `follow_up` would open or close a message.

        Raises:
            BackendError: the store cannot be read.
        """
        with self.snapshot() as connection:
            return followup.is_behind(connection)

    async def note_heard(self, heard: Mapping[str, datetime]) -> None:
        """See `sip2gw.backend.sql.desk.watch.note_heard`; runs beside all else.

        Raises:
            BackendError: nothing was kept.
        """

        def run() -> None:
            with self.own_connection() as connection:
                watch.note_heard(connection, heard)

        await asyncio.to_thread(run)

    # What the gateway looks at now and then, for its metrics

    @property
    def slow_reads(self) -> int:
        """How many reads so far have waited long for this host's disk (C114)."""
        return 0

    async def last_import(self) -> datetime | None:
        """When library data was last imported, by whatever command; None if never (C138).

        The moment at which that import began; one that changed nothing counts, an empty one does
        not.

        Raises:
            BackendError: the store cannot be read.
        """
        (text,) = await asyncio.to_thread(self._first, queries.LAST_IMPORT) or (None,)
        return time_value(text)

    async def count_patrons(self) -> int:
        """How many patrons there are; reads an index as long as that, so ask rarely.

        Raises:
            BackendError: the store cannot be read.
        """
        row = await asyncio.to_thread(self._first, queries.COUNT_PATRONS)
        return int(row[0])

    def _first(self, statement: str) -> Any:
        with self.snapshot() as connection:
            return connection.execute(statement).fetchone()

    @abstractmethod
    async def disk_free_bytes(self) -> int | None:
        """Free bytes on the store's file system; None for a database on its own host.

        Raises:
            UnavailableError: the store's file has gone.
        """

    @abstractmethod
    def warm(self) -> int:
        """Load what doors need into memory; blocks, so use a thread. Returns the number of rows.

        Raises:
            BackendError: it cannot be read.
        """
