"""What staff does at the command line: payments, relationships, badges, PINs (C21, C57, C96)."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from getpass import GetPassWarning
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace
from orders import saying, settling

from sip2gw.backend.base import PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.backend.spool import Spool
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.config import load_config
from sip2gw.foundation.hashing import verify_pin
from sip2gw.model import PaymentLine
from sip2gw.model.refusals import RefusedPayment
from sip2gw.policy.upstream.questions import spelling

from .conftest import Result, Run


@pytest.fixture
def command(sip2gw: Run, library: Path) -> Run:
    """`sip2gw` with the library's configuration."""

    def run(*arguments: object, **options: Any) -> Result:
        return sip2gw(*arguments, "--config", library, **options)

    return run


def records(result: Result) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def pay(config: Path, amount: int, *, now: datetime, bk: str = "7", kind: str = "01") -> str:
    """Pay a part of the child's fee; the payment's id."""

    async def book() -> str:
        store = open_backend(load_config(config), "command").store
        line = PaymentLine("F2", "P2", "head_of_family", amount)
        later = now + timedelta(days=30)
        order = PaymentOrder(
            "cash-1",
            bk,
            "x",
            "P1",
            amount,
            "EUR",
            kind,
            bk,
            now,
            later,
            settling(line),
            saying(),
            "C1",
        )
        result = await store.book_payment(order)
        await store.close()
        assert result.payment is not None
        return result.payment.id

    return asyncio.run(book())


OLDER = "2024-01-01T00:00:00.000Z"
MARCH = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
IMPORT_AGAIN = "import the same files again"
MAINTAIN_AGAIN = "run `sip2gw maintain` again"


# Payments


def test_payment_show(command: Run, library: Path) -> None:
    payment_id = pay(library, 250, now=MARCH)
    (told,) = records(command("payment", "show", payment_id, "--json"))
    (listed,) = records(command("payment", "list", "--json"))
    assert told == listed | {"card": "C1"}  # B21; the keys of a list are those of C21
    shown = command("payment", "show", payment_id).out
    assert "fee F2, debtor P2, amount 2.50" in shown
    missing = command("payment", "show", "X")
    assert (missing.status, missing.err) == (
        1,
        "sip2gw: no payment has the id X; see `payment list`\n",
    )


def test_c54_a_payment_is_undone_on_the_same_day(command: Run, library: Path) -> None:
    payment_id = pay(library, 250, now=datetime.now(UTC))
    result = command("payment", "undo", payment_id)
    assert (result.status, result.out) == (0, "")
    assert "has been undone: give EUR 2.50 back to patron P1." in result.err
    (told,) = records(command("payment", "list", "--json"))
    assert told["status"] == "undone"
    (patron,) = records(command("patron", "show", "P2", "--json"))
    assert patron["owed"] == "12.50"
    again = command("payment", "undo", payment_id)
    assert (again.status, "is undone, not booked, so it cannot be undone" in again.err) == (1, True)


def test_c54_and_no_later(command: Run, library: Path) -> None:
    payment_id = pay(library, 250, now=MARCH)
    result = command("payment", "undo", payment_id)
    assert result.status == 1
    assert "only on the day it was made, 2026-03-01" in result.err


def test_c21_payment_totals(command: Run, library: Path) -> None:
    """B47: undone payments do not count."""
    for number, amount in enumerate((250, 150)):
        pay(library, amount, now=MARCH, bk=str(number))
    pay(library, 100, now=MARCH + timedelta(days=1), bk="cash", kind="00")
    command("payment", "undo", pay(library, 50, now=datetime.now(UTC), bk="undone"))
    first = {
        "date": "2026-03-01",
        "terminal": "cash-1",
        "payment_type": "01",
        "currency": "EUR",
        "count": 2,
        "amount": "4.00",
    }
    second = first | {"date": "2026-03-02", "payment_type": "00", "count": 1, "amount": "1.00"}
    assert records(command("payment", "totals", "--json")) == [first, second]
    assert records(command("payment", "totals", "--json", "--since", "2026-03-02")) == [second]
    assert records(command("payment", "totals", "--json", "--terminal", "cash-2")) == []
    assert command("payment", "totals", "--csv").out == (
        "date,terminal,payment_type,currency,count,amount\r\n"
        "2026-03-01,cash-1,01,EUR,2,4.00\r\n"
        "2026-03-02,cash-1,00,EUR,1,1.00\r\n"
    )
    assert "4.00" in command("payment", "totals").out


