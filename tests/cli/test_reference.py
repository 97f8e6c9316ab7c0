"""The reference page says what the commands say."""

from __future__ import annotations

from pathlib import Path

from sip2gw.cli.reference import command_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def test_the_page_is_generated() -> None:
    assert PAGE.read_text() == command_reference(), (
        "python -m sip2gw.cli > docs/reference/commands.md"
    )
