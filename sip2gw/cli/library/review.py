"""`review …`: loans and returns that a person has to look at (B57, C106, C165)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    clock_time,
    configured,
    opened_store,
    printable,
    run,
    say,
    write_json,
    write_record,
    write_table,
)
from sip2gw.cli.failures import CommandError

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.model.items import Review

review = typer.Typer(help="Loans and returns that a person has to look at.", no_args_is_help=True)

_COLUMNS = (
    "id",
    "time",
    "kind",
    "terminal",
    "message",
    "item",
    "patron",
    "outcome",
    "reasons",
    "state",
)


@review.callback()
def _review() -> None:
    pass


@review.command("list")
def list_reviews(
    only_open: Annotated[
        bool, typer.Option("--open", help="Only those that nobody has closed yet.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List what happened off line or of unknown outcome, oldest first.

    `offline` was done as the terminal told it and nothing spoke against it; `conflict` was
    refused, or done although something spoke against it; of `unknown` nobody knows whether it was
    done. Each is open until somebody closes it.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        told = [
            _tell(entry, settings.zone)
            for entry in store.reviews(state="open" if only_open else None)
        ]
    if json:
        for record in told:
            write_json({name: record[name] for name in _LISTED})
    else:
        write_table(_COLUMNS, map(_row, told))


_LISTED = ("id", "time", "kind", "terminal", "message", "item", "patron", "state", "note")
"""The keys of C165."""


@review.command()
def show(
    review_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the entry, see `review list`.")
    ],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show an entry: what became of it, what spoke against it, who closed it and when."""
    settings = configured(config)
    with opened_store(settings) as store:
        found = store.review(review_id)
    if found is None:
        raise CommandError(f"no such entry: {printable(review_id)}")
    told = _tell(found, settings.zone)
    if json:
        write_json(told)
    else:
        write_record(told)


@review.command()
def close(
    review_ids: Annotated[
        list[str], typer.Argument(metavar="ID…", help="Ids of entries, see `review list`.")
    ],
    note: Annotated[str, typer.Option(metavar="N", help="What was found or done.")] = "",
    config: ConfigOption = None,
) -> None:
    """Note that somebody has looked at entries, all of them or none; your user name is kept.

    Closing changes nothing about the item or the patron. A closed entry cannot be closed again.
    """
    import getpass

    settings = configured(config)
    with opened_store(settings) as store:
        run(store.close_reviews(review_ids, note, getpass.getuser(), datetime.now(UTC)))
    say(f"sip2gw: closed {len(set(review_ids))}")


def _tell(entry: Review, zone: tzinfo) -> dict[str, Any]:
    """An entry with the keys of C165, and what `review show` tells besides."""
    return {
        "id": entry.id,
        "time": entry.time.astimezone(zone).isoformat(),
        "kind": entry.kind.value,
        "terminal": entry.terminal,
        "message": entry.message,
        "item": entry.item,
        "patron": entry.patron,
        "outcome": entry.outcome,
        "reasons": list(entry.reasons),
        "state": entry.state,
        "note": entry.note,
        "closed": entry.closed.astimezone(zone).isoformat() if entry.closed else None,
        "closed_by": entry.closed_by,
    }


def _row(told: dict[str, Any]) -> list[str]:
    """The cells of `_COLUMNS`."""
    shown = {**told, "time": clock_time(told["time"]), "reasons": " ".join(told["reasons"])}
    return [shown[name] for name in _COLUMNS]
