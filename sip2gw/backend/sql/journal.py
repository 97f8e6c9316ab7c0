"""The off-line journal: what a library system has yet to hear of (B77, C125, C154).

Entries go up in the order in which they happened, one at a time for each account; those about one
item in that order whichever accounts took them. The gateway that hands one over holds a lease on it
meanwhile; no other gateway takes any entry of the account as long as that lease lasts. So each goes
up once, whichever gateway wrote it down. If the gateway dies before it has noted the answer, the
entry goes up once more when the lease is over.

All functions that write run inside a transaction of the caller, beside which nobody else writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from sip2gw.backend.attempts import sending_of
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql.desk import support
from sip2gw.backend.sql.money import unknown
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.values import moment_value, time_text
from sip2gw.backend.sql.writes import ADD_REVIEW
from sip2gw.model.items import ReviewKind
from sip2gw.model.journal import OPEN_MAX, EntryState, JournalEntry, Kept, Value, Waiting
from sip2gw.model.support import AutomaticCategory, SupportStatus

ENDED_KEPT = timedelta(hours=24)
"""So long after it went up an entry is shown: it says who borrowed what (C69)."""

_COLUMNS = """id, time, happened, account, terminal, message, item, patron, key, request, state,
           tries"""
ADD = """
    INSERT INTO journal (id, time, happened, account, terminal, message, item, patron, key, request,
                         state, tries)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ABOUT_ITEM = fill(
    "SELECT {columns} FROM journal WHERE item = ? AND state = 'open' ORDER BY id DESC LIMIT 1",
    columns=_COLUMNS,
)
"""The last entry about an item that has not gone up yet."""
NEXT = fill(
    """
    SELECT {columns} FROM journal WHERE account = ? AND state = 'open'
    AND NOT EXISTS (
        SELECT 1 FROM journal AS earlier
        WHERE earlier.item = journal.item AND earlier.state = 'open'
        AND earlier.account <> journal.account
        AND (earlier.happened, earlier.id) < (journal.happened, journal.id))
    ORDER BY happened, id LIMIT 1""",
    columns=_COLUMNS,
)
"""The oldest entry of an account, but for what waits for another account: the item may have been
lent at one branch and returned at the next."""
ENTRIES = """
    SELECT id, time, happened, account, terminal, message, item, patron, key, request,
           COALESCE((SELECT CASE outcome WHEN 'done' THEN 'done' WHEN 'refused' THEN 'conflict' END
                     FROM review WHERE review.id = journal.id), state),
           tries
    FROM journal ORDER BY happened, id"""
"""What looks at an unanswered entry have found stands in its review alone."""
OPEN_ENTRIES = fill(
    "SELECT {columns} FROM journal WHERE state = 'open' ORDER BY happened, id", columns=_COLUMNS
)
COUNT_OPEN = "SELECT COUNT(*) FROM journal WHERE account = ? AND state = 'open'"
LEASED_ELSEWHERE = """
    SELECT 1 FROM journal
    WHERE account = ? AND state = 'open' AND leased_until > ? AND lease <> ? LIMIT 1"""
LEASE_IT = "UPDATE journal SET lease = ?, leased_until = ?, tries = tries + 1 WHERE id = ?"
RELEASE = """
    UPDATE journal SET lease = NULL, leased_until = NULL, tries = tries - 1
    WHERE id = ? AND state = 'open' AND lease = ?"""
END = """
    UPDATE journal SET state = ?, expires = ?, lease = NULL, leased_until = NULL
    WHERE id = ? AND state = 'open'"""
WAITING = """
    SELECT account, message, COUNT(*), MIN(id), MIN(time) FROM journal WHERE state = 'open'
    GROUP BY account, message ORDER BY account, message"""
_FORGET = "DELETE FROM journal WHERE expires < ?"
_COUNT_FORGOTTEN = "SELECT COUNT(*) FROM journal WHERE expires < ?"


def add(connection: Connection, entry: JournalEntry) -> WriteResult[Kept]:
    """Put `entry` in, unless the terminal repeats the last one about the item."""
    row = connection.execute(ABOUT_ITEM, (entry.item,)).fetchone()
    if row is not None and _is_same(entry_of(row), entry):
        return WriteResult(Kept.KNOWN)
    ((count,),) = connection.execute(COUNT_OPEN, (entry.account,)).fetchall()
    if count >= OPEN_MAX:
        return WriteResult(Kept.FULL)
    connection.execute(ADD, _row(entry))
    return WriteResult(Kept.NEW)


