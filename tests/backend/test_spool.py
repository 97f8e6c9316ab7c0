"""Where attempts of unknown outcome lie while the store cannot be written (C98)."""

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from sip2gw.backend import doubts as doubts_module
from sip2gw.backend import spool as spool_module
from sip2gw.backend.attempts import Settlement, UnknownAttempt
from sip2gw.backend.base import HungUpError
from sip2gw.backend.doubts import Doubts, key_of
from sip2gw.backend.spool import (
    SLOT_BYTES,
    SLOTS,
    Spool,
    SpoolError,
    read_spool,
    read_spools,
    spool_of_worker,
    spools_beside,
)
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.foundation.eager import Suspended, start

from . import test_circulation as desk
from .library import order

PAYMENT, LOAN = attempt_of(order(card="C1")), attempt_of(desk.order())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.db.spool"


def opened(path: Path) -> Spool:
    spool = Spool(path)
    spool.open()
    return spool


def test_what_was_put_is_there_after_a_crash(path: Path) -> None:
    """Nothing was closed."""
    spool = opened(path)
    spool.put(PAYMENT)
    spool.put(LOAN)
    assert read_spool(path) == [PAYMENT, LOAN]
    spool.close()
    assert Spool(path).open() == [PAYMENT, LOAN]


def test_only_its_owner_may_read_it_and_it_never_grows(path: Path) -> None:
    spool = opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.stat()
    for number in range(10):
        spool.put(attempt_of(order(f"BK{number}")))
    after = path.stat()
    assert before.st_size == after.st_size == SLOTS * SLOT_BYTES
    assert before.st_blocks == after.st_blocks > 0  # no hole is filled


def test_it_is_durable_before_put_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(path)
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    spool.put(PAYMENT)
    assert len(flushed) == 1


def test_what_is_dropped_is_gone_and_its_slot_free(path: Path) -> None:
    spool = opened(path)
    spool.put(PAYMENT)
    spool.put(LOAN)
    spool.drop([PAYMENT.id, "nobody"])
    assert read_spool(path) == [LOAN]
    spool.put(PAYMENT)
    assert read_spool(path) == [PAYMENT, LOAN]


def test_putting_it_again_takes_no_second_slot(path: Path) -> None:
    spool = opened(path)
    spool.put(PAYMENT)
    spool.put(PAYMENT)
    assert read_spool(path) == [PAYMENT]


@pytest.mark.parametrize("at", [0, 5, 9, 20])
def test_a_slot_that_was_written_halfway_is_no_entry(path: Path, at: int) -> None:
    """The mark, the length, the checksum, the entry itself."""
    spool = opened(path)
    spool.put(PAYMENT)
    spool.put(LOAN)
    spool.close()
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))
    assert Spool(path).open() == [LOAN]


def test_a_file_that_was_made_halfway_is_made_whole(path: Path) -> None:
    path.write_bytes(b"\0" * (SLOT_BYTES + 7))
    spool = opened(path)
    spool.put(PAYMENT)
    assert path.stat().st_size == SLOTS * SLOT_BYTES
    assert read_spool(path) == [PAYMENT]


def test_a_full_spool_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SLOTS", 2)
    spool = opened(path)
    spool.check()
    spool.put(PAYMENT)
    spool.put(LOAN)
    with pytest.raises(SpoolError, match="taken"):
        spool.put(attempt_of(order("BK9")))
    with pytest.raises(SpoolError, match="taken"):
        spool.check()
    spool.put(PAYMENT)
    spool.drop([LOAN.id])
    spool.check()


def test_what_does_not_fit_is_refused_and_disturbs_nothing(path: Path) -> None:
    spool = opened(path)
    with pytest.raises(SpoolError, match="fit"):
        spool.put(attempt_of(order("B" * SLOT_BYTES)))
    assert read_spool(path) == []


def test_one_gateway_at_a_time(path: Path) -> None:
    first = opened(path)
    with pytest.raises(SpoolError):
        Spool(path).open()
    first.close()
    assert Spool(path).open() == []


def test_a_flush_that_fails_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    spool = opened(path)
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(SpoolError, match="Input/output error"):
        spool.put(PAYMENT)
    with pytest.raises(SpoolError, match="Input/output error"):
        spool.check()


