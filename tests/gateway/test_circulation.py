"""Checkout, checkin and item information on the wire, byte for byte (B56-B61, C42-C44, C69)."""

from typing import Any, cast

import pytest
from desk import (
    BLANK,
    DESK_CONFIG,
    DESK_LIBRARY,
    DUE,
    EARLIER,
    ask_09,
    ask_11,
    ask_15,
    ask_17,
    ask_19,
    ask_29,
    ask_65,
)
from harness import STAMP, ask_63, fields, running
from msgspec.structs import replace
from orders import decided_by

from sip2gw.handlers.items.circulation import due_text
from sip2gw.model import CardState

LATER = "20260310    121500"


def text_of(answer):
    return fields(answer, "AF", fixed=24)


async def loans(gateway, patron):
    record = await gateway.store.find_patron(patron)
    return [loan.item_id for loan in record.loans]


async def fees(gateway, patron):
    record = await gateway.store.find_patron(patron)
    return [(fee.owed, fee.type, fee.description, fee.item_id) for fee in record.fees]


def reviews(gateway):
    return [
        (entry.kind, entry.terminal, entry.message, entry.item, entry.patron, *why(entry))
        for entry in gateway.store.reviews()
    ]


def why(entry):
    return entry.outcome, " ".join(entry.reasons)


def sound(gateway):
    assert gateway.store.self_check() == []


# Checkout


async def test_an_item_is_lent(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_11("FREE1", "1009", "1009")) == (
        f"121NNY{STAMP}AOHUB|AA1009|ABFREE1|AJThe FREE1|AH{DUE}|CK001|CHred|"
    )
    assert await kiosk.ask(ask_11("FREE2", "1009", "1009")) == (
        f"121NYN{STAMP}AOHUB|AA1009|ABFREE2|AJThe FREE2|AH{DUE}|"
    )
    assert await loans(desk, "1009") == ["LATE1", "QUEUED1", "QUEUED2", "FREE1", "FREE2"]
    assert "|AUFREE1|" in await kiosk.ask(ask_63("1009", "1009", summary="  Y       "))


@pytest.mark.parametrize(
    ("item", "card", "pin", "word"),
    [
        ("NOPE", "1009", "1009", "not known"),
        ("REF1", "1009", "1009", "cannot be borrowed"),
        ("HELD1", "1009", "1009", "reserved"),
        ("READY1", "1009", "1009", "reserved"),
        ("LENT1", "1009", "1009", "on loan to somebody else"),
        ("FREE1", "4711", "4711", "card is not known"),
        ("FREE1", "1001R", "1001", "has been replaced"),
        ("FREE1", "1001B", "1001", "cannot be used"),
        ("FREE1", "1009", "0000", "PIN"),
        ("FREE1", "1004", "1004", "You owe EUR 12.50, more than EUR 10.00"),
        ("FREE1", "1007", "1007", "membership is no longer valid"),
        ("FREE1", "1008", "1008", "Self-service is not possible"),
    ],
)
async def test_each_refusal_has_its_text_and_changes_nothing(desk, item, card, pin, word):
    kiosk = await desk.terminal("kiosk-1")
    answer = await kiosk.ask(ask_11(item, card, pin))
    assert answer.startswith("120N")
    assert f"|AB{item}|" in answer
    assert "|AH|" in answer
    assert word in text_of(answer)[0]
    assert reviews(desk) == []


