"""Booking: exactly once, balanced, append-only (B46, B47, C71).

Every transaction is a set of entries that sums to zero: `till:<terminal>:<payment type>`, or the
account that the order names, against `fee:<id>`. What is owed on a fee is the sum of its entries.
A credit that a payment uses up is a fee like the others, with opposite signs (B98). An undo is the
opposite transaction. All functions run inside a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Unpack

from msgspec.structs import replace

from sip2gw.backend.base import (
    BackendError,
    PaymentOrder,
    PaymentOutcome,
    PaymentResult,
    RefusedError,
)
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.doubts import NOT_NOTABLE, Doubts
from sip2gw.backend.ids import new_id
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.money import surplus
from sip2gw.backend.sql.money.surplus import Correction, corrections
from sip2gw.backend.sql.records import load_account
from sip2gw.backend.sql.values import (
    list_text,
    list_value,
    moment_text,
    moment_value,
    place_text,
    time_text,
    time_value,
)
from sip2gw.model import (
    Fee,
    Minor,
    PatronRecord,
    Payment,
    PaymentLine,
    PaymentStatus,
    Surplus,
)
from sip2gw.model.money import PaymentFilters
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.money.receipts import Receipt, ReceiptUse, receipt_use
from sip2gw.policy.reasons import PaymentRefusalReason

_BOOKED = PaymentOutcome.BOOKED  # Python 3.11 takes 0.1 µs to find a member of an enumeration
_PAID = PaymentStatus.BOOKED.value  # SQLite takes a µs longer for a member than for its text

ENTRIES_PER_STATEMENT = 100
"""Rows of one INSERT; databases limit its values."""


class UndoRefusedError(RefusedError):
    """The payment cannot be taken back; the text says why."""


FindAccount = Callable[[Connection, str], PatronRecord | None]
"""Membership, fees and relationships of a patron as the running transaction sees them."""


def book(
    connection: Connection,
    order: PaymentOrder,
    account: FindAccount = load_account,
    doubts: Doubts | None = None,
) -> WriteResult[PaymentResult]:
    """Book `order`, repeat its first booking, or refuse; a refusal leaves the key free (C4).

    It is decided and written as if the key were free, as it nearly always is; the key's index then
    shows whether it was. The payment that holds the key comes before any refusal. An order that is
    tried again because nobody knew whether it was booked finds its own payment.

    Raises:
        BackendError: the attempt was given up meanwhile (see `unknown.settle`).
    """
    facts = _facts(connection, order, account)
    if facts is None:
        outcome: Payment | PaymentResult = refused(PaymentRefusalReason.UNKNOWN_CARD)
    else:
        outcome = decided(order, facts, doubts)
    if not isinstance(outcome, Payment) or not _write(connection, order, outcome):
        holder = holder_in(connection, order)
        if isinstance(holder, PaymentResult):
            return WriteResult(holder)
        if holder is not None:
            return WriteResult(_first_payment(connection, order, holder))
        if isinstance(outcome, PaymentResult):
            return WriteResult(outcome)
        connection.execute(queries.FREE_KEY, (order.terminal, order.key))
        if not _write(connection, order, outcome):
            raise BackendError("the attempt to pay was abandoned")
    assert facts is not None
    return WriteResult(PaymentResult(_BOOKED, outcome), fees=_fees_after(facts, outcome.lines))


def look_ahead(connection: Connection, order: PaymentOrder) -> None:
    """Read what `book` will read and nobody has read yet for the order (C114)."""
    connection.execute(queries.PAYMENT_KEY, (order.terminal, order.key)).fetchone()
    connection.execute(queries.PAYMENT_PLACES, (order.id, order.id, order.id)).fetchone()


def done_before(connection: Connection, order: PaymentOrder) -> PaymentResult | None:
    """What `book` would say because the order's key is taken, without writing; None: it is free."""
    holder = holder_in(connection, order)
    if not isinstance(holder, str):
        return holder
    return PaymentResult(PaymentOutcome.REPLAYED, load_payment(connection, holder))