def test_a_spool_that_is_not_open_takes_nothing(path: Path) -> None:
    with pytest.raises(SpoolError, match="open"):
        Spool(path).put(PAYMENT)
    assert read_spool(path) == []


# The keeper in front of it


def keeper(path: Path) -> Doubts:
    doubts = Doubts(Spool(path))
    doubts.open()
    return doubts


async def test_what_is_noted_is_found_by_its_key_until_it_is_forgotten(path: Path) -> None:
    doubts = keeper(path)
    await doubts.note(PAYMENT)
    await doubts.note(PAYMENT)
    await doubts.note(LOAN)
    assert doubts.all() == sorted([PAYMENT, LOAN], key=lambda known: (known.time, known.id))
    assert doubts.under(key_of(attempt_of(order()))) is PAYMENT
    assert doubts.under(key_of(attempt_of(order("BK2")))) is None
    assert doubts.under(key_of(attempt_of(order(terminal="cash-2")))) is None
    assert doubts.under(key_of(attempt_of(desk.order(item="I1")))) is None
    doubts.settled([Settlement(PAYMENT, done=False), Settlement(attempt_of(order()), done=False)])
    assert doubts.under(key_of(PAYMENT)) is None
    assert len(doubts) == 1
    await doubts.close()
    assert read_spool(path) == [LOAN]


async def test_of_two_under_one_key_the_other_is_found_when_one_is_forgotten(path: Path) -> None:
    """A terminal asked twice on two lines, and nobody knows of either."""
    doubts, first, second = keeper(path), attempt_of(order()), attempt_of(order())
    await doubts.note(first)
    await doubts.note(second)
    doubts.settled([Settlement(second, done=False)])
    assert doubts.under(key_of(first)) == first
    doubts.settled([Settlement(first, done=False)])
    assert doubts.under(key_of(first)) is None
    await doubts.close()