def _is_same(known: JournalEntry, entry: JournalEntry) -> bool:
    return _said(known) == _said(entry)


def _said(entry: JournalEntry) -> tuple[str, ...]:
    """What two entries about an item have in common only if one repeats the other. The last sign of
    a key is no block: all that is in the journal has happened, whether it was said so or not."""
    return entry.terminal, entry.message, entry.patron, entry.key[:-1]


def claim(
    connection: Connection, account: str, lease: str, now: datetime, until: datetime
) -> WriteResult[JournalEntry | None]:
    """The next entry of `account`, which the caller hands over before `until`; None if there is
    none, what there is waits for another account, or another gateway is handing one over."""
    elsewhere = connection.execute(LEASED_ELSEWHERE, (account, time_text(now), lease)).fetchone()
    row = connection.execute(NEXT, (account,)).fetchone()
    if elsewhere is not None or row is None:
        return WriteResult(None)
    entry = entry_of(row)
    connection.execute(LEASE_IT, (lease, time_text(until), entry.id))
    return WriteResult(replace(entry, tries=entry.tries + 1))


def release(connection: Connection, entry: JournalEntry, lease: str) -> WriteResult[None]:
    """It certainly did not go up: it waits again."""
    connection.execute(RELEASE, (entry.id, lease))
    return WriteResult(None)


def end(
    connection: Connection,
    entry: JournalEntry,
    state: EntryState,
    reasons: Sequence[str],
    now: datetime,
) -> WriteResult[None]:
    """Note what became of `entry`, unless that was noted before. What a person must look at is an
    entry for review from now on (B57, C106)."""
    moment = (state.value, time_text(now + ENDED_KEPT), entry.id)
    if not connection.execute(END, moment).rowcount:
        return WriteResult(None)
    if state is EntryState.CONFLICT:
        connection.execute(ADD_REVIEW.statement, _review_row(entry, reasons))
    elif state is EntryState.UNKNOWN:
        unknown.settle_sending(connection, sending_of(entry), state.value, reasons)
    note = "It has gone up to the library system."
    status = SupportStatus.CLOSED_BY_LIBRARY
    support.close_about(connection, AutomaticCategory.JOURNAL, entry.id, status, "", note, now)
    return WriteResult(None)


def _review_row(entry: JournalEntry, reasons: Sequence[str]) -> tuple[Any, ...]:
    what = (entry.terminal, entry.message, entry.item, entry.patron)
    begin = (entry.id, time_text(entry.time), ReviewKind.CONFLICT.value)
    return (*begin, *what, "refused", " ".join(reasons))


def waiting_of(row: Sequence[Any]) -> Waiting:
    """What a row of `WAITING` tells."""
    *what, since = row
    values: tuple[Any, ...] = (*what, moment_value(since))
    return Waiting(*values)


def entries(connection: Connection, *, only_open: bool = False) -> Iterator[JournalEntry]:
    """All entries that are kept, or those that wait; in the order in which they go up."""
    yield from map(entry_of, connection.execute(OPEN_ENTRIES if only_open else ENTRIES))


def forget(connection: Connection, now: datetime) -> int:
    """Delete entries that went up and are not shown any more; returns how many."""
    return connection.execute(_FORGET, (time_text(now),)).rowcount


def count_forgotten(connection: Connection, now: datetime) -> int:
    """How many rows `forget` would delete."""
    return int(connection.execute(_COUNT_FORGOTTEN, (time_text(now),)).fetchone()[0])


def _row(entry: JournalEntry) -> tuple[Any, ...]:
    times = (time_text(entry.time), time_text(entry.happened))
    what = (entry.account, entry.terminal, entry.message, entry.item, entry.patron, entry.key)
    request = msgspec.json.encode(dict(entry.request)).decode()
    return (entry.id, *times, *what, request, entry.state.value, entry.tries)


def entry_of(row: Sequence[Any]) -> JournalEntry:
    """The entry behind a row of the columns above."""
    entry_id, time, happened, *what, request, state, tries = row
    said = msgspec.json.decode(request, type=dict[str, Value])
    times = (moment_value(time), moment_value(happened))
    values: tuple[Any, ...] = (entry_id, *times, *what, said, EntryState(state), tries)
    return JournalEntry(*values)
