"""Every rule that is cited stands in docs/rules.md, once, and nothing refers to pages elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "rules.md"
_DEFINED = re.compile(r"^- \*\*([BC]\d+)\*\* \S", re.MULTILINE)
_CITED = re.compile(r"\b([BC])([1-9]\d{0,2})(?:-\1([1-9]\d{0,2}))?\b")


def texts() -> Iterator[tuple[Path, str]]:
    """Every text of ours that people read."""
    rooms = (ROOT / name for name in ("sip2gw", "tests", "docs", "benchmarks"))
    for path in chain(ROOT.glob("*.md"), *(room.rglob("*") for room in rooms)):
        if path.suffix in (".py", ".md", ".txt"):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def defined() -> list[str]:
    return _DEFINED.findall(RULES.read_text(encoding="utf-8"))


def cited(text: str) -> set[str]:
    """Their numbers; `B1-B3` names three."""
    return {
        f"{letter}{number}"
        for letter, first, last in _CITED.findall(text)
        for number in range(int(first), int(last or first) + 1)
    }


def test_citations_are_found() -> None:
    assert cited("B1, (C20) and B8-B10 but neither ABC12 nor B1000") == {
        *("B1", "C20", "B8", "B9", "B10"),
    }


def test_each_rule_is_stated_once() -> None:
    numbers = defined()
    assert sorted(set(numbers)) == sorted(numbers)


def test_each_rule_that_is_cited_is_stated() -> None:
    known = set(defined())
    dangling = {str(path): cited(text) - known for path, text in texts()}
    dangling.pop("tests/docs/test_rules.py")
    assert not {path: numbers for path, numbers in dangling.items() if numbers}


def test_no_text_refers_to_a_section_of_a_page_elsewhere() -> None:
    assert not [str(path) for path, text in texts() if "\N{SECTION SIGN}" in text]
