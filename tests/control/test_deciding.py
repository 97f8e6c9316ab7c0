"""A door decides for who asks over the control socket as it does over SIP2 (C140)."""

import asyncio

import pytest
from behind import DIALECTS, behind, in_front
from harness import CONFIG, LIBRARY, ask_63, running

from sip2gw.backend.base import BackendTimeoutError
from sip2gw.control.messages import Decide, Decided, Refused

WELCOME = Decided("granted", "granted", "Welcome.")
WRONG = Decided("refused", "wrong_pin", "Card or PIN is not correct.")


async def decide(gateway, terminal, card, pin=None, direction=None):
    operations = gateway.app.operators._operations
    answer = operations.answer(Decide(terminal, card, pin, direction), None)
    return await answer if isinstance(answer, asyncio.Future) else answer


async def rows(gateway):
    """The door log as stored: all but the time."""
    await gateway.store.ping()
    return [
        (row.terminal, row.decision, row.reason, row.mode, row.checks, row.patron_id, row.direction)
        for row in gateway.store.access_rows()
    ]


def requests(gateway):
    """The lines of the log: what was asked, and what became of it."""
    keys = ("terminal", "message", "outcome", "reason", "card")
    return [
        tuple(line.get(key) for key in keys)
        for line in gateway.logged()
        if line["event"] == "request" and line["message"] != "93"
    ]


async def test_it_is_told_in_words(gateway):
    assert await decide(gateway, "door-1", "1001", "1001", "in") == WELCOME
    assert await decide(gateway, "door-1", "1001", "0000", "in") == WRONG


@pytest.mark.parametrize(
    ("card", "pin", "reason"),
    [
        ("1001", "1001", "granted"),
        ("1001", "0000", "wrong_pin"),
        ("1001", None, "wrong_pin"),
        ("1001", "", "wrong_pin"),
        ("9999", "9999", "unknown_card"),
        ("1001B", "1001", "card_blocked"),
        ("1009", "1009", "no_badge"),
        ("1004", "1004", "fee_limit"),
    ],
)
async def test_it_is_the_decision_of_the_door(gateway, card, pin, reason):
    answer = await decide(gateway, "door-1", card, pin, "in")
    assert (answer.decision, answer.reason) == (
        "granted" if reason == "granted" else "refused",
        reason,
    )
    gateway.clock.advance(3_600)
    said = await (await gateway.terminal("door-1")).ask(ask_63(card, pin))
    assert f"AF{answer.text}|" in said
    assert (await rows(gateway))[0] == (await rows(gateway))[1]


async def test_there_is_one_door_log_and_one_log_of_requests(gateway):
    door = await gateway.terminal("door-1")
    for card, pin in (("1001", "1001"), ("1009", "1009"), ("1004", "0000")):
        await decide(gateway, "door-1", card, pin)
        gateway.clock.advance(3_600)
        await door.ask(ask_63(card, pin))
        gateway.clock.advance(3_600)
    by_http, by_sip2 = (await rows(gateway))[::2], (await rows(gateway))[1::2]
    assert by_http == by_sip2
    assert [row[2] for row in by_http] == ["granted", "no_badge", "wrong_pin"]
    logged = requests(gateway)
    assert logged[::2] == logged[1::2]
    assert gateway.metrics.access_decisions["MAIN", "granted", "granted", "normal"] == 2
    assert gateway.metrics.requests["63", "entrance", "ok"] == 2


async def test_wrong_pins_count_together(gateway):
    door = await gateway.terminal("door-1")
    for _ in range(2):
        await decide(gateway, "door-1", "1001", "0000")
        await door.ask(ask_63("1001", "0000"))
    await decide(gateway, "door-1", "1001", "0000")
    locked = await decide(gateway, "door-1", "1001", "1001")
    assert locked == Decided("refused", "pin_locked", WRONG.text)
    assert "CQN" in await door.ask(ask_63("1001", "1001"))


async def test_a_card_that_is_read_twice_passes_once(gateway):
    door = await gateway.terminal("door-1")
    await door.ask(ask_63("1001", "1001"))
    assert await decide(gateway, "door-1", "1001", "1001") == WELCOME
    assert len(await rows(gateway)) == 1
    gateway.clock.advance(3_600)
    assert await decide(gateway, "door-1", "1001", "1001") == WELCOME
    assert len(await rows(gateway)) == 2


async def test_an_exit_lets_out_whoever_comes(gateway):
    """Nobody is kept inside, and whoever has no card presses a button (C67)."""
    for card in ("1008", "9999", ""):
        assert await decide(gateway, "door-out", card, None, "out") == Decided(
            "granted", "granted", ""
        )
    assert [row[-1] for row in await rows(gateway)] == ["out"] * 3


async def test_a_door_in_mode_facts_says_what_it_records(gateway):
    assert (await decide(gateway, "door-facts", "1009", "1009")).reason == "no_badge"
    assert [row[2:4] for row in await rows(gateway)] == [("no_badge", "facts")]


