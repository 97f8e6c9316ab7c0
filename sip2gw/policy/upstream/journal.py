"""What may be taken off line while the library system is away, and what goes up later.

Rules: B57, B77, C125, C154, C155. This decides for the journal only: what the profile
refuses is refused before, and what the library system decides, it decides when it is back.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sip2gw.model import CardState
from sip2gw.model.journal import EntryState, JournalEntry, Value
from sip2gw.policy.reasons import CirculationReason
from sip2gw.protocol.messages import (
    Checkin,
    CheckinResponse,
    Checkout,
    CheckoutResponse,
)

Journalled = Checkout | Checkin
"""All that is ever taken off line: a loan that was made, an item that was given back (C125)."""

_CARRIED: Mapping[type[Journalled], tuple[str, ...]] = {
    Checkout: (
        "sc_renewal_policy",
        "transaction_date",
        "nb_due_date",
        "item_properties",
        "fee_acknowledged",
        "cancel",
    ),
    Checkin: (
        "transaction_date",
        "return_date",
        "current_location",
        "item_properties",
        "cancel",
    ),
}
"""What is kept beside item and patron. Passwords are not, and no unknown field is: nobody knows
what is in it."""
_TYPES: Mapping[str, type[Journalled]] = {kind.code: kind for kind in _CARRIED}

SENT_TWICE = "may_have_gone_up_before"
REFUSED_THERE = "refused_by_library_system"


class Borrower(Struct, frozen=True):
    """What can be known of somebody who borrows while the library system is away."""

    number: str
    card: CardState
    """By our store; `active` for a card that only the library system knows."""
    is_blocked: bool
    """By a block of our store, or a bar: the library system's own blocks are not known now."""
    pin_is_wrong: bool
    """Or locked."""
    pin_is_right: bool
    """As was verified before. Mostly neither is known, for nobody there can be asked."""
    pin_required: bool


def obstacle_to_lending(borrower: Borrower) -> CirculationReason | None:
    """Why a loan is not taken off line; None if it is.

    What speaks against it here counts, for nobody else can be asked: a blocked or barred patron, a
    card that is not valid any more, a PIN that is locked or that memory knows to be wrong. A PIN
    that nobody can verify now does not, unless the profile demands one.
    """
    if not borrower.number.strip():
        return CirculationReason.UNKNOWN_CARD
    if borrower.pin_is_wrong:
        return CirculationReason.WRONG_PIN
    if borrower.pin_required and not borrower.pin_is_right:
        return CirculationReason.NO_PIN
    if borrower.card is CardState.REPLACED:
        return CirculationReason.CARD_REPLACED
    if borrower.card is not CardState.ACTIVE or borrower.is_blocked:
        return CirculationReason.BLOCKED
    return None


def carried_of(request: Journalled) -> dict[str, Value]:
    """What of `request`, as it would go up, the journal keeps beside item and patron."""
    return {name: getattr(request, name) for name in _CARRIED[type(request)]}


def request_of(entry: JournalEntry, institution: str) -> Journalled:
    """`entry` as it goes up to `institution`: it has happened, at the time that it names (C125)."""
    kind = _TYPES[entry.message]
    values: dict[str, Value] = {name: entry.request.get(name) for name in _CARRIED[kind]}
    if kind is Checkout:
        values["patron_identifier"] = entry.patron
    return kind(
        no_block=True,
        institution_id=institution,
        item_identifier=entry.item,
        **values,  # type: ignore[arg-type] # what this message has
    )


def state_after(answer: CheckoutResponse | CheckinResponse) -> EntryState:
    """What the library system's answer makes of an entry."""
    return EntryState.DONE if answer.ok else EntryState.CONFLICT


def reasons_for_staff(entry: JournalEntry, state: EntryState) -> tuple[str, ...]:
    """The words of the entry for review: why a person must look at it. About what was not answered
    they are written when the gateway has looked what became of it."""
    if state is not EntryState.CONFLICT:
        return ()
    return (REFUSED_THERE, SENT_TWICE) if entry.tries > 1 else (REFUSED_THERE,)
