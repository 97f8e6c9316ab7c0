"""All accounts at one library system: `LibrarySystem` over SIP2 (B71)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime

from sip2gw.backend.system import AccountState, Lease, LibrarySystem, NotAskedError, Sent
from sip2gw.backend.upstream import leases
from sip2gw.backend.upstream.pool import Pool
from sip2gw.config.tables.upstream import Account
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import AcsStatus

SWEEP_S = 0.1
"""How often is looked for what is late."""


class _Pools(dict[str, Pool]):
    """The pools of the accounts with which the gateway was started."""

    def __missing__(self, account: str) -> Pool:
        """One that a reload has added counts from the next start on (C113): nobody is asked."""
        raise NotAskedError


class Sip2System:
    """The accounts, each with a pool of its own."""

    def __init__(
        self, accounts: Mapping[str, Account], metrics: Metrics, clock: Clock, log: Log
    ) -> None:
        self._pools = _Pools(
            (name, Pool(account, metrics, clock, log)) for name, account in accounts.items()
        )
        self._timer: asyncio.TimerHandle | None = None

    def ask(
        self,
        account: str,
        terminal: str,
        request: Request,
        lease: Lease | None = None,
        sent: Sent | None = None,
    ) -> Awaitable[Response]:
        """See `LibrarySystem.ask`."""
        pool = self._pools[account]
        return pool.pass_on(terminal, serialise(request, pool.wire), lease, sent, typed=True)

    def pass_on(
        self, account: str, terminal: str, body: bytes, lease: Lease | None = None
    ) -> Awaitable[bytes]:
        """See `LibrarySystem.pass_on`."""
        return self._pools[account].pass_on(terminal, body, lease)

    def release(self, lease: Lease) -> None:
        """See `LibrarySystem.release`."""
        leases.end(lease)

    def offers(self, account: str) -> frozenset[str] | None:
        """See `LibrarySystem.offers`."""
        pool = self._pools.get(account)
        return pool.offers if pool is not None else None

    def last_status(self, account: str) -> AcsStatus | None:
        """See `LibrarySystem.last_status`."""
        pool = self._pools.get(account)
        return pool.status if pool is not None else None

    def forget(self) -> None:
        """See `LibrarySystem.forget`."""
        for pool in self._pools.values():
            pool.forget()

    def is_away(self, account: str) -> bool:
        """See `LibrarySystem.is_away`."""
        pool = self._pools.get(account)
        return pool is None or pool.is_away

    def silent_at(self, account: str) -> float | None:
        """See `LibrarySystem.silent_at`."""
        pool = self._pools.get(account)
        return pool.silent_at if pool is not None else None

    def last_answer(self, account: str) -> datetime | None:
        """See `LibrarySystem.last_answer`."""
        pool = self._pools.get(account)
        return pool.last_answer if pool is not None else None

    def states(self) -> Sequence[AccountState]:
        """See `LibrarySystem.states`."""
        return [pool.state() for pool in self._pools.values()]

    async def start(self) -> None:
        """See `LibrarySystem.start`; deadlines count from now on."""
        for pool in self._pools.values():
            pool.open_one()
        self._sweep()

    def sweep(self) -> None:
        """End what is late and look after the lines."""
        for pool in self._pools.values():
            pool.sweep()

    async def close(self) -> None:
        """See `LibrarySystem.close`."""
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            await pool.close()

    def _sweep(self) -> None:
        # First of all, so that a fault in one sweep is not the end of all.
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        self.sweep()


def open_upstream(
    accounts: Mapping[str, Account], metrics: Metrics, clock: Clock, log: Log
) -> LibrarySystem:
    """The library system behind the gateway; nothing is opened before `start`.

    Raises:
        OSError: a file of TLS cannot be read or used.
    """
    return Sip2System(accounts, metrics, clock, log)
