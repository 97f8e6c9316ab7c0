"""The door on the wire (B33-B42): admitted and refused, decision and facts."""

import pytest
from harness import (
    CONFIG,
    LIBRARY,
    NOON,
    STAMP,
    ask_23,
    ask_63,
    fields,
    load,
    person,
    running,
)

FIXED_24 = 37


async def rows(gateway):
    """The access log as stored."""
    await gateway.store.ping()
    return gateway.store.access_rows()


async def test_a_member_with_pin_and_badge_is_admitted(gateway):
    door = await gateway.terminal("door-1")
    #          14 blanks                                                    no BV, no fee text
    admitted = f"24              001{STAMP}AOHUB|AA1001|AEAnna Peeters|BLY|CQY|GLONBE|AFWelcome.|"
    assert await door.ask(ask_23("1001", "1001")) == admitted
    long = await door.ask(ask_63("1001", "1001", summary="Y YY      "))
    assert long.startswith(f"64              001{STAMP}" + "0" * 24)
    assert "GLONBE" in long
    assert "BV" not in long
    assert "AV" not in long


@pytest.mark.parametrize(
    ("card", "pin", "reason"),
    [
        ("1001", "0000", "wrong_pin"),
        ("1001", None, "wrong_pin"),
        ("1001", "", "wrong_pin"),
        ("1001B", "1001", "card_blocked"),
        ("1007", "1007", "membership_expired"),
        ("1008", "1008", "status"),
        ("1009", "1009", "no_badge"),
        ("1002", "1002", "under_age"),
        ("1004", "1004", "fee_limit"),
        ("1010", "1010", "fee_age"),
    ],
)
async def test_refusals_of_known_cards_set_flag_0_only_and_hide_the_badge(
    gateway, card, pin, reason
):
    door = await gateway.terminal("door-1")
    answer = await door.ask(ask_23(card, pin))
    assert answer.startswith("24Y             001")
    assert fields(answer, "GL", fixed=FIXED_24) == []
    assert fields(answer, "BL", fixed=FIXED_24) == ["Y"]
    assert fields(answer, "CQ", fixed=FIXED_24) == ["N" if reason == "wrong_pin" else "Y"]
    assert "BV" not in answer
    (row,) = await rows(gateway)
    assert (row.decision, row.reason, row.branch, row.mode) == (
        "refused",
        reason,
        "MAIN",
        "normal",
    )
    assert gateway.metrics.access_decisions["MAIN", "refused", reason, "normal"] == 1


@pytest.mark.parametrize(("card", "reason"), [("4711", "unknown_card"), ("1001R", "card_replaced")])
async def test_cards_that_are_nobodys(gateway, card, reason):
    door = await gateway.terminal("door-1")
    answer = await door.ask(ask_23(card, "1001"))
    assert "BLN|CQN" in answer
    assert "Anna" not in answer
    (row,) = await rows(gateway)
    assert row.reason == reason


async def test_an_unknown_card_is_denied_everything(gateway):
    door = await gateway.terminal("door-1")
    assert (await door.ask(ask_23("4711", "1"))).startswith("24YYYY          001")


async def test_a_refusal_does_not_announce_a_debt_or_a_ban(gateway):
    door = await gateway.terminal("door-1")
    texts = {
        fields(await door.ask(ask_23(card, card)), "AF", fixed=FIXED_24)[0]
        for card in ("1004", "1008", "1010")
    }
    assert len(texts) == 1


async def test_fw_b_never_opens_a_door(gateway):
    door = await gateway.terminal("door-1")
    assert (await door.ask(ask_63("1004", "1004", extra="FWB|"))).startswith("64Y  ")
    assert gateway.metrics.fee_limit_lifted == 0


