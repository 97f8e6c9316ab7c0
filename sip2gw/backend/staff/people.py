"""The patron behind a card, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from sip2gw.backend.base import NotFoundError, RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.stubs import MERGED_INTO
from sip2gw.backend.sql.values import date_text
from sip2gw.foundation.words import nobody_has


def holder(connection: Connection, card: str) -> str:
    """The patron who has `card`, in any state; a patron's id is one of the cards (C35).

    Raises:
        NotFoundError: nobody has it.
        RefusedError: it is the id of a patron who was merged into another.
    """
    row = connection.execute(queries.CARD_HOLDER, (card,)).fetchone()
    if row is None:
        merged = connection.execute(MERGED_INTO, (card,)).fetchone()
        if merged is not None:
            raise RefusedError(f"patron {card} was merged into patron {merged[0]}; name that one")
        raise NotFoundError(nobody_has(card))
    return str(row[0])


_ACCEPT = "UPDATE patron SET house_rules_accepted = ? WHERE id = ?"


def accept_house_rules(connection: Connection, card: str, day: date) -> WriteResult[None]:
    """Note that the holder of `card` accepted the house rules on `day`.

    Raises:
        NotFoundError: nobody has the card.
    """
    patron_id = holder(connection, card)
    connection.execute(_ACCEPT, (date_text(day), patron_id))
    return WriteResult(None, (patron_id,), is_exact=True)


_HOLDERS = "SELECT number, patron_id FROM card WHERE number IN ({marks})"
_CARDS_AT_ONCE = 500


def holders_of(connection: Connection, cards: Collection[str]) -> dict[str, str]:
    """The patron behind each of `cards`; one that nobody has is left out."""
    wanted, found = sorted(set(cards)), dict[str, str]()
    for start in range(0, len(wanted), _CARDS_AT_ONCE):
        some = wanted[start : start + _CARDS_AT_ONCE]
        statement = queries.fill(_HOLDERS, marks=", ".join("?" * len(some)))
        found.update(connection.execute(statement, some).fetchall())
    return found
