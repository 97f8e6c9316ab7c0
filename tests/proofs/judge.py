"""What an answer must look like: a second statement of the wire, independent of the gateway's.

Written from the SIP2 2.00 message layouts and B3-B9, B18; shares no table with `sip2gw.protocol`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DATE = rb"[0-9]{8}(?:    |   Z)[0-9]{6}"
COUNT = rb"(?:[0-9]{4}|    )"
LANGUAGE = rb"[^|\x00-\x1f]{3}"
PATRON_HEAD = rb"[Y ]{14}" + LANGUAGE + DATE

FIXED: dict[bytes, bytes] = {
    b"94": rb"[01]",
    b"96": rb"",
    b"98": rb"[YN]{6}[0-9]{3}[0-9]{3}" + DATE + rb"2\.00",
    b"24": PATRON_HEAD,
    b"26": PATRON_HEAD,
    b"64": PATRON_HEAD + COUNT * 6,
    b"12": rb"[01][YN][YNU][YN]" + DATE,
    b"30": rb"[01][YN][YNU][YN]" + DATE,
    b"10": rb"[01][YN][YNU][YN]" + DATE,
    b"66": rb"[01][0-9]{8}" + DATE,
    b"38": rb"[YN]" + DATE,
    b"42": DATE,
    b"36": rb"Y" + DATE,
    b"18": rb"[0-9]{6}" + DATE,
    b"20": rb"[01]" + DATE,
    b"16": rb"[01][YN]" + DATE,
}
REQUIRED: dict[bytes, tuple[bytes, ...]] = {
    b"98": (b"AO", b"BX"),
    b"24": (b"AO", b"AA", b"AE"),
    b"26": (b"AO", b"AA", b"AE"),
    b"64": (b"AO", b"AA", b"AE"),
    b"12": (b"AO", b"AA", b"AB", b"AJ", b"AH"),
    b"30": (b"AO", b"AA", b"AB", b"AJ", b"AH"),
    b"10": (b"AO", b"AB", b"AQ"),
    b"66": (b"AO",),
    b"38": (b"AO", b"AA"),
    b"42": (b"AO", b"AA"),
    b"36": (b"AO", b"AA"),
    b"18": (b"AB", b"AJ"),
    b"20": (b"AB",),
    b"16": (b"AO", b"AA"),
}
EXACT_WIDTH = {b"BL": 1, b"CQ": 1, b"CI": 1, b"BH": 3, b"BT": 2, b"CK": 3, b"BX": 16}
ANSWER_TO: dict[bytes, bytes] = {
    b"93": b"94",
    b"99": b"98",
    b"23": b"24",
    b"63": b"64",
    b"25": b"26",
    b"01": b"24",
    b"35": b"36",
    b"37": b"38",
    b"11": b"12",
    b"09": b"10",
    b"29": b"30",
    b"65": b"66",
    b"17": b"18",
    b"19": b"20",
    b"15": b"16",
}
DIALECT_ANSWER_TO: dict[bytes, bytes] = {b"41": b"42"}
"""Answered where the terminal speaks the dialect; unknown everywhere else."""
VALUE_BYTES_MAX = 255

_SHAPES = {
    code: re.compile(
        code
        + fixed
        + rb"(?P<fields>(?:[A-Z]{2}[^|\x00-\x1f]*\|)*)"
        + rb"(?:AY(?P<sequence>[0-9]))?(?:AZ(?P<checksum>[0-9A-F]{4}))?\Z"
    )
    for code, fixed in FIXED.items()
}


def checksum(data: bytes) -> bytes:
    """The four digits that follow `data`: two's complement of the sum of its bytes."""
    return b"%04X" % (-sum(data) & 0xFFFF)


@dataclass(frozen=True, slots=True)
class Seen:
    """A well-formed answer, as far as it has to fit its request."""

    code: bytes
    sequence: bytes | None
    with_checksum: bool


def read_answer(frame: bytes, *, value_bytes_max: int = VALUE_BYTES_MAX) -> Seen | str:
    """`frame` (without its terminator) when it is well-formed, else what is wrong with it.

    Of what a library system says nothing is cut (C153): `value_bytes_max` allows for that.
    """
    shape = _SHAPES.get(frame[:2])
    if shape is None:
        return "no response of ours"
    match = shape.match(frame)
    if match is None:
        return "the fixed block or a field is malformed"
    digits = match["checksum"]
    if digits is not None and digits != checksum(frame[:-4]):
        return "wrong checksum"
    if frame[:2] == b"96" and match["sequence"] is not None:
        return "a 96 with a sequence number"
    return _fields_problem(frame[:2], match["fields"], value_bytes_max) or Seen(
        frame[:2], match["sequence"], digits is not None
    )


def _fields_problem(code: bytes, fields: bytes, value_bytes_max: int) -> str:
    found = [(field[:2], field[2:]) for field in fields.split(b"|")[:-1]]
    tags = {tag for tag, _ in found}
    if missing := [tag for tag in REQUIRED.get(code, ()) if tag not in tags]:
        return f"required and not there: {missing}"
    for tag, value in found:
        if len(value) > value_bytes_max:
            return f"{tag!r} has {len(value)} bytes"
        if tag in EXACT_WIDTH and len(value) != EXACT_WIDTH[tag]:
            return f"{tag!r} has a wrong width"
    return ""


_LINE_ENDS = re.compile(rb"[\r\n]+")


def frames_of(stream: bytes) -> list[bytes]:
    """The frames that a stream consists of; an unfinished one at the end is none yet (B3)."""
    *complete, _ = re.split(rb"[\r\n]", stream)
    frames = (frame.lstrip(b"\0 ") for frame in complete)
    return [frame for frame in frames if frame]


def fits(frame: bytes, answer: Seen) -> bool:
    """Whether `answer` may be the answer to `frame`, judged by itself."""
    code = frame[:2]
    if code == b"97" or answer.code == b"96":
        return True
    if answer.code != (ANSWER_TO | DIALECT_ANSWER_TO).get(code):
        return False
    return answer.sequence is None or b"AY" + answer.sequence in frame


def in_order(frames: list[bytes], answers: list[Seen], *, closed: bool) -> bool:
    """Whether every known request got exactly one fitting answer, in order, and nothing else did.

    What is no request we know gets no answer, or a 96 when it looks as if it had a checksum; a
    dialect's request is one or the other. After `closed` the rest of the frames has no answer.
    """
    positions = {0}
    for frame in frames:
        if closed and len(answers) in positions:
            return True
        known = frame[:2] in ANSWER_TO or frame[:2] == b"97"
        answerable = known or frame[:2] in DIALECT_ANSWER_TO
        positions = {
            at + 1
            for at in positions
            if at < len(answers) and fits_any(frame, answers[at], answerable)
        } | (set() if known else positions)
        if not positions:
            return False
    return len(answers) in positions


def fits_any(frame: bytes, answer: Seen, known: bool) -> bool:
    """As `fits`; an unknown frame with something like a checksum may be asked for again."""
    return fits(frame, answer) if known else answer.code == b"96" and b"AZ" in frame
