"""A library system that speaks SIP2 in its own words, and misbehaves as it is told.

It shares no code with sip2gw: what both get wrong in the same way would go unnoticed. For each
request it asks `behave` what to do; a test gives it a script, a proof a drawn one.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

STAMP = b"20260102    030405"
ANSWERS = {
    b"93": b"94", b"99": b"98", b"23": b"24", b"63": b"64", b"35": b"36", b"37": b"38",
    b"17": b"18", b"11": b"12", b"09": b"10", b"29": b"30", b"15": b"16",
}  # fmt: skip
_FIELDS_AT = {b"93": 4, b"99": 10, b"23": 23, b"63": 33, b"35": 20, b"37": 27, b"17": 20,
              b"11": 40, b"09": 39, b"29": 40, b"15": 21}  # fmt: skip
"""Where the fields of each request begin."""
_DATE_AT = {b"11": 4, b"29": 4, b"09": 3, b"15": 3}
CHANGES = frozenset(_DATE_AT)
"""The requests that change something."""

OFFERS = b"YYYYYNYYYYYNNYYN"
TOO_MUCH = 300 * 1024
"""Bytes of an answer that nobody takes."""
MUCH = 60_000
OTHER = b"6666"
"""The patron and the item of an answer about another one."""

PROMPT = (
    "wrong_sequence", "wrong_type", "another_patron", "another_item", "endless_96", "unasked_97",
    "hangs_up", "ten_late", "garbage", "plain_text", "nul", "too_much", "twice", "bad_checksum",
    "no_fixed_block", "answer_and_more", "hangs_up_halfway",
)  # fmt: skip
"""Faults that show at once."""
SLOW = ("silent", "half", "late", "drip")
"""Faults that only a deadline ends."""
FAULTS = PROMPT + SLOW
UNCLEAR = "unclear"
"""It is done, and the answer says neither yes nor no."""
HELD = "held"
"""The answer comes when the test says so (`release`)."""
GOOD = ("right", "resend_once", "much", "pieces")
"""Odd at most: the answer is to be used."""


@dataclass(slots=True)
class Heard:
    """A request, as it came."""

    frame: bytes
    line: int
    """The number of the connection."""
    at: float = field(default_factory=time.time, compare=False)
    """When it came, in seconds of the wall clock."""

    @property
    def code(self) -> bytes:
        return self.frame[:2]

    @property
    def date(self) -> bytes:
        """The transaction date of a request that changes something."""
        at = _DATE_AT[self.code]
        return self.body[at : at + 18]

    @property
    def sequence(self) -> bytes:
        """The digit of AY; empty without."""
        return self.frame[-7:-6] if self.frame[-9:-7] == b"AY" else b""

    @property
    def body(self) -> bytes:
        return self.frame[:-9] if self.sequence else self.frame

    def value(self, tag: bytes) -> bytes:
        """The first value of a field; empty without."""
        for part in self.body[_FIELDS_AT.get(self.code, 2) :].split(b"|"):
            if part[:2] == tag:
                return part[2:]
        return b""


Behave = Callable[[Heard], str]


def script(*behaviours: str) -> Behave:
    """One after the other for what is asked after the login, and right afterwards."""
    rest = deque(behaviours)
    return lambda heard: "right" if heard.code in (b"93", b"99") or not rest else rest.popleft()


class Drawn:
    """A share of all requests gets a fault, of logins a small one; it stops after so many."""

    def __init__(self, seed: int, faults: int, share: float = 0.3, slow: float = 0.1) -> None:
        self._chance = random.Random(seed)
        self._share, self._slow = share, slow
        self.left = faults
        self.done: dict[str, int] = {}

    def __call__(self, heard: Heard) -> str:
        chance = self._chance
        share = self._share / 6 if heard.code in (b"93", b"99") else self._share
        if not self.left or chance.random() >= share:
            return chance.choice(GOOD)
        self.left -= 1
        fault = chance.choice(SLOW if chance.random() < self._slow else PROMPT)
        self.done[fault] = self.done.get(fault, 0) + 1
        return fault


def right_answer(heard: Heard, patron: bytes | None = None, item: bytes | None = None) -> bytes:
    """What a well-behaved library system says: the patron is called after the card."""
    aa = heard.value(b"AA") if patron is None else patron
    ab = heard.value(b"AB") if item is None else item
    who = b"AOHUB|AA%b|AEPatron %b|BLY|CQY|" % (aa, aa)
    match heard.code:
        case b"93":
            return b"941"
        case b"99":
            return b"98YYYYNN600003" + STAMP + b"2.00AOHUB|BX" + OFFERS + b"|"
        case b"23":
            return b"24" + b" " * 14 + b"001" + STAMP + who
        case b"63":
            return b"64" + b" " * 14 + b"001" + STAMP + b"0" * 24 + who
        case b"35":
            return b"36Y" + STAMP + b"AOHUB|AA%b|" % aa
        case b"37":
            return b"38Y" + STAMP + b"AOHUB|AA%b|" % aa
        case b"17":
            return b"18030001" + STAMP + b"AB%b|AJTitle %b|" % (ab, ab)
        case b"09":
            return b"101YUN" + STAMP + b"AOHUB|AB%b|AQHUB|AJTitle|" % ab
        case b"11" | b"29":
            head = b"12" if heard.code == b"11" else b"30"
            return head + b"1NNN" + STAMP + b"AOHUB|AA%b|AB%b|AJTitle|AHlater|" % (aa, ab)
    return b"96"


@dataclass(frozen=True, slots=True)
class Deed:
    """A 09, 11, 15 or 29 that arrived, and whether it was done; nobody need have heard of it."""

    code: bytes
    patron: bytes
    item: bytes
    date: bytes
    done: bool
    at: float = field(compare=False)
    """When it came, as of `Heard`."""


class Loans:
    """Answers with a memory: lends each item once, and knows afterwards what it has done, whether
    the answer left or not. A loan to the patron who has the item is done again."""

    def __init__(self) -> None:
        self.of: dict[bytes, bytes] = {}
        """Who has each item."""
        self.deeds: list[Deed] = []
        self.status = b"03"
        """What an 18 says of an item that nobody has: available, on the hold shelf..."""

    def __call__(
        self, heard: Heard, patron: bytes | None = None, item: bytes | None = None
    ) -> bytes:
        if patron is not None or item is not None:
            return right_answer(heard, patron, item)  # about another: that does nothing
        return self._answer(heard, heard.value(b"AB"), heard.value(b"AA"))

    def _answer(self, heard: Heard, item: bytes, patron: bytes) -> bytes:
        match heard.code:
            case b"11" | b"29" | b"09" | b"15":
                return self._do(heard, item, patron)
            case b"17":
                if item in self.of:
                    return b"18040001" + STAMP + b"AHlater|AB%b|AJTitle %b|" % (item, item)
                return b"18" + self.status + right_answer(heard)[4:]
            case b"63":
                items = [item for item, who in self.of.items() if who == patron]
                counts = b"0000" * 2 + b"%04d" % len(items) + b"0000" * 3
                lists = b"".join(b"AU%b|" % item for item in items)
                who = b"AOHUB|AA%b|AEPatron %b|BLY|" % (patron, patron)
                return b"64" + b" " * 14 + b"001" + STAMP + counts + who + lists
        return right_answer(heard)

    def _do(self, heard: Heard, item: bytes, patron: bytes) -> bytes:
        done, answer = True, right_answer(heard)
        if heard.code == b"09":
            done = self.of.pop(item, None) is not None
            answer = b"10" + (b"1" if done else b"0") + answer[3:]
        elif heard.code == b"15":
            answer = b"161N" + STAMP + b"AOHUB|AA%b|AB%b|" % (patron, item)
        else:
            owner = self.of.setdefault(item, patron) if heard.code == b"11" else self.of.get(item)
            done = owner == patron
            answer = answer[:2] + (b"1" if done else b"0") + answer[3:]
        self.deeds.append(Deed(heard.code, patron, item, heard.date, done, heard.at))
        return answer


def digits(data: bytes) -> bytes:
    return b"%04X" % (-sum(data) & 0xFFFF)


@dataclass
class HostileLibrary:
    """`async with HostileLibrary() as library`; it listens on `library.port`."""

    behave: Behave = field(default_factory=script)
    terminator: bytes = b"\r"
    login: bytes = b"941"
    greets: str = ""
    """What a connection gets instead of service: `hangs_up`, `silent`, `banner`."""
    answer: Callable[..., bytes] = right_answer
    """As `right_answer`: a `patron` or an `item` is only given for an answer about another one."""
    digits: Callable[[bytes], bytes] = digits
    late_s: float = 0.5
    delay_s: float = 0.0
    """Before each answer."""
    tls: ssl.SSLContext | None = None

    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def __aenter__(self) -> HostileLibrary:
        self._writers: set[asyncio.StreamWriter] = set()
        self._held = asyncio.Event()
        self._times_gone = 0
        self._endless: set[int] = set()
        """Lines on which nothing but 96 is said any more."""
        await self.listen()
        return self

    async def listen(self) -> None:
        """Be there (again, on the same port)."""
        self._server = await asyncio.start_server(
            partial(self._connected, self._times_gone), "127.0.0.1", self.port, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def release(self) -> None:
        """Give the answers that are held back."""
        self._held.set()
        self._held = asyncio.Event()

    def vanish(self) -> None:
        """Stop listening, and hang up on everybody, even on who is just coming in."""
        self._times_gone += 1
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for _ in range(5):
            await asyncio.sleep(0)  # whoever has just been accepted comes in
        self.vanish()
        self.release()
        while self._writers:  # noqa: ASYNC110 -- each leaves by itself
            await asyncio.sleep(0)

    @property
    def asked(self) -> list[bytes]:
        """The bodies of all requests but logins and 99s."""
        return [heard.body for heard in self.heard if heard.code not in (b"93", b"99")]

    @property
    def codes(self) -> list[bytes]:
        """The codes of all requests."""
        return [heard.code for heard in self.heard]

    async def say(self, data: bytes) -> None:
        """Say something on all lines, unasked."""
        for writer in self._writers:
            writer.write(data)

    async def _connected(
        self, times_gone: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        history: deque[bytes] = deque(maxlen=10)
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            if self.greets == "hangs_up" or times_gone != self._times_gone:
                raise ConnectionError
            if self.greets == "banner":
                writer.write(b"Welcome!\r\n")
            while self.greets == "silent" and await reader.read(1024):
                pass
            while True:
                frame = (await reader.readuntil(b"\r")).strip(b"\r\n")
                heard = Heard(frame, number)
                self.heard.append(heard)
                await self._serve(heard, writer, history)
                if writer.transport.is_closing():
                    break
        self._leave(writer)

    def _leave(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()

    def sealed(self, body: bytes, sequence: bytes) -> bytes:
        """`body` as it leaves."""
        if not sequence:
            return body + self.terminator
        summed = body + b"AY" + sequence + b"AZ"
        return summed + self.digits(summed) + self.terminator

    async def _serve(
        self, heard: Heard, writer: asyncio.StreamWriter, history: deque[bytes]
    ) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        behaviour = "endless_96" if heard.line in self._endless else self.behave(heard)
        body = self.login if heard.code == b"93" else b""
        if heard.code != b"93" and behaviour not in ("resend_once", "endless_96"):
            body = self.answer(heard)  # what was not understood is not done
        right = self.sealed(body, heard.sequence)
        before = history[0] if len(history) == 10 else right
        history.append(right)
        if behaviour == HELD:
            await self._held.wait()
            writer.write(right)
        elif behaviour in SLOW:
            await self._be_slow(behaviour, right, writer)
        elif behaviour == "pieces":
            for at in range(0, len(right), 7):
                if not writer.transport.is_closing():
                    writer.write(right[at : at + 7])
                await asyncio.sleep(0)
        elif behaviour == "hangs_up":
            writer.transport.abort()
        elif behaviour == "hangs_up_halfway":
            writer.write(right[: len(right) // 2])
            writer.close()
        else:
            writer.write(self._said(behaviour, heard, body, right, before))

    async def _be_slow(self, behaviour: str, right: bytes, writer: asyncio.StreamWriter) -> None:
        if behaviour == "half":
            writer.write(right[: len(right) // 2])
        elif behaviour == "late":
            await asyncio.sleep(self.late_s)
            writer.write(right)
        elif behaviour == "drip":
            for at in range(len(right)):
                writer.write(right[at : at + 1])
                await asyncio.sleep(self.late_s / 8)
                if writer.transport.is_closing():
                    break

    def _said(
        self, behaviour: str, heard: Heard, body: bytes, right: bytes, before: bytes
    ) -> bytes:
        sequence = heard.sequence
        match behaviour:
            case "right":
                return right
            case "much":
                return self.sealed(body + b"ZZ%b|" % (b"x" * MUCH), sequence)
            case "too_much":
                return self.sealed(body + b"ZZ%b|" % (b"x" * TOO_MUCH), sequence)
            case "wrong_sequence":
                return self.sealed(body, b"%d" % ((int(sequence or b"0") + 1) % 10))
            case "wrong_type":
                other = b"24" if heard.code != b"23" else b"64"
                return self.sealed(other + b" " * 60 + b"AA%b|" % heard.value(b"AA"), sequence)
            case "another_patron":
                return self.sealed(self.answer(heard, patron=OTHER), sequence)
            case "another_item":
                return self.sealed(self.answer(heard, item=OTHER), sequence)
            case "ten_late":
                return before
            case "resend_once" | "endless_96":
                if behaviour == "endless_96":
                    self._endless.add(heard.line)
                return b"96AZ" + digits(b"96AZ") + self.terminator
            case "unasked_97":
                return b"97AZ" + digits(b"97AZ") + self.terminator
            case "garbage":
                return bytes(range(1, 256)) + self.terminator
            case "plain_text":
                return b"Internal server error\r\n"
            case "nul":
                return right[:5] + b"\0" + right[5:]
            case "twice":
                return right + right
            case "answer_and_more":
                return right + b"98YY"
            case "bad_checksum":
                return self.sealed(body, sequence)[: -4 - len(self.terminator)] + b"0BAD\r"
            case "unclear":
                return self.sealed(body[:2] + b"y" + body[3:], sequence)
            case "no_fixed_block":
                return self.sealed(body[:2] + b"|AA%b|" % heard.value(b"AA"), sequence)
        raise ValueError(f"unknown behaviour {behaviour}")
