"""The patron behind a card, inside the caller's transaction."""

from __future__ import annotations

from sip2gw.backend.base import RefusedError
from sip2gw.backend.database import Connection
from sip2gw.backend.sql import queries


def holder(connection: Connection, card: str) -> str:
    """The patron who has `card`, in any state; a patron's id is one of the cards (C35).

    Raises:
        RefusedError: nobody has it.
    """
    row = connection.execute(queries.CARD_HOLDER, (card,)).fetchone()
    if row is None:
        raise RefusedError(f"no patron has the id or card {card}")
    return str(row[0])
