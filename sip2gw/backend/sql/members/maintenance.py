"""Account maintenance in the store: facts, decision and writes of a batch of patrons (B63, C60).

A run goes through all patrons in batches. It looks at each in one moment of the store, and only
where there is something to do it gathers and decides again, inside the write transaction. So it can
be killed at any time and run on several hosts at once: whoever comes second finds nothing to do.
A batch is short, because payments wait while it is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, tzinfo
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries, writes
from sip2gw.backend.sql.members import badges, memberships, outbox
from sip2gw.backend.sql.records import fee_of
from sip2gw.backend.sql.values import date_text, date_value, time_text
from sip2gw.model import Fee, Minor
from sip2gw.model.maintenance import (
    Maintained,
    Member,
    MembershipFee,
    Step,
)
from sip2gw.model.notices import Notice
from sip2gw.policy.members import badges as badge_policy
from sip2gw.policy.members.memberships import ENDED, maintain

PATRONS_PER_BATCH = 500
"""Others may write in between."""
STEPS_PER_BATCH = 200
"""A batch ends with the patron who brings it to so many: one may have years to make up."""

_BATCH_END = """
    SELECT MAX(id) FROM (SELECT id FROM patron WHERE id > ? ORDER BY id LIMIT ?) portion"""
_MEMBERS = """
    SELECT p.id, p.membership_code, p.membership_from, p.membership_until, p.status, p.birth_date,
           p.status_fee, p.fee_limit, p.home_branch,
           (SELECT a.day FROM activity a WHERE a.patron_id = p.id),
           (SELECT SUBSTR(MAX(l.checked_out), 1, 10) FROM loan l WHERE l.patron_id = p.id)
    FROM patron p WHERE p.id > ? AND p.id <= ? AND p.membership_code IS NOT NULL ORDER BY p.id"""
_FEES = queries.FEES.replace("f.patron_id = ?", "f.patron_id > ? AND f.patron_id <= ?")
_MEMBERSHIP_FEES = """
    SELECT m.patron_id, m.fee_id, m.since, m.until, COALESCE(f.amount, m.amount), m.closed,
           (SELECT CAST(COALESCE(-SUM(e.amount), 0) AS BIGINT) FROM ledger_entry e
            WHERE e.fee_id = m.fee_id
              AND EXISTS (SELECT 1 FROM ledger_entry x WHERE x.transaction_id = e.transaction_id
                          AND x.account LIKE 'write_off:%'))
    FROM membership_fee m LEFT JOIN fee f ON f.id = m.fee_id
    WHERE m.patron_id > ? AND m.patron_id <= ? ORDER BY m.patron_id, m.since"""
_GIVEN = """
    SELECT patron_id, kind, cause, day FROM notice_given
    WHERE patron_id > ? AND patron_id <= ?"""
_ACTIVITY_SINCE = "SELECT value FROM setting WHERE name = 'activity_since'"

_SET_MEMBER = """
    UPDATE patron SET membership_code = ?, membership_from = ?, membership_until = ?, status = ?,
                      status_fee = ? WHERE id = ?"""
_ADD_MEMBERSHIP_FEE = """
    INSERT INTO membership_fee (patron_id, since, until, fee_id, amount, closed)
    VALUES (?, ?, ?, ?, ?, ?)"""
_CLOSE_MEMBERSHIP_FEE = """
    UPDATE membership_fee SET closed = 1 WHERE patron_id = ? AND fee_id = ?"""
_GIVE = """
    INSERT INTO notice_given (patron_id, kind, cause, day) VALUES (?, ?, ?, ?)
    ON CONFLICT (patron_id, kind, cause) DO NOTHING"""
_FORGET_LIMIT_ALERT = "DELETE FROM notice_given WHERE patron_id = ? AND kind = 'LIMIT'"
_HAS_FEE = "SELECT 1 FROM fee WHERE id = ?"


Given: TypeAlias = defaultdict[str, dict[tuple[str, str], date]]
"""For each patron when each notice was given, by kind and cause."""


class Occasion(Struct, frozen=True):
    """One run of maintenance: for which day, and by which settings."""

    now: datetime
    zone: tzinfo
    """The library's; `now` names the day in it."""
    max_fee_age_days: Mapping[str, int | None]
    """By branch."""
    badge_notice_days: int | None = None
    """How early holders are told that a badge ends; None: not at all."""

    @property
    def day(self) -> date:
        """The day by the end of which everything is done that is due."""
        return self.now.astimezone(self.zone).date()


