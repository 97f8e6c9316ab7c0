"""`payment reconcile`: what a person must look at: doubts, surpluses, errors (C98, C103)."""

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
from sip2gw.staff.payments import SHOWN_FOR, reconciliation_json, surplus_json

if TYPE_CHECKING:
    from sip2gw.config import Config
    from sip2gw.model import Surplus

_COLUMNS = ("id", "time", "terminal", "payer", "amount", "bk", "state", "before", "after")
_VERDICTS = {"booked": True, "not-booked": False}


def reconcile(
    json: JsonOption = False,
    is_open: Annotated[bool, typer.Option("--open", help="Only what is not settled yet.")] = False,
    settle: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Settle this payment; with a verdict and --note."),
    ] = None,
    verdict: Annotated[
        str | None, typer.Argument(metavar="[booked|not-booked]", help="What became of it.")
    ] = None,
    note: Annotated[
        str, typer.Option(metavar="N", help="What you found, for whoever asks later.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """List payments that were answered with "not sure", what was paid too much, ledger errors.

    Open ones are `unknown`; the gateway settles them as soon as the store lets it. Those settled
    in the last 30 days are listed, too: `booked`; `refused`, which was not booked and never will
    be; `resolved`, where the machine has asked again and was told yes. `before` and `after` are
    what the payer, and those they may pay for, owed then and owe now. What was paid of a charge
    that an import has lowered since is listed until it is given back (`payment refund`). Exit
    status 1 when anything is open or wrong.
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
    shown = open_ones if is_open else found
    if shown or not problems:
        told = [reconciliation_json(entry, settings.zone) for entry in shown]
        write_listing(told, _COLUMNS, json, shown=with_currency("amount"))
    _write_surpluses(surpluses, settings, json)
    for problem in problems:
        if json:
            write_json({"problem": problem})
        else:
            say(problem)
    say(f"{len(open_ones)} payments of unknown outcome, {len(problems)} errors in the ledger.")
    if open_ones or surpluses or problems:
        raise typer.Exit(FAILED)


def _settle(settings: Config, payment_id: str | None, verdict: str | None, note: str) -> None:
    """Note what staff found out about one payment."""
    if payment_id is None or verdict not in _VERDICTS or not note.strip():
        raise UsageError("--settle ID goes with booked or not-booked, and with --note")
    with opened_store(settings) as store:
        run(
            store.settle_payment(
                payment_id, booked=_VERDICTS[verdict], note=note, now=datetime.now(UTC)
            )
        )
    say(f"Payment {printable(payment_id)} is settled: {verdict}.")


_SURPLUS_COLUMNS = ("surplus", "fee", "patron", "time")


def _write_surpluses(surpluses: Iterable[Surplus], settings: Config, json: bool) -> None:
    """What is to be given back, and how that is noted; nothing at all when there is nothing."""
    told = [surplus_json(one, settings.institution.currency, settings.zone) for one in surpluses]
    if told:
        write_listing(told, _SURPLUS_COLUMNS, json, shown=with_currency("surplus"))
        say(
            f"Charges of which too much is paid: {len(told)}. Give it back, then say so with "
            "`sip2gw payment refund FEE`."
        )


def with_currency(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a table shows of a record whose amount is called `name`."""
    return lambda told: {**told, name: f"{told[name]} {told['currency']}"}
