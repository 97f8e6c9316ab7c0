"""A gateway lends its listening sockets to the one that follows it, and leaves (B89)."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol

from sip2gw.control.descriptors import SOCKETS_MAX, Beside
from sip2gw.control.messages import Answer, Draining, Lent, Refused
from sip2gw.control.tracing import Peer


class Lender(Protocol):
    """Who listens."""

    @property
    def config_file(self) -> str:
        """The configuration that is served, links in its path followed."""

    @property
    def supervisor(self) -> str:
        """Who starts this gateway again and must not lose sight of it; empty: nobody."""

    def sockets(self) -> Sequence[socket.socket]:
        """The sockets that it listens on; none when it has been told to end."""

    def hand_over(self, pid: int) -> float:
        """As `drain`, but process `pid` goes on with the terminals."""


def lend(lender: Lender, config: str) -> Answer | Beside:
    """Copies of the sockets, for a gateway of the same `config`."""
    if config != lender.config_file:
        return Lent(0)
    if lender.supervisor:
        return Refused(lender.supervisor)
    sockets = lender.sockets()
    if len(sockets) > SOCKETS_MAX:
        return Refused(f"it listens on more than {SOCKETS_MAX} sockets; stop it first")
    return Beside(Lent(len(sockets), ending=not sockets), sockets)


def leave_to(lender: Lender, config: str, peer: Peer) -> Answer:
    """Leave the terminals to `peer`, who has the sockets; `Draining` when it is so."""
    if config != lender.config_file:
        return Refused("it serves another configuration")
    if lender.supervisor:
        return Refused(lender.supervisor)
    if not lender.sockets():
        return Refused("it is ending already; try again when it has ended")
    return Draining(lender.hand_over(peer.pid))
