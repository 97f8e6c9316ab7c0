"""How often the interpreter looks for garbage in cycles (C136)."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Look fifty times more rarely than the interpreter would by itself.

    Modules, snapshots and requests leave next to no cycles, and each look takes the loop's time.
    """
    gc.set_threshold(50_000, 20, 100)
