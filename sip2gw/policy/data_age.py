"""When a library's data is too old for a door to decide on (C138)."""

from __future__ import annotations

from datetime import datetime, timedelta


def is_too_old(since: datetime | None, now: datetime, max_age: timedelta) -> bool:
    """Whether data that is known `since` then is too old; None: nobody knows, or there is none."""
    return since is None or now - since > max_age
