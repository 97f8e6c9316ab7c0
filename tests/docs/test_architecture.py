"""docs/architecture.md names files and packages that are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_BESIDE = ("docs/", "tests/")
MODULES_MAX = 16
"""Beside `__init__.py`; more of them get a room of their own."""


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def paths(text: str) -> list[str]:
    return re.findall(r"`([\w./-]*(?:/[\w.-]*|\.py))`", text)


def place_of(path: str) -> Path:
    return ROOT / path if path.startswith(_BESIDE) else ROOT / "sip2gw" / path


def test_every_path_exists() -> None:
    named = paths(PAGE)
    missing = [path for path in named if path != "sip2gw/" and not place_of(path).exists()]
    assert not missing, f"docs/architecture.md names what is not there: {', '.join(missing)}"
    assert len(named) > 50


def test_the_rings_are_those_of_the_import_contract_in_its_order() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = configured["tool"]["importlinter"]["contracts"][0]
    layers = [name for layer in contract["layers"] for name in layer.split(" | ")]
    rows = [line for line in section("Rings").splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall(r"`(\w+)/`", row.split("|")[2])]
    assert named == layers


def test_no_folder_has_more_modules_than_one_can_overlook() -> None:
    folders = [path.parent for path in (ROOT / "sip2gw").rglob("__init__.py")]
    many = {str(path.relative_to(ROOT)): len([*path.glob("*.py")]) - 1 for path in folders}
    assert {name: count for name, count in many.items() if count > MODULES_MAX} == {}
    assert max(many.values()) > MODULES_MAX // 2
