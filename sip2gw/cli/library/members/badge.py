"""`badge …`: the badges, who has them, and who gave them (B22, B65, C57, C165)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    account,
    configured,
    opened_store,
    printable,
    read_day_option,
    run,
    say,
    write_listing,
)
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.foundation.words import counted
from sip2gw.staff.members.badges import (
    AssignedJson,
    assign_badge,
    assigned_json,
    badge_json,
    change_json,
    event_json,
    holder_json,
    listed_badge_json,
)

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model.badges import BadgeTerms, BadgeWish, Deed
    from sip2gw.policy.members.badges import AssignmentPlan

badge = typer.Typer(no_args_is_help=True)

CodeArgument = Annotated[str, typer.Argument(metavar="CODE", help="Code of the badge.")]
MaybeCodeArgument = Annotated[
    str | None, typer.Argument(metavar="[CODE]", help="Code of the badge. Default: every badge.")
]
HolderArgument = Annotated[
    str, typer.Argument(metavar="PATRON", help="Patron id or any card number.")
]
ReasonOption = Annotated[
    str, typer.Option(metavar="R", help="Reason, for staff; `badge history` shows it.")
]

_COLUMNS = ("code", "name", "active", "from", "until")
_REPORT_COLUMNS = (
    "code",
    "patron",
    "name",
    "active",
    "from",
    "until",
    "branches",
    "source",
    "expired",
)
_CHANGE_COLUMNS = ("action", "code", "patron", "from", "until", "branches")
_HISTORY_COLUMNS = ("time", "user", *_CHANGE_COLUMNS, "reason", "source")
_NO_DAY = "none"


@badge.callback()
def _badge() -> None:
    pass


@badge.command()
def define(
    code: CodeArgument,
    name: Annotated[str, typer.Option(metavar="N", help="Name of the badge.")],
    description: Annotated[str, typer.Option(metavar="D", help="Purpose of the badge.")] = "",
    inactive: Annotated[
        bool,
        typer.Option("--inactive", help="Hide the badge from terminals until you activate it."),
    ] = False,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="D",
            help="First day on which anybody has the badge; `none`: no first day.",
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="D",
            help="Last day on which anybody has the badge; `none`: no last day.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Define a badge, or change the name, description and state of an existing one.

    Its holders and the branches where it counts stay the same, and its first and last day unless
    you name them.
    """
    from sip2gw.model import Badge

    settings = configured(config)
    days = {
        "valid_from": _day_or_none("--from", first),
        "valid_until": _day_or_none("--until", last),
    }
    given = {"valid_from": first, "valid_until": last}
    kept = [day for day, text in given.items() if text is None]
    with opened_store(settings) as store:
        run(store.define_badge(Badge(code, name, not inactive, description, **days), kept))
    say(f"Badge {printable(code)} has been defined{' and is inactive' if inactive else ''}.")


def _day_or_none(option: str, text: str | None) -> date | None:
    return None if text == _NO_DAY else read_day_option(option, text)


@badge.command("list")
def list_badges(
    json: JsonOption = False, csv: CsvOption = False, config: ConfigOption = None
) -> None:
    """List all badges."""
    with opened_store(configured(config)) as store:
        told = listed_badge_json if json else badge_json
        write_listing(map(told, store.badges()), _COLUMNS, json, csv=csv)


@badge.command()
def activate(code: CodeArgument, config: ConfigOption = None) -> None:
    """Show a badge to terminals, from their next request on."""
    _set_active(code, True, config)


@badge.command()
def deactivate(code: CodeArgument, config: ConfigOption = None) -> None:
    """Hide a badge from terminals. Its holders keep it."""
    _set_active(code, False, config)


def _set_active(code: str, active: bool, config: ConfigOption) -> None:
    with opened_store(configured(config)) as store:
        run(store.set_badge_active(code, active))
    say(f"Badge {printable(code)} is now {'active' if active else 'inactive'}.")


