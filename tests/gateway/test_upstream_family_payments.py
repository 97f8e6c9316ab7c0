"""Paying for others through a library system that knows no relations.

Rules: B44, B51-B53, B76, C37, C156. A real gateway asks and pays at a scripted library system.
"""

import pytest
from harness import ask_37, ask_63, fields
from their_debts import FAMILY, Account, Books, asked_about, in_front_of, paid

pytestmark = pytest.mark.no_cover

FIXED_64 = 61


def heavy():
    """Tom owes so much that he is denied everything."""
    return Account("Peeters, Tom", {"21": "Overdue The Hobbit 12.00"})


def booked(gateway):
    """Payer, BK, and the lines (debtor, relation, fee, cents) of each payment."""
    return [
        (
            one.payer_id,
            one.bk,
            [(line.debtor_id, line.relation, line.fee_id, line.amount) for line in one.lines],
        )
        for one in gateway.store.payments()
        if one.status == "booked"
    ]


async def test_a_mother_pays_for_her_son_and_he_may_borrow_again(tmp_path):
    async with in_front_of(tmp_path, Books(_1002=heavy())) as (gateway, library):
        kiosk, pay = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
        assert (await kiosk.ask(ask_63("1002", "1002"))).startswith("64YYYY")
        shown = await pay.ask(ask_63("1001", "1001", summary="   Y      ", extra="FWB|"))
        assert fields(shown, "AV", fixed=FIXED_64)[1:] == ["21 12.00 EUR Tom:"]
        answer = await pay.ask(ask_37("1001", "12.00", pin="1001", fee="21", bk="B1"))
        assert answer.startswith("38Y")
        assert "|AA1001|" in answer  # the payer's card; nothing of Tom
        assert "Tom" not in answer
        # The 37 goes up for Tom's card, without a PIN.
        assert paid(library) == [("1002", "", "12.00", "21")]
        assert booked(gateway) == [("1001", "B1", [("1002", "head_of_family", "21", 1200)])]
        his = await kiosk.ask(ask_63("1002", "1002"))
        assert his.startswith("64              ")
        assert fields(his, "BV", fixed=FIXED_64) == ["0.00"]


