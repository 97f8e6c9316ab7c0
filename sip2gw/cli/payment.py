"""`payment …`: what was paid at the terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    SinceOption,
    UntilOption,
    clock_time,
    configured,
    opened_store,
    read_since,
    read_until,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.model import Payment

payment = typer.Typer(help="Payments at terminals.", no_args_is_help=True)

_COLUMNS = ("time", "terminal", "payer", "debtors", "amount", "bk", "status")


@payment.callback()
def _payment() -> None:
    pass


@payment.command("list")
def list_payments(
    json: JsonOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: Annotated[str | None, typer.Option(metavar="T", help="Only this one.")] = None,
    patron: Annotated[
        str | None, typer.Option(metavar="ID", help="Only with this patron as payer or debtor.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """List payments, oldest first."""
    settings = configured(config)
    span = {"since": read_since(since, settings.zone), "until": read_until(until, settings.zone)}
    with opened_store(settings) as store:
        told = (
            tell_payment(entry, settings.zone)
            for entry in store.payments(terminal=terminal, **span)
            if patron is None or _concerns(entry, patron)
        )
        if json:
            for record in told:
                write_json(record)
        else:
            write_table(_COLUMNS, (_row(record) for record in told))


def _concerns(entry: Payment, patron_id: str) -> bool:
    return entry.payer_id == patron_id or any(line.debtor_id == patron_id for line in entry.lines)


def tell_payment(entry: Payment, zone: tzinfo) -> dict[str, Any]:
    """A payment with the keys of C21; amounts are strings, the time is local with its offset."""
    from sip2gw.model import format_amount

    relations = [line.relation for line in entry.lines if line.relation != "own"]
    return {
        "id": entry.id,
        "time": entry.time.astimezone(zone).isoformat(),
        "terminal": entry.terminal,
        "payer": entry.payer_id,
        "debtors": list(dict.fromkeys(line.debtor_id for line in entry.lines)),
        "relation": relations[0] if relations else "own",
        "amount": format_amount(entry.amount, entry.currency),
        "currency": entry.currency,
        "payment_type": entry.payment_type,
        "bk": entry.bk,
        "status": entry.status,
        "lines": [
            {
                "fee": line.fee_id,
                "debtor": line.debtor_id,
                "amount": format_amount(line.amount, entry.currency),
            }
            for line in entry.lines
        ],
    }


def _row(told: dict[str, Any]) -> list[str]:
    """The cells of `_COLUMNS`."""
    return [
        clock_time(told["time"]),
        told["terminal"],
        told["payer"],
        " ".join(told["debtors"]),
        f"{told['amount']} {told['currency']}",
        told["bk"],
        told["status"],
    ]
