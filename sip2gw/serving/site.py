"""All terminals of one configuration, found by login and by name.

A reload builds a new `Site` and swaps it in (B66).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sip2gw.backend.base import Capability
from sip2gw.config import Config, Terminal
from sip2gw.handlers import TerminalView
from sip2gw.protocol.wire import WireFormat
from sip2gw.serving.views import terminal_views
from sip2gw.texts import Catalogue

ADDRESSES_REMEMBERED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class KnownTerminal:
    """A login and the view that it opens."""

    terminal: Terminal
    view: TerminalView

    def admits_like(self, other: KnownTerminal) -> bool:
        """Whether both ask the same of whoever logs in (C101)."""
        return self is other or self.terminal.admission == other.terminal.admission


class Expected:
    """The addresses from which any of some terminals may come (C100)."""

    def __init__(self, terminals: Collection[Terminal]) -> None:
        self._terminals = terminals
        self._known: dict[str, bool] = {}

    def includes(self, address: str) -> bool:
        """Whether any may come from `address`; others are not even listened to."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= ADDRESSES_REMEMBERED_MAX:
                self._known.clear()
            known = any(terminal.allows_address(address) for terminal in self._terminals)
            self._known[address] = known
        return known


@dataclass(frozen=True, slots=True)
class Site:
    """All terminals of one configuration."""

    config: Config
    by_login: dict[str, KnownTerminal] = field(repr=False)
    by_name: dict[str, KnownTerminal]
    texts: Catalogue
    prelogin: WireFormat
    """How lines look before the login (C73)."""
    expected: Expected = field(repr=False)
    recognised: tuple[KnownTerminal, ...] = ()
    """Those that need not log in."""

    def recognise(self, address: str, names: frozenset[str]) -> KnownTerminal | None:
        """The terminal that calls from `address`, if it need not log in (B94, C134).

        Args:
            address: the IP address of the line.
            names: those in its client certificate. They go before the address; a certificate with
                the names of two terminals tells neither.
        """
        shown = [one for one in self.recognised if one.terminal.is_shown_by(address, names)]
        named = [one for one in shown if one.terminal.tls_client_name is not None]
        found = named or shown
        return found[0] if len(found) == 1 else None


def build_site(config: Config, capabilities: frozenset[Capability]) -> Site:
    """Compile `config` for a backend with `capabilities`."""
    texts = Catalogue(config.texts)
    known = [KnownTerminal(*pair) for pair in terminal_views(config, capabilities, texts)]
    return Site(
        config=config,
        by_login={entry.terminal.login: entry for entry in known},
        by_name={entry.terminal.name: entry for entry in known},
        recognised=tuple(entry for entry in known if not entry.terminal.login_required),
        texts=texts,
        prelogin=WireFormat(),
        expected=Expected([entry.terminal for entry in known]),
    )
