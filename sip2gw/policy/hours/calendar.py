"""When a branch is staffed, open without staff, or closed (B37, C13, C91, C111).

Hours are in the branch's local time. They begin and end when the clock shows their minute for the
first time, or has jumped over it. If an hour happens twice, opening hours that end within it end
the first time, and those that reach beyond it are an hour longer. All intervals are half-open.
Minutes count from local midnight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import combinations, pairwise
from zoneinfo import ZoneInfo

from msgspec import Struct

from sip2gw.model import CalendarChange

DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
MINUTE = timedelta(minutes=1)
LOOK_AHEAD_DAYS = 8
"""A branch open for longer than this counts as always open; a week repeats within it."""


class OpeningState(StrEnum):
    """What a branch is at one moment."""

    STAFFED = "staffed"
    UNSTAFFED = "unstaffed"
    CLOSED = "closed"


def span_end(start_minute: int, end_minute: int) -> int:
    """The end on the start day's scale: an end at or before the start is on the next day (C13)."""
    return end_minute if end_minute > start_minute else end_minute + DAY_MIN


class Slot(Struct, frozen=True):
    """Weekly hours; a slot over midnight belongs to the day it starts (C13)."""

    days: frozenset[int]
    """Days on which it starts, Monday is 0."""
    start_minute: int
    """0-1439."""
    end_minute: int
    """0-1440; at or before `start_minute` means the next day."""
    state: OpeningState

    def week_spans(self) -> Iterator[tuple[int, int]]:
        """Its spans in minutes of a week; the last may reach into the next week."""
        for day in sorted(self.days):
            yield (
                day * DAY_MIN + self.start_minute,
                day * DAY_MIN + span_end(self.start_minute, self.end_minute),
            )


class CalendarException(Struct, frozen=True):
    """A date that differs. Without minutes it covers its whole date and overrides hours that come
    over midnight from the day before; with minutes it replaces only its own span (C13, C91).
    """

    date: date
    state: OpeningState
    start_minute: int | None = None
    end_minute: int | None = None

    @property
    def span(self) -> tuple[int, int] | None:
        """Its minutes counted from its date's midnight, None for the whole date."""
        if self.start_minute is None or self.end_minute is None:
            return None
        return self.start_minute, span_end(self.start_minute, self.end_minute)


class CalendarMoment(Struct, frozen=True):
    """The calendar's answer for one instant."""

    state: OpeningState
    open_until: datetime | None
    """End of the uninterrupted open time (staffed and unstaffed alike), in UTC; None when closed
    or when open for more than about eight days to come."""
    change: CalendarChange | None = None
    """What staff changed so that it is like this; None when it is as configured (C139)."""


_Cover = tuple[int, int, OpeningState]
"""From minute, to minute, state; of two covers of one minute the earlier in the list counts."""


