"""What the gateway tells staff by itself, from the wire to the message, in both stores (B64, C145).

Each cause is told once, whoever looks and however often; a repeat is counted once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import CONFIG, LIBRARY, NOON, STAMP, URL, Terminal, ask_23, ask_63, load, running

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.library import Library
from sip2gw.daemon.chores import causes
from sip2gw.model import AccessRow
from sip2gw.policy.desk.silence import SilentTerminal
from sip2gw.policy.desk.support import OpeningDays

DAYS = OpeningDays({}, ZoneInfo("Europe/Brussels"))
SUPPORTING = CONFIG.replace(
    "[security]", "[support]\nenabled = true\n[security]\nterminal_pin_failures_max = 7"
).replace('kind = "selfcheck"', 'kind = "selfcheck"\nsupport_answers = true')

ROW = AccessRow(NOON, "MAIN", "door-1", "refused", "no_badge", "normal", "", None)


def opened(store: Library) -> list[tuple[Any, ...]]:
    """Category, object and count of the messages, in the order in which they were opened."""
    return [(category, about, count) for category, about, count, _ in told(store)]


def told(store: Library) -> list[tuple[Any, ...]]:
    """The same with the text."""
    with store.snapshot() as connection:
        rows = connection.execute(
            "SELECT category, object, count, text FROM support_message ORDER BY id"
        ).fetchall()
    return list(map(tuple, rows))


def column(store: Library, name: str) -> list[Any]:
    """A column of the messages, in the order in which they were opened."""
    with store.snapshot() as connection:
        rows = connection.execute(f"SELECT {name} FROM support_message ORDER BY id").fetchall()
    return [value for (value,) in rows]


async def close_all(store: Library) -> None:
    """What staff do with the messages, seen from the table."""

    def job(connection: Any) -> Any:
        from sip2gw.backend.database import WriteResult

        connection.execute("UPDATE support_message SET status = 'X', closed = created")
        return WriteResult(None)

    await store.write(job)


# At the gateway -----------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the library lies."""
    if request.param == "sqlite":
        yield URL
        return
    server = request.getfixturevalue("postgres")
    name = server.make_database(request.getfixturevalue("empty_template"))
    yield server.url(name)
    server.drop_database(name)


@asynccontextmanager
async def started(
    directory: Path, url: str, *, config: str = SUPPORTING, records: Any = LIBRARY
) -> AsyncIterator[Any]:
    async with running(directory, config=config.replace(URL, url), records=records) as gateway:
        yield gateway


@pytest.fixture
async def gateway(tmp_path: Path, url: str) -> AsyncIterator[Any]:
    async with started(tmp_path, url) as gateway:
        yield gateway


def block(card: str, note: str = "kept") -> str:
    return f"01Y{STAMP}AOHUB|AL{note}|AA{card}|AC|"


async def look(gateway: Any) -> None:
    """All that the gateway does from time to time."""
    await gateway.app.cause_chore.write()
    await gateway.app.support_chore.look()
    await gateway.app.cause_chore.look_for_silence()


async def written(store: Library, count: int) -> None:
    """Wait until the door log has `count` rows: they are written a moment later (C65)."""
    async with asyncio.timeout(60):
        while len(store.access_rows()) < count:  # noqa: ASYNC110 -- another thread does it
            await asyncio.sleep(0.02)


async def test_a_card_that_a_terminal_blocked(gateway: Any) -> None:
    desk = await gateway.terminal("desk-1")
    await desk.ask(block("1001B", "machine kept it"))
    await look(gateway)
    await look(gateway)
    assert told(gateway.store) == [
        (
            "CARD",
            "1001B",
            1,
            "desk-1 blocked the card 1001B (machine kept it). Ask the patron what happened;"
            " lift the block with `sip2gw patron unblock 1001`.",
        )
    ]
    assert column(gateway.store, "patron_id") == ["1001"]
    assert column(gateway.store, "branch") == ["MAIN"]
    await desk.ask(block("1001B", ""))
    await look(gateway)
    assert opened(gateway.store) == [("CARD", "1001B", 2)]


