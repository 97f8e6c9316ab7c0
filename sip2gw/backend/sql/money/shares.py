"""Payments that a library system books: our journal of what went up, and the ledger (B75, B76).

Such a payment is a row of `payment`, which takes its key, with a row of `payment_share` for each
37. It is written as `unknown` before the first 37 goes up. It becomes `booked` when all shares are,
and `refused`, with its key free again, when none is. Part of it may be booked for good: then it
stays `unknown`, and the terminal's retry pays the rest (C156). What the library system has booked
is in the ledger against the account `library:<account>`. A share may also stay here: then we book
it ourselves, and staff tell the library system (`exports`). All functions run inside a transaction
of the caller.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from sip2gw.backend.attempts import AttemptState, Reconciliation, UnknownPayment
from sip2gw.backend.base import (
    Begun,
    PaymentOrder,
    PaymentOutcome,
    PaymentResult,
    RefusedError,
    SingleShare,
)
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.money import exports
from sip2gw.backend.sql.money.ledger import (
    holder_of,
    load_payment,
    payment_of,
    post,
    refused,
    till_of,
)
from sip2gw.backend.sql.queries import fill
from sip2gw.backend.sql.values import (
    list_text,
    moment_text,
    moment_value,
    time_text,
    time_value,
)
from sip2gw.model import Minor, Payment, PaymentLine, PaymentStatus
from sip2gw.model.shares import Debts, Kept, SentShare, Share, ShareState
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.upstream.payments import Verdict, one_after_the_other, refusal_of_rest

_BOOKED = PaymentStatus.BOOKED.value  # SQLite takes a µs longer for a member than for its text

BESIDE = timedelta(seconds=10)
"""What ended so long before a payment began may still have moved what it saw."""

ADD_PERSON = "INSERT INTO patron (id, name) VALUES (?, '') ON CONFLICT DO NOTHING"
"""The ledger is about patrons: of one whom only the library system knows, we have the number."""
ADD_SHARE = """
    INSERT INTO payment_share (payment_id, position, account, debtor_id, card, relation, fee_id,
                               amount, kept, till, key, state, sent, owed_before, lines_before)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
SHARES = """
    SELECT position, state, debtor_id, card, relation, amount, fee_id, kept FROM payment_share
    WHERE payment_id = ? ORDER BY position"""
SEND_SHARE = """
    UPDATE payment_share SET state = 'sent', sent = ?, ended = NULL, owed_before = ?,
        lines_before = ?, owed_after = NULL, proposal = ''
    WHERE payment_id = ? AND position = ? AND state IN ('planned', 'refused')"""
END_SHARE = """
    UPDATE payment_share SET state = ?, ended = ?, settled = ?, note = ?
    WHERE payment_id = ? AND position = ? AND state = 'sent'"""
ENDED_SHARE = f"{END_SHARE} RETURNING account, till, fee_id, debtor_id, relation, amount"
"""The same, and what has to be booked. SQLite takes nearly twice as long for that."""
BOOK_AFTER_ALL = """
    UPDATE payment_share SET state = 'booked', ended = ?
    WHERE payment_id = ? AND position = ? AND state = 'refused' AND settled IS NOT NULL
        AND kept IS NULL
    RETURNING account, till, fee_id, debtor_id, relation, amount"""
"""A share that went up and that somebody has settled as not booked."""
OPEN_AGAIN = """
    UPDATE payment SET status = 'unknown',
        amount = (SELECT SUM(s.amount) FROM payment_share s WHERE s.payment_id = payment.id),
        key = (SELECT s.key FROM payment_share s WHERE s.payment_id = payment.id AND s.position = ?
               AND NOT EXISTS (SELECT 1 FROM payment p
                               WHERE p.terminal = payment.terminal AND p.key = s.key))
    WHERE id = ? AND status <> 'unknown'"""
"""With its key, unless that is another's by now."""
TELL_SHARE = """
    UPDATE payment_share SET owed_after = ?, proposal = ?
    WHERE payment_id = ? AND position = ? AND state = 'sent'"""
