"""Vendors' dialects on the wire (B55, C45): each where it is spoken, and nowhere else."""

from typing import Any

import pytest
from harness import CONFIG, LIBRARY, STAMP, ask_37, ask_63, debt, fields, person, running

from sip2gw.backend.base import UnavailableError

TERMINALS = """
[profiles.wise]
kind = "payment"
dialect = "wise"
[profiles.mapped]
kind = "payment"
dialect = "wise"
family = "off"
wise = { open_lines = "FA", paid_lines = "FB", all_lines = "FC", separator = " ~ " }
[profiles.gossip]
kind = "payment"
dialect = "gossip"
[profiles.apart]
kind = "payment"
dialect = "gossip"
family = "separate"
[profiles.gossip-door]
kind = "door"
dialect = "gossip"
door = { mode = "facts" }
[profiles.whole]
kind = "payment"
single_fee_payment = false
subtotal_payment = false
""" + "".join(
    f'[terminals.{name}]\nprofile = "{name}"\nbranch = "MAIN"\npassword = "pw"\n'
    for name in ("wise", "mapped", "gossip", "apart", "gossip-door", "whole")
)
RECORDS = [
    *LIBRARY,
    person("2000", "Zoe Wouters"),
    debt("Z1", "2000", "2.00", item="BOOK1", description="Late~again", type="04"),
    debt("Z2", "2000", "0.30", created="2026-03-02", status="J"),
    debt("Z3", "2000", "4.00", created="2026-03-03", status="R", arrangement_date="2026-06-01"),
    debt("T2", "1002", "1.00", created="2026-03-02", item="BOOK2", description="Late Title 2"),
]


@pytest.fixture
async def gateway(tmp_path):
    async with running(tmp_path, config=CONFIG + TERMINALS, records=RECORDS) as gateway:
        yield gateway


def ask_41(card, switches="FBY|", pin=None):
    ad = f"AD{pin or card}|" if pin != "" else ""
    return f"41{STAMP}AOHUB|AA{card}|AC|{ad}{switches}"


def lines(answer):
    return fields(answer, "YZ", fixed=20)


def ids(answer):
    return [line.split("~")[7].strip() for line in lines(answer)]


# Wise -----------------------------------------------------------------------------------------


async def test_a_41_lists_what_is_owed_ten_parts_a_line(gateway):
    wise = await gateway.terminal("wise")
    answer = await wise.ask(ask_41("2000"))
    assert answer.startswith(f"42{STAMP}AOHUB|AA2000|YZ")
    assert lines(answer) == [
        "01-03-2026~Late-again~Title 1~01-03-2026~2.00~~~Z1~2~",
        "02-03-2026~~Overdue~02-03-2026~0.30~J~~Z2~2~",
        "03-03-2026~~Overdue~03-03-2026~4.00~R~~Z3~2~01-06-2026",
    ]


async def test_what_was_paid_at_a_terminal_shows_up_as_paid(gateway):
    wise = await gateway.terminal("wise")
    assert lines(await wise.ask(ask_41("2000", "FCY|"))) == []
    assert (await wise.ask(ask_37("2000", "2.00", pin="2000", fee="Z1", bk="K"))).startswith("38Y")
    assert ids(await wise.ask(ask_41("2000"))) == ["Z2", "Z3"]
    assert lines(await wise.ask(ask_41("2000", "FCY|"))) == [
        "01-03-2026~Late-again~Title 1~01-03-2026~2.00~P~~Z1~2~"
    ]
    gateway.clock.advance(91 * 86_400)
    assert lines(await wise.ask(ask_41("2000", "FCY|"))) == []


async def test_part_of_a_fee_is_paid_and_the_rest_is_open(gateway):
    wise = await gateway.terminal("wise")
    await wise.ask(ask_37("2000", "0.50", pin="2000", fee="Z1"))
    both = lines(await wise.ask(ask_41("2000", "FAY|")))
    assert [line.split("~")[4:8] for line in both if "Z1" in line] == [
        ["1.50", "", "", "Z1"],
        ["0.50", "P", "", "Z1"],
    ]
    assert await wise.ask(ask_41("2000", "FBY|FCY|")) == await wise.ask(ask_41("2000", "FAY|"))


async def test_the_switches_and_the_separator_are_settings(gateway):
    mapped = await gateway.terminal("mapped")
    await mapped.ask(ask_37("2000", "2.00", pin="2000", fee="Z1"))
    assert ids(await mapped.ask(ask_41("2000", "FAY|"))) == ["Z2", "Z3"]
    assert ids(await mapped.ask(ask_41("2000", "FBY|"))) == ["Z1"]
    answer = await mapped.ask(ask_41("2000", "FCY|FAN|"))
    assert ids(answer) == ["Z2", "Z3", "Z1"]
    assert lines(answer)[0] == "02-03-2026 ~  ~ Overdue ~ 02-03-2026 ~ 0.30 ~ J ~  ~ Z2 ~ 2 ~ "


