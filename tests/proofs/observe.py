"""Whatever terminals and a library system say, it passes an observed profile as it is (C126, C153).

A library system that plays a script, a gateway before it with an observed profile, and a terminal
that has each of many conversations twice: through the gateway, and directly with the library
system. Messages are the examples of `tests/wire` and `docs/messages`, and what chance makes of
them: bytes of no encoding, unknown fields, fixed blocks that are cut, unknown commands. Compared
are the bodies that came up and the bodies that came down, byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness import running
from observed import OBSERVED_CONFIG
from scripted_library import OWN_99, body_and_sequence, scripted, sealed
from wire.examples import EXAMPLES

from proofs.dialogues import ALL_BODIES
from proofs.judge import ANSWER_TO, DIALECT_ANSWER_TO
from proofs.report import Report

PAGES = Path(__file__).parents[2] / "docs" / "messages"
_LINE = re.compile(r"^([→←]) (\S.*)$", re.MULTILINE)
ANSWERS = {**ANSWER_TO, **DIALECT_ANSWER_TO}
"""The command of an answer by that of the request."""
OURS = (b"93", b"97", b"96")
"""The login, and what concerns one line only."""
STRANGE = (b"\xff", b"\x00", b"\x80\x81", b"\xc3\xa9", b"\xe9", b"\x1b[2J", b"\t", b"||", b"=")
FIELDS = (b"ZZ", b"XI123", b"PB19800501", b"zzlower", b"\xff\xfe?", b"AOagain", b"BX", b"GLONBE")
LENGTH_MAX = 4_000
HANGS_S = 20


def recorded() -> tuple[list[bytes], dict[bytes, list[bytes]]]:
    """Requests, and answers by their command, as they stand in our tests and pages."""
    bodies = [example.wire for example in EXAMPLES] + list(ALL_BODIES)
    for page in sorted(PAGES.glob("*.md")):
        for _, text in _LINE.findall(page.read_text(encoding="utf-8")):
            bodies.append(re.sub(r"AY\dAZ[0-9A-F]{4}$", "", text).encode("cp850", "replace"))
    requests: list[bytes] = []
    answers: dict[bytes, list[bytes]] = {code: [] for code in ANSWERS.values()}
    for body in bodies:
        if body[:2] in ANSWERS and body[:2] not in OURS:
            requests.append(body)
        elif body[:2] in answers:
            answers[body[:2]].append(body)
    return requests, answers


def odd(chance: random.Random, body: bytes, kept: int) -> bytes:
    """`body` with something odd in it behind its first `kept` bytes, more often than not."""
    what = chance.randrange(6)
    at = chance.randint(min(kept, len(body)), len(body))
    if what == 0:
        return body[:at] + chance.choice(STRANGE) + body[at:]
    if what == 1:
        return body + chance.choice(FIELDS) + b"|" * chance.randrange(3)
    if what == 2:
        noise = bytes(chance.choice(_HARMLESS) for _ in range(chance.randint(1, 300)))
        return body + b"AF" + noise + b"|"
    if what == 3:
        return body[:at]
    return body


_HARMLESS = bytes(set(range(256)) - set(b"\r\n"))
"""What can stand in a frame."""


class Messages:
    """Requests by chance, and for each its answer, always the same."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._requests, self._answers = recorded()
        self._told: dict[bytes, bytes] = {}
        self.kinds: Counter[bytes] = Counter()

    def requests(self, count: int) -> Iterator[bytes]:
        """So many, each with an answer of its own."""
        while count:
            body = self._request()
            if body[:2] in OURS or body == OWN_99 or not _has_clean_end(body):
                continue
            self._told.setdefault(body, self._answer(body))
            self.kinds[body[:2] if body[:2] in ANSWERS else b"??"] += 1
            count -= 1
            yield body

    def answer_to(self, body: bytes) -> bytes:
        """What the library system says to `body`, even to one that nobody has asked."""
        return self._told.get(body) or self._answer(body)

    def _request(self) -> bytes:
        chance = self._chance
        body = odd(chance, chance.choice(self._requests), 2)
        if chance.random() < 0.1:
            body = chance.choice((b"86", b"ZZ", b"\xff\xfe", b"|A")) + body[2:]
        return body

    def _answer(self, request: bytes) -> bytes:
        chance = self._chance
        command = ANSWERS.get(request[:2])
        while True:
            if command is None:
                body = b"87" + bytes(chance.choice(_HARMLESS) for _ in range(chance.randint(0, 90)))
            else:
                known = self._answers[command] or [command + b" " * 40]
                body = _about(request, odd(chance, chance.choice(known), 2))
            if _has_clean_end(body) and b"\0" not in body:  # a line on which one comes is ended
                return body


def _about(request: bytes, answer: bytes) -> bytes:
    """`answer` without the patron and item of another request: a line that says such is ended."""
    return re.sub(rb"(?<![A-Z])A[AB][^|]*", b"", answer)


def _has_clean_end(body: bytes) -> bool:
    """Whether nothing at the end of `body` looks like a trailer, nor its start like line noise."""
    return (
        re.search(rb"A[YZ]", body[-24:]) is None
        and body[:1] not in (b" ", b"\x00", b"\r", b"\n")
        and not re.search(rb"[\r\n]", body)
        and 2 <= len(body) < LENGTH_MAX
    )


class Line:
    """A terminal's line: asks one thing after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._sequence = reader, writer, 0

    @classmethod
    async def to(cls, address: tuple[str, int]) -> Line:
        return cls(*await asyncio.open_connection(*address, limit=1 << 20))

    async def ask(self, body: bytes) -> bytes:
        """The body of the answer."""
        self._sequence = (self._sequence + 1) % 10
        self._writer.write(sealed(body, b"%d" % self._sequence))
        async with asyncio.timeout(HANGS_S):
            frame = (await self._reader.readuntil(b"\r"))[:-1]
        answer, sequence = body_and_sequence(frame)
        assert sequence == b"%d" % self._sequence
        return answer

    def close(self) -> None:
        self._writer.close()


async def observe(directory: Path, count: int, seed: int) -> Report:
    """Say `count` messages through a gateway in `directory`, and directly."""
    report, messages = Report("observe"), Messages(seed)
    bodies = list(messages.requests(count))
    async with scripted(messages.answer_to) as library:
        directly = await Line.to(library.address)
        direct = [await directly.ask(body) for body in bodies]
        heard_directly, library.heard = library.heard, []
        directly.close()
        config = OBSERVED_CONFIG.replace("127.0.0.1:9", "{}:{}".format(*library.address))
        async with running(directory, config=config) as gateway:
            line = await Line.to(gateway.address)
            assert await line.ask(b"9300CNkiosk-1|COpw|") == b"941"
            through = [await line.ask(body) for body in bodies]
            line.close()
            await gateway.app.gateway.services.afterwards.done()
            await gateway.store.ping()
            noted = sum(one.count for one in gateway.store.observed_counts())
            errors = {name: n for name, n in gateway.metrics.backend_errors.items() if n}
    report.expect(errors == {}, f"errors: {errors}")
    report.expect(len(library.heard) == len(bodies), f"{len(library.heard)} requests came up")
    for body, up, up_directly in zip(bodies, library.heard, heard_directly, strict=False):
        report.expect(up == up_directly == body, f"{body!r} came up as {up!r}")
    for body, came, said in zip(bodies, through, direct, strict=True):
        report.expect(came == said, f"{body!r}: {said!r} came down as {came!r}")
    report.numbers = {"messages": len(bodies), "kinds": len(messages.kinds), "compared": noted}
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="observe", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(observe(Path(directory), options.messages, options.seed))
    return report.tell()