DOUBT_SHARE = """
    UPDATE payment_share SET doubt = 1 WHERE payment_id = ? AND position = ? AND doubt = 0"""
RESOLVE_SHARES = """
    UPDATE payment_share SET resolved = ?
    WHERE payment_id = ? AND settled IS NOT NULL AND resolved IS NULL"""
BOOK = """
    UPDATE payment SET status = 'booked', texts = COALESCE(?, texts)
    WHERE id = ? AND status = 'unknown' AND NOT EXISTS
        (SELECT 1 FROM payment_share s WHERE s.payment_id = payment.id AND s.state <> 'booked')"""
BOOKED = fill(
    """{book}
    RETURNING (SELECT COUNT(*) FROM payment_share s WHERE s.payment_id = payment.id), {columns}""",
    book=BOOK,
    columns=", ".join(queries.PAYMENT_COLUMNS),
)
"""The same, how many shares there are, and what is booked."""
CLOSE_REST = """
    UPDATE payment_share SET state = 'refused', ended = ?, settled = ?, note = ?
    WHERE payment_id = ? AND state IN ('planned', 'refused')"""
CLOSE_PART = """
    UPDATE payment SET status = 'booked', key = NULL, amount =
        (SELECT SUM(s.amount) FROM payment_share s WHERE s.payment_id = payment.id
         AND s.state = 'booked')
    WHERE id = ? AND status = 'unknown'"""
SENT_SHARES = """
    SELECT s.payment_id, s.position, s.account, p.terminal, p.bk, p.payment_type, p.currency,
           s.sent, s.doubt, p.time, s.debtor_id, s.card, s.relation, s.amount, s.fee_id, s.kept,
           s.owed_before, s.lines_before
    FROM payment_share s JOIN payment p ON p.id = s.payment_id
    WHERE s.state = 'sent' ORDER BY s.sent, s.payment_id"""
BESIDE_SHARE = """
    SELECT 1 FROM payment_share WHERE debtor_id = ? AND payment_id <> ?
        AND (state = 'sent' OR (state = 'booked' AND ended >= ?)) LIMIT 1"""
PAID_AGAIN = """r.terminal = p.terminal AND r.key = a.key AND r.content = p.content
               AND r.id <> p.id AND r.status IN ('booked', 'undone')"""
"""Of a share `a` of a payment `p`: the terminal has asked again when it was settled as not booked,
and payment `r` was."""
LISTED = fill(
    """
    SELECT p.id, p.time, p.terminal, p.payer_id, p.amount, p.currency, p.payment_type, p.bk,
           COALESCE(p.key, ''), p.content, p.key_expires, p.card, p.status,
           EXISTS (SELECT 1 FROM payment_share a JOIN payment r ON {again}
                   WHERE a.payment_id = p.id)
    FROM (SELECT s.payment_id AS id, MAX(s.settled) AS settled
          FROM payment_share s GROUP BY s.payment_id) o
    JOIN payment p ON p.id = o.id WHERE p.status = 'unknown' OR o.settled >= ?
    ORDER BY p.time, p.id""",
    again=PAID_AGAIN,
)
"""Begins with the shares, of which most libraries have none."""
SEEN = """
    SELECT state, owed_before, owed_after, proposal, settled, resolved, note FROM payment_share
    WHERE payment_id = ? AND sent IS NOT NULL
    ORDER BY CASE state WHEN 'sent' THEN 0 WHEN 'refused' THEN 1 ELSE 2 END,
             CASE WHEN settled IS NULL THEN 1 ELSE 0 END, position LIMIT 1"""


