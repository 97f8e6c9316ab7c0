"""What staff do with badges, inside the caller's transaction (B22, B65, C57, C70, C165)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from sip2gw.backend.base import NotFoundError, RefusedError, insist_unchanged
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.loading.format import BadgeLine
from sip2gw.backend.loading.misfits import misfit_of
from sip2gw.backend.sql.members import badges
from sip2gw.backend.sql.values import date_text, date_value
from sip2gw.backend.staff.people import holder, holders_of
from sip2gw.model import Badge, BadgeHolder
from sip2gw.model.badges import (
    BadgeAction,
    BadgeChange,
    BadgeEvent,
    BadgeWish,
    Deed,
)
from sip2gw.policy.members.badges import AssignmentPlan, ends_before_it_begins, plan_assignment


def define(
    connection: Connection, badge: Badge, kept: Collection[str] = (), seen: Badge | None = None
) -> WriteResult[None]:
    """Make `badge`, or give the one of its code another name, description, state and days.

    Its branches, which an import sets, stay; so do the days that `kept` names (`valid_from`,
    `valid_until`). `seen` is how it must still be.

    Raises:
        ChangedError: it is not as it was `seen`.
        RefusedError: code or texts are such that an import would refuse them too, or it would end
            before it begins.
    """
    try:
        msgspec.convert(
            {"code": badge.code, "name": badge.name, "description": badge.description}, BadgeLine
        )
    except msgspec.ValidationError as error:
        raise RefusedError(f"badge {badge.code}: {misfit_of(BadgeLine, error)}") from None
    known = next((one for one in definitions(connection) if one.code == badge.code), None)
    insist_unchanged(seen, known)
    before = known or badge
    wanted = replace(badge, **{name: getattr(before, name) for name in kept})
    if ends_before_it_begins(wanted.valid_from, wanted.valid_until):
        raise RefusedError(
            f"badge {badge.code}: its last day {wanted.valid_until} is before its first,"
            f" {wanted.valid_from}"
        )
    values = (
        wanted.code,
        wanted.name,
        int(wanted.active),
        wanted.description,
        date_text(wanted.valid_from),
        date_text(wanted.valid_until),
    )
    connection.execute(badges.DEFINE, values)
    return WriteResult(None, _holder_ids(connection, badge.code))


def set_active(connection: Connection, code: str, active: bool) -> WriteResult[None]:
    """Show a badge to terminals, or to none (B65).

    Raises:
        NotFoundError: there is no such badge.
    """
    _insist(connection, code)
    connection.execute(badges.SET_ACTIVE, (int(active), code))
    return WriteResult(None, _holder_ids(connection, code))


def plan(connection: Connection, code: str, wishes: Sequence[BadgeWish]) -> AssignmentPlan:
    """What `assign` would do; nothing is changed.

    Raises:
        NotFoundError: there is no such badge.
    """
    _insist(connection, code)
    return plan_assignment(
        code,
        wishes,
        holders_of(connection, [wish.card for wish in wishes]),
        badges.terms_by_patron(connection, code),
    )


def assign(
    connection: Connection, code: str, wishes: Sequence[BadgeWish], deed: Deed
) -> WriteResult[AssignmentPlan]:
    """Give a badge to all patrons of `wishes`, with these terms instead of those they had.

    All of them, or none if there is a problem with any; doing it again changes nothing.

    Raises:
        NotFoundError: there is no such badge.
    """
    planned = plan(connection, code, wishes)
    if planned.problems or not planned.changes:
        return WriteResult(planned)
    badges.apply(connection, planned.changes, deed)
    touched = [change.patron_id for change in planned.changes]
    return WriteResult(planned, touched, is_exact=True)


def unassign(connection: Connection, code: str, card: str, deed: Deed) -> WriteResult[str]:
    """Take a badge from the patron who has `card`; their id.

    Raises:
        NotFoundError: nobody has the card, or the patron does not have the badge.
    """
    patron_id = holder(connection, card)
    terms = badges.terms_by_code(connection, patron_id).get(code)
    if terms is None:
        raise NotFoundError(f"patron {patron_id} does not have badge {code}")
    change = BadgeChange(BadgeAction.UNASSIGNED, code, patron_id, terms)
    badges.apply(connection, [change], deed)
    return WriteResult(patron_id, (patron_id,), is_exact=True)


def definitions(connection: Connection) -> list[Badge]:
    """All badges, by code."""
    return [
        Badge(code, name, bool(active), description, *map(date_value, days))
        for code, name, active, description, *days in connection.execute(badges.DEFINITIONS)
    ]


def holders(connection: Connection, code: str | None = None) -> Iterator[BadgeHolder]:
    """Who has the badge `code`, or any badge; by code and patron (B65).

    Raises:
        NotFoundError: there is no such badge.
    """
    if code is not None:
        _insist(connection, code)
    yield from badges.holders(connection, code=code)


def history(
    connection: Connection, code: str | None = None, card: str | None = None
) -> Iterator[BadgeEvent]:
    """Who changed an assignment when and why: of a badge, of a patron, or all; oldest first (B65).

    Raises:
        NotFoundError: there is no such badge, or nobody has the card.
    """
    if code is not None:
        _insist(connection, code)
    patron_id = None if card is None else holder(connection, card)
    return badges.history(connection, code=code, patron_id=patron_id)


def _holder_ids(connection: Connection, code: str) -> list[str]:
    return [row[0] for row in connection.execute(badges.HOLDER_IDS, (code,)).fetchall()]


def _insist(connection: Connection, code: str) -> None:
    if all(badge.code != code for badge in definitions(connection)):
        raise unknown_badge(code)


def unknown_badge(code: str) -> NotFoundError:
    """That nobody knows `code`."""
    return NotFoundError(f"there is no badge {code}; see `badge list`")
