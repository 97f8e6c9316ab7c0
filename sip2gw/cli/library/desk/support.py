"""`support …`: what a person must follow up, and what patrons ask (B64, C57, C145, C164)."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    clock_time,
    configured,
    opened_store,
    passing,
    read_branch,
    run,
    say,
    write_listing,
    write_one,
)
from sip2gw.cli.failures import UsageError
from sip2gw.cli.library.desk.support_tables import table
from sip2gw.cli.meanings import support_statuses, with_meaning
from sip2gw.model.support import CodeTable, SupportFilter, SupportStatus
from sip2gw.staff.support import (
    follow_up,
    full_message_json,
    message_json,
    opening_days,
    read_message_id,
)

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model.support import SupportMessage

support = typer.Typer(no_args_is_help=True)
support.add_typer(table, name="table")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the message: a number.")]
TypeOption = Annotated[str, typer.Option("--type", metavar="T", help="Code of the type.")]
CategoryOption = Annotated[
    str, typer.Option("--category", metavar="C", help="Code of the category.")
]
NoteOption = Annotated[str, typer.Option(metavar="N", help="What you found or did.")]

_LOOK_WITHIN_S = 5.0

_COLUMNS = (
    *("id", "status", "type", "category", "created", "due", "department", "unit", "count"),
    *("patron", "text"),
)


@support.callback()
def _support() -> None:
    pass


def asked_to_look(settings: Config) -> None:
    """Let a running gateway open the messages that are missing: who lists them only reads."""
    from sip2gw.control.client import Control, NoGatewayError, RefusedError
    from sip2gw.control.messages import FollowUp

    with suppress(NoGatewayError, RefusedError), Control(settings.socket_path) as gateway:
        gateway.ask(FollowUp(), _LOOK_WITHIN_S)


def _told_if_behind(store: Library, settings: Config) -> None:
    """Say that messages are missing, and what opens them."""
    if settings.support.enabled and store.is_behind():
        say(
            "sip2gw: some new messages are missing here: a gateway opens them within a minute,"
            " `sip2gw maintain` at once"
        )


def brought_up_to_date(store: Library, settings: Config) -> None:
    """Open messages for what has none yet; a store that cannot be written is only told of."""
    from sip2gw.backend.base import BackendError

    try:
        run(follow_up(store, settings, datetime.now(UTC)))
    except BackendError as error:
        say(f"sip2gw: some new messages are missing here: {error}; try again")


@support.command("list")
def list_messages(
    only_open: Annotated[
        bool, typer.Option("--open", help="Only messages in A, B, C or D.")
    ] = False,
    overdue: Annotated[
        bool, typer.Option("--overdue", help="Only open messages that were due before today.")
    ] = False,
    kind: Annotated[
        str | None, typer.Option("--type", metavar="T", help="Only messages of this type.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(metavar="C", help="Only messages of this category.")
    ] = None,
    department: Annotated[
        str | None, typer.Option(metavar="D", help="Only messages for this department.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="U", help="Only messages for this unit.")
    ] = None,
    patron: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only messages of this patron: id or any card number."),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List the messages, in the order in which they were opened.

    Messages of type AU were opened by the gateway; `count` says how often their cause occurred.
    The statuses: A open, B sent, C waiting for the customer, D waiting for the library, X closed by
    the library, Y closed by the reporter, Z closed. `due` is the last day for a response in time,
    and after the first answer the last day to finish.
    """
    settings = configured(config)
    asked_to_look(settings)
    with opened_store(settings) as store:
        _told_if_behind(store, settings)
        wanted = SupportFilter(
            only_open=only_open,
            overdue_on=datetime.now(settings.zone).date() if overdue else None,
            type=kind,
            category=category,
            department=department,
            unit=unit,
            patron_id=None if patron is None else _patron_id(store, patron),
        )
        found: Iterable[SupportMessage] = store.support_messages(wanted)
        for option, value, codes in (
            ("--type", kind, CodeTable.TYPE),
            ("--category", category, CodeTable.CATEGORY),
            ("--department", department, CodeTable.DEPARTMENT),
            ("--unit", unit, CodeTable.UNIT),
        ):
            known = [entry.code for entry in store.support_entries(codes)]
            found = passing(option, value, known, found)
        told = (message_json(message, settings.zone) for message in found)
        write_listing(
            told,
            _COLUMNS,
            json,
            csv=csv,
            times=("created",),
            zone=settings.institution.timezone,
            shown=with_meaning("status", support_statuses()),
        )


