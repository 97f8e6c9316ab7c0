"""`dashboard` and `alerts` write the files that the package brings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sip2gw.monitoring import ALERTS, DASHBOARD, text_of

from .conftest import Run

BOTH = pytest.mark.parametrize(("command", "name"), [("dashboard", DASHBOARD), ("alerts", ALERTS)])


@BOTH
@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_standard_output_is_the_default(
    sip2gw: Run, command: str, name: str, arguments: tuple[str, ...]
) -> None:
    assert sip2gw(command, *arguments).out == text_of(name)


@BOTH
def test_a_file_is_overwritten_only_by_force(
    sip2gw: Run, tmp_path: Path, command: str, name: str
) -> None:
    file = tmp_path / "file"
    assert sip2gw(command, file).status == 0
    assert file.read_text() == text_of(name)
    assert file.stat().st_mode & 0o444 == 0o444, "Prometheus and Grafana may read it"
    file.write_text("mine")
    result = sip2gw(command, file)
    assert (result.status, file.read_text()) == (1, "mine")
    assert (
        result.err == f"sip2gw: {file}: already exists and was left unchanged; name another file\n"
    )
    assert sip2gw(command, file, "--force").status == 0
    assert file.read_text() == text_of(name)
    assert file.stat().st_mode & 0o777 == 0o644


def test_the_dashboard_is_json_that_grafana_takes(sip2gw: Run) -> None:
    board = json.loads(sip2gw("dashboard").out)
    assert (board["title"], board["uid"]) == ("sip2gw", "sip2gw")
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])
