"""A library system that costs next to nothing: `python -m benchmarks.bare_library LOOP [MS]`.

Like `bare`, it splits on CR and reads the sequence digit. It reads the card, too, for nobody
accepts an answer about somebody else: each card has ten frames, made when it is first asked about.
An answer about an item is made each time, for there are too many pairs of card and item to keep.
With MS every answer takes so many milliseconds.
"""

from __future__ import annotations

import asyncio
import sys
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
            sequence = frame[-DIGIT_FROM_END : 1 - DIGIT_FROM_END]
            return seal(body.encode("ascii"), sequence, True) + b"\r"
        if code == b"63" and frame[_FINES_AT : _FINES_AT + 1] == b"Y":
            code = b"63Y"
        made = self._made.get((code, card))
        if made is None:
            body = _BODIES[code].format(card=card.decode("ascii"))
            made = self._made[code, card] = ten_answers(body.encode("ascii"))
        return made[frame[-DIGIT_FROM_END] - FIRST_DIGIT]


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
    loop, *delay_ms = sys.argv[1:]
    answers, delay_s = Answers(), float(delay_ms[0]) / 1000 if delay_ms else 0.0
    serve(lambda: BareLibrary(answers, delay_s), loop)


if __name__ == "__main__":
    main()
