"""37 in front of a library system with books: a real gateway, one payment, one 37
(B44, B46, B75, C59, C104, C155, C156)."""

from datetime import UTC
from unittest.mock import patch

import pytest
from hostile_library import UNCLEAR
from till_library import Paid
from tills import (
    LATER,
    NOT_SURE,
    asked,
    before,
    books_agree,
    listed,
    pay,
    reconciled,
    until,
    went_up,
)

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.sql.money import ledger, shares
from sip2gw.handlers.upstream.money import sharing


def in_doubt(gateway):
    """Whether staff are told of a payment."""
    with gateway.store.snapshot() as connection:
        rows = connection.execute("SELECT 1 FROM payment_share WHERE doubt > 0").fetchall()
    return bool(rows)


async def test_a_payment_goes_up_once_without_the_pin_and_is_in_the_ledger(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        answer = await till.ask(pay())
        assert answer.startswith("38Y")
        (sent,) = went_up(library)
        assert b"|BV2.00|" in b"|" + sent[27:]
        assert b"AD" not in sent
        assert library.answer.paid == [Paid(b"1001", b"", 200, b"B1")]
        assert listed(gateway) == [("booked", 200, "1001", [("", 200)])]
        assert books_agree(gateway, library)
        # The same again, over another line: the first answer, and nothing goes up.
        till = await gateway.terminal("till-1")
        assert await till.ask(pay()) == answer
        assert len(went_up(library)) == 1


async def test_a_payer_is_added_to_our_store_if_it_does_not_know_them(tmp_path):
    """The ledger is about patrons."""
    owed = {b"1001": {b"1": 200}, b"2001": {b"2": 200}}
    anna = {"kind": "patron", "id": "1001", "name": "Anna Peeters"}
    async with before(tmp_path, owed=owed, records=[anna]) as (gateway, library):
        till = await gateway.terminal("till-1")
        with patch.object(shares, "ADD_PERSON", "no statement"):
            assert (await till.ask(pay())).startswith("38Y")
            assert (await till.ask(pay(patron="2001", bk="B2"))).startswith("38N")
        assert (await till.ask(pay(patron="2001", bk="B2"))).startswith("38Y")
        assert [one.patron for one in library.answer.paid] == [b"1001", b"2001"]
        assert books_agree(gateway, library)


async def test_a_second_amount_fee_or_receipt_number_goes_nowhere(tmp_path):
    """A library system that heeds the last of two would book what we did not."""
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        again = "CG1|BV4.00|CG2|BKB9|AA1002|AD9|ZZours|"
        assert (await till.ask(pay("1.00", more=again))).startswith("38Y")
        (sent,) = went_up(library)
        assert sent[27:] == b"BV1.00|AOHUB|AA1001|AC|CG1|BKB1|ZZours|"


async def test_what_goes_up_names_the_currency_and_no_debtor_of_ours(tmp_path):
    """The terminal leaves the currency out, which means ours (C105), and says for whom it is by ZD,
    which only we know."""
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        asked = pay(more="ZD1001|").replace("EUR", "   ", 1)
        assert (await till.ask(asked)).startswith("38Y")
        (sent,) = went_up(library)
        assert sent[20:27] == b"0100EUR"
        assert b"ZD" not in sent


async def test_a_named_fee_is_paid(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay("3.00", more="CG2|"))).startswith("38Y")
        assert library.answer.paid == [Paid(b"1001", b"2", 300, b"B1")]
        assert listed(gateway) == [("booked", 300, "1001", [("2", 300)])]


# Nobody knows --------------------------------------------------------------------------------


async def looked_twice(gateway):
    """Somebody has looked what became of a payment, and again after the time for that."""
    gateway.clock.advance(LATER)
    await until(lambda: reconciled(gateway)[0][2] is not None)
    for _ in range(2):
        await gateway.app.settler.settle()
        gateway.clock.advance(2 * LATER)


