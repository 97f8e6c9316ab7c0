"""Terminals that move between two workers find one gateway: real processes on PostgreSQL (C131).

One start serves all scenes, since it takes longest.
"""

import asyncio
import re
from typing import Any

import asyncpg
from desk import ask_09, ask_11, copy
from harness import CONFIG, HANGS_S, LIBRARY, ask_37, ask_63, without_http
from postgres import running_server
from proofs import clerk
from proofs.process import GatewayProcess, prepare

# No request comes to its deadline, however busy the machine is.
SERVER = "[server]\nworkers = 2\nrequest_timeout_s = 60\nterminal_timeout_s = 90\n"
SETTINGS = (
    without_http(CONFIG)
    .replace("[server]\n", SERVER)
    .replace("[security]\n", "[security]\nterminal_pin_failures_max = 6\n")
    .replace('badges = ["ONBE"], ', 'badges = ["ONBE"], passage_window_s = 600, ', 1)
)
PAY = ask_37("1005", "2.50", pin="1005", bk="K1")
LEND = ask_11("FREE1", "1009", "1009")
RETURN = ask_09("FREE1")
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


class Moving:
    """A terminal that comes to another worker with each new line."""

    def __init__(self, gateway, login):
        self.gateway, self.login = gateway, login
        self.line: Any = None
        self.worker: Any = None

    async def move(self):
        """Log in at another worker; returns the lines that are replaced.

        The parent chooses the one with fewer lines, so connections that say nothing fill the one
        where the terminal is.
        """
        before, older, silent = self.worker, [], []
        while self.worker == before:
            if self.line is not None:
                older.append(self.line)
                silent.append(await self.gateway.connect())
            logins = len(self.gateway.events("login"))
            self.line = await self.gateway.terminal(self.login)
            self.worker = (await self.gateway.logged("login", logins + 1))["worker"]
        for one in silent:
            one.close()
        return older

    async def ask(self, text):
        await self.move()
        return await self.line.ask(text)


async def told(gateway, *words):
    (said,) = await clerk.ask(gateway.config, [*words, "--json"])
    return said.records


async def test_whoever_moves_between_workers_finds_one_gateway(tmp_path):
    with running_server() as server:
        url = server.url(server.make_database())
        config = re.sub(r'url = "sqlite:[^"]*"', lambda _: f'url = "{url}"', SETTINGS)
        async with GatewayProcess(
            await prepare(tmp_path, config, [*LIBRARY, copy("FREE1")])
        ) as gateway:
            await gateway.start()
            await gateway.logged("worker_serves", 2, timeout_s=60)
            await one_line_is_left(gateway)
            await one_passage_is_one(gateway)
            await a_pin_is_locked_after_five_failures(gateway)
            await a_terminal_reaches_its_limit_once(gateway)
            await what_is_under_way_is_done_once(gateway, url)


async def one_line_is_left(gateway):
    """B14, C8."""
    kiosk = Moving(gateway, "kiosk-1")
    await kiosk.move()
    for _ in range(4):
        for older in await kiosk.move():
            assert await older.ended()
    assert {one["worker"] for one in gateway.events("login")} == {0, 1}
    assert (await kiosk.line.ask(ask_63("1001", "1001"))).startswith("64")
    reasons = [one["reason"] for one in gateway.events("connection_closed")]
    assert set(reasons) == {"replaced"}


async def one_passage_is_one(gateway):
    """B41, B14: each time at another worker."""
    door = Moving(gateway, "door-1")
    for _ in range(4):
        assert "CQY" in await door.ask(ask_63("1001", "1001"))
    rows = await told(gateway, "door", "log")
    assert [row["reason"] for row in rows] == ["granted"]


async def a_pin_is_locked_after_five_failures(gateway):
    """C19, C99."""
    kiosk = Moving(gateway, "kiosk-1")
    for _ in range(5):
        assert "CQN" in await kiosk.ask(ask_63("1004", "0000"))
    assert "CQN" in await kiosk.ask(ask_63("1004", "1004"))
    assert (await gateway.logged("pin_locked"))["limit"] == "card"


async def a_terminal_reaches_its_limit_once(gateway):
    """C19: five failures are counted; the sixth is the one."""
    kiosk = Moving(gateway, "kiosk-1")
    for card in ("1001", "1006"):
        assert "CQN" in await kiosk.ask(ask_63(card, "0000"))
    assert (await gateway.logged("pin_locked", 2))["limit"] == "terminal"
    assert len(gateway.events("pin_locked")) == 2


async def under_way(gateway, url, login, table, request):
    """The answer to a retry at another worker while the request is under way; its terminal has
    hung up, so that only the store can know."""
    terminal = Moving(gateway, login)
    await terminal.move()
    lock = await asyncpg.connect(url)
    try:
        await lock.execute("BEGIN")
        await lock.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        await terminal.line.send(request)
        await waiting(lock, 1)
        terminal.line.close()
        await terminal.move()
        await terminal.line.send(request)
        await waiting(lock, 2)
        await lock.execute("COMMIT")
    finally:
        await lock.close()
    answer = await terminal.line.read()
    assert await terminal.ask(request) == answer  # and once more
    return answer


async def waiting(lock, number):
    """Until so many sessions wait for a lock, or for one that waits."""
    async with asyncio.timeout(HANGS_S):
        while await lock.fetchval(WAITING) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def what_is_under_way_is_done_once(gateway, url):
    """B8, B46, C69."""
    answer = await under_way(gateway, url, "pay-1", "ledger_entry", PAY)
    assert answer.startswith("38Y")
    payments = await told(gateway, "payment", "list")
    assert [(one["bk"], one["status"]) for one in payments] == [("K1", "booked")]

    answer = await under_way(gateway, url, "kiosk-1", "loan", LEND)
    assert answer.startswith("121N")  # lent, not renewed
    answer = await under_way(gateway, url, "kiosk-1", "loan", RETURN)
    assert answer.startswith("101")
