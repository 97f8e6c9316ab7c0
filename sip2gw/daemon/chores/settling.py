"""Settles requests that were answered with "not sure", while terminals are served (C98).

As soon as the store works, it says how an attempt ended and makes sure that this cannot change any
more. Several gateways on one database may do this at once, and a gateway also settles the attempts
of another one that has ended.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

from sip2gw.backend.attempts import UnknownAttempt, UnknownSending
from sip2gw.backend.base import Backend, BackendError
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log

SOON_S = 0.25
"""Seconds after a "not sure" answer, and between two looks while anything is open."""
SELDOM_S = 5.0
"""Seconds between two looks for attempts that other gateways may have left."""
OPEN_S = 1.0
SLOWER = 2.0
"""While nothing can be settled, the time to the next look grows by this factor, up to `OPEN_S`."""
ATTEMPTS_MAX = 50
"""Attempts in one go; the others follow in the next."""


class Looks(Protocol):
    """Asks a library system what became of something that went up there."""

    async def look(self) -> tuple[int, bool]:
        """Look at what can be looked at now.

        Returns:
            How many are unknown still, and whether another look may tell more.

        Raises:
            BackendError: our store failed.
        """
        ...


class Settler:
    """A task that settles attempts and keeps the gauge `outcome_unknown`.

    `lookers` ask a library system about what went up there; without them such attempts wait.
    """

    def __init__(
        self,
        backend: Backend,
        metrics: Metrics,
        clock: Clock,
        log: Log,
        lookers: Sequence[Looks] = (),
    ) -> None:
        self._backend = backend
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._lookers = lookers
        self._delay_s = SELDOM_S
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now, and then regularly."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def nudge(self) -> None:
        """Look soon: a terminal has just been told "not sure"."""
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
                # The next look may work, and nothing else settles attempts.
                self._log.events.error("settling_failed", exc_info=error)
            delay_s = self._delay_s * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter
            try:
                # Trap: in Python 3.11 `wait_for` swallows a `stop` that comes with a `nudge`.
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()
                await asyncio.sleep(SOON_S)
            except TimeoutError:
                continue

    async def settle(self) -> None:
        """Settle all attempts that can be settled, and count the others."""
        try:
            sent, may_tell = await self._look()
            known = await self._backend.unknown_attempts()
        except BackendError:
            self._wait_longer()
            return
        attempts = [one for one in known if not isinstance(one, UnknownSending)]
        settled, beside = 0, sent + len(known) - len(attempts)
        self._metrics.outcome_unknown = len(attempts) + beside
        for attempt in attempts[:ATTEMPTS_MAX]:
            settled += await self._settle(attempt)
            self._metrics.outcome_unknown = len(attempts) - settled + beside
        if may_tell:
            self._wait_longer()
        elif settled or not attempts:
            self._delay_s = SOON_S if settled < len(attempts) else SELDOM_S
        else:
            self._wait_longer()

    async def _look(self) -> tuple[int, bool]:
        """See `Looks.look`; of all of them."""
        looked = [await looker.look() for looker in self._lookers]
        return sum(open_ for open_, _ in looked), any(may_tell for _, may_tell in looked)

    def _wait_longer(self) -> None:
        self._delay_s = min(self._delay_s * SLOWER, OPEN_S)

    async def _settle(self, attempt: UnknownAttempt) -> bool:
        """Settle `attempt`; False if that is not possible now, which does not hinder others."""
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