def _first_payment(connection: Connection, order: PaymentOrder, holder: str) -> PaymentResult:
    """What was booked under the order's key: by an earlier try of this order, or by another.

    A terminal that was told "not sure" and asks again now gets a yes: nothing is left to do.
    """
    if holder == order.id:
        return PaymentResult(_BOOKED, load_payment(connection, holder))
    connection.execute(queries.RESOLVE, (time_text(order.now), holder))
    return PaymentResult(PaymentOutcome.REPLAYED, load_payment(connection, holder))


def _facts(
    connection: Connection, order: PaymentOrder, account: FindAccount
) -> PaymentFacts | None:
    """The facts that decide `order`; None for an unknown payer."""
    payer = account(connection, order.payer_id)
    if payer is None:
        return None
    others = (account(connection, party) for party in other_parties(payer))
    return PaymentFacts(payer, tuple(record for record in others if record is not None))


def holder_in(
    connection: Connection,
    order: PaymentOrder,
    lock: str = "",
    is_open: Callable[[Connection, str], bool] = lambda connection, payment_id: False,
) -> str | PaymentResult | None:
    """`holder_of` by what is in the store.

    Args:
        connection: of the running transaction.
        order: what is to be booked.
        lock: ends the statement that reads the key, where its row is to be locked.
        is_open: whether nobody knows what became of a payment.
    """
    under = (order.terminal, order.key)
    key = connection.execute(queries.PAYMENT_KEY + lock, under).fetchone()
    if key is None:
        return None
    is_known = not is_open(connection, key[1])
    holder = holder_of(order, [key], () if is_known else (key[1],))
    if isinstance(holder, str) or not order.bk:
        return holder
    before = connection.execute(queries.TAKEN_OVER, (order.terminal, order.bk)).fetchall()
    keys = [key, *before]
    return holder_of(order, keys, {one[1] for one in keys if is_open(connection, one[1])})


def holder_of(
    order: PaymentOrder, keys: Iterable[Sequence[Any]], still_open: Collection[str] = ()
) -> str | PaymentResult | None:
    """The payment that `order` repeats; a refusal when its key is another's; None: it is free.

    Args:
        order: what is to be booked.
        keys: `queries.KEY_COLUMNS` of the payment under the key and of those it was taken over
            from: each keeps its number until that expires (C5), unless `order` is another payment
            (C105).
        still_open: those of which nobody knows what became of them; theirs do not expire (C98).
    """
    again = Receipt(order.content, order.transacted, order.now)
    uses: dict[ReceiptUse, str] = {}
    for key in keys:
        if not has_expired(key, order.now) or key[1] in still_open:
            uses[receipt_use(receipt_of_key(key), again, order.receipts)] = str(key[1])
    if ReceiptUse.RETRY in uses:
        return uses[ReceiptUse.RETRY]
    if ReceiptUse.REUSED in uses:
        return refused(PaymentRefusalReason.BK_REUSED)
    if ReceiptUse.DOUBTFUL in uses:
        return refused(PaymentRefusalReason.BK_ANOTHER_DAY)
    return None


def has_expired(key: Sequence[Any], now: datetime) -> bool:
    """Whether a key is free again, by its `queries.KEY_COLUMNS` (C5)."""
    return bool(key[2] <= time_text(now))


def receipt_of_key(key: Sequence[Any]) -> Receipt:
    """What another payment under a key is compared with, by its `queries.KEY_COLUMNS` (C105)."""
    content, _, _, transacted, booked = key
    return Receipt(content, time_value(transacted), datetime.fromisoformat(booked))


def refused(reason: PaymentRefusalReason) -> PaymentResult:
    """A payment that is not booked because of `reason`."""
    return PaymentResult(PaymentOutcome.REFUSED, refusal=reason)


