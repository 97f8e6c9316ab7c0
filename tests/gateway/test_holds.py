"""Holds on the wire: placed, changed, removed, and each refusal (B60)."""

from unittest.mock import patch

import pytest
from desk import ask_09, ask_11, ask_15, ask_17
from harness import STAMP, ask_63, fields

from sip2gw.backend.base import UnavailableError


async def held(gateway, patron):
    record = await gateway.store.find_patron(patron)
    return [(hold.item_id, hold.title_id, hold.pickup_branch) for hold in record.holds]


async def test_a_hold_is_placed_changed_and_removed(desk):
    kiosk = await desk.terminal("kiosk-1")
    placed = await kiosk.ask(ask_15("AJTQ", "1020", "1020"))
    assert placed == (
        f"161N{STAMP}BR2|BSMAIN|AOHUB|AA1020|AJThe QUEUED1|AFReserved. Your place in the queue: 2.|"
    )
    assert await held(desk, "1020") == [(None, "TQ", "MAIN")]
    assert (await kiosk.ask(ask_17("QUEUED1")))[26:29] == "CF2"
    until = "20260401    235959"
    changed = await kiosk.ask(ask_15("AJTQ", "1020", "1020", mode="*", extra=f"BW{until}|BSEAST|"))
    assert changed == (
        f"161N{STAMP}BW{until}|BR2|BSEAST|AOHUB|AA1020|AJThe QUEUED1|"
        "AFThe reservation has been changed.|"
    )
    removed = await kiosk.ask(ask_15("AJTQ", "1020", "1020", mode="-"))
    assert removed == (
        f"161N{STAMP}AOHUB|AA1020|AJThe QUEUED1|AFThe reservation has been removed.|"
    )
    assert await held(desk, "1020") == []


async def test_a_hold_is_placed_though_its_place_in_the_queue_cannot_be_told_c98(desk):
    kiosk = await desk.terminal("kiosk-1")
    away = UnavailableError("away")
    with patch.object(desk.app.gateway.backend, "hold_queue", side_effect=away):
        placed = await kiosk.ask(ask_15("AJTQ", "1020", "1020"))
    #            ok, not available; no place in the queue, no text
    assert placed == f"161N{STAMP}BSMAIN|AOHUB|AA1020|AJThe QUEUED1|"
    assert await held(desk, "1020") == [(None, "TQ", "MAIN")]


async def test_any_copy_or_this_very_one(desk):
    kiosk = await desk.terminal("kiosk-1")
    answer = await kiosk.ask(ask_15("ABFREE1", "1009", "1009", extra="BY2|"))
    assert answer.startswith("161Y")
    await kiosk.ask(ask_15("ABFREE2", "1009", "1009"))
    await kiosk.ask(ask_15("ABFREE3", "1009", "1009", extra="BY3|"))
    assert await held(desk, "1009") == [
        (None, "TF", "MAIN"),
        ("FREE2", None, "MAIN"),
        ("FREE3", None, "MAIN"),
    ]
    assert (await kiosk.ask(ask_11("FREE2", "1020", "1020"))).startswith("120")


@pytest.mark.parametrize(
    ("item", "card", "pin", "extra", "word"),
    [
        ("ABNOPE", "1009", "1009", "", "item is not known"),
        ("AJTNOPE", "1009", "1009", "", "item is not known"),
        ("AJ", "1009", "1009", "", "item is not known"),
        ("ABREF1", "1009", "1009", "", "cannot be borrowed"),
        ("ABQUEUED1", "1009", "1009", "", "already"),
        ("AJTH", "1002", "1002", "", "already reserved this"),
        ("ABFREE1", "4711", "1009", "", "card is not known"),
        ("ABFREE1", "1009", "0000", "", "PIN"),
        ("ABFREE1", "1008", "1008", "", "Self-service"),
        ("ABFREE1", "1021", "1021", "", "cannot make reservations"),
        ("ABFREE1", "1009", "1009", "BSNOWHERE|", "pick this up there"),
        ("ABFREE1", "1009", "1009", "BW20260309    120000|", "has passed"),
    ],
)
async def test_each_refusal_of_a_hold_has_its_text(desk, item, card, pin, extra, word):
    kiosk = await desk.terminal("kiosk-1")
    before = await held(desk, card) if card != "4711" else []
    answer = await kiosk.ask(ask_15(item, card, pin, extra=extra))
    assert answer.startswith("160N")
    assert word in fields(answer, "AF", fixed=22)[0]
    assert card == "4711" or await held(desk, card) == before


async def test_the_limit_of_holds(desk):
    kiosk = await desk.terminal("kiosk-1")
    assert "|BZ0001|" in await kiosk.ask(ask_63("1020", "1020"))
    assert (await kiosk.ask(ask_15("ABFREE1", "1020", "1020"))).startswith("161")
    answer = await kiosk.ask(ask_15("ABFREE2", "1020", "1020"))
    assert fields(answer, "AF", fixed=22) == [
        "You have reached your maximum number of reservations."
    ]


@pytest.mark.parametrize(
    ("mode", "item", "word"),
    [
        ("-", "ABFREE1", "not reserved"),
        ("*", "ABFREE1", "not reserved"),
        ("?", "ABREADY1", "not possible here"),
    ],
)
async def test_what_is_not_there_is_neither_changed_nor_removed(desk, mode, item, word):
    kiosk = await desk.terminal("kiosk-1")
    answer = await kiosk.ask(ask_15(item, "1002", "1002", mode=mode))
    assert answer.startswith("160N")
    assert word in fields(answer, "AF", fixed=22)[0]


async def test_what_is_ready_stays_where_it_is(desk):
    kiosk = await desk.terminal("kiosk-1")
    moved = await kiosk.ask(ask_15("ABREADY1", "1002", "1002", mode="*", extra="BSEAST|"))
    assert moved.startswith("160N")
    later = ask_15("ABREADY1", "1002", "1002", mode="*", extra="BW20260401    235959|")
    assert (await kiosk.ask(later)).startswith("161N")


async def test_a_hold_placed_meanwhile_does_not_keep_a_checkout_from_being_cancelled(desk):
    kiosk = await desk.terminal("kiosk-1")
    await kiosk.ask(ask_11("FREE1", "1009", "1009"))
    await kiosk.ask(ask_15("ABFREE1", "1020", "1020"))
    assert (await kiosk.ask(ask_09("FREE1", extra="BIY|"))).startswith("101")
