"""Doors that refuse everybody and terminals that are silent: each occurrence is told once, however
many gateways look at one store (B64, C145).

A cause is remembered as told in the transaction that opens its message, so whichever gateway comes
first tells it, and neither a crash nor another look repeats it or loses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.ids import earliest_id
from sip2gw.backend.sql.desk.support import open_automatic
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.values import moment_value, time_text
from sip2gw.model import OBSERVED
from sip2gw.model.support import AutomaticCategory, Cause
from sip2gw.policy.desk.refusing import (
    REFUSING_FOR,
    DoorDecisions,
    RefusingDoor,
    refusing_doors,
)
from sip2gw.policy.desk.silence import SilentTerminal
from sip2gw.policy.desk.support import OpeningDays

_DOOR_DECISIONS = fill(
    """
    SELECT terminal, MAX(branch), decision, reason, COUNT(*) FROM access_log
    WHERE id >= ? AND time >= ? AND direction = 'in' AND mode <> '{observed}'
    GROUP BY terminal, decision, reason""",
    observed=OBSERVED,
)
_TOLD_DOORS = "SELECT terminal FROM terminal_watch WHERE refusals_told > ?"
_TELL_DOOR = """
    INSERT INTO terminal_watch (terminal, refusals_told) VALUES (?, ?)
    ON CONFLICT (terminal) DO UPDATE SET refusals_told = excluded.refusals_told
    WHERE terminal_watch.refusals_told IS NULL OR terminal_watch.refusals_told <= ?"""

_NOTE_HEARD = """
    INSERT INTO terminal_watch (terminal, heard) VALUES (?, ?)
    ON CONFLICT (terminal) DO UPDATE SET heard = excluded.heard
    WHERE terminal_watch.heard IS NULL OR terminal_watch.heard < excluded.heard"""
_UNTOLD_HEARD = """
    SELECT terminal, heard FROM terminal_watch
    WHERE heard IS NOT NULL AND (silence_told IS NULL OR silence_told <> heard)"""
_TELL_SILENCE = """
    UPDATE terminal_watch SET silence_told = heard
    WHERE terminal = ? AND heard = ? AND (silence_told IS NULL OR silence_told <> heard)"""


def refusing(connection: Connection, now: datetime) -> list[RefusingDoor]:
    """Doors that have refused everybody lately, unless staff were told within that time."""
    since = time_text(now - REFUSING_FOR)
    # Rows are found by their ids, which real clocks make; a row is written later than its time.
    rows = connection.execute(_DOOR_DECISIONS, (earliest_id(2 * REFUSING_FOR), since))
    decisions = [
        DoorDecisions(door, branch, decision == "granted", reason, count)
        for door, branch, decision, reason, count in rows
    ]
    told = {door for (door,) in connection.execute(_TOLD_DOORS, (since,))}
    return [one for one in refusing_doors(decisions) if one.door not in told]


def tell_refusing(
    connection: Connection, doors: Iterable[RefusingDoor], now: datetime, days: OpeningDays
) -> WriteResult[int]:
    """Open messages about `doors`, but for those that another gateway has told in between."""
    since = time_text(now - REFUSING_FOR)
    causes = [
        Cause(
            AutomaticCategory.DOOR,
            one.door,
            _refusing_text(one),
            branch=one.branch or None,
        )
        for one in doors
        if connection.execute(_TELL_DOOR, (one.door, time_text(now), since)).rowcount
    ]
    return WriteResult(open_automatic(connection, causes, now, days))


def _refusing_text(door: RefusingDoor) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in door.reasons)
    where = f" --branch {door.branch}" if door.branch else ""
    return (
        f"{door.door} refused all {door.refused} who came within an hour ({reasons})."
        f" Look at them with `sip2gw door log{where}`."
    )


def note_heard(connection: Connection, heard: Mapping[str, datetime]) -> None:
    """Keep when terminals were heard last, if no gateway has heard them later.

    `connection` is outside of a transaction.
    """
    connection.execute("BEGIN")
    connection.executemany(_NOTE_HEARD, ((name, time_text(at)) for name, at in heard.items()))
    connection.execute("COMMIT")


def last_heard(connection: Connection) -> dict[str, datetime]:
    """When each terminal was heard last, without those whose silence since then was told."""
    return {name: moment_value(at) for name, at in connection.execute(_UNTOLD_HEARD)}


def tell_silent(
    connection: Connection, terminals: Iterable[SilentTerminal], now: datetime, days: OpeningDays
) -> WriteResult[int]:
    """Open messages about `terminals`, but for those that were heard or told in between."""
    causes = [
        Cause(
            AutomaticCategory.SILENT_TERMINAL,
            one.terminal,
            f"{one.terminal} has sent nothing since {one.heard:%Y-%m-%d %H:%M}Z."
            " Switch it off and on, and look at its line.",
            branch=one.branch,
        )
        for one in terminals
        if connection.execute(_TELL_SILENCE, (one.terminal, time_text(one.heard))).rowcount
    ]
    return WriteResult(open_automatic(connection, causes, now, days))
