"""Ids that we make: of payments, attempts, door rows, fees."""

from __future__ import annotations

import secrets
import threading
import time
from datetime import timedelta

_TIME_DIGITS = 13
_PROCESS_BYTES = 2


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


def earliest_id(ago: timedelta) -> str:
    """Sorts before every id that was made since so long ago, as long as the clock was right."""
    number = max(0, (time.time_ns() - int(ago.total_seconds() * 1e9)) // 1000)
    return f"{number:0{_TIME_DIGITS}X}"
