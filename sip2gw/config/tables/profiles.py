"""`[profiles.X]`: the rights and habits of one kind of terminal, as written and as used (B13).

The kind decides whatever the profile leaves open (C24, C81), once, in `resolve_profile`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import Field, Strict, model_validator

from sip2gw.config.tables.doors import DoorTable
from sip2gw.config.tables.options import ProfileOptions
from sip2gw.config.types import (
    FieldCodes,
    Language,
    PersonalFields,
    Section,
    Terminator,
)
from sip2gw.policy.card_numbers import CardRule
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
"""Fields that tell a terminal whose answer it is, and whether card and PIN are good (C107)."""


class KindDefaults(Struct, frozen=True):
    """The defaults of a kind of terminal."""

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


Switch = Literal["FA", "FB", "FC"]


class WiseTable(Section):
    """`[profiles.X.wise]`: details of 41 and 42 that Wise's public pages leave open (B55, C45)."""

    open_lines: Switch = Field(default="FB", description="Switch that requests open lines.")
    paid_lines: Switch = Field(default="FC", description="Switch that requests paid lines.")
    all_lines: Switch = Field(default="FA", description="Switch that requests both.")
    paid_days: int = Field(
        default=90, ge=1, le=3_660, description="Days for which a paid line is shown."
    )
    paid_status: Annotated[str, Field(pattern=r"^[A-Z]?$")] = Field(
        default="P", description="Status letter of a paid line; empty: none."
    )
    separator: Literal["~", " ~ "] = Field(
        default="~", description="Separator between the parts of a YZ."
    )

    @model_validator(mode="after")
    def _switches_differ(self) -> WiseTable:
        if len({self.open_lines, self.paid_lines, self.all_lines}) < 3:
            raise ValueError("open_lines, paid_lines and all_lines must be different")
        return self


class BasicTable(Section):
    """The keys of a profile that its kind decides by default, or that set rights and formats."""

    kind: Kind = Field(description="Kind of terminal; decides the defaults.")
    messages: Annotated[tuple[Message, ...], Strict(False)] | None = Field(
        default=None,
        description="Codes of the requests to serve; 93 and 97 are always served. Unset: by kind.",
    )
    language: Language | None = Field(
        default=None, description="Language of the terminal; unset: the institution's."
    )
    encoding: Encoding = Field(default="cp850", description="Character encoding.")
    terminator: Terminator = Field(default="CR", description="Line end of an answer.")
    error_detection: ErrorDetection = Field(
        default="mirror",
        description="When to send AY and AZ: mirror: if the request has them; always (a"
        " request without them gets a 96); never.",
    )
    accept_character_checksum: bool = Field(
        default=False,
        description="Whether to accept checksums computed over characters instead of bytes.",
    )
    resend_with_sequence: bool = Field(
        default=False, description="Whether the answer to a 97 keeps its AY."
    )
    date_zone: DateZone = Field(
        default="local", description="Dates in messages: local time with blanks, or UTC with Z."
    )
    dialect: DialectName = Field(default="standard", description="Vendor extensions to use.")
    pin_required: bool | None = Field(
        default=None,
        description="Whether patrons must give their PIN. Unset: by kind. For doors use"
        " `door.require_pin` instead.",
    )
    wrong_pin_hides_card: bool = Field(
        default=False,
        description="Whether a wrong PIN is answered with `BLN`, like an unknown card.",
    )
    may_block_patrons: bool = Field(
        default=False, description="Whether a 01 blocks the patron and a 25 lifts that block."
    )
    personal_fields: PersonalFields = Field(
        default=(), description="Personal fields to send; true: all of them."
    )
    hide_fields: FieldCodes = Field(
        default=(),
        description="Fields never to send; a required field is sent empty. AA, AE, AO, BL and"
        " CQ cannot be hidden.",
    )
    allow_fields: FieldCodes = Field(
        default=(), description="The only optional fields to send; empty: all."
    )
    staff_notices: bool = Field(
        default=False, description="Whether the terminal shows notices for staff."
    )
    support_answers: bool = Field(
        default=False,
        description="Whether patrons see, once, what staff answered to their support messages;"
        " never at doors.",
    )
    badge_separator: Annotated[str, Field(pattern=r"^[^|\x00-\x1f]{1,3}$")] | None = Field(
        default=None,
        description="Separator that joins all badges in one GL; unset: one GL for each.",
    )
    fw_b: Literal["payment", "any", "off"] = Field(
        default="payment",
        description="Terminals that may lift the money block by FW=B: those with payments,"
        " any, or none.",
    )
    payment_types: (
        Annotated[tuple[Annotated[str, Field(pattern=r"^[0-9A-Za-z]{2}$")], ...], Strict(False)]
        | None
    ) = Field(
        default=None,
        description="Payment types to accept: 00 cash, 01 VISA, 02 credit card. Unset: by kind.",
    )
    partial_payment: bool = Field(
        default=True, description="Whether a patron may pay part of a fee."
    )
    single_fee_payment: bool = Field(
        default=True, description="Whether a patron may pay a single fee, named in CG."
    )
    subtotal_payment: bool = Field(
        default=True,
        description="Whether a patron may pay less than the whole payable amount without CG.",
    )
    invoiced_payable: bool = Field(
        default=False, description="Whether patrons may pay fees with status J and D."
    )
    bk_retention_days: int = Field(
        default=30, ge=1, le=3_660, description="Days before a BK can be used again."
    )
    family: Family | None = Field(
        default=None,
        description="How a payer sees the fees of children and authorisers. Unset: by kind.",
    )
    relation_titles: bool = Field(
        default=False, description="Whether the payer sees the titles of a debtor's items."
    )
    fee_lines: Literal["none", "AV", "ZF"] = Field(
        default="AV", description="Field that lists the fees."
    )
    second_checkout: Literal["renew", "refuse"] = Field(
        default="renew",
        description="Checkout of an item that the patron already has: renew it, or refuse.",
    )
    checked_in_ok: bool = Field(
        default=False, description="Whether the return of an item that is not on loan is accepted."
    )
    renewals_of_authorisers: bool = Field(
        default=False,
        description="Whether an authorised person sees and may renew the authoriser's items.",
    )
    accept_offline: bool | None = Field(
        default=None,
        description="Whether to accept transactions that happened off line (no block Y), if"
        " they are dated more than two minutes ago. Unset: by kind, true for"
        " selfcheck and sorter.",
    )
    observe: bool = Field(
        default=False,
        description="Whether the library system behind the gateway answers alone, and the gateway"
        " only notes what it would have decided.",
    )
    door: DoorTable | None = Field(
        default=None, description='Checks of a door; only with `kind = "door"`.'
    )
    wise: WiseTable | None = Field(
        default=None, description='Details of 41 and 42; only with `dialect = "wise"`.'
    )


