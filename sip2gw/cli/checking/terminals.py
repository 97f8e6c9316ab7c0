"""Terminals that nobody can use, or that too many can (B12, C48, C75, C102, C134)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from sip2gw.cli.checking.examples import is_example
from sip2gw.cli.checking.words import places

if TYPE_CHECKING:
    from sip2gw.config import Config, Terminal


def about_terminals(config: Config, now: datetime) -> Iterator[str]:
    """What is doubtful about the terminals, each kind of doubt once."""
    terminals = list(config.terminals.values())
    for has_doubt, key, what in _doubts(now):
        names = [f"terminals.{one.name}.{key}" for one in terminals if has_doubt(one)]
        if names:
            yield f"{places(names)}: {what}"
    yield from _about_accounts(config)
    yield from _about_hours(terminals)


def _doubts(now: datetime) -> Iterable[tuple[Callable[[Terminal], bool], str, str]]:
    """Whether a terminal is doubtful, which key makes it so, and what to do."""
    return (
        (
            lambda it: it.expired_at(now),
            "expires",
            "past, so the terminal is refused; give a later date, or remove the terminal",
        ),
        (
            lambda it: is_example(it.password, it.password_hash),
            "password",
            "taken from an example that everybody can read; choose another"
            " (`sip2gw hash-password`)",
        ),
        (
            _may_come_from_everywhere,
            "networks",
            'open to every address; name the machine\'s, such as ["10.1.2.3/32"]',
        ),
        (
            _is_whole_network,
            "networks",
            "a whole network, and every machine there is this terminal, without a password; name"
            " the machine's address, or let it log in",
        ),
        (
            lambda it: (
                it.profile.kind != "auth" and it.max_connections != 1 and not _is_one_address(it)
            ),
            "max_connections",
            "one login for several machines, which neither log nor till can tell apart; give"
            " each machine its own terminal, then leave the key out",
        ),
        (
            lambda it: _is_entrance(it) and it.branch is None,
            "branch",
            "not set, and a door without a branch admits nobody; name its branch",
        ),
    )


def _may_come_from_everywhere(terminal: Terminal) -> bool:
    """A client certificate names the machine better than an address."""
    return terminal.tls_client_name is None and any(
        network.prefixlen == 0 for network in terminal.networks
    )


NETWORK_BITS_MIN = {4: 24, 6: 64}
"""A network with a shorter prefix than this is hardly that of one service."""


def _is_whole_network(terminal: Terminal) -> bool:
    """Whether many machines are let in without a login; from everywhere is another doubt."""
    return (
        not terminal.login_required
        and terminal.tls_client_name is None
        and any(0 < one.prefixlen < NETWORK_BITS_MIN[one.version] for one in terminal.networks)
    )


def _is_one_address(terminal: Terminal) -> bool:
    """Whether all its lines come from one machine, which need not log in."""
    return not terminal.login_required and sum(one.num_addresses for one in terminal.networks) == 1


def _is_entrance(terminal: Terminal) -> bool:
    return terminal.profile.door is not None and terminal.profile.door.direction == "in"


def _about_hours(terminals: Iterable[Terminal]) -> Iterator[str]:
    doors: dict[str, list[str]] = {}
    for terminal in terminals:
        branch = terminal.branch
        if branch is None or not _is_entrance(terminal):
            continue
        if not branch.calendar.slots and not branch.calendar.exceptions:
            doors.setdefault(branch.code, []).append(terminal.name)
    for code, names in doors.items():
        yield (
            f"branches.{code}.hours: empty, and a branch without hours is closed, so nobody"
            f" gets in at {places(names)}; list its hours"
        )


def _about_accounts(config: Config) -> Iterator[str]:
    for name, account in config.accounts.items():
        if is_example(account.password):
            yield (
                f"backend.sip2: the password of account {name} is taken from an example that"
                " everybody can read; choose another, there and here"
            )
