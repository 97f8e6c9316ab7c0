"""A library system that costs next to nothing: `python -m benchmarks.bare_library LOOP MS [books]`.

Like `bare`, it splits on CR and reads the sequence digit. It reads the card, too, for nobody
accepts an answer about somebody else: each card has ten frames, made when it is first asked about.
An answer about an item is made each time, for there are too many pairs of card and item to keep.
Every answer takes MS milliseconds, or is given at once with 0. With `books` it remembers what was
paid: a 63 for the fines then shows less each time.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import cast

from benchmarks.bare import DIGIT_FROM_END, FIRST_DIGIT, serve, ten_answers
from benchmarks.library import CURRENCY
from sip2gw.protocol.checksum import seal

INSTITUTION = "THERE"

_NO_FLAGS, _DATE, _NO_LISTS = " " * 14, "20260302    101500", "0" * 24
_PATRON = (
    f"AO{INSTITUTION}|AA{{card}}|AEJanssens, Marie|BLY|CQY|BH{CURRENCY}|BV0.00|"
    "PB19840517|PA20991231|PC201|AQMAIN|"
)
_FINES_AT = 26
"""Where a 63 says that it wants the list of fines, as before a payment: then much is owed."""
_OWED = 100_000
"""Then so much is owed before anything is paid, in cents."""
_PAID_AT = 27
"""Where BV stands in a 37."""
BOOKS = b"00\r"
"""No message of SIP2: asks how many payments were booked, what they come to in cents, and how many
receipt numbers came twice."""
_BODIES = {
    b"23": f"24{_NO_FLAGS}001{_DATE}{_PATRON}",
    b"63": f"64{_NO_FLAGS}001{_DATE}{_NO_LISTS}{_PATRON}",
    b"63Y": f"64{_NO_FLAGS}001{_DATE}{_NO_LISTS}{_PATRON}".replace("BV0.00", "BV1000.00"),
    b"37": f"38Y{_DATE}AO{INSTITUTION}|AA{{card}}|",
    b"35": f"36Y{_DATE}AO{INSTITUTION}|AA{{card}}|",
    b"93": "941",
    b"99": f"98YYYYYY600003{_DATE}2.00AO{INSTITUTION}|BX{'Y' * 16}|",
}
_ITEM_BODIES = {
    b"11": f"121NNY{_DATE}AO{INSTITUTION}|AA{{card}}|AB{{item}}|AJThe title|AH{_DATE}|",
    b"09": f"101YNN{_DATE}AO{INSTITUTION}|AB{{item}}|AQMAIN|AJThe title|",
}


class Answers:
    """What is answered to each frame."""

    def __init__(self) -> None:
        self._made: dict[tuple[bytes, bytes], list[bytes]] = {}

    def to(self, frame: bytes) -> bytes:
        """The answer to a frame without its CR."""
        code, card = frame[:2], _value(frame, b"|AA")
        about_item = _ITEM_BODIES.get(code)
        if about_item is not None:
            item = _value(frame, b"|AB")
            body = about_item.format(card=card.decode("ascii"), item=item.decode("ascii"))
            return _sealed(body, frame)
        if code == b"63" and _wants_fines(frame):
            code = b"63Y"
        made = self._made.get((code, card))
        if made is None:
            body = _BODIES[code].format(card=card.decode("ascii"))
            made = self._made[code, card] = ten_answers(body.encode("ascii"))
        return made[frame[-DIGIT_FROM_END] - FIRST_DIGIT]


class Books(Answers):
    """The same of a library system that books what is paid, as most do: without a look at BK."""

    def __init__(self) -> None:
        super().__init__()
        self._paid: Counter[bytes] = Counter()
        """By card, in cents."""
        self._receipts: Counter[bytes] = Counter()

    def to(self, frame: bytes) -> bytes:
        """The answer to a frame without its CR."""
        if frame == BOOKS[:-1]:
            count, twice = self._receipts.total(), self._receipts.total() - len(self._receipts)
            return f"00{count} {self._paid.total()} {twice}\r".encode("ascii")
        if frame.startswith(b"63") and _wants_fines(frame):
            card = _value(frame, b"|AA")
            cents = _OWED - self._paid[card]
            body = _BODIES[b"63Y"].format(card=card.decode("ascii"))
            return _sealed(body.replace("BV1000.00", f"BV{cents // 100}.{cents % 100:02}"), frame)
        if frame.startswith(b"37"):
            amount = _value(b"|" + frame[_PAID_AT:], b"|BV")
            self._paid[_value(frame, b"|AA")] += int(amount.replace(b".", b""))
            self._receipts[_value(frame, b"|BK")] += 1
        return super().to(frame)


def _wants_fines(frame: bytes) -> bool:
    return frame[_FINES_AT : _FINES_AT + 1] == b"Y"


def _sealed(body: str, frame: bytes) -> bytes:
    """`body` with the sequence digit of `frame`."""
    sequence = frame[-DIGIT_FROM_END : 1 - DIGIT_FROM_END]
    return seal(body.encode("ascii"), sequence, True) + b"\r"


def _value(frame: bytes, tag: bytes) -> bytes:
    start = frame.find(tag) + len(tag)
    return frame[start : frame.find(b"|", start)] if start >= len(tag) else b""


class BareLibrary(asyncio.Protocol):
    """One connection."""

    def __init__(self, answers: Answers, delay_s: float = 0.0) -> None:
        self._answers = answers
        self._delay_s = delay_s
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._write = cast("asyncio.WriteTransport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answer every complete frame."""
        *frames, self._rest = (self._rest + data).split(b"\r")
        for frame in frames:
            answer = self._answers.to(frame)
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._write, answer)
            else:
                self._write(answer)


def main() -> None:
    """Serve until killed; the address is told on stdout."""
    loop, delay_ms, *books = sys.argv[1:]
    answers = Books() if books else Answers()
    serve(lambda: BareLibrary(answers, float(delay_ms) / 1000), loop)


if __name__ == "__main__":
    main()
