"""Payments on the wire (B43-B53): exactly once, exactly what was asked, never for strangers."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_37, ask_63, debt, fields, running

from sip2gw.model.badges import Deed

FIXED_38 = 21


def accepted(answer):
    return answer[2] == "Y"


def text_of(answer):
    return fields(answer, "AF", fixed=FIXED_38)


async def owed(gateway, patron):
    record = await gateway.store.find_patron(patron)
    return {fee.id: fee.owed for fee in record.fees}


async def test_one_fee_is_paid_and_said_so(gateway):
    pay = await gateway.terminal("pay-1")
    answer = await pay.ask(ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1"))
    assert answer == (
        f"38Y{STAMP}AOHUB|AA1004|BKK1|AFEUR 2.50 has been paid. Thank you.|"
        "AFStill to pay: EUR 10.00.|"
    )
    assert await owed(gateway, "1004") == {"D1": 1000}
    (payment,) = gateway.store.payments()
    assert (payment.amount, payment.terminal, payment.bk) == (250, "pay-1", "K1")
    assert gateway.metrics.payments["booked", "own"] == 1


@pytest.mark.parametrize("pin", ["0000", None], ids=["wrong", "missing"])
async def test_c99_where_cards_are_hidden_a_payer_without_the_pin_is_an_unknown_card(tmp_path, pin):
    hiding = CONFIG.replace(
        "[profiles.cash]", "[profiles.cash]\nwrong_pin_hides_card = true\npin_required = true"
    )
    async with running(tmp_path, config=hiding) as gateway:
        pay = await gateway.terminal("pay-1")
        # AA1004 is Dora, who owes 12.50; nobody has AA4711.
        refused = await pay.ask(ask_37("1004", "1.00", pin=pin, bk="K1"))
        unknown = await pay.ask(ask_37("4711", "1.00", pin=pin, bk="K1"))
        assert not accepted(refused)
        assert text_of(refused) == text_of(unknown)
        assert await owed(gateway, "1004") == {"D1": 1000, "D2": 250}


async def test_c98_a_retry_is_told_no_certain_no_because_the_pin_is_wrong_or_locked_by_now(gateway):
    """Somebody guesses meanwhile. What was booked is booked; wrong and locked read the same."""
    pay = await gateway.terminal("pay-1")
    paid = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
    assert accepted(await pay.ask(paid))
    answers = [await pay.ask(paid.replace("AD1004", f"AD{guess}")) for guess in range(6)]
    answers.append(await pay.ask(paid))  # locked
    assert {text_of(answer)[0][:15] for answer in answers} == {"We are not sure"}
    assert not any(map(accepted, answers))
    other = await pay.ask(ask_37("1004", "2.50", pin="0", fee="D1", bk="K2"))
    assert text_of(other) == ["Card or PIN is not correct."]


async def test_after_payment_the_patron_is_unblocked_at_once(gateway):
    pay, kiosk = await gateway.terminal("pay-1"), await gateway.terminal("kiosk-1")
    assert (await kiosk.ask(ask_23("1004", "1004"))).startswith("24YY Y")
    await pay.ask(ask_37("1004", "12.50", pin="1004"))
    assert (await kiosk.ask(ask_23("1004", "1004"))).startswith("24    ")


@pytest.mark.parametrize(
    ("request_text", "word"),
    [
        (ask_37("1004", "0.00", pin="1004"), "amount"),
        (ask_37("1004", "-1.00", pin="1004"), "amount"),
        (ask_37("1004", "", pin="1004"), "amount"),
        (ask_37("1004", "1,00", pin="1004"), "amount"),
        (ask_37("1004", "1.005", pin="1004"), "amount"),
        (ask_37("1004", "1e1", pin="1004"), "amount"),
        (ask_37("1004", "9" * 30, pin="1004"), "amount"),
        (ask_37("1004", "12.51", pin="1004"), "more than is owed"),
        (ask_37("1004", "2.51", pin="1004", fee="D2"), "more than is owed"),
        (ask_37("1004", "1.00", pin="1004", currency="USD"), "currency"),
        (ask_37("1004", "1.00", pin="1004", kind="09"), "way of paying"),
        (ask_37("1004", "1.00", pin="1004", fee="T1"), "not known"),
        (ask_37("1004", "1.00", pin="1004", fee="XX"), "not known"),
        (ask_37("1004", "1.00", pin="0000"), "PIN"),
        (ask_37("1004", "1.00"), "PIN"),
        (ask_37("1004", "1.00", pin=""), "PIN"),
        (ask_37("4711", "1.00", pin="1"), "not known"),
        (ask_37("1001B", "1.00", pin="1001"), "cannot be used"),
        (ask_37("1009", "1.00", pin="1009"), "nothing to pay"),
        (ask_37("1004", "1.00", pin="1004").replace(STAMP, " " * 18), "no date"),
    ],
)
async def test_what_is_refused_books_nothing(gateway, request_text, word):
    pay = await gateway.terminal("pay-1")
    answer = await pay.ask(request_text)
    assert answer.startswith("38N")
    assert word in text_of(answer)[0]
    assert list(gateway.store.payments()) == []
    assert gateway.metrics.payments["refused", "own"] == 1


async def test_a_refusal_speaks_the_payers_language_b29(gateway):
    pay = await gateway.terminal("pay-1")
    answer = await pay.ask(ask_37("1006", "1.00", pin="1006", fee="XX"))
    assert text_of(answer) == ["Dit bedrag is niet bekend. Er is niets betaald."]
    # Who has not shown the PIN learns nothing of the patron, the language not either.
    answer = await pay.ask(ask_37("1006", "1.00", pin="0000"))
    assert text_of(answer) == ["Card or PIN is not correct."]


async def test_a_head_pays_a_childs_fee_with_the_own_card(gateway):
    pay, kiosk = await gateway.terminal("pay-1"), await gateway.terminal("kiosk-1")
    assert accepted(await pay.ask(ask_37("1001", "3.00", pin="1001", fee="T1", bk="K")))
    assert await owed(gateway, "1002") == {}
    assert "BV0.00" in await kiosk.ask(ask_23("1002", "1002"))
    (payment,) = gateway.store.payments()
    (line,) = payment.lines
    assert (payment.payer_id, line.debtor_id, line.relation) == ("1001", "1002", "head_of_family")
    assert gateway.metrics.payments["booked", "head_of_family"] == 1


@pytest.mark.parametrize(
    ("terminal", "payer", "fee", "extra"),
    [
        ("pay-1", "1002", "A1", ""),  # a child does not pay for the head
        ("pay-1", "1005", "C1", ""),  # an authoriser does not pay for the authorised
        ("pay-3", "1001", "T1", ""),  # families are off
        ("pay-3", "1001", None, "ZD1002|"),  # and money for another does not settle own fees
        ("pay-2", "1001", "T1", ""),  # separate: the debtor was not named
        ("pay-2", "1001", None, "ZD1005|"),  # not related
        ("pay-2", "1001", None, "ZD4711|"),  # unknown
    ],
)
async def test_never_for_strangers_nor_the_reverse(gateway, terminal, payer, fee, extra):
    pay = await gateway.terminal(terminal)
    answer = await pay.ask(ask_37(payer, "1.00", pin=payer, fee=fee, extra=extra))
    assert answer.startswith("38N")
    assert list(gateway.store.payments()) == []


async def test_separate_kiosks_name_the_debtor(gateway):
    pay = await gateway.terminal("pay-2")
    assert accepted(await pay.ask(ask_37("1006", "2.00", pin="1006", extra="ZD1005|")))
    assert await owed(gateway, "1005") == {"B1": 300}
    assert accepted(await pay.ask(ask_37("1005", "3.00", pin="1005", extra="ZD1005|")))


async def test_the_same_bk_is_booked_once_on_any_connection(gateway):
    request = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
    first = await gateway.terminal("pay-1")
    booked = await first.ask(request)
    gateway.clock.advance(120)
    again = await gateway.terminal("pay-1")  # closes the first connection
    assert await first.ended()
    assert await again.ask(request) == booked  # with its first date
    assert len(list(gateway.store.payments())) == 1
    assert gateway.metrics.payments["replayed", "own"] == 1


async def test_a_retry_without_pin_after_reconnect_finds_its_booking(gateway):
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_63("1004", "1004"))
    booked = await pay.ask(ask_37("1004", "2.50", fee="D2", bk="K1"))
    assert accepted(booked)
    pay = await gateway.terminal("pay-1")
    assert await pay.ask(ask_37("1004", "2.50", fee="D2", bk="K1")) == booked
    assert not accepted(await pay.ask(ask_37("1004", "2.50", fee="D1", bk="K2")))


async def test_the_same_bk_with_other_content_is_refused(gateway):
    pay = await gateway.terminal("pay-1")
    assert accepted(await pay.ask(ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")))
    for other in (
        ask_37("1004", "2.00", pin="1004", fee="D2", bk="K1"),
        ask_37("1004", "2.50", pin="1004", fee="D1", bk="K1"),
        ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1", kind="01"),
        ask_37("1001", "2.50", pin="1001", bk="K1"),
    ):
        answer = await pay.ask(other)
        assert answer.startswith("38N")
        assert "used already" in text_of(answer)[0]


async def test_another_terminal_has_bks_of_its_own(gateway):
    for login in ("pay-1", "pay-2"):
        pay = await gateway.terminal(login)
        assert accepted(await pay.ask(ask_37("1004", "1.00", pin="1004", bk="K1")))
    assert await owed(gateway, "1004") == {"D1": 800, "D2": 250}


async def test_a_refused_bk_stays_free(gateway):
    pay = await gateway.terminal("pay-1")
    assert not accepted(await pay.ask(ask_37("1004", "99.00", pin="1004", bk="K1")))
    assert accepted(await pay.ask(ask_37("1004", "1.00", pin="1004", bk="K1")))


async def test_a_bk_is_free_again_after_its_retention(gateway):
    pay = await gateway.terminal("pay-1")
    assert accepted(await pay.ask(ask_37("1004", "1.00", pin="1004", bk="K1")))
    gateway.clock.advance(30 * 86400 + 1)
    pay = await gateway.terminal("pay-1")
    assert accepted(await pay.ask(ask_37("1004", "2.00", pin="1004", bk="K1")))
    assert len(list(gateway.store.payments())) == 2


@pytest.mark.parametrize("bk", [None, ""])
async def test_without_bk_the_transaction_date_tells_retries_apart(gateway, bk):
    pay = await gateway.terminal("pay-1")
    request = ask_37("1004", "1.00", pin="1004", bk=bk)
    await pay.ask(request)
    await pay.ask(request)
    assert len(list(gateway.store.payments())) == 1
    await pay.ask(request.replace(STAMP, "20260310    120001"))
    assert len(list(gateway.store.payments())) == 2


async def test_bks_longer_than_an_index_takes_still_tell_payments_apart_b46(gateway, tmp_path):
    pay = await gateway.terminal("pay-1")
    one, other = ("7" * 400 + end for end in "12")
    for bk, count in ((one, 1), (one, 1), (other, 2)):
        assert accepted(await pay.ask(ask_37("1004", "1.00", pin="1004", bk=bk)))
        assert len(list(gateway.store.payments())) == count
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection:
        longest = connection.execute("SELECT max(length(key)) FROM payment").fetchone()
    assert longest < (300,)


@pytest.mark.parametrize("pin", [None, ""], ids=["absent", "empty"])
async def test_a_pin_verified_on_this_connection_stands_in_for_none_c64_c1(gateway, pin):
    pay = await gateway.terminal("pay-1")
    one = ask_37("1004", "1.00", pin=pin)
    assert not accepted(await pay.ask(one))
    await pay.ask(ask_63("1004", "1004"))
    assert accepted(await pay.ask(one))
    assert accepted(await pay.ask(ask_37("1004", "1.00", pin=pin, bk="2")))


@pytest.mark.parametrize(
    "between",
    [
        ask_63("1001", "1001"),
        ask_63("1001"),
        ask_63("4711"),
        ask_37("1001", "1.00", currency="USD"),
        ask_63("1004", "0000"),
        f"35{STAMP}AOHUB|AA1004|AC|",
        f"01N{STAMP}AOHUB|AL|AA1004|AC|",
        None,
    ],
    ids=[
        "another card",
        "another card without PIN",
        "an unknown card",
        "another card whose money is refused unseen",
        "a wrong PIN",
        "end of session",
        "a card that is blocked",
        "ten minutes",
    ],
)
async def test_it_does_so_no_longer_after(tmp_path, between):
    messages = 'messages = ["01", "35", "37", "63"]'
    config = CONFIG.replace("[profiles.cash]", f"[profiles.cash]\n{messages}")
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        await pay.ask(ask_63("1004", "1004"))
        if between is None:
            gateway.clock.advance(600)
            assert accepted(await pay.ask(ask_37("1004", "1.00", bk="in time")))
            gateway.clock.advance(1)
        else:
            await pay.ask(between)
        assert not accepted(await pay.ask(ask_37("1004", "1.00")))


async def test_a_payment_without_pin_does_not_end_it(gateway):
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_63("1004", "1004"))
    for bk in ("1", "2"):
        assert accepted(await pay.ask(ask_37("1004", "1.00", bk=bk)))


async def test_twenty_terminals_race_for_one_fee(tmp_path):
    names = [f"race-{number}" for number in range(20)]
    config = CONFIG + "".join(
        f'[terminals.{name}]\nprofile = "cash"\nbranch = "MAIN"\npassword = "pw"\n'
        for name in names
    )
    async with running(tmp_path, config=config) as gateway:
        kiosks = [await gateway.terminal(name) for name in names]
        answers = await asyncio.gather(
            *(kiosk.ask(ask_37("1001", "3.00", pin="1001", fee="T1", bk="K")) for kiosk in kiosks)
        )
        assert sum(accepted(answer) for answer in answers) == 1
        assert await owed(gateway, "1002") == {}
        assert gateway.store.self_check() == []


async def test_whole_fees_only_where_parts_are_not_taken(tmp_path):
    config = CONFIG.replace(
        '[profiles.cash]\nkind = "payment"',
        '[profiles.cash]\nkind = "payment"\npartial_payment = false',
    )
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        for amount, good in (("2.50", False), ("10.00", True), ("1.00", False), ("2.50", True)):
            assert accepted(await pay.ask(ask_37("1004", amount, pin="1004"))) is good


async def test_a_kiosk_without_payment_rights_answers_no(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    assert (await kiosk.ask(ask_37("1004", "1.00", pin="1004"))).startswith("38N")


COLLECTED = [
    *LIBRARY,
    debt("I9", "1009", "1.00", status="I"),
    debt("J9", "1009", "2.00", status="J"),
    debt("Q9", "1009", "4.00", status="D"),
    debt("R9", "1009", "8.00", status="R"),
    debt("A9", "1009", "16.00", status="R", arrangement_date="2026-09-01"),
]


@pytest.mark.parametrize(
    ("invoiced_payable", "total", "payable"),
    [("false", "8.00", {"R9"}), ("true", "14.00", {"J9", "Q9", "R9"})],
)
async def test_b45_what_is_collected_elsewhere_is_listed_but_not_taken(
    tmp_path, invoiced_payable, total, payable
):
    """I never, J and D by option, R unless an arrangement runs (C7)."""
    config = CONFIG.replace(
        '[profiles.cash]\nkind = "payment"',
        f'[profiles.cash]\nkind = "payment"\ninvoiced_payable = {invoiced_payable}',
    )
    async with running(tmp_path, config=config, records=COLLECTED) as gateway:
        pay = await gateway.terminal("pay-1")
        told = await pay.ask(ask_63("1009", "1009", summary="   Y      "))
        assert fields(told, "BV", fixed=61) == [total]
        listed = {line.split()[0] for line in fields(told, "AV", fixed=61)}
        assert listed == {"I9", "J9", "Q9", "R9"}
        for fee in ("I9", "J9", "Q9", "R9", "A9"):
            answer = await pay.ask(ask_37("1009", "1.00", pin="1009", fee=fee))
            assert accepted(answer) is (fee in payable), fee
        assert not accepted(await pay.ask(ask_37("1009", total, pin="1009")))  # 1.00 each is paid


async def test_b48_a_terminal_takes_only_the_types_of_its_profile(tmp_path):
    config = CONFIG.replace(
        '[profiles.cash]\nkind = "payment"',
        '[profiles.cash]\nkind = "payment"\npayment_types = ["01"]',
    )
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        for kind, good in (("00", False), ("02", False), ("01", True)):
            answer = await pay.ask(ask_37("1004", "1.00", pin="1004", kind=kind))
            assert accepted(answer) is good
        (payment,) = gateway.store.payments()
        assert payment.payment_type == "01"


async def test_c24_a_self_check_with_payment_types_takes_payments(tmp_path):
    """And says so in its 98, and honours FW=B; families stay off by default."""
    config = CONFIG.replace('kind = "selfcheck"', 'kind = "selfcheck"\npayment_types = ["02"]')
    async with running(tmp_path, config=config) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        (supported,) = fields(await kiosk.ask("9900302.00"), "BX", fixed=36)
        assert supported[9] == "Y"  # fee paid
        assert (await kiosk.ask(ask_63("1004", "1004", extra="FWB|"))).startswith("64    ")
        assert accepted(await kiosk.ask(ask_37("1004", "2.50", pin="1004", fee="D2", kind="02")))
        assert not accepted(await kiosk.ask(ask_37("1001", "3.00", pin="1001", kind="02")))


# Receipt numbers that come again (C105) ----------------------------------------------------------

TOMORROW, LATER_TODAY = "20260311    120000", "20260310    235959"


def on(stamp, text):
    """The same request with another transaction date."""
    return text.replace(STAMP, stamp)


async def test_a_late_retry_and_the_next_days_number_cannot_be_told_apart(gateway):
    pay = await gateway.terminal("pay-1")
    request = ask_37("1004", "1.00", pin="1004", bk="K1")
    booked = await pay.ask(request)
    assert await pay.ask(on(LATER_TODAY, request)) == booked
    answer = await pay.ask(on(TOMORROW, request))
    assert answer.startswith("38N")
    assert "not sure" in text_of(answer)[0]
    assert len(list(gateway.store.payments())) == 1
    (refused,) = gateway.store.refused_payments()
    assert (refused.bk, refused.amount, refused.reason) == ("K1", "1.00", "bk_another_day")
    # The first one's own retry still finds it, whenever it comes.
    gateway.clock.advance(20 * 24 * 3600)
    pay = await gateway.terminal("pay-1")
    assert await pay.ask(request) == booked


async def test_a_counter_that_begins_anew_each_day_loses_no_payment(tmp_path):
    config = CONFIG.replace(
        '[profiles.cash]\nkind = "payment"',
        '[profiles.cash]\nkind = "payment"\nbk_retention_days = 1',
    )
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        request = ask_37("1004", "1.00", pin="1004", bk="1")
        assert accepted(await pay.ask(request))
        gateway.clock.advance(20 * 3600)  # the day after, but not a whole day later
        pay = await gateway.terminal("pay-1")
        second = on("20260311    080000", request)
        assert accepted(await pay.ask(second))
        assert accepted(await pay.ask(second))
        assert len(list(gateway.store.payments())) == 2
        assert (await owed(gateway, "1004"))["D1"] == 800
        assert gateway.store.self_check() == []


async def test_another_payment_of_another_day_is_booked_under_the_same_number(gateway):
    pay = await gateway.terminal("pay-1")
    assert accepted(await pay.ask(ask_37("1004", "1.00", pin="1004", bk="1")))
    other = ask_37("1004", "2.00", pin="1004", bk="1")
    assert "used already" in text_of(await pay.ask(on(LATER_TODAY, other)))[0]
    assert accepted(await pay.ask(on(TOMORROW, other)))
    assert [payment.amount for payment in gateway.store.payments()] == [100, 200]
    # From now on the number belongs to the second one.
    assert (
        "used already"
        in text_of(await pay.ask(on(TOMORROW, ask_37("1004", "1.00", pin="1004", bk="1"))))[0]
    )


@pytest.mark.parametrize(
    "stamp", [" " * 18, "20260231    120000", "00010101    000000", "99991231   Z235959", "X" * 18]
)
async def test_without_a_readable_date_our_own_clock_tells(gateway, stamp):
    pay = await gateway.terminal("pay-1")
    request = on(stamp, ask_37("1004", "1.00", pin="1004", bk="1"))
    booked = await pay.ask(request)
    assert accepted(booked)
    gateway.clock.advance(3600)
    pay = await gateway.terminal("pay-1")
    assert await pay.ask(request) == booked
    gateway.clock.advance(24 * 3600)
    pay = await gateway.terminal("pay-1")
    assert "not sure" in text_of(await pay.ask(request))[0]


async def test_c98_a_retry_after_a_merge_hears_no_certain_no(gateway):
    """The former card has the lasting patron's PIN now, and the kiosk still sends the other."""
    pay = await gateway.terminal("pay-1")
    request = ask_37("1010", "0.50", pin="1010", bk="1")
    booked = await pay.ask(request)
    assert accepted(booked)
    await gateway.store.merge_patrons("1010", "1009", Deed("eva", gateway.clock.now()))
    assert "not sure" in text_of(await pay.ask(request))[0]
    assert await pay.ask(request.replace("AD1010", "AD1009")) == booked


