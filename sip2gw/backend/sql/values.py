"""How values are stored: times as UTC text of fixed width, dates as ISO text, lists as JSON.

Texts of times and dates sort like what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

import msgspec

from sip2gw.protocol.timestamps import YEARS

_MOMENTS_KEPT_MAX = 256
_moments: dict[int, tuple[datetime, str]] = {}
"""Moments written lately, by identity: two of one zone are equal across a clock change."""


def time_text(moment: datetime) -> str:
    """The stored form of an aware `moment`; that of a whole second is remembered, because it is
    written many times."""
    if moment.microsecond:
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
    known = _moments.get(id(moment))
    if known is not None:
        return known[1]
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    if len(_moments) >= _MOMENTS_KEPT_MAX:
        _moments.clear()
    _moments[id(moment)] = moment, text
    return text


_FIRST_MOMENT = datetime(YEARS.start, 1, 1, tzinfo=UTC)
_LAST_MOMENT = datetime(YEARS.stop - 1, 12, 31, 23, 59, 59, tzinfo=UTC)
_READ_AS_IT_IS = range(YEARS.start - 1, YEARS.stop + 1)
"""A local time at the edge is in the next year in UTC."""


def moment_value(text: str) -> datetime:
    """The UTC datetime behind a stored time that is there.

    Times outside of `YEARS` are no longer written, but a store may contain some, and requests about
    their records must still be answered (C106). They are read as the nearest moment that has a date
    in every zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.year in _READ_AS_IT_IS:
        return moment
    return min(max(moment, _FIRST_MOMENT), _LAST_MOMENT)


def moment_text(moment: datetime | None) -> str | None:
    """The stored form of a time that may be missing."""
    return None if moment is None else time_text(moment)


def place_text(place: tuple[datetime, str] | None) -> tuple[str, str] | None:
    """The stored form of a row's time and id, if they are there."""
    return None if place is None else (time_text(place[0]), place[1])


def time_value(text: str | None) -> datetime | None:
    """The UTC datetime behind a stored time."""
    return None if text is None else moment_value(text)


def date_value(text: str | None) -> date | None:
    """The date behind a stored date."""
    return None if text is None else date.fromisoformat(text)


def date_text(day: date | None) -> str | None:
    """The stored form of a date."""
    return None if day is None else day.isoformat()


def list_text(texts: Iterable[str]) -> str:
    """The stored form of a list of texts."""
    return msgspec.json.encode(tuple(texts)).decode()


def list_value(text: str) -> tuple[str, ...]:
    """The texts behind a stored list."""
    return () if text == "[]" else tuple(msgspec.json.decode(text, type=list[str]))
