"""Reloads: a thread reads and checks the file, and the loop only swaps in the result (B66, C114).

Reading thousands of terminals takes a large part of a second; in the loop, every terminal would
wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sip2gw.backend.base import Capability
from sip2gw.config import (
    Config,
    ConfigError,
    Lasting,
    load_config,
)
from sip2gw.config.availability import unavailable
from sip2gw.control.messages import Reloaded
from sip2gw.daemon.notify import ServiceManager
from sip2gw.foundation.clock import Clock
from sip2gw.model import currency_digits
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.serving.site import Site, build_site
from sip2gw.serving.tls import Contexts, contexts_of, holding

Prepared = tuple[Config, Site, Contexts]
"""A configuration, and what is made of it before it is in force."""


def prepared(config: Config, capabilities: frozenset[Capability]) -> Prepared:
    """Make ready what `config` needs; reads files and takes long, so it is for a thread.

    Raises:
        ConfigError: a certificate cannot be used.
    """
    return config, build_site(config, capabilities), contexts_of(config)


def show(config: Config, metrics: Metrics, clock: Clock) -> None:
    """Make the metrics follow a configuration that is in force from now on."""
    currency = config.institution.currency
    metrics.configure(
        {known.name: known.profile.name for known in config.terminals.values()},
        config.profiles,
        currency,
        currency_digits(currency),
    )
    metrics.reloaded(clock.epoch(), ok=True)


class Reloader:
    """Does the reloads of a gateway, one after the other.

    Args:
        started: the configuration at start; its file is read again.
        capabilities: of the store.
        swap: puts a new configuration in force; called in the loop, which waits until all have it.
    """

    def __init__(
        self,
        started: Config,
        capabilities: frozenset[Capability],
        swap: Callable[[Config, Site, Contexts], Awaitable[None] | None],
        manager: ServiceManager,
        *,
        log: Log,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._path, self._lasting = started.path, Lasting(started)
        self._capabilities, self._swap, self._manager = capabilities, swap, manager
        self._log, self._metrics, self._clock = log, metrics, clock
        self._running: asyncio.Future[Reloaded] | None = None
        """The result of the reading under way."""
        self._next: asyncio.Future[Reloaded] | None = None
        """The result of the next reading."""
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def ask(self) -> asyncio.Future[Reloaded]:
        """Read the file again; returns the result of a reading that begins after this call.

        All callers until it begins share it, so at most one reading waits (B68). The future fails
        only because of an error of our own; do not cancel it.
        """
        loop = asyncio.get_running_loop()
        if self._stopped:
            refused: asyncio.Future[Reloaded] = loop.create_future()
            _settle(refused, _stopping())
            return refused
        if self._next is None:
            self._next = loop.create_future()
        if self._task is None:
            self._task = loop.create_task(self._do_all())
        return self._next

    def stop(self) -> None:
        """Refuse all further reloads, and those that have not finished.

        A reading under way goes on in its thread without effect. Only the end of the process waits
        for it, for at most `LEAVE_S`.
        """
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
        for waiting in (self._running, self._next):
            if waiting is not None:
                _settle(waiting, _stopping())

    async def _do_all(self) -> None:
        while self._next is not None:
            self._running, self._next = self._next, None
            self._manager.tell("RELOADING=1")
            try:
                done = await self._take(await asyncio.to_thread(self._read))
            except Exception as error:
                self._running.set_exception(error)
            else:
                _settle(self._running, done)
            self._manager.tell("READY=1")
        self._task = self._running = None

    def _read(self) -> Prepared | list[str]:
        """In a thread: the new configuration, or why it cannot be used (C48, C113)."""
        try:
            config = load_config(self._path)
            problems = unavailable(config) + self._lasting.forbidden(config)
            if problems:
                return problems
            return prepared(holding(self._lasting.kept(config)), self._capabilities)
        except ConfigError as error:
            return str(error).splitlines()

    async def _take(self, found: Prepared | list[str]) -> Reloaded:
        """In the loop: put it in force, or leave everything as it is."""
        if isinstance(found, list):
            self._log.events.error("reload_failed", problems=found)
            self._metrics.reloaded(self._clock.epoch(), ok=False)
            return Reloaded(found, [])
        config = found[0]
        swapping = self._swap(*found)
        if swapping is not None:
            await swapping
        waiting = self._lasting.waiting(config)
        self._log.events.info("reload_done", needs_restart=waiting)
        return Reloaded([], waiting)


def _stopping() -> Reloaded:
    return Reloaded(["the gateway is stopping"], [])


def _settle(waiting: asyncio.Future[Reloaded], what: Reloaded) -> None:
    if not waiting.done():
        waiting.set_result(what)
