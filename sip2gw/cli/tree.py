"""All commands: where each one is, and what the list of commands says of it.

The module of a command is imported when somebody asks for that command. Importing all of them,
with all that they work with, took longer than half of what most commands do, and half as long as
the gateway takes to start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import typer

from sip2gw.cli.access import declared


class _Place(NamedTuple):
    """Where a command is."""

    module: str
    """Below `sip2gw.cli`."""
    attribute: str
    """A function, or a `Typer` with commands below it."""
    help: str
    """For the list of commands; `NAME --help` of a function shows its docstring."""


_PLACES = {
    "serve": _Place("gateway.serve", "serve", "Run the gateway in the foreground."),
    "reload": _Place(
        "gateway.running", "reload", "Let the running gateway read its configuration again."
    ),
    "drain": _Place(
        "gateway.running",
        "drain",
        "Stop the running gateway, as SIGTERM does, and wait until it has ended.",
    ),
    "demo": _Place(
        "demo.command",
        "demo",
        "Start a gateway with a small, lively library, and print what you can try with it.",
    ),
    "check": _Place(
        "check", "check", "Check the configuration and the store, or probe a running gateway."
    ),
    "import": _Place(
        "library.data",
        "import_library",
        "Load library data from JSON Lines or tables: everything, or nothing if there is an error.",
    ),
    "export": _Place(
        "library.data", "export_library", "Write library data in the format that `import` reads."
    ),
    "backup": _Place(
        "library.backup", "backup", "Save everything that cannot be made again to one file."
    ),
    "restore": _Place("library.backup", "restore", "Make a new store of a backup."),
    "explain": _Place(
        "gateway.explain",
        "explain",
        "Explain what a terminal would be told about a card or an item, and why, check by check.",
    ),
    "maintain": _Place(
        "library.members.maintain",
        "maintain",
        "Renew, move and end memberships, and forget what may no longer be kept.",
    ),
    "send": _Place(
        "kiosk.wire",
        "send",
        "Act as a test kiosk: log in, send one message or play a script.",
    ),
    "decode": _Place(
        "kiosk.wire",
        "decode",
        "Explain captured SIP2 lines of both sides, field by field; every secret is masked.",
    ),
    "dashboard": _Place(
        "monitoring",
        "dashboard",
        "Write a Grafana dashboard (JSON) for all gateways that one Prometheus watches.",
    ),
    "alerts": _Place("monitoring", "alerts", "Write alert rules (YAML) for Prometheus."),
    "convert-config": _Place(
        "convert",
        "convert_config",
        "Convert the configuration of Koha, Evergreen or edge-sip2 into one for this gateway.",
    ),
    "hash-password": _Place(
        "passwords", "hash_password", "Hash a terminal's password for `password_hash`."
    ),
    "patron": _Place(
        "library.members.patron",
        "patron",
        "Find, show, block, merge or forget patrons, or set a PIN.",
    ),
    "badge": _Place("library.members.badge", "badge", "Badges, such as those that open a door."),
    "relationship": _Place(
        "library.members.relationship", "relationship", "Who pays and renews for whom."
    ),
    "membership": _Place("library.members.membership", "membership", "Membership definitions."),
    "payment": _Place("library.money.payment", "payment", "Payments at terminals."),
    "review": _Place(
        "library.desk.review", "review", "Loans and returns that need a person's attention."
    ),
    "support": _Place(
        "library.desk.support", "support", "What a person must follow up, and what patrons ask."
    ),
    "outbox": _Place("library.outbox", "outbox", "Notices to patrons."),
    "branch": _Place("library.entrance.branch", "branch", "Close a branch now, or open it."),
    "door": _Place("library.entrance.door", "door", "The doors' access log and lists."),
    "observe": _Place(
        "library.observe",
        "observe",
        "Compare what the gateway would decide with what the library system decides.",
    ),
    "terminal": _Place("gateway.terminal", "terminal", "The terminals of the running gateway."),
    "token": _Place("library.token", "token", "Tokens of people and programs that ask over HTTP."),
    "audit": _Place(
        "library.token",
        "audit",
        "List who read or changed what about whom, by command or by REST, oldest first.",
    ),
    "upstream": _Place("upstream.commands", "upstream", "The library system behind the gateway."),
}


class Commands(Mapping[str, Any]):
    """The commands by their names, each made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, _PLACES[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


def helps() -> list[tuple[str, str]]:
    """The name of each command, and what the list of commands says of it."""
    return [(name, place.help) for name, place in _PLACES.items()]


def _make(name: str, place: _Place) -> Any:
    """The command as a group of typer keeps it."""
    around = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    found = getattr(import_module(f"sip2gw.cli.{place.module}"), place.attribute)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name, help=place.help)
    else:
        around.command(name)(found)
    made = typer.main.get_group(around).commands[name]
    _declare(name, made)
    return made


_WHOLE = 10_000
"""Characters of a command's summary that the list of a group shows: all of them."""


def _list_whole(group: Any, ctx: Any, formatter: Any) -> None:
    """List the commands of `group` with their whole summaries, where typer would cut them."""
    with formatter.section("Commands"):
        formatter.write_dl(
            [(name, one.get_short_help_str(_WHOLE)) for name, one in group.commands.items()]
        )


def _declare(words: str, command: Any) -> None:
    """Let the functions of `command` and of all below it know what they may do to the store; let
    groups list them with their whole summaries.
    """
    below = getattr(command, "commands", None)
    if below is None:
        command.callback = declared(words, command.callback)
        return
    command.format_commands = partial(_list_whole, command)
    for name, one in below.items():
        _declare(f"{words} {name}", one)
