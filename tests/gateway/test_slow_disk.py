"""A terminal whose read waits for the disk is answered in time, others at once (C114, B17)."""

import asyncio
import threading

from harness import CONFIG, ask_23, ask_63, running

from sip2gw.backend.sql.records import load_by_card
from sip2gw.backend.sqlite import store as store_module

WAIT_S = 10


async def test_a_door_that_waits_for_the_disk_is_refused_in_time_and_others_go_on(
    tmp_path, monkeypatch
):
    begun, go = threading.Event(), threading.Event()
    load = load_by_card

    def waiting(connection, number):
        if number == "1005":
            begun.set()
            assert go.wait(WAIT_S)
        return load(connection, number)

    monkeypatch.setattr(store_module, "load_by_card", waiting)
    config = CONFIG.replace("[server]", "[server]\nrequest_timeout_s = 1")
    async with running(tmp_path, config=config) as gateway, asyncio.timeout(WAIT_S):
        gateway.store._reads.note_slow()
        door, kiosk = await gateway.terminal("door-1"), await gateway.terminal("kiosk-1")
        await door.send(ask_23("1005", "1005"))
        assert await asyncio.to_thread(begun.wait, WAIT_S)
        assert "Anna Peeters" in await kiosk.ask(ask_63("1001", "1001"))
        gateway.clock.advance(2)
        assert (await door.read()).startswith("24Y")
        assert (await door.ask(ask_23("1001", "1001"))).startswith("24 ")
        go.set()
        assert "Carla Maes" in await kiosk.ask(ask_63("1006", "1006"))
        await gateway.app.store_chore.look()
    (told,) = [line for line in gateway.logged() if line["event"] == "slow_reads"]
    assert told["reads"] >= 1