async def test_what_turned_out_to_be_done_is_remembered_and_the_oldest_forgotten(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its terminal may ask again when nothing can be read: a plain no would be wrong then."""
    monkeypatch.setattr("sip2gw.backend.doubts.DONE_KEPT_MAX", 2)
    doubts, first, second = keeper(path), attempt_of(order("BK1")), attempt_of(order("BK2"))
    for known in (first, second, LOAN):
        await doubts.note(known)
    doubts.settled([Settlement(first, done=True), Settlement(second, done=False)])
    assert doubts.all() == [LOAN]
    assert doubts.perhaps_done() == [LOAN, first]
    doubts.settled([Settlement(LOAN, done=True), Settlement(first, done=True)])
    assert doubts.perhaps_done() == [LOAN, first]
    third = attempt_of(order("BK3"))
    doubts.settled([Settlement(third, done=True)])
    assert doubts.perhaps_done() == [first, third]
    await doubts.close()


async def test_what_an_earlier_process_has_left_is_known_at_once(path: Path) -> None:
    spool = opened(path)
    spool.put(PAYMENT)
    spool.close()
    doubts = keeper(path)
    assert doubts.under(key_of(PAYMENT)) == PAYMENT
    await doubts.close()


async def test_a_disk_that_is_stuck_does_not_hold_up_the_answer_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(doubts_module, "NOTE_WAIT_S", 0.01)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: stuck.wait())
    doubts = keeper(path)
    await asyncio.wait_for(doubts.note(PAYMENT), 5)
    assert read_spool(path) == [PAYMENT]  # it outlives the process already
    stuck.set()
    await doubts.close()


async def test_a_deadline_that_passes_meanwhile_does_not_end_the_noting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the terminal would be told a plain no of something that is noted, and may be done."""
    go = threading.Event()
    put = Spool.put

    def slow_put(spool: Spool, attempt: UnknownAttempt) -> None:
        go.wait()
        put(spool, attempt)

    monkeypatch.setattr(Spool, "put", slow_put)
    doubts = keeper(path)
    noting = asyncio.ensure_future(doubts.note(PAYMENT))
    await asyncio.sleep(0)
    noting.cancel()
    await asyncio.sleep(0)
    go.set()
    await noting
    assert read_spool(path) == [PAYMENT]
    await doubts.close()


async def test_a_terminal_that_hangs_up_meanwhile_is_waited_for_no_longer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(Spool, "put", lambda spool, attempt: go.wait())
    doubts, ended = keeper(path), asyncio.get_running_loop().create_future()
    noting = start(doubts.note(PAYMENT))
    assert isinstance(noting, Suspended)
    noting.go_on(ended.set_result)
    noting.cancel(HungUpError())
    assert isinstance(await ended, HungUpError)
    go.set()
    await doubts.close()


async def test_what_could_not_be_written_is_kept_and_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile no payment may be taken."""

    def fail(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    doubts = keeper(path)
    assert doubts.writable
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", fail)
        await doubts.note(PAYMENT)
        assert not doubts.writable
        assert "No space" in doubts.problem
        assert doubts.all() == [PAYMENT]
        await doubts.mend()
        assert not doubts.writable
    await doubts.mend()
    assert doubts.writable
    assert read_spool(path) == [PAYMENT]
    await doubts.close()


async def test_a_spool_that_could_not_be_opened_is_opened_later(path: Path) -> None:
    """And what lies in it counts."""
    other = opened(path)
    other.put(LOAN)
    doubts = keeper(path)
    assert not doubts.writable
    assert doubts.problem.startswith(f"{path}: another gateway holds it; give each gateway a")
    await doubts.note(PAYMENT)
    other.close()
    await doubts.mend()
    assert doubts.writable
    assert {known.id for known in doubts.all()} == {LOAN.id, PAYMENT.id}
    assert read_spool(path) == [LOAN, PAYMENT]
    await doubts.close()


# Several workers ---------------------------------------------------------------------------


def left_at(path: Path, *attempts: UnknownAttempt) -> None:
    """A spool of a worker that was killed."""
    spool = opened(path)
    for attempt in attempts:
        spool.put(attempt)
    spool.close()


def test_each_worker_has_its_own_and_the_first_one_that_of_a_single_process(path: Path) -> None:
    assert spool_of_worker(path, 0) == path
    assert spool_of_worker(path, 2).name == "library.db.spool.2"
    for worker in (10, 2, 1):
        left_at(spool_of_worker(path, worker))
    for other in ("library.db.spool.old", "library.db.spool.1.bak", "other.spool.1"):
        path.with_name(other).touch()
    assert [one.suffix for one in spools_beside(path)] == [".1", ".2", ".10"]
    assert [one.suffix for one in spools_beside(path, 2)] == [".2", ".10"]
    assert spools_beside(path / "nowhere") == []


def test_staff_see_what_is_in_the_spools_of_all_workers(path: Path) -> None:
    left_at(path, PAYMENT)
    left_at(spool_of_worker(path, 1), LOAN)
    assert read_spools(path) == [PAYMENT, LOAN]


def test_what_a_worker_has_left_moves_and_its_file_goes(path: Path) -> None:
    other = spool_of_worker(path, 3)
    left_at(other, LOAN)
    spool = opened(path)
    spool.put(PAYMENT)
    assert spool.take_over(other) == [LOAN]
    assert read_spool(path) == [PAYMENT, LOAN]
    assert not other.exists()


def test_a_file_that_a_worker_still_uses_is_left_alone(path: Path) -> None:
    used = opened(spool_of_worker(path, 3))
    used.put(LOAN)
    spool = opened(path)
    assert spool.take_over(used.path) is None
    assert (read_spool(path), read_spool(used.path)) == ([], [LOAN])


def test_nothing_goes_of_what_finds_no_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SLOTS", 1)
    other = spool_of_worker(path, 3)
    left_at(other, LOAN)
    spool = opened(path)
    spool.put(PAYMENT)
    with pytest.raises(SpoolError, match="no room"):
        spool.take_over(other)
    assert read_spool(other) == [LOAN]


async def test_what_workers_have_left_is_known_at_once_or_as_soon_as_nobody_uses_it(
    path: Path,
) -> None:
    left, used = (spool_of_worker(path, worker) for worker in (2, 3))
    left_at(left, PAYMENT)
    worker = opened(used)
    worker.put(LOAN)
    doubts = Doubts(Spool(path), [left, used])
    doubts.open()
    assert doubts.all() == [PAYMENT]
    await doubts.mend()
    assert doubts.all() == [PAYMENT]
    worker.close()
    await doubts.mend()
    assert {known.id for known in doubts.all()} == {PAYMENT.id, LOAN.id}
    assert {known.id for known in read_spool(path)} == {PAYMENT.id, LOAN.id}
    used.touch()
    await doubts.mend()
    assert used.exists()  # there is nothing left to take over
    await doubts.close()
