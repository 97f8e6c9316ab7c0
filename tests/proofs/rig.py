"""A whole gateway in this process, fed without sockets: real lines, handlers, store and policy."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast
from unittest.mock import patch

from harness import CONFIG, LIBRARY, NOON, TurnableClock, load

from proofs.judge import Seen, frames_of, in_order, read_answer
from sip2gw.authentication import verification
from sip2gw.backend.base import BackendError
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.daemon.app import App
from sip2gw.foundation.hashing import hash_password
from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.serving.line import TerminalLine

TURNS_MAX = 500_000
"""Turns of the loop in which a line must be done with what it was given; else it hangs."""
SECONDS_MAX = 60

PROFILES = {
    "kiosk": 'kind = "selfcheck"',
    "utf": 'kind = "selfcheck"\nencoding = "utf-8"\nterminator = "CRLF"\n'
    "personal_fields = true\npin_required = true",
    "strict": 'kind = "selfcheck"\nencoding = "latin-1"\nerror_detection = "always"\n'
    "accept_character_checksum = true\nresend_with_sequence = true\nmay_block_patrons = true",
    "lax": 'kind = "auth"\nencoding = "ascii"\nerror_detection = "never"\ndate_zone = "utc"\n'
    'hide_fields = ["AF", "BV"]\nwrong_pin_hides_card = true',
    "cash": 'kind = "payment"\nencoding = "cp1252"',
    "separate": 'kind = "payment"\nfamily = "separate"\nterminator = "CRLF"\nfee_lines = "ZF"',
    "wise": 'kind = "payment"\ndialect = "wise"\nencoding = "utf-8"',
    "gossip": 'kind = "payment"\ndialect = "gossip"',
    "sorter": 'kind = "sorter"',
    "desk": 'kind = "auth"\nmay_block_patrons = true\npin_required = false\n'
    'messages = ["01", "23", "25", "35", "37", "63", "99"]\npayment_types = ["00"]\nfw_b = "any"',
    "entrance": 'kind = "door"\ndoor = { require_badges = ["ONBE"], minimum_age = 16 }',
    "entrance-cqn": 'kind = "door"\nencoding = "utf-8"\n'
    'door = { require_pin = false, refuse_as = "cqn", when_staffed = "refuse" }',
    "facts": 'kind = "door"\ndoor = { mode = "facts", require_badges = ["ONBE"] }',
    "exit": 'kind = "door"\ndoor = { direction = "out" }',
}
"""Every kind, encoding, terminator, dialect and way of error detection."""
TERMINALS = tuple(f"t-{name}" for name in PROFILES)

HEAD = CONFIG.partition("[profiles.kiosk]")[0]
FUZZ_CONFIG = HEAD + "".join(
    f'[profiles.{name}]\n{table}\n[terminals.t-{name}]\nprofile = "{name}"\nbranch = "MAIN"\n'
    f'password = "pw"\nmax_connections = 100\n'
    for name, table in PROFILES.items()
)


class NullStream(io.RawIOBase):
    """Takes a log and forgets it, but for a look at how much it was."""

    written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        size = len(bytes(data))  # type: ignore[call-overload]  # any buffer, as RawIOBase says
        self.written += size
        return size


HERE = "127.0.0.1"


class FakeTransport(asyncio.Transport):
    """The network's end of a line: collects what is written, obeys flow control."""

    def __init__(self) -> None:
        super().__init__({"peername": (HERE, 40_000)})
        self.sent = bytearray()
        self.paused = False
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after closing"
        self.sent += data

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_reading(self) -> bool:
        return not (self.paused or self.closed)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


@dataclass
class Outcome:
    """What one conversation came to."""

    frames: int = 0
    answers: int = 0
    closed: str = ""
    sent: bytes = b""
    """All answers, with their line ends."""
    problems: list[str] = field(default_factory=list)


CLOSING_REASONS = {"too_long", "checksum", "login_attempts"}


