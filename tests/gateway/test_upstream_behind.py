"""What happens between two gateways, one in front of the other (B72-B74, C67, C122)."""

import pytest
from behind import DIALECTS, behind, in_front
from harness import CONFIG, LIBRARY, STAMP, ask_23, ask_63, fields, load, person

from sip2gw.backend.factory import open_backend

DIALECT = DIALECTS["UTF-8 without checksums"]
FIXED_24, FIXED_64 = 37, 61


@pytest.fixture
def gateways(tmp_path):
    """Starts both: `async with gateways(config) as (rear, front)`."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def starting(config=CONFIG, records=LIBRARY):
        async with (
            behind(tmp_path, DIALECT, config=config, records=records) as rear,
            in_front(tmp_path, DIALECT, rear, config=config, records=records) as front,
        ):
            yield rear, front

    return starting


def heard(gateway):
    """What the gateway behind was asked, logins and 99s left out."""
    lines = [line for line in gateway.logged() if line["event"] == "request"]
    return [line["message"] for line in lines if line["message"] not in ("93", "99")]


async def test_35_goes_up_if_the_session_was_served_there(gateways):
    async with gateways() as (rear, front):
        kiosk, other = await front.terminal("kiosk-1"), await front.terminal("pay-1")
        end = f"35{STAMP}AOHUB|AA1001|AC|AD1001|"
        assert (await other.ask(end)).startswith("36Y")
        assert "AEAnna" in await kiosk.ask(ask_63("1001", "1001"))
        assert (await kiosk.ask(end)).startswith("36Y")
        assert (await kiosk.ask(end)).startswith("36Y")
        assert heard(rear) == ["63", "35"]


async def test_a_door_asks_one_question_and_an_exit_none(gateways):
    async with gateways() as (rear, front):
        door, out = await front.terminal("door-1"), await front.terminal("door-out")
        for _ in range(3):  # a card that is read three times
            assert "AFWelcome.|" in await door.ask(ask_23("1001", "1001"))
        assert "BLY|CQY|" in await out.ask(ask_23("1001"))
        assert heard(rear) == ["63"]
        await front.store.ping()
        rows = front.store.access_rows()
        assert {(row.reason, row.patron_id, row.direction) for row in rows} == {
            ("granted", "1001", "in"),
            ("granted", "1001", "out"),
        }
        assert len(rows) == 2


async def test_who_only_they_know_goes_in_and_out_again(gateways):
    config = CONFIG.replace(
        'door = { require_badges = ["ONBE"], minimum_age = 16 }', "door = { capacity = 1 }"
    )
    stranger = person("1020", "Sam Stranger", badges=[])
    async with gateways(config, [*LIBRARY, stranger]) as (_, front):
        assert await front.store.find_by_card("1020") is None
        door, out = await front.terminal("door-1"), await front.terminal("door-out")
        assert "AFWelcome.|" in await door.ask(ask_23("1020", "1020"))
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y")  # full
        assert "BLY" in await out.ask(ask_23("1020"))
        assert "AFWelcome.|" in await door.ask(ask_23("1001", "1001"))


async def test_who_came_in_with_a_second_card_goes_out_after_a_restart(gateways):
    """C67, C151: AA was another number, and what was told of the card is forgotten."""
    config = CONFIG.replace(
        'door = { require_badges = ["ONBE"], minimum_age = 16 }', "door = { capacity = 1 }"
    )
    two = [{"number": "1020"}, {"number": "C1020"}]
    async with gateways(config, [*LIBRARY, person("1020", "Sam", cards=two)]) as (_, front):
        door, out = await front.terminal("door-1"), await front.terminal("door-out")
        assert "AA1020|" in await door.ask(ask_23("C1020", "1020"))
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y")  # full
        front.app.gateway.services.identifier._pins._aliases.clear()
        assert "BLY" in await out.ask(ask_23("C1020"))
        assert "AFWelcome.|" in await door.ask(ask_23("1001", "1001"))


async def test_a_door_in_mode_facts_tells_what_they_say(gateways):
    async with gateways() as (_, front):
        door = await front.terminal("door-facts")
        answer = await door.ask(ask_63("1004", "1004"))
        assert fields(answer, "BV", fixed=FIXED_64) == ["12.50"]
        assert answer.startswith("64YY Y      YY  001")
        await front.store.ping()
        (row,) = front.store.access_rows()
        assert (row.mode, row.decision, row.reason) == ("facts", "refused", "fee_limit")


async def test_a_card_that_only_our_store_calls_replaced_shows_nothing(gateways):
    """B21: whatever the library system says of card and PIN."""
    async with gateways() as (_, front):
        cards = [{"number": "1001", "state": "replaced"}]
        load(front.store, [{"kind": "patron", "id": "1001", "name": "Anna", "cards": cards}])
        for login in ("door-1", "kiosk-1", "kiosk-1"):  # the answer is known the second time
            answer = await (await front.terminal(login)).ask(ask_23("1001", "1001"))
            assert answer.startswith("24Y")
            assert "|AE|BLN|CQN|AFThis card has been replaced." in answer


async def test_a_right_pin_goes_up_once_and_is_in_no_log(gateways):
    pin = "83614"
    async with gateways(records=[*LIBRARY, person("1020", "Pia Pin", pin=pin)]) as (rear, front):
        seen = []
        inner = rear.app.gateway.services.identifier.identify

        async def identify(session, number, given):
            seen.append(given)
            return await inner(session, number, given)

        rear.app.gateway.services.identifier.identify = identify
        kiosk = await front.terminal("kiosk-1")
        assert "AEPia Pin" in await kiosk.ask(ask_63("1020", pin))
        await kiosk.ask(f"35{STAMP}AOHUB|AA1020|AC|AD{pin}|")
        assert seen == [pin]
        assert pin not in str(front.logged())
        assert pin not in str(rear.logged())


async def test_a_locked_pin_does_not_go_up(gateways):
    async with gateways() as (rear, front):
        kiosk = await front.terminal("kiosk-1")
        told = {await kiosk.ask(ask_23("1001", f"9{n}")) for n in range(8)}
        told.add(await kiosk.ask(ask_23("1001", "1001")))
        assert len(told) == 1
        assert heard(rear) == ["23"] * 5  # pin_failures_max


async def test_only_the_store_decides_whether_the_gateway_is_ready(gateways):
    async with gateways() as (rear, front):
        kiosk = await front.terminal("kiosk-1")
        await kiosk.ask(ask_63("1001", "1001"))
        rear.app.acceptor.close()
        await rear.app.server.stop()
        assert "Anna" not in await kiosk.ask(ask_63("1001", "1001"))
        assert (await kiosk.ask("9900402.00")).startswith("98NNNNNY000")
        assert front.app.is_ready


async def test_when_a_patron_is_forgotten_so_is_what_was_answered_about_them(gateways):
    async with gateways() as (_, front):
        kiosk, door = await front.terminal("kiosk-1"), await front.terminal("door-1")
        for number in ("1001", "1004"):
            await kiosk.ask(ask_63(number, number))
        await door.ask(ask_63("1001", "1001"))
        pool = front.app.library._pools["default"]
        assert len(pool._readings._kept) >= 2
        assert len(front.app.state.door_questions)
        command = open_backend(front.app.config, "command").store
        await command.forget_patron("1001", str, force=True)
        await command.close()
        await kiosk.ask(ask_63("1004", "1004"))
        assert len(pool._readings._kept) == 1
        assert not len(front.app.state.door_questions)
