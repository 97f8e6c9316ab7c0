"""`branch …`: close a branch now, or open it, for all gateways on the store (C139)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    account,
    clock_time,
    configured,
    opened_store,
    printable,
    read_branch,
    read_until,
    run,
    say,
    write_listing,
)
from sip2gw.cli.failures import UsageError
from sip2gw.config import Branch
from sip2gw.policy.hours.calendar import OpeningState
from sip2gw.staff.entrance.calendar import (
    branches,
    change_hours,
    changes_json,
    end_change,
    new_change,
    today_at,
)

branch = typer.Typer(help="Close a branch now, or open it.", no_args_is_help=True)

BranchArgument = Annotated[str, typer.Argument(metavar="B", help="Code of the branch.")]
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="T",
        help="End: HH:MM of today, a date (all of that day) or a time. Default: the end of today.",
    ),
]
ReasonOption = Annotated[
    str, typer.Option(metavar="R", help="Why; for staff, never sent to a terminal.")
]


@branch.command("close")
def close(
    branch: BranchArgument,
    until: UntilOption = None,
    reason: ReasonOption = "",
    config: ConfigOption = None,
) -> None:
    """Close a branch now: its doors let nobody in but cards with a pass.

    This goes before the hours of the configuration and before any earlier `close` or `open`, and
    ends by itself. All gateways on the store know it within a second.
    """
    _change(branch, OpeningState.CLOSED, until, reason, config)


@branch.command("open")
def open_branch(
    branch: BranchArgument,
    until: UntilOption = None,
    reason: ReasonOption = "",
    config: ConfigOption = None,
) -> None:
    """Open a branch without staff now: its doors decide as in unstaffed hours.

    This goes before the hours of the configuration and before any earlier `close` or `open`, and
    ends by itself. All gateways on the store know it within a second.
    """
    _change(branch, OpeningState.UNSTAFFED, until, reason, config)


@branch.command("reset")
def reset(branch: BranchArgument, config: ConfigOption = None) -> None:
    """Take back a `close` or `open`: the hours of the configuration hold again."""
    settings = configured(config)
    place = read_branch(settings, branch, "")
    with opened_store(settings) as store:
        run(end_change(store, place.code, account(), datetime.now(place.zone)))
    say(f"branch {place.code} has its configured hours again")


@branch.command("list")
def list_branches(
    history: Annotated[
        str | None,
        typer.Option(metavar="B", help="List all changes of this branch that staff ever made."),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List the branches: what each is now, until when it is open, and what staff changed."""
    settings = configured(config)
    with opened_store(settings) as store:
        if history is not None:
            place = read_branch(settings, history, "--history")
            told = changes_json(store, place)
            write_listing(told, _PAST, json, csv=csv, times=_TIMES, zone=place.zone.key)
            return
        found = run(branches(store, settings, datetime.now(settings.zone)))
    write_listing(found, _NOW, json, csv=csv, times=_TIMES, zone="each branch")


_CHANGE = ("since", "until", "reason", "user")
_PAST = ("branch", "state", *_CHANGE)
_NOW = ("branch", "state", "open_until", "changed", *_CHANGE)
_TIMES = ("open_until", "since", "until")


def _change(
    code: str, state: OpeningState, until: str | None, reason: str, config: Path | None
) -> None:
    settings = configured(config)
    place = read_branch(settings, code, "")
    now = datetime.now(place.zone)
    end = _end(until, place, now)
    change = new_change(place, state, (now, end), reason, account())
    with opened_store(settings) as store:
        run(change_hours(store, change))
    say(f"branch {place.code} is {_IS[state]} until {clock_time(end.isoformat())}")


_IS = {
    OpeningState.CLOSED: "closed",
    OpeningState.UNSTAFFED: "open without staff",
}


def _end(text: str | None, place: Branch, now: datetime) -> datetime:
    """The moment at which a change ends; by default the end of today (C34)."""
    try:
        clock_time_of_today = today_at(text, now) if text is not None else None
    except ValueError as error:
        raise UsageError(f"--until {printable(str(text))}: {error}") from None
    end = clock_time_of_today or read_until(text or "today", place.zone)
    assert end is not None
    return end.astimezone(place.zone)
