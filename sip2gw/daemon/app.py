"""The composition root: turns a configuration into a running gateway, and stops it cleanly."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sip2gw.authentication.guesses import PinRules
from sip2gw.authentication.identification import StoreIdentifier
from sip2gw.authentication.pins import PinService
from sip2gw.authentication.verification import PasswordService, SlowVerifier
from sip2gw.backend.base import Access, Backend, BackendError
from sip2gw.backend.factory import Opened, open_backend, open_library_system, store_name
from sip2gw.backend.system import LibrarySystem
from sip2gw.backend.wrappers import Timed
from sip2gw.config import Config
from sip2gw.config.availability import unavailable
from sip2gw.control.messages import FollowedUp, Reloaded
from sip2gw.daemon import signals
from sip2gw.daemon.causes import CauseChore
from sip2gw.daemon.chores import ClockChore, StoreChore
from sip2gw.daemon.delivery.chore import OutboxChore
from sip2gw.daemon.ending import Ending, leave_within
from sip2gw.daemon.looking import Looker
from sip2gw.daemon.looking_payments import PaymentLooker
from sip2gw.daemon.maintenance import MAINTENANCE
from sip2gw.daemon.notify import ServiceManager
from sip2gw.daemon.operating import OperatorSide
from sip2gw.daemon.reloading import Reloader
from sip2gw.daemon.replaying import Replayer
from sip2gw.daemon.settling import Looks, Settler
from sip2gw.daemon.support import SupportChore
from sip2gw.daemon.today import LOOK_EVERY_S, TodayChore
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.garbage import collect_rarely
from sip2gw.foundation.patience import telling
from sip2gw.foundation.threads import SHARED_THREADS, ready_pool
from sip2gw.handlers import Services
from sip2gw.handlers.base import Identifier
from sip2gw.model import currency_digits
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import (
    Log,
    Redactor,
    is_for_people,
    open_log,
)
from sip2gw.monitoring.uncaught import told_to
from sip2gw.serving import listeners
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.server import TerminalServer
from sip2gw.serving.site import Site, build_site
from sip2gw.serving.tls import server_context
from sip2gw.shared.state import SharedState

if TYPE_CHECKING:
    from sip2gw.authentication.upstream import UpstreamIdentifier

DRAIN_MARGIN_S = 0.5
SETTLING_STOP_S = 1.0
CAUSES_STOP_S = 1.0
OUTBOX_STOP_S = 1.0
HTTP_STOP_S = 4.0
"""Of a process that may still be starting; it ends beside the parts that follow the requests."""
CONTROL_STOP_S = 0.5
STOP_AFTER_DRAIN_S = 10.0
"""Time for everything that follows the last requests, on a busy machine."""
JOURNAL_STOP_S = 1.0
LIBRARY_SYSTEM_STOP_S = 1.0
STORE_CLOSE_S = 4.0
"""Longer than a job of ours waits for another process."""
LEAVE_S = 2.0
"""How long hanging threads may delay the end of the process when everything else is done."""


class App:
    """One gateway process."""

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
        timed = Timed(  # type: ignore[abstract]
            backend,
            lambda operation, seconds: self.metrics.backend_timer(operation).observe(seconds),
            clock.monotonic,
        )
        state = self.state = SharedState(lambda: self.config.server, clock.monotonic)
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
        self.replayer = self._replayer(clock)
        self.outbox_chore = OutboxChore(store, lambda: self.config, self.metrics, clock, log)
        self.gateway.on_unknown = self.settler.nudge
        self.server = TerminalServer(self.gateway, state)
        self.operators = OperatorSide(self, self.server, self.metrics, clock, log)
        self._manager = ServiceManager()
        self._reloader = Reloader(
            config,
            backend.capabilities,
            self._swap,
            self._manager,
            log=log,
            metrics=self.metrics,
            clock=clock,
        )
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._show_configuration()

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

    @property
    def site(self) -> Site:
        """The terminals as they are configured now."""
        return self.gateway.site

    @property
    def is_ready(self) -> bool:
        """Whether terminals are served and the store works."""
        return self.server.listening and self.gateway.backend_up

    async def start(self) -> list[str]:
        """Serve terminals; returns the addresses on which it listens.

        Raises:
            OSError: an address cannot be bound.
        """
        tls = server_context(self.config.tls) if self.config.tls is not None else None
        await self.gateway.check_backend()
        await self._passwords.recall()
        await self.today_chore.look()
        with suppress(BackendError):  # doors with `data_max_age_h` refuse until it is known
            await self.store_chore.look_for_import()
        if self.looker is not None:
            with suppress(BackendError):  # the settler tries again; nothing goes up before
                await self.looker.recall()
        self.settler.start()
        if self.library is not None:
            await self.library.start()
        await self.server.listen(await listeners.bind(self.config.server.addresses), tls)
        return self.server.bound_addresses()

    async def run(self, on_ready: Callable[[list[str], str], None]) -> list[str]:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads. Returns what had to be abandoned."""
        signals.hear(asyncio.get_running_loop(), self.drain, self.reload)
        sip2 = await self.start()
        socket, admin = await self.operators.open(self.config)
        # Start-up leaves many objects that live for ever; the collector can skip them.
        gc.collect()
        gc.freeze()
        collect_rarely()
        self.log.events.info("listening", sip2=sip2, admin=admin, control=socket)
        self._manager.tell("READY=1")
        self._watchdog()
        self._tasks.append(asyncio.get_running_loop().create_task(self.warm()))
        for work, first_after_s, every_s in self._regular():
            self.repeat(work, first_after_s, every_s)
        on_ready(sip2, admin)
        await self._stopping.wait()
        return await self.stop()

    async def replay(self) -> None:
        """See `Replayer.look`."""
        if self.replayer is not None:
            await self.replayer.look()

    def _regular(self) -> Iterable[tuple[Callable[[], Awaitable[None]], float, float]]:
        """The recurring tasks: the seconds until their first run, and between two runs."""
        return (
            (self.maintain, 60.0, 24 * 3600.0),
            # This soon it is noticed, without a request, that the store's file has gone.
            (self.gateway.watch_backend, 1.0, 1.0),
            # This soon an import by any command or gateway shows in the metrics.
            (self.store_chore.look, 0.0, 60.0),
            (self.support_chore.look, 0.0, 60.0),
            (self.operators.look, 30.0, 30.0),
            (self.today_chore.look, LOOK_EVERY_S, LOOK_EVERY_S),
            (self.clock_chore.look, 1.0, 1.0),
            (self.cause_chore.write, 1.0, 1.0),
            (self.cause_chore.look_for_silence, 300.0, 300.0),
            # Not sooner: the first answers of a library system must have come.
            (self.cause_chore.look_for_old_data, 60.0, 60.0),
            (self.outbox_chore.look, 30.0, 60.0),
            (self.replay, 0.0, 1.0),
        )

    def drain(self) -> float:
        """Stop as after SIGTERM; the seconds after which it has stopped at the latest (C173)."""
        self._reloader.stop()
        self._stopping.set()
        return self.config.server.drain_timeout_s + STOP_AFTER_DRAIN_S

    def _watchdog(self) -> None:
        if self._manager.interval_s is not None:
            self._manager.tell_alive()
            asyncio.get_running_loop().call_later(self._manager.interval_s, self._watchdog)

    def repeat(
        self, work: Callable[[], Awaitable[None]], first_after_s: float, every_s: float
    ) -> None:
        """Repeat `work` until `stop`; what it did not expect is logged, and it is due again."""
        loop = asyncio.get_running_loop()

        async def when_due() -> None:
            await asyncio.sleep(first_after_s)
            while True:
                try:
                    await work()
                except Exception as problem:
                    failure = {"message": "a recurring task failed", "exception": problem}
                    loop.call_exception_handler(failure)
                await asyncio.sleep(every_s)

        self._tasks.append(loop.create_task(when_due()))

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
            for chore in MAINTENANCE:
                limit = chore.limit(self.config, now)
                done[chore.key] = await chore.do(self.store, limit)
        except BackendError as error:
            self.gateway.backend_failed(error, "maintain")
        else:
            self.log.events.info("maintenance_done", **done)

    async def stop(self) -> list[str]:
        """Drain and close everything; returns what was abandoned because it took too long.

        This takes at most `drain_timeout_s` and ten seconds more.
        """
        self._reloader.stop()
        self._manager.tell("STOPPING=1")
        self.log.events.info("stopping")
        for task in self._tasks:
            task.cancel()
        ending, drain_s = Ending(self.log), self.config.server.drain_timeout_s
        await ending.part("requests", drain_s + DRAIN_MARGIN_S, self.server.stop())
        http = asyncio.ensure_future(ending.part("http", HTTP_STOP_S, self.operators.close_http()))
        if self.replayer is not None:
            await ending.part("journal", JOURNAL_STOP_S, self.replayer.stop())
        if self.library is not None:
            await ending.part(
                "library system", LIBRARY_SYSTEM_STOP_S, self._leave_library(self.library)
            )
        await ending.part("settling", SETTLING_STOP_S, self.settler.stop())
        await ending.part("causes", CAUSES_STOP_S, self.cause_chore.write())
        await ending.part("outbox", OUTBOX_STOP_S, self.outbox_chore.stop())
        await http
        self._verifier.close()
        self._login_verifier.close()
        await ending.part("store", STORE_CLOSE_S, self.store.close())
        self.operators.say_goodbye(ending.given_up)
        await ending.part("control", CONTROL_STOP_S, self.operators.close_socket())
        ending.tell()
        self._manager.close()
        return ending.given_up

    async def _leave_library(self, library: LibrarySystem) -> None:
        await library.close()
        await self.gateway.services.afterwards.done()

    def reload(self) -> asyncio.Future[Reloaded]:
        """Read the configuration again (B66, C48, C113).

        Nothing changes if it is invalid, or if it changes something that a reload must not.
        """
        return self._reloader.ask()

    def follow_up(self) -> asyncio.Future[FollowedUp]:
        """Open messages of customer support now (C145)."""
        return self.support_chore.look_now()

    def _swap(self, config: Config, site: Site) -> None:
        if config.log != self.config.log:
            self.log.configure(config.log.level, console=is_for_people(config.log.format))
        self.config = config
        self.reloads += 1
        self.gateway.site = site
        self.gateway.services.texts = site.texts
        self._pins.rules = _pin_rules(config)
        self.server.refresh_terminals()
        self._show_configuration()

    def _show_configuration(self) -> None:
        """Make the metrics follow the new configuration."""
        currency = self.config.institution.currency
        self.metrics.configure(
            {known.name: known.profile.name for known in self.config.terminals.values()},
            self.config.profiles,
            currency,
            currency_digits(currency),
        )
        self.metrics.reloaded(self.gateway.clock.epoch(), ok=True)


