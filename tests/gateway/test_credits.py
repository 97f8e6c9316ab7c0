"""Credits on the wire: what they leave of fees is what terminals see, and take money for (B98)."""

import pytest
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_37, ask_63, debt, fields, load, running

TERMINALS = """
[profiles.wise]
kind = "payment"
dialect = "wise"
[profiles.gossip]
kind = "payment"
dialect = "gossip"
[profiles.whole]
kind = "payment"
partial_payment = false
[profiles.lines]
kind = "payment"
family = "separate"
fee_lines = "ZF"
""" + "".join(
    f'[terminals.{name}]\nprofile = "{name}"\nbranch = "MAIN"\npassword = "pw"\n'
    for name in ("wise", "gossip", "whole", "lines")
)
FINES = "   Y      "
GOODWILL = debt("K", "1004", "-3.50", created="2026-03-05", description="Goodwill")
"""Dora owes 10.00 (D1, overdue) and, a day younger, 2.50 (D2); her limit is 10.00."""


@pytest.fixture
async def gateway(tmp_path):
    async with running(tmp_path, config=CONFIG + TERMINALS, records=[*LIBRARY, GOODWILL]) as it:
        yield it


async def money(terminal, card="1004", tag="AV"):
    """Fee count, BV and the fee lines that a 63 gets."""
    answer = await terminal.ask(ask_63(card, card, summary=FINES))
    (total,) = fields(answer, "BV", fixed=61)
    return answer[49:53], total, fields(answer, tag, fixed=61)


async def raw(gateway, card="1004"):
    """What is stored as owed, fee by fee; a credit's is negative."""
    assert gateway.store.self_check() == []
    record = await gateway.store.find_patron(card)
    return {fee.id: fee.owed for fee in record.fees}


async def test_the_oldest_fee_is_shown_with_what_the_credit_leaves_of_it(gateway):
    pay = await gateway.terminal("pay-1")
    assert await money(pay) == (
        "0002",
        "9.00",
        ["D1 6.50 EUR 2026-03-01", "D2 2.50 EUR 2026-03-02 Rental"],
    )
    lines = await gateway.terminal("lines")
    assert await money(lines, tag="ZF") == (
        "0002",
        "9.00",
        ["D1~1004~6.50~04~2026-03-01~", "D2~1004~2.50~06~2026-03-02~Rental"],
    )


async def test_what_is_shown_of_a_fee_is_what_may_be_paid_of_it(gateway):
    whole = await gateway.terminal("whole")
    refused = await whole.ask(ask_37("1004", "10.00", pin="1004", fee="D1"))
    assert refused.startswith("38N")
    assert "AFThis is more than is owed. Nothing has been paid.|" in refused
    refused = await whole.ask(ask_37("1004", "6.49", pin="1004", fee="D1"))
    assert refused.startswith("38N")
    assert await raw(gateway) == {"D1": 1000, "D2": 250, "K": -350}
    answer = await whole.ask(ask_37("1004", "6.50", pin="1004", fee="D1", bk="B1"))
    assert answer == (
        f"38Y{STAMP}AOHUB|AA1004|BKB1|AFEUR 6.50 has been paid. Thank you.|"
        "AFStill to pay: EUR 2.50.|"
    )
    assert await raw(gateway) == {"D2": 250}
    assert await money(whole) == ("0001", "2.50", ["D2 2.50 EUR 2026-03-02 Rental"])


async def test_the_whole_is_paid_and_the_same_bk_again_uses_nothing_more_up(gateway):
    pay = await gateway.terminal("pay-1")
    assert (await pay.ask(ask_37("1004", "9.01", pin="1004"))).startswith("38N")
    request = ask_37("1004", "9.00", pin="1004", bk="B1")
    answer = await pay.ask(request)
    assert answer == f"38Y{STAMP}AOHUB|AA1004|BKB1|AFEUR 9.00 has been paid. Thank you.|"
    assert await pay.ask(request) == answer
    assert await raw(gateway) == {}
    assert await money(pay) == ("0000", "0.00", [])


@pytest.mark.parametrize("credit", ["-12.50", "-99.00"])
async def test_with_credits_enough_there_is_nothing_to_pay(gateway, credit):
    load(gateway.store, [{**GOODWILL, "amount": credit}])
    pay = await gateway.terminal("pay-1")
    assert await money(pay) == ("0000", "0.00", [])
    for fee in (None, "D1"):
        answer = await pay.ask(ask_37("1004", "0.01", pin="1004", fee=fee))
        assert answer.startswith("38N")
        assert "AFThere is nothing to pay.|" in answer
    answer = await pay.ask(ask_37("1004", "3.50", pin="1004", fee="K"))
    assert "AFThis charge cannot be paid here. Please ask the staff.|" in answer


