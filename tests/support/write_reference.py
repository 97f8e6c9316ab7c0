"""Writes what is made from the code: all pages of docs/reference and the `example` of a
configuration with every key, or those that are named.

python tests/support/write_reference.py [PAGE ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference import PAGES
from reference.example import FILE, example

DIRECTORY = Path(__file__).parents[2] / "docs" / "reference"


def write(names: list[str]) -> None:
    """Make the pages anew."""
    for name in names or [*PAGES, "example"]:
        if name == "example":
            FILE.write_text(example(), encoding="utf-8")
        else:
            (DIRECTORY / f"{name}.md").write_text(PAGES[name](), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1:])
