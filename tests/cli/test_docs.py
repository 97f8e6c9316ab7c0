"""The pages for people: their files load, their links lead somewhere, their lines run."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from sip2gw.cli.app import app

from .conftest import Run

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "messages").glob("*.md")),
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_readme_begins_with_the_demo_line_and_the_test_line() -> None:
    first, second = blocks(ROOT / "README.md", "sh")
    assert first.count("\n") == second.count("\n") == 1
    assert first.endswith("sip2gw demo\n")
    assert second.endswith("tests/run\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_json_lines_are_json(page: Path) -> None:
    for block in blocks(page, "json"):
        for line in block.splitlines():
            assert json.loads(line)["kind"]


def test_the_tutorial_works_as_it_says(
    sip2gw: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "tutorial.md"
    (toml,), (library,) = blocks(page, "toml"), blocks(page, "json")
    (tmp_path / "sip2gw.toml").write_text(toml)
    (tmp_path / "library.jsonl").write_text(library)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIP2GW_CONFIG", "sip2gw.toml")
    assert sip2gw("check").status == 0
    assert sip2gw("import", "library.jsonl").status == 0
    assert "granted" in sip2gw("explain", "--terminal", "door-1", "--card", "1001").out
    assert "refused: no_badge" in sip2gw("explain", "--terminal", "door-1", "--card", "1002").out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_the_pages_exist_with_their_options(page: Path) -> None:
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            assert not unknown_words(shlex.split(line, comments=True)), line


@pytest.mark.parametrize(
    "unit", sorted((ROOT / "systemd").glob("*.service")), ids=lambda it: it.name
)
def test_units_call_commands_that_exist_with_their_options(unit: Path) -> None:
    lines = re.findall(r"^Exec\w+=/opt/sip2gw/bin/(.*)$", unit.read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        assert not unknown_words(shlex.split(line)), line


def unknown_words(line: list[str]) -> list[str]:
    """What `sip2gw` does not know of a line that calls it: a command, an option."""
    if line[:1] != ["sip2gw"]:
        return []
    command: Any = get_command(app)
    for word in line[1:]:
        if not hasattr(command, "commands"):
            break
        if word not in command.commands:
            return [word]
        command = command.commands[word]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    options = [word.partition("=")[0] for word in line if word.startswith("--")]
    return [option for option in options if option not in known]


def test_a_command_or_option_that_is_not_there_is_noticed() -> None:
    assert unknown_words(["sip2gw", "serve", "--dig"]) == ["--dig"]
    assert unknown_words(["sip2gw", "upstream", "guess"]) == ["guess"]
    assert unknown_words(["sip2gw", "upstream", "check", "--card", "1"]) == []


def test_the_pages_on_doors_money_and_loans_are_a_valid_configuration(
    sip2gw: Run, tmp_path: Path
) -> None:
    """With an institution, and a real hash in the place of the three dots."""
    hashed = sip2gw("hash-password", stdin=b"x\n").out.strip()
    parts = [part for page in ("door", "payments", "circulation") for part in _how_to(page)]
    text = "\n".join(['[institution]\nid = "HUB"\ncurrency = "EUR"', *parts])
    (tmp_path / "sip2gw.toml").write_text(text.replace('"…"', f'"{hashed}"'))
    result = sip2gw("check", "--config", tmp_path / "sip2gw.toml")
    assert result.status == 0, result.err


def _how_to(name: str) -> list[str]:
    return blocks(ROOT / "docs" / "how-to" / f"{name}.md", "toml")


def test_monitoring_names_only_metrics_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from sip2gw.monitoring.metrics import FamilyMaker, Metrics
    from sip2gw.web.exposition import exposition

    shown = exposition(FamilyMaker(Metrics()).families(), os.getpid())[0].decode()
    page = (ROOT / "docs" / "how-to" / "monitoring.md").read_text()
    for name in set(re.findall(r"sip2gw_[a-z_]+", page)):
        assert name.removesuffix("_bucket").removesuffix("_total") in shown, name
