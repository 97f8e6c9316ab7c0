"""`payment …`: what was paid at the terminals, and what the bookkeeper needs of it (B47)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    SinceOption,
    UntilOption,
    clock_time,
    configured,
    find_patron,
    opened_store,
    output_format,
    printable,
    read_since,
    read_until,
    run,
    say,
    write_csv,
    write_json,
    write_record,
    write_table,
)
from sip2gw.cli.failures import CommandError
from sip2gw.cli.library.reconcile import reconcile, tell_surplus

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.model import Payment
    from sip2gw.model.refusals import RefusedPayment, RefusedPaymentsMore
    from sip2gw.policy.till_totals import DayTotal

payment = typer.Typer(help="Payments at terminals.", no_args_is_help=True)

PaymentArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the payment, see `payment list`.")
]
TerminalOption = Annotated[str | None, typer.Option(metavar="T", help="Only this one.")]

_COLUMNS = ("id", "time", "terminal", "payer", "debtors", "amount", "bk", "status")
_TOTALS_COLUMNS = ("date", "terminal", "payment_type", "currency", "count", "amount")


@payment.callback()
def _payment() -> None:
    pass


@payment.command("list")
def list_payments(
    json: JsonOption = False,
    csv: CsvOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: TerminalOption = None,
    patron: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only with this patron (any card) as payer or debtor."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """List payments, oldest first; undone ones too, with that status.

    In CSV a payment is one row, so that amounts can be added up; what it settled stands in
    `lines` as FEE=AMOUNT.
    """
    output = output_format(json, csv)
    settings = configured(config)
    span = {"since": read_since(since, settings.zone), "until": read_until(until, settings.zone)}
    with opened_store(settings) as store:
        patron_id = None if patron is None else run(find_patron(store, patron)).id
        told = (
            tell_payment(entry, settings.zone)
            for entry in store.payments(terminal=terminal, **span)
            if patron_id is None or _concerns(entry, patron_id)
        )
        if output == "csv":
            _write_csv(told)
        else:
            _write_payments(told, json)


def _concerns(entry: Payment, patron_id: str) -> bool:
    return entry.payer_id == patron_id or any(line.debtor_id == patron_id for line in entry.lines)


@payment.command()
def show(
    payment_id: PaymentArgument, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show a payment, the fees that it settled, and the card that was scanned."""
    settings = configured(config)
    with opened_store(settings) as store:
        found = store.payment(payment_id)
    if found is None:
        raise CommandError(f"no such payment: {printable(payment_id)}")
    told = {**tell_payment(found, settings.zone), "card": found.card}
    if json:
        write_json(told)
    else:
        write_record(told)


@payment.command()
def undo(payment_id: PaymentArgument, config: ConfigOption = None) -> None:
    """Take a whole payment back, on the day it was made.

    The fees are owed again. Nothing is deleted: the ledger gets the opposite entries. A kiosk
    that repeats the payment's BK still gets the first answer, and nothing is booked.
    """
    from sip2gw.model import format_amount

    settings = configured(config)
    with opened_store(settings) as store:
        undone = run(store.undo_payment(payment_id, datetime.now(UTC), settings.zone))
    amount = format_amount(undone.amount, undone.currency)
    say(
        f"Payment {undone.id} is undone: give {undone.currency} {amount} back to "
        f"patron {printable(undone.payer_id)}."
    )


@payment.command()
def refund(
    fee_id: Annotated[
        str, typer.Argument(metavar="FEE", help="Id of the charge, see `payment reconcile`.")
    ],
    config: ConfigOption = None,
) -> None:
    """Note that what was paid too much of a charge has been given back.

    An import has lowered the charge below what was paid of it. The ledger gets an entry, and
    `payment reconcile` no longer lists it.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        given = run(store.refund(fee_id, datetime.now(UTC)))
    currency = settings.institution.currency
    for entry in given:
        told = tell_surplus(entry, currency, settings.zone)
        say(
            f"{currency} {told['surplus']} of charge {printable(entry.fee_id)} is given back to "
            f"patron {printable(entry.patron_id)}."
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

    Undone payments do not count: they were given back on the same day. Nor do payments of
    unknown outcome, see `payment reconcile`. Days are those of the library's time zone.
    """
    from sip2gw.policy.till_totals import day_totals

    output = output_format(json, csv)
    settings = configured(config)
    span = {"since": read_since(since, settings.zone), "until": read_until(until, settings.zone)}
    with opened_store(settings) as store:
        found = day_totals(store.payments(terminal=terminal, **span), settings.zone)
    told = [_tell_total(total) for total in found]
    if output == "json":
        for record in told:
            write_json(record)
        return
    write = write_csv if output == "csv" else write_table
    write(_TOTALS_COLUMNS, [tuple(map(str, record.values())) for record in told])


