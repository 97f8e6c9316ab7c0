"""Each command but the local ones has its resource, and gives the same JSON (B84)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from orders import saying, settling
from programs import Site

from sip2gw.backend.base import Begun, CirculationOrder, PaymentOrder
from sip2gw.backend.database import WriteResult
from sip2gw.backend.library import Library
from sip2gw.backend.spool import Spool
from sip2gw.backend.sql.members import outbox
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.backend.system import AccountState
from sip2gw.cli.tree import Commands
from sip2gw.control.messages import (
    ListTerminals,
    Terminals,
    TerminalState,
    UpstreamAccounts,
    UpstreamStatus,
)
from sip2gw.model import AccessRow, PaymentLine
from sip2gw.model.journal import JournalEntry
from sip2gw.model.notices import Notice
from sip2gw.model.refusals import RefusedPayment
from sip2gw.model.shares import Kept, Share
from sip2gw.policy.items.cases import RefusedCase
from sip2gw.policy.items.decisions import Refusal
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.reasons import CirculationReason
from sip2gw.staff.actions import ACTIONS
from sip2gw.web.api.app import application, description
from sip2gw.web.api.resources.members import maintenance

WITH_FILES = {"import", "export"}
"""They read and write files of their machine, as large as a library."""


def commands_of(commands: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Each command, down to the last, by its words."""
    for name, command in commands.items():
        below = getattr(command, "commands", None)
        if below is None:
            yield f"{above}{name}", command
        else:
            yield from commands_of(below, f"{above}{name} ")


def listing() -> set[str]:
    """The commands of which REST has a resource, and which write JSON."""
    return {
        words
        for words, command in commands_of(Commands())
        if words in ACTIONS and any("--json" in one.opts for one in command.params)
    }


def test_each_command_but_the_local_ones_has_its_resource() -> None:
    described = description(application())["paths"].values()
    there = {one["x-command"] for operations in described for one in operations.values()}
    wanted = {words for words, _ in commands_of(Commands()) if words in ACTIONS} - WITH_FILES
    assert {"payment undo", "support table list", "reload", "maintain"} <= wanted
    assert wanted - there == set()


# One library with something for each list -------------------------------------------------------

AT = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
"""Ten o'clock in Brussels."""
DAY = "2026-03-04"
PATRON: dict[str, Any] = {"kind": "patron", "membership": "201", "membership_until": "2099-12-31"}
LIBRARY: list[dict[str, Any]] = [
    {
        "kind": "membership",
        "code": "201",
        "description": "Adult",
        "type": 3,
        "fee": "20.00",
        "invoicing_method": 1,
        "term_months": 12,
    },
    {"kind": "badge", "code": "ONBE", "name": "Open library"},
    {
        **PATRON,
        "id": "P1",
        "name": "Ann Maes",
        "birth_date": "1980-01-01",
        "email": "ann@example.org",
        "cards": [{"number": "C1"}],
        "blocks": [{"type": "general", "note": "see the desk"}],
    },
    {**PATRON, "id": "P2", "name": "Bob Maes", "birth_date": "2019-01-01"},
    {**PATRON, "id": "P3", "name": "Cleo", "membership_until": "2026-02-28"},
    {"kind": "relationship", "type": "head_of_family", "from": "P1", "to": "P2"},
    {"kind": "relationship", "type": "authorisation", "from": "P2", "to": "P1"}
    | {"functions": ["renew"], "confirmed": False},
    {"kind": "fee", "id": "F1", "patron": "P1", "amount": "3.00", "created": "2026-02-01"},
    {"kind": "item", "id": "I1", "title": "Tijl"},
    {"kind": "item", "id": "I2", "title": "Nele"},
    {"kind": "loan", "item": "I1", "patron": "P1", "checked_out": DAY, "due": "2026-03-25"},
    {"kind": "hold", "id": "H1", "patron": "P1", "item": "I2", "placed": DAY},
]
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/badges/ONBE", {"name": "Open library", "description": "After hours"}),
    ("PUT", "/patrons/P1/badges/ONBE", {"reason": "asked for it"}),
    ("POST", "/support/tables/type", {"code": "QU", "description": "Question"}),
    ("POST", "/support/tables/category", {"code": "LOAN", "description": "Loans"}),
    ("POST", "/support", {"type": "QU", "category": "LOAN", "text": "Where?", "patron": "C1"}),
    ("POST", "/door/bars", {"card": "C1", "branch": "MAIN", "until": "2099-12-31"}),
    ("POST", "/door/passes", {"card": "P2", "branch": "MAIN", "until": "2099-12-31"}),
    ("POST", "/branches/EAST/close", {"reason": "a leak"}),
]


