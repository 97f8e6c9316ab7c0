"""`badge …`: the badges and who has them (B22, B65, C57)."""

from __future__ import annotations

from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    configured,
    opened_store,
    printable,
    run,
    say,
    write_listing,
)
from sip2gw.staff.badges import badge_json, holder_json

badge = typer.Typer(help="Badges, such as those that open a door.", no_args_is_help=True)

CodeArgument = Annotated[str, typer.Argument(metavar="CODE", help="Code of the badge.")]
HolderArgument = Annotated[
    str, typer.Argument(metavar="PATRON", help="Patron id or any card number.")
]

_COLUMNS = ("code", "name", "active")
_REPORT_COLUMNS = ("code", "patron", "name", "active", "from", "until", "branches", "source")


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
    config: ConfigOption = None,
) -> None:
    """Define a badge, or change the name, description and state of an existing one.

    Its holders and the branches where it counts stay the same.
    """
    from sip2gw.model import Badge

    with opened_store(configured(config)) as store:
        run(store.define_badge(Badge(code, name, not inactive, description)))
    say(f"Badge {printable(code)} has been defined{' and is inactive' if inactive else ''}.")


@badge.command("list")
def list_badges(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List all badges."""
    with opened_store(configured(config)) as store:
        write_listing(map(badge_json, store.badges()), _COLUMNS, json)


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
def assign(code: CodeArgument, patron: HolderArgument, config: ConfigOption = None) -> None:
    """Give a patron a badge, without an end date and at every branch where the badge counts.

    This replaces an assignment with an end date or limited to some branches, as an import can make.
    """
    with opened_store(configured(config)) as store:
        patron_id = run(store.assign_badge(code, patron))
    say(f"Patron {printable(patron_id)} now has badge {printable(code)}.")


@badge.command()
def unassign(code: CodeArgument, patron: HolderArgument, config: ConfigOption = None) -> None:
    """Take a badge from a patron."""
    with opened_store(configured(config)) as store:
        patron_id = run(store.unassign_badge(code, patron))
    say(f"Patron {printable(patron_id)} no longer has badge {printable(code)}.")


@badge.command()
def report(
    code: Annotated[
        str | None,
        typer.Argument(metavar="[CODE]", help="Code of the badge. Default: every badge."),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the patrons who have a badge."""
    with opened_store(configured(config)) as store:
        write_listing(map(holder_json, store.badge_holders(code)), _REPORT_COLUMNS, json)