def begin(
    connection: Connection,
    order: PaymentOrder,
    account: str,
    plan: Sequence[Share] | PaymentRefusalReason,
    texts: Sequence[str],
    debts: Mapping[str, Debts],
    pending: Mapping[str, Collection[str]] | None = None,
) -> WriteResult[Begun | PaymentResult]:
    """Note that `order` goes up; or what became of the payment that has its key, or a refusal.

    The payment that has the key comes before any refusal; while nobody knows what became of it,
    the refusal is `unknown_outcome`.

    Args:
        connection: of the transaction.
        order: what is to be paid; its case is not looked at.
        account: at the library system.
        plan: the shares, or why there are none.
        texts: what is said when it is booked.
        debts: what each debtor owes now, for what an earlier try has left.
        pending: what the plan knows of payments by a debtor that were not exported (C124).
    """
    if not isinstance(plan, PaymentRefusalReason) and not exports.are_all(
        connection, plan, pending or {}
    ):
        plan = PaymentRefusalReason.SYSTEM  # another terminal has just been paid: ask again
    if not isinstance(plan, PaymentRefusalReason):
        added = _add(connection, order, account, plan, texts, debts)
        if added is not None:
            return _done(added)
    # Held, so that what becomes of it meanwhile is all seen here or not at all.
    statement = queries.PAYMENT_KEY + connection.dialect.for_update
    key = connection.execute(statement, (order.terminal, order.key)).fetchone()
    holder = holder_of(order, key)
    if isinstance(holder, PaymentResult):
        return WriteResult(holder)
    if holder is not None:
        return _done(_again(connection, order, holder, plan, debts))
    if isinstance(plan, PaymentRefusalReason):
        return WriteResult(refused(plan))
    connection.execute(queries.FREE_KEY, (order.terminal, order.key))
    added = _add(connection, order, account, plan, texts, debts)
    return _done(refused(PaymentRefusalReason.SYSTEM) if added is None else added)


def _done(result: Begun | PaymentResult) -> WriteResult[Begun | PaymentResult]:
    """`result`, and of whom something is pending now (C124)."""
    shares = result.shares if isinstance(result, Begun) else ()
    return WriteResult(result, {share.debtor_id for _, share in shares if share.kept})


def _add(
    connection: Connection,
    order: PaymentOrder,
    account: str,
    shares: Sequence[Share],
    texts: Sequence[str],
    debts: Mapping[str, Debts],
) -> Begun | None:
    """Write the payment and its shares, the first one as sent; None, and nothing is written, when
    its key is taken."""
    what = (order.payer_id, order.amount, order.currency, order.payment_type, order.bk)
    begin_ = (order.id, time_text(order.now), order.terminal, *what)
    key = (order.key, order.content, time_text(order.key_expires), order.card)
    row = (*begin_, PaymentStatus.UNKNOWN, list_text(texts), *key, moment_text(order.transacted))
    if not _is_added(connection, row, order.payer_id):
        return None
    # In order, so that no two payments wait for each other.
    for person in sorted({share.debtor_id for share in shares} - {order.payer_id}):
        connection.execute(ADD_PERSON, (person,))
    till = order.account or till_of(order.terminal, order.payment_type)
    numbered = tuple(enumerate(one_after_the_other(shares, debts)))
    for position, share in numbered:
        whose = (share.debtor_id, share.card, share.relation)
        owed = (share.fee_id, share.amount, share.kept)
        values = (order.id, position, account, *whose, *owed, till, order.key)
        # What goes up does so one after the other; what we book ourselves is booked in one go.
        is_sent = share.kept or not position
        state = ShareState.SENT if is_sent else ShareState.PLANNED
        sending = _sending(share, order.now) if is_sent else (None, None, None)
        connection.execute(ADD_SHARE, (*values, state, *sending))
    return Begun(order.id, numbered, _single(order, shares, account, till, texts))


def _single(
    order: PaymentOrder, shares: Sequence[Share], account: str, till: str, texts: Sequence[str]
) -> SingleShare | None:
    """See `Begun.single`."""
    if len(shares) != 1 or shares[0].kept:
        return None
    payment = Payment(
        id=order.id,
        time=order.now,
        terminal=order.terminal,
        payer_id=order.payer_id,
        amount=order.amount,
        currency=order.currency,
        payment_type=order.payment_type,
        bk=order.bk,
        status=_BOOKED,
        lines=(_line(shares[0]),),
        texts=tuple(texts),
        card=order.card,
    )
    return SingleShare(account, till, payment)


def _line(share: Share) -> PaymentLine:
    return PaymentLine(share.fee_id, share.debtor_id, share.relation, share.amount)


