"""A real gateway process over a real store: start it, ask it, signal it, kill it."""

import asyncio
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from harness import Terminal, stock

from sip2gw.config import load_config

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 30.0
END_TIMEOUT_S = 30.0


def today() -> datetime:
    """Now, as a real process sees it."""
    return datetime.now(ZoneInfo("Europe/Brussels"))


async def prepare(directory: Path, config: str, records: Iterable[dict[str, object]]) -> Path:
    """Write the configuration into `directory`, load the library, and return the file's path."""
    path = directory / "sip2gw.toml"
    path.write_text(config)
    hour = today().replace(minute=0, second=0, microsecond=0)  # equal libraries are made once
    await stock(directory, load_config(path), list(records), hour)
    return path


def twins(config: Path, number: int) -> list[Path]:
    """The same configuration for so many gateways, each of which has a spool of its own."""
    paths = [config.with_stem(f"{config.stem}-{place}") for place in range(number)]
    for path in paths:
        path.write_text(config.read_text())
    return paths


def _log_line(text: str) -> dict[str, object]:
    """Its fields; none when it is no log line."""
    try:
        fields = json.loads(text)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


class GatewayProcess:
    """`sip2gw serve` as a child process; its log is read as it comes.

    `create`: the store is new. `keep_requests` off: the lines of single messages are passed over,
    for who measures beside it. `environment`: variables that the process has besides ours.
    `program`: what Python runs. `sockets`: it is given them as systemd gives sockets. `hear`: gets
    all lines of the log, those that are passed over as well.
    """

    def __init__(
        self,
        config: Path,
        *,
        create: bool = False,
        keep_requests: bool = True,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "sip2gw"),
        sockets: Sequence[socket.socket] = (),
        hear: Callable[[dict[str, object]], None] = lambda line: None,
    ) -> None:
        self.config = config
        self._hear = hear
        self._inherited = [sock.fileno() for sock in sockets]
        if sockets:
            numbers = ",".join(map(str, self._inherited))
            program = (str(ROOT / "tests" / "support" / "activated.py"), numbers, *program)
        self._program = program
        self._options = ("--create",) if create else ()
        self._environment = environment or {}
        self._keep_requests = keep_requests
        self.address = ("", 0)
        self.addresses: list[str] = []
        self.admin = ""
        self.log: list[dict[str, object]] = []
        self.other_output: list[str] = []
        """Lines on stderr that are no log lines."""
        self._terminals: list[Terminal] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._seen = asyncio.Condition()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def launch(self) -> None:
        """Start the process without waiting for it to listen."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._program,
            "serve",
            *self._options,
            "--config",
            str(self.config),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self._environment},
            limit=1 << 20,
            pass_fds=self._inherited,
        )
        self._reader = asyncio.create_task(self._read())

    async def start(self, within_s: float = READY_TIMEOUT_S) -> None:
        """Start it and wait until it listens."""
        already = self._count("listening")
        await self.launch()
        line = await self.logged("listening", already + 1, within_s)
        sip2 = line["sip2"]
        assert isinstance(sip2, list)
        self.addresses = sip2
        host, _, port = sip2[0].rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.admin = str(line["admin"])

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            text = raw.decode("utf-8", "replace").rstrip("\n")
            line = _log_line(text)
            self._hear(line)
            if not self._keep_requests and line.get("event") == "request":
                continue
            async with self._seen:
                if line:
                    self.log.append(line)
                elif text:
                    self.other_output.append(text)
                self._seen.notify_all()
        async with self._seen:
            self._seen.notify_all()

    def _count(self, event: str) -> int:
        return len(self.events(event))

    def events(self, event: str) -> list[dict[str, object]]:
        """All log lines of `event` so far."""
        return [line for line in self.log if line.get("event") == event]

    async def logged(
        self, event: str, number: int = 1, timeout_s: float = 10.0
    ) -> dict[str, object]:
        """The `number`-th log line of `event`, once it is there.

        Raises:
            AssertionError: the process ended, or the time is over, without it.
        """
        try:
            async with asyncio.timeout(timeout_s), self._seen:
                await self._seen.wait_for(
                    lambda: (
                        self._count(event) >= number
                        or (self._reader is not None and self._reader.done())
                    )
                )
        except TimeoutError:
            pass
        found = self.events(event)
        assert len(found) >= number, f"no {event!r} in the log; it said {self.other_output[-20:]}"
        return found[number - 1]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end; the exit status (negative: the signal that killed it)."""
        assert self._process is not None
        assert self._reader is not None
        async with asyncio.timeout(END_TIMEOUT_S):
            with suppress(ChildProcessError):  # it has been waited for already
                await asyncio.to_thread(os.waitid, os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            # Only now, for it may have to end with a full pipe; `wait` sees the end of the pipe.
            self._log_pipe.resume_reading()
            status = await self._process.wait()
            await self._reader
        self._process = None
        return status

    @property
    def _log_pipe(self) -> asyncio.ReadTransport:
        assert self._process is not None
        pipe = self._process._transport.get_pipe_transport(2)  # type: ignore[attr-defined]
        assert isinstance(pipe, asyncio.ReadTransport)
        return pipe

    def stuff_log(self) -> None:
        """From now on nobody reads its stderr, and the pipe is full."""
        self._log_pipe.pause_reading()
        pipe = os.open(f"/proc/{self.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        try:
            for size in (4096, 1):
                with suppress(BlockingIOError):
                    while True:
                        os.write(pipe, b"\n" * size)
        finally:
            os.close(pipe)

    def read_log_again(self) -> None:
        """Somebody reads its stderr again."""
        self._log_pipe.resume_reading()

    @property
    def threads(self) -> int:
        """How many it has."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    @property
    def http_pid(self) -> int:
        """The process that serves HTTP for it, once it is there."""
        (pid,) = [pid for pid, words in self._children() if "sip2gw.web" in words]
        return pid

    @property
    def workers(self) -> dict[int, int]:
        """The processes that serve terminals for it, by their numbers."""
        return {
            int(words[words.index("sip2gw.daemon.fleet") + 1]): pid
            for pid, words in self._children()
            if "sip2gw.daemon.fleet" in words
        }

    def _children(self) -> Iterator[tuple[int, list[str]]]:
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                with suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                    yield int(pid), words

    @property
    def cpu_s(self) -> float:
        """What it has used so far."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def exhausted(self) -> Iterator[None]:
        """While it lasts the process can open nothing more."""
        before = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir(f"/proc/{self.pid}/fd")))
        lowest_free = next(
            number
            for number in range(highest + 2)
            if not os.path.lexists(f"/proc/{self.pid}/fd/{number}")
        )
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, before)

    async def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def __aenter__(self) -> "GatewayProcess":
        return self

    async def __aexit__(self, *failure: object) -> None:
        for terminal in self._terminals:
            terminal.writer.transport.abort()
        await asyncio.sleep(0)
        if self._process is not None:
            if self._process.returncode is None:
                self.signal(signal.SIGKILL)
            await self.ended()

    async def connect(self, address: tuple[str, int] | None = None, **options: Any) -> Terminal:
        """A connected terminal that has not logged in; `options` as of `create_connection`."""
        host, port = address or self.address
        terminal = Terminal(*await asyncio.open_connection(host, port, **options))
        self._terminals.append(terminal)
        return terminal

    async def terminal(self, login: str, password: str = "pw") -> Terminal:
        """A connected and logged-in terminal."""
        terminal = await self.connect()
        assert await terminal.ask(f"9300CN{login}|CO{password}|") == "941"
        return terminal

    async def http(self, path: str, source: str | None = None) -> tuple[int, str]:
        """Status and body of a GET on the admin side, from the address `source` if it is given."""
        host, _, port = self.admin.rpartition(":")
        reader, writer = await asyncio.open_connection(
            host.strip("[]"), int(port), local_addr=(source, 0) if source else None
        )
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            async with asyncio.timeout(60):
                answer = (await reader.read()).decode()
        finally:
            writer.transport.abort()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body
