"""`[backend.sip2.facts]`: how a library system's answers are read (C121, C123)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema

from sip2gw.config.types import (
    BadgeCode,
    Code,
    FieldCode,
    MembershipCode,
    Section,
    check_some,
)
from sip2gw.policy.moments import reads_a_day
from sip2gw.policy.upstream.rules import (
    DATE_FORMATS,
    Fact,
    FactRules,
    FeeFormat,
    MoneyDenials,
)
from sip2gw.protocol.fields import PatronFlag

_PATTERN_CHARACTERS_MAX = 500


def _check_date_format(text: str) -> str:
    """Only a format that gives back the day that it wrote can be read."""
    if reads_a_day(text):
        return text
    raise ValueError('does not read a whole date; write it as "%Y%m%d" or "%d/%m/%Y"')


def _check_pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


DateFormat = Annotated[
    str,
    Field(min_length=1, max_length=60),
    AfterValidator(_check_date_format),
    WithJsonSchema({"type": "string", "format": "format like %Y%m%d"}),
]
DateFormats = Annotated[
    tuple[DateFormat, ...],
    Strict(False),
    Field(max_length=10),
    AfterValidator(check_some),
    BeforeValidator(
        lambda value: (value,) if isinstance(value, str) else value,
        json_schema_input_type=str | list[str],
    ),
]
Pattern = Annotated[
    str,
    Field(min_length=1, max_length=_PATTERN_CHARACTERS_MAX),
    AfterValidator(_check_pattern),
    WithJsonSchema({"type": "string", "format": "regular expression"}),
]
Flag = Annotated[int, Field(ge=min(PatronFlag), le=max(PatronFlag))]
"""A position of the patron status, counted from 0."""


def _check_flags(flags: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(flags)) < len(flags):
        raise ValueError("lists a flag twice")
    return flags


Flags = Annotated[tuple[Flag, ...], Strict(False), AfterValidator(_check_flags)]


class FactTable(Section):
    """One fact, and the field of a 64 or 24 that says it. What does not fit is unknown."""

    field: FieldCode = Field(description="Code of the field.")
    length: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=None, description="Characters that count; the rest is cut off before reading."
    )

    def fact(self) -> Fact:
        """The same for the policy."""
        given = self.model_dump(exclude_unset=True)
        if "format" in given:
            given["formats"] = given.pop("format")
        return Fact(**given)


class DateFactTable(FactTable):
    """A date."""

    format: DateFormats = Field(
        default=DATE_FORMATS,
        description="Format as for `strptime`, or a list of formats that are tried in order.",
    )


class UntilFactTable(DateFactTable):
    """The last day of the membership."""

    default: Literal["flags"] | None = Field(
        default=None,
        description="flags: where the date is missing or unreadable, flag 0 is their word. Unset:"
        " such a patron may borrow but not enter.",
    )


class MembershipFactTable(FactTable):
    """The membership."""

    map: dict[str, MembershipCode] = Field(
        default={},
        description="Their word = our membership code. Empty: they send our codes.",
    )
    default: MembershipCode | None = Field(
        default=None, description="Membership code for all other words; unset: unknown."
    )


class BadgesFactTable(FactTable):
    """Badges; the field may be repeated."""

    map: dict[str, BadgeCode] = Field(
        default={}, description="Their word = our badge code. Empty: they send our codes."
    )
    default: BadgeCode | None = Field(
        default=None, description="Badge code for all other words; unset: none."
    )


class BranchFactTable(FactTable):
    """The home branch."""

    map: dict[str, Code] = Field(
        default={}, description="Their word = code of our branch. Empty: they send our codes."
    )
    default: Code | None = Field(
        default=None, description="Code of the branch for all other words; unset: unknown."
    )


class FactsTable(Section):
    """Facts about a patron, and the fields that say them. What is not named is never read (C121).

    A key replaces what the preset says about that fact.
    """

    birth_date: DateFactTable | None = Field(default=None, description="Birth date.")
    membership_until: UntilFactTable | None = Field(
        default=None,
        description="Last day of the membership. Unset: flag 0 of the patron status is their"
        " word, at a door too.",
    )
    membership: MembershipFactTable | None = Field(default=None, description="Membership.")
    badges: BadgesFactTable | None = Field(default=None, description="Badges.")
    home_branch: BranchFactTable | None = Field(default=None, description="Home branch.")
    fees: FeeFormat = Field(
        default="standard",
        description="Format of the fee lines; none and standard: only BV counts.",
    )

    def rules(self, preset: FactRules) -> FactRules:
        """`preset`, with what stands here in its place."""
        own: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        for name, value in own.items():
            if isinstance(value, FactTable):
                own[name] = value.fact()
        return replace(preset, **own)


class MoneyDenialsTable(Section):
    """Denials of the library system that are only about money, so that FW=B lifts them (C123)."""

    flags: Annotated[Flags, AfterValidator(check_some)] = Field(
        description="Positions of the flags, 0-13, that are lifted."
    )
    af: Pattern = Field(description="Only if one of the texts (AF) matches this.")
    af_not: Pattern | None = Field(
        default=None, description="And no text matches this; unset: any other text may stand there."
    )

    def denials(self) -> MoneyDenials:
        """The same for the policy."""
        return MoneyDenials(
            frozenset(map(PatronFlag, self.flags)),
            re.compile(self.af),
            None if self.af_not is None else re.compile(self.af_not),
        )
