"""A client of a library system in a test: accounts, a clock that is set, and what was logged."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from hostile_library import HostileLibrary

from sip2gw.backend.system import AccountState
from sip2gw.backend.upstream.system import Sip2System
from sip2gw.config.tables.upstream import Account
from sip2gw.config.types import Address
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import FamilyMaker, Metrics
from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.protocol.message import Request
from sip2gw.protocol.messages import PatronStatusRequest, PatronStatusResponse


class Client(Sip2System):
    """The system with one account, `default`, that a test looks into."""

    def __init__(self, account: Account) -> None:
        self.metrics = Metrics()
        self.ahead_s = 0.0
        """By how much its clock is ahead."""
        self.worked_s = 100.0
        """So much has it worked, beside what it really has."""
        self._stream = io.BytesIO()
        self._log = Log(self._stream, Redactor(b"x" * 32))
        clock = Clock(
            monotonic=lambda: time.monotonic() + self.ahead_s,
            worked=lambda: time.thread_time() + self.worked_s,
        )
        super().__init__({"default": account}, self.metrics, clock, self._log)

    @property
    def state(self) -> AccountState:
        """Of the account."""
        return self.states()[0]

    def later(self, seconds: float) -> None:
        """Let so much time pass."""
        self.ahead_s += seconds
        self.sweep()

    async def until(self, holds: Callable[[], object]) -> None:
        """Give the loop its turns until it `holds`."""
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110 -- it may be about anything
                await asyncio.sleep(0.002)

    async def status(
        self, number: str, terminal: str = "kiosk", **more: Any
    ) -> PatronStatusResponse:
        """Ask by a 23."""
        answer = await self.ask("default", terminal, asks(number), **more)
        assert isinstance(answer, PatronStatusResponse)
        return answer

    def outcomes(self) -> dict[tuple[str, str], int]:
        """What was counted, by message and outcome, logins and 99s left out."""
        requests = self.metrics.upstream["default"].requests
        return {key: n for key, n in requests.items() if key[0] not in ("93", "99")}

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """A family of metrics as it is now."""
        self.sweep()
        families = FamilyMaker(self.metrics).families()
        (family,) = [family for family in families if family.name == f"sip2gw_{name}"]
        return {labels: value for _, labels, value in family.samples}

    def logged(self) -> list[dict[str, Any]]:
        """The log, which ends then."""
        self._log.close()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


def asks(number: str) -> Request:
    """A 23 about a card."""
    return PatronStatusRequest(
        language="001", institution_id="HUB", patron_identifier=number, patron_password="1234"
    )


def account(library: HostileLibrary, **keys: Any) -> Account:
    """An account at `library`."""
    return Account("default", Address("127.0.0.1", library.port), **{"timeout_s": 0.2, **keys})


@asynccontextmanager
async def client_of(
    library: HostileLibrary, *, up: bool = True, **keys: Any
) -> AsyncIterator[Client]:
    """A client that is started, and `up` unless nobody waits for that."""
    client = Client(account(library, **keys))
    try:
        await client.start()
        if up:
            await client.until(lambda: client.state.open)
        yield client
    finally:
        await client.close()
