"""`door bar …` and `door pass …`: the lists that the store keeps for all gateways (C10, C11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    configured,
    opened_store,
    printable,
    read_day_option,
    run,
    write_json,
    write_table,
)
from sip2gw.cli.failures import CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sip2gw.config import Config
    from sip2gw.model import DoorEntry
    from sip2gw.policy.access import BarEntry, PassEntry

bar = typer.Typer(help="Cards that are kept out.", no_args_is_help=True)
passes = typer.Typer(help="Cards that may enter outside the hours.", no_args_is_help=True)

CardArgument = Annotated[str, typer.Argument(metavar="CARD", help="Card number.")]
BranchOption = Annotated[
    str | None, typer.Option(metavar="B", help="The branch. Default: every branch.")
]
LastDayOption = Annotated[
    str | None, typer.Option(metavar="DATE", help="Last day. Default: until it is removed.")
]
NoteOption = Annotated[str, typer.Option(metavar="N", help="For the staff; never sent.")]


@bar.command("add")
def add_bar(
    card: CardArgument,
    branch: BranchOption = None,
    until: LastDayOption = None,
    note: NoteOption = "",
    config: ConfigOption = None,
) -> None:
    """Keep a card and all other cards of its holder out; replaces the card's entry there."""
    from sip2gw.model import DoorEntry

    settings = configured(config)
    place, last = _branch(settings, branch), read_day_option("--until", until)
    _put(settings, DoorEntry("bar", place, card, last, note=note))


@passes.command("add")
def add_pass(
    card: CardArgument,
    branch: BranchOption = None,
    until: LastDayOption = None,
    days: Annotated[
        str | None, typer.Option(metavar="mon,tue", help="Days on which it holds. Default: all.")
    ] = None,
    start: Annotated[str, typer.Option("--from", metavar="HH:MM", help="Begin.")] = "00:00",
    end: Annotated[
        str,
        typer.Option("--to", metavar="HH:MM", help="End; at or before the begin: the next day."),
    ] = "24:00",
    note: NoteOption = "",
    config: ConfigOption = None,
) -> None:
    """Let a card in outside the opening hours; replaces the card's entry there."""
    from sip2gw.config.types import WEEKDAYS
    from sip2gw.model import DoorEntry

    settings = configured(config)
    names = WEEKDAYS if days is None else tuple(days.split(","))
    if not set(names) <= set(WEEKDAYS):
        raise UsageError(f"--days {printable(str(days))}: some of {','.join(WEEKDAYS)}")
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
        raise UsageError("--from 24:00: a pass begins before the end of its day")
    _put(settings, entry)


def _minute(option: str, text: str) -> int:
    from sip2gw.config.types import parse_minute

    try:
        return parse_minute(text)
    except ValueError as error:
        raise UsageError(f"{option} {printable(text)}: {error}") from None


def _branch(settings: Config, branch: str | None) -> str:
    """What stands for `branch` in the store; one that nobody has is a mistake."""
    from sip2gw.model import EVERY_BRANCH

    if branch is None or branch == EVERY_BRANCH:
        return EVERY_BRANCH
    if branch not in settings.branches:
        names = ", ".join(settings.branches) or "none"
        raise UsageError(f"--branch {printable(branch)}: no such branch; there are: {names}")
    return branch


def _put(settings: Config, entry: DoorEntry) -> None:
    if not entry.card.strip():
        raise UsageError("CARD is empty")
    with opened_store(settings) as store:
        run(store.put_door_entry(entry))


@bar.command("remove")
def remove_bar(
    card: CardArgument, branch: BranchOption = None, config: ConfigOption = None
) -> None:
    """Take a card from the list of a branch, or from that of every branch."""
    _remove("bar", card, branch, configured(config))


@passes.command("remove")
def remove_pass(
    card: CardArgument, branch: BranchOption = None, config: ConfigOption = None
) -> None:
    """Take a card from the list of a branch, or from that of every branch."""
    _remove("pass", card, branch, configured(config))


def _remove(kind: str, card: str, branch: str | None, settings: Config) -> None:
    from sip2gw.model import EVERY_BRANCH

    place = branch or EVERY_BRANCH
    with opened_store(settings) as store:
        removed = run(store.remove_door_entry(kind, place, card))
    if not removed:
        where = "every branch" if place == EVERY_BRANCH else f"branch {printable(place)}"
        raise CommandError(
            f"card {printable(card)} is not on the {kind} list of {where} in the store"
        )


@bar.command("list")
def list_bars(
    json: JsonOption = False,
    branch: Annotated[str | None, typer.Option(metavar="B", help="Only this one.")] = None,
    config: ConfigOption = None,
) -> None:
    """List the cards that are kept out: those of the store, then those of the file."""
    from sip2gw.model import DoorEntry

    def entry(code: str, listed: BarEntry) -> DoorEntry:
        return DoorEntry("bar", code, listed.card, listed.until)

    settings = configured(config)
    in_file = [entry(code, e) for code, place in settings.branches.items() for e in place.bar]
    _list("bar", branch, settings, in_file, json=json)


@passes.command("list")
def list_passes(
    json: JsonOption = False,
    branch: Annotated[str | None, typer.Option(metavar="B", help="Only this one.")] = None,
    config: ConfigOption = None,
) -> None:
    """List the cards with a pass: those of the store, then those of the file."""
    from sip2gw.model import DoorEntry

    def entry(code: str, listed: PassEntry) -> DoorEntry:
        hours = listed.start_minute, listed.end_minute
        return DoorEntry("pass", code, listed.card, listed.until, listed.weekdays, *hours)

    settings = configured(config)
    in_file = [entry(code, e) for code, place in settings.branches.items() for e in place.passes]
    _list("pass", branch, settings, in_file, json=json)


def _list(
    kind: str,
    branch: str | None,
    settings: Config,
    in_file: Iterable[DoorEntry],
    *,
    json: bool,
) -> None:
    with opened_store(settings) as store:
        in_store = store.door_entries(kind, branch)
    told = [_tell(entry, "store") for entry in in_store]
    told += [_tell(entry, "file") for entry in in_file if branch in (None, entry.branch)]
    if json:
        for record in told:
            write_json(record)
        return
    columns = ["branch", "card", "until", "note", "source"]
    if kind == "pass":
        columns[3:3] = ["days", "from", "to"]
    write_table(columns, ([_cell(record[name]) for name in columns] for record in told))


def _cell(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value or "")


def _tell(entry: DoorEntry, source: str) -> dict[str, Any]:
    """An entry with its keys as in the configuration, and whence it comes."""
    from sip2gw.config.types import WEEKDAYS

    told = {
        "branch": entry.branch,
        "card": entry.card,
        "until": None if entry.valid_until is None else entry.valid_until.isoformat(),
        "note": entry.note,
        "source": source,
    }
    if entry.kind == "bar":
        return told
    days = [WEEKDAYS[day] for day in sorted(entry.weekdays)]
    return {
        **told,
        "days": days,
        "from": _clock(entry.start_minute),
        "to": _clock(entry.end_minute),
    }


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
