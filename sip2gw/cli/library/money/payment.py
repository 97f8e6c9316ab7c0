"""`payment …`: payments at terminals, and what bookkeeping needs (B47)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    SinceOption,
    UntilOption,
    configured,
    opened_store,
    passing,
    printable,
    read_since,
    read_until,
    run,
    say,
    terminal_names,
    write_listing,
    write_one,
)
from sip2gw.cli.library.money.payment_export import export
from sip2gw.cli.library.money.reconcile import reconcile, with_currency
from sip2gw.cli.meanings import PAYMENT_TYPES, with_meaning
from sip2gw.staff.members.patrons import find_patron
from sip2gw.staff.payments import (
    MORE,
    REFUSED_KEYS,
    PaymentJson,
    find_payment,
    payment_json,
    refused_json,
    shown_payment_json,
    surplus_json,
    total_json,
)

payment = typer.Typer(no_args_is_help=True)

PaymentArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the payment; see `payment list`.")
]
TerminalOption = Annotated[str | None, typer.Option(metavar="T", help="Only this terminal.")]

_COLUMNS = ("id", "time", "terminal", "payer", "debtors", "amount", "bk", "status")
_CSV_COLUMNS = (
    *("id", "time", "terminal", "payer", "debtors", "relation", "amount", "currency"),
    *("payment_type", "bk", "status", "lines"),
)
_TOTALS_COLUMNS = ("date", "terminal", "payment_type", "currency", "count", "amount")


@payment.command("list")
def list_payments(
    json: JsonOption = False,
    csv: CsvOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: TerminalOption = None,
    patron: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Only payments with this patron (any card) as payer or debtor."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """List payments, oldest first. Undone payments are listed with that status.

    In CSV each payment is one row, so that you can add up the amounts. The column `lines` shows
    what it settled, as FEE=AMOUNT.
    """
    settings = configured(config)
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    with opened_store(settings) as store:
        whose = None if patron is None else run(find_patron(store, patron)).id
        found = store.payments(terminal=terminal, patron=whose, since=first, until=end)
        found = passing("--terminal", terminal, terminal_names(settings), found)
        told = (payment_json(entry, settings.zone) for entry in found)
        write_listing(
            map(_in_one_row, told) if csv else told,
            _CSV_COLUMNS if csv else _COLUMNS,
            json,
            csv=csv,
            zone=settings.institution.timezone,
            shown=with_currency("amount"),
        )


def _in_one_row(told: PaymentJson) -> dict[str, Any]:
    lines = "; ".join(f"{line['fee']}={line['amount']}" for line in told["lines"])
    return {**told, "debtors": " ".join(told["debtors"]), "lines": lines}


@payment.command()
def show(
    payment_id: PaymentArgument, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show a payment, the fees it settled, and the card that was scanned."""
    settings = configured(config)
    with opened_store(settings) as store:
        found = find_payment(store, payment_id)
    told = shown_payment_json(found, settings.zone)
    write_one(told, json, with_meaning("payment_type", PAYMENT_TYPES))


@payment.command()
def undo(payment_id: PaymentArgument, config: ConfigOption = None) -> None:
    """Undo a whole payment, on the day it was made.

    The patron owes the fees again. Nothing is deleted: the ledger gets opposite entries. A kiosk
    that repeats the payment's BK still gets the first answer, and nothing is booked.
    """
    from sip2gw.model import format_amount

    settings = configured(config)
    with opened_store(settings) as store:
        undone = run(store.undo_payment(payment_id, datetime.now(UTC), settings.zone))
    amount = format_amount(undone.amount, undone.currency)
    say(
        f"Payment {undone.id} has been undone: give {undone.currency} {amount} back to patron"
        f" {printable(undone.payer_id)}."
    )


@payment.command()
def refund(
    fee_id: Annotated[
        str, typer.Argument(metavar="FEE", help="Id of the charge; see `payment reconcile`.")
    ],
    config: ConfigOption = None,
) -> None:
    """Record that you have given back an overpayment of a charge.

    Use it when an import has lowered a charge below what was paid. The ledger gets an entry, and
    `payment reconcile` no longer lists the overpayment.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        given = run(store.refund(fee_id, datetime.now(UTC)))
    currency = settings.institution.currency
    for entry in given:
        told = surplus_json(entry, currency, settings.zone)
        say(
            f"{currency} {told['surplus']} of charge {printable(entry.fee_id)} has been recorded"
            f" as given back to patron {printable(entry.patron_id)}."
        )


@payment.command()
def totals(
    json: JsonOption = False,
    csv: CsvOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: TerminalOption = None,
    config: ConfigOption = None,
) -> None:
    """Add up payments by day, terminal and payment type: what each till should hold.

    Undone payments do not count, because they were given back on the same day. Payments of unknown
    outcome do not count either; see `payment reconcile`. Days follow the library's time zone.
    """
    from sip2gw.policy.money.till_totals import day_totals

    settings = configured(config)
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    with opened_store(settings) as store:
        found = store.payments(terminal=terminal, since=first, until=end)
        found = passing("--terminal", terminal, terminal_names(settings), found)
        told = [total_json(total) for total in day_totals(found, settings.zone)]
    shown = with_meaning("payment_type", PAYMENT_TYPES)
    write_listing(told, _TOTALS_COLUMNS, json, csv=csv, shown=shown)


payment.command()(reconcile)
payment.command()(export)


@payment.command("refused")
def list_refused(
    json: JsonOption = False,
    csv: CsvOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: TerminalOption = None,
    config: ConfigOption = None,
) -> None:
    """List refused payments, oldest first: the terminal may have taken the money.

    Each attempt counts, including retries. Terminal and BK show which attempts belong together, and
    `payment list` shows whether the payment was booked later. The store keeps 1,000 for each
    terminal and day; a line with the reason `more` says how many others there were.
    """
    settings = configured(config)
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    with opened_store(settings) as store:
        found = store.refused_payments(terminal=terminal, since=first, until=end)
        found = passing("--terminal", terminal, terminal_names(settings), found)
        told = (refused_json(entry, settings.zone) for entry in found)
        write_listing(
            told,
            (*REFUSED_KEYS, "count") if csv else REFUSED_KEYS,
            json,
            csv=csv,
            zone=settings.institution.timezone,
            shown=_shown_refused,
        )


def _shown_refused(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "reason": f"{told['count']} {MORE}"} if "count" in told else told
