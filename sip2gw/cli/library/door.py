"""`door …`: who was admitted and who was not, and who was inside (B42, C57, C76, C96)."""

from __future__ import annotations

from collections import Counter
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
    opened_store,
    output_format,
    printable,
    read_since,
    read_until,
    run,
    say,
    write_csv,
    write_json,
    write_table,
)
from sip2gw.cli.failures import UsageError
from sip2gw.cli.library.door_lists import bar, passes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.config import Branch, Config
    from sip2gw.model import AccessRow, DoorCount
    from sip2gw.monitoring.telemetry import Redactor
    from sip2gw.policy.stays import Stay

door = typer.Typer(help="The doors' access log and lists.", no_args_is_help=True)
door.add_typer(bar, name="bar")
door.add_typer(passes, name="pass")

_COLUMNS = ("time", "branch", "terminal", "decision", "reason", "mode", "patron")


@door.callback()
def _door() -> None:
    pass


@door.command("log")
def list_decisions(
    json: JsonOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    branch: Annotated[str | None, typer.Option(metavar="B", help="Only this branch.")] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="R", help="Only this reason, such as no_badge.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest so many.")] = 1000,
    config: ConfigOption = None,
) -> None:
    """List door decisions, newest last. Patrons appear under the pseudonym of the log."""
    from sip2gw.monitoring.telemetry import Redactor

    settings = configured(config)
    span = {"since": read_since(since, settings.zone), "until": read_until(until, settings.zone)}
    with opened_store(settings) as store:
        redactor = Redactor(store.pin_secret)
        rows = store.access_rows(branch=branch, reason=reason, limit=limit, **span)
    told = [tell_decision(row, settings.zone, redactor) for row in rows]
    if json:
        for record in told:
            write_json(record)
    else:
        write_table(_COLUMNS, map(_row, told))


def _row(told: dict[str, Any]) -> list[str]:
    return [clock_time(told["time"]), *(told[name] for name in _COLUMNS[1:])]


def tell_decision(row: AccessRow, zone: tzinfo, redactor: Redactor) -> dict[str, Any]:
    """A decision with the keys of C21, and the pseudonym of the patron (C76)."""
    return {
        "time": row.time.astimezone(zone).isoformat(),
        "branch": row.branch,
        "terminal": row.terminal,
        "decision": row.decision,
        "reason": row.reason,
        "mode": row.mode,
        "checks": dict(check.split("=", 1) for check in row.checks.split()),
        "patron": redactor.pseudonym(row.patron_id or ""),
    }


_COUNT_COLUMNS = ("branch", "hour", "reason", "count")


