"""`python tests/proofs NAME …`: see docs/proofs.md."""

import importlib
import sys
from pathlib import Path

PROGRAMS = (
    "storm",
    "network",
    "lending",
    "maintenance",
    "faults",
    "clocks",
    "fuzz",
    "coverage",
    "dates",
    "garbage",
    "canary",
    "canary-upstream",
    "doors",
    "explain",
    "decide",
    "dashboard",
    "logins",
    "guesses",
    "upstream",
    "upstream-lending",
    "upstream-payments",
    "upstream-guesses",
    "journal",
    "away",
    "memory",
    "beside",
    "backup",
    "mutants",
    "observe",
    "units",
    "tls",
    "uptime",
    "rest",
)


def main() -> int:
    tests = Path(__file__).parents[1]
    sys.path[0:1] = [str(tests.parent), str(tests), str(tests / "support")]
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.stderr.write(f"usage: python tests/proofs {'|'.join(PROGRAMS)} [options]\n")
        return 2
    program = importlib.import_module(f"proofs.{sys.argv[1].replace('-', '_')}")
    status: int = program.main(sys.argv[2:])
    return status


if __name__ == "__main__":
    raise SystemExit(main())
