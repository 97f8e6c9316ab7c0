"""The benchmarks run; what they measure is not judged here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from full import only_in_full

from benchmarks import postgres
from benchmarks.__main__ import COMPARED, PARTS, main
from benchmarks.against import interval, verdict

TINY = ["--runs", "1", "--seconds", "0.05", "--patrons", "80", "--connections", "4"]
TINY += ["--settle", "0.02"]


@only_in_full
def test_every_part_is_reported_without_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    status = main([*TINY, "--quick", "--idle", "20", "--json", str(file)])
    shown = capsys.readouterr().out
    report = json.loads(file.read_text())
    assert status == 0, shown
    assert [part["name"] for part in report["comparisons"]] == list(COMPARED)
    assert {part["name"] for part in report["figures"]} >= set(PARTS) - set(COMPARED)
    assert report["errors"] == 0


def test_a_second_report_can_be_set_against_a_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"ratios": {"status": 2.0}}))
    assert (
        main([*TINY, "--only", "status", "pay", "idle", "--idle", "20", "--against", str(file)])
        == 0
    )
    assert "x earlier" in capsys.readouterr().out


def test_payments_on_postgresql_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert postgres.main(["--runs", "1", "--seconds", "0.2", "--patrons", "200"]) == 0
    assert "booked, as acknowledged" in capsys.readouterr().out


def test_the_median_lies_between_the_runs_that_the_sign_test_leaves() -> None:
    # Of 15 runs at most three lie on one side of it by chance, but for 35 times in a thousand.
    assert interval([float(number) for number in range(15)]) == (3.0, 11.0)
    assert interval([2.0, 1.0, 3.0]) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([1.2] * 15, "worse"),
        ([1.04] * 15, "not worse"),
        ([0.98] * 5 + [1.06] * 10, "not worse"),
        ([0.9] * 15, "not worse"),
    ],
)
def test_a_version_is_worse_when_it_takes_over_five_percent_more_for_sure(
    ratios: list[float], said: str
) -> None:
    assert verdict(ratios) == said
