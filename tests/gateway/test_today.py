"""Doors of a branch that staff close now, or open without staff, on the wire (C139)."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from behind import DIALECTS, behind, in_front
from harness import CONFIG, NOON, ask_23, running

from sip2gw.backend.base import UnavailableError
from sip2gw.model import CalendarChange
from sip2gw.serving.explaining.answer import explain
from sip2gw.shared.today import Today
from sip2gw.staff.entrance.calendar import change_hours, end_change

ADMITTED, REFUSED = "24    ", "24Y   "
HOUR = timedelta(hours=1)
IN_FRONT = "in front of a library system"


@pytest.fixture(params=["our own store", IN_FRONT])
async def gateway(request, tmp_path):
    if request.param == IN_FRONT:
        dialect = DIALECTS["UTF-8 without checksums"]
        async with behind(tmp_path, dialect) as rear, in_front(tmp_path, dialect, rear) as front:
            yield front
    else:
        async with running(tmp_path) as alone:
            yield alone


async def change(gateway, branch, state, hours=1, reason=""):
    """Staff change the hours, and half a second later the gateway looks."""
    now = gateway.clock.now()
    wanted = CalendarChange(branch, state, now, now + hours * HOUR, reason, "eva")
    await change_hours(gateway.store, wanted)
    await gateway.app.today_chore.look()


async def reasons(gateway):
    await gateway.store.ping()
    return [row.reason for row in gateway.store.access_rows()]


async def test_a_branch_that_staff_close_lets_nobody_in_until_it_ends(gateway):
    entrance = await gateway.terminal("door-1")  # MAIN is open without staff all day
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    await change(gateway, "MAIN", "closed")
    refused = await entrance.ask(ask_23("1001", "1001"))
    assert refused.startswith(REFUSED)
    assert "AFThe library is closed at the moment.|" in refused
    gateway.clock.advance(3600)
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    assert await reasons(gateway) == ["granted", "closed", "granted"]


async def test_a_branch_that_staff_open_decides_as_in_unstaffed_hours(gateway):
    shut = await gateway.terminal("door-shut")  # SHUT has no hours
    assert (await shut.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    await change(gateway, "SHUT", "unstaffed")
    assert (await shut.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
    assert (await shut.ask(ask_23("1002", "1002"))).startswith(REFUSED)  # Tom is twelve
    gateway.clock.advance(3600)
    assert (await shut.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    assert await reasons(gateway) == ["closed", "granted", "under_age", "closed"]


async def test_what_is_taken_back_is_as_configured_again(gateway):
    entrance = await gateway.terminal("door-1")
    await change(gateway, "MAIN", "closed")
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    await end_change(gateway.store, "MAIN", "eva", gateway.clock.now())
    await gateway.app.today_chore.look()
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)


async def test_other_branches_are_as_they_were(gateway):
    await change(gateway, "SHUT", "closed")
    entrance = await gateway.terminal("door-1")
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(ADMITTED)


async def test_the_last_entry_margin_counts_from_the_end_that_staff_gave(tmp_path):
    config = CONFIG.replace("minimum_age = 16", "minimum_age = 16, last_entry_margin_min = 15")
    async with running(tmp_path, config=config) as gateway:
        await change(gateway, "SHUT", "unstaffed")
        shut = await gateway.terminal("door-shut")
        gateway.clock.advance(44 * 60)
        assert (await shut.ask(ask_23("1001", "1001"))).startswith(ADMITTED)
        gateway.clock.advance(60)
        assert (await shut.ask(ask_23("1001", "1001"))).startswith(REFUSED)
        assert await reasons(gateway) == ["granted", "too_late"]


async def test_a_closed_branch_stays_closed_while_the_store_is_away(gateway):
    """Nothing is asked of the store, and what cannot be read changes nothing."""
    await change(gateway, "MAIN", "closed")
    away = UnavailableError("away")
    with patch.object(gateway.app.today_chore._backend, "calendar_changes", side_effect=away):
        await gateway.app.today_chore.look()
    entrance = await gateway.terminal("door-1")
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    assert await reasons(gateway) == ["closed"]


async def test_a_gateway_that_starts_knows_it_at_the_first_card(tmp_path):
    async with running(tmp_path) as gateway:
        await change(gateway, "MAIN", "closed")
    async with running(tmp_path, records=()) as gateway:
        entrance = await gateway.terminal("door-1")
        await entrance.ask(ask_23("1001", "1001"))
        assert await reasons(gateway) == ["closed"]


async def test_a_gateway_looks_so_often_that_doors_know_it_within_a_second(tmp_path):
    async with running(tmp_path) as gateway:
        due = {work: (first_s, every_s) for work, first_s, every_s in gateway.app._regular()}
        assert max(due[gateway.app.today_chore.look]) < 1


async def test_a_reload_keeps_it(gateway):
    entrance = await gateway.terminal("door-1")
    await change(gateway, "MAIN", "closed")
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)
    await gateway.app.reload()
    assert (await entrance.ask(ask_23("1001", "1001"))).startswith(REFUSED)


async def test_a_change_is_logged_once_and_its_reason_is_for_staff(gateway):
    await change(gateway, "MAIN", "closed", reason="water")
    await gateway.app.today_chore.look()
    (event,) = [one for one in gateway.logged() if one["event"] == "hours_changed"]
    assert (event["branch"], event["state"]) == ("MAIN", "closed")
    assert event["until"] == "2026-03-10T12:00:00+00:00"  # one o'clock in Brussels
    entrance = await gateway.terminal("door-1")
    assert "water" not in await entrance.ask(ask_23("1001", "1001"))


async def test_an_explanation_says_who_closed_and_until_when(tmp_path):
    async with running(tmp_path) as gateway:
        await change(gateway, "MAIN", "closed", reason="water")
        site, store = gateway.app.site, gateway.store
        view = site.by_name["door-1"].view

        async def calendar(at):
            told = await explain(site, store, view, "1001", at=at)
            (check,) = [one for one in told.checks if one.check == "calendar"]
            return told.reason, check.detail

        reason, detail = await calendar(NOON)
        assert reason == "closed"
        assert detail == (
            "MAIN is closed on Tue 2026-03-10 12:00, because staff changed it until"
            " Tue 2026-03-10 13:00: water (branch list)"
        )
        await change(gateway, "MAIN", "unstaffed")
        reason, detail = await calendar(NOON)
        assert reason == "granted"
        assert "because staff changed it until Tue 2026-03-10 13:00, open for at least" in detail
        for moment in (NOON - HOUR, NOON + HOUR):  # before, and when it has ended
            reason, detail = await calendar(moment)
            assert reason == "granted"
            assert "staff" not in detail.replace("unstaffed", "")


def test_what_is_learned_twice_is_no_news():
    closed = CalendarChange("MAIN", "closed", NOON, NOON + HOUR, "", "eva")
    today = Today()
    assert today.learn([closed]) == [closed]
    assert today.learn([closed]) == []
    longer = CalendarChange("MAIN", "closed", NOON, NOON + 2 * HOUR, "", "eva")
    assert today.learn([longer]) == [longer]
