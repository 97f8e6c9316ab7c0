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
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    add_payment,
    as_booked,
    holder_in,
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
from sip2gw.model.shares import Debts, Kept, SentShare, Share, ShareState, stays_here
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.upstream.payments import (
    Verdict,
    one_after_the_other,
    refusal_beside,
    refusal_of_rest,
)

# By their texts: SQLite takes a µs longer for a member.
_UNKNOWN = PaymentStatus.UNKNOWN.value
_SENT = ShareState.SENT.value

_NOT_SENT = (ShareState.PLANNED.value, None, None, None)
"""State, moment and debts of a share that is not sent yet."""

_NEVER = "~"
"""When something ended that has not: after all moments."""

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
    WHERE payment_id = ? AND position = ? AND state = 'sent'
    RETURNING account, till, fee_id, debtor_id, relation, amount"""
"""Gives what has to be booked."""
END_SINGLE = """
    UPDATE payment_share SET state = 'booked', ended = ?
    WHERE payment_id = ? AND position = 0 AND state = 'sent'"""
"""Of the only share of a payment, which is known. With RETURNING it would take SQLite twice as
long."""
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
BOOK_SINGLE = """
    UPDATE payment SET status = 'booked', texts = COALESCE(?, texts)
    WHERE id = ? AND status = 'unknown'"""
"""Of a payment whose only share is booked."""
BOOK = fill(
    """{book_single} AND NOT EXISTS
        (SELECT 1 FROM payment_share s WHERE s.payment_id = payment.id AND s.state <> 'booked')
    RETURNING (SELECT COUNT(*) FROM payment_share s WHERE s.payment_id = payment.id), {columns}""",
    book_single=BOOK_SINGLE,
    columns=", ".join(queries.PAYMENT_COLUMNS),
)
"""The same if all shares are booked: how many there are, and what the payment is."""
CLOSE_REST = """
    UPDATE payment_share SET state = 'refused', ended = ?, settled = ?, note = ?
    WHERE payment_id = ? AND state IN ('planned', 'refused')"""
CLOSE_PART = """
    UPDATE payment SET status = 'booked', key = NULL, amount =
        (SELECT SUM(s.amount) FROM payment_share s WHERE s.payment_id = payment.id
         AND s.state = 'booked')
    WHERE id = ? AND status = 'unknown'"""
GIVE_BACK = fill(
    """
    UPDATE payment SET key = (SELECT MAX(s.key) FROM payment_share s WHERE s.payment_id = ?)
    WHERE id = (SELECT k.id FROM payment p JOIN payment k ON k.terminal = p.terminal AND k.bk = p.bk
                WHERE p.id = ? AND p.bk <> '' AND {lost} ORDER BY k.time DESC, k.id DESC LIMIT 1)
        AND NOT EXISTS (SELECT 1 FROM payment_share s JOIN payment o ON o.key = s.key
                        WHERE s.payment_id = ? AND o.terminal = payment.terminal)""",
    lost=queries.LOST_KEY,
)
"""To the payment from which the key of one that is not booked was taken over, unless others have
the key by now."""
SENT_SHARES = """
    SELECT s.payment_id, s.position, s.account, p.terminal, p.bk, p.payment_type, p.currency,
           s.sent, s.doubt, p.time, s.debtor_id, s.card, s.relation, s.amount, s.fee_id, s.kept,
           s.owed_before, s.lines_before, p.transacted
    FROM payment_share s JOIN payment p ON p.id = s.payment_id
    WHERE s.state = 'sent' ORDER BY s.sent, s.payment_id"""
BOOKED_BESIDE = """
    SELECT e.debtor_id, e.payment_id, e.ended
    FROM payment_share e
    JOIN payment_share s ON s.payment_id = e.payment_id AND s.position = e.position
    WHERE e.ended >= ? AND s.state = 'booked'
        AND e.debtor_id IN (SELECT debtor_id FROM payment_share WHERE state = 'sent')"""
"""What was booked since for those of whom something is open."""
OTHER_SHARES = """
    SELECT s.debtor_id, s.card, s.relation, s.amount, s.fee_id, s.kept FROM payment_share s
    WHERE (s.state = 'sent' OR s.state = 'planned') AND s.debtor_id = ? AND s.payment_id <> ?
        AND EXISTS (SELECT 1 FROM payment_share u
                    WHERE u.payment_id = s.payment_id AND u.state = 'sent')
    UNION ALL
    SELECT s.debtor_id, s.card, s.relation, s.amount, s.fee_id, s.kept
    FROM payment_share e
    JOIN payment_share s ON s.payment_id = e.payment_id AND s.position = e.position
    WHERE e.debtor_id = ? AND e.payment_id <> ? AND e.ended > ? AND s.state = 'booked'"""
"""What other payments take for a debtor that a list of that moment still has: it is under way, or
unknown, follows another share that is, or was booked since."""
PAID_AGAIN = """p.status = 'refused' AND r.terminal = p.terminal AND r.key = a.key
               AND r.content = p.content AND r.id <> p.id AND r.status IN ('booked', 'undone')"""
"""Of a share `a` of a payment `p`: the terminal has asked again when it was settled as not booked,
and payment `r` was. If something of `p` is booked all the same, that is paid twice: for staff."""
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
        plan: the shares with what is owed right before each, or why there are none.
        texts: what is said when it is booked.
        debts: what each debtor owes now, for what an earlier try has left.
        pending: what the plan knows of payments by a debtor that were not exported (C124).
    """
    if not isinstance(plan, PaymentRefusalReason):
        refusal = _refusal(connection, order, plan, pending or {})
        added = None if refusal else _add(connection, order, account, plan, texts)
        if added is not None:
            return _done(added)
        plan = refusal or plan
    # Held, so that what becomes of it meanwhile is all seen here or not at all.
    holder = holder_in(connection, order, connection.dialect.for_update, is_open)
    if isinstance(holder, PaymentResult):
        return WriteResult(holder)
    if holder is not None:
        return _done(_again(connection, order, holder, plan, debts))
    if isinstance(plan, PaymentRefusalReason):
        return WriteResult(refused(plan))
    connection.execute(queries.FREE_KEY, (order.terminal, order.key))
    added = _add(connection, order, account, plan, texts)
    return _done(refused(PaymentRefusalReason.SYSTEM) if added is None else added)


