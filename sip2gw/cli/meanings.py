"""What codes mean, beside the codes that people see; JSON and CSV keep the bare codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Shown = Callable[[dict[str, Any]], dict[str, Any]]
"""How a table or a person is shown a record."""

PAYMENT_TYPES = {"00": "cash", "01": "VISA", "02": "credit card"}
"""Those of SIP2 2.00; a library may agree on others with the maker of its machines."""


def with_meaning(key: str, words: Mapping[str, str]) -> Shown:
    """Show the code under `key` with its meaning: `5 (normal)`; an unknown code stays as it is."""

    def shown(told: dict[str, Any]) -> dict[str, Any]:
        code = str(told[key])
        return {**told, key: f"{code} ({words[code]})"} if code in words else told

    return shown


def patron_statuses() -> Mapping[str, str]:
    """The Wise customer statuses (B27)."""
    from sip2gw.policy.explaining.patrons import STATUS_WORDS

    return {str(number): word for number, word in enumerate(STATUS_WORDS)}


def membership_types() -> Mapping[str, str]:
    """The types of memberships (B62)."""
    from sip2gw.model.memberships import TYPE_WORDS

    return {str(number): word for number, word in enumerate(TYPE_WORDS)}


def support_statuses() -> Mapping[str, str]:
    """Where a message of customer support stands (B64)."""
    from sip2gw.model.support import SupportStatus

    return {one.value: one.name.lower().replace("_", " ") for one in SupportStatus}
