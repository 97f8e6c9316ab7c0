"""`payment export`: payments that staff enter in a library system that takes none (C124)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

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
)
from sip2gw.cli.failures import UsageError
from sip2gw.cli.library.money.reconcile import with_currency
from sip2gw.foundation.words import counted
from sip2gw.staff.payments import EXPORT_KEYS, export_json

if TYPE_CHECKING:
    from sip2gw.config import Config

DONE = "done"


def export(
    json: JsonOption = False,
    csv: CsvOption = False,
    pending: Annotated[
        bool,
        typer.Option("--pending", help="Only what nobody has entered in the library system yet."),
    ] = False,
    done: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Record that you have entered this one, or all of this payment, in the library"
            " system. May be repeated.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    terminal: Annotated[str | None, typer.Option(metavar="T", help="Only this terminal.")] = None,
    config: ConfigOption = None,
) -> None:
    """List payments that staff enter in the library system, because it takes none (payments =
    false).

    One row for each fee, or for each patron if the fees have no ids; oldest first. The column
    `done` says when somebody recorded that it was entered; it is empty as long as it waits. With
    --pending there are only those that wait, without that column. Undone payments are not listed.

    Enter each in the library system first, then record it with --done: from then on terminals show
    what the library system says.
    """
    settings = configured(config)
    if done:
        if json or csv or pending or since or until or terminal:
            raise UsageError("--done goes with no other option")
        _record(settings, done)
        return
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    with opened_store(settings) as store:
        found = store.payment_exports(pending=pending, since=first, until=end, terminal=terminal)
    listed = passing("--terminal", terminal, terminal_names(settings), found)
    told = [export_json(entry, settings.zone, pending=pending) for entry in listed]
    write_listing(
        told,
        EXPORT_KEYS if pending else (*EXPORT_KEYS, DONE),
        json,
        csv=csv,
        zone=settings.institution.timezone,
        shown=with_currency("amount"),
    )


def _record(settings: Config, ids: list[str]) -> None:
    """Record that these were entered, each by itself: the first that cannot be ends the command."""
    with opened_store(settings) as store:
        for export_id in ids:
            entered = run(store.set_exported(export_id, datetime.now(UTC)))
            say(
                f"{counted(len(entered), 'entry', 'entries')} of {printable(export_id)} recorded as"
                " entered in the library system."
            )
