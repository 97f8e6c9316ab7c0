"""Server-sent events of payments, decisions and terminals: bounded, and without persons (B84)."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from programs import Site

from sip2gw.backend.base import BackendError
from sip2gw.control.messages import Terminals, TerminalState
from sip2gw.model import AccessRow, Payment, PaymentLine
from sip2gw.web.api import streams
from sip2gw.web.api.problems import ProblemError
from sip2gw.web.api.streams import LOOK_BACK, Following

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LATER = NOW.replace(year=2099)
"""After whatever day it is."""
PATHS = ("/payments/stream", "/door/stream", "/terminals/stream")


class Entry(NamedTuple):
    second: float
    name: str

    @property
    def time(self):
        return NOW + timedelta(seconds=self.second)


class Log:
    """A log that is read from a moment on, in the order of its times."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def follow(self, seen=None):
        return Following(
            lambda since: sorted(one for one in self.entries if one.time >= since),
            lambda one: (one.time, one.name),
            lambda one: one.name,
            seen,
            NOW,
        )


def told(look):
    return [event.document for event in look()]


def test_each_entry_is_told_once_also_one_that_was_written_later_than_its_time():
    log = Log()
    look = log.follow()
    log.entries = [Entry(-1, "before"), Entry(1, "a"), Entry(3, "c")]
    assert told(look) == ["a", "c"]
    assert told(look) == []
    log.entries += [Entry(2, "b"), Entry(3, "d")]
    assert told(look) == ["b", "d"]
    log.entries.append(Entry(60, "e"))
    assert told(look) == ["e"]
    assert len(look._told_already) == 1  # it remembers no more than it needs


def test_who_comes_back_misses_nothing():
    log = Log()
    log.entries = [Entry(0, "a"), Entry(10, "b")]
    (*_, last) = list(log.follow()())
    log.entries += [Entry(9, "late"), Entry(11, "c")]
    again = list(log.follow(last.id)())
    assert [event.document for event in again] == ["late", "b", "c"]
    assert last in again  # its id tells that it was told before
    far = NOW - 2 * LOOK_BACK
    assert told(log.follow(f"{far.isoformat()} x")) == ["a", "late", "b", "c"]


def test_a_flood_is_told_little_by_little(monkeypatch):
    monkeypatch.setattr(streams, "EVENTS_MAX", 2)
    log = Log()
    log.entries = [Entry(0, name) for name in "abcde"]
    look = log.follow()
    assert [told(look) for _ in range(4)] == [["a", "b"], ["c", "d"], ["e"], []]


@pytest.mark.parametrize("seen", ["", "x", "0001-01-01T00:00:00+00:00 x", "2026"])
def test_an_id_that_is_none_of_ours_is_told(seen):
    with pytest.raises(ProblemError, match="none of ours"):
        Log().follow(seen)


# As resources


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "LOOKS", 3)
    monkeypatch.setattr(streams, "EVERY_S", 0)
    made = Site(tmp_path)
    yield made
    made.close()


def events(site, path, role="view", **headers):
    """The events of a stream, each as its name, id and document."""
    answer = site.ask("GET", path, role=role, headers=headers)
    assert (answer.status, answer.headers["content-type"]) == (
        *(200, "text/event-stream; charset=utf-8"),
    )
    assert answer.text.startswith("retry: 1000\n\n")
    assert answer.text.endswith(": nothing new\n\n")
    found = []
    for part in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines() if line[0] != ":")
        if "data" in fields:
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


def store_of(site) -> Any:
    return site._api._opened.desk.store


def test_payments_are_told_without_persons(site, monkeypatch):
    line = PaymentLine("F1", "P2", "own", 50)
    paid = Payment("Y1", LATER, "kiosk-1", "P1", 50, "EUR", "00", "K1", "booked", (line,))
    monkeypatch.setattr(store_of(site), "payments", lambda since: iter([paid]))
    for role in ("view", "admin"):
        ((name, event_id, document),) = events(site, "/payments/stream", role)
        assert (name, document["id"], document["amount"]) == ("payment", "Y1", "0.50")
        assert (document["payer"], document["debtors"]) == (None, [])
        assert "P1" not in json.dumps(document)
        assert event_id == "2099-03-10T12:00:00.000000+00:00 Y1"
    assert site.audit() == []


def test_decisions_are_told_without_persons(site, monkeypatch):
    asked = []

    def rows(since, limit):
        asked.append(since)
        return [AccessRow(LATER, "MAIN", "door-1", "refused", "no_badge", "normal", "", "P1")]

    monkeypatch.setattr(store_of(site), "access_rows", rows)
    seen = "2026-03-10T12:00:00.000000+00:00 x"
    ((name, _, document),) = events(site, "/door/stream", **{"last-event-id": seen})
    assert (name, document) == (
        "decision",
        {
            "time": "2099-03-10T13:00:00+01:00",
            "branch": "MAIN",
            "terminal": "door-1",
            "decision": "refused",
            "reason": "no_badge",
            "mode": "normal",
            "checks": {},
            "patron": None,
        },
    )
    assert asked[0] == NOW - LOOK_BACK


def test_terminals_are_told_all_and_then_what_has_changed(site, monkeypatch):
    def state(name, requests):
        return TerminalState(name, "kiosk", "MAIN", True, 1, "10.0.0.1", None, requests, None)

    answers = [[state("a", 1), state("b", 1)], [state("a", 1), state("b", 2)]]

    async def ask(request):
        return Terminals(answers.pop(0) if len(answers) > 1 else answers[0])

    monkeypatch.setattr(site._api, "_ask", ask)
    told = [(one["name"], one["requests"]) for _, _, one in events(site, "/terminals/stream")]
    assert told == [("a", 1), ("b", 1), ("b", 2)]


def test_a_stream_whose_store_fails_ends_and_begins_again(site, monkeypatch):
    def fail(**_: Any) -> Any:
        raise BackendError("/secret: disk I/O error")

    monkeypatch.setattr(store_of(site), "access_rows", fail)
    answer = site.ask("GET", "/door/stream", role="view")
    assert (answer.status, answer.text) == (200, "retry: 1000\n\n")


def test_too_many_streams_are_refused(site, monkeypatch):
    monkeypatch.setattr(streams, "STREAMS_MAX", 0)
    for path in PATHS:
        told = site.ask("GET", path, role="view")
        assert told.refusal == (503, "too many streams at once; try again")
    monkeypatch.setattr(streams, "STREAMS_MAX", 1)
    for _ in range(3):
        assert events(site, "/door/stream") == []  # each has made room for the next


@pytest.mark.parametrize("path", PATHS)
def test_who_may_not_is_refused_and_the_description_says_what_comes(site, path):
    assert site.ask("GET", path, role="self").status == 403
    described = site.ask("GET", "/openapi.json").json["paths"][f"/api/v1{path}"]["get"]
    assert list(described["responses"]["200"]["content"]) == ["text/event-stream"]


def test_what_is_no_id_of_ours_is_a_422(site):
    told = site.ask("GET", "/payments/stream", headers={"last-event-id": "x"})
    assert told.refusal == (422, "the Last-Event-ID is none of ours; leave it out")