@door.command("stats")
def count_decisions(
    json: JsonOption = False,
    csv: CsvOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    branch: Annotated[str | None, typer.Option(metavar="B", help="Only this branch.")] = None,
    direction: Annotated[
        str | None, typer.Option(metavar="in|out", help="Only doors that lead in, or out.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Count door decisions by branch, hour and reason. An hour is that of the branch's clock."""
    form = output_format(json, csv)
    settings = configured(config)
    span = {"since": read_since(since, settings.zone), "until": read_until(until, settings.zone)}
    if direction not in (None, "in", "out"):
        raise UsageError("--direction: in or out")
    with opened_store(settings) as store:
        counts = store.door_counts(branch=branch, direction=direction, **span)
    hours = _by_hour(counts, settings)
    rows = [(*key, count) for key, count in sorted(hours.items())]
    if form == "json":
        for row in rows:
            write_json(dict(zip(_COUNT_COLUMNS, row, strict=True)))
    elif form == "csv":
        write_csv(_COUNT_COLUMNS, rows)
    else:
        write_table(_COUNT_COLUMNS, ([_cell(value) for value in row] for row in rows))


def _by_hour(counts: Iterable[DoorCount], settings: Config) -> Counter[tuple[str, str, str]]:
    """Counts by branch, local hour and reason; an hour that comes twice is told twice."""
    hours: Counter[tuple[str, str, str]] = Counter()
    for entry in counts:
        known = settings.branches.get(entry.branch)
        local = entry.minute.astimezone(known.zone if known is not None else settings.zone)
        hour = local.replace(minute=0).isoformat()
        hours[entry.branch, hour, entry.reason] += entry.count
    return hours


_STAY_COLUMNS = ("patron", "branch", "entered", "left", "seen_leaving")


@door.command("inside")
def list_people_inside(
    branch: Annotated[str, typer.Option(metavar="B", help="The branch.")],
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="The first moment.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="The end; a date is included.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Tell id and name; that you asked is kept for ever.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List who was inside a branch at any moment of a time span.

    Somebody is inside from a granted passage in until their next passage out; without one until
    closing time, or midnight where nothing closes within a day (`seen_leaving` no).
    """
    settings = configured(config)
    known = settings.branches.get(branch)
    if known is None:
        names = ", ".join(settings.branches) or "none"
        raise UsageError(f"--branch {printable(branch)}: no such branch; there are: {names}")
    first, last = read_since(start, known.zone, "--from"), read_until(end, known.zone, "--to")
    if first is None or last is None or first >= last:
        raise UsageError("--from must come before --to")
    with opened_store(settings) as store:
        stays = _stays_between(store, known, first, last)
        told = [_tell_stay(stay, known, store) for stay in stays]
        if reveal:
            run(_reveal(store, known, first, last, stays, told))
    if json:
        for record in told:
            write_json(record)
    else:
        columns = (*_STAY_COLUMNS, "name") if reveal else _STAY_COLUMNS
        write_table(columns, ([_cell(record[name]) for name in columns] for record in told))


def _stays_between(store: Library, branch: Branch, since: datetime, until: datetime) -> list[Stay]:
    from sip2gw.policy.stays import (
        STAY_MAX,
        between,
        stay_end,
        stays_of,
    )

    def ends(entered: datetime) -> datetime:
        return stay_end(entered.astimezone(branch.zone), branch.calendar.state_at(entered))

    # Who went in before the span may still be inside, and the way out may come after it.
    passages = store.passages(branch.code, since - STAY_MAX, until + STAY_MAX)
    return between(stays_of(passages, ends), since, until)


def _tell_stay(stay: Stay, branch: Branch, store: Library) -> dict[str, Any]:
    from sip2gw.monitoring.telemetry import Redactor

    return {
        "patron": Redactor(store.pin_secret).pseudonym(stay.patron_id),
        "branch": branch.code,
        "entered": stay.entered.astimezone(branch.zone).isoformat(),
        "left": stay.left.astimezone(branch.zone).isoformat(),
        "seen_leaving": stay.seen_leaving,
    }


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return clock_time(text) if text[10:11] == "T" else text


async def _reveal(
    store: Library,
    branch: Branch,
    since: datetime,
    until: datetime,
    stays: list[Stay],
    told: list[dict[str, Any]],
) -> None:
    """Put ids and names into `told`; who asked is written down first (C76)."""
    import getpass
    from datetime import UTC, datetime

    from sip2gw.model import Reveal

    user = getpass.getuser()
    people = len({stay.patron_id for stay in stays})
    await store.add_reveal(Reveal(datetime.now(UTC), user, branch.code, since, until, people))
    say(f"sip2gw: written down: {user} asked for the names of {people} people")
    for stay, record in zip(stays, told, strict=True):
        holder = await store.find_patron(stay.patron_id)
        record["patron"] = stay.patron_id
        record["name"] = holder.name if holder is not None else ""


_REVEAL_COLUMNS = ("time", "user", "branch", "from", "to", "people")


@door.command("reveals")
def list_reveals(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List who asked for names with `door inside --reveal`, oldest first."""
    settings = configured(config)
    with opened_store(settings) as store:
        reveals = store.reveals()
    told = [
        {
            "time": entry.time.astimezone(settings.zone).isoformat(),
            "user": entry.user,
            "branch": entry.branch,
            "from": entry.since.astimezone(settings.zone).isoformat(),
            "to": entry.until.astimezone(settings.zone).isoformat(),
            "people": entry.people,
        }
        for entry in reveals
    ]
    if json:
        for record in told:
            write_json(record)
    else:
        write_table(
            _REVEAL_COLUMNS, ([_cell(entry[name]) for name in _REVEAL_COLUMNS] for entry in told)
        )
