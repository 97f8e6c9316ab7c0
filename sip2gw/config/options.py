"""The options of a profile: what is lent, taken back and said differently than by default.

They are flat keys of `[profiles.X]`; those of other servers that they stand for are listed in
`sip2gw.convert.options`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, WithJsonSchema, model_validator

from sip2gw.config.types import FieldCode, Memberships, Section
from sip2gw.policy.items.sorting import ANY_BRANCH, Comparator, SortField
from sip2gw.policy.reasons import CirculationReason
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.messages import (
    CheckinResponse,
    CheckoutResponse,
    ItemInformationResponse,
    PatronEnableResponse,
    PatronInformationResponse,
    PatronStatusResponse,
    RenewResponse,
    Response,
)
from sip2gw.protocol.registry import SENSITIVE_TAGS
from sip2gw.texts import templates
from sip2gw.texts.templates import Placeholders

PATRON_RESPONSES: tuple[type[Response], ...] = (
    PatronStatusResponse,
    PatronInformationResponse,
    PatronEnableResponse,
)
ITEM_RESPONSES: tuple[type[Response], ...] = (
    CheckinResponse,
    CheckoutResponse,
    ItemInformationResponse,
    RenewResponse,
)
"""Where custom fields are sent."""

_TRAILER = frozenset({"AY", "AZ"})


def _taken(responses: tuple[type[Response], ...]) -> frozenset[str]:
    """Fields that mean something in `responses` already, or hold a secret anywhere."""
    own = {place.tag for kind in responses for place in layout_of(kind).fields}
    return _TRAILER | SENSITIVE_TAGS | own


def _free_field(responses: tuple[type[Response], ...]) -> AfterValidator:
    def check(tag: str) -> str:
        if tag in _taken(responses):
            raise ValueError("has a meaning of its own in these answers")
        return tag

    return AfterValidator(check)


def _template(allowed: Placeholders) -> tuple[AfterValidator, WithJsonSchema]:
    def check(text: str) -> str:
        problem = allowed.problem(text)
        if problem is not None:
            raise ValueError(problem)
        return text

    schema = {"type": "string", "format": f"text with {allowed}"}
    return AfterValidator(check), WithJsonSchema(schema)


_ON_A_SCREEN = r"^[^|\x00-\x1f\x7f-\x9f]*$"

_of_patron, _patron_schema = _template(templates.PATRON)
_of_holder, _holder_schema = _template(templates.HOLDER)
_of_fee, _fee_schema = _template(templates.FEE)
_of_item, _item_schema = _template(templates.ITEM)

PatronTemplate = Annotated[str, Field(min_length=1), _of_patron, _patron_schema]
HolderTemplate = Annotated[str, Field(min_length=1), _of_holder, _holder_schema]
FeeTemplate = Annotated[str, Field(min_length=1), _of_fee, _fee_schema]
ItemTemplate = Annotated[str, Field(min_length=1), _of_item, _item_schema]
ScreenText = Annotated[
    str,
    Field(pattern=_ON_A_SCREEN),
    WithJsonSchema({"type": "string", "format": "printable text without |"}),
]

MaterialPattern = Annotated[
    str,
    Field(pattern=r"^[^|~*\x00-\x1f]{0,30}\*?$", min_length=1),
    WithJsonSchema({"type": "string", "format": "material, * at the end for anything"}),
]
Materials = Annotated[tuple[MaterialPattern, ...], Strict(False)]
CheckinRefusal = Literal["in_transit", "note", "not_on_loan", "reference", "reserved"]
CHECKIN_REFUSALS: dict[CheckinRefusal, CirculationReason] = {
    "in_transit": CirculationReason.IN_TRANSIT,
    "note": CirculationReason.NOTE,
    "not_on_loan": CirculationReason.NOT_CHARGED,
    "reference": CirculationReason.REFERENCE,
    "reserved": CirculationReason.RESERVED,
}


class RewriteTable(Section):
    """A text on screens that is replaced wherever it stands, letter by letter (C86)."""

    find: Annotated[ScreenText, Field(min_length=1)] = Field(description="What is looked for.")
    replace: ScreenText = Field(description="What stands there instead; may be empty.")


class PatronFieldTable(Section):
    """A further field in 24, 64 and 26, for a patron whose data is shown."""

    field: Annotated[FieldCode, _free_field(PATRON_RESPONSES)] = Field(
        description="Its code, one that has no meaning there."
    )
    template: PatronTemplate = Field(description="What it says.")


class ItemFieldTable(Section):
    """A further field in 10, 12, 18 and 30, for an item that is known."""

    field: Annotated[FieldCode, _free_field(ITEM_RESPONSES)] = Field(
        description="Its code, one that has no meaning there."
    )
    template: ItemTemplate = Field(description="What it says.")


class SortBinTable(Section):
    """A line of a sorter's table; the first that fits decides CL."""

    branch: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]{1,20}|\*)$")] = Field(
        default=ANY_BRANCH, description="Where the item is returned; `*` is everywhere."
    )
    field: SortField = Field(description="What of the item, or of its return, is looked at.")
    comparator: Comparator = Field(
        default="eq",
        description="How; numbers as numbers, all else as text; what is not known has no order.",
    )
    value: ScreenText = Field(description="With what it is compared; empty for what is not known.")
    bin: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,20}$")] = Field(
        description="The bin, sent as CL."
    )


