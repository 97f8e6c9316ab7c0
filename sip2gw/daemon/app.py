"""The composition root: a configuration becomes a running gateway, and stops cleanly again."""

from __future__ import annotations

import asyncio
import gc
import resource
import ssl
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from sip2gw.authentication.pins import PinRules, PinService
from sip2gw.authentication.verification import PasswordService, SlowVerifier
from sip2gw.backend.base import BackendError
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.backend.timed import TimedBackend
from sip2gw.config import Config, TlsFiles
from sip2gw.config.availability import unavailable
from sip2gw.control.messages import Reloaded
from sip2gw.daemon import signals
from sip2gw.daemon.chores import ClockChore, StoreChore
from sip2gw.daemon.ending import Ending, leave_within
from sip2gw.daemon.notify import ServiceManager
from sip2gw.daemon.operating import OperatorSide
from sip2gw.daemon.reloading import Reloader
from sip2gw.daemon.settling import Settler
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.threads import SHARED_THREADS, ready_pool
from sip2gw.handlers import Services
from sip2gw.model import currency_digits
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import (
    Log,
    Redactor,
    is_for_people,
    open_log,
)
from sip2gw.monitoring.uncaught import told_to
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.server import TerminalServer
from sip2gw.serving.site import Site, build_site
from sip2gw.shared.door_memory import Admissions

STORE_SHARE = 0.8
"""Of the time for a request that the store may take; the rest is for saying what became of it."""


def open_store(config: Config, role: str) -> Library:
    """Open the store that `config` names, as `daemon` or `command`.

    Raises:
        BackendError: it cannot be used; the text says why.
    """
    password = config.store_password
    return open_backend(
        config.store.url,
        base_dir=config.base_dir,
        role="daemon" if role == "daemon" else "command",
        currency=config.institution.currency,
        pin_secret_file=config.pin_secret_path,
        password=None if password is None else password.get_secret_value(),
        spool_file=config.spool_path,
        timeout_s=config.server.request_timeout_s * STORE_SHARE,
    )


STORE_LOOK_EVERY_S = 1.0
"""So soon it is noticed, without anybody asking, that the store's file has gone or come back."""
DRAIN_MARGIN_S = 0.5
SETTLING_STOP_S = 1.0
HTTP_STOP_S = 1.0
CONTROL_STOP_S = 0.5
STOP_AFTER_DRAIN_S = 10.0
"""All that comes after the requests, and what a busy machine takes for it."""
STORE_CLOSE_S = 4.0
"""Longer than a job of ours waits for another process."""
LEAVE_S = 2.0
"""So long threads that hang may hold up the end of the process, when all else is done."""
STORE_FIGURES_EVERY_S = 60.0
"""So soon an import by any command or gateway shows in the metrics."""
CLOCK_LOOK_EVERY_S = 1.0
SOCKET_LOOK_EVERY_S = 30.0
MAINTENANCE_FIRST_S = 60.0
MAINTENANCE_EVERY_S = 24 * 3600.0


def anonymous_before(config: Config, now: datetime) -> datetime:
    """Rows of the door log from before this moment forget their patron (B42)."""
    return now - timedelta(days=config.privacy.access_log_days)


def loans_forgotten_before(config: Config, now: datetime) -> datetime:
    """Loans that ended before this moment are forgotten; now, if none are to be known."""
    return now - timedelta(days=config.privacy.loan_history_days)


def refusals_forgotten_before(config: Config, now: datetime) -> datetime:
    """Payments that were refused before this moment are forgotten (C104)."""
    return now - timedelta(days=config.privacy.refused_payment_days)


