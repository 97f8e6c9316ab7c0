"""A patron's record on its way between two processes of one gateway, as bytes (C110)."""

from __future__ import annotations

from functools import cache
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sip2gw.model import PatronRecord
from sip2gw.policy.upstream.facts import Facts
from sip2gw.protocol.structs import Opaque

SEALED_BYTES_MAX = 48_000
"""Somebody with more than this, thousands of loans and fees, is remembered by one worker only."""

_NAMES = PatronRecord.__struct_fields__


class Sealed(Opaque, Struct, frozen=True):
    """A record that nobody here needs to read."""

    id: str
    data: bytes


def seal(record: PatronRecord) -> bytes:
    """What `unseal` makes the same record of; empty if it is too long."""
    data = msgspec.msgpack.encode([getattr(record, name) for name in _NAMES])
    return data if len(data) <= SEALED_BYTES_MAX else b""


def unseal(data: bytes) -> PatronRecord:
    """The record that was sealed."""
    record = PatronRecord(*_decoder().decode(data))
    word = record.word
    if word is None or word.origin is None:
        return record
    # The model does not know the type of the facts, so the decoder does not either.
    facts = msgspec.convert(word.origin.facts, Facts)
    return replace(record, word=replace(word, origin=replace(word.origin, facts=facts)))


@cache
def _decoder() -> msgspec.msgpack.Decoder[Any]:
    # Its module is not looked at before: most gateways have one process, and unseal nothing.
    hints = get_type_hints(PatronRecord)
    # A type that is made here, so that a type checker does not know it.
    return msgspec.msgpack.Decoder(tuple[tuple(hints[name] for name in _NAMES)])  # type: ignore[misc]
