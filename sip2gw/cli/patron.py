"""`patron …`: what the store knows of one patron."""

from __future__ import annotations

import sys
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    configured,
    opened_store,
    printable,
    write_json,
)
from sip2gw.cli.failures import CommandError

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.model import Fee, PatronRecord

patron = typer.Typer(help="One patron.", no_args_is_help=True)


@patron.callback()
def _patron() -> None:
    pass


@patron.command()
def show(
    patron_id: Annotated[str, typer.Argument(metavar="ID", help="Patron id or any card number.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a patron: membership, cards, badges, blocks, money, loans, holds, relations.

    The PIN and its hash are never shown, only whether there is one.
    """
    import asyncio

    settings = configured(config)
    with opened_store(settings) as store:
        record = asyncio.run(_find(store, patron_id))
    if record is None:
        raise CommandError(f"no patron and no card {printable(patron_id)}")
    told = tell_patron(record, settings.institution.currency, settings.zone)
    if json:
        write_json(told)
    else:
        _write_text(told)


async def _find(store: Library, patron_id: str) -> PatronRecord | None:
    return await store.find_patron(patron_id) or await store.find_by_card(patron_id)


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
        "cards": _cards(record, zone),
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
        "may_pay_for": _relations(record),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _local(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat()


def _cards(record: PatronRecord, zone: tzinfo) -> list[dict[str, Any]]:
    return [
        {
            "number": card.number,
            "state": str(card.state),
            "pin_failures": card.pin_failures,
            "pin_locked_until": _local(card.pin_locked_until, zone),
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


def _relations(record: PatronRecord) -> list[dict[str, Any]]:
    return [
        {
            "type": str(relation.type),
            "from": relation.from_id,
            "to": relation.to_id,
            "functions": sorted(relation.functions),
            "confirmed": relation.confirmed,
        }
        for relation in record.payer_for
    ]


def _write_text(told: dict[str, Any]) -> None:
    for key, value in told.items():
        if isinstance(value, list):
            for entry in value:
                sys.stdout.write(f"{key:>20}  {printable(_one_line(entry))}\n")
        elif value is not None:
            sys.stdout.write(f"{key:>20}  {printable(_one_line(value))}\n")


def _one_line(value: object) -> str:
    """A value for people; of a record only what says something."""
    if isinstance(value, dict):
        told = (f"{name} {_one_line(part)}" for name, part in value.items() if part not in _NOTHING)
        return ", ".join(told)
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


_NOTHING: tuple[object, ...] = (None, "", [])
"""What need not be said of a card, a badge or a fee."""