class BranchCalendar:
    """The opening hours of one branch. No hours means closed.

    Of two overlapping exceptions the one with the later date counts; on the same date, the one with
    minutes.
    """

    def __init__(
        self,
        slots: Iterable[Slot] = (),
        exceptions: Iterable[CalendarException] = (),
        zone: ZoneInfo | None = None,
    ) -> None:
        self.slots = tuple(slots)
        self.exceptions = tuple(exceptions)
        self.zone = zone or ZoneInfo("UTC")
        self._weekdays = tuple(_week_day_covers(self.slots, day) for day in range(7))
        self._by_date = _by_date(self.exceptions)
        self._known: tuple[datetime, datetime, CalendarMoment] | None = None
        self._asked: datetime | None = None
        self._told = CalendarMoment(OpeningState.CLOSED, None)

    def __repr__(self) -> str:
        return (
            f"<BranchCalendar {self.zone.key}: {len(self.slots)} slots,"
            f" {len(self.exceptions)} exceptions>"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BranchCalendar):
            return NotImplemented
        mine = (self.slots, self.exceptions, self.zone.key)
        return mine == (other.slots, other.exceptions, other.zone.key)

    def __hash__(self) -> int:
        return hash((self.slots, self.exceptions, self.zone.key))

    def state_at(self, moment: datetime) -> CalendarMoment:
        """What the branch is at `moment` (aware) and until when it stays open.

        The last answer is kept until the next edge of the hours, because finding it takes as long
        as two dozen requests. Asking again costs about a microsecond, and nothing for the very same
        `moment`, which all requests within a second share.
        """
        if moment is self._asked:
            return self._told
        known, now = self._known, moment.astimezone(UTC)
        if known is None or not known[0] <= now < known[1]:
            self._known = known = self._look_up(now)
        self._asked, self._told = moment, known[2]
        return self._told

    @property
    def opens_weekly(self) -> bool:
        """Whether some weekly hours are not closed: then there is always a next opening day."""
        return any(slot.state is not OpeningState.CLOSED for slot in self.slots)

    def opens_on(self, day: date) -> bool:
        """Whether hours that are not closed begin on `day`, at any time, staffed or not.

        Hours that come over midnight from the evening before belong to that day (C13).
        """
        covers = self._covers(day)
        return any(
            state is not OpeningState.CLOSED and not _is_covered(start, end, covers[:stronger])
            for stronger, (start, end, state) in enumerate(covers)
            if start >= 0
        )

    def _look_up(self, now: datetime) -> tuple[datetime, datetime, CalendarMoment]:
        """The answer for `now` (UTC) with the interval, free of edges, for which it holds."""
        edges = self._edges(now.astimezone(self.zone).date())
        since = max(edge for edge in edges if edge <= now)
        coming = [edge for edge in edges if edge > now]
        state = self._state_on_wall(now)
        open_until = None
        if state is not OpeningState.CLOSED:
            ends = (e for e in coming if self._state_on_wall(e) is OpeningState.CLOSED)
            open_until = next(ends, None)
        return since, coming[0], CalendarMoment(state, open_until)

    def _state_on_wall(self, moment: datetime) -> OpeningState:
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        again_until = self._again_until(moment, local) if local.fold else minute
        for start, end, state in self._covers(local.date()):
            # Hours that end while the clock shows its minutes again have ended the first time.
            if start <= max(minute, again_until - 1) and max(minute + 1, again_until) <= end:
                return state
        return OpeningState.CLOSED

    def _again_until(self, moment: datetime, local: datetime) -> int:
        """The minute of `local`'s date at which the hour that now happens again is over."""
        first = local.replace(fold=0).utcoffset()
        assert first is not None
        day = moment.astimezone(UTC).date()
        changes = _offset_changes(day, self.zone) | _offset_changes(
            day - timedelta(days=1), self.zone
        )
        over = max(change for change in changes if change <= moment) + first
        return (over.replace(tzinfo=None) - datetime.combine(local.date(), time())) // MINUTE

    def _covers(self, day: date) -> tuple[_Cover, ...]:
        """All rules that can apply on `day`, the strongest first."""
        before = day - timedelta(days=1)
        return (
            *self._by_date.get(day, ()),
            *_shifted(c for c in self._by_date.get(before, ()) if c[1] > DAY_MIN),
            *self._weekdays[day.weekday()],
        )

    def _edges(self, day: date) -> list[datetime]:
        """Every instant, in UTC, where the state may change from the day before `day` on.

        Midnights and changes of the UTC offset are among them.
        """
        edges: set[datetime] = set()
        for offset in range(-1, LOOK_AHEAD_DAYS + 1):
            edges |= self._edges_of(day + timedelta(days=offset))
        return sorted(edges)

    def _edges_of(self, day: date) -> set[datetime]:
        minutes = {0}
        for start, end, _ in self._covers(day):
            minutes |= {max(start, 0), min(end, DAY_MIN)}
        midnight = datetime.combine(day, time())
        edges = set()
        for minute in minutes:
            wall = midnight + timedelta(minutes=minute)
            for fold in (0, 1):
                edges.add(wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC))
        return edges | _offset_changes(day, self.zone)