def order(key: str, **changes: Any) -> PaymentOrder:
    """0.50 by P1 at the kiosk."""
    made = PaymentOrder(
        terminal="kiosk-1",
        key=key,
        content=key,
        payer_id="P1",
        amount=50,
        currency="EUR",
        payment_type="00",
        bk=key,
        now=AT,
        key_expires=AT + timedelta(days=30),
        case=settling(PaymentLine("F1", "P1", "own", 50)),
        texts=saying("Thank you"),
        card="P1",
    )
    return replace(made, **changes)


def passage(minutes: int, patron: str, theirs: str = "") -> AccessRow:
    time = AT + timedelta(minutes=minutes)
    mode = "observed" if theirs else "normal"
    return AccessRow(
        time, "MAIN", "door", "granted", "granted", mode, "card=ok", patron, "in", theirs
    )


UNKNOWN_ITEM = CirculationOrder(
    code="11",
    terminal="kiosk-1",
    item_id="I9",
    patron_id="P1",
    now=AT,
    case=RefusedCase(Refusal((CirculationReason.UNKNOWN_ITEM,))),
    claim=Claim(believed=True),
)
TAKEN = JournalEntry(
    id="J1",
    time=AT,
    happened=AT,
    account="default",
    terminal="kiosk-1",
    message="11",
    item="I1",
    patron="P1",
    key="",
    request={},
)


async def live(store: Library) -> None:
    """Let terminals do what each list has something of."""
    await store.book_payment(order("K1"))
    shares = (Share("P1", "P1", "own", 50, "F7", kept=Kept.FEE),)
    begun = await store.begin_shares(order("K2"), "default", shares, ("Thank you",), {})
    assert isinstance(begun, Begun)
    await store.book_kept(begun.payment_id, AT)
    store.keep_refused_payment(
        RefusedPayment(AT, "kiosk-1", "P1", "9.00", "EUR", "00", "B1", "too_much")
    )
    await store.circulate(UNKNOWN_ITEM)
    await store.add_to_journal(TAKEN)
    for row in (passage(0, "P1"), passage(20, "P2"), passage(40, "P1", theirs="refused")):
        store.log_access(row)
    notice = Notice("BADGE", "P1", "x", {"badge": "Open library", "until": "2026-03-31"})
    await store.write(lambda connection: WriteResult(outbox.put(connection, [notice], AT)))
    await store.ping()


def keep_in_doubt(site: Site) -> None:
    """A payment that a gateway could not write: nobody knows whether it was booked."""
    spool = Spool(site.config.with_name("library.db.spool"))
    spool.open()
    spool.put(attempt_of(order("K3", now=datetime.now(UTC))))
    spool.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("every"), *LIBRARY)
    made.desk.run(live(made.desk.store))
    keep_in_doubt(made)
    for method, path, body in CHANGES:
        told = made.ask(method, path, body)
        assert told.status in (200, 201, 204), told.text
    made.ask("PUT", "/self/P1/house-rules", role="self")
    shown(made, "/door/inside", {"branch": "MAIN", "from": DAY, "to": DAY, "reveal": "true"})
    made.answers[ListTerminals] = Terminals(
        [TerminalState("kiosk-1", "kiosk", "MAIN", True, 1, "10.0.0.1", None, 3, None)]
    )
    made.answers[UpstreamStatus] = UpstreamAccounts(
        [AccountState("default", "up", 2, 1, 0, "closed", 12.5)]
    )
    yield made
    made.close()


# The walk ---------------------------------------------------------------------------------------


class Gateway:
    """The running gateway, as a command reaches it: it answers as REST is answered."""

    answers: dict[type[Any], Any] = {}

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, request: Any, within_s: float) -> Any:
        return self.answers.get(type(request))


def said(site: Site, command: str) -> list[Any]:
    """What a command writes, one entry a line; 1 says that somebody must look at it."""
    result = site.command(*command.split(), "--json")
    assert result.exit_code in (0, 1), result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def shown(site: Site, path: str, query: dict[str, Any]) -> list[Any]:
    """What a resource gives: the entries of a list, or one document."""
    answer = site.ask("GET", path, **query)
    assert answer.status == 200, answer.text
    entries: list[Any] = answer.json.get("items", [answer.json])
    return entries


