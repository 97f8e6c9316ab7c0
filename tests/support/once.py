"""Stores that many tests begin with: made once in a test process, copied for each test."""

from __future__ import annotations

import atexit
import shutil
from pathlib import Path
from tempfile import mkdtemp

NOT_COPIED = (".lock", ".spool")
"""What belongs to whoever has a store open."""


class Once:
    """Closed SQLite stores, each under a key."""

    def __init__(self) -> None:
        self._directory = mkdtemp(prefix="sip2gw-once-")
        atexit.register(shutil.rmtree, self._directory, ignore_errors=True)
        self._kept: dict[str, Path] = {}

    def keep(self, key: str, file: Path) -> None:
        """Keep a copy of the closed store in `file`, and of what lies beside it."""
        place = Path(self._directory) / str(len(self._kept))
        place.mkdir()
        for part in file.parent.glob(f"{file.name}*"):
            if part.suffix not in NOT_COPIED:
                shutil.copy(part, place)
        self._kept[key] = place

    def give(self, key: str, directory: Path) -> bool:
        """Copy the store under `key`, if there is one, into `directory`; whether there was one."""
        if key not in self._kept:
            return False
        for part in self._kept[key].iterdir():
            shutil.copy(part, directory)
        return True