def _patron_id(store: Library, card: str) -> str:
    """The id of the patron who has `card`; what nobody has may stand in an old message."""
    known = run(store.find_by_card(card))
    return card if known is None else known.id


@support.command()
def show(message_id: IdArgument, json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show a message with its history: who did what when, notes and answers."""
    settings = configured(config)
    number = read_message_id(message_id)
    asked_to_look(settings)
    with opened_store(settings) as store:
        _told_if_behind(store, settings)
        message, history = store.support_message(number)
    record = full_message_json(message, history, settings.zone)
    if not json:
        for event in record["history"]:
            event["time"] = clock_time(event["time"])
    write_one(record, json, with_meaning("status", support_statuses()))


@support.command("open")
def open_message(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it is about.")],
    kind: TypeOption,
    category: CategoryOption,
    patron: Annotated[
        str | None, typer.Option(metavar="ID", help="Whom it is about: id or any card number.")
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option(
            metavar="B", help="Branch whose opening days count. Default: the first branch."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Open a message, for example for a question at the desk. The processing rule routes it."""
    settings = configured(config)
    if branch is not None:
        read_branch(settings, branch)
    with opened_store(settings) as store:
        number = run(
            store.open_support_message(
                kind,
                category,
                text,
                getpass.getuser(),
                datetime.now(UTC),
                opening_days(settings),
                card=patron,
                branch=branch,
            )
        )
    say(f"Message {number} has been opened.")


@support.command()
def answer(
    message_id: IdArgument,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The answer to the patron.")
    ] = None,
    default: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Answer with this default message instead of TEXT."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Answer an open message.

    A message of a patron then waits for the customer (C). A message without a patron keeps its
    status, because nobody could respond. Nothing is sent: the answer stands in the message.
    """
    if (text is None) == (default is None):
        raise UsageError("give either TEXT or --default CODE")
    settings = configured(config)
    number = read_message_id(message_id)
    with opened_store(settings) as store:
        brought_up_to_date(store, settings)
        after = run(
            store.answer_support_message(
                number, text, getpass.getuser(), datetime.now(UTC), default=default
            )
        )
    say(f"Message {number} has been answered and is in status {after.value}.")


@support.command()
def status(
    message_id: IdArgument,
    to: Annotated[
        SupportStatus,
        typer.Argument(
            metavar="S", help="The new status: A, B, C, D, X, Y or Z.", case_sensitive=False
        ),
    ],
    note: NoteOption = "",
    config: ConfigOption = None,
) -> None:
    """Give a message another status. Your user name is kept.

    A may become B, C, D, X or Z. B may become C, D, X or Z. C may become D, X, Y or Z. D may become
    C, X or Z. X, Y and Z may become A: that reopens the message, and its times begin anew. Closing
    a message about an entry for review closes that entry, too; reopening does not reopen it.
    """
    settings = configured(config)
    number = read_message_id(message_id)
    with opened_store(settings) as store:
        brought_up_to_date(store, settings)
        user, now = getpass.getuser(), datetime.now(UTC)
        run(store.set_support_status(number, to, note, user, now, opening_days(settings)))
    _tell_status(number, to)


@support.command()
def close(
    message_ids: Annotated[
        list[str], typer.Argument(metavar="ID…", help="Ids of messages; see `support list`.")
    ],
    note: NoteOption = "",
    config: ConfigOption = None,
) -> None:
    """Close messages as the library (X): all of them or none. Your user name is kept.

    If a message is about an entry for review, that entry is closed, too.
    """
    settings = configured(config)
    numbers = [read_message_id(message_id) for message_id in message_ids]
    with opened_store(settings) as store:
        brought_up_to_date(store, settings)
        user, now = getpass.getuser(), datetime.now(UTC)
        run(store.close_support_messages(numbers, note, user, now, opening_days(settings)))
    for number in dict.fromkeys(numbers):
        _tell_status(number, SupportStatus.CLOSED_BY_LIBRARY)


def _tell_status(number: int, status: SupportStatus) -> None:
    say(f"Message {number} is now in status {status.value}.")
