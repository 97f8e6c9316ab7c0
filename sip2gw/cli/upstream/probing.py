"""Looks at one account: a few polite attempts, then the questions on the line that works (B80)."""

from __future__ import annotations

from datetime import datetime

from sip2gw.backend.upstream.opening import ORDERS, login_of
from sip2gw.cli.upstream.line import Line, UnreachableError
from sip2gw.cli.upstream.seen import Attempt, Exchange, Order, Seen, Verdict, next_attempt
from sip2gw.config.tables.upstream import Account
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import Login, PatronInformation, PatronStatusRequest, ScStatus
from sip2gw.protocol.timestamps import write_timestamp


def probe(account: Account, card: str | None, now: datetime) -> Seen:
    """All that can be seen of `account`; a `card` is asked about without a PIN."""
    configured: Order = account.login_order if account.login else "none"
    tried: list[Attempt] = []
    while plan := next_attempt(configured, account.checksums != "none", tried):
        attempt, line = _attempt(account, *plan)
        tried.append(attempt)
        if line is None:
            continue
        try:
            if attempt.works:
                return _questions(account, card, now, tuple(tried), line)
        finally:
            line.close()
    return Seen(account, tuple(tried))


def _attempt(account: Account, order: Order, checksums: bool) -> tuple[Attempt, Line | None]:
    try:
        line = Line(account, checksums)
    except UnreachableError as error:
        return Attempt(order, checksums, unreachable=str(error)), None
    exchanges = tuple(_log_in(line, account, order))
    return Attempt(order, checksums, exchanges, tls=line.tls), line


def _log_in(line: Line, account: Account, order: Order) -> list[Exchange]:
    """What the gateway says first, up to the first that fails."""
    done: list[Exchange] = []
    for kind in ORDERS[order]:
        done.append(line.ask(login_of(account) if kind is Login else ScStatus()))
        if done[-1].verdict is not Verdict.ANSWERED:
            break
    return done


def _questions(
    account: Account, card: str | None, now: datetime, tried: tuple[Attempt, ...], line: Line
) -> Seen:
    asked: list[Exchange] = []
    summed = None
    try:
        if card is not None:
            asked.append(line.ask(_information(account, card, now)))
            if asked[-1].verdict is not Verdict.ANSWERED:
                line = _ask_by_23(account, card, now, tried[-1], line, asked)
        if not line.checksums:
            # Last, because a line may be lost by it.
            summed = line.ask(ScStatus(), checksum=True)
        return Seen(account, tried, summed, tuple(asked), line.line_ends)
    finally:
        line.close()


def _ask_by_23(
    account: Account, card: str, now: datetime, works: Attempt, line: Line, asked: list[Exchange]
) -> Line:
    """Ask on a new line: on the old one, a late answer could still come."""
    again, new = _attempt(account, works.order, works.checksums)
    if new is None:
        return line
    line.close()
    if again.works:
        asked.append(new.ask(_status(account, card, now)))
    return new


def _information(account: Account, card: str, now: datetime) -> PatronInformation:
    return PatronInformation(
        transaction_date=write_timestamp(now, account.date_zone),
        summary=frozenset({Summary.FINES}),
        institution_id=account.institution,
        patron_identifier=card,
        terminal_password="",
    )


def _status(account: Account, card: str, now: datetime) -> PatronStatusRequest:
    return PatronStatusRequest(
        transaction_date=write_timestamp(now, account.date_zone),
        institution_id=account.institution,
        patron_identifier=card,
        terminal_password="",
        patron_password="",
    )
