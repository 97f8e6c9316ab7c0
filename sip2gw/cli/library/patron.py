"""`patron …`: what the store knows of one patron, the PIN, blocks (C41, C51)."""

from __future__ import annotations

from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    PatronArgument,
    configured,
    opened_store,
    read_day_option,
    run,
    say,
    write_one,
)
from sip2gw.cli.failures import UsageError
from sip2gw.cli.passwords import read_secret
from sip2gw.model import BlockType
from sip2gw.staff import patrons

patron = typer.Typer(help="One patron.", no_args_is_help=True)


@patron.callback()
def _patron() -> None:
    pass


@patron.command()
def show(
    patron_id: PatronArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a patron: membership, cards, badges, blocks, money, loans, holds, relations.

    The PIN and its hash are never shown, only whether there is one.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        record = run(patrons.find_patron(store, patron_id))
    write_one(patrons.patron_json(record, settings.institution.currency, settings.zone), json)


@patron.command("set-pin")
def set_pin(
    patron_id: PatronArgument,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the PIN from standard input, one line.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give a patron a new PIN, which also unlocks it on all cards. Asks for it twice."""
    settings = configured(config)
    with opened_store(settings) as store:
        record = run(patrons.find_patron(store, patron_id))
        pin = read_secret("PIN", stdin)
        try:
            run(patrons.set_pin(store, record.id, pin))
        except ValueError as error:
            raise UsageError(str(error)) from None
    say(f"The PIN of patron {record.id} has been set.")


@patron.command()
def block(
    patron_id: PatronArgument,
    block_type: Annotated[
        BlockType, typer.Option("--type", metavar="TYPE", help=f"One of {', '.join(BlockType)}.")
    ] = BlockType.GENERAL,
    note: Annotated[str, typer.Option(metavar="N", help="Why, for the staff.")] = "",
    until: Annotated[
        str | None, typer.Option(metavar="D", help="The last day of it. Default: until lifted.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Block a patron from self-service; a block of the same type by staff is replaced."""
    settings = configured(config)
    last = read_day_option("--until", until)
    with opened_store(settings) as store:
        record = run(patrons.block(store, patron_id, block_type, note, last))
    say(f"Patron {record.id} is blocked: {block_type}.")


@patron.command()
def unblock(patron_id: PatronArgument, config: ConfigOption = None) -> None:
    """Lift the blocks that staff or a terminal has set; imported ones go by import."""
    with opened_store(configured(config)) as store:
        say(run(patrons.unblock(store, patron_id)))
