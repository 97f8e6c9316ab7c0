"""One patron: look-up, the data that staff may see, the PIN, blocks (C41, C51)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from typing_extensions import TypedDict

from sip2gw.foundation.words import counted, nobody_has
from sip2gw.model import Block, format_amount
from sip2gw.policy.money.debts import fee_limit, owed_total, payable_total
from sip2gw.policy.statuses import status_of
from sip2gw.staff.members.relationships import RelationshipJson, relationship_json

if TYPE_CHECKING:
    from datetime import date, datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.config import Config
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


def insist_on_own_pins(config: Config, number: str) -> None:
    """Go on only if the PINs are in the store.

    Raises:
        RefusedError: the library system has them.
    """
    from sip2gw.backend.base import RefusedError

    if config.accounts:
        raise RefusedError(
            "the library system has the PINs; change this one there. If it is locked here, use"
            f" `sip2gw patron unblock {number}`"
        )


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
) -> tuple[str, Block]:
    """Block a patron from self-service. This replaces a staff block of the same type.

    Returns:
        The patron's id, and the block.

    Raises:
        NotFoundError: there is no such patron.
    """
    record = await find_patron(store, number)
    made = Block(block_type, note, until, "staff")
    await store.set_block(record.id, made)
    return record.id, made


class UnblockedJson(TypedDict):
    """What became of the blocks of a patron, and of a lock of the PIN."""

    patron: str | None
    """Null: the store does not know the patron, only wrong PINs at this number."""
    lifted: int
    imported: int
    """Blocks that only an import can lift."""
    pin_unlocked: bool


async def unblock(store: Library, config: Config, number: str) -> UnblockedJson:
    """Lift the blocks set by staff or a terminal, and end the lock of a PIN that a library system
    judges, however `number` is spelled (B74).

    Raises:
        NotFoundError: there is no such patron, and nothing was counted.
        RefusedError: the patron has no such block, and nothing was counted.
    """
    from sip2gw.backend.base import NotFoundError, RefusedError

    record = await store.find_patron(number) or await store.find_by_card(number)
    done: UnblockedJson = {
        "patron": None if record is None else record.id,
        "lifted": 0,
        "imported": 0,
        "pin_unlocked": await _unlock_pin(store, number, record),
    }
    if record is not None:
        done["lifted"] = await store.lift_blocks(record.id, LIFTED_BY_STAFF)
        done["imported"] = sum(block.source not in LIFTED_BY_STAFF for block in record.blocks)
    if done["lifted"] or done["pin_unlocked"]:
        return done
    if record is None:
        raise NotFoundError(_nothing_at(number) if config.accounts else nobody_has(number))
    raise RefusedError(
        f"patron {record.id} has no block set by staff or a terminal{_remaining(done)}"
    )


def unblocked_in_words(number: str, done: UnblockedJson) -> str:
    """The same for people, who named that `number`."""
    sentences = []
    if done["lifted"]:
        lifted = counted(done["lifted"], "block")
        sentences.append(f"Lifted {lifted} of patron {done['patron']}{_remaining(done)}.")
    if done["pin_unlocked"]:
        sentences.append(f"The wrong PINs of {number} are forgotten, so its PIN is not locked.")
    return " ".join(sentences)


def _nothing_at(number: str) -> str:
    """That our store has nothing to lift; who has the card, only the library system knows."""
    return (
        f"no patron here has the id or card {number}, and no wrong PIN is counted at it;"
        f" `sip2gw explain --terminal T --card {number}` asks the library system about it, and says"
        " whether its PIN is locked here"
    )


def _remaining(done: UnblockedJson) -> str:
    if not done["imported"]:
        return ""
    return f"; {counted(done['imported'], 'imported block')} can be lifted only by an import"


async def _unlock_pin(store: Library, number: str, record: PatronRecord | None) -> bool:
    """Forget the wrong PINs at `number`, known to the store or not, and at the patron's others:
    those of our store, and those that a guess has shown to be theirs."""
    names = _counted_at(number) if record is None else _counted_at(number, *_numbers(record))
    if not any(failed.failures for failed in await store.failed_pins(names)):
        return False
    for name in names:
        await store.clear_all_guesses(name)
    return True


def _counted_at(*numbers: str) -> list[str]:
    """Where wrong PINs at these `numbers` are counted for a library system (B74)."""
    from sip2gw.policy.upstream.questions import spelling

    return [spelling(number) for number in numbers]


def _numbers(record: PatronRecord) -> tuple[str, ...]:
    """All under which a patron is known."""
    return (record.id, *(card.number for card in record.cards))


async def with_guesses(store: Library, record: PatronRecord) -> PatronRecord:
    """`record` with the wrong PINs that are counted for a library system (B74)."""
    counted = await store.failed_pins(_counted_at(*_numbers(record)))
    worst = max(counted, key=lambda failed: (failed.locked_until is not None, failed.failures))
    if not worst.failures:
        return record
    failures, until = worst.failures, worst.locked_until
    cards = (replace(one, pin_failures=failures, pin_locked_until=until) for one in record.cards)
    return replace(record, cards=tuple(cards))


async def shown_patron_json(store: Library, number: str, currency: str, zone: tzinfo) -> PatronJson:
    """The patron with this id or card, as staff see them.

    Raises:
        NotFoundError: there is no such patron.
    """
    record = await with_guesses(store, await find_patron(store, number))
    return patron_json(record, currency, zone)


class CardJson(TypedDict):
    """A card of a patron."""

    number: str
    state: str


PatronBadgeJson = TypedDict(
    "PatronBadgeJson",
    {
        "code": str,
        "active": bool,
        "from": str | None,
        "until": str | None,
        "branches": list[str],
    },
)
"""A badge that a patron has."""


class BlockJson(TypedDict):
    """A block of a patron, and who has set it."""

    type: str
    note: str
    until: str | None
    source: str


class FeeJson(TypedDict):
    """A fee of a patron."""

    id: str
    amount: str
    owed: str
    created: str | None
    type: str
    status: str
    description: str
    item: str | None


class LoanJson(TypedDict):
    """An item that a patron has."""

    item: str
    title: str
    due: str | None
    renewals: int


class HoldJson(TypedDict):
    """What a patron has reserved."""

    id: str
    item: str | None
    title_id: str | None
    title: str
    ready: bool
    expires: str | None


class PatronJson(TypedDict):
    """What staff may see of a patron: everything but the PIN and its hash."""

    id: str
    name: str
    has_pin: bool
    pin_failures: int
    pin_locked_until: str | None
    birth_date: str | None
    membership: str | None
    membership_from: str | None
    membership_until: str | None
    status: int
    home_branch: str | None
    language: str | None
    email: str | None
    phone: str | None
    address: str | None
    cards: list[CardJson]
    badges: list[PatronBadgeJson]
    blocks: list[BlockJson]
    notices: list[str]
    house_rules_accepted: str | None
    currency: str
    owed: str
    payable: str
    fee_limit: str | None
    fees: list[FeeJson]
    loans: list[LoanJson]
    holds: list[HoldJson]
    may_pay_for: list[RelationshipJson]


def patron_json(record: PatronRecord, currency: str, zone: tzinfo) -> PatronJson:
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
        "badges": list(map(patron_badge_json, record.badges)),
        "blocks": list(map(block_json, record.blocks)),
        "notices": list(record.notices),
        "house_rules_accepted": _text(record.house_rules_accepted),
        "currency": currency,
        "owed": format_amount(owed_total(record.fees), currency),
        "payable": format_amount(payable_total(record.fees, False), currency),
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


def _card(card: Card) -> CardJson:
    return {"number": card.number, "state": str(card.state)}


def patron_badge_json(badge: BadgeAssignment) -> PatronBadgeJson:
    """A badge that a patron has, and where it counts."""
    return {
        "code": badge.code,
        "active": badge.active,
        "from": _text(badge.valid_from),
        "until": _text(badge.valid_until),
        "branches": list(badge.assignment_branches or badge.badge_branches),
    }


def block_json(entry: Block) -> BlockJson:
    """A block with who has set it."""
    return {
        "type": str(entry.type),
        "note": entry.note,
        "until": _text(entry.valid_until),
        "source": entry.source,
    }


def _fee(fee: Fee, currency: str, zone: tzinfo) -> FeeJson:
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


def _loan(loan: Loan, zone: tzinfo) -> LoanJson:
    return {
        "item": loan.item_id,
        "title": loan.title,
        "due": _local(loan.due, zone),
        "renewals": loan.renewals,
    }


def _hold(hold: Hold, zone: tzinfo) -> HoldJson:
    return {
        "id": hold.id,
        "item": hold.item_id,
        "title_id": hold.title_id,
        "title": hold.title,
        "ready": hold.ready,
        "expires": _local(hold.expires, zone),
    }
