"""All terminals of one configuration, found by login and by name.

A reload builds a new `Site` and swaps it in (B66).
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from sip2gw.backend.base import Capability
from sip2gw.config import Config, Terminal
from sip2gw.handlers import TerminalView
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.wire import WireFormat
from sip2gw.serving.views import terminal_views
from sip2gw.texts import Catalogue

ADDRESSES_REMEMBERED_MAX = 1_000


class KnownTerminal(Struct, frozen=True):
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


class Recognised:
    """The terminals that need not log in: who calls is told by certificate or address (C134)."""

    def __init__(self, terminals: Collection[KnownTerminal]) -> None:
        self._by_certificate: dict[str, KnownTerminal] = {}
        self._by_address: list[KnownTerminal] = []
        for one in terminals:
            name = one.terminal.tls_client_name
            if name is None:
                self._by_address.append(one)
            else:
                self._by_certificate[name] = one
        self._known: dict[str, KnownTerminal | None] = {}

    def find(self, address: str, names: Collection[str]) -> KnownTerminal | None:
        """The terminal that calls from `address`, if it is one of these.

        `names` are in the line's certificate, and go before the address. A certificate with the
        names of two terminals tells neither.
        """
        named = [
            one
            for name in names
            if (one := self._by_certificate.get(name)) is not None
            and one.terminal.allows_address(address)
        ]
        if named:
            return named[0] if len(named) == 1 else None
        return self._at(address)

    def _at(self, address: str) -> KnownTerminal | None:
        """Whose `address` is; no two have one (`config.tables.recognition`)."""
        if address not in self._known:
            if len(self._known) >= ADDRESSES_REMEMBERED_MAX:
                self._known.clear()
            found = (one for one in self._by_address if one.terminal.allows_address(address))
            self._known[address] = next(found, None)
        return self._known[address]


class Site(Discreet, Struct, frozen=True):
    """All terminals of one configuration."""

    config: Config
    by_login: Hidden[dict[str, KnownTerminal]]
    by_name: dict[str, KnownTerminal]
    texts: Catalogue
    prelogin: WireFormat
    """How lines look before the login (C73)."""
    expected: Hidden[Expected]
    recognised: Hidden[Recognised]


def build_site(config: Config, capabilities: frozenset[Capability]) -> Site:
    """Compile `config` for a backend with `capabilities`."""
    texts = Catalogue(config.texts)
    known = [KnownTerminal(*pair) for pair in terminal_views(config, capabilities, texts)]
    return Site(
        config=config,
        by_login={entry.terminal.login: entry for entry in known},
        by_name={entry.terminal.name: entry for entry in known},
        texts=texts,
        prelogin=WireFormat(),
        expected=Expected([entry.terminal for entry in known]),
        recognised=Recognised([entry for entry in known if not entry.terminal.login_required]),
    )
