"""What staff are told and refused, whatever surface asks (B42, C10, C51, C96)."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sip2gw.foundation.hashing import PIN_CHARACTERS_MAX
from sip2gw.model import AccessRow, DoorCount
from sip2gw.monitoring.telemetry import Redactor
from sip2gw.policy.access import BarEntry
from sip2gw.staff.entrance.door_lists import bars
from sip2gw.staff.entrance.doors import counts_by_hour, decision_json
from sip2gw.staff.members.patrons import set_pin


def test_c96_an_hour_is_that_of_the_branch_or_of_the_library() -> None:
    minute = datetime(2026, 3, 4, 9, 59, tzinfo=UTC)
    branches = {"A": SimpleNamespace(zone=ZoneInfo("Europe/Brussels"))}
    config: Any = SimpleNamespace(branches=branches, zone=UTC)
    counts = [DoorCount(minute, "A", "granted", 2), DoorCount(minute, "GONE", "granted", 1)]
    assert [told["hour"] for told in counts_by_hour(counts, config)] == [
        "2026-03-04T10:00:00+01:00",
        "2026-03-04T09:00:00+00:00",
    ]


def test_decisions_that_say_the_same_of_their_checks_are_told_apart() -> None:
    row = AccessRow(
        datetime(2026, 3, 4, 9, 59, tzinfo=UTC), "A", "door-1", "refused", "pin", "normal",
        "card=ok pin=wrong=x", None, "in",
    )  # fmt: skip
    first, second = (decision_json(row, UTC, Redactor(b"s" * 32)) for _ in range(2))
    first["checks"].clear()
    assert second["checks"] == {"card": "ok", "pin": "wrong=x"}


def test_c10_the_list_of_a_branch_holds_what_the_file_says_of_this_one_only() -> None:
    store: Any = SimpleNamespace(door_entries=lambda kind, branch: [])
    branches = {
        "A": SimpleNamespace(bar=(BarEntry("1", None),)),
        "B": SimpleNamespace(bar=(BarEntry("2", None),)),
    }
    config: Any = SimpleNamespace(branches=branches)
    assert [told["card"] for told in bars(store, config, "B")] == ["2"]
    assert [told["card"] for told in bars(store, config, None)] == ["1", "2"]


async def test_c51_the_longest_pin_is_taken_and_no_longer_one() -> None:
    hashes = []

    async def keep(patron_id: str, pin_hash: str) -> bool:
        hashes.append(pin_hash)
        return True

    store: Any = SimpleNamespace(set_pin_hash=keep, pin_secret=b"s" * 32)
    await set_pin(store, "P1", "1" * PIN_CHARACTERS_MAX)
    with pytest.raises(ValueError, match="at most"):
        await set_pin(store, "P1", "1" * (PIN_CHARACTERS_MAX + 1))
    assert len(hashes) == 1