def test_c96_payments_as_csv_are_one_row_each(command: Run, library: Path) -> None:
    """Texts of a terminal are no formulas for the bookkeeper's spreadsheet."""
    payment_id = pay(library, 250, now=MARCH, bk="=1+2")
    (row,) = csv.DictReader(io.StringIO(command("payment", "list", "--csv").out))
    assert row == {
        "id": payment_id,
        "time": "2026-03-01T10:30:00+01:00",
        "terminal": "cash-1",
        "payer": "P1",
        "debtors": "P2",
        "relation": "head_of_family",
        "amount": "2.50",
        "currency": "EUR",
        "payment_type": "01",
        "bk": "'=1+2",
        "status": "booked",
        "lines": "F2=2.50",
    }


def refuse(config: Path, *entries: RefusedPayment) -> None:
    """Have a gateway of `config` refuse payments."""

    async def keep() -> None:
        store = open_backend(load_config(config), "daemon").store
        for entry in entries:
            store.keep_refused_payment(entry)
        await store.close()

    asyncio.run(keep())


def refusal(number: int = 0, **changed: str) -> RefusedPayment:
    values = {"payer": "OLD2", "amount": "2.50", "currency": "EUR", "reason": "overpayment"}
    time = MARCH.astimezone(ZoneInfo("Europe/Brussels")) + timedelta(hours=number)
    values |= {"terminal": "cash-1", "payment_type": "00", "bk": f"K{number}"} | changed
    return RefusedPayment(time=time, **values)


def test_b100_payment_refused(command: Run, library: Path) -> None:
    refuse(library, refusal(0), refusal(1, terminal="cash-2", payer="4711", amount="1,\x1b"))
    first = {
        "time": "2026-03-01T10:30:00+01:00",
        "terminal": "cash-1",
        "payer": "P2",
        "amount": "2.50",
        "currency": "EUR",
        "payment_type": "00",
        "bk": "K0",
        "reason": "overpayment",
    }
    second = first | {
        "time": "2026-03-01T11:30:00+01:00",
        "terminal": "cash-2",
        "payer": "4711",
        "amount": "1,\x1b",
        "bk": "K1",
    }
    assert records(command("payment", "refused", "--json")) == [first, second]
    assert records(command("payment", "refused", "--json", "--terminal", "cash-2")) == [second]
    since = ("--since", "2026-03-01 11:00", "--until", "2026-03-01")
    assert records(command("payment", "refused", "--json", *since)) == [second]
    assert records(command("payment", "refused", "--json", "--until", "2026-02-28")) == []
    shown = command("payment", "refused")
    assert shown.status == 0
    assert shown.out.splitlines() == [
        "time                 terminal  payer  amount  currency  payment_type  bk  reason",
        "2026-03-01 10:30:00  cash-1    P2     2.50    EUR       00            K0  overpayment",
        "2026-03-01 11:30:00  cash-2    4711   1,\\x1b  EUR       00            K1  overpayment",
    ]