def _pin_rules(config: Config) -> PinRules:
    security = config.security
    return PinRules(
        security.pin_failures_max,
        timedelta(minutes=security.pin_lock_min),
        security.terminal_pin_failures_max,
        timedelta(minutes=security.terminal_pin_window_min),
        security.failing_answer_slot_s,
    )


def _raise_file_limit() -> None:
    """Allow as many open sockets as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop if the extra is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def serve(
    config: Config,
    on_ready: Callable[[list[str], str], None] = lambda sip2, admin: None,
    *,
    access: Access = "write",
) -> int:
    """Run a gateway in the foreground until it is told to stop; returns the exit status.

    Args:
        on_ready: called with the addresses for terminals and HTTP.
        access: `make` makes a missing store, with which it otherwise does not start.
    """
    problems = unavailable(config)
    if problems:
        sys.stderr.write("".join(f"{line}\n" for line in problems))
        return 2
    if signals.stop_was_asked_for():
        return 0
    _raise_file_limit()
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        return runner.run(_serve(config, on_ready, access))


def _why_not_listening(error: OSError) -> str:
    """Which address cannot be listened at, why, and what to do."""
    to_do = {
        errno.EADDRINUSE: "; end the program that has it (`ss -ltnp` names it), or choose another",
        errno.EADDRNOTAVAIL: "; this machine does not have that address: choose one of its own",
        errno.EACCES: "; ports below 1024 need the right CAP_NET_BIND_SERVICE: choose another",
    }
    problem = error.strerror or type(error).__name__
    place = f"{error.filename}: " if error.filename else ""
    return f"cannot listen: {place}{problem}{to_do.get(error.errno or 0, '')}"


async def _serve(config: Config, on_ready: Callable[[list[str], str], None], access: Access) -> int:
    asyncio.get_running_loop().set_default_executor(ready_pool(SHARED_THREADS, "sip2gw"))
    try:
        with telling(sys.stderr.write, f"sip2gw: waiting for the database {store_name(config)}\n"):
            opened = open_backend(config, "daemon", access)
    except BackendError as error:
        sys.stderr.write(f"sip2gw: {error}\n")
        return 1
    redactor = Redactor(opened.store.pin_secret)
    log = open_log(redactor, level=config.log.level, log_format=config.log.format)
    try:
        with told_to(log, asyncio.get_running_loop()):
            given_up = await App(config, opened, log, Clock()).run(on_ready)
    except OSError as error:
        sys.stderr.write(f"sip2gw: {_why_not_listening(error)}\n")
        await opened.store.close()
        return 1
    except Exception as error:
        log.events.critical("crashed", exc_info=error)
        return 1
    finally:
        log.close()
    status = 1 if given_up else 0
    leave_within(LEAVE_S, status)
    return status
