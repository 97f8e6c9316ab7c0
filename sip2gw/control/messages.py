"""The messages of the control socket: one JSON object per line, each of its own type (C130).

Each request gets one answer, in order. Only `Drain`, `TakeOver` and `Trace` get several, up to
`Drained` and `TraceEnded`. Anything that is not a readable request gets `Refused`; nothing that a
peer sends raises any other error.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Iterator
from typing import Literal

import msgspec

from sip2gw.backend.system import AccountState
from sip2gw.monitoring.metrics import Family
from sip2gw.protocol.structs import Discreet, Hidden

REQUEST_BYTES_MAX = 4_096
"""The longest request, without its line end."""
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""The longest answer: the numbers of 100,000 terminals are shorter."""

TRACE_SECONDS_MAX = 3_600
TRACE_FRAMES_MAX = 10_000

_PROBLEM_CHARACTERS_MAX = 200


def _tag(name: str) -> str:
    """`ListTerminals` is `list_terminals` on the line."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")


class Request(msgspec.Struct, frozen=True, tag_field="request", tag=_tag):
    """A request to the gateway."""


class Ping(Request, frozen=True, forbid_unknown_fields=True):
    """Ask whether the loop takes its turns; answered with `Alive`."""


class ReadNumbers(Request, frozen=True, forbid_unknown_fields=True):
    """Ask for all numbers for monitoring; answered with `Numbers`."""


class Reload(Request, frozen=True, forbid_unknown_fields=True):
    """Read the configuration again; answered with `Reloaded` afterwards (B66)."""


class Drain(Request, frozen=True, forbid_unknown_fields=True):
    """Stop accepting, finish what runs and end, as SIGTERM does (C173).

    Answered with `Draining` at once, and with `Drained` at the very end.
    """


class Lend(Request, frozen=True, forbid_unknown_fields=True):
    """Ask for copies of the listening sockets, so that another gateway can take over (B89).

    Answered with `Lent` and the sockets beside it (SCM_RIGHTS). This gateway goes on serving.
    """

    config: str
    """The configuration file of whoever asks, links in it followed."""


class TakeOver(Request, frozen=True, forbid_unknown_fields=True):
    """Leave the terminals to the gateway that asks, which holds the sockets: as `Drain`.

    Answered with `Draining` at once, and with `Drained` when the store is closed.
    """

    config: str
    """As in `Lend`."""


class ListTerminals(Request, frozen=True, forbid_unknown_fields=True):
    """Ask for all configured terminals; answered with `Terminals`."""


class Kick(Request, frozen=True, forbid_unknown_fields=True):
    """Close the lines of a terminal after the request in progress; answered with `Kicked`."""

    terminal: str
    """Its name, or its login."""


class Trace(Request, frozen=True, forbid_unknown_fields=True):
    """Show what a terminal and the gateway say to each other, without secrets (B86, B16).

    Answered with `TraceBegan`, any number of `TraceEvent`, and `TraceEnded`.
    """

    terminal: str
    """Its name, or its login."""
    seconds: float = msgspec.field(default=60.0)
    """Seconds after which it ends by itself; more than 0, at most `TRACE_SECONDS_MAX`."""
    frames: int = msgspec.field(default=1_000)
    """Frames after which it ends; at least 1, at most `TRACE_FRAMES_MAX`."""


class UpstreamStatus(Request, frozen=True, forbid_unknown_fields=True):
    """Ask for all accounts at the library system; answered with `UpstreamAccounts` (C157)."""


class FollowUp(Request, frozen=True, forbid_unknown_fields=True):
    """Open messages of customer support now and not within a minute (C145).

    Answered with `FollowedUp` afterwards.
    """


class Decide(Discreet, Request, frozen=True, forbid_unknown_fields=True):
    """Let a door decide, for a controller that speaks no SIP2 (C140); answered with `Decided`."""

    terminal: str
    """The door's name, or its login."""
    card: Hidden[str]
    pin: Hidden[str | None] = None
    direction: Literal["in", "out"] | None = None


class ReadConfiguration(Request, frozen=True, forbid_unknown_fields=True):
    """Ask for the configuration in force; answered with `Configuration`.

    It has secrets, so only the gateway's own processes get it.
    """


class Answer(msgspec.Struct, frozen=True, tag_field="answer", tag=_tag):
    """A message of the gateway."""


class Refused(Answer, frozen=True):
    """A refusal with its reason; nothing else follows."""

    problem: str


class Alive(Answer, frozen=True):
    """The loop has just taken a turn."""

    ready: bool
    """Whether terminals are served and the store works."""
    reloads: int = 0
    """How often another configuration has come into force: who has read it reads it again."""


class Numbers(Answer, frozen=True):
    """The numbers of this moment."""

    pid: int
    """The gateway's process id, for the numbers that the system has of it."""
    families: list[Family]


class Reloaded(Answer, frozen=True):
    """The result of a reload; with `problems` the old configuration stays in force."""

    problems: list[str]
    needs_restart: list[str]
    """Keys whose new value takes effect only after a restart."""


class Draining(Answer, frozen=True):
    """The end has begun."""

    within_s: float
    """The end takes at most this many seconds."""


