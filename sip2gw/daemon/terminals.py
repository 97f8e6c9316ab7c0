"""What serves terminals in a process: the store, the gateway on it, and what it does by itself.

A gateway of one process is this with an operator side (`daemon/app.py`). A worker is this behind a
link to its parent (`daemon/fleet/worker.py`).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sip2gw.authentication.guesses import PinRules
from sip2gw.authentication.identification import StoreIdentifier
from sip2gw.authentication.pins import PinService
from sip2gw.authentication.verification import PasswordService, SlowVerifier
from sip2gw.backend.base import Backend, BackendError
from sip2gw.backend.factory import Opened, open_library_system
from sip2gw.backend.system import LibrarySystem
from sip2gw.backend.wrappers import Timed
from sip2gw.config import Config
from sip2gw.control.messages import FollowedUp
from sip2gw.daemon.chores.causes import CauseChore
from sip2gw.daemon.chores.figures import ClockChore, StoreChore
from sip2gw.daemon.chores.looking import Looker
from sip2gw.daemon.chores.looking_payments import PaymentLooker
from sip2gw.daemon.chores.outbox import OutboxChore
from sip2gw.daemon.chores.replaying import Replayer
from sip2gw.daemon.chores.settling import Looks, Settler
from sip2gw.daemon.chores.stays import StayChore
from sip2gw.daemon.chores.support import SupportChore
from sip2gw.daemon.chores.today import LOOK_EVERY_S, TodayChore
from sip2gw.daemon.ending import Ending
from sip2gw.daemon.process import repeated
from sip2gw.daemon.reloading import show
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.garbage import collect_rarely
from sip2gw.handlers import Services
from sip2gw.handlers.base import Identifier
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import (
    Log,
    is_for_people,
)
from sip2gw.policy.data_age import is_too_old
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.server import TerminalServer
from sip2gw.serving.site import Site, build_site
from sip2gw.serving.tls import Contexts, contexts_of
from sip2gw.shared.state import SharedState
from sip2gw.staff.forgetting import forget

if TYPE_CHECKING:
    from sip2gw.authentication.upstream import UpstreamIdentifier

DRAIN_MARGIN_S = 0.5
SETTLING_STOP_S = 1.0
CAUSES_STOP_S = 1.0
OUTBOX_STOP_S = 1.0
JOURNAL_STOP_S = 1.0
LIBRARY_SYSTEM_STOP_S = 1.0
STORE_CLOSE_S = 4.0
"""Longer than a job of ours waits for another process."""

Recurring = tuple[Callable[[], Awaitable[None]], float, float]
"""Some work, the seconds until its first run, and between two runs."""


class TerminalSide:
    """Everything of one process but its operators."""

    def __init__(self, config: Config, opened: Opened, log: Log, clock: Clock) -> None:
        self.config = config
        self.reloads = 0
        """How often another configuration has come into force."""
        self.backend = backend = opened.backend
        self.store = store = opened.store
        self.log = log
        self.metrics = Metrics()
        self._verifier = SlowVerifier(clock.monotonic)
        # Threads of its own: a flood of wrong logins must not keep patrons waiting.
        self._login_verifier = SlowVerifier(clock.monotonic, threads=1)
        site = build_site(config, backend.capabilities)
        timed = Timed(  # type: ignore[abstract] # the rest is passed on
            backend,
            lambda operation, seconds: self.metrics.backend_timer(operation).observe(seconds),
            clock.monotonic,
        )
        state = self.state = self.make_state(clock.monotonic)
        self.library = open_library_system(config, self.metrics, clock, log)
        services = Services(
            timed,
            self._identifier(timed),
            site.texts,
            self.metrics,
            clock,
            passages=state.passages,
            admissions=state.admissions,
            answers=state.answers,
            today=state.today,
            library=self.library,
            sendings=state.sendings,
            journal=state.journal,
            payments=state.payments,
            data_since=self._data_since,
        )
        self._passwords = PasswordService(self._login_verifier, store.pin_secret, timed)
        self.gateway = Gateway(site, timed, services, self._passwords, state.callers, log)
        self.looker = self._looker(timed, clock)
        lookers = self._lookers(timed, clock)
        self.settler = Settler(timed, self.metrics, clock, log, lookers)
        self.store_chore = StoreChore(store, self.metrics, clock, log)
        self.clock_chore = ClockChore(self.metrics, clock, log)
        self.support_chore = SupportChore(store, lambda: self.config, self.metrics, clock, log)
        self.cause_chore = CauseChore(
            store,
            lambda: self.config,
            state.answers,
            self.metrics,
            clock,
            log,
            self._data_since,
        )
        self.today_chore = TodayChore(timed, state.today, clock, log)
        self.stay_chore = StayChore(timed, state.today, clock, lambda: self.site)
        self.replayer = self._replayer(clock)
        self.outbox_chore = OutboxChore(store, lambda: self.config, self.metrics, clock, log)
        self.gateway.on_unknown = self.settler.nudge
        self.server = TerminalServer(self.gateway, state)
        self._tasks: list[asyncio.Task[None]] = []
        show(self.config, self.metrics, self.gateway.clock)

    def make_state(self, monotonic: Callable[[], float]) -> SharedState:
        """What is remembered between requests; the caps are those of the configuration in force."""
        return SharedState(lambda: self.config.server, monotonic)

    def _identifier(self, backend: Backend) -> Identifier:
        """Who says whose a card is and whether its PIN is right."""
        state = self.state
        parts = (
            backend,
            self._verifier,
            self.store.pin_secret,
            _pin_rules(self.config),
            self._pin_locked,
            state.admissions,
            state.pin_guesses,
        )
        self._pins: PinService | UpstreamIdentifier
        if self.library is None:
            self._pins = PinService(*parts)
            return StoreIdentifier(self._pins)
        # Imported here and not above: most gateways have no library system behind them.
        from sip2gw.authentication.upstream import UpstreamIdentifier

        self._pins = identifier = UpstreamIdentifier(*parts, state.door_questions)
        forget_readings = self.library.forget

        def forget() -> None:
            identifier.forget()
            forget_readings()

        # A patron may have been forgotten: what was answered about them is to go, too.
        self.store.on_change = forget
        return identifier

    def _looker(self, backend: Backend, clock: Clock) -> Looker | None:
        """Who asks the library system about what it did not answer; nobody without one."""
        if self.library is None:
            return None
        return Looker(
            backend,
            self.library,
            self.state.sendings,
            lambda: self.config.accounts,
            clock,
            self.log,
        )

    def _lookers(self, backend: Backend, clock: Clock) -> Sequence[Looks]:
        """All who ask it for the settler."""
        if self.looker is None or self.library is None:
            return ()
        payments = PaymentLooker(
            backend,
            self.library,
            self.state.payments,
            lambda: self.config.accounts,
            lambda: self.config.institution.currency,
            lambda: self.config.zone,
            clock,
            self.log,
        )
        return self.looker, payments

    def _replayer(self, clock: Clock) -> Replayer | None:
        """Who hands over what was taken off line; nobody without a library system."""
        if self.library is None:
            return None
        return Replayer(
            self.store,
            self.library,
            self.state.sendings,
            self.state.journal,
            lambda: self.config.accounts,
            self.cause_chore.journal_stays,
            self.metrics,
            clock,
            self.log,
        )

    def _pin_locked(self, what: str, terminal: str) -> None:
        self.metrics.pin_locks += 1
        self.log.events.warning("pin_locked", limit=what, terminal=terminal)
        self.cause_chore.pin_locked(what, terminal)

    def _data_since(self, account: str | None) -> datetime | None:
        """When `account` was answered last, or else when data was last imported (C138)."""
        if account is None or self.library is None:
            return self.store_chore.last_import
        return self.library.last_answer(account)

    async def look_for_fresh_data(self) -> None:
        """Doors that refuse because of old data go by an import within a second (C62, C138)."""
        if self.library is not None:
            return  # its answers are heard as they come
        since, now = self.store_chore.last_import, self.gateway.clock.now()
        limits = (branch.data_max_age for branch in self.config.branches.values())
        if any(limit is not None and is_too_old(since, now, limit) for limit in limits):
            await self.store_chore.keep_import()

    @property
    def site(self) -> Site:
        """The terminals as they are configured now."""
        return self.gateway.site

    async def begin(self) -> None:
        """Get ready to serve terminals; the first may come after `server.start`.

        Raises:
            ConfigError: a certificate cannot be used.
        """
        self.server.contexts = await asyncio.to_thread(contexts_of, self.config)
        await self.gateway.check_backend()
        await self._passwords.recall()
        await self.today_chore.look()
        await self.stay_chore.look()
        with suppress(BackendError):  # doors with `data_max_age_h` refuse until it is known
            await self.store_chore.look_for_import()
        if self.looker is not None:
            with suppress(BackendError):  # the settler tries again; nothing goes up before
                await self.looker.recall()
        self.settler.start()
        if self.library is not None:
            await self.library.start()

    async def have_spool(self) -> None:
        """Whoever has just left may have had the spool, without which no payment is taken."""
        with suppress(BackendError):
            await self.backend.unknown_attempts()
        await self.look_at_spool()
        self.settler.nudge()

    async def tell_departures(self) -> None:
        """Who is not inside does not count as inside any longer than the store is away (C67)."""
        await self.gateway.services.departures.tell(self.backend)

    async def look_at_spool(self) -> None:
        """Say why no payment is taken, again and again: refusals speak of the store only (C98)."""
        if self.store.spool_problem:
            self.log.events.error("spool_unusable", problem=self.store.spool_problem)

    def keep_going(self, *, chores: bool = True) -> None:
        """Begin what recurs by itself.

        Args:
            chores: whether this process also does what a gateway needs once.
        """
        # Start-up leaves many objects that live for ever; the collector can skip them.
        gc.collect()
        gc.freeze()
        collect_rarely()
        self._tasks.append(asyncio.get_running_loop().create_task(self.warm()))
        for work, first_after_s, every_s in (
            *self._regular(),
            *(self._chores() if chores else self._instead_of_chores()),
        ):
            self.repeat(work, first_after_s, every_s)

    async def replay(self) -> None:
        """See `Replayer.look`."""
        if self.replayer is not None:
            await self.replayer.look()

    def _regular(self) -> Iterable[Recurring]:
        """What each process does for itself."""
        return (
            # This soon it is noticed, without a request, that the store's file has gone.
            (self.gateway.watch_backend, 1.0, 1.0),
            (self.today_chore.look, LOOK_EVERY_S, LOOK_EVERY_S),
            (self.stay_chore.look, LOOK_EVERY_S, LOOK_EVERY_S),
            (self.tell_departures, LOOK_EVERY_S, LOOK_EVERY_S),
            (self.look_for_fresh_data, 1.0, 1.0),
            (self.cause_chore.write, 1.0, 1.0),
            (self.look_at_spool, 60.0, 60.0),
            (self.cause_chore.look_for_silence, 300.0, 300.0),
        )

    def _chores(self) -> Iterable[Recurring]:
        """What a gateway needs once, however many processes it has."""
        return (
            (self.maintain, 60.0, 24 * 3600.0),
            # This soon an import by any command or gateway shows in the metrics.
            (self.store_chore.look, 0.0, 60.0),
            (self.support_chore.look, 0.0, 60.0),
            # Not sooner: the first answers of a library system must have come.
            (self.cause_chore.look_for_old_data, 60.0, 60.0),
            (self.outbox_chore.look, 30.0, 60.0),
            (self.replay, 0.0, 1.0),
        )

    def _instead_of_chores(self) -> Iterable[Recurring]:
        """What a process must learn for itself where another one does the chores."""
        return ((self.store_chore.keep_import, 60.0, 60.0),)

    def repeat(
        self, work: Callable[[], Awaitable[None]], first_after_s: float, every_s: float
    ) -> None:
        """Repeat `work` until `end_requests`."""
        self._tasks.append(repeated(work, first_after_s, every_s))

    async def warm(self) -> None:
        """Read the data for doors in a thread, so that patrons do not wait for a slow disk."""
        try:
            rows = await asyncio.to_thread(self.store.warm)
        except BackendError as error:
            self.gateway.backend_failed(error, "warm")
        else:
            self.log.events.debug("store_warmed", rows=rows)

    async def maintain(self) -> None:
        """Do the daily chores; a failure is logged, and they are tried again the next day."""
        now, done = self.gateway.clock.now(), {}
        try:
            async for one in forget(self.store, self.config, now):
                done[one.chore.key] = one.number
        except BackendError as error:
            self.gateway.backend_failed(error, "maintain")
        else:
            self.log.events.info("maintenance_done", **done)

    async def end_requests(self, ending: Ending) -> None:
        """Let the requests that run end, and close all lines; at most `drain_timeout_s` long."""
        for task in self._tasks:
            task.cancel()
        drain_s = self.config.server.drain_timeout_s
        await ending.part("requests", drain_s + DRAIN_MARGIN_S, self.server.stop())

    async def end_chores(self, ending: Ending) -> None:
        """End what the requests may have left to do."""
        if self.replayer is not None:
            await ending.part("journal", JOURNAL_STOP_S, self.replayer.stop())
        if self.library is not None:
            await ending.part(
                "library system", LIBRARY_SYSTEM_STOP_S, self._leave_library(self.library)
            )
        await ending.part("settling", SETTLING_STOP_S, self.settler.stop())
        await ending.part("causes", CAUSES_STOP_S, self.cause_chore.write())
        await ending.part("outbox", OUTBOX_STOP_S, self.outbox_chore.stop())

    async def close(self, ending: Ending) -> None:
        """Close the store."""
        self._verifier.close()
        self._login_verifier.close()
        await ending.part("store", STORE_CLOSE_S, self.store.close())

    async def _leave_library(self, library: LibrarySystem) -> None:
        await library.close()
        await self.gateway.services.afterwards.done()

    def follow_up(self) -> asyncio.Future[FollowedUp]:
        """Open messages of customer support now (C145)."""
        return self.support_chore.look_now()

    def swap(self, config: Config, site: Site, contexts: Contexts) -> None:
        """Put a new configuration in force."""
        if config.log != self.config.log:
            self.log.configure(config.log.level, console=is_for_people(config.log.format))
        self.config = config
        self.reloads += 1
        self.gateway.site = site
        # What the new files do not suffice for stays as it is for listeners that still need it.
        self.server.contexts = {**self.server.contexts, **contexts}
        self.gateway.services.texts = site.texts
        self._pins.rules = _pin_rules(config)
        self.server.refresh_terminals()
        show(self.config, self.metrics, self.gateway.clock)


def _pin_rules(config: Config) -> PinRules:
    security = config.security
    return PinRules(
        security.pin_failures_max,
        timedelta(minutes=security.pin_lock_min),
        security.terminal_pin_failures_max,
        timedelta(minutes=security.terminal_pin_window_min),
        security.failing_answer_slot_s,
    )
