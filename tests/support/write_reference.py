"""Writes the pages of docs/reference that are made from the code: all, or those that are named.

python tests/support/write_reference.py [NAME of a page] ...
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference import PAGES

DIRECTORY = Path(__file__).parents[2] / "docs" / "reference"


def write(names: list[str]) -> None:
    """Make the pages anew."""
    for name in names or PAGES:
        (DIRECTORY / f"{name}.md").write_text(PAGES[name](), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1:])
