"""The gateway opens messages of customer support by itself, and counts them (B64, C145)."""

import asyncio

from harness import CONFIG, ask_37, running

from sip2gw.backend.base import UnavailableError
from sip2gw.cli.library.desk.support import asked_to_look
from sip2gw.model.support import SupportFilter
from sip2gw.monitoring.metrics import FamilyMaker


def shown(gateway):
    """The samples of `sip2gw_support_open` by type, and of `sip2gw_support_overdue`."""
    families = {one.name: one for one in FamilyMaker(gateway.metrics).families()}
    by_type = {labels[0]: value for _, labels, value in families["sip2gw_support_open"].samples}
    return by_type, [value for _, _, value in families["sip2gw_support_overdue"].samples]


def opened(gateway):
    return list(gateway.store.support_messages(SupportFilter()))


async def test_a_refused_payment_becomes_a_message_of_the_terminals_branch(gateway):
    pay = await gateway.terminal("pay-1")
    for _ in range(2):
        assert (await pay.ask(ask_37("1004", "99.00", pin="1004", bk="K1"))).startswith("38N")
    await gateway.app.support_chore.look()
    await gateway.app.support_chore.look()
    (message,) = opened(gateway)
    assert (message.category, message.count, message.patron_id) == ("PAYR", 2, "1004")
    assert message.branch == "MAIN"
    told = [it["messages"] for it in gateway.logged() if it["event"] == "support_opened"]
    assert told == [1]


async def test_who_lists_the_messages_finds_those_that_are_due(tmp_path):
    """C135: the list only reads, so it asks the gateway to open what is missing."""
    async with running(tmp_path, operators=True) as gateway:
        pay = await gateway.terminal("pay-1")
        await pay.ask(ask_37("1004", "99.00", pin="1004", bk="K1"))
        assert opened(gateway) == []
        await asyncio.to_thread(asked_to_look, gateway.app.config)
        assert [message.category for message in opened(gateway)] == ["PAYR"]


async def test_open_and_overdue_messages_are_shown_once_they_were_counted(gateway):
    assert shown(gateway) == ({}, [])
    await gateway.app.support_chore.look()
    assert shown(gateway) == ({"AU": 0}, [0])
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_37("1004", "99.00", pin="1004", bk="K1"))
    await gateway.app.support_chore.look()
    with gateway.store.own_connection() as connection:
        connection.execute("UPDATE support_message SET response_due = '2020-01-01'")
    await gateway.app.support_chore.look()
    assert shown(gateway) == ({"AU": 1}, [1])


async def test_switched_off_it_opens_none_and_counts_all_the_same(tmp_path):
    config = f"{CONFIG}\n[support]\nenabled = false\n"
    async with running(tmp_path, config=config) as gateway:
        pay = await gateway.terminal("pay-1")
        await pay.ask(ask_37("1004", "99.00", pin="1004", bk="K1"))
        await gateway.app.support_chore.look()
        assert opened(gateway) == []
        assert shown(gateway) == ({"AU": 0}, [0])


async def test_a_store_that_fails_is_told_and_the_figures_stay(gateway, monkeypatch):
    await gateway.app.support_chore.look()

    async def fail(*_):
        raise UnavailableError("the disk is away")

    monkeypatch.setattr(gateway.store, "follow_up", fail)
    await gateway.app.support_chore.look()
    assert shown(gateway) == ({"AU": 0}, [0])
    assert gateway.metrics.backend_errors == {("support", "unavailable"): 1}
    assert gateway.app.gateway.backend_up, "only what terminals need makes the store be down"
    told = next(line for line in gateway.logged() if line["event"] == "support_failed")
    assert told["problem"] == "the disk is away"
