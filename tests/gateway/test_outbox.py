"""The gateway delivers notices by itself, beside its terminals (B63, C162)."""

import asyncio
import time

import mail_server
from harness import CONFIG, NOON, load, person, running
from mail_server import MailServer

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.database import WriteResult
from sip2gw.backend.sql.members import outbox
from sip2gw.model.notices import Notice, NoticeState
from sip2gw.staff.delivery.channel import ATTEMPT_S

from .test_chores import shown

MAIL = '[outbox]\nsmtp = "127.0.0.1:{port}"\nsmtp_tls = "none"\nsender = "hub@example.org"\n'


def by_mail(server):
    return f"{CONFIG}{MAIL.format(port=server.port)}"


async def put(gateway, number=1):
    """So many patrons with an address, and a notice for each."""
    people = [person(f"E{n}", "Eva", email=f"eva{n}@example.org") for n in range(number)]
    load(gateway.store, people)
    notices = [
        Notice("BADGE", f"E{n}", "x", {"badge": "Study room", "until": "2026-03-31"})
        for n in range(number)
    ]
    await gateway.store.write(lambda connection: WriteResult(outbox.put(connection, notices, NOON)))


def states(gateway):
    return [kept.state for kept in gateway.store.notices()]


async def test_notices_are_delivered_counted_and_logged_without_names(tmp_path):
    async with (
        MailServer([mail_server.RCPT_550, mail_server.TAKE]).running() as server,
        running(tmp_path, config=by_mail(server)) as gateway,
    ):
        assert shown(gateway, "outbox_waiting") is None
        assert shown(gateway, "outbox_failed") is None
        await put(gateway, 2)
        await gateway.app.outbox_chore.look()
        assert shown(gateway, "outbox_waiting") == 1
        assert shown(gateway, "outbox_failed") == 0
        gateway.clock.advance(60)
        await gateway.app.outbox_chore.look()
        assert shown(gateway, "outbox_waiting") == 0
        lines = gateway.logged()
    (refused,) = (line for line in lines if line["event"] == "notice_not_delivered")
    assert (refused["level"], refused["kind"], refused["attempts"]) == ("warning", "BADGE", 1)
    assert refused["problem"] == "the mail server refused the address with 550"
    told = [line for line in lines if line["event"] == "notices_delivered"]
    assert [line.get("sent") for line in told] == [1, 1]
    assert "example.org" not in str(lines)
    assert set(server.taken.values()) == {1}


async def test_a_notice_that_is_given_up_is_an_error(tmp_path):
    async with (
        MailServer([mail_server.RCPT_550]).running() as server,
        running(tmp_path, config=by_mail(server)) as gateway,
    ):
        await put(gateway)
        await gateway.app.outbox_chore.look()
        gateway.clock.advance(73 * 3600)
        await gateway.app.outbox_chore.look()
        assert shown(gateway, "outbox_failed") == 1
        lines = gateway.logged()
    told = [line["level"] for line in lines if line["event"] == "notice_not_delivered"]
    assert told == ["warning", "error"]


async def test_without_a_channel_notices_wait_until_a_reload_names_one(tmp_path):
    async with MailServer().running() as server, running(tmp_path) as gateway:
        await put(gateway)
        await gateway.app.outbox_chore.look()
        assert shown(gateway, "outbox_waiting") == 1
        (tmp_path / "sip2gw.toml").write_text(by_mail(server))
        await gateway.app.reload()
        await gateway.app.outbox_chore.look()
        assert states(gateway) == [NoticeState.SENT]


async def test_a_server_that_takes_nothing_is_asked_less_and_less_often(tmp_path):
    async with (
        MailServer([mail_server.BUSY]).running() as server,
        running(tmp_path, config=by_mail(server)) as gateway,
    ):
        await put(gateway, 30)
        asked = []
        for minute in range(40):
            before = server.connections
            await gateway.app.outbox_chore.look()
            if server.connections > before:
                asked.append(minute)
            gateway.clock.advance(60)
        assert asked == [0, 1, 3, 7, 15, 31]
        server.behaviours = [mail_server.TAKE]
        gateway.clock.advance(7 * 60)
        await gateway.app.outbox_chore.look()
        gateway.clock.advance(60)
        await put(gateway, 31)
        await gateway.app.outbox_chore.look()
        assert set(states(gateway)) == {NoticeState.SENT}
        assert len(server.taken) == 31


async def test_a_store_that_fails_is_told_and_asked_again(tmp_path, monkeypatch):
    async with (
        MailServer().running() as server,
        running(tmp_path, config=by_mail(server)) as gateway,
    ):
        await put(gateway)
        take = gateway.store.take_notice

        async def fail(*_):
            raise UnavailableError("the disk is away")

        monkeypatch.setattr(gateway.store, "take_notice", fail)
        await gateway.app.outbox_chore.look()
        assert gateway.metrics.backend_errors == {("outbox", "unavailable"): 1}
        monkeypatch.setattr(gateway.store, "take_notice", take)
        await gateway.app.outbox_chore.look()
        assert states(gateway) == [NoticeState.SENT]


async def test_a_stop_waits_for_the_notice_that_is_being_handed_over_and_takes_no_more(tmp_path):
    async with (
        MailServer().running() as server,
        running(tmp_path, config=by_mail(server)) as gateway,
    ):
        await put(gateway, 3)
        look = asyncio.create_task(gateway.app.outbox_chore.look())
        await server.was_connected.wait()
        look.cancel()  # as a stop does with all chores
        await gateway.app.outbox_chore.stop()
        assert states(gateway).count(NoticeState.SENT) == sum(server.taken.values()) == 1
        await gateway.app.outbox_chore.look()
        assert sum(server.taken.values()) == 1


async def test_a_mail_server_that_hangs_does_not_keep_the_gateway_from_stopping(tmp_path):
    async with (
        MailServer([mail_server.HANG]).running() as server,
        running(tmp_path, config=by_mail(server)) as gateway,
    ):
        await put(gateway)
        look = asyncio.create_task(gateway.app.outbox_chore.look())
        await server.was_connected.wait()
        look.cancel()
        begun = time.monotonic()
        assert await gateway.app.stop() == []
        assert time.monotonic() - begun < 3


def test_an_attempt_is_shorter_than_a_lease():
    assert outbox.LEASE.total_seconds() > ATTEMPT_S + 60
