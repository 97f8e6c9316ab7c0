"""A gateway follows another on its sockets, and nobody is refused (B89, C109), in real processes.

What becomes of single sockets: `tests/gateway/test_sockets.py`; who hands over to whom:
`tests/gateway/test_succession.py`.
"""

import asyncio
import itertools
import sqlite3
from contextlib import AsyncExitStack, closing, suppress

from harness import ask_37
from proofs.process import GatewayProcess

STATUS = "9900302.00"
RESTARTS = 3
LINE_ENDED = (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError)


class Kiosk:
    """Reconnects whenever its line ends, at once, and asks again what was not answered."""

    def __init__(self, gateways, login, question):
        self._gateways, self._login, self._question = gateways, login, question
        self.answers, self.lines = {}, 0
        """By request; and how many lines it has had."""

    async def run(self, until):
        """Ask one question after the other; a refused connection fails the test."""
        numbers = itertools.count()
        number = next(numbers)
        while not until.is_set():
            line = await self._gateways[-1].connect()
            self.lines += 1
            with suppress(*LINE_ENDED):
                assert await line.ask(f"9300CN{self._login}|COpw|") == "941"
                while not until.is_set():
                    self.answers[number] = await line.ask(self._question(number))
                    number = next(numbers)
                    await asyncio.sleep(0.01)
            line.close()


def pay(login):
    """Cents of a debt, each payment with a receipt number of its own."""
    return lambda number: ask_37("1004", "0.01", pin="1004", bk=f"{login}-{number}")


async def test_nobody_is_refused_while_one_gateway_follows_another(start, watch, tmp_path):
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(start(http=True))]
        silent = await gateways[0].terminal("door-1")
        done = asyncio.Event()
        tills = [Kiosk(gateways, login, pay(login)) for login in ("pay-1", "pay-2")]
        kiosks = [*tills, Kiosk(gateways, "kiosk-1", lambda number: STATUS)]
        asking = [asyncio.create_task(kiosk.run(done)) for kiosk in kiosks]
        for _ in range(RESTARTS):
            before = gateways[-1]
            after = GatewayProcess(before.config, program=watch.program())
            await stack.enter_async_context(after)
            await after.start()
            assert after.other_output == [f"sip2gw: taking over from process {before.pid}"]
            assert (after.addresses, after.admin) == (before.addresses, before.admin)
            assert (await after.http("/readyz")) == (200, "ok\n")
            (left,) = before.events("handed_over")
            assert left["to"] == after.pid
            (came,) = after.events("taken_over")
            assert came["pid"] == before.pid
            assert await before.ended() == 0
            assert before.events("stop_incomplete") == []
            gateways.append(after)
            await asyncio.sleep(0.3)
        done.set()
        await asyncio.gather(*asking)
        assert await silent.ended()
        for kiosk in kiosks:
            assert kiosk.lines > RESTARTS
            assert list(kiosk.answers) == list(range(len(kiosk.answers))), "one after the other"
        for till in tills:
            assert {answer[:3] for answer in till.answers.values()} == {"38Y"}
        assert booked(tmp_path) == sum(len(till.answers) for till in tills), "each once"
        assert await gateways[-1].stop() == 0
        assert not (tmp_path / "sip2gw.control").exists()


def booked(directory):
    """How many payments the store has, each of one cent."""
    with closing(sqlite3.connect(directory / "library.db")) as store:
        number, cents = store.execute("SELECT COUNT(*), SUM(amount) FROM payment").fetchone()
    assert number == cents
    return number