FAULTS = ["silent", "hangs_up", "garbage", "wrong_type", UNCLEAR]
"""The 37 arrives and is booked; the answer does not come or cannot be trusted."""


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_was_not_answered_is_looked_up_and_the_retry_told(tmp_path, fault):
    async with before(tmp_path, fault) as (gateway, library):
        till = await gateway.terminal("till-1")
        answer = await asked(gateway, till, pay())
        assert answer.startswith("38N")
        assert NOT_SURE in answer
        assert listed(gateway)[0][0] == "unknown"
        assert reconciled(gateway) == [("unknown", 500, None, "")]
        # The BK stays taken, and nothing goes up again.
        again = await (await gateway.terminal("till-1")).ask(pay())
        assert NOT_SURE in again
        assert not in_doubt(gateway)  # it may still be answered
        gateway.clock.advance(LATER)
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert reconciled(gateway) == [("booked", 500, 300, "")]
        assert (await (await gateway.terminal("till-1")).ask(pay())).startswith("38Y")
        assert reconciled(gateway) == [("resolved", 500, 300, "")]
        assert len(went_up(library)) == 1
        assert books_agree(gateway, library)


async def test_what_did_not_arrive_is_found_not_booked_and_may_be_paid_again(tmp_path):
    async with before(tmp_path, "resend_once", "silent") as (gateway, library):
        # Not understood: they ask for it again and are silent then. What was not done stays so.
        library.answer._pay = lambda *_: False
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await asked(gateway, till, pay())
        del library.answer._pay
        gateway.clock.advance(LATER)
        await until(lambda: listed(gateway)[0][0] == "refused")
        assert reconciled(gateway) == [("refused", 500, 500, "")]
        assert (await (await gateway.terminal("till-1")).ask(pay())).startswith("38Y")
        # The money is used: nobody gives it back.
        assert reconciled(gateway) == [("resolved", 500, 500, "")]
        assert books_agree(gateway, library)


async def test_b75_what_they_book_late_does_not_go_up_a_second_time(tmp_path):
    """The 37 waits there, say for a lock, longer than it takes until we look."""
    async with before(tmp_path, "silent") as (gateway, library):
        library.answer._pay = lambda *_: False
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await asked(gateway, till, pay())
        gateway.clock.advance(30)
        await until(lambda: reconciled(gateway)[0][2] is not None)
        assert reconciled(gateway) == [("unknown", 500, 500, "not-booked")]
        assert NOT_SURE in await (await gateway.terminal("till-1")).ask(pay())
        del library.answer.owed[b"1001"][b"1"]  # 2.00: now it is booked
        gateway.clock.advance(60)
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert (await (await gateway.terminal("till-1")).ask(pay())).startswith("38Y")
        assert len(went_up(library)) == 1


@pytest.mark.parametrize(
    ("moved", "after"),
    [
        pytest.param({b"1": -200, b"3": 200}, 500, id="a new fine hides it"),
        pytest.param({b"1": -200, b"2": -100}, 200, id="a waiver beside it"),
    ],
)
async def test_what_is_not_certain_waits_for_staff(tmp_path, moved, after):
    async with before(tmp_path, "silent") as (gateway, library):
        till = await gateway.terminal("till-1")
        library.answer._pay = lambda *_: True
        assert NOT_SURE in await asked(gateway, till, pay())
        fees = library.answer.owed[b"1001"]
        for fee, cents in moved.items():
            fees[fee] = fees.get(fee, 0) + cents
        library.answer.owed[b"1001"] = {fee: cents for fee, cents in fees.items() if cents}
        gateway.clock.advance(LATER)
        await until(lambda: reconciled(gateway)[0][2] is not None)
        assert reconciled(gateway) == [("unknown", 500, after, "")]
        assert listed(gateway)[0][0] == "unknown"


async def test_a_list_of_fees_that_was_cut_short_settles_nothing(tmp_path):
    """Nothing is owed by it, while it counts two fees: the payment may not have been booked."""
    async with before(tmp_path, "silent") as (gateway, library):
        till = await gateway.terminal("till-1")
        library.answer._pay = lambda *_: False
        assert NOT_SURE in await asked(gateway, till, pay("5.00"))
        show = library.answer._show
        library.answer._show = lambda *said: show(*said).split(b"BV")[0] + b"BV0.00|"
        await looked_twice(gateway)
        assert reconciled(gateway) == [("unknown", 500, 0, "booked")]


