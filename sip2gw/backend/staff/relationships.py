"""What staff do with relationships, inside the caller's transaction (B49, B50, C3, C57)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from msgspec.structs import replace

from sip2gw.backend.base import NotFoundError, RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.records import load_account, relationship, relationship_row
from sip2gw.backend.staff.merging import doubles, merged_cards
from sip2gw.backend.staff.people import holder
from sip2gw.model import PatronRecord, Relationship, RelationshipType
from sip2gw.policy.members.merging import doubles_in_words
from sip2gw.policy.relationships import (
    RelationshipRules,
    addition_problems,
    confirmation_problem,
    is_already_so,
)


def add(
    connection: Connection, wanted: Relationship, rules: RelationshipRules, today: date
) -> WriteResult[Relationship]:
    """Make `wanted`, whose parties are named by any of their cards (B49).

    One of the same type between the same two is replaced, unless a party proposes what is already
    so: then it is returned as it is (B50).

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
    same = next((known for known in stored if is_already_so(known, relation)), None)
    if same is not None:
        return _done(same)
    connection.execute(queries.REMOVE_RELATIONSHIP, relation.key)
    connection.execute(queries.ADD_RELATIONSHIP, relationship_row(relation))
    return _done(relation)


def confirm(
    connection: Connection,
    kind: RelationshipType,
    from_card: str,
    to_card: str,
    by: str | None = None,
    seen: frozenset[str] | None = None,
) -> WriteResult[Relationship]:
    """Put an unconfirmed relationship in force; a confirmed one stays (B50).

    Args:
        connection: in a write transaction.
        kind: its type.
        from_card: any card of the head or authoriser.
        to_card: any card of the child or authorised person.
        by: the id of the party who confirms it; None: staff do.
        seen: the functions that this party says yes to; None: those that it has.

    Raises:
        NotFoundError: there is none.
        RefusedError: it is not for this party to confirm it, or it has other functions.
    """
    wanted = _resolved(connection, Relationship(kind, from_card, to_card))
    stored = [one for one in _of_patron(connection, wanted.from_id) if one.key == wanted.key]
    if not stored:
        raise _no_such(wanted)
    problem = None if by is None else confirmation_problem(stored[0], by, seen)
    if problem is not None:
        raise RefusedError(problem)
    connection.execute(queries.CONFIRM_RELATIONSHIP, wanted.key)
    return _done(replace(stored[0], confirmed=True))


def remove(
    connection: Connection, kind: RelationshipType, from_card: str, to_card: str
) -> WriteResult[Relationship]:
    """End a relationship.

    Raises:
        NotFoundError: there is none.
    """
    wanted = _resolved(connection, Relationship(kind, from_card, to_card))
    if not connection.execute(queries.REMOVE_RELATIONSHIP, wanted.key).rowcount:
        raise _no_such(wanted)
    return _done(wanted)


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


def _no_such(wanted: Relationship) -> NotFoundError:
    return NotFoundError(
        f"there is no {wanted.type} from patron {wanted.from_id} to patron {wanted.to_id}"
    )


def _resolved(connection: Connection, wanted: Relationship) -> Relationship:
    """`wanted` between patrons instead of cards."""
    return replace(
        wanted,
        from_id=holder(connection, wanted.from_id),
        to_id=holder(connection, wanted.to_id),
    )


def _account(connection: Connection, patron_id: str) -> PatronRecord:
    record = load_account(connection, patron_id)
    assert record is not None, "the holder of a card exists"
    return record


def _done(relation: Relationship) -> WriteResult[Relationship]:
    return WriteResult(relation, (relation.from_id, relation.to_id), is_exact=True)
