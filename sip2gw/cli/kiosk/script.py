"""Dialogues in a file, for `send --script`: the file's lines as steps. This module sends nothing.

One step per line; `#` before a word begins a comment, double quotes keep blanks together:

    63 AA=1001 AD=1234 summary=fines     # a request by code or name, as `send` takes it
    expect 64 BL=Y BV=12.50 AF~pay       # what its answer must say
    !lost 37 AA=1001 BV=12.50 BK={run}   # a fault: the answer is lost on the way
    wait 0.5
    reconnect
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct, field

from sip2gw.cli.failures import UsageError
from sip2gw.cli.kiosk.requests import Wanted, message_name, requested
from sip2gw.protocol.fields import COMMAND_WIDTH, TAG_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.registry import RESPONSES, SENSITIVE_TAGS
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.wire import WireFormat

WAIT_MAX_S = 3600.0
RUN = "{run}"
"""In a value: a number unique to this run of the script, for receipt numbers."""


class Fault(StrEnum):
    """A fault, written before the request that it spoils."""

    BAD_CHECKSUM = "!bad-checksum"
    """Send a wrong AZ; the answer is a 96, and `resend` sends the right one."""
    SPLIT = "!split"
    """Send the request in small pieces."""
    LOST = "!lost"
    """Read the answer and forget it, then send the same frame again, with the same AY."""
    TWICE = "!twice"
    """Send the same frame twice at once; both answers must be as expected."""
    HANG_UP = "!hang-up"
    """Close the line before the answer comes; the next step is `reconnect`."""


class Kind(StrEnum):
    """What a step does."""

    REQUEST = "request"
    RAW = "raw"
    RESEND = "resend"
    """The last frame again, byte for byte, like a terminal that got no answer."""
    REPEAT = "repeat"
    """The last request again as a new one, with the next AY."""
    WAIT = "wait"
    RECONNECT = "reconnect"


SENDING = frozenset({Kind.REQUEST, Kind.RAW, Kind.RESEND, Kind.REPEAT})


class Silence(StrEnum):
    """What an `expect` may name in place of an answer."""

    NOTHING = "nothing"
    """No answer within the time-out."""
    CLOSED = "closed"
    """The gateway closes the line."""


class Check(Discreet, Struct, frozen=True):
    """One thing that an answer must say. `repr` shows no value."""

    name: str
    """A tag, or the name of a field of the fixed block."""
    span: slice | None
    """Its place in the fixed block; None for a tag."""
    relation: str
    """`=` one of the values, `!=` none of them, `~` part of one, `` present, `!` absent."""
    value: Hidden[str] = ""
    position: int | None = None
    """Compare only this character: `patron_status[10]=Y`."""

    def failure(self, body: bytes, wire: WireFormat) -> str | None:
        """What is wrong with the answer `body` (without trailer); None if it is as expected."""
        found = self._found(body, wire)
        if self._holds(found):
            return None
        if self.name in SENSITIVE_TAGS:
            return f"{self.name}: not as expected"
        shown = ", ".join(map(repr, found)) or "none"
        return f"{self}: the answer has {shown}"

    def __str__(self) -> str:
        at = "" if self.position is None else f"[{self.position}]"
        if self.relation == "!":
            return f"!{self.name}"
        return f"{self.name}{at}{self.relation}{self.value}"

    def _found(self, body: bytes, wire: WireFormat) -> list[str]:
        """The values of the field; empty ones do not count."""
        if self.span is not None:
            values = [body[self.span].decode("latin-1")]
        else:
            parts = wire.text.decode(body[_fixed_end(body) :]).split("|")
            values = [part[TAG_WIDTH:] for part in parts if part[:TAG_WIDTH] == self.name]
        if self.position is not None:
            values = [value[self.position : self.position + 1] for value in values]
        return [value for value in values if value]

    def _holds(self, found: list[str]) -> bool:
        match self.relation:
            case "=":
                return self.value in found if self.value else not found
            case "!=":
                return self.value not in found
            case "~":
                return any(self.value in text for text in found)
            case "!":
                return not found
        return bool(found)


class Expectation(Struct, frozen=True):
    """One `expect` line."""

    line: int
    code: str = ""
    """The code of the answer; empty when none may come."""
    silence: Silence | None = None
    checks: tuple[Check, ...] = ()


class Step(Discreet, Struct):
    """One line of the script, with the `expect` lines that follow it."""

    line: int
    kind: Kind
    wanted: Wanted | None = None
    raw: Hidden[str] = ""
    fault: Fault | None = None
    seconds: float = 0.0
    expectations: list[Expectation] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What the step does, without values."""
        what = message_name(self.wanted.kind) if self.wanted else str(self.kind)
        return f"{self.fault} {what}" if self.fault else what