async def test_staff_are_told_while_nobody_can_look(tmp_path):
    async with before(tmp_path, "silent") as (gateway, library):
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await asked(gateway, till, pay())
        library.vanish()
        gateway.clock.advance(LATER)
        await until(lambda: in_doubt(gateway))
        assert reconciled(gateway) == [("unknown", 500, None, "")]


async def test_another_payment_of_the_same_amount_is_not_taken_for_it(tmp_path):
    async with before(tmp_path, "silent") as (gateway, library):
        library.answer._pay = lambda *_: False
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await asked(gateway, till, pay())
        del library.answer._pay
        till = await gateway.terminal("till-2")
        assert (await till.ask(pay(bk="B2"))).startswith("38Y")
        gateway.clock.advance(LATER)
        await until(lambda: reconciled(gateway)[0][2] is not None)
        assert reconciled(gateway) == [("unknown", 500, 300, "")]


@pytest.mark.parametrize("by_s", [120, -3600])
async def test_b75_when_the_clock_was_set_staff_settle_what_went_up_before(tmp_path, by_s):
    """How long the library system has had for it, nobody knows; it may book it yet."""
    async with before(tmp_path, "silent") as (gateway, library):
        till = await gateway.terminal("till-1")
        library.answer._pay = lambda *_: False
        assert NOT_SURE in await asked(gateway, till, pay())
        gateway.clock.set(by_s)
        await gateway.app.settler.settle()
        gateway.clock.advance(LATER)
        await looked_twice(gateway)
        assert reconciled(gateway) == [("unknown", 500, 500, "not-booked")]


async def test_staff_settle_what_is_left(tmp_path):
    async with before(tmp_path, "silent", "silent", shows_lines=False) as (gateway, _library):
        till = await gateway.terminal("till-1")
        for bk in ("B1", "B2"):
            assert NOT_SURE in await asked(gateway, till, pay(bk=bk, amount="1.00"))
        gateway.clock.advance(LATER)
        await until(lambda: all(entry[2] is not None for entry in reconciled(gateway)))
        first, second = (
            one.payment.id for one in gateway.store.reconciliations(gateway.clock.now())
        )
        now = gateway.clock.now()
        await gateway.store.settle_payment(first, booked=True, note="in their books", now=now)
        await gateway.store.settle_payment(second, booked=False, note="not there", now=now)
        assert [entry[0] for entry in listed(gateway)] == ["booked", "refused"]
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay(bk="B1", amount="1.00"))).startswith("38Y")


# What we refuse, and what they do ------------------------------------------------------------


REFUSALS = [
    pytest.param(pay("9.00"), "overpayment", id="more than is owed"),
    pytest.param(pay(more="CG9|"), "unknown_fee", id="a fee that nobody has"),
    pytest.param(pay(pin="9999"), "wrong_pin", id="a wrong PIN"),
    pytest.param(pay(pin=""), "no_pin", id="no PIN"),
    pytest.param(pay("2.001"), "amount", id="no such amount"),
    pytest.param(pay().replace("EUR", "USD"), "currency", id="another currency"),
    pytest.param(pay(bk="", date=" " * 18), "no_transaction_date", id="neither BK nor date"),
]


@pytest.mark.parametrize(("request_", "reason"), REFUSALS)
async def test_what_we_refuse_does_not_go_up(tmp_path, request_, reason):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        assert (await till.ask(request_)).startswith("38N")
        assert went_up(library) == []
        assert listed(gateway) == []
        assert [one.reason for one in gateway.store.refused_payments()] == [reason]


async def test_their_no_is_told_kept_and_leaves_the_bk_free(tmp_path):
    async with before(tmp_path, says=b"Not today") as (gateway, library):
        library.answer._pay = lambda *_: False
        till = await gateway.terminal("till-1")
        answer = await till.ask(pay())
        assert answer.startswith("38N")
        assert "AFNot today|" in answer
        assert [one.reason for one in gateway.store.refused_payments()] == ["upstream"]
        assert listed(gateway) == [("refused", 200, "1001", [])]
        del library.answer._pay
        assert (await till.ask(pay())).startswith("38Y")
        assert reconciled(gateway) == []
        assert books_agree(gateway, library)