async def test_limits_are_about_what_is_left(gateway):
    """B23, B32: 12.50 would block, 9.00 is within the limit and above the alert amount."""
    kiosk, door = await gateway.terminal("kiosk-1"), await gateway.terminal("door-1")
    answer = await kiosk.ask(ask_23("1004", "1004"))
    assert answer.startswith("24    ")
    assert "BV9.00|" in answer
    assert "EUR 1.00" in fields(answer, "AF", fixed=37)[0]
    assert (await door.ask(ask_23("1004", "1004"))).startswith("24    ")
    load(gateway.store, [{**GOODWILL, "amount": "-2.49"}])
    assert (await kiosk.ask(ask_23("1004", "1004"))).startswith("24YY Y")
    assert (await door.ask(ask_23("1004", "1004"))).startswith("24Y")


async def test_a_settled_fee_does_not_grow_old_nor_does_a_credit(gateway):
    """B24: 0.50 from January blocks Hanna until it is made good."""
    kiosk = await gateway.terminal("kiosk-1")
    assert (await kiosk.ask(ask_23("1010", "1010"))).startswith("24YY Y")
    load(gateway.store, [debt("HK", "1010", "-0.60", created="2026-01-01")])
    answer = await kiosk.ask(ask_23("1010", "1010"))
    assert answer.startswith("24    ")
    assert "BV0.00|" in answer


async def test_a_credit_counts_for_its_debtor_only(gateway):
    """B52: Anna's 9.00 do not pay for Tom, and Tom's 1.00 do."""
    credits = [debt("AK", "1001", "-9.00"), debt("TK", "1002", "-1.00")]
    load(gateway.store, credits)
    pay = await gateway.terminal("pay-1")
    assert await money(pay, "1001") == ("0001", "2.00", ["T1 2.00 EUR 2026-03-01 Tom: Overdue"])
    separate = await gateway.terminal("pay-2")
    answer = await separate.ask(ask_63("1001", "1001"))
    assert "BV0.00|" in answer
    assert "ZR1002~Tom~head_of_family~2.00|" in answer
    assert (await pay.ask(ask_37("1001", "2.01", pin="1001"))).startswith("38N")
    assert (await pay.ask(ask_37("1001", "2.00", pin="1001", bk="B1"))).startswith("38Y")
    assert await raw(gateway, "1002") == {}
    assert await raw(gateway, "1001") == {"AK": -900}


async def test_wise_lists_what_credits_leave_and_what_was_settled(gateway):
    """B55: the open lines of a 42, and after a payment of 6.50 the paid ones."""
    wise = await gateway.terminal("wise")

    async def lines(which):
        answer = await wise.ask(f"41{STAMP}AOHUB|AA1004|AC|AD1004|{which}Y|")
        parts = [line.split("~") for line in fields(answer, "YZ", fixed=20)]
        return [(part[7], part[4]) for part in parts]

    assert await lines("FB") == [("D1", "6.50"), ("D2", "2.50")]
    await wise.ask(ask_37("1004", "6.50", pin="1004", fee="D1"))
    assert await lines("FB") == [("D2", "2.50")]
    assert await lines("FC") == [("D1", "10.00")]


async def test_gossip_tells_how_much_money_went_to_each_fee(gateway):
    """B55: FG adds up to BV; what the credit settled is no money."""
    gossip = await gateway.terminal("gossip")
    answer = await gossip.ask(ask_37("1004", "7.00", pin="1004", bk="B1"))
    tags = ("CG", "FA", "FG")
    told = [part for part in answer[21:].split("|") if part[:2] in tags]
    assert told == ["CGD1", "FA0.00", "FG6.50", "CGD2", "FA2.00", "FG0.50"]


async def test_an_undone_payment_gives_the_credit_back(gateway):
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_37("1004", "9.00", pin="1004", bk="B1"))
    (payment,) = gateway.store.payments()
    await gateway.store.undo_payment(payment.id, gateway.clock.now(), gateway.clock.now().tzinfo)
    assert (await money(pay))[1] == "9.00"
    assert await raw(gateway) == {"D1": 1000, "D2": 250, "K": -350}
