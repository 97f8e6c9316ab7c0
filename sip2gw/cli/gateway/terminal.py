"""`terminal …`: the terminals of the running gateway, as they are now (B86, C173)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    clock_time,
    printable,
    say,
    write_listing,
)
from sip2gw.cli.failures import CommandError
from sip2gw.cli.gateway.running import ANSWER_WITHIN_S, running_gateway
from sip2gw.foundation.words import counted

if TYPE_CHECKING:
    from sip2gw.control.messages import (
        TraceBegan,
        TraceEnded,
        TraceEvent,
    )

terminal = typer.Typer(no_args_is_help=True)

LoginArgument = Annotated[
    str, typer.Argument(metavar="LOGIN", help="Name or login of the terminal.")
]

_KEYS = (
    *("name", "profile", "branch", "connected", "lines", "address", "since", "requests"),
    "last_message",
)
_COLUMNS = (
    "name",
    "profile",
    "branch",
    "connected",
    "address",
    "since",
    "requests",
    "last_message",
)
_ARROWS = {"received": "→", "sent": "←", "connected": "connected", "disconnected": "disconnected"}


@terminal.command("list")
def list_terminals(
    json: JsonOption = False, csv: CsvOption = False, config: ConfigOption = None
) -> None:
    """List every configured terminal: connected or not, from where, since when, and its last
    message.

    `requests` counts the answers on its newest connection; `last_message` goes back to the start of
    the gateway. JSON keys: `name profile branch connected lines address since requests
    last_message`.
    """
    import msgspec

    from sip2gw.control.messages import ListTerminals, Terminals

    with running_gateway(config) as gateway:
        answer = gateway.ask(ListTerminals(), ANSWER_WITHIN_S)
    assert isinstance(answer, Terminals)
    write_listing(
        map(msgspec.to_builtins, answer.terminals),
        _KEYS if csv else _COLUMNS,
        json,
        csv=csv,
        times=("since", "last_message"),
        zone="the library's time zone",
        shown=_shown,
    )


def _shown(state: dict[str, Any]) -> dict[str, Any]:
    """A terminal as the table shows it."""
    lines = state["lines"]
    if not lines:
        return {**state, "requests": None}
    return {**state, "connected": counted(lines, "line") if lines > 1 else True}


@terminal.command()
def kick(login: LoginArgument, config: ConfigOption = None) -> None:
    """Disconnect a terminal after the request in progress has been answered.

    It may connect again at once. To keep it away, take it out of the configuration and reload. The
    exit status is 1 when it is not connected.
    """
    from sip2gw.control.messages import Kick, Kicked

    with running_gateway(config) as gateway:
        answer = gateway.ask(Kick(login), ANSWER_WITHIN_S)
    assert isinstance(answer, Kicked)
    say(f"sip2gw: {login}: {counted(answer.lines, 'line')} closed")


@terminal.command()
def trace(
    login: LoginArgument,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Seconds to trace, at most 3600.")
    ] = 60.0,
    frames: Annotated[
        int, typer.Option(metavar="N", help="Number of messages to trace, at most 10000.")
    ] = 1_000,
    config: ConfigOption = None,
) -> None:
    """Show what a terminal and the gateway say to each other, field by field, as it happens.

    PINs, passwords and logins are masked before they leave the gateway; names and card numbers are
    shown. Fields that are unknown, repeated or foreign to the message are masked too, because they
    may hold a PIN. A PIN in the place of another field cannot be recognised.

    The trace ends after the given time or number of messages, or when you stop this command. If the
    terminal is not connected, the trace waits for it; of its login only the answer is shown. When
    messages arrive faster than they can be shown, some are left out, and the trace says how many.
    """
    from sip2gw.control.messages import (
        Trace,
        TraceBegan,
        TraceEnded,
        TraceEvent,
    )

    with running_gateway(config) as gateway:
        begun = gateway.ask(Trace(login, seconds, frames), ANSWER_WITHIN_S)
        assert isinstance(begun, TraceBegan)
        _tell_beginning(begun, seconds)
        for answer in gateway.answers(seconds + ANSWER_WITHIN_S):
            if isinstance(answer, TraceEvent):
                _show(answer)
            elif isinstance(answer, TraceEnded):
                _tell_end(answer)
                return
    raise CommandError("the gateway ended during the trace")


def _tell_beginning(begun: TraceBegan, seconds: float) -> None:
    if begun.lines:
        say(f"sip2gw: {begun.terminal} is connected; tracing it for {seconds:g} s")
    else:
        say(f"sip2gw: {begun.terminal} is not connected; waiting for it for {seconds:g} s")


def _show(event: TraceEvent) -> None:
    if event.missed:
        say(f"sip2gw: {counted(event.missed, 'message')} left out")
    first, *others = [*event.shown, ""][: max(1, len(event.shown))]
    lines = [f"{clock_time(event.time)} {_ARROWS[event.what]} {first}".rstrip(), *others]
    sys.stdout.write("\n".join(map(printable, lines)) + "\n")
    sys.stdout.flush()


def _tell_end(ended: TraceEnded) -> None:
    why = {
        "seconds": "the time is up",
        "frames": "the number of messages is reached",
        "stopping": "the gateway is stopping",
    }[ended.reason]
    missed = f"; {counted(ended.missed, 'message')} left out" if ended.missed else ""
    say(f"sip2gw: end of the trace: {why}{missed}")
