"""After a merge nothing is left under the former id but what has a reason, on both databases (B49).

Ann is in the library twice, and her second record D1 is named in every column that can name a
patron. So whoever adds such a column has to say what a merge does with it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.library import Library
from sip2gw.backend.sql.members import outbox
from sip2gw.backend.sql.members.activity import PUT
from sip2gw.backend.sql.members.maintenance import Occasion
from sip2gw.backend.sql.members.personal import PATRON, PERSONAL
from sip2gw.model import AccessRow, DoorEntry
from sip2gw.model.maintenance import Step
from sip2gw.model.merging import MergeResult
from sip2gw.model.notices import SAYS, Notice
from sip2gw.model.shares import Share
from sip2gw.model.support import AutomaticCategory, Cause
from sip2gw.policy.members.memberships import fee_id
from sip2gw.staff.members.maintenance import maintain_memberships

from .contract import entry
from .library import NOW, ZONE, content, load, order, pay_fee
from .test_merging import DOUBLE, EVA, found
from .test_privacy import columns_of
from .test_support import PLAIN_DAYS

STAYS = {
    "patron.id": "the empty row that the ledger refers to",
    "card.number": "the former id is a card of the lasting patron now",
    "door_entry.card": "a door's list knows the card, whoever has it",
    "block.card": "which card a terminal blocked",
    "payment.payer_id": "a payment stays as it was booked",
    "payment.card": "a payment stays as it was booked",
    "payment_share.debtor_id": "a payment stays as it was booked",
    "payment_share.card": "a payment stays as it was booked",
    "ledger_entry.debtor_id": "entries of the ledger never change",
    "access_log.patron_id": "a passage stays as it was until its identity is erased",
    "journal.patron": "what was taken off line goes up as it was said",
    "review.patron": "a closed entry says what was so; the open ones move",
    "audit.patron_id": "the log says under which record it was",
    "badge_change.patron_id": "the history says under which record it was",
    "support_message.object": "the card that it is about",
}
"""Columns in which the former id may still stand, and why."""

RECORDS = """
    INSERT INTO audit (id, time, who, role, source, action, object, patron_id, address, outcome)
        VALUES ('A1', 'x', 'desk', 'staff', 'rest', 'patron show', '', 'D1', '', 'done');
    INSERT INTO borrowed VALUES ('D1', 'title T1', '2027-01-01');
    INSERT INTO circulation (item_id, key, terminal, code, patron_id, position, expires, outcome,
        before) VALUES ('I3', 'k', 't', '11', 'D1', 1, 'x', '{}', '{}');
    INSERT INTO review (id, time, kind, terminal, message, item, patron, outcome, state, closed)
        VALUES ('R1', 'x', 'offline', 'k', '11', 'I1', 'D1', 'done', 'open', NULL),
               ('R2', 'x', 'offline', 'k', '11', 'I1', 'D1', 'done', 'closed', 'x');
    INSERT INTO refused_payment (id, time, terminal, day, payer, amount, currency, payment_type,
        bk, reason) VALUES ('X', 'x', 'k', 'd', 'D1', '1', 'EUR', '00', '', 'reason');
    INSERT INTO block (patron_id, source, type, position, note, terminal, card, told)
        VALUES ('D1', 'terminal', 'general', 0, 'left', 'kiosk-1', 'D1', 0);
    INSERT INTO support_message (id, type, category, object, patron_id, text, status, created,
        closed, processor, reporter)
        VALUES (7, 'AU', 'CARD', 'D1', 'D1', 'blocked', 'B', 'x', NULL, '', ''),
               (8, 'AU', 'CARD', 'D1', 'D1', 'blocked', 'Z', 'x', 'x', '', '');
    INSERT INTO journal (id, time, happened, account, terminal, message, item, patron, key,
        request, state, tries)
        VALUES ('J1', 'x', 'x', 'default', 'k', '11', 'I1', 'D1', '', '{}', 'open', 0);
    INSERT INTO activity VALUES ('D1', '2026-03-01') ON CONFLICT DO NOTHING;
    INSERT INTO notice_given VALUES ('D1', 'AGE', '2026-04-01', '2026-03-01');
    INSERT INTO membership_fee VALUES ('D1', '2026-02-01', '2027-01-31', 'F5', 300, 0);
    UPDATE patron SET answers = '["Thank you", "Found it"]', status = 2, status_fee = 'F5'
        WHERE id = 'D1';
    UPDATE patron SET answers = '["Welcome", "Found it"]' WHERE id = 'P1';
    INSERT INTO patron (id, name, merged_into) VALUES ('D0', '', 'D1')"""


def execute(library: Library, statements: str) -> None:
    with library.own_connection() as connection:
        for statement in statements.split(";"):
            connection.execute(statement)


def put(library: Library, patron_id: str, kind: str, cause: str, state: str = "waiting") -> None:
    """Put a notice into the outbox as maintenance does, and let it get as far as `state`."""
    values = dict.fromkeys(SAYS[kind], "1")
    with library.own_connection() as connection:
        outbox.put(connection, [Notice(kind, patron_id, cause, values)], NOW)
        connection.execute(
            "INSERT INTO notice_given VALUES (?, ?, ?, '2026-03-10')", (patron_id, kind, cause)
        )
        if state != "waiting":
            connection.execute(
                "UPDATE outbox SET state = ?, ended = 'x' WHERE patron_id = ? AND cause = ?",
                (state, patron_id, cause),
            )


async def double(library: Library) -> None:
    assert load(library, *DOUBLE).errors == ()


async def name_everywhere(doubled: Library) -> None:
    await double(doubled)
    relation = {"kind": "relationship", "type": "authorisation", "functions": ["pay"]}
    assert load(doubled, {**relation, "from": "P2", "to": "D1"}).errors == ()
    paying = order(payer_id="D1", card="D1", amount=100)
    await doubled.book_payment(decided_by(paying, pay_fee("F5", 100)))
    there = order("BK2", payer_id="D1", card="D1", amount=100, content="D1|there")
    await doubled.begin_shares(there, "default", (Share("D1", "D1", "own", 100),), (), {})
    await doubled.end_share(there.id, 0, booked=True, now=NOW)
    doubled.log_access(AccessRow(NOW, "MAIN", "door-1", "granted", "granted", "normal", "", "D1"))
    await doubled.enter_branch(entry("D1"))
    await doubled.put_door_entry(DoorEntry("pass", "MAIN", "D1"))
    await doubled.record_pin_failure("D1", NOW, 5, NOW + timedelta(minutes=15))
    execute(doubled, RECORDS)
    put(doubled, "D1", "LIMIT", "2026-03-10")
    await asyncio.sleep(0.4)  # until the door log is written


@pytest.fixture
async def doubled(furnished: Any) -> Library:
    """The library with Ann in it twice."""
    library: Library = await furnished(double)
    return library


@pytest.fixture
async def known(furnished: Any) -> Library:
    """Her record D1 is named everywhere."""
    library: Library = await furnished(name_everywhere)
    return library


def named(library: Library, patron_id: str = "D1") -> set[str]:
    """The columns in which the patron's id stands."""
    with library.snapshot() as connection:
        tables = [name for (name,) in connection.execute(connection.dialect.table_names)]
        return {
            f"{table}.{column}"
            for table in tables
            for column in columns_of(library, table)
            if connection.execute(
                f"SELECT 1 FROM {table} WHERE CAST({column} AS TEXT) = ?", (patron_id,)
            ).fetchone()
        }


