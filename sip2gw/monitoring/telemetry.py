"""Logging: one place where values become log fields, one sink that never stops the loop.

Redaction happens here and nowhere else (B16, C78): secrets are masked by field name, card and
patron numbers become keyed pseudonyms, and a traceback is logged as frames and exception type,
because an exception's text may quote input. The line per message skips structlog for speed but
takes its card field from the same `Redactor`.
"""

from __future__ import annotations

import hashlib
import select
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from io import FileIO
from typing import Any, BinaryIO, Literal, cast

import msgspec

from sip2gw.foundation.later import absent

with absent("rich"):
    # For tracebacks that we never write: it would load sixty modules and five megabytes.
    import structlog

SECRET_FIELDS = frozenset(
    {
        "pin", "password", "token", "secret", "login", "pin_hash", "password_hash",
        "login_user_id", "login_password", "terminal_password", "patron_password",
    }
)  # fmt: skip
"""Log fields that are never shown, whatever they hold."""

PERSON_FIELDS = frozenset({"card", "patron", "payer", "debtor", "patron_identifier"})
"""Log fields whose value is a card or patron number: shown as a pseudonym."""

MASK = "***"
_QUEUE_LINES_MAX = 50_000
_FLUSH_INTERVAL_S = 0.1
BUFFER_BYTES = select.PIPE_BUF
"""What a pipe takes whole, even if others write to it."""
CLOSE_TIMEOUT_S = 2.0
"""So long the last lines wait for a reader."""

LogFormat = Literal["auto", "json", "console"]


class Redactor:
    """Turns card numbers into pseudonyms and masks secrets.

    The pseudonym of a number is the same in every log line and in `door log` as long as `key`
    (derived from the library's secret) is the same; without the key it cannot be traced back.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(
            key=hashlib.sha256(b"pseudonym" + key).digest(), digest_size=6
        )

    def pseudonym(self, number: str) -> str:
        """The pseudonym of `number`, twelve hex digits; empty for an empty one."""
        if not number:
            return ""
        digest = self._keyed.copy()
        digest.update(number.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def __call__(
        self, logger: object, name: str, fields: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """structlog processor: replace what must not be shown."""
        for field in SECRET_FIELDS & fields.keys():
            fields[field] = MASK
        for field in PERSON_FIELDS & fields.keys():
            fields[field] = self.pseudonym(str(fields[field]))
        return fields


class LogSink:
    """Writes lines to a stream from its own thread, in batches, so that a slow reader of stderr
    cannot stop the event loop. A full queue drops lines and says how many.
    """

    def __init__(
        self, stream: BinaryIO, *, lines_max: int = _QUEUE_LINES_MAX, shared: bool = False
    ) -> None:
        """`shared`: other processes write to `stream`, too."""
        self._stream = stream
        self._shared = shared
        self._lines: deque[bytes] = deque()
        self._lines_max = lines_max
        self._dropped = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sip2gw-log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue `line` (without its end), from any thread; never blocks."""
        lines = self._lines
        if len(lines) >= self._lines_max:
            self._dropped += 1
            return
        lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is queued and end the thread, unless nobody reads."""
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._closing.wait(_FLUSH_INTERVAL_S)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = self._take()
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(b'{"event":"log_lines_dropped","count":%d}' % dropped)
        if not lines:
            return
        lines.append(b"")
        try:
            for text in _whole_lines(lines, BUFFER_BYTES if self._shared else None):
                self._put(memoryview(text))
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads our log any more; serving terminals matters more.
            return

    def _take(self) -> list[bytes]:
        """What is queued now; others may add to it meanwhile, but nobody else takes from it."""
        lines = self._lines
        return [lines.popleft() for _ in range(len(lines))]

    def _put(self, text: memoryview) -> None:
        """Write all of `text`, however little the stream takes at a time."""
        while text:
            written: int | None = self._stream.write(text)
            if written is None and self._closing.wait(_FLUSH_INTERVAL_S):
                return  # somebody has made it non-blocking, and it is still full at the end
            text = text[written or 0 :]


def _whole_lines(lines: list[bytes], bytes_max: int | None) -> Iterator[bytes]:
    """`lines`, the last of which is empty, as text to write; in pieces of at most `bytes_max`, as
    far as single lines are not longer. So the lines of several processes do not mix."""
    if bytes_max is None:
        yield b"\n".join(lines)
        return
    piece: list[bytes] = []
    size = 0
    for line in lines[:-1]:
        if piece and size + len(line) + 1 > bytes_max:
            yield b"\n".join([*piece, b""])
            piece, size = [], 0
        piece.append(line)
        size += len(line) + 1
    yield b"\n".join([*piece, b""])


class _SinkLogger:
    """What structlog calls at the end of its chain."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink

    def _write(self, line: bytes | str) -> None:
        self._sink.write(line if isinstance(line, bytes) else line.encode("utf-8", "replace"))

    debug = info = warning = error = critical = exception = msg = _write


