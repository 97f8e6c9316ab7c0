"""The port to a library system behind the gateway: how it is asked, and how that fails (B71)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct

from sip2gw.backend.base import BackendError
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import AcsStatus
from sip2gw.protocol.structs import Discreet, Hidden


class LibrarySystemError(BackendError):
    """The library system failed us; the store is not concerned."""

    of_store = False


class NotAskedError(LibrarySystemError):
    """It was not asked: no line, the breaker is open, or the turn came too late. So certainly
    nothing was done there (C154)."""

    kind = "unavailable"


class NoAnswerError(LibrarySystemError):
    """It was asked and did not answer in time: nobody knows what it did."""

    kind = "timeout"


class BadAnswerError(LibrarySystemError):
    """It was asked, and what came cannot be trusted: another type, sequence, patron or item, or no
    SIP2 at all. The line is closed."""

    kind = "bad_answer"


class AnotherPatronAnsweredError(BadAnswerError):
    """The answer is about another number than was asked (C151)."""

    problem = (
        "the answer has another number (AA) than was asked; if that is the same patron's, set"
        " aliases = true for the account"
    )


BreakerState = Literal["closed", "half_open", "open"]


class Lease(Discreet, Struct):
    """A session's claim to the line on which it was served last (C122).

    It lasts until a 35, another card or 60 s, and gives way to terminals that wait for a line.
    """

    card: Hidden[bytes] = b""
    line: Any = None
    """The line itself; only its pool looks at it."""
    until_s: float = 0.0
    """Monotonic."""


class AccountState(Struct, frozen=True):
    """One account as `upstream status` and the metrics show it (C157)."""

    account: str
    state: Literal["up", "connecting", "away", "refused"]
    """`up`: a line works. `refused`: the login was not accepted. Otherwise it is away."""
    open: int
    """Lines that are connected and logged in."""
    idle: int
    """Of these, lines that wait for a request."""
    waiting: int
    """Requests that wait for a line."""
    breaker: BreakerState
    latency_ms: float | None
    """Median of the last answers; None before the first."""


Sent = Callable[[], None]
"""Called when a request goes up, and never if it does not (`NotAskedError`)."""


class LibrarySystem(Protocol):
    """All accounts at one library system. Each request names the account and the terminal."""

    def ask(
        self,
        account: str,
        terminal: str,
        request: Request,
        lease: Lease | None = None,
        sent: Sent | None = None,
    ) -> Awaitable[Response]:
        """Ask as soon as a line is free; awaiting gives the answer: of the right type, sequence,
        patron and item.

        `request` goes up as it is, with AO and CP of the caller's choosing, in the account's
        dialect; texts come back decoded, unknown fields in `extra_fields` byte for byte in the
        account's encoding. The answer is nobody's to change: who says the same again is given the
        same message, with the transaction date of the first. If cancelled, the line is closed
        unless the answer was there already.

        Raises:
            NotAskedError: certainly nothing was done there.
            NoAnswerError: nobody knows.
            BadAnswerError: nobody knows, and the line is closed.
        """
        ...

    def pass_on(
        self, account: str, terminal: str, body: bytes, lease: Lease | None = None
    ) -> Awaitable[bytes]:
        """The same for a body (no AY, AZ and line end) that is not touched either way (C126)."""
        ...

    def release(self, lease: Lease) -> None:
        """The session has ended: its line is anybody's."""
        ...

    def offers(self, account: str) -> frozenset[str] | None:
        """The request codes that the account may send, by their BX or the key `messages` (C152);
        None before the first 98."""
        ...

    def last_status(self, account: str) -> AcsStatus | None:
        """Its last 98; None before the first. The flags in it are only handed on (C152)."""
        ...

    def forget(self) -> None:
        """Forget what was answered; nothing of a patron is kept longer than some minutes anyhow."""
        ...

    def is_away(self, account: str) -> bool:
        """Whether the breaker is open: nobody is asked before it has been tried again (B77)."""
        ...

    def silent_at(self, account: str) -> float | None:
        """When it last was seen not to answer in time, or to be back from having been away, on the
        monotonic clock; None: not since the start. What it had read before, it may do after that.
        """
        ...

    def last_answer(self, account: str) -> datetime | None:
        """When it answered that account last, whatever was asked; None: not since the start."""
        ...

    def states(self) -> Sequence[AccountState]:
        """Every account, in the order of the configuration."""
        ...

    async def start(self) -> None:
        """Open one line for each account, in the background."""
        ...

    async def close(self) -> None:
        """Close all lines."""
        ...
