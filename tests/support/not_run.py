"""What `tests/run` leaves out: the documented proofs, as the table of `docs/proofs.md` has them.

python tests/support/not_run.py
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "proofs.md"
_ROW = re.compile(r"^\| `(?P<command>[^`]+)` \|(?P<cells>.*)\|$", re.MULTILINE)


class Proof(NamedTuple):
    """A row of the table; `needs` names a program that Python packages do not bring."""

    command: str
    shows: str
    time: str
    needs: str


def documented_proofs() -> list[Proof]:
    """All of them, in the order of the page."""
    table = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    return [_proof(row) for row in _ROW.finditer(table)]


def _proof(row: re.Match[str]) -> Proof:
    # A row may leave out its last cells.
    shows, time, needs = [*map(str.strip, row["cells"].split(" | ")), "", ""][:3]
    return Proof(row["command"].replace("\\|", "|"), shows, time, needs)


def main() -> None:
    sys.stdout.write("\nNot run here (docs/proofs.md tells how):\n")
    for proof in documented_proofs():
        needs = f"; needs {proof.needs}" if proof.needs else ""
        sys.stdout.write(f"  {proof.command}  [{proof.time}{needs}]\n")


if __name__ == "__main__":
    main()
