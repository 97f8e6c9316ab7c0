"""Telling a person what they are waiting for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0
"""As long as this nobody wonders what is going on."""


@contextmanager
def telling(
    tell: Callable[[str], object], text: str, after_s: float = PATIENCE_S
) -> Iterator[None]:
    """Tell `text`, from another thread, if the work inside takes longer than `after_s`."""
    timer = threading.Timer(after_s, tell, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
