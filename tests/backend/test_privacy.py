"""What is kept of a patron, and what is left after forgetting them, on both databases (B91, C146).

Dirk has been everywhere in the library, once under another number: the two records were merged. The
tests look for him afterwards in every row, and in the bytes of SQLite's files.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unicodedata import normalize
from unittest.mock import patch

import pytest
from msgspec.structs import replace
from orders import decided_by, saying

from sip2gw.backend.attempts import UnknownAttempt
from sip2gw.backend.base import EntryOrder, PaymentOrder, RefusedError
from sip2gw.backend.database import WriteResult
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.sql.desk import support
from sip2gw.backend.sql.members import outbox
from sip2gw.backend.sql.members.maintenance import Occasion
from sip2gw.backend.sql.members.personal import IMPERSONAL, PATRON, PERSONAL
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.backend.sql.values import time_text
from sip2gw.backend.sqlite.database import SqliteConnection
from sip2gw.backend.sqlite.store import Store
from sip2gw.backend.staff import privacy
from sip2gw.model import (
    AccessRow,
    Block,
    BlockType,
    DoorEntry,
)
from sip2gw.model.badges import BadgeTerms, BadgeWish, Deed
from sip2gw.model.journal import EntryState
from sip2gw.model.notices import Notice
from sip2gw.model.refusals import RefusedPayment
from sip2gw.model.rights import Act, Role
from sip2gw.model.shares import Share
from sip2gw.model.support import (
    AUTOMATIC_TYPE,
    AutomaticCategory,
    Cause,
    SupportFilter,
    SupportMessage,
    SupportStatus,
)
from sip2gw.policy.desk.support import OpeningDays
from sip2gw.policy.items.decisions import CHECKIN
from sip2gw.staff.members.maintenance import maintain_memberships
from sip2gw.staff.members.privacy import report_json

from . import test_circulation as desk
from .journal_contract import taken_off_line
from .library import NOW, REFUSALS, ZONE, content, load, open_library, order, pay_fee

DIRK, CARD, OLD = "29000000000017", "77123456789012", "77000000000099"
FORMER = "29000000000888"
"""Dirk's other record, until it was merged."""
NAME = 'Dirk "D." Céline Öst'
DAYS = OpeningDays({}, ZONE)
PATRON_LINE: dict[str, Any] = {
    "kind": "patron",
    "id": DIRK,
    "name": NAME,
    "pin": "2468",
    "birth_date": "1971-12-24",
    "membership": "201",
    "membership_from": "2025-01-01",
    "membership_until": "2026-12-31",
    "email": "dirk.ost@example.org",
    "phone": "+32 499 55 44 33",
    "address": "Verbrandstraat 17, 9000 Gent",
    "cards": [{"number": CARD}, {"number": OLD, "state": "lost"}],
    "badges": ["ONBE"],
    "blocks": [{"type": "general", "note": "spoke to Dirk"}],
    "notices": ["Dirk, your book is here"],
}
TRACES = (
    *("Dirk", "Céline", "C\\u00e9line", "1971-12-24", "dirk.ost", "55 44 33", "Verbrand", "2468"),
    *(DIRK, CARD, OLD, FORMER),
)
FEES = [
    {"id": "D1", "amount": "3.00", "description": f"Lost by {NAME}"},
    {"id": "D2", "amount": "2.00"},
    {"id": "D3", "amount": "1.00", "paid": "4.00"},
]
ELSEWHERE: list[dict[str, Any]] = [
    {
        "kind": "patron",
        "id": "P9",
        "name": "Eva Nys",
        "blocks": [{"type": "general", "note": f"owes {NAME.upper()} a book, see {CARD}"}],
        "notices": [f"ask {normalize('NFD', NAME)}", "nothing"],
        "badges": [],
    },
    {
        "kind": "fee",
        "id": "E1",
        "patron": "P9",
        "amount": "1.00",
        "created": "2026-02-01",
        "description": 'from Öst, Dirk "D." Céline',
    },
    {"kind": "item", "id": "I9", "title": "Dijk", "note": f"gift of {NAME}"},
]
WHERE_ELSE = {
    *("block.note", "patron.notices", "fee.description", "item.note", "door_entry.note"),
    *("badge_change.reason", "patron.answers", "support_event.note"),
    *("support_message.text", "support_message.object", "answered.body"),
}
NEVER = {"item", "hold", "answer to repeat"}
"""Rows that are about nobody, or that Dirk has none of."""


def money(minor: int) -> str:
    return f"EUR {minor / 100:.2f}"


async def forget(library: Library, number: str = DIRK, *, force: bool = False) -> str:
    """Forget the patron; what the ledger names instead."""
    forgotten, left_to_do = await library.forget_patron(number, money, force=force)
    assert left_to_do == ""
    return forgotten.stub


def passage(patron_id: str, minutes: int) -> AccessRow:
    time = NOW + timedelta(minutes=minutes)
    checks = "open=ok pin=ok"
    return AccessRow(time, "MAIN", "door-1", "granted", "granted", "normal", checks, patron_id)


