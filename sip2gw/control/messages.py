"""What is said over the control socket: one JSON object a line, each of a type of its own (C130).

A request is answered by one answer, in order, but for `Drain` and `Trace`, which are answered by
several, up to `Drained` and `TraceEnded`. Whatever cannot be read as a request is answered with
`Refused`; nothing that a peer sends raises anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from sip2gw.monitoring.metrics import Family

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
    """What is asked of the gateway."""


class Ping(Request, frozen=True, forbid_unknown_fields=True):
    """Whether the loop takes its turns; answered with `Alive`."""


class ReadNumbers(Request, frozen=True, forbid_unknown_fields=True):
    """All numbers for monitoring; answered with `Numbers`."""


class Reload(Request, frozen=True, forbid_unknown_fields=True):
    """Read the configuration again; answered with `Reloaded` once that is done (B66)."""


class Drain(Request, frozen=True, forbid_unknown_fields=True):
    """Stop accepting, finish what runs and end, as SIGTERM does (C173).

    Answered with `Draining` at once, and with `Drained` at the very end.
    """


class ListTerminals(Request, frozen=True, forbid_unknown_fields=True):
    """All configured terminals; answered with `Terminals`."""


class Kick(Request, frozen=True, forbid_unknown_fields=True):
    """Close the lines of a terminal, after the request that is running; answered with `Kicked`."""

    terminal: str
    """Its name, or its login."""


class Trace(Request, frozen=True, forbid_unknown_fields=True):
    """Show what a terminal and the gateway say to each other, without secrets (B86, B16).

    Answered with `TraceBegan`, any number of `TraceEvent`, and `TraceEnded`.
    """

    terminal: str
    """Its name, or its login."""
    seconds: float = msgspec.field(default=60.0)
    """After so long it ends by itself; more than 0, at most `TRACE_SECONDS_MAX`."""
    frames: int = msgspec.field(default=1_000)
    """And after so many frames; at least 1, at most `TRACE_FRAMES_MAX`."""


class Answer(msgspec.Struct, frozen=True, tag_field="answer", tag=_tag):
    """What the gateway says."""


class Refused(Answer, frozen=True):
    """It is not done, and why; nothing else follows."""

    problem: str


class Alive(Answer, frozen=True):
    """The loop has just taken a turn."""

    ready: bool
    """Whether terminals are served and the store works."""


class Numbers(Answer, frozen=True):
    """The numbers of this moment."""

    pid: int
    """Of the gateway, for the numbers that the system has of it."""
    families: list[Family]


class Reloaded(Answer, frozen=True):
    """What became of a reload; with `problems` the configuration before it stays in force."""

    problems: list[str]
    needs_restart: list[str]
    """Keys whose new value counts from the next start only."""


class Draining(Answer, frozen=True):
    """The end has begun."""

    within_s: float
    """It takes no longer than so many seconds."""


class Drained(Answer, frozen=True):
    """The end: all is closed."""

    given_up: list[str]
    """What took too long; empty after a clean end."""


class TerminalState(msgspec.Struct, frozen=True):
    """One configured terminal, with the keys of `terminal list --json` (C21)."""

    name: str
    profile: str
    branch: str | None
    connected: bool
    lines: int
    """How many connections it has now."""
    address: str | None
    """Of its newest connection, like the next two."""
    since: str | None
    """When that was opened."""
    requests: int
    """How many it has had answered."""
    last_message: str | None
    """When the terminal last sent a message to this gateway, on whatever connection."""


class Terminals(Answer, frozen=True):
    """All configured terminals, in the order of the configuration."""

    terminals: list[TerminalState]


class Kicked(Answer, frozen=True):
    """The lines are closed, or will be after the request that is running."""

    lines: int


class TraceBegan(Answer, frozen=True):
    """What is said from now on is shown."""

    terminal: str
    """Its name."""
    lines: int
    """How many connections it has now; with none the trace waits for one."""


class TraceEvent(Answer, frozen=True):
    """Something that was said, or a line that came or went."""

    time: str
    line: int
    """The number of the connection, as in the log."""
    what: Literal["received", "sent", "connected", "disconnected"]
    shown: list[str]
    """The frame decoded, a line for each field, every secret masked; or where it came from."""
    missed: int = 0
    """So many frames before this one were left out."""


class TraceEnded(Answer, frozen=True):
    """Nothing more is shown."""

    reason: Literal["seconds", "frames", "stopping"]
    missed: int
    """How many frames were left out in all, because they came faster than they were read."""


AnyRequest = Ping | ReadNumbers | Reload | Drain | ListTerminals | Kick | Trace
AnyAnswer = (
    Refused
    | Alive
    | Numbers
    | Reloaded
    | Draining
    | Drained
    | Terminals
    | Kicked
    | TraceBegan
    | TraceEvent
    | TraceEnded
)

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_answers: msgspec.json.Decoder[AnyAnswer] = msgspec.json.Decoder(AnyAnswer)


class UnreadableAnswerError(Exception):
    """The other side says what this version cannot read."""


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
        return Refused(f"no request that this version knows: {_in_short(error)}")


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
