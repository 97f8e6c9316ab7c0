"""A connection as the gateway knows it, from accept to its end, and its observers."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from sip2gw.handlers import Session, TerminalView
from sip2gw.protocol.line.connection import ServerConnection
from sip2gw.protocol.wire import WireFormat
from sip2gw.serving.site import KnownTerminal


class Conversation(Struct):
    """One connection, as far as the gateway cares."""

    number: int
    address: str
    link: ServerConnection
    client_names: frozenset[str] = frozenset()
    """Names in the TLS client certificate."""
    session: Session | None = None
    known: KnownTerminal | None = None
    """The terminal as it was configured when it logged in."""
    failed_logins: int = 0
    requests: int = 0
    """Number of answered requests."""
    closing: str = ""
    """Set when the connection must be closed after the answer: why."""

    @property
    def terminal(self) -> TerminalView | None:
        """The logged-in terminal."""
        return self.session.terminal if self.session is not None else None


class Watcher(Protocol):
    """Sees the messages of one terminal; nothing that it does may fail (B86)."""

    def came(self, line: int, address: str) -> None:
        """The terminal has logged in, on the connection with the number `line`."""

    def went(self, line: int) -> None:
        """That connection has ended."""

    def saw(
        self, line: int, what: Literal["received", "sent"], frame: bytes, wire: WireFormat
    ) -> None:
        """A frame, with every secret that it holds."""
