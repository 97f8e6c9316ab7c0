"""The library system is away: what terminals and doors are told meanwhile.  (B40, B77, C138)

1001 (Anna) has the badge ONBE in our store; the library system knows everybody, with the last four
digits of the card as PIN.
"""

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from unittest.mock import patch

import pytest
from harness import CONFIG, HANGS_S, STAMP, ask_23, ask_37, ask_63, load, running
from hostile_library import HostileLibrary, right_answer

from sip2gw.authentication import emergency
from sip2gw.backend.base import UnavailableError
from sip2gw.model import DoorEntry

AWAY = "AFThe library system cannot be reached. Please try again in a few minutes.|"
ADMITTED, REFUSED = "24              001", "24Y             001"
ENTRANCE = "minimum_age = 16, emergency = true, emergency_max_age_h = 24 }"
BACKEND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:PORT"
login = "gateway"
password = "behind"
institution = "HUB"
[backend.sip2.facts]
birth_date = { field = "PB", format = "%Y%m%d" }
"""
BADGE = {"kind": "badge", "code": "ONBE", "name": "Hours without staff"}
ANNA = {"kind": "patron", "id": "1001", "name": "Anna Peeters", "badges": ["ONBE"]}
BERT = {"kind": "patron", "id": "1005", "name": "Bert Maes", "badges": ["ONBE"]}


def told(heard, patron=None, item=None, *, pin=None):
    """What the library system says; CQ tells whether the PIN is right: `pin`, if it was changed."""
    body = right_answer(heard, patron, item)
    if heard.code in (b"23", b"63"):
        body += b"PB19800101|"
        if heard.value(b"AD") != (pin or heard.value(b"AA")[-4:]):
            body = body.replace(b"CQY", b"CQN")
    return body


class Scene:
    """A gateway with a library system that comes and goes."""

    def __init__(self, gateway, library):
        self.gateway, self.library = gateway, library

    async def admit(self, card="1001"):
        """The door lets somebody in, and has hashed the PIN when this returns."""
        door = await self.gateway.terminal("door-1")
        assert (await door.ask(ask_23(card, card[-4:]))).startswith(ADMITTED)
        await self.hashed()
        return door

    async def hashed(self):
        """All PINs that waited are hashed."""
        working = self.gateway.app._pins._emergency.working
        if working is not None:
            await working

    async def leave(self):
        """The library system is gone, the gateway has noticed, and no passage goes on."""
        self.library.vanish()
        await self.until(away=True)
        self.gateway.clock.advance(60)

    async def until(self, *, away):
        """The gateway tries by itself, several times a second."""
        async with asyncio.timeout(HANGS_S):
            while self.gateway.app.library.is_away("default") != away:
                await asyncio.sleep(0.01)
                if not away:  # a probe from before it was back may have failed only now
                    self.gateway.clock.advance(0.1)

    async def until_open(self):
        """The gateway has logged in there."""
        async with asyncio.timeout(HANGS_S):
            while not self.gateway.app.library.states()[0].open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def decided(self):
        """Reason and mode of the last decision in the door log."""
        await self.gateway.store.ping()
        row = self.gateway.store.access_rows()[-1]
        return row.reason, row.mode


@asynccontextmanager
async def before_library(directory, config=CONFIG):
    async with HostileLibrary(answer=told) as library:
        config = config.replace("minimum_age = 16 }", ENTRANCE)
        config = config.replace(
            "max_fee_age_days = 49", "max_fee_age_days = 49\ndata_max_age_h = 3"
        )
        config += BACKEND.replace("PORT", str(library.port))
        async with running(directory, config=config, records=[BADGE, ANNA]) as gateway:
            scene = Scene(gateway, library)
            await scene.until_open()
            yield scene


@pytest.fixture
async def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(emergency, "HASH_AFTER_S", 0)
    async with before_library(tmp_path) as scene:
        yield scene


@pytest.fixture
async def open_to_all(tmp_path, monkeypatch):
    """The same with a door that asks for no badge, so that our store need not know anybody."""
    monkeypatch.setattr(emergency, "HASH_AFTER_S", 0)
    config = CONFIG.replace('require_badges = ["ONBE"], minimum_age', "minimum_age")
    async with before_library(tmp_path, config) as scene:
        yield scene


# Doors --------------------------------------------------------------------------------------------


async def test_a_door_admits_whom_it_admitted_with_that_pin_and_nobody_else(scene):
    door = await scene.admit()
    await scene.leave()
    assert (await door.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    assert (await door.ask(ask_23("1001", "9999"))).startswith(REFUSED)
    assert await scene.decided() == ("wrong_pin", "emergency")
    assert AWAY in await door.ask(ask_23("1002", "1002"))
    assert await scene.decided() == ("system", "normal")
    assert scene.gateway.metrics.access_decisions["MAIN", "refused", "wrong_pin", "emergency"] == 1


@pytest.mark.parametrize("ask", [ask_23, ask_63])
async def test_a_new_pin_that_a_kiosk_saw_opens_the_door_and_the_old_one_does_not_c110(scene, ask):
    door, kiosk = await scene.admit(), await scene.gateway.terminal("kiosk-1")
    scene.library.answer = partial(told, pin=b"8642")
    assert "CQY" in await kiosk.ask(ask("1001", "8642"))
    await scene.hashed()
    await scene.leave()
    assert (await door.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    assert (await door.ask(ask_23("1001", "8642"))).startswith(ADMITTED)


def told_little(heard, patron=None, item=None, *, flags=b"", more=b""):
    """Their 24 has no birth date, and says only what it must."""
    body = told(heard, patron, item)
    if heard.code == b"23":
        body = body.replace(b"PB19800101|", more)
        body = body[:2] + flags.ljust(14) + body[16:]
    return body


@pytest.mark.parametrize(
    ("says", "decided"),
    [
        ({}, ("granted", "emergency")),
        ({"flags": b"Y"}, ("blocked", "emergency")),
        ({"more": b"PB20200101|"}, ("under_age", "emergency")),
    ],
)
async def test_a_24_at_a_kiosk_hides_nothing_that_the_64_said_b40(scene, says, decided):
    """What it does say counts."""
    door, kiosk = await scene.admit(), await scene.gateway.terminal("kiosk-1")
    scene.library.answer = partial(told_little, **says)
    for _ in range(2):
        assert "CQY" in await kiosk.ask(ask_23("1001", "1001"))
    await scene.leave()
    await door.ask(ask_23("1001", "1001"))
    assert await scene.decided() == decided


async def bar(store):
    await store.put_door_entry(DoorEntry("bar", "MAIN", "1001"))


async def take_badge(store):
    load(store, [BADGE, {**ANNA, "badges": []}])


async def block(store):
    load(store, [BADGE, {**ANNA, "blocks": [{"type": "general"}]}])


async def age(store):
    load(store, [BADGE, {**ANNA, "membership_until": "2026-03-09"}])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (bar, "barred"),
        (take_badge, "no_badge"),
        (block, "blocked"),
        (age, "membership_expired"),
    ],
)
async def test_what_our_store_has_learnt_since_keeps_somebody_out(scene, change, reason):
    """B77: an import, or staff, only bar, remove or age those who were admitted."""
    door = await scene.admit()
    await scene.leave()
    await change(scene.gateway.store)
    assert not (await door.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    assert await scene.decided() == (reason, "emergency")


async def test_whom_only_the_library_system_knows_is_barred_by_number(open_to_all):
    """B34, B77: at the next card, while it is there and while it is away."""
    scene, bar = open_to_all, DoorEntry("bar", "MAIN", "4711")
    store = scene.gateway.store
    door = await scene.admit("4711")
    scene.gateway.clock.advance(60)
    await store.put_door_entry(bar)
    assert not (await door.ask(ask_23("4711", "4711"))).startswith(ADMITTED)
    assert await scene.decided() == ("barred", "normal")
    await store.remove_door_entry("bar", "MAIN", "4711")
    await scene.admit("4711")
    door = await scene.admit("4712")
    await scene.leave()
    await store.put_door_entry(bar)
    assert not (await door.ask(ask_23("4711", "4711"))).startswith(ADMITTED)
    assert await scene.decided() == ("barred", "emergency")
    assert (await door.ask(ask_23("4712", "4712"))).startswith(ADMITTED)


async def test_whom_only_the_library_system_knows_may_have_a_pass(open_to_all):
    """C11: SHUT is never open."""
    door = await open_to_all.gateway.terminal("door-shut")
    await open_to_all.gateway.store.put_door_entry(DoorEntry("pass", "SHUT", "4711"))
    assert (await door.ask(ask_23("4711", "4711"))).startswith(ADMITTED)
    assert not (await door.ask(ask_23("4712", "4712"))).startswith(ADMITTED)
    assert await open_to_all.decided() == ("closed", "normal")


async def test_a_wrong_pin_is_logged_with_the_bar_that_there_is(open_to_all):
    """B34: all results are logged."""
    store = open_to_all.gateway.store
    door = await open_to_all.gateway.terminal("door-1")
    await store.put_door_entry(DoorEntry("bar", "MAIN", "4711"))
    assert (await door.ask(ask_23("4711", "9999"))).startswith(REFUSED)
    await store.ping()
    row = store.access_rows()[-1]
    assert (row.reason, "bar=refused" in row.checks.split()) == ("wrong_pin", True)


async def test_who_is_removed_from_our_store_is_not_admitted_any_more(scene):
    door = await scene.admit()
    await scene.leave()
    await scene.gateway.store.forget_patron("1001", str, force=True)
    assert AWAY in await door.ask(ask_23("1001", "1001"))
    assert await scene.decided() == ("system", "normal")


async def test_nobody_is_admitted_who_has_only_been_imported(scene):
    """An import adds nobody to those whom the door has admitted."""
    door = await scene.admit()
    await scene.leave()
    load(scene.gateway.store, [BADGE, ANNA, BERT])
    assert AWAY in await door.ask(ask_23("1005", "1005"))


async def test_when_our_store_is_away_too_the_door_goes_by_what_it_saw_last(scene):
    door = await scene.admit()
    await scene.leave()
    backend = scene.gateway.app.gateway.services.backend
    # The first look, before the library system would be asked, is answered; the second is not.
    real, answers = backend.find_here, [None, UnavailableError("away")]

    async def find_here(number):
        fails = answers.pop(0)
        if fails is not None:
            raise fails
        return await real(number)

    with patch.object(backend, "find_here", find_here):
        assert (await door.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    assert answers == []
    with patch.object(backend, "find_here", side_effect=UnavailableError("away")):
        assert (await door.ask(ask_23("1001", "1001"))).startswith(ADMITTED)


async def test_a_door_without_emergency_refuses(scene):
    facts = await scene.gateway.terminal("door-facts")
    await scene.leave()
    assert AWAY in await facts.ask(ask_23("1001", "1001"))
    assert await scene.decided() == ("system", "normal")


async def test_a_door_refuses_when_their_last_answer_is_too_old(scene):
    """C138, `data_max_age_h = 3`: the admission itself would count for a day."""
    door = await scene.admit()
    await scene.leave()
    scene.gateway.clock.advance(3 * 3600 - 60)
    assert (await door.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    scene.gateway.clock.advance(60)
    assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y")
    assert await scene.decided() == ("system", "emergency")
    await scene.library.listen()
    scene.gateway.clock.advance(60)
    await scene.until(away=False)
    assert (await door.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    assert await scene.decided() == ("granted", "normal")


# All else -----------------------------------------------------------------------------------------

REQUESTS = {
    "15": (f"15+{STAMP}AOHUB|AA1001|ABB1|AC|", "160N"),
    "17": (f"17{STAMP}AOHUB|ABB1|AC|", "18"),
    "23": (ask_23("1001", "1001"), "24YYYY"),
    "29": (f"29NN{STAMP}{STAMP}AOHUB|AA1001|ABB1|AC|", "300NUN"),
    "37": (ask_37("1001", "1.00", pin="1001", bk="R1"), "38N"),
    "63": (ask_63("1001", "1001"), "64YYYY"),
}


@pytest.mark.parametrize("code", REQUESTS)
async def test_all_else_is_refused_in_its_own_form_and_told_when_to_come_back(scene, code):
    await scene.leave()
    terminal = await scene.gateway.terminal("pay-1" if code == "37" else "kiosk-1")
    asked, start = REQUESTS[code]
    answer = await terminal.ask(asked)
    assert answer.startswith(start)
    assert AWAY in answer
