"""Who is inside, the doors' lists, and what the door log shows staff (B42, C10, C57, C76, C96)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sip2gw.backend.base import EntryOrder
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.records import door_entry
from sip2gw.backend.sql.values import date_text, moment_value, time_text
from sip2gw.model import (
    OBSERVED,
    DoorCount,
    DoorEntry,
    ObservedCount,
    Passage,
    Presence,
    Reveal,
)
from sip2gw.policy.access import has_room

ROWS_PER_STEP = 5_000
"""Rows of the door log that one step of the erasure looks at; others may write in between."""


def presence_values(order: EntryOrder) -> tuple[str, ...]:
    """What `queries.PRESENCE` wants to know."""
    return (
        order.patron_id,
        order.patron_id,
        order.patron_id,
        order.passage,
        time_text(order.same_since),
        time_text(order.same_until),
        order.branch,
        time_text(order.now),
    )


def presence_of(row: tuple[int, int, int]) -> Presence:
    """The value behind a row of `queries.PRESENCE`."""
    others, inside, again = row
    return Presence(others, inside > again, again > 0)


def enter(connection: Connection, order: EntryOrder) -> WriteResult[Presence]:
    """Look who is inside and note the patron, if there is room.

    A second reading of the same passage changes nothing.
    """
    now = time_text(order.now)
    connection.execute(queries.END_STAYS, (order.branch, now))
    presence = presence_of(connection.execute(queries.PRESENCE, presence_values(order)).fetchone())
    if not presence.again and has_room(presence, order.capacity, order.refuse_inside):
        stay = (order.branch, order.patron_id, order.passage, now, time_text(order.stay_ends))
        connection.execute(queries.ENTER, stay)
    return WriteResult(presence)


def put_entry(connection: Connection, entry: DoorEntry) -> WriteResult[None]:
    """Put a card on a bar or pass list, instead of its entry there if it has one."""
    values = (
        entry.kind,
        entry.branch,
        entry.card,
        date_text(entry.valid_until),
        "".join(map(str, sorted(entry.weekdays))),
        entry.start_minute,
        entry.end_minute,
        entry.note,
    )
    connection.execute(queries.PUT_DOOR_ENTRY, values)
    return WriteResult(None, _holders(connection, entry.card), numbers=(entry.card,))


def remove_entry(connection: Connection, kind: str, branch: str, card: str) -> WriteResult[bool]:
    """Take a card from a list; False when it is not on it."""
    removed = connection.execute(queries.REMOVE_DOOR_ENTRY, (kind, branch, card)).rowcount
    return WriteResult(removed > 0, _holders(connection, card), numbers=(card,))


def _holders(connection: Connection, card: str) -> tuple[str, ...]:
    return tuple(row[0] for row in connection.execute(queries.CARD_HOLDER, (card,)).fetchall())


def entries(connection: Connection, kind: str, branch: str | None = None) -> list[DoorEntry]:
    """The `bar` or `pass` list, by branch and card."""
    statement, values = queries.filtered(
        queries.DOOR_ENTRIES, queries.DOOR_ENTRY_FILTERS, {"kind": kind, "branch": branch}
    )
    return [door_entry(row) for row in connection.execute(statement, values)]


def unknown_cards(connection: Connection, cards: Iterable[str]) -> set[str]:
    """Those of `cards` that nobody has."""
    return {card for card in cards if not _holders(connection, card)}


def counts(
    connection: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    branch: str | None = None,
    direction: str | None = None,
) -> list[DoorCount]:
    """Door decisions in the half-open time span per minute, branch and reason.

    Without those that were only observed (B78).
    """
    wanted = {
        "since": time_text(since) if since else None,
        "until": time_text(until) if until else None,
        "branch": branch,
        "direction": direction,
        "other_mode": OBSERVED,
    }
    statement, values = queries.filtered(queries.ACCESS_COUNTS, queries.ACCESS_FILTERS, wanted)
    return [
        DoorCount(datetime.fromisoformat(minute).replace(tzinfo=UTC), *rest)
        for minute, *rest in connection.execute(statement, values)
    ]


def observed_counts(
    connection: Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    terminal: str | None = None,
) -> list[ObservedCount]:
    """What a library system said in the half-open time span, and what we would have said (B78)."""
    wanted = {
        "since": time_text(since) if since else None,
        "until": time_text(until) if until else None,
        "terminal": terminal,
        "mode": OBSERVED,
    }
    statement, values = queries.filtered(queries.OBSERVED_COUNTS, queries.ACCESS_FILTERS, wanted)
    return [ObservedCount(*row) for row in connection.execute(statement, values)]


def passages(
    connection: Connection, branch: str, since: datetime, until: datetime
) -> list[Passage]:
    """Granted passages of known patrons in the half-open span, oldest first."""
    values = (branch, time_text(since), time_text(until))
    rows = connection.execute(queries.PASSAGES, values)
    return [Passage(moment_value(time), *rest) for time, *rest in rows]


def add_reveal(connection: Connection, reveal: Reveal) -> WriteResult[None]:
    """Write down, durably, that names were asked for (C76)."""
    values = (
        new_id(),
        time_text(reveal.time),
        reveal.user,
        reveal.branch,
        time_text(reveal.since),
        time_text(reveal.until),
        reveal.people,
    )
    connection.execute(queries.ADD_REVEAL, values)
    return WriteResult(None)


def reveals(connection: Connection) -> list[Reveal]:
    """Who asked for names, oldest first."""
    return [
        Reveal(
            moment_value(time),
            user,
            branch,
            moment_value(since),
            moment_value(until),
            people,
        )
        for time, user, branch, since, until, people in connection.execute(queries.REVEALS)
    ]


def count_identities(connection: Connection, before: datetime) -> int:
    """How many rows of the door log `erase_identities` would change."""
    return int(connection.execute(queries.IDENTITIES, (time_text(before),)).fetchone()[0])


def erase_identities(connection: Connection, before: datetime) -> int:
    """Forget who stood at the doors before `before`, and stays that ended; rows are kept (B42).

    `connection` is outside of a transaction: each small step is a transaction of its own, in
    parallel to everything else. Doing it again changes nothing.

    Returns:
        How many rows lost their patron.
    """
    limit, done, erased = time_text(before), "", 0
    connection.execute(queries.FORGET_STAYS, (limit,))
    while True:
        last = connection.execute(queries.ACCESS_IDS, (done, ROWS_PER_STEP)).fetchone()[0]
        if last is None:
            return erased
        erased += connection.execute(queries.ERASE_ACCESS, (done, last, limit)).rowcount
        done = last