async def test_a_payers_lines_are_those_of_the_family_titles_hidden(gateway):
    """B52, B53: of a child's paid lines only what this payer paid."""
    wise = await gateway.terminal("wise")
    assert lines(await wise.ask(ask_41("1001"))) == [
        "01-03-2026~Tom: Overdue~Overdue~01-03-2026~3.00~~~T1~2~",
        "02-03-2026~Tom: Late~Overdue~02-03-2026~1.00~~~T2~2~",
    ]
    await wise.ask(ask_37("1002", "3.00", pin="1002", fee="T1"))
    await wise.ask(ask_37("1001", "1.00", pin="1001", fee="T2"))
    assert ids(await wise.ask(ask_41("1001", "FAY|"))) == ["T2"]
    assert ids(await wise.ask(ask_41("1002", "FAY|"))) == ["T1", "T2"]
    alone = await gateway.terminal("mapped")
    assert ids(await alone.ask(ask_41("1001", "FCY|"))) == []


@pytest.mark.parametrize(
    ("request_text", "word"),
    [
        (ask_41("2000", pin=""), "enter your PIN"),
        (ask_41("2000", pin="0000"), "not correct"),
        (ask_41("4711"), "not known"),
        (ask_41("1001R", pin="1001"), "replaced"),
        (ask_41("2000", switches=""), "not possible"),
        (ask_41("2000", switches="FAN|FBN|FC|"), "not possible"),
    ],
)
async def test_a_refused_42_shows_no_line(gateway, request_text, word):
    wise = await gateway.terminal("wise")
    answer = await wise.ask(request_text)
    assert answer.startswith(f"42{STAMP}AOHUB|AA")
    assert lines(answer) == []
    assert word in fields(answer, "AF", fixed=20)[0]
    (line,) = [line for line in gateway.logged() if line.get("message") == "41"]
    assert (line["outcome"], "2000" in line.values()) == ("refused", False)


async def test_titles_of_a_childs_items_are_told_where_the_profile_allows_it_b53(tmp_path):
    config = CONFIG + TERMINALS.replace(
        "[profiles.wise]", "[profiles.wise]\nrelation_titles = true"
    )
    async with running(tmp_path, config=config, records=RECORDS) as gateway:
        wise = await gateway.terminal("wise")
        assert lines(await wise.ask(ask_41("1001"))) == [
            "01-03-2026~Tom: Overdue~Overdue~01-03-2026~3.00~~~T1~2~",
            "02-03-2026~Tom: Late Title 2~Title 2~02-03-2026~1.00~~~T2~2~",
        ]


async def test_long_texts_give_way_to_what_stands_behind_them(tmp_path):
    """B4: a line is one value of 255 bytes; its id and amount are never cut off."""
    long = debt("L1", "2000", "7.00", item="LONG", description="d|€" * 200)
    item = {"kind": "item", "id": "LONG", "title": "é" * 300}
    records = [*LIBRARY, person("2000", "Zoe"), item, long]
    async with running(tmp_path, config=CONFIG + TERMINALS, records=records) as gateway:
        wise = await gateway.terminal("wise")
        (line,) = lines(await wise.ask(ask_41("2000")))
        assert len(line.encode("cp850")) == 255
        parts = line.split("~")
        assert parts[1].startswith("d EURd EUR")
        assert parts[2].startswith("éé")
        assert parts[4:] == ["7.00", "", "", "L1", "2", ""]


async def test_41_is_unknown_before_login_and_in_other_dialects(gateway):
    for login in (None, "pay-1", "kiosk-1", "gossip", "door-1"):
        line = await (gateway.terminal(login) if login else gateway.connect())
        before = gateway.metrics.frames_rejected["unknown_message"]
        await line.send(ask_41("2000"))
        assert (await line.ask("9900302.00")).startswith("98")
        assert gateway.metrics.frames_rejected["unknown_message"] == before + 1


async def test_bx_has_no_place_for_41(gateway):
    answers = {await (await gateway.terminal(t)).ask("9900302.00") for t in ("wise", "pay-1")}
    assert len(answers) == 1


async def test_an_unreadable_41_is_answered_in_failure_form(gateway):
    wise = await gateway.terminal("wise")
    assert (await wise.ask("41short|AA2000|")).startswith("42")


# Gossip ---------------------------------------------------------------------------------------

DETAILS = "      Y   "


def details(answer, fixed):
    """The groups of an answer: each begins with CG."""
    tags = {"CG", "FA", "FB", "FC", "FD", "FE", "FF", "FG"}
    parts = [part for part in answer[fixed:].split("|") if part[:2] in tags]
    groups: list[Any] = []
    for part in parts:
        if part.startswith("CG"):
            groups.append([])
        groups[-1].append(part)
    return groups


async def test_a_63_gets_fee_details_when_it_asks_for_them(gateway):
    gossip = await gateway.terminal("gossip")
    answer = await gossip.ask(ask_63("2000", "2000", summary=DETAILS))
    assert details(answer, 61) == [
        ["CGZ1", "FA2.00", "FBBOOK1", "FC01.03.2026", "FDTitle 1", "FE04", "FFOverdue"],
        ["CGZ2", "FA0.30", "FB", "FC02.03.2026", "FD", "FE04", "FFOverdue"],
    ]
    assert "AV" not in answer
    for summary in (" " * 10, "   Y      "):
        assert details(await gossip.ask(ask_63("2000", "2000", summary=summary)), 61) == []
    german = await gossip.ask(ask_63("2000", "2000", summary=DETAILS, language="003"))
    assert "FFÜberziehung" in german


