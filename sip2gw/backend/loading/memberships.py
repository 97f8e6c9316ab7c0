"""Membership definitions between the library data format and the store (B62, C82)."""

from __future__ import annotations

from typing import Any

import msgspec

from sip2gw.backend.loading.format import MembershipLine
from sip2gw.backend.sql.members.memberships import COLUMNS, Definition
from sip2gw.model import MEMBERSHIP_AMOUNTS, format_amount, parse_amount


def read_amount(name: str, text: str, currency: str) -> int:
    """The amount that `text` says, in minor units of `currency`.

    Raises:
        ValueError: it is not an amount, or below zero; the text names the key.
    """
    try:
        amount = parse_amount(text, currency)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from None
    if amount < 0:
        raise ValueError(f"`{name}`: must not be negative")
    return amount


def definition_of_line(line: MembershipLine, currency: str) -> Definition:
    """The definition that `line` says.

    Raises:
        ValueError: an amount is wrong; the text names the key.
    """
    values = {name: getattr(line, name) for name in COLUMNS}
    for name in MEMBERSHIP_AMOUNTS:
        if values[name] is not None:
            values[name] = read_amount(name, values[name], currency)
    return Definition(**values)


def line_of_definition(definition: Definition, currency: str) -> MembershipLine:
    """The line that says `definition`; a fee of nothing is none."""
    values = {name: getattr(definition, name) for name in COLUMNS}
    for name in MEMBERSHIP_AMOUNTS:
        if values[name] is not None:
            values[name] = format_amount(values[name], currency)
    return MembershipLine(**values)


def record_of(definition: Definition, currency: str) -> dict[str, Any]:
    """The JSON of `definition`: every key of the format, whether set or not."""
    line = line_of_definition(definition, currency)
    return {name: msgspec.to_builtins(getattr(line, name)) for name in COLUMNS}
