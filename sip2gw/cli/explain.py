"""`explain`: what the gateway would answer, and why."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
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

if TYPE_CHECKING:
    from sip2gw.backend.system import LibrarySystem
    from sip2gw.config import Config
    from sip2gw.handlers import TerminalView
    from sip2gw.serving.explain import Explanation


class Message(StrEnum):
    """The message that a terminal asks with."""

    PATRON_STATUS = "23"
    PATRON_INFORMATION = "63"
    CHECKOUT = "11"
    CHECKIN = "09"
    RENEWAL = "29"
    HOLD = "15"


_ABOUT_ITEMS = (Message.CHECKOUT, Message.CHECKIN, Message.RENEWAL, Message.HOLD)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be explained."""

    terminal: str
    card: str = ""
    message: Message | None = None
    at: str | None = None
    item: str = ""
    address: str | None = None

    def __post_init__(self) -> None:
        if self.message in _ABOUT_ITEMS and not self.item:
            raise UsageError(f"--message {self.message} needs --item")
        if self.item and self.message is not None and self.message not in _ABOUT_ITEMS:
            raise UsageError(f"--message {self.message} is about no item; leave --item out")
        if self.address is not None and not _is_ip(self.address):
            raise UsageError(f"--address {printable(self.address)} is no IP address")
        if not self.card and self.message is not Message.CHECKIN:
            raise UsageError("--card N is needed for every message but 09")


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


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
    asked = Asked(terminal, card, message, at, item, address)
    explanation = asyncio.run(_explain(settings, asked))
    if json:
        _write_json(explanation)
    else:
        _write_text(explanation)


async def _explain(config: Config, asked: Asked) -> Explanation:
    from sip2gw.backend.system import LibrarySystemError
    from sip2gw.serving.explain import explain as explained
    from sip2gw.serving.site import build_site

    with opened(config) as found:
        library = _library_system(config, found.store.pin_secret)
        try:
            if library is not None:
                await library.start()
            site = build_site(config, found.backend.capabilities)
            known = site.by_login.get(asked.terminal) or site.by_name.get(asked.terminal)
            if known is None:
                names = ", ".join(sorted(site.by_name)) or "none"
                raise CommandError(f"no terminal {printable(asked.terminal)}; configured: {names}")
            imported = await found.store.last_import()
            return await explained(
                site,
                found.backend,
                known.view,
                asked.card,
                message=asked.message,
                item=asked.item,
                at=_moment(asked.at, known.view),
                address=asked.address,
                library=library,
                imported=imported,
            )
        except LibrarySystemError:
            raise CommandError(
                "the library system does not answer; see why with sip2gw upstream check"
            ) from None
        finally:
            if library is not None:
                await library.close()
            await found.store.close()


def _library_system(config: Config, secret: bytes) -> LibrarySystem | None:
    """Lines of our own to the library system behind the gateway; None without one."""
    import io

    from sip2gw.backend.factory import open_library_system
    from sip2gw.foundation.clock import Clock
    from sip2gw.monitoring.metrics import Metrics
    from sip2gw.monitoring.telemetry import Log, Redactor

    return open_library_system(config, Metrics(), Clock(), Log(io.BytesIO(), Redactor(secret)))


def _moment(text: str | None, terminal: TerminalView) -> datetime | None:
    from sip2gw.policy.moments import read_start

    if text is None:
        return None
    try:
        return read_start(text, terminal.zone).astimezone(terminal.zone)
    except ValueError as error:
        raise UsageError(f"--at {text}: {error}") from None


def _write_json(explanation: Explanation) -> None:
    for check in explanation.checks:
        write_json({"check": check.check, "result": check.result, "detail": check.detail})
    write_json(
        {
            "decision": explanation.decision,
            "reason": explanation.reason,
            "answer": explanation.answer,
            **({"would_ask": explanation.would_ask} if explanation.would_ask else {}),
            **({"library_system": explanation.library} if explanation.library else {}),
        }
    )


def _write_text(explanation: Explanation) -> None:
    rows = [(check.check, check.result, check.detail) for check in explanation.checks]
    write_table(("check", "result", "detail"), rows)
    outcome = dict.fromkeys((explanation.decision, explanation.reason))
    sys.stdout.write(f"\n{': '.join(outcome)}\n")
    if explanation.answer:
        sys.stdout.write(f"answer: {printable(explanation.answer)}\n")
    _write_lines("The library system would be asked, and decide:", explanation.would_ask)
    _write_lines("The library system answered:", explanation.library)


def _write_lines(title: str, lines: tuple[str, ...]) -> None:
    if lines:
        told = "".join(f"  {printable(line)}\n" for line in lines)
        sys.stdout.write(f"\n{title}\n{told}")
