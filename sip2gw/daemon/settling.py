"""Settling requests that were answered with "not sure", while terminals are served (C98).

As soon as the store can tell what became of an attempt, it is asked, and told to make sure that
nothing else can become of it. Several gateways on one database may do this at once, and one does it
for another that has ended.
"""

from __future__ import annotations

import asyncio
import random

from sip2gw.backend.attempts import UnknownAttempt
from sip2gw.backend.base import Backend, BackendError
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log

SOON_S = 0.25
"""After a terminal was told "not sure"; and between two looks while anything is open."""
SELDOM_S = 5.0
"""Between two looks at what other gateways may have left."""
OPEN_S = 1.0
SLOWER = 2.0
"""While nothing can be settled each look comes later than the one before, up to `OPEN_S`."""
ATTEMPTS_MAX = 50
"""In one go; the others come next."""


class Settler:
    """One task that looks, settles, and keeps the gauge `outcome_unknown`."""

    def __init__(self, backend: Backend, metrics: Metrics, clock: Clock, log: Log) -> None:
        self._backend = backend
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._delay_s = SELDOM_S
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now, then again and again."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def nudge(self) -> None:
        """A terminal was told "not sure" just now."""
        self._delay_s = SOON_S
        self._wake.set()

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.settle()
            except Exception as error:
                # Whatever it is, the next look may work, and nothing else does this.
                self._log.events.error("settling_failed", exc_info=error)
            delay_s = self._delay_s * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter
            try:
                await asyncio.wait_for(self._wake.wait(), delay_s)
                await asyncio.sleep(SOON_S)
            except TimeoutError:
                continue

    async def settle(self) -> None:
        """Settle the attempts that can be settled, and count the others."""
        try:
            attempts = await self._backend.unknown_attempts()
        except BackendError:
            self._wait_longer()
            return
        settled = 0
        self._metrics.outcome_unknown = len(attempts)
        for attempt in attempts[:ATTEMPTS_MAX]:
            settled += await self._settle(attempt)
            self._metrics.outcome_unknown = len(attempts) - settled
        if settled or not attempts:
            self._delay_s = SOON_S if settled < len(attempts) else SELDOM_S
        else:
            self._wait_longer()

    def _wait_longer(self) -> None:
        self._delay_s = min(self._delay_s * SLOWER, OPEN_S)

    async def _settle(self, attempt: UnknownAttempt) -> bool:
        """Whether `attempt` is settled; one that cannot be keeps no other from it."""
        try:
            settled = await self._backend.settle((attempt,), self._clock.now())
        except BackendError as error:
            self._metrics.backend_errors["settle", error.kind] += 1
            return False
        for known in settled:
            self._log.events.warning(
                "outcome_settled",
                attempt=known.attempt.id,
                terminal=known.attempt.terminal,
                done=known.done,
            )
        return bool(settled)
