"""A whole patron in one statement: the shared lists become arrays of rows (C72)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sip2gw.backend.postgres.dialect import numbered
from sip2gw.backend.store import queries
from sip2gw.backend.store.records import LISTS, assemble
from sip2gw.model import PatronRecord


def rows_of(statements: Iterable[str], patron_id: str = "p.id") -> str:
    """Expressions, each an array with the rows of one of `statements` for that patron."""
    return ", ".join(
        queries.fill("ARRAY (SELECT x FROM ({rows}) x)", rows=statement.replace("?", patron_id))
        for statement in statements
    )


_SURROGATE = re.compile("[\ud800-\udfff]")

RECORD_BY_CARD = numbered(queries.record_by_card(rows_of(LISTS)))
RECORD_BY_ID = numbered(queries.record_by_id(rows_of(LISTS)))

_OWN_COLUMNS = 25


def is_storable(text: str) -> bool:
    """Whether PostgreSQL could keep `text` at all; nobody's card can be anything else."""
    return "\0" not in text and not _SURROGATE.search(text)


def record_of(row: Sequence[Any] | None) -> PatronRecord | None:
    """The patron behind the one row of these statements."""
    if row is None:
        return None
    values = tuple(row)
    return assemble(values[:_OWN_COLUMNS], values[_OWN_COLUMNS:])
