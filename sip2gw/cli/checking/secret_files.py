"""Files with a secret that every user of the machine can read (B12)."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sip2gw.config.copying import secret_paths

if TYPE_CHECKING:
    from sip2gw.config import Config


def about_secret_files(config: Config) -> Iterator[str]:
    """Keys, tokens and passwords in files that are open to others, each file once."""
    for path, key in {path: key for key, path in secret_paths(config)}.items():
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # whether it is needed now, others judge
        if mode & stat.S_IROTH:
            yield (
                f"{key}: every user of this machine can read {path}; let only the gateway read it"
                f" (chmod o= {path})"
            )
