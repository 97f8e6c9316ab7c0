"""A gateway before a library system with books (`till_library`), and what tests ask of both."""

import asyncio
from contextlib import asynccontextmanager

from behind import UPSTREAM
from harness import CONFIG, STAMP, running
from hostile_library import HostileLibrary, script
from till_library import Till

from sip2gw.backend.sql.money import ledger

TIMEOUT_S = 3
"""Much, so that nothing runs out on a busy machine; `asked` lets it pass at once."""
TILL = """
[terminals.till-1]
profile = "alone"
branch = "MAIN"
password = "pw"
[terminals.till-2]
profile = "alone"
branch = "MAIN"
password = "pw"
"""
LATER = 90
"""After so long a 37 that was not answered is looked at, whoever sent it, and one of which nothing
has moved counts as not booked."""
NOT_SURE = "AFWe are not sure"


def pay(amount="2.00", bk="B1", patron="1001", more="", pin="1234", date=STAMP):
    secret = f"AD{pin}|" if pin else ""
    return f"37{date}0100EURBV{amount}|AOHUB|AA{patron}|AC|{secret}BK{bk}|{more}"


def configured(library, *, keys="", connections=4):
    """The configuration of a gateway before `library`."""
    more = f'timeout_s = {TIMEOUT_S}\npreset = "koha"\n{keys}'
    return (
        UPSTREAM.replace("connections = 1", f"connections = {connections}")
        .replace("ADDRESS", f"127.0.0.1:{library.port}")
        .replace("KEYS", more)
    )


@asynccontextmanager
async def before(
    directory, *behaviours, owed=None, keys="", profile="", connections=4, records=(), **till
):
    """A gateway before a library system with books, to which the first patron owes 2.00 and 3.00.

    `behaviours`: what the library system does with each 37. `records`: what our store knows.
    `keys` are those of the backend, `profile` of the tills.
    """
    fees = {b"1001": {b"1": 200, b"2": 300}} if owed is None else owed
    faults = script(*behaviours)
    library = HostileLibrary(
        lambda heard: faults(heard) if heard.code == b"37" else "right",
        answer=Till(fees, **till),
        late_s=2 * TIMEOUT_S,
    )
    async with library:
        upstream = configured(library, keys=keys, connections=connections)
        tills = CONFIG.replace('family = "off"\n', f'family = "off"\n{profile}\n') + TILL
        async with running(directory, config=tills + upstream, records=records) as gateway:
            yield gateway, library


async def until(holds):
    """Wait until it `holds`; also in the steps of a request, which has no task to be timed out."""
    loop = asyncio.get_running_loop()
    late = loop.time() + 10
    while not holds():
        assert loop.time() < late
        await asyncio.sleep(0.01)


async def asked(gateway, till, request):
    """The answer, while the time of the library system runs out: from when the payment is noted,
    because on a busy machine the question before it may take longer."""
    known = len(listed(gateway))
    await till.send(request)
    answer = asyncio.create_task(till.read())
    async with asyncio.timeout(60):
        while not answer.done():
            await asyncio.wait((answer,), timeout=0.05)
            if len(listed(gateway)) > known:
                gateway.clock.advance(TIMEOUT_S / 5)
    return await answer


def went_up(library):
    """The 37s that arrived, as they came."""
    return [body for body in library.asked if body[:2] == b"37"]


def listed(gateway):
    """Status, amount, payer and lines (fee, amount) of each payment, oldest first."""
    return [
        (one.status, one.amount, one.payer_id, [(line.fee_id, line.amount) for line in one.lines])
        for one in gateway.store.payments()
    ]


def reconciled(gateway):
    """State, owed before and after, and the proposal for each payment that was in doubt."""
    return [
        (one.state.value, one.payment.owed, one.after, one.proposal)
        for one in gateway.store.reconciliations(gateway.clock.now().replace(year=2000))
    ]


def books_agree(gateway, library):
    """Whether the ledger has what the library system has booked, to the cent, and is sound."""
    with gateway.store.snapshot() as connection:
        (cents,) = connection.execute(
            "SELECT COALESCE(-SUM(amount), 0) FROM ledger_entry WHERE account LIKE 'library:%'"
        ).fetchone()
        assert ledger.problems(connection) == []
    return cents == sum(one.cents for one in library.answer.paid)
