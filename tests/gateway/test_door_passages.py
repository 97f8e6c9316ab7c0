"""One passage, who is inside, and the time without the store (B40, B41, C10, C49, C67, C93)."""

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import patch

import pytest
from harness import (
    CONFIG,
    LIBRARY,
    NOON,
    STAMP,
    ask_23,
    ask_37,
    ask_63,
    load,
    person,
    running,
    settled,
)

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.foundation.hashing import hash_pin
from sip2gw.model import (
    Block,
    BlockType,
    CalendarChange,
    DoorEntry,
    PatronRecord,
)
from sip2gw.serving.explaining.answer import explain
from sip2gw.serving.site import build_site
from sip2gw.shared.door_memory import WRONG_PINS_MAX, Admissions, Passages
from sip2gw.staff.entrance.calendar import change_hours
from sip2gw.staff.entrance.doors import stays_between

ADMITTED, REFUSED = "24    ", "24Y   "
STAFF_BLOCK = Block(BlockType.GENERAL, "", None, "staff")
OTHER_PIN = hash_pin(b"", "9999", memory_kib=8, time_cost=1)


def door(**settings):
    """The configuration with more keys in the entrance's door table, and a second door."""
    more = "".join(f", {name} = {value}" for name, value in settings.items())
    config = CONFIG.replace("minimum_age = 16", f"minimum_age = 16{more}")
    return f'{config}[terminals.door-2]\nprofile = "entrance"\nbranch = "MAIN"\npassword = "pw"\n'


@contextmanager
def store_away(gateway, error=None):
    """Nothing can be read."""
    error = error or UnavailableError("away")
    with patch.object(gateway.app.gateway.backend, "find_by_card", side_effect=error):
        yield


async def told(gateway):
    """Reasons and modes of the log, oldest first."""
    await gateway.store.ping()
    return [(row.reason, row.mode) for row in gateway.store.access_rows()]


async def reasons(gateway):
    return [reason for reason, _ in await told(gateway)]


# One passage (B41, C49, C93)


async def test_a_card_read_twice_is_one_passage(gateway):
    entrance = await gateway.terminal("door-1")
    first = await entrance.ask(ask_23("1001", "1001"))
    gateway.clock.advance(4)
    again = await entrance.ask(ask_23("1001", "1001"))
    assert again.replace("120004", "120000") == first
    assert await reasons(gateway) == ["granted"]
    assert gateway.metrics.access_decisions["MAIN", "granted", "granted", "normal"] == 1
    gateway.clock.advance(1)
    await entrance.ask(ask_23("1001", "1001"))
    assert await reasons(gateway) == ["granted", "granted"]


async def test_another_card_another_door_and_every_refusal_are_told(tmp_path):
    async with running(tmp_path, config=door()) as gateway:
        entrance, second = [await gateway.terminal(name) for name in ("door-1", "door-2")]
        for terminal, card in ((entrance, "1001"), (entrance, "1005"), (second, "1001")):
            assert (await terminal.ask(ask_23(card, card))).startswith(ADMITTED)
        for _ in range(2):  # a wrong PIN is no part of the passage before
            assert (await entrance.ask(ask_23("1001", "0000"))).startswith(REFUSED)
        assert await reasons(gateway) == ["granted"] * 3 + ["wrong_pin"] * 2


async def test_without_a_window_every_answer_is_a_passage(tmp_path):
    async with running(tmp_path, config=door(passage_window_s=0)) as gateway:
        entrance = await gateway.terminal("door-1")
        for _ in range(2):
            await entrance.ask(ask_23("1001", "1001"))
        assert await reasons(gateway) == ["granted", "granted"]


async def test_c92_the_way_out_has_passages_too(gateway):
    way_out = await gateway.terminal("door-out")
    for _ in range(2):
        await way_out.ask(ask_23("1001"))
    assert await reasons(gateway) == ["granted"]


async def test_who_comes_back_at_once_passes_anew(tmp_path):
    async with running(tmp_path, config=door(capacity=1)) as gateway:
        entrance, way_out = [await gateway.terminal(name) for name in ("door-1", "door-out")]
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        await way_out.ask(ask_23("1001"))
        assert (await entrance.ask(ask_23("1005", "1005"))).startswith(ADMITTED)
        # No second reading of the first passage: the place is taken.
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        await way_out.ask(ask_23("1005"))
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        await way_out.ask(ask_23("1001"))
        wanted = ["granted", "granted", "granted", "full", "granted", "granted", "granted"]
        assert await reasons(gateway) == wanted


