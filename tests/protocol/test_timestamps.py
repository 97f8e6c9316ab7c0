"""Dates in and out (B9)."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from sip2gw.protocol.timestamps import TimestampCache, read_timestamp, write_timestamp

BRUSSELS = ZoneInfo("Europe/Brussels")


@pytest.mark.parametrize(
    ("moment", "local", "utc"),
    [
        (datetime(2026, 1, 31, 14, 25, 9, tzinfo=BRUSSELS), "14", "13"),
        (datetime(2026, 7, 31, 14, 25, 9, tzinfo=BRUSSELS), "14", "12"),
    ],
)
def test_local_with_blanks_or_utc_across_daylight_saving(
    moment: datetime, local: str, utc: str
) -> None:
    day = f"{moment:%Y%m%d}"
    assert write_timestamp(moment) == f"{day}    {local}2509"
    assert write_timestamp(moment, "utc") == f"{day}   Z{utc}2509"


def test_always_18_characters_that_break_nothing() -> None:
    assert write_timestamp(None) == " " * 18
    assert write_timestamp("2026|\r") == "2026" + " " * 14
    assert write_timestamp("2" * 30) == "2" * 18


@pytest.mark.parametrize("zone", ["    ", "0000", "00EST", "   0", "UTC1"])
def test_any_zone_but_z_is_local(zone: str) -> None:
    raw = f"20260131{zone:.4}142509"
    assert read_timestamp(raw, BRUSSELS) == datetime(2026, 1, 31, 14, 25, 9, tzinfo=BRUSSELS)


@pytest.mark.parametrize("z", ["   Z", "   z"])
def test_z_is_utc(z: str) -> None:
    assert read_timestamp(f"20260131{z}142509", BRUSSELS) == datetime(
        2026, 1, 31, 14, 25, 9, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "raw", ["", " " * 18, "20260131    14250", "20261331    142509", "\uff120260131    142509"]
)
def test_what_is_no_date_is_none(raw: str) -> None:
    assert read_timestamp(raw, BRUSSELS) is None


@pytest.mark.parametrize(
    ("raw", "is_one"),
    [
        ("18000101   Z000000", True),
        ("89991231    235959", True),
        ("17991231    235959", False),
        ("90000101   Z000000", False),
        ("00010101    000000", False),
        ("99991231   Z235959", False),
    ],
)
def test_a_moment_has_a_date_in_every_zone(raw: str, is_one: bool) -> None:
    """C106."""
    moment = read_timestamp(raw, BRUSSELS)
    assert (moment is not None) is is_one
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        assert moment is None or moment.astimezone(ZoneInfo(zone))


def test_one_object_is_rendered_once() -> None:
    cache = TimestampCache("utc")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert cache.render(moment) is cache.render(moment)
    assert cache.render("x") == "x" + " " * 17
    assert cache.render(None) == " " * 18