def _week_day_covers(slots: tuple[Slot, ...], day: int) -> tuple[_Cover, ...]:
    """The weekly slots of weekday `day`, with those that reach over from the evening before."""
    today = [
        (slot.start_minute, span_end(slot.start_minute, slot.end_minute), slot.state)
        for slot in slots
        if day in slot.days
    ]
    before = [
        (slot.start_minute, span_end(slot.start_minute, slot.end_minute), slot.state)
        for slot in slots
        if (day - 1) % 7 in slot.days
    ]
    return (*today, *_shifted(cover for cover in before if cover[1] > DAY_MIN))


def _shifted(covers: Iterable[_Cover]) -> Iterator[_Cover]:
    """Covers of the day before on today's scale."""
    for start, end, state in covers:
        yield start - DAY_MIN, end - DAY_MIN, state


def _is_covered(start: int, end: int, others: Iterable[_Cover]) -> bool:
    """Whether `others` leave nothing of the minutes from `start` to `end` or to midnight."""
    end = min(end, DAY_MIN)
    for other_start, other_end, _ in sorted(others):
        if other_start <= start < other_end:
            start = other_end
    return start >= end


def _by_date(exceptions: tuple[CalendarException, ...]) -> dict[date, tuple[_Cover, ...]]:
    """Covers per date, those with minutes before the whole date."""
    found: dict[date, tuple[_Cover, ...]] = {}
    for exception in exceptions:
        if exception.span is None:
            whole = (0, DAY_MIN, exception.state)
            found[exception.date] = (*found.get(exception.date, ()), whole)
        else:
            part = (*exception.span, exception.state)
            found[exception.date] = (part, *found.get(exception.date, ()))
    return found


def _offset_changes(day: date, zone: ZoneInfo) -> set[datetime]:
    """The instants of the UTC day `day` at which the offset of `zone` changes, to the minute."""
    low = datetime.combine(day, time(), tzinfo=UTC)
    minutes_low, minutes_high = 0, DAY_MIN

    def offset(minute: int) -> timedelta | None:
        return (low + timedelta(minutes=minute)).astimezone(zone).utcoffset()

    before = offset(minutes_low)
    if before == offset(minutes_high):
        return set()
    while minutes_high - minutes_low > 1:
        middle = (minutes_low + minutes_high) // 2
        if offset(middle) == before:
            minutes_low = middle
        else:
            minutes_high = middle
    return {low + timedelta(minutes=minutes_high)}


def find_slot_overlap(slots: Iterable[Slot]) -> tuple[int, int, int] | None:
    """The first two slots that claim the same minute of the week: a mistake (C13).

    Returns:
        Their positions and the minute of the week (Monday 0:00 is 0), or None.
    """
    spans = [(start, end, n) for n, slot in enumerate(slots) for start, end in slot.week_spans()]
    wrapped = [(0, end - WEEK_MIN, n) for _, end, n in spans if end > WEEK_MIN]
    ordered = sorted(spans + wrapped)
    for (_, end, first), (start, _, second) in pairwise(ordered):
        if start < end:
            low, high = sorted((first, second))
            return low, high, start
    return None


def find_exception_overlap(
    exceptions: Iterable[CalendarException],
) -> tuple[CalendarException, CalendarException] | None:
    """Two exceptions of equal strength that claim the same minutes, or None.

    A whole date and a span on it do not clash: the span counts.
    """
    ordered = sorted(
        exceptions, key=lambda e: (e.date, e.start_minute is not None, e.start_minute or 0)
    )
    for one, other in combinations(ordered, 2):
        if (other.date - one.date).days > 1:
            continue
        if one.span is None or other.span is None:
            if one.span is other.span and one.date == other.date:
                return one, other
            continue
        if (other.date - one.date).days * DAY_MIN + other.span[0] < one.span[1]:
            return one, other
    return None
