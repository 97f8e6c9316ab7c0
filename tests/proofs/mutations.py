"""A byte mutator: what line noise, firmware bugs and malice do to a valid dialogue."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from proofs.dialogues import any_body, sealed

Mutation = Callable[[random.Random, bytearray], None]

_INTERESTING = (
    b"\0", b"\n", b"\r\n", b"|", b"||", b"\xff", b"\x1b[2J", b"AZ0000", b"AY", b"AY1AZ", b"97",
    b"\xe1", b"\xc3\xa9", b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80", b"-1", b"9" * 40, b"AD", b"%s%n",
    b"AA1001|", b"CNkiosk-1|", b"' OR 1=1 --", b"YYYYYYYYYY", b"BV1e9|", b"BP-1|BQ99999999999|",
    b"99999999    999999", b"00000000    000000", b"20260230    250000",
)  # fmt: skip


def flip(chance: random.Random, frame: bytearray) -> None:
    frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)


def replace(chance: random.Random, frame: bytearray) -> None:
    frame[chance.randrange(len(frame))] = chance.randrange(256)


def insert(chance: random.Random, frame: bytearray) -> None:
    at = chance.randrange(len(frame) + 1)
    frame[at:at] = chance.choice(_INTERESTING)


def delete(chance: random.Random, frame: bytearray) -> None:
    at = chance.randrange(len(frame))
    del frame[at : at + chance.randint(1, 8)]


def duplicate(chance: random.Random, frame: bytearray) -> None:
    at = chance.randrange(len(frame))
    frame[at:at] = frame[at : at + chance.randint(1, 30)]


def truncate(chance: random.Random, frame: bytearray) -> None:
    del frame[chance.randrange(len(frame)) :]


def swap(chance: random.Random, frame: bytearray) -> None:
    at, length = chance.randrange(len(frame)), chance.randint(1, 12)
    chunk = frame[at : at + length]
    del frame[at : at + length]
    to = chance.randrange(len(frame) + 1)
    frame[to:to] = chunk


def long_run(chance: random.Random, frame: bytearray) -> None:
    at = chance.randrange(len(frame) + 1)
    length = chance.choice((300, 300, 300, 2_000, 9_000))
    frame[at:at] = bytes([chance.choice(b"A |\0\xff0")]) * length


def splice(chance: random.Random, frame: bytearray) -> None:
    frame[chance.randrange(len(frame)) :] = any_body(chance)[chance.randrange(20) :]


def noise(chance: random.Random, frame: bytearray) -> None:
    frame[:] = chance.randbytes(chance.randint(1, 80))


_OFTEN: tuple[Mutation, ...] = (flip, replace, insert, delete, duplicate, truncate, swap, splice)
_ENDS = (b"\r",) * 12 + (b"\n", b"\r\n", b"\r\r\n", b"\n\r", b"\r\0 \r", b"")


def mutated(chance: random.Random, body: bytes, sequence: int) -> bytes:
    """`body`, spoiled before or after its trailer was put on, or not at all; with a line end."""
    frame = bytearray(body)
    with_trailer, afterwards = chance.random() < 0.5, chance.random() < 0.3
    if chance.random() < 0.75 and not afterwards:
        _spoil(chance, frame)
    if with_trailer and frame:
        frame = bytearray(sealed(bytes(frame), sequence))
    if afterwards:
        _spoil(chance, frame)
    return bytes(frame) + chance.choice(_ENDS)


def _spoil(chance: random.Random, frame: bytearray) -> None:
    for _ in range(1 if chance.random() < 0.7 else chance.randint(2, 6)):
        if not frame:
            return
        rare = chance.random()
        change = long_run if rare < 0.01 else noise if rare < 0.03 else chance.choice(_OFTEN)
        change(chance, frame)


def chunks(chance: random.Random, stream: bytes) -> Iterator[bytes]:
    """`stream` cut as a network may cut it: whole, in frames' halves, byte by byte."""
    manner = chance.random()
    if manner < 0.3:
        yield stream
        return
    longest = 3 if manner < 0.35 else 40 if manner < 0.6 else 400
    at = 0
    while at < len(stream):
        step = chance.randint(1, longest)
        yield stream[at : at + step]
        at += step
