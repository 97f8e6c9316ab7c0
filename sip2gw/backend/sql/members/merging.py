"""Two records of one person become one, in SQL that both databases understand.

Rows of the ledger are never touched, nor what payments say: the former record stays for them as an
empty row.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from sip2gw.backend.database import Connection
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.money.ledger import book_surplus
from sip2gw.backend.sql.money.surplus import corrections
from sip2gw.backend.sql.queries import balances, fill
from sip2gw.backend.sql.records import relationship_row
from sip2gw.backend.sql.values import list_text, time_text
from sip2gw.model import Relationship
from sip2gw.model.merging import OwnNotice
from sip2gw.policy.money.receipts import keyed_by, said_by

_MOVE = "UPDATE {table} SET {column} = ? WHERE {column} = ?"
_MOVED = (
    ("card", "patron_id"),
    ("loan", "patron_id"),
    ("hold", "patron_id"),
    ("fee", "patron_id"),
    ("circulation", "patron_id"),
    ("refused_payment", "payer"),
    ("support_message", "patron_id"),
    ("outbox", "patron_id"),
    ("patron", "merged_into"),
)
"""Columns that name the lasting patron from now on, whatever else is in the row."""
_MOVE_REVIEWS = "UPDATE review SET patron = ? WHERE patron = ? AND state = 'open'"
_RETELL = """
    UPDATE circulation SET outcome = REPLACE(outcome, ?, ?), before = REPLACE(before, ?, ?)
    WHERE REPLACE(outcome || before, ?, '') <> outcome || before"""
"""A transaction that is repeated or cancelled tomorrow names the lasting patron, too, whoever made
it: somebody may have taken over what the former had on loan (B58, C97)."""
_OF_FORMER = """
    payer_id IN (SELECT p.id FROM patron p WHERE p.id = ? OR p.merged_into = ?)
    AND status <> 'unknown'"""
"""Payments of the former, and of those who were merged into it; an unknown one is settled under the
patron it was tried for."""
_SAME_CONTENT = fill(
    """
    UPDATE payment SET content = CAST(? AS TEXT) || SUBSTR(content, ?)
    WHERE {of_former} AND SUBSTR(content, 1, ?) = ?""",
    of_former=_OF_FORMER,
)
_SAME_KEY = fill(
    """
    UPDATE payment SET key = CAST(? AS TEXT) || SUBSTR(key, ?)
    WHERE {of_former} AND SUBSTR(key, 1, ?) = ?
        AND NOT EXISTS (SELECT 1 FROM payment o WHERE o.terminal = payment.terminal
                        AND o.key = CAST(? AS TEXT) || SUBSTR(payment.key, ?))""",
    of_former=_OF_FORMER,
)
_DROP_HOLD = "DELETE FROM hold WHERE id = ?"
_DROP_NOTICE = "DELETE FROM outbox WHERE id = ?"
_NOT_GIVEN = "DELETE FROM notice_given WHERE patron_id = ? AND kind = ? AND cause = ?"

_BLOCKS = """
    SELECT source, type, position, note, valid_until, terminal, card, told FROM block
    WHERE patron_id = ? ORDER BY source, position, type"""
_ADD_BLOCK = """
    INSERT INTO block (patron_id, source, type, position, note, valid_until, terminal, card, told)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PIN_FAILURES = """
    SELECT MAX(failures), MAX(locked_until) FROM pin_failure WHERE patron_id IN (?, ?)"""
_LOCK_PIN = "INSERT INTO pin_failure (patron_id, failures, locked_until) VALUES (?, ?, ?)"
_JOIN_BORROWED = """
    INSERT INTO borrowed (patron_id, work, until)
    SELECT CAST(? AS TEXT), b.work, b.until FROM borrowed b WHERE b.patron_id = ?
    ON CONFLICT (patron_id, work) DO UPDATE
    SET until = CASE WHEN excluded.until > borrowed.until
                     THEN excluded.until ELSE borrowed.until END"""