@badge.command()
def assign(
    code: CodeArgument,
    patron_id: Annotated[
        str | None,
        typer.Argument(metavar="[PATRON]", help="Patron id or any card number."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="Give the badge to everybody in this file: CSV with the columns patron and, if"
            " you like, from, until, branches; or one patron or card on each line.",
        ),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="D", help="First day. Default: at once.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--until", metavar="D", help="Last day. Default: no end.")
    ] = None,
    branches: Annotated[
        str | None,
        typer.Option(
            metavar="B,B",
            help="Branches where it counts. Default: every branch where the badge counts.",
        ),
    ] = None,
    reason: ReasonOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give a badge to a patron, or to everybody in a file.

    This replaces the dates and branches of patrons who have the badge already. With a file,
    everybody gets it or, if a line has an error, nobody. Doing it again changes nothing.
    """
    from sip2gw.staff.members.badge_file import read_branches

    settings = configured(config)
    if (patron_id is None) == (file is None):
        raise UsageError("name a patron, or a file with --file, not both")
    try:
        terms = _terms(first, last, read_branches(branches or "", settings.branches))
    except ValueError as error:
        raise UsageError(f"--branches: {error}") from None
    wishes = _wishes(patron_id, file, terms, settings)
    with opened_store(settings) as store:
        plan = _assigned(store, code, wishes, _deed(reason), dry_run)
    if dry_run:
        write_listing(map(change_json, plan.changes), _CHANGE_COLUMNS, False)
    if file is None and not dry_run:
        whose = plan.changes[0].patron_id if plan.changes else patron_id
        say(f"Patron {printable(str(whose))} now has badge {printable(code)}.")
    else:
        say(_summary(code, assigned_json(plan, dry_run)))


def _terms(first: str | None, last: str | None, branches: tuple[str, ...]) -> BadgeTerms:
    from sip2gw.model.badges import BadgeTerms

    return BadgeTerms(read_day_option("--from", first), read_day_option("--until", last), branches)


def _wishes(
    patron: str | None, file: Path | None, terms: BadgeTerms, settings: Config
) -> list[BadgeWish]:
    from sip2gw.model.badges import BadgeWish
    from sip2gw.staff.members.badge_file import BadgeFileError, read_badge_file

    if file is None:
        return [BadgeWish(patron or "", terms)]
    try:
        return read_badge_file(file, terms, settings.branches)
    except BadgeFileError as error:
        raise CommandError(str(error)) from None


def _assigned(
    store: Library, code: str, wishes: list[BadgeWish], deed: Deed, dry_run: bool
) -> AssignmentPlan:
    """What was assigned, or would be.

    Raises:
        CommandError: nothing was, because something is wrong with some of `wishes`.
    """
    plan = run(assign_badge(store, code, wishes, deed, dry_run=dry_run))
    _refuse(plan.problems, many=any(wish.place for wish in wishes))
    return plan


def _refuse(problems: list[str], *, many: bool) -> None:
    if problems and many:
        problems = [*problems, f"Nothing was changed: {counted(len(problems), 'error')}."]
    if problems:
        raise CommandError("\n".join(map(printable, problems)))


def _summary(code: str, done: AssignedJson) -> str:
    counts = ", ".join(f"{done[what]} {what}" for what in ("assigned", "changed", "unchanged"))
    return f"Badge {code}: {counts}.{' Nothing was changed yet.' if done['dry_run'] else ''}"


def _deed(reason: str) -> Deed:
    from sip2gw.model.badges import Deed

    return Deed(account(), datetime.now(UTC), reason)


@badge.command()
def unassign(
    code: CodeArgument,
    patron_id: HolderArgument,
    reason: ReasonOption = "",
    config: ConfigOption = None,
) -> None:
    """Take a badge from a patron."""
    with opened_store(configured(config)) as store:
        whose = run(store.unassign_badge(code, patron_id, _deed(reason)))
    say(f"Patron {printable(whose)} no longer has badge {printable(code)}.")


@badge.command()
def report(
    code: MaybeCodeArgument = None,
    expiring: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS",
            min=0,
            max=36_500,
            help="Only badges that end today or within so many days.",
        ),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List the patrons who have a badge, also those whose badge has expired.

    The first and last day are those on which both the patron's and the badge's own days allow it.
    """
    from sip2gw.policy.members import badges

    settings = configured(config)
    today = datetime.now(settings.zone).date()
    with opened_store(settings) as store:
        holders = store.badge_holders(code)
        if expiring is not None:
            holders = badges.expiring(holders, today, expiring)
        told = (holder_json(one, today) for one in holders)
        write_listing(told, _REPORT_COLUMNS, json, csv=csv)


@badge.command()
def history(
    code: MaybeCodeArgument = None,
    patron: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only of this patron: id or any card number."),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List who assigned, changed or took away which badge, when and why; oldest first.

    Imports are listed too, one line for each assignment that they changed.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        events = store.badge_history(code, patron)
        told = (event_json(event, settings.zone) for event in events)
        write_listing(told, _HISTORY_COLUMNS, json, csv=csv, zone=settings.institution.timezone)
