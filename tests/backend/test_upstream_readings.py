"""Answers of a library system that say the same are read once (B71)."""

from __future__ import annotations

from typing import Any

import pytest

from sip2gw.backend.upstream.readings import KEPT_BYTES_MAX, Readings
from sip2gw.protocol.errors import AnotherPatronError, ProtocolError, StrangeAnswerError
from sip2gw.protocol.line.matching import asked_by
from sip2gw.protocol.wire import WireFormat

NO_FLAGS = b" " * 14
TIME, LATER = b"20260302    101500", b"20260302    101501"
FINES = b"   Y      "


def q63(card: bytes = b"91", time: bytes = TIME, summary: bytes = b" " * 10) -> bytes:
    return b"63001" + time + summary + b"AOHUB|AA" + card + b"|AC|ADsecret|"


def q23(time: bytes = TIME) -> bytes:
    return b"23001" + time + b"AOHUB|AA91|AC|ADsecret|"


def b64(time: bytes = TIME, more: bytes = b"", card: bytes = b"91") -> bytes:
    said = b"AOHUB|AA" + card + b"|AEJan|BLY|"
    return b"64" + NO_FLAGS + b"001" + time + b"0" * 24 + said + more


def b24(time: bytes = TIME) -> bytes:
    return b"24" + NO_FLAGS + b"001" + time + b"AOHUB|AA91|AEJan|BLY|"


class Reader:
    """Reads answers to questions."""

    def __init__(self, *, aliases: bool = False) -> None:
        self.readings = Readings(WireFormat(), aliases=aliases)

    def __call__(self, body: bytes, question: bytes = q63()) -> Any:
        return self.readings.answer(question, asked_by(question), body)


async def test_what_says_the_same_later_is_the_same_message() -> None:
    read = Reader()
    first = read(b64())
    assert read(b64(LATER), q63(time=LATER)) is first
    assert read(b24(), q23()) is read(b24(LATER), q23(LATER))


async def test_each_question_about_a_card_has_an_answer_of_its_own() -> None:
    read = Reader()
    plain, fees = read(b64()), read(b64(more=b"AV1 book|"), q63(summary=FINES))
    dutch = read(b64(more=b"AFDag|"), q63().replace(b"63001", b"63006"))
    assert read(b64(LATER, b"AFDag|"), q63().replace(b"63001", b"63006")) is dutch
    assert read(b64(LATER)) is plain
    assert read(b64(LATER, b"AV1 book|"), q63(summary=FINES)) is fees


async def test_no_pin_is_kept() -> None:
    read = Reader()
    read(b64())
    assert b"secret" not in b"".join(read.readings._kept._lately)


@pytest.mark.parametrize(
    "other",
    [
        b64(more=b"BV1.00|"),  # another field
        b64().replace(b"64 ", b"64Y"),  # a flag
        b64().replace(b"0" * 24, b"0001" + b"0" * 20),  # a count, which stands after the date
        b64().replace(b"AEJan|", b""),
        b64() + b64()[37:],  # it begins and ends like the one before
    ],
)
async def test_what_says_anything_else_is_another(other: bytes) -> None:
    read = Reader()
    first = read(b64())
    assert read(other) is not first
    assert read(other, q63(card=b"91")) != first


async def test_an_answer_that_is_cut_within_its_date_never_says_the_same() -> None:
    read = Reader()
    bare = b24().partition(b"AO")[0]
    read(bare, q23())
    with pytest.raises(ProtocolError):
        read(bare[:-3], q23())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b64(card=b"92"), AnotherPatronError),
        (b24(), StrangeAnswerError),
        (b"941", StrangeAnswerError),
        (b"64too short|", ProtocolError),
    ],
)
async def test_what_cannot_be_the_answer_is_an_error_each_time(
    answer: bytes, error: type[ProtocolError]
) -> None:
    read = Reader()
    for _ in range(2):
        with pytest.raises(error):
            read(answer)
    assert read(b64()).patron_identifier == "91"
    with pytest.raises(error):  # nor after one that could
        read(answer)


async def test_c151_with_aliases_a_patron_may_have_another_number() -> None:
    read = Reader(aliases=True)
    first = read(b64(card=b"92"))
    assert first.patron_identifier == "92"
    assert read(b64(LATER, card=b"92")) is first


async def test_an_answer_about_one_card_is_none_about_another() -> None:
    read = Reader()
    read(b64())
    with pytest.raises(AnotherPatronError):
        read(b64(), q63(card=b"92"))


async def test_only_answers_about_patrons_are_kept_and_no_long_ones() -> None:
    read = Reader()
    login = b"9300CNus|COpw|"
    assert read(b"941", login) is not read(b"941", login)
    long = b64(more=b"AS" + b"x" * KEPT_BYTES_MAX + b"|")
    assert read(long) is not read(long)


async def test_what_is_forgotten_is_read_anew() -> None:
    read = Reader()
    first = read(b64())
    read.readings.forget()
    assert read(b64()) is not first
