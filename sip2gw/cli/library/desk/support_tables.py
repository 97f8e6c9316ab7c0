"""`support table …`: codes, processing rules and default messages (B64, C163, C164)."""

from __future__ import annotations

from enum import StrEnum
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
)
from sip2gw.cli.failures import UsageError
from sip2gw.model.support import CodeTable
from sip2gw.staff.support import (
    Change,
    columns_of,
    put_entry,
    put_rule,
    settings_of,
    table_rows,
)

table = typer.Typer(
    help="Types, categories, departments, units, rules, default messages.", no_args_is_help=True
)


class Table(StrEnum):
    """What TABLE may be."""

    TYPE = "type"
    CATEGORY = "category"
    DEPARTMENT = "department"
    UNIT = "unit"
    PROCESSING = "processing"
    DEFAULT_MESSAGE = "default_message"


TableArgument = Annotated[
    Table,
    typer.Argument(
        metavar="TABLE", help="type, category, department, unit, processing or default_message."
    ),
]
CodeArgument = Annotated[
    str | None, typer.Argument(metavar="[CODE]", help="Code of the row; processing has none.")
]
DescriptionOption = Annotated[
    str | None, typer.Option(metavar="D", help="What staff read beside the code.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A further field; may be repeated."),
]


@table.callback()
def _table() -> None:
    pass


@table.command("list")
def list_rows(
    which: TableArgument,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List the rows of a table."""
    codes = _codes_of(which)
    with opened_store(configured(config)) as store:
        write_listing(table_rows(store, codes), columns_of(codes), json, csv=csv)


@table.command()
def add(
    which: TableArgument,
    code: CodeArgument = None,
    description: DescriptionOption = None,
    settings: SetOption = None,
    config: ConfigOption = None,
) -> None:
    """Add a row to a table.

    The code of a type has 2 letters, of a category, a unit and a default message up to 4
    characters, of a department up to 7. A unit needs `--set department=CODE`, a default message
    `--set text=TEXT` and at most 30 characters of description. A processing rule has no code: it
    needs `--set type=CODE` and `--set category=CODE`, and takes `response_days`, `processing_days`,
    `group` (a department), `unit`, `processor` and `reporter`.
    """
    _put("add", which, code, description, settings or [], config)


@table.command()
def change(
    which: TableArgument,
    code: CodeArgument = None,
    description: DescriptionOption = None,
    settings: SetOption = None,
    config: ConfigOption = None,
) -> None:
    """Change a row of a table; what you do not name stays the same.

    `--set type=CODE` and `--set category=CODE` say which processing rule. An empty value takes a
    number of days, a group or a unit away. A changed rule counts for new and reopened messages.
    """
    _put("change", which, code, description, settings or [], config)


def _codes_of(which: Table) -> CodeTable | None:
    return None if which is Table.PROCESSING else CodeTable(which.value)


def _put(
    how: Change,
    which: Table,
    code: str | None,
    description: str | None,
    settings: list[str],
    config: ConfigOption,
) -> None:
    codes = _codes_of(which)
    try:
        fields = settings_of(codes, settings, description)
    except ValueError as error:
        raise UsageError(str(error)) from None
    done = "added" if how == "add" else "changed"
    if codes is None:
        if code is not None or description is not None:
            raise UsageError("a processing rule has no code and no description; use --set")
        type_code, category = fields.pop("type", None), fields.pop("category", None)
        if type_code is None or category is None:
            raise UsageError("name the rule with --set type=CODE and --set category=CODE")
        with opened_store(configured(config)) as store:
            run(put_rule(store, how, type_code, category, fields))
        say(f"The rule for {printable(type_code)} {printable(category)} has been {done}.")
        return
    if code is None:
        raise UsageError("name the CODE of the row")
    if how == "change" and not fields:
        raise UsageError("say what to change with --description or --set")
    with opened_store(configured(config)) as store:
        run(put_entry(store, how, codes, code, fields))
    say(f"{which.value.replace('_', ' ').capitalize()} {printable(code)} has been {done}.")
