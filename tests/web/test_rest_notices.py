"""`/outbox` and `/observe/report`: the same as the commands, for programs (B63, B78, B84, C126)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from programs import Site

from sip2gw.backend.database import WriteResult
from sip2gw.backend.factory import open_backend
from sip2gw.backend.sql.members import outbox
from sip2gw.config import load_config
from sip2gw.model import AccessRow
from sip2gw.model.notices import Notice, NoticeState, Result
from sip2gw.web.api.resources import notices

MARCH = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LIBRARY: list[dict[str, Any]] = [
    {"kind": "patron", "id": "P1", "name": "Ann", "email": "ann@example.org"},
    {"kind": "patron", "id": "P2", "name": "Bob", "email": "bob@example.org"},
]
NOTHING = {"sent": 0, "waiting": 0, "failed": 0, "undeliverable": 0, "under_way": False}


def desk_of(site):
    """What its resources work with."""
    assert site._api._opened is not None
    return site._api._opened.desk


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    opened = desk_of(made)
    for minute, patron in enumerate(("P1", "P2")):
        notice = Notice("BADGE", patron, "x", {"badge": "Study room", "until": "2026-03-31"})
        when = MARCH + timedelta(minutes=minute)
        opened.run(put(opened.store, notice, when))
    yield made
    made.close()


async def put(store, notice, when):
    await store.write(lambda connection: WriteResult(outbox.put(connection, [notice], when)))


def test_notices_are_those_of_the_command_and_come_in_pages(site):
    whole = site.ask("GET", "/outbox", role="staff").json["items"]
    assert whole == site.listed("outbox", "list")
    assert [(one["patron"], one["to"]) for one in whole] == [
        ("P1", "a***@e***"),
        ("P2", "b***@e***"),
    ]
    open_ = site.ask("GET", "/outbox", role="staff", reveal=True).json["items"]
    assert [one["to"] for one in open_] == ["ann@example.org", "bob@example.org"]
    first = site.ask("GET", "/outbox", limit=1).json
    second = site.ask("GET", "/outbox", limit=1, cursor=first["next"]).json
    assert (first["items"] + second["items"], second["next"]) == (whole, None)


class Courier:
    """Delivers as it is told."""

    made: list["Courier"] = []

    def __init__(self, *_: Any) -> None:
        self.ends = asyncio.Event()
        self.made.append(self)

    def stop(self) -> None:
        self.ends.set()

    async def run(self, *, only_due):
        assert not only_due
        for state in (NoticeState.SENT, NoticeState.WAITING, NoticeState.SENT):
            yield None, Result(state)
        await self.ends.wait()


def test_what_waits_is_sent_as_far_as_a_request_may_take(site, monkeypatch):
    monkeypatch.setattr(notices, "find_channel", lambda config: None)
    monkeypatch.setattr(notices, "SENDING_S", 0.01)
    monkeypatch.setattr("sip2gw.staff.delivery.courier.Courier", Courier)
    told = site.ask("POST", "/outbox/send", {"again": True}, role="staff")
    assert (told.status, told.json) == (
        200,
        {**NOTHING, "sent": 2, "waiting": 1, "under_way": True},
    )
    assert [one.ends.is_set() for one in Courier.made] == [True]  # it takes no more
    assert site.audit() == [("staff", "outbox send", "", "", "done")]


def test_what_nobody_takes_is_told(site):
    """Nobody listens at the webhook, so both wait, and the second is not tried."""
    with site.config.open("a") as file:
        file.write('[outbox]\nwebhook = "http://127.0.0.1:9/"\n')
    site.reload()
    told = site.ask("POST", "/outbox/send", {}, role="staff").json
    assert told == {**NOTHING, "waiting": 1}
    assert [one["state"] for one in site.listed("outbox", "list")] == ["waiting", "waiting"]


def test_what_had_no_address_is_sent_again_only_if_asked(tmp_path):
    site = Site(tmp_path, {"kind": "patron", "id": "P1", "name": "Ann"})
    with site.config.open("a") as file:
        file.write(
            '[outbox]\nsmtp = "127.0.0.1:9"\nsmtp_tls = "none"\nsender = "hub@example.org"\n'
        )
    site.reload()
    notice = Notice("BADGE", "P1", "x", {"badge": "Study room", "until": "2026-03-31"})
    desk_of(site).run(put(desk_of(site).store, notice, MARCH))
    told = [
        site.ask("POST", "/outbox/send", body).json["undeliverable"]
        for body in ({}, {}, {"again": True}, {"again": False})
    ]
    site.close()
    assert told == [1, 0, 1, 0]


def test_without_a_way_to_send_it_says_what_to_set(site):
    why = "no way to deliver notices is configured; set outbox.smtp or outbox.webhook"
    assert site.ask("POST", "/outbox/send", {}).refusal == (409, why)
    assert why in site.command("outbox", "send").output


async def observed(site):
    """Five answers of a library system, and ours."""
    store = open_backend(load_config(site.config), "command").store
    for minute, theirs, reason in (
        (0, "granted", "granted"),
        (10, "granted", "granted"),
        (20, "granted", "no_badge"),
        (30, "refused", "granted"),
        (40, "refused", "granted"),
    ):
        ours = "granted" if reason == "granted" else "refused"
        when = MARCH + timedelta(minutes=minute)
        row = AccessRow(when, "MAIN", "d", ours, reason, "observed", "", "P1", "in", theirs)
        store.log_access(row)
    await store.close()


def test_what_was_observed_is_told_differences_first(site):
    asyncio.run(observed(site))
    whole = site.ask("GET", "/observe/report", role="view").json["items"]
    assert whole == site.listed("observe", "report")
    assert [(one["theirs"], one["ours"], one["count"]) for one in whole] == [
        ("refused", "granted", 2),
        ("granted", "refused", 1),
        ("granted", "granted", 2),
    ]
    first = site.ask("GET", "/observe/report", limit=2).json
    second = site.ask("GET", "/observe/report", limit=2, cursor=first["next"]).json
    assert (first["items"] + second["items"], second["next"]) == (whole, None)
    assert site.ask("GET", "/observe/report", until="2026-02-28").json["items"] == []
    assert site.ask("GET", "/observe/report", terminal="e").json["items"] == []
    assert site.ask("GET", "/observe/report", role="self").status == 403


@pytest.mark.parametrize(("method", "path"), [("GET", "/outbox"), ("POST", "/outbox/send")])
@pytest.mark.parametrize("role", ["view", "self"])
def test_who_has_another_role_is_told_nothing(site, method, path, role):
    assert site.ask(method, path, {}, role=role).status == 403
    assert site.audit() == []