def paying(fee_id: str, amount: int, bk: str, **changed: Any) -> PaymentOrder:
    content = f"{DIRK}|{amount}|EUR|00||"
    wanted = order(bk, amount, payer_id=DIRK, card=CARD, content=content)
    return decided_by(replace(wanted, **changed), pay_fee(fee_id, amount))


async def merge_former(library: Library) -> None:
    """Dirk under another number pays a part of what he owes, and becomes one with himself."""
    line = {"kind": "patron", "id": FORMER, "name": "Dirk Oest", "birth_date": "1971-12-24"}
    fee = {"kind": "fee", "id": "D4", "patron": FORMER, "amount": "2.00", "created": "2026-02-01"}
    assert load(library, line, fee).errors == ()
    changed = {"payer_id": FORMER, "card": FORMER, "content": f"{FORMER}|100|EUR"}
    assert (await library.book_payment(paying("D4", 100, "8", **changed))).outcome == "booked"
    library.log_access(passage(FORMER, 3))
    await asyncio.sleep(0.4)  # until the door log is written
    await library.merge_patrons(FORMER, DIRK, Deed("ann", NOW, f"{FORMER} is Dirk"))


async def be_followed_up(library: Library) -> None:
    """Customer support about Dirk, and about others where staff name him."""
    block = Block(BlockType.GENERAL, "", None, "terminal")
    await library.set_block(DIRK, block, terminal="kiosk-1", card=CARD)
    while await library.follow_up({}, NOW, DAYS):
        pass
    causes = [
        Cause(AutomaticCategory.BLOCKED_CARD, number, f"blocked {number}", DIRK)
        for number in (OLD, DIRK)
    ] + [
        Cause(AutomaticCategory.REFUSED_PAYMENT, f"cash-1|{number}|5.00|EUR", f"{number} paid")
        for number in (CARD, OLD)
    ]
    await library.write(
        lambda connection: WriteResult(support.open_automatic(connection, causes, NOW, DAYS))
    )
    for card, text in ((DIRK, "Why am I barred?"), ("P9", f"Where is {NAME}?")):
        opened = (AUTOMATIC_TYPE, "DATA", text, "ann", NOW, DAYS)
        message = await library.open_support_message(*opened, card=card)
        await library.answer_support_message(message, f"Ask {NAME}", "ann", NOW)


async def be_told(library: Library) -> None:
    """What maintenance and the outbox keep of Dirk."""
    notice = Notice("CAE", DIRK, "2026-12-31", {"until": "2026-12-31", "membership": "Adult"})
    await library.write(lambda connection: WriteResult(outbox.put(connection, [notice], NOW)))
    for statement in (
        "UPDATE outbox SET channel = 'email', recipient = 'dirk.ost@example.org', state = 'sent',"
        " ended = '2026-03-10', problem = 'dirk.ost@example.org was slow' WHERE patron_id = ?",
        "INSERT INTO notice_given (patron_id, kind, cause, day) VALUES (?, 'CAE', 'x', '2026')",
        "INSERT INTO membership_fee (patron_id, since, until, fee_id, amount)"
        " VALUES (?, '2026-01-01', '2026-12-31', 'D1', 300)",
        "INSERT INTO borrowed (patron_id, work, until) VALUES (?, 'title T1', '2026-05-01')",
    ):
        assert execute(library, statement, (DIRK,)) == 1
    # What was booked above may have put it there already.
    execute(library, "DELETE FROM activity WHERE patron_id = ?", (DIRK,))
    execute(library, "INSERT INTO activity (patron_id, day) VALUES (?, '2026-03-10')", (DIRK,))
    wish = [BadgeWish("P9", BadgeTerms())]
    await library.assign_badge("ONBE", wish, Deed("ann", NOW, f"comes with {NAME}"))


