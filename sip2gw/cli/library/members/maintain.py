"""`maintain`: memberships through the year, and what may no longer be kept (B63, C160)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    configured,
    opened_store,
    printable,
    read_since,
    run,
    say,
    write_json,
)
from sip2gw.cli.failures import saying_when_stopped
from sip2gw.cli.library.desk.support import brought_up_to_date
from sip2gw.foundation.words import counted

if TYPE_CHECKING:
    from datetime import datetime

    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model.maintenance import Step


def maintain(
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Do what is due by this day, in the library's time zone; default: now.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Write each step as a line of JSON to standard output.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Renew, move and end memberships, and forget what may no longer be kept.

    Memberships: what their definitions say is due by the end of the day is done, with fees,
    statuses and notices; months that were missed are made up. `--dry-run` prints a plan: how often
    each rule applies, then every step, patron by patron.

    Badges: with `[badges] expiry_notice_days`, holders get a notice before a badge ends.

    Privacy: what `[privacy]` no longer allows to be kept is forgotten, and so are transactions that
    no terminal may repeat or cancel any more. The gateway forgets the same once a day.

    Customer support: what a person must follow up and has no message yet gets one.

    Doing it again changes nothing, and any number of hosts may do it at once.
    """
    from datetime import UTC, datetime

    settings = configured(config)
    now = read_since(at, settings.zone, "--at") or datetime.now(UTC)
    with opened_store(settings) as store:
        if not dry_run:
            # Before what it is about may be forgotten.
            brought_up_to_date(store, settings)
        _maintain_memberships(store, settings, now, dry_run=dry_run, json=json)
        _forget(store, settings, now, dry_run=dry_run)


_LEFT = "what it says above is done, patron by patron"


def _maintain_memberships(
    store: Library, settings: Config, now: datetime, *, dry_run: bool, json: bool
) -> None:
    from sip2gw.staff.members.maintenance import (
        maintain_memberships,
        occasion_of,
        plan_lines,
        step_json,
        summary,
    )

    currency = settings.institution.currency
    occasion = occasion_of(settings, now)
    steps: list[Step] = []

    async def go_through() -> None:
        async for one in maintain_memberships(store, occasion, dry_run=dry_run):
            steps.extend(one.steps)
            for step in one.steps if json else ():
                write_json(step_json(step, currency))
            sys.stdout.flush()  # what was told is durable, even if the rest is never done

    left = f"{'nothing was changed' if dry_run else _LEFT}; give the command again for the rest"
    try:
        with saying_when_stopped(lambda: left):
            run(go_through())
    finally:
        if dry_run and not json:
            for line in plan_lines(steps, currency):
                sys.stdout.write(f"{printable(line)}\n")
        would = "would be done" if dry_run else "done"
        say(f"sip2gw: memberships on {occasion.day:%Y-%m-%d}: {summary(steps, currency)}: {would}")


def _forget(store: Library, settings: Config, now: datetime, *, dry_run: bool) -> None:
    from sip2gw.staff.forgetting import forget

    async def go_through() -> None:
        async for chore, limit, number in forget(store, settings, now, dry_run=dry_run):
            moment = limit.astimezone(settings.zone)
            became = chore.to_do if dry_run else chore.done
            rows = (
                f"{counted(number, chore.noun, chore.nouns)} {chore.what} {moment:%Y-%m-%d %H:%M}"
            )
            say(f"sip2gw: {rows}: {became}")

    run(go_through())