async def test_a_pin_is_not_demanded_at_a_kiosk_but_a_wrong_one_refuses_c20(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert (await kiosk.ask(ask_11("FREE1", "1009"))).startswith("121N")
    assert (await kiosk.ask(ask_11("FREE2", "1009", ""))).startswith("121N")
    assert (await kiosk.ask(ask_11("FREE3", "1009", "1"))).startswith("120N")


async def test_the_limit_is_reached_with_the_last_item_allowed_c42(desk):
    kiosk = await desk.terminal("kiosk-1")
    for item, ok in (("FREE1", "1"), ("FREE2", "1"), ("FREE3", "0")):
        answer = await kiosk.ask(ask_11(item, "1020", "1020"))
        assert answer[2] == ok
    assert text_of(answer) == ["You have reached your maximum number of loans."]


async def test_a_fee_is_told_and_booked_once_when_agreed_c42(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_11("PAID1", "1009", "1009")) == (
        f"120NNN{STAMP}AOHUB|AA1009|ABPAID1|AJThe PAID1|AH|BT06|BHEUR|BV1.50|"
        "AFThis costs EUR 1.50. Please confirm.|"
    )
    agreed = ask_11("PAID1", "1009", "1009", extra="BOY|")
    first = await kiosk.ask(agreed)
    assert first == (f"121NNY{STAMP}AOHUB|AA1009|ABPAID1|AJThe PAID1|AH{DUE}|BT06|BHEUR|BV1.50|")
    again = await desk.terminal("kiosk-1")
    desk.clock.advance(600)
    assert await again.ask(agreed) == first
    assert await fees(desk, "1009") == [(150, "06", "Loan charge", "PAID1")]
    sound(desk)


async def test_a_second_checkout_renews_or_is_refused_by_profile_b56(desk):
    kiosk, strict = await desk.terminal("kiosk-1"), await desk.terminal("kiosk-2")
    assert (await kiosk.ask(ask_11("LENT1", "1002", "1002"))) == (
        f"121YNY{STAMP}AOHUB|AA1002|ABLENT1|AJThe LENT1|AH{DUE}|"
    )
    answer = await strict.ask(ask_11("LENT1", "1002", "1002"))
    assert answer.startswith("120N")
    assert text_of(answer) == ["You already have this item on loan."]


async def test_an_own_hold_is_served_and_gone(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert (await kiosk.ask(ask_11("READY1", "1002", "1002"))).startswith("121N")
    assert (await kiosk.ask(ask_11("HELD1", "1002", "1002"))).startswith("121N")
    record = await desk.store.find_patron("1002")
    assert {hold.id for hold in record.holds} == {"HQ1", "HQ2"}


# Exactly once


async def test_a_retry_gets_the_same_answer_as_long_as_it_is_so_c69_c97(desk):
    kiosk = await desk.terminal("kiosk-1")
    first = await kiosk.ask(ask_11("FREE1", "1009", "1009"))
    desk.clock.advance(3600)
    again = await desk.terminal("kiosk-1")
    assert await again.ask(ask_11("FREE1", "1009", "1009")) == first
    await (await desk.terminal("kiosk-3")).ask(ask_09("FREE1"))
    assert (await again.ask(ask_11("FREE1", "1009", "1009"))).startswith("121N")
    assert "FREE1" in await loans(desk, "1009")


@pytest.mark.parametrize(
    "other",
    [
        ask_11("FREE1", "1009", "1009", stamp=LATER),
        ask_11("FREE1", "1009", "1009", extra="BOY|"),
        ask_11("FREE1", "1009", "1009", flags="NY"),
    ],
)
async def test_another_date_or_flag_is_another_request_c88(desk, other):
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(ask_11("FREE1", "1009", "1009"))
    assert (await kiosk.ask(other)).startswith("121Y")  # a renewal


async def test_after_a_day_and_without_a_date_it_is_done_again(desk):
    kiosk = await desk.terminal("kiosk-1")
    undated = ask_11("FREE2", "1009", "1009", stamp=BLANK)
    await kiosk.ask(ask_11("FREE1", "1009", "1009"))
    assert (await kiosk.ask(undated)).startswith("121N")
    assert (await kiosk.ask(undated)).startswith("121Y")
    desk.clock.advance(24 * 3600)
    kiosk = await desk.terminal("kiosk-1")
    assert (await kiosk.ask(ask_11("FREE1", "1009", "1009"))).startswith("121Y")


async def test_a_refusal_holds_no_key_c88(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert (await kiosk.ask(ask_11("LENT1", "1009", "1009"))).startswith("120")
    await kiosk.ask(ask_09("LENT1"))
    assert (await kiosk.ask(ask_11("LENT1", "1009", "1009"))).startswith("121N")


# Off line


async def test_off_line_its_own_dates_are_used_and_it_is_reviewed_b57(desk):
    kiosk = await desk.terminal("kiosk-1")
    stamp, due = "20260309    160000", "20260401    235959"
    answer = await kiosk.ask(ask_11("FREE1", "1009", flags="NY", stamp=stamp, due=due))
    assert answer.startswith("121N")
    assert f"|AH{due}|" in answer
    record = await desk.store.find_patron("1009")
    (loan,) = (loan for loan in record.loans if loan.item_id == "FREE1")
    assert loan.checked_out.isoformat() == "2026-03-09T15:00:00+00:00"
    assert reviews(desk) == [("offline", "kiosk-1", "11", "FREE1", "1009", "done", "")]


@pytest.mark.parametrize(
    ("item", "card", "pin", "reasons"),
    [
        ("REF1", "1009", "1009", "not_for_loan"),
        ("READY1", "1009", "1009", "on_hold"),
        ("LENT1", "1009", "1009", "charged_to_other"),
        ("FREE1", "1009", "0000", "wrong_pin"),
        ("FREE1", "1004", "1004", "blocked"),
        ("PAID1", "1009", "1009", "fee"),
    ],
)
async def test_off_line_all_is_accepted_and_reviewed(desk, item, card, pin, reasons):
    kiosk = await desk.terminal("kiosk-1")
    request = ask_11(item, card, pin, flags="NY", stamp=EARLIER)
    assert (await kiosk.ask(request)).startswith("121N")
    assert item in await loans(desk, card)
    assert "LENT1" not in await loans(desk, "1002") or item != "LENT1"
    assert (await kiosk.ask(request)).startswith("121N")
    assert reviews(desk) == [("conflict", "kiosk-1", "11", item, card, "done", reasons)]
    sound(desk)


@pytest.mark.parametrize(
    ("item", "card", "reason"),
    [("NOPE", "1009", "unknown_item"), ("FREE1", "4711", "unknown_card")],
)
async def test_off_line_only_the_impossible_is_refused_and_reviewed_too_c42(
    desk, item, card, reason
):
    kiosk = await desk.terminal("kiosk-1")
    for _ in range(2):
        assert (await kiosk.ask(ask_11(item, card, flags="NY", stamp=EARLIER))).startswith("120N")
    assert reviews(desk) == [("conflict", "kiosk-1", "11", item, card, "refused", reason)]


# Cancelling


async def test_a_failed_checkout_is_cancelled_with_its_fee_b58(desk):
    kiosk = await desk.terminal("kiosk-1")
    request = ask_11("PAID1", "1009", "1009", extra="BOY|")
    await kiosk.ask(request)
    answer = await kiosk.ask(ask_09("PAID1", extra="BIY|"))
    assert answer.startswith("101Y")
    assert "PAID1" not in await loans(desk, "1009")
    assert await fees(desk, "1009") == []
    sound(desk)
    assert (await kiosk.ask(request)).startswith("121N")  # its key is free again
    sound(desk)


async def test_a_paid_fee_stays_paid_when_its_loan_is_cancelled(desk):
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(ask_11("PAID1", "1009", "1009", extra="BOY|"))
    pay = await desk.terminal("pay-1")
    paid = f"37{STAMP}0100EURBV1.00|AOHUB|AA1009|AC|AD1009|BKX|"
    assert (await pay.ask(paid)).startswith("38Y")
    assert (await kiosk.ask(ask_09("PAID1", extra="BIY|"))).startswith("101")
    assert await fees(desk, "1009") == []
    assert [payment.amount for payment in desk.store.payments()] == [100]
    sound(desk)


async def test_a_failed_return_is_cancelled(desk):
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(ask_09("LATE1"))
    assert await fees(desk, "1009") == [(60, "04", "Late return, days: 3", "LATE1")]
    answer = await kiosk.ask(ask_11("LATE1", "1009", "1009", extra="BIY|"))
    assert answer.startswith("121N")
    assert "|AH20260307    235959|" in answer
    assert await fees(desk, "1009") == []
    assert "LATE1" in await loans(desk, "1009")
    sound(desk)


@pytest.mark.parametrize(
    ("request_text", "start"),
    [
        (ask_09("LENT1", extra="BIY|"), "100"),
        (ask_09("FREE1", extra="BIY|"), "100"),
        (ask_11("FREE1", "1009", "1009", extra="BIY|"), "120"),
        (ask_11("LENT1", "1002", "1002", extra="BIY|"), "120"),
    ],
)
async def test_what_does_not_match_is_refused_and_nothing_changes_c43(desk, request_text, start):
    before = await loans(desk, "1002")
    kiosk = await desk.terminal("kiosk-1")
    answer = await kiosk.ask(request_text)
    assert answer.startswith(start)
    assert text_of(answer) == ["There is nothing to cancel."]
    assert await loans(desk, "1002") == before


async def test_another_terminal_cancels_nothing(desk):
    kiosk, other = await desk.terminal("kiosk-1"), await desk.terminal("kiosk-3")
    await kiosk.ask(ask_11("FREE1", "1009", "1009"))
    assert (await other.ask(ask_09("FREE1", extra="BIY|"))).startswith("100")
    assert "FREE1" in await loans(desk, "1009")


# Checkin


async def test_an_item_is_taken_back(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_09("LENT1")) == (
        f"101YNN{STAMP}AOHUB|ABLENT1|AQMAIN|AJThe LENT1|AA1002|"
    )
    assert "LENT1" not in await loans(desk, "1002")
    again = await kiosk.ask(ask_09("LENT1", stamp=LATER))
    assert again.startswith("100N")
    assert text_of(again) == ["This item is not on loan."]
    sorter = await desk.terminal("sorter-1")
    assert (await sorter.ask(ask_09("LENT1"))).startswith("101Y")


async def test_an_unknown_item_is_refused_with_an_alert(desk):
    sorter = await desk.terminal("sorter-1")
    assert await sorter.ask(ask_09("NOPE")) == (
        f"100NUY{STAMP}AOHUB|ABNOPE|AQ|CV99|AFThis item is not known. Please ask the staff.|"
    )


async def test_what_belongs_elsewhere_travels_and_arrives_c44(desk):
    sorter, east = await desk.terminal("sorter-1"), await desk.terminal("sorter-east")
    assert await sorter.ask(ask_09("EAST1")) == (
        f"101YNN{STAMP}AOHUB|ABEAST1|AQEAST|AJThe EAST1|CRDVD|CSF 12|CTEAST|"
    )
    assert (await sorter.ask(ask_17("EAST1"))).startswith("1810")
    assert "|CT" not in await east.ask(ask_09("EAST1"))
    assert (await sorter.ask(ask_17("EAST1"))).startswith("1803")


async def test_a_hold_is_told_and_set_aside_c44(desk):
    kiosk = await desk.terminal("kiosk-1")
    answer = await kiosk.ask(ask_09("QUEUED1"))
    assert answer.startswith("101YNY")
    assert answer.endswith("AA1009|CV01|CY1002|DATom Peeters|")
    record = await desk.store.find_patron("1002")
    (hold,) = (hold for hold in record.holds if hold.id == "HQ1")
    assert (hold.ready, hold.item_id) == (True, "QUEUED1")
    assert (await kiosk.ask(ask_17("QUEUED1"))).startswith("1808")


async def test_a_hold_of_another_branch_travels_c44(desk):
    kiosk, east = await desk.terminal("kiosk-1"), await desk.terminal("sorter-east")
    answer = await kiosk.ask(ask_09("QUEUED2"))
    assert answer.endswith("AA1009|CTEAST|CV02|CY1002|DATom Peeters|")
    arrived = await east.ask(ask_09("QUEUED2"))
    assert arrived.startswith("101YNY")
    assert "|CV01|" in arrived
    assert "|CT" not in arrived


async def test_off_line_a_return_is_of_its_own_day_b57(desk):
    kiosk = await desk.terminal("kiosk-1")
    request = ask_09("LATE1", no_block="Y", returned="20260308    090000")
    assert (await kiosk.ask(request)).startswith("101Y")
    assert await fees(desk, "1009") == [(20, "04", "Late return, days: 1", "LATE1")]
    assert reviews(desk) == [("offline", "kiosk-1", "09", "LATE1", "", "done", "")]


# Renewal


async def test_a_loan_is_renewed_by_item_or_by_title(desk):
    kiosk = await desk.terminal("kiosk-1")
    renewed = f"301YNY{STAMP}AOHUB|AA1002|ABLENT1|AJThe LENT1|AH{DUE}|"
    assert await kiosk.ask(ask_29("ABLENT1", "1002", "1002")) == renewed
    again = ask_29("AJThe LENT1", "1002", "1002", stamp=LATER)
    assert await kiosk.ask(again) == renewed
    refused = await kiosk.ask(ask_29("ABLENT1", "1002", "1002", stamp=BLANK))
    assert refused.startswith("300N")
    assert text_of(refused) == ["This item cannot be renewed again."]


@pytest.mark.parametrize(
    ("item", "card", "pin", "word"),
    [
        ("ABNOPE", "1009", "1009", "not known"),
        ("AJThe FREE1", "1009", "1009", "not known"),
        ("ABFREE1", "1009", "1009", "not on loan"),
        ("ABLENT1", "1009", "1009", "somebody else"),
        ("ABQUEUED1", "1009", "1009", "reserved"),
        ("ABLENT1", "4711", None, "card is not known"),
        ("ABLENT1", "1002", "0000", "PIN"),
        ("ABIVO2", "1011", "1011", "be renewed again"),
        ("ABBOOK1", "1001B", "1001", "cannot be used"),
    ],
)
async def test_each_refusal_of_a_renewal_has_its_text(desk, item, card, pin, word):
    kiosk = await desk.terminal("kiosk-1")
    answer = await kiosk.ask(ask_29(item, card, pin))
    assert answer.startswith("300N")
    assert word in text_of(answer)[0]


async def test_a_renewal_costs_what_a_loan_costs(desk):
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(ask_11("PAID1", "1009", "1009", extra="BOY|"))
    refused = await kiosk.ask(ask_29("ABPAID1", "1009", "1009"))
    assert "|BT06|BHEUR|BV1.50|" in refused
    agreed = ask_29("ABPAID1", "1009", "1009", extra="BOY|")
    assert (await kiosk.ask(agreed)).startswith("301Y")
    assert await kiosk.ask(agreed) == await kiosk.ask(agreed)
    assert [owed for owed, *_ in await fees(desk, "1009")] == [150, 150]
    sound(desk)


async def test_off_line_a_renewal_has_its_own_due_date_b57(desk):
    kiosk = await desk.terminal("kiosk-1")
    due = "20260420    235959"
    answer = await kiosk.ask(ask_29("ABQUEUED1", "1009", flags="NY", stamp=EARLIER, due=due))
    assert answer.startswith("301Y")
    assert f"|AH{due}|" in answer
    assert reviews(desk) == [("conflict", "kiosk-1", "29", "QUEUED1", "1009", "done", "on_hold")]


async def test_for_another_only_with_the_relation_and_the_terminals_leave_b54(desk):
    kiosk = await desk.terminal("kiosk-1")
    refused = await kiosk.ask(ask_29("ABIVO1", "1020", "1020", flags="NN"))
    assert "somebody else" in text_of(refused)[0]
    renewed = await kiosk.ask(ask_29("ABIVO1", "1020", "1020", flags="YN"))
    assert renewed.startswith("301Y")
    assert "|AA1020|" in renewed
    head = await kiosk.ask(ask_29("ABLENT1", "1001", "1001", flags="YN"))  # never as head
    assert head.startswith("300N")
    payer = await kiosk.ask(ask_29("ABLENT1", "1006", "1006", flags="YN"))  # never by `pay`
    assert payer.startswith("300N")


async def test_for_another_the_pin_is_needed_where_pins_are_c20(desk):
    helper = await desk.terminal("helper-1")
    own = await helper.ask(ask_29("ABLENT1", "1002"))
    assert own.startswith("301Y")
    refused = await helper.ask(ask_29("ABIVO1", "1020", flags="YN"))
    assert text_of(refused) == ["Please enter your PIN."]
    assert (await helper.ask(ask_29("ABIVO1", "1020", "1020", flags="YN"))).startswith("301")


async def test_what_happened_off_line_for_another_needs_no_pin_b57(desk):
    helper = await desk.terminal("helper-1")
    done = await helper.ask(ask_29("ABIVO1", "1020", flags="YY", stamp=EARLIER))
    assert done.startswith("301Y")


async def test_the_card_counts_as_the_transaction_finds_it_c60(desk):
    """It is blocked between the look at the card and the loan."""
    backend = desk.app.gateway.backend
    circulate = backend.circulate

    async def circulate_later(order):
        def decide_later(facts):
            cards = (replace(card, state=CardState.BLOCKED) for card in facts.patron.cards)
            facts.patron = replace(facts.patron, cards=tuple(cards))
            return order.case.decide(facts)

        return await circulate(decided_by(order, decide_later))

    kiosk = await desk.terminal("kiosk-1")
    backend.circulate = circulate_later
    assert (await kiosk.ask(ask_11("FREE1", "1009", "1009"))).startswith("120N")
    backend.circulate = circulate
    assert (await kiosk.ask(ask_11("FREE1", "1009", "1009"))).startswith("121N")


async def test_all_loans_are_renewed_each_by_itself(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_65("1009", "1009")) == (
        f"66100010002{STAMP}AOHUB|BMLATE1|BNQUEUED1|BNQUEUED2|"
        "AFThe QUEUED1: This item is reserved for somebody else.|"
        "AFThe QUEUED2: This item is reserved for somebody else.|"
    )
    assert await kiosk.ask(ask_65("1006", "1006")) == f"66100000000{STAMP}AOHUB|"
    refused = await kiosk.ask(ask_65("1011", "0000"))
    assert refused == f"66000000000{STAMP}AOHUB|AFCard or PIN is not correct.|"
    assert (await kiosk.ask(ask_65("4711"))).startswith("66000000000")


async def test_those_of_an_authoriser_too_by_profile_b54(desk):
    helper, kiosk = await desk.terminal("helper-1"), await desk.terminal("kiosk-1")
    charged = "  Y       "
    assert "|AUIVO1|" in await helper.ask(ask_63("1020", "1020", summary=charged))
    assert "|AU" not in await kiosk.ask(ask_63("1020", "1020", summary=charged))
    assert await helper.ask(ask_65("1020", "1020")) == f"66100010000{STAMP}AOHUB|BMIVO1|"
    assert (await helper.ask(ask_65("1020"))).startswith("66000000000")
    assert await kiosk.ask(ask_65("1020")) == f"66100000000{STAMP}AOHUB|"


async def test_those_of_an_authoriser_are_not_when_the_membership_has_ended_b54(tmp_path):
    records = [
        {**one, "membership_until": "2026-03-09"} if one.get("id") == "1011" else one
        for one in DESK_LIBRARY
    ]
    async with running(tmp_path, config=DESK_CONFIG, records=records) as desk:
        helper = await desk.terminal("helper-1")
        assert await helper.ask(ask_65("1020", "1020")) == f"66100000000{STAMP}AOHUB|"


def test_what_has_no_due_date_has_an_empty_one():
    assert due_text(cast(Any, None), None) == ""


# Item information


async def test_item_information_says_all_there_is(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_17("FREE1")) == (
        f"18030201{STAMP}CF0|ABFREE1|AJThe FREE1|BGMAIN|CK001|AQMAIN|APMAIN|CHred|"
    )
    assert await kiosk.ask(ask_17("PAID1")) == (
        f"18030006{STAMP}CF0|ABPAID1|AJThe PAID1|BGMAIN|BHEUR|BV1.50|AQMAIN|APMAIN|"
    )
    assert await kiosk.ask(ask_17("QUEUED1")) == (
        f"18040001{STAMP}CF1|AH20260320    235959|ABQUEUED1|AJThe QUEUED1|BGMAIN|AQMAIN|APMAIN|"
    )
    assert (await kiosk.ask(ask_17("REF1"))).startswith("1801")


async def test_item_information_says_until_when_it_waits_to_be_picked_up(desk):
    kiosk = await desk.terminal("kiosk-1")
    until = ask_15("ABREADY1", "1002", "1002", mode="*", extra="BW20260401    235959|")
    assert (await kiosk.ask(until)).startswith("161N")
    assert "|CM20260401    235959|" in await kiosk.ask(ask_17("READY1"))


async def test_an_unknown_item_is_told_in_failure_form_c27(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_17("NOPE")) == (
        f"18010001{STAMP}ABNOPE|AJ|AFThis item is not known. Please ask the staff.|"
    )


async def test_debts_made_here_block_here(desk):
    """A fee of a late return counts at the next request."""
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(ask_09("LATE1"))
    assert "|BV0.60|" in await kiosk.ask(ask_63("1009", "1009"))


# Item status update


async def test_properties_are_stored_and_told(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_19("FREE1", "page 3 torn")) == (
        f"201{STAMP}ABFREE1|AJThe FREE1|CHpage 3 torn|"
    )
    assert "|CHpage 3 torn|" in await kiosk.ask(ask_17("FREE1"))
    assert "|CHpage 3 torn|" in await kiosk.ask(ask_11("FREE1", "1009"))
    await kiosk.ask(ask_19("FREE1", ""))
    assert "|CH" not in await kiosk.ask(ask_17("FREE1"))


async def test_properties_of_an_unknown_item_are_refused(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert await kiosk.ask(ask_19("NOPE", "torn")) == (
        f"200{STAMP}ABNOPE|AFThis item is not known. Please ask the staff.|"
    )
