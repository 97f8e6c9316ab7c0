"""Requests as you type them: `63 AA=123 summary=fines` becomes a typed message (C58)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from sip2gw.cli.failures import UsageError
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.fields import Fixed, Summary, Tagged
from sip2gw.protocol.layout import Placement, layout_of
from sip2gw.protocol.messages import Login, Request
from sip2gw.protocol.registry import REQUESTS
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.timestamps import write_timestamp
from sip2gw.protocol.wire import WireFormat

DEFAULTS = {"currency_type": "EUR"}
"""Default values of a kiosk, by attribute; dates are the present moment."""

_WORD_EDGE = re.compile(r"(?<=[a-z])(?=[A-Z])")


def message_name(kind: type[Request]) -> str:
    """`PatronInformation` as you type it: `patron-information`."""
    return _WORD_EDGE.sub("-", kind.__name__).lower()


def request_type(text: str) -> type[Request]:
    """The request with the code or name `text`.

    Raises:
        UsageError: there is no such request.
    """
    kind = REQUESTS.get(text)
    if kind is not None:
        return kind
    typed = text.lower().replace("_", "-")
    names = {message_name(kind): kind for kind in REQUESTS.values()}
    found = names.get(typed) or names.get(f"{typed}-request")
    if found is None:
        known = ", ".join(f"{kind.code} {name}" for name, kind in sorted(names.items()))
        raise UsageError(f"no message {text.partition('=')[0]!r}; known messages: {known}")
    return found


class Wanted(Discreet, Struct, frozen=True):
    """A request as typed; `repr` shows no value."""

    kind: type[Request]
    values: Hidden[dict[str, Any]] = field(default_factory=dict)
    strange: Hidden[tuple[tuple[str, str], ...]] = ()
    """Fields that the message does not have, as tag and value; they are sent after the others."""

    @property
    def needs_institution(self) -> bool:
        """Whether the message has an AO, and none was given."""
        known = "institution_id" in layout_of(self.kind).attributes
        return known and "institution_id" not in self.values

    def with_login(self, login: Login) -> Wanted:
        """The same 93 with the values of `login`, unless fields say otherwise."""
        given = {name: getattr(login, name) for name in layout_of(type(login)).attributes}
        values = {name: value for name, value in given.items() if value} | self.values
        return replace(self, values=values)

    def body(self, wire: WireFormat, institution: str, now: datetime | None = None) -> bytes:
        """The message without its trailer; missing values get a sensible default."""
        known = layout_of(self.kind).attributes
        defaults = {
            **DEFAULTS,
            "institution_id": institution,
            "transaction_date": write_timestamp(now or datetime.now().astimezone()),
        }
        values = {name: value for name, value in defaults.items() if name in known} | self.values
        body = serialise(self.kind(**values), wire)
        for tag, value in self.strange:
            body += wire.text.encode(f"{tag}{value}|")
        return body


def requested(message: str, pairs: Iterable[str]) -> Wanted:
    """The request that `message` and `FIELD=VALUE` pairs describe.

    Raises:
        UsageError: an unknown message or field, or a value that does not fit.
    """
    kind = request_type(message)
    layout = layout_of(kind)
    by_name: dict[str, Placement[Fixed] | Placement[Tagged]] = {}
    by_name |= {placement.attribute: placement for placement in layout.fixed}
    by_name |= {placement.attribute: placement for placement in layout.tagged}
    by_name |= {placement.place.tag: placement for placement in layout.tagged}
    values: dict[str, Any] = {}
    strange: list[tuple[str, str]] = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        placement = by_name.get(name)
        if not equals:
            raise UsageError(f"{name}: write a field as FIELD=VALUE")
        if placement is not None:
            values[placement.attribute] = _value(name, placement.place, value)
        elif re.fullmatch(r"[A-Z][A-Z0-9]", name):
            strange.append((name, value))
        else:
            raise UsageError(f"no field {name}; known fields: {', '.join(by_name)}")
    return Wanted(kind, values, tuple(strange))


def _value(name: str, place: Fixed | Tagged, text: str) -> Any:
    """`text` as the value at `place`."""
    if place.label == "summary" and not set(text) <= {"Y", " "}:
        return _summary(text)
    if place.width and len(text) > place.width:
        raise UsageError(f"{name}: at most {place.width} characters")
    read = place.codec.read
    return text if read is None else read(text)


def _summary(text: str) -> frozenset[Summary]:
    """Categories by name, joined by commas: `summary=fines,holds`."""
    names = text.upper().replace("-", "_").split(",")
    unknown = [name for name in names if name not in Summary.__members__]
    if unknown:
        known = ", ".join(name.lower() for name in Summary.__members__)
        raise UsageError(f"summary: choose from {known}")
    return frozenset(Summary[name] for name in names)
