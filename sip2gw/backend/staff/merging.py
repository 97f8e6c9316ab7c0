"""Joining two records of one person, inside the caller's transaction (B49, C60)."""

from __future__ import annotations

from collections.abc import Iterable

from sip2gw.backend.base import RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.members import badges, merging
from sip2gw.backend.sql.records import load_patron, relationship
from sip2gw.backend.sql.stubs import LIVING, MERGED_INTO
from sip2gw.backend.staff.people import holder
from sip2gw.model import PatronRecord, Relationship
from sip2gw.model.badges import Deed
from sip2gw.model.merging import OwnMessage, OwnNotice
from sip2gw.model.notices import NoticeState
from sip2gw.model.support import SupportStatus
from sip2gw.policy.members.merging import MergeFacts, MergePlan, plan_merge

_UNSETTLED = """
    SELECT COUNT(*) FROM attempt a JOIN payment p ON p.id = a.id
    WHERE a.settled IS NULL AND p.payer_id IN (?, ?)"""
_DOUBLES = queries.fill(merging.DOUBLES, living=LIVING)


def plan(connection: Connection, former_card: str, lasting_card: str) -> MergePlan:
    """What `merge` would do; nothing is changed.

    Raises:
        RefusedError: nobody has one of the cards, they are of one patron already, or a payment
            of theirs is not settled, whose retry would not be recognised under another payer (C98).
    """
    former, lasting = (holder(connection, card) for card in (former_card, lasting_card))
    if former == lasting:
        raise RefusedError(
            f"{former_card} and {lasting_card} are one patron already: {lasting}; nothing to merge"
        )
    if connection.execute(_UNSETTLED, (former, lasting)).fetchone()[0]:
        raise RefusedError(
            f"a payment of patron {former} or {lasting} has an unknown outcome; settle it first,"
            " see `payment reconcile`"
        )
    return plan_merge(
        MergeFacts(
            _record(connection, former),
            _record(connection, lasting),
            _relations(connection, former, lasting),
            badges.terms_by_code(connection, former),
            badges.terms_by_code(connection, lasting),
            _messages(connection, former),
            _notices(connection, former),
            _notices(connection, lasting),
        )
    )


def merge(
    connection: Connection, former_card: str, lasting_card: str, deed: Deed
) -> WriteResult[MergePlan]:
    """Join the patron of `former_card` with that of `lasting_card`, who goes on.

    Ledger and payments stay as they are; of the former record an empty row is left for them.

    Raises:
        RefusedError: as `plan` says.
    """
    planned = plan(connection, former_card, lasting_card)
    former, lasting = planned.former_id, planned.lasting_id
    badges.apply(connection, planned.badges, deed, "merge")
    merging.drop_holds(connection, planned.dropped_holds)
    merging.drop_notices(connection, former, planned.dropped_notices)
    related = _related(_relations(connection, former, lasting))
    merging.replace_relations(connection, former, planned.relations)
    merging.move_all(connection, former, lasting)
    for name, value in planned.filled_in.items():
        merging.fill_in(connection, lasting, name, value)
    merging.empty(connection, former, lasting)
    merging.move_surpluses(connection, lasting, deed.time)
    return WriteResult(planned, {former, lasting, *related})


def _record(connection: Connection, patron_id: str) -> PatronRecord:
    record = load_patron(connection, patron_id)
    assert record is not None, "the holder of a card exists"
    return record


def _messages(connection: Connection, patron_id: str) -> tuple[OwnMessage, ...]:
    return tuple(
        OwnMessage(int(message_id), kind, category, SupportStatus(status))
        for message_id, kind, category, status in connection.execute(merging.MESSAGES, (patron_id,))
    )


def _notices(connection: Connection, patron_id: str) -> tuple[OwnNotice, ...]:
    return tuple(
        OwnNotice(notice_id, kind, cause, NoticeState(state))
        for notice_id, kind, cause, state in connection.execute(merging.NOTICES, (patron_id,))
    )


def _relations(connection: Connection, former: str, lasting: str) -> tuple[Relationship, ...]:
    """Those of both, and of everybody who is related to the former."""
    own = _relations_of(connection, (former,))
    return _relations_of(connection, (former, lasting, *_related(own)))


def _relations_of(connection: Connection, patron_ids: Iterable[str]) -> tuple[Relationship, ...]:
    found = [
        relationship(row)
        for patron_id in dict.fromkeys(patron_ids)
        for row in connection.execute(queries.RELATIONSHIPS_OF, (patron_id, patron_id)).fetchall()
    ]
    return tuple(dict.fromkeys(found))


def _related(relations: Iterable[Relationship]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(party for one in relations for party in (one.from_id, one.to_id)))


def merged_cards(connection: Connection, cards: Iterable[str]) -> list[tuple[str, str]]:
    """Those of `cards` that are the id of a merged patron, with whom they belong to now."""
    return [
        (card, lasting)
        for card in cards
        for (lasting,) in connection.execute(MERGED_INTO, (card,)).fetchall()
    ]


def doubles(connection: Connection, patron_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Each of `patron_ids` with every other patron of the same name and birth date."""
    return [
        (patron_id, other)
        for patron_id in dict.fromkeys(patron_ids)
        for (other,) in connection.execute(_DOUBLES, (patron_id,)).fetchall()
    ]
