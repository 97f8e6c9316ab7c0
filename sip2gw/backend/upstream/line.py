"""One connection to a library system: one request at a time, and nothing but its answer (B71)."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from enum import Enum
from typing import Any, Protocol, cast

from msgspec import Struct

from sip2gw.backend.system import Lease, LibrarySystemError, Sent
from sip2gw.backend.upstream.readings import Readings
from sip2gw.config.tables.upstream import Account
from sip2gw.foundation.eager import OneWait
from sip2gw.protocol.errors import AnotherPatronError, ProtocolError
from sip2gw.protocol.fields import NUL
from sip2gw.protocol.line.connection import RESEND_BODY, ClientConnection
from sip2gw.protocol.line.matching import Asked
from sip2gw.protocol.messages import AcsStatus
from sip2gw.protocol.structs import Opaque
from sip2gw.protocol.wire import UNCUT, WireFormat

ANSWER_BYTES_MAX = 256 * 1024
"""Of one answer: the account of somebody with hundreds of loans is one."""
RESENDS_MAX = 3
"""So many 96s are heeded for one request."""
_LINE_ENDS = b"\r\n "
"""What may come when nobody has asked: the LF after a CR, above all."""


def wire_format(account: Account) -> WireFormat:
    """How messages are written for `account`. Nothing is cut or lost on the way (C126, C153)."""
    return WireFormat(
        encoding=account.encoding,
        terminator=account.terminator,
        date_zone=account.date_zone,
        value_bytes_max=UNCUT,
        keeps_bytes=True,
    )


class Job(Opaque, Struct, eq=False):
    """One request on its way to an answer. Whoever has asked awaits it."""

    owner: Owner
    terminal: str
    body: bytes
    asked: Asked
    """What `body` is about."""
    deadline: float
    typed: bool
    """Whether the answer is a message; else it is the body as it came."""
    lease: Lease | None = None
    sent: Sent | None = None
    is_ours: bool = False
    """Whether no terminal has asked: a login, a keep-alive."""
    line: Line | None = None
    """On which it was sent; None: it was not."""
    is_over: bool = False
    """Whether it is answered, has failed, or nobody waits for it any more."""
    answer: Any = None
    error: LibrarySystemError | None = None
    wait: OneWait | None = None
    """What whoever has asked waits for now."""

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            while not self.is_over:
                wait = self.wait = OneWait()
                # Only its end matters, not how it ends: `Detached` goes on after a cancelled one.
                yield wait.begun()
        except asyncio.CancelledError:
            if not self.is_over:
                self.is_over = True
                self.owner.left(self)
            raise
        if self.error is not None:
            raise self.error
        return self.answer

    def end(self, answer: Any) -> None:
        """Give the answer where it is awaited. Call it last: the request goes on at once."""
        self.is_over, self.answer = True, answer
        if self.wait is not None:
            self.wait.end()

    def fail(self, error: LibrarySystemError) -> None:
        """Raise `error` where it is awaited, in a later turn of the loop."""
        self.is_over, self.error = True, error
        if self.wait is not None:
            self.wait.end_later()


class End(Enum):
    """Why a line has ended by itself."""

    HUNG_UP = "hung up"
    STRANGE = "strange"
    """What came cannot be trusted."""
    MISTAKEN = "mistaken"
    """Only the patron of the answer is another one, as some library systems say when asked for a
    user name. So they serve, and nobody at a terminal can have them left alone."""


class Owner(Protocol):
    """What a line and its jobs tell."""

    def answered(self, line: Line, job: Job, answer: Any) -> None:
        """The answer to `job` has come; the line may be over all the same."""

    def broken(self, line: Line, job: Job | None, end: End) -> None:
        """The line has ended by itself, with `job` unanswered if there was one."""

    def left(self, job: Job) -> None:
        """Nobody waits for `job` any more, which has not ended."""


class Line(asyncio.Protocol):
    """Sends a job and waits for its answer; whatever else comes ends the line."""

    def __init__(
        self, owner: Owner, account: Account, wire: WireFormat, readings: Readings
    ) -> None:
        self.owner = owner
        self._readings = readings
        self._aliases = account.aliases
        self._checksum = account.checksums != "none"
        self._client = ClientConnection(
            wire, ANSWER_BYTES_MAX, characters=account.checksums == "characters"
        )
        self._transport: asyncio.Transport | None = None
        self._resends = 0
        self.job: Job | None = None
        self.is_over = False
        self.is_ready = False
        """Whether it is logged in."""
        self.lease: Lease | None = None
        self.status: AcsStatus | None = None
        """The last 98 on it."""
        self.opened_at = 0.0
        self.used_at = 0.0
        """When it was last asked."""
        self.worked_before = 0.0
        """How long our thread had worked until then, in seconds."""
        self.served_at = 0.0
        """When a terminal last asked."""
        self.has_served = False

    # asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are not instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        if self.is_over:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The library system has hung up, unless we have."""
        self._break(End.HUNG_UP)

    def data_received(self, data: bytes) -> None:
        """Take the answer."""
        job = self.job
        if job is None:
            # Late, twice or unasked: what comes next would be taken for the answer to the next.
            if data.strip(_LINE_ENDS):
                self._break(End.STRANGE)
            return
        try:
            answer = self._answer(job, data)
        except AnotherPatronError:
            self._break(End.MISTAKEN)
        except ProtocolError:
            self._break(End.STRANGE)
        else:
            if answer is not None:
                self.job = None
                if self._client.has_more:
                    self.end()
                self.owner.answered(self, job, answer)

    def _answer(self, job: Job, data: bytes) -> Any:
        """The answer to `job`, if it is whole now.

        Raises:
            ProtocolError: `data` cannot be that, or asks for the request once too often.
        """
        client = self._client
        if NUL in data:
            raise ProtocolError("a NUL")
        body = client.next_body(data)
        while body == RESEND_BODY:
            self._resend()
            body = client.next_body()
        if body is None:
            return None
        if job.typed:
            return self._readings.answer(job.body, job.asked, body)
        job.asked.insist(body, aliases=self._aliases)
        return body

    def _resend(self) -> None:
        self._resends += 1
        if self._resends > RESENDS_MAX:
            raise ProtocolError("96 without end")
        self._write(self._client.resend())

    # For the owner -------------------------------------------------------------------------

    def send(self, job: Job, now: float, worked_s: float) -> None:
        """Send `job`; its answer goes to the owner."""
        self.job, job.line = job, self
        self.used_at, self.worked_before = now, worked_s
        if not job.is_ours:
            self.served_at = now
        self._resends = 0
        if job.sent is not None:
            job.sent()
        if self._transport is not None:
            self._transport.write(self._client.send_body(job.body, self._checksum))

    def end(self) -> None:
        """Hang up at once; the owner is told nothing."""
        self.is_over, self.job = True, None
        if self._transport is not None:
            self._transport.abort()
            # The two hold each other, and TLS holds much memory: it would stay until the garbage
            # is collected, which is seldom.
            self._transport = None

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _break(self, end: End) -> None:
        if self.is_over:
            return
        job = self.job
        self.end()
        self.owner.broken(self, job, end)