async def test_of_their_38_only_what_is_said_on_the_screen_is_handed_on(tmp_path):
    """A repetition gets the same 38 from the journal, which keeps AF (C4)."""
    async with before(tmp_path, says=b"Received|AGReceipt 17|CG1|FA0.00") as (gateway, _library):
        till = await gateway.terminal("till-1")
        answer = await till.ask(pay())
        assert answer == "38Y20260310    120000AOHUB|AA1001|BKB1|AFReceived|"
        assert await (await gateway.terminal("till-1")).ask(pay()) == answer


async def test_their_words_may_hold_bytes_that_are_no_character(tmp_path):
    """FF is nothing in UTF-8, and no store takes it. What they have booked is booked."""
    keys = 'encoding = "utf-8"\n'
    async with before(tmp_path, says=b"Re\xc3\xa7u \xff", keys=keys) as (gateway, library):
        till = await gateway.terminal("till-1")
        answer = await till.ask(pay())
        assert answer == "38Y20260310    120000AOHUB|AA1001|BKB1|AFReçu ?|"
        assert await (await gateway.terminal("till-1")).ask(pay()) == answer
        assert books_agree(gateway, library)


async def test_a_fault_of_ours_after_it_went_up_is_no_no(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        backend = gateway.app.gateway.services.backend
        with patch.object(backend, "end_share", side_effect=ZeroDivisionError):
            assert NOT_SURE in await till.ask(pay())
        gateway.clock.advance(LATER)
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert books_agree(gateway, library)


async def test_a_fault_of_ours_before_that_is(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        with patch.object(sharing, "in_their_manner", side_effect=ZeroDivisionError):
            answer = await till.ask(pay())
        assert answer.startswith("38N")
        assert NOT_SURE not in answer
        assert went_up(library) == []
        gateway.clock.advance(LATER)
        await until(lambda: listed(gateway)[0][0] == "refused")


async def test_c98_a_retry_with_another_pin_is_told_no_certain_no(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay())).startswith("38Y")
        answer = await till.ask(pay(pin="9999"))
        assert answer.startswith("38N")
        assert NOT_SURE in answer
        assert [one.reason for one in gateway.store.refused_payments()] == ["wrong_pin"]
        assert "PIN is not correct" in await till.ask(pay(pin="9999", bk="B2"))
        # What they have refused is no payment, and may be refused again.
        library.answer._pay = lambda *_: False
        assert (await till.ask(pay(bk="B3"))).startswith("38N")
        assert "PIN is not correct" in await till.ask(pay(pin="9999", bk="B3"))


async def test_a_bk_with_other_content_is_refused(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        await till.ask(pay())
        assert (await till.ask(pay("3.00"))).startswith("38N")
        assert len(went_up(library)) == 1


async def test_a_retry_is_answered_from_the_journal_while_the_library_system_is_away(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        first = await till.ask(pay())
        library.vanish()
        till = await gateway.terminal("till-1")
        assert await till.ask(pay()) == first
        assert (await till.ask(pay(bk="B2"))).startswith("38N")


async def test_nothing_goes_up_while_our_store_is_away(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        with patch.object(shares, "begin", side_effect=UnavailableError("away")):
            assert (await till.ask(pay())).startswith("38N")
        assert went_up(library) == []


async def test_what_was_booked_there_and_could_not_be_noted_is_noted_later(tmp_path):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        with patch.object(shares, "end", side_effect=UnavailableError("away")):
            assert NOT_SURE in await till.ask(pay())
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert (await till.ask(pay())).startswith("38Y")
        assert books_agree(gateway, library)


async def test_it_is_taken_back_where_it_was_booked(tmp_path):
    async with before(tmp_path) as (gateway, _library):
        till = await gateway.terminal("till-1")
        await till.ask(pay())
        (paid,) = gateway.store.payments()
        with pytest.raises(ledger.UndoRefusedError, match="library system"):
            await gateway.store.undo_payment(paid.id, gateway.clock.now(), UTC)


# Lines ---------------------------------------------------------------------------------------


async def test_by_lines_each_fee_is_a_37_and_a_retry_does_the_rest(tmp_path):
    async with before(tmp_path, keys='payment_split = "lines"\n') as (gateway, library):
        take = library.answer._pay
        library.answer._pay = lambda patron, fee, money: fee == b"1" and take(patron, fee, money)
        till = await gateway.terminal("till-1")
        # A certain no would have the money given back, of which a part is booked (C98).
        assert NOT_SURE in await till.ask(pay("5.00"))
        assert [one.fee for one in library.answer.paid] == [b"1"]
        assert listed(gateway) == [("unknown", 500, "1001", [("1", 200)])]
        assert reconciled(gateway) == [("unknown", 300, None, "not-booked")]
        assert books_agree(gateway, library)
        library.answer._pay = take
        assert (await till.ask(pay("5.00"))).startswith("38Y")
        assert [one.fee for one in library.answer.paid] == [b"1", b"2"]
        assert listed(gateway) == [("booked", 500, "1001", [("1", 200), ("2", 300)])]
        assert books_agree(gateway, library)


async def test_b44_the_rest_does_not_go_up_once_it_was_paid_elsewhere(tmp_path):
    """A library system that takes any amount would keep it as a credit (B44)."""
    async with before(tmp_path, keys='payment_split = "lines"\n') as (gateway, library):
        library.answer._pay = lambda patron, fee, money: (
            library.answer.owed[patron].pop(fee, 0) == 200
        )
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay("5.00"))).startswith("38N")
        library.answer.owed[b"1001"] = {}  # at the desk
        library.answer._pay = lambda *_: True
        assert NOT_SURE in await till.ask(pay("5.00"))
        assert [one.fee for one in library.answer.paid] == [b"1"]
        assert reconciled(gateway) == [("unknown", 300, None, "not-booked")]


async def test_where_a_bk_is_guarded_the_37_is_asked_again(tmp_path):
    async with before(tmp_path, "silent", keys="guards_bk = true\n", guards_bk=True) as (
        gateway,
        library,
    ):
        till = await gateway.terminal("till-1")
        # With the terminal's date, by whatever clock: by another it could be another payment there.
        assert NOT_SURE in await asked(gateway, till, pay(date="20250101    101500"))
        gateway.clock.advance(LATER)
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert len(library.answer.paid) == 1
        first, again = went_up(library)
        assert again == first.replace(b"|AC|", b"|")
        assert books_agree(gateway, library)


@pytest.mark.parametrize(
    ("is_booked", "ends"),
    [pytest.param(True, "booked", id="they have it"), pytest.param(False, "refused", id="a no")],
)
async def test_their_no_to_a_guarded_bk_may_mean_that_they_have_it(tmp_path, is_booked, ends):
    """The list of fees tells; the 37 does not go up a third time."""
    async with before(tmp_path, "silent", keys="guards_bk = true\n") as (gateway, library):
        till = await gateway.terminal("till-1")
        take = library.answer._pay
        library.answer._pay = lambda *said: is_booked and not library.answer.paid and take(*said)
        assert NOT_SURE in await asked(gateway, till, pay())
        gateway.clock.advance(LATER)
        await until(lambda: listed(gateway)[0][0] != "unknown")
        assert listed(gateway)[0][0] == ends
        assert len(went_up(library)) == 2
        assert books_agree(gateway, library)


async def test_after_their_no_to_a_guarded_bk_only_the_list_is_looked_at(tmp_path):
    keys = "guards_bk = true\n"
    async with before(tmp_path, "silent", keys=keys, shows_lines=False) as (gateway, library):
        till = await gateway.terminal("till-1")
        library.answer._pay = lambda *_: False
        assert NOT_SURE in await asked(gateway, till, pay())
        await looked_twice(gateway)
        assert reconciled(gateway) == [("unknown", 500, 500, "not-booked")]
        assert len(went_up(library)) == 2


async def test_where_a_bk_is_guarded_two_terminals_may_use_the_same(tmp_path):
    """To them the second would be a repetition: a yes, and nothing booked."""
    async with before(tmp_path, keys="guards_bk = true\n", guards_bk=True) as (gateway, library):
        for name in ("till-1", "till-2"):
            till = await gateway.terminal(name)
            assert (await till.ask(pay("1.00", more="CG1|"))).startswith("38Y")
        assert len(library.answer.paid) == 2
        assert books_agree(gateway, library)
