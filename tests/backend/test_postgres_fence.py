"""What was answered no is not done later, and "not sure" finds its end: PostgreSQL (C59, C98).

The statement is on its way when everything stops: it waits for a lock, its backend is frozen
(SIGSTOP), or the whole server is. A trap in the database holds it back just before its COMMIT.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from orders import decided_by
from postgres import Server
from proxy import BreakableProxy, breakable

from sip2gw.backend.attempts import UnknownAttempt
from sip2gw.backend.base import (
    BackendError,
    BackendTimeoutError,
    HungUpError,
    OutcomeUnknownError,
    UnavailableError,
)
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.foundation.eager import Suspended, start
from sip2gw.policy.items.decisions import CHECKIN
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason

from . import test_circulation as desk
from .library import NOW, ZONE, open_postgres_library, order, pay_fee
from .unknown_contract import same_as

WAITING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A gateway's store that gives a statement up after 0.3 s."""
    store = open_postgres_library(postgres_url, timeout_s=0.3)
    yield store
    await store.close()


@pytest.fixture
async def patient(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A gateway's store that waits for as long as its gateway does."""
    store = open_postgres_library(postgres_url, timeout_s=30.0)
    yield store
    await store.close()


async def look(url: str) -> tuple[list[tuple[str, str]], int]:
    """BK and status of each payment, and what P1 owes of a fee of 2.50; by somebody else."""
    store = open_postgres_library(url, role="command")
    try:
        assert store.self_check() == []
        record = await store.find_patron("P1")
        assert record is not None
        payments = [(payment.bk, payment.status) for payment in store.payments()]
        return payments, {fee.id: fee.owed for fee in record.fees}["F1"]
    finally:
        await store.close()


def freezing(server: Server, pids: list[int], decide: Any) -> Callable[[Any], Any]:
    """Decide as `decide`, and freeze the backends that are at work: the statement goes to them."""

    def decided(facts: Any) -> Any:
        found = server.run(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'sip2gw'"
            " AND query NOT LIKE '%pg_advisory_unlock%'"
        )
        for (pid,) in found:
            os.kill(pid, signal.SIGSTOP)
            pids.append(pid)
        assert pids
        return decide(facts)

    return decided


@contextmanager
def thawing() -> Iterator[list[int]]:
    """Backends to be frozen; whoever is still frozen at the end goes on."""
    pids: list[int] = []
    try:
        yield pids
    finally:
        thaw(pids)


def thaw(pids: list[int]) -> None:
    """Let the frozen backends go on."""
    while pids:
        os.kill(pids.pop(), signal.SIGCONT)


@asynccontextmanager
async def trap(url: str, table: str) -> AsyncIterator[asyncpg.Connection]:
    """Statements that have written to `table` wait until this connection unlocks 77."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        """CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NULL; END $$"""
    )
    await connection.execute(
        f"CREATE TRIGGER trap AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION trap()"
    )
    await connection.execute("SELECT pg_advisory_lock(77)")
    try:
        yield connection
    finally:
        await connection.close()


async def until(connection: Any, question: str) -> None:
    """Wait until the answer has rows."""
    async with asyncio.timeout(60):
        while not await connection.fetch(question):
            await asyncio.to_thread(int)


async def idle(connection: Any) -> None:
    """Wait until nobody else is at work in the database: late statements have run to their end."""
    await until(
        connection,
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE state = 'active'"
        " AND datname = current_database() AND pid <> pg_backend_pid())",
    )


# Found out in time


async def test_a_backend_that_freezes_with_the_statement_is_fenced_and_the_no_is_certain(
    store: PostgresStore, postgres: Server, postgres_url: str
) -> None:
    """Thawed, it executes what lies in its socket, and books nothing."""
    with thawing() as pids:
        with pytest.raises(BackendTimeoutError):
            await store.book_payment(decided_by(order(), freezing(postgres, pids, pay_fee("F1"))))
        assert await store.unknown_attempts() == []
        thaw(pids)
    observer = await asyncpg.connect(postgres_url)
    await idle(observer)
    await observer.close()
    assert await look(postgres_url) == ([("BK1", "refused")], 250)
    assert store.reconciliations(NOW) == []  # the terminal was not told "not sure"
    assert (await store.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"


async def test_a_loan_is_fenced_like_a_payment(
    store: PostgresStore, postgres: Server, postgres_url: str
) -> None:
    with thawing() as pids:
        with pytest.raises(BackendTimeoutError):
            await store.circulate(
                decided_by(desk.order(patron="P1"), freezing(postgres, pids, desk.lending()))
            )
        thaw(pids)
    observer = await asyncpg.connect(postgres_url)
    await idle(observer)
    await observer.close()
    assert await desk.loans(store, "P1") == ["I1"]
    (entry,) = store.reviews()
    assert (entry.outcome, entry.state) == ("refused", "closed")
    again = await store.circulate(decided_by(desk.order(patron="P1"), desk.lending()))
    assert (again.outcome, await desk.loans(store, "P1")) == ("done", ["I1", "I2"])


async def test_a_statement_that_waits_for_an_import_is_fenced_at_once(
    store: PostgresStore, postgres_url: str
) -> None:
    """The gateway's deadline cuts in while an import holds its lock; the fence waits for nobody."""
    with store.own_connection() as importing:
        for statement in importing.dialect.begin_write:
            importing.execute(statement)
        late = order()
        waiting = asyncio.ensure_future(store.book_payment(decided_by(late, pay_fee("F1"))))
        while not importing.execute(WAITING).fetchone():
            await asyncio.to_thread(int)
        waiting.cancel()
        with pytest.raises(OutcomeUnknownError):
            await waiting
        (known,) = await store.unknown_attempts()
        (settled,) = await store.settle([known], NOW)
        assert (settled.attempt.id, settled.done) == (late.id, False)
        assert await store.unknown_attempts() == []
    observer = await asyncpg.connect(postgres_url)
    await idle(observer)
    await observer.close()
    assert await look(postgres_url) == ([("BK1", "refused")], 250)


@pytest.fixture
async def proxy(postgres: Server) -> AsyncIterator[BreakableProxy]:
    async with breakable(postgres.socket) as proxy:
        yield proxy


# Not sure


async def stuck(store: PostgresStore, trapped: Any, wanted: Any) -> None:
    """Pay, and be cancelled by the gateway's deadline just before the COMMIT."""
    waiting = asyncio.ensure_future(store.book_payment(decided_by(wanted, pay_fee("F1"))))
    await until(trapped, WAITING)
    waiting.cancel()
    with pytest.raises(OutcomeUnknownError):
        await waiting


async def test_what_is_being_committed_is_not_sure_until_it_has_ended(
    patient: PostgresStore, postgres_url: str
) -> None:
    """The same request is "not sure" again, another one under its BK refused; then it is a yes."""
    first = order()
    async with trap(postgres_url, "ledger_transaction") as trapped:
        await stuck(patient, trapped, first)
        assert [known.id for known in await patient.unknown_attempts()] == [first.id]
        (shown,) = patient.reconciliations(NOW)
        assert (shown.payment.id, shown.state) == (first.id, "unknown")
        with pytest.raises(OutcomeUnknownError):
            await patient.book_payment(decided_by(order(), pay_fee("F1")))
        other = await patient.book_payment(decided_by(order(content="other"), pay_fee("F1")))
        assert other.refusal == "bk_reused"
        with pytest.raises(UnavailableError):
            await patient.settle(await patient.unknown_attempts(), NOW)
        await trapped.execute("SELECT pg_advisory_unlock(77)")
        await idle(trapped)
    result = await patient.book_payment(decided_by(order(), pay_fee("F1")))
    assert (result.outcome, result.payment and result.payment.id) == ("replayed", first.id)
    assert await patient.unknown_attempts() == []
    (shown,) = patient.reconciliations(NOW)
    assert (shown.payment.id, shown.state) == (first.id, "resolved")
    assert await look(postgres_url) == ([("BK1", "booked")], 150)


async def test_what_is_under_way_is_open_whoever_waits_for_it(
    patient: PostgresStore, postgres_url: str
) -> None:
    """A retry on a new line that cannot be read up must not be told no meanwhile."""
    first = order()
    same = same_as(attempt_of(first))
    assert not await patient.has_open_attempt(same)
    async with trap(postgres_url, "ledger_transaction") as trapped:
        waiting = asyncio.ensure_future(patient.book_payment(decided_by(first, pay_fee("F1"))))
        await until(trapped, WAITING)
        assert await patient.has_open_attempt(same)
        assert [known.id for known in await patient.unknown_attempts()] == [first.id]
        await trapped.execute("SELECT pg_advisory_unlock(77)")
        await idle(trapped)
    assert (await waiting).outcome == "booked"
    (settled,) = await patient.settle(await patient.unknown_attempts(), NOW)
    assert settled.done
    assert await patient.has_open_attempt(same)  # it was done: a retry must not be told no either


async def test_all_that_is_open_under_a_key_is_settled_before_another_is_made(
    patient: PostgresStore,
) -> None:
    """A terminal asked on two lines, and was told "not sure" on both."""
    lost = [order(), order()]
    for one in lost:
        await patient._in_doubt.note(attempt_of(one))
    assert (await patient.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"
    assert await patient.unknown_attempts() == []
    assert {one.payment.id for one in patient.reconciliations(NOW)} == {one.id for one in lost}


async def test_what_a_terminal_left_is_open_and_noted_when_its_retry_is_told_so(
    patient: PostgresStore, postgres_url: str
) -> None:
    first = order()
    same = same_as(attempt_of(first))
    async with trap(postgres_url, "ledger_transaction") as trapped:
        left = start(patient.book_payment(decided_by(first, pay_fee("F1"))))
        assert isinstance(left, Suspended)
        left.go_on(lambda ended: None)
        await until(trapped, WAITING)
        left.cancel(HungUpError())
        await asyncio.sleep(0)
        assert await patient.unknown_attempts() == []
        assert await patient.has_open_attempt(same)
        assert [known.id for known in await patient.unknown_attempts()] == [first.id]


async def test_what_was_never_committed_frees_its_key(
    patient: PostgresStore, postgres_url: str
) -> None:
    """The backend dies before its COMMIT: the retry is judged afresh and booked."""
    first, again = order(), order()
    async with trap(postgres_url, "ledger_transaction") as trapped:
        await stuck(patient, trapped, first)
        await trapped.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'"
        )
        await idle(trapped)
    result = await patient.book_payment(decided_by(again, pay_fee("F1")))
    assert (result.outcome, result.payment and result.payment.id) == ("booked", again.id)
    (shown,) = patient.reconciliations(NOW)
    assert (shown.payment.id, shown.state) == (first.id, "resolved")
    payments, owed = await look(postgres_url)
    assert (sorted(payments), owed) == ([("BK1", "booked"), ("BK1", "refused")], 150)


async def test_a_loan_that_is_being_made_is_not_sure_until_it_has_ended(
    patient: PostgresStore, postgres_url: str
) -> None:
    async with trap(postgres_url, "loan") as trapped:
        first = desk.order(patron="P1")
        waiting = asyncio.ensure_future(patient.circulate(decided_by(first, desk.lending())))
        await until(trapped, WAITING)
        waiting.cancel()
        with pytest.raises(OutcomeUnknownError):
            await waiting
        with pytest.raises(OutcomeUnknownError):
            await patient.circulate(decided_by(desk.order(patron="P1"), desk.lending()))
        await trapped.execute("SELECT pg_advisory_unlock(77)")
        await idle(trapped)
    again = await patient.circulate(decided_by(desk.order(patron="P1"), desk.lending()))
    assert again.outcome == "replayed"
    assert await desk.loans(patient, "P1") == ["I1", "I2"]
    (entry,) = patient.reviews()
    assert (entry.id, entry.outcome, entry.state) == (first.id, "done", "open")


async def test_a_frozen_server_leaves_it_open_and_the_truth_is_found_later(
    store: PostgresStore, postgres: Server, postgres_url: str
) -> None:
    """The whole machine stalls when the statement has been sent, and goes on later."""
    with ExitStack() as stall:

        def decide(facts: PaymentFacts) -> PaymentPlan | PaymentRefusalReason:
            stall.enter_context(postgres.frozen())
            return pay_fee("F1")(facts)

        with pytest.raises(OutcomeUnknownError):
            await store.book_payment(decided_by(order(), decide))
    (known,) = store.spooled()
    async with asyncio.timeout(60):
        while not await settled_by(store, known):
            await asyncio.to_thread(int)
    assert store.spooled() == []
    (shown,) = store.reconciliations(NOW)
    assert shown.payment.id == known.id
    owed = {"booked": 150, "refused": 250}[shown.state]
    assert await look(postgres_url) == ([("BK1", shown.state)], owed)


async def settled_by(store: PostgresStore, known: UnknownAttempt) -> Any:
    """What became of it, once the database can be asked again."""
    try:
        return await store.settle([known], NOW)
    except BackendError:
        return ()


# Not begun, and hung up


async def test_what_was_not_begun_is_never_begun(postgres_url: str) -> None:
    """It waits for a connection when the deadline passes: a certain no, and nothing is noted."""
    store = open_postgres_library(postgres_url, connections_max=1)
    async with store._pool.connection():
        waiting = asyncio.ensure_future(store.book_payment(decided_by(order(), pay_fee("F1"))))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(BackendTimeoutError):
            await waiting
    assert await store.unknown_attempts() == []
    await store.close()
    assert await look(postgres_url) == ([], 250)


async def test_a_terminal_that_hung_up_finds_what_it_began(
    patient: PostgresStore, postgres_url: str
) -> None:
    """Nobody was told anything, so nothing is noted; a retry is not told no meanwhile."""
    first = order()
    async with trap(postgres_url, "ledger_transaction") as trapped:
        suspended = start(patient.book_payment(decided_by(first, pay_fee("F1"))))
        assert isinstance(suspended, Suspended)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        suspended.go_on(told.set_result)
        await until(trapped, WAITING)
        suspended.cancel(HungUpError())
        assert isinstance(await told, HungUpError)
        assert await patient.unknown_attempts() == []
        with pytest.raises(OutcomeUnknownError):
            await patient.book_payment(decided_by(order(), pay_fee("F1")))
        assert [known.id for known in await patient.unknown_attempts()] == [first.id]
        await trapped.execute("SELECT pg_advisory_unlock(77)")
        await idle(trapped)
    again = await patient.book_payment(decided_by(order(), pay_fee("F1")))
    assert (again.outcome, again.payment and again.payment.id) == ("replayed", first.id)
    assert await look(postgres_url) == ([("BK1", "booked")], 150)


async def test_what_a_terminal_began_and_left_is_fenced_before_its_retry(
    patient: PostgresStore, postgres_url: str
) -> None:
    """It waits for an import when the terminal goes; the retry takes its place."""
    with patient.own_connection() as importing:
        for statement in importing.dialect.begin_write:
            importing.execute(statement)
        suspended = start(patient.book_payment(decided_by(order(), pay_fee("F1"))))
        assert isinstance(suspended, Suspended)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        suspended.go_on(told.set_result)
        while not importing.execute(WAITING).fetchone():
            await asyncio.to_thread(int)
        suspended.cancel(HungUpError())
        assert isinstance(await told, HungUpError)
        retry = asyncio.ensure_future(patient.book_payment(decided_by(order(), pay_fee("F1"))))
        while len(importing.execute(WAITING).fetchall()) < 2:
            await asyncio.to_thread(int)
    assert (await retry).outcome == "booked"
    payments, owed = await look(postgres_url)
    assert (sorted(payments), owed) == ([("BK1", "booked"), ("BK1", "refused")], 150)
    assert patient.reconciliations(NOW) == []


# The spool


async def test_what_is_open_is_still_known_after_a_restart(
    postgres_url: str, tmp_path: Path
) -> None:
    """A gateway that was killed finds in its spool what it had answered with "not sure"."""
    spool = tmp_path / "hub.spool"
    first = open_postgres_library(postgres_url, spool_file=spool)
    lost = order()
    async with trap(postgres_url, "ledger_transaction") as trapped:
        await stuck(first, trapped, lost)
        await first.close()
        command = open_postgres_library(postgres_url, role="command", spool_file=spool)
        assert [known.id for known in await command.unknown_attempts()] == [lost.id]
        assert [shown.state for shown in command.reconciliations(NOW)] == ["unknown"]
        await command.close()
    second = open_postgres_library(postgres_url, spool_file=spool)
    (known,) = await second.unknown_attempts()
    assert known == attempt_of(lost)
    (settled,) = await second.settle([known], NOW)
    assert settled.done  # the trap opened when its keeper went
    await second.close()


async def test_no_payment_is_taken_whose_outcome_could_not_be_noted(
    postgres_url: str, tmp_path: Path
) -> None:
    spool = tmp_path / "gone" / "hub.spool"
    store = open_postgres_library(postgres_url, spool_file=spool)
    with pytest.raises(UnavailableError, match="could be noted"):
        await store.book_payment(decided_by(order(), pay_fee("F1")))
    spool.parent.mkdir()
    await store.unknown_attempts()  # the gateway asks again and again
    assert (await store.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"
    await store.close()


async def test_a_payer_who_is_no_longer_known_cannot_pay_later(
    patient: PostgresStore, postgres_url: str
) -> None:
    late = order(payer_id="P9")
    (settled,) = await patient.settle([attempt_of(late)], NOW)
    assert not settled.done
    assert await look(postgres_url) == ([], 250)


async def test_the_fence_holds_whatever_isolation_is_the_databases_default(
    patient: PostgresStore,
) -> None:
    """It relies on each statement seeing what was committed before it."""
    with patient.own_connection() as connection:
        name = connection.execute("SELECT current_database()").fetchone()
        assert name is not None
        connection.execute(
            f"ALTER DATABASE {name[0]} SET default_transaction_isolation = 'serializable'"
        )
    with patient.own_connection() as connection:
        shown = connection.execute("SHOW default_transaction_isolation").fetchone()
    assert shown == ("read committed",)


# Fence and statement at once


async def test_fence_and_late_payment_never_pass_each_other(
    patient: PostgresStore, postgres_url: str
) -> None:
    """300 times at once: what the fence says is what the ledger has, whoever comes first."""
    chance = random.Random(98)
    outcomes: set[bool] = set()
    other = open_postgres_library(postgres_url)
    for number in range(300):
        late = order(f"BK{number}", 1, seen=await patient.find_payer("C1"))
        payment = asyncio.ensure_future(
            ended(patient.book_payment(decided_by(late, pay_fee("F1", 1))))
        )
        await for_a_while(chance, payment, 12)
        first, second = await asyncio.gather(
            patient.settle([attempt_of(late)], NOW), other.settle([attempt_of(late)], NOW)
        )
        (settled,), (same,) = first, second
        result = await payment
        booked = getattr(result, "outcome", "") == "booked"
        assert settled.done == same.done == booked, (number, result)
        outcomes.add(booked)
        if number % 100 == 99:
            await patient.set_pin_hash("P1", None)  # versions move on as well
        if booked:
            await patient.undo_payment(late.id, NOW, ZONE)
    await other.close()
    assert outcomes == {True, False}
    payments, owed = await look(postgres_url)
    assert {status for _, status in payments} == {"undone", "refused"}
    assert owed == 250


async def test_fence_and_late_loan_never_pass_each_other(
    patient: PostgresStore, postgres_url: str
) -> None:
    chance = random.Random(98)
    outcomes: set[bool] = set()
    for number in range(300):
        late = desk.order(patron="P1", key=f"K{number}")
        loan = asyncio.ensure_future(ended(patient.circulate(decided_by(late, desk.lending()))))
        await for_a_while(chance, loan, 24)
        (settled,) = await patient.settle([attempt_of(late)], NOW)
        result = await loan
        done = getattr(result, "outcome", "") == "done"
        assert settled.done == done, (number, result)
        assert ("I2" in await desk.loans(patient, "P1")) == done
        outcomes.add(done)
        if done:
            back = desk.order(CHECKIN, patron=None, key=f"R{number}")
            await patient.circulate(decided_by(back, desk.returning()))
    assert outcomes == {True, False}


async def for_a_while(chance: random.Random, work: asyncio.Future[Any], turns_max: int) -> None:
    """Some turns of the loop, and now and then until `work` has ended, however busy the machine."""
    if not chance.randrange(10):
        await asyncio.wait({work})
    for _ in range(chance.randrange(turns_max)):
        await asyncio.sleep(0)


async def ended(work: Any) -> Any:
    """The result, or the error."""
    try:
        return await work
    except BackendError as error:
        return error
