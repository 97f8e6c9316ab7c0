"""Values that are replaced, never changed, and moments that are made once."""

from datetime import UTC, datetime, timedelta, timezone

from sip2gw.clock import Clock
from sip2gw.model import Fee, PatronRecord, altered


def test_an_altered_value_is_a_new_one_and_otherwise_the_same() -> None:
    fee = Fee("F1", "P1", 250, 250, datetime(2026, 3, 2, tzinfo=UTC), title="Momo")
    record = PatronRecord(id="P1", name="Ann", fees=(fee,), extra={("what",): "was derived"})
    paid = altered(record, fees=(altered(fee, owed=100),), extra={})
    assert paid == PatronRecord(id="P1", name="Ann", fees=paid.fees)
    assert (paid.fees[0].owed, paid.fees[0].title, paid.extra) == (100, "Momo", {})
    assert (record.fees[0].owed, record.extra) == (250, {("what",): "was derived"})


def test_one_second_has_one_moment_in_some_days_for_each_zone() -> None:
    epoch = [1_000.0]
    clock, zone = Clock(lambda: epoch[0]), timezone(timedelta(hours=1))
    later = clock.in_days(30, zone)
    assert later == clock.now(zone) + timedelta(days=30)
    epoch[0] += 0.9
    assert clock.in_days(30, zone) is later
    assert clock.in_days(30).tzinfo is UTC
    epoch[0] += 0.2
    assert clock.in_days(30, zone) - later == timedelta(seconds=1)
