"""`payment reconcile`: doubts, surpluses and errors that need a person (C98, C103)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    configured,
    opened_store,
    printable,
    run,
    say,
    write_json,
    write_listing,
)
from sip2gw.cli.failures import FAILED, UsageError
from sip2gw.foundation.words import counted
from sip2gw.model import PaymentStatus, format_amount
from sip2gw.staff.payments import SHOWN_FOR, reconciliation_json, surplus_json

if TYPE_CHECKING:
    from sip2gw.config import Config
    from sip2gw.model import Payment, Surplus

_PAYMENT = ("id", "time", "terminal", "payer", "amount", "bk")
_COLUMNS = (*_PAYMENT, "state", "before", "after", "proposal")
_VERDICTS = {"booked": True, "not-booked": False}


def reconcile(
    json: JsonOption = False,
    is_open: Annotated[
        bool, typer.Option("--open", help="Only payments that are not settled yet.")
    ] = False,
    settle: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Settle this payment; needs a verdict and --note."),
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Argument(metavar="[booked|not-booked]", help="What became of the payment."),
    ] = None,
    note: Annotated[
        str, typer.Option(metavar="N", help="What you found, for anyone who asks later.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """List payments answered with "not sure", overpaid charges, and errors in the ledger.

    Open payments are `unknown`; the gateway settles them as soon as the store allows it. Payments
    settled in the last 30 days are listed too: `booked`; `refused`, which was not booked and never
    will be; `resolved`, where the machine asked again and got a yes. `before` and `after` are what
    the payer, and those they may pay for, owed at the time and owe now; in front of a library
    system, what the one for whom the money went up owed, and `proposal` is what the difference
    suggests. A charge that an import has
    lowered below what was paid is listed until you give the difference back (`payment refund`). The
    exit status is 1 when anything is open or wrong.
    """
    settings = configured(config)
    if settle is not None or verdict is not None:
        _settle(settings, settle, verdict, note)
        return
    with opened_store(settings) as store:
        found = store.reconciliations(datetime.now(UTC) - SHOWN_FOR)
        surpluses = store.surpluses()
        problems = store.self_check()
        open_ones = [entry for entry in found if entry.settled is None]
        parts = [store.payment(entry.payment.id) for entry in open_ones]
    shown = open_ones if is_open else found
    if shown or not problems:
        told = [reconciliation_json(entry, settings.zone) for entry in shown]
        write_listing(told, _COLUMNS, json, shown=with_currency("amount"))
    for part in parts:
        if part is not None and part.lines:
            say(f"Of payment {part.id} {_booked(part)} is booked; the rest is what is open.")
    _write_surpluses(surpluses, settings, json)
    for problem in problems:
        if json:
            write_json({"problem": problem})
        else:
            say(problem)
    say(
        f"{counted(len(open_ones), 'payment')} of unknown outcome,"
        f" {counted(len(problems), 'error')} in the ledger."
    )
    if open_ones or surpluses or problems:
        raise typer.Exit(FAILED)


def _settle(settings: Config, payment_id: str | None, verdict: str | None, note: str) -> None:
    """Record what staff found out about a payment."""
    if payment_id is None or verdict not in _VERDICTS or not note.strip():
        raise UsageError("--settle ID needs booked or not-booked, and --note")
    with opened_store(settings) as store:
        run(
            store.settle_payment(
                payment_id, booked=_VERDICTS[verdict], note=note, now=datetime.now(UTC)
            )
        )
        settled = store.payment(payment_id)
    say(f"Payment {printable(payment_id)} has been settled: {verdict}.")
    if settled is None or not settled.lines:
        return
    if settled.status == PaymentStatus.UNKNOWN:
        say(f"So far {_booked(settled)} is booked; the rest has not gone up, and is open.")
    elif not _VERDICTS[verdict]:
        say(f"What was booked of it before, {_booked(settled)}, stays booked.")


def _booked(payment: Payment) -> str:
    """What of a payment is booked, in words."""
    amount = sum([line.amount for line in payment.lines])
    return f"{payment.currency} {format_amount(amount, payment.currency)}"


_SURPLUS_COLUMNS = ("surplus", "fee", "patron", "time")


def _write_surpluses(surpluses: Iterable[Surplus], settings: Config, json: bool) -> None:
    """Show what to give back and how to record it; nothing when nothing is overpaid."""
    told = [surplus_json(one, settings.institution.currency, settings.zone) for one in surpluses]
    if told:
        write_listing(told, _SURPLUS_COLUMNS, json, shown=with_currency("surplus"))
        say(
            f"{counted(len(told), 'overpaid charge')}. Give the money back, then record it with"
            " `sip2gw payment refund FEE`."
        )


def with_currency(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """How a table shows a record whose amount is called `name`."""
    return lambda told: {**told, name: f"{told[name]} {told['currency']}"}