def other_parties(payer: PatronRecord) -> Collection[str]:
    """Whom `payer` may pay for, each once."""
    return dict.fromkeys(
        relation.to_id if relation.from_id == payer.id else relation.from_id
        for relation in payer.payer_for
    )


def decided(
    order: PaymentOrder, facts: PaymentFacts, doubts: Doubts | None
) -> Payment | PaymentResult:
    """The payment to write, or the refusal.

    Args:
        order: what is to be booked.
        facts: what it is decided on.
        doubts: where an unknown outcome would be noted; None for a command.

    Raises:
        BackendError: the decision does not fit the facts.
    """
    if doubts is not None and not doubts.writable:
        return NOT_NOTABLE
    plan = order.case.decide(order.amount, facts)
    if not isinstance(plan, PaymentPlan):
        return refused(plan)
    _insist(order, facts, plan)
    return as_booked(order, plan.lines, order.texts.of(order.amount, plan.left))


def _fees_after(facts: PaymentFacts, lines: Iterable[PaymentLine]) -> dict[str, tuple[Fee, ...]]:
    """The open fees after the payment, by debtor, so that snapshots need not be read again."""
    paid = {line.fee_id: line.amount for line in lines}
    debtors = _debtor_ids(lines)
    return {
        record.id: tuple(
            replace(fee, owed=fee.owed - paid[fee.id]) if fee.id in paid else fee
            for fee in record.fees
            if fee.owed != paid.get(fee.id)
        )
        for record in (facts.payer, *facts.debtors)
        if record.id in debtors
    }


def _insist(order: PaymentOrder, facts: PaymentFacts, plan: PaymentPlan) -> None:
    """The decision must fit the facts; otherwise it is our own bug, and nothing is booked."""
    owed = {}
    for record in (facts.payer, *facts.debtors):
        for fee in record.fees:
            owed[record.id, fee.id] = fee.owed
    taken: dict[str, Minor] = {}
    fits = bool(plan.lines)
    for line in plan.lines:
        debtor_id, amount = line.debtor_id, line.amount
        fits = fits and _is_part(amount, owed.pop((debtor_id, line.fee_id), 0))
        taken[debtor_id] = taken.get(debtor_id, 0) + amount
    if not fits or min(taken.values()) <= 0 or sum(taken.values()) != order.amount:
        raise BackendError("a payment was allocated to something that is not owed")


def _is_part(amount: Minor, owed: Minor) -> bool:
    """Whether `amount` is some of what is owed, or of what a credit still has."""
    return 0 < amount <= owed or owed <= amount < 0


def as_booked(
    order: PaymentOrder, lines: tuple[PaymentLine, ...], texts: tuple[str, ...]
) -> Payment:
    """The payment that `order` asks for, once it is booked."""
    return Payment(
        id=order.id,
        time=order.now,
        terminal=order.terminal,
        payer_id=order.payer_id,
        amount=order.amount,
        currency=order.currency,
        payment_type=order.payment_type,
        bk=order.bk,
        status=_PAID,
        lines=lines,
        texts=texts,
        card=order.card,
    )


def _write(connection: Connection, order: PaymentOrder, payment: Payment) -> bool:
    """Write `payment`; False, and nothing is written, when its key is taken."""
    time = time_text(payment.time)
    if not add_payment(connection, order, time, _PAID, payment.texts):
        return False
    post(connection, "payment", payment.id, payment.id, time, entries_of(order, payment))
    return True


def add_payment(
    connection: Connection, order: PaymentOrder, time: str, status: str, texts: Iterable[str]
) -> bool:
    """Write the row of the payment that `order` asks for, whose payer the store must know; False,
    and nothing is written, when its key is taken."""
    added = connection.execute(
        queries.ADD_PAYMENT,
        (
            order.id,
            time,
            order.terminal,
            order.payer_id,
            order.amount,
            order.currency,
            order.payment_type,
            order.bk,
            status,
            list_text(texts),
            order.key,
            order.content,
            time_text(order.key_expires),
            order.card,
            moment_text(order.transacted),
        ),
    )
    return bool(added.rowcount)