class ProfileOptions(Section):
    """What is lent, taken back and said differently than by default."""

    # What is said
    template_ae: PatronTemplate = Field(default="{name}", description="The patron's name, AE.")
    template_av: FeeTemplate | None = Field(
        default=None,
        description="A fee in AV. Unset: id, amount, currency, date, whose it is, description.",
    )
    template_da: HolderTemplate = Field(
        default="{name}", description="The name of whom an item is set aside for, DA."
    )
    rewrite_screen_texts: Annotated[tuple[RewriteTable, ...], Strict(False)] = Field(
        default=(), description="Replaced in AF, one after the other; an empty AF is left out."
    )
    custom_patron_fields: Annotated[tuple[PatronFieldTable, ...], Strict(False)] = Field(
        default=(), description="Further fields about a patron; an empty one is left out."
    )
    custom_item_fields: Annotated[tuple[ItemFieldTable, ...], Strict(False)] = Field(
        default=(), description="Further fields about an item; an empty one is left out."
    )
    convert_control_characters: Annotated[
        str,
        Field(pattern=r"^[^|\x00-\x1f\x7f-\x9f]?$"),
        WithJsonSchema({"type": "string", "format": "one printable character, or none"}),
    ] = Field(
        default=" ",
        description="What a control character or a delimiter inside a value becomes; one"
        " character, or none.",
    )
    show_home_branch: bool = Field(
        default=False, description="Whether an AF names the patron's home branch."
    )
    show_owed_amount: bool = Field(
        default=False, description="Whether an AF names what the patron owes, if anything."
    )
    show_checkin_message: bool = Field(
        default=False, description="Whether an AF says where a returned item belongs."
    )
    # Checkout
    blocked_material_types: Materials = Field(
        default=(), description="Material that is not lent here."
    )
    overdues_block_checkout: bool = Field(
        default=False, description="Whether nothing is lent to whoever has something overdue."
    )
    lost_block_checkout: Annotated[int, Field(ge=0, le=9_999)] = Field(
        default=0, description="Nothing is lent to whoever has so many lost items; 0 is no limit."
    )
    confirm_previously_borrowed: bool = Field(
        default=False,
        description="Whether what the patron has borrowed before, within"
        " `privacy.loan_history_days`, is lent only when it is presented again.",
    )
    lend_with_attachment: bool = Field(
        default=True, description="Whether items are lent to which something belongs."
    )
    in_house_material_types: Materials = Field(
        default=(), description="Material that is lent without desensitising: it stays inside."
    )
    in_house_memberships: Memberships = Field(
        default=(), description="Memberships whose loans are not desensitised: they stay inside."
    )
    due_date_format: Literal["library", "sip2"] = Field(
        default="sip2",
        description="AH as the standard's 18 characters, or as people write a date.",
    )
    # Checkin
    sort_bins: Annotated[tuple[SortBinTable, ...], Strict(False)] = Field(
        default=(), description="The bin of a sorter, CL: the first rule that fits."
    )
    refuse_checkin: Annotated[tuple[CheckinRefusal, ...], Strict(False)] = Field(
        default=(), description="Items that are not taken back here."
    )
    refuse_checkin_material_types: Materials = Field(
        default=(), description="Material that is not taken back here."
    )
    capture_holds: bool = Field(
        default=True,
        description="Whether a return sets the item aside for who waits; else only the alert says"
        " so.",
    )
    hold_as_transit: bool = Field(
        default=False,
        description="Whether what is set aside counts as on its way until it is returned once"
        " more, at a terminal by the hold shelf.",
    )
    cr_item_field: Literal["material", "shelf", "owner_branch", "call_number"] = Field(
        default="material", description="What CR says of a returned item."
    )
    send_ct: Literal["travelling", "always"] = Field(
        default="travelling", description="When CT is sent; always: empty if the item stays."
    )
    cv_on_success: bool = Field(
        default=False, description="Whether a return without alert has CV 00."
    )
    # Money
    write_off_payment_type: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{2}$")] | None = Field(
        default=None,
        description="A payment type that waives a fee, for no money was taken; accepted besides"
        " `payment_types`, if there are any.",
    )
    register_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")] | None = Field(
        default=None,
        description="The till to which money is booked. Unset: each terminal is its own.",
    )

    @model_validator(mode="after")
    def _options_agree(self) -> ProfileOptions:
        for name, tables in (
            ("custom_patron_fields", self.custom_patron_fields),
            ("custom_item_fields", self.custom_item_fields),
        ):
            fields = [table.field for table in tables]
            if len(set(fields)) < len(fields):
                raise ValueError(f"{name} names a field twice")
        return self

    def patron_templates(self) -> Iterator[tuple[str, str]]:
        """Where a template about a patron stands, and what it says."""
        yield "template_ae", self.template_ae
        for table in self.custom_patron_fields:
            yield f"custom_patron_fields {table.field}", table.template
