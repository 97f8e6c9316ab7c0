"""The one table of reasons: why somebody is refused, and all that follows from it (B27, B39).

A refusal is a value. All reasons are kept, in the order of the table; the first one is given. The
consequences of a reason (flags of the patron status, screen text, metric label, documentation) are
listed here and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from sip2gw.protocol.fields import UNKNOWN_CARD_FLAGS, PatronFlag

NO_FLAGS: frozenset[PatronFlag] = frozenset()
ALL_DENIED = UNKNOWN_CARD_FLAGS
"""No self-service at all."""
MONEY_DENIED = ALL_DENIED - {PatronFlag.RECALL_DENIED}
"""What a money block takes away, beside flags 10 and 11 (B25)."""


class Reason(StrEnum):
    """Why a patron is refused, in the fixed order in which reasons speak (B39). Stable codes."""

    GRANTED = "granted"
    CLOSED = "closed"
    TOO_LATE = "too_late"
    UNKNOWN_CARD = "unknown_card"
    CARD_BLOCKED = "card_blocked"
    CARD_REPLACED = "card_replaced"
    WRONG_PIN = "wrong_pin"
    PIN_LOCKED = "pin_locked"
    NO_BADGE = "no_badge"
    MEMBERSHIP_EXPIRED = "membership_expired"
    STATUS = "status"
    BLOCKED = "blocked"
    UNDER_AGE = "under_age"
    MEMBERSHIP_NOT_ALLOWED = "membership_not_allowed"
    OTHER_BRANCH = "other_branch"
    FEE_LIMIT = "fee_limit"
    FEE_AGE = "fee_age"
    NO_CONSENT = "no_consent"
    BARRED = "barred"
    FULL = "full"
    ALREADY_INSIDE = "already_inside"
    SYSTEM = "system"


class ReasonEntry(Struct, frozen=True):
    """What follows from one reason."""

    meaning: str
    """For the reference page."""
    flags: frozenset[PatronFlag]
    """Set in 24, 64 and 26 outside doors; money adds 10 and 11 (C39), a lost card 4 (C84)."""
    text_key: str
    """Screen text for the patron at a kiosk."""
    door_text_key: str
    """Screen text at a door, where others listen: announces neither a debt nor a ban (B39)."""


def _entry(
    meaning: str, flags: frozenset[PatronFlag], text_key: str, door: str = ""
) -> ReasonEntry:
    return ReasonEntry(meaning, flags, text_key, door or text_key)


REASONS: dict[Reason, ReasonEntry] = {
    Reason.GRANTED: _entry("nothing stands against it", NO_FLAGS, "granted"),
    Reason.CLOSED: _entry("the branch is closed at the moment", NO_FLAGS, "closed"),
    Reason.TOO_LATE: _entry("the branch closes within the margin", NO_FLAGS, "too_late"),
    Reason.UNKNOWN_CARD: _entry("nobody has this card", ALL_DENIED, "unknown_card"),
    Reason.CARD_BLOCKED: _entry("the card is blocked or lost", ALL_DENIED, "card_blocked"),
    Reason.CARD_REPLACED: _entry("the patron has a newer card", ALL_DENIED, "card_replaced"),
    Reason.WRONG_PIN: _entry("the PIN is wrong or was not given", ALL_DENIED, "wrong_pin"),
    # A locked card answers exactly like a wrong PIN (B20).
    Reason.PIN_LOCKED: _entry("too many wrong PINs with this card", ALL_DENIED, "wrong_pin"),
    Reason.NO_BADGE: _entry("a required badge is missing", NO_FLAGS, "no_badge"),
    Reason.MEMBERSHIP_EXPIRED: _entry(
        "no valid membership: expired, not begun, none, or (at a door) without an end",
        ALL_DENIED,
        "membership_expired",
    ),
    Reason.STATUS: _entry("a blocking customer status", ALL_DENIED, "status", "door_refused"),
    Reason.BLOCKED: _entry("a block set by staff", ALL_DENIED, "blocked", "door_refused"),
    Reason.UNDER_AGE: _entry("too young, or the birth date is unknown", NO_FLAGS, "under_age"),
    Reason.MEMBERSHIP_NOT_ALLOWED: _entry(
        "the membership does not count at this door", NO_FLAGS, "membership_not_allowed"
    ),
    Reason.OTHER_BRANCH: _entry("the home branch is another one", NO_FLAGS, "other_branch"),
    Reason.FEE_LIMIT: _entry(
        "more is owed than the limit", MONEY_DENIED, "fee_limit", "door_refused"
    ),
    Reason.FEE_AGE: _entry("a fee is open for too long", MONEY_DENIED, "fee_age", "door_refused"),
    Reason.NO_CONSENT: _entry("the house rules are not accepted", NO_FLAGS, "no_consent"),
    Reason.BARRED: _entry("on the bar list of the branch", NO_FLAGS, "barred", "door_refused"),
    Reason.FULL: _entry("as many inside as are allowed", NO_FLAGS, "full"),
    Reason.ALREADY_INSIDE: _entry("went in and not out", NO_FLAGS, "already_inside"),
    Reason.SYSTEM: _entry("the gateway could not decide", ALL_DENIED, "system"),
}
"""In the order in which they speak."""


_DOOR_REFUSED = frozenset({PatronFlag.CHARGE_DENIED})


def door_flags(reason: Reason) -> frozenset[PatronFlag]:
    """Flags in a door's decision (C66, C90)."""
    if reason is Reason.GRANTED:
        return NO_FLAGS
    if reason is Reason.UNKNOWN_CARD:
        return ALL_DENIED
    return _DOOR_REFUSED


