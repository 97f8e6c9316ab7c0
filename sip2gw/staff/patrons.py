"""One patron: look-up, the data that staff may see, the PIN, blocks (C41, C51)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sip2gw.foundation.words import counted, nobody_has
from sip2gw.model import Block, format_amount
from sip2gw.policy.money import fee_limit, owed_total, payable_total
from sip2gw.policy.statuses import status_of
from sip2gw.staff.relationships import relationship_json

if TYPE_CHECKING:
    from datetime import date, datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.model import (
        BadgeAssignment,
        BlockType,
        Card,
        Fee,
        Hold,
        Loan,
        PatronRecord,
    )

LIFTED_BY_STAFF = frozenset({"staff", "terminal"})
"""The sources of the blocks that `unblock` lifts (C41)."""


async def find_patron(store: Library, number: str) -> PatronRecord:
    """The patron with this id, or with any card of this number.

    Raises:
        NotFoundError: there is no such patron.
    """
    from sip2gw.backend.base import NotFoundError

    record = await store.find_patron(number) or await store.find_by_card(number)
    if record is None:
        raise NotFoundError(nobody_has(number))
    return record


async def set_pin(store: Library, patron_id: str, pin: str) -> None:
    """Give a patron a new PIN, which also unlocks it on all cards.

    Raises:
        ValueError: the PIN is too long.
        RefusedError: the patron no longer exists.
    """
    from sip2gw.backend.base import RefusedError
    from sip2gw.foundation.hashing import PIN_CHARACTERS_MAX, hash_pin

    if len(pin) > PIN_CHARACTERS_MAX:
        raise ValueError(f"a PIN has at most {PIN_CHARACTERS_MAX} characters")
    if not await store.set_pin_hash(patron_id, hash_pin(store.pin_secret, pin)):
        raise RefusedError(f"patron {patron_id} no longer exists")


async def block(
    store: Library, number: str, block_type: BlockType, note: str, until: date | None
) -> PatronRecord:
    """Block a patron from self-service. This replaces a staff block of the same type.

    Raises:
        RefusedError: there is no such patron.
    """
    record = await find_patron(store, number)
    await store.set_block(record.id, Block(block_type, note, until, "staff"))
    return record


async def unblock(store: Library, number: str) -> str:
    """Lift the blocks set by staff or a terminal, and end the lock of a PIN that a library system
    judges (B74); returns a sentence about the result.

    Raises:
        RefusedError: there is no such patron, no such block, and nothing was counted.
    """
    from sip2gw.backend.base import RefusedError

    unlocked = await _unlock_pin(store, number)
    try:
        lifted = await _lift_blocks(store, number)
    except RefusedError:
        if not unlocked:
            raise
        return unlocked
    return f"{lifted} {unlocked}".rstrip()


async def _unlock_pin(store: Library, number: str) -> str:
    """Forget the wrong PINs at `number`, known to the store or not, and at the patron's others."""
    record = await store.find_patron(number) or await store.find_by_card(number)
    numbers = [number] if record is None else [number, *_numbers(record)]
    if not any(failed.failures for failed in await store.failed_pins(numbers)):
        return ""
    for one in numbers:
        await store.clear_guesses(one)
    return f"The wrong PINs of {number} are forgotten, so its PIN is not locked."


def _numbers(record: PatronRecord) -> tuple[str, ...]:
    """All under which wrong PINs of a patron may be counted."""
    return (record.id, *(card.number for card in record.cards))


async def with_guesses(store: Library, record: PatronRecord) -> PatronRecord:
    """`record` with the wrong PINs that are counted for a library system (B74)."""
    counted = await store.failed_pins(_numbers(record))
    worst = max(counted, key=lambda failed: (failed.locked_until is not None, failed.failures))
    if not worst.failures:
        return record
    failures, until = worst.failures, worst.locked_until
    cards = (replace(one, pin_failures=failures, pin_locked_until=until) for one in record.cards)
    return replace(record, cards=tuple(cards))


