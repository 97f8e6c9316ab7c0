"""What the store says itself that a person must follow up: one message each (B64, C145, C163).

Open entries for review, payments answered with "not sure" and refused payments are written by many
places, some of them in a hurry. None of them has to know of customer support: this looks what has
no message yet, and can be repeated at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.sql.desk import support
from sip2gw.backend.sql.money.shares import PAID_AGAIN
from sip2gw.backend.sql.queries import RESOLVED, fill
from sip2gw.model import PaymentStatus, format_amount
from sip2gw.model.items import ReviewKind
from sip2gw.model.support import AutomaticCategory, Cause, SupportStatus
from sip2gw.policy.desk.support import OpeningDays
from sip2gw.policy.upstream.journal import REFUSED_THERE

ROWS_PER_STEP = 20
"""Of each kind, in one transaction: on SQLite it runs in the event loop's thread, on PostgreSQL
bookings wait for it."""
_STEP = (ROWS_PER_STEP,)

_ENTRIES = """
    SELECT r.id, r.kind, r.terminal, r.message, r.item, r.outcome, r.reasons, c.patron_id
    FROM review r LEFT JOIN card c ON c.number = r.patron
    WHERE r.state = 'open' AND NOT EXISTS (
        SELECT 1 FROM support_message m
        WHERE m.category = 'OFFL' AND m.object = r.id AND m.closed IS NULL AND m.object <> '')
    ORDER BY r.time, r.id LIMIT ?"""

_ATTEMPTS = """
    SELECT a.id, p.terminal, p.payer_id, p.amount, p.currency, p.bk, p.status
    FROM attempt a JOIN payment p ON p.id = a.id
    WHERE a.followed = 0 ORDER BY a.id LIMIT ?"""
_FOLLOW_ATTEMPT = "UPDATE attempt SET followed = 1 WHERE id = ?"

_SHARES = """
    SELECT DISTINCT p.id, p.terminal, p.payer_id, p.amount, p.currency, p.bk, p.status,
           EXISTS (SELECT 1 FROM payment_share o WHERE o.payment_id = p.id AND o.state = 'sent')
    FROM payment_share s JOIN payment p ON p.id = s.payment_id
    WHERE s.doubt = 1 ORDER BY p.id LIMIT ?"""
_FOLLOW_SHARES = "UPDATE payment_share SET doubt = 2 WHERE payment_id = ? AND doubt = 1"

_REFUSED = """
    SELECT r.id, r.terminal, r.day, r.payer, r.amount, r.currency, r.bk, r.reason, c.patron_id
    FROM refused_payment r LEFT JOIN card c ON c.number = r.payer
    WHERE r.followed = 0 ORDER BY r.time, r.id LIMIT ?"""
_FOLLOW_REFUSED = "UPDATE refused_payment SET followed = 1 WHERE id = ?"

_BLOCKS = """
    SELECT patron_id, source, type, position FROM block
    WHERE told = 0 LIMIT ?"""
_TELL_BLOCK = """
    UPDATE block SET told = 1
    WHERE patron_id = ? AND source = ? AND type = ? AND position = ? AND told = 0
    RETURNING patron_id, terminal, card, note"""

_ENDED = fill(
    """
    SELECT m.id, m.status, a.note
    FROM support_message m JOIN attempt a ON a.id = m.object JOIN payment p ON p.id = a.id
    WHERE m.category = 'PAYU' AND m.object <> '' AND m.closed IS NULL AND m.reopened = 0
          AND (a.note <> '' OR {resolved})
    ORDER BY m.id LIMIT ?""",
    resolved=RESOLVED,
)

_ENDED_SHARES = fill(
    """
    SELECT m.id, m.status, MAX(a.note)
    FROM support_message m JOIN payment p ON p.id = m.object
    JOIN payment_share a ON a.payment_id = p.id
    WHERE m.category = 'PAYU' AND m.object <> '' AND m.closed IS NULL AND m.reopened = 0
          AND p.status <> 'unknown'
    GROUP BY m.id, m.status
    HAVING MAX(a.note) <> '' OR COUNT(a.resolved) > 0 OR COUNT(a.settled) = 0
        OR MAX(CASE WHEN EXISTS (SELECT 1 FROM payment r WHERE {again}) THEN 1 ELSE 0 END) = 1
    ORDER BY m.id LIMIT ?""",
    again=PAID_AGAIN,
)
"""Where nobody had to look, the retry has done the rest of a payment that was booked in part."""

_RESOLVED_NOTE = "The terminal asked again and was told that it is booked."

_TRANSACTIONS = {
    "11": "A loan",
    "09": "A return",
    "29": "A renewal",
    "65": "A renewal",
    "15": "A hold",
    "19": "A new status",
}


def is_behind(connection: Connection) -> bool:
    """Whether `follow_up` has something to do."""
    statements = (_ENTRIES, _ATTEMPTS, _SHARES, _REFUSED, _BLOCKS, _ENDED, _ENDED_SHARES)
    return any(connection.execute(one, (1,)).fetchone() is not None for one in statements)


def follow_up(
    connection: Connection, branches: Mapping[str, str], now: datetime, days: OpeningDays
) -> WriteResult[int]:
    """Open messages for some of what has none, and close those that have ended.

    A payment answered with "not sure" needs a person even when it is clear by now whether it was
    booked: the machine does not know. Its message is closed when the terminal has asked again, or
    staff have settled the payment with a note; unless somebody has reopened it.

    Args:
        branches: the branch of each terminal, by the terminal's name.

    Returns:
        How many messages are new. Nothing is left to do when `is_behind` says so.
    """
    entries = connection.execute(_ENTRIES, _STEP).fetchall()
    attempts = connection.execute(_ATTEMPTS, _STEP).fetchall()
    shares = connection.execute(_SHARES, _STEP).fetchall()
    refused = connection.execute(_REFUSED, _STEP).fetchall()
    causes = (
        *_entry_causes(entries, branches),
        *_attempt_causes(attempts, branches),
        *_share_causes(shares, branches),
        *_refused_causes(refused, branches),
        *_block_causes(_tell_blocks(connection), branches),
    )
    new = support.open_automatic(connection, causes, now, days)
    connection.executemany(_FOLLOW_ATTEMPT, [(row[0],) for row in attempts])
    connection.executemany(_FOLLOW_SHARES, [(row[0],) for row in shares])
    connection.executemany(_FOLLOW_REFUSED, [(row[0],) for row in refused])
    _close_ended(connection, now)
    return WriteResult(new)


def _entry_causes(rows: Iterable[tuple[str, ...]], branches: Mapping[str, str]) -> Iterator[Cause]:
    for entry_id, kind, terminal, code, item, outcome, reasons, patron_id in rows:
        what = _TRANSACTIONS.get(code, f"A message {code}")
        told = _entry_story(ReviewKind(kind), outcome, reasons)
        why = f" ({reasons})" if reasons else ""
        yield Cause(
            AutomaticCategory.OFFLINE,
            entry_id,
            f"{what} of item {item} at {terminal} {told}{why}."
            f" Look at it with `sip2gw review show {entry_id}`.",
            patron_id,
            branches.get(terminal),
        )


def _entry_story(kind: ReviewKind, outcome: str, reasons: str) -> str:
    if REFUSED_THERE in reasons.split():
        return (
            "was taken while the library system was away, and the library system refused it"
            " afterwards: enter it there by hand, or clear it up with the patron"
        )
    if kind is ReviewKind.OFFLINE:
        return "happened off line and was done as the terminal reported it"
    if kind is ReviewKind.CONFLICT:
        return (
            "was refused"
            if outcome == "refused"
            else "was done although something spoke against it"
        )
    known = {"done": "it was done", "refused": "it was not done"}
    return f"was answered with 'not sure'; {known.get(outcome, 'nobody knows whether it was done')}"


def _attempt_causes(
    rows: Iterable[tuple[str, str, str, int, str, str, str]], branches: Mapping[str, str]
) -> Iterator[Cause]:
    stories = {
        PaymentStatus.UNKNOWN: "Nobody knows yet whether it was booked.",
        PaymentStatus.REFUSED: "It was not booked.",
    }
    for payment_id, terminal, payer_id, minor, currency, bk, status in rows:
        told = _payment(format_amount(minor, currency), currency, bk, terminal)
        yield Cause(
            AutomaticCategory.UNKNOWN_PAYMENT,
            payment_id,
            f"{told} was answered with 'not sure'."
            f" {stories.get(PaymentStatus(status), 'It was booked.')} Find out whether the machine"
            f" kept the money; look at it with `sip2gw payment show {payment_id}`.",
            payer_id,
            branches.get(terminal),
        )


def _share_causes(
    rows: Iterable[tuple[str, str, str, int, str, str, str, int]], branches: Mapping[str, str]
) -> Iterator[Cause]:
    """Of payments through a library system: only its own books tell what is not known here."""
    for payment_id, terminal, payer_id, minor, currency, bk, status, is_sent in rows:
        told = _payment(format_amount(minor, currency), currency, bk, terminal)
        yield Cause(
            AutomaticCategory.UNKNOWN_PAYMENT,
            payment_id,
            f"{told} {_share_story(PaymentStatus(status), bool(is_sent))} Find out whether the"
            f" machine kept the money; look at it with `sip2gw payment show {payment_id}`.",
            payer_id,
            branches.get(terminal),
        )


def _share_story(status: PaymentStatus, is_sent: bool) -> str:
    if status is not PaymentStatus.UNKNOWN:
        was = "was not" if status is PaymentStatus.REFUSED else "was"
        return f"was answered with 'not sure'. It {was} booked in the library system."
    if not is_sent:
        return (
            "was booked only in part, and answered with 'not sure'. The machine may ask again for"
            " the rest; if it does not, settle it with `sip2gw payment reconcile`."
        )
    return (
        "was answered with 'not sure'. Look in the library system whether it was booked, and"
        " settle it with `sip2gw payment reconcile`."
    )


def _refused_causes(
    rows: Iterable[tuple[str, ...]], branches: Mapping[str, str]
) -> Iterator[Cause]:
    for _, terminal, day, payer, amount, currency, bk, reason, patron_id in rows:
        key = (bk,) if bk else (payer, amount, currency, day)
        yield Cause(
            AutomaticCategory.REFUSED_PAYMENT,
            "|".join((terminal, *key)),
            f"{_payment(amount, currency, bk, terminal)} was refused ({reason})."
            " The machine may have taken the money: book it at the desk or give it back;"
            " look at it with `sip2gw payment refused`.",
            patron_id,
            branches.get(terminal),
        )


def _tell_blocks(connection: Connection) -> Iterator[tuple[str, ...]]:
    """Blocks that are told from here on. Told is what each says now: a 01 may just have replaced
    it, beside this transaction."""
    for row in connection.execute(_BLOCKS, _STEP).fetchall():
        told = connection.execute(_TELL_BLOCK, tuple(row)).fetchone()
        if told is not None:
            yield told


def _block_causes(rows: Iterable[tuple[str, ...]], branches: Mapping[str, str]) -> Iterator[Cause]:
    for patron_id, terminal, card, note in rows:
        why = f" ({note})" if note else ""
        yield Cause(
            AutomaticCategory.BLOCKED_CARD,
            card,
            f"{terminal} blocked the card {card}{why}. Ask the patron what happened; lift the block"
            f" with `sip2gw patron unblock {patron_id}`.",
            patron_id,
            branches.get(terminal),
        )


def _payment(amount: str, currency: str, bk: str, terminal: str) -> str:
    receipt = f" with receipt {bk}" if bk else ""
    # Of a refused 37 it is kept as it was sent, which may be nothing.
    how_much = f"{amount} {currency}" if amount else "an unreadable amount"
    return f"A payment of {how_much}{receipt} at {terminal}"


def _close_ended(connection: Connection, now: datetime) -> None:
    ended = (connection.execute(statement, _STEP) for statement in (_ENDED, _ENDED_SHARES))
    for message_id, before, note in [row for rows in ended for row in rows.fetchall()]:
        support.move(
            connection,
            message_id,
            SupportStatus(before),
            SupportStatus.CLOSED,
            support.GATEWAY,
            note or _RESOLVED_NOTE,
            now,
        )
