"""`[branches.X]`: hours, bar list and pass list of a branch, as written and as used."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct
from pydantic import Field, Strict, model_validator

from sip2gw.config.types import (
    WEEKDAYS,
    Day,
    EndText,
    Name,
    Section,
    StartText,
    Weekdays,
    ZoneText,
    parse_minute,
    weekday_numbers,
)
from sip2gw.policy.access import BarEntry, PassEntry
from sip2gw.policy.hours.calendar import (
    DAY_MIN,
    BranchCalendar,
    CalendarException,
    OpeningState,
    Slot,
    find_exception_overlap,
    find_slot_overlap,
)
from sip2gw.protocol.structs import Discreet, Hidden

State = Literal["staffed", "unstaffed", "closed"]
ALL_DAYS: Weekdays = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class HoursTable(Section):
    """One slot of the week."""

    days: Weekdays = Field(description="Days on which the slot starts.")
    start: StartText = Field(alias="from", description="Start, by the branch's clock.")
    end: EndText = Field(alias="to", description="End; at or before `from` it means the next day.")
    state: State = Field(description="State of the branch during this time.")

    def slot(self) -> Slot:
        """The same for the calendar."""
        return Slot(
            weekday_numbers(self.days),
            parse_minute(self.start),
            parse_minute(self.end),
            OpeningState(self.state),
        )


class ExceptionTable(Section):
    """A date that differs from the weekly hours."""

    date: Day = Field(description="The exceptional date.")
    state: State = Field(description="State of the branch during this time.")
    start: StartText | None = Field(
        default=None, alias="from", description="Start; unset: the whole day."
    )
    end: EndText | None = Field(
        default=None, alias="to", description="End; at or before `from` it means the next day."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> ExceptionTable:
        if (self.start is None) != (self.end is None):
            raise ValueError("give both from and to, or neither")
        return self

    def exception(self) -> CalendarException:
        """The same for the calendar."""
        if self.start is None or self.end is None:
            return CalendarException(self.date, OpeningState(self.state))
        return CalendarException(
            self.date,
            OpeningState(self.state),
            parse_minute(self.start),
            parse_minute(self.end),
        )


class BarTable(Section):
    """A card that is refused at the doors."""

    card: Name = Field(repr=False, description="Card number.")
    until: Day | None = Field(default=None, description="Last day; unset: no end.")
    note: str = Field(
        default="", repr=False, description="Note for staff; never sent to a terminal."
    )


class PassTable(Section):
    """A card that may enter outside the opening hours."""

    card: Name = Field(repr=False, description="Card number.")
    until: Day | None = Field(default=None, description="Last day; unset: no end.")
    days: Weekdays = Field(default=ALL_DAYS, description="Days on which the pass is valid.")
    start: StartText = Field(
        default="00:00", alias="from", description="Start of the hours in which the pass is valid."
    )
    end: EndText = Field(
        default="24:00", alias="to", description="End; at or before `from` it means the next day."
    )

    def entry(self) -> PassEntry:
        """The same for the door."""
        return PassEntry(
            self.card,
            self.until,
            weekday_numbers(self.days),
            parse_minute(self.start),
            parse_minute(self.end),
        )


class BranchTable(Section):
    """A branch."""

    name: Name | None = Field(default=None, description="Name of the branch; unset: its code.")
    timezone: ZoneText | None = Field(
        default=None, description="Time zone; unset: the institution's."
    )
    max_fee_age_days: Annotated[int, Field(ge=0, le=36_500)] | None = Field(
        default=None,
        description="Days after which an open fee blocks the patron, whatever the amount;"
        " unset: never.",
    )
    data_max_age_h: int = Field(
        default=0,
        ge=0,
        le=24 * 365,
        description="Hours after which the doors of this branch refuse everybody because nobody has"
        " imported data, or the library system behind the gateway has not answered; 0: never.",
    )
    upstream: Name | None = Field(
        default=None,
        description="Account at the library system, from `backend.sip2.accounts`, for the terminals"
        " of this branch; unset: `default`.",
    )
    hours: Annotated[tuple[HoursTable, ...], Strict(False)] = Field(
        default=(),
        description="Weekly hours; closed when nothing is listed. Slots must not overlap.",
    )
    exceptions: Annotated[tuple[ExceptionTable, ...], Strict(False)] = Field(
        default=(), description="Dates that differ from the weekly hours."
    )
    bar: Annotated[tuple[BarTable, ...], Strict(False)] = Field(
        default=(), description="Cards that are refused at the doors of this branch."
    )
    pass_: Annotated[tuple[PassTable, ...], Strict(False)] = Field(
        default=(), alias="pass", description="Cards that may enter outside the opening hours."
    )

    @model_validator(mode="after")
    def _no_overlap(self) -> BranchTable:
        overlap = find_slot_overlap(hours.slot() for hours in self.hours)
        if overlap is not None:
            first, second, minute = overlap
            day, of_day = divmod(minute, DAY_MIN)
            when = f"{WEEKDAYS[day]} {of_day // 60:02d}:{of_day % 60:02d}"
            raise ValueError(f"hours {first + 1} and {second + 1} overlap at {when}")
        clash = find_exception_overlap(exception.exception() for exception in self.exceptions)
        if clash is not None:
            raise ValueError(f"exceptions of {clash[0].date} and {clash[1].date} overlap")
        return self


class Branch(Discreet, Struct, frozen=True):
    """A branch as the gateway uses it."""

    code: str
    name: str
    zone: ZoneInfo
    calendar: BranchCalendar
    max_fee_age_days: int | None
    bar: Hidden[tuple[BarEntry, ...]]
    passes: Hidden[tuple[PassEntry, ...]]
    data_max_age: timedelta | None = None
    """After which its doors refuse everybody (C138); None: never."""
    upstream: str | None = None
    """The account of its terminals, where it says so."""


def resolve_branch(code: str, table: BranchTable, institution_zone: str) -> Branch:
    """The branch `code` as `table` describes it."""
    zone = ZoneInfo(table.timezone or institution_zone)
    return Branch(
        code=code,
        name=table.name or code,
        zone=zone,
        calendar=BranchCalendar(
            (hours.slot() for hours in table.hours),
            (exception.exception() for exception in table.exceptions),
            zone,
        ),
        max_fee_age_days=table.max_fee_age_days,
        bar=tuple(BarEntry(bar.card, bar.until) for bar in table.bar),
        passes=tuple(entry.entry() for entry in table.pass_),
        data_max_age=timedelta(hours=table.data_max_age_h) if table.data_max_age_h else None,
        upstream=table.upstream,
    )
