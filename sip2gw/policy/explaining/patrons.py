"""What is known of a patron, in plain words (B70)."""

from __future__ import annotations

from datetime import date, datetime

from sip2gw.foundation.words import counted
from sip2gw.model import Card, PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.explaining.places import Place
from sip2gw.policy.membership import MembershipState, membership_state
from sip2gw.policy.money.debts import MoneyStanding
from sip2gw.policy.obstacles import active_blocks
from sip2gw.policy.statuses import BLOCKING_STATUSES, status_of
from sip2gw.policy.upstream import words

STATUS_WORDS = (
    "new",
    "new",
    "invoiced",
    "reminder sent",
    "delinquent",
    "normal",
    "internet registration unpaid",
    "registration incomplete",
    "banned",
    "expired",
)
"""The Wise customer statuses 0-9 (B27)."""


def card_words(record: PatronRecord | None) -> str:
    """Whose card it is."""
    return "nobody has this card" if record is None else f"a card of patron {record.id}"


def card_state_words(record: PatronRecord, card: Card) -> str:
    """In which state the card is."""
    theirs = words.card_words(record.word) if record.word is not None else ""
    return f"the card is {card.state}{theirs}"


def pin_words(record: PatronRecord, card: Card, pin: PinState, now: datetime) -> str:
    """Nobody types a PIN here, so only a lock is known, and that no PIN is right (C22, C171)."""
    if pin is not PinState.LOCKED:
        if record.pin_hash is None and record.word is None:
            return (
                "the patron has no PIN yet, so a terminal calls every PIN wrong: import one, or"
                " give one with `patron set-pin`"
            )
        return "the PIN is assumed to be right"
    until = card.pin_locked_until
    end = f" until {until.astimezone(now.tzinfo):%a %Y-%m-%d %H:%M}" if until is not None else ""
    return f"wrong PINs have locked the PIN{end}"


def membership_words(record: PatronRecord, today: date) -> str:
    """Which membership, and whether it holds today."""
    state = membership_state(record, today)
    if state is MembershipState.MISSING:
        return "no membership"
    code = f"membership {membership_code(record)}"
    if state is MembershipState.NOT_YET:
        return f"{code} begins on {record.membership_from}"
    if state is MembershipState.EXPIRED:
        return f"{code} ended on {record.membership_until}"
    if record.membership_until is not None:
        return f"{code} valid until {record.membership_until}"
    if record.word is not None:
        return f"{code}: {words.end_words(record.word)}"
    return f"{code} valid without an end date"


def membership_code(record: PatronRecord) -> str:
    """Which membership; a library system may not tell."""
    if record.membership is not None:
        return record.membership.code
    return "none" if record.word is None else "unknown"


def status_words(record: PatronRecord, today: date) -> str:
    """The customer status, and what blocks the patron."""
    status = status_of(record)
    effect = " blocks" if status in BLOCKING_STATUSES else ""
    blocks = ", ".join(active_blocks(record, today)) or "none"
    ours = f"customer status {status} ({STATUS_WORDS[status]}){effect}; blocks: {blocks}"
    return ours if record.word is None else f"{ours}; {words.denial_words(record.word)}"


def limit_words(record: PatronRecord, money: MoneyStanding, place: Place) -> str:
    """What is owed, and how much may be."""
    theirs = words.debt_words(record.word) if record.word is not None else ""
    if record.word is not None and record.word.fee_amount is None:
        return theirs
    return "; ".join(filter(None, (_own_limit_words(record, money, place), theirs)))


def _own_limit_words(record: PatronRecord, money: MoneyStanding, place: Place) -> str:
    owed = f"owes {place.money(money.owed)}"
    if money.limit is None:
        return f"{owed}, and no limit is set"
    source = "fee_limit of the patron"
    if record.fee_limit is None and record.membership is not None:
        source = f"max_fees_self_service of membership {record.membership.code}"
    return f"{owed}, limit {place.money(money.limit)} ({source})"


def fee_age_words(record: PatronRecord, money: MoneyStanding, place: Place) -> str:
    """How old the charges are, and how old they may be."""
    if place.max_fee_age_days is None:
        return f"no maximum age of charges is set ({place.settings.fee_age})"
    setting = place.settings.fee_age
    if not money.owed:
        return f"no open charge; {setting}"
    if record.word is not None and money.oldest_days < 0:
        return f"the library system does not say how old the open charges are; {setting}"
    return f"the oldest open charge is {counted(money.oldest_days, 'day')} old; {setting}"
