"""How a proof tells what it found."""

import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """Numbers for the reader, and everything that contradicts the promise."""

    title: str
    numbers: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note `otherwise` unless it `holds`, once; at most the first hundred are kept."""
        if not holds and len(self.failures) < 100 and otherwise not in self.failures:
            self.failures.append(otherwise)

    def tell(self) -> int:
        """Print it; the exit status of the program."""
        shown = "  ".join(f"{name}={value}" for name, value in self.numbers.items())
        sys.stdout.write(f"{self.title}: {shown}\n")
        for failure in self.failures:
            sys.stdout.write(f"  FAILED: {failure}\n")
        sys.stdout.write(f"{self.title}: {'FAILED' if self.failures else 'holds'}\n")
        return 1 if self.failures else 0
