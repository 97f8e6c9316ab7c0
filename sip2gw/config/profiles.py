"""`[profiles.X]`: the rights and habits of one kind of terminal, as written and as used (B13).

What a profile leaves open is decided by its kind (C24, C81), once, in `resolve_profile`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from sip2gw.config.options import ProfileOptions
from sip2gw.config.sections import Terminator
from sip2gw.config.types import (
    Badges,
    FieldCodes,
    Language,
    Memberships,
    PersonalFields,
    Section,
    YesOrDay,
)
from sip2gw.policy.access import DoorRules
from sip2gw.protocol.dialect import DialectName
from sip2gw.protocol.encoding import Encoding
from sip2gw.protocol.timestamps import DateZone
from sip2gw.protocol.wire import ErrorDetection
from sip2gw.texts.templates import PATRON

Kind = Literal["selfcheck", "sorter", "door", "payment", "auth"]
Family = Literal["off", "merged", "separate"]
Message = Literal[
    "01", "09", "11", "15", "17", "19", "23", "25", "29",
    "35", "37", "41", "63", "65", "93", "97", "99",
]  # fmt: skip
SESSION_MESSAGES = frozenset({"93", "97"})
"""Served by every profile (C24)."""

NEVER_HIDDEN = frozenset({"AA", "AE", "AO", "BL", "CQ"})
"""Without these a terminal cannot tell whose answer it is, and whether card and PIN are good
(C107)."""


@dataclass(frozen=True, slots=True)
class KindDefaults:
    """What a kind decides when the profile does not say."""

    messages: tuple[Message, ...]
    pin_required: bool = False
    payment_types: tuple[str, ...] = ()
    family: Family = "off"
    accept_offline: bool = False


KIND_DEFAULTS: dict[Kind, KindDefaults] = {
    "selfcheck": KindDefaults(
        ("01", "09", "11", "15", "17", "19", "23", "25", "29", "35", "63", "65", "99"),
        accept_offline=True,
    ),
    "sorter": KindDefaults(("09", "17", "19", "99"), accept_offline=True),
    "door": KindDefaults(("23", "35", "63", "99")),
    "payment": KindDefaults(
        ("23", "35", "37", "63", "99"),
        pin_required=True,
        payment_types=("00", "01", "02"),
        family="merged",
    ),
    "auth": KindDefaults(("23", "35", "63", "99"), pin_required=True),
}
"""C20, C24, C81, C106."""


class DoorTable(Section):
    """`[profiles.X.door]`: the checks of a door, each switched and parametrised (B33-B41)."""

    mode: Literal["decision", "facts"] = Field(
        default="decision",
        description="decision: the gateway decides; facts: plain truth, the controller decides.",
    )
    require_pin: bool = Field(
        default=True, description="Whether the PIN is asked for; false: AD is not looked at."
    )
    require_badges: Badges = Field(default=(), description="Codes of badges that are needed.")
    badges: Literal["all", "any"] = Field(
        default="all", description="Whether all of `require_badges` are needed, or any of them."
    )
    minimum_age: int = Field(
        default=0, ge=0, le=150, description="Years; 0 is no check. No birth date is refused."
    )
    memberships: Memberships = Field(
        default=(), description="Membership codes that count here; empty: all."
    )
    home_branch_only: bool = Field(
        default=False, description="Whether only patrons of this branch enter."
    )
    fees: Literal["limit", "ignore"] = Field(
        default="limit", description="Whether debts above the limit or too old keep out."
    )
    when_staffed: Literal["admit", "refuse"] = Field(
        default="admit", description="In staffed hours: the other checks apply, or nobody enters."
    )
    last_entry_margin_min: int = Field(
        default=0, ge=0, le=1_440, description="Minutes before closing with no more entry."
    )
    require_house_rules: YesOrDay = Field(
        default=False,
        description="Whether the house rules must be accepted; a date: on or after it.",
    )
    refuse_as: Literal["flags", "cqn", "bln"] = Field(
        default="flags", description="What else a refusal turns, for simple controllers."
    )
    direction: Literal["in", "out"] = Field(
        default="in", description="out: every card is let out and only recorded."
    )
    capacity: int = Field(
        default=0, ge=0, le=100_000, description="People inside at most; 0 is no limit."
    )
    refuse_inside: bool = Field(
        default=False, description="Whether a card that went in must go out before it enters again."
    )
    passage_window_s: Annotated[float, Field(ge=0, le=3_600)] = Field(
        default=5, description="Seconds in which the same card is one passage; 0 is off."
    )
    emergency: bool = Field(
        default=False,
        description="Whether earlier granted decisions count while the backend is down.",
    )
    emergency_max_age_h: Annotated[float, Field(gt=0, le=8_784)] = Field(
        default=24, description="Hours for which a granted decision counts then."
    )

    def rules(self) -> DoorRules:
        """The same for the decision."""
        return DoorRules(
            require_pin=self.require_pin,
            require_badges=frozenset(self.require_badges),
            every_badge=self.badges == "all",
            minimum_age=self.minimum_age,
            memberships=frozenset(self.memberships),
            home_branch_only=self.home_branch_only,
            fees=self.fees == "limit",
            admit_when_staffed=self.when_staffed == "admit",
            last_entry_margin=timedelta(minutes=self.last_entry_margin_min),
            house_rules=self.require_house_rules,
            capacity=self.capacity,
            refuse_inside=self.refuse_inside,
            emergency_max_age=(
                timedelta(hours=self.emergency_max_age_h) if self.emergency else None
            ),
        )


Switch = Literal["FA", "FB", "FC"]


class WiseTable(Section):
    """`[profiles.X.wise]`: what Wise's public pages leave open about 41 and 42 (B55, C45)."""

    open_lines: Switch = Field(default="FB", description="The switch that asks for open lines.")
    paid_lines: Switch = Field(default="FC", description="The switch that asks for paid lines.")
    all_lines: Switch = Field(default="FA", description="The switch that asks for both.")
    paid_days: int = Field(
        default=90, ge=1, le=3_660, description="Days for which a paid line is shown."
    )
    paid_status: Annotated[str, Field(pattern=r"^[A-Z]?$")] = Field(
        default="P", description="Status letter of a paid line; empty: none."
    )
    separator: Literal["~", " ~ "] = Field(
        default="~", description="What stands between the parts of a YZ."
    )

    @model_validator(mode="after")
    def _switches_differ(self) -> WiseTable:
        if len({self.open_lines, self.paid_lines, self.all_lines}) < 3:
            raise ValueError("open_lines, paid_lines and all_lines must differ")
        return self