async def visit(library: Library) -> None:
    """Put Dirk into every table that can name him."""
    fees = [{"kind": "fee", "patron": DIRK, "created": "2026-02-01"} | fee for fee in FEES]
    relations = (
        {"kind": "relationship", "type": "head_of_family", "from": DIRK, "to": "P8"},
        {
            "kind": "relationship",
            "type": "authorisation",
            "from": DIRK,
            "to": "P9",
            "functions": ["pay"],
        },
    )
    child = {"kind": "patron", "id": "P8", "name": "Fien Ost"}
    assert load(library, PATRON_LINE, child, *ELSEWHERE, *fees, *relations).errors == ()
    first = paying("D1", 200, f"20260310{CARD}", key=f"bk:20260310{CARD}")
    second = paying("D2", 100, "7", payer_id="P9", card="P9", content=f"P9|100|EUR|{CARD}")
    for payment in (replace(first, texts=saying(f"Thank you, {NAME}")), second):
        assert (await library.book_payment(payment)).outcome == "booked"
    unsure = order("BK77", payer_id=DIRK, content=f"{DIRK}|100|EUR", card=OLD)
    await library.settle([attempt_of(unsure)], NOW)
    assert load(library, {"kind": "fee", "id": "D3", "patron": DIRK, "amount": "1.00",
                          "created": "2026-02-01"}).surpluses == ()  # fmt: skip
    there = order("BK78", payer_id=DIRK, amount=100, content=f"{DIRK}|100|EUR", card=OLD)
    await library.begin_shares(there, "default", (Share(DIRK, OLD, "own", 100),), (), {})
    await library.end_share(there.id, 0, booked=True, now=NOW)
    for number, minutes in ((DIRK, 0), ("P1", 1), (DIRK, 2)):
        library.log_access(passage(number, minutes))
    await library.enter_branch(
        EntryOrder(
            "MAIN", f"door-1 {CARD}", DIRK, NOW, NOW + timedelta(hours=4), NOW, NOW, 0, False
        )
    )
    await library.put_door_entry(DoorEntry("bar", "MAIN", CARD, note="known to staff"))
    await library.put_door_entry(DoorEntry("pass", "MAIN", "X1", note=f"friend of {NAME}"))
    refused = RefusedPayment(NOW, "cash-1", CARD, "5.00", "EUR", "00", f"{OLD}-1", "overpayment")
    written = library.keep_refused_payment(refused)
    if written is not None:
        await written
    lent = desk.order(item="I2", patron=DIRK, key=f"K{CARD}")
    await library.circulate(decided_by(lent, desk.lending(no_block=True)))
    back = desk.order(CHECKIN, item="I2", patron=None, key="R")
    await library.circulate(decided_by(back, desk.returning()))
    again = desk.order(item="I2", patron=DIRK, claim=desk.OFF_LINE, key=f"{CARD}")
    await library.circulate(decided_by(again, desk.lending(no_block=True)))
    (entry,) = [one.id for one in library.reviews() if one.patron == DIRK]
    await library.close_reviews([entry], "told Dirk", "ann", NOW)
    await library.record_pin_failure(DIRK, NOW, 5, NOW + timedelta(minutes=15))
    entry_kept = taken_off_line("J1", patron=CARD, item="I3")
    await library.add_to_journal(entry_kept)
    await library.end_journalled(entry_kept, EntryState.DONE, (), NOW)
    act = Act(NOW, "desk", Role.STAFF, "rest", "patron show", f"20260310{CARD}", CARD)
    library.add_audit_entry(act, "done")
    library.claim_answer("desk", "K1", "x", NOW)
    library.put_answer("desk", "K1", 200, f'{{"payer": "{CARD}"}}')
    await be_told(library)
    await merge_former(library)
    await be_followed_up(library)
    assert library.self_check() == []


@pytest.fixture
async def visited(furnished: Any) -> Library:
    """The small library, with Dirk in every table that can name him."""
    library: Library = await furnished(visit)
    return library


def execute(library: Library, statement: str, values: tuple[Any, ...] = ()) -> int:
    with library.own_connection() as connection:
        return connection.execute(statement, values).rowcount


def texts(rows: Any) -> str:
    return "\n".join(map(repr, rows))


def statistics(library: Library) -> list[Any]:
    """What a library reports: money by terminal, doors by minute, stays, work of support."""
    payments = [
        (one.time, one.terminal, one.amount, one.payment_type, one.status, len(one.lines))
        for one in library.payments()
    ]
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=1)
    stays = library.passages("MAIN", since=since, until=until)
    return [
        payments,
        library.door_counts(since=since, until=until),
        len({DIRK if one.patron_id == FORMER else one.patron_id for one in stays}),
        len(stays),
        sum(one.amount for one in library.surpluses()),
        [(one.id, one.category, one.status, one.created, one.count) for one in messages(library)],
    ]


def messages(library: Library) -> list[SupportMessage]:
    return list(library.support_messages(SupportFilter()))


# The declaration


async def test_every_column_of_the_schema_is_listed(library: Library) -> None:
    """Whoever adds a table says in `backend/sql/members/personal.py` what it knows of whom."""
    declared = {table.table: set(table.columns) for table in (PATRON, *PERSONAL)}
    with library.snapshot() as connection:
        names = [name for (name,) in connection.execute(connection.dialect.table_names).fetchall()]
    assert sorted(names) == sorted([*declared, *IMPERSONAL])
    for name, columns in declared.items():
        assert columns == columns_of(library, name), name


def columns_of(library: Library, table: str) -> set[str]:
    if isinstance(library, Store):
        statement = f"SELECT name FROM pragma_table_info('{table}')"
    else:
        statement = f"""SELECT column_name::text FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = '{table}'"""
    with library.snapshot() as connection:
        return {name for (name,) in connection.execute(statement).fetchall()}