async def test_fw_b_changes_no_facts_at_a_door_whoever_may_lift_the_money_block(tmp_path):
    config = CONFIG.replace("[profiles.facts]\n", '[profiles.facts]\nfw_b = "any"\n')
    async with running(tmp_path, config=config) as gateway:
        door = await gateway.terminal("door-facts")
        assert (await door.ask(ask_63("1004", "1004", extra="FWB|"))).startswith("64YY Y")
        assert gateway.metrics.fee_limit_lifted == 0


@pytest.mark.parametrize(("login", "reason"), [("door-shut", "closed"), ("door-nowhere", "system")])
async def test_a_closed_branch_and_a_misconfigured_door(gateway, login, reason):
    door = await gateway.terminal(login)
    assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y   ")
    (row,) = await rows(gateway)
    assert row.reason == reason


async def test_a_closed_branch_says_so_to_whoever_comes(gateway):
    door = await gateway.terminal("door-shut")
    for card in ("1001", "4711"):
        answer = await door.ask(ask_23(card, card))
        assert fields(answer, "AF", fixed=FIXED_24) == ["The library is closed at the moment."]


async def test_facts_mode_tells_the_truth_once_and_records_what_we_think(gateway):
    door = await gateway.terminal("door-facts")
    answer = await door.ask(ask_23("1004", "1004"))
    assert answer.startswith("24YY Y      YY  001")
    assert "GLONBE" in answer
    assert "BV12.50" in answer
    assert (await door.ask(ask_23("1001", "0000"))).startswith("24YYYY")
    first, second = await rows(gateway)
    assert (first.reason, first.mode) == ("fee_limit", "facts")
    assert (second.reason, second.mode) == ("wrong_pin", "facts")
    record = await gateway.store.find_by_card("1001")
    assert record.card("1001").pin_failures == 1  # asked once, counted once


async def test_where_facts_are_told_a_pin_is_looked_at_though_the_door_wants_none(tmp_path):
    """C2: what is told of the patron depends on it."""
    config = CONFIG.replace('mode = "facts"', 'mode = "facts", require_pin = false')
    async with running(tmp_path, config=config) as gateway:
        door = await gateway.terminal("door-facts")
        answer = await door.ask(ask_23("1004", "0000"))
        assert fields(answer, "CQ", fixed=FIXED_24) == ["N"]
        assert "BV" not in answer
        record = await gateway.store.find_by_card("1004")
        assert record.card("1004").pin_failures == 1


async def test_an_exit_says_the_same_of_every_card(gateway):
    """C67, C112: without a PIN it tells neither a main card nor whether a card is known."""
    door = await gateway.terminal("door-out")
    for card in ("1001", "1001B", "1001R", "4711"):
        for answer in (await door.ask(ask_23(card)), await door.ask(ask_23(card, "0000"))):
            assert answer == f"24              001{STAMP}AOHUB|AA{card}|AE|BLY|CQY|"


@pytest.mark.parametrize("card", ["1001", "1008", "4711", ""])
async def test_nobody_is_kept_inside(gateway, card):
    door = await gateway.terminal("door-out")
    answer = await door.ask(ask_23(card))
    assert answer.startswith("24              001")
    assert "BLY|CQY" in answer
    (row,) = await rows(gateway)
    assert (row.decision, row.direction) == ("granted", "out")


@pytest.mark.parametrize(
    ("refuse_as", "expected"),
    [("flags", "BLY|CQY"), ("cqn", "BLY|CQN"), ("bln", "BLN|CQY")],
)
async def test_controllers_that_look_at_nothing_else(tmp_path, refuse_as, expected):
    config = CONFIG.replace("minimum_age = 16", f'minimum_age = 16, refuse_as = "{refuse_as}"')
    async with running(tmp_path, config=config) as gateway:
        door = await gateway.terminal("door-1")
        assert expected in await door.ask(ask_23("1008", "1008"))
        assert "BLY|CQY" in await door.ask(ask_23("1001", "1001"))


