"""How values lie in the store: times as UTC text of fixed width, dates as ISO text, lists as JSON.

Texts of times and dates sort like what they mean.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_CHARACTERS = 11
_PROCESS_CHARACTERS = 4


def time_text(moment: datetime) -> str:
    """The stored form of an aware `moment`."""
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
    return json.dumps(list(texts), ensure_ascii=False)


def list_value(text: str) -> tuple[str, ...]:
    """The texts behind a stored list."""
    return () if text == "[]" else tuple(json.loads(text))


class IdSource:
    """Makes short ids that are unique and sort by the time they were made.

    Microseconds of the wall clock (never the same twice) and a random tag of the process, so that
    several processes and a clock that is set back do no harm.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._tag = "".join(secrets.choice(_ALPHABET) for _ in range(_PROCESS_CHARACTERS))

    def __call__(self) -> str:
        """The next id: 15 capital letters and digits without I, L, O, U."""
        with self._lock:
            self._last = number = max(self._last + 1, time.time_ns() // 1000)
        characters = []
        for _ in range(_TIME_CHARACTERS):
            number, digit = divmod(number, len(_ALPHABET))
            characters.append(_ALPHABET[digit])
        return "".join(reversed(characters)) + self._tag


new_id = IdSource()