@pytest.mark.parametrize("table", [PATRON, *PERSONAL], ids=lambda it: it.table)
def test_a_column_is_listed_once_and_what_is_said_of_it_fits(table: Any) -> None:
    assert len(table.columns) == len(set(table.columns))
    assert {*table.key, *table.texts, *table.emptied} <= set(table.columns)
    assert not (table.deleted and table.emptied)


# The report


async def test_a_report_has_every_kind_and_no_hash(visited: Library) -> None:
    rows = list(visited.personal_data(CARD))
    kinds = {kind for kind, _ in rows}
    assert kinds == {table.kind for table in (PATRON, *PERSONAL)} - NEVER | {"mention"}
    assert "argon2" not in texts(rows)
    assert {row["where"] for kind, row in rows if kind == "mention"} == WHERE_ELSE
    cards = [row["number"] for kind, row in rows if kind == "card"]
    assert cards == sorted((DIRK, CARD, OLD, FORMER))


async def test_a_report_tells_each_kind_to_people(visited: Library) -> None:
    """C21: local times, amounts as texts, no names of columns."""
    told: dict[str, dict[str, Any]] = {}
    for row in report_json(visited.personal_data(DIRK), "EUR", ZONE):
        told.setdefault(row.pop("kind"), row)
    assert told["membership fee"] == {
        "patron": DIRK,
        "since": "2026-01-01",
        "until": "2026-12-31",
        "fee": "D1",
        "amount": "3.00",
    }
    assert told["last activity"] == {"patron": DIRK, "day": "2026-03-10"}
    assert told["notice"] == {
        "patron": DIRK,
        "type": "CAE",
        "cause": "2026-12-31",
        "details": '{"until":"2026-12-31","membership":"Adult"}',
        "created": "2026-03-10T10:30:00+01:00",
        "state": "sent",
        "channel": "email",
        "recipient": "dirk.ost@example.org",
        "ended": "2026-03-10",
        "problem": "dirk.ost@example.org was slow",
    }
    assert told["answer of customer support"]["time"] == "2026-03-10T10:30:00+01:00"


async def test_a_report_has_what_stands_under_a_former_number(visited: Library) -> None:
    rows = list(visited.personal_data(CARD))
    under = {kind for kind, row in rows for value in row.values() if value == FORMER}
    assert {"patron", "card", "payment", "ledger entry", "passage"} <= under
    assert ("DATA", "Why am I barred?") in [
        (row["category"], row["text"])
        for kind, row in rows
        if kind == "message of customer support"
    ]


async def test_a_report_has_nothing_of_others(visited: Library) -> None:
    rows = list(visited.personal_data("P9"))
    notes = {"block", "patron", "fee", "badge change"}
    notes |= {"message of customer support", "answer of customer support"}
    assert NAME not in texts(row for kind, row in rows if kind not in notes)
    assert "1971-12-24" not in texts(rows)
    with pytest.raises(RefusedError, match="no patron has the id or card nobody"):
        list(visited.personal_data("nobody"))


# Forgetting


async def test_c146_nothing_names_a_forgotten_patron(visited: Library) -> None:
    """Must be shown: no row and no byte does, and the statistics stand."""
    before, rows = statistics(visited), sum(map(len, content(visited).values()))
    assert all(trace in texts(content(visited).values()) for trace in (DIRK, CARD, OLD, "Dirk"))
    stub = await forget(visited, force=True)
    kept = content(visited)
    for table, found in kept.items():
        for trace in TRACES:
            assert trace.lower() not in normalize("NFC", texts(found)).lower(), (table, trace)
    if isinstance(visited, Store):
        files = [path.read_bytes() for path in visited.path.parent.glob("library.db*")]
        assert not [t for t in TRACES for file in files if t.encode() in file]
    assert visited.self_check() == []
    assert statistics(visited) == before
    assert len(kept["patron"]) == 6  # a stub instead of him
    assert rows > sum(map(len, kept.values()))
    payers = {one.payer_id for one in visited.payments()}
    assert payers == {stub, "P9"}
    assert list(visited.notices()) == []


async def test_messages_of_support_stay_without_the_person(visited: Library) -> None:
    """C163: nor do two open ones become one because both lost the card that they were about."""
    before = {one.id: one for one in messages(visited)}
    stub = await forget(visited, force=True)
    after = messages(visited)
    assert len([one for one in after if one.patron_id == stub]) == len(
        [one for one in before.values() if one.patron_id == DIRK]
    )
    assert [one.text for one in after if one.patron_id == "P9"] == [f"Where is {stub}?"]
    refused = [one for one in after if one.text == f"{stub} paid"]
    assert len(refused) == 2
    _, history = visited.support_message(max(one.id for one in after if one.patron_id == stub))
    assert [step.note for step in history] == ["", ""]
    rows = [tuple(row) for row in content(visited)["support_message"]]
    assert {row[3] for row in rows if row[2] == AutomaticCategory.BLOCKED_CARD} == {""}
    assert all(row[3] for row in rows if row[2] == AutomaticCategory.OFFLINE)