class Batch(Struct, frozen=True):
    """Patrons that follow each other by id, and what is to be done for those who need something."""

    after: str
    last: str
    maintained: tuple[Maintained, ...]


def batches(connection: Connection, occasion: Occasion, after: str = "") -> Iterator[Batch]:
    """What `occasion` would do, for all patrons after `after` by id; nothing is changed.

    Nobody behind a batch is decided on before the next one is taken.
    """
    while (last := _end_of_batch(connection, after)) is not None:
        done, steps = list[Maintained](), 0
        for one in _decided(connection, occasion, after, last):
            done.append(one)
            steps += len(one.steps)
            if steps >= STEPS_PER_BATCH:
                yield Batch(after, one.before.id, tuple(done))
                after, done, steps = one.before.id, [], 0
        if after != last:
            yield Batch(after, last, tuple(done))
            after = last


def _end_of_batch(connection: Connection, after: str) -> str | None:
    """The last patron whom a batch may have; None: nobody comes after `after`."""
    last: str | None = connection.execute(_BATCH_END, (after, PATRONS_PER_BATCH)).fetchone()[0]
    return last


def apply(
    connection: Connection, occasion: Occasion, after: str, last: str
) -> WriteResult[tuple[Maintained, ...]]:
    """Do what is to be done for the patrons after `after`, up to `last`."""
    done = tuple(_decided(connection, occasion, after, last))
    _write(connection, occasion, done)
    return WriteResult(done, [one.before.id for one in done])


def _decided(
    connection: Connection, occasion: Occasion, after: str, last: str
) -> Iterator[Maintained]:
    """Those who need something, by id; each is decided on when it is taken."""
    known = {it.code: it for it in memberships.definitions(connection)}
    given = _given(connection, after, last)
    members = {it.id: it for it in _members(connection, occasion, after, last, given)}
    expiring = _expiring(connection, occasion, after, last, given)
    for patron_id in sorted({*members, *expiring}):
        member = members.get(patron_id) or Member(patron_id)
        one = maintain(member, known, occasion.day, occasion.zone)
        one = _with_steps(one, expiring.get(patron_id, ()))
        if one.steps or one.forgets_limit_alert:
            yield one


def _with_steps(one: Maintained, more: Sequence[Step]) -> Maintained:
    return one if one.after.status == ENDED else replace(one, steps=(*one.steps, *more))


def _expiring(
    connection: Connection, occasion: Occasion, after: str, last: str, given: Given
) -> dict[str, list[Step]]:
    """The steps about badges, by patron; none for those who have ended (B65)."""
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    if occasion.badge_notice_days is not None:
        holders = badges.holders(connection, after=after, last=last, other_than_status=ENDED)
        days = occasion.badge_notice_days
        for step in badge_policy.expiry_steps(holders, given, occasion.day, days):
            steps[step.patron_id].append(step)
    return steps


def _given(connection: Connection, after: str, last: str) -> Given:
    given: Given = defaultdict(dict)
    for patron_id, kind, cause, day in connection.execute(_GIVEN, (after, last)):
        given[patron_id][kind, cause] = date.fromisoformat(day)
    return given


