"""What a look at the library system tells about a request of unknown outcome.  (C98, C127)

A 17 says whether the item is on loan, but seldom to whom; the loans of the patron, in a 64, say the
rest. What neither tells stays unknown, for staff to find out: whether a loan was extended, and all
about holds.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from sip2gw.model.items import LOCAL_HOLD, TRANSFER
from sip2gw.policy.upstream.facts import says_nothing
from sip2gw.protocol.messages import (
    CheckinResponse,
    CheckoutResponse,
    ItemInformationResponse,
    PatronInformationResponse,
)

CHECKIN, CHECKOUT, RENEWAL = "09", "11", "29"

_ON_LOAN = frozenset({"04", "05", "07"})
"""Charged; not to be recalled yet; recalled.  Spec: SIP2 2.00, circulation status."""
_HERE = frozenset({"02", "03", "06", "08", "09", "10"})
"""On order, available, in process, on the hold shelf, to be shelved, in transit."""
_ON_HOLD_SHELF, _IN_TRANSIT = "08", "10"
_ALERT_TYPES = {_ON_HOLD_SHELF: LOCAL_HOLD, _IN_TRANSIT: TRANSFER}
"""CV of a return, by the circulation status that the item has since: it does not go to the shelf
(B59). Whether an item travels for a hold or home, an 18 does not say."""
_PATRON = "AA"
DUE_MAX = 20


class Whereabouts(StrEnum):
    """Where an item is, as the library system says; the words that staff see."""

    THEIRS = "on_loan_to_patron"
    ANOTHERS = "not_on_loan_to_patron"
    ON_LOAN = "on_loan"
    HERE = "not_on_loan"
    UNCLEAR = "not_told"


class Ending(StrEnum):
    """What became of a request; the words of `Review.outcome`."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Attempt(Struct, frozen=True):
    """What was asked for."""

    code: str
    patron: str
    cancels: bool
    """BI. What an item's state tells of it, nobody can say."""
    undone: bool
    """Whether something went up since that may have undone it: then a state that does not show it
    is no proof that it was not done."""
    recent: bool
    """Whether a slow library system may still be about to do it."""


def where_item_is(
    answer: ItemInformationResponse, patron: str, *, aliases: bool = False
) -> Whereabouts:
    """What an 18 says; some library systems add whose the loan is, in AA. With `aliases` that may
    be another number of the same patron (C151)."""
    if answer.circulation_status in _HERE:
        return Whereabouts.HERE
    if answer.circulation_status not in _ON_LOAN:
        return Whereabouts.UNCLEAR
    borrower = next((value for tag, value in answer.extra_fields if tag == _PATRON), None)
    if borrower is None or not patron:
        return Whereabouts.ON_LOAN
    theirs = borrower.strip() == patron.encode("utf-8", "surrogateescape")
    if theirs:
        return Whereabouts.THEIRS
    return Whereabouts.ON_LOAN if aliases else Whereabouts.ANOTHERS


def where_loans_say(answer: PatronInformationResponse, item: str) -> Whereabouts:
    """What the loans of the patron in a 64 say. A list that is shorter than their count, or in
    which titles take the place of numbers, says nothing about what is missing in it."""
    if says_nothing(answer, with_pin=False):
        return Whereabouts.UNCLEAR
    loans = answer.charged_items
    if any(is_loan_of(loan, item) for loan in loans):
        return Whereabouts.THEIRS
    is_complete = len(loans) >= answer.charged_items_count
    names_items = all(_may_be_number(loan) for loan in loans)
    return Whereabouts.ANOTHERS if is_complete and names_items else Whereabouts.UNCLEAR


def is_loan_of(loan: str, item: str) -> bool:
    """Whether AU is the number of the item, or begins with that and a blank."""
    return loan.strip().partition(" ")[0] == item


def _may_be_number(loan: str) -> bool:
    """Whether AU may be the number of an item and nothing else: titles have blanks, or no digit."""
    signs = loan.strip()
    has_digit = any(sign.isdigit() for sign in signs)
    return has_digit and all(sign.isalnum() or sign in "-._" for sign in signs)


def needs_loans(attempt: Attempt, whereabouts: Whereabouts) -> bool:
    """Whether the patron's loans would tell more than the item did."""
    if attempt.code not in (CHECKOUT, RENEWAL) or attempt.cancels or not attempt.patron:
        return False
    return whereabouts in (Whereabouts.ON_LOAN, Whereabouts.UNCLEAR)


def ending_of(attempt: Attempt, whereabouts: Whereabouts) -> Ending | None:
    """What became of `attempt`, if that can be told; None: it is too early to say no."""
    if attempt.cancels or whereabouts is Whereabouts.UNCLEAR:
        return Ending.UNKNOWN
    if attempt.code == CHECKIN:
        if whereabouts is Whereabouts.HERE:
            return Ending.DONE
        return _not_done(attempt)
    if attempt.code == CHECKOUT and whereabouts is Whereabouts.THEIRS:
        return Ending.DONE
    if attempt.code in (CHECKOUT, RENEWAL) and whereabouts in (
        Whereabouts.HERE,
        Whereabouts.ANOTHERS,
    ):
        return _not_done(attempt)
    return Ending.UNKNOWN


def _not_done(attempt: Attempt) -> Ending | None:
    if attempt.undone:
        return Ending.UNKNOWN
    return None if attempt.recent else Ending.REFUSED


def words_of(
    attempt: Attempt, whereabouts: Whereabouts, item: ItemInformationResponse | None
) -> tuple[str, ...]:
    """What was seen, for staff; their due date without blanks, and only what dates are made of."""
    words: list[str] = ["cancellation"] if attempt.cancels else []
    words.append(whereabouts)
    due = (item.due_date if item is not None else None) or ""
    kept = "".join(sign for sign in due if sign.isascii() and (sign.isalnum() or sign in "-:./"))
    if kept:
        words.append(f"due_{kept[:DUE_MAX]}")
    if attempt.undone:
        words.append("may_be_undone")
    return tuple(words)


def answer_to_done(
    attempt: Attempt, item_id: str, item: ItemInformationResponse | None
) -> CheckoutResponse | CheckinResponse:
    """What a terminal that asks again is told: it is done. Nobody knows more than the 18 says."""
    title = item.title_identifier if item is not None else ""
    date = item.transaction_date if item is not None else ""
    if attempt.code == CHECKIN:
        alert_type = _ALERT_TYPES.get(item.circulation_status) if item is not None else None
        return CheckinResponse(
            ok=True,
            resensitize=True,
            alert=alert_type is not None,
            transaction_date=date,
            item_identifier=item_id,
            permanent_location=(item.permanent_location if item is not None else None) or "",
            title_identifier=title or None,
            alert_type=alert_type,
        )
    return CheckoutResponse(
        ok=True,
        desensitize=True,
        transaction_date=date,
        patron_identifier=attempt.patron,
        item_identifier=item_id,
        title_identifier=title,
        due_date=(item.due_date if item is not None else None) or "",
    )
