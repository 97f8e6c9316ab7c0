"""Membership definitions (Wise: abonnement): all their keys, declared once.

Import, export, commands and the reference page are made from this declaration (B62, C82, C144,
C160, C167).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Generic, TypeVar, get_args, get_type_hints

from msgspec import Meta, Struct

from sip2gw.model.values import (
    TEXT_CHARACTERS_MAX,
    THREE_DIGITS,
    Age,
    Count,
    Months,
    Text,
)

A = TypeVar("A")
"""How an amount is given: minor units in a decision, a decimal text in a file."""


TYPE_WORDS = (
    "free",
    "youth",
    "by age",
    "paying",
    "schools and institutions",
    "temporary",
    "punch card",
    "workstation user",
    "shared account",
)
"""The types 0-8 of a membership (C82)."""


class KeyGroup(StrEnum):
    """What the keys of a membership are about."""

    IDENTITY = "Identity"
    LIMITS = "Limits"
    MATERIAL = "Material"
    AGES = "Ages"
    TERM = "Term and renewal"
    FEE = "Fee"
    NOTICES = "Notices"
    PERMISSIONS = "Permissions"
    PRESENTATION = "Presentation"


class About(Struct, frozen=True):
    """What a key is about, for the reference page."""

    group: KeyGroup
    effect: str
    """What it changes at a kiosk, a door or a payment terminal, or why it changes nothing."""


class MaterialRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What a membership allows of some kinds of material (B97, C167)."""

    material: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
    """A kind of material; `*` at the end stands for anything, also for an item without material."""
    allowed: bool = True
    max_items: Count = 0
    """Loans of this material at a time; 0 is no limit."""
    loan_days: Count | None = None
    """None is what the item says."""
    minimum_age: Age | None = None
    """In years; an unknown birth date is not old enough."""

    def fits(self, material: str | None) -> bool:
        """Whether the rule is about `material`."""
        if self.material.endswith("*"):
            return (material or "").startswith(self.material[:-1])
        return material == self.material


_G = KeyGroup

_NO_WORKSTATIONS = "No effect: sip2gw serves no public workstations."
_DESK = "No effect: the desk of the library system looks at it, terminals do not."
_MAINTAIN = "Account maintenance"


