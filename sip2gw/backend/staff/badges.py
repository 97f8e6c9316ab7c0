"""What staff do with badges, inside the caller's transaction (B22, B65, C57, C70)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sip2gw.backend.base import RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.loading.format import BadgeLine
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.values import date_value, list_value
from sip2gw.backend.staff.people import holder
from sip2gw.model import Badge, BadgeHolder


def define(connection: Connection, badge: Badge) -> WriteResult[None]:
    """Make `badge`, or give the one of its code another name, description and state.

    Its branches, which an import sets, stay.

    Raises:
        RefusedError: code or texts are such that an import would refuse them too.
    """
    try:
        msgspec.convert(
            {"code": badge.code, "name": badge.name, "description": badge.description}, BadgeLine
        )
    except msgspec.ValidationError as error:
        raise RefusedError(f"badge {badge.code}: {error}") from None
    values = (badge.code, badge.name, int(badge.active), badge.description)
    connection.execute(queries.DEFINE_BADGE, values)
    return WriteResult(None, _holder_ids(connection, badge.code))


def set_active(connection: Connection, code: str, active: bool) -> WriteResult[None]:
    """Show a badge to terminals, or to none (B65).

    Raises:
        RefusedError: there is no such badge.
    """
    if not connection.execute(queries.SET_BADGE_ACTIVE, (int(active), code)).rowcount:
        raise _unknown(code)
    return WriteResult(None, _holder_ids(connection, code))


def assign(connection: Connection, code: str, card: str) -> WriteResult[str]:
    """Give a badge to the patron who has `card`, everywhere and without an end; their id.

    If they already have it with limits, the limits are removed.

    Raises:
        RefusedError: nobody has the card, or there is no such badge.
    """
    patron_id = holder(connection, card)
    if all(badge.code != code for badge in definitions(connection)):
        raise _unknown(code)
    connection.execute(queries.ASSIGN_BADGE, (patron_id, code))
    return WriteResult(patron_id, (patron_id,))


def unassign(connection: Connection, code: str, card: str) -> WriteResult[str]:
    """Take a badge from the patron who has `card`; their id.

    Raises:
        RefusedError: nobody has the card, or the patron does not have the badge.
    """
    patron_id = holder(connection, card)
    if not connection.execute(queries.UNASSIGN_BADGE, (patron_id, code)).rowcount:
        raise RefusedError(f"patron {patron_id} does not have badge {code}")
    return WriteResult(patron_id, (patron_id,))


def definitions(connection: Connection) -> list[Badge]:
    """All badges, by code."""
    return [
        Badge(code, name, bool(active), description)
        for code, name, active, description in connection.execute(queries.BADGE_DEFINITIONS)
    ]


def holders(connection: Connection, code: str | None = None) -> Iterator[BadgeHolder]:
    """Who has the badge `code`, or any badge; by code and patron (B65).

    Raises:
        RefusedError: there is no such badge.
    """
    if code is not None and all(badge.code != code for badge in definitions(connection)):
        raise _unknown(code)
    statement, values = queries.filtered(
        queries.BADGE_HOLDERS, queries.BADGE_HOLDER_FILTERS, {"code": code}
    )
    for row in connection.execute(statement, values):
        badge, patron_id, name, active, valid_from, valid_until, branches, source = row
        yield BadgeHolder(
            badge,
            patron_id,
            name,
            bool(active),
            date_value(valid_from),
            date_value(valid_until),
            list_value(branches),
            source,
        )


def _holder_ids(connection: Connection, code: str) -> list[str]:
    return [row[0] for row in connection.execute(queries.BADGE_HOLDER_IDS, (code,)).fetchall()]


def _unknown(code: str) -> RefusedError:
    return RefusedError(f"there is no badge {code}; see `badge list`")
