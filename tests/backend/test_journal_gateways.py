"""Two gateways on one database hand over what either has taken off line, each once (C125, C154)."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, cast

import pytest
from harness import TurnableClock
from library_fakes import FakeLibrary

from sip2gw.backend.attempts import sending_of
from sip2gw.backend.library import Library
from sip2gw.backend.system import NoAnswerError, NotAskedError
from sip2gw.config import Address
from sip2gw.config.tables.upstream import Account
from sip2gw.daemon.chores.replaying import Replayer
from sip2gw.model.journal import EntryState
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log, Redactor
from sip2gw.protocol.messages import CheckinResponse, CheckoutResponse
from sip2gw.shared.journal import JournalSeen
from sip2gw.shared.sendings import Sendings

from .journal_contract import taken_off_line
from .library import NOW, open_postgres_library

ACCOUNTS = {name: Account(name, Address("127.0.0.1", 1)) for name in ("default", "east")}
MANY = 12


class Slow(FakeLibrary):
    """Takes a moment for each answer, so that the other gateway could ask meanwhile."""

    def __init__(self) -> None:
        super().__init__({"11": CheckoutResponse(ok=True), "09": CheckinResponse(ok=True)})
        self.asking: list[str] = []
        self.at_once = 0

    async def ask(
        self, account: str, terminal: str, request: Any, lease: Any = None, sent: Any = None
    ) -> Any:
        self.asking.append(account)
        self.at_once = max(self.at_once, self.asking.count(account))
        await asyncio.sleep(0.005)
        self.asking.remove(account)
        return await super().ask(account, terminal, request, lease, sent)

    @property
    def items(self) -> list[tuple[str, str]]:
        """Account and item of all that went up."""
        return [(account, request.item_identifier) for account, _, request, _ in self.asked]


class Gateway:
    """What a gateway needs to hand over."""

    def __init__(self, store: Library, library: Any) -> None:
        self.store = store
        self.clock = TurnableClock(NOW)
        self.told: list[Any] = []
        self.sendings = Sendings()
        self.replayer = Replayer(
            store,
            library,
            self.sendings,
            JournalSeen(),
            lambda: ACCOUNTS,
            lambda *told: self.told.append(told),
            Metrics(),
            self.clock,
            Log(io.BytesIO(), Redactor(b"x" * 32), level="debug"),
        )


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[Library]]:
    """One database, opened by two gateways."""
    async with AsyncExitStack() as stack:
        opened = [open_postgres_library(postgres_url) for _ in range(2)]
        for store in opened:
            stack.push_async_callback(store.close)
        yield list(opened)


async def hand_over(gateways: Iterable[Gateway]) -> None:
    """Look, all at once, until nothing waits."""
    gateways = list(gateways)
    async with asyncio.timeout(20):
        while await gateways[0].store.journal_waiting():
            await asyncio.gather(*(gateway.replayer.look() for gateway in gateways))
            await asyncio.sleep(0.005)
    await asyncio.gather(*(gateway.replayer.stop() for gateway in gateways))


async def test_each_goes_up_once_in_order_whoever_has_taken_it(stores: list[Library]) -> None:
    for number in range(MANY):
        account = ("default", "east")[number % 3 == 0]
        happened = NOW + timedelta(seconds=number)
        entry = taken_off_line(
            f"J{number:02}", item=f"I{number:02}", account=account, happened=happened
        )
        await stores[number % 2].add_to_journal(entry)
    library = Slow()
    await hand_over(Gateway(store, library) for store in stores)
    assert sorted(library.items) == sorted(set(library.items))
    assert len(library.items) == MANY
    for account in ACCOUNTS:
        items = [item for whose, item in library.items if whose == account]
        assert items == sorted(items)
    assert library.at_once == 1


async def test_one_that_hangs_on_keeps_the_other_waiting(stores: list[Library]) -> None:
    await stores[0].add_to_journal(taken_off_line("J1"))
    until = NOW + timedelta(seconds=30)
    await stores[0].claim_journalled("default", stores[0].claimant, NOW, until)
    library = Slow()
    other = Gateway(stores[1], library)
    await other.replayer.look()
    await other.replayer.stop()
    assert library.items == []


@pytest.mark.parametrize(
    ("error", "state", "asked"),
    [
        pytest.param(NotAskedError(), EntryState.OPEN, 2, id="it did not go up: it waits"),
        pytest.param(NoAnswerError(), EntryState.UNKNOWN, 1, id="nobody knows: never again"),
    ],
)
async def test_what_fails(
    library: Library, error: Exception, state: EntryState, asked: int
) -> None:
    await library.add_to_journal(taken_off_line("J1"))
    fails = FakeLibrary({"11": error})
    gateway = Gateway(library, fails)
    for _ in range(2):
        await gateway.replayer.look()
        while gateway.replayer._tasks:  # noqa: ASYNC110 -- it ends by itself
            await asyncio.sleep(0.01)
    (entry,) = library.journal_entries()
    assert (entry.state, entry.tries) == (state, 0 if state is EntryState.OPEN else 1)
    assert len(fails.asked) == asked
    assert len(gateway.sendings.doubtful) == (state is EntryState.UNKNOWN)
    earlier = sending_of(taken_off_line("J0"))
    assert gateway.sendings.is_overtaken(earlier) == (state is EntryState.UNKNOWN)


async def test_after_no_answer_the_account_rests(library: Library) -> None:
    """A library system that is merely slow has done it before anything else arrives."""
    for number in (1, 2):
        await library.add_to_journal(taken_off_line(f"J{number}", item=f"I{number}"))
    there = FakeLibrary({"11": NoAnswerError()})
    gateway = Gateway(library, there)

    async def look() -> int:
        await gateway.replayer.look()
        while gateway.replayer._tasks:  # noqa: ASYNC110 -- it ends by itself
            await asyncio.sleep(0.01)
        return len(there.asked)

    assert [await look(), await look()] == [1, 1]
    gateway.clock.advance(3 * ACCOUNTS["default"].timeout_s + 1)
    assert await look() == 2


async def test_a_gateway_that_was_held_up_gives_way(library: Library) -> None:
    """Somebody else may have taken it over: nothing goes up before the entry is claimed anew."""
    await library.add_to_journal(taken_off_line("J1"))
    there = FakeLibrary({"11": CheckoutResponse(ok=True)})
    gateway = Gateway(library, there)
    claim, claims = library.claim_journalled, []

    async def late(*arguments: Any) -> Any:
        claims.append(arguments)
        entry = await claim(*arguments)
        if len(claims) == 1:
            gateway.clock.advance(3600)
            assert there.asked == []
        return entry

    cast("Any", library).claim_journalled = late
    await hand_over([gateway])
    assert len(claims) >= 2
    (entry,) = library.journal_entries()
    assert (entry.state, entry.tries) == (EntryState.DONE, 1)
