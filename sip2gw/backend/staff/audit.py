"""The audit log: who read or changed what about whom (B83).

An entry is written before anything is shown or changed, so that nothing happens without one. It
says who it is about by the patron's id, whatever card was named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from sip2gw.backend.database import Connection
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.values import moment_value, place_text, time_text
from sip2gw.model.rights import Act, AuditEntry, AuditOutcome, Role

_COLUMNS = "id, time, who, role, source, action, object, patron_id, address, outcome"
_ADD = f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 -- ours
_PATRON = """
    SELECT id FROM patron WHERE id = ? AND merged_into IS NULL
    UNION SELECT patron_id FROM card WHERE number = ?"""
_ABOUT = "UPDATE audit SET object = ? WHERE id = ? AND outcome = 'begun'"
_END = "UPDATE audit SET outcome = ? WHERE id = ? AND outcome = 'begun'"
_ALSO = f"""
    INSERT INTO audit ({_COLUMNS})
    SELECT ?, time, who, role, source, action, object, ?, address, outcome FROM audit
    WHERE id = ? AND (patron_id IS NULL OR patron_id <> ?)"""  # noqa: S608 -- ours
_ENTRIES = f"SELECT {_COLUMNS} FROM audit{{where}} ORDER BY time, id"  # noqa: S608 -- ours
_FILTERS = {
    "who": "who = ?",
    "patron": "patron_id = ?",
    "since": "time >= ?",
    "until": "time < ?",
    "after": "(time, id) > (?, ?)",
}
_COUNT = "SELECT COUNT(*) FROM audit WHERE time < ?"
_FORGET = "DELETE FROM audit WHERE time < ?"


def add_entry(connection: Connection, act: Act, outcome: AuditOutcome) -> str:
    """Write down that `act` is about to be done; returns the entry's id."""
    entry_id = new_id()
    values = (
        entry_id,
        time_text(act.time),
        act.who,
        act.role.value,
        act.source,
        act.action,
        act.object,
        _patron(connection, act.patron),
        act.address,
        outcome,
    )
    connection.execute(_ADD, values)
    return entry_id


def _patron(connection: Connection, number: str) -> str | None:
    """The id of the patron with that id or card; None if nobody has it: it may be a typing error
    that tells something else."""
    if not number:
        return None
    found = connection.execute(_PATRON, (number, number)).fetchone()
    return None if found is None else str(found[0])


def end_entry(
    connection: Connection,
    entry_id: str,
    outcome: AuditOutcome,
    touched: Collection[str],
    about: str = "",
) -> None:
    """Write down what became of a change, and which other patrons it touched: all or nothing.

    `about` is its object, if that was not known when it began.
    """
    connection.execute("BEGIN")
    if about:
        connection.execute(_ABOUT, (about, entry_id))
    connection.execute(_END, (outcome, entry_id))
    for patron_id in sorted(touched):
        connection.execute(_ALSO, (new_id(), patron_id, entry_id, patron_id))
    connection.execute("COMMIT")


def entries(
    connection: Connection,
    *,
    who: str | None = None,
    patron: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int | None = None,
) -> Iterator[AuditEntry]:
    """The log in the half-open time span, oldest first; `patron` is an id or any card.

    With `limit` no more than so many entries, of those that come after the one with the time and
    the id `after`, if it is given.
    """
    wanted = {
        # Before `since`: that is where SQLite begins in the index.
        "after": place_text(after),
        "who": who,
        "patron": None if patron is None else _patron(connection, patron) or patron,
        "since": None if since is None else time_text(since),
        "until": None if until is None else time_text(until),
    }
    statement, values = queries.first(*queries.filtered(_ENTRIES, _FILTERS, wanted), limit)
    for (
        entry_id,
        time,
        name,
        role,
        source,
        action,
        about,
        patron_id,
        address,
        outcome,
    ) in connection.execute(statement, values):
        act = Act(
            moment_value(time), name, Role(role), source, action, about, patron_id or "", address
        )
        yield AuditEntry(entry_id, act, outcome)


def count_forgotten(connection: Connection, before: datetime) -> int:
    """How many entries `forget` would delete."""
    return int(connection.execute(_COUNT, (time_text(before),)).fetchone()[0])


def forget(connection: Connection, before: datetime) -> int:
    """Delete the entries before that moment; returns how many."""
    return connection.execute(_FORGET, (time_text(before),)).rowcount
