"""What was paid here and staff tell the library system, because it takes no 37 (C124).

Such a payment is in the ledger like any other through a library system: against the account
`library:<account>`. Each of its shares waits until staff say that the library system knows of it.
All functions run inside a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack

from sip2gw.backend.base import RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.stubs import SAME_PERSON
from sip2gw.backend.sql.values import moment_text, moment_value, time_text, time_value
from sip2gw.model import PaymentStatus
from sip2gw.model.money import PaymentFilters
from sip2gw.model.shares import Export, Kept, PendingFee, Share

PENDING = fill(
    """
    SELECT s.payment_id, s.position, s.kept, s.fee_id, s.amount
    FROM payment_share s JOIN payment p ON p.id = s.payment_id
    WHERE s.debtor_id {same} AND s.kept IS NOT NULL AND s.exported IS NULL
      AND s.state IN ('sent', 'booked') AND p.status <> 'undone'
    ORDER BY s.payment_id, s.position""",
    same=SAME_PERSON,
)
"""Also what is being booked just now: nobody pays for it a second time."""
ANY_PENDING = """
    SELECT 1 FROM payment_share WHERE kept IS NOT NULL AND exported IS NULL LIMIT 1"""
"""Without it nothing is pending for anybody."""
_EXPORTS = """
    SELECT * FROM
        (SELECT p.id AS id, s.position AS position, p.time AS time, p.terminal AS terminal,
                s.debtor_id, s.amount, p.currency, p.payment_type, p.bk, s.fee_id, s.exported,
                (SELECT COUNT(*) FROM payment_share o WHERE o.payment_id = p.id) AS parts
         FROM payment_share s JOIN payment p ON p.id = s.payment_id
         WHERE s.kept IS NOT NULL AND s.state = 'booked' AND p.status <> 'undone'{only}) e
    {where} ORDER BY time, id, position"""
ALL_EXPORTS = fill(_EXPORTS, only="", where="{where}")
PENDING_EXPORTS = fill(_EXPORTS, only=" AND s.exported IS NULL", where="{where}")
EXPORT_FILTERS = {
    "since": "time >= ?",
    "until": "time < ?",
    "terminal": "terminal = ?",
    "payment_id": "id = ?",
}
SET_EXPORTED = """
    UPDATE payment_share SET exported = ?
    WHERE payment_id = ? AND position = ? AND exported IS NULL"""


def pending_fee(row: Sequence[Any]) -> PendingFee:
    """The value behind a row of `PENDING`."""
    payment_id, position, kept, fee_id, amount = row
    return PendingFee(f"{payment_id}-{position}", fee_id if kept == Kept.FEE else "", amount)


def are_all(
    connection: Connection, shares: Iterable[Share], known: Mapping[str, Collection[str]]
) -> bool:
    """Whether `known` names all that was paid for the debtors of what stays here, so that nobody
    pays what another terminal has taken money for meanwhile (C60)."""
    return all(
        {pending_fee(row).id for row in connection.execute(PENDING, (debtor,)).fetchall()}
        == set(known.get(debtor, ()))
        for debtor in {share.debtor_id for share in shares if share.kept}
    )


def exports(
    connection: Connection, *, pending: bool, **wanted: Unpack[PaymentFilters]
) -> list[Export]:
    """What was paid to be told to the library system, oldest first.

    Args:
        connection: of the transaction.
        pending: leave out what it was told.
        wanted: only those in the half-open time span, or of the terminal.
    """
    values = {
        "since": moment_text(wanted.get("since")),
        "until": moment_text(wanted.get("until")),
        "terminal": wanted.get("terminal"),
    }
    return _exports(connection, values, pending=pending)


def _exports(
    connection: Connection, wanted: Mapping[str, str | None], *, pending: bool
) -> list[Export]:
    chosen = PENDING_EXPORTS if pending else ALL_EXPORTS
    statement, values = queries.filtered(chosen, EXPORT_FILTERS, wanted)
    return [_export(row) for row in connection.execute(statement, values).fetchall()]


def _export(row: Sequence[Any]) -> Export:
    payment_id, position, time, terminal, patron, amount, currency, kind, bk, fee, done, parts = row
    return Export(
        id=payment_id if parts == 1 else f"{payment_id}-{position + 1}",
        time=moment_value(time),
        terminal=terminal,
        patron=patron,
        amount=amount,
        currency=currency,
        payment_type=kind,
        bk=bk,
        fee=fee,
        done=time_value(done),
    )


def set_exported(
    connection: Connection, export_id: str, now: datetime
) -> WriteResult[list[Export]]:
    """Note that the library system knows of a share, or of all that is left of a payment.

    Returns:
        What was noted.

    Raises:
        RefusedError: it does not wait for that; the text says why.
    """
    payment_id = export_id.partition("-")[0]
    of_payment = _exports(connection, {"payment_id": payment_id}, pending=False)
    meant = [one for one in of_payment if export_id in (one.id, payment_id)]
    waiting = [one for one in meant if one.done is None]
    if not waiting:
        raise RefusedError(_why_not(connection, export_id, payment_id, meant))
    for one in waiting:
        position = int(one.id.partition("-")[2] or "1") - 1
        connection.execute(SET_EXPORTED, (time_text(now), payment_id, position))
    return WriteResult(waiting)


def _why_not(
    connection: Connection, export_id: str, payment_id: str, meant: Sequence[Export]
) -> str:
    if meant:
        done = max(one.done for one in meant if one.done is not None)
        return f"the export of {export_id} was recorded as done before, at {done.isoformat()}"
    row = connection.execute(queries.PAYMENT_STATUS, (payment_id,)).fetchone()
    if row is not None and row[0] == PaymentStatus.UNDONE:
        return "the payment has been undone, so there is nothing to enter in the library system"
    return f"no payment to export has the id {export_id}; see `payment export`"
