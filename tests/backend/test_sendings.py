"""What went up to a library system and was not answered, on both stores (B79, C98, C127)."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from sip2gw.backend.attempts import DoubtfulSending, UnknownSending
from sip2gw.backend.base import RefusedError, UnavailableError
from sip2gw.backend.doubts import ENDED_KEPT_S
from sip2gw.backend.library import Library
from sip2gw.backend.spool import SLOT_BYTES, SLOTS, _entries
from sip2gw.backend.sql.money.unknown import unknown_attempts
from sip2gw.model.items import Review, ReviewKind

from .library import NOW

LATER = NOW + timedelta(days=400)


def sending(number: int = 1, **changes: Any) -> UnknownSending:
    known = UnknownSending(
        id=f"S{number}",
        time=NOW,
        terminal="kiosk-1",
        code="11",
        item_id="theirs",
        patron_id="4711",
        key=f"kiosk-1|11|4711|{number}|NNN",
        account="default",
    )
    return replace(known, **changes)


async def test_what_is_under_way_is_in_doubt_only_after_the_end_of_the_process(
    library: Library,
) -> None:
    await library.begin_sending(sending())
    assert await library.unknown_attempts() == []
    assert list(library.reviews()) == []
    doubts: Any = library._doubts
    assert [known.id for known in await asyncio.to_thread(_reread, doubts)] == ["S1"]
    library.end_sending(sending())
    assert [known.id for known in await asyncio.to_thread(_reread, doubts)] == ["S1"]
    await asyncio.sleep(3 * ENDED_KEPT_S)  # the answer has left
    assert await asyncio.to_thread(_reread, doubts) == []


async def test_what_ends_just_before_others_are_dropped_is_kept_as_long(library: Library) -> None:
    doubts: Any = library._doubts
    for number in (1, 2):
        await library.begin_sending(sending(number))
    with patch("sip2gw.backend.doubts.ENDED_KEPT_S", 100.0):
        library.end_sending(sending(1))
        doubts._age_ended()
        aging = doubts._aging
        library.end_sending(sending(2))
        assert doubts._aging is aging
        assert [known.id for known in await asyncio.to_thread(_reread, doubts)] == ["S1", "S2"]
        doubts._age_ended()
        assert [known.id for known in await asyncio.to_thread(_reread, doubts)] == ["S2"]
        await library.begin_sending(sending(3, code="09"))  # it would hide what has aged, too
        assert [known.id for known in await asyncio.to_thread(_reread, doubts)] == ["S3"]
        doubts._age_ended()
        assert doubts._aging is None


def _reread(doubts: Any) -> list[Any]:
    """What the next process would find."""

    def read() -> bytes:
        return os.pread(doubts._spool._file, SLOTS * SLOT_BYTES, 0)

    return list(dict(_entries(doubts._thread.submit(read).result())).values())


async def test_what_a_later_return_would_hide_does_not_come_back_after_a_crash(
    library: Library,
) -> None:
    """It is answered; a look would find the item returned, and say that it was never lent."""
    await library.begin_sending(sending())
    library.end_sending(sending())
    await library.begin_sending(sending(2, code="09"))
    doubts: Any = library._doubts
    assert [known.id for known in await asyncio.to_thread(_reread, doubts)] == ["S2"]


async def test_many_are_written_down_together(library: Library) -> None:
    doubts: Any = library._doubts
    flushes = 0
    flush = doubts._spool._flush

    def counted() -> None:
        nonlocal flushes
        flushes += 1
        flush()

    doubts._spool._flush = counted
    await asyncio.gather(*(library.begin_sending(sending(number)) for number in range(50)))
    assert flushes < 10
    assert len(await asyncio.to_thread(_reread, doubts)) == 50


async def test_what_cannot_be_written_down_must_not_go_up(library: Library) -> None:
    await asyncio.gather(*(library.begin_sending(sending(number)) for number in range(SLOTS)))
    with pytest.raises(UnavailableError):
        await library.begin_sending(sending(SLOTS))
    library.end_sending(sending(0))
    await library.begin_sending(sending(SLOTS))


async def test_who_gives_up_leaves_nothing_behind(library: Library) -> None:
    beginning = asyncio.ensure_future(library.begin_sending(sending()))
    await asyncio.sleep(0)
    beginning.cancel()
    await asyncio.gather(beginning, return_exceptions=True)
    await library.begin_sending(sending(2))
    await asyncio.sleep(3 * ENDED_KEPT_S)
    doubts: Any = library._doubts
    assert [known.id for known in await asyncio.to_thread(_reread, doubts)] == ["S2"]


async def test_who_gives_up_while_others_are_written_down_is_never_written(
    library: Library,
) -> None:
    doubts: Any = library._doubts
    may_write, write, written = threading.Event(), doubts._spool.put_all, []

    def slowly(attempts: list[UnknownSending]) -> list[str]:
        written.append([attempt.id for attempt in attempts])
        may_write.wait(10)
        noted: list[str] = write(attempts)
        return noted

    with patch.object(doubts._spool, "put_all", slowly):
        first = asyncio.ensure_future(library.begin_sending(sending(1)))
        while not written:  # noqa: ASYNC110 -- the thread says so
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(library.begin_sending(sending(n))) for n in (2, 3)]
        await asyncio.sleep(0)
        others[0].cancel()
        await asyncio.gather(others[0], return_exceptions=True)
        may_write.set()
        await asyncio.gather(first, others[1])
    assert written == [["S1"], ["S3"]]


async def test_what_nobody_knows_is_shown_from_the_spool_and_then_from_the_store(
    library: Library,
) -> None:
    known = sending()
    await library.begin_sending(known)
    await library.note_sending(known)
    assert await library.unknown_attempts() == [known]
    shown = Review(
        "S1", NOW, ReviewKind.UNKNOWN, "kiosk-1", "11", "theirs", "4711", outcome="unknown"
    )
    assert list(library.reviews()) == [shown]
    await library.settle_sending(known, "unknown")
    assert await library.unknown_attempts() == []
    assert list(library.reviews(state="open")) == [shown]
    assert await library.doubtful_sendings(NOW) == [DoubtfulSending(known)]


async def test_one_that_a_crash_brings_back_is_not_shown_twice(library: Library) -> None:
    await library.settle_sending(sending(), "unknown")
    await library.note_sending(sending())
    assert len(list(library.reviews())) == 1


@pytest.mark.parametrize("outcome", ["done", "refused"])
async def test_what_was_seen_settles_it_once(library: Library, outcome: str) -> None:
    known = sending()
    await library.settle_sending(known, "unknown")
    await library.settle_sending(known, outcome, ("on_loan_to_patron", "due_later"))
    await library.settle_sending(known, "unknown", ("not_told",))
    (entry,) = library.reviews()
    assert (entry.outcome, entry.reasons) == (outcome, ("on_loan_to_patron", "due_later"))
    assert await library.doubtful_sendings(LATER) == []
    found = [DoubtfulSending(known, ("on_loan_to_patron", "due_later"), is_done=True)]
    assert await library.doubtful_sendings(NOW) == (found if outcome == "done" else [])


async def test_noting_it_again_does_not_forget_what_was_seen(library: Library) -> None:
    await library.settle_sending(sending(), "unknown", ("not_told",))
    await library.settle_sending(sending(), "unknown")
    assert await library.doubtful_sendings(NOW) == [DoubtfulSending(sending(), ("not_told",))]


async def test_what_staff_have_closed_stays_as_it_is_and_is_forgotten_in_time(
    library: Library,
) -> None:
    await library.settle_sending(sending(), "unknown")
    await library.close_reviews(["S1"], "found it", "ann", NOW)
    await library.settle_sending(sending(), "done", ("on_loan_to_patron",))
    (entry,) = library.reviews()
    assert (entry.outcome, entry.note) == ("unknown", "found it")
    assert await library.doubtful_sendings(NOW) == []
    with pytest.raises(RefusedError):
        await library.close_reviews(["S1"], "", "ann", NOW)
    assert await library.forget_reviews(LATER) == 1


async def test_our_own_attempts_are_not_among_them(library: Library) -> None:
    """What our store does not know is settled in our store."""
    await library.settle_sending(sending(), "unknown")
    with library.snapshot() as connection:
        assert unknown_attempts(connection) == []
