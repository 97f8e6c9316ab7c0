"""The demo of two gateways: one plays the library system, one stands in front of it."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sip2gw.cli.common import say
from sip2gw.cli.demo import places
from sip2gw.cli.failures import CommandError

if TYPE_CHECKING:
    from sip2gw.demo import Dialogue
    from sip2gw.demo.gateway import GatewayProcess

FRONT, BEHIND = "front", "behind"
"""The directories of the two gateways."""
ANYWHERE = "127.0.0.1:0"
AWAY_S = 30.0
"""How long a library system stays away that was stopped under `--more`."""
LOOK_EVERY_S = 0.1


def run(place: Path, sip2: str, admin: str, *, more: bool) -> int:
    """Run both until the demo is told to stop, or one has ended; returns the exit status.

    Raises:
        CommandError: one could not start.
    """
    from sip2gw.daemon.signals import noted_early
    from sip2gw.demo import upstream
    from sip2gw.demo.gateway import GatewayProcess

    for directory in (place / FRONT, place / BEHIND):
        directory.mkdir(exist_ok=True)
        places.insist_on_own(directory)
    with noted_early(), ExitStack() as running:
        there = places.write(place / BEHIND, upstream.configuration_behind(ANYWHERE))
        places.filled(there, upstream.records_behind)
        behind = running.enter_context(GatewayProcess(there))
        address, _ = _ready(behind)
        # Where it must be again when it comes back.
        places.write(place / BEHIND, upstream.configuration_behind(address))
        configuration = upstream.configuration_in_front(sip2, admin, address)
        here = places.write(place / FRONT, configuration)
        token = places.token(places.filled(here, upstream.records_in_front))
        front = running.enter_context(GatewayProcess(here))
        _announce(*_ready(front), here, address, there, token, more=more)
        return _watch(front, behind, comes_back=more)


def _ready(gateway: GatewayProcess) -> tuple[str, str]:
    ready = gateway.ready()
    if ready is None:
        raise CommandError("a gateway of the demo could not start; see what it said above")
    return ready


def _watch(front: GatewayProcess, behind: GatewayProcess, *, comes_back: bool) -> int:
    """Wait until the demo is told to stop, or one has ended for good; returns the exit status."""
    from sip2gw.daemon.signals import stop_was_asked_for

    back_at = 0.0
    while not stop_was_asked_for():
        time.sleep(LOOK_EVERY_S)
        if front.status is not None:
            return _ended("the gateway in front", front.status)
        if behind.status is None:
            continue
        if behind.status != 0 or not comes_back:
            return _ended("the library system", behind.status)
        if not back_at:
            say(f"sip2gw: the library system has ended; it comes back in {AWAY_S:.0f} s")
            back_at = time.monotonic() + AWAY_S
        elif time.monotonic() >= back_at:
            back_at = 0.0
            behind.restart()
            _ready(behind)
            say("sip2gw: the library system is back; the gateway notices within a minute")
    return 0


def _ended(which: str, status: int) -> int:
    say(f"sip2gw: {which} has ended, and with it the demo")
    return 1 if status else 0


def _announce(
    sip2: str, admin: str, here: Path, address: str, there: Path, token: str, *, more: bool
) -> None:
    """Print logins, cards and dialogues to standard output at once (C53)."""
    from sip2gw.demo import PEOPLE
    from sip2gw.demo.upstream import TERMINALS_IN_FRONT, UPSTREAM_DIALOGUES

    program = places.program()
    lines = [
        f"Demo Public Library: SIP2 on {sip2}, configuration {here}. Press Ctrl-C to end both.",
        f"Its library system:  SIP2 at {address}, configuration {there}.",
        "The library system has patrons, PINs, loans and debts. The gateway in front of it has"
        " badges and families.",
        "",
        *(terminal.line for terminal in TERMINALS_IN_FRONT),
        "",
        *(person.line for person in PEOPLE),
        "",
        "To try, in another terminal:",
        *_to_try(UPSTREAM_DIALOGUES, program, sip2),
        *_commands(program, here),
        *(_more(program, sip2, here, there) if more else ()),
        "",
        f"metrics: http://{admin}/metrics",
        f"REST:    http://{admin}/api/v1/openapi.json, with the token {token}",
        f"health:  http://{admin}/readyz http://{admin}/livez",
        "",
    ]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()


def _to_try(dialogues: Iterable[Dialogue], program: str, sip2: str) -> Iterator[str]:
    for dialogue in dialogues:
        yield from ("", dialogue.command(program, sip2), f"  {dialogue.outcome}")


def _commands(program: str, here: Path) -> Iterator[str]:
    from sip2gw.demo.library import ANNA, GREET

    yield from _command(
        f"{program} explain --config {_quoted(here)} --terminal door-1 --card {GREET}",
        "every check of that door on what the library system says, and the one that refuses",
    )
    yield from _command(
        f"{program} upstream status --config {_quoted(here)}",
        "the account is up, and how long its answers take",
    )
    yield from _command(
        f"{program} upstream check --config {_quoted(here)} --card {ANNA}",
        "what the library system is and offers, and the configuration that fits",
    )


def _more(program: str, sip2: str, here: Path, there: Path) -> Iterator[str]:
    from sip2gw.demo.upstream import (
        AWAY_DIALOGUES,
        LOAN_DIALOGUES,
        OBSERVED_DIALOGUES,
        PAYMENT_DIALOGUES,
    )

    yield from ("", "Pay: the library system books the money, and the gateway sees to it once.")
    yield from _to_try(PAYMENT_DIALOGUES, program, sip2)
    yield from _command(
        f"{program} payment list --config {_quoted(here)}", "what Bram has paid, and for whom"
    )
    yield from ("", "Borrow and return: the library system decides.")
    yield from _to_try(LOAN_DIALOGUES, program, sip2)
    yield from ("", "Observe: at door-4 the library system answers alone.")
    yield from _to_try(OBSERVED_DIALOGUES, program, sip2)
    yield from _command(
        f"{program} observe report --config {_quoted(here)}",
        "granted there, refused by us: no_badge",
    )
    yield from ("", f"Stop the library system. It comes back after {AWAY_S:.0f} seconds.")
    yield from _command(
        f"{program} drain --config {_quoted(there)}", "the library system has ended"
    )
    yield from _to_try(AWAY_DIALOGUES, program, sip2)
    yield from _command(f"{program} upstream status --config {_quoted(here)}", "away, until then")


def _command(line: str, outcome: str) -> tuple[str, str, str]:
    return "", line, f"  → {outcome}"


def _quoted(file: Path) -> str:
    return shlex.quote(str(file))