SAME: dict[str, tuple[str, str, dict[str, Any]]] = {
    "patron show": ("C1", "/patrons/C1", {}),
    "patron find": ("maes", "/patrons", {"find": "maes"}),
    "badge list": ("", "/badges", {}),
    "badge report": ("ONBE", "/badge-holders", {"code": "ONBE"}),
    "badge history": ("", "/badge-history", {}),
    "relationship list": ("", "/relationships", {}),
    "membership list": ("", "/memberships", {}),
    "membership show": ("201", "/memberships/201", {}),
    "payment list": (f"--since {DAY}", "/payments", {"since": DAY}),
    "payment show": ("PAYMENT", "/payments/PAYMENT", {}),
    "payment totals": ("", "/payments/totals", {}),
    "payment export": ("", "/payments/export", {}),
    "payment refused": (f"--until {DAY}", "/payments/refused", {"until": DAY}),
    "review list": ("", "/review", {}),
    "review show": ("REVIEW", "/review/REVIEW", {}),
    "support list": ("", "/support", {}),
    "support show": ("1", "/support/1", {}),
    "support table list": ("type", "/support/tables/type", {}),
    "outbox list": ("--reveal", "/outbox", {"reveal": "true"}),
    "door log": ("", "/door/log", {}),
    "door stats": ("--branch MAIN", "/door/stats", {"branch": "MAIN"}),
    "door inside": (
        f"--branch MAIN --from {DAY} --to {DAY}",
        "/door/inside",
        {"branch": "MAIN", "from": DAY, "to": DAY},
    ),
    "door reveals": ("", "/door/reveals", {}),
    "door bar list": ("", "/door/bars", {}),
    "door pass list": ("", "/door/passes", {}),
    "observe report": ("", "/observe/report", {}),
    "terminal list": ("", "/terminals", {}),
    "upstream status": ("", "/upstream/status", {}),
    "upstream journal": ("", "/upstream/journal", {}),
    "token list": ("", "/tokens", {}),
    "audit": ("--who self", "/audit", {"who": "self"}),
}
"""What is given to a command, the path of its resource, and what is asked there."""

APART = {"branch list", "explain", "maintain", "patron report", "payment reconcile"}
"""The same, but in another order, or in several lists."""


@pytest.fixture
def compared(site, monkeypatch):
    """Gives what a command says and what its resource tells."""
    monkeypatch.setattr("sip2gw.control.client.Control", Gateway)
    monkeypatch.setattr(Gateway, "answers", site.answers)
    ids = {"PAYMENT": shown(site, "/payments", {})[0], "REVIEW": shown(site, "/review", {})[0]}

    def compare(words: str) -> tuple[list[Any], list[Any]]:
        arguments, path, query = SAME[words]
        for name, entry in ids.items():
            arguments, path = (text.replace(name, entry["id"]) for text in (arguments, path))
        return said(site, f"{words} {arguments}"), shown(site, path, query)

    return compare


def test_the_walk_leaves_out_no_command_that_writes_json() -> None:
    assert listing() == set(SAME) | APART
    changing = {words for words in listing() if ACTIONS[words].does == "changes"}
    assert changing == {"maintain"}, "the others say a sentence"


@pytest.mark.parametrize("words", SAME)
def test_b84_a_resource_gives_the_json_of_its_command(compared, words) -> None:
    by_command, by_rest = compared(words)
    assert by_command, "the library has something to compare"
    assert by_rest == by_command


def test_b84_branches_are_the_same_in_the_order_of_their_codes(site) -> None:
    by_command = said(site, "branch list")
    assert [one["branch"] for one in by_command] == ["MAIN", "EAST"], "as configured"
    assert shown(site, "/branches", {}) == by_command[::-1]


def test_b84_checks_are_told_beside_the_outcome_that_they_lead_to(site) -> None:
    moment = "2026-03-04T10:00"
    (explained,) = shown(site, "/explain", {"terminal": "kiosk-1", "card": "C1", "at": moment})
    lines = said(site, f"explain --terminal kiosk-1 --card C1 --at {moment}")
    assert [*explained.pop("checks"), explained] == lines


def test_b84_the_steps_of_maintenance_are_those_of_the_command(site, monkeypatch) -> None:
    monkeypatch.setattr(maintenance, "MAINTAINING_S", 1e6)
    planned = site.ask("POST", "/maintain", {"at": DAY, "dry_run": True}).json
    assert planned["steps"] == said(site, f"maintain --dry-run --at {DAY}") != []


def test_b84_what_is_known_of_a_patron_is_reported_alike(site) -> None:
    """But for the lines that the two readings leave in the audit log themselves."""
    (report,) = shown(site, "/patrons/C1/report", {})
    by_rest, by_command = (
        [one for one in entries if one["kind"] != "audit entry"]
        for entries in (report["entries"], said(site, "patron report C1"))
    )
    assert by_rest == by_command
    assert {"loan", "hold", "fee", "block", "notice"} <= {one["kind"] for one in by_rest}


def test_b84_what_must_be_reconciled_is_told_in_three_lists(site) -> None:
    lists = ("/payments/reconcile", "/payments/surpluses", "/payments/errors")
    by_rest = [one for path in lists for one in shown(site, path, {})]
    assert by_rest == said(site, "payment reconcile") != []


def test_a_scene_that_is_over_leaves_nothing_open(site, tmp_path) -> None:
    """Hundreds begin in one process, which may often have only 1,024 files open."""
    before = open_files()
    Site(tmp_path).close()
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
