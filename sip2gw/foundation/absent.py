"""A library that is installed, but that others are to do without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(module: str) -> Iterator[None]:
    """Whoever imports `module` in the meantime finds that it is not installed.

    Not if it is imported already: then nothing is saved.
    """
    if module in sys.modules:
        yield
        return
    # The import system's way to say so; typed as if every entry were a module.
    vars(sys)["modules"][module] = None
    try:
        yield
    finally:
        del sys.modules[module]