def entries_of(order: PaymentOrder, payment: Payment) -> Iterator[tuple[Any, ...]]:
    """Account, amount, fee, debtor and relation of each entry of a payment."""
    account = order.account or till_of(payment.terminal, payment.payment_type)
    for line in payment.lines:
        yield f"fee:{line.fee_id}", -line.amount, line.fee_id, line.debtor_id, line.relation
    for (debtor_id, relation), amount in _taken(payment.lines).items():
        yield account, amount, None, debtor_id, relation


def till_of(terminal: str, payment_type: str) -> str:
    """The account of a terminal's own till for a payment type (C71)."""
    return f"till:{terminal}:{payment_type}"


def _taken(lines: Iterable[PaymentLine]) -> dict[tuple[str, str], Minor]:
    """What is paid for each debtor, by debtor and relation, without credits."""
    taken: dict[tuple[str, str], Minor] = {}
    for line in lines:
        whose = line.debtor_id, line.relation
        taken[whose] = taken.get(whose, 0) + line.amount
    return taken


def post(
    connection: Connection,
    kind: str,
    transaction_id: str,
    payment_id: str | None,
    time: str,
    entries: Iterable[tuple[Any, ...]],
) -> None:
    """Add a transaction; a payment's id derives from the payment's, so none is posted twice."""
    connection.execute(queries.ADD_TRANSACTION, (transaction_id, time, kind, payment_id))
    rows = [(transaction_id, position, *entry) for position, entry in enumerate(entries)]
    for start in range(0, len(rows), ENTRIES_PER_STATEMENT):
        part = rows[start : start + ENTRIES_PER_STATEMENT]
        statement = queries.for_rows(queries.ADD_ENTRY, len(part))
        connection.execute(statement, tuple(chain.from_iterable(part)))


def _debtor_ids(lines: Iterable[PaymentLine]) -> set[str]:
    return {line.debtor_id for line in lines}


def undo(
    connection: Connection, payment_id: str, now: datetime, zone: tzinfo
) -> WriteResult[Payment]:
    """Take a whole payment back on the day it was made (C54); its key stays taken.

    Raises:
        UndoRefusedError: it is unknown, not booked (any more), or of an earlier day in `zone`.
    """
    payment = load_payment(connection, payment_id)
    if payment is None:
        raise UndoRefusedError(f"no payment has the id {payment_id}; see `payment list`")
    if payment.status == PaymentStatus.UNKNOWN:
        raise UndoRefusedError("nobody knows yet whether it is booked: see `payment reconcile`")
    if payment.status != PaymentStatus.BOOKED:
        raise UndoRefusedError(
            f"the payment is {payment.status}, not booked, so it cannot be undone"
        )
    if connection.execute(queries.IN_THEIR_BOOKS, (payment_id,)).fetchone() is not None:
        raise UndoRefusedError(
            "it is in the library system's books, or a part of it is; take it back there, at its"
            " own desk"
        )
    day = payment.time.astimezone(zone).date()
    if day != now.astimezone(zone).date():
        raise UndoRefusedError(f"you can undo a payment only on the day it was made, {day}")
    booked = connection.execute(queries.PAYMENT_ENTRIES, (payment_id, payment_id)).fetchall()
    opposite = ((account, -amount, *rest) for account, amount, *rest in booked)
    time = time_text(now)
    post(connection, "undo", f"{payment_id}-undo", payment_id, time, opposite)
    book_surplus(connection, _corrections(connection, payment_id), time)
    connection.execute(queries.SET_PAYMENT_STATUS, (PaymentStatus.UNDONE, payment_id))
    undone = load_payment(connection, payment_id)
    assert undone is not None
    holders = connection.execute(queries.FEE_HOLDERS, (payment_id,))
    return WriteResult(undone, {payment.payer_id, *(holder for (holder,) in holders)})


