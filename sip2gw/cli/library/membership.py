"""`membership …`: the definitions that patrons belong to (B62)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    configured,
    opened_store,
    printable,
    write_json,
    write_record,
    write_table,
)
from sip2gw.cli.failures import CommandError

membership = typer.Typer(help="Membership definitions.", no_args_is_help=True)

_COLUMNS = ("code", "description", "type", "max_items", "max_fees_self_service")


@membership.callback()
def _membership() -> None:
    pass


@membership.command("list")
def list_memberships(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the membership definitions, by code; as JSON with all keys of the library data."""
    told = _definitions(config)
    if json:
        for record in told:
            write_json(record)
    else:
        write_table(_COLUMNS, ([_cell(record[name]) for name in _COLUMNS] for record in told))


@membership.command()
def show(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Three digits.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one membership definition."""
    told = next((record for record in _definitions(config) if record["code"] == code), None)
    if told is None:
        raise CommandError(f"there is no membership {printable(code)}")
    if json:
        write_json(told)
    else:
        write_record(told)


def _definitions(config: ConfigOption) -> list[dict[str, Any]]:
    """All definitions, with every key (C82)."""
    from sip2gw.backend.loading.exporting import membership_records

    settings = configured(config)
    with opened_store(settings) as store:
        return membership_records(store, currency=settings.institution.currency)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
