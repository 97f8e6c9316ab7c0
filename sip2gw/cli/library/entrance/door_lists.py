"""`door bar …` and `door pass …`: the lists that the store keeps for all gateways (C10, C11)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    configured,
    opened_store,
    passing,
    printable,
    read_branch,
    read_day_option,
    run,
    say,
    write_listing,
)
from sip2gw.cli.failures import UsageError
from sip2gw.model import EVERY_BRANCH, DoorEntry
from sip2gw.staff.entrance import door_lists
from sip2gw.staff.entrance.door_lists import (
    knows_more,
    place_of,
    put_door_entry,
    remove_door_entry,
    today_at,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sip2gw.backend.library import Library
    from sip2gw.config import Config

bar = typer.Typer(help="Cards that are refused at the doors.", no_args_is_help=True)
passes = typer.Typer(help="Cards that may enter outside the opening hours.", no_args_is_help=True)

CardArgument = Annotated[str, typer.Argument(metavar="CARD", help="Card number.")]
BranchOption = Annotated[
    str | None, typer.Option(metavar="B", help="Branch. Default: every branch.")
]
LastDayOption = Annotated[
    str | None, typer.Option(metavar="DATE", help="Last day. Default: no end.")
]
NoteOption = Annotated[
    str, typer.Option(metavar="N", help="Note for staff; never sent to a terminal.")
]

ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Add it even if nobody has the card, or the last day is past."),
]


@bar.command("add")
def add_bar(
    card: CardArgument,
    branch: BranchOption = None,
    until: LastDayOption = None,
    note: NoteOption = "",
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Refuse a card, and all other cards of its holder. This replaces the card's entry there."""
    settings = configured(config)
    place, last = _branch(settings, branch), read_day_option("--until", until)
    _put(settings, DoorEntry("bar", place, card, last, note=note), force)


@passes.command("add")
def add_pass(
    card: CardArgument,
    branch: BranchOption = None,
    until: LastDayOption = None,
    days: Annotated[
        str | None,
        typer.Option(metavar="mon,tue", help="Days on which the pass is valid. Default: all."),
    ] = None,
    start: Annotated[str, typer.Option("--from", metavar="HH:MM", help="Begin.")] = "00:00",
    end: Annotated[
        str,
        typer.Option(
            "--to", metavar="HH:MM", help="End; at or before the start it means the next day."
        ),
    ] = "24:00",
    note: NoteOption = "",
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Let a card in outside the opening hours. This replaces the card's entry there."""
    from sip2gw.config.types import WEEKDAYS

    settings = configured(config)
    names = WEEKDAYS if days is None else tuple(days.split(","))
    if not set(names) <= set(WEEKDAYS):
        raise UsageError(f"--days {printable(str(days))}: choose from {','.join(WEEKDAYS)}")
    entry = DoorEntry(
        "pass",
        _branch(settings, branch),
        card,
        read_day_option("--until", until),
        frozenset(map(WEEKDAYS.index, names)),
        _minute("--from", start),
        _minute("--to", end),
        note,
    )
    if entry.start_minute == 24 * 60:
        raise UsageError("--from 24:00: a pass must begin before the end of its day")
    _put(settings, entry, force)


def _minute(option: str, text: str) -> int:
    from sip2gw.config.types import parse_minute

    try:
        return parse_minute(text)
    except ValueError as error:
        raise UsageError(f"{option} {printable(text)}: {error}") from None


def _branch(settings: Config, branch: str | None) -> str:
    """The store's word for `branch`; an unknown branch is a mistake."""
    if branch is None or branch == EVERY_BRANCH:
        return EVERY_BRANCH
    return read_branch(settings, branch).code


def _put(settings: Config, entry: DoorEntry, force: bool) -> None:
    if not entry.card.strip():
        raise UsageError("CARD is empty")
    today = today_at(settings, entry.branch, datetime.now(UTC))
    behind = knows_more(settings)
    with opened_store(settings) as store:
        run(put_door_entry(store, entry, today, force=force, alone=behind))
        is_alone = behind and bool(store.unknown_cards((entry.card,)))
    end = "" if entry.valid_until is None else f" until {entry.valid_until}"
    say(f"card {entry.card} is on the {entry.kind} list for {place_of(entry.branch)}{end}")
    if is_alone:
        say(
            f"nobody in the store has card {entry.card}, so this counts for the number as doors"
            " read it, and for no other card of its holder"
        )


@bar.command("remove")
def remove_bar(
    card: CardArgument, branch: BranchOption = None, config: ConfigOption = None
) -> None:
    """Take a card off the list of a branch, or off the list for every branch."""
    _remove("bar", card, branch, configured(config))


@passes.command("remove")
def remove_pass(
    card: CardArgument, branch: BranchOption = None, config: ConfigOption = None
) -> None:
    """Take a card off the list of a branch, or off the list for every branch."""
    _remove("pass", card, branch, configured(config))


def _remove(kind: str, card: str, branch: str | None, settings: Config) -> None:
    place = branch or EVERY_BRANCH
    with opened_store(settings) as store:
        run(remove_door_entry(store, kind, place, card))
    say(f"card {card} is no longer on the {kind} list for {place_of(place)} in the store")


@bar.command("list")
def list_bars(
    json: JsonOption = False,
    csv: CsvOption = False,
    branch: Annotated[str | None, typer.Option(metavar="B", help="Only this branch.")] = None,
    config: ConfigOption = None,
) -> None:
    """List the refused cards: first those in the store, then those in the configuration file."""
    _list(door_lists.bars, branch, configured(config), _COLUMNS, json, csv)


@passes.command("list")
def list_passes(
    json: JsonOption = False,
    csv: CsvOption = False,
    branch: Annotated[str | None, typer.Option(metavar="B", help="Only this branch.")] = None,
    config: ConfigOption = None,
) -> None:
    """List the cards with a pass: first those in the store, then those in the configuration
    file.
    """
    columns = (*_COLUMNS[:3], "days", "from", "to", *_COLUMNS[3:])
    _list(door_lists.passes, branch, configured(config), columns, json, csv)


_COLUMNS = ("branch", "card", "until", "note", "source")


def _list(
    entries: Callable[[Library, Config, str | None], Iterator[Any]],
    branch: str | None,
    settings: Config,
    columns: tuple[str, ...],
    json: bool,
    csv: bool,
) -> None:
    with opened_store(settings) as store:
        told = entries(store, settings, branch)
        write_listing(passing("--branch", branch, settings.branches, told), columns, json, csv=csv)
