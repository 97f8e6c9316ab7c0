"""What staff do with relationships, inside the caller's transaction (B49, B50, C3, C57)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sip2gw.backend.base import NotFoundError, RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.records import load_account, relationship
from sip2gw.backend.staff.merging import doubles, merged_cards
from sip2gw.backend.staff.people import holder
from sip2gw.model import PatronRecord, Relationship, RelationshipType
from sip2gw.policy.members.merging import doubles_in_words
from sip2gw.policy.relationships import FUNCTIONS, RelationshipRules, addition_problems


def add(
    connection: Connection, wanted: Relationship, rules: RelationshipRules, today: date
) -> WriteResult[Relationship]:
    """Make `wanted`, whose parties are named by any of their cards (B49).

    One of the same type between the same two is replaced.

    Raises:
        RefusedError: an unknown card, or a rule of form, structure or membership.
    """
    relation = _resolved(connection, wanted)
    parties = [_account(connection, patron_id) for patron_id in (relation.from_id, relation.to_id)]
    stored = [known for party in parties for known in _of_patron(connection, party.id)]
    problems = addition_problems(relation, parties, stored, rules, today)
    if problems:
        problems += doubles_in_words(
            merged_cards(connection, (wanted.from_id, wanted.to_id)),
            doubles(connection, (party.id for party in parties)),
        )
        raise RefusedError("; ".join(dict.fromkeys(problems)))
    connection.execute(queries.REMOVE_RELATIONSHIP, relation.key)
    functions = (int(name in relation.functions) for name in FUNCTIONS)
    connection.execute(
        queries.ADD_RELATIONSHIP, (*relation.key, *functions, int(relation.confirmed))
    )
    return _done(relation)


def confirm(
    connection: Connection, kind: RelationshipType, from_card: str, to_card: str
) -> WriteResult[Relationship]:
    """Put an unconfirmed relationship in force; a confirmed one stays (B50).

    Raises:
        NotFoundError: there is none.
    """
    done = _change(connection, queries.CONFIRM_RELATIONSHIP, kind, from_card, to_card)
    stored = _of_patron(connection, done.result.from_id)
    return _done(next(one for one in stored if one.key == done.result.key))


def remove(
    connection: Connection, kind: RelationshipType, from_card: str, to_card: str
) -> WriteResult[Relationship]:
    """End a relationship.

    Raises:
        NotFoundError: there is none.
    """
    return _change(connection, queries.REMOVE_RELATIONSHIP, kind, from_card, to_card)


def relationships(connection: Connection, card: str | None = None) -> Iterator[Relationship]:
    """All relationships, families first, or those of the holder of `card`.

    Raises:
        NotFoundError: nobody has the card.
    """
    if card is not None:
        return iter(_of_patron(connection, holder(connection, card)))
    return map(relationship, connection.execute(queries.RELATIONSHIPS))


def _of_patron(connection: Connection, patron_id: str) -> list[Relationship]:
    """Those in which `patron_id` is either party."""
    rows = connection.execute(queries.RELATIONSHIPS_OF, (patron_id, patron_id)).fetchall()
    return list(map(relationship, rows))


def _change(
    connection: Connection, statement: str, kind: RelationshipType, from_card: str, to_card: str
) -> WriteResult[Relationship]:
    relation = _resolved(connection, Relationship(kind, from_card, to_card))
    if not connection.execute(statement, relation.key).rowcount:
        raise NotFoundError(
            f"there is no {kind} from patron {relation.from_id} to patron {relation.to_id}"
        )
    return _done(relation)


def _resolved(connection: Connection, wanted: Relationship) -> Relationship:
    """`wanted` between patrons instead of cards."""
    return Relationship(
        wanted.type,
        holder(connection, wanted.from_id),
        holder(connection, wanted.to_id),
        wanted.functions,
        wanted.confirmed,
    )


def _account(connection: Connection, patron_id: str) -> PatronRecord:
    record = load_account(connection, patron_id)
    assert record is not None, "the holder of a card exists"
    return record


def _done(relation: Relationship) -> WriteResult[Relationship]:
    return WriteResult(relation, (relation.from_id, relation.to_id))
