"""The options of a profile: lending, returns and texts that differ from the default.

They are flat keys of `[profiles.X]`. `sip2gw.convert.options` lists the options of other servers
that they replace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema, model_validator

from sip2gw.config.types import FieldCode, Memberships, Section
from sip2gw.policy.card_numbers import CardRule, RuleName, value_problem
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
"""The responses that carry custom fields."""

_TRAILER = frozenset({"AY", "AZ"})


def _taken(responses: tuple[type[Response], ...]) -> frozenset[str]:
    """Fields that already have a meaning in `responses`, or hold a secret anywhere."""
    own = {place.tag for kind in responses for place in layout_of(kind).fields}
    return _TRAILER | SENSITIVE_TAGS | own


def _free_field(responses: tuple[type[Response], ...]) -> AfterValidator:
    def check(tag: str) -> str:
        if tag in _taken(responses):
            raise ValueError("already has a meaning in these answers")
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


def _number_as_text(value: object) -> object:
    """`value = 10` means the same as `value = "10"`."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class RewriteTable(Section):
    """A screen text to replace wherever it occurs, letter by letter (C86)."""

    find: Annotated[ScreenText, Field(min_length=1)] = Field(description="Text to find.")
    replace: ScreenText = Field(description="Replacement; may be empty.")


class PatronFieldTable(Section):
    """An extra field in 24, 64 and 26, for a patron whose data is shown."""

    field: Annotated[FieldCode, _free_field(PATRON_RESPONSES)] = Field(
        description="Code of the field; one that has no meaning there yet."
    )
    template: PatronTemplate = Field(description="Content of the field.")


class ItemFieldTable(Section):
    """An extra field in 10, 12, 18 and 30, for a known item."""

    field: Annotated[FieldCode, _free_field(ITEM_RESPONSES)] = Field(
        description="Code of the field; one that has no meaning there yet."
    )
    template: ItemTemplate = Field(description="Content of the field.")


class SortBinTable(Section):
    """A line of a sorter's table; the first line that fits decides CL."""

    branch: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.-]{1,20}|\*)$")] = Field(
        default=ANY_BRANCH, description="Branch where the item is returned; `*` means any branch."
    )
    field: SortField = Field(description="Property of the item, or of its return, to compare.")
    comparator: Comparator = Field(
        default="eq",
        description="Comparison: numbers as numbers, everything else as text. An unknown"
        " value has no order.",
    )
    value: ScreenText = Field(
        description="Value to compare with; an empty text stands for an unknown value."
    )
    bin: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,20}$")] = Field(
        description="Bin, sent as CL."
    )


class CardRuleTable(Section):
    """A step on the way from the number that a scanner gives to the number of the card (B95)."""

    rule: RuleName = Field(
        description="trim: characters at both ends (value: which; unset: blanks)."
        " strip_leading_zeros. strip_prefix, strip_suffix (value: the text). drop_check_digit: the"
        " last digit (value luhn: only if it is the right check digit). replace (value: from=to)."
        " hex_to_decimal, reverse_bytes: for serial numbers of RFID chips. pad: zeros in front"
        " (value: number of characters)."
    )
    value: Annotated[
        str,
        Field(pattern=r"^[^|\x00-\x1f\x7f-\x9f]{0,40}$"),
        BeforeValidator(_number_as_text, json_schema_input_type=str | int),
    ] = Field(default="", description="What the rule needs to know; see there.")

    @model_validator(mode="after")
    def _value_fits(self) -> CardRuleTable:
        problem = value_problem(self.rule, self.value)
        if problem is not None:
            raise ValueError(problem)
        return self

    def parsed(self) -> CardRule:
        """The same for the policy."""
        return CardRule(self.rule, self.value)