class PaymentRefusalReason(StrEnum):
    """Why a 37 is answered with `38N`; nothing is booked (B43, B44, B46)."""

    UNKNOWN_CARD = "unknown_card"
    WRONG_PIN = "wrong_pin"
    NO_PIN = "no_pin"
    CARD_BLOCKED = "card_blocked"
    AMOUNT = "amount"
    CURRENCY = "currency"
    PAYMENT_TYPE = "payment_type"
    UNKNOWN_FEE = "unknown_fee"
    NOT_PAYABLE = "not_payable"
    NOT_YOURS = "not_yours"
    OVERPAYMENT = "overpayment"
    PARTIAL = "partial"
    SINGLE_FEE = "single_fee"
    SUBTOTAL = "subtotal"
    BK_REUSED = "bk_reused"
    BK_ANOTHER_DAY = "bk_another_day"
    NO_TRANSACTION_DATE = "no_transaction_date"
    NOTHING_TO_PAY = "nothing_to_pay"
    SYSTEM = "system"
    UNKNOWN_OUTCOME = "unknown_outcome"
    UPSTREAM = "upstream"
    """The library system behind the gateway says no."""


PAYMENT_TEXT_KEYS: dict[PaymentRefusalReason, str] = {
    PaymentRefusalReason.UNKNOWN_CARD: "unknown_card",
    PaymentRefusalReason.WRONG_PIN: "wrong_pin",
    PaymentRefusalReason.NO_PIN: "pin_needed",
    PaymentRefusalReason.CARD_BLOCKED: "card_blocked",
    PaymentRefusalReason.AMOUNT: "payment_amount",
    PaymentRefusalReason.CURRENCY: "payment_currency",
    PaymentRefusalReason.PAYMENT_TYPE: "payment_type",
    PaymentRefusalReason.UNKNOWN_FEE: "payment_unknown_fee",
    PaymentRefusalReason.NOT_PAYABLE: "payment_not_payable",
    PaymentRefusalReason.NOT_YOURS: "payment_not_yours",
    PaymentRefusalReason.OVERPAYMENT: "payment_overpayment",
    PaymentRefusalReason.PARTIAL: "payment_partial",
    PaymentRefusalReason.SINGLE_FEE: "payment_single_fee",
    PaymentRefusalReason.SUBTOTAL: "payment_subtotal",
    PaymentRefusalReason.BK_REUSED: "payment_bk_reused",
    # A late retry of a booked payment or a new payment: nobody can know which (C105).
    PaymentRefusalReason.BK_ANOTHER_DAY: "unknown_outcome",
    PaymentRefusalReason.NO_TRANSACTION_DATE: "payment_no_transaction_date",
    PaymentRefusalReason.NOTHING_TO_PAY: "payment_nothing_to_pay",
    PaymentRefusalReason.SYSTEM: "system",
    PaymentRefusalReason.UNKNOWN_OUTCOME: "unknown_outcome",
    PaymentRefusalReason.UPSTREAM: "payment_not_payable",
}
"""Screen text of each; `unknown_fee` and `not_yours` read the same, so no fee can be probed."""


