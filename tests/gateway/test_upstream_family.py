"""What may be paid for others through a library system that knows no relations.

Rules: B51-B53, B76, C37, C77, C150. A real gateway asks a scripted library system over a socket.
"""

import asyncio

import pytest
from harness import LIBRARY, STAMP, ask_23, ask_63, fields, person
from library_fakes import FakeLibrary, put_behind, said
from their_debts import FAMILY, Account, Books, asked_about, in_front_of

from sip2gw.policy.upstream.family import DEBTORS_MAX

FIXED_24, FIXED_64 = 37, 61
FINES = "   Y      "
INCOMPLETE = "Some accounts that you may pay for are missing. Please try again."


async def shown(directory, terminal, request, books=None, **more):
    """What `terminal` is told."""
    async with in_front_of(directory, books or Books(), **more) as (gateway, _):
        return await (await gateway.terminal(terminal)).ask(request)


def said_in(answer, *tags, fixed=FIXED_64):
    return [fields(answer, tag, fixed=fixed) for tag in tags]


# How it is shown -----------------------------------------------------------------------------


async def test_merged_a_mother_sees_her_sons_debt_with_her_own(tmp_path):
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES))
    # two fine items; the son's title is not hers to see
    assert answer == (
        f"64              001{STAMP}000000000000000200000000AOHUB|AA1001|AEPeeters, Anna|"
        "BLY|CQY|BHEUR|BV5.50|AV11 2.50 EUR Rental|AV21 3.00 EUR Tom:|GLONBE|"
    )


async def test_the_titles_of_others_are_shown_by_profile(tmp_path):
    answer = await shown(
        tmp_path,
        "pay-1",
        ask_63("1001", "1001", summary=FINES),
        profile="relation_titles = true",
    )
    assert said_in(answer, "AV") == [["11 2.50 EUR Rental", "21 3.00 EUR Tom: Overdue The Hobbit"]]


async def test_merged_bv_is_the_sum_whatever_is_listed(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, _):
        pay = await gateway.terminal("pay-1")
        for request in (ask_63("1001", "1001"), ask_63("1001", "1001", summary="  Y       ")):
            answer = await pay.ask(request)
            assert said_in(answer, "BV", "ZR", "ZF") == [["5.50"], [], []]
        assert fields(await pay.ask(ask_23("1001", "1001")), "BV", fixed=FIXED_24) == ["5.50"]


async def test_separate_has_accounts_and_lines_of_their_own(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-2")
        answer = await pay.ask(ask_63("1001", "1001", summary=FINES))
        assert said_in(answer, "BV", "AV", "ZR", "ZF") == [
            ["2.50"],
            ["#11 Rental 2.50"],  # own ones, as they said it
            ["1002~Tom~head_of_family~3.00"],
            ["11~1001~2.50~01~~Rental", "21~1002~3.00~01~~"],  # they say no date
        ]
        assert "ZF" not in await pay.ask(ask_63("1001", "1001"))
        asked = len(library.heard)
        answer = await pay.ask(ask_23("1001", "1001"))
        assert fields(answer, "BV", fixed=FIXED_24) == ["2.50"]
        assert len(library.heard) == asked + 1  # nobody else is asked about


async def test_off_shows_what_they_say_and_asks_about_nobody_else(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        answer = await (await gateway.terminal("pay-3")).ask(ask_63("1001", "1001", summary=FINES))
        assert said_in(answer, "BV", "AV") == [["2.50"], ["#11 Rental 2.50"]]
        assert len(library.heard) == 1


@pytest.mark.parametrize(
    ("where", "av", "zf"),
    [
        ("AV", ["11 2.50 EUR Rental", "21 3.00 EUR Tom:"], []),
        ("ZF", [], ["11~1001~2.50~01~~Rental", "21~1002~3.00~01~~"]),
        ("none", [], []),
    ],
)
async def test_lines_are_where_the_profile_wants_them(tmp_path, where, av, zf):
    answer = await shown(
        tmp_path,
        "pay-1",
        ask_63("1001", "1001", summary=FINES),
        profile=f'fee_lines = "{where}"',
    )
    assert said_in(answer, "AV", "ZF") == [av, zf]


async def test_own_lines_that_we_cannot_read_stay_as_they_are(tmp_path):
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES), form="standard")
    assert said_in(answer, "BV", "AV") == [["5.50"], ["#11 Rental 2.50", "3.00 EUR Tom:"]]