async def test_c98_a_retry_hears_no_certain_no_when_its_debtor_was_forgotten(gateway):
    pay = await gateway.terminal("pay-2")
    request = ask_37("1001", "3.00", pin="1001", bk="1", extra="ZD1002|")
    assert accepted(await pay.ask(request))
    await gateway.store.forget_patron("1002", str)
    assert "not sure" in text_of(await pay.ask(request))[0]
    other = request.replace("BV3.00", "BV2.00")
    assert "used already" in text_of(await pay.ask(other))[0]


async def test_c54_after_an_undo_the_retry_still_gets_the_first_answer(gateway):
    pay = await gateway.terminal("pay-1")
    request = ask_37("1004", "1.00", pin="1004", bk="1")
    booked = await pay.ask(request)
    (payment,) = gateway.store.payments()
    await gateway.store.undo_payment(payment.id, gateway.clock.now(), gateway.clock.now().tzinfo)
    assert await pay.ask(request) == booked
    assert (await owed(gateway, "1004"))["D1"] == 1000


# Amounts and currencies that are read (C105) ----------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "paid"),
    [
        (".50", "EUR", 50),
        ("5", "EUR", 500),
        ("5.0", "EUR", 500),
        (" 5.00", "EUR", 500),
        ("5.00  ", "EUR", 500),
        ("1.00", "eur", 100),
        ("1.00", "Eur", 100),
        ("1.00", "   ", 100),
    ],
)
async def test_what_only_looks_different_is_taken(gateway, amount, currency, paid):
    pay = await gateway.terminal("pay-1")
    answer = await pay.ask(ask_37("1004", amount, pin="1004", bk="1", currency=currency))
    assert accepted(answer)
    (payment,) = gateway.store.payments()
    assert (payment.amount, payment.currency) == (paid, "EUR")
    # However it is written, it is the same payment.
    usual = ask_37("1004", f"{paid / 100:.2f}", pin="1004", bk="1")
    assert await pay.ask(usual) == answer


@pytest.mark.parametrize(
    "amount",
    [
        *("5,00", "+5.00", "1.000,00", "1 000.00", "5.", ".", " ", "5\x00", "\t5", "5.001"),
        *("0x5", "5e0", "1_0", "\xb25", "5.00 EUR", "EUR5"),
    ],
)
async def test_nothing_else_is_guessed(gateway, amount):
    pay = await gateway.terminal("pay-1")
    answer = await pay.ask(ask_37("1004", amount, pin="1004"))
    assert "amount cannot be paid" in text_of(answer)[0]
    assert list(gateway.store.payments()) == []


@pytest.mark.parametrize("currency", ["EU ", "EUX", "€  ", "\x00UR", "USD"])
async def test_no_currency_is_guessed(gateway, currency):
    pay = await gateway.terminal("pay-1")
    text = ask_37("1004", "1.00", pin="1004", currency=currency.replace("€", "\x80"))
    answer = await pay.ask(text.encode("latin-1") + b"\r")
    assert "currency" in text_of(answer)[0]