async def test_without_pin_the_field_is_not_looked_at(tmp_path):
    config = CONFIG.replace("minimum_age = 16", "minimum_age = 16, require_pin = false")
    async with running(tmp_path, config=config) as gateway:
        door = await gateway.terminal("door-1")
        for pin in (None, "", "0000"):
            assert "BLY|CQY" in await door.ask(ask_23("1001", pin))
        assert "CQN" in await door.ask(ask_23("1008", "1008"))
        assert "BLN|CQN" in await door.ask(ask_23("4711"))
        record = await gateway.store.find_by_card("1001")
        assert record.card("1001").pin_failures == 0


async def test_the_bar_list_and_the_pass_list_of_a_branch(tmp_path):
    config = CONFIG.replace(
        "[branches.SHUT]",
        '[branches.SHUT]\npass = [{ card = "1001", from = "06:00", to = "13:00" }]\n'
        'bar = [{ card = "1006" }]',
    )
    async with running(tmp_path, config=config) as gateway:
        door = await gateway.terminal("door-shut")
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24    ")
        assert (await door.ask(ask_23("1005", "1005"))).startswith("24Y")
        gateway.clock.advance(3600)
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y")


async def test_last_entry_margin_and_staffed_hours(tmp_path):
    config = CONFIG.replace(
        'from = "00:00", to = "24:00", state = "unstaffed" }',
        'from = "10:00", to = "12:00", state = "staffed" },'
        '{ days = ["tue"], from = "12:00", to = "14:00", state = "unstaffed" }',
    ).replace("minimum_age = 16", 'last_entry_margin_min = 15, when_staffed = "refuse"')
    async with running(tmp_path, config=config) as gateway:
        door = await gateway.terminal("door-1")
        reasons = []
        for minutes in (-1, 0, 104, 105, 119, 120):
            gateway.clock.at = NOON.timestamp() + minutes * 60
            await door.ask(ask_23("1001", "1001"))
            reasons.append((await rows(gateway))[-1].reason)
    assert reasons == ["closed", "granted", "granted", "too_late", "too_late", "closed"]


async def test_what_others_change_counts_at_the_next_request(gateway):
    door = await gateway.terminal("door-1")
    assert (await door.ask(ask_23("1001", "1001"))).startswith("24   ")
    changed = [
        {**record, "badges": []} if record.get("id") == "1001" else record for record in LIBRARY
    ]
    load(gateway.store, changed)
    assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y  ")


async def test_what_was_thought_of_a_patron_ends_with_the_day(gateway):
    door, kiosk = await gateway.terminal("door-1"), await gateway.terminal("kiosk-1")
    load(gateway.store, [{**person("1012", "Jan Young"), "birth_date": "2010-03-11"}])
    assert (await door.ask(ask_23("1012", "1012"))).startswith("24Y  ")
    load(gateway.store, [{**person("1013", "Kim Last"), "membership_until": "2026-03-10"}])
    assert (await kiosk.ask(ask_63("1013", "1013"))).startswith("64   ")
    gateway.clock.advance(24 * 3600)
    assert (await door.ask(ask_23("1012", "1012"))).startswith("24   ")
    assert (await kiosk.ask(ask_63("1013", "1013"))).startswith("64YYYY")


async def test_what_was_thought_of_a_patron_ends_with_the_settings(gateway):
    door, kiosk = await gateway.terminal("door-1"), await gateway.terminal("kiosk-1")
    assert (await door.ask(ask_23("1010", "1010"))).startswith("24Y  ")
    assert (await kiosk.ask(ask_63("1010", "1010"))).startswith("64YY Y")
    settings = CONFIG.replace("max_fee_age_days = 49", "max_fee_age_days = 99")
    gateway.app.config.path.write_text(settings)
    await gateway.app.reload()
    assert (await door.ask(ask_23("1010", "1010"))).startswith("24   ")
    assert (await kiosk.ask(ask_63("1010", "1010"))).startswith("64   ")
