"""Uncaught exceptions and warnings become log events, not text that Python writes to stderr itself.

Such text blocks the thread that writes it as long as nobody reads stderr (C114). It is not a log
line, and it quotes the contents of the exception or of a callback's arguments (C78).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from sip2gw.monitoring.telemetry import Log

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Nothing more can be opened until something is closed."""

_WORDS = re.compile(r"[A-Za-z_.() ]*")
"""How a message of asyncio begins; behind these words may follow the arguments of a callback."""


def tell(log: Log, error: BaseException | None, **fields: object) -> None:
    """Log `error`; if a resource has run out, say which."""
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        problem = os.strerror(error.errno)
        log.uncaught("resources_exhausted", error, problem=problem, **fields)
    else:
        log.uncaught("uncaught", error, **fields)


class _FromLibraries(logging.Handler):
    """Where in the code a library warned, and of which exception; its text may quote anything."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._log.uncaught(
            "library_message",
            error,
            logger=record.name,
            severity=record.levelname.lower(),
            place=f"{record.pathname}:{record.lineno} {record.funcName}",
        )


class _Hooks:
    """The hooks that Python calls, from any thread."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def of_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback or a task failed, or a new connection could not be accepted."""
        error = context.get("exception")
        words = _WORDS.match(str(context.get("message", "")))
        said = words.group().strip() if words else ""
        tell(self._log, error, where="loop", said=said)

    def of_thread(self, args: threading.ExceptHookArgs) -> None:
        """A thread ended with an exception."""
        name = args.thread.name if args.thread is not None else ""
        tell(self._log, args.exc_value, where="thread", thread=name)

    def unraisable(self, args: sys.UnraisableHookArgs) -> None:
        """An exception that cannot be raised, for example in a destructor."""
        of = type(args.object).__qualname__
        tell(self._log, args.exc_value, where="unraisable", object=of)

    def warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Python warns of something."""
        place = f"{filename}:{lineno}"
        self._log.uncaught("python_warning", None, category=category.__qualname__, place=place)


@contextmanager
def told_to(log: Log, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """While this is active, everything uncaught in `loop` and elsewhere goes to `log`."""
    hooks, libraries, root = _Hooks(log), _FromLibraries(log), logging.getLogger()
    before = (threading.excepthook, sys.unraisablehook, warnings.showwarning)
    handled_before = loop.get_exception_handler()
    loop.set_exception_handler(hooks.of_loop)
    threading.excepthook, sys.unraisablehook = hooks.of_thread, hooks.unraisable
    warnings.showwarning = hooks.warning
    root.addHandler(libraries)
    try:
        yield
    finally:
        root.removeHandler(libraries)
        threading.excepthook, sys.unraisablehook, warnings.showwarning = before
        loop.set_exception_handler(handled_before)
