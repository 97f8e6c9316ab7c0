"""Reading a SQLite store so that no byte of it changes, nor of the files beside it (B70, C135).

A store is in WAL mode. Even a connection that only reads wants the index of its log (`-shm`): it
makes one, writes to it, and leaves it there if it may not write to the database. So it depends on
the log:

- Something is in it: a gateway is running, or one was killed. `readonly_shm` uses the index of the
  one that runs. Without one SQLite makes an index in memory and leaves log and index alone, which
  a restarted gateway needs.
- Nothing is in it: the file is opened for writing, but every statement that writes is refused.
  SQLite locks it as always, so that a gateway may start meanwhile, has nothing to copy back at the
  end, and removes the empty log and its index.
- Nothing is in it, and we must not write here: then nobody's log can be made by us, and SQLite is
  told that nobody changes the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from sip2gw.backend.sqlite.place import Place

_ALONE = "mode=rw"
_BESIDE = "mode=ro&readonly_shm=1"
_WITHOUT_INDEX = "mode=ro"
_NO_RIGHTS = "mode=ro&immutable=1"
_LOG_HEADER_BYTES = 32
"""With nothing behind it the log holds no change. A process that is killed before its first change
is in the log leaves that, and SQLite then reads the store only if it may write to the index."""


class ReadingPlace(Place):
    """The place of a store that this process only reads; all its connections are alike.

    Otherwise one of them would find the index of another and leave it behind.

    Raises:
        NoStoreError: there is no file.
        UnavailableError: there cannot be a store.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, make=False)
        self.address: str = f"file:{quote(str(self.path))}?{_manner(self.path)}"

    def _expected(self) -> list[Path]:
        # The log comes and goes with whoever writes.
        return [self._given, self.path]


def _manner(path: Path) -> str:
    """How SQLite is to open the file."""
    index = Path(f"{path}-shm").exists()
    if Path(f"{path}-journal").exists():
        # Another program's: opened for writing, SQLite would undo what is half done there.
        return _WITHOUT_INDEX
    if _has_content(Path(f"{path}-wal")):
        return _BESIDE if index else _WITHOUT_INDEX
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return _ALONE
    return _BESIDE if index else _NO_RIGHTS


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > _LOG_HEADER_BYTES
    except FileNotFoundError:
        return False
