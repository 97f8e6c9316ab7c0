"""The settings of a profile for the handlers, one value per concern (B13).

Names, meanings and units are those of the configuration; the settings for a policy are in separate
values (`DoorRules`, `PaymentRules`, `CirculationRules`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from sip2gw.policy.upstream.payments import Split
from sip2gw.policy.upstream.rules import FactRules
from sip2gw.protocol.encoding import TextEncoding
from sip2gw.protocol.timestamps import DateZone

CustomField = tuple[str, str]
"""A field of the profile's own: its tag, and the template of what it says."""


class DataLimit(Struct, frozen=True):
    """When the data that a door decides on is too old (C138)."""

    max_age: timedelta
    account: str | None
    """Whose answers are the data; None: the imports into our store."""


class Identification(Struct, frozen=True):
    """When a card counts as identified, and what is said if it does not (B18-B20, C20)."""

    pin_required: bool
    wrong_pin_hides_card: bool


class Rights(Struct, frozen=True):
    """What a terminal may do besides asking (B26, B31, B54, C106)."""

    may_block_patrons: bool
    honours_fw_b: bool
    """Whether `FW=B` lifts the money block."""
    accept_offline: bool
    renewals_of_authorisers: bool


class Presentation(Struct, frozen=True):
    """How patrons, fees and items are shown (B22, B30, C36, C86)."""

    personal_fields: tuple[str, ...]
    staff_notices: bool
    support_answers: bool
    """Whether staff's answers to the patron's messages are shown; never at a door."""
    badge_separator: str | None
    family: str
    """How fees of those whom the payer may pay for are shown and paid; `off` without
    relationships."""
    relation_titles: bool
    fee_lines: str
    template_ae: str
    template_av: str | None
    template_da: str
    show_home_branch: bool
    show_owed_amount: bool
    show_checkin_message: bool
    due_date_format: str
    cr_item_field: str
    send_ct: str
    cv_on_success: bool
    allow_fields: tuple[str, ...]
    """If any are named, unknown fields of a library system are shown only if they are (C33)."""
    patron_fields: tuple[CustomField, ...]
    """Sent with 24, 64 and 26 of a patron who is shown."""
    item_fields: tuple[CustomField, ...]
    """Sent with 10, 12, 18 and 30 of an item that is known."""


class Till(Struct, frozen=True):
    """Which payments are taken, and where the money goes (B48, C5)."""

    payment_types: tuple[str, ...]
    bk_retention_days: int
    write_off_payment_type: str | None
    register_id: str | None


class DoorManner(Struct, frozen=True):
    """How a door answers and counts, apart from its decision (B33, B41, C67)."""

    mode: str
    refuse_as: str
    direction: str
    passage_window_s: float


class UpstreamManner(Struct, frozen=True):
    """How a terminal's requests go up to a library system, and how its answers are read (C120)."""

    account: str
    institution: str
    """AO there."""
    text: TextEncoding
    """Of the unknown fields in its answers."""
    facts: FactRules
    knows_fw_b: bool
    aliases: bool
    """Whether AA of an answer may be another card of the same patron (C151)."""
    date_zone: DateZone = "local"
    """How dates go up."""
    payments: bool = True
    """Whether payments go up; otherwise we book them, and staff tell the library system (C124)."""
    payment_split: Split = "sum"
    guards_bk: bool = False
    """Whether a repeated BK is booked only once there."""
    offers_information: bool = True
    """Whether a door asks by 63; else by 23."""
    denying_flags: frozenset[int] = frozenset({0})
    """Those of their flags that refuse at this door (C150)."""


class WiseManner(Struct, frozen=True):
    """What a 41 asks for, and how a 42 is written (B55, C45)."""

    open_lines: str
    paid_lines: str
    all_lines: str
    paid_days: int
    paid_status: str
    separator: str

    def asked(self, switches: Mapping[str, bool]) -> tuple[bool, bool]:
        """Whether open and whether paid lines are asked for by the switches that are on."""
        both = switches[self.all_lines]
        return both or switches[self.open_lines], both or switches[self.paid_lines]