async def _lift_blocks(store: Library, number: str) -> str:
    from sip2gw.backend.base import RefusedError

    record = await find_patron(store, number)
    lifted = await store.lift_blocks(record.id, LIFTED_BY_STAFF)
    imported = sum(block.source not in LIFTED_BY_STAFF for block in record.blocks)
    remaining = (
        f"; {counted(imported, 'imported block')} can be lifted only by an import"
        if imported
        else ""
    )
    if not lifted:
        raise RefusedError(f"patron {record.id} has no block set by staff or a terminal{remaining}")
    return f"Lifted {counted(lifted, 'block')} of patron {record.id}{remaining}."


def patron_json(record: PatronRecord, currency: str, zone: tzinfo) -> dict[str, Any]:
    """The data of `record` that staff may see: everything except the PIN's hash.

    Amounts are strings, dates ISO 8601; keys are those of the library data where both have them.
    """

    def money(minor: int | None) -> str | None:
        return None if minor is None else format_amount(minor, currency)

    membership = record.membership
    return {
        "id": record.id,
        "name": record.name,
        "has_pin": record.pin_hash is not None,
        "pin_failures": max((card.pin_failures for card in record.cards), default=0),
        "pin_locked_until": _local(_pin_locked_until(record), zone),
        "birth_date": _text(record.birth_date),
        "membership": membership.code if membership is not None else None,
        "membership_from": _text(record.membership_from),
        "membership_until": _text(record.membership_until),
        "status": status_of(record),
        "home_branch": record.home_branch,
        "language": record.language,
        "email": record.email,
        "phone": record.phone,
        "address": record.address,
        "cards": list(map(_card, record.cards)),
        "badges": list(map(_badge, record.badges)),
        "blocks": list(map(_block, record.blocks)),
        "notices": list(record.notices),
        "house_rules_accepted": _text(record.house_rules_accepted),
        "currency": currency,
        "owed": money(owed_total(record.fees)),
        "payable": money(payable_total(record.fees, False)),
        "fee_limit": money(fee_limit(record)),
        "fees": [_fee(fee, currency, zone) for fee in record.fees],
        "loans": [_loan(loan, zone) for loan in record.loans],
        "holds": [_hold(hold, zone) for hold in record.holds],
        "may_pay_for": list(map(relationship_json, record.payer_for)),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _local(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat()


def _pin_locked_until(record: PatronRecord) -> datetime | None:
    """The end of the lock, which all cards share."""
    return next((card.pin_locked_until for card in record.cards), None)


def _card(card: Card) -> dict[str, Any]:
    return {"number": card.number, "state": str(card.state)}


def _badge(badge: BadgeAssignment) -> dict[str, Any]:
    return {
        "code": badge.code,
        "active": badge.active,
        "from": _text(badge.valid_from),
        "until": _text(badge.valid_until),
        "branches": list(badge.assignment_branches or badge.badge_branches),
    }


def _block(entry: Block) -> dict[str, Any]:
    return {
        "type": str(entry.type),
        "note": entry.note,
        "until": _text(entry.valid_until),
        "source": entry.source,
    }


def _fee(fee: Fee, currency: str, zone: tzinfo) -> dict[str, Any]:
    return {
        "id": fee.id,
        "amount": format_amount(fee.amount, currency),
        "owed": format_amount(fee.owed, currency),
        "created": _local(fee.created, zone),
        "type": fee.type,
        "status": str(fee.status),
        "description": fee.description,
        "item": fee.item_id,
    }


def _loan(loan: Loan, zone: tzinfo) -> dict[str, Any]:
    return {
        "item": loan.item_id,
        "title": loan.title,
        "due": _local(loan.due, zone),
        "renewals": loan.renewals,
    }


def _hold(hold: Hold, zone: tzinfo) -> dict[str, Any]:
    return {
        "id": hold.id,
        "item": hold.item_id,
        "title_id": hold.title_id,
        "title": hold.title,
        "ready": hold.ready,
        "expires": _local(hold.expires, zone),
    }
