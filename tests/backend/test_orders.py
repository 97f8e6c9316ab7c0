"""Orders on SQLite: whatever ends the waiting, what is said of them is true (C98)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from orders import decided_by
from slow_disk import SlowDisk

from sip2gw.backend.base import (
    BackendTimeoutError,
    HungUpError,
    OutcomeUnknownError,
    PaymentOrder,
    UnavailableError,
)
from sip2gw.backend.ids import new_id
from sip2gw.backend.spool import read_spool
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.backend.sqlite import writer as writer_module
from sip2gw.backend.sqlite.database import connect
from sip2gw.backend.sqlite.store import Store
from sip2gw.foundation.eager import Suspended, start
from sip2gw.policy.reasons import PaymentRefusalReason

from . import test_circulation as desk
from .library import LIBRARY, NOW, load, open_library, order, pay_fee


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PROBE_EVERY_S", 0.002)


@pytest.fixture
async def disk(store: Store) -> AsyncIterator[SlowDisk]:
    disk = SlowDisk(store)
    yield disk
    disk.failing = disk.fails_although_done = False
    disk.release()


class Asked:
    """A request that was suspended, as the server drives it."""

    def __init__(self, work: Any) -> None:
        suspended = start(work)
        assert isinstance(suspended, Suspended)
        self._suspended = suspended
        self._ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        suspended.go_on(self._ended.set_result)

    def late(self) -> None:
        """Its deadline has passed."""
        self._suspended.cancel()

    def hung_up(self) -> None:
        """Its terminal is gone."""
        self._suspended.cancel(HungUpError())

    async def answer(self) -> Any:
        """What comes of it: a result, or the error's class."""
        return await self._ended


def ask(store: Store, wanted: PaymentOrder, amount: int = 100) -> Asked:
    async def work() -> Any:
        try:
            return await store.book_payment(decided_by(wanted, pay_fee("F1", amount)))
        except Exception as error:
            return type(error)

    return Asked(work())


def again(wanted: PaymentOrder) -> PaymentOrder:
    """The terminal's retry: another attempt at the same."""
    return replace(wanted, id=new_id())


def states(store: Store) -> dict[str, str]:
    """How each payment stands, by id."""
    return {row.id: row.status for row in store.payments()}


async def unknown_ids(store: Store) -> list[str]:
    return [attempt.id for attempt in await store.unknown_attempts()]


async def test_what_was_not_begun_at_the_deadline_is_a_plain_no_and_never_booked(
    store: Store, disk: SlowDisk
) -> None:
    disk.hold()
    first = ask(store, order("BK1"))
    await disk.committing()
    second = ask(store, order("BK2"))
    second.late()
    assert await second.answer() is BackendTimeoutError
    disk.release()
    assert (await first.answer()).outcome == "booked"
    await store.ping()
    assert [row.bk for row in store.payments()] == ["BK1"]
    assert await unknown_ids(store) == []


async def test_a_commit_under_way_at_the_deadline_is_noted_before_it_is_answered(
    store: Store, disk: SlowDisk
) -> None:
    disk.hold()
    wanted = order()
    asked = ask(store, wanted)
    await disk.committing()
    asked.late()
    assert await asked.answer() is OutcomeUnknownError
    spool = Path(f"{store.path}.spool")
    assert [attempt.id for attempt in read_spool(spool)] == [wanted.id]
    assert states(store) == {wanted.id: "unknown"}
    (open_one,) = store.reconciliations(NOW)
    assert (open_one.state, open_one.proposal) == ("unknown", "not-booked")
    disk.release()
    (settled,) = await store.settle(await store.unknown_attempts(), NOW)
    assert settled.done
    assert states(store) == {wanted.id: "booked"}
    assert await unknown_ids(store) == []
    await store.close()
    assert read_spool(spool) == []


async def test_of_a_terminal_that_hung_up_nothing_is_noted_and_its_retry_finds_the_payment(
    store: Store, disk: SlowDisk
) -> None:
    disk.hold()
    wanted = order()
    asked = ask(store, wanted)
    await disk.committing()
    asked.hung_up()
    assert isinstance(await asked.answer(), HungUpError)
    assert await unknown_ids(store) == []
    disk.release()
    retried = await store.book_payment(decided_by(again(wanted), pay_fee("F1")))
    assert retried.outcome == "replayed"
    assert states(store) == {wanted.id: "booked"}