async def test_nothing_is_left_under_the_former_id_without_a_reason(known: Library) -> None:
    can_name = {f"{it.table}.{column}" for it in (PATRON, *PERSONAL) for column in it.whose}
    before = named(known)
    assert can_name - before == set(), "let D1 be named there, too"
    assert before >= {f"{table}.patron_id" for table in ("outbox", "support_message", "activity")}
    await known.merge_patrons("D1", "P1", EVA)
    assert named(known) == set(STAYS)
    assert known.self_check() == []


async def test_each_thing_is_as_it_was_but_for_its_patron(known: Library) -> None:
    """B64, C145, C162: a message keeps its status, a notice its id, a block its terminal."""
    before = content(known)
    plan = await known.merge_patrons("D1", "P1", EVA)
    after = content(known)
    for table in ("support_message", "outbox"):
        assert [[*map(rename, row)] for row in before[table]] == [
            [*map(rename, row)] for row in after[table]
        ]
    assert [row[-3:] for row in after["block"] if row[1] == "terminal"] == [("kiosk-1", "D1", 0)]
    empty = next(row for row in after["patron"] if row[0] == "D1")
    assert {value for value in empty if value is not None} == {"D1", "", "[]", 9, "P1"}
    record = await found(known, "P1")
    assert record.answers == ("Welcome", "Found it", "Thank you")
    told = {(one.what, one.id, one.result, one.note) for one in plan.steps}
    assert ("message", "7", MergeResult.MOVED, "AU CARD, status B") in told
    (notice,) = (row[0] for row in after["outbox"])
    assert ("notice", notice, MergeResult.MOVED, "LIMIT") in told