def _members(
    connection: Connection, occasion: Occasion, after: str, last: str, given: Given
) -> list[Member]:
    span = (after, last)
    fees: defaultdict[str, list[Fee]] = defaultdict(list)
    for fee in map(fee_of, connection.execute(_FEES, span)):
        fees[fee.patron_id].append(fee)
    ours: defaultdict[str, list[MembershipFee]] = defaultdict(list)
    for patron_id, *row in connection.execute(_MEMBERSHIP_FEES, span):
        ours[patron_id].append(_membership_fee(*row))
    known_since = connection.execute(_ACTIVITY_SINCE).fetchone() or (None,)
    return [
        Member(
            id=row[0],
            membership=row[1],
            since=date_value(row[2]),
            until=date_value(row[3]),
            status=row[4],
            birth_date=date_value(row[5]),
            last_active=date_value(max(filter(None, (*row[9:11], *known_since)), default=None)),
            status_fee=row[6],
            fees=tuple(fees[row[0]]),
            membership_fees=tuple(ours[row[0]]),
            given=given[row[0]],
            fee_limit=row[7],
            max_fee_age_days=occasion.max_fee_age_days.get(row[8] or ""),
        )
        for row in connection.execute(_MEMBERS, span).fetchall()
    ]


def _membership_fee(
    number: str, since: str, until: str, amount: Minor, closed: int, written_off: Minor
) -> MembershipFee:
    days = date.fromisoformat(since), date.fromisoformat(until)
    return MembershipFee(number, *days, amount, bool(closed), written_off)


# Writing ----------------------------------------------------------------------------------------


def _write(connection: Connection, occasion: Occasion, done: Iterable[Maintained]) -> None:
    done = list(done)
    connection.executemany(_SET_MEMBER, [_row_of(one.after) for one in done if _is_changed(one)])
    _add_fees(connection, occasion, done)
    _note_membership_fees(connection, done)
    connection.executemany(
        _FORGET_LIMIT_ALERT, [(one.after.id,) for one in done if one.forgets_limit_alert]
    )
    steps = [step for one in done for step in one.steps if step.notice is not None]
    connection.executemany(
        _GIVE,
        [(step.patron_id, step.notice, step.cause, str(occasion.day)) for step in steps],
    )
    notices = (Notice(it.notice or "", it.patron_id, it.cause, it.values) for it in steps)
    outbox.put(connection, notices, occasion.now)


def _note_membership_fees(connection: Connection, done: Iterable[Maintained]) -> None:
    """Those that are new, with the amount they began with, and those that are closed now."""
    new, closed = [], []
    for one in done:
        before = {fee.id: fee for fee in one.before.membership_fees}
        for fee in one.after.membership_fees:
            known = before.get(fee.id)
            if known is None:
                days = str(fee.since), str(fee.until)
                new.append((one.after.id, *days, fee.id, fee.amount, int(fee.closed)))
            elif fee.closed and not known.closed:
                closed.append((one.after.id, fee.id))
    connection.executemany(_ADD_MEMBERSHIP_FEE, new)
    connection.executemany(_CLOSE_MEMBERSHIP_FEE, closed)


def _is_changed(one: Maintained) -> bool:
    return _row_of(one.before) != _row_of(one.after)


def _row_of(member: Member) -> tuple[Any, ...]:
    days = date_text(member.since), date_text(member.until)
    return member.membership, *days, member.status, member.status_fee, member.id


def _add_fees(connection: Connection, occasion: Occasion, done: Iterable[Maintained]) -> None:
    """New fees and credits enter the ledger through `opening`, like imported ones (C71)."""
    fees = [
        fee
        for one in done
        for fee in one.after.fees
        if fee.id not in {f.id for f in one.before.fees}
    ]
    new = [fee for fee in fees if connection.execute(_HAS_FEE, (fee.id,)).fetchone() is None]
    now = time_text(occasion.now)
    connection.executemany(writes.ADD_FEE.statement, [_fee_row(fee) for fee in new])
    connection.executemany(writes.OPEN_FEE.statement, [(fee.id, now, "opening") for fee in new])
    connection.executemany(
        writes.ADD_ENTRY.statement, [entry for fee in new for entry in _entries(fee)]
    )


def _fee_row(fee: Fee) -> tuple[Any, ...]:
    when = time_text(fee.created)
    return fee.id, fee.patron_id, fee.amount, when, fee.type, fee.description, None


def _entries(fee: Fee) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return (
        (fee.id, 0, f"fee:{fee.id}", fee.amount, fee.id, fee.patron_id),
        (fee.id, 1, "opening", -fee.amount, None, fee.patron_id),
    )