async def test_a_terminal_that_hung_up_before_it_was_begun_pays_nothing(
    store: Store, disk: SlowDisk
) -> None:
    disk.hold()
    first = ask(store, order("BK1"))
    await disk.committing()
    gone = ask(store, order("BK2"))
    gone.hung_up()
    assert isinstance(await gone.answer(), HungUpError)
    disk.release()
    await first.answer()
    await store.ping()
    assert [row.bk for row in store.payments()] == ["BK1"]


async def test_no_retry_is_told_no_while_the_first_is_committed(
    store: Store, disk: SlowDisk
) -> None:
    """The first hung up. Its retry was not begun in time, but a plain no would be a lie."""
    disk.hold()
    wanted = order()
    first = ask(store, wanted)
    await disk.committing()
    first.hung_up()
    retry = ask(store, again(wanted))
    retry.late()
    assert await retry.answer() is OutcomeUnknownError
    assert await unknown_ids(store) == [wanted.id]
    disk.release()
    assert (
        await store.book_payment(decided_by(again(wanted), pay_fee("F1")))
    ).outcome == "replayed"
    assert await unknown_ids(store) == []
    assert [one.state for one in store.reconciliations(NOW)] == ["resolved"]
    assert states(store) == {wanted.id: "booked"}


async def test_other_content_under_a_key_of_unknown_outcome_is_refused(
    store: Store, disk: SlowDisk
) -> None:
    """And free again once it is settled as not booked."""
    disk.failing = True
    wanted = order()
    asked = ask(store, wanted)
    await suspect(store)
    asked.late()
    assert await asked.answer() is OutcomeUnknownError
    other = await store.book_payment(decided_by(order(amount=50), pay_fee("F1", 50)))
    assert other.refusal is not None
    assert other.refusal == "bk_reused"
    assert await ask_error(store, again(wanted)) is OutcomeUnknownError
    assert await ask_error(store, order("BK2")) is UnavailableError
    disk.failing = False
    await recovered(store)
    result = await store.book_payment(decided_by(order(amount=50), pay_fee("F1", 50)))
    assert result.outcome == "booked"
    assert [one.state for one in store.reconciliations(NOW)] == ["refused"]
    assert sorted(states(store).values()) == ["booked", "refused"]


async def suspect(store: Store) -> None:
    while not store._writer.suspect:  # noqa: ASYNC110 -- what the thread does has no event
        await asyncio.sleep(0.001)


async def recovered(store: Store) -> None:
    while store._writer.suspect:  # noqa: ASYNC110 -- what the thread does has no event
        await asyncio.sleep(0.001)


async def ask_error(store: Store, wanted: PaymentOrder) -> type[Exception]:
    with pytest.raises((UnavailableError, OutcomeUnknownError)) as raised:
        await store.book_payment(decided_by(wanted, pay_fee("F1")))
    return raised.type


async def test_a_short_fault_costs_nobody_an_answer(store: Store, disk: SlowDisk) -> None:
    """The disk works again before the deadline: booked once, and never unknown."""
    disk.failing = True
    wanted = order()
    asked = ask(store, wanted)
    await suspect(store)
    disk.failing = False
    assert (await asked.answer()).outcome == "booked"
    assert states(store) == {wanted.id: "booked"}
    assert await unknown_ids(store) == []
    assert store.self_check() == []


async def test_a_commit_that_failed_and_is_there_all_the_same_is_booked_once(
    store: Store, disk: SlowDisk
) -> None:
    """Nobody relies on a failed COMMIT having done nothing."""
    disk.fails_although_done = True
    wanted = order()
    asked = ask(store, wanted)
    await suspect(store)
    disk.fails_although_done = False
    answer = await asked.answer()
    assert (answer.outcome, answer.payment.id) == ("booked", wanted.id)
    assert states(store) == {wanted.id: "booked"}
    record = await store.find_patron("P1")
    assert record is not None
    assert [fee.owed for fee in record.fees] == [150, 120]


async def test_a_loan_of_unknown_outcome_is_for_review_at_once(
    store: Store, disk: SlowDisk
) -> None:
    wanted = desk.order(patron="P1")

    async def lend() -> Any:
        try:
            return await store.circulate(decided_by(wanted, desk.lending()))
        except OutcomeUnknownError:
            return "not sure"

    disk.hold()
    asked = Asked(lend())
    await disk.committing()
    asked.late()
    assert await asked.answer() == "not sure"
    (entry,) = store.reviews(state="open")
    assert (entry.id, entry.kind, entry.outcome) == (wanted.id, "unknown", "unknown")
    assert list(store.reviews(state="closed")) == []
    disk.release()
    await store.settle(await store.unknown_attempts(), NOW)
    (entry,) = store.reviews()
    assert (entry.id, entry.outcome, entry.state) == (wanted.id, "done", "open")


