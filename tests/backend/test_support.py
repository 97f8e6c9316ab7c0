"""Customer support in both stores: opened once for each cause, routed, answered, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sql.desk import followup
from sip2gw.backend.sqlite.store import Store
from sip2gw.model.support import (
    AutomaticCategory,
    Cause,
    CodeEntry,
    CodeTable,
    EventKind,
    ProcessingRule,
    SupportFilter,
    SupportMessage,
    SupportStatus,
)
from sip2gw.policy.desk.support import OpeningDays
from sip2gw.policy.hours.calendar import BranchCalendar, OpeningState, Slot

from .library import NOW, REFUSALS, ZONE, open_library, open_postgres_library, order, pay_fee
from .test_refusals import keep, refused
from .test_reviews import noted
from .unknown_contract import unknown

LATER = NOW + timedelta(hours=1)
PLAIN_DAYS = OpeningDays({}, ZONE)
MONDAYS = BranchCalendar([Slot(frozenset({0}), 600, 1080, OpeningState.STAFFED)], (), ZONE)
SATURDAYS = BranchCalendar([Slot(frozenset({5}), 600, 1080, OpeningState.UNSTAFFED)], (), ZONE)
DAYS = OpeningDays({"MAIN": MONDAYS, "EAST": SATURDAYS}, ZONE)
BRANCHES = {"kiosk-1": "EAST", "cash-1": "EAST"}

CARD = Cause("CARD", "C1", "kiosk-1 blocked card C1.", "P1")
A, C, D, X, Y, Z = map(SupportStatus, "ACDXYZ")


def listed(library: Library, **wanted: Any) -> list[SupportMessage]:
    return list(library.support_messages(SupportFilter(**wanted)))


def history(library: Library, message_id: int) -> list[tuple[Any, ...]]:
    _, events = library.support_message(message_id)
    return [(it.user, it.kind, it.before, it.after, it.note) for it in events]


async def follow_up(library: Library, now: datetime = NOW) -> int:
    return await library.follow_up(BRANCHES, now, DAYS)


async def move(library: Library, message_id: int, to: SupportStatus, note: str = "") -> None:
    await library.set_support_status(message_id, to, note, "ann", LATER, DAYS)


async def route(library: Library, category: str) -> None:
    """Messages of the gateway of this category go to the desk of the front office."""
    await library.add_support_entry(CodeTable.DEPARTMENT, CodeEntry("FRONT", "Front office"))
    await library.add_support_entry(CodeTable.UNIT, CodeEntry("DESK", "Desk", "FRONT"))
    await library.add_support_rule(
        ProcessingRule("AU", category, 1, 2, "FRONT", "DESK", "ann", "bob")
    )


# Opened once


async def test_a_cause_is_one_open_message_and_its_repeats_are_counted(library: Library) -> None:
    """C163."""
    other = Cause("CARD", "C2", "kiosk-1 blocked card C2.")
    assert await library.open_automatic([CARD, other, CARD], NOW, PLAIN_DAYS) == 2
    assert await library.open_automatic([CARD], LATER, PLAIN_DAYS) == 0
    first, second = listed(library)
    assert first == SupportMessage(
        id=1,
        type="AU",
        category="CARD",
        status=A,
        text="kiosk-1 blocked card C1.",
        created=NOW,
        count=3,
        repeated=LATER,
        patron_id="P1",
    )
    assert (second.id, second.count, second.repeated, second.patron_id) == (2, 1, None, None)
    assert history(library, 1) == [("", EventKind.OPENED, None, A, "")]


async def test_the_same_object_of_another_category_is_another_cause(library: Library) -> None:
    causes = [Cause("SILE", "kiosk-1", "silent"), Cause("PINT", "kiosk-1", "guesses")]
    assert await library.open_automatic(causes, NOW, PLAIN_DAYS) == 2


async def test_after_it_was_closed_the_cause_opens_a_new_one(library: Library) -> None:
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    await move(library, 1, X)
    assert await library.open_automatic([CARD], LATER, PLAIN_DAYS) == 1
    assert [(it.id, it.status, it.count) for it in listed(library)] == [(1, X, 1), (2, A, 1)]


async def test_hosts_that_report_at_once_open_one(
    request: pytest.FixtureRequest, tmp_path: Any, library: Library
) -> None:
    """Two gateways on one database, or a gateway and a command on one file."""
    other: Library
    if isinstance(library, Store):
        other = open_library(tmp_path, "command")
    else:
        assert isinstance(library, PostgresStore)
        other = open_postgres_library(library._address.url)
    stores = [library, other] * 5
    new = await asyncio.gather(*(it.open_automatic([CARD], NOW, PLAIN_DAYS) for it in stores))
    await other.close()
    assert sorted(new) == [0] * 9 + [1]
    (message,) = listed(library)
    assert message.count == 10


async def test_what_no_terminal_could_show_is_not_kept(library: Library) -> None:
    odd = Cause("CARD", "C\x001\ud800", "kiosk\n\x1b[2J" + "x" * 3_000)
    assert await library.open_automatic([odd, odd], NOW, PLAIN_DAYS) == 1
    (message,) = listed(library)
    assert message.text.startswith("kiosk  [2Jxxx")
    assert len(message.text) == 2_000


async def test_an_unknown_category_opens_nothing(library: Library) -> None:
    with pytest.raises(REFUSALS):
        await library.open_automatic([CARD, Cause("NONE", "1", "no")], NOW, PLAIN_DAYS)
    assert listed(library) == []


# Routed


async def test_the_rule_routes_and_opening_days_of_the_branch_count(library: Library) -> None:
    """NOW is a Tuesday."""
    await route(library, "CARD")
    at_east = Cause("CARD", "C2", "two", branch="EAST")
    await library.open_automatic([CARD, at_east, Cause("DOOR", "door-1", "no")], NOW, DAYS)
    main, east, door = listed(library)
    assert (main.department, main.unit, main.processor, main.reporter) == (
        *("FRONT", "DESK", "ann", "bob"),
    )
    assert (main.due, east.due) == (date(2026, 3, 16), date(2026, 3, 14))
    assert (door.department, door.unit, door.processor, door.due) == (None, None, "", None)


async def test_after_the_first_answer_the_processing_time_counts(library: Library) -> None:
    await route(library, "CARD")
    await library.open_automatic([CARD], NOW, DAYS)
    await library.answer_support_message(1, "Come to the desk.", "ann", LATER)
    assert [it.due for it in listed(library)] == [date(2026, 3, 23)]


async def test_without_a_response_time_the_processing_time_counts_at_once(library: Library) -> None:
    await library.add_support_rule(ProcessingRule("AU", "CARD", processing_days=3))
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    assert [it.due for it in listed(library)] == [date(2026, 3, 13)]


async def test_a_message_is_overdue_the_day_after_it_was_due(library: Library) -> None:
    await route(library, "CARD")
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)  # due on the 11th
    on_time, late = date(2026, 3, 11), date(2026, 3, 12)
    assert listed(library, overdue_on=on_time) == []
    assert [it.id for it in listed(library, overdue_on=late)] == [1]
    assert (library.support_counts(on_time).overdue, library.support_counts(late).overdue) == (0, 1)
    await move(library, 1, X)
    assert listed(library, overdue_on=late) == []
    assert library.support_counts(late).overdue == 0


async def test_open_messages_are_counted_by_every_type_there_is(library: Library) -> None:
    await library.add_support_entry(CodeTable.TYPE, CodeEntry("VR", "Question"))
    assert library.support_counts(NOW.date()).open == {"AU": 0, "VR": 0}
    other = Cause("CARD", "C2", "two")
    await library.open_automatic([CARD, other], NOW, PLAIN_DAYS)
    await move(library, 2, X)
    assert library.support_counts(NOW.date()).open == {"AU": 1, "VR": 0}


async def test_messages_are_found_by_what_they_are(library: Library) -> None:
    await route(library, "CARD")
    await library.open_automatic([CARD, Cause("DOOR", "door-1", "no")], NOW, PLAIN_DAYS)
    await move(library, 2, Z)
    for wanted in (
        *({"category": "CARD"}, {"department": "FRONT"}, {"unit": "DESK"}, {"patron_id": "P1"}),
        {"only_open": True, "type": "AU"},
    ):
        assert [it.id for it in listed(library, **wanted)] == [1]
    assert listed(library, type="VR") == []


# Moved, answered, closed


async def test_the_history_says_who_did_what(library: Library) -> None:
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    assert await library.answer_support_message(1, "Come by.", "ann", LATER) is C
    await library.set_support_status(1, D, "She came by.", "bob", LATER, DAYS)
    await library.set_support_status(1, X, "", "bob", LATER, DAYS)
    assert history(library, 1) == [
        ("", EventKind.OPENED, None, A, ""),
        ("ann", EventKind.ANSWERED, A, C, "Come by."),
        ("bob", EventKind.CHANGED, C, D, "She came by."),
        ("bob", EventKind.CHANGED, D, X, ""),
    ]
    message, events = library.support_message(1)
    assert (message.status, message.closed, events[3].time) == (X, LATER, LATER)


async def test_without_a_patron_an_answer_changes_no_status(library: Library) -> None:
    await library.open_automatic([Cause("DOOR", "door-1", "no")], NOW, PLAIN_DAYS)
    assert await library.answer_support_message(1, "Repaired.", "ann", LATER) is A
    assert history(library, 1)[1] == ("ann", EventKind.ANSWERED, A, A, "Repaired.")


async def test_an_answer_may_be_a_default_message(library: Library) -> None:
    await library.add_support_entry(
        CodeTable.DEFAULT_MESSAGE, CodeEntry("DESK", "To the desk", text="Please see the desk.")
    )
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    await library.answer_support_message(1, None, "ann", LATER, default="DESK")
    assert history(library, 1)[1][-1] == "Please see the desk."
    with pytest.raises(RefusedError, match="there is no default message NONE"):
        await library.answer_support_message(1, None, "ann", LATER, default="NONE")
    with pytest.raises(RefusedError, match="the answer must not be empty"):
        await library.answer_support_message(1, " ", "ann", LATER)


@pytest.mark.parametrize(
    ("way", "to", "why"),
    [
        ("", "A", r"message 1 is already open \(A\)$"),
        ("", "Y", r"message 1 is open \(A\) and cannot become closed by the reporter \(Y\)"),
        ("", "Y", r"; allowed: B C D X Z$"),
        ("D", "B", r"waiting for the library \(D\) and cannot become sent \(B\); allowed: C X Z$"),
        ("X", "B", r"closed by the library \(X\); reopen it first with `support status 1 A`$"),
    ],
)
async def test_a_status_that_cannot_follow_is_refused_with_a_sentence(
    library: Library, way: str, to: str, why: str
) -> None:
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    for status in way:
        await move(library, 1, SupportStatus(status))
    before = library.support_message(1)
    with pytest.raises(RefusedError, match=why):
        await move(library, 1, SupportStatus(to))
    assert library.support_message(1) == before


async def test_what_is_unknown_or_closed_is_refused(library: Library) -> None:
    with pytest.raises(RefusedError, match="no message has the id 7; see `support list`"):
        await move(library, 7, X)
    with pytest.raises(RefusedError, match="no message has the id 7"):
        await library.answer_support_message(7, "Yes.", "ann", LATER)
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    await move(library, 1, Z)
    with pytest.raises(RefusedError, match=r"message 1 is closed \(Z\); reopen it first"):
        await library.answer_support_message(1, "Yes.", "ann", LATER)


async def test_reopening_starts_the_times_anew(library: Library) -> None:
    await route(library, "CARD")
    await library.open_automatic([CARD], NOW - timedelta(days=30), PLAIN_DAYS)
    await library.answer_support_message(1, "Come by.", "ann", NOW)
    await move(library, 1, X)
    await library.set_support_status(1, A, "Still blocked.", "bob", NOW, PLAIN_DAYS)
    (message,) = listed(library, only_open=True)
    assert (message.status, message.closed, message.due) == (A, None, date(2026, 3, 11))
    assert history(library, 1)[-1] == ("bob", EventKind.CHANGED, X, A, "Still blocked.")


async def test_two_open_messages_of_one_cause_cannot_be(library: Library) -> None:
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    await move(library, 1, X)
    await library.open_automatic([CARD], NOW, PLAIN_DAYS)
    with pytest.raises(RefusedError, match="message 1 stays closed: message 2 is open for the"):
        await move(library, 1, A)


async def test_staff_open_messages_and_two_may_say_the_same(library: Library) -> None:
    await library.add_support_entry(CodeTable.TYPE, CodeEntry("VR", "Question"))
    for _ in range(2):
        await library.open_support_message(
            "VR", "CARD", "May I?", "ann", NOW, DAYS, card="C1", branch="EAST"
        )
    first, second = listed(library)
    assert (first.type, first.patron_id, first.branch, second.id) == ("VR", "P1", "EAST", 2)
    assert history(library, 1) == [("ann", EventKind.OPENED, None, A, "")]


@pytest.mark.parametrize(
    ("type_code", "category", "text", "card", "why"),
    [
        ("XX", "CARD", "Why?", None, "there is no type XX; see `support table list type`"),
        ("AU", "NONE", "Why?", None, "there is no category NONE; see `support table list category"),
        ("AU", "CARD", " ", None, "the text must not be empty"),
        ("AU", "CARD", "Why?", "4711", "no patron has the id or card 4711"),
    ],
)
async def test_a_message_needs_what_exists(
    library: Library, type_code: str, category: str, text: str, card: str | None, why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        await library.open_support_message(type_code, category, text, "ann", NOW, DAYS, card=card)
    assert listed(library) == []


# Reviews


async def test_each_open_entry_for_review_gets_a_message_once(library: Library) -> None:
    smooth, impossible = await noted(library)
    assert await follow_up(library) == 2
    assert await follow_up(library) == 0
    told = {it.text for it in listed(library, category="OFFL")}
    assert told == {
        "A loan of item N1 at kiosk-1 happened off line and was done as the terminal reported it."
        f" Look at it with `sip2gw review show {smooth.id}`.",
        "A loan of item nothing at kiosk-1 was refused (unknown_item)."
        f" Look at it with `sip2gw review show {impossible.id}`.",
    }
    assert {(it.patron_id, it.branch, it.count) for it in listed(library)} == {("P3", "EAST", 1)}


@pytest.mark.parametrize("status", [X, Z])
async def test_closing_the_message_closes_the_entry(
    library: Library, status: SupportStatus
) -> None:
    smooth, impossible = await noted(library)
    await follow_up(library)
    (mine,) = (it for it in listed(library) if smooth.id in it.text)
    await move(library, mine.id, status, "It is right.")
    entry = library.review(smooth.id)
    assert entry is not None
    assert (entry.state, entry.note, entry.closed, entry.closed_by) == (
        *("closed", "It is right.", LATER, "ann"),
    )
    assert list(library.reviews(state="open")) == [impossible]
    assert await follow_up(library) == 0


async def test_other_steps_leave_the_entry_open(library: Library) -> None:
    await noted(library)
    await follow_up(library)
    await move(library, 1, D)
    assert len(list(library.reviews(state="open"))) == 2


async def test_a_message_about_something_else_of_that_name_closes_no_entry(
    library: Library,
) -> None:
    smooth, _ = await noted(library)
    await library.open_automatic([Cause("DOOR", smooth.id, "no")], NOW, PLAIN_DAYS)
    await move(library, 1, X)
    assert len(list(library.reviews(state="open"))) == 2


async def test_closing_the_entry_closes_the_message(library: Library) -> None:
    smooth, impossible = await noted(library)
    await follow_up(library)
    await library.close_reviews([smooth.id], "seen", "ann", LATER)
    (closed,) = (it for it in listed(library) if smooth.id in it.text)
    assert (closed.status, closed.closed) == (X, LATER)
    assert history(library, closed.id)[-1] == ("ann", EventKind.CHANGED, A, X, "seen")
    assert [impossible.id in it.text for it in listed(library, only_open=True)] == [True]


async def test_a_refused_closing_leaves_message_and_entry_open(library: Library) -> None:
    smooth, _ = await noted(library)
    await follow_up(library)
    with pytest.raises(RefusedError):
        await library.close_reviews([smooth.id, "X"], "", "ann", LATER)
    assert len(listed(library, only_open=True)) == 2


async def test_reopening_a_message_leaves_the_entry_closed(library: Library) -> None:
    smooth, _ = await noted(library)
    await follow_up(library)
    (mine,) = (it for it in listed(library) if smooth.id in it.text)
    await move(library, mine.id, X)
    await move(library, mine.id, A)
    assert await follow_up(library) == 0
    assert len(listed(library, only_open=True)) == 2
    assert len(list(library.reviews(state="open"))) == 1


async def test_more_than_one_step_takes_is_taken_in_several(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followup, "_STEP", (1,))
    await noted(library)
    await keep(library, refused(0, bk="K1"), refused(1, bk="K2"), refused(2, bk="K2"))
    assert await follow_up(library) == 4
    assert sorted(it.count for it in listed(library)) == [1, 1, 1, 2]


# Payments


async def test_a_payment_answered_with_not_sure_stays_for_a_person(library: Library) -> None:
    """Settled by the gateway as not booked, the machine may still have the money."""
    lost = order()
    await library.settle([unknown(lost)], NOW)
    assert await follow_up(library) == 1
    (message,) = listed(library)
    assert (message.category, message.status, message.patron_id) == ("PAYU", A, "P1")
    assert message.text == (
        "A payment of 1.00 EUR with receipt BK1 at cash-1 was answered with 'not sure'. It was not"
        " booked. Find out whether the machine kept the money; look at it with"
        f" `sip2gw payment show {lost.id}`."
    )
    assert await follow_up(library) == 0


async def test_one_that_was_booked_says_so(library: Library) -> None:
    done = order()
    await library.book_payment(decided_by(done, pay_fee("F1")))
    await library.settle([unknown(done)], NOW)
    await follow_up(library)
    assert "'not sure'. It was booked. Find out" in listed(library)[0].text


async def _settled_with_a_note(library: Library) -> str:
    lost = order()
    await library.settle([unknown(lost)], NOW)
    with library.own_connection() as connection:
        connection.execute("UPDATE attempt SET note = 'Money is back.' WHERE id = ?", (lost.id,))
    return "Money is back."


async def _asked_again(library: Library) -> str:
    done = order()
    await library.book_payment(decided_by(done, pay_fee("F1")))
    await library.settle([unknown(done)], NOW)
    await library.book_payment(decided_by(order(), pay_fee("F1")))
    return "The terminal asked again and was told that it is booked."


async def _asked_again_after_a_refusal(library: Library) -> str:
    await library.settle([unknown(order())], NOW)
    await library.book_payment(decided_by(order(), pay_fee("F1")))
    return "The terminal asked again and was told that it is booked."


@pytest.mark.parametrize(
    "ended", [_settled_with_a_note, _asked_again, _asked_again_after_a_refusal]
)
async def test_the_message_ends_with_what_is_left_to_find_out(
    library: Library, ended: Callable[[Library], Any]
) -> None:
    note = await ended(library)
    assert await follow_up(library) == 1
    (message,) = listed(library)
    assert message.status is Z
    assert history(library, 1)[-1] == ("", EventKind.CHANGED, A, Z, note)
    await move(library, 1, A)
    assert await follow_up(library, LATER) == 0
    assert listed(library)[0].status is A  # what a person has reopened, a person closes


async def test_refused_payments_are_one_message_for_each_payment(library: Library) -> None:
    """The terminal and BK say which, or the card, the amount and the day."""
    await keep(
        library,
        refused(0, bk="K1"),
        refused(1, bk="K1"),
        refused(2, bk="K1", terminal="cash-2"),
        refused(3, bk="", payer="C1"),
        refused(4, bk="", payer="C1"),
        refused(5, bk="", payer="C1", amount="3.00"),
        refused(6, bk="", payer="4711"),
        refused(3 + 24 * 60, bk="", payer="C1"),
    )
    assert await follow_up(library) == 6
    assert await follow_up(library) == 0
    messages = listed(library, category="PAYR")
    assert [(it.count, it.patron_id, it.branch) for it in messages] == [
        (2, None, "EAST"),
        (1, None, None),
        (2, "P1", "EAST"),
        (1, "P1", "EAST"),
        (1, None, "EAST"),
        (1, "P1", "EAST"),
    ]
    assert messages[0].text == (
        "A payment of 2.50 EUR with receipt K1 at cash-1 was refused (overpayment). The machine may"
        " have taken the money: book it at the desk or give it back; look at it with"
        " `sip2gw payment refused`."
    )


async def test_a_refused_payment_without_an_amount_is_told_in_a_whole_sentence(
    library: Library,
) -> None:
    """A 37 whose amount was empty."""
    await keep(library, refused(amount="", bk="", reason="amount"))
    assert await follow_up(library) == 1
    (message,) = listed(library, category="PAYR")
    assert message.text.startswith(
        "A payment of an unreadable amount at cash-1 was refused (amount). The machine may"
    )


# Forgotten


async def test_closed_messages_are_forgotten_and_their_ids_never_given_again(
    library: Library,
) -> None:
    await library.open_automatic([CARD, Cause("CARD", "C2", "two")], NOW, PLAIN_DAYS)
    await move(library, 2, X)
    assert library.count_forgotten_support_messages(LATER) == 0
    assert await library.forget_support_messages(LATER) == 0
    after = LATER + timedelta(seconds=1)
    assert library.count_forgotten_support_messages(after) == 1
    assert await library.forget_support_messages(after) == 1
    assert [it.id for it in listed(library)] == [1]
    with library.snapshot() as connection:
        kept = connection.execute("SELECT message_id FROM support_event").fetchall()
    assert [row[0] for row in kept] == [1]
    await library.open_automatic([Cause("CARD", "C3", "three")], NOW, PLAIN_DAYS)
    assert [it.id for it in listed(library)] == [1, 3]


async def test_what_was_forgotten_is_not_opened_again(library: Library) -> None:
    """Even with 0 days: the refused payment itself is kept for longer."""
    await keep(library, refused())
    await library.settle([unknown(order())], NOW)
    await noted(library)
    assert await follow_up(library) == 4
    for message in listed(library):
        await move(library, message.id, X)
    assert await library.forget_support_messages(LATER + timedelta(days=1)) == 4
    assert await follow_up(library, LATER) == 0


# Tables


async def test_what_the_gateway_opens_has_its_names_from_the_start(library: Library) -> None:
    """C145."""
    assert [it.code for it in library.support_entries(CodeTable.TYPE)] == ["AU"]
    codes = [it.code for it in library.support_entries(CodeTable.CATEGORY)]
    assert codes == sorted(AutomaticCategory)
    renamed = {"description": "Kaart geblokkeerd"}
    await library.change_support_entry(CodeTable.CATEGORY, "CARD", renamed)
    entries = {it.code: it.description for it in library.support_entries(CodeTable.CATEGORY)}
    assert (entries["CARD"], entries["OFFL"]) == (
        "Kaart geblokkeerd",
        "Transaction that was off line or uncertain",
    )


async def test_rows_are_added_once_and_changed_in_part(library: Library) -> None:
    await route(library, "CARD")
    with pytest.raises(RefusedError, match="there is a department FRONT already; use `support tab"):
        await library.add_support_entry(CodeTable.DEPARTMENT, CodeEntry("FRONT", "again"))
    with pytest.raises(RefusedError, match="there is no department BACK; see `support table list"):
        await library.change_support_entry(CodeTable.DEPARTMENT, "BACK", {"description": "x"})
    await library.change_support_entry(CodeTable.UNIT, "DESK", {"description": "Information"})
    assert library.support_entries(CodeTable.UNIT) == [CodeEntry("DESK", "Information", "FRONT")]
    text = CodeEntry("PAID", "Paid", text="It is paid.")
    await library.add_support_entry(CodeTable.DEFAULT_MESSAGE, text)
    await library.change_support_entry(CodeTable.DEFAULT_MESSAGE, "PAID", {"text": "All is paid."})
    (changed,) = library.support_entries(CodeTable.DEFAULT_MESSAGE)
    assert changed == CodeEntry("PAID", "Paid", text="All is paid.")
    await library.change_support_rule("AU", "CARD", {"response_days": None, "processor": "eve"})
    assert library.support_rules() == [
        ProcessingRule("AU", "CARD", None, 2, "FRONT", "DESK", "eve", "bob")
    ]


async def test_rules_and_units_name_what_exists(library: Library) -> None:
    await route(library, "CARD")
    await library.add_support_entry(CodeTable.DEPARTMENT, CodeEntry("BACK", "Back office"))
    rule = ProcessingRule("AU", "DOOR", group="FRONT")
    for wrong, why in (
        (ProcessingRule("XX", "DOOR"), "there is no type XX"),
        (ProcessingRule("AU", "NONE"), "there is no category NONE"),
        (ProcessingRule("AU", "DOOR", group="NONE"), "there is no department NONE"),
        (ProcessingRule("AU", "DOOR", group="BACK", unit="NONE"), "there is no unit NONE"),
        (
            ProcessingRule("AU", "DOOR", group="BACK", unit="DESK"),
            "unit DESK belongs to department FRONT, not to BACK",
        ),
        (ProcessingRule("AU", "DOOR", response_days=400), "from 0 to 365"),
        (ProcessingRule("AU", "CARD"), "there is a processing rule for AU CARD already"),
    ):
        with pytest.raises(RefusedError, match=why):
            await library.add_support_rule(wrong)
    with pytest.raises(RefusedError, match="there is no processing rule for AU DOOR"):
        await library.change_support_rule("AU", "DOOR", {"group": "FRONT"})
    await library.add_support_rule(rule)
    with pytest.raises(RefusedError, match="rule of AU CARD names unit DESK of department FRONT"):
        await library.change_support_entry(CodeTable.UNIT, "DESK", {"department": "BACK"})
    with pytest.raises(RefusedError, match="there is no department NONE"):
        await library.add_support_entry(CodeTable.UNIT, CodeEntry("UNIT", "", "NONE"))
    with pytest.raises(RefusedError, match="exactly 2 letters"):
        await library.add_support_entry(CodeTable.TYPE, CodeEntry("VRA", "Question"))
    assert library.support_rules()[1:] == [rule]
