"""A whole patron in one statement: the shared lists become arrays of rows (C72)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from sip2gw.backend.postgres.database import numbered
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.records import (
    LISTS,
    OWN_COLUMNS,
    account,
    assemble,
    cards_of,
    door_entry,
)
from sip2gw.model import CardHere, PatronRecord
from sip2gw.policy.money.payments import PaymentFacts


def rows_of(statements: Iterable[str], patron_id: str = "p.id") -> str:
    """Expressions, each an array with the rows of one of `statements` for that patron."""
    return ", ".join(
        queries.fill("ARRAY (SELECT x FROM ({rows}) x)", rows=statement.replace("?", patron_id))
        for statement in statements
    )


_SURROGATE = re.compile("[\ud800-\udfff]")

RECORD_BY_CARD = numbered(queries.record_by_card(rows_of(LISTS)))
RECORD_BY_ID = numbered(queries.record_by_id(rows_of(LISTS)))

HERE_BY_CARD = queries.fill(
    """SELECT {listed}, r.* FROM (SELECT 1) one LEFT JOIN ({record}) r ON TRUE""",
    listed=rows_of([queries.DOOR_ENTRIES_OF_CARD], "$1"),
    record=RECORD_BY_CARD,
)
"""The entries for a number, then the columns of `RECORD_BY_CARD`, empty if nobody has the card."""

RECORDS_BY_ID = numbered(queries.record_by_id(rows_of(LISTS)).replace("= ?", "= ANY (?)"))

_DEBTOR_LISTS = (queries.CARDS, queries.FEES, queries.PAYER_FOR)
_DEBTORS = queries.fill(
    """ARRAY (SELECT x FROM (
        SELECT d.id, d.name, d.membership_from, d.membership_until, {membership}, {lists}
        FROM (SELECT DISTINCT CASE WHEN r.from_id = p.id THEN r.to_id ELSE r.from_id END AS id
              FROM ({payer_for}) r) parties JOIN patron d ON d.id = parties.id
        LEFT JOIN membership m ON m.code = d.membership_code ORDER BY d.id) x)""",
    membership=queries.MEMBERSHIP_COLUMNS,
    lists=rows_of(_DEBTOR_LISTS, "d.id"),
    payer_for=queries.PAYER_FOR.replace("?", "p.id"),
)
PAYER_BY_CARD = numbered(
    queries.record_by_card(f"{rows_of(LISTS)}, {_DEBTORS}, ({queries.STORE_VERSION})")
)
"""All of a patron, the accounts and cards of those they might pay for, and as of when."""

_ACCOUNT_COLUMNS = 12


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store `text` at all; any other text is nobody's card."""
    return "\0" not in text and not _SURROGATE.search(text)


def record_of(row: Sequence[Any] | None) -> PatronRecord | None:
    """The patron behind the one row of these statements."""
    if row is None:
        return None
    values = tuple(row)
    return assemble(values[:OWN_COLUMNS], values[OWN_COLUMNS:])


def here_of(row: Sequence[Any]) -> CardHere:
    """What the row of `HERE_BY_CARD` says."""
    listed, *values = row
    if values[0] is None:
        return CardHere(None, tuple(map(door_entry, listed)))
    return CardHere(record_of(values))


class DatedFacts(PaymentFacts):
    """Facts that were read before the payment, and still hold if nothing has changed since."""

    as_of: int
    """The store's version then."""


def payer_of(row: Sequence[Any]) -> DatedFacts:
    """The payer and debtors behind the row of `PAYER_BY_CARD`."""
    *values, debtors, version = row
    payer = record_of(values)
    assert payer is not None
    return DatedFacts(payer, tuple(map(_debtor_of, debtors)), as_of=version)


def _debtor_of(row: Sequence[Any]) -> PatronRecord:
    values = tuple(row)
    cards, fees, relations = values[_ACCOUNT_COLUMNS:]
    debtor = account(values[:_ACCOUNT_COLUMNS], fees, relations)
    return replace(debtor, cards=cards_of(cards))