async def test_what_lies_in_the_spool_is_found_and_settled_at_the_next_start(
    store: Store, disk: SlowDisk
) -> None:
    """The process ends with the store still failing; the file is all that is left."""
    disk.failing = True
    lost, loan = order(), desk.order(patron="P1")
    asked = ask(store, lost)
    await suspect(store)
    asked.late()
    assert await asked.answer() is OutcomeUnknownError
    await store._orders._note(attempt_of(loan))
    await store.close()
    reopened = open_library(store.path.parent)
    try:
        assert await unknown_ids(reopened) == [lost.id, loan.id]
        settled = await reopened.settle(await reopened.unknown_attempts(), NOW)
        assert [known.done for known in settled] == [False, False]
        assert states(reopened) == {lost.id: "refused"}
        assert await unknown_ids(reopened) == []
    finally:
        await reopened.close()


async def test_a_command_sees_what_lies_in_the_spool_of_the_running_gateway(
    store: Store, disk: SlowDisk
) -> None:
    disk.hold()
    wanted = order()
    asked = ask(store, wanted)
    await disk.committing()
    asked.late()
    await asked.answer()
    beside = open_library(store.path.parent, role="command")
    try:
        assert await unknown_ids(beside) == [wanted.id]
        assert states(beside) == {wanted.id: "unknown"}
        assert beside.payment(wanted.id) is not None
        disk.release()
        await store.settle(await store.unknown_attempts(), NOW)
        assert states(beside) == {wanted.id: "booked"}
        assert await unknown_ids(beside) == []
    finally:
        await beside.close()


async def test_no_payment_is_taken_whose_outcome_could_not_be_noted(tmp_path: Path) -> None:
    """C98; loans go on."""
    spool = tmp_path / "library.db.spool"
    spool.mkdir()
    store = open_library(tmp_path)
    try:
        load(store, *LIBRARY)
        assert await ask_error(store, order()) is UnavailableError
        lent = await store.circulate(decided_by(desk.order(patron="P1"), desk.lending()))
        assert lent.outcome == "done"
        assert list(store.payments()) == []
        spool.rmdir()
        await store.ping()
        assert (await store.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"
    finally:
        await store.close()


async def test_the_lock_of_another_process_is_a_plain_no(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._writer, "_lock_wait_s", 0.02)
    other = connect(store.path)
    other.execute("BEGIN IMMEDIATE")
    assert await ask_error(store, order()) is UnavailableError
    late = ask(store, order("BK2"))
    late.late()
    assert await late.answer() is BackendTimeoutError
    other.execute("ROLLBACK")
    other.close()
    await store.ping()
    assert list(store.payments()) == []
    assert await unknown_ids(store) == []


async def test_the_retry_of_what_is_booked_gets_its_yes_while_another_process_holds_the_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C98: nothing can be written, but a no would make the terminal give the money back."""
    monkeypatch.setattr(store._writer, "_lock_wait_s", 0.02)
    first = await ask(store, order()).answer()
    with closing(connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        retried = await ask(store, again(order())).answer()
        assert (retried.outcome, retried.payment) == ("replayed", first.payment)
        late = ask(store, again(order()))
        late.late()
        assert (await late.answer()).payment == first.payment
        reused = await ask(store, order(amount=200), 200).answer()
        assert reused.refusal is PaymentRefusalReason.BK_REUSED
        assert await ask(store, order("BK2")).answer() is UnavailableError
    assert [row.bk for row in store.payments()] == ["BK1"]
    assert await unknown_ids(store) == []


async def test_so_does_the_retry_of_a_loan(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store._writer, "_lock_wait_s", 0.02)
    wanted = decided_by(desk.order(patron="P1"), desk.lending())
    first = await store.circulate(wanted)
    with closing(connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        retried = await store.circulate(replace(wanted, id=new_id()))
        assert (retried.outcome, retried.done) == ("replayed", first.done)
        with pytest.raises(UnavailableError):
            await store.circulate(decided_by(desk.order(item="I1"), desk.lending()))


async def test_what_can_be_neither_written_nor_read_is_a_no(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._writer, "_lock_wait_s", 0.02)
    assert (await ask(store, order()).answer()).outcome == "booked"

    async def fail(*_: object) -> None:
        raise UnavailableError("the disk is gone")

    monkeypatch.setattr(store._reads, "moment", fail)
    with closing(connect(store.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="another process"):
            await store.book_payment(decided_by(again(order()), pay_fee("F1")))