def test_c104_what_was_only_counted_is_told(
    command: Run, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip2gw.backend.sql.money.refusals.KEPT_MAX", 1)
    refuse(library, *map(refusal, range(4)))
    kept, more = records(command("payment", "refused", "--json"))
    assert kept["bk"] == "K0"
    assert more == {
        "time": "2026-03-01T13:30:00+01:00",
        "terminal": "cash-1",
        "payer": "",
        "amount": "",
        "currency": "",
        "payment_type": "",
        "bk": "",
        "reason": "more",
        "count": 3,
    }
    assert command("payment", "refused").out.splitlines()[-1].endswith("  3 more")
    header, *rows = command("payment", "refused", "--csv").out.splitlines()
    assert header.endswith(",bk,reason,count")
    assert [row.split(",")[-2:] for row in rows] == [[kept["reason"], ""], ["more", "3"]]


def test_maintain_says_of_each_chore_what_it_forgets(command: Run, library: Path) -> None:
    """The same as the gateway does once a day; what is younger than that stays."""
    old, young = "2026-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"
    refuse(library, refusal(0))
    with closing(sqlite3.connect(library.parent / "library.db")) as store, store:
        store.executemany(
            "INSERT INTO circulation (item_id, key, terminal, code, patron_id, position, expires,"
            " outcome, before) VALUES ('I1', ?, 't', '11', 'P1', ?, ?, '', '')",
            [("K1", 1, old), ("K2", 2, old), ("K3", 3, young)],
        )
        store.executemany(
            "INSERT INTO borrowed (patron_id, work, until) VALUES ('P1', ?, ?)",
            [("W1", old), ("W2", old), ("W3", old), ("W4", young)],
        )
        store.executemany(
            "INSERT INTO support_message (id, type, category, object, text, status, created,"
            " closed, processor, reporter) VALUES (?, 'AU', 'DOOR', '', '', 'X', '', ?, '', '')",
            [(1, "2020-01-01T00:00:00.000Z"), (2, old), (3, young)],
        )
        store.executemany(
            "INSERT INTO review (id, time, kind, terminal, message, item, patron, outcome, state,"
            " closed) VALUES (?, ?, 'offline', 't', '11', 'I1', '', 'done', 'closed', ?)",
            [("R1", OLDER, OLDER), ("R2", OLDER, young)],
        )
        store.executemany(
            "INSERT INTO outbox (id, kind, patron_id, cause, details, created, next_try, state,"
            " ended) VALUES (?, 'END', 'P3', ?, '{}', '', '', 'sent', ?)",
            [("N1", "1", "2020-01-01T00:00:00.000Z"), ("N2", "2", young)],
        )
        store.execute(
            "INSERT INTO audit VALUES ('A1', '2020-01-01T00:00:00.000Z', 'ann', 'admin', 'rest',"
            " 'reload', '', NULL, '', 'done')"
        )
        store.executemany(
            "INSERT INTO answered VALUES ('ann', ?, '', ?, 200, '{}')", [("1", old), ("2", young)]
        )
        # P2 owes something
        store.execute("UPDATE patron SET status = 9, ended_on = '2025-01-01'")

    def said(*options: str) -> list[tuple[str, str]]:
        lines = command("maintain", *options).err.splitlines()
        told = [
            re.fullmatch(r"sip2gw: (.*) before \d{4}-\d\d-\d\d \d\d:\d\d: (.*)", x) for x in lines
        ]
        return [(one[1], one[2]) for one in told if one]

    counted = (
        "0 rows of the door log",
        "2 item transactions that expired",
        "0 loans and returns taken off line that had gone up a day",
        "3 loans that ended",
        "1 refused payment",
        "1 message of customer support, closed",
        "1 entry for review closed",
        "1 patron who ended",
        "1 patron who ended",
        "1 notice sent or given up",
        "1 entry of the audit log",
        "1 answer kept to repeat it over REST, a day",
    )
    kept = "kept, because something is owed, on loan, left or unknown"
    would = "would be forgotten"
    to_do = ("patron would be erased", *[would] * 7, kept, *[would] * 3)
    done = ("patron erased", *["forgotten"] * 7, kept, *["forgotten"] * 3)
    assert said("--dry-run") == list(zip(counted, to_do, strict=True))
    assert said() == list(zip(counted, done, strict=True))
    assert [what[0] for what, _ in said("--dry-run")] == [*["0"] * 8, "1", "0", "0", "0"]


@pytest.mark.parametrize(
    ("table", "arguments", "undone", "remedy"),
    [
        ("patron", ("import", "library.jsonl"), "the import was not finished", IMPORT_AGAIN),
        ("access_log", ("maintain",), "the door log still says who passed", MAINTAIN_AGAIN),
        ("circulation", ("maintain",), "transactions of items were not forgotten", MAINTAIN_AGAIN),
        ("borrowed", ("maintain",), "ended loans were not forgotten", MAINTAIN_AGAIN),
        ("refused_more", ("maintain",), "refused payments were not forgotten", MAINTAIN_AGAIN),
        (
            "support_message",
            ("maintain",),
            "closed messages of customer support were not forgotten",
            MAINTAIN_AGAIN,
        ),
        ("review", ("maintain",), "closed reviews were not forgotten", MAINTAIN_AGAIN),
    ],
)
def test_a_failure_says_what_was_left_undone_and_what_to_do(
    command: Run,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    arguments: tuple[str, ...],
    undone: str,
    remedy: str,
) -> None:
    monkeypatch.chdir(library.parent)
    with closing(sqlite3.connect(library.with_name("library.db"))) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO gone")
    result = command(*arguments)
    assert result.status == 1
    why = f"the store failed: no such table: {table}"
    assert result.err.splitlines()[-1] == f"sip2gw: {undone}: {why}; {remedy}"


def test_c166_maintain_forgets_refused_payments(command: Run, library: Path) -> None:
    refuse(library, refusal(0), replace(refusal(1), time=datetime.now(UTC)))
    assert "1 refused payment before" in command("maintain", "--dry-run").err
    assert ": forgotten" in command("maintain").err
    assert [told["bk"] for told in records(command("payment", "refused", "--json"))] == ["K1"]


@pytest.mark.parametrize("name", ["list", "totals"])
def test_only_one_output_format(command: Run, name: str) -> None:
    assert command("payment", name, "--json", "--csv").status == 2


def test_reconcile_finds_nothing_in_a_store_of_our_own(command: Run, library: Path) -> None:
    pay(library, 250, now=MARCH)
    result = command("payment", "reconcile", "--json")
    assert (result.status, result.out) == (0, "")
    assert "0 payments of unknown outcome, 0 errors in the ledger." in result.err


def damage(library: Path, statement: str) -> None:
    """Change the database behind the store's back."""
    import sqlite3

    with sqlite3.connect(library.with_name(load_config(library).store.url[7:])) as connection:
        connection.execute(statement)
    connection.close()


def attempt(bk: str = "K1", amount: int = 250) -> PaymentOrder:
    """Somebody paid; the gateway does not know whether it was booked."""
    return PaymentOrder(
        terminal="cash-1",
        key=f"bk:{bk}",
        content=f"P1|{amount}",
        payer_id="P1",
        amount=amount,
        currency="EUR",
        payment_type="01",
        bk=bk,
        now=datetime.now(UTC),
        key_expires=datetime.now(UTC) + timedelta(days=30),
        case=settling(),
        texts=saying(),
    )


def leave_in_spool(library: Path, *orders: PaymentOrder) -> None:
    """As a gateway does whose store cannot be written."""
    store = library.with_name(load_config(library).store.url[7:])
    spool = Spool(Path(f"{store}.spool"))
    spool.open()
    for order in orders:
        spool.put(attempt_of(order))
    spool.close()


def settled(library: Path, *orders: PaymentOrder) -> None:
    """The gateway has looked."""
    store = open_backend(load_config(library), "command").store
    asyncio.run(store.settle(map(attempt_of, orders), datetime.now(UTC)))
    asyncio.run(store.close())


def test_c157_reconcile_lists_what_is_not_known(command: Run, library: Path) -> None:
    """`before` is not known here: the payer was not seen; now 12.50 are owed by the child."""
    unsure = attempt()
    leave_in_spool(library, unsure)
    result = command("payment", "reconcile", "--json")
    (told,) = [json.loads(line) for line in result.out.splitlines()]
    assert result.status == 1
    assert told.pop("time").startswith(f"{unsure.now:%Y-}")
    assert told == {
        "id": unsure.id,
        "terminal": "cash-1",
        "payer": "P1",
        "amount": "2.50",
        "currency": "EUR",
        "bk": "K1",
        "state": "unknown",
        "before": None,
        "after": "12.50",
        "proposal": "not-booked",
    }
    for_people = command("payment", "reconcile", "--open")
    assert unsure.id in for_people.out
    assert "not-booked" in for_people.out
    assert "1 payment of unknown outcome, 0 errors in the ledger." in for_people.err
    (listed,) = records(command("payment", "list", "--json"))
    assert (listed["id"], listed["status"]) == (unsure.id, "unknown")
    assert records(command("payment", "show", unsure.id, "--json"))[0]["status"] == "unknown"


def test_c157_what_is_settled_is_listed_and_not_open(command: Run, library: Path) -> None:
    lost = attempt()
    settled(library, lost)
    (told,) = records(command("payment", "reconcile", "--json"))
    assert (told["id"], told["state"], told["proposal"]) == (lost.id, "refused", "")
    opened = command("payment", "reconcile", "--open", "--json")
    assert (opened.status, opened.out) == (0, "")
    (listed,) = records(command("payment", "list", "--json"))
    assert listed["status"] == "refused"
    assert command("payment", "totals", "--json").out == ""


def test_c157_staff_settle_what_is_open_once_and_only_as_the_store_knows_it(
    command: Run, library: Path
) -> None:
    unsure = attempt()
    leave_in_spool(library, unsure)
    settle = ("payment", "reconcile", "--settle", unsure.id)
    wrong = command(*settle, "booked", "--note", "the machine says so")
    assert wrong.status == 1
    assert "not booked" in wrong.err
    assert command("payment", "reconcile", "--open").status == 1  # nothing was settled
    assert command(*settle, "not-booked", "--note", "gave 2.50 back").status == 0
    again = command(*settle, "not-booked", "--note", "gave 2.50 back")
    assert again.status == 1
    assert unsure.id in again.err
    assert command("payment", "reconcile").status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--settle", "X"),
        ("--settle", "X", "booked"),
        ("--settle", "X", "perhaps", "--note", "n"),
        ("booked", "--note", "n"),
    ],
)
def test_c157_settling_wants_id_verdict_and_note(command: Run, arguments: tuple[str, ...]) -> None:
    assert command("payment", "reconcile", *arguments).status == 2