class MembershipDefinition(Struct, Generic[A]):
    """A membership definition with all its keys; `A` is how amounts are given.

    Months are whole months, ages whole years; None and 0 mean what the effect of the key says.
    """

    code: Annotated[
        str,
        Meta(pattern=THREE_DIGITS),
        About(
            _G.IDENTITY,
            "What patrons, and `memberships` of a door, refer to; PC, where it is sent.",
        ),
    ]
    description: Annotated[Text, About(_G.IDENTITY, "The name, for staff and in templates.")]
    type: Annotated[
        int,
        Meta(ge=0, le=8),
        About(
            _G.IDENTITY,
            f"{', '.join(f'{number} {word}' for number, word in enumerate(TYPE_WORDS))}. Decides"
            " which other keys are allowed.",
        ),
    ]
    customer_group: Annotated[
        Text | None,
        About(_G.PRESENTATION, "No effect: kept and exported; statistics of your own may use it."),
    ] = None
    minimum_age: Annotated[
        Age | None,
        About(_G.AGES, "Required for types 1 and 2. Terminals do not look at it."),
    ] = None
    maximum_age: Annotated[
        Age | None,
        About(_G.AGES, f"{_MAINTAIN}: above it the subsequent membership follows."),
    ] = None
    max_items: Annotated[
        Count,
        About(
            _G.LIMITS,
            "A kiosk lends no more (`item_limit`, flag 5), and shows it in CB; 0 is no limit.",
        ),
    ] = 0
    max_holds: Annotated[
        Count,
        About(
            _G.LIMITS,
            "A kiosk places no more holds (`hold_limit`), and shows it in BZ; 0 is no limit.",
        ),
    ] = 0
    holds_permitted: Annotated[
        bool, About(_G.PERMISSIONS, "When false, a kiosk places no holds (`holds_not_permitted`).")
    ] = True
    max_fees_self_service: Annotated[
        A | None,
        About(
            _G.LIMITS,
            'Who owes more is blocked at kiosks, and at doors with `fees = "limit"`. A payment'
            " terminal still takes the money.",
        ),
    ] = None
    max_fees_desk: Annotated[A | None, About(_G.LIMITS, _DESK)] = None
    alert_amount: Annotated[
        A | None,
        About(_G.LIMITS, "From here on up to the limit, kiosks and payment terminals warn in AF."),
    ] = None
    fines_via_invoice: Annotated[
        bool, About(_G.PERMISSIONS, "No effect: it lifts the limit of the desk only.")
    ] = False
    fee: Annotated[
        A | None,
        About(
            _G.FEE,
            f"{_MAINTAIN} makes a fee of type 01, which then counts and is payable like others.",
        ),
    ] = None
    renewal_type: Annotated[
        int,
        About(
            _G.TERM,
            f"{_MAINTAIN}, at the last day: 0 renews, 1 renews whoever is active, 3 ends a punch"
            " card, 4 carries over, 5 ends temporary memberships and those out of their ages,"
            " 9 ends.",
        ),
    ] = 0
    term_months: Annotated[
        Months | None,
        About(_G.TERM, f"{_MAINTAIN}: how long each renewal lasts; 12 for type 2 without it."),
    ] = None
    minimum_term_months: Annotated[
        Months | None,
        About(_G.TERM, "No effect: the renewal type decides, whatever the minimum term."),
    ] = None
    minimum_duration_months: Annotated[
        Months | None,
        About(_G.TERM, "No effect: how early a membership may be ended is for the desk to know."),
    ] = None
    free_months: Annotated[
        Months | None, About(_G.FEE, f"{_MAINTAIN}: so many months more in the first period.")
    ] = None
    trial_months: Annotated[
        Months | None,
        About(_G.FEE, f"Types 2 and 3. {_MAINTAIN} asks for no fee in these first months."),
    ] = None
    subsequent_membership: Annotated[
        str | None, About(_G.AGES, f"{_MAINTAIN}: the code of the membership that follows.")
    ] = None
    notification_term_months: Annotated[
        Months | None,
        About(_G.NOTICES, f"{_MAINTAIN} tells the patron so many months before the end."),
    ] = None
    remove_after_months: Annotated[
        Months | None,
        About(
            _G.TERM,
            f"{_MAINTAIN}, renewal type 1: ends who was not active for so long; less than 12"
            " counts as 22. An outgoing membership ends so long after it began.",
        ),
    ] = 22
    hidden: Annotated[
        bool,
        About(_G.PRESENTATION, "Not to be given to new patrons; those who have it keep it."),
    ] = False
    outgoing: Annotated[
        bool, About(_G.TERM, f"{_MAINTAIN} ends it after `remove_after_months`, active or not.")
    ] = False
    guest_lending: Annotated[
        bool, About(_G.PERMISSIONS, "No effect: guests of other libraries come with the import.")
    ] = False
    automatic_renewal: Annotated[
        bool, About(_G.PERMISSIONS, "No effect: loans are renewed by patrons, at a kiosk.")
    ] = False
    allow_pin_reset: Annotated[
        bool, About(_G.PERMISSIONS, "No effect: staff set PINs, with `patron set-pin`.")
    ] = False
    no_card_replacement_fee: Annotated[
        bool, About(_G.FEE, "No effect: a new card is made, and paid for, at the desk.")
    ] = False
    statistical_code: Annotated[
        Text | None, About(_G.PRESENTATION, "No effect: kept for the library's statistics.")
    ] = None
    reporting_group: Annotated[
        Text | None, About(_G.PRESENTATION, "No effect: kept for the library's statistics.")
    ] = None
    book_code: Annotated[Text | None, About(_G.FEE, "No effect: kept for the bookkeeper.")] = None
    info: Annotated[
        Text | None, About(_G.PRESENTATION, "For staff, who see it in `membership show`.")
    ] = None
    refund: Annotated[
        bool, About(_G.FEE, f"{_MAINTAIN}: what an early end leaves unused becomes a credit.")
    ] = False
    alert_period_days: Annotated[
        Count,
        About(_G.NOTICES, f"{_MAINTAIN}: `age_alert` comes so many days before the block."),
    ] = 5
    alert_repeat_days: Annotated[
        Count | None,
        About(_G.NOTICES, f"{_MAINTAIN} repeats an alert so many days later, at the earliest."),
    ] = None
    age_alert: Annotated[
        bool,
        About(
            _G.NOTICES,
            f"{_MAINTAIN} tells patrons before a fee is older than `max_fee_age_days`.",
        ),
    ] = False
    birth_month_expiry: Annotated[
        bool, About(_G.TERM, f"Type 1. {_MAINTAIN}: a period ends with the month of birth.")
    ] = False
    punch_card: Annotated[
        bool, About(_G.TERM, "Type 6. No effect at terminals: strips are sold at the desk.")
    ] = False
    linked_memberships: Annotated[
        tuple[str, ...],
        About(_G.TERM, "Types 2, 3 and 4. No effect: what staff may issue beside this one."),
    ] = ()
    hold_limit: Annotated[
        A | None,
        About(_G.LIMITS, "Who owes more places no holds at a kiosk (`hold_fee_limit`)."),
    ] = None
    internet_registration_limit: Annotated[A | None, About(_G.LIMITS, _NO_WORKSTATIONS)] = None
    invoicing_method: Annotated[
        Annotated[int, Meta(ge=0, le=4)] | None,
        About(
            _G.FEE,
            f"{_MAINTAIN}: without it nothing is invoiced; 0 no invoice, 1 giro slip or direct"
            " debit, 2 credit slip, 3 invoiced elsewhere, 4 collected (type 4): all make the fee.",
        ),
    ] = None
    registration_term_months: Annotated[
        Months | None, About(_G.TERM, f"{_MAINTAIN}: how long the first period lasts.")
    ] = None
    fee_reminder_months: Annotated[
        Months | None,
        About(_G.FEE, f"{_MAINTAIN} sets status 3 so long after the fee; 0 is never."),
    ] = None
    fee_delinquent_months: Annotated[
        Months | None,
        About(
            _G.FEE,
            f"{_MAINTAIN} sets status 4, which blocks at kiosks and doors; 0 is never.",
        ),
    ] = None
    fee_delete_months: Annotated[
        Months | None,
        About(
            _G.FEE,
            f"{_MAINTAIN} sets status 9, which blocks at kiosks and doors; 0 is never.",
        ),
    ] = None
    materials: Annotated[
        tuple[MaterialRule, ...],
        About(
            _G.MATERIAL,
            "A kiosk follows the first rule that fits the material of an item: whether it is lent"
            " at all, how many, for how long and from what age.",
        ),
    ] = ()
    grace_days: Annotated[
        Count,
        About(_G.MATERIAL, "A return so many days late costs nothing; later, every day counts."),
    ] = 0
    overdue_fee_max: Annotated[
        A | None,
        About(_G.MATERIAL, "No late return costs more, unless the item has a cap of its own."),
    ] = None
    fixed_expiration_month: Annotated[
        Annotated[int, Meta(ge=1, le=12)] | None,
        About(_G.TERM, "No effect: the desk sets the first last day, and terms follow it."),
    ] = None
    invoice_description: Annotated[
        Text | None, About(_G.FEE, "No effect: invoices are made from the fees, elsewhere.")
    ] = None
    sorting_position: Annotated[
        Count, About(_G.PRESENTATION, "`membership list` shows lower positions first.")
    ] = 0
    info_url: Annotated[
        Text | None, About(_G.PRESENTATION, "For staff, who see it in `membership show`.")
    ] = None


MEMBERSHIP_AMOUNTS = frozenset(
    name for name, hint in get_type_hints(MembershipDefinition).items() if A in get_args(hint)
)
"""The keys that hold an amount of money."""