class ProfileOptions(Section):
    """Lending, returns and texts that differ from the default."""

    # Who is meant
    card_rules: Annotated[tuple[CardRuleTable, ...], Strict(False), Field(max_length=20)] = Field(
        default=(),
        description="What is made of a scanned card number before it is looked up, step by step."
        " A rule that does not fit leaves the number as it is.",
    )
    # What is said
    template_ae: PatronTemplate = Field(
        default="{name}", description="Template of the patron's name, AE."
    )
    template_av: FeeTemplate | None = Field(
        default=None,
        description="Template of a fee in AV. Unset: id, amount, currency, date, debtor,"
        " description.",
    )
    template_da: HolderTemplate = Field(
        default="{name}",
        description="Template of the name in DA: the patron for whom the item is set aside.",
    )
    rewrite_screen_texts: Annotated[tuple[RewriteTable, ...], Strict(False)] = Field(
        default=(),
        description="Replacements in AF, applied in this order. An AF that becomes empty is"
        " left out.",
    )
    custom_patron_fields: Annotated[tuple[PatronFieldTable, ...], Strict(False)] = Field(
        default=(), description="Extra fields about a patron. An empty one is left out."
    )
    custom_item_fields: Annotated[tuple[ItemFieldTable, ...], Strict(False)] = Field(
        default=(), description="Extra fields about an item. An empty one is left out."
    )
    convert_control_characters: Annotated[
        str,
        Field(pattern=r"^[^|\x00-\x1f\x7f-\x9f]?$"),
        WithJsonSchema({"type": "string", "format": "one printable character, or none"}),
    ] = Field(
        default=" ",
        description="Replacement for a control character or delimiter inside a value: one"
        " character, or none.",
    )
    show_home_branch: bool = Field(
        default=False, description="Whether an AF names the patron's home branch."
    )
    show_owed_amount: bool = Field(
        default=False, description="Whether an AF states the patron's debt, if there is any."
    )
    show_checkin_message: bool = Field(
        default=False, description="Whether an AF says which branch a returned item belongs to."
    )
    # Checkout
    blocked_material_types: Materials = Field(
        default=(), description="Material that terminals with this profile do not lend."
    )
    overdues_block_checkout: bool = Field(
        default=False, description="Whether a patron with an overdue item may borrow nothing."
    )
    lost_block_checkout: Annotated[int, Field(ge=0, le=9_999)] = Field(
        default=0,
        description="Number of lost items from which a patron may borrow nothing; 0: no limit.",
    )
    confirm_previously_borrowed: bool = Field(
        default=False,
        description="Whether an item that the patron borrowed before, within"
        " `privacy.loan_history_days`, is lent only when it is presented a second"
        " time.",
    )
    lend_with_attachment: bool = Field(
        default=True, description="Whether items with an attachment are lent."
    )
    in_house_material_types: Materials = Field(
        default=(),
        description="Material that is lent without desensitising, because it stays inside.",
    )
    in_house_memberships: Memberships = Field(
        default=(),
        description="Memberships whose loans are not desensitised, because they stay inside.",
    )
    due_date_format: Literal["library", "sip2"] = Field(
        default="sip2",
        description="Format of AH: the standard's 18 characters, or a date for people.",
    )
    # Checkin
    sort_bins: Annotated[tuple[SortBinTable, ...], Strict(False)] = Field(
        default=(),
        description="Rules for the bin of a sorter (CL); the first rule that fits decides.",
    )
    refuse_checkin: Annotated[tuple[CheckinRefusal, ...], Strict(False)] = Field(
        default=(), description="Items that terminals with this profile do not take back."
    )
    refuse_checkin_material_types: Materials = Field(
        default=(), description="Material that terminals with this profile do not take back."
    )
    capture_holds: bool = Field(
        default=True,
        description="Whether a return sets the item aside for the next waiting patron."
        " Otherwise only the alert says that somebody waits.",
    )
    hold_as_transit: bool = Field(
        default=False,
        description="Whether an item that is set aside counts as in transit until it is"
        " returned once more, at a terminal near the hold shelf.",
    )
    cr_item_field: Literal["material", "shelf", "owner_branch", "call_number"] = Field(
        default="material", description="Content of CR for a returned item."
    )
    send_ct: Literal["travelling", "always"] = Field(
        default="travelling",
        description="When to send CT. always: also when the item stays, then empty.",
    )
    cv_on_success: bool = Field(
        default=False, description="Whether a return without an alert has CV 00."
    )
    # Money
    write_off_payment_type: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{2}$")] | None = Field(
        default=None,
        description="Payment type that waives a fee, so that no money is taken. It is accepted in"
        " addition to `payment_types`, if those are set.",
    )
    register_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")] | None = Field(
        default=None,
        description="Till that the money is booked to. Unset: each terminal is its own till.",
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
        """Each template about a patron: its key and its text."""
        yield "template_ae", self.template_ae
        for table in self.custom_patron_fields:
            yield f"custom_patron_fields {table.field}", table.template
