"""`patron …`: what the store knows of patrons; PINs, blocks, doubles (B91, C41, C51)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    PatronArgument,
    account,
    configured,
    opened_store,
    printable,
    read_day_option,
    run,
    say,
    write_json,
    write_listing,
    write_one,
    write_record,
)
from sip2gw.cli.failures import UsageError
from sip2gw.cli.meanings import patron_statuses, with_meaning
from sip2gw.cli.passwords import read_secret
from sip2gw.foundation.words import counted
from sip2gw.model import BlockType
from sip2gw.staff.members import patrons
from sip2gw.staff.members.merging import found_json, found_patrons, merged, step_json

patron = typer.Typer(no_args_is_help=True)


@patron.callback()
def _patron() -> None:
    pass


@patron.command()
def show(
    patron_id: PatronArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a patron: membership, cards, badges, blocks, money, loans, holds, relationships.

    The PIN and its hash are never shown, only whether the patron has a PIN.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        currency, zone = settings.institution.currency, settings.zone
        told = run(patrons.shown_patron_json(store, patron_id, currency, zone))
    write_one(told, json, with_meaning("status", patron_statuses()))


@patron.command("set-pin")
def set_pin(
    patron_id: PatronArgument,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the PIN from standard input, as one line.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Give a patron a new PIN. This also unlocks it on all cards. You are asked for it twice.

    In front of a library system there are no PINs here: change it there. `patron unblock` ends a
    lock here.
    """
    settings = configured(config)
    patrons.insist_on_own_pins(settings, patron_id)
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
    note: Annotated[str, typer.Option(metavar="N", help="Reason, for staff.")] = "",
    until: Annotated[
        str | None,
        typer.Option(metavar="D", help="Last day of the block. Default: until you lift it."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Block a patron from self-service. This replaces a staff block of the same type."""
    settings = configured(config)
    last = read_day_option("--until", until)
    with opened_store(settings) as store:
        whose, _ = run(patrons.block(store, patron_id, block_type, note, last))
    say(f"Patron {whose} has been blocked: {block_type}.")


@patron.command()
def unblock(patron_id: PatronArgument, config: ConfigOption = None) -> None:
    """Lift the blocks set by staff or a terminal. Imported blocks end only by an import.

    In front of a library system this also forgets the wrong PINs of the number and of the patron's
    other numbers, as far as guesses have shown them, and so ends the lock of the PIN, even if the
    store does not know the patron.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        done = run(patrons.unblock(store, settings, patron_id))
    say(patrons.unblocked_in_words(patron_id, done))


@patron.command()
def report(
    patron_id: PatronArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write all that the store keeps of a patron, for the person who asks for it.

    That is the record and everything that names the patron or a card of theirs, also in notes about
    others, but not the PIN's hash. The log is not part of it: it knows patrons by a pseudonym.
    """
    from sip2gw.staff.members.privacy import report_json

    settings = configured(config)
    with opened_store(settings) as store:
        rows = store.personal_data(patron_id)
        told = None
        for record in report_json(rows, settings.institution.currency, settings.zone):
            if json:
                write_json(record)
                continue
            kind = record.pop("kind")
            typer.echo(f"\n{kind}" if kind != told else "")
            told = kind
            write_record(record)


@patron.command()
def forget(
    patron_id: PatronArgument,
    force: Annotated[
        bool,
        typer.Option("--force", help="Even if something is owed, on loan, left or unknown."),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Remove a patron from the store for good. There is no way back.

    The ledger keeps amounts, times and terminals, under a random name that nobody can trace back.
    With --force a debt stays there as a loss, items on loan are marked as missing, and credits are
    lost to the patron.

    Remove the patron from your library system first, or the next import brings them back.
    """
    from sip2gw.staff.members.privacy import forget_patron

    settings = configured(config)
    with opened_store(settings) as store:
        done = run(forget_patron(store, settings.institution.currency, patron_id, force=force))
    say(
        f"The patron has been forgotten: {counted(done['rows'], 'row')} deleted or changed; the"
        f" ledger names {done['stub']} instead."
    )
    if done["fees"]:
        say(
            f"{counted(done['fees'], 'fee')} of theirs kept an id that contains a card number;"
            " the ledger is built on it."
        )
    if done["left"]:
        say(f"One thing is left: {done['left']}.")


_FOUND_COLUMNS = ("id", "name", "birth_date", "home_branch", "cards")
_STEP_COLUMNS = ("what", "id", "result", "note")


@patron.command()
def find(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT", help="Card number, id, pseudonym of the log, or words of the name."
        ),
    ],
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """Find patrons by card, id, pseudonym or name, in order of their names.

    Every word must be in the name, as a whole or in part. Capitals and accents do not matter.
    """
    with opened_store(configured(config)) as store:
        found = list(map(found_json, found_patrons(store, text)))
    if found or json or csv:
        write_listing(found, _FOUND_COLUMNS, json, csv=csv)
    if not found:
        say(f"Nobody has the card, id or pseudonym {text}, or a name with these words.")


@patron.command()
def merge(
    former: Annotated[
        str, typer.Argument(metavar="OLD", help="Patron who ends: id or any card number.")
    ],
    lasting: Annotated[
        str, typer.Argument(metavar="NEW", help="Patron who goes on: id or any card number.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would happen.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Join two records of one person; it cannot be undone.

    Cards, loans, holds, fees, badges, blocks and relationships of OLD become those of NEW, in one
    step or not at all. PIN, membership and limits are NEW's. Payments stay under the id that paid.
    What cannot move is listed with the reason.
    """
    with opened_store(configured(config)) as store:
        if dry_run:
            plan = store.plan_merge(former, lasting)
        else:
            plan = run(merged(store, former, lasting, account(), datetime.now(UTC)))
    write_listing(map(step_json, plan.steps), _STEP_COLUMNS, False)
    verb = "would be" if dry_run else "has been"
    names = f"Patron {printable(plan.former_id)} {verb} merged into patron"
    say(f"{names} {printable(plan.lasting_id)}.{' Nothing was changed yet.' if dry_run else ''}")
