"""Fields that take a date or a time (C34): a date is the start or the end of that local day.

Where staff ask for a span of time, by command or by REST, `today` and `yesterday` are dates too.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime, time, timedelta, tzinfo

from sip2gw.protocol.timestamps import YEARS

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)
_DAYS_AGO = {"today": 0, "yesterday": 1}
_PROBE = date(2026, 12, 31)
END_OF_DAY = time(23, 59, 59)
"""When what holds until a date ends, and what is lent is due (C34)."""


def read_day(text: str, zone: tzinfo) -> date:
    """The local day that `text` names.

    Raises:
        ValueError: neither a date nor a time.
    """
    if _DATE.fullmatch(text):
        return date.fromisoformat(text)
    return _read(text, time.min, zone).astimezone(zone).date()


def read_start(text: str, zone: tzinfo) -> datetime:
    """The time that `text` names; a date means its start (`created`, `placed`, `checked_out`).

    Raises:
        ValueError: neither a date nor a time.
    """
    return _read(text, time.min, zone)


def read_end(text: str, zone: tzinfo) -> datetime:
    """The time that `text` names; a date means its last second (`due`, `expires`).

    Raises:
        ValueError: neither a date nor a time.
    """
    return _read(text, END_OF_DAY, zone)


def read_since(text: str, zone: tzinfo, today: date) -> datetime:
    """The first moment of a span that begins with `text`; a day means its start.

    Args:
        text: a date, a time, `today` or `yesterday`.
        zone: the library's.
        today: the day there.

    Raises:
        ValueError: none of these.
    """
    return _read_span(text, zone, today)[0]


def read_until(text: str, zone: tzinfo, today: date) -> datetime:
    """The first moment after a span that ends with `text`; a day means all of it.

    Args:
        text: a date, a time, `today` or `yesterday`.
        zone: the library's.
        today: the day there.

    Raises:
        ValueError: none of these.
    """
    moment, is_day = _read_span(text, zone, today)
    return moment + timedelta(days=1) if is_day else moment


def reads_a_day(form: str) -> bool:
    """Whether `form`, as for `strptime`, gives back the day that it wrote."""
    with suppress(ValueError, re.error):  # the latter for a directive that stands there twice
        return datetime.strptime(_PROBE.strftime(form), form).date() == _PROBE  # noqa: DTZ007 -- a day
    return False


def _read_span(text: str, zone: tzinfo, today: date) -> tuple[datetime, bool]:
    """The moment that `text` names, and whether it names a whole day, of which it is the start."""
    if text in _DAYS_AGO:
        text = (today - timedelta(days=_DAYS_AGO[text])).isoformat()
    try:
        return read_start(text, zone), bool(_DATE.fullmatch(text))
    except ValueError as error:
        raise ValueError(f"{error}; also allowed: today, yesterday") from None


def _read(text: str, clock: time, zone: tzinfo) -> datetime:
    if _DATE.fullmatch(text):
        moment = datetime.combine(date.fromisoformat(text), clock, zone)
    elif _TIME.fullmatch(text):
        moment = datetime.fromisoformat(text)
    else:
        raise ValueError("not a date YYYY-MM-DD or a time YYYY-MM-DDTHH:MM:SS")
    if moment.year not in YEARS:
        raise ValueError("year out of range")
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