def _is_added(connection: Connection, row: Sequence[Any], payer_id: str) -> bool:
    """Write the row of a payment, unless its key is taken. Nearly always the payer is somebody
    known, so they are only added when nothing could be written."""
    if connection.execute(queries.ADD_PAYMENT_OF_KNOWN, (*row, payer_id)).rowcount:
        return True
    connection.execute(ADD_PERSON, (payer_id,))
    return bool(connection.execute(queries.ADD_PAYMENT, row).rowcount)


def _again(
    connection: Connection,
    order: PaymentOrder,
    holder: str,
    plan: Sequence[Share] | PaymentRefusalReason,
    debts: Mapping[str, Debts],
) -> Begun | PaymentResult:
    """What a terminal is told that asks again; what an earlier try has left may go up now."""
    payment = load_payment(connection, holder)
    assert payment is not None
    if payment.status != PaymentStatus.UNKNOWN:
        connection.execute(RESOLVE_SHARES, (time_text(order.now), holder))
        return PaymentResult(PaymentOutcome.REPLAYED, payment)
    rows = connection.execute(SHARES, (holder,)).fetchall()
    if not rows or any(state == ShareState.SENT for _, state, *_ in rows):
        return refused(PaymentRefusalReason.UNKNOWN_OUTCOME)
    debtors = {debtor for _, state, debtor, *_ in rows if state != ShareState.BOOKED}
    reason = refusal_of_rest(debtors, plan, debts)
    if reason is not None:
        return refused(reason)
    return _started(connection, holder, order.now, debts)


def _started(
    connection: Connection, payment_id: str, now: datetime, debts: Mapping[str, Debts]
) -> Begun:
    rows = connection.execute(SHARES, (payment_id,)).fetchall()
    left = [(row[0], _share(row[2:])) for row in rows if row[1] != ShareState.BOOKED]
    before = one_after_the_other([share for _, share in left], debts)
    shares = tuple((position, seen) for (position, _), seen in zip(left, before, strict=True))
    # What goes up does so one after the other; what we book ourselves is booked in one go.
    for numbered in shares if shares[0][1].kept else shares[:1]:
        _send(connection, payment_id, numbered, now)
    return Begun(payment_id, shares)


def _share(columns: Sequence[Any], before: Debts | None = None) -> Share:
    debtor_id, card, relation, amount, fee_id, kept = columns
    kept = Kept(kept) if kept is not None else None
    return Share(debtor_id, card, relation, amount, fee_id, before or Debts(), kept)


def _send(
    connection: Connection, payment_id: str, numbered: tuple[int, Share], now: datetime
) -> None:
    position, share = numbered
    connection.execute(SEND_SHARE, (*_sending(share, now), payment_id, position))


def _sending(share: Share, now: datetime) -> tuple[str, Minor | None, str | None]:
    """When it is sent, and what the debtor owes then."""
    before = share.before
    lines = None if before.lines is None else json.dumps(before.lines)
    return time_text(now), before.balance, lines


def end(
    connection: Connection,
    payment_id: str,
    position: int,
    *,
    booked: bool,
    now: datetime,
    texts: Sequence[str] = (),
    then: tuple[int, Share] | None = None,
    settled: bool = False,
    note: str = "",
    single: SingleShare | None = None,
) -> WriteResult[Payment]:
    """Note how a share ended, unless that was noted before; gives the payment as it is now.

    A yes of the library system counts even after somebody has settled the share as not booked: a
    gateway that took a slow one for dead, because the clock of one of them was wrong, say.

    Args:
        connection: of the transaction.
        payment_id: the payment.
        position: of the share.
        booked: whether the library system has booked it; else it has not, and never will.
        now: when it ended.
        texts: what the library system says to it; empty leaves ours.
        then: the share that goes up next.
        settled: whether somebody had to look what became of it.
        note: what the one who settled it wrote.
        single: see `Begun.single`.
    """
    state = ShareState.BOOKED if booked else ShareState.REFUSED
    time = time_text(now)
    values = (state, time, time if settled else None, note, payment_id, position)
    ended = _end_sent(connection, values, single)
    if ended is None and booked and not settled:
        ended = connection.execute(BOOK_AFTER_ALL, (time, payment_id, position)).fetchone()
        if ended is not None:
            connection.execute(OPEN_AGAIN, (position, payment_id))
    if ended is not None and booked:
        _post(connection, payment_id, position, time, ended)
    if then is not None:
        _send(connection, payment_id, then, now)
    if settled:
        connection.execute(DOUBT_SHARE, (payment_id, position))
    payment: Payment | None = None
    is_whole = False
    if booked:
        is_whole, payment = _book(connection, payment_id, texts, ended, single)
    if not is_whole:
        _note_part(connection, payment_id, position)
    elif position and not settled:  # a retry that has done the rest hears it now
        connection.execute(RESOLVE_SHARES, (time, payment_id))
    payment = payment or load_payment(connection, payment_id)
    assert payment is not None
    return WriteResult(payment)