async def test_whichever_card_somebody_goes_out_with(tmp_path):
    async with running(tmp_path, config=door()) as gateway:
        entrance, way_out = [await gateway.terminal(name) for name in ("door-1", "door-out")]
        await entrance.ask(ask_23("1001", "1001"))
        await way_out.ask(ask_23("1001B"))
        await entrance.ask(ask_23("1001", "1001"))
        assert await reasons(gateway) == ["granted"] * 3


# Who is inside (C10, C67)


async def test_a_full_branch_waits_until_somebody_goes_out(tmp_path):
    async with running(tmp_path, config=door(capacity=2)) as gateway:
        entrance, second = [await gateway.terminal(name) for name in ("door-1", "door-2")]
        way_out = await gateway.terminal("door-out")
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        assert (await second.ask(ask_23("1005", "1005"))).startswith(ADMITTED)
        assert (await entrance.ask(ask_63("1006", "1006"))).startswith("64Y")
        await way_out.ask(ask_23("1001"))
        assert (await entrance.ask(ask_63("1006", "1006"))).startswith("64  ")
        assert await reasons(gateway) == ["granted", "granted", "full", "granted", "granted"]


async def test_a_race_for_the_last_place_has_one_winner(tmp_path):
    async with running(tmp_path, config=door(capacity=1)) as gateway:
        doors = [await gateway.terminal(name) for name in ("door-1", "door-2")]
        cards = ("1001", "1005")
        for terminal, card in zip(doors, cards, strict=True):
            await terminal.send(ask_23(card, card))
        answers = [await terminal.read() for terminal in doors]
        assert sorted(answer[:6] for answer in answers) == [ADMITTED, REFUSED]


async def test_without_a_window_the_second_reading_finds_the_first_inside(tmp_path):
    config = door(refuse_inside="true", passage_window_s=0)
    async with running(tmp_path, config=config) as gateway:
        entrance = await gateway.terminal("door-1")
        for reason in ("granted", "already_inside"):
            await entrance.ask(ask_23("1001", "1001"))
            assert (await reasons(gateway))[-1] == reason


async def test_who_is_inside_does_not_come_in_with_another_card(tmp_path):
    """The window joins readings of one card (B41)."""
    twice = person("2001", "Two Cards", cards=[{"number": "2001B"}])
    config = door(refuse_inside="true")
    async with running(tmp_path, config=config, records=[*LIBRARY, twice]) as gateway:
        entrance = await gateway.terminal("door-1")
        assert (await entrance.ask(ask_23("2001", "2001"))).startswith(ADMITTED)
        assert (await entrance.ask(ask_23("2001B", "2001"))).startswith(REFUSED)
        assert await reasons(gateway) == ["granted", "already_inside"]