def _refusal(
    connection: Connection,
    order: PaymentOrder,
    plan: Sequence[Share],
    pending: Mapping[str, Collection[str]],
) -> PaymentRefusalReason | None:
    """Why nothing is paid by a plan that others have overtaken (C60)."""
    if stays_here(plan) and not exports.are_all(connection, plan, pending):
        return PaymentRefusalReason.SYSTEM  # another terminal has just been paid: ask again
    return _refusal_beside(connection, order, order.id, plan)


def _refusal_beside(
    connection: Connection, order: PaymentOrder, payment_id: str, shares: Sequence[Share]
) -> PaymentRefusalReason | None:
    """Why `shares` of a payment do not go up beside those of others. From now on nobody else begins
    to pay for the same debtors, until the transaction ends."""
    hold, asked = connection.dialect.hold_debtor, moment_text(order.asked)
    for debtor_id in _debtors(shares):
        if hold:
            connection.execute(hold, (debtor_id,))
        values = (debtor_id, payment_id, debtor_id, payment_id, asked)
        rows = connection.execute(OTHER_SHARES, values).fetchall()
        if rows:
            own = [share for share in shares if share.debtor_id == debtor_id]
            reason = refusal_beside(own, [_share(row) for row in rows])
            if reason is not None:
                return reason
    return None


def _debtors(shares: Sequence[Share]) -> list[str]:
    """For whom `shares` are; in order, so that no two payments wait for each other."""
    if len(shares) == 1:  # as nearly always
        return [shares[0].debtor_id]
    return sorted({share.debtor_id for share in shares})