@pytest.mark.parametrize("page", ["BP1|", "BQ9|"])
async def test_a_page_of_the_list_is_theirs(tmp_path, page):
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES, extra=page))
    assert said_in(answer, "BV", "AV") == [["5.50"], ["#11 Rental 2.50"]]


# Who may pay for whom ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "accounts"),
    [
        ("1006", ["1005~Bert~authorisation~5.00"]),
        ("1005", []),  # never the other way round
        ("1002", []),
    ],
)
async def test_authorisations_and_their_direction(tmp_path, card, accounts):
    answer = await shown(tmp_path, "pay-2", ask_63(card, card))
    assert said_in(answer, "ZR") == [accounts]


@pytest.mark.parametrize("expired", ["1001", "1002"])
async def test_a_relation_sleeps_while_a_membership_has_ended(tmp_path, expired):
    records = [
        {**record, "membership_until": "2026-01-31"} if record.get("id") == expired else record
        for record in LIBRARY
    ]
    answer = await shown(tmp_path, "pay-2", ask_63("1001", "1001"), records=records)
    assert said_in(answer, "ZR") == [[]]
    assert INCOMPLETE not in answer


@pytest.mark.parametrize("pin", [None, "", "9999"])
async def test_nobody_is_asked_about_before_the_payer_has_shown_the_pin(tmp_path, pin):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        answer = await (await gateway.terminal("pay-1")).ask(ask_63("1001", pin, summary=FINES))
        assert "Tom" not in answer
        assert asked_about(library) == ["1001"]


async def test_nothing_else_of_the_other_is_revealed(tmp_path):
    more = "BDStreet 1|BEtom@example.org|BF0123|AUThe Hobbit|AFHis text.|GLONBE|XASecret|"
    books = Books(_1002=Account("Peeters, Tom", {"21": "Fine 30.00"}, more=more))
    personal = 'personal_fields = ["BD", "BE", "BF", "PB", "PC"]'
    answer = await shown(
        tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES), books, profile=personal
    )
    assert said_in(answer, "BV", "AV") == [["32.50"], ["11 2.50 EUR Rental", "21 30.00 EUR Tom:"]]
    assert answer.startswith("64              001")  # his debt does not block her
    for word in ("Street", "tom@", "0123|", "Hobbit", "His text", "Secret", "Fine"):
        assert word not in answer


async def test_a_child_is_asked_about_without_a_pin_and_for_fines_only(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        await pay.ask(ask_63("1001", "1001", summary=FINES))
        await pay.ask(ask_63("1001", "1001", summary="  Y       "))
        own, his, _, again = [body.decode() for body in library.heard]
    assert "AA1001|AC|AD1001|" in own
    assert his == f"63000{STAMP}{FINES}AOHUB|AA1002|"
    assert again == f"63000{STAMP}{' ' * 10}AOHUB|AA1002|"


# Who is left out -----------------------------------------------------------------------------

LEFT_OUT = {
    "not known there": None,
    "PIN wanted": Account("", balance="", valid="BLY|CQN|"),
    "denied without an amount": Account("Tom", balance="", flags="YYYY"),
    "an amount that nobody can read": Account("Tom", balance="a lot"),
    "somebody else": Account("Carla", {"51": "Lost 5.00"}, known_as="1005"),
}


@pytest.mark.parametrize("why", LEFT_OUT)
async def test_whoever_they_do_not_tell_about_is_left_out_and_that_is_said(tmp_path, why):
    books = Books()
    books.accounts["1002"] = LEFT_OUT[why]
    if books.accounts["1002"] is None:
        del books.accounts["1002"]
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES), books)
    assert said_in(answer, "BV", "AV", "AF") == [["2.50"], ["11 2.50 EUR Rental"], [INCOMPLETE]]


@pytest.mark.parametrize("other", ["1005", "1020"])
async def test_an_alias_of_somebody_else_is_not_the_child(tmp_path, other):
    """With `aliases` an answer may have another AA; our store knows the child by this one."""
    books = Books(
        _1002=Account("Tom", {"21": "Fine 3.00"}, known_as=other),
        _1020=Account("Tim", {"31": "Fine 1.00"}),
    )
    answer = await shown(
        tmp_path, "pay-2", ask_63("1001", "1001"), books, records=FAMILY, more="aliases = true"
    )
    assert said_in(answer, "ZR", "AF") == [["1020~Tim~head_of_family~1.00"], [INCOMPLETE]]


async def test_who_owes_nothing_is_not_missing(tmp_path):
    books = Books(_1002=Account("Tom", balance=""))
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES), books)
    assert said_in(answer, "BV", "AF") == [["2.50"], []]


