"""`explain`: what the gateway would answer, and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    configured,
    opened,
    printable,
    write_json,
    write_table,
)
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.policy.explaining.asking import Message, Wanted, WrongQuestionError

if TYPE_CHECKING:
    from sip2gw.config import Config
    from sip2gw.serving.explaining.answer import Explanation


def explain(
    terminal: Annotated[str, typer.Option(metavar="T", help="Login or name of the terminal.")],
    card: Annotated[
        str,
        typer.Option(metavar="N", help="Card number, known or unknown; not needed for 09."),
    ] = "",
    message: Annotated[
        Message | None,
        typer.Option(
            metavar="23|63|11|09|29|15",
            help="Message that the terminal sends. Default: 63 or 23, or with --item 11, as far as"
            " it may send them.",
        ),
    ] = None,
    item: Annotated[
        str, typer.Option(metavar="ITEM", help="Item id: explain a loan, return, renewal or hold.")
    ] = "",
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Moment of the question, in the branch's time zone. Default: now."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="A", help="IP address of the terminal; without it its networks are only shown."
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Explain what a terminal would be told about a card or an item, and why, check by check.

    Nothing is recorded, counted, locked, lent or taken back, here or in a library system behind the
    gateway. The PIN is assumed to be right unless it is locked. The exit status is 0 whenever there
    is an explanation, even for a refused or unknown card.
    """
    import asyncio

    settings = configured(config)
    wanted = Wanted(terminal, card, message, at, item, address)
    try:
        wanted.insist(lambda name: "--card N" if name == "card" else f"--{name}")
        explanation = asyncio.run(_explain(settings, wanted))
    except WrongQuestionError as error:
        raise UsageError(printable(str(error))) from None
    if json:
        _write_json(explanation)
    else:
        _write_text(explanation)


async def _explain(config: Config, wanted: Wanted) -> Explanation:
    from sip2gw.backend.factory import library_system_of_our_own
    from sip2gw.backend.system import LibrarySystemError
    from sip2gw.serving.explaining.asking import NoTerminalError, explain_wanted

    with opened(config) as found:
        library = library_system_of_our_own(config, found.store.pin_secret)
        try:
            return await explain_wanted(
                config, found.backend, library, found.store.last_import, wanted
            )
        except NoTerminalError as error:
            raise CommandError(printable(str(error))) from None
        except LibrarySystemError as error:
            raise CommandError(
                error.problem
                or "the library system does not answer; see why with sip2gw upstream check --card N"
            ) from None
        finally:
            await found.store.close()


def _write_json(explanation: Explanation) -> None:
    from sip2gw.serving.explaining.asking import checks_json, outcome_json

    for check in checks_json(explanation):
        write_json(check)
    write_json(outcome_json(explanation))


def _write_text(explanation: Explanation) -> None:
    rows = [(check.check, check.result, check.detail) for check in explanation.checks]
    write_table(("check", "result", "detail"), rows)
    sys.stdout.write(f"\n{_outcome(explanation)}\n")
    if explanation.answer:
        sys.stdout.write(f"answer: {printable(explanation.answer)}\n")
    _write_lines("The library system would be asked:", explanation.would_ask)
    _write_lines("The library system answered:", explanation.library)


def _outcome(explanation: Explanation) -> str:
    if explanation.decision == "unknown":
        return "unknown: we have nothing against it, and the library system decides"
    return ": ".join(dict.fromkeys((explanation.decision, explanation.reason)))


def _write_lines(title: str, lines: tuple[str, ...]) -> None:
    if lines:
        told = "".join(f"  {printable(line)}\n" for line in lines)
        sys.stdout.write(f"\n{title}\n{told}")
