"""Customer support in both stores: opened once for each cause, routed, answered, closed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sip2gw.backend.library import Library
from sip2gw.model.support import Cause
from sip2gw.policy.support import OpeningDays

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PLAIN_DAYS = OpeningDays({}, ZoneInfo("Europe/Brussels"))

CARD = Cause("CARD", "C1", "Kiosk kiosk-1 blocked card C1.", "P1")


async def test_a_cause_is_one_open_message_and_its_repeats_are_counted(library: Library) -> None:
    """C163."""
    other = Cause("CARD", "C2", "Kiosk kiosk-1 blocked card C2.")
    assert await library.open_automatic([CARD, other, CARD], NOW, PLAIN_DAYS) == 2
    assert await library.open_automatic([CARD], NOW + timedelta(hours=1), PLAIN_DAYS) == 0
    with library.snapshot() as connection:
        rows = connection.execute(
            "SELECT id, object, count, status FROM support_message"
        ).fetchall()
    assert sorted(map(tuple, rows)) == [(1, "C1", 3, "A"), (2, "C2", 1, "A")]