async def test_doors_that_refuse_because_of_old_data(tmp_path: Path, url: str) -> None:
    """C138: told once when it begins, and again when it has ended and begins anew."""
    config = SUPPORTING.replace("max_fee_age_days = 49", "data_max_age_h = 23")
    async with started(tmp_path, url, config=config) as gateway:
        door = await gateway.terminal("door-1")

        async def looked() -> list[tuple[Any, ...]]:
            await gateway.app.cause_chore.look_for_old_data()
            await gateway.app.cause_chore.write()
            return told(gateway.store)

        assert (await door.ask(ask_23("1001", "1001"))).startswith("24              001")
        assert await looked() == []
        gateway.clock.advance(24 * 3600)
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24Y")
        await looked()
        assert await looked() == [
            (
                "DATA",
                "store",
                1,
                "The doors of MAIN refuse everybody: nobody has imported data for 23 hours."
                " Import it with `sip2gw import`, and find out why that was not done.",
            )
        ]
        load(gateway.store, LIBRARY[:1], now=NOON + timedelta(hours=24))
        await gateway.app.store_chore.look()
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24              001")
        await looked()
        gateway.clock.advance(24 * 3600)
        assert [count for _, _, count, _ in await looked()] == [2]


async def test_old_data_of_one_store_is_one_message_for_all_branches(
    tmp_path: Path, url: str
) -> None:
    """C163: the message is about the store, however many branches have doors."""
    config = SUPPORTING.replace("max_fee_age_days = 49", "data_max_age_h = 1")
    config = config.replace("[branches.SHUT]", "[branches.SHUT]\ndata_max_age_h = 2")
    async with started(tmp_path, url, config=config) as gateway:

        async def looked_after(hours: float) -> list[tuple[Any, ...]]:
            gateway.clock.advance(hours * 3600)
            await gateway.app.cause_chore.look_for_old_data()
            await gateway.app.cause_chore.write()
            return told(gateway.store)

        ((category, about, count, text),) = await looked_after(1.5)
        assert (category, about, count) == ("DATA", "store", 1)
        assert text.startswith(
            "The doors of MAIN refuse everybody: nobody has imported data for 1 hour."
        )
        assert [(about, count) for _, about, count, _ in await looked_after(1)] == [("store", 2)]
        assert column(gateway.store, "branch") == [None]

        await close_all(gateway.store)
        load(gateway.store, LIBRARY[:1], now=gateway.clock.now())
        await gateway.app.store_chore.look()
        assert len(await looked_after(0)) == 1
        *_, (_, about, count, text) = await looked_after(2.5)
        assert (about, count) == ("store", 1)
        assert text.startswith(
            "The doors of MAIN, SHUT refuse everybody: nobody has imported data for 2 hours."
        )


async def test_a_card_is_told_again_only_when_it_is_blocked_again(gateway: Any) -> None:
    desk = await gateway.terminal("desk-1")
    await desk.ask(block("1004", ""))
    await look(gateway)
    await close_all(gateway.store)
    await look(gateway)
    assert opened(gateway.store) == [("CARD", "1004", 1)]
    await desk.ask(block("1004", ""))
    await look(gateway)
    assert opened(gateway.store) == [("CARD", "1004", 1)] * 2
    assert told(gateway.store)[1][3].startswith("desk-1 blocked the card 1004. Ask")


