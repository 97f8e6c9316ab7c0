"""How a proof tells what it found."""

import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """Numbers for the reader, and everything that contradicts the promise.

    What took too long is noted apart: it fails a proof, which has the machine to itself, and not
    its short form among the tests, for a busy machine is slow.
    """

    title: str
    numbers: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    too_slow: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note `otherwise` unless it `holds`, once; at most the first hundred are kept."""
        _note(self.failures, holds, otherwise)

    def expect_in_time(self, holds: bool, otherwise: str) -> None:
        """The same for a span of time that was measured."""
        _note(self.too_slow, holds, otherwise)

    def tell(self) -> int:
        """Print it; the exit status of the program."""
        shown = "  ".join(f"{name}={value}" for name, value in self.numbers.items())
        sys.stdout.write(f"{self.title}: {shown}\n")
        failures = self.failures + self.too_slow
        for failure in failures:
            sys.stdout.write(f"  FAILED: {failure}\n")
        sys.stdout.write(f"{self.title}: {'FAILED' if failures else 'holds'}\n")
        return 1 if failures else 0


def _note(where: list[str], holds: bool, otherwise: str) -> None:
    if not holds and len(where) < 100 and otherwise not in where:
        where.append(otherwise)