async def test_without_cg_own_fees_go_first(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        answer = await pay.ask(ask_37("1001", "4.00", pin="1001", bk="B1"))
        assert answer.startswith("38Y")
        assert "Still to pay: EUR 1.50." in answer
        assert paid(library) == [("1001", "", "2.50", ""), ("1002", "", "1.50", "")]
        assert booked(gateway) == [
            ("1001", "B1", [("1001", "own", "", 250), ("1002", "head_of_family", "", 150)])
        ]


def of_two_children():
    """Their fees take turns: 21, 31 and 41."""
    return Books(
        _1001=Account("Anna"),
        _1002=Account("Tom", {"21": "Fine 1.00", "41": "Fine 4.00"}),
        _1020=Account("Tim", {"31": "Fine 2.00"}),
    )


@pytest.mark.parametrize(
    ("split", "sent"),
    [
        ("sum", [("1002", "", "5.00", ""), ("1020", "", "2.00", "")]),
        (
            "lines",
            [
                ("1002", "", "1.00", "21"),
                ("1002", "", "4.00", "41"),
                ("1020", "", "2.00", "31"),
            ],
        ),
    ],
)
async def test_each_debtor_is_paid_for_in_one_go(tmp_path, split, sent):
    more = f'payment_split = "{split}"'
    async with in_front_of(tmp_path, of_two_children(), more=more, records=FAMILY) as (
        gateway,
        library,
    ):
        pay = await gateway.terminal("pay-1")
        assert (await pay.ask(ask_37("1001", "7.00", pin="1001", bk="B1"))).startswith("38Y")
        assert paid(library) == sent


async def test_what_is_refused_for_one_is_paid_by_the_same_receipt_later(tmp_path):
    books = of_two_children()
    books.accounts["1020"].takes_money = False
    async with in_front_of(tmp_path, books, records=FAMILY) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        request = ask_37("1001", "7.00", pin="1001", bk="B1")
        assert (await pay.ask(request)).startswith("38N")
        books.accounts["1020"].takes_money = True
        assert (await pay.ask(request)).startswith("38Y")
        assert paid(library) == [
            ("1002", "", "5.00", ""),
            ("1020", "", "2.00", ""),
            ("1020", "", "2.00", ""),
        ]
        # A third time nothing goes up.
        assert (await pay.ask(request)).startswith("38Y")
        assert len(paid(library)) == 3


async def test_what_is_left_goes_up_only_with_the_pin_and_while_the_relation_lasts(tmp_path):
    """A part was booked, and the machine asks for the rest."""
    books = of_two_children()
    books.accounts["1020"].takes_money = False
    async with in_front_of(tmp_path, books, records=FAMILY) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        assert (await pay.ask(ask_37("1001", "7.00", pin="1001", bk="B1"))).startswith("38N")
        books.accounts["1020"].takes_money = True
        up = len(paid(library))
        pay = await gateway.terminal("pay-1")
        answer = await pay.ask(ask_37("1001", "7.00", bk="B1"))
        assert "AFPlease enter your PIN.|" in answer
        await gateway.store.remove_relationship("head_of_family", "1001", "1020")
        answer = await pay.ask(ask_37("1001", "7.00", pin="1001", bk="B1"))
        assert answer.startswith("38N")
        assert len(paid(library)) == up


@pytest.mark.parametrize(
    ("card", "amount", "zd", "sent"),
    [
        ("1001", "2.50", "", [("1001", "", "2.50", "")]),
        ("1001", "2.50", "ZD1001|", [("1001", "", "2.50", "")]),
        ("1001", "3.00", "ZD1002|", [("1002", "", "3.00", "")]),
        ("1006", "5.00", "ZD1005|", [("1005", "", "5.00", "")]),
        ("1001", "5.50", "", []),  # own fees only
        ("1001", "5.00", "ZD1005|", []),  # not hers to pay
        ("1005", "1.00", "ZD1006|", []),  # never the other way round
        ("1002", "2.50", "ZD1001|", []),
        ("1001", "1.00", "ZD4711|", []),
    ],
)
async def test_separate_pays_for_whom_zd_names(tmp_path, card, amount, zd, sent):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-2")
        answer = await pay.ask(ask_37(card, amount, pin=card, bk="B1", extra=zd))
        assert answer.startswith("38Y" if sent else "38N")
        assert paid(library) == sent


async def test_where_fees_are_apart_nobody_is_asked_about_for_own_ones(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-2")
        for zd in ("", "ZD1001|"):
            await pay.ask(ask_37("1001", "1.00", pin="1001", bk=f"B{zd}", extra=zd))
        assert set(asked_about(library)) == {"1001"}


@pytest.mark.parametrize("terminal", ["pay-1", "pay-2", "pay-3"])
@pytest.mark.parametrize("pin", [None, "", "9999"])
async def test_without_the_payers_pin_nothing_is_paid_or_asked(tmp_path, terminal, pin):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal(terminal)
        answer = await pay.ask(ask_37("1001", "3.00", pin=pin, fee="21", bk="B1", extra="ZD1002|"))
        assert answer.startswith("38N")
        assert paid(library) == []
        assert asked_about(library) == ["1001"]


async def test_the_pin_that_the_payer_has_shown_lasts_although_others_are_asked_about(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        await pay.ask(ask_63("1001", "1001"))
        for bk in ("B1", "B2"):
            answer = await pay.ask(ask_37("1001", "1.00", pin="", fee="21", bk=bk))
            assert answer.startswith("38Y")
        assert paid(library) == [("1002", "", "1.00", "21")] * 2


async def test_off_pays_own_fees_only(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-3")
        for extra in ("", "ZD1002|"):
            bill = ask_37("1001", "3.00", pin="1001", fee="21", bk="B1", extra=extra)
            assert (await pay.ask(bill)).startswith("38N")
        assert (asked_about(library), paid(library)) == (["1001", "1001"], [])


async def test_who_is_left_out_is_not_paid_for(tmp_path):
    books = Books()
    books.hangs_up_on.add("1002")
    async with in_front_of(tmp_path, books) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        answer = await pay.ask(ask_37("1001", "5.50", pin="1001", bk="B1"))
        assert answer.startswith("38N")
        assert "AFThis is more than is owed. Nothing has been paid.|" in answer
        assert paid(library) == []


@pytest.mark.parametrize(
    ("terminal", "amount", "zd"),
    [
        pytest.param("pay-1", "9.50", "", id="merged"),
        pytest.param("pay-2", "7.00", "ZD1002|", id="separate"),
    ],
)
async def test_b44_nothing_is_paid_for_a_child_of_whom_no_debt_is_said(
    tmp_path, terminal, amount, zd
):
    """The kiosk shows 2.50 in all; some library systems keep whatever comes, as a credit."""
    books = Books(_1002=Account("Peeters, Tom", balance=""))
    async with in_front_of(tmp_path, books) as (gateway, library):
        pay = await gateway.terminal(terminal)
        answer = await pay.ask(ask_37("1001", amount, pin="1001", bk="B1", extra=zd))
        assert answer.startswith("38N")
        assert paid(library) == []
        assert booked(gateway) == []


async def test_a_childs_fee_is_not_taken_for_what_the_mother_owes_without_an_id(tmp_path):
    books = Books(_1001=Account("Anna", balance="9.00"))  # no line says for what
    async with in_front_of(tmp_path, books) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        answer = await pay.ask(ask_37("1001", "3.00", pin="1001", fee="21", bk="B1"))
        assert answer.startswith("38Y")
        assert paid(library) == [("1002", "", "3.00", "21")]
        assert booked(gateway) == [("1001", "B1", [("1002", "head_of_family", "21", 300)])]


async def test_an_id_that_two_have_is_the_mothers(tmp_path):
    books = Books(_1002=Account("Tom", {"11": "Fine 2.50"}))
    async with in_front_of(tmp_path, books) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        for bk in ("B1", "B2"):
            answer = await pay.ask(ask_37("1001", "2.50", pin="1001", fee="11", bk=bk))
            assert answer.startswith("38Y")
        # Once hers is paid, the id is nobody's but his.
        assert [card for card, *_ in paid(library)] == ["1001", "1002"]
