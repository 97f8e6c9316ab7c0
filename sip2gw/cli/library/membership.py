"""`membership …`: the definitions that patrons belong to (B62)."""

from __future__ import annotations

from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    configured,
    opened_store,
    write_listing,
    write_one,
)
from sip2gw.staff.memberships import find_membership, memberships

membership = typer.Typer(help="Membership definitions.", no_args_is_help=True)

_COLUMNS = ("code", "description", "type", "max_items", "max_fees_self_service")


@membership.callback()
def _membership() -> None:
    pass


@membership.command("list")
def list_memberships(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the membership definitions by code. The JSON has all keys of the library data."""
    settings = configured(config)
    with opened_store(settings) as store:
        write_listing(memberships(store, settings.institution.currency), _COLUMNS, json)


@membership.command()
def show(
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="Code of the membership, three digits.")
    ],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one membership definition."""
    settings = configured(config)
    with opened_store(settings) as store:
        write_one(find_membership(store, code, settings.institution.currency), json)