_JOIN_PRESENCE = """
    INSERT INTO presence (branch, patron_id, passage, since, ends)
    SELECT s.branch, CAST(? AS TEXT), s.passage, s.since, s.ends FROM presence s
    WHERE s.patron_id = ?
    ON CONFLICT (branch, patron_id) DO UPDATE
    SET ends = CASE WHEN excluded.ends > presence.ends THEN excluded.ends ELSE presence.ends END"""
_JOIN_ACTIVITY = """
    INSERT INTO activity (patron_id, day)
    SELECT CAST(? AS TEXT), a.day FROM activity a WHERE a.patron_id = ?
    ON CONFLICT (patron_id) DO UPDATE
    SET day = CASE WHEN excluded.day > activity.day THEN excluded.day ELSE activity.day END"""
_JOIN_NOTICES = """
    INSERT INTO notice_given (patron_id, kind, cause, day)
    SELECT CAST(? AS TEXT), g.kind, g.cause, g.day FROM notice_given g WHERE g.patron_id = ?
    ON CONFLICT (patron_id, kind, cause) DO NOTHING"""
_JOIN_MEMBERSHIP_FEES = """
    INSERT INTO membership_fee (patron_id, since, until, fee_id, amount, closed)
    SELECT CAST(? AS TEXT), m.since, m.until, m.fee_id, m.amount, 1 FROM membership_fee m
    WHERE m.patron_id = ?
    ON CONFLICT (patron_id, since) DO NOTHING"""
"""Closed: the former membership ends here, so its fees are debts like others, and neither set the
status of the lasting one nor are given back with it. A period that has a fee gets no other."""
_JOINED = (
    ("borrowed", _JOIN_BORROWED),
    ("presence", _JOIN_PRESENCE),
    ("activity", _JOIN_ACTIVITY),
    ("notice_given", _JOIN_NOTICES),
    ("membership_fee", _JOIN_MEMBERSHIP_FEES),
)
"""Tables in which both may have the like, which becomes one."""
_FORGET = "DELETE FROM {table} WHERE patron_id = ?"
_REMOVE_RELATIONS = "DELETE FROM relationship WHERE from_id = ? OR to_id = ?"

_EMPTY = """
    UPDATE patron
    SET merged_into = ?, name = '', pin_hash = NULL, pin_origin = NULL, birth_date = NULL,
        membership_code = NULL, membership_from = NULL, membership_until = NULL, status = 9,
        home_branch = NULL, language = NULL, email = NULL, phone = NULL, address = NULL,
        notices = '[]', house_rules_accepted = NULL, fee_limit = NULL, status_fee = NULL,
        answers = '[]', ended_on = NULL
    WHERE id = ?"""
_JOIN_ENDS = """
    UPDATE patron
    SET ended_on = (SELECT CASE WHEN o.ended_on IS NULL THEN NULL
                                WHEN o.ended_on > patron.ended_on THEN o.ended_on
                                ELSE patron.ended_on END
                    FROM patron o WHERE o.id = ?)
    WHERE id = ?"""
"""Somebody has ended when both records have (B92)."""
_SET = "UPDATE patron SET {name} = ? WHERE id = ?"

_BALANCES = balances("""
        SELECT 0 AS src, f.id, f.patron_id, f.amount, 0 AS paid FROM fee f
        WHERE f.patron_id = ?""")

MESSAGES = """
    SELECT id, type, category, status FROM support_message WHERE patron_id = ? ORDER BY id"""
NOTICES = "SELECT id, kind, cause, state FROM outbox WHERE patron_id = ? ORDER BY created, id"

DOUBLES = """
    SELECT p.id FROM patron o JOIN patron p
        ON LOWER(p.name) = LOWER(o.name) AND p.birth_date = o.birth_date AND p.id <> o.id
    WHERE o.id = ? AND {living} ORDER BY p.id"""


