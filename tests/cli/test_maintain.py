"""`maintain`: memberships, as a librarian and as a program see it (B63, C160)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

MEMBERS: list[dict[str, Any]] = [
    {
        "kind": "membership",
        "code": "101",
        "description": "Child",
        "type": 1,
        "minimum_age": 0,
        "maximum_age": 11,
        "term_months": 12,
        "subsequent_membership": "301",
        "notification_term_months": 1,
    },
    {
        "kind": "membership",
        "code": "301",
        "description": "Paying",
        "type": 3,
        "fee": "20.00",
        "invoicing_method": 1,
        "term_months": 12,
        "fee_reminder_months": 1,
    },
    {
        "kind": "patron",
        "id": "Q1",
        "name": "Child",
        "membership": "101",
        "birth_date": "2014-05-05",
        "membership_from": "2020-01-01",
        "membership_until": "2026-05-31",
    },
    {
        "kind": "patron",
        "id": "Q2",
        "name": "Adult",
        "membership": "301",
        "membership_until": "2026-06-14",
    },
]


@pytest.fixture
def members(sip2gw: Run, config: Path) -> Path:
    data = config.with_name("members.jsonl")
    data.write_text("".join(f"{json.dumps(record)}\n" for record in MEMBERS))
    result = sip2gw("import", data, "--config", config)
    assert result.status == 0, result.err
    return config


PLAN = """\
      1  renewed: renewed for another period
      1  moved: moved to the subsequent membership
      1  notice: notice of the coming end

patron Q1
  2026-05-01  notice: 101, until 2026-05-31, notice CAO
  2026-06-01  moved: 101 -> 301, until 2027-05-31, status 2, fee 20.00

patron Q2
  2026-06-15  renewed: 301 -> 301, until 2027-06-14, status 2, fee 20.00
"""
SUMS = "3 steps for 2 patrons, fees 40.00, refunds 0.00, 1 notice"


def test_b63_a_dry_run_prints_a_plan_that_a_librarian_can_read(sip2gw: Run, members: Path) -> None:
    result = sip2gw("maintain", "--dry-run", "--at", "2026-06-15", "--config", members)
    assert (result.status, result.out) == (0, PLAN)
    assert f"memberships on 2026-06-15: {SUMS}: would be done" in result.err.splitlines()[0]
    assert "0 rows of the door log" in result.err


def test_c160_json_is_an_object_for_each_step_and_the_same_in_a_dry_run(
    sip2gw: Run, members: Path
) -> None:
    options = ("--json", "--at", "2026-06-15", "--config", members)
    planned = sip2gw("maintain", "--dry-run", *options)
    done = sip2gw("maintain", *options)
    assert done.out == planned.out
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {
            "patron": "Q1",
            "rule": "notice",
            "from": "101",
            "to": None,
            "until": "2026-05-31",
            "status": None,
            "fee": None,
            "notice": "CAO",
        },
        {
            "patron": "Q1",
            "rule": "moved",
            "from": "101",
            "to": "301",
            "until": "2027-05-31",
            "status": 2,
            "fee": "20.00",
            "notice": None,
        },
        {
            "patron": "Q2",
            "rule": "renewed",
            "from": "301",
            "to": "301",
            "until": "2027-06-14",
            "status": 2,
            "fee": "20.00",
            "notice": None,
        },
    ]
    assert f"{SUMS}: done" in done.err
    again = sip2gw("maintain", *options)
    assert (again.status, again.out) == (0, "")
    assert "0 steps for 0 patrons, fees 0.00, refunds 0.00, 0 notices: done" in again.err


def test_the_day_is_that_of_the_library(sip2gw: Run, members: Path) -> None:
    """In Brussels it is the fifteenth already."""
    late = sip2gw("maintain", "--json", "--at", "2026-06-14T22:30:00Z", "--config", members)
    assert '"patron":"Q2","rule":"renewed"' in late.out


def test_a_run_without_json_only_tells_the_sums(sip2gw: Run, members: Path) -> None:
    result = sip2gw("maintain", "--at", "2026-06-15", "--config", members)
    assert (result.status, result.out) == (0, "")
    shown = json.loads(sip2gw("patron", "show", "Q1", "--json", "--config", members).out)
    assert (shown["membership"], shown["membership_until"]) == ("301", "2027-05-31")
    assert (shown["status"], shown["owed"]) == (2, "20.00")


def test_a_moment_that_is_none_is_wrong_usage(sip2gw: Run, members: Path) -> None:
    result = sip2gw("maintain", "--at", "soon", "--config", members)
    assert result.status == 2
    assert "--at soon" in result.err


def test_b65_holders_are_told_before_a_badge_ends(sip2gw: Run, members: Path) -> None:
    """And nobody, unless the configuration says how early."""
    lines = [
        {"kind": "badge", "code": "ONBE", "name": "Open library"},
        {**MEMBERS[-1], "badges": [{"code": "ONBE", "until": "2026-06-10"}]},
    ]
    data = members.with_name("badges.jsonl")
    data.write_text("".join(f"{json.dumps(record)}\n" for record in lines))
    assert sip2gw("import", data, "--config", members).status == 0

    def maintain(*options: str) -> Any:
        return sip2gw("maintain", "--at", "2026-06-01", *options, "--config", members)

    assert "badge" not in maintain("--dry-run").out
    members.write_text(f"{members.read_text()}\n[badges]\nexpiry_notice_days = 9\n")
    planned = maintain("--dry-run")
    assert "      1  badge_expires: notice that a badge ends\n" in planned.out
    assert (
        "patron Q2\n  2026-06-01  badge_expires: Open library, until 2026-06-10, notice BADGE\n"
    ) in planned.out
    told = [json.loads(line) for line in maintain("--json").out.splitlines()]
    assert told[-1] == {
        "patron": "Q2",
        "rule": "badge_expires",
        "from": None,
        "to": None,
        "until": "2026-06-10",
        "status": None,
        "fee": None,
        "notice": "BADGE",
    }
    assert maintain("--json").out == ""
    kept = sip2gw("outbox", "list", "--json", "--config", members)
    assert [json.loads(line)["kind"] for line in kept.out.splitlines()].count("BADGE") == 1
