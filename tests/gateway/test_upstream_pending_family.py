"""Paying for others where the library system takes no 37 (B51-B53, B76, C124, C156)."""

import pytest
from behind import DIALECTS, ILS, behind, config_in_front
from harness import CONFIG, LIBRARY, ask_23, ask_37, ask_63, debt, fields, running
from their_debts import Account, Books, in_front_of, paid

FIXED_24, FIXED_64 = 37, 61
FINES = "   Y      "
HERE = "payments = false"
DENIALS_BEHIND = 'denials_by_money = { flags = [0, 1, 3, 10, 11], af = "You owe" }'
DENIALS = 'denials_by_money = { flags = [0, 1, 2, 3], af = "owe" }'


def waiting(gateway):
    """Whose debt, which fee and how much of each share that staff enter there."""
    return [
        (one.patron, one.fee, one.amount) for one in gateway.store.payment_exports(pending=True)
    ]


async def family_at(pay):
    """What Anna is shown of her own and Tom's fees."""
    return await pay.ask(ask_63("1001", "1001", summary=FINES, extra="FWB|"))


async def test_a_childs_fee_is_paid_and_shown_to_nobody_any_more(tmp_path):
    tom = Account("Peeters, Tom", {"21": "Overdue The Hobbit 12.00"}, more="AFYou owe money.|")
    more = f"{HERE}\n{DENIALS}"
    async with in_front_of(tmp_path, Books(_1002=tom), more=more) as (gateway, library):
        kiosk, pay = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
        assert (await kiosk.ask(ask_63("1002", "1002"))).startswith("64YYYY")
        answer = await pay.ask(ask_37("1001", "12.00", pin="1001", fee="21", bk="B1"))
        assert answer.startswith("38Y")
        assert paid(library) == []
        assert waiting(gateway) == [("1002", "21", 1200)]
        (one,) = gateway.store.payments()
        assert [(line.debtor_id, line.relation) for line in one.lines] == [
            ("1002", "head_of_family")
        ]
        shown = await family_at(pay)
        assert fields(shown, "AV", fixed=FIXED_64) == ["11 2.50 EUR Rental"]
        assert fields(shown, "BV", fixed=FIXED_64) == ["2.50"]
        # He may borrow again, though they do not know it yet.
        his = await kiosk.ask(ask_63("1002", "1002"))
        assert his.startswith("64              ")
        assert fields(his, "BV", fixed=FIXED_64) == ["0.00"]
        assert "owe" not in his
        status = await kiosk.ask(ask_23("1002", "1002"))
        assert status.startswith("24              ")
        assert fields(status, "BV", fixed=FIXED_24) == ["0.00"]


async def test_accounts_shown_apart_are_without_what_was_paid(tmp_path):
    async with in_front_of(tmp_path, Books(), more=HERE) as (gateway, _library):
        pay = await gateway.terminal("pay-2")
        request = ask_37("1001", "1.00", pin="1001", fee="21", bk="B1", extra="ZD1002|")
        assert (await pay.ask(request)).startswith("38Y")
        shown = await family_at(pay)
        assert fields(shown, "ZR", fixed=FIXED_64) == ["1002~Tom~head_of_family~2.00"]
        assert fields(shown, "ZF", fixed=FIXED_64) == [
            "11~1001~2.50~01~~Rental",
            "21~1002~2.00~01~~",
        ]


async def test_without_ids_each_debtor_is_one_row(tmp_path):
    async with in_front_of(tmp_path, Books(), form="standard", more=HERE) as (gateway, _library):
        pay = await gateway.terminal("pay-1")
        answer = await pay.ask(ask_37("1001", "4.00", pin="1001", bk="B1"))
        assert "Still to pay: EUR 1.50." in answer
        assert waiting(gateway) == [("1001", "", 250), ("1002", "", 150)]
        assert fields(await family_at(pay), "BV", fixed=FIXED_64) == ["1.50"]
        ids = [one.id for one in gateway.store.payment_exports(pending=True)]
        (whole,) = gateway.store.payments()
        assert ids == [f"{whole.id}-1", f"{whole.id}-2"]
        # Anna's part is entered there, and their sum has sunk before it is told here.
        await gateway.store.set_exported(ids[0], gateway.clock.now())
        assert waiting(gateway) == [("1002", "", 150)]


# A gateway in front of a gateway -------------------------------------------------------------


@pytest.mark.parametrize("name", ["cp850 with checksums", "99 before 93, another AO"])
async def test_a_library_that_takes_no_37_is_told_by_staff(tmp_path, name):
    dialect = DIALECTS[name]
    records = [*LIBRARY, debt("T2", "1002", "12.00", description="Lost")]
    config = config_in_front(dialect, ("ADDRESS", 0)).replace(
        "connections = 1", f"connections = 1\n{HERE}\n{DENIALS_BEHIND}"
    )
    (tmp_path / "front").mkdir()
    takes_none = ILS.replace('"37", ', "")
    assert takes_none != ILS
    rear_records = [one for one in records if one["kind"] != "relationship"]
    async with (
        behind(tmp_path, dialect, config=CONFIG, records=rear_records) as rear,
        running(
            tmp_path / "front",
            config=config.replace("ADDRESS:0", "{}:{}".format(*rear.address)),
            records=[one for one in records if one["kind"] != "fee"],
        ) as front,
    ):
        kiosk, pay = await front.terminal("kiosk-1"), await front.terminal("pay-1")
        assert (await pay.ask("9900302.00")).partition("BX")[2][9] == "Y"
        assert (await kiosk.ask(ask_63("1002", "1002"))).startswith("64YY")
        assert fields(await family_at(pay), "BV", fixed=FIXED_64) == ["15.00"]
        answer = await pay.ask(ask_37("1001", "15.00", pin="1001", bk="B1"))
        assert answer.startswith("38Y")
        assert list(rear.store.payments()) == []
        assert waiting(front) == [("1002", "", 1500)]
        assert fields(await family_at(pay), "BV", fixed=FIXED_64) == ["0.00"]
        his = await kiosk.ask(ask_63("1002", "1002"))
        assert his.startswith("64              ")
        assert fields(his, "BV", fixed=FIXED_64) == ["0.00"]
        # Nothing is left, so a second payment is refused.
        again = await pay.ask(ask_37("1001", "15.00", pin="1001", bk="B2"))
        assert "AFThere is nothing to pay.|" in again