class ProfileTable(ProfileOptions, BasicTable):
    """A profile. The default of keys marked "by kind" depends on `kind`."""

    @model_validator(mode="after")
    def _fits_kind(self) -> ProfileTable:
        if self.kind == "door" and self.pin_required is not None:
            raise ValueError("pin_required does not apply to doors; use door.require_pin")
        if self.kind != "door" and self.door is not None:
            raise ValueError('a door table needs kind = "door"')
        if self.dialect != "wise" and "41" in (self.messages or ()):
            raise ValueError('message 41 needs dialect = "wise"')
        if self.dialect != "wise" and self.wise is not None:
            raise ValueError('a wise table needs dialect = "wise"')
        needed = NEVER_HIDDEN.intersection(self.hide_fields)
        if needed:
            raise ValueError(
                f"hide_fields must not contain {', '.join(sorted(needed))}, because terminals need"
                " them"
            )
        both = set(self.hide_fields) & set(self.allow_fields)
        if both:
            raise ValueError(f"both hidden and allowed: {', '.join(sorted(both))}; choose one")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> ProfileTable:
        if "not_on_loan" in self.refuse_checkin and self.checked_in_ok:
            raise ValueError('refuse_checkin "not_on_loan" contradicts checked_in_ok; choose one')
        for where, template in self.patron_templates():
            missing = PATRON.needs(template) - set(self.personal_fields)
            if missing:
                raise ValueError(f"{where} needs personal_fields {', '.join(sorted(missing))}")
        return self


class Profile(Struct, frozen=True):
    """A profile with every open question answered."""

    name: str
    """Its key in the file; metrics use it."""
    messages: frozenset[str]
    """The request codes to serve, including 93 and 97."""
    language: str
    pin_required: bool
    """At a door: `door.require_pin`."""
    payment_types: tuple[str, ...]
    family: Family
    """`off` when relationships are switched off."""
    accept_offline: bool
    """Whether no block `Y` is accepted (C106)."""
    door: DoorTable | None
    """Set for `kind` door, and only then."""
    wise: WiseTable
    table: ProfileTable
    """Settings that the kind does not affect."""

    @property
    def card_rules(self) -> tuple[CardRule, ...]:
        """What is made of a scanned number before it is looked up (B95)."""
        return tuple(table.parsed() for table in self.table.card_rules)

    @property
    def kind(self) -> Kind:
        """The kind of its terminals."""
        return self.table.kind

    @property
    def may_take_payments(self) -> bool:
        """Whether 37 is served and at least one payment type is accepted (C24)."""
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
    """`table`, completed by its kind and the institution.

    Args:
        name: its key in the file, used as metric label.
        table: the profile as written.
        language: the institution's language.
        relationships: whether the institution uses relationships.
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