def rename(value: Any) -> Any:
    return "P1" if value == "D1" else value


@pytest.mark.parametrize(
    ("former", "lasting", "day"),
    [
        ("2026-03-01", "2026-02-01", "2026-03-01"),
        ("2026-02-01", "2026-03-01", "2026-03-01"),
    ],
)
async def test_c161_the_later_activity_counts(
    doubled: Library, former: str, lasting: str, day: str
) -> None:
    execute(doubled, f"INSERT INTO activity VALUES ('D1', '{former}'), ('P1', '{lasting}')")
    await doubled.merge_patrons("D1", "P1", EVA)
    assert [tuple(row) for row in content(doubled)["activity"]] == [("P1", day)]


async def test_c161_who_was_active_a_moment_before_the_merge_was_so_as_the_lasting_patron(
    doubled: Library,
) -> None:
    """A gateway writes what it noted a second later."""
    await doubled.merge_patrons("D1", "P1", EVA)
    with doubled.own_connection() as connection:
        connection.execute(PUT, ("2026-03-10", "D1"))
    assert [tuple(row) for row in content(doubled)["activity"]] == [("P1", "2026-03-10")]


async def test_b64_what_happened_before_the_merge_is_followed_up_with_the_lasting_patron(
    doubled: Library,
) -> None:
    """A payment stays under the former id; the message about it does not."""
    await doubled.merge_patrons("D1", "P1", EVA)
    causes = [
        Cause(AutomaticCategory.UNKNOWN_PAYMENT, payment, "Look at it.", patron_id)
        for payment, patron_id in (("X1", "D1"), ("X2", "P2"), ("X3", None))
    ]
    await doubled.open_automatic(causes, NOW, PLAIN_DAYS)
    stored = {row[3]: row[4] for row in content(doubled)["support_message"]}
    assert stored == {"X1": "P1", "X2": "P2", "X3": None}


# What maintenance does afterwards


async def maintained(library: Library, now: Any = NOW) -> list[Step]:
    occasion = Occasion(now, ZONE, {})
    done = [one async for one in maintain_memberships(library, occasion)]
    assert library.self_check() == []
    return [step for one in done for step in one.steps if step.patron_id in {"P1", "D1"}]


PAYING: list[dict[str, Any]] = [
    {
        "kind": "membership",
        "code": "301",
        "description": "Paying",
        "type": 3,
        "fee": "20.00",
        "invoicing_method": 1,
        "refund": True,
        "fee_reminder_months": 1,
        "fee_delete_months": 2,
    },
    *(
        {
            "kind": "patron",
            "id": patron_id,
            "name": "Ann Maes",
            "membership": "301",
            "membership_from": "2025-03-10",
            "membership_until": until,
        }
        for patron_id, until in (("D1", "2026-03-09"), ("P1", "2026-03-09"))
    ),
]


async def merged_and_maintained(library: Library, *later: int) -> list[tuple[str, str]]:
    """What maintenance does with both in one, today and so many days later."""
    await library.merge_patrons("D1", "P1", EVA)
    steps = []
    for days in (0, *later):
        steps += await maintained(library, NOW + timedelta(days=days))
    return [(step.patron_id, step.rule.value) for step in steps]


def periods(library: Library) -> list[tuple[Any, ...]]:
    rows = content(library)["membership_fee"]
    return sorted((row[0], row[1], row[3], row[5]) for row in rows)


