"""`membership …`: the definitions that patrons belong to (B62)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    configured,
    opened_store,
    printable,
    run,
    say,
    write_listing,
    write_one,
)
from sip2gw.cli.failures import FAILED, UsageError
from sip2gw.cli.meanings import membership_types, with_meaning
from sip2gw.foundation.words import counted
from sip2gw.staff.members.memberships import (
    add_memberships,
    find_membership,
    membership_json,
    memberships,
    read_changes,
)

membership = typer.Typer(no_args_is_help=True)

STDIN = "-"

CodeArgument = Annotated[
    str, typer.Argument(metavar="CODE", help="Code of the membership, three digits.")
]

_COLUMNS = ("code", "description", "type", "max_items", "max_fees_self_service", "hidden")


@membership.callback()
def _membership() -> None:
    pass


@membership.command("list")
def list_memberships(
    json: JsonOption = False, csv: CsvOption = False, config: ConfigOption = None
) -> None:
    """List the membership definitions, hidden ones too.

    The order is that of `sorting_position`, then of the codes. The JSON has all keys of the library
    data.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        told = memberships(store, settings.institution.currency)
        shown = with_meaning("type", membership_types())
        write_listing(told, _COLUMNS, json, csv=csv, shown=shown)


@membership.command()
def show(code: CodeArgument, json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show one membership definition."""
    settings = configured(config)
    with opened_store(settings) as store:
        found = membership_json(find_membership(store, code), settings.institution.currency)
        write_one(found, json, with_meaning("type", membership_types()))


@membership.command()
def add(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="File with membership records as JSON Lines; - is standard input."
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Add new membership definitions: all that the file has, or none if there is an error.

    Errors name the file and the line. A code that exists already is an error; `membership change`
    changes what there is.
    """
    settings = configured(config)
    currency = settings.institution.currency
    with opened_store(settings) as store:
        if file == STDIN:
            added = run(add_memberships(store, STDIN, sys.stdin.buffer, currency))
        else:
            with open(file, "rb") as stream:
                added = run(add_memberships(store, file, stream, currency))
    errors = added.misread or added.refused
    for line in errors:
        say(line)
    if errors:
        say(f"Nothing was changed: {counted(len(errors), 'error')}.")
        raise typer.Exit(FAILED)
    if added.codes:
        say(f"Added {counted(len(added.codes), 'membership')}: {', '.join(added.codes)}.")
    else:
        say("The file has no memberships; nothing was changed.")


@membership.command()
def change(
    code: CodeArgument,
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE…",
            help="Keys of the library data and their new values; an empty value clears a key.",
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Change keys of a membership definition, all of them or none.

    Values are written as in the library data, lists as JSON. What an import would refuse is refused
    here too. Terminals follow the new values from their next request on.
    """
    settings = configured(config)
    try:
        values = read_changes(pairs, settings.institution.currency)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None
    with opened_store(settings) as store:
        changed = run(store.change_membership(code, values))
    if changed:
        say(f"Membership {printable(code)} has been changed: {', '.join(values)}.")
    else:
        say(f"Membership {printable(code)} was like that already.")


@membership.command()
def hide(code: CodeArgument, config: ConfigOption = None) -> None:
    """Mark a membership definition as one not to be given to new patrons.

    Those who have it keep it, and nothing changes for them. `membership change CODE hidden=` offers
    it again.
    """
    with opened_store(configured(config)) as store:
        changed = run(store.change_membership(code, {"hidden": True}))
    say(f"Membership {printable(code)} {'is hidden now' if changed else 'was hidden already'}.")