async def test_the_others_are_shown_if_they_hang_up_on_one(tmp_path):
    books = Books(_1020=Account("Tim", {"31": "Lost 1.00"}))
    books.hangs_up_on.add("1002")
    answer = await shown(tmp_path, "pay-2", ask_63("1001", "1001"), books, records=FAMILY)
    assert said_in(answer, "ZR", "AF") == [["1020~Tim~head_of_family~1.00"], [INCOMPLETE]]


async def test_only_so_many_are_asked_about(tmp_path):
    children = [f"20{n:02}" for n in range(DEBTORS_MAX)]  # and Tom
    records = [
        *LIBRARY,
        *(person(child, f"Kid{child}") for child in children),
        *(
            {"kind": "relationship", "type": "head_of_family", "from": "1001", "to": child}
            for child in children
        ),
    ]
    books = Books(**{f"_{child}": Account("Kid", {child: "Fine 1.00"}) for child in children})
    async with in_front_of(tmp_path, books, records=records) as (gateway, library):
        answer = await (await gateway.terminal("pay-1")).ask(ask_63("1001", "1001"))
        assert len(library.heard) == 1 + DEBTORS_MAX
    assert said_in(answer, "BV", "AF") == [[f"{2.5 + 3 + DEBTORS_MAX - 1:.2f}"], [INCOMPLETE]]


async def test_the_deadline_ends_the_asking_and_not_the_answer(gateway):
    anna = said(f"64{'':14}001{STAMP}{'0000' * 6}AOTHERE|AA1001|AEAnna|BLY|CQY|BV2.50|")
    anna.record = await gateway.store.find_patron("1001")
    identifier = put_behind(gateway, library := FakeLibrary(), {"1001": anna})
    first, is_asked = identifier.ask, asyncio.Event()

    async def ask(session, request):
        if request.patron_identifier == "1002":
            is_asked.set()
            await asyncio.Event().wait()
        return await first(session, request)

    identifier.ask = ask
    pay = await gateway.terminal("pay-1")
    await pay.send(ask_63("1001", "1001"))
    await is_asked.wait()
    gateway.clock.advance(60)
    for line in list(gateway.app.server._lines.values()):
        line.enforce_deadlines(gateway.clock.monotonic())
    answer = await pay.read()
    assert said_in(answer, "BV", "AF") == [["2.50"], [INCOMPLETE]]
    assert len(library.released) == 1  # the line of the question about Tom


async def test_where_no_63_is_offered_a_23_says_the_amount(tmp_path):
    async with in_front_of(tmp_path, Books()) as (gateway, library):
        pay = await gateway.terminal("pay-1")
        services = gateway.app.gateway.services
        services.library.offers = lambda account: frozenset({"23"})
        answer = await pay.ask(ask_23("1001", "1001"))
        assert [body[:2] for body in library.heard] == [b"23", b"23"]
    assert fields(answer, "BV", fixed=FIXED_24) == ["5.50"]


# Hostile answers -----------------------------------------------------------------------------


async def test_ids_that_two_have_are_one_persons_only(tmp_path):
    books = Books(_1002=Account("Peeters, Tom", {"11": "Fine 3.00", "22": "Fine 1.00"}))
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES), books)
    assert said_in(answer, "BV", "AV") == [
        ["6.50"],
        ["11 2.50 EUR Rental", "22 1.00 EUR Tom:", "3.00 EUR Tom:"],
    ]


async def test_a_credit_of_the_childs_is_no_money_of_the_mothers(tmp_path):
    books = Books(_1002=Account("Tom", {"21": "Found -9.00"}))
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES), books)
    assert said_in(answer, "BV", "AV") == [["2.50"], ["11 2.50 EUR Rental"]]


async def test_own_debts_that_nobody_can_read_are_not_added_to(tmp_path):
    books = Books(_1001=Account("Anna", balance="a lot"))
    answer = await shown(tmp_path, "pay-1", ask_63("1001", "1001", summary=FINES), books)
    assert said_in(answer, "BV", "AV") == [["a lot"], ["21 3.00 EUR Tom:"]]


@pytest.mark.parametrize("name", ["", ",", "~|^", "x" * 5000])
async def test_odd_names_break_nothing(tmp_path, name):
    books = Books(_1002=Account(name.replace("|", ""), {"21": "Overdue 3.00"}))
    answer = await shown(tmp_path, "pay-2", ask_63("1001", "1001", summary=FINES), books)
    (account,) = fields(answer, "ZR", fixed=FIXED_64)
    assert account.count("~") == 3
    assert account.endswith("~head_of_family~3.00")
