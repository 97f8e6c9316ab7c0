"""Where a gateway puts the files that it creates, when the configuration does not say so.

They lie next to the configuration file and are named after it. Under systemd they lie in the
directories of the service, because it may be unable to write anywhere else (C130).
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from sip2gw.config.reading import read_file


def socket_path(file: Path, configured: Path | None = None) -> Path:
    """The control socket of the gateway that runs on the configuration `file`."""
    return configured or _named_after(file, ".control", "RUNTIME_DIRECTORY")


def spool_path(file: Path, configured: Path | None = None) -> Path:
    """Its spool of requests answered with "not sure" (C98)."""
    return configured or _named_after(file, ".spool", "STATE_DIRECTORY")


def _named_after(file: Path, suffix: str, variable: str) -> Path:
    """The path; `variable` lists the service's directories under systemd, of which the first
    counts.
    """
    beside, given = file.with_suffix(suffix), os.environ.get(variable, "").partition(":")[0]
    return Path(given, beside.name) if given else beside


def find_socket(path: str | os.PathLike[str]) -> Path:
    """The control socket of the gateway that runs on the configuration at `path`.

    The rest of the file may be invalid: the gateway still runs on its earlier state, and reports
    that.
    """
    file = Path(path).absolute()
    try:
        named = tomllib.loads(read_file(file).decode("utf-8-sig"))["server"]["socket"]
    except (OSError, ValueError, LookupError, TypeError):
        named = None
    return socket_path(file, file.parent / named if isinstance(named, str) and named else None)
