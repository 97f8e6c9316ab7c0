"""The gateway's part in delivering notices: regularly, beside everything else (B63)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.config import Config
from sip2gw.foundation.clock import Clock
from sip2gw.model.notices import Delivery, NoticeState, Result
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.policy.members.deliveries import gap
from sip2gw.staff.delivery.courier import Courier, open_channel

STOP_S = 0.5
"""How long a stop waits for the notice that is being handed over."""
_PAUSE_MAX = timedelta(minutes=16)


class OutboxChore:
    """Delivers what is due, and keeps the figures of the outbox.

    Args:
        config: the configuration that is in force now.
    """

    def __init__(
        self,
        store: Library,
        config: Callable[[], Config],
        metrics: Metrics,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._courier: Courier | None = None
        self._task: asyncio.Task[None] | None = None
        self._vain_runs = 0
        """How many runs in a row have sent nothing, though there was something to send."""
        self._pause_ends = float("-inf")
        self._stopped = False

    async def look(self) -> None:
        """Deliver what is due, if there is a channel, and count what is left."""
        if self._stopped:
            return
        self._task = asyncio.get_running_loop().create_task(self._look())
        # A stop cancels who looks, but lets what has begun come to its end.
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Take no more notices; wait for the one that is being handed over, but not for long.

        If it is abandoned, the next process tries it again when its lease has ended.
        """
        self._stopped = True
        if self._courier is not None:
            self._courier.stop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_S)
            self._task.cancel()

    async def _look(self) -> None:
        try:
            if self._clock.monotonic() >= self._pause_ends:
                await self._deliver()
            counts = await self._store.count_notices()
        except BackendError as error:
            self._metrics.backend_errors["outbox", error.kind] += 1
            self._log.events.warning("outbox_failed", kind=error.kind, problem=str(error))
        except OSError as error:  # the system's certificates
            self._log.events.error("outbox_failed", kind="channel", problem=str(error))
        else:
            self._metrics.outbox_waiting = counts[NoticeState.WAITING]
            self._metrics.outbox_failed = counts[NoticeState.FAILED]

    async def _deliver(self) -> None:
        config = self._config()
        channel = await asyncio.to_thread(open_channel, config)
        if channel is None:
            return
        self._courier = Courier(self._store, channel, config, self._clock.now)
        done: Counter[NoticeState] = Counter()
        async for delivery, result in self._courier.run(only_due=True):
            done[result.state] += 1
            self._tell(delivery, result)
        if done:
            told = {state.value: count for state, count in done.items()}
            self._log.events.info("notices_delivered", **told)
            self._pause(in_vain=not done[NoticeState.SENT])

    def _pause(self, *, in_vain: bool) -> None:
        """Come back less often while nothing is taken."""
        self._vain_runs = self._vain_runs + 1 if in_vain else 0
        pause = min(gap(self._vain_runs), _PAUSE_MAX) if in_vain else timedelta(0)
        self._pause_ends = self._clock.monotonic() + pause.total_seconds()

    def _tell(self, delivery: Delivery, result: Result) -> None:
        if result.state is NoticeState.SENT:
            return
        tell = self._log.events.warning
        if result.state is NoticeState.FAILED:
            tell = self._log.events.error
        tell(
            "notice_not_delivered",
            notice=delivery.id,
            kind=delivery.kind,
            state=result.state.value,
            attempts=delivery.attempts,
            problem=result.problem,
        )
