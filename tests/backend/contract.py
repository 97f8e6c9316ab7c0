"""What every backend must do; a backend's test class inherits it and provides `backend`."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from orders import decided_by

from sip2gw.backend.base import (
    Backend,
    BackendError,
    Capability,
    EntryOrder,
    PaymentOrder,
)
from sip2gw.backend.ids import new_id
from sip2gw.backend.library import Library
from sip2gw.model import (
    AccessRow,
    Block,
    BlockType,
    CardHere,
    CardState,
    DoorEntry,
    FailedPins,
    FeeStatus,
    PaymentLine,
    Presence,
    Relationship,
    RelationshipType,
)
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.money.receipts import ReceiptRules

from .library import NOW, order, pay_fee

LOCK_UNTIL = NOW + timedelta(minutes=15)


def entry(patron_id: str = "P1", minutes: int = 0, **changes: Any) -> EntryOrder:
    """Somebody wants to enter the main branch, which closes in four hours."""
    now = NOW + timedelta(minutes=minutes)
    known = EntryOrder(
        branch="MAIN",
        passage="door-1 P1",
        patron_id=patron_id,
        now=now,
        stay_ends=NOW + timedelta(hours=4),
        same_since=now - timedelta(seconds=5),
        same_until=now + timedelta(seconds=5),
        capacity=0,
        refuse_inside=False,
    )
    return replace(known, **changes)


def sent_again(wanted: PaymentOrder) -> PaymentOrder:
    """The same once more, which is an attempt of its own (C98)."""
    return replace(wanted, id=new_id())


async def owed(backend: Backend, patron_id: str) -> dict[str, int]:
    """What the patron owes, by fee."""
    record = await backend.find_patron(patron_id)
    assert record is not None
    return {fee.id: fee.owed for fee in record.fees}


LONG_AGO = NOW - timedelta(days=10_000)


async def paid_by(
    backend: Backend, patron_id: str, since: datetime = LONG_AGO, payer_id: str | None = None
) -> dict[str, int]:
    """What was paid of the patron's fees, by fee."""
    found = await backend.paid_fees(patron_id, since, payer_id)
    return {paid.fee.id: paid.paid for paid in found}


