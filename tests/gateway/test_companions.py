"""Children who follow their head of family through a door (C142)."""

from contextlib import asynccontextmanager

import pytest
from harness import CONFIG, LIBRARY, NOON, ask_23, ask_63, person, running

from sip2gw.model import Badge
from sip2gw.model.badges import BadgeWish, Deed
from sip2gw.serving.explaining.answer import explain
from sip2gw.serving.site import build_site
from sip2gw.shared.door_memory import Lead, Passages

ADMITTED, REFUSED = "24    ", "24Y   "
FAMILY = [
    {"kind": "relationship", "type": "head_of_family", "from": "1001", "to": child}
    for child in ("1021", "1022", "1023", "1024")
]
CHILDREN = [
    person("1021", "Nora Peeters", birth_date="2016-06-01", badges=[]),
    person("1022", "Seventeen Peeters", birth_date="2009-01-01", badges=[]),
    person("1023", "Expired Peeters", birth_date="2016-06-01", membership_until="2026-01-31"),
    person("1024", "Unknown Peeters", birth_date=None),
    person("1025", "Stranger", birth_date="2016-06-01"),
]


@asynccontextmanager
async def at_door(tmp_path, *, companions=True, more="", records=(), config=CONFIG):
    switch = ", companions = true" if companions else ""
    settings = f"minimum_age = 16, passage_window_s = 30{switch}{more}"
    door = config.replace("minimum_age = 16", settings)
    door += '[terminals.door-2]\nprofile = "entrance"\nbranch = "MAIN"\npassword = "pw"\n'
    people = [{k: v for k, v in one.items() if v is not None} for one in CHILDREN]
    family = records or FAMILY
    async with running(tmp_path, config=door, records=[*LIBRARY, *people, *family]) as gateway:
        yield gateway, await gateway.terminal("door-1")


async def comes(door, card, pin=None):
    return (await door.ask(ask_23(card, pin or card)))[:6]


async def told(gateway):
    """Reasons and modes of the log, oldest first."""
    await gateway.store.ping()
    return [(row.reason, row.mode) for row in gateway.store.access_rows()]


@pytest.mark.parametrize("ask", [ask_23, ask_63])
async def test_a_child_follows_their_head(tmp_path, ask):
    """With or without a badge of their own; what the controller looks at is as for the head."""
    async with at_door(tmp_path) as (gateway, door):
        assert "Y   " in (await door.ask(ask("1021", "1021")))[2:6]
        assert await comes(door, "1001") == ADMITTED
        gateway.clock.advance(29)
        answer = await door.ask(ask("1021", "1021"))
        assert answer[2:16] == " " * 14
        assert "|BLY|" in answer
        assert "|CQY|" in answer
        assert "|GLONBE|" in answer
        assert (await told(gateway))[1:] == [("granted", "normal"), ("granted", "accompanied")]
        counted = gateway.metrics.access_decisions
        assert counted["MAIN", "granted", "granted", "accompanied"] == 1


async def test_a_child_shows_no_other_badge_of_their_head(tmp_path):
    async with at_door(tmp_path) as (gateway, door):
        await gateway.store.define_badge(Badge("STUD", "Study room"))
        await gateway.store.assign_badge("STUD", [BadgeWish("1001")], Deed("eva", NOON))
        assert "|GLSTUD|" in await door.ask(ask_23("1001", "1001"))
        answer = await door.ask(ask_23("1021", "1021"))
        assert "|GLONBE|" in answer
        assert "STUD" not in answer


async def test_nobody_follows_where_the_door_does_not_say_so(tmp_path):
    async with at_door(tmp_path, companions=False) as (gateway, door):
        assert await comes(door, "1001") == ADMITTED
        assert await comes(door, "1002") == REFUSED
        assert (await told(gateway))[1:] == [("under_age", "normal")]


async def test_only_right_after_the_head_at_the_same_door(tmp_path):
    async with at_door(tmp_path) as (gateway, door):
        other = await gateway.terminal("door-2")
        assert await comes(door, "1001") == ADMITTED
        assert await comes(other, "1002") == REFUSED
        gateway.clock.advance(30)
        assert await comes(door, "1002") == REFUSED
        # the head's card once more is a new passage, and who has come follows for as long
        assert await comes(door, "1001") == ADMITTED
        gateway.clock.advance(20)
        assert await comes(door, "1001") == ADMITTED  # the same passage does not begin anew
        gateway.clock.advance(10)
        assert await comes(door, "1002") == REFUSED


async def test_a_childs_own_passage_goes_on(tmp_path):
    """B41: the card read twice gets the same answer, also when the head's passage is over."""
    async with at_door(tmp_path) as (gateway, door):
        assert await comes(door, "1001") == ADMITTED
        gateway.clock.advance(20)
        assert await comes(door, "1002") == ADMITTED
        gateway.clock.advance(20)
        assert await comes(door, "1002") == ADMITTED
        gateway.clock.advance(20)
        assert await comes(door, "1002") == REFUSED
        assert [mode for _, mode in await told(gateway)] == ["normal", "accompanied", "normal"]


