"""Counts of wrong PINs at a library system: whose they are nobody can tell, and for how long.

The counting itself is in the contract (B74).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sip2gw.backend.library import Library
from sip2gw.backend.sql.members.guesses import KEPT
from sip2gw.model import FailedPins
from sip2gw.policy.upstream.questions import spelling
from sip2gw.staff.members.patrons import unblock

from .library import configured

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LOCK_UNTIL = NOW + timedelta(minutes=15)


async def test_no_card_number_is_kept(library: Library) -> None:
    await library.record_guess("21234567", NOW, 5, LOCK_UNTIL)
    with library.snapshot() as connection:
        ((key, *counts),) = connection.execute("SELECT * FROM guess").fetchall()
    assert counts[:2] == [1, None]
    assert len(key) == 32
    assert "21234567" not in key


async def test_a_day_after_the_lock_maintenance_forgets_the_count(library: Library) -> None:
    await library.record_guess("21234567", NOW, 1, LOCK_UNTIL)
    await library.record_guess("21234568", NOW, 5, LOCK_UNTIL + timedelta(seconds=1))
    early = LOCK_UNTIL + KEPT - timedelta(seconds=1)
    assert library.count_forgotten_guesses(early) == await library.forget_guesses(early) == 0
    late = LOCK_UNTIL + KEPT
    assert library.count_forgotten_guesses(late) == await library.forget_guesses(late) == 1
    counts = await library.failed_pins(["21234567", "21234568"])
    assert counts == [FailedPins(), FailedPins(1)]


async def test_where_nobody_had_failed_the_next_failure_shows_at_once(library: Library) -> None:
    """The store remembers where nothing is counted, until something is."""
    assert await library.failed_pins(["1", "2"]) == [FailedPins(), FailedPins()]
    await library.record_guess("1", NOW, 5, LOCK_UNTIL)
    assert await library.failed_pins(["1", "2"]) == [FailedPins(1), FailedPins()]
    await library.clear_guesses("1")
    assert await library.failed_pins(["1"]) == [FailedPins()]


async def test_staff_forget_them_by_the_number_as_it_stands_on_the_card(
    library: Library, tmp_path: Path
) -> None:
    """On both databases, however the number is spelled (B20, B74)."""
    config = configured(tmp_path, "sqlite:not-opened.db")
    await library.record_guess(spelling("00A-123"), NOW, 1, LOCK_UNTIL)
    done = await unblock(library, config, "00A-123")
    assert (done["patron"], done["pin_unlocked"]) == (None, True)
    assert await library.failed_pins([spelling("00A-123")]) == [FailedPins()]