def _corrections(connection: Connection, transaction_id: str) -> list[Correction]:
    """The surplus of the transaction's fees may now be gone or larger."""
    rows = connection.execute(queries.BALANCES_OF_TRANSACTION, (transaction_id,))
    return list(corrections(rows))


def book_surplus(connection: Connection, changes: Sequence[Correction], time: str) -> int:
    """Book new surpluses of patrons and those that are gone (C103); returns the rows written."""
    if not changes:
        return 0
    post(connection, "surplus", new_id(), None, time, surplus.entries_of(changes))
    return 1 + 2 * len(changes)


def refund(connection: Connection, fee_id: str, now: datetime) -> WriteResult[list[Surplus]]:
    """Book that a fee's surplus was given back; returns to whom, and how much (C103).

    Raises:
        RefusedError: nothing was.
    """
    owned = [entry for entry in surplus.surpluses(connection) if entry.fee_id == fee_id]
    if not owned:
        raise RefusedError(f"fee {fee_id} is not overpaid")
    transaction_id, time = new_id(), time_text(now)
    post(connection, "refund", transaction_id, None, time, surplus.refund_entries_of(owned))
    book_surplus(connection, _corrections(connection, transaction_id), time)
    return WriteResult(owned, {entry.patron_id for entry in owned})


def load_payment(connection: Connection, payment_id: str) -> Payment | None:
    """The payment with its lines and texts, or None."""
    return next(_select(connection, {"payment_id": payment_id}), None)


def payments(connection: Connection, **wanted: Unpack[PaymentFilters]) -> Iterator[Payment]:
    """The payments in the half-open time span, oldest first."""
    patron = wanted.get("patron")
    values = {
        # Before `since`: that is where SQLite begins in the index.
        "after": place_text(wanted.get("after")),
        "since": moment_text(wanted.get("since")),
        "until": moment_text(wanted.get("until")),
        "terminal": wanted.get("terminal"),
        "status": wanted.get("status"),
        "patron": None if patron is None else (patron,) * 3,
    }
    return _select(connection, values, wanted.get("limit"))


def _select(
    connection: Connection, wanted: Mapping[str, queries.Wanted | None], limit: int | None = None
) -> Iterator[Payment]:
    chosen = queries.PAYMENTS if limit is None else queries.FIRST_PAYMENTS
    statement, values = queries.filtered(chosen, queries.PAYMENT_FILTERS, wanted)
    if limit is not None:
        values = (*values, limit)
    for _, rows in groupby(connection.execute(statement, values), itemgetter(0)):
        yield payment_of(list(rows))


def payment_of(rows: Sequence[Sequence[Any]]) -> Payment:
    """The payment behind rows of `queries.PAYMENTS`, one for each of its lines."""
    payment_id, time, *middle, texts, card = rows[0][:11]
    lines = tuple(PaymentLine(*row[11:]) for row in rows if row[11] is not None)
    values = (payment_id, moment_value(time), *middle, lines, list_value(texts), card)
    return Payment(*values)


_CHECKS = (
    (queries.UNBALANCED, "ledger transaction {} does not add up to zero"),
    (queries.FEES_UNLIKE_PAYMENTS, "fee {}: the debt is not the amount less the payments"),
    (queries.FEES_WITHOUT_OPENING, "fee {}: the ledger opened it with another amount"),
    (queries.PAYMENTS_UNLIKE_LINES, "payment {}: the lines do not add up to its amount"),
    (queries.PAYMENTS_UNLIKE_LEDGER, "payment {}: the ledger has another amount"),
    (queries.SHARES_UNLIKE_LEDGER, "payment {}: the ledger has not what was booked of it"),
    (queries.FAMILY_TWO_STEPS, "patron {} is both head of family and child"),
)


def problems(connection: Connection) -> list[str]:
    """What is wrong with the stored data; empty when all is well. Reads everything."""
    return connection.dialect.physical_problems(connection) + [
        text.format(row[0]) for statement, text in _CHECKS for row in connection.execute(statement)
    ]