def _done(result: Begun | PaymentResult) -> WriteResult[Begun | PaymentResult]:
    """`result`, and of whom something is pending now (C124)."""
    if isinstance(result, PaymentResult) or not result.stays_here:
        return WriteResult(result)
    return WriteResult(result, {share.debtor_id for _, share in result.shares})


def _add(
    connection: Connection,
    order: PaymentOrder,
    account: str,
    shares: Sequence[Share],
    texts: Sequence[str],
) -> Begun | None:
    """Write the payment and its shares, the first one as sent; None, and nothing is written, when
    its key is taken."""
    time = time_text(order.now)
    if not order.payer_is_ours:
        connection.execute(ADD_PERSON, (order.payer_id,))
    if not add_payment(connection, order, time, _UNKNOWN, texts):
        return None
    for person in _debtors(shares):
        if person != order.payer_id:
            connection.execute(ADD_PERSON, (person,))
    till = order.account or till_of(order.terminal, order.payment_type)
    stays = stays_here(shares)
    numbered = tuple(enumerate(shares))
    for position, share in numbered:
        # What goes up does so one after the other; what we book ourselves is booked in one go.
        is_sent = stays or not position
        values = (
            order.id,
            position,
            account,
            share.debtor_id,
            share.card,
            share.relation,
            share.fee_id,
            share.amount,
            share.kept,
            till,
            order.key,
            *((_SENT, time, *_owed_before(share)) if is_sent else _NOT_SENT),
        )
        connection.execute(ADD_SHARE, values)
    is_single = len(shares) == 1 and not stays
    single = _single(order, shares[0], account, till, texts) if is_single else None
    return Begun(order.id, numbered, single)


def _single(
    order: PaymentOrder, share: Share, account: str, till: str, texts: Sequence[str]
) -> SingleShare:
    """See `Begun.single`."""
    line = PaymentLine(share.fee_id, share.debtor_id, share.relation, share.amount)
    return SingleShare(account, till, as_booked(order, (line,), tuple(texts)))


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
        for resolve in (RESOLVE_SHARES, queries.RESOLVE):
            connection.execute(resolve, (time_text(order.now), holder))
        return PaymentResult(PaymentOutcome.REPLAYED, payment)
    rows = connection.execute(SHARES, (holder,)).fetchall()
    if not rows or any(state == ShareState.SENT for _, state, *_ in rows):
        return refused(PaymentRefusalReason.UNKNOWN_OUTCOME)
    left = [row for row in rows if row[1] != ShareState.BOOKED]
    shares = one_after_the_other([_share(row[2:], debts.get(row[2])) for row in left])
    reason = refusal_of_rest(shares, plan, debts)
    if reason is not None:
        return refused(reason)
    if _refusal_beside(connection, order, holder, shares) is not None:
        return refused(PaymentRefusalReason.UNKNOWN_OUTCOME)  # a part of it is booked
    numbered = tuple(zip((row[0] for row in left), shares, strict=True))
    return _started(connection, Begun(holder, numbered), order.now)


def _started(connection: Connection, begun: Begun, now: datetime) -> Begun:
    """What is left of a payment, which is noted as sent."""
    # What goes up does so one after the other; what we book ourselves is booked in one go.
    for numbered in begun.shares if begun.stays_here else begun.shares[:1]:
        _send(connection, begun.payment_id, numbered, now)
    return begun


def _share(columns: Sequence[Any], before: Debts | None = None) -> Share:
    debtor_id, card, relation, amount, fee_id, kept = columns
    kept = Kept(kept) if kept is not None else None
    return Share(debtor_id, card, relation, amount, fee_id, before or Debts(), kept)


def _send(
    connection: Connection, payment_id: str, numbered: tuple[int, Share], now: datetime
) -> None:
    position, share = numbered
    values = (time_text(now), *_owed_before(share), payment_id, position)
    connection.execute(SEND_SHARE, values)


