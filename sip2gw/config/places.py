"""Where a gateway puts the files that it makes itself, when the configuration does not say.

Beside the configuration file and named after it; but systemd gives a service directories of its
own, and may let it write nowhere else (C130).
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path


def socket_path(file: Path, configured: Path | None = None) -> Path:
    """The control socket of the gateway that runs on the configuration `file`."""
    return configured or _named_after(file, ".control", "RUNTIME_DIRECTORY")


def spool_path(file: Path, configured: Path | None = None) -> Path:
    """Its spool of what was answered with "not sure" (C98)."""
    return configured or _named_after(file, ".spool", "STATE_DIRECTORY")


def _named_after(file: Path, suffix: str, variable: str) -> Path:
    """`variable` is where systemd says which directories the service has, the first for us."""
    beside, given = file.with_suffix(suffix), os.environ.get(variable, "").partition(":")[0]
    return Path(given, beside.name) if given else beside


def find_socket(path: str | os.PathLike[str]) -> Path:
    """The control socket of the gateway that runs on the configuration at `path`.

    The file may be invalid otherwise: the gateway is to say so, it runs on what was there before.
    """
    file = Path(path).absolute()
    try:
        named = tomllib.loads(file.read_text(encoding="utf-8"))["server"]["socket"]
    except (OSError, ValueError, LookupError, TypeError):
        named = None
    return socket_path(file, file.parent / named if isinstance(named, str) and named else None)
