"""What goes wrong under a gateway: each fault begins, lasts, and has ended when its block is left.

A fault may be cut short by a SIGKILL of the gateway (`crash`), as if the machine had gone down
because of it; then the gateway starts again when the fault is over.
"""

import asyncio
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from faulty_disk import FaultyDisk
from postgres import Server
from proxy import BreakableProxy

from proofs.outages import Host
from proofs.process import GatewayProcess

LOCKS = (
    "LOCK TABLE payment IN EXCLUSIVE MODE",
    "LOCK TABLE ledger_entry IN EXCLUSIVE MODE",
    "LOCK TABLE loan IN EXCLUSIVE MODE",
    "SELECT 1 FROM patron FOR UPDATE",
    "SELECT 1 FROM item FOR UPDATE",
)
"""What other sessions hold: what is inserted, and rows that are read to be changed."""

RESTART_TIMEOUT_S = 30.0


@dataclass
class Database:
    """The PostgreSQL database of a place, and the network before it."""

    server: Server
    name: str
    proxy: BreakableProxy

    async def ready(self) -> None:
        """Start the server unless it runs, and wait until it lets somebody in.

        Raises:
            TimeoutError: it does not.
        """
        async with asyncio.timeout(RESTART_TIMEOUT_S):
            while True:
                with suppress(Exception):  # whatever it says: it is not ready
                    await asyncio.to_thread(self.server.start_again)
                    connection = await asyncpg.connect(self.server.url(self.name), timeout=5)
                    await connection.close()
                    return
                await asyncio.sleep(0.1)


@dataclass
class Place:
    """A gateway with all that can break under it."""

    gateway: GatewayProcess
    chance: random.Random
    disk: FaultyDisk | None = None
    file: Path | None = None
    """SQLite's, when the store is there."""
    database: Database | None = None
    hang_up: Callable[[], None] = lambda: None
    """Cuts the lines of all terminals."""
    lives: int = 0
    kills: int = 0
    excuses: list[tuple[float, float]] = field(default_factory=list)
    """When the gateway itself could not answer (of `time.monotonic`)."""

    def __post_init__(self) -> None:
        self.host = Host(self.gateway)

    async def start(self) -> None:
        """Start the gateway; terminals are let in when it listens."""
        await self.gateway.start()
        self.lives += 1
        self.host.up.set()

    async def kill(self) -> None:
        """SIGKILL to the gateway."""
        self.host.up.clear()
        await self.gateway.kill()
        self.kills += 1

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """While the gateway cannot answer, whatever it does."""
        since = time.monotonic()
        try:
            yield
        finally:
            self.excuses.append((since, time.monotonic()))

    def excused(self, begun: float, ended: float) -> bool:
        """Whether the gateway was away at some time between."""
        return any(since <= ended and begun <= until for since, until in self.excuses)