class BasicTable(Section):
    """The keys of a profile that a kind decides, or that are rights and manners of speaking."""

    kind: Kind = Field(description="What these terminals are; decides the defaults.")
    messages: Annotated[tuple[Message, ...], Strict(False)] | None = Field(
        default=None,
        description="Request codes that are served; 93 and 97 always are. Unset: by kind.",
    )
    language: Language | None = Field(
        default=None, description="Language of the terminal; unset: the institution's."
    )
    encoding: Encoding = Field(default="cp850", description="Character encoding.")
    terminator: Terminator = Field(default="CR", description="End of an answer.")
    error_detection: ErrorDetection = Field(
        default="mirror",
        description="AY and AZ: as in the request, always (a request without gets 96), or never.",
    )
    accept_character_checksum: bool = Field(
        default=False, description="Accept checksums over characters instead of bytes."
    )
    resend_with_sequence: bool = Field(
        default=False, description="Whether the answer to 97 keeps its AY."
    )
    date_zone: DateZone = Field(
        default="local", description="Dates on the wire: local with blanks, or UTC with Z."
    )
    dialect: DialectName = Field(
        default="standard", description="Vendor extensions that are spoken."
    )
    pin_required: bool | None = Field(
        default=None,
        description="Whether patrons must give their PIN. Unset: by kind. Not for doors, see"
        " `door.require_pin`.",
    )
    wrong_pin_hides_card: bool = Field(
        default=False, description="Whether a wrong PIN answers `BLN`, as an unknown card."
    )
    may_block_patrons: bool = Field(
        default=False, description="Whether 01 blocks and 25 lifts such a block."
    )
    personal_fields: PersonalFields = Field(
        default=(), description="Personal fields that are sent; true: all of them."
    )
    hide_fields: FieldCodes = Field(
        default=(),
        description="Fields never sent; a required one is sent empty. Not AA, AE, AO, BL and CQ.",
    )
    allow_fields: FieldCodes = Field(
        default=(), description="Optional fields that are sent, no others; empty: all."
    )
    staff_notices: bool = Field(
        default=False, description="Whether notices for the staff are shown."
    )
    badge_separator: Annotated[str, Field(pattern=r"^[^|\x00-\x1f]{1,3}$")] | None = Field(
        default=None, description="Join badges in one GL by this; unset: one GL each."
    )
    fw_b: Literal["payment", "any", "off"] = Field(
        default="payment",
        description="Who may lift the money block by FW=B: profiles with payments, any, none.",
    )
    payment_types: (
        Annotated[tuple[Annotated[str, Field(pattern=r"^[0-9A-Za-z]{2}$")], ...], Strict(False)]
        | None
    ) = Field(
        default=None,
        description="Payment types taken: 00 cash, 01 VISA, 02 credit card. Unset: by kind.",
    )
    partial_payment: bool = Field(default=True, description="Whether part of a fee may be paid.")
    single_fee_payment: bool = Field(
        default=True, description="Whether one fee may be paid by itself, named in CG."
    )
    subtotal_payment: bool = Field(
        default=True, description="Whether less than all that is payable may be paid without CG."
    )
    invoiced_payable: bool = Field(
        default=False, description="Whether fees of status J and D may be paid."
    )
    bk_retention_days: int = Field(
        default=30, ge=1, le=3_660, description="Days for which a BK cannot be used again."
    )
    family: Family | None = Field(
        default=None,
        description="How fees of children and authorisers are shown. Unset: by kind.",
    )
    relation_titles: bool = Field(
        default=False, description="Whether titles of a debtor's items are shown to the payer."
    )
    fee_lines: Literal["none", "AV", "ZF"] = Field(
        default="AV", description="The field that lists fees."
    )
    second_checkout: Literal["renew", "refuse"] = Field(
        default="renew", description="A checkout of what the patron already has."
    )
    checked_in_ok: bool = Field(
        default=False, description="Whether the return of an item not on loan is ok."
    )
    renewals_of_authorisers: bool = Field(
        default=False,
        description="Whether an authorised person sees and renews the authoriser's items.",
    )
    accept_offline: bool | None = Field(
        default=None,
        description="Whether it is believed that something happened off line (no block Y), if it"
        " is dated more than two minutes ago. Unset: by kind, true for selfcheck and sorter.",
    )
    door: DoorTable | None = Field(
        default=None, description='The checks of a door; only with `kind = "door"`.'
    )
    wise: WiseTable | None = Field(
        default=None, description='About 41 and 42; only with `dialect = "wise"`.'
    )


