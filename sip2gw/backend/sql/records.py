"""From rows to the words of the library.

`load_patron` and `load_by_card` read a whole snapshot in a few indexed statements; statements for
lists that the patron does not have are not run at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from sip2gw.backend.database import Connection
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.values import (
    date_value,
    list_value,
    moment_value,
    time_value,
)
from sip2gw.model import (
    BadgeAssignment,
    Block,
    BlockType,
    Card,
    CardState,
    DoorEntry,
    Fee,
    FeeStatus,
    Hold,
    Loan,
    MaterialRule,
    Membership,
    PaidFee,
    PatronRecord,
    Proposer,
    Relationship,
    RelationshipType,
)

Row = tuple[Any, ...]

MEMBERSHIP_AT = 17
"""Where the columns of the membership begin in a row of `queries.record_by_id`."""
OWN_COLUMNS = 29
"""All columns of such a row before the lists."""

_material_rules = msgspec.json.Decoder(tuple[MaterialRule, ...]).decode

_CARD_STATES = {state.value: state for state in CardState}
_FEE_STATUSES = {status.value: status for status in FeeStatus}


def load_by_card(connection: Connection, number: str) -> PatronRecord | None:
    """The holder of card `number`, as the connection sees them now."""
    return _record(connection, connection.execute(queries.PATRON_BY_CARD, (number,)).fetchone())


def load_patron(connection: Connection, patron_id: str) -> PatronRecord | None:
    """The patron `patron_id`, as the connection sees them now."""
    return _record(connection, connection.execute(queries.PATRON_BY_ID, (patron_id,)).fetchone())


def load_account(connection: Connection, patron_id: str) -> PatronRecord | None:
    """What a payment is decided on: membership, fees and whom they may pay for; no more."""
    rows = connection.execute(queries.ACCOUNT, (patron_id,)).fetchall()
    if not rows:
        return None
    name, valid_from, valid_until, has_relations = rows[0][:4]
    relations = _payer_for(connection, patron_id) if has_relations else ()
    fees = (row[12:] for row in rows if row[15])
    return account((patron_id, name, valid_from, valid_until, *rows[0][4:12]), fees, relations)


def account(row: Sequence[Any], fees: Iterable[Row], relations: Iterable[Row]) -> PatronRecord:
    """What a payment is decided on, from id, name, membership span and membership."""
    patron_id, name, valid_from, valid_until, *membership = row
    return PatronRecord(
        id=patron_id,
        name=name,
        membership=None if membership[0] is None else Membership(*membership),
        membership_from=date_value(valid_from),
        membership_until=date_value(valid_until),
        fees=tuple(map(fee_of, fees)),
        payer_for=tuple(map(relationship, relations)),
    )


def _record(connection: Connection, row: Row | None) -> PatronRecord | None:
    if row is None:
        return None
    patron_id = row[0]
    has_badges, has_blocks, has_fees, has_loans, has_holds, has_entries = row[OWN_COLUMNS:]

    def rows(present: object, statement: str) -> list[Row]:
        return connection.execute(statement, (patron_id,)).fetchall() if present else []

    return assemble(
        row,
        (
            rows(True, queries.CARDS),
            rows(has_badges, queries.BADGES),
            rows(has_blocks, queries.BLOCKS),
            rows(has_fees, queries.FEES),
            rows(has_loans, queries.LOANS),
            rows(has_holds, queries.HOLDS),
            _payer_for(connection, patron_id),
            rows(has_entries, queries.DOOR_ENTRIES_OF),
        ),
    )


LISTS = (
    queries.CARDS,
    queries.BADGES,
    queries.BLOCKS,
    queries.FEES,
    queries.LOANS,
    queries.HOLDS,
    queries.PAYER_FOR,
    queries.DOOR_ENTRIES_OF,
)
"""The statements behind the lists of `assemble`, in its order; each `?` is the patron's id."""


def assemble(row: Sequence[Any], lists: Sequence[Iterable[Row]]) -> PatronRecord:
    """The record behind a row of `queries.record_by_id` and the rows of each of `LISTS`."""
    cards, badges, blocks, fees, loans, holds, relations, door_entries = lists
    return PatronRecord(
        id=row[0],
        name=row[1],
        pin_hash=row[2],
        birth_date=date_value(row[3]),
        membership=(
            None if row[MEMBERSHIP_AT] is None else membership_of(row[MEMBERSHIP_AT:OWN_COLUMNS])
        ),
        membership_from=date_value(row[4]),
        membership_until=date_value(row[5]),
        status=row[6],
        status_fee=row[15],
        home_branch=row[7],
        language=row[8],
        email=row[9],
        phone=row[10],
        address=row[11],
        notices=list_value(row[12]),
        house_rules_accepted=date_value(row[13]),
        fee_limit=row[14],
        answers=list_value(row[16]),
        cards=cards_of(cards),
        badges=tuple(map(_badge, badges)),
        blocks=tuple(map(_block, blocks)),
        fees=tuple(map(fee_of, fees)),
        loans=tuple(map(_loan, loans)),
        holds=tuple(map(_hold, holds)),
        payer_for=tuple(map(relationship, relations)),
        door_entries=tuple(map(door_entry, door_entries)),
    )


