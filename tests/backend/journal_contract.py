"""What every store does with loans and returns that were taken off line (B77, C125, C154)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from sip2gw.backend.library import Library
from sip2gw.model import journal as model
from sip2gw.model.items import ReviewKind
from sip2gw.model.journal import EntryState, JournalEntry, Kept
from sip2gw.model.support import AutomaticCategory, Cause, SupportFilter
from sip2gw.policy.desk.support import OpeningDays

from .library import NOW, ZONE

UNTIL = NOW + timedelta(seconds=30)
LATER = UNTIL + timedelta(seconds=1)
"""When a lease until then is over."""
DAYS = OpeningDays({}, ZONE)


def taken_off_line(entry_id: str, **changes: Any) -> JournalEntry:
    """Ann borrows I1 at the kiosk while the library system is away."""
    entry = JournalEntry(
        id=entry_id,
        time=NOW,
        happened=NOW,
        account="default",
        terminal="kiosk-1",
        message="11",
        item="I1",
        patron="4711",
        key=f"kiosk-1|11|4711|{entry_id}|NNN",
        request={"transaction_date": "20260310    120000", "cancel": False, "nb_due_date": ""},
    )
    return replace(entry, **changes)


class JournalContract:
    """The tests; a subclass gives the `library`."""

    async def test_what_is_put_in_is_found_by_its_item_until_it_has_gone_up(
        self, library: Library
    ) -> None:
        entry = taken_off_line("J1")
        assert await library.journalled("I1") is None
        assert await library.add_to_journal(entry) is Kept.NEW
        assert await library.journalled("I1") == entry
        assert await library.journalled("I2") is None
        await library.end_journalled(entry, EntryState.DONE, (), NOW)
        assert await library.journalled("I1") is None
        assert [one.state for one in library.journal_entries()] == [EntryState.DONE]
        assert list(library.journal_entries(only_open=True)) == []

    @pytest.mark.parametrize(
        ("changes", "kept"),
        [
            ({}, Kept.KNOWN),
            ({"key": "another date"}, Kept.NEW),
            ({"terminal": "kiosk-2"}, Kept.NEW),
            ({"patron": "4712"}, Kept.NEW),
            ({"message": "09"}, Kept.NEW),
            ({"item": "I2"}, Kept.NEW),
        ],
    )
    async def test_a_repeated_request_is_one_entry(
        self, library: Library, changes: dict[str, Any], kept: Kept
    ) -> None:
        first = taken_off_line("J1")
        await library.add_to_journal(first)
        again = replace(first, id="J2", **changes)
        assert await library.add_to_journal(again) is kept
        assert len(list(library.journal_entries())) == (1 if kept is Kept.KNOWN else 2)

    async def test_after_another_entry_about_the_item_the_same_request_counts_again(
        self, library: Library
    ) -> None:
        """A terminal whose clock stands still lends, takes back, and lends again (C97)."""
        lent = taken_off_line("J1")
        await library.add_to_journal(lent)
        await library.add_to_journal(taken_off_line("J2", message="09", patron="", key="back"))
        assert await library.add_to_journal(replace(lent, id="J3")) is Kept.NEW

    async def test_the_oldest_goes_first_whenever_the_terminal_told_us(
        self, library: Library
    ) -> None:
        await library.add_to_journal(taken_off_line("J1"))
        earlier = NOW - timedelta(hours=1)
        await library.add_to_journal(taken_off_line("J2", item="I2", happened=earlier))
        await library.add_to_journal(taken_off_line("J0", account="east", happened=earlier))
        first = await library.claim_journalled("default", "gateway-1", NOW, UNTIL)
        assert first is not None
        assert (first.id, first.tries) == ("J2", 1)
        assert [entry.id for entry in library.journal_entries()] == ["J0", "J2", "J1"]

    async def test_an_item_goes_up_in_its_order_whichever_accounts_took_it(
        self, library: Library
    ) -> None:
        """Lent at one branch and returned at another: else it would stay on loan there."""
        lent = taken_off_line("J1", account="east")
        returned = taken_off_line("J2", message="09", patron="", key="back")
        await library.add_to_journal(lent)
        await library.add_to_journal(returned)
        await library.add_to_journal(taken_off_line("J3", item="I3"))
        first = await library.claim_journalled("default", "gateway-1", NOW, UNTIL)
        assert first is not None
        assert first.id == "J3"  # other items need not wait
        await library.end_journalled(first, EntryState.DONE, (), NOW)
        assert await library.claim_journalled("default", "gateway-1", NOW, UNTIL) is None
        await library.claim_journalled("east", "gateway-1", NOW, UNTIL)
        assert await library.claim_journalled("default", "gateway-1", NOW, UNTIL) is None
        await library.end_journalled(lent, EntryState.DONE, (), NOW)
        second = await library.claim_journalled("default", "gateway-1", NOW, UNTIL)
        assert second is not None
        assert second.id == "J2"

    async def test_while_one_gateway_hands_over_no_other_does(self, library: Library) -> None:
        await library.add_to_journal(taken_off_line("J1"))
        await library.claim_journalled("default", "gateway-1", NOW, UNTIL)
        # An older one, that came meanwhile, does not go up beside it either.
        earlier = NOW - timedelta(hours=1)
        await library.add_to_journal(taken_off_line("J2", item="I2", happened=earlier))
        assert await library.claim_journalled("default", "gateway-2", NOW, UNTIL) is None
        # When the gateway has died, another one goes on.
        taken = await library.claim_journalled("default", "gateway-2", LATER, LATER)
        assert taken is not None
        assert taken.id == "J2"

    async def test_what_was_handed_over_when_a_gateway_died_goes_up_once_more(
        self, library: Library
    ) -> None:
        await library.add_to_journal(taken_off_line("J1"))
        first = await library.claim_journalled("default", "gateway-1", NOW, UNTIL)
        again = await library.claim_journalled("default", "gateway-2", LATER, LATER)
        assert first is not None
        assert again is not None
        assert again == replace(first, tries=2)

    async def test_what_did_not_go_up_waits_again(self, library: Library) -> None:
        await library.add_to_journal(taken_off_line("J1"))
        for gateway in ("gateway-1", "gateway-2"):
            entry = await library.claim_journalled("default", gateway, NOW, UNTIL)
            assert entry is not None
            assert entry.tries == 1
            await library.release_journalled(entry, gateway)

    async def test_only_the_first_word_about_an_entry_counts(self, library: Library) -> None:
        entry = taken_off_line("J1")
        await library.add_to_journal(entry)
        await library.end_journalled(entry, EntryState.DONE, (), NOW)
        await library.end_journalled(entry, EntryState.CONFLICT, ("refused",), NOW)
        assert [one.state for one in library.journal_entries()] == [EntryState.DONE]
        assert list(library.reviews()) == []

    async def test_a_conflict_is_an_entry_for_review(self, library: Library) -> None:
        entry = taken_off_line("J1")
        await library.add_to_journal(entry)
        await library.end_journalled(entry, EntryState.CONFLICT, ("refused_there",), NOW)
        (review,) = library.reviews()
        assert (review.id, review.kind, review.outcome) == ("J1", ReviewKind.CONFLICT, "refused")
        assert (review.item, review.patron, review.reasons) == ("I1", "4711", ("refused_there",))

    async def test_what_was_not_answered_is_looked_for(self, library: Library) -> None:
        entry = taken_off_line("J1")
        await library.add_to_journal(entry)
        await library.end_journalled(entry, EntryState.UNKNOWN, (), NOW)
        (doubtful,) = await library.doubtful_sendings(NOW)
        assert doubtful.sending.key == entry.key
        assert doubtful.sending.account == "default"

    @pytest.mark.parametrize(
        ("outcome", "state"), [("unknown", "unknown"), ("done", "done"), ("refused", "conflict")]
    )
    async def test_what_was_not_answered_is_shown_as_the_look_has_found_it(
        self, library: Library, outcome: str, state: str
    ) -> None:
        entry = taken_off_line("J1")
        await library.add_to_journal(entry)
        await library.end_journalled(entry, EntryState.UNKNOWN, (), NOW)
        (doubtful,) = await library.doubtful_sendings(NOW)
        await library.settle_sending(doubtful.sending, outcome, ("on_loan_to_patron",))
        assert [one.state for one in library.journal_entries()] == [state]

    async def test_the_message_about_an_entry_is_closed_when_it_has_gone_up(
        self, library: Library
    ) -> None:
        entry = taken_off_line("J1")
        await library.add_to_journal(entry)
        told = Cause(AutomaticCategory.JOURNAL, "J1", "The journal stays open.")
        await library.open_automatic((told,), NOW, DAYS)
        await library.end_journalled(entry, EntryState.DONE, (), NOW)
        assert list(library.support_messages(SupportFilter(only_open=True))) == []

    async def test_what_waits_is_counted_by_account_and_message(self, library: Library) -> None:
        await library.add_to_journal(taken_off_line("J2", item="I2"))
        await library.add_to_journal(taken_off_line("J1", time=NOW - timedelta(hours=1)))
        await library.add_to_journal(taken_off_line("J3", account="east", message="09"))
        ended = taken_off_line("J0", item="I0")
        await library.add_to_journal(ended)
        await library.end_journalled(ended, EntryState.DONE, (), NOW)
        assert await library.journal_waiting() == [
            model.Waiting("default", "11", 2, "J1", NOW - timedelta(hours=1)),
            model.Waiting("east", "09", 1, "J3", NOW),
        ]

    async def test_a_full_journal_takes_nothing_more_for_this_account(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sip2gw.backend.sql.journal.OPEN_MAX", 1)
        await library.add_to_journal(taken_off_line("J1"))
        assert await library.add_to_journal(taken_off_line("J2", item="I2")) is Kept.FULL
        assert await library.add_to_journal(taken_off_line("J1")) is Kept.KNOWN
        other = taken_off_line("J3", item="I3", account="east")
        assert await library.add_to_journal(other) is Kept.NEW

    async def test_what_has_gone_up_is_forgotten_after_a_day(self, library: Library) -> None:
        ended, waits = taken_off_line("J1"), taken_off_line("J2", item="I2")
        for entry in (ended, waits):
            await library.add_to_journal(entry)
        await library.end_journalled(ended, EntryState.DONE, (), NOW)
        day = NOW + timedelta(hours=24)
        assert await library.forget_journal(day) == 0
        assert library.count_forgotten_journal(day + timedelta(seconds=1)) == 1
        assert await library.forget_journal(day + timedelta(days=400)) == 1
        assert [entry.id for entry in library.journal_entries()] == ["J2"]