class CirculationReason(StrEnum):
    """Why 11, 09, 29, 65, 15, 17 or 19 is refused, in the fixed order of speaking (B56-B60)."""

    UNKNOWN_CARD = "unknown_card"
    CARD_REPLACED = "card_replaced"
    WRONG_PIN = "wrong_pin"
    NO_PIN = "no_pin"
    UNKNOWN_ITEM = "unknown_item"
    NOT_FOR_LOAN = "not_for_loan"
    MATERIAL = "material"
    ATTACHMENT = "attachment"
    ON_HOLD = "on_hold"
    CHARGED_TO_OTHER = "charged_to_other"
    ALREADY_CHARGED = "already_charged"
    NOT_CHARGED = "not_charged"
    IN_TRANSIT = "in_transit"
    NOTE = "note"
    REFERENCE = "reference"
    RESERVED = "reserved"
    BLOCKED = "blocked"
    OVERDUE = "overdue"
    LOST_ITEMS = "lost_items"
    ITEM_LIMIT = "item_limit"
    MATERIAL_NOT_ALLOWED = "material_not_allowed"
    UNDER_AGE = "under_age"
    MATERIAL_LIMIT = "material_limit"
    RENEWAL_LIMIT = "renewal_limit"
    PREVIOUSLY_BORROWED = "previously_borrowed"
    FEE = "fee"
    NOTHING_TO_CANCEL = "nothing_to_cancel"
    ALREADY_HELD = "already_held"
    NO_SUCH_HOLD = "no_such_hold"
    HOLDS_NOT_PERMITTED = "holds_not_permitted"
    HOLD_LIMIT = "hold_limit"
    HOLD_FEE_LIMIT = "hold_fee_limit"
    HOLD_READY = "hold_ready"
    UNKNOWN_BRANCH = "unknown_branch"
    EXPIRED = "expired"
    UNKNOWN_MODE = "unknown_mode"


class CirculationEntry(Struct, frozen=True):
    """What follows from one reason."""

    meaning: str
    """For the reference page."""
    text_key: str


