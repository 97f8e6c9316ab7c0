"""A patron's record on its way between two processes of one gateway, as bytes (C110)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints

import msgspec

from sip2gw.model import PatronRecord

SEALED_BYTES_MAX = 48_000
"""Somebody with more than this, thousands of loans and fees, is remembered by one worker only."""

_NAMES = tuple(field.name for field in fields(PatronRecord) if field.init)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record that nobody here needs to read."""

    id: str
    data: bytes

    def __repr__(self) -> str:
        return "<Sealed>"


def seal(record: PatronRecord) -> bytes:
    """What `unseal` makes the same record of; empty if it is too long."""
    data = msgspec.msgpack.encode([getattr(record, name) for name in _NAMES])
    return data if len(data) <= SEALED_BYTES_MAX else b""


def unseal(data: bytes) -> PatronRecord:
    """The record that was sealed."""
    return PatronRecord(*_decoder().decode(data))


@cache
def _decoder() -> msgspec.msgpack.Decoder[Any]:
    # Its module is not looked at before: most gateways have one process, and unseal nothing.
    hints = get_type_hints(PatronRecord)
    # A type that is made here, so that a type checker does not know it.
    return msgspec.msgpack.Decoder(tuple[tuple(hints[name] for name in _NAMES)])  # type: ignore[misc]
