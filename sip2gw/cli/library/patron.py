"""`patron …`: what the store knows of one patron, the PIN, blocks (C41, C51)."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    PatronArgument,
    configured,
    find_patron,
    opened_store,
    printable,
    read_day_option,
    run,
    say,
    write_json,
    write_record,
)
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.cli.library.relationship import tell_relationship
from sip2gw.cli.passwords import read_secret
from sip2gw.model import Block, BlockType

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.model import Fee, PatronRecord

patron = typer.Typer(help="One patron.", no_args_is_help=True)

LIFTED_BY_STAFF = frozenset({"staff", "terminal"})
"""Whose blocks `unblock` lifts (C41)."""


@patron.callback()
def _patron() -> None:
    pass


@patron.command()
def show(
    patron_id: PatronArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a patron: membership, cards, badges, blocks, money, loans, holds, relations.

    The PIN and its hash are never shown, only whether there is one.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        record = run(find_patron(store, patron_id))
    told = tell_patron(record, settings.institution.currency, settings.zone)
    if json:
        write_json(told)
    else:
        write_record(told)


@patron.command("set-pin")
def set_pin(
    patron_id: PatronArgument,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the PIN from standard input, one line.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give a patron a new PIN, which also unlocks it on all cards. Asks for it twice."""
    settings = configured(config)
    with opened_store(settings) as store:
        record = run(find_patron(store, patron_id))
        pin = read_secret("PIN", stdin)
        if not run(_set_pin(store, record.id, pin)):
            raise CommandError(f"patron {printable(record.id)} is there no longer")
    say(f"The PIN of patron {printable(record.id)} has been set.")


async def _set_pin(store: Library, patron_id: str, pin: str) -> bool:
    from sip2gw.foundation.hashing import PIN_CHARACTERS_MAX, hash_pin

    if len(pin) > PIN_CHARACTERS_MAX:
        raise UsageError(f"a PIN has at most {PIN_CHARACTERS_MAX} characters")
    return await store.set_pin_hash(patron_id, hash_pin(store.pin_secret, pin))


@patron.command()
def block(
    patron_id: PatronArgument,
    block_type: Annotated[
        BlockType, typer.Option("--type", metavar="TYPE", help=f"One of {', '.join(BlockType)}.")
    ] = BlockType.GENERAL,
    note: Annotated[str, typer.Option(metavar="N", help="Why, for the staff.")] = "",
    until: Annotated[
        str | None, typer.Option(metavar="D", help="The last day of it. Default: until lifted.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Block a patron from self-service; a block of the same type by staff is replaced."""
    settings = configured(config)
    set_by_staff = Block(block_type, note, read_day_option("--until", until), "staff")
    with opened_store(settings) as store:
        record = run(find_patron(store, patron_id))
        run(store.set_block(record.id, set_by_staff))
    say(f"Patron {printable(record.id)} is blocked: {block_type}.")


@patron.command()
def unblock(patron_id: PatronArgument, config: ConfigOption = None) -> None:
    """Lift the blocks that staff or a terminal has set; imported ones go by import."""
    settings = configured(config)
    with opened_store(settings) as store:
        record = run(find_patron(store, patron_id))
        lifted = run(store.lift_blocks(record.id, LIFTED_BY_STAFF))
    imported = sum(block.source not in LIFTED_BY_STAFF for block in record.blocks)
    remaining = f"; {imported} imported ones go by import" if imported else ""
    name = printable(record.id)
    if not lifted:
        raise CommandError(f"patron {name} has no block by staff or a terminal{remaining}")
    say(f"{lifted} of the blocks of patron {name} lifted{remaining}.")


def tell_patron(record: PatronRecord, currency: str, zone: tzinfo) -> dict[str, Any]:
    """What may be shown of `record` to staff: everything but the PIN's hash.

    Amounts are strings, dates ISO 8601; keys are those of the library data where both have them.
    """
    from sip2gw.model import format_amount
    from sip2gw.policy.money import fee_limit, owed_total, payable_total

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
        "status": record.status,
        "home_branch": record.home_branch,
        "language": record.language,
        "email": record.email,
        "phone": record.phone,
        "address": record.address,
        "cards": _cards(record),
        "badges": _badges(record),
        "blocks": _blocks(record),
        "notices": list(record.notices),
        "house_rules_accepted": _text(record.house_rules_accepted),
        "currency": currency,
        "owed": money(owed_total(record.fees)),
        "payable": money(payable_total(record.fees, False)),
        "fee_limit": money(fee_limit(record)),
        "fees": [_fee(fee, currency, zone) for fee in record.fees],
        "loans": _loans(record, zone),
        "holds": _holds(record, zone),
        "may_pay_for": [tell_relationship(relation) for relation in record.payer_for],
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _local(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat()


def _pin_locked_until(record: PatronRecord) -> datetime | None:
    """The lock that all cards share."""
    return next((card.pin_locked_until for card in record.cards), None)


def _cards(record: PatronRecord) -> list[dict[str, Any]]:
    return [
        {
            "number": card.number,
            "state": str(card.state),
        }
        for card in record.cards
    ]


def _badges(record: PatronRecord) -> list[dict[str, Any]]:
    return [
        {
            "code": badge.code,
            "active": badge.active,
            "from": _text(badge.valid_from),
            "until": _text(badge.valid_until),
            "branches": list(badge.assignment_branches or badge.badge_branches),
        }
        for badge in record.badges
    ]


def _blocks(record: PatronRecord) -> list[dict[str, Any]]:
    return [
        {
            "type": str(block.type),
            "note": block.note,
            "until": _text(block.valid_until),
            "source": block.source,
        }
        for block in record.blocks
    ]


def _fee(fee: Fee, currency: str, zone: tzinfo) -> dict[str, Any]:
    from sip2gw.model import format_amount

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


def _loans(record: PatronRecord, zone: tzinfo) -> list[dict[str, Any]]:
    return [
        {
            "item": loan.item_id,
            "title": loan.title,
            "due": _local(loan.due, zone),
            "renewals": loan.renewals,
        }
        for loan in record.loans
    ]


def _holds(record: PatronRecord, zone: tzinfo) -> list[dict[str, Any]]:
    return [
        {
            "id": hold.id,
            "item": hold.item_id,
            "title_id": hold.title_id,
            "title": hold.title,
            "ready": hold.ready,
            "expires": _local(hold.expires, zone),
        }
        for hold in record.holds
    ]