class App:
    """One gateway process."""

    def __init__(self, config: Config, backend: Library, log: Log, clock: Clock) -> None:
        self.config = config
        self.backend = backend
        self.log = log
        self.metrics = Metrics()
        self._verifier = SlowVerifier(clock.monotonic)
        # Threads of its own: a flood of wrong logins must not keep patrons waiting.
        self._login_verifier = SlowVerifier(clock.monotonic, threads=1)
        site = build_site(config, backend.capabilities)
        timed = TimedBackend(
            backend,
            lambda operation, seconds: self.metrics.backend_timer(operation).observe(seconds),
            clock.monotonic,
        )
        admissions = Admissions()
        self._pins = PinService(
            timed,
            self._verifier,
            backend.pin_secret,
            _pin_rules(config),
            self._pin_locked,
            admissions,
        )
        services = Services(
            timed,
            self._pins,
            site.texts,
            self.metrics,
            clock,
            record_access=timed.log_access,
            enter=timed.enter_branch,
            leave=timed.leave_branch,
            admissions=admissions,
        )
        self._passwords = PasswordService(self._login_verifier, backend.pin_secret, timed)
        self.gateway = Gateway(site, timed, services, self._passwords, log)
        self.settler = Settler(timed, self.metrics, clock, log)
        self.store_chore = StoreChore(backend, self.metrics, clock, log)
        self.clock_chore = ClockChore(self.metrics, clock, log)
        self.gateway.on_unknown = self.settler.nudge
        self.server = TerminalServer(self.gateway)
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

    def _pin_locked(self, what: str) -> None:
        self.metrics.pin_locks += 1
        self.log.events.warning("pin_locked", limit=what)

    @property
    def site(self) -> Site:
        """The terminals as they are configured now."""
        return self.gateway.site

    @property
    def is_ready(self) -> bool:
        """Whether terminals are served and the store works."""
        return self.server.listening and self.gateway.backend_up

    async def start(self) -> list[str]:
        """Serve terminals; returns the addresses of SIP2.

        Raises:
            OSError: an address cannot be bound.
        """
        tls = _tls_context(self.config.tls) if self.config.tls is not None else None
        await self.gateway.check_backend()
        await self._passwords.recall()
        self.settler.start()
        await self.server.listen(self.config.server.addresses, tls)
        return self.server.bound_addresses()

    async def run(self, on_ready: Callable[[list[str], str], None]) -> list[str]:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads. Returns what was given up at the end."""
        signals.hear(asyncio.get_running_loop(), self.drain, self.reload)
        sip2 = await self.start()
        socket, admin = await self.operators.open(self.config)
        # Start-up leaves much that never dies; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        self.log.events.info("listening", sip2=sip2, admin=admin, control=socket)
        self._manager.tell("READY=1")
        self._watchdog()
        self._tasks.append(asyncio.get_running_loop().create_task(self.warm()))
        self.repeat(self.maintain, MAINTENANCE_FIRST_S, MAINTENANCE_EVERY_S)
        self.repeat(self.gateway.watch_backend, STORE_LOOK_EVERY_S, STORE_LOOK_EVERY_S)
        self.repeat(self.store_chore.look, 0.0, STORE_FIGURES_EVERY_S)
        self.repeat(self.operators.look, SOCKET_LOOK_EVERY_S, SOCKET_LOOK_EVERY_S)
        self.repeat(self.clock_chore.look, CLOCK_LOOK_EVERY_S, CLOCK_LOOK_EVERY_S)
        on_ready(sip2, admin)
        await self._stopping.wait()
        return await self.stop()

    def drain(self) -> float:
        """End as after SIGTERM; in how many seconds it is over at the latest (C173)."""
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
        """Do `work` again and again until `stop`."""

        async def when_due() -> None:
            await asyncio.sleep(first_after_s)
            while True:
                await work()
                await asyncio.sleep(every_s)

        self._tasks.append(asyncio.get_running_loop().create_task(when_due()))

    async def warm(self) -> None:
        """Let a thread read what doors need, so that a slow disk does not make patrons wait."""
        try:
            rows = await asyncio.to_thread(self.backend.warm)
        except BackendError as error:
            self.gateway.backend_failed(error, "warm")
        else:
            self.log.events.debug("store_warmed", rows=rows)

    async def maintain(self) -> None:
        """Take the patrons from old rows of the door log and from transactions of the days
        before, and forget old loans and refused payments (B42); a failure is logged and tried again
        the next day. Several gateways on one store do no harm."""
        now = self.gateway.clock.now()
        try:
            erased = await self.backend.erase_access_identities(anonymous_before(self.config, now))
            forgotten = await self.backend.forget_transactions(now)
            loans = await self.backend.forget_loans(loans_forgotten_before(self.config, now))
            refused = await self.backend.forget_refused_payments(
                refusals_forgotten_before(self.config, now)
            )
        except BackendError as error:
            self.gateway.backend_failed(error, "maintain")
        else:
            self.log.events.info(
                "maintenance_done",
                identities_erased=erased,
                transactions_forgotten=forgotten,
                loans_forgotten=loans,
                refused_payments_forgotten=refused,
            )

    async def stop(self) -> list[str]:
        """Drain and close everything; returns what was given up because it took too long.

        It takes at most `drain_timeout_s` and eight seconds more.
        """
        self._reloader.stop()
        self._manager.tell("STOPPING=1")
        self.log.events.info("stopping")
        for task in self._tasks:
            task.cancel()
        ending, drain_s = Ending(self.log), self.config.server.drain_timeout_s
        await ending.part("requests", drain_s + DRAIN_MARGIN_S, self.server.stop())
        await ending.part("settling", SETTLING_STOP_S, self.settler.stop())
        await ending.part("http", HTTP_STOP_S, self.operators.close_http())
        self._verifier.close()
        self._login_verifier.close()
        await ending.part("store", STORE_CLOSE_S, self.backend.close())
        self.operators.say_goodbye(ending.given_up)
        await ending.part("control", CONTROL_STOP_S, self.operators.close_socket())
        ending.tell()
        self._manager.close()
        return ending.given_up

    def reload(self) -> asyncio.Future[Reloaded]:
        """Read the configuration again; a bad one changes nothing, and so does one that changes
        what a reload may not (B66, C48, C113)."""
        return self._reloader.ask()

    def _swap(self, config: Config, site: Site) -> None:
        if config.log != self.config.log:
            self.log.configure(config.log.level, console=is_for_people(config.log.format))
        self.config = config
        self.gateway.site = site
        self.gateway.services.texts = site.texts
        self._pins.rules = _pin_rules(config)
        self.server.refresh_terminals()
        self._show_configuration()

    def _show_configuration(self) -> None:
        """Let the metrics follow the configuration that is in force from now on."""
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


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _raise_file_limit() -> None:
    """Allow as many sockets as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop when the extra is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def serve(
    config: Config, on_ready: Callable[[list[str], str], None] = lambda sip2, admin: None
) -> int:
    """Run a gateway in the foreground until it is told to stop; the exit status."""
    problems = unavailable(config)
    if problems:
        sys.stderr.write("".join(f"{line}\n" for line in problems))
        return 2
    if signals.stop_was_asked_for():
        return 0
    _raise_file_limit()
    with asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        return runner.run(_serve(config, on_ready))


async def _serve(config: Config, on_ready: Callable[[list[str], str], None]) -> int:
    asyncio.get_running_loop().set_default_executor(ready_pool(SHARED_THREADS, "sip2gw"))
    try:
        backend = open_store(config, "daemon")
    except BackendError as error:
        sys.stderr.write(f"sip2gw: {error}\n")
        return 1
    redactor = Redactor(backend.pin_secret)
    log = open_log(redactor, level=config.log.level, log_format=config.log.format)
    try:
        with told_to(log, asyncio.get_running_loop()):
            given_up = await App(config, backend, log, Clock()).run(on_ready)
    except OSError as error:
        problem = error.strerror or type(error).__name__
        if error.filename:  # the address
            problem = f"{error.filename}: {problem}"
        log.events.error("cannot_listen", problem=problem)
        sys.stderr.write(f"sip2gw: cannot listen: {problem}\n")
        await backend.close()
        return 1
    except Exception as error:
        log.events.critical("crashed", exc_info=error)
        return 1
    finally:
        log.close()
    status = 1 if given_up else 0
    leave_within(LEAVE_S, status)
    return status
