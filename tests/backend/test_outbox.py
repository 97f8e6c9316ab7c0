"""Notices to patrons, on both databases (B63, C162)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.library import Library
from sip2gw.backend.sql.members import outbox
from sip2gw.backend.sql.members.outbox import FORGOTTEN_KEPT, LEASE, Claim
from sip2gw.model.notices import (
    Channel,
    Delivery,
    Notice,
    NoticeState,
    Result,
)

from .library import NOW

ENDS = Notice("CAE", "P1", "2026-12-31", {"until": "2026-12-31", "membership": "Adults"})
CLAIM = Claim(Channel.EMAIL, "library.example", NOW, only_due=True)
SENT = Result(NoticeState.SENT, to="ann@example.org")
MINUTE = timedelta(minutes=1)


async def put(library: Library, *notices: Notice, now: datetime = NOW) -> int:
    """Put `notices` into the outbox; how many are new."""
    return await library.write(lambda connection: WriteResult(outbox.put(connection, notices, now)))


async def taken(library: Library, now: datetime = NOW, claim: Claim = CLAIM) -> Delivery:
    """The next notice to deliver."""
    found = await library.take_notice(claim, now)
    assert found is not None
    return found


async def test_a_notice_is_put_once_for_its_kind_patron_and_cause(library: Library) -> None:
    others = (
        Notice("CAT", "P1", ENDS.cause, ENDS.values),
        Notice("CAE", "P2", ENDS.cause, ENDS.values),
        Notice("CAE", "P1", "2027-12-31", ENDS.values),
    )
    assert await put(library, ENDS, ENDS) == 1
    assert await put(library, ENDS, *others) == 3
    assert await put(library, ENDS, *others) == 0
    assert len(list(library.notices())) == 4


@pytest.mark.parametrize(
    ("kind", "values", "problem"),
    [
        ("CAX", {}, "no notice of kind 'CAX'"),
        ("LIMIT", {"owed": "500"}, "LIMIT says owed, limit"),
        ("LIMIT", {"owed": "500", "limit": "400", "pin": "1234"}, "LIMIT says owed, limit"),
    ],
)
def test_kinds_and_values_are_closed_lists(kind: str, values: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Notice(kind, "P1", "", values)


async def test_a_notice_is_taken_with_what_is_known_of_the_patron_now(library: Library) -> None:
    await put(library, ENDS)
    first = await taken(library)
    assert (first.kind, first.patron_id, first.values) == ("CAE", "P1", ENDS.values)
    assert (first.known, first.name, first.email, first.language) == (True, "Ann Maes", None, "nl")
    assert (first.attempts, first.first_try, first.created) == (1, NOW, NOW)
    assert first.message_id == f"<{first.id}@library.example>"


async def test_a_patron_who_is_gone_is_not_known(library: Library) -> None:
    await put(library, replace(ENDS, patron_id="nobody"))
    gone = await taken(library)
    assert (gone.known, gone.name, gone.email, gone.language) == (False, "", None, None)


async def test_only_one_process_has_a_notice_at_a_time(library: Library) -> None:
    await put(library, ENDS)
    first = await taken(library)
    assert await library.take_notice(replace(CLAIM, begun=NOW + MINUTE), NOW + MINUTE) is None
    end = NOW + LEASE
    last_moment = end - timedelta(microseconds=1)
    assert await library.take_notice(replace(CLAIM, begun=end), last_moment) is None
    second = await taken(library, end, replace(CLAIM, begun=end))
    assert (second.id, second.message_id, second.attempts) == (first.id, first.message_id, 2)
    assert second.first_try == NOW
    assert second.lease != first.lease


async def test_what_was_sent_is_sent_once_whoever_notes_it_first(library: Library) -> None:
    """The first process stood still for longer than its lease; it has handed the notice over."""
    await put(library, ENDS)
    first = await taken(library)
    later = NOW + LEASE
    second = await taken(library, later, replace(CLAIM, begun=later))
    assert await library.note_delivery(first, SENT, later)
    assert not await library.note_delivery(second, Result(NoticeState.FAILED, "late"), later)
    assert not await library.note_delivery(second, SENT, later + MINUTE)
    (kept,) = library.notices()
    assert (kept.state, kept.sent, kept.to) == (NoticeState.SENT, later, "ann@example.org")
    assert (kept.channel, kept.attempts, kept.problem) == (Channel.EMAIL, 2, "")


async def test_who_lost_the_lease_has_no_say_about_a_failure(library: Library) -> None:
    await put(library, ENDS)
    first = await taken(library)
    later = NOW + LEASE
    second = await taken(library, later, replace(CLAIM, begun=later))
    assert not await library.note_delivery(first, Result(NoticeState.FAILED, "old"), later)
    again = Result(NoticeState.WAITING, "new", next_try=later + MINUTE)
    assert await library.note_delivery(second, again, later)
    (kept,) = library.notices()
    assert (kept.state, kept.problem, kept.sent) == (NoticeState.WAITING, "new", None)


async def test_a_notice_that_was_not_taken_waits_for_its_next_try(library: Library) -> None:
    await put(library, ENDS)
    again = Result(NoticeState.WAITING, "SMTP 451", next_try=NOW + 2 * MINUTE)
    assert await library.note_delivery(await taken(library), again, NOW)
    soon, then = NOW + MINUTE, NOW + 2 * MINUTE
    assert await library.take_notice(replace(CLAIM, begun=soon), soon) is None
    assert (await taken(library, then, replace(CLAIM, begun=then))).attempts == 2


async def test_by_hand_what_waits_is_tried_at_once_but_once(library: Library) -> None:
    await put(library, ENDS)
    again = Result(NoticeState.WAITING, "SMTP 451", next_try=NOW + 2 * MINUTE)
    await library.note_delivery(await taken(library), again, NOW)
    begun = NOW + timedelta(seconds=1)
    by_hand = replace(CLAIM, begun=begun, only_due=False)
    await library.note_delivery(await taken(library, begun, by_hand), again, begun)
    assert await library.take_notice(by_hand, begun) is None


async def test_the_message_id_stays_when_the_sender_changes(library: Library) -> None:
    await put(library, ENDS)
    first = await taken(library)
    later = NOW + LEASE
    other = replace(CLAIM, begun=later, sender_domain="new.example")
    assert (await taken(library, later, other)).message_id == first.message_id


async def test_those_that_wait_longest_come_first(library: Library) -> None:
    later = replace(ENDS, cause="2027-12-31")
    await put(library, later, now=NOW + MINUTE)
    await put(library, ENDS, now=NOW)
    assert [kept.created for kept in library.notices()] == [NOW, NOW + MINUTE]
    claim = replace(CLAIM, begun=NOW + MINUTE)
    assert (await taken(library, NOW + MINUTE, claim)).created == NOW
    assert (await taken(library, NOW + MINUTE, claim)).created == NOW + MINUTE


async def test_what_failed_can_be_tried_again(library: Library) -> None:
    sent, failed, nowhere = (replace(ENDS, cause=cause) for cause in ("1", "2", "3"))
    results = (SENT, Result(NoticeState.FAILED, "x"), Result(NoticeState.UNDELIVERABLE, "y"))
    for notice, result in zip((sent, failed, nowhere), results, strict=True):
        await put(library, notice)
        await library.note_delivery(await taken(library), result, NOW)
    assert await library.count_notices() == dict(zip(NoticeState, (0, 1, 1, 1), strict=True))
    assert await library.try_notices_again(NOW + MINUTE) == 2
    assert await library.count_notices() == dict(zip(NoticeState, (2, 1, 0, 0), strict=True))
    later = NOW + MINUTE
    again = await taken(library, later, replace(CLAIM, begun=later))
    assert (again.attempts, again.first_try) == (1, later)


async def test_what_has_ended_is_forgotten_but_never_sent_again(library: Library) -> None:
    waiting = replace(ENDS, patron_id="P2")
    await put(library, ENDS)
    await library.note_delivery(await taken(library), SENT, NOW)
    await put(library, waiting)
    assert library.count_forgotten_notices(NOW) == 0
    assert await library.forget_notices(NOW) == 0
    after = NOW + MINUTE
    assert library.count_forgotten_notices(after) == 1
    assert await library.forget_notices(after) == 1
    assert await library.forget_notices(after) == 0
    assert [kept.patron_id for kept in library.notices()] == ["P2"]
    assert await put(library, ENDS) == 0
    with library.snapshot() as connection:
        (left,) = connection.execute("SELECT * FROM outbox_forgotten").fetchall()
    assert "P1" not in left
    await library.forget_notices(after + FORGOTTEN_KEPT)
    assert await put(library, ENDS) == 1


class Overtaken:
    """A connection on which another process is faster, between finding a notice and taking it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.other: Delivery | None = None

    def execute(self, statement: str, values: Any = ()) -> Any:
        if statement == outbox.LEASE_IT and self.other is None:
            self.other = outbox.take(self._connection, CLAIM, NOW)
        return self._connection.execute(statement, values)


async def test_who_finds_a_notice_second_does_not_get_it(library: Library) -> None:
    await put(library, ENDS)
    with library.own_connection() as connection:
        overtaken: Any = Overtaken(connection)
        assert outbox.take(overtaken, CLAIM, NOW) is None
    assert overtaken.other is not None
