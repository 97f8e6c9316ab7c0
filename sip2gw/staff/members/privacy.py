"""What is kept of a patron, as JSON for the person who asked, and forgetting them (B91)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from sip2gw.model import format_amount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import tzinfo

    from sip2gw.backend.library import Library

_NAMES = {
    "patron_id": "patron",
    "payer_id": "payer",
    "debtor_id": "debtor",
    "from_id": "from",
    "to_id": "to",
    "item_id": "item",
    "fee_id": "fee",
    "payment_id": "payment",
    "transaction_id": "transaction",
    "membership_code": "membership",
    "badge_code": "badge",
    "valid_from": "from",
    "valid_until": "until",
    "status_fee": "fee_of_status",
    "message_id": "message",
    "kind": "type",
}
"""Columns that the report calls something else; `kind` says what a record is about."""
_AMOUNTS = frozenset(("amount", "owed", "owed_before", "owed_after", "fee_limit"))
_TIMES = frozenset(
    (
        "time",
        "created",
        "due",
        "checked_out",
        "placed",
        "expires",
        "settled",
        "resolved",
        "closed",
        "since",
        "ends",
        "transacted",
        "locked_until",
        "repeated",
        "last_try",
        "ended",
    )
)
_DATE_CHARACTERS = len("2026-03-10")
_LISTS = frozenset(("notices", "branches", "texts", "answers"))
_FLAGS = frozenset(("may_renew", "may_pay", "confirmed", "ready"))


def report_json(
    rows: Iterable[tuple[str, dict[str, Any]]], currency: str, zone: tzinfo
) -> Iterator[dict[str, Any]]:
    """Each row with its `kind` first; amounts as strings, times local, no empty values."""
    for kind, columns in rows:
        yield {"kind": kind} | {
            _NAMES.get(name, name): _value(name, value, currency, zone)
            for name, value in columns.items()
            if value not in (None, "", "[]")
        }


def _value(name: str, value: Any, currency: str, zone: tzinfo) -> Any:
    from sip2gw.backend.sql.values import list_value, moment_value

    if name in _AMOUNTS and isinstance(value, int):
        return format_amount(value, currency)
    if name in _TIMES and len(value) > _DATE_CHARACTERS:
        return moment_value(value).astimezone(zone).isoformat()
    if name in _LISTS:
        return list(list_value(value))
    return bool(value) if name in _FLAGS else value


class ForgottenJson(TypedDict):
    """A patron has been forgotten."""

    stub: str
    """What the ledger names instead; nothing tells whose it is."""
    rows: int
    """Rows that were deleted or changed."""
    fees: int
    """Fees that kept an id with a card number in it: the ledger is built on it."""
    left: str
    """What is left to do, or nothing."""


async def forget_patron(
    store: Library, currency: str, number: str, *, force: bool
) -> ForgottenJson:
    """Remove a patron from the store for good (C146).

    Raises:
        NotFoundError: nobody has the number.
        RefusedError: something ties the patron to the library; the text says what.
    """
    forgotten, left = await store.forget_patron(
        number, lambda minor: f"{currency} {format_amount(minor, currency)}", force=force
    )
    return {
        "stub": forgotten.stub,
        "rows": forgotten.rows,
        "fees": forgotten.left,
        "left": left,
    }
