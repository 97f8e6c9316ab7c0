"""The pages of docs/reference say what the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
import write_reference
from reference import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_the_generated_one_and_names_the_command_that_renews_it(name: str) -> None:
    page = (write_reference.DIRECTORY / f"{name}.md").read_text(encoding="utf-8")
    command = f"python tests/support/write_reference.py {name}"
    assert page == PAGES[name](), command
    assert f"`{command}`" in page


def test_the_command_writes_the_page_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_reference, "DIRECTORY", tmp_path)
    write_reference.write(["reasons"])
    assert [page.name for page in tmp_path.iterdir()] == ["reasons.md"]
    assert (tmp_path / "reasons.md").read_text(encoding="utf-8") == PAGES["reasons"]()