class BackendContract:
    """The contract suite; the backend is loaded with the small library."""

    # Logins

    async def test_digests_of_good_logins_are_kept_and_replaced(self, backend: Backend) -> None:
        """C100."""
        assert await backend.known_logins() == {}
        await backend.remember_logins({"kiosk-1": "aa", "kiosk-2": "bb"})
        await backend.remember_logins({"kiosk-2": "cc"})
        assert await backend.known_logins() == {"kiosk-1": "aa", "kiosk-2": "cc"}

    # Reading

    async def test_any_card_finds_its_holder_a_replaced_one_too(self, backend: Backend) -> None:
        """B21."""
        for number in ("P1", "C1", "OLD1"):
            record = await backend.find_by_card(number)
            assert record is not None
            assert record.id == "P1"
        assert await backend.find_by_card("nobody") is None
        assert await backend.find_patron("C1") is None

    async def test_a_number_that_nobody_has_is_known_by_what_the_lists_say_of_it(
        self, backend: Backend
    ) -> None:
        """B34, B72: a library system may know whose it is."""
        assert isinstance(backend, Library)
        assert await backend.find_here("9999") == CardHere()
        bar = DoorEntry("bar", "MAIN", "9999", date(2026, 12, 31))
        weekend = DoorEntry("pass", "*", "9999", None, frozenset({5, 6}), 300, 420)
        await backend.put_door_entry(bar)
        await backend.put_door_entry(weekend)
        assert await backend.find_here("9999") == CardHere(None, (bar, weekend))
        assert await backend.find_here("9998") == CardHere()
        assert await backend.find_here("\0") == CardHere()
        await backend.remove_door_entry("pass", "*", "9999")
        assert await backend.find_here("9999") == CardHere(None, (bar,))

    async def test_a_card_of_ours_is_known_by_its_holder(self, backend: Backend) -> None:
        assert isinstance(backend, Library)
        await backend.put_door_entry(DoorEntry("bar", "MAIN", "C1"))
        for number in ("P1", "C1", "OLD1"):
            holder = await backend.find_by_card(number)
            assert holder is not None
            assert [entry.card for entry in holder.door_entries] == ["C1"]
            assert await backend.find_here(number) == CardHere(holder)

    async def test_several_patrons_are_found_at_once(self, backend: Backend) -> None:
        found = await backend.find_patrons({"P3", "P1", "nobody"})
        assert found == [await backend.find_patron("P1"), await backend.find_patron("P3")]
        assert await backend.find_patrons(()) == []

    async def test_a_payer_is_found_with_whom_they_might_pay_for(self, backend: Backend) -> None:
        """B51; the unconfirmed relation to P3, too: the decision is not made here."""
        facts = await backend.find_payer("C1")
        assert facts is not None
        assert facts.payer == await backend.find_patron("P1")
        assert [record.id for record in facts.debtors] == ["P2", "P3"]
        child = facts.debtors[0]
        assert child.card("P2") is not None
        assert {fee.id: fee.owed for fee in child.fees} == await owed(backend, "P2")
        assert await backend.find_payer("nobody") is None

    async def test_a_payment_keeps_the_card_that_was_scanned_first(self, backend: Backend) -> None:
        """B21; a retry with another card of the same patron is still the same payment (C4)."""
        first = await backend.book_payment(decided_by(order(card="C1"), pay_fee("F1")))
        again = await backend.book_payment(decided_by(order(card="P1"), pay_fee("F1")))
        assert first.payment is not None
        assert first.payment.card == "C1"
        assert "'C1'" not in repr(first)
        assert (again.outcome, again.payment) == ("replayed", first.payment)

    async def test_what_was_seen_of_the_payer_may_be_out_of_date(self, backend: Backend) -> None:
        """C60: decided again on what is true; and a retry is found although nothing is owed."""
        seen = await backend.find_payer("C1")
        first = await backend.book_payment(
            decided_by(order("BK1", 200, seen=seen), pay_fee("F1", 200))
        )
        assert first.outcome == "booked"
        late = await backend.book_payment(
            decided_by(order("BK2", 200, seen=seen), pay_fee("F1", 200))
        )
        assert late.refusal == "overpayment"
        again = await backend.book_payment(
            decided_by(order("BK1", 200, seen=seen), pay_fee("F1", 200))
        )
        assert again.outcome == "replayed"
        assert (await owed(backend, "P1"))["F1"] == 50

    async def test_a_second_look_sees_the_same(self, backend: Backend) -> None:
        assert await backend.find_by_card("C1") == await backend.find_by_card("C1")

    async def test_a_snapshot_holds_everything(self, backend: Backend) -> None:
        record = await backend.find_patron("P1")
        assert record is not None
        assert record.birth_date == date(1980, 2, 29)
        assert record.membership is not None
        assert record.membership.max_fees_self_service == 500
        assert record.membership.alert_amount == 400
        assert record.membership_until == date(2026, 12, 31)
        assert record.fee_limit == 750
        assert record.notices == ("A book was found",)
        assert record.house_rules_accepted == date(2026, 1, 2)
        assert record.blocks == (Block(BlockType.GENERAL, "ask", date(2026, 5, 1), "import"),)
        assert [loan.title for loan in record.loans] == ["Reinaert"]
        assert [(hold.title, hold.ready) for hold in record.holds] == [("Tijl", True)]

    async def test_the_id_is_an_active_card_unless_listed_otherwise(self, backend: Backend) -> None:
        """C35."""
        first, second = await backend.find_patron("P1"), await backend.find_patron("P2")
        assert first is not None
        assert second is not None
        states = {card.number: card.state for card in first.cards}
        assert states == {
            "P1": CardState.ACTIVE,
            "C1": CardState.ACTIVE,
            "OLD1": CardState.REPLACED,
        }
        assert [card.state for card in second.cards] == [CardState.LOST]

    async def test_badges_come_with_their_definition(self, backend: Backend) -> None:
        """B22: active or not, and both lists of branches (C35)."""
        record = await backend.find_patron("P1")
        assert record is not None
        open_library, study_room = record.badges
        assert open_library.code == "ONBE"
        assert open_library.active
        assert open_library.valid_from == date(2026, 1, 1)
        assert open_library.badge_branches == ("MAIN", "EAST")
        assert open_library.assignment_branches == ("MAIN",)
        assert not study_room.active

    async def test_fees_are_what_is_owed_oldest_first_then_by_id(self, backend: Backend) -> None:
        """C6, C17: partly paid before, and settled ones left out."""
        assert list((await owed(backend, "P1")).items()) == [("F1", 250), ("F2", 120)]
        record = await backend.find_patron("P2")
        assert record is not None
        (fee,) = record.fees
        assert (fee.id, fee.amount, fee.owed) == ("F3", 1000, 600)
        assert (fee.status, fee.arrangement_date) == (FeeStatus.ARRANGEMENT, date(2026, 6, 1))

    async def test_dates_in_times_are_local_days(self, backend: Backend) -> None:
        """C34: a start for `created`, an end for `due`."""
        record = await backend.find_patron("P1")
        assert record is not None
        assert record.fees[0].created == datetime(2026, 1, 31, 23, tzinfo=UTC)
        assert record.loans[0].due == datetime(2026, 3, 22, 22, 59, 59, tzinfo=UTC)

    async def test_payer_for_names_children_and_authorisers(self, backend: Backend) -> None:
        """B51: never the reverse; confirmation is judged later."""
        head, child = await backend.find_patron("P1"), await backend.find_patron("P2")
        assert head is not None
        assert child is not None
        assert head.payer_for == (
            Relationship(RelationshipType.HEAD_OF_FAMILY, "P1", "P2"),
            Relationship(
                RelationshipType.AUTHORISATION, "P3", "P1", frozenset({"pay", "renew"}), False
            ),
        )
        assert child.payer_for == ()

    # PIN lock-out

    async def test_the_last_allowed_failure_locks_all_cards(self, backend: Backend) -> None:
        """B20, C19, C99: failures are the patron's, whatever the card."""
        counts = [await backend.record_pin_failure("P1", NOW, 3, LOCK_UNTIL) for _ in range(4)]
        assert counts == [1, 2, 3, None]
        record = await backend.find_by_card("C1")
        assert record is not None
        assert {(c.pin_failures, c.pin_locked_until) for c in record.cards} == {(3, LOCK_UNTIL)}
        other = await backend.find_patron("P2")
        assert other is not None
        assert all(card.pin_failures == 0 for card in other.cards)

    async def test_concurrent_failures_are_all_counted(self, backend: Backend) -> None:
        tries = [backend.record_pin_failure("P1", NOW, 5, LOCK_UNTIL) for _ in range(7)]
        counts = await asyncio.gather(*tries)
        assert sorted(count for count in counts if count) == [1, 2, 3, 4, 5]

    async def test_an_expired_lock_starts_a_new_count(self, backend: Backend) -> None:
        """C81."""
        assert await backend.record_pin_failure("P1", NOW, 1, LOCK_UNTIL) == 1
        later, until = LOCK_UNTIL, LOCK_UNTIL + timedelta(hours=1)
        earlier = later - timedelta(seconds=1)
        assert await backend.record_pin_failure("P1", earlier, 2, until) is None
        assert await backend.record_pin_failure("P1", later, 2, until) == 1
        assert await backend.record_pin_failure("P1", later, 2, until) == 2

    async def test_success_forgets_failures(self, backend: Backend) -> None:
        await backend.record_pin_failure("P1", NOW, 5, LOCK_UNTIL)
        await backend.clear_pin_failures("P1")
        await backend.clear_pin_failures("P1")
        record = await backend.find_by_card("C1")
        assert record is not None
        assert all(card.pin_failures == 0 for card in record.cards)

    async def test_a_pin_hash_is_replaced_only_if_it_is_still_there(self, backend: Backend) -> None:
        record = await backend.find_patron("P1")
        assert record is not None
        assert record.pin_hash is not None
        await backend.replace_pin_hash("P1", "another", "mine")
        assert await backend.find_patron("P1") == record
        await backend.replace_pin_hash("P1", record.pin_hash, "mine")
        changed = await backend.find_by_card("C1")
        assert changed is not None
        assert changed.pin_hash == "mine"

    async def test_unknown_patrons_are_not_counted(self, backend: Backend) -> None:
        assert await backend.record_pin_failure("nobody", NOW, 1, LOCK_UNTIL) is None

    # Guesses at a library system behind the gateway (B74)

    async def test_guesses_are_counted_at_cards_that_nobody_has_here(
        self, backend: Backend
    ) -> None:
        counts = [await backend.record_guess("21234", NOW, 3, LOCK_UNTIL) for _ in range(4)]
        assert counts == [1, 2, 3, None]
        locked, other, unusual = await backend.failed_pins(["21234", "21235", "\0\ud800"])
        assert locked == FailedPins(3, LOCK_UNTIL)
        assert other == unusual == FailedPins(0, None)

    async def test_guesses_on_many_lines_are_all_counted(self, backend: Backend) -> None:
        tries = [backend.record_guess("21234", NOW, 5, LOCK_UNTIL) for _ in range(7)]
        counts = await asyncio.gather(*tries)
        assert sorted(count for count in counts if count) == [1, 2, 3, 4, 5]

    async def test_a_guess_that_was_not_judged_is_returned(self, backend: Backend) -> None:
        """The one that would have locked the PIN, too."""
        for _ in range(2):
            await backend.record_guess("21234", NOW, 2, LOCK_UNTIL)
        await backend.return_guess("21234")
        assert await backend.failed_pins(["21234"]) == [FailedPins(1, None)]
        for _ in range(2):
            await backend.return_guess("21234")
        assert await backend.failed_pins(["21234"]) == [FailedPins(0, None)]
        assert await backend.record_guess("21234", NOW, 2, LOCK_UNTIL) == 1

    async def test_an_ended_lock_starts_a_new_count_of_guesses(self, backend: Backend) -> None:
        """C81."""
        assert await backend.record_guess("21234", NOW, 1, LOCK_UNTIL) == 1
        later, until = LOCK_UNTIL, LOCK_UNTIL + timedelta(hours=1)
        earlier = later - timedelta(seconds=1)
        assert await backend.record_guess("21234", earlier, 2, until) is None
        assert await backend.record_guess("21234", later, 2, until) == 1
        assert await backend.record_guess("21234", later, 2, until) == 2

    async def test_a_right_pin_forgets_the_guesses(self, backend: Backend) -> None:
        await backend.record_guess("21234", NOW, 1, LOCK_UNTIL)
        await backend.clear_guesses("21234")
        await backend.clear_guesses("21234")
        assert await backend.failed_pins(["21234"]) == [FailedPins()]

    async def test_the_guesses_at_a_patrons_numbers_are_forgotten_together(
        self, backend: Backend
    ) -> None:
        for number in ("P", "C1", "C2", "C3"):
            await backend.record_guess(number, NOW, 1, LOCK_UNTIL)
        await backend.join_guesses("C1", "P")
        await backend.join_guesses("C2", "P")
        await backend.clear_all_guesses("C1")
        locked = FailedPins(1, LOCK_UNTIL)
        assert await backend.failed_pins(["P", "C1", "C2", "C3"]) == [*[FailedPins()] * 3, locked]
        await backend.clear_all_guesses("C3")
        assert await backend.failed_pins(["C3"]) == [FailedPins()]

    async def test_a_membership_is_found_by_its_code(self, backend: Backend) -> None:
        """As it is part of the patrons who have it."""
        patron = await backend.find_patron("P1")
        assert patron is not None
        assert patron.membership is not None
        assert await backend.find_membership(patron.membership.code) == patron.membership
        assert await backend.find_membership("no\0ne") is None

    # Payments

    async def test_a_payment_settles_and_is_seen_at_once(self, backend: Backend) -> None:
        """B44: the snapshot read before is not believed any more."""
        assert (await owed(backend, "P1"))["F1"] == 250
        result = await backend.book_payment(decided_by(order(), pay_fee("F1")))
        assert result.outcome == "booked"
        assert result.payment is not None
        assert result.payment.lines == (PaymentLine("F1", "P1", "own", 100),)
        assert (await owed(backend, "P1"))["F1"] == 150

    async def test_a_settled_fee_disappears(self, backend: Backend) -> None:
        await backend.book_payment(decided_by(order(amount=250), pay_fee("F1", 250)))
        assert await owed(backend, "P1") == {"F2": 120}

    async def test_a_payer_settles_anothers_fee(self, backend: Backend) -> None:
        """B53: the child is free at once."""
        await owed(backend, "P2")
        await backend.book_payment(
            decided_by(order(amount=600), pay_fee("F3", 600, RelationshipType.HEAD_OF_FAMILY))
        )
        assert await owed(backend, "P2") == {}

    async def test_facts_hold_payer_and_debtors(self, backend: Backend) -> None:
        seen: list[PaymentFacts] = []

        def decide(facts: PaymentFacts) -> PaymentPlan:
            seen.append(facts)
            return PaymentPlan((PaymentLine("F1", "P1", "own", 100),), 0)

        await backend.book_payment(decided_by(order(), decide))
        assert seen[0].payer.id == "P1"
        assert [debtor.id for debtor in seen[0].debtors] == ["P2", "P3"]

    async def test_the_same_key_and_content_is_booked_once(self, backend: Backend) -> None:
        """B46, C4: the replay has the first payment and its texts."""
        first = await backend.book_payment(decided_by(order(), pay_fee("F1")))
        again = await backend.book_payment(
            decided_by(order(now=NOW + timedelta(hours=1)), pay_fee("F2"))
        )
        assert again.outcome == "replayed"
        assert again.payment == first.payment
        assert again.payment is not None
        assert again.payment.texts == ("Thank you",)
        assert (await owed(backend, "P1"))["F1"] == 150

    async def test_the_same_key_at_the_same_moment_is_booked_once(self, backend: Backend) -> None:
        results = await asyncio.gather(
            *(backend.book_payment(decided_by(order(), pay_fee("F1"))) for _ in range(10))
        )
        assert sorted(r.outcome for r in results) == ["booked"] + ["replayed"] * 9
        assert (await owed(backend, "P1"))["F1"] == 150

    async def test_the_same_key_with_other_content_is_refused(self, backend: Backend) -> None:
        """B46."""
        await backend.book_payment(decided_by(order(), pay_fee("F1")))
        result = await backend.book_payment(decided_by(order(amount=50), pay_fee("F1", 50)))
        assert result.outcome == "refused"
        assert result.refusal is not None
        assert result.refusal == "bk_reused"
        assert (await owed(backend, "P1"))["F1"] == 150

    async def test_keys_belong_to_their_terminal(self, backend: Backend) -> None:
        await backend.book_payment(decided_by(order(), pay_fee("F1")))
        result = await backend.book_payment(decided_by(order(terminal="cash-2"), pay_fee("F1")))
        assert result.outcome == "booked"

    async def test_an_expired_key_is_free_again(self, backend: Backend) -> None:
        """C5."""
        first = order()
        await backend.book_payment(decided_by(first, pay_fee("F1")))
        result = await backend.book_payment(decided_by(order(now=first.key_expires), pay_fee("F1")))
        assert result.outcome == "booked"
        assert (await owed(backend, "P1"))["F1"] == 50

    async def test_a_retry_is_told_by_the_transaction_date(self, backend: Backend) -> None:
        """C105: whatever our own clock says of when it came."""
        first = await backend.book_payment(decided_by(order(transacted=NOW), pay_fee("F1")))
        for hours, days in ((0, 0), (1, 0), (12, 0), (0, 29)):
            retry = order(
                transacted=NOW + timedelta(hours=hours), now=NOW + timedelta(hours=hours, days=days)
            )
            again = await backend.book_payment(decided_by(retry, pay_fee("F1")))
            assert (again.outcome, again.payment) == ("replayed", first.payment)

    async def test_a_receipt_number_of_another_day_is_in_doubt(self, backend: Backend) -> None:
        """C105: the same content, so it may be a late retry or the next day's number."""
        await backend.book_payment(decided_by(order(transacted=NOW), pay_fee("F1")))
        for days in (-1, 1, 29):
            late = order(transacted=NOW + timedelta(days=days))
            result = await backend.book_payment(decided_by(late, pay_fee("F1")))
            assert result.refusal == "bk_another_day"
        assert await owed(backend, "P1") == {"F1": 150, "F2": 120}
        # Where no date was told, our own clocks measure.
        result = await backend.book_payment(
            decided_by(order(now=NOW + timedelta(days=2)), pay_fee("F1"))
        )
        assert result.refusal == "bk_another_day"

    async def test_where_numbers_start_anew_each_day_it_is_a_new_payment(
        self, backend: Backend
    ) -> None:
        """C5, C105; from then on the number is the new one's, and the first stays booked."""
        anew = ReceiptRules(UTC, starts_anew=True)
        first = await backend.book_payment(
            decided_by(order(transacted=NOW, receipts=anew), pay_fee("F1"))
        )
        tomorrow = NOW + timedelta(days=1)
        second = order(transacted=tomorrow, receipts=anew, now=NOW + timedelta(hours=20))
        booked = await backend.book_payment(decided_by(second, pay_fee("F1")))
        assert booked.outcome == "booked"
        assert booked.payment is not None
        assert first.payment is not None
        assert booked.payment.id != first.payment.id
        again = await backend.book_payment(decided_by(sent_again(second), pay_fee("F1")))
        assert (again.outcome, again.payment) == ("replayed", booked.payment)
        assert await owed(backend, "P1") == {"F1": 50, "F2": 120}
        # What was refused takes no number away.
        beyond = order(amount=900, transacted=NOW + timedelta(days=2), receipts=anew)
        refused = await backend.book_payment(decided_by(beyond, pay_fee("F1", 900)))
        assert refused.refusal == "overpayment"
        again = await backend.book_payment(decided_by(sent_again(second), pay_fee("F1")))
        assert (again.outcome, again.payment) == ("replayed", booked.payment)

    async def test_another_payment_of_another_day_takes_the_receipt_number(
        self, backend: Backend
    ) -> None:
        """C105: a retry has the same content, so it is not one of the first."""
        await backend.book_payment(decided_by(order(transacted=NOW), pay_fee("F1")))
        other = order(amount=50, transacted=NOW + timedelta(days=1))
        soon = replace(other, transacted=NOW + timedelta(hours=1))
        refused = await backend.book_payment(decided_by(soon, pay_fee("F1", 50)))
        assert refused.refusal == "bk_reused"
        assert (
            await backend.book_payment(decided_by(other, pay_fee("F1", 50)))
        ).outcome == "booked"
        again = await backend.book_payment(decided_by(sent_again(other), pay_fee("F1", 50)))
        assert again.outcome == "replayed"
        assert await owed(backend, "P1") == {"F1": 100, "F2": 120}

    async def test_a_receipt_number_of_several_payments_tells_a_retry_of_each(
        self, backend: Backend
    ) -> None:
        """B46, C5, C105: a machine that was cut off asks again when its number is another's."""
        first = order(transacted=NOW)
        other = order(amount=50, transacted=NOW + timedelta(days=1))
        paid = await backend.book_payment(decided_by(first, pay_fee("F1")))
        await backend.book_payment(decided_by(other, pay_fee("F1", 50)))
        for _ in range(2):
            late = await backend.book_payment(decided_by(sent_again(first), pay_fee("F1")))
            assert (late.outcome, late.payment) == ("replayed", paid.payment)
        for days, amount, reason in ((0, 70, "bk_reused"), (2, 100, "bk_another_day")):
            similar = order(amount=amount, transacted=NOW + timedelta(days=days))
            result = await backend.book_payment(decided_by(similar, pay_fee("F1", amount)))
            assert result.refusal == reason
        assert await owed(backend, "P1") == {"F1": 100, "F2": 120}
        # Only as long as the number of the first is kept.
        kept_until = first.key_expires
        later = order(transacted=NOW, now=kept_until, key_expires=kept_until + timedelta(days=30))
        await backend.book_payment(decided_by(later, pay_fee("F2")))
        assert await owed(backend, "P1") == {"F1": 100, "F2": 20}

    async def test_of_many_that_take_a_number_at_once_one_gets_it(self, backend: Backend) -> None:
        await backend.book_payment(decided_by(order(transacted=NOW), pay_fee("F1")))
        other = order(amount=50, transacted=NOW + timedelta(days=1))
        results = await asyncio.gather(
            *(
                backend.book_payment(decided_by(sent_again(other), pay_fee("F1", 50)))
                for _ in range(10)
            )
        )
        assert sorted(result.outcome for result in results) == ["booked"] + ["replayed"] * 9
        assert (await owed(backend, "P1"))["F1"] == 100

    async def test_a_refusal_books_nothing_and_leaves_the_key_free(self, backend: Backend) -> None:
        """C4."""
        refused = await backend.book_payment(decided_by(order(amount=900), pay_fee("F1", 900)))
        assert refused.refusal is not None
        assert refused.refusal == "overpayment"
        assert (await owed(backend, "P1"))["F1"] == 250
        assert (await backend.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"

    async def test_an_unknown_payer_is_refused(self, backend: Backend) -> None:
        result = await backend.book_payment(decided_by(order(payer_id="nobody"), pay_fee("F1")))
        assert result.refusal is not None
        assert result.refusal == "unknown_card"

    async def test_two_payments_for_one_fee_never_both_pass(self, backend: Backend) -> None:
        """C60: they are decided one after the other, on facts of their own."""
        results = await asyncio.gather(
            *(
                backend.book_payment(decided_by(order(f"BK{n}", 200), pay_fee("F1", 200)))
                for n in range(3)
            )
        )
        assert sorted(r.outcome for r in results) == ["booked", "refused", "refused"]
        assert (await owed(backend, "P1"))["F1"] == 50

    @pytest.mark.parametrize(
        "lines",
        [
            (PaymentLine("F1", "P1", "own", 99),),
            (PaymentLine("F1", "P2", "own", 100),),
            (PaymentLine("F1", "P2", "own", 50), PaymentLine("F2", "P1", "own", 50)),
            (PaymentLine("F1", "P1", "own", 251), PaymentLine("F2", "P1", "own", -151)),
            (PaymentLine("F1", "P1", "own", 50), PaymentLine("F1", "P1", "own", 50)),
            (),
        ],
    )
    async def test_an_allocation_that_does_not_fit_is_not_booked(
        self, backend: Backend, lines: tuple[PaymentLine, ...]
    ) -> None:
        with pytest.raises(BackendError):
            await backend.book_payment(decided_by(order(), lambda facts: PaymentPlan(lines, 0)))
        assert await owed(backend, "P1") == {"F1": 250, "F2": 120}

    async def test_a_failing_decision_fails_only_its_own_payment(self, backend: Backend) -> None:
        def decide(facts: PaymentFacts) -> PaymentPlan:
            raise ZeroDivisionError

        bad, good = await asyncio.gather(
            backend.book_payment(decided_by(order("BK1"), decide)),
            backend.book_payment(decided_by(order("BK2"), pay_fee("F1"))),
            return_exceptions=True,
        )
        assert isinstance(bad, ZeroDivisionError)
        assert not isinstance(good, BaseException)
        assert good.outcome == "booked"

    # What was paid

    async def test_what_was_paid_shows_up_and_what_is_left_of_it(self, backend: Backend) -> None:
        """B55: part of a fee, and what had been paid before the fee came to us (C17)."""
        assert await backend.paid_fees("P1", LONG_AGO) == ()
        await backend.book_payment(decided_by(order(), pay_fee("F1")))
        await backend.book_payment(decided_by(order("BK2", 50), pay_fee("F1", 50)))
        (paid,) = await backend.paid_fees("P1", LONG_AGO)
        assert (paid.fee.id, paid.fee.amount, paid.fee.owed, paid.paid) == ("F1", 250, 100, 150)
        assert (paid.fee.title, paid.fee.item_id, paid.fee.type) == ("Reinaert", "I1", "01")
        assert await paid_by(backend, "P2") == {"F3": 400, "F4": 100}

    async def test_only_what_was_paid_lately_and_by_whom(self, backend: Backend) -> None:
        later = NOW + timedelta(days=3)
        await backend.book_payment(decided_by(order("BK1"), pay_fee("F2")))
        await backend.book_payment(
            decided_by(order("BK2", 30, now=later), pay_fee("F3", 30, "head_of_family"))
        )
        assert await paid_by(backend, "P2", since=later) == {"F3": 430}
        assert await paid_by(backend, "P2", payer_id="P1") == {"F3": 30}
        assert await paid_by(backend, "P2", payer_id="P3") == {}
        assert await paid_by(backend, "P1", since=later) == {}
        assert await paid_by(backend, "P1", since=NOW, payer_id="P1") == {"F2": 100}

    async def test_a_payment_always_tells_the_same_of_its_fees(self, backend: Backend) -> None:
        """C4: whatever is paid later, at the same moment too."""
        first = await backend.book_payment(decided_by(order(), pay_fee("F1")))
        second = await backend.book_payment(decided_by(order("BK2", 50), pay_fee("F1", 50)))
        told = []
        for result in (first, second):
            assert result.payment is not None
            (settled,) = await backend.fees_settled_by(result.payment.id)
            told.append((settled.fee.id, settled.fee.owed, settled.paid))
        assert told == [("F1", 150, 100), ("F1", 100, 50)]
        assert await backend.fees_settled_by("nothing") == ()

    # Blocks

    async def test_a_block_replaces_one_of_the_same_type_and_source(self, backend: Backend) -> None:
        block = Block(BlockType.GENERAL, "card retained", None, "terminal")
        await backend.set_block("P1", block)
        await backend.set_block("P1", replace(block, note="again"))
        record = await backend.find_patron("P1")
        assert record is not None
        assert [(b.source, b.note) for b in record.blocks] == [
            ("import", "ask"),
            ("terminal", "again"),
        ]

    async def test_only_blocks_of_the_named_sources_are_lifted(self, backend: Backend) -> None:
        """C41."""
        for source in ("staff", "terminal"):
            await backend.set_block("P1", Block(BlockType.GENERAL, "", None, source))
        assert await backend.lift_blocks("P1", frozenset({"terminal"})) == 1
        assert await backend.lift_blocks("P1", frozenset({"terminal"})) == 0
        record = await backend.find_patron("P1")
        assert record is not None
        assert [block.source for block in record.blocks] == ["import", "staff"]

    async def test_a_block_of_an_unknown_patron_is_an_error(self, backend: Backend) -> None:
        with pytest.raises(BackendError):
            await backend.set_block("nobody", Block(BlockType.GENERAL))

    # Who is inside

    async def test_who_enters_is_inside_until_going_out(self, backend: Backend) -> None:
        """C10, C67."""
        assert await backend.enter_branch(entry("P1")) == Presence(0, False)
        assert await backend.enter_branch(entry("P2", 1)) == Presence(1, False)
        assert await backend.presence(entry("P1", 2)) == Presence(1, True)
        assert await backend.presence(entry("P1", 2, branch="EAST")) == Presence(0, False)
        await backend.leave_branch("MAIN", "P1")
        await backend.leave_branch("MAIN", "P1")
        assert await backend.presence(entry("P1", 2)) == Presence(1, False)

    async def test_who_came_in_by_a_passage_goes_out_by_it(self, backend: Backend) -> None:
        """C151: the card at the exit need not tell whose it is."""
        came = entry("P1")
        await backend.enter_branch(came)
        await backend.leave_by_passage("EAST", came.passage)
        await backend.leave_by_passage("MAIN", "door-9 P1")
        assert await backend.presence(entry("P2", 1)) == Presence(1, False)
        await backend.leave_by_passage("MAIN", came.passage)
        assert await backend.presence(entry("P2", 1)) == Presence(0, False)

    async def test_looking_is_not_entering(self, backend: Backend) -> None:
        await backend.presence(entry("P1"))
        assert await backend.presence(entry("P1", 1)) == Presence(0, False)

    async def test_a_full_branch_takes_nobody_more(self, backend: Backend) -> None:
        for patron_id in ("P1", "P2", "P3"):
            await backend.enter_branch(entry(patron_id, capacity=2))
        assert await backend.presence(entry("P4")) == Presence(2, False)
        await backend.enter_branch(entry("P1", 1, capacity=2))
        await backend.leave_branch("MAIN", "P2")
        assert await backend.enter_branch(entry("P3", 2, capacity=2)) == Presence(1, False)
        assert await backend.presence(entry("P3", 3)) == Presence(1, True)

    async def test_of_many_at_once_only_as_many_as_fit_get_in(self, backend: Backend) -> None:
        """C10: racing entries never exceed the capacity."""
        seen = await asyncio.gather(
            *(backend.enter_branch(entry(f"P{n}", capacity=3)) for n in range(12))
        )
        assert sorted(presence.others for presence in seen) == [0, 1, 2, *[3] * 9]
        assert await backend.presence(entry("nobody")) == Presence(3, False)

    async def test_who_is_inside_and_refused_stays_as_counted(self, backend: Backend) -> None:
        await backend.enter_branch(entry("P1", refuse_inside=True))
        assert await backend.enter_branch(entry("P1", 1, refuse_inside=True)) == Presence(0, True)
        assert await backend.presence(entry("P2", 1)) == Presence(1, False)

    async def test_the_same_passage_twice_is_once(self, backend: Backend) -> None:
        """B41: a retry, perhaps at another gateway, is not refused for its own first try."""
        await backend.enter_branch(entry("P1", refuse_inside=True))
        again = entry("P1", refuse_inside=True)
        assert await backend.enter_branch(again) == Presence(0, False, again=True)
        other_door = replace(again, passage="door-2 P1")
        assert await backend.enter_branch(other_door) == Presence(0, True)
        without_window = replace(again, same_since=NOW)
        assert await backend.enter_branch(without_window) == Presence(0, True)

    async def test_reading_a_card_again_makes_its_passage_no_longer(self, backend: Backend) -> None:
        """B41: at 0, 3 and 6 seconds, perhaps at another gateway each."""
        first = entry("P1", refuse_inside=True)
        await backend.enter_branch(first)
        seen = []
        for seconds in (3, 6):
            by = timedelta(seconds=seconds)
            since, until = first.same_since + by, first.same_until + by
            later = replace(first, now=NOW + by, same_since=since, same_until=until)
            seen.append(await backend.enter_branch(later))
        assert seen == [Presence(0, False, again=True), Presence(0, True)]

    async def test_a_clock_that_was_set_back_makes_no_passage_longer(
        self, backend: Backend
    ) -> None:
        """B41: an hour later the clock shows the same time, and nobody enters twice for that."""
        await backend.enter_branch(entry("P1", 60, refuse_inside=True))
        assert await backend.enter_branch(entry("P1", 5, refuse_inside=True)) == Presence(0, True)

    async def test_an_entry_of_which_nobody_heard_is_taken_back(self, backend: Backend) -> None:
        """C10: a reading before and one after are other entries."""
        first, again = entry("P1", 1), entry("P1", 2)
        await backend.enter_branch(first)
        await backend.take_back(again)
        assert await backend.presence(entry("P2", 2)) == Presence(1, False)
        await backend.take_back(first)
        await backend.take_back(first)
        assert await backend.presence(entry("P2", 2)) == Presence(0, False)

    async def test_an_entry_under_way_is_taken_back_too(self, backend: Backend) -> None:
        """Nobody waits for it any more, and nobody knows whether it was begun."""
        for number in range(20):
            order = entry(f"P{number}", passage=f"door-1 P{number}")
            entering = asyncio.ensure_future(backend.enter_branch(order))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)
            await backend.take_back(order)
        assert (await backend.presence(entry("nobody"))).others == 0

    async def test_stays_end_later_where_the_hours_are_longer(self, backend: Backend) -> None:
        """C139: those that have ended by then have ended."""
        await backend.enter_branch(entry("P1", stay_ends=NOW + timedelta(hours=1)))
        await backend.enter_branch(entry("P2"))
        await backend.enter_branch(entry("P3", branch="EAST"))
        longer = NOW + timedelta(hours=5)
        await backend.move_stays("MAIN", NOW + timedelta(hours=1), longer)
        assert await backend.presence(entry("P9", 299)) == Presence(1, False)
        assert await backend.presence(entry("P9", 300)) == Presence(0, False)
        assert await backend.presence(entry("P9", 240, branch="EAST")) == Presence(0, False)

    async def test_a_stay_ends_by_itself(self, backend: Backend) -> None:
        await backend.enter_branch(entry("P1"))
        assert await backend.presence(entry("P1", 239)) == Presence(0, True)
        assert await backend.presence(entry("P2", 240)) == Presence(0, False)
        tomorrow = entry("P1", 1440, stay_ends=NOW + timedelta(hours=30), refuse_inside=True)
        assert await backend.enter_branch(tomorrow) == Presence(0, False)

    # Life

    async def test_it_says_what_it_can(self, backend: Backend) -> None:
        assert backend.capabilities <= frozenset(Capability)
        await backend.ping()

    async def test_after_closing_everything_fails(self, backend: Backend) -> None:
        await backend.close()
        await backend.close()
        for failing in (
            backend.ping(),
            backend.find_by_card("P1"),
            backend.book_payment(decided_by(order(), pay_fee("F1"))),
        ):
            with pytest.raises(BackendError):
                await failing

    async def test_the_door_log_takes_rows_at_any_time(self, backend: Backend) -> None:
        backend.log_access(
            AccessRow(NOW, "MAIN", "door-1", "granted", "granted", "normal", "pin=ok", "P1")
        )
        await backend.close()
