"""`/payments/…` for bookkeeping and `/upstream/journal`: the same as the commands (B84, C157)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from orders import decided_by, saying, settling
from programs import Site

from sip2gw.backend.base import Begun, PaymentOrder
from sip2gw.backend.spool import Spool
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.model import PaymentLine
from sip2gw.model.journal import EntryState, JournalEntry
from sip2gw.model.refusals import RefusedPayment
from sip2gw.model.shares import Kept, Share
from sip2gw.policy.money.debts import PaymentPlan

FEE = {"kind": "fee", "id": "F1", "patron": "P1", "amount": "3.00", "created": "2026-02-01"}
LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 4},
    {"kind": "patron", "id": "P1", "name": "Ann Maes", "membership": "201"},
    FEE,
]
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


@pytest.fixture
def store(site):
    return site._api._opened.desk.store


@pytest.fixture
def run(site):
    return site._api._opened.desk.run


def order(key: str, at: datetime = AT, **changes: Any) -> PaymentOrder:
    """0.50 by P1 at the kiosk."""
    return PaymentOrder(
        **{
            "terminal": "kiosk-1",
            "key": key,
            "content": key,
            "payer_id": "P1",
            "amount": 50,
            "currency": "EUR",
            "payment_type": "00",
            "bk": key,
            "now": at,
            "key_expires": at + timedelta(days=30),
            "case": settling(),
            "texts": saying("Thank you"),
            "card": "P1",
            **changes,
        }
    )


def of_f1(facts: Any) -> PaymentPlan:
    """It settles part of F1."""
    return PaymentPlan((PaymentLine("F1", facts.payer.id, "own", 50),), 0)


def pages(site, path, limit, **query):
    """All entries, page by page."""
    found, cursor = list[Any](), dict[str, Any]()
    while True:
        page = site.ask("GET", path, role="staff", limit=limit, **cursor, **query).json
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


# Totals and refusals ----------------------------------------------------------------------------


def test_totals_say_what_each_till_should_hold(site, store, run):
    for day in range(3):
        for kind in ("00", "01"):
            at = AT + timedelta(days=day)
            paid = order(f"{day}{kind}", at, payment_type=kind)
            run(store.book_payment(decided_by(paid, of_f1)))
    totals = site.ask("GET", "/payments/totals", role="view").json["items"]
    assert totals == site.listed("payment", "totals")
    assert len(totals) == 6
    assert pages(site, "/payments/totals", 2) == totals
    of_second = {"since": "2026-03-02", "until": "2026-03-02"}
    assert site.ask("GET", "/payments/totals", role="view", **of_second).json["items"] == (
        site.listed("payment", "totals", "--since", "2026-03-02", "--until", "2026-03-02")
    )
    assert site.ask("GET", "/payments/totals", terminal="other").json["items"] == []
    assert site.audit() == []


def test_refused_payments_are_listed_each_once(site, store, run):
    """Also those of one second, which have no ids."""

    async def refuse() -> None:
        for number in range(7):
            at = AT + timedelta(seconds=number // 3)
            store.keep_refused_payment(
                RefusedPayment(at, "kiosk-1", "P1", "9.00", "EUR", "00", f"B{number}", "too_much")
            )
        await store.ping()

    run(refuse())
    listed = site.ask("GET", "/payments/refused", role="staff").json["items"]
    assert listed == site.listed("payment", "refused")
    assert [one["bk"] for one in listed] == [f"B{number}" for number in range(7)]
    for limit in (1, 2, 3, 6):
        assert pages(site, "/payments/refused", limit) == listed
    assert site.audit()[0] == ("staff", "payment refused", "", "", "done")


# What needs a person ----------------------------------------------------------------------------


@pytest.fixture
def unsure(site, store):
    """A payment of which nobody knows whether it was booked: a gateway could not write it."""
    payment = order("K", datetime.now(UTC))
    spool = Spool(site.config.with_name("library.db.spool"))
    spool.open()
    spool.put(attempt_of(payment))
    spool.close()
    return payment.id


def test_what_became_of_a_payment_is_recorded_once_and_only_as_the_store_knows_it(site, unsure):
    (listed,) = site.ask("GET", "/payments/reconcile", role="staff", open="true").json["items"]
    said = site.command("payment", "reconcile", "--json").stdout
    assert (listed, listed["id"]) == (json.loads(said), unsure)
    path = f"/payments/{unsure}/settle"
    note = {"note": "gave it back"}
    wrong = site.ask("POST", path, {"verdict": "booked", **note}, role="staff")
    assert wrong.status == 409
    settled = site.ask("POST", path, {"verdict": "not-booked", **note}, role="staff")
    assert (settled.status, settled.json["state"]) == (200, "refused")
    assert site.ask("POST", path, {"verdict": "not-booked", **note}, role="staff").status == 409
    assert site.ask("GET", "/payments/reconcile", open="true").json["items"] == []
    (again,) = site.ask("GET", "/payments/reconcile").json["items"]
    assert again == settled.json
    done = [row for row in site.audit() if row[1] == "payment reconcile --settle"]
    assert [(row[2], row[4]) for row in done] == [
        (unsure, "refused"),
        (unsure, "done"),
        (unsure, "refused"),
    ]


@pytest.mark.parametrize(
    ("payment", "body", "status"),
    [
        ("X", {"verdict": "booked", "note": "seen"}, 404),
        ("X", {"verdict": "perhaps", "note": "seen"}, 422),
        ("X", {"verdict": "booked", "note": "  "}, 422),
        ("X", {"verdict": "booked"}, 422),
    ],
)
def test_what_cannot_be_settled_is_a_problem(site, payment, body, status):
    assert site.ask("POST", f"/payments/{payment}/settle", body).refusal[0] == status


def test_a_command_that_settles_is_a_change_too(site, unsure):
    settle = ("payment", "reconcile", "--settle", unsure, "not-booked", "--note", "seen")
    assert site.command(*settle).exit_code == 0
    (line,) = [one for one in site.listed("audit") if one["action"].startswith("payment rec")]
    assert (line["action"], line["object"], line["outcome"]) == (
        "payment reconcile --settle",
        unsure,
        "done",
    )


def test_what_was_overpaid_is_listed_and_nothing_else_is_wrong(site, store, run):
    run(store.book_payment(decided_by(order("K"), of_f1)))
    data = site.config.with_name("night.jsonl")
    data.write_text(json.dumps({**FEE, "amount": "0.20"}))
    assert site.command("import", str(data)).exit_code == 0
    surpluses = site.ask("GET", "/payments/surpluses", role="staff").json["items"]
    errors = site.ask("GET", "/payments/errors", role="staff").json["items"]
    paid = site.ask("GET", "/payments/reconcile", role="staff").json["items"]
    said = site.command("payment", "reconcile", "--json").stdout.splitlines()
    assert paid + surpluses + errors == [json.loads(line) for line in said]
    assert [(one["fee"], one["surplus"]) for one in surpluses] == [("F1", "0.30")]
    back = "/payments/surpluses/F1/refund"
    once = {"idempotency-key": "mine"}
    told = [site.ask("POST", back, role="staff", headers=once) for _ in range(2)]
    assert [(one.status, one.json) for one in told] == [(200, surpluses)] * 2
    assert site.ask("POST", back, role="staff").refusal == (409, "fee F1 is not overpaid")
    assert site.ask("GET", "/payments/surpluses", role="staff").json["items"] == []


def test_errors_in_the_ledger_are_told(site, store, monkeypatch):
    monkeypatch.setattr(store, "self_check", lambda: ["fee F2 is wrong", "fee F1 is wrong"])
    assert pages(site, "/payments/errors", 1) == [
        {"problem": "fee F1 is wrong"},
        {"problem": "fee F2 is wrong"},
    ]


# What staff enter in a library system -----------------------------------------------------------


@pytest.fixture
def kept(store, run):
    """The id of a payment for two, which the library system has to be told."""
    shares = (
        Share("P1", "P1", "own", 120, "F7", kept=Kept.FEE),
        Share("P2", "P2", "head_of_family", 400, kept=Kept.SUM),
    )

    async def book() -> str:
        begun = await store.begin_shares(
            order("K", amount=520), "default", shares, ("Thank you",), {}
        )
        assert isinstance(begun, Begun)
        await store.book_kept(begun.payment_id, AT)
        return begun.payment_id

    return run(book())


def test_what_was_entered_is_recorded_once(site, kept):
    both = site.ask("GET", "/payments/export", role="staff").json["items"]
    assert both == site.listed("payment", "export") == pages(site, "/payments/export", 1)
    first, second = (one["id"] for one in both)
    done = site.ask("POST", f"/payments/export/{first}/done", role="staff")
    assert [one["id"] for one in done.json] == [first]
    assert done.json[0]["done"] is not None
    assert site.ask("POST", f"/payments/export/{first}/done", role="staff").status == 409
    left = site.ask("GET", "/payments/export", role="staff", pending="true").json["items"]
    assert left == site.listed("payment", "export", "--pending")
    assert [one["id"] for one in left] == [second]
    assert [row[1:] for row in site.audit() if row[1] == "payment export --done"] == [
        ("payment export --done", first, "", "done"),
        ("payment export --done", first, "", "refused"),
    ]


def test_a_command_that_records_it_is_a_change_too(site, kept):
    assert site.command("payment", "export", "--done", kept).exit_code == 0
    (line,) = [one for one in site.listed("audit") if one["action"].startswith("payment export")]
    assert (line["action"], line["outcome"]) == ("payment export --done", "done")


# The journal ------------------------------------------------------------------------------------


def test_the_journal_is_listed_as_it_goes_up(site, store, run):
    def taken(entry_id: str, minutes: int) -> JournalEntry:
        return JournalEntry(
            id=entry_id,
            time=AT,
            happened=AT - timedelta(minutes=minutes),
            account="default",
            terminal="kiosk-1",
            message="11",
            item=f"I{entry_id}",
            patron="P1",
            key="",
            request={},
        )

    async def take() -> None:
        last = taken("J1", 0)
        for entry in (last, taken("J2", 5), taken("J3", 5)):
            await store.add_to_journal(entry)
        await store.end_journalled(last, EntryState.DONE, (), AT)

    run(take())
    listed = site.ask("GET", "/upstream/journal", role="staff").json["items"]
    assert listed == site.listed("upstream", "journal") == pages(site, "/upstream/journal", 1)
    assert [one["id"] for one in listed] == ["J2", "J3", "J1"]
    waiting = site.ask("GET", "/upstream/journal", role="staff", open="true").json["items"]
    assert [one["id"] for one in waiting] == ["J2", "J3"]
