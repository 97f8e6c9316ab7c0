"""How messages of customer support move on, and by when (B64, C145, C163)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from sip2gw.model import TEXT_CHARACTERS_MAX
from sip2gw.model.support import (
    DEFAULT_TEXT_DESCRIPTION_MAX,
    PREFERRED_DAYS_MAX,
    CodeEntry,
    CodeTable,
    ProcessingRule,
    SupportStatus,
)
from sip2gw.policy.hours.calendar import BranchCalendar


def _statuses(letters: str) -> frozenset[SupportStatus]:
    return frozenset(map(SupportStatus, letters))


CLOSED_STATUSES = _statuses("XYZ")

TRANSITIONS: Mapping[SupportStatus, frozenset[SupportStatus]] = {
    SupportStatus.OPEN: _statuses("BCDXZ"),
    SupportStatus.SENT: _statuses("CDXZ"),
    SupportStatus.AT_CUSTOMER: _statuses("DXYZ"),
    SupportStatus.AT_LIBRARY: _statuses("CXZ"),
    SupportStatus.CLOSED_BY_LIBRARY: _statuses("A"),
    SupportStatus.CLOSED_BY_REPORTER: _statuses("A"),
    SupportStatus.CLOSED: _statuses("A"),
}
"""What may follow what (C145); from a closed status to open is reopening."""


def may_follow(before: SupportStatus, after: SupportStatus) -> bool:
    """Whether a message may go from `before` to `after`."""
    return after in TRANSITIONS[before]


def status_when_answered(before: SupportStatus, has_patron: bool) -> SupportStatus | None:
    """What an answer of the library makes of an open message; None: a closed one takes none.

    With a patron the message waits for them, even if it did so before. Without one nobody is going
    to respond: the answer is kept, and the status stays.
    """
    if before in CLOSED_STATUSES:
        return None
    return SupportStatus.AT_CUSTOMER if has_patron else before


class OpeningDays(Struct, frozen=True):
    """The days that preferred response and processing times count (C163)."""

    calendars: Mapping[str, BranchCalendar]
    """By code of the branch, in the order of the configuration."""
    zone: ZoneInfo
    """The institution's: whose date it is where there is no branch at all."""

    def due(self, now: datetime, days: int, branch: str | None = None) -> date:
        """The last of `days` opening days that begin tomorrow; with 0 days today.

        Staffed or not, a day counts when the branch opens on it. An unknown branch is taken for
        none, and then the first branch counts. Where no weekly hours are given, which would mean
        always closed, plain days count.
        """
        calendar = self.calendars.get(branch) if branch is not None else None
        if calendar is None:
            calendar = next(iter(self.calendars.values()), BranchCalendar(zone=self.zone))
        day = now.astimezone(calendar.zone).date()
        if not calendar.opens_weekly:
            return day + timedelta(days=days)
        while days:
            day += timedelta(days=1)
            days -= calendar.opens_on(day)
        return day


_CODE_CHARACTERS_MAX: Mapping[CodeTable, int] = {
    CodeTable.CATEGORY: 4,
    CodeTable.DEPARTMENT: 7,
    CodeTable.UNIT: 4,
    CodeTable.DEFAULT_MESSAGE: 4,
}
_TYPE_LETTERS = 2


def text_problem(text: str) -> str | None:
    """What is wrong with a text of a message, an answer or a note that must say something."""
    if not text.strip():
        return "must not be empty"
    return _characters_problem(text, TEXT_CHARACTERS_MAX)


def entry_problem(table: CodeTable, entry: CodeEntry) -> str | None:
    """What is wrong with a row of a table, or None (C163)."""
    return _code_problem(table, entry.code) or _entry_text_problem(table, entry)


def _code_problem(table: CodeTable, code: str) -> str | None:
    if table is CodeTable.TYPE:
        is_right = len(code) == _TYPE_LETTERS and code.isascii() and code.isalpha()
        return None if is_right else f"the code of a type is exactly {_TYPE_LETTERS} letters"
    longest = _CODE_CHARACTERS_MAX[table]
    if code.isprintable() and " " not in code and 0 < len(code) <= longest:
        return None
    name = table.value.replace("_", " ")
    return f"the code of a {name} is 1 to {longest} characters without blanks"


def _entry_text_problem(table: CodeTable, entry: CodeEntry) -> str | None:
    is_text = table is CodeTable.DEFAULT_MESSAGE
    longest = DEFAULT_TEXT_DESCRIPTION_MAX if is_text else TEXT_CHARACTERS_MAX
    problem = _characters_problem(entry.description, longest)
    if problem is not None:
        return f"the description {problem}"
    if table is CodeTable.UNIT and not entry.department:
        return "a unit belongs to a department; give --set department=CODE"
    if is_text:
        problem = text_problem(entry.text or "")
        return None if problem is None else f"the text {problem}; give --set text=TEXT"
    return None


def rule_problem(rule: ProcessingRule) -> str | None:
    """What is wrong with a processing rule in itself, or None."""
    for name in ("response_days", "processing_days"):
        days = getattr(rule, name)
        if days is not None and not 0 <= days <= PREFERRED_DAYS_MAX:
            return f"{name} is a number of opening days from 0 to {PREFERRED_DAYS_MAX}"
    if rule.unit and not rule.group:
        return "a unit needs the group that it belongs to; give --set group=CODE"
    for name in ("processor", "reporter"):
        problem = _characters_problem(getattr(rule, name), TEXT_CHARACTERS_MAX)
        if problem is not None:
            return f"{name} {problem}"
    return None


def _characters_problem(text: str, longest: int) -> str | None:
    if len(text) > longest:
        return f"has {len(text)} characters; at most {longest} are kept"
    if not text.replace("\n", "").isprintable():
        return "has characters that cannot be shown"
    return None