def read_script(text: str, name: str, run: str) -> list[Step]:
    """The steps of the script `text`.

    Args:
        text: what the file says.
        name: of the file, for error messages.
        run: what `{run}` stands for.

    Raises:
        UsageError: with one line per wrong line, `FILE:LINE: message`; it repeats no value.
    """
    steps: list[Step] = []
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = _words(line, run)
            if words and words[0] == "expect":
                _last_sending(steps).expectations.append(_expectation(number, words[1:]))
            elif words:
                steps.append(_step(number, words))
        except UsageError as error:
            problems.append(f"{name}:{number}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
    if not any(step.kind in SENDING for step in steps):
        raise UsageError(f"{name}: none of the lines sends anything")
    return steps


_WORD = re.compile(r'\s*((?:"[^"]*"|[^\s"])+)')


def _words(line: str, run: str) -> list[str]:
    """The words of a line up to a comment, without their quotes."""
    words: list[str] = []
    at, line = 0, line.rstrip()
    while at < len(line):
        match = _WORD.match(line, at)
        if match is None:
            raise UsageError("a quote is never closed")
        if match[1].startswith("#"):
            break
        words.append(match[1].replace('"', "").replace(RUN, run))
        at = match.end()
    return words


def _last_sending(steps: list[Step]) -> Step:
    if not steps or steps[-1].kind not in SENDING:
        raise UsageError("write expect after the step whose answer it checks")
    if steps[-1].fault is Fault.HANG_UP:
        raise UsageError("!hang-up does not wait for an answer, so nothing can be expected")
    return steps[-1]


def _step(number: int, words: list[str]) -> Step:
    fault = None
    if words[0].startswith("!"):
        fault, words = _fault(words[0]), words[1:]
    if not words:
        raise UsageError(f"write {fault} before a request")
    first, rest = words[0], words[1:]
    if first == Kind.RAW:
        if not rest:
            raise UsageError("raw needs the text of a message")
        return Step(number, Kind.RAW, raw=" ".join(rest), fault=fault)
    if first in (Kind.RESEND, Kind.REPEAT):
        _no_more(first, rest)
        return Step(number, Kind(first), fault=fault)
    if first in (Kind.WAIT, Kind.RECONNECT):
        if fault is not None:
            raise UsageError(f"{fault}: {first} sends nothing")
        if first == Kind.WAIT:
            return Step(number, Kind.WAIT, seconds=_seconds(rest))
        _no_more(first, rest)
        return Step(number, Kind.RECONNECT)
    return Step(number, Kind.REQUEST, wanted=requested(first, rest), fault=fault)


def _no_more(word: str, rest: list[str]) -> None:
    if rest:
        raise UsageError(f"write {word} on a line of its own")


def _fault(word: str) -> Fault:
    try:
        return Fault(word)
    except ValueError:
        raise UsageError(f"no fault {word}; known faults: {', '.join(Fault)}") from None


def _seconds(rest: list[str]) -> float:
    text = rest[0] if len(rest) == 1 else ""
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or float(text) > WAIT_MAX_S:
        raise UsageError(f"wait needs a number of seconds, up to {WAIT_MAX_S:g}")
    return float(text)


def _expectation(number: int, words: list[str]) -> Expectation:
    first, rest = (words[0], words[1:]) if words else ("", [])
    if first in tuple(Silence):
        _no_more(f"expect {first}", rest)
        return Expectation(number, silence=Silence(first))
    if first not in RESPONSES:
        known = ", ".join((*RESPONSES, *Silence))
        raise UsageError(f"expect needs the code of an answer: {known}")
    return Expectation(number, first, checks=tuple(_check(first, word) for word in rest))


_CHECK = re.compile(
    r"(?P<absent>!?)(?P<name>[A-Za-z][A-Za-z0-9_]*)(?:\[(?P<at>[0-9]{1,2})\])?"
    r"(?:(?P<relation>!=|=|~)(?P<value>.*))?",
    re.DOTALL,
)


def _check(code: str, word: str) -> Check:
    match = _CHECK.fullmatch(word)
    if match is None or (match["absent"] and match["relation"]):
        raise UsageError("write a check as FIELD=VALUE, FIELD!=VALUE, FIELD~PART, FIELD or !FIELD")
    name, spans = match["name"], _spans(code)
    tags = {p.attribute: p.place.tag for p in layout_of(RESPONSES[code]).tagged}
    if name not in spans and name not in tags and not re.fullmatch(r"[A-Z][A-Z0-9]", name):
        raise UsageError(f"no field {name} in a {code}; known fields: {', '.join((*spans, *tags))}")
    relation = match["relation"] or match["absent"]
    position = None if match["at"] is None else int(match["at"])
    return Check(tags.get(name, name), spans.get(name), relation, match["value"] or "", position)


def _spans(code: str) -> dict[str, slice]:
    """The places of the fields in the fixed block of the answer `code`."""
    spans = {}
    start = COMMAND_WIDTH
    for placement in layout_of(RESPONSES[code]).fixed:
        stop = start + placement.place.width
        spans[placement.attribute] = slice(start, stop)
        start = stop
    return spans


def _fixed_end(body: bytes) -> int:
    """Where the identified fields of `body` begin."""
    message = RESPONSES.get(body[:COMMAND_WIDTH].decode("latin-1"))
    return COMMAND_WIDTH + (layout_of(message).fixed_width if message else 0)
