"""`relationship …`: families and authorisations (B49, B50, C57)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

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
from sip2gw.model import RelationshipType
from sip2gw.staff.members.relationships import add_relationship, relationship_json

if TYPE_CHECKING:
    from sip2gw.model import Relationship

relationship = typer.Typer(no_args_is_help=True)

TypeArgument = Annotated[
    RelationshipType, typer.Argument(metavar="TYPE", help="head_of_family or authorisation.")
]
FromArgument = Annotated[
    str, typer.Argument(metavar="FROM", help="Head or authoriser: id or any card number.")
]
ToArgument = Annotated[
    str, typer.Argument(metavar="TO", help="Child or authorised person: id or any card number.")
]

_COLUMNS = ("type", "from", "to", "functions", "confirmed", "proposed_by")


@relationship.command()
def add(
    kind: TypeArgument,
    from_card: FromArgument,
    to_card: ToArgument,
    functions: Annotated[
        str | None,
        typer.Option(metavar="F,F", help="What the authorisation allows: renew, pay or both."),
    ] = None,
    unconfirmed: Annotated[
        bool,
        typer.Option(
            "--unconfirmed", help="Keep the relationship out of force until you confirm it."
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make a patron head of family of a child, or authorise a patron.

    A child has one head of family, nobody can be both head and child, and each function is given to
    one person only. Both patrons need a valid membership. This replaces a relationship of the same
    type between the same two.
    """
    from sip2gw.model import Relationship

    settings = configured(config)
    wanted = Relationship(kind, from_card, to_card, _functions(functions), not unconfirmed)
    with opened_store(settings) as store:
        added = run(add_relationship(store, settings, wanted, datetime.now(UTC)))
    next_step = "" if added.confirmed else "; confirm it to put it in force"
    say(f"{_sentence(added)} has been added{next_step}.")


def _functions(text: str | None) -> frozenset[str]:
    from sip2gw.policy.relationships import FUNCTIONS

    names = frozenset(name.strip() for name in text.split(",")) if text else frozenset()
    if not names <= frozenset(FUNCTIONS):
        raise UsageError(f"--functions {text}: choose from {', '.join(FUNCTIONS)}")
    return names


@relationship.command()
def confirm(
    kind: TypeArgument, from_card: FromArgument, to_card: ToArgument, config: ConfigOption = None
) -> None:
    """Confirm a relationship, which puts it in force."""
    with opened_store(configured(config)) as store:
        confirmed = run(store.confirm_relationship(kind, from_card, to_card))
    say(f"{_sentence(confirmed)} has been confirmed.")


@relationship.command()
def remove(
    kind: TypeArgument, from_card: FromArgument, to_card: ToArgument, config: ConfigOption = None
) -> None:
    """End a relationship."""
    with opened_store(configured(config)) as store:
        removed = run(store.remove_relationship(kind, from_card, to_card))
    say(f"{_sentence(removed)} has been removed.")


@relationship.command("list")
def list_relationships(
    json: JsonOption = False,
    csv: CsvOption = False,
    patron: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of this patron, on either side.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """List relationships, families first."""
    with opened_store(configured(config)) as store:
        told = map(relationship_json, store.relationships(patron))
        write_listing(told, _COLUMNS, json, csv=csv)


def _sentence(relation: Relationship) -> str:
    return f"The {relation.type} {printable(f'from {relation.from_id} to {relation.to_id}')}"