payment.command()(reconcile)


_REFUSED_COLUMNS = (
    "time",
    "terminal",
    "payer",
    "amount",
    "currency",
    "payment_type",
    "bk",
    "reason",
)
MORE = "more"
"""Where a reason is: so many others of the terminal's day were only counted."""


@payment.command("refused")
def list_refused(
    json: JsonOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: TerminalOption = None,
    config: ConfigOption = None,
) -> None:
    """List payments that were answered no, oldest first: the terminal may have taken the money.

    Each time counts, a retry too: terminal and BK tell what belongs together, and `payment list`
    whether it was booked later. Of a terminal and day 1,000 are kept; a line with the reason
    `more` says how many there were besides.
    """
    settings = configured(config)
    span = {"since": read_since(since, settings.zone), "until": read_until(until, settings.zone)}
    with opened_store(settings) as store:
        found = store.refused_payments(terminal=terminal, **span)
        told = (tell_refused(entry, settings.zone) for entry in found)
        if json:
            for record in told:
                write_json(record)
        else:
            write_table(_REFUSED_COLUMNS, map(_refused_row, told))


def tell_refused(entry: RefusedPayment | RefusedPaymentsMore, zone: tzinfo) -> dict[str, Any]:
    """A refused payment; how many more there were has the same keys, and `count`."""
    from sip2gw.model.refusals import RefusedPaymentsMore

    told = {name: getattr(entry, name, "") for name in _REFUSED_COLUMNS}
    told["time"] = entry.time.astimezone(zone).isoformat()
    if isinstance(entry, RefusedPaymentsMore):
        return {**told, "reason": MORE, "count": entry.count}
    return told


def _refused_row(told: dict[str, Any]) -> list[str]:
    """The cells of `_REFUSED_COLUMNS`."""
    reason = f"{told['count']} {MORE}" if "count" in told else told["reason"]
    shown = {**told, "time": clock_time(told["time"]), "reason": reason}
    return [shown[name] for name in _REFUSED_COLUMNS]


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


def _tell_total(total: DayTotal) -> dict[str, Any]:
    """A day total with the keys of C21."""
    from sip2gw.model import format_amount

    return {
        "date": total.date.isoformat(),
        "terminal": total.terminal,
        "payment_type": total.payment_type,
        "currency": total.currency,
        "count": total.count,
        "amount": format_amount(total.amount, total.currency),
    }


def _write_payments(told: Iterable[dict[str, Any]], json: bool) -> None:
    if json:
        for record in told:
            write_json(record)
    else:
        write_table(_COLUMNS, (_row(record) for record in told))


def _row(told: dict[str, Any]) -> list[str]:
    """The cells of `_COLUMNS`."""
    shown = {
        **told,
        "time": clock_time(told["time"]),
        "debtors": " ".join(told["debtors"]),
        "amount": f"{told['amount']} {told['currency']}",
    }
    return [shown[name] for name in _COLUMNS]


_CSV_COLUMNS = (
    "id",
    "time",
    "terminal",
    "payer",
    "debtors",
    "relation",
    "amount",
    "currency",
    "payment_type",
    "bk",
    "status",
    "lines",
)


def _write_csv(told: Iterable[dict[str, Any]]) -> None:
    write_csv(_CSV_COLUMNS, _csv_rows(told))


def _csv_rows(told: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    for record in told:
        lines = "; ".join(f"{line['fee']}={line['amount']}" for line in record["lines"])
        shown = {**record, "debtors": " ".join(record["debtors"]), "lines": lines}
        yield [shown[name] for name in _CSV_COLUMNS]