def test_reconcile_names_errors_in_the_ledger(command: Run, library: Path) -> None:
    payment_id = pay(library, 250, now=MARCH)
    damage(library, "UPDATE payment SET amount = 9")
    result = command("payment", "reconcile", "--json")
    told = [json.loads(line) for line in result.out.splitlines()]
    assert result.status == 1
    assert {"problem": f"payment {payment_id}: the ledger has another amount"} in told
    assert "the ledger has another amount" in command("payment", "reconcile").err


# Relationships


def test_c21_relationships_are_added_listed_and_removed(command: Run) -> None:
    add = ("relationship", "add", "authorisation", "P1", "OLD2")
    assert command(*add, "--functions", "pay,renew", "--unconfirmed").status == 0
    told = records(command("relationship", "list", "--json"))
    assert told == [
        {
            "type": "head_of_family",
            "from": "P1",
            "to": "P2",
            "functions": [],
            "confirmed": True,
            "proposed_by": "staff",
        },
        {
            "type": "authorisation",
            "from": "P1",
            "to": "P2",
            "functions": ["pay", "renew"],
            "confirmed": False,
            "proposed_by": "staff",
        },
    ]
    confirmed = command("relationship", "confirm", "authorisation", "P1", "P2")
    assert confirmed.err == "The authorisation from P1 to P2 has been confirmed.\n"
    assert command("relationship", "remove", "head_of_family", "P1", "P2").status == 0
    (left,) = records(command("relationship", "list", "--patron", "OLD2", "--json"))
    assert (left["type"], left["confirmed"]) == ("authorisation", True)
    assert "authorisation  P1    P2  pay renew  yes" in command("relationship", "list").out


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("head_of_family", "P2", "P1"), 1, "patron P2 is a child, so cannot be a head of family"),
        (("head_of_family", "P1", "P1"), 1, "a patron cannot have a relationship with themselves"),
        (("authorisation", "P1", "P2"), 1, "an authorisation needs `functions`"),
        (("authorisation", "P1", "P9", "--functions", "pay"), 1, "no patron has the id or card P9"),
        (("authorisation", "P1", "P2", "--functions", "lend"), 2, "choose from renew, pay"),
        (("cousin", "P1", "P2"), 2, "cousin"),
    ],
)
def test_what_may_not_be_is_refused(
    command: Run, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    """B49."""
    result = command("relationship", "add", *arguments)
    assert (result.status, sentence in result.err) == (status, True), result.err
    assert len(records(command("relationship", "list", "--json"))) == 1


def test_c3_an_invalid_membership_is_refused(command: Run) -> None:
    patron = {"kind": "patron", "id": "P3", "name": "Three"}
    command("import", "-", stdin=json.dumps(patron).encode())
    result = command("relationship", "add", "head_of_family", "P1", "P3")
    assert (result.status, result.err) == (1, "sip2gw: patron P3 has no valid membership\n")


def test_c56_where_a_library_system_knows_memberships_our_store_does_not_judge_them(
    sip2gw: Run, before: Path
) -> None:
    """Our store knows numbers and names there, and what nobody has said is valid."""
    with_one_number = '{"kind": "patron", "id": "A1", "name": "One"}'
    family = '{"kind": "relationship", "type": "head_of_family", "from": "P1", "to": "A1"}'
    records = f"{with_one_number}\n{family}\n".encode()
    imported = sip2gw("import", "-", "--config", before, stdin=records)
    assert (imported.status, "warning" in imported.err) == (0, False)
    added = sip2gw(
        *("relationship", "add", "authorisation", "A1", "P2", "--functions", "pay"),
        *("--config", before),
    )
    assert (added.status, added.err) == (0, "The authorisation from A1 to P2 has been added.\n")


@pytest.mark.parametrize(
    "section",
    ["[relationships]\nenabled = false\n", '[relationships]\ntypes = ["authorisation"]\n'],
    ids=["no licence", "no families"],
)
def test_b49_what_is_switched_off_is_not_made_and_sleeps_when_imported(
    command: Run, library: Path, section: str
) -> None:
    library.write_text(library.read_text() + "\n" + section)
    result = command("relationship", "add", "head_of_family", "P1", "P2")
    sentence = "relationships of type head_of_family are switched off"
    assert (result.status, result.err) == (1, f"sip2gw: {sentence}\n")
    line = {"kind": "relationship", "type": "head_of_family", "from": "P1", "to": "P2"}
    imported = command("import", "-", stdin=json.dumps(line).encode())
    assert (
        imported.status,
        f"{sentence}; this one is loaded but not in force" in imported.err,
    ) == (0, True)


# Badges


def test_c57_badges_from_definition_to_report(command: Run) -> None:
    define = ("badge", "define", "VOLU", "--name", "Volunteers")
    assert command(*define, "--description", "They have a key", "--inactive").status == 0
    listed = records(command("badge", "list", "--json"))
    assert listed == [
        {"code": "ONBE", "name": "Hours without staff", "active": True},
        {"code": "VOLU", "name": "Volunteers", "active": False},
    ]
    assert command("badge", "activate", "VOLU").err == "Badge VOLU is now active.\n"
    assert command("badge", "assign", "VOLU", "OLD2").err == "Patron P2 now has badge VOLU.\n"
    assert records(command("badge", "report", "VOLU", "--json")) == [
        {
            "code": "VOLU",
            "patron": "P2",
            "name": "Dirk Wouters",
            "active": True,
            "from": None,
            "until": None,
            "branches": [],
            "source": "staff",
            "expired": False,
        }
    ]
    assert len(records(command("badge", "report", "--json"))) == 3
    assert command("badge", "unassign", "VOLU", "P2").status == 0
    assert command("badge", "deactivate", "ONBE").status == 0
    table = command("badge", "list").out
    assert "ONBE  Hours without staff  no" in table


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("activate", "NONE"), "there is no badge NONE"),
        (("report", "NONE"), "there is no badge NONE"),
        (("assign", "NONE", "P1"), "there is no badge NONE"),
        (("assign", "ONBE", "P9"), "no patron has the id or card P9"),
        (("define", "A|B", "--name", "N"), "badge A|B: "),
    ],
)
def test_what_is_not_there_is_refused(
    command: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    result = command("badge", *arguments)
    assert (result.status, sentence in result.err) == (1, True)


# Patrons and memberships


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the prompts are answered with."""
    answers: list[str] = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    yield answers
    assert answers == []


def pin_hash(library: Path, patron_id: str) -> tuple[bytes, str]:
    async def read() -> tuple[bytes, str]:
        store = open_backend(load_config(library), "command").store
        record = await store.find_patron(patron_id)
        await store.close()
        assert record is not None
        assert record.pin_hash is not None
        return store.pin_secret, record.pin_hash

    return asyncio.run(read())


def test_a_pin_is_not_asked_for_where_nobody_can_type(
    command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as in a script that forgot --stdin."""

    def ask(prompt: str) -> str:
        warnings.warn("Can not control echo on the terminal.", GetPassWarning, stacklevel=2)
        return "4711"

    monkeypatch.setattr("getpass.getpass", ask)
    result = command("patron", "set-pin", "P1")
    assert result.status == 2
    assert "no terminal to type the PIN at; write it as one line to standard input" in result.err


def test_c51_set_pin_prompts_twice(command: Run, library: Path, typed: list[str]) -> None:
    typed += ["8642", "8642"]
    result = command("patron", "set-pin", "OLD2")
    assert (result.status, result.out) == (0, "")
    assert result.err == "The PIN of patron P2 has been set.\n"
    assert verify_pin(*pin_hash(library, "P2"), "8642")


def test_c51_set_pin_from_standard_input(command: Run, library: Path) -> None:
    assert command("patron", "set-pin", "P1", "--stdin", stdin=b"8642\n").status == 0
    assert verify_pin(*pin_hash(library, "P1"), "8642")


@pytest.mark.parametrize(
    ("answers", "status", "sentence"),
    [
        (["1", "2"], 2, "the two PINs are different"),
        (["", ""], 2, "you gave no PIN"),
        (["9" * 101] * 2, 2, "at most 100 characters"),
    ],
)
def test_a_pin_must_be_one(
    command: Run, typed: list[str], answers: list[str], status: int, sentence: str
) -> None:
    typed += answers
    result = command("patron", "set-pin", "P1")
    assert (result.status, sentence in result.err) == (status, True)
    assert "999" not in result.err


def test_c41_patrons_are_blocked_and_unblocked(command: Run) -> None:
    options = ("--type", "payment", "--note", "ask", "--until", "2099-05-01")
    assert (
        command("patron", "block", "OLD2", *options).err == "Patron P2 has been blocked: payment.\n"
    )
    (told,) = records(command("patron", "show", "P2", "--json"))
    assert told["blocks"] == [
        {"type": "payment", "note": "ask", "until": "2099-05-01", "source": "staff"}
    ]
    assert command("patron", "unblock", "P2").err == "Lifted 1 block of patron P2.\n"
    again = command("patron", "unblock", "P2")
    assert (again.status, "has no block set by staff or a terminal" in again.err) == (1, True)


def guess(config: Path, number: str, count: int, now: datetime) -> None:
    """Wrong PINs at a library system, as the gateway counts them; the fifth locks."""

    async def record() -> None:
        store = open_backend(load_config(config), "command").store
        for _ in range(count):
            await store.record_guess(spelling(number), now, 5, now + timedelta(minutes=15))
        await store.close()

    asyncio.run(record())


def test_b74_staff_see_and_end_a_lock_of_a_pin_that_a_library_system_judges(
    command: Run, library: Path
) -> None:
    now = datetime.now(UTC)
    guess(library, "OLD2", 2, now)
    guess(library, "P2", 5, now)
    (told,) = records(command("patron", "show", "P2", "--json"))
    assert (told["pin_failures"], told["pin_locked_until"] is None) == (5, False)
    forgotten = "The wrong PINs of P2 are forgotten, so its PIN is not locked."
    assert command("patron", "unblock", "P2").err == f"{forgotten}\n"
    (told,) = records(command("patron", "show", "P2", "--json"))
    assert (told["pin_failures"], told["pin_locked_until"]) == (0, None)


def test_b74_a_lock_of_somebody_unknown_here_is_ended_and_blocks_are_lifted_besides(
    command: Run, library: Path
) -> None:
    now = datetime.now(UTC)
    guess(library, "77", 5, now)
    guess(library, "P2", 1, now)
    command("patron", "block", "P2")
    assert "The wrong PINs of 77 are forgotten" in command("patron", "unblock", "77").err
    again = command("patron", "unblock", "77")
    assert (again.status, "no patron has the id or card 77" in again.err) == (1, True)
    lifted = command("patron", "unblock", "P2").err
    assert lifted.startswith("Lifted 1 block of patron P2. The wrong PINs of P2 are forgotten")


@pytest.mark.parametrize("number", ["A123", "0012", "\N{LATIN CAPITAL LETTER A WITH DIAERESIS}B-1"])
def test_b74_a_lock_is_ended_at_the_number_as_it_stands_on_the_card(
    command: Run, library: Path, number: str
) -> None:
    """All spellings of a number count as one."""
    guess(library, number, 5, datetime.now(UTC))
    done = command("patron", "unblock", number)
    assert done.err == f"The wrong PINs of {number} are forgotten, so its PIN is not locked.\n"
    assert command("patron", "unblock", number).status == 1


@pytest.fixture
def before(library: Path) -> Path:
    """The configuration of a gateway with a library system behind it."""
    config = library.with_name("before.toml")
    config.write_text(
        library.read_text()
        + '[backend]\nkind = "sip2"\n[backend.sip2]\naddress = "x:1"\nlogin_order = "none"\n'
    )
    return config


def test_a_library_system_keeps_its_pins(sip2gw: Run, before: Path) -> None:
    result = sip2gw("patron", "set-pin", "P2", "--stdin", "--config", before, stdin=b"1\n")
    assert (result.status, "`sip2gw patron unblock P2`" in result.err) == (1, True)


def test_where_only_the_library_system_knows_patrons_unblock_says_who_can_tell(
    sip2gw: Run, before: Path
) -> None:
    """`patron find` would find nobody. (B74)"""
    result = sip2gw("patron", "unblock", "A123", "--config", before)
    assert (result.status, result.err) == (
        1,
        "sip2gw: no patron here has the id or card A123, and no wrong PIN is counted at it;"
        " `sip2gw explain --terminal T --card A123` asks the library system about it, and says"
        " whether its PIN is locked here\n",
    )


def test_c41_imported_blocks_go_by_import(command: Run) -> None:
    patron = {"kind": "patron", "id": "P4", "name": "Four", "blocks": [{"type": "general"}]}
    command("import", "-", stdin=json.dumps(patron).encode())
    result = command("patron", "unblock", "P4")
    assert (result.status, "1 imported block can be lifted only by an import" in result.err) == (
        1,
        True,
    )


@pytest.mark.parametrize(
    "arguments", [("--until", "soon"), ("--type", "magic")], ids=["a date", "a type"]
)
def test_a_block_that_is_none_is_wrong_usage(command: Run, arguments: tuple[str, ...]) -> None:
    assert command("patron", "block", "P1", *arguments).status == 2


def test_memberships_are_listed_with_all_their_keys(command: Run) -> None:
    (listed,) = records(command("membership", "list", "--json"))
    (shown,) = records(command("membership", "show", "201", "--json"))
    assert listed == shown
    assert listed["max_fees_self_service"] == "10.00"
    assert listed["subsequent_membership"] is None
    assert "Adult" in command("membership", "list").out
    assert "max_fees_self_service  10.00" in command("membership", "show", "201").out
    assert command("membership", "show", "999").status == 1


def test_arguments_that_are_no_text_are_wrong_usage(command: Run) -> None:
    result = command("badge", "assign", "ONBE", "\udcff")
    assert (result.status, result.err) == (2, "sip2gw: an argument is not valid text\n")


def test_payments_of_a_patron_are_those_that_they_made_or_owed(command: Run, library: Path) -> None:
    payment_id = pay(library, 250, now=MARCH)
    other = library.with_name("other.jsonl")
    other.write_text('{"kind": "patron", "id": "P3", "name": "Cleo", "membership": "201"}\n')
    assert command("import", str(other)).status == 0
    for patron, ids in (("P1", [payment_id]), ("OLD2", [payment_id]), ("P3", [])):
        listed = records(command("payment", "list", "--json", "--patron", patron))
        assert [one["id"] for one in listed] == ids, patron


def test_payments_of_nobody_are_a_failure(command: Run) -> None:
    result = command("payment", "list", "--patron", "P9")
    assert result.status == 1
    assert result.err.startswith("sip2gw: no patron has the id or card P9; `patron find` finds")