def membership_of(columns: Sequence[Any]) -> Membership:
    """The membership in the columns of `queries.MEMBERSHIP`."""
    *values, holds_permitted, hold_limit, materials = columns
    own: Any = (*values, bool(holds_permitted), hold_limit, material_rules(materials))
    return Membership(*own)


@lru_cache(maxsize=256)
def material_rules(text: str) -> tuple[MaterialRule, ...]:
    """The rules behind their stored text, which many patrons share."""
    return _material_rules(text)


def _payer_for(connection: Connection, patron_id: str) -> list[Row]:
    """The relationships in which `patron_id` may act for another (B51, B54)."""
    return connection.execute(queries.PAYER_FOR, (patron_id, patron_id)).fetchall()


def relationship(row: Row) -> Relationship:
    """The value behind a row of the relationship columns."""
    kind, from_id, to_id, may_renew, may_pay, confirmed, proposed_by = row
    functions = frozenset(name for name, given in (("renew", may_renew), ("pay", may_pay)) if given)
    return Relationship(
        RelationshipType(kind), from_id, to_id, functions, bool(confirmed), Proposer(proposed_by)
    )


def relationship_row(relation: Relationship) -> Row:
    """The relationship columns of `relation`."""
    functions = (int(name in relation.functions) for name in ("renew", "pay"))
    return (
        relation.type.value,
        relation.from_id,
        relation.to_id,
        *functions,
        int(relation.confirmed),
        relation.proposed_by.value,
    )


def door_entry(row: Row) -> DoorEntry:
    """The value behind a row of the columns of the doors' lists."""
    kind, branch, card, valid_until, weekdays, *rest = row
    days = frozenset(map(int, weekdays))
    return DoorEntry(kind, branch, card, date_value(valid_until), days, *rest)


def cards_of(rows: Iterable[Row]) -> tuple[Card, ...]:
    """The cards behind rows of `queries.CARDS`."""
    return tuple(map(_card, rows))


def _card(row: Row) -> Card:
    number, state, failures, locked_until = row
    return Card(number, _CARD_STATES[state], failures or 0, time_value(locked_until))


def _badge(row: Row) -> BadgeAssignment:
    code, active, valid_from, valid_until, badge_branches, assignment_branches, *own = row
    return BadgeAssignment(
        code,
        bool(active),
        date_value(valid_from),
        date_value(valid_until),
        list_value(badge_branches),
        list_value(assignment_branches),
        *map(date_value, own),
    )


def _block(row: Row) -> Block:
    kind, note, valid_until, source = row
    return Block(BlockType(kind), note, date_value(valid_until), source)


def fee_of(row: Row) -> Fee:
    """The value behind a row of `queries.FEES`."""
    return Fee(
        id=row[0],
        patron_id=row[1],
        amount=row[2],
        owed=row[3],
        created=moment_value(row[4]),
        type=row[5],
        description=row[6],
        item_id=row[7],
        title=row[8] or "",
        status=_FEE_STATUSES[row[9]],
        arrangement_date=None if row[10] is None else date.fromisoformat(row[10]),
    )


def paid_fee(row: Row) -> PaidFee:
    """The value behind a row of `queries.PAID_FEES` and its like."""
    return PaidFee(fee_of(row), row[11])


def _loan(row: Row) -> Loan:
    item_id, title, due, checked_out, renewals, max_renewals, lost, material = row
    return Loan(
        item_id,
        title,
        moment_value(due),
        moment_value(checked_out),
        renewals,
        max_renewals,
        bool(lost),
        material,
    )


def _hold(row: Row) -> Hold:
    hold_id, item_id, title_id, title, placed, ready, pickup_branch, expires = row
    return Hold(
        id=hold_id,
        item_id=item_id,
        title_id=title_id,
        title=title,
        placed=moment_value(placed),
        ready=bool(ready),
        pickup_branch=pickup_branch,
        expires=time_value(expires),
    )