def _owed_before(share: Share) -> tuple[Minor | None, str | None]:
    """What the debtor owes when it is sent: in all, and by the fee."""
    before = share.before
    return before.balance, None if before.lines is None else json.dumps(before.lines)


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
    time = time_text(now)
    payment = _book_single(connection, single, time, texts) if single and booked else None
    if payment is not None:
        return WriteResult(payment)
    state = ShareState.BOOKED if booked else ShareState.REFUSED
    values = (state, time, time if settled else None, note, payment_id, position)
    ended = connection.execute(END_SHARE, values).fetchone()
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
    is_whole = False
    if booked:
        is_whole, payment = _book(connection, payment_id, texts, ended)
    if not is_whole:
        _note_part(connection, payment_id, position)
    elif position and not settled:  # a retry that has done the rest hears it now
        connection.execute(RESOLVE_SHARES, (time, payment_id))
    payment = payment or load_payment(connection, payment_id)
    assert payment is not None
    return WriteResult(payment)


def _book_single(
    connection: Connection, single: SingleShare, time: str, texts: Sequence[str]
) -> Payment | None:
    """Book a payment of one share, which is under way; None, and nothing is written, if it is not
    any more."""
    payment = single.payment
    if not connection.execute(END_SINGLE, (time, payment.id)).rowcount:
        return None
    (line,) = payment.lines
    what = (line.fee_id, line.debtor_id, line.relation, line.amount)
    _post(connection, payment.id, 0, time, (single.account, single.till, *what))
    connection.execute(BOOK_SINGLE, (list_text(texts) if texts else None, payment.id))
    return replace(payment, texts=tuple(texts)) if texts else payment


def book_kept(connection: Connection, payment_id: str, now: datetime) -> WriteResult[Payment]:
    """Book all shares of a payment that stays here, unless it was settled before (C124)."""
    ended: WriteResult[Payment] | None = None
    for position, *_ in connection.execute(SHARES, (payment_id,)).fetchall():
        ended = end(connection, payment_id, position, booked=True, now=now)
    assert ended is not None
    return ended


def _book(
    connection: Connection, payment_id: str, texts: Sequence[str], ended: Sequence[Any] | None
) -> tuple[bool, Payment | None]:
    """Book the payment if all of its shares are: whether that is new, and the payment if it has
    one share, so that nothing has to be read for it.

    `ended` is what its last share has given.
    """
    values = (list_text(texts) if texts else None, payment_id)
    row = connection.execute(BOOK, values).fetchone()
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
        connection.execute(GIVE_BACK, (payment_id,) * 3)
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
    rows = connection.execute(SENT_SHARES).fetchall()
    if not rows:
        return []
    since = min(_beside_since(row) for row in rows)
    booked = connection.execute(BOOKED_BESIDE, (since,)).fetchall()
    beside: dict[str, list[tuple[str, str]]] = {}
    for debtor_id, payment_id, ended in (*((row[10], row[0], _NEVER) for row in rows), *booked):
        beside.setdefault(debtor_id, []).append((payment_id, ended))
    return [_sent(row, beside[row[10]]) for row in rows]


def _beside_since(row: Sequence[Any]) -> str:
    """What ended before that moment has not moved what a row of `SENT_SHARES` saw."""
    return time_text(moment_value(row[9]) - BESIDE)


def _sent(row: Sequence[Any], beside: Iterable[tuple[str, str]]) -> SentShare:
    """A row of `SENT_SHARES`; `beside` are payments for the same debtor, and when they ended."""
    payment_id, position, account, terminal, bk, payment_type, currency, sent_at = row[:8]
    doubt, _, debtor_id, card, relation, amount, fee_id, kept, owed, lines, transacted = row[8:]
    since = _beside_since(row)
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
        transacted=time_value(transacted),
        alone=all(other == payment_id or ended < since for other, ended in beside),
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
        connection.execute(GIVE_BACK, (payment_id,) * 3)
    return WriteResult(None)