class Rig:
    """One gateway for many conversations."""

    def __init__(self, app: App, clock: TurnableClock, unhandled: list[str]) -> None:
        self.app, self.clock = app, clock
        self.unhandled = unhandled
        """What reached the loop's exception handler."""
        self.lines: list[TerminalLine] = []
        """The line of the last conversation, for whoever wants to look at what it holds."""
        self.backend_errors: list[str] = []
        """The first few in words; the log tells their kind only."""
        self._note_backend_errors()

    def _note_backend_errors(self) -> None:
        failed = self.app.gateway.backend_failed

        def note(error: BackendError, operation: str) -> None:
            if len(self.backend_errors) < 5:
                self.backend_errors.append(f"{operation}: {error}")
            failed(error, operation)

        self.app.gateway.backend_failed = note  # type: ignore[method-assign]  # listening in

    async def converse(self, chunks: Iterable[bytes]) -> Outcome:
        """Feed a new line and judge all that comes back."""
        outcome, transport, fed = Outcome(), FakeTransport(), bytearray()
        self.app.state.doorkeeper.take_place()
        self.app.state.doorkeeper.enter(HERE)
        line = self.app.server.new_line(HERE, self.clock.monotonic())
        line.connection_made(transport)
        self.lines = [line]
        try:
            async with asyncio.timeout(SECONDS_MAX):
                for chunk in chunks:
                    if transport.closed:
                        break
                    fed += chunk
                    self._feed(line, transport, chunk, outcome)
                    await _settled(line, transport)
                    self._same_wire_same_form(line, outcome)
                await _settled(line, transport)
        except TimeoutError:
            outcome.problems.append("hangs")
        if transport.closed:
            outcome.closed = line.conversation.closing
        line.connection_lost(None)
        self._judge(bytes(fed), bytes(transport.sent), transport.closed, outcome)
        return outcome

    def _feed(
        self, line: TerminalLine, transport: FakeTransport, chunk: bytes, outcome: Outcome
    ) -> None:
        try:
            line.data_received(chunk)
        except Exception as error:
            outcome.problems.append(f"data_received raised {error!r}")
            transport.closed = True

    def _same_wire_same_form(self, line: TerminalLine, outcome: Outcome) -> None:
        """A conversation stays within its limits while it goes on."""
        buffered = len(line.conversation.link._frames._data)
        if buffered > 2 * 8192 + 65_536:
            outcome.problems.append(f"{buffered} bytes are buffered")

    def _judge(self, fed: bytes, sent: bytes, closed: bool, outcome: Outcome) -> None:
        frames, problems = frames_of(fed), outcome.problems
        outcome.frames, outcome.sent = len(frames), sent
        seen: list[Seen] = []
        *answers, rest = sent.split(b"\r")
        if rest.removeprefix(b"\n"):
            problems.append(f"an answer without an end: {rest!r}")
        for answer in answers:
            read = read_answer(answer.removeprefix(b"\n"))
            if isinstance(read, str):
                problems.append(f"{read}: {answer!r}")
            else:
                seen.append(read)
        outcome.answers = len(seen)
        if not problems and not in_order(frames, seen, closed=closed):
            codes = b" ".join(answer.code for answer in seen)
            problems.append(f"answers out of order: {frames!r} got {codes!r}")
        if not problems and b"AZ" not in fed and any(answer.with_checksum for answer in seen):
            always = any(answer.code == b"96" for answer in seen)
            if not always and b"t-strict" not in fed:
                problems.append("a checksum that nobody asked for")
        if closed and outcome.closed not in CLOSING_REASONS:
            problems.append(f"closed for {outcome.closed!r}")

    def faults(self) -> list[str]:
        """What must not have happened on the gateway's side."""
        errors = self.app.metrics.backend_errors
        found = [f"{count} backend errors {label}" for label, count in errors.items() if count]
        return found + self.backend_errors + self.unhandled


async def _settled(line: TerminalLine, transport: FakeTransport) -> None:
    """Let the line finish what it has."""
    for _ in range(TURNS_MAX):
        waits_for = line._suspended._waits_for if line._suspended is not None else None
        if waits_for is not None:
            await _gone_on(line, waits_for)
        elif line.busy or line._pump_scheduled or (transport.paused and not transport.closed):
            await asyncio.sleep(0)
        else:
            return
    raise TimeoutError


async def _gone_on(line: TerminalLine, waits_for: object) -> None:
    """Wait until the request waits for something else. It goes on where a write or a library
    system's answer ends, which leaves no future done."""
    while line._suspended is not None and line._suspended._waits_for is waits_for:  # noqa: ASYNC110
        await asyncio.sleep(0.0002)


def _cheap_nobody_hash() -> str:
    return hash_password(b"nobody", memory_kib=8, time_cost=1)


@asynccontextmanager
async def rigged(
    directory: Path,
    *,
    config_text: str = FUZZ_CONFIG,
    records: Iterable[dict[str, object]] = LIBRARY,
    stream: BinaryIO | None = None,
    level: str = "info",
    console: bool = False,
) -> AsyncIterator[Rig]:
    """A gateway over the harness's small library in `directory`, logging to `stream`.

    Unknown logins cost a cheap hash here: a million frames hold tens of thousands of them.
    """
    path = directory / "sip2gw.toml"
    path.write_text(config_text)
    config = load_config(path)
    opened = open_backend(config, "daemon", "make")
    store = opened.store
    load(store, list(records))
    clock = TurnableClock(NOON)
    redactor = Redactor(store.pin_secret)
    log = Log(stream or cast("BinaryIO", NullStream()), redactor, level=level, console=console)
    unhandled: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: unhandled.append(f"{context['message']}: {context.get('exception')!r}")
    )
    with patch.object(verification, "_NOBODY_HASH", _cheap_nobody_hash()):
        app = App(config, opened, log, clock)
        await app.start()
        try:
            yield Rig(app, clock, unhandled)
        finally:
            await app.stop()
            log.close()
