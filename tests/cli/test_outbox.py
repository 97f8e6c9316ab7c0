"""Notices to patrons: what staff see and send by hand (B63, C162)."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mail_server
import pytest
from mail_server import MailServer

from sip2gw.backend.database import WriteResult
from sip2gw.backend.factory import open_backend
from sip2gw.backend.sql.members import outbox
from sip2gw.config import load_config
from sip2gw.model.notices import Notice

from .conftest import Result, Run

MARCH = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
SAYS = {"badge": "Study room", "until": "2026-03-31"}


def put(config: Path, *notices: Notice) -> None:
    """Put `notices` into the outbox of March."""

    async def write() -> None:
        store = open_backend(load_config(config), "command").store
        await store.write(lambda connection: WriteResult(outbox.put(connection, notices, MARCH)))
        await store.close()

    asyncio.run(write())


@pytest.fixture
def noted(library: Path, sip2gw: Run) -> Path:
    """A library with a notice for Eva, who has an address, and one for Anna, who has none."""
    eva = {"kind": "patron", "id": "E1", "name": "Eva", "email": "eva@example.org"}
    data = library.with_name("eva.jsonl")
    data.write_text(json.dumps(eva))
    assert sip2gw("import", data, "--config", library).status == 0
    put(library, Notice("BADGE", "E1", "x", SAYS), Notice("BADGE", "P1", "x", SAYS))
    return library


@contextmanager
def serving(server: MailServer) -> Iterator[MailServer]:
    """`server` in a thread of its own, while this one runs a command."""
    loop, ready, end = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with server.running():
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(5)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


def by_mail(config: Path, server: MailServer) -> None:
    """Let the notices go to `server`."""
    text = config.read_text().partition("[outbox]")[0]
    config.write_text(
        f'{text}[outbox]\nsmtp = "127.0.0.1:{server.port}"\nsmtp_tls = "none"\n'
        'sender = "hub@example.org"\n'
    )


def listed(sip2gw: Run, config: Path, *options: str) -> dict[str, dict[str, Any]]:
    """`outbox list --json`, by patron."""
    result = sip2gw("outbox", "list", "--json", *options, "--config", config)
    assert result.status == 0, result.err
    records = [json.loads(line) for line in result.out.splitlines()]
    return {record["patron"]: record for record in records}


def send(sip2gw: Run, config: Path, *options: str) -> Result:
    return sip2gw("outbox", "send", *options, "--config", config)


def test_notices_wait_and_are_listed_without_a_channel(sip2gw: Run, noted: Path) -> None:
    eva = listed(sip2gw, noted)["E1"]
    assert len(eva.pop("id")) == 32
    assert eva == {
        "kind": "BADGE",
        "patron": "E1",
        "channel": None,
        "to": "e***@e***",
        "state": "waiting",
        "attempts": 0,
        "created": "2026-03-01T10:30:00+01:00",
        "sent": None,
    }
    assert listed(sip2gw, noted)["P1"]["to"] is None
    assert listed(sip2gw, noted, "--reveal")["E1"]["to"] == "eva@example.org"
    table = sip2gw("outbox", "list", "--config", noted)
    assert "example.org" not in table.out
    assert "2026-03-01 10:30:00" in table.out
    refused = send(sip2gw, noted)
    assert refused.status == 1
    assert refused.err == (
        "sip2gw: no way to deliver notices is configured; set outbox.smtp or outbox.webhook\n"
    )


def test_sending_says_what_happened(sip2gw: Run, noted: Path) -> None:
    with serving(MailServer()) as server:
        by_mail(noted, server)
        assert listed(sip2gw, noted)["E1"]["channel"] == "email"
        result = send(sip2gw, noted)
        anna = listed(sip2gw, noted)["P1"]
        assert result.err == (
            f"sip2gw: BADGE {anna['id']}: the e-mail address is missing\n"
            "sip2gw: 2 notices: 1 sent, 1 without an address\n"
        )
        assert result.status == 0
        assert anna["state"] == "undeliverable"
        eva = listed(sip2gw, noted)["E1"]
        assert (eva["state"], eva["channel"], eva["attempts"]) == ("sent", "email", 1)
        assert eva["sent"] > eva["created"]
        nothing = send(sip2gw, noted)
        assert (nothing.status, nothing.err) == (0, "sip2gw: 0 notices\n")
    assert sum(server.taken.values()) == 1


def test_what_was_not_taken_is_told_and_tried_again(sip2gw: Run, noted: Path) -> None:
    behaviours = [mail_server.DROP_AFTER_DATA, mail_server.RCPT_451, mail_server.TAKE]
    with serving(MailServer(behaviours)) as server:
        by_mail(noted, server)
        first = send(sip2gw, noted)
        assert first.status == 1
        assert "the mail server closed the connection; to be tried again after" in first.err
        assert "1 to be tried again" in first.err
        assert "eva@" not in first.err
        eva = listed(sip2gw, noted)["E1"]
        assert (eva["state"], eva["attempts"], eva["sent"]) == ("waiting", 1, None)
        assert "closed the connection" in sip2gw("outbox", "list", "--config", noted).out
        assert send(sip2gw, noted).status == 1
        assert send(sip2gw, noted).status == 0
    assert server.taken == server.unconfirmed
    assert sum(server.taken.values()) == 1


def test_those_without_an_address_can_be_tried_again(sip2gw: Run, noted: Path) -> None:
    with serving(MailServer()) as server:
        by_mail(noted, server)
        send(sip2gw, noted)
        anna = {"kind": "patron", "id": "P1", "name": "Anna", "email": "anna@example.org"}
        data = noted.with_name("anna.jsonl")
        data.write_text(json.dumps(anna))
        assert sip2gw("import", data, "--config", noted).status == 0
        assert send(sip2gw, noted).err == "sip2gw: 0 notices\n"
        assert send(sip2gw, noted, "--again").err == "sip2gw: 1 notice: 1 sent\n"
    assert len(server.taken) == 2


def test_maintain_forgets_what_was_sent_long_ago(sip2gw: Run, noted: Path) -> None:
    with serving(MailServer()) as server:
        by_mail(noted, server)
        send(sip2gw, noted)
    text = noted.read_text()
    noted.write_text(f"{text}[privacy]\noutbox_days = 0\n")
    planned = sip2gw("maintain", "--dry-run", "--config", noted)
    assert "2 notices sent or given up before" in planned.err
    assert len(listed(sip2gw, noted)) == 2
    assert sip2gw("maintain", "--config", noted).status == 0
    assert listed(sip2gw, noted) == {}


# Real processes


async def process(config: Path) -> asyncio.subprocess.Process:
    arguments = ("-m", "sip2gw", "outbox", "send", "--config", str(config))
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stderr=asyncio.subprocess.PIPE
    )


async def test_processes_at_once_send_each_notice_once(sip2gw: Run, library: Path) -> None:
    people = [
        {"kind": "patron", "id": f"E{n}", "name": "Eva", "email": f"e{n}@example.org"}
        for n in range(40)
    ]
    data = library.with_name("people.jsonl")
    data.write_text("\n".join(map(json.dumps, people)))
    await asyncio.to_thread(sip2gw, "import", data, "--config", library)
    notices = [Notice("BADGE", f"E{n}", "x", SAYS) for n in range(40)]
    await asyncio.to_thread(put, library, *notices)
    async with MailServer().running() as server:
        by_mail(library, server)
        processes = [await process(library) for _ in range(3)]
        ends = await asyncio.gather(*(one.communicate() for one in processes))
    assert [one.returncode for one in processes] == [0, 0, 0]
    assert len(server.taken) == 40
    assert set(server.taken.values()) == {1}
    sent = [int(err.decode().split()[1]) for _, err in ends]
    assert sum(sent) == 40


async def test_a_notice_of_a_killed_process_is_sent_by_another_under_the_same_id(
    sip2gw: Run, noted: Path
) -> None:
    """The server has it, the process never learns of that: the one case that sends it twice."""
    async with MailServer([mail_server.HANG_AFTER_DATA, mail_server.TAKE]).running() as server:
        by_mail(noted, server)
        killed = await process(noted)
        await server.has_message.wait()
        killed.kill()
        await killed.communicate()
        second = await process(noted)
        await second.communicate()
        assert sum(server.taken.values()) == 0, "the lease keeps others from it"
        await asyncio.to_thread(end_leases, noted)
        third = await process(noted)
        await third.communicate()
        assert third.returncode == 0
    assert server.taken == server.unconfirmed
    assert sum(server.taken.values()) == 1


def end_leases(config: Path) -> None:
    """Let the time of a lease go by."""
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="microseconds")
    store = open_backend(load_config(config), "command").store
    with store.own_connection() as connection:
        connection.execute("UPDATE outbox SET leased_until = ?", (past,))
    asyncio.run(store.close())