async def test_who_is_inside_is_not_let_in_again(tmp_path):
    async with running(tmp_path, config=door(refuse_inside="true")) as gateway:
        entrance, second = [await gateway.terminal(name) for name in ("door-1", "door-2")]
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)  # one passage
        assert (await second.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        gateway.clock.advance(6)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        await (await gateway.terminal("door-out")).ask(ask_23("1001"))
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        wanted = ["granted", "already_inside", "already_inside", "granted", "granted"]
        assert await reasons(gateway) == wanted


async def test_a_stay_ends_at_midnight_where_nothing_closes(tmp_path):
    async with running(tmp_path, config=door(refuse_inside="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        gateway.clock.advance(12 * 3600 - 1)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        gateway.clock.advance(1)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)


UNTIL_ONE = ('to = "24:00"', 'to = "13:00"')
UNTIL_THREE = ('to = "13:00"', 'to = "15:00"')


@pytest.mark.parametrize("how", ["a reload", "staff", "a restart"])
async def test_who_is_inside_when_the_branch_closes_later_is_inside_until_then(tmp_path, how):
    config = door(capacity=1).replace(*UNTIL_ONE)
    async with running(tmp_path, config=config) as gateway:
        await gateway.app.stay_chore.look()
        assert (await (await gateway.terminal("door-1")).ask(ask_23("1001", "1001"))).startswith(
            ADMITTED
        )
        if how == "staff":
            now = gateway.clock.now()
            longer = CalendarChange("MAIN", "unstaffed", now, now + timedelta(hours=3), "", "eva")
            await change_hours(gateway.store, longer)
            await gateway.app.today_chore.look()
        elif how == "a reload":
            gateway.app.config.path.write_text(config.replace(*UNTIL_THREE))
            await gateway.app.reload()
        if how != "a restart":
            await gateway.app.stay_chore.look()
            await later_it_is_full_until_three(gateway)
    if how == "a restart":
        async with running(tmp_path, config=config.replace(*UNTIL_THREE)) as gateway:
            await later_it_is_full_until_three(gateway)


async def later_it_is_full_until_three(gateway):
    entrance = await gateway.terminal("door-1")
    gateway.clock.advance(2 * 3600)  # it is two o'clock
    assert (await entrance.ask(ask_23("1005", "1005"))).startswith(REFUSED)
    assert await reasons(gateway) == ["granted", "full"]
    inside = stays_between(
        gateway.store, gateway.app.config.branches["MAIN"], NOON, NOON + timedelta(hours=9)
    )
    assert [stay.left for stay in inside] == [NOON + timedelta(hours=3)]


async def test_a_new_day_does_not_keep_those_of_yesterday_inside(tmp_path):
    """Though nobody looked while the branch was closed: the machine slept."""
    config = door(capacity=1).replace(*UNTIL_ONE)
    async with running(tmp_path, config=config) as gateway:
        await gateway.app.stay_chore.look()
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        gateway.clock.advance(23 * 3600)
        await gateway.app.stay_chore.look()
        entrance = await gateway.terminal("door-1")
        assert (await entrance.ask(ask_23("1005", "1005"))).startswith(ADMITTED)


async def test_stays_move_as_soon_as_the_store_can_be_written(tmp_path):
    config = door(capacity=1).replace(*UNTIL_ONE)
    async with running(tmp_path, config=config) as gateway:
        await gateway.app.stay_chore.look()
        await (await gateway.terminal("door-1")).ask(ask_23("1001", "1001"))
        gateway.app.config.path.write_text(config.replace(*UNTIL_THREE))
        await gateway.app.reload()
        backend = gateway.app.gateway.backend
        with patch.object(backend, "move_stays", side_effect=UnavailableError("away")):
            await gateway.app.stay_chore.look()
        gateway.clock.advance(0.5)
        await gateway.app.stay_chore.look()
        gateway.clock.advance(2 * 3600)
        entrance = await gateway.terminal("door-1")
        assert (await entrance.ask(ask_23("1005", "1005"))).startswith(REFUSED)


@pytest.mark.parametrize("looked", [True, False], ids=["told meanwhile", "not yet told"])
async def test_who_went_out_while_the_store_was_away_is_not_inside(tmp_path, looked):
    async with running(tmp_path, config=door(capacity=1, refuse_inside="true")) as gateway:
        entrance, way_out = [await gateway.terminal(name) for name in ("door-1", "door-out")]
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        with store_away(gateway):
            await way_out.ask(ask_23("1001B"))  # whose card this is nobody can say now
            await gateway.app.tell_departures()
        gateway.clock.advance(10)
        if looked:
            await gateway.app.tell_departures()
            assert (await entrance.ask(ask_23("1005", "1005"))).startswith(ADMITTED)
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        else:
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
            await gateway.app.tell_departures()
            assert (await entrance.ask(ask_23("1005", "1005"))).startswith(REFUSED)


async def test_who_is_refused_for_anything_else_is_not_inside(tmp_path):
    async with running(tmp_path, config=door(capacity=1)) as gateway:
        entrance = await gateway.terminal("door-1")
        assert (await entrance.ask(ask_23("1001", "0000"))).startswith(REFUSED)
        assert (await entrance.ask(ask_23("1005", "1005"))).startswith(ADMITTED)


async def test_who_is_inside_outlives_a_restart(tmp_path):
    config = door(refuse_inside="true")
    async with running(tmp_path, config=config) as gateway:
        await (await gateway.terminal("door-1")).ask(ask_23("1001", "1001"))
    async with running(tmp_path, config=config) as gateway:
        gateway.clock.advance(6)
        entrance = await gateway.terminal("door-1")
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)


async def test_who_went_out_at_another_gateway_and_comes_back_at_once_is_counted(tmp_path):
    """The memory of passages is each gateway's own; who is inside is not (C10)."""
    async with running(tmp_path, config=door(capacity=1)) as gateway:
        entrance = await gateway.terminal("door-1")
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        await gateway.store.leave_branch("MAIN", "1001")  # the exit is at another gateway
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        assert (await entrance.ask(ask_23("1005", "1005"))).startswith(REFUSED)
        assert await reasons(gateway) == ["granted", "granted", "full"]


@pytest.mark.parametrize("setting", ["refuse_inside", "capacity"])
async def test_b41_where_people_are_counted_two_readings_at_two_gateways_are_one_passage(
    tmp_path, setting
):
    """The second gateway begins where the first one stops."""
    config = door(**{setting: {"refuse_inside": "true", "capacity": 1}[setting]})
    for _ in range(2):
        async with running(tmp_path, config=config) as gateway:
            entrance = await gateway.terminal("door-1")
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
            assert await reasons(gateway) == ["granted"]


@contextmanager
def entries_unheard_of(gateway, error):
    """The store notes entries; then it fails, or with `error` None the answer is never over."""
    backend = gateway.app.gateway.backend
    enter, noted = backend.enter_branch, asyncio.Event()

    async def note(order):
        await enter(order)
        noted.set()
        if error is not None:
            raise error
        await asyncio.Event().wait()

    with patch.object(backend, "enter_branch", side_effect=note):
        yield noted


@pytest.mark.parametrize("later_s", [2, 60], ids=["within the window", "later"])
@pytest.mark.parametrize("error", [UnavailableError("away"), None], ids=["store away", "hung up"])
async def test_who_was_not_let_in_is_not_refused_as_already_inside(tmp_path, error, later_s):
    """The entry was noted, but the door has not opened; from the next reading on all is usual."""
    async with running(tmp_path, config=door(refuse_inside="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        with entries_unheard_of(gateway, error) as noted:
            await entrance.send(ask_23("1001", "1001"))
            await noted.wait()
            if error is not None:
                assert (await entrance.read()).startswith("24YYYY")
            entrance.close()
            await settled(lambda: not gateway.app.server.lines_of("door-1"))
        gateway.clock.advance(later_s)
        entrance = await gateway.terminal("door-1")
        for _ in range(2):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        gateway.clock.advance(6)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        rows = [reason for reason in await reasons(gateway) if reason != "system"]
        assert rows == ["granted", "already_inside"]


async def test_who_was_not_let_in_takes_nobodys_place(tmp_path):
    async with running(tmp_path, config=door(capacity=1)) as gateway:
        entrance, second = [await gateway.terminal(name) for name in ("door-1", "door-2")]
        with entries_unheard_of(gateway, UnavailableError("away")):
            await entrance.ask(ask_23("1001", "1001"))
        assert (await second.ask(ask_23("1005", "1005"))).startswith(ADMITTED)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        await gateway.app.tell_departures()
        assert (await reasons(gateway))[-2:] == ["granted", "full"]


async def test_a_second_reading_that_hung_up_lets_nobody_in_again(tmp_path):
    async with running(tmp_path, config=door(refuse_inside="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        gateway.clock.advance(2)
        with entries_unheard_of(gateway, UnavailableError("away")):
            await entrance.ask(ask_23("1001", "1001"))
        gateway.clock.advance(60)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)


async def test_explaining_who_is_inside_lets_nobody_in(tmp_path):
    """B70."""
    async with running(tmp_path, config=door(capacity=1, refuse_inside="true")) as gateway:
        site = build_site(gateway.app.config, gateway.store.capabilities)
        view = site.by_name["door-1"].view
        now = gateway.clock.now(view.zone)
        for _ in range(2):
            said = await explain(site, gateway.store, view, "1001", at=now)
            details = {check.check: check.detail for check in said.checks}
            assert said.reason == "granted"
            assert details["capacity"].startswith("0 other people inside")
            assert details["inside"].startswith("not inside")
        await (await gateway.terminal("door-1")).ask(ask_23("1005", "1005"))
        assert (await explain(site, gateway.store, view, "1001", at=now)).reason == "full"


async def test_what_is_explained_right_after_a_passage_is_granted_too(tmp_path):
    """B70: somebody at the desk looks while the door still stands open."""
    async with running(tmp_path, config=door(capacity=1, refuse_inside="true")) as gateway:
        await (await gateway.terminal("door-1")).ask(ask_23("1001", "1001"))
        site = build_site(gateway.app.config, gateway.store.capabilities)
        view = site.by_name["door-1"].view
        now = gateway.clock.now(view.zone)
        assert (await explain(site, gateway.store, view, "1001", at=now)).reason == "granted"


# The lists in the store (C10, C11, C62)


async def test_a_bar_in_the_store_counts_at_the_next_request(gateway):
    entrance = await gateway.terminal("door-1")
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    await gateway.store.put_door_entry(DoorEntry("bar", "MAIN", "1001B"))
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    await gateway.store.remove_door_entry("bar", "MAIN", "1001B")
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)


async def test_a_pass_in_the_store_beats_the_calendar(gateway):
    shut = await gateway.terminal("door-shut")
    assert (await shut.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    await gateway.store.put_door_entry(DoorEntry("pass", "*", "1001"))
    assert (await shut.ask(ask_23("1001", "1001"))).startswith(ADMITTED)


# Without the store (B40)


async def test_without_emergency_mode_a_door_refuses_and_says_so(gateway):
    entrance = await gateway.terminal("door-1")
    await entrance.ask(ask_23("1001", "1001"))
    with store_away(gateway):
        answer = await entrance.ask(ask_23("1001", "1001"))
    assert answer.startswith("24YYYY")
    assert await told(gateway) == [("granted", "normal"), ("system", "normal")]


async def test_who_was_admitted_before_is_admitted_from_memory(tmp_path):
    config = door(emergency="true", emergency_max_age_h=2)
    async with running(tmp_path, config=config) as gateway:
        entrance, second = [await gateway.terminal(name) for name in ("door-1", "door-2")]
        known = await entrance.ask(ask_23("1001", "1001"))
        gateway.clock.advance(3600)
        with store_away(gateway):
            answer = await entrance.ask(ask_23("1001", "1001"))
            assert answer == known.replace("120000", "130000")
            assert (await entrance.ask(ask_23("1001", "0000"))).startswith(REFUSED)
            assert (await entrance.ask(ask_23("1001"))).startswith(REFUSED)
            for never_here in (entrance.ask(ask_23("1005", "1005")), second.ask(ask_23("1001"))):
                assert (await never_here).startswith("24YYYY")
            gateway.clock.advance(3601)  # use has not made it younger
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith("24YYYY")
        assert await told(gateway) == [
            ("granted", "normal"),
            ("granted", "emergency"),
            ("wrong_pin", "emergency"),
            ("wrong_pin", "emergency"),
            *[("system", "normal")] * 3,
        ]
        assert gateway.metrics.access_decisions["MAIN", "granted", "granted", "emergency"] == 1


async def test_after_five_guesses_without_the_store_the_right_pin_looks_wrong_too_c99(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        with store_away(gateway):
            pins = ("0001", "0002", "0003", "0004", "0005", "1001")
            answers = [await entrance.ask(ask_23("1001", pin)) for pin in pins]
            assert len(set(answers)) == 1
            assert answers[0].startswith(REFUSED)
        assert (await told(gateway))[-2:] == [
            ("wrong_pin", "emergency"),
            ("pin_locked", "emergency"),
        ]


@contextmanager
def counted_hashes(gateway):
    """How often a PIN is really judged; each takes until `gate` is set."""
    verifier, gate = gateway.app._verifier, asyncio.Event()
    judged: list[object] = []

    async def run(verify, *, first):
        judged.append(None)
        await gate.wait()
        return verify()

    with patch.object(verifier, "run", run):
        yield judged, gate


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_more_lines_are_not_more_guesses_without_the_store_either_c99(tmp_path, hangs_up):
    """Each login replaces the line before, whose running request still ends."""
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        await (await gateway.terminal("door-1")).ask(ask_23("1001", "1001"))
        pins = gateway.app._pins
        with store_away(gateway), counted_hashes(gateway) as (judged, gate):
            for number in range(12):
                line = await gateway.terminal("door-1")
                await line.send(ask_23("1001", f"000{number}"))
                while len(pins.guesses.under_way) <= number:  # noqa: ASYNC110 -- until it has come
                    await asyncio.sleep(0)
                if hangs_up:
                    line.close()
            gate.set()
            await asyncio.gather(*pins.guesses.under_way)
            assert len(judged) == WRONG_PINS_MAX
            last = await gateway.terminal("door-1")
            assert (await last.ask(ask_23("1001", "1001"))).startswith(REFUSED)


async def test_guesses_without_the_store_are_told_to_it_later_c99(tmp_path, monkeypatch):
    monkeypatch.setattr("sip2gw.authentication.guesses.WRITE_AGAIN_S", 0.01)
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        backend = gateway.app.gateway.backend
        cannot_write = patch.object(
            backend, "record_pin_failure", side_effect=UnavailableError("away")
        )
        with store_away(gateway), cannot_write:
            for _ in range(3):
                await entrance.ask(ask_23("1001", "0000"))
        await gateway.app._pins.guesses.writing
        record = await gateway.store.find_by_card("1001")
        assert record.cards[0].pin_failures == 3


async def test_a_right_pin_without_the_store_ends_the_count_in_memory(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        with store_away(gateway):
            for _ in range(3):
                for pin, said in [("0000", REFUSED)] * 4 + [("1001", ADMITTED)]:
                    gateway.clock.advance(10)
                    assert (await entrance.ask(ask_23("1001", pin))).startswith(said)
        assert gateway.app._pins.guesses.unwritten == {}


async def test_who_hangs_up_on_wrong_pins_is_known_in_an_emergency_c110(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        admitted = gateway.app.gateway.services.admissions._patrons["1001"]
        for number in range(1, WRONG_PINS_MAX + 1):
            kiosk = await gateway.terminal("kiosk-1")
            with counted_hashes(gateway) as (judged, gate):
                await kiosk.send(ask_23("1001", "0000"))
                while not judged:  # noqa: ASYNC110 -- until it is being judged
                    await asyncio.sleep(0)
                kiosk.close()
                while gateway.app.server.lines_of("kiosk-1"):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                gate.set()
                await asyncio.gather(*gateway.app._pins.guesses.under_way)
            assert admitted.wrong_pins == number
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)


async def test_the_calendar_and_the_bar_list_hold_without_the_store(tmp_path):
    config = door(emergency="true").replace(
        'from = "00:00", to = "24:00", state = "unstaffed"',
        'from = "10:00", to = "13:00", state = "unstaffed"',
    )
    async with running(tmp_path, config=config) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        barred = config.replace("[branches.MAIN]", '[branches.MAIN]\nbar = [{ card = "1001" }]')
        with store_away(gateway):
            gateway.app.config.path.write_text(barred)
            await gateway.app.reload()
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
            gateway.app.config.path.write_text(config)
            await gateway.app.reload()
            gateway.clock.advance(3600)
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        assert await told(gateway) == [
            ("granted", "normal"),
            ("barred", "emergency"),
            ("closed", "emergency"),
        ]


async def test_a_later_refusal_with_the_store_ends_the_admission(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        await gateway.store.put_door_entry(DoorEntry("bar", "MAIN", "1001"))
        await entrance.ask(ask_23("1001", "1001"))
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith("24YYYY")


async def test_a_refusal_that_says_nothing_about_the_holder_leaves_the_admission(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        assert (await entrance.ask(ask_23("1001", "0000"))).startswith(REFUSED)
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)


SEEN_SINCE = {
    "a block, set at a desk": (lambda store: store.set_block("1001", STAFF_BLOCK), REFUSED),
    "a bar": (lambda store: store.put_door_entry(DoorEntry("bar", "MAIN", "1001")), REFUSED),
    "another PIN": (lambda store: store.set_pin_hash("1001", OTHER_PIN), REFUSED),
    "nothing": (lambda store: store.ping(), ADMITTED),
}


@pytest.mark.parametrize("pin", [None, "1001"], ids=["without PIN", "with a remembered PIN"])
@pytest.mark.parametrize("change", SEEN_SINCE)
async def test_an_emergency_knows_what_was_seen_since_at_any_terminal_c110(tmp_path, change, pin):
    """Seen with another card and at a kiosk; the door itself was not asked again."""
    apply, expected = SEEN_SINCE[change]
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance, kiosk = await gateway.terminal("door-1"), await gateway.terminal("kiosk-1")
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        await apply(gateway.store)
        await kiosk.ask(ask_23("1001B", pin))
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(expected)


WITHOUT_PIN = """[profiles.cloakroom]
kind = "door"
door = { require_pin = false }
[terminals.cloakroom]
profile = "cloakroom"
branch = "MAIN"
password = "pw"
"""


@pytest.mark.parametrize("seen_at", ["door-out", "cloakroom"])
async def test_an_emergency_knows_what_doors_without_pin_have_seen_since_c110(tmp_path, seen_at):
    async with running(tmp_path, config=door(emergency="true") + WITHOUT_PIN) as gateway:
        entrance, other = await gateway.terminal("door-1"), await gateway.terminal(seen_at)
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        await gateway.store.set_block("1001", STAFF_BLOCK)
        await other.ask(ask_23("1001B"))
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)


OTHER_CARD = {"number": "77"}
BEFORE = [person("2001", "First", cards=[OTHER_CARD]), person("2002", "Second")]
SINCE = {
    "nobody's": [person("2001", "First", cards=[])],
    "somebody else's": [
        person("2001", "First", cards=[]),
        person("2002", "Second", cards=[OTHER_CARD]),
    ],
}


@pytest.mark.parametrize("seen_at", ["door-1", "kiosk-1", "door-out", "cloakroom"])
@pytest.mark.parametrize("since", SINCE)
async def test_an_emergency_admits_nobody_with_a_card_that_they_have_no_more_b40(
    tmp_path, since, seen_at
):
    config = door(emergency="true") + WITHOUT_PIN
    async with running(tmp_path, config=config, records=[*LIBRARY, *BEFORE]) as gateway:
        entrance = await gateway.terminal("door-1")
        other = entrance if seen_at == "door-1" else await gateway.terminal(seen_at)
        assert (await entrance.ask(ask_23("77", "2001"))).startswith(ADMITTED)
        load(gateway.store, SINCE[since])
        await other.ask(ask_23("77", "2002"))
        with store_away(gateway):
            assert not (await entrance.ask(ask_23("77", "2001"))).startswith(ADMITTED)


async def test_an_emergency_knows_what_a_payment_has_seen_since_c110(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance, pay = await gateway.terminal("door-1"), await gateway.terminal("pay-1")
        assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        await gateway.store.set_block("1001", STAFF_BLOCK)
        assert (await pay.ask(ask_37("1001", "1.00", pin="1001"))).startswith("38Y")
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)


async def test_a_block_by_a_terminal_ends_the_admission_c110(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance, desk = await gateway.terminal("door-1"), await gateway.terminal("desk-1")
        await entrance.ask(ask_23("1001", "1001"))
        await desk.ask(f"01N{STAMP}AOHUB|ALlost|AA1001B|AC|")
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith("24YYYY")


async def test_wrong_pins_count_before_and_in_an_emergency_with_any_card_c110(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance, kiosk = await gateway.terminal("door-1"), await gateway.terminal("kiosk-1")
        await entrance.ask(ask_23("1001", "1001"))
        for card in ("1001", "1001B", "1001"):
            await kiosk.ask(ask_23(card, "0000"))
        with store_away(gateway):
            for _ in range(2):
                assert (await entrance.ask(ask_23("1001", "0000"))).startswith(REFUSED)
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)


async def test_a_pin_that_was_seen_locked_is_not_accepted_c110(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance, kiosk = await gateway.terminal("door-1"), await gateway.terminal("kiosk-1")
        await entrance.ask(ask_23("1001", "1001"))
        until = gateway.clock.now() + timedelta(minutes=15)
        await gateway.store.record_pin_failure("1001", gateway.clock.now(), 1, until)
        await kiosk.ask(ask_23("1001"))
        with store_away(gateway):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
            gateway.clock.advance(15 * 60)
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        assert await reasons(gateway) == ["granted", "pin_locked", "granted"]


def test_another_admission_begins_a_new_count_of_wrong_pins():
    admissions, anna = Admissions(), PatronRecord("1001", "Anna")
    admissions.remember("door-1", "1001", anna, 0)
    for _ in range(WRONG_PINS_MAX - 1):
        admissions.see(anna, right=False)
    admissions.remember("door-1", "1001", anna, 1)
    admissions.see(anna, right=False)
    assert not admissions.is_guessed_at("1001")
    for _ in range(WRONG_PINS_MAX - 1):
        admissions.see(anna)
        admissions.see(anna, right=False)
    assert admissions.is_guessed_at("1001")
    admissions.see(anna, right=True)
    assert not admissions.is_guessed_at("1001")
    assert not admissions.is_guessed_at("nobody")


def test_a_passage_ends_with_its_window():
    passages = Passages()
    assert passages.begins("door-1", "1001", 0, 5)
    assert passages.goes_on("door-1", "1001", 4.9, 5)
    assert not passages.begins("door-1", "1001", 4.9, 5)
    assert not passages.goes_on("door-1", "1001", 5, 5)
    assert not passages.goes_on("door-2", "1001", 1, 5)
    assert passages.begins("door-1", "1001", 5, 5)


def test_passages_are_forgotten_by_generations_and_none_too_early(monkeypatch):
    monkeypatch.setattr("sip2gw.shared.door_memory.PASSAGES_MAX", 2)
    passages = Passages()
    for card in ("A", "B", "C"):
        assert passages.begins("door-1", card, 0, 5)
    assert [passages.begins("door-1", card, 1, 5) for card in ("A", "B", "C")] == [False] * 3
    passages.end("door-1", "A")
    passages.end("door-1", "C")
    assert [passages.begins("door-1", card, 1, 5) for card in ("A", "C")] == [True] * 2
    assert len(passages._begun) + len(passages._earlier) <= 4


def test_an_admission_counts_for_its_time_and_a_new_one_makes_it_younger():
    admissions, anna = Admissions(), PatronRecord("1001", "Anna")
    admissions.remember("door-1", "1001", anna, 0)
    assert admissions.recall("door-1", "1001", 10, 10) is anna
    assert admissions.recall("door-1", "1001", 10.1, 10) is None
    assert admissions.recall("door-2", "1001", 1, 10) is None
    admissions.remember("door-1", "1001", anna, 8)
    assert admissions.recall("door-1", "1001", 18, 10) is anna
    admissions.forget("1001")
    assert admissions.recall("door-1", "1001", 9, 10) is None
    assert admissions._holders == {}


def test_whoever_was_admitted_longest_ago_makes_room(monkeypatch):
    monkeypatch.setattr("sip2gw.shared.door_memory.PATRONS_MAX", 2)
    admissions = Admissions()
    for number, patron in enumerate(("A", "B", "A", "C")):
        admissions.remember("door-1", f"card of {patron}", PatronRecord(patron, patron), number)
    recalled = [admissions.recall("door-1", f"card of {p}", 4, 10) for p in ("A", "B", "C")]
    assert [record and record.id for record in recalled] == ["A", None, "C"]
    admissions.forget("nobody")


@pytest.mark.parametrize("error", [BackendError("broken"), ValueError()])
async def test_a_fault_of_ours_is_no_emergency_and_told_too_c93(tmp_path, error):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        with store_away(gateway, error):
            assert (await entrance.ask(ask_63("1001", "1001"))).startswith("64YYYY")
        assert await told(gateway) == [("granted", "normal"), ("system", "normal")]


async def test_a_decision_that_comes_too_late_is_told_c93(gateway):
    asked = asyncio.Event()

    async def never(card):
        asked.set()
        await asyncio.Event().wait()

    entrance = await gateway.terminal("door-1")
    backend = gateway.app.gateway.backend
    with patch.object(backend, "find_by_card", side_effect=never):
        await entrance.send(ask_23("1001", "1001"))
        await asked.wait()
        gateway.clock.advance(60)
        assert (await entrance.read()).startswith("24YYYY")
    assert await told(gateway) == [("system", "normal")]


async def test_a_fault_in_the_emergency_itself_is_a_refusal(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        pins = gateway.app._pins
        with store_away(gateway), patch.object(pins, "check", side_effect=ValueError):
            assert (await entrance.ask(ask_23("1001", "1001"))).startswith("24YYYY")
        assert gateway.metrics.backend_errors["answer", "bug"] == 1


async def test_a_door_without_pin_asks_for_none_in_an_emergency(tmp_path):
    async with running(tmp_path, config=door(emergency="true", require_pin="false")) as gateway:
        entrance = await gateway.terminal("door-1")
        admitted = await entrance.ask(ask_23("1001"))
        assert admitted.startswith(ADMITTED)
        with store_away(gateway):
            for pin in (None, "0000"):
                assert await entrance.ask(ask_23("1001", pin)) == admitted


@pytest.mark.parametrize("error", [UnavailableError("away"), BackendError("broken"), ValueError()])
async def test_nobody_is_kept_inside_while_the_store_is_away(gateway, error):
    """C67."""
    way_out = await gateway.terminal("door-out")
    with store_away(gateway, error):
        answer = await way_out.ask(ask_63("1001"))
    assert answer.startswith("64   ")
    assert "BLY|CQY" in answer
    assert await told(gateway) == [("granted", "emergency")]


async def test_rows_of_an_emergency_wait_for_the_store(tmp_path):
    async with running(tmp_path, config=door(emergency="true")) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        with store_away(gateway):
            gateway.clock.advance(60)
            await entrance.ask(ask_23("1001", "1001"))
        await asyncio.sleep(0)
        assert await told(gateway) == [("granted", "normal"), ("granted", "emergency")]


# Once a day (B42)


async def test_the_gateway_forgets_who_stood_at_its_doors(tmp_path):
    async with running(tmp_path) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        gateway.clock.advance(31 * 24 * 3600)
        await entrance.ask(ask_23("1005", "1005"))
        await gateway.store.ping()
        await gateway.app.maintain()
        assert [row.patron_id for row in gateway.store.access_rows()] == [None, "1005"]


async def test_a_failed_maintenance_is_told_and_does_not_stop_the_gateway(gateway):
    failing = patch.object(gateway.store, "erase_access_identities", side_effect=UnavailableError)
    with failing:
        await gateway.app.maintain()
    assert gateway.metrics.backend_errors["maintain", "unavailable"] == 1


async def test_maintenance_comes_by_itself(gateway):
    done = asyncio.Event()

    async def maintain():
        done.set()

    with patch.object(gateway.app, "maintain", maintain):
        gateway.app.repeat(gateway.app.maintain, 0, 3600)
        await asyncio.wait_for(done.wait(), 5)