class Drained(Answer, frozen=True):
    """The end: everything is closed."""

    given_up: list[str]
    """What took too long; empty after a clean end."""


class Lent(Answer, frozen=True):
    """The listening sockets are beside this line."""

    sockets: int
    """How many; 0 when another configuration is served here."""
    ending: bool = False
    """Whether this gateway has no sockets any more, because it has been told to end."""


class TerminalState(msgspec.Struct, frozen=True):
    """One configured terminal, with the keys of `terminal list --json` (C21)."""

    name: str
    profile: str
    branch: str | None
    connected: bool
    lines: int
    """Its number of connections now."""
    address: str | None
    """Of its newest connection, like the next two."""
    since: str | None
    """When that was opened."""
    requests: int
    """Its number of answered requests."""
    last_message: str | None
    """When the terminal last sent a message to this gateway, on whatever connection."""


class Terminals(Answer, frozen=True):
    """All configured terminals, in the order of the configuration."""

    terminals: list[TerminalState]


class Kicked(Answer, frozen=True):
    """The lines are closed, or will be after the request that is running."""

    lines: int


class TraceBegan(Answer, frozen=True):
    """Messages are shown from now on."""

    terminal: str
    """Its name."""
    lines: int
    """How many connections it has now; with none the trace waits for one."""


class TraceEvent(Answer, frozen=True):
    """A message on a line, or a line that began or ended."""

    time: str
    line: int
    """The number of the connection, as in the log."""
    what: Literal["received", "sent", "connected", "disconnected"]
    shown: list[str]
    """The frame decoded, a line for each field, every secret masked; or where it came from."""
    missed: int = 0
    """The number of frames before this one that were left out."""


class TraceEnded(Answer, frozen=True):
    """Nothing more is shown."""

    reason: Literal["seconds", "frames", "stopping"]
    missed: int
    """The number of frames left out because they came faster than they were read."""


class FollowedUp(Answer, frozen=True):
    """The gateway has opened what it could."""


class UpstreamAccounts(Answer, frozen=True):
    """All accounts, in the order of the configuration."""

    accounts: list[AccountState]


class Decided(Answer, frozen=True):
    """What the door does, with the keys of `POST /door/decide`."""

    decision: Literal["granted", "refused"]
    reason: str
    text: str
    """For whoever stands there."""


class Configuration(Discreet, Answer, frozen=True):
    """The configuration in force (C131)."""

    reloads: int
    """As in `Alive`, when it was in force."""
    packed: Hidden[bytes]
    """For `sip2gw.config.passing.unpack`."""


AnyRequest = (
    Ping
    | ReadNumbers
    | Reload
    | Drain
    | Lend
    | TakeOver
    | ListTerminals
    | Kick
    | Trace
    | UpstreamStatus
    | FollowUp
    | Decide
    | ReadConfiguration
)
AnyAnswer = (
    Refused
    | Alive
    | Numbers
    | Reloaded
    | Draining
    | Drained
    | Lent
    | Terminals
    | Kicked
    | TraceBegan
    | TraceEvent
    | TraceEnded
    | UpstreamAccounts
    | FollowedUp
    | Decided
    | Configuration
)

Later = Future[Reloaded] | Future[FollowedUp] | Future[Decided] | Future[AnyAnswer]
"""An answer that takes a while."""

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_answers: msgspec.json.Decoder[AnyAnswer] = msgspec.json.Decoder(AnyAnswer)


class UnreadableAnswerError(Exception):
    """The other side sends something that this version cannot read."""


class LineTooLongError(Exception):
    """A line goes on without an end."""


def encode(message: Request | Answer) -> bytes:
    """`message` as a line, with its end."""
    return _encoder.encode(message) + b"\n"


def read_request(line: bytes) -> AnyRequest | Refused:
    """The request in `line`, or why there is none; any bytes do no harm."""
    try:
        return _requests.decode(line)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        return Refused(f"this version does not know the request: {_in_short(error)}")


def read_answer(line: bytes) -> AnyAnswer:
    """The answer in `line`.

    Raises:
        UnreadableAnswerError: there is none.
    """
    try:
        return _answers.decode(line)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UnreadableAnswerError(_in_short(error)) from None


def _in_short(error: Exception) -> str:
    text = str(error)[:_PROBLEM_CHARACTERS_MAX]
    return "".join(c if c.isprintable() else "?" for c in text)


class LineBuffer:
    """Cuts a stream into lines of at most `bytes_max`; each byte is looked at a few times only."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._data = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        self._data += data

    def next_line(self) -> bytes | None:
        """The next line without its end, None until all of it is there.

        Raises:
            LineTooLongError: it is over the limit, complete or not; the buffer is of no use any
                more.
        """
        end = self._data.find(b"\n", self._searched)
        if (len(self._data) if end < 0 else end) > self._bytes_max:
            raise LineTooLongError
        if end < 0:
            self._searched = len(self._data)
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        self._searched = 0
        return line

    def lines(self) -> Iterator[bytes]:
        """All lines that are complete."""
        while (line := self.next_line()) is not None:
            yield line