CIRCULATION_REASONS: dict[CirculationReason, CirculationEntry] = {
    CirculationReason.UNKNOWN_CARD: CirculationEntry("nobody has this card", "unknown_card"),
    CirculationReason.CARD_REPLACED: CirculationEntry(
        "the patron has a newer card", "card_replaced"
    ),
    CirculationReason.WRONG_PIN: CirculationEntry("the PIN is wrong or locked", "wrong_pin"),
    CirculationReason.NO_PIN: CirculationEntry("the PIN is needed and missing", "pin_needed"),
    CirculationReason.UNKNOWN_ITEM: CirculationEntry("there is no such item", "unknown_item"),
    CirculationReason.NOT_FOR_LOAN: CirculationEntry(
        "a reference copy, in process, or reported lost or missing", "not_for_loan"
    ),
    CirculationReason.MATERIAL: CirculationEntry(
        "this material is not for this terminal (`blocked_material_types`,"
        " `refuse_checkin_material_types`)",
        "material",
    ),
    CirculationReason.ATTACHMENT: CirculationEntry(
        "something belongs to it (`lend_with_attachment`)", "attachment"
    ),
    CirculationReason.ON_HOLD: CirculationEntry("somebody else waits for it", "on_hold"),
    CirculationReason.CHARGED_TO_OTHER: CirculationEntry(
        "somebody else has it on loan", "charged_to_other"
    ),
    CirculationReason.ALREADY_CHARGED: CirculationEntry(
        'the patron has it already (`second_checkout = "refuse"`)', "already_charged"
    ),
    CirculationReason.NOT_CHARGED: CirculationEntry("nobody has it on loan", "not_charged"),
    CirculationReason.IN_TRANSIT: CirculationEntry(
        "it is on its way to another branch (`refuse_checkin`)", "return_refused"
    ),
    CirculationReason.NOTE: CirculationEntry(
        "staff has left a note (`refuse_checkin`)", "return_refused"
    ),
    CirculationReason.REFERENCE: CirculationEntry(
        "a reference copy (`refuse_checkin`)", "return_refused"
    ),
    CirculationReason.RESERVED: CirculationEntry(
        "somebody waits for it (`refuse_checkin`)", "return_refused"
    ),
    CirculationReason.BLOCKED: CirculationEntry(
        "something stands against the patron; the text is that of the reason above", "blocked"
    ),
    CirculationReason.OVERDUE: CirculationEntry(
        "the patron has something overdue (`overdues_block_checkout`)", "overdue"
    ),
    CirculationReason.LOST_ITEMS: CirculationEntry(
        "the patron has lost so many items (`lost_block_checkout`)", "lost_items"
    ),
    CirculationReason.ITEM_LIMIT: CirculationEntry(
        "as many loans as the membership allows", "too_many_items"
    ),
    CirculationReason.MATERIAL_NOT_ALLOWED: CirculationEntry(
        "the membership does not lend this material", "material_not_allowed"
    ),
    CirculationReason.UNDER_AGE: CirculationEntry(
        "the patron is too young for the item or its material, or the birth date is unknown",
        "item_under_age",
    ),
    CirculationReason.MATERIAL_LIMIT: CirculationEntry(
        "as many loans of this material as the membership allows", "material_limit"
    ),
    CirculationReason.RENEWAL_LIMIT: CirculationEntry(
        "renewed as often as the item allows", "renewal_limit"
    ),
    CirculationReason.PREVIOUSLY_BORROWED: CirculationEntry(
        "the patron had it before, and has not presented it again to say so"
        " (`confirm_previously_borrowed`)",
        "previously_borrowed",
    ),
    CirculationReason.FEE: CirculationEntry(
        "it costs something, and the patron has not agreed (BO)", "fee_not_acknowledged"
    ),
    CirculationReason.NOTHING_TO_CANCEL: CirculationEntry(
        "the last transaction with the item is not one of this terminal to be cancelled (BI)",
        "nothing_to_cancel",
    ),
    CirculationReason.ALREADY_HELD: CirculationEntry(
        "the patron waits for it already", "already_held"
    ),
    CirculationReason.NO_SUCH_HOLD: CirculationEntry(
        "the patron does not wait for it", "no_such_hold"
    ),
    CirculationReason.HOLDS_NOT_PERMITTED: CirculationEntry(
        "the membership allows no holds", "holds_not_permitted"
    ),
    CirculationReason.HOLD_LIMIT: CirculationEntry(
        "as many holds as the membership allows", "hold_limit"
    ),
    CirculationReason.HOLD_FEE_LIMIT: CirculationEntry(
        "more is owed than the membership allows for holds", "hold_fee_limit"
    ),
    CirculationReason.HOLD_READY: CirculationEntry(
        "it waits on the shelf, the branch cannot change any more", "hold_ready"
    ),
    CirculationReason.UNKNOWN_BRANCH: CirculationEntry(
        "there is no such branch to pick it up (BS)", "unknown_branch"
    ),
    CirculationReason.EXPIRED: CirculationEntry(
        "the expiration date has passed (BW)", "hold_expired"
    ),
    CirculationReason.UNKNOWN_MODE: CirculationEntry(
        "the hold mode is none of + - *", "not_supported"
    ),
}
"""In the order in which they speak."""