def _end_sent(
    connection: Connection, values: Sequence[Any], single: SingleShare | None
) -> Sequence[Any] | None:
    """End a share that is under way; what `ENDED_SHARE` gives, or None if there is none."""
    if single is None:
        row: Sequence[Any] | None = connection.execute(ENDED_SHARE, values).fetchone()
        return row
    (line,) = single.payment.lines
    what = (line.fee_id, line.debtor_id, line.relation, line.amount)
    is_new = connection.execute(END_SHARE, values).rowcount
    return (single.account, single.till, *what) if is_new else None


def book_kept(connection: Connection, payment_id: str, now: datetime) -> WriteResult[Payment]:
    """Book all shares of a payment that stays here, unless it was settled before (C124)."""
    ended: WriteResult[Payment] | None = None
    for position, *_ in connection.execute(SHARES, (payment_id,)).fetchall():
        ended = end(connection, payment_id, position, booked=True, now=now)
    assert ended is not None
    return ended


def _book(
    connection: Connection,
    payment_id: str,
    texts: Sequence[str],
    ended: Sequence[Any] | None,
    single: SingleShare | None,
) -> tuple[bool, Payment | None]:
    """Book the payment if all of its shares are: whether that is new, and the payment if it has
    one share, so that nothing has to be read for it.

    `ended` is what its last share has given.
    """
    values = (list_text(texts) if texts else None, payment_id)
    if single is not None:
        is_new = bool(connection.execute(BOOK, values).rowcount)
        payment = replace(single.payment, texts=tuple(texts)) if texts else single.payment
        return is_new, payment if is_new else None
    row = connection.execute(BOOKED, values).fetchone()
    if row is None or ended is None:
        return row is not None, None
    shares, *columns = row
    _, _, *line = ended
    return True, payment_of([(*columns, *line)]) if shares == 1 else None


def _note_part(connection: Connection, payment_id: str, position: int) -> None:
    """Give the payment up if nothing of it is booked; staff are told if only a part of it is."""
    states = {row[1] for row in connection.execute(SHARES, (payment_id,)).fetchall()}
    if states <= {ShareState.PLANNED, ShareState.REFUSED}:
        connection.execute(queries.GIVE_UP, (payment_id,))
    elif states > {ShareState.BOOKED} and ShareState.SENT not in states:
        connection.execute(DOUBT_SHARE, (payment_id, position))


def _post(
    connection: Connection, payment_id: str, position: int, time: str, ended: Sequence[Any]
) -> None:
    """Put a share that was booked into the ledger: the till has the money, the library's account
    at their side is worth so much less."""
    account, till, _, debtor_id, relation, amount = ended
    entries = (
        (f"library:{account}", -amount, None, debtor_id, relation),
        (till, amount, None, debtor_id, relation),
    )
    post(connection, "payment", f"{payment_id}-{position}", payment_id, time, entries)


# Looking ----------------------------------------------------------------------------------------


def sent(connection: Connection) -> list[SentShare]:
    """What went up and nobody knows of yet, by any gateway; oldest first."""
    return [_sent(connection, row) for row in connection.execute(SENT_SHARES).fetchall()]


