"""Fields that take a date or a time (C34): a date is the start or the end of that local day."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime, time, tzinfo

from sip2gw.protocol.timestamps import YEARS

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)
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


def reads_a_day(form: str) -> bool:
    """Whether `form`, as for `strptime`, gives back the day that it wrote."""
    with suppress(ValueError, re.error):  # the latter for a directive that stands there twice
        return datetime.strptime(_PROBE.strftime(form), form).date() == _PROBE  # noqa: DTZ007 -- a day
    return False


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