def describe_exception(
    logger: object, name: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """structlog processor: an exception becomes its type and its frames, never its text."""
    info = fields.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        fields["exception"] = type(error).__qualname__
        # A note was added by us, for this log; the text of an exception may quote anything.
        notes = getattr(error, "__notes__", None)
        if notes:
            fields["problem"] = "; ".join(notes)
        fields["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return fields


def _stamp(logger: object, name: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {"time": timestamp(datetime.now(UTC)), **fields}


def timestamp(moment: datetime) -> str:
    """`moment`, in UTC, as log lines write it: with milliseconds."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _render_json(logger: object, name: str, fields: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(fields, enc_hook=str)


def _render_console(logger: object, name: str, fields: MutableMapping[str, Any]) -> str:
    head = f"{fields.pop('time', '')} {fields.pop('level', ''):8} {fields.pop('event', '')}"
    return " ".join([head, *(f"{key}={value!r}" for key, value in fields.items())])


class RequestLine(msgspec.Struct, omit_defaults=True):
    """The line per message; the field set is closed so that nothing else can slip in."""

    time: str
    event: str
    level: str
    connection: int
    terminal: str
    message: str
    outcome: str
    duration_us: int
    reason: str = ""
    card: str = ""
    """Pseudonym."""
    worker: int | None = None
    """Which process answered; None in a gateway of one."""


STRANGERS_LINES_MAX = 20
"""Between two `Log.sum_up`, a second, so many lines are written about who has not logged in."""

UNCAUGHT_LINES_MAX = 5
"""And so many about what nobody caught."""


class _Allowance:
    """Lets a number of lines pass until it is renewed, and counts the others by subject."""

    def __init__(self, lines_max: int) -> None:
        self._lines_max = lines_max
        self._lines = 0
        self._held_back: Counter[str] = Counter()

    def lets_pass(self, what: str) -> bool:
        """Whether a line about `what` may be written."""
        if self._lines >= self._lines_max:
            self._held_back[what] += 1
            return False
        self._lines += 1
        return True

    def renew(self) -> Counter[str]:
        """Let the same number of lines pass again; returns what was held back."""
        self._lines = 0
        held_back, self._held_back = self._held_back, Counter()
        return held_back


class Log:
    """The process's log: structlog for events, `request` for the line per message."""

    def __init__(
        self,
        stream: BinaryIO,
        redactor: Redactor,
        *,
        level: str = "info",
        console: bool = False,
        worker: int | None = None,
        shared: bool = False,
    ) -> None:
        """`worker` is the number of this process among several; `shared`: see `LogSink`."""
        self.redactor = redactor
        self.worker = worker
        self._bound = {} if worker is None else {"worker": worker}
        self.sink = LogSink(stream, shared=shared)
        self._encode = msgspec.json.Encoder().encode
        self._strangers = _Allowance(STRANGERS_LINES_MAX)
        self._uncaught = _Allowance(UNCAUGHT_LINES_MAX)
        self.configure(level, console=console)

    def configure(self, level: str, *, console: bool) -> None:
        """From now on write events of at least `level`, as JSON or as text for people."""
        self._console = console
        self._requests = level in ("debug", "info")
        render: Callable[..., Any] = _render_console if console else _render_json
        self.events = cast(
            structlog.typing.FilteringBoundLogger,
            structlog.wrap_logger(
                _SinkLogger(self.sink),
                processors=[
                    structlog.processors.add_log_level,
                    _stamp,
                    self.redactor,
                    describe_exception,
                    render,
                ],
                wrapper_class=structlog.make_filtering_bound_logger(level),
                # Bound now, because an unbound logger is made again for every event.
            ).bind(**self._bound),
        )

    def stranger(self, event: str, **fields: object) -> None:
        """Warn about a connection that has not logged in; a flood is summed up (C100)."""
        if self._strangers.lets_pass(f"{event} {fields.get('reason', '')}".strip()):
            self.events.warning(event, **fields)

    def uncaught(self, event: str, error: BaseException | None, **fields: object) -> None:
        """Report, from any thread, something uncaught; a flood of reports is summed up."""
        if self._uncaught.lets_pass(f"{event} {type(error).__qualname__ if error else ''}".strip()):
            self.events.error(event, **fields, **({"exc_info": error} if error else {}))

    def sum_up(self) -> None:
        """Log what was left out since the last call; to be called once a second."""
        held_back = self._strangers.renew() + self._uncaught.renew()
        if held_back:
            self.events.warning("lines_summed_up", lines=dict(held_back))

    def request(self, line: RequestLine) -> None:
        """Write the line of one answered message."""
        if not self._requests:
            return
        if not line.terminal and not self._strangers.lets_pass(f"request {line.message}"):
            return
        if self._console:
            shown = (
                f"{line.time} {line.terminal or '-'} {line.message} {line.outcome} {line.reason}"
            )
            self.sink.write(shown.encode("utf-8", "replace"))
        else:
            self.sink.write(self._encode(line))

    def close(self) -> None:
        """Flush and stop."""
        self.sum_up()
        self.sink.close()


def open_log(
    redactor: Redactor,
    *,
    level: str = "info",
    log_format: LogFormat = "auto",
    worker: int | None = None,
    shared: bool = False,
) -> Log:
    """The log on stderr: JSON lines, or readable text when stderr is a terminal.

    Past Python's own buffer, whose lock a thread that waits for a reader would hold at our end.
    """
    stream = cast("BinaryIO", FileIO(sys.stderr.fileno(), "wb", closefd=False))
    console = is_for_people(log_format)
    return Log(stream, redactor, level=level, console=console, worker=worker, shared=shared)


def is_for_people(log_format: LogFormat) -> bool:
    """Whether the log is written as text rather than JSON."""
    return log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