def _sent(connection: Connection, row: Sequence[Any]) -> SentShare:
    payment_id, position, account, terminal, bk, payment_type, currency, sent_at = row[:8]
    doubt, time, debtor_id, card, relation, amount, fee_id, kept, owed, lines = row[8:]
    since = time_text(moment_value(time) - BESIDE)
    beside = connection.execute(BESIDE_SHARE, (debtor_id, payment_id, since)).fetchone()
    before = Debts(owed, None if lines is None else tuple(map(tuple, json.loads(lines))))
    return SentShare(
        payment_id=payment_id,
        position=position,
        account=account,
        terminal=terminal,
        bk=bk,
        payment_type=payment_type,
        currency=currency,
        sent=moment_value(sent_at),
        share=_share((debtor_id, card, relation, amount, fee_id, kept), before),
        alone=beside is None,
        in_doubt=bool(doubt),
    )


def tell(
    connection: Connection, share: SentShare, owed: int | None, proposal: str
) -> WriteResult[None]:
    """Note for staff what was seen of a share that nobody can settle for certain."""
    connection.execute(TELL_SHARE, (owed, proposal, share.payment_id, share.position))
    connection.execute(DOUBT_SHARE, (share.payment_id, share.position))
    return WriteResult(None)


# Staff ------------------------------------------------------------------------------------------


def reconciliations(connection: Connection, since: datetime) -> list[Reconciliation]:
    """Payments of which something is open, or was settled by looking since then; oldest first."""
    rows = connection.execute(LISTED, (time_text(since),)).fetchall()
    return [_reconciliation(connection, row) for row in rows]


def _reconciliation(connection: Connection, row: Sequence[Any]) -> Reconciliation:
    payment_id, time, *middle, key_expires, card, status, is_paid_again = row
    seen = connection.execute(SEEN, (payment_id,)).fetchone()
    state, before, after, proposal, settled, resolved, note = seen
    is_open = status == PaymentStatus.UNKNOWN
    values = (payment_id, moment_value(time), *middle, moment_value(key_expires), card, before)
    return Reconciliation(
        UnknownPayment(*values),
        AttemptState.UNKNOWN if is_open else _ended(status, resolved or is_paid_again),
        after=after,
        # Of a payment in parts one is booked, and the rest is not.
        proposal=(proposal if state == ShareState.SENT else Verdict.NOT_BOOKED) if is_open else "",
        settled=None if is_open else time_value(settled),
        note=note,
    )


def _ended(status: str, resolved: str | int | None) -> AttemptState:
    if resolved:
        return AttemptState.RESOLVED
    return AttemptState.REFUSED if status == PaymentStatus.REFUSED else AttemptState.BOOKED


def is_open(connection: Connection, payment_id: str) -> bool:
    """Whether it is a payment through a library system that is not settled."""
    row = connection.execute(queries.PAYMENT_STATUS, (payment_id,)).fetchone()
    shares = connection.execute(SHARES, (payment_id,)).fetchall()
    return bool(shares) and row is not None and row[0] == PaymentStatus.UNKNOWN


def settle_as_told(
    connection: Connection, payment_id: str, *, booked: bool, note: str, now: datetime
) -> WriteResult[None]:
    """Settle as staff say what nobody knows of a payment; only they can look into its books.

    Of several shares that is the one that was sent last: if it was booked, what has not gone up yet
    stays open, for the terminal or for another word of staff.

    Raises:
        RefusedError: it is not open.
    """
    if not is_open(connection, payment_id):
        raise RefusedError(
            f"no payment of unknown outcome has the id {payment_id}; see `payment reconcile`"
        )
    rows = connection.execute(SHARES, (payment_id,)).fetchall()
    left = [row for row in rows if row[1] != ShareState.BOOKED]
    sent = [row for row in left if row[1] == ShareState.SENT]
    for position, state, *rest in sent or (left if booked else ()):
        if state != ShareState.SENT:
            _send(connection, payment_id, (position, _share(rest)), now)
        end(connection, payment_id, position, booked=booked, now=now, settled=True, note=note)
    if not booked:
        time = time_text(now)
        connection.execute(CLOSE_REST, (time, time, note, payment_id))
        connection.execute(CLOSE_PART, (payment_id,))
    return WriteResult(None)