def move_all(connection: Connection, former: str, lasting: str) -> None:
    """All that is about the person: cards, loans, fees, messages, notices and the rest."""
    before, after = (
        f'"patron_id":{msgspec.json.encode(one).decode()}' for one in (former, lasting)
    )
    connection.execute(_RETELL, (before, after, before, after, before))
    _know_retries(connection, former, lasting)
    for table, column in _MOVED:
        connection.execute(fill(_MOVE, table=table, column=column), (lasting, former))
    connection.execute(_MOVE_REVIEWS, (lasting, former))
    _move_blocks(connection, former, lasting)
    _join_pin_failures(connection, former, lasting)
    connection.execute(_JOIN_ENDS, (former, lasting))
    for table, statement in _JOINED:
        connection.execute(statement, (lasting, former))
        connection.execute(fill(_FORGET, table=table), (former,))


def _know_retries(connection: Connection, former: str, lasting: str) -> None:
    """Let a payment that a terminal repeats be the same, though the card is another patron's."""
    before, after = said_by(former), said_by(lasting)
    payers = (former, former)
    connection.execute(_SAME_CONTENT, (after, len(before) + 1, *payers, len(before), before))
    before, after = keyed_by(former), keyed_by(lasting)
    moved = (after, len(before) + 1)
    connection.execute(_SAME_KEY, (*moved, *payers, len(before), before, *moved))


def _move_blocks(connection: Connection, former: str, lasting: str) -> None:
    """Each gets the next place among the lasting patron's own.

    An import numbers all of its blocks, everybody else those of a type.
    """

    def series(source: str, kind: str) -> str:
        return "" if source == "import" else f"{source} {kind}"

    free: dict[str, int] = {}
    for source, kind, position, *_ in connection.execute(_BLOCKS, (lasting,)).fetchall():
        known = series(source, kind)
        free[known] = max(free.get(known, 0), position + 1)
    moved = connection.execute(_BLOCKS, (former,)).fetchall()
    connection.execute(fill(_FORGET, table="block"), (former,))
    for source, kind, _, *rest in moved:
        known = series(source, kind)
        place = free.get(known, 0)
        free[known] = place + 1
        connection.execute(_ADD_BLOCK, (lasting, source, kind, place, *rest))


def _join_pin_failures(connection: Connection, former: str, lasting: str) -> None:
    """The stricter of both counts and locks holds (C99)."""
    failures, locked = connection.execute(_PIN_FAILURES, (former, lasting)).fetchone()
    if failures is not None:
        for patron_id in (former, lasting):
            connection.execute(queries.CLEAR_PIN_FAILURES, (patron_id,))
        connection.execute(_LOCK_PIN, (lasting, failures, locked))


def drop_holds(connection: Connection, hold_ids: Iterable[str]) -> None:
    """Remove holds that the lasting patron needs no more."""
    for hold_id in hold_ids:
        connection.execute(_DROP_HOLD, (hold_id,))


def drop_notices(connection: Connection, former: str, notices: Iterable[OwnNotice]) -> None:
    """Remove notices that must not go out; maintenance forgets that it gave them."""
    for notice in notices:
        connection.execute(_DROP_NOTICE, (notice.id,))
        connection.execute(_NOT_GIVEN, (former, notice.kind, notice.cause))


def replace_relations(
    connection: Connection, former: str, relations: Iterable[Relationship]
) -> None:
    """Make `relations`, each instead of one with its key, and none of the former patron's own."""
    connection.execute(_REMOVE_RELATIONS, (former, former))
    for relation in relations:
        connection.execute(queries.REMOVE_RELATIONSHIP, relation.key)
        connection.execute(queries.ADD_RELATIONSHIP, relationship_row(relation))


def fill_in(connection: Connection, patron_id: str, name: str, value: object) -> None:
    """Set the column `name` of a patron, which is one of ours, to a text, day or list."""
    stored = list_text(value) if isinstance(value, tuple) else value
    stored = stored if stored is None or isinstance(stored, str) else str(stored)
    connection.execute(fill(_SET, name=name), (stored, patron_id))


def empty(connection: Connection, former: str, lasting: str) -> None:
    """Leave of the former record what the ledger refers to, and where the person went."""
    connection.execute(_EMPTY, (lasting, former))


def move_surpluses(connection: Connection, lasting: str, now: datetime) -> None:
    """What was paid too much of the fees is the lasting patron's now (C103)."""
    changes = list(corrections(connection.execute(_BALANCES, (lasting,))))
    book_surplus(connection, changes, time_text(now))
