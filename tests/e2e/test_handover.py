"""A gateway follows another on its sockets, and nobody is refused (B89, C109), in real processes.

What becomes of single sockets: `tests/gateway/test_sockets.py`; who hands over to whom:
`tests/gateway/test_succession.py`.
"""

import asyncio
import fcntl
import signal
import socket
import sqlite3
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import asyncpg
from harness import CONFIG, LIBRARY
from postgres import running_server
from proofs.kiosks import Kiosk, cent
from proofs.process import GatewayProcess, prepare

STATUS = "9900302.00"
RESTARTS = 3


async def restarted(first, watch, times):
    """Terminals ask while one gateway follows the other; how many payments had their yes."""
    async with AsyncExitStack() as stack:
        gateways, silent, done = [first], await first.terminal("door-1"), asyncio.Event()

        def connect():
            return gateways[-1].connect()

        tills = [Kiosk(connect, login, "pw", cent(login)) for login in ("pay-1", "pay-2")]
        kiosks = [*tills, Kiosk(connect, "kiosk-1", "pw", lambda number: STATUS)]
        asking = [asyncio.create_task(kiosk.run(done)) for kiosk in kiosks]
        for _ in range(times):
            before = gateways[-1]
            after = GatewayProcess(before.config, program=watch.program())
            await stack.enter_async_context(after)
            await after.start()
            assert after.other_output == [f"sip2gw: taking over from process {before.pid}"]
            assert (after.addresses, after.admin) == (before.addresses, before.admin)
            left = await before.logged("handed_over")
            came = await after.logged("taken_over")
            assert (left["to"], came["pid"]) == (after.pid, before.pid)
            assert await before.ended() == 0
            gateways.append(after)
            await asyncio.sleep(0.3)  # they go on
        done.set()
        await asyncio.gather(*asking)
        assert await silent.ended()
        for kiosk in kiosks:
            assert kiosk.lines > times
            assert kiosk.is_complete
        for till in tills:
            assert {answer[:3] for answer in till.answers.values()} == {"38Y"}
        if first.admin:
            assert await gateways[-1].http("/readyz") == (200, "ok\n")
        assert await gateways[-1].stop() == 0
        return sum(len(till.answers) for till in tills)


async def test_nobody_is_refused_while_one_gateway_follows_another(start, watch, tmp_path):
    async with start(http=True) as first:
        assert await restarted(first, watch, RESTARTS) == booked(tmp_path), "each once"
    assert not (tmp_path / "sip2gw.control").exists()


async def test_on_postgresql_payments_go_on_too(start, watch, tmp_path):
    """The spool, without which no payment is taken, changes hands before terminals come."""
    with running_server() as server:
        database = server.make_database()
        config = CONFIG.replace("sqlite:library.db", server.url(database))
        async with start(config) as first:
            yes = await restarted(first, watch, 1)
        connection = await asyncpg.connect(server.url(database))
        assert await connection.fetchval("SELECT COUNT(*) FROM payment") == yes
        assert await connection.fetchval("SELECT SUM(amount) FROM payment") == yes
        await connection.close()


def booked(directory):
    """How many payments the store has, each of one cent."""
    with closing(sqlite3.connect(directory / "library.db")) as store:
        number, cents = store.execute("SELECT COUNT(*), SUM(amount) FROM payment").fetchone()
    assert number == cents
    return number


async def test_a_start_that_must_fail_fails_before_anybody_has_left(start, watch):
    """Whatever is wrong, the gateway that runs goes on, and terminals notice nothing."""
    async with start() as gateway, GatewayProcess(gateway.config, program=watch.program()) as next_:
        kiosk, config = await gateway.terminal("kiosk-1"), gateway.config.read_text()
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = f"127.0.0.1:{other.getsockname()[1]}"
            for old, new, told in (
                ('"EUR"', '"USD"', "the store holds amounts in EUR"),
                (
                    '"127.0.0.1:0"]',
                    f'"127.0.0.1:0", "{taken}"]',
                    f"{taken}: Address already in use",
                ),
            ):
                gateway.config.write_text(config.replace(old, new))
                await next_.launch()
                assert await next_.ended() == 1
                assert told in "".join(next_.other_output)
                next_.other_output.clear()
                assert (await kiosk.ask(STATUS)).startswith("98Y")
        gateway.config.write_text(config)
        assert gateway.events("handed_over") == []
        assert (await (await gateway.terminal("pay-1")).ask(STATUS)).startswith("98Y")