@pytest.mark.parametrize(
    ("card", "pin", "reason", "mode"),
    [
        ("1002", "9999", "wrong_pin", "accompanied"),
        ("1022", "1022", "no_badge", "normal"),  # not under age, so on their own
        ("1023", "1023", "membership_expired", "accompanied"),
        ("1024", "1024", "under_age", "normal"),  # B36: nobody knows that this is a child
        ("1025", "1025", "under_age", "normal"),  # of another family
    ],
)
async def test_everything_else_must_be_right(tmp_path, card, pin, reason, mode):
    async with at_door(tmp_path) as (gateway, door):
        assert await comes(door, "1001") == ADMITTED
        assert await comes(door, card, pin) == REFUSED
        assert (await told(gateway))[1:] == [(reason, mode)]


async def test_a_refused_head_leads_nobody(tmp_path):
    async with at_door(tmp_path) as (_, door):
        assert await comes(door, "1001", "0000") == REFUSED
        assert await comes(door, "1002") == REFUSED


async def test_a_child_leads_nobody(tmp_path):
    """Neither the head, nor brothers and sisters when the head has not come."""
    async with at_door(tmp_path) as (gateway, door):
        assert await comes(door, "1001") == ADMITTED
        gateway.clock.advance(29)
        assert await comes(door, "1002") == ADMITTED
        gateway.clock.advance(2)
        assert await comes(door, "1021") == REFUSED


@pytest.mark.parametrize(
    "relation",
    [
        {"type": "head_of_family", "confirmed": False},
        {"type": "authorisation", "functions": ["pay"]},
    ],
)
async def test_only_a_family_that_is_in_force(tmp_path, relation):
    relation = {"kind": "relationship", "from": "1001", "to": "1025", **relation}
    if relation["type"] == "authorisation":
        relation |= {"from": "1025", "to": "1001"}
    async with at_door(tmp_path, records=[relation]) as (_, door):
        assert await comes(door, "1001") == ADMITTED
        assert await comes(door, "1025") == REFUSED


async def test_relationships_that_are_switched_off(tmp_path):
    config = CONFIG + "[relationships]\nenabled = false\n"
    async with at_door(tmp_path, config=config) as (_, door):
        assert await comes(door, "1001") == ADMITTED
        assert await comes(door, "1002") == REFUSED


async def test_a_head_who_has_gone_out_leads_nobody(tmp_path):
    async with at_door(tmp_path) as (gateway, door):
        exit_door = await gateway.terminal("door-out")
        assert await comes(door, "1001") == ADMITTED
        assert await comes(exit_door, "1001") == ADMITTED
        assert await comes(door, "1002") == REFUSED


async def test_children_are_counted(tmp_path):
    """C10: the last place is taken by the head."""
    async with at_door(tmp_path, more=", capacity = 2") as (gateway, door):
        assert await comes(door, "1001") == ADMITTED
        assert await comes(door, "1002") == ADMITTED
        assert await comes(door, "1021") == REFUSED
        assert await told(gateway) == [
            ("granted", "normal"),
            ("granted", "accompanied"),
            ("full", "accompanied"),
        ]


async def test_a_full_branch_that_refuses_the_head_refuses_the_child(tmp_path):
    async with at_door(tmp_path, more=", capacity = 1") as (_, door):
        assert await comes(door, "1005") == ADMITTED
        assert await comes(door, "1001") == REFUSED
        assert await comes(door, "1002") == REFUSED


async def test_no_emergency_admits_a_child_who_once_followed(tmp_path):
    """B40, C142."""
    async with at_door(tmp_path, more=", emergency = true") as (gateway, door):
        for card in ("1001", "1002"):
            assert await comes(door, card) == ADMITTED
        admissions = gateway.app.gateway.services.admissions
        assert [
            admissions.recall("door-1", card, gateway.clock.monotonic(), 3600) is not None
            for card in ("1001", "1002")
        ] == [True, False]


@pytest.mark.parametrize("companions", [True, False])
async def test_explain_says_that_a_child_may_follow(tmp_path, companions):
    async with at_door(tmp_path, companions=companions) as (gateway, _):
        site = build_site(gateway.app.config, gateway.store.capabilities)
        view = site.by_name["door-1"].view
        now = gateway.clock.now(view.zone)
        told = await explain(site, gateway.store, view, "1002", at=now)
        age = next(check for check in told.checks if check.check == "age")
        assert told.reason == "under_age"
        assert ("a child may follow their head of family" in age.detail) is companions


def test_a_lead_of_an_earlier_passage_is_over():
    """A head who was let in again without the store leads nobody by what was known before."""
    passages = Passages()
    lead = Lead("head", ("ONBE",), 0)
    passages.lead("door-1", ["child"], lead)
    assert passages.begins("door-1", "head", 0, 30)
    assert passages.lead_of("door-1", "child", "c", 29, 30) is lead
    assert passages.begins("door-1", "head", 31, 30)
    assert passages.lead_of("door-1", "child", "c", 32, 30) is None


def test_who_leads_is_remembered_for_so_many_children(monkeypatch):
    monkeypatch.setattr("sip2gw.shared.door_memory.PASSAGES_MAX", 3)
    passages = Passages()
    assert passages.begins("door-1", "head", 0, 30)
    for child in "abcdefg":
        passages.lead("door-1", [child], Lead("head", (), 0))
    led = [passages.lead_of("door-1", child, "c", 1, 30) is not None for child in "abcdefg"]
    assert led == [False, False, False, True, True, True, True]