async def test_a_closed_branch_lets_nobody_in(gateway):
    assert (await decide(gateway, "door-shut", "1001", "1001")).reason == "closed"


@pytest.mark.parametrize(
    ("terminal", "card", "direction", "why"),
    [
        ("nowhere", "1001", "in", "no terminal of that name is configured"),
        ("kiosk-1", "1001", "in", "the terminal is no door that decides"),
        ("door-1", "1001", "out", "the door leads in; name the one that leads out"),
        ("door-out", "1001", "in", "the door leads out; name the one that leads in"),
        ("door-1", "1001|AD1001", None, "characters that no terminal can send here"),
        ("door-1", "1001\r", None, "characters that no terminal can send here"),
        ("door-1", "1001\N{SNOWMAN}", None, "characters that no terminal can send here"),
    ],
)
async def test_what_no_door_can_be_asked_is_refused(gateway, terminal, card, direction, why):
    refused = await decide(gateway, terminal, card, "1001", direction)
    assert isinstance(refused, Refused)
    assert why in refused.problem
    assert await rows(gateway) == []


async def test_a_pin_that_no_terminal_can_send_is_refused(gateway):
    assert isinstance(await decide(gateway, "door-1", "1001", "10\t01"), Refused)


async def test_it_asks_with_what_the_door_may_send(tmp_path):
    config = CONFIG.replace("[profiles.entrance]\n", '[profiles.entrance]\nmessages = ["23"]\n')
    async with running(tmp_path, config=config) as gateway:
        assert await decide(gateway, "door-1", "1001", "1001") == WELCOME
        assert [one[1] for one in requests(gateway)] == ["23"]


async def test_a_door_that_may_not_ask_gets_no_decision(tmp_path):
    config = CONFIG.replace("[profiles.entrance]\n", '[profiles.entrance]\nmessages = ["99"]\n')
    async with running(tmp_path, config=config) as gateway:
        refused = await decide(gateway, "door-1", "1001", "1001")
        assert (refused.decision, refused.reason) == ("refused", "not_allowed")


async def test_what_takes_too_long_is_refused(tmp_path, monkeypatch):
    """It ends as over SIP2: a row in the door log, and no PIN counts (B17, C93)."""
    config = CONFIG.replace("[server]\n", "[server]\nrequest_timeout_s = 0.05\n")
    async with running(tmp_path, config=config) as gateway:

        async def hang(*_):
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(gateway.app.gateway.services.identifier, "identify", hang)
        refused = await decide(gateway, "door-1", "1001", "1001")
        assert (refused.decision, refused.reason) == ("refused", "system")
        assert [row[1:4] for row in await rows(gateway)] == [("refused", "system", "normal")]


async def test_a_store_that_fails_keeps_nobody_inside(gateway, monkeypatch):
    async def fail(*_):
        raise BackendTimeoutError("away")

    monkeypatch.setattr(gateway.app.gateway.services.backend, "find_by_card", fail)
    assert (await decide(gateway, "door-out", "1001")).decision == "granted"
    monkeypatch.setattr(gateway.app.gateway.services.identifier, "identify", fail)
    assert (await decide(gateway, "door-1", "1001", "1001")).reason == "system"


async def test_no_pin_is_in_the_log(gateway):
    await decide(gateway, "door-1", "1001", "471147")
    assert "471147" not in str(gateway.logged())


# In front of a library system -------------------------------------------------------------------


@pytest.fixture
async def front(tmp_path):
    dialect = DIALECTS["UTF-8 without checksums"]
    async with (
        behind(tmp_path, dialect, config=CONFIG, records=LIBRARY) as rear,
        in_front(tmp_path, dialect, rear, config=CONFIG, records=LIBRARY) as gateway,
    ):
        yield gateway


async def test_a_library_system_is_asked_as_for_a_sip2_door(front):
    assert await decide(front, "door-1", "1001", "1001") == WELCOME
    refused = await decide(front, "door-1", "1001", "0000")
    assert (refused.decision, refused.reason, refused.text) == ("refused", "wrong_pin", WRONG.text)
    assert (await decide(front, "door-1", "1002", "1002")).reason == "under_age"
    facts = await decide(front, "door-facts", "1001", "1001")
    assert (facts.decision, facts.reason) == ("granted", "granted")
    assert [row[2:4] for row in await rows(front)] == [
        ("granted", "normal"),
        ("wrong_pin", "normal"),
        ("under_age", "normal"),
        ("granted", "facts"),
    ]


async def test_a_door_that_is_only_observed_decides_nothing(tmp_path):
    dialect = DIALECTS["UTF-8 without checksums"]
    observed = CONFIG.replace("[profiles.entrance]\n", "[profiles.entrance]\nobserve = true\n")
    async with (
        behind(tmp_path, dialect, config=CONFIG, records=LIBRARY) as rear,
        in_front(tmp_path, dialect, rear, config=observed, records=LIBRARY) as gateway,
    ):
        assert isinstance(await decide(gateway, "door-1", "1001", "1001"), Refused)
