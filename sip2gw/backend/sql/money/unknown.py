"""Attempts of unknown outcome: noted, looked at, settled (C98, C157).

A payment of unknown outcome is a row of `payment` without entries in the ledger, with the status
`unknown`; settled it is `refused`, or it is the payment itself if it was booked. The row of
`attempt` says under which key it was attempted, and when it was settled. An attempt to do
something with an item is an entry for review.

Why what was settled as not done is never done later: `settle` leaves a row with the id of the
attempt, and committing that row is the fence. Booking and circulation write the same id, or look
for it under a lock that settling takes too. So the later of the two transactions sees the other.
What a transaction that failed while it committed left behind on SQLite is ended by the commit of
`settle` itself (see `writer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Unpack

from sip2gw.backend.attempts import (
    AttemptState,
    DoubtfulSending,
    Reconciliation,
    Settlement,
    UnknownAttempt,
    UnknownCirculation,
    UnknownPayment,
    UnknownSending,
)
from sip2gw.backend.base import (
    CirculationOrder,
    CirculationOutcome,
    PaymentOrder,
    PaymentOutcome,
    RefusedError,
)
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.stubs import IDS_OF
from sip2gw.backend.sql.values import (
    list_text,
    moment_value,
    time_text,
    time_value,
)
from sip2gw.model import Minor, Payment, PaymentStatus
from sip2gw.model.items import Review, ReviewKind
from sip2gw.model.money import PaymentFilters
from sip2gw.policy.money.payments import PaymentFacts

DONE_STATUSES = (PaymentStatus.BOOKED, PaymentStatus.UNDONE)
NOBODY = ""


def attempt_of(order: PaymentOrder | CirculationOrder) -> UnknownAttempt:
    """What is noted of `order` when nobody knows whether it was done."""
    if isinstance(order, CirculationOrder):
        return UnknownCirculation(
            id=order.id,
            time=order.now,
            terminal=order.terminal,
            code=order.code,
            item_id=order.item_id,
            patron_id=order.patron_id or NOBODY,
            key=order.key if order.key is not None else f"#{order.id}",
        )
    return UnknownPayment(
        id=order.id,
        time=order.now,
        terminal=order.terminal,
        payer_id=order.payer_id,
        amount=order.amount,
        currency=order.currency,
        payment_type=order.payment_type,
        bk=order.bk,
        key=order.key,
        content=order.content,
        key_expires=order.key_expires,
        card=order.card,
        owed=None if order.seen is None else owed_by(order.seen),
    )


def is_new(outcome: PaymentOutcome | CirculationOutcome) -> bool:
    """Whether the very order was done; not an earlier one that it repeats."""
    return outcome in (PaymentOutcome.BOOKED, CirculationOutcome.DONE)


def owed_by(facts: PaymentFacts) -> Minor:
    """What the payer and those they may pay for owe together."""
    return sum(fee.owed for record in (facts.payer, *facts.debtors) for fee in record.fees)


# Settling ---------------------------------------------------------------------------------------


def settle(
    connection: Connection, attempts: Iterable[UnknownAttempt], now: datetime, note: str = ""
) -> WriteResult[list[Settlement]]:
    """Find out how `attempts` ended and fence those not done; repeating it changes nothing."""
    return WriteResult(
        [Settlement(known, _settle(connection, known, now, note)) for known in attempts]
    )


def _settle(connection: Connection, known: UnknownAttempt, now: datetime, note: str) -> bool:
    if isinstance(known, UnknownCirculation):
        return _settle_circulation(connection, known)
    return _settle_payment(connection, known, now, note)


def _settle_payment(
    connection: Connection, known: UnknownPayment, now: datetime, note: str
) -> bool:
    """Whether it was booked; if not, a row with its id keeps it from being booked."""
    connection.execute(queries.ADD_GIVEN_UP, payment_row(known))
    connection.execute(queries.GIVE_UP, (known.id,))
    (status,) = connection.execute(queries.PAYMENT_STATUS, (known.id,)).fetchone()
    values = (known.id, known.key, known.owed, time_text(now), note)
    connection.execute(queries.ADD_ATTEMPT, values)
    return status in DONE_STATUSES


def payment_row(known: UnknownPayment) -> tuple[Any, ...]:
    """Of `queries.ADD_GIVEN_UP`: refused, and without a key, which is free again."""
    what = (known.payer_id, known.amount, known.currency, known.payment_type, known.bk)
    key = (None, known.content, time_text(known.key_expires))
    taken = None  # if nothing was booked, it does not matter when the terminal took the money
    begin = (known.id, time_text(known.time), known.terminal, *what)
    return (*begin, PaymentStatus.REFUSED, list_text(()), *key, known.card, taken)


def _settle_circulation(connection: Connection, known: UnknownCirculation) -> bool:
    """Whether it was done; staff find it for review either way."""
    found = connection.execute(queries.DONE_BY_ATTEMPT, (known.item_id, known.id)).fetchone()
    outcome = CirculationOutcome.REFUSED if found is None else CirculationOutcome.DONE
    connection.execute(queries.SETTLE_CIRCULATION, (*review_row(known), outcome))
    (settled,) = connection.execute(queries.CIRCULATION_OUTCOME, (known.id,)).fetchone()
    return bool(settled == CirculationOutcome.DONE)


def review_row(known: UnknownCirculation) -> tuple[Any, ...]:
    """Of `queries.SETTLE_CIRCULATION`, but for the outcome."""
    who = (known.terminal, known.code, known.item_id, known.patron_id)
    return (known.id, time_text(known.time), *who, known.key)


def settle_sending(
    connection: Connection, known: UnknownSending, outcome: str, seen: Iterable[str]
) -> None:
    """Note for review what a look at the library system told of `known`; without `seen` nobody has
    looked. What is settled or closed stays as it is."""
    row = (*review_row(known), known.account, outcome, " ".join(seen))
    connection.execute(queries.SETTLE_SENDING, row)


# Reading ----------------------------------------------------------------------------------------


def unknown_attempts(connection: Connection) -> list[UnknownAttempt]:
    """The unsettled attempts in the store, oldest first."""
    payments = map(_payment, connection.execute(queries.UNKNOWN_PAYMENTS).fetchall())
    others = map(_circulation, connection.execute(queries.UNKNOWN_CIRCULATION).fetchall())
    return sorted((*payments, *others), key=lambda known: (known.time, known.id))


def _payment(row: Sequence[Any]) -> UnknownPayment:
    payment_id, time, *middle, key_expires, card, owed = row
    values = (payment_id, moment_value(time), *middle, moment_value(key_expires), card, owed)
    return UnknownPayment(*values)


def _circulation(row: Sequence[Any]) -> UnknownCirculation:
    attempt_id, time, *rest = row
    return UnknownCirculation(attempt_id, moment_value(time), *rest)


def doubtful_sendings(connection: Connection, done_since: datetime) -> list[DoubtfulSending]:
    """What went up to a library system, and nobody knows or has closed; oldest first. Also what
    was sent since then and found to be done."""
    rows = connection.execute(queries.DOUBTFUL_SENDINGS, (time_text(done_since),)).fetchall()
    return [_doubtful(row) for row in rows]


def _doubtful(row: Sequence[Any]) -> DoubtfulSending:
    sending_id, time, *rest, seen, outcome = row
    sending = UnknownSending(sending_id, moment_value(time), *rest)
    return DoubtfulSending(sending, tuple(seen.split()), outcome == CirculationOutcome.DONE)


def unsettled(connection: Connection, spooled: Iterable[UnknownAttempt]) -> list[UnknownAttempt]:
    """Those of a spool that are not settled in the store; a crash may bring back old entries."""
    return [known for known in spooled if not _is_settled(connection, known)]


def _is_settled(connection: Connection, known: UnknownAttempt) -> bool:
    is_payment = isinstance(known, UnknownPayment)
    statement = queries.ATTEMPT_SETTLED if is_payment else queries.REVIEW_SETTLED
    return connection.execute(statement, (known.id,)).fetchone() is not None


def merged(
    stored: Iterable[UnknownAttempt], spooled: Iterable[UnknownAttempt]
) -> list[UnknownAttempt]:
    """Each attempt once, oldest first."""
    every = {known.id: known for known in (*stored, *spooled)}
    return sorted(every.values(), key=lambda known: (known.time, known.id))


def reconciliations(
    connection: Connection, spooled: Iterable[UnknownAttempt], since: datetime
) -> list[Reconciliation]:
    """Payments that were answered with "not sure", open or settled since then; oldest first."""
    rows = connection.execute(queries.RECONCILIATIONS, (time_text(since),)).fetchall()
    found = {row[0]: _reconciliation(connection, row) for row in rows}
    for known in unsettled(connection, spooled):
        if isinstance(known, UnknownPayment) and known.id not in found:
            found[known.id] = _open_reconciliation(connection, known)
    return sorted(found.values(), key=lambda one: (one.payment.time, one.payment.id))


def _reconciliation(connection: Connection, row: Sequence[Any]) -> Reconciliation:
    status, settled, note, resolved = row[-4:]
    payment, state = _payment(row[:-4]), _state(status, bool(resolved))
    return Reconciliation(
        payment,
        state,
        after=_owed_now(connection, payment.payer_id),
        proposal="not-booked" if state is AttemptState.UNKNOWN else "",
        settled=time_value(settled),
        note=note,
    )


def _state(status: str, resolved: bool) -> AttemptState:
    if status == PaymentStatus.UNKNOWN:
        return AttemptState.UNKNOWN
    if resolved:
        return AttemptState.RESOLVED
    return AttemptState.BOOKED if status in DONE_STATUSES else AttemptState.REFUSED


def _open_reconciliation(connection: Connection, known: UnknownPayment) -> Reconciliation:
    """One that is only in the spool; the ledger already shows what settling will find."""
    row = connection.execute(queries.PAYMENT_STATUS, (known.id,)).fetchone()
    booked = row is not None and row[0] in DONE_STATUSES
    return Reconciliation(
        known,
        AttemptState.UNKNOWN,
        after=_owed_now(connection, known.payer_id),
        proposal="booked" if booked else "not-booked",
    )


def _owed_now(connection: Connection, patron_id: str) -> Minor:
    """The counterpart of `owed_by`."""
    row = connection.execute(queries.OWED_WITH_OTHERS, (patron_id,) * 3).fetchone()
    return int(row[0])


def spooled_payments(
    connection: Connection,
    spooled: Iterable[UnknownAttempt],
    **wanted: Unpack[PaymentFilters],
) -> Iterator[Payment]:
    """Those of a spool that have no row of their own yet, as payments."""
    since, until, after = wanted.get("since"), wanted.get("until"), wanted.get("after")
    patron = wanted.get("patron")
    whose = None if patron is None else {row[0] for row in connection.execute(IDS_OF, (patron,))}
    for known in spooled:
        if (
            isinstance(known, UnknownPayment)
            and (since is None or known.time >= since)
            and (until is None or known.time < until)
            and (after is None or (known.time, known.id) > after)
            and (whose is None or known.payer_id in whose)
            and wanted.get("terminal") in (None, known.terminal)
            and wanted.get("status") in (None, PaymentStatus.UNKNOWN)
            and connection.execute(queries.PAYMENT_STATUS, (known.id,)).fetchone() is None
        ):
            yield _as_payment(known)


def _as_payment(known: UnknownPayment) -> Payment:
    return Payment(
        id=known.id,
        time=known.time,
        terminal=known.terminal,
        payer_id=known.payer_id,
        amount=known.amount,
        currency=known.currency,
        payment_type=known.payment_type,
        bk=known.bk,
        status=PaymentStatus.UNKNOWN,
        lines=(),
        card=known.card,
    )


def spooled_reviews(
    connection: Connection, spooled: Iterable[UnknownAttempt], *, state: str | None = None
) -> Iterator[Review]:
    """The others of a spool that are not settled, as entries for review; all are open."""
    if state not in (None, "open"):
        return
    for known in unsettled(connection, spooled):
        if isinstance(known, UnknownCirculation):
            yield Review(
                id=known.id,
                time=known.time,
                kind=ReviewKind.UNKNOWN,
                terminal=known.terminal,
                message=known.code,
                item=known.item_id,
                patron=known.patron_id,
                outcome="unknown",
            )


# Staff ------------------------------------------------------------------------------------------


def settle_as_told(
    connection: Connection, known: UnknownPayment, booked: bool, note: str, now: datetime
) -> WriteResult[None]:
    """Settle it with a note; what staff say must match the store.

    The store knows what it has booked; saying otherwise would not move any money.

    Raises:
        RefusedError: it is not.
    """
    (found,) = settle(connection, (known,), now, note).result
    if found.done and not booked:
        raise RefusedError(f"payment {known.id} is booked; take it back with `payment undo`")
    if booked and not found.done:
        raise RefusedError(
            f"payment {known.id} is not booked; settle it as not-booked, and take the"
            " payment at the desk or give the money back"
        )
    return WriteResult(None)
