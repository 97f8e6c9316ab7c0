"""`door …`: door decisions, and who was inside (B42, C57, C76, C96)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from sip2gw.cli.common import (
    BranchOption,
    ConfigOption,
    CsvOption,
    JsonOption,
    SinceOption,
    UntilOption,
    configured,
    opened_store,
    passing,
    printable,
    read_branch,
    read_since,
    read_until,
    run,
    say,
    write_listing,
)
from sip2gw.cli.failures import UsageError
from sip2gw.cli.library.entrance.door_lists import bar, passes
from sip2gw.foundation.words import counted
from sip2gw.staff.entrance import doors

door = typer.Typer(no_args_is_help=True)
door.add_typer(bar, name="bar")
door.add_typer(passes, name="pass")

_COLUMNS = ("time", "branch", "terminal", "decision", "reason", "mode", "patron")


@door.command("log")
def list_decisions(
    json: JsonOption = False,
    csv: CsvOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    branch: BranchOption = None,
    reason: Annotated[
        str | None, typer.Option(metavar="R", help="Only this reason, such as no_badge.")
    ] = None,
    card: Annotated[
        str | None, typer.Option(metavar="N", help="Only decisions about the holder of this card.")
    ] = None,
    patron: Annotated[
        str | None, typer.Option(metavar="ID", help="Only decisions about this patron.")
    ] = None,
    limit: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Show at most this many decisions, the newest ones."),
    ] = 1000,
    config: ConfigOption = None,
) -> None:
    """List door decisions, newest last. A patron appears under the pseudonym used in the log.

    `sip2gw patron find PSEUDONYM` tells who that is. Decisions about cards that nobody has, and
    those whose patron has been erased, are found neither by card nor by patron.
    """
    from sip2gw.monitoring.telemetry import Redactor
    from sip2gw.policy.reasons import Reason

    if card is not None and patron is not None:
        raise UsageError("choose one of --card and --patron")
    settings = configured(config)
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    with opened_store(settings) as store:
        redactor = Redactor(store.pin_secret)
        rows = store.access_rows(
            branch=branch,
            reason=reason,
            patron=run(doors.patron_in_log(store, card, patron)),
            limit=limit,
            since=first,
            until=end,
        )
    of_branch = passing("--branch", branch, settings.branches, rows)
    found = passing("--reason", reason, Reason, of_branch)
    told = [doors.decision_json(row, settings.zone, redactor) for row in found]
    write_listing(told, _COLUMNS, json, csv=csv, zone=settings.institution.timezone)
    person = card or patron
    if person is not None and not told:
        say(
            f"The door log has no such decision about {printable(person)}. `patron find` finds a"
            " person by card, id or name."
        )


_COUNT_COLUMNS = ("branch", "hour", "reason", "count")


@door.command("stats")
def count_decisions(
    json: JsonOption = False,
    csv: CsvOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    branch: BranchOption = None,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="in|out", help="Only doors that lead in, or only doors that lead out."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Count door decisions by branch, hour and reason. Hours follow the branch's clock."""
    settings = configured(config)
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    if direction not in (None, "in", "out"):
        raise UsageError("--direction: choose in or out")
    with opened_store(settings) as store:
        counts = store.door_counts(branch=branch, direction=direction, since=first, until=end)
    found = passing("--branch", branch, settings.branches, counts)
    told = doors.counts_by_hour(found, settings)
    write_listing(told, _COUNT_COLUMNS, json, csv=csv, times=("hour",), zone="each branch")


_STAY_COLUMNS = ("patron", "branch", "entered", "left", "seen_leaving")


@door.command("inside")
def list_people_inside(
    branch: Annotated[str, typer.Option(metavar="B", help="The branch.")],
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Start of the time span.")],
    end: Annotated[
        str,
        typer.Option(
            "--to", metavar="TIME", help="End of the time span; a date includes the whole day."
        ),
    ],
    reveal: Annotated[
        bool,
        typer.Option(
            "--reveal", help="Show ids and names. The store keeps for good that you asked."
        ),
    ] = False,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List the people who were inside a branch at any moment of a time span.

    A stay begins with a granted passage in and ends with the person's next passage out. Without one
    it ends at closing time, or at midnight if the branch does not close within a day
    (`seen_leaving` is no).
    """
    import getpass

    from sip2gw.monitoring.telemetry import Redactor

    settings = configured(config)
    place = read_branch(settings, branch)
    first, last = read_since(start, place.zone, "--from"), read_until(end, place.zone, "--to")
    if first is None or last is None or first >= last:
        raise UsageError("--from must come before --to")
    with opened_store(settings) as store:
        stays = doors.stays_between(store, place, first, last)
        redactor = Redactor(store.pin_secret)
        told = [doors.stay_json(stay, place, redactor) for stay in stays]
        if reveal:
            user, now = getpass.getuser(), datetime.now(UTC)
            people = run(doors.write_down_reveal(store, stays, place, (first, last), user, now))
            say(
                f"sip2gw: recorded: {user} asked for the names of"
                f" {counted(people, 'person', 'people')}"
            )
            run(doors.put_names(store, stays, told))
    columns = (*_STAY_COLUMNS, "name") if reveal else _STAY_COLUMNS
    write_listing(told, columns, json, csv=csv, times=("entered", "left"), zone=str(place.zone))


_REVEAL_COLUMNS = ("time", "user", "branch", "from", "to", "people")


@door.command("reveals")
def list_reveals(
    json: JsonOption = False, csv: CsvOption = False, config: ConfigOption = None
) -> None:
    """List the users who asked for names with `door inside --reveal`, oldest first."""
    settings = configured(config)
    with opened_store(settings) as store:
        told = [doors.reveal_json(entry, settings.zone) for entry in store.reveals()]
    write_listing(
        told,
        _REVEAL_COLUMNS,
        json,
        csv=csv,
        times=("time", "from", "to"),
        zone=settings.institution.timezone,
    )