async def test_what_a_former_number_has_to_settle_ties_too(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(library, CLEAN).errors == ()
    await merge_former(library)
    open_attempt = attempt_of(order("X", payer_id=FORMER))
    monkeypatch.setattr(library, "spooled", lambda: [open_attempt])
    with pytest.raises(RefusedError, match="before the gateway has settled"):
        await forget(library, force=True)


async def test_what_was_taken_off_line_ties_until_it_has_gone_up(library: Library) -> None:
    load(library, PATRON_LINE)
    loan = taken_off_line("J1", patron=CARD)
    await library.add_to_journal(loan)
    with pytest.raises(RefusedError, match="unknown outcome"):
        await forget(library)
    await library.end_journalled(loan, EntryState.DONE, (), NOW)
    await forget(library)
    assert list(library.journal_entries()) == []


async def test_a_payment_ties_of_which_a_library_system_has_not_told(library: Library) -> None:
    load(library, PATRON_LINE)
    there = order("BK78", payer_id=DIRK, amount=100)
    await library.begin_shares(there, "default", (Share(DIRK, DIRK, "own", 100),), (), {})
    with pytest.raises(RefusedError, match="unknown outcome"):
        await forget(library)
    await library.end_share(there.id, 0, booked=False, now=NOW)
    await forget(library)


async def test_an_open_attempt_in_the_store_ties(library: Library) -> None:
    assert load(library, CLEAN).errors == ()
    await library.settle([attempt_of(order(payer_id=DIRK, amount=100))], NOW)
    execute(library, "UPDATE attempt SET settled = NULL")
    with pytest.raises(RefusedError, match="1 transaction has an unknown outcome"):
        await forget(library)


@pytest.mark.parametrize("at_once", [1, 2])
async def test_texts_are_found_in_whatever_portions_they_are_read(
    visited: Library, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    mentions = [row for kind, row in visited.personal_data(DIRK) if kind == "mention"]
    monkeypatch.setattr(privacy, "TEXTS_AT_ONCE", at_once)
    assert [row for kind, row in visited.personal_data(DIRK) if kind == "mention"] == mentions


async def test_c146_what_joining_pages_left_behind_is_gone_too(store: Store) -> None:
    """When SQLite joins two pages, old copies of entries stay in the file; zeros miss them."""
    assert load(store, {"kind": "patron", "id": DIRK, "name": NAME}).errors == ()
    refused = AutomaticCategory.REFUSED_PAYMENT
    causes = [Cause(refused, f"{DIRK} {n}", "Refused", DIRK) for n in range(1000)]
    await store.write(
        lambda connection: WriteResult(support.open_automatic(connection, causes, NOW, DAYS))
    )
    await forget(store)
    files = [path.read_bytes() for path in store.path.parent.glob("library.db*")]
    assert not any(DIRK.encode() in file for file in files)


async def test_c146_a_file_that_cannot_be_written_anew_is_told(store: Store) -> None:
    assert load(store, {"kind": "patron", "id": DIRK, "name": NAME}).errors == ()
    full = patch.object(SqliteConnection, "execute", _without_room_for_a_second_file)
    with full:
        _, left = await store.forget_patron(DIRK, money, force=False)
    assert left == (
        "the file may still hold old data (database or disk is full); stop the gateway and run"
        " `sqlite3 FILE VACUUM`"
    )


def _without_room_for_a_second_file(
    connection: SqliteConnection, statement: str, *values: Any
) -> sqlite3.Cursor:
    if statement == "VACUUM":
        raise sqlite3.OperationalError("database or disk is full")
    return sqlite3.Connection.execute(connection, statement, *values)


async def test_staff_see_what_is_left_to_do_in_messages_of_a_forgotten_patron(
    library: Library,
) -> None:
    assert load(library, {"kind": "patron", "id": DIRK, "name": NAME}).errors == ()
    causes = [
        Cause(AutomaticCategory.REFUSED_PAYMENT, "cash-1|7", "Receipt 7 was refused.", DIRK),
        Cause(AutomaticCategory.REFUSED_PAYMENT, f"cash-1|{DIRK}", f"Receipt {DIRK}.", DIRK),
        Cause(AutomaticCategory.BLOCKED_CARD, "1", "He said that he is ill.", DIRK),
    ]
    await library.write(
        lambda connection: WriteResult(support.open_automatic(connection, causes, NOW, DAYS))
    )
    for category in ("DATA", "PAYR"):
        asked = (AUTOMATIC_TYPE, category, "He is ill.", "ann", NOW, DAYS)
        number = await library.open_support_message(*asked, card=DIRK)
    closed = (SupportStatus.CLOSED_BY_LIBRARY, "", "ann", NOW, DAYS)
    await library.set_support_status(number, *closed)
    await forget(library)
    close = "The patron has been forgotten. Close this message."
    expected = ["Receipt 7 was refused.", close, close, close, ""]
    assert [one.text for one in messages(library)] == expected


async def test_others_keep_what_is_said_of_them(visited: Library) -> None:
    """Only the name and the card go from texts about somebody else."""
    stub = await forget(visited, force=True)
    kept = content(visited)
    (block,) = [tuple(row) for row in kept["block"] if row[0] == "P9"]
    assert f"owes {stub} a book, see {stub}" in block
    (fee,) = [tuple(row) for row in kept["fee"] if row[0] == "E1"]
    assert f"from {stub}" in fee
    (entry,) = kept["door_entry"]
    assert f"friend of {stub}" in tuple(entry)
    p9 = await visited.find_patron("P9")
    assert p9 is not None
    assert p9.notices == (f"ask {stub}", "nothing")


async def test_a_forgotten_patron_is_not_found_counted_or_exported(visited: Library) -> None:
    count = await visited.count_patrons()
    stub = await forget(visited, force=True)
    for number in (DIRK, CARD, OLD, stub):
        assert await visited.find_by_card(number) is None
        assert await visited.find_patron(number) is None
    assert await visited.find_patrons([stub, "P1"]) == [await visited.find_patron("P1")]
    assert await visited.count_patrons() == count - 1
    exported = list(export_lines(visited, currency="EUR", everything=True))
    records = [json.loads(line) for line in exported]
    assert stub not in {one.get(key) for one in records for key in ("id", "patron", "from", "to")}
    assert "D1" not in {one.get("id") for one in records}
    assert load(visited, *exported).errors == ()


async def test_c62_a_running_gateway_forgets_its_snapshot(store: Store, tmp_path: Path) -> None:
    assert load(store, PATRON_LINE).errors == ()
    assert await store.find_by_card(CARD) is not None
    command = open_library(tmp_path, role="command")
    await command.forget_patron(CARD, money)
    await command.close()
    await asyncio.sleep(0)
    assert await store.find_by_card(CARD) is None
    refused = await store.book_payment(paying("F1", 100, "1"))
    assert refused.refusal == "unknown_card"


async def test_nobody_gets_the_id_of_a_stub(visited: Library) -> None:
    stub = await forget(visited, force=True)
    report = load(visited, {"kind": "patron", "id": stub, "name": "Mallory"})
    assert "stands for a patron who was forgotten" in report.errors[0]


async def test_an_item_that_a_forgotten_patron_had_is_missing(visited: Library) -> None:
    await forget(visited, force=True)
    item = await visited.find_item("I2", NOW)
    assert item is not None
    assert (item.state.loan, item.state.status) == (None, "missing")


async def test_the_same_person_can_come_back(visited: Library) -> None:
    """Their library still has them, or they register again: nothing of the old is theirs."""
    await forget(visited, force=True)
    assert load(visited, PATRON_LINE).errors == ()
    back = await visited.find_by_card(CARD)
    assert back is not None
    assert (back.id, back.fees, back.loans) == (DIRK, (), ())
    await forget(visited, force=False)
    assert visited.self_check() == []


async def test_a_fee_id_with_a_card_number_is_told(library: Library) -> None:
    fee = {"kind": "fee", "id": f"F-{CARD}", "patron": DIRK, "amount": "0.00"}
    assert load(library, PATRON_LINE, fee | {"created": "2026-01-01"}).errors == ()
    forgotten, _ = await library.forget_patron(DIRK, money)
    assert forgotten.left == 1


async def test_who_writes_between_the_search_and_the_lock_is_searched_too(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(library, PATRON_LINE).errors == ()
    search = privacy.search
    searched: list[Any] = []

    def slow_search(connection: Any, patron_ids: Any) -> Any:
        found = search(connection, patron_ids)
        if not searched:
            assert load(library, *ELSEWHERE).errors == ()
        searched.append(found)
        return found

    monkeypatch.setattr(privacy, "search", slow_search)
    await forget(library)
    assert len(searched) == 2
    assert "Céline" not in normalize("NFC", texts(content(library).values()))


# Refusals


CLEAN = {key: value for key, value in PATRON_LINE.items() if key not in ("blocks", "notices")}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([{"kind": "fee", "amount": "1.50"}], "EUR 1.50 is owed"),
        ([{"kind": "fee", "amount": "-0.20"}], "a credit of EUR 0.20 is left"),
        (
            [{"kind": "fee", "amount": "1.00", "paid": "3.00"}],
            "EUR 2.00 was paid too much and not given back",
        ),
        (
            [{"kind": "loan", "item": "I2", "checked_out": "2026-03-01", "due": "2026-03-22"}],
            "1 item is on loan",
        ),
        (
            [{"kind": "hold", "title_id": "T2", "placed": "2026-03-01", "ready": True}],
            "1 hold waits on the shelf",
        ),
    ],
)
async def test_b91_what_ties_a_patron_is_said_and_can_be_forced(
    library: Library, lines: list[dict[str, Any]], reason: str
) -> None:
    common = {"patron": DIRK}
    for line in lines:
        line |= common
        if line["kind"] == "fee":
            line |= {"id": "X", "created": "2026-01-01"}
        if line["kind"] == "hold":
            line |= {"id": "X"}
    assert load(library, CLEAN, *lines).errors == ()
    before = content(library)
    with pytest.raises(RefusedError) as refused:
        await forget(library)
    assert str(refused.value) == (
        f"patron {DIRK} was not forgotten: {reason}; settle that first, or use --force to forget"
        " them all the same"
    )
    assert content(library) == before
    await forget(library, force=True)
    assert library.self_check() == []


async def test_a_hold_that_only_waits_does_not_tie(library: Library) -> None:
    hold = {"kind": "hold", "id": "X", "patron": DIRK, "title_id": "T2", "placed": "2026-03-01"}
    assert load(library, CLEAN, hold).errors == ()
    await forget(library)


@pytest.mark.parametrize("kind", ["payment", "circulation"])
async def test_what_a_gateway_has_to_settle_cannot_be_forced(
    library: Library, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Settling writes a row for the patron; it may be in the memory of the gateway alone."""
    assert load(library, CLEAN).errors == ()
    wanted = order(payer_id=DIRK) if kind == "payment" else desk.order(patron=DIRK)
    spooled: list[UnknownAttempt] = [attempt_of(wanted)]
    monkeypatch.setattr(library, "spooled", lambda: spooled)
    with pytest.raises(RefusedError, match="before the gateway has settled"):
        await forget(library, force=True)
    spooled[:] = [attempt_of(order(payer_id="P1"))]
    await forget(library)


async def test_a_review_of_unknown_outcome_ties(library: Library) -> None:
    assert load(library, CLEAN).errors == ()
    execute(
        library,
        "INSERT INTO review (id, time, kind, terminal, message, item, patron, outcome)"
        " VALUES ('U', '2026-03-01', 'unknown', 'k', '11', 'I1', ?, 'unknown')",
        (CARD,),
    )
    with pytest.raises(RefusedError, match="1 transaction has an unknown outcome"):
        await forget(library)


# The ledger's guards


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1",
        "position = position + 1000",
        "transaction_id = transaction_id || 'x'",
        "fee_id = NULL",
        "relation = 'own'",
        "account = account || 'x'",
        "account = 'surplus:P3'",
        "debtor_id = 'P3'",
        "debtor_id = NULL",
        "debtor_id = '~stub'",
        "debtor_id = '~stub', amount = -amount",
    ],
)
@pytest.mark.parametrize("marked", [False, True])
async def test_the_ledger_refuses_every_other_change(
    library: Library, change: str, marked: bool
) -> None:
    """B47: an entry of P1; even while P1 is being forgotten, and a stub is there."""
    execute(library, "INSERT INTO patron (id, name, forgotten_on) VALUES ('~stub', '', 'today')")
    execute(library, "INSERT INTO patron (id, name, forgotten_on) VALUES ('~other', '', 'today')")
    if marked:
        execute(library, "UPDATE patron SET forgotten_as = '~other' WHERE id = 'P1'")
    before = content(library)["ledger_entry"]
    with pytest.raises(REFUSALS), library.own_connection() as connection:
        connection.execute(f"UPDATE ledger_entry SET {change} WHERE debtor_id = 'P1'")
    assert content(library)["ledger_entry"] == before


@pytest.mark.parametrize(
    "change",
    [
        "debtor_id = '~stub', amount = amount * 2",
        "debtor_id = '~stub', relation = 'own'",
        "debtor_id = '~stub', account = 'opening' || account",
        "debtor_id = '~stub', fee_id = NULL",
        "debtor_id = '~stub', position = position + 1000",
    ],
)
async def test_the_ledger_takes_a_stub_and_nothing_with_it(library: Library, change: str) -> None:
    execute(library, "INSERT INTO patron (id, name, forgotten_on) VALUES ('~stub', '', 'today')")
    execute(library, "UPDATE patron SET forgotten_as = '~stub' WHERE id = 'P1'")
    with pytest.raises(REFUSALS), library.own_connection() as connection:
        connection.execute(f"UPDATE ledger_entry SET {change} WHERE debtor_id = 'P1'")
    assert execute(library, "UPDATE ledger_entry SET debtor_id = '~stub' WHERE debtor_id = 'P1'")


async def test_a_patron_who_is_no_stub_takes_nobodys_place(library: Library) -> None:
    execute(library, "UPDATE patron SET forgotten_as = 'P3' WHERE id = 'P1'")
    with pytest.raises(REFUSALS), library.own_connection() as connection:
        connection.execute("UPDATE ledger_entry SET debtor_id = 'P3' WHERE debtor_id = 'P1'")


async def test_the_ledger_refuses_to_delete(library: Library) -> None:
    for table in ("ledger_entry", "ledger_transaction"):
        with pytest.raises(REFUSALS), library.own_connection() as connection:
            connection.execute(f"DELETE FROM {table}")
    with pytest.raises(REFUSALS), library.own_connection() as connection:
        connection.execute("UPDATE ledger_transaction SET time = 'never'")


# Retention


def looked_for(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """For whom the texts of the store are read, each time."""
    search, searched = privacy.search, list[list[str]]()

    def noting(connection: Any, patron_ids: Any) -> Any:
        searched.append(list(patron_ids))
        return search(connection, patron_ids)

    monkeypatch.setattr(privacy, "search", noting)
    return searched


def ended(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "patron", "id": f"E{number}", "name": f"Person {number}", "status": 9} | more


async def test_b93_ended_patrons_are_forgotten_unless_something_ties_them(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy, "FORGOTTEN_AT_ONCE", 2)
    monkeypatch.setattr(privacy, "SEARCHED_AT_ONCE", 4)
    searched = looked_for(monkeypatch)
    assert (
        load(
            library,
            *(ended(number, membership_until="2025-03-09") for number in range(5)),
            ended(5, membership_until="2025-03-10"),
            ended(6),
            ended(7, membership_until="2025-03-09", status=5),
            ended(8, membership_until="2025-03-09"),
            ended(9, membership_until="2025-03-09"),
            ended(10, membership_until="2027-01-01"),
            {"kind": "fee", "id": "X8", "patron": "E8", "amount": "1.00", "created": "2024-01-01"},
        ).errors
        == ()
    )
    execute(library, "UPDATE patron SET ended_on = '2025-03-09' WHERE id = 'E10'")
    execute(library, "UPDATE patron SET ended_on = '2025-03-10' WHERE id = 'E9'")
    before = NOW - timedelta(days=365)
    assert before.date().isoformat() == "2025-03-10"
    assert (library.count_ended(before), library.count_ended_kept(before)) == (6, 1)
    assert await library.forget_ended(before) == 6
    assert searched == [["E0", "E1", "E10", "E2"], ["E3", "E4"]]  # once, for two transactions
    found = [number for number in range(11) if await library.find_patron(f"E{number}")]
    assert found == [5, 6, 7, 8, 9]
    assert (library.count_ended(before), library.count_ended_kept(before)) == (0, 1)
    assert await library.forget_ended(before) == 0
    assert library.self_check() == []


@pytest.mark.parametrize(("ends_in", "forgotten"), [(30, 0), (-1, 1)])
async def test_b93_one_process_at_a_time_forgets_the_ended(
    library: Library, ends_in: int, forgotten: int
) -> None:
    """Unless it was killed, and its turn has ended since."""
    ends = time_text(datetime.now(UTC) + timedelta(minutes=ends_in))

    load(library, ended(1, membership_until="2020-01-01"))
    execute(library, f"INSERT INTO setting (name, value) VALUES ('forgetting_until', '{ends}')")
    assert await library.forget_ended(NOW) == forgotten
    with library.snapshot() as connection:
        (kept,) = connection.execute(
            "SELECT value FROM setting WHERE name = 'forgetting_until'"
        ).fetchone()
    assert kept == ("" if forgotten else ends)


async def test_b93_whose_membership_maintenance_ended_is_forgotten_unless_they_came_back(
    library: Library,
) -> None:
    """E2 is in the next import, and E3 got another status at the desk."""
    guests = {"code": "302", "description": "Guest", "type": 5, "renewal_type": 5}
    last_day = {"membership": "302", "membership_from": "2024-01-01", "status": 5}
    last_day["membership_until"] = "2024-12-31"
    lines = [ended(number, **last_day) for number in range(1, 4)]
    assert load(library, {"kind": "membership"} | guests, *lines).errors == ()
    assert library.count_ended(NOW) == 0
    async for _ in maintain_memberships(library, Occasion(NOW, ZONE, {})):
        pass
    assert library.count_ended(NOW) == 3
    execute(library, "UPDATE patron SET ended_on = '2025-01-01' WHERE id IN ('E2', 'E3')")
    assert load(library, lines[1] | {"membership_until": "2027-12-31"}).errors == ()
    execute(library, "UPDATE patron SET status = 5 WHERE id = 'E3'")
    assert await library.forget_ended(NOW) == 1
    assert [bool(await library.find_patron(f"E{one}")) for one in (1, 2, 3)] == [False, True, True]


async def test_b93_reviews_are_deleted_a_year_after_they_were_closed(visited: Library) -> None:
    execute(
        visited,
        "INSERT INTO review (id, time, kind, terminal, message, item, patron, outcome, state,"
        " closed, closed_by) VALUES ('U', '2020-01-01', 'unknown', 'k', '11', 'I1', '', 'unknown',"
        " 'closed', '2020-01-01', 'ann')",
    )
    for moment, count in ((NOW, 0), (NOW + timedelta(seconds=1), 1)):
        assert visited.count_forgotten_reviews(moment) == count
        assert await visited.forget_reviews(moment) == count
    assert {row[0] for row in content(visited)["review"]} == {"U"}