Fault = Callable[[Place], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Kind:
    """A kind of fault: how long it lasts, and whether the gateway may be killed in the middle."""

    name: str
    fault: Fault
    seconds: tuple[float, float]
    crashes: bool = False
    needs_disk: bool = False


@asynccontextmanager
async def locked_file(place: Place) -> AsyncIterator[None]:
    """Another process holds SQLite's write lock."""
    assert place.file is not None
    other = sqlite3.connect(place.file, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        with suppress(sqlite3.OperationalError):  # the gateway was always faster: no fault then
            await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


@asynccontextmanager
async def locked_rows(place: Place) -> AsyncIterator[None]:
    """Another session holds a table or rows."""
    assert place.database is not None
    url = place.database.server.url(place.database.name)
    other = await asyncpg.connect(url)
    try:
        await other.execute("BEGIN")
        await other.execute(place.chance.choice(LOCKS))
        yield
    finally:
        other.terminate()


@asynccontextmanager
async def full(place: Place) -> AsyncIterator[None]:
    """No file of the store gets longer; in half of the cases the spool's neither."""
    assert place.disk is not None
    if place.file is not None:
        await asyncio.to_thread(_shorten_log, place.file)
    place.disk.store.fail(full=True)
    if place.chance.random() < 0.5:
        place.disk.spool.fail(full=True)
    async with _healed(place):
        yield


def _shorten_log(file: Path) -> None:
    """Make SQLite's log start anew, so that it has to grow: what is in place can be written."""
    with closing(sqlite3.connect(file, timeout=5)) as other, suppress(sqlite3.OperationalError):
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@asynccontextmanager
async def slow(place: Place) -> AsyncIterator[None]:
    """Each flush takes long, now and then longer than a request may."""
    assert place.disk is not None
    delay_s = place.chance.choice((0.05, 0.2, 0.5, 1.0, 2.0, 7.0))
    place.disk.store.fail(delay_s=delay_s)
    if place.chance.random() < 0.5:
        place.disk.spool.fail(delay_s=min(delay_s, 1.0))
    async with _healed(place):
        try:
            yield
        finally:
            place.disk.heal()
            await asyncio.sleep(delay_s)  # the last one began just now


@asynccontextmanager
async def failing(place: Place) -> AsyncIterator[None]:
    """Flushes of the store fail; what was written may reach the disk all the same."""
    assert place.disk is not None
    place.disk.store.fail(flush=True)
    async with _healed(place):
        yield


@asynccontextmanager
async def failing_with_spool(place: Place) -> AsyncIterator[None]:
    """Flushes of store and spool fail: nothing can be noted anywhere."""
    assert place.disk is not None
    place.disk.spool.fail(flush=True)
    async with failing(place):
        yield


@asynccontextmanager
async def _healed(place: Place) -> AsyncIterator[None]:
    assert place.disk is not None
    try:
        yield
    finally:
        place.disk.heal()
        if place.database is not None:
            await place.database.ready()  # a failed flush of its log ends PostgreSQL


@asynccontextmanager
async def frozen(place: Place) -> AsyncIterator[None]:
    """The gateway does not run; lines stay open."""
    async with place.away():
        place.gateway.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(AssertionError, ProcessLookupError):  # killed meanwhile
                place.gateway.signal(signal.SIGCONT)


@asynccontextmanager
async def frozen_database(place: Place) -> AsyncIterator[None]:
    """The sessions of the gateway stop where they are; in half of the cases the whole server."""
    assert place.database is not None
    some = place.chance.random() < 0.5
    with place.database.server.frozen(place.database.name if some else ""):
        yield


@asynccontextmanager
async def killed(place: Place) -> AsyncIterator[None]:
    """SIGKILL to the gateway, which starts again."""
    async with place.away():
        await place.kill()
        yield
        await place.start()


@asynccontextmanager
async def killed_database(place: Place) -> AsyncIterator[None]:
    """SIGKILL to PostgreSQL: to all of it, or to one session, which makes it start anew."""
    assert place.database is not None
    server = place.database.server
    sessions = server.processes(place.database.name)
    if sessions and place.chance.random() < 0.5:
        server.signal(signal.SIGKILL, [place.chance.choice(sessions)])
    else:
        server.kill()
    try:
        yield
    finally:
        await place.database.ready()


@asynccontextmanager
async def cut(place: Place) -> AsyncIterator[None]:
    """The network before PostgreSQL: cut, at once or when a payment was just booked."""
    assert place.database is not None
    proxy = place.database.proxy
    if place.chance.random() < 0.5:
        await proxy.close()
    else:
        proxy.then_close = True
        proxy.cut_after = place.chance.choice((b"pay-", b"kiosk-"))
    try:
        yield
    finally:
        proxy.cut_after, proxy.then_close = None, False
        if not proxy.is_open:
            await proxy.open()


@asynccontextmanager
async def stalled(place: Place) -> AsyncIterator[None]:
    """The network before PostgreSQL passes nothing on; what was sent arrives afterwards."""
    assert place.database is not None
    flowing = place.database.proxy.flowing
    flowing.clear()
    try:
        yield
    finally:
        flowing.set()


@asynccontextmanager
async def hung_up(place: Place) -> AsyncIterator[None]:
    """All terminals lose their line at once."""
    async with place.away():
        place.hang_up()
        yield


ON_BOTH = (
    Kind("full", full, (1, 4), crashes=True, needs_disk=True),
    Kind("slow", slow, (1, 6), crashes=True, needs_disk=True),
    Kind("failing", failing, (0.5, 8), crashes=True, needs_disk=True),
    Kind("failing_with_spool", failing_with_spool, (0.5, 8), crashes=True, needs_disk=True),
    Kind("frozen", frozen, (1, 12), crashes=True),
    Kind("killed", killed, (0, 1)),
    Kind("hung_up", hung_up, (0, 0.1)),
)
ON_SQLITE = (Kind("locked", locked_file, (1, 12), crashes=True), *ON_BOTH)
ON_POSTGRESQL = (
    Kind("locked", locked_rows, (1, 12), crashes=True),
    Kind("frozen_database", frozen_database, (1, 12), crashes=True),
    Kind("cut", cut, (0.5, 6), crashes=True),
    Kind("stalled", stalled, (1, 12), crashes=True),
    Kind("killed_database", killed_database, (0, 2)),
    *ON_BOTH,
)
CRASHES = 0.2
"""How often a fault that may ends with a SIGKILL of the gateway."""


async def strike(place: Place, kind: Kind, seconds: float, *, crash: bool) -> None:
    """Let one fault happen; it has ended, and the gateway is up, when this returns."""
    async with kind.fault(place):
        await asyncio.sleep(seconds)
        if crash:
            async with place.away():
                await place.kill()
    if crash:
        async with place.away():
            await place.start()