async def test_many_cards_are_told_a_part_at_a_time(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip2gw.backend.sql.desk.followup._STEP", (2,))
    desk = await gateway.terminal("desk-1")
    cards = ["1001", "1004", "1005", "1006", "1007"]
    for card in cards:
        await desk.ask(block(card))
    await look(gateway)
    assert sorted(opened(gateway.store)) == [("CARD", card, 1) for card in cards]


async def test_a_block_by_staff_is_nobody_elses_business(gateway: Any) -> None:
    record = await gateway.store.find_patron("1001")
    from sip2gw.model import Block, BlockType

    await gateway.store.set_block(record.id, Block(BlockType.GENERAL, "ask", None, "staff"))
    await look(gateway)
    assert opened(gateway.store) == []


async def lock_pin(terminal: Terminal, card: str) -> None:
    for _ in range(5):
        await terminal.ask(ask_23(card, "wrong"))


async def test_a_pin_that_was_locked_at_a_door(gateway: Any) -> None:
    door = await gateway.terminal("door-1")
    await lock_pin(door, "1001")
    await gateway.app.cause_chore.write()
    assert opened(gateway.store) == [("PINL", "door-1", 1)]
    assert told(gateway.store)[0][3].startswith("A PIN was locked after wrong PINs at the door ")
    assert column(gateway.store, "branch") == ["MAIN"]
    # Asking on at a locked PIN is no new lock; a lock of another patron is.
    await door.ask(ask_23("1001", "wrong"))
    await gateway.app.cause_chore.write()
    assert opened(gateway.store) == [("PINL", "door-1", 1)]


async def test_a_pin_that_was_locked_elsewhere_is_no_matter_of_a_door(gateway: Any) -> None:
    kiosk = await gateway.terminal("kiosk-1")
    await lock_pin(kiosk, "1001")
    await gateway.app.cause_chore.write()
    assert opened(gateway.store) == []


async def test_many_wrong_pins_at_one_terminal(gateway: Any) -> None:
    """C19: seven here; at a door too, where the locks are told as well."""
    kiosk = await gateway.terminal("kiosk-1")
    await lock_pin(kiosk, "1001")
    await kiosk.ask(ask_23("1004", "wrong"))
    await gateway.app.cause_chore.write()
    assert opened(gateway.store) == []
    await kiosk.ask(ask_23("1004", "wrong"))
    await gateway.app.cause_chore.write()
    assert opened(gateway.store) == [("PINT", "kiosk-1", 1)]
    assert "pin_locked" in {line["event"] for line in gateway.logged()}


async def refuse(gateway: Any, door: Terminal, times: int, card: str = "1009") -> None:
    before = len(gateway.store.access_rows())
    for _ in range(times):
        await door.ask(ask_23(card, card))
    await written(gateway.store, before + times)


async def test_a_door_that_refuses_everybody(gateway: Any) -> None:
    door = await gateway.terminal("door-1")
    await refuse(gateway, door, 4)
    await look(gateway)
    assert opened(gateway.store) == []
    await refuse(gateway, door, 1, "1007")
    await look(gateway)
    await look(gateway)
    assert told(gateway.store) == [
        (
            "DOOR",
            "door-1",
            1,
            "door-1 refused all 5 who came within an hour (no_badge 4, membership_expired 1)."
            " Look at them with `sip2gw door log --branch MAIN`.",
        )
    ]
    assert column(gateway.store, "branch") == ["MAIN"]
    gateway.clock.advance(3599)
    await refuse(gateway, door, 5)
    await look(gateway)
    assert opened(gateway.store) == [("DOOR", "door-1", 1)], "an hour counts once"
    gateway.clock.advance(1)
    await look(gateway)
    assert opened(gateway.store) == [("DOOR", "door-1", 2)]


async def test_a_door_that_let_somebody_in_within_the_hour(gateway: Any) -> None:
    door = await gateway.terminal("door-1")
    await refuse(gateway, door, 1, "1001")
    await refuse(gateway, door, 6)
    await look(gateway)
    assert opened(gateway.store) == []
    gateway.clock.advance(3601)
    await refuse(gateway, door, 5)
    await look(gateway)
    assert opened(gateway.store) == [("DOOR", "door-1", 1)]


async def test_a_closed_branch_refuses_rightly(gateway: Any) -> None:
    door = await gateway.terminal("door-shut")
    await refuse(gateway, door, 6, "1001")
    await look(gateway)
    assert opened(gateway.store) == []


DAY_S = 24 * 3600


async def test_a_terminal_that_is_silent_for_a_day(gateway: Any) -> None:
    await gateway.terminal("kiosk-1")
    await look(gateway)
    gateway.clock.advance(DAY_S - 1)
    await look(gateway)
    assert opened(gateway.store) == []
    gateway.clock.advance(1)
    await look(gateway)
    await look(gateway)
    assert opened(gateway.store) == [("SILE", "kiosk-1", 1)]
    assert "nothing since 2026-03-10 11:00Z." in told(gateway.store)[0][3]
    await close_all(gateway.store)
    await look(gateway)
    assert opened(gateway.store) == [("SILE", "kiosk-1", 1)], "the same silence, closed by staff"
    kiosk = await gateway.terminal("kiosk-1")  # its line may have been closed, idle as it was
    await kiosk.ask(ask_23("1001"))
    await look(gateway)
    gateway.clock.advance(DAY_S)
    await look(gateway)
    assert opened(gateway.store) == [("SILE", "kiosk-1", 1)] * 2


async def test_silence_is_remembered_over_a_restart_and_not_before_terminals_could_connect(
    tmp_path: Path, url: str
) -> None:
    async with started(tmp_path, url) as gateway:
        await gateway.terminal("kiosk-1")
        await gateway.terminal("pay-1")
        await look(gateway)
    async with started(tmp_path, url, records=()) as gateway:
        gateway.clock.advance(DAY_S)
        gateway.app.cause_chore._began = gateway.clock.monotonic()  # it was started a day later
        gateway.clock.advance(3599)
        await gateway.terminal("pay-1")
        await look(gateway)
        assert opened(gateway.store) == []
        gateway.clock.advance(1)
        await look(gateway)
        assert opened(gateway.store) == [("SILE", "kiosk-1", 1)]


async def test_only_who_was_heard_since_the_last_look_is_noted(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = []

    async def note(heard: dict[str, datetime]) -> None:
        noted.append(sorted(heard))

    monkeypatch.setattr(gateway.store, "note_heard", note)
    kiosk = await gateway.terminal("kiosk-1")
    await gateway.terminal("pay-1")
    await look(gateway)
    await look(gateway)
    gateway.clock.advance(60)
    await kiosk.ask(ask_23("1001"))
    await look(gateway)
    assert noted == [["kiosk-1", "pay-1"], ["kiosk-1"]]


async def test_a_terminal_that_is_no_longer_configured_is_not_missed(
    tmp_path: Path, url: str
) -> None:
    async with started(tmp_path, url) as gateway:
        await gateway.terminal("kiosk-1")
        await look(gateway)
    gone = SUPPORTING.replace("[terminals.kiosk-1]", "[terminals.kiosk-9]")
    async with started(tmp_path, url, config=gone, records=()) as gateway:
        gateway.clock.advance(2 * DAY_S)
        await look(gateway)
        assert opened(gateway.store) == []


async def test_without_support_nothing_is_told(tmp_path: Path, url: str) -> None:
    off = SUPPORTING.replace("[support]\nenabled = true", "[support]\nenabled = false")
    async with started(tmp_path, url, config=off) as gateway:
        desk = await gateway.terminal("desk-1")
        door = await gateway.terminal("door-1")
        await desk.ask(block("1004"))
        await lock_pin(door, "1001")
        await refuse(gateway, door, 6)
        await look(gateway)
        gateway.clock.advance(2 * DAY_S)
        await look(gateway)
        assert opened(gateway.store) == []


async def test_while_the_store_is_away_causes_wait_and_the_failure_is_told_once(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = await gateway.terminal("door-1")
    await lock_pin(door, "1001")

    async def away(*_: object) -> int:
        raise UnavailableError("the disk is away")

    for _ in range(2):
        await door.ask(ask_23("1004", "wrong"))  # seven wrong PINs in all
    with monkeypatch.context() as patch:
        patch.setattr(gateway.store, "open_automatic", away)
        await gateway.app.cause_chore.write()
        await gateway.app.cause_chore.write()
        assert opened(gateway.store) == []
    await gateway.app.cause_chore.write()
    assert opened(gateway.store) == [("PINL", "door-1", 1), ("PINT", "door-1", 1)]
    await lock_pin(door, "1005")
    with monkeypatch.context() as patch:
        patch.setattr(gateway.store, "open_automatic", away)
        await gateway.app.cause_chore.write()
    failed = [line for line in gateway.logged() if line["event"] == "support_failed"]
    assert [line["problem"] for line in failed] == ["the disk is away"] * 2, "once each time"
    assert gateway.metrics.backend_errors["support", "unavailable"] == 2


async def test_the_log_says_what_had_to_be_dropped(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "CAUSES_WAITING_MAX", 2)
    door = await gateway.terminal("door-1")
    for card in ("1001", "1004", "1005"):
        await lock_pin(door, card)
    await gateway.app.cause_chore.write()
    await gateway.app.cause_chore.write()
    dropped = [one for one in gateway.logged() if one["event"] == "support_causes_dropped"]
    assert [line["causes"] for line in dropped] == [{"PINL": 2}]
    assert opened(gateway.store) == [("PINL", "door-1", 1), ("PINT", "door-1", 1)]


async def test_what_waits_at_the_end_is_written(tmp_path: Path, url: str) -> None:
    async with started(tmp_path, url) as gateway:
        await lock_pin(await gateway.terminal("door-1"), "1001")
    async with started(tmp_path, url, records=()) as gateway:
        assert opened(gateway.store) == [("PINL", "door-1", 1)]


# Several gateways on one store --------------------------------------------------------------------


async def test_several_gateways_tell_a_cause_once(library: Library) -> None:
    """Each has looked before any of them told."""
    for _ in range(5):
        library.log_access(replace(ROW))
    await written(library, 5)
    await library.note_heard({"kiosk-1": NOON})
    doors = library.refusing_doors(NOON)
    silent = [SilentTerminal("kiosk-1", NOON, None)]
    for _ in range(2):
        await library.tell_refusing_doors(doors, NOON, DAYS)
        await library.tell_silent_terminals(silent, NOON + timedelta(days=1), DAYS)
    assert opened(library) == [("DOOR", "door-1", 1), ("SILE", "kiosk-1", 1)]
    assert library.refusing_doors(NOON) == []
    assert library.last_heard() == {}


async def test_a_terminal_that_another_gateway_heard_is_not_silent(library: Library) -> None:
    await library.note_heard({"kiosk-1": NOON, "kiosk-2": NOON})
    later = NOON + timedelta(minutes=5)
    await library.note_heard({"kiosk-1": later})
    await library.note_heard({"kiosk-1": NOON, "kiosk-2": NOON})
    assert library.last_heard() == {
        "kiosk-1": later.astimezone(UTC),
        "kiosk-2": NOON.astimezone(UTC),
    }
    silent = [SilentTerminal("kiosk-1", NOON, None)]
    await library.tell_silent_terminals(silent, NOON + timedelta(days=1), DAYS)
    assert opened(library) == []


async def test_only_the_last_hour_and_those_who_come_in_count(library: Library) -> None:
    """But not what was only observed there (B78)."""
    rows = [replace(ROW, time=NOON - timedelta(hours=1, seconds=1)) for _ in range(3)]
    rows += [replace(ROW, mode="observed", theirs="granted") for _ in range(3)]
    rows += [ROW] * 4 + [replace(ROW, direction="out", decision="granted", reason="granted")]
    for row in rows:
        library.log_access(row)
    await written(library, len(rows))
    assert library.refusing_doors(NOON) == []
    assert [door.refused for door in library.refusing_doors(NOON - timedelta(seconds=1))] == [7]


# What staff answered ------------------------------------------------------------------------------


def shown(answer: str) -> list[str]:
    return [part[2:] for part in answer.split("|") if part.startswith("AFAnswer")]


async def answer(store: Library, patron_id: str, text: str) -> None:
    from sip2gw.backend.database import WriteResult
    from sip2gw.backend.sql.members import answers

    def job(connection: Any) -> Any:
        answers.add(connection, patron_id, text)
        return WriteResult(None, (patron_id,))

    await store.write(job)


async def test_a_patron_sees_an_answer_once_at_the_next_visit(gateway: Any) -> None:
    kiosk = await gateway.terminal("kiosk-1")
    assert shown(await kiosk.ask(ask_63("1001", "1001"))) == []
    await answer(gateway.store, "1001", "Your card\nworks again.")
    told = "Answer from the library: Your card works again."
    assert shown(await kiosk.ask(ask_63("1001", "1001"))) == [told]
    assert shown(await kiosk.ask(ask_63("1001", "1001"))) == [], (
        "not written yet, shown all the same"
    )
    await gateway.app.cause_chore.write()
    assert shown(await kiosk.ask(ask_23("1001", "1001"))) == []
    assert (await gateway.store.find_patron("1001")).answers == ()
    await answer(gateway.store, "1001", "Your card works again.")
    assert shown(await kiosk.ask(ask_63("1001", "1001"))) == [told], "the same text, a new answer"


async def test_what_is_answered_in_the_gateway_itself_is_shown_at_once_and_cut_to_a_screen(
    gateway: Any,
) -> None:
    kiosk, desk = await gateway.terminal("kiosk-1"), await gateway.terminal("desk-1")
    await desk.ask(block("1001"))
    await look(gateway)
    assert shown(await kiosk.ask(ask_63("1001", "1001"))) == []
    (number,) = column(gateway.store, "id")
    await gateway.store.answer_support_message(number, "x" * 300, "ann", NOON)
    assert (await gateway.store.find_patron("1001")).answers == ("x" * 197 + "...",)
    assert len(shown(await kiosk.ask(ask_63("1001", "1001")))) == 1


async def test_a_23_shows_it_too_and_in_the_patrons_language(gateway: Any) -> None:
    await answer(gateway.store, "1006", "Klaar.")
    kiosk = await gateway.terminal("kiosk-1")
    told = await kiosk.ask(ask_23("1006", "1006", language="005"))
    assert "|AFAntwoord van de bibliotheek: Klaar.|" in told


async def test_it_comes_after_what_else_is_said(gateway: Any) -> None:
    await answer(gateway.store, "1004", "Pay at the desk.")
    kiosk = await gateway.terminal("kiosk-1")
    told = await kiosk.ask(ask_63("1004", "1004"))
    texts = [part[2:] for part in told.split("|") if part.startswith("AF")]
    assert texts[0].startswith("You owe EUR 12.50")
    assert texts[-1] == "Answer from the library: Pay at the desk."


async def test_no_more_than_three_are_shown_at_a_time_and_none_is_lost(gateway: Any) -> None:
    for number in range(5):
        await answer(gateway.store, "1001", f"Number {number}.")
    kiosk = await gateway.terminal("kiosk-1")
    first = shown(await kiosk.ask(ask_63("1001", "1001")))
    await gateway.app.cause_chore.write()
    second = shown(await kiosk.ask(ask_63("1001", "1001")))
    assert [text[-2:] for text in first + second] == ["0.", "1.", "2.", "3.", "4."]
    assert len(first) == 3


async def test_whoever_shows_no_good_pin_sees_no_answer(gateway: Any) -> None:
    await answer(gateway.store, "1001", "For Anna.")
    kiosk = await gateway.terminal("kiosk-1")
    assert "For Anna" not in await kiosk.ask(ask_63("1001", "wrong"))
    cash = await gateway.terminal("pay-1")
    assert "For Anna" not in await cash.ask(ask_63("1001"))
    assert shown(await kiosk.ask(ask_63("1001", "1001")))


@pytest.mark.parametrize("login", ["door-1", "door-facts", "pay-1"])
async def test_doors_and_profiles_that_do_not_say_so_show_none(
    tmp_path: Path, url: str, login: str
) -> None:
    everywhere = SUPPORTING.replace('kind = "door"', 'kind = "door"\nsupport_answers = true')
    async with started(tmp_path, url, config=everywhere) as gateway:
        await answer(gateway.store, "1001", "For Anna.")
        terminal = await gateway.terminal(login)
        for request in (ask_23("1001", "1001"), ask_63("1001", "1001")):
            assert "For Anna" not in await terminal.ask(request)
        await gateway.app.cause_chore.write()
        assert (await gateway.store.find_patron("1001")).answers == ("For Anna.",)


async def test_without_support_no_answer_is_shown(tmp_path: Path, url: str) -> None:
    off = SUPPORTING.replace("[support]\nenabled = true", "[support]\nenabled = false")
    async with started(tmp_path, url, config=off) as gateway:
        await answer(gateway.store, "1001", "For Anna.")
        kiosk = await gateway.terminal("kiosk-1")
        assert shown(await kiosk.ask(ask_63("1001", "1001"))) == []


async def test_an_answer_waits_over_a_restart_and_is_not_shown_again_after_one(
    tmp_path: Path, url: str
) -> None:
    async with started(tmp_path, url) as gateway:
        await answer(gateway.store, "1001", "For Anna.")
    async with started(tmp_path, url, records=()) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert len(shown(await kiosk.ask(ask_63("1001", "1001")))) == 1
    async with started(tmp_path, url, records=()) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert shown(await kiosk.ask(ask_63("1001", "1001"))) == []


async def test_an_answer_that_comes_while_another_is_shown_is_kept(gateway: Any) -> None:
    await answer(gateway.store, "1001", "First.")
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.ask(ask_63("1001", "1001"))
    await answer(gateway.store, "1001", "Second.")
    await gateway.app.cause_chore.write()
    assert [text[-7:] for text in shown(await kiosk.ask(ask_63("1001", "1001")))] == ["Second."]


async def test_an_import_of_the_patron_keeps_the_answer(gateway: Any) -> None:
    from harness import load

    await answer(gateway.store, "1001", "For Anna.")
    anna = next(record for record in LIBRARY if record.get("id") == "1001")
    load(gateway.store, [{**anna, "name": "Anna Maes"}])
    kiosk = await gateway.terminal("kiosk-1")
    assert shown(await kiosk.ask(ask_63("1001", "1001")))


async def test_a_row_of_the_door_log_is_found_by_its_id() -> None:
    from sip2gw.backend.ids import earliest_id, new_id

    before = earliest_id(timedelta())
    made = new_id()
    assert earliest_id(timedelta(hours=1)) < before <= made
    assert made < earliest_id(timedelta(seconds=-5))
    assert datetime.fromtimestamp(int(before, 16) / 1e6, UTC).year > 2020