async def test_c160_a_period_with_a_fee_of_both_goes_on_with_that_of_the_lasting(
    empty_library: Library,
) -> None:
    """The former one is a debt like others; the status follows the lasting patron's own."""
    assert load(empty_library, *PAYING).errors == ()
    await maintained(empty_library)
    own = fee_id("P1", NOW.date())
    assert await merged_and_maintained(empty_library, 30) == []
    assert periods(empty_library) == [("P1", "2026-03-10", own, 0)]
    record = await found(empty_library, "P1")
    assert record.status_fee == own
    assert [fee.owed for fee in record.fees] == [2000, 2000]


async def test_c160_the_same_period_is_not_paid_twice(empty_library: Library) -> None:
    """And the debt of a record that is no more does not end the membership of the other."""
    former, lasting = PAYING[1], PAYING[2]
    assert load(empty_library, PAYING[0], former).errors == ()
    await maintained(empty_library)
    assert load(empty_library, lasting).errors == ()
    assert await merged_and_maintained(empty_library, 30, 80) == [("P1", "renewed")]
    assert periods(empty_library) == [("P1", "2026-03-10", fee_id("D1", NOW.date()), 1)]
    record = await found(empty_library, "P1")
    assert (record.status, record.status_fee) == (5, None)
    assert [fee.owed for fee in record.fees] == [2000]


async def test_c160_nothing_is_given_back_of_a_former_membership(empty_library: Library) -> None:
    """When the lasting patron had ended before: only staff know what the two are owed."""
    former = {**PAYING[1], "membership_until": "2026-03-09"}
    assert load(empty_library, PAYING[0], former).errors == ()
    await maintained(empty_library)
    assert load(empty_library, {**PAYING[2], "status": 9}).errors == ()
    assert await merged_and_maintained(empty_library, 30) == []


async def test_b63_nobody_is_told_anything_twice(doubled: Library) -> None:
    """What was sent to the former one was told; what waits and was told to the other is dropped."""
    put(doubled, "D1", "AGE", "2026-04-01", "sent")
    put(doubled, "D1", "AGE", "2026-04-02")
    put(doubled, "P1", "AGE", "2026-04-02")
    plan = await doubled.merge_patrons("D1", "P1", EVA)
    stored = content(doubled)
    assert sorted((row[2], row[3], row[6]) for row in stored["outbox"]) == [
        ("P1", "2026-04-01", "sent"),
        ("P1", "2026-04-02", "waiting"),
    ]
    assert sorted(tuple(row[:3]) for row in stored["notice_given"]) == [
        ("P1", "AGE", "2026-04-01"),
        ("P1", "AGE", "2026-04-02"),
    ]
    assert [one.note for one in plan.steps if one.what == "notice"] == [
        "AGE: patron P1 has the same"
    ]


@pytest.mark.parametrize(("state", "kept"), [("waiting", []), ("failed", []), ("sent", ["sent"])])
async def test_b63_a_notice_of_the_former_membership_does_not_go_out(
    doubled: Library, state: str, kept: list[str]
) -> None:
    """The lasting patron still gets their own, which may end on the same day."""
    put(doubled, "D1", "CAE", "2026-12-31", state)
    await doubled.merge_patrons("D1", "P1", EVA)
    stored = content(doubled)
    assert [row[6] for row in stored["outbox"]] == kept
    assert [row[0] for row in stored["notice_given"]] == ["P1" for _ in kept]


# Who has ended


@pytest.mark.parametrize(
    ("former", "lasting", "joined"),
    [
        ("'2026-01-01'", "'2026-02-01'", "2026-02-01"),
        ("'2026-02-01'", "'2026-01-01'", "2026-02-01"),
        ("NULL", "'2026-01-01'", None),
        ("'2026-01-01'", "NULL", None),
    ],
)
async def test_b92_somebody_has_ended_when_both_records_have(
    doubled: Library, former: str, lasting: str, joined: str | None
) -> None:
    execute(
        doubled,
        f"UPDATE patron SET ended_on = {former} WHERE id = 'D1';"
        f"UPDATE patron SET ended_on = {lasting} WHERE id = 'P1'",
    )
    await doubled.merge_patrons("D1", "P1", EVA)
    with doubled.snapshot() as connection:
        rows = connection.execute("SELECT id, ended_on FROM patron WHERE id IN ('D1', 'P1')")
        assert dict(map(tuple, rows)) == {"D1": None, "P1": joined}