async def test_of_several_starts_at_once_one_serves_in_the_end(start, watch):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(start())
        others = [GatewayProcess(first.config, program=watch.program()) for _ in range(3)]
        for other in others:
            await stack.enter_async_context(other)
        await asyncio.gather(*(other.launch() for other in others))
        assert await first.ended() == 0
        ends = {asyncio.create_task(other.ended()): other for other in others}
        while len(ends) > 1:  # each follows the one before it
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            assert [(end.result(), ends.pop(end).events("handed_over") != []) for end in done] == [
                (0, True)
            ] * len(done)
        (last,) = ends.values()
        assert (await last.logged("listening"))["sip2"] == first.addresses
        kiosk = await last.connect(first.address)
        assert await kiosk.ask("9300CNkiosk-1|COpw|") == "941"
        last.signal(signal.SIGTERM)
        assert [await end for end in ends] == [0]


@contextmanager
def turn_of(config):
    """The turn of a start: another one waits until the context ends, and then takes a moment."""
    with config.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def handing_over(first, second, question):
    """A payment is under way, for as long as somebody else has the store, and `first` waits for
    it before it leaves to `second`. Returns what lets the payment go on."""
    till = await first.terminal("pay-1")
    store = sqlite3.connect(first.config.parent / "library.db", isolation_level=None)
    with turn_of(first.config):
        await second.launch()
        async with asyncio.timeout(30):
            while not second.other_output:  # noqa: ASYNC110 -- "waiting for another start"
                await asyncio.sleep(0.01)
        store.execute("BEGIN IMMEDIATE")
        await till.send(question)
    await first.logged("handed_over")
    return till, closing(store)


async def test_either_may_be_killed_while_the_one_waits_for_the_other(start, watch, tmp_path):
    """The payment under way is not booked twice, and the next start finds all in order."""
    async with start() as first, AsyncExitStack() as stack:
        second, third, fourth = [
            await stack.enter_async_context(GatewayProcess(first.config, program=watch.program()))
            for _ in range(3)
        ]
        question = cent("pay-1")
        till, held = await handing_over(first, second, question(1))
        with held:
            await second.kill()
        assert (await till.read()).startswith("38Y")
        assert await first.ended() == 0
        await third.start()
        assert third.events("taken_over") == [], "nobody was there"
        _, held = await handing_over(third, fourth, question(2))
        with held:
            waiting = await fourth.connect(third.address)
            await third.kill()
        assert await waiting.ask("9300CNpay-1|COpw|") == "941"  # in the queue until then
        for number in (1, 2):
            assert (await waiting.ask(question(number))).startswith("38Y")
        assert booked(tmp_path) == 2


def environment_of(pid):
    return Path(f"/proc/{pid}/environ").read_text()


async def test_sockets_of_systemd_stay_open_from_one_gateway_to_the_next(watch, tmp_path):
    """Its socket unit holds them, so a restart of the service refuses nobody either."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4096) as sip2,
        socket.create_server(("127.0.0.1", 0)) as http,
        socket.create_server(("127.0.0.1", 0)) as stray,
    ):
        names = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in (sip2, http)]
        config = await prepare(tmp_path, CONFIG, LIBRARY)
        parts = CONFIG.split("127.0.0.1:0")
        config.write_text(f"{parts[0]}{names[0]}{parts[1]}{names[1]}{parts[2]}")
        async with GatewayProcess(config, program=watch.program(), sockets=[http, sip2]) as gateway:
            early = await gateway.connect(sip2.getsockname())
            await gateway.start()
            assert (gateway.addresses, gateway.admin) == (names[:1], names[1])
            assert await early.ask("9300CNkiosk-1|COpw|") == "941"
            assert await gateway.http("/readyz") == (200, "ok\n")
            assert "LISTEN_" not in environment_of(gateway.http_pid)
            assert await gateway.stop() == 0
            assert await early.ended()
            between = await gateway.connect(sip2.getsockname())
            await gateway.start()
            assert await between.ask("9300CNkiosk-1|COpw|") == "941"
            assert await gateway.stop() == 0
        unnamed = GatewayProcess(config, program=watch.program(), sockets=[sip2, http, stray])
        async with unnamed as gateway:
            await gateway.launch()
            assert await gateway.ended() == 1
        (told,) = gateway.other_output
        assert f"systemd listens at 127.0.0.1:{stray.getsockname()[1]}, which neither" in told
