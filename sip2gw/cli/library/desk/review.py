"""`review …`: loans and returns that need a person's attention (B57, C106, C165)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    configured,
    opened_store,
    run,
    say,
    write_listing,
    write_one,
)
from sip2gw.cli.library.desk.support import brought_up_to_date
from sip2gw.foundation.words import counted
from sip2gw.staff.reviews import find_review, listed_review_json, review_json

review = typer.Typer(no_args_is_help=True)

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
        bool, typer.Option("--open", help="Only entries that nobody has closed yet.")
    ] = False,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List what happened off line or had an unknown outcome, oldest first.

    `offline` was done as the terminal reported it, and nothing spoke against it. `conflict` was
    refused, or done although something spoke against it. `unknown` may or may not have been done.
    Each entry stays open until somebody closes it.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        found = store.reviews(state="open" if only_open else None)
        telling = listed_review_json if json else review_json
        told = (telling(entry, settings.zone) for entry in found)
        write_listing(told, _COLUMNS, json, csv=csv, zone=settings.institution.timezone)


@review.command()
def show(
    review_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the entry; see `review list`.")
    ],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show an entry: its outcome, what spoke against it, and who closed it when."""
    settings = configured(config)
    with opened_store(settings) as store:
        write_one(review_json(find_review(store, review_id), settings.zone), json)


@review.command()
def close(
    review_ids: Annotated[
        list[str], typer.Argument(metavar="ID…", help="Ids of entries; see `review list`.")
    ],
    note: Annotated[str, typer.Option(metavar="N", help="What you found or did.")] = "",
    config: ConfigOption = None,
) -> None:
    """Close entries that you have looked at: all of them or none. Your user name is kept.

    Closing changes nothing about the item or the patron. You cannot close a closed entry again. The
    message of customer support about an entry is closed with it.
    """
    import getpass

    settings = configured(config)
    with opened_store(settings) as store:
        brought_up_to_date(store, settings)
        run(store.close_reviews(review_ids, note, getpass.getuser(), datetime.now(UTC)))
    say(f"sip2gw: closed {counted(len(set(review_ids)), 'entry', 'entries')}")