class ProfileTable(ProfileOptions, BasicTable):
    """A profile. Keys marked "by kind" depend on `kind`."""

    @model_validator(mode="after")
    def _fits_kind(self) -> ProfileTable:
        if self.kind == "door" and self.pin_required is not None:
            raise ValueError("pin_required is not for doors; use door.require_pin")
        if self.kind != "door" and self.door is not None:
            raise ValueError('a door table needs kind = "door"')
        if self.dialect != "wise" and "41" in (self.messages or ()):
            raise ValueError('message 41 needs dialect = "wise"')
        if self.dialect != "wise" and self.wise is not None:
            raise ValueError('a wise table needs dialect = "wise"')
        needed = NEVER_HIDDEN.intersection(self.hide_fields)
        if needed:
            raise ValueError(
                f"hide_fields cannot hide {', '.join(sorted(needed))}: terminals need them"
            )
        both = set(self.hide_fields) & set(self.allow_fields)
        if both:
            raise ValueError(f"hidden and allowed at once: {', '.join(sorted(both))}")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> ProfileTable:
        if "not_on_loan" in self.refuse_checkin and self.checked_in_ok:
            raise ValueError('refuse_checkin "not_on_loan" contradicts checked_in_ok')
        for where, template in self.patron_templates():
            missing = PATRON.needs(template) - set(self.personal_fields)
            if missing:
                raise ValueError(f"{where} needs personal_fields {', '.join(sorted(missing))}")
        return self


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile with the questions answered that its table may leave open."""

    name: str
    """Its key in the file: what metrics call it."""
    messages: frozenset[str]
    """Served request codes, 93 and 97 among them."""
    language: str
    pin_required: bool
    """At a door: `door.require_pin`."""
    payment_types: tuple[str, ...]
    family: Family
    """`off` where relationships are switched off."""
    accept_offline: bool
    """No block `Y` is believed (C106)."""
    door: DoorTable | None
    """Set exactly for `kind` door."""
    wise: WiseTable
    table: ProfileTable
    """What needs no answer."""

    @property
    def kind(self) -> Kind:
        """What its terminals are."""
        return self.table.kind

    @property
    def may_take_payments(self) -> bool:
        """37 is served and at least one payment type is taken (C24)."""
        return "37" in self.messages and bool(self.payment_types)

    @property
    def honours_fw_b(self) -> bool:
        """Whether `FW=B` lifts the money block (B26, C40)."""
        fw_b = self.table.fw_b
        return fw_b == "any" or (fw_b == "payment" and self.may_take_payments)


def _served_messages(table: ProfileTable, payment_types: tuple[str, ...]) -> frozenset[str]:
    if table.messages is not None:
        return SESSION_MESSAGES | frozenset(table.messages)
    messages = SESSION_MESSAGES.union(KIND_DEFAULTS[table.kind].messages)
    if table.kind == "selfcheck" and payment_types:
        messages |= {"37"}
    if table.kind == "payment" and table.dialect == "wise":
        messages |= {"41"}
    return messages


def resolve_profile(
    name: str, table: ProfileTable, *, language: str, relationships: bool
) -> Profile:
    """`table` with what its kind and the institution decide filled in.

    Args:
        name: its key in the file, used as metric label.
        table: what the file says.
        language: the institution's.
        relationships: whether the institution has any.
    """

    def answer(key: str) -> Any:
        own = getattr(table, key)
        return getattr(KIND_DEFAULTS[table.kind], key) if own is None else own

    payment_types = answer("payment_types")
    write_off = table.write_off_payment_type
    if payment_types and write_off is not None and write_off not in payment_types:
        payment_types = (*payment_types, write_off)
    door = (table.door or DoorTable()) if table.kind == "door" else None
    return Profile(
        name=name,
        messages=_served_messages(table, payment_types),
        language=table.language or language,
        pin_required=door.require_pin if door else answer("pin_required"),
        payment_types=payment_types,
        family=answer("family") if relationships else "off",
        accept_offline=answer("accept_offline"),
        door=door,
        wise=table.wise or WiseTable(),
        table=table,
    )