async def test_fee_details_are_paged_and_withheld_as_everything_else(gateway):
    gossip = await gateway.terminal("gossip")
    second = await gossip.ask(ask_63("2000", "2000", summary=DETAILS, extra="BP2|BQ5|"))
    assert [group[0] for group in details(second, 61)] == ["CGZ2"]
    assert details(await gossip.ask(ask_63("2000", "0000", summary=DETAILS)), 61) == []


async def test_a_payer_sees_the_familys_fees_titles_hidden(gateway):
    gossip, apart = await gateway.terminal("gossip"), await gateway.terminal("apart")
    answer = await gossip.ask(ask_63("1001", "1001", summary=DETAILS))
    assert details(answer, 61) == [
        ["CGT1", "FA3.00", "FB", "FC01.03.2026", "FDTom: Overdue", "FE04", "FFOverdue"],
        ["CGT2", "FA1.00", "FB", "FC02.03.2026", "FDTom: Late", "FE04", "FFOverdue"],
    ]
    assert details(await apart.ask(ask_63("1001", "1001", summary=DETAILS)), 61) == []


async def test_a_38_tells_what_went_to_each_fee_and_what_is_left(gateway):
    gossip = await gateway.terminal("gossip")
    request = ask_37("1004", "11.00", pin="1004", bk="K1")
    answer = await gossip.ask(request)
    assert answer.startswith(f"38Y{STAMP}AOHUB|AA1004|BKK1|AF")
    assert details(answer, 21) == [
        ["CGD1", "FA0.00", "FB", "FC01.03.2026", "FD", "FE04", "FFOverdue", "FG10.00"],
        ["CGD2", "FA1.50", "FB", "FC02.03.2026", "FDRental", "FE06", "FFRental", "FG1.00"],
    ]
    await gossip.ask(ask_37("1004", "1.50", pin="1004", fee="D2", bk="K2"))
    again = await gateway.terminal("gossip")
    assert await again.ask(request) == answer  # B46: whatever was paid since
    refused = await again.ask(ask_37("1004", "1.00", pin="1004", fee="D2"))
    assert refused.startswith("38N")
    assert details(refused, 21) == []


async def test_a_38_for_a_child_hides_what_the_child_had_and_tells_ones_own(gateway):
    gossip = await gateway.terminal("gossip")
    # Anna pays for Tom, who was late with BOOK2: FB names no item, FD no title.
    childs = await gossip.ask(ask_37("1001", "1.00", pin="1001", fee="T2", bk="K1"))
    assert details(childs, 21) == [
        ["CGT2", "FA0.00", "FB", "FC02.03.2026", "FDLate", "FE04", "FFOverdue", "FG1.00"],
    ]
    own = await gossip.ask(ask_37("2000", "2.00", pin="2000", fee="Z1", bk="K2"))
    assert details(own, 21)[0][2] == "FBBOOK1"


async def test_a_booked_payment_stays_accepted_when_its_fees_cannot_be_told(gateway, monkeypatch):
    async def fail(payment_id):
        raise UnavailableError("gone")

    monkeypatch.setattr(gateway.app.gateway.services.backend, "fees_settled_by", fail)
    gossip = await gateway.terminal("gossip")
    answer = await gossip.ask(ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1"))
    assert answer.startswith("38Y")
    assert details(answer, 21) == []


async def test_a_door_answers_as_a_door_in_any_dialect(gateway):
    door = await gateway.terminal("gossip-door")
    answer = await door.ask(ask_63("2000", "2000", summary=DETAILS))
    assert answer.startswith("64")
    assert details(answer, 61) == []


@pytest.mark.parametrize("login", ["pay-1", "pay-2", "wise"])
async def test_no_field_of_gossip_leaves_anywhere_else(gateway, login):
    pay = await gateway.terminal(login)
    assert details(await pay.ask(ask_63("2000", "2000", summary="Y" * 10)), 61) == []
    assert details(await pay.ask(ask_37("2000", "1.00", pin="2000")), 21) == []


# What may be paid how ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_text", "word"),
    [
        (ask_37("1004", "2.50", pin="1004", fee="D2"), "one by one"),
        (ask_37("1004", "10.00", pin="1004"), "whole amount"),
        (ask_37("1004", "13.00", pin="1004"), "more than is owed"),
    ],
)
async def test_a_terminal_may_take_all_or_nothing(gateway, request_text, word):
    pay = await gateway.terminal("whole")
    answer = await pay.ask(request_text)
    assert answer.startswith("38N")
    assert word in fields(answer, "AF", fixed=21)[0]
    assert list(gateway.store.payments()) == []
    assert (await pay.ask(ask_37("1004", "12.50", pin="1004"))).startswith("38Y")
