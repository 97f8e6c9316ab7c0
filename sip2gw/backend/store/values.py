"""How values lie in the store: times as UTC text of fixed width, dates as ISO text, lists as JSON.

Texts of times and dates sort like what they mean.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime

import msgspec

_TIME_DIGITS = 13
_PROCESS_BYTES = 2


_last_time: list[tuple[datetime | None, str]] = [(None, "")]


def time_text(moment: datetime) -> str:
    """The stored form of an aware `moment`; the last one is remembered, for one moment is
    written many times."""
    known, text = _last_time[0]
    if known is not moment:
        text = single_time_text(moment)
        _last_time[0] = (moment, text)
    return text


def single_time_text(moment: datetime) -> str:
    """`time_text` of a moment that is written once and need not be remembered."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def time_value(text: str | None) -> datetime | None:
    """The UTC datetime behind a stored time."""
    return None if text is None else datetime.fromisoformat(text)


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


class IdSource:
    """Makes short ids that are unique and sort by the time they were made.

    Microseconds of the wall clock (never the same twice) and a random tag of the process, so that
    several processes and a clock that is set back do no harm.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._tag = secrets.token_hex(_PROCESS_BYTES).upper()

    def __call__(self) -> str:
        """The next id: 17 hexadecimal digits in capitals."""
        with self._lock:
            self._last = number = max(self._last + 1, time.time_ns() // 1000)
        return f"{number:0{_TIME_DIGITS}X}{self._tag}"


new_id = IdSource()
