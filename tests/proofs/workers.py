"""Workers are killed, frozen and reloaded, and the gateway is started anew, while terminals ask.

Terminals of a gateway with workers on PostgreSQL ask the status, ask about patrons and take
payments. Meanwhile workers are killed and stopped (SIGSTOP), the configuration is reloaded, and
another start follows the gateway (B87, B89, C131).

Shown: no connection is refused; each request is answered on its line or, if the line ended, on the
next one; only lines of workers that were killed or stopped, and all at a new start, end; each
payment is booked once; and at the end the workers have the same number of terminals, within 20 %.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import tempfile
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg
from harness import CONFIG, LIBRARY, ask_63
from postgres import Server, running_server

from proofs.kiosks import Kiosk, cent
from proofs.process import GatewayProcess, prepare
from proofs.report import Report

STATUS = "9900302.00"
TILLS_SHARE = 10
"""One terminal of so many takes payments."""
UNEVEN_MAX = 0.2
CALM_S = 1.5
"""Between two events, besides the time until all workers serve again."""
SERVE_WITHIN_S = 120.0
DEBT: dict[str, object] = {
    "kind": "fee",
    "id": "DEBT",
    "patron": "1004",
    "amount": "100000.00",
    "created": "2026-01-02",
    "description": "Enough for all that is paid here",
}


class Stage:
    """A gateway and those that follow it, and the terminals that ask it."""

    def __init__(self, first: GatewayProcess, terminals: int, pause_s: float) -> None:
        self.gateways = [first]
        self.done = asyncio.Event()
        self.kiosks = [self._kiosk(number, pause_s) for number in range(terminals)]
        self.lines_lost = 0
        """How many lines had to end."""

    @property
    def gateway(self) -> GatewayProcess:
        """The one that serves now."""
        return self.gateways[-1]

    def _kiosk(self, number: int, pause_s: float) -> Kiosk:
        login = f"t{number}"
        question = (
            cent(login)
            if number % TILLS_SHARE == 0
            else lambda asked: STATUS if asked % 2 else ask_63("1001")
        )
        return Kiosk(lambda: self.gateway.connect(), login, "pw", question, pause_s=pause_s)

    def at(self) -> Counter[object]:
        """How many terminals each worker has, as the log tells."""
        last = {line["terminal"]: line["worker"] for line in self.gateway.events("login")}
        return Counter(last.values())

    async def settled(self, workers: int) -> None:
        """Wait until so many workers serve, and all terminals are there again."""
        async with asyncio.timeout(SERVE_WITHIN_S):
            while len(self.gateway.workers) < workers or await self._serving() < workers:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await asyncio.sleep(CALM_S)

    async def _serving(self) -> float:
        page = ""
        with suppress(TimeoutError):  # so many log in at once
            _, page = await self.gateway.http("/metrics")
        found = re.findall(r"^sip2gw_workers (\S+)$", page, re.MULTILINE)
        return float(found[0]) if found else 0.0

    async def hit(self, number: signal.Signals, *, within_s: float) -> None:
        """Send a signal to a worker, and wait until that one has ended."""
        victim, pid = random.choice(sorted(self.gateway.workers.items()))
        self.lines_lost += self.at()[victim]
        ended = len(self.gateway.events("worker_ended"))
        os.kill(pid, number)
        await self.gateway.logged("worker_ended", ended + 1, within_s)

    async def reload(self, times: int) -> None:
        text = self.gateway.config.read_text()
        new = re.sub(r'name = "Hub Library[^"]*"', f'name = "Hub Library {times}"', text)
        self.gateway.config.write_text(new)
        reloaded = len(self.gateway.events("reload_done"))
        self.gateway.signal(signal.SIGHUP)
        await self.gateway.logged("reload_done", reloaded + 1, 60.0)

    async def follow(self, stack: AsyncExitStack) -> None:
        """Start another gateway, which takes over."""
        before = self.gateway
        after = GatewayProcess(before.config, keep_requests=False)
        await stack.enter_async_context(after)
        self.lines_lost += len(self.kiosks)
        await after.start()
        self.gateways.append(after)
        await before.ended()


async def prove(
    server: Server,
    directory: Path,
    *,
    workers: int,
    terminals: int,
    per_s: float,
    events: dict[str, int],
    seed: int,
) -> Report:
    """Play `events` (kinds and how often) in random order on a gateway in `directory`."""
    random.seed(seed)
    report = Report("workers")
    database = server.make_database()
    known = "".join(
        f'[terminals.t{number}]\nprofile = "{"cash" if number % TILLS_SHARE == 0 else "kiosk"}"\n'
        f'branch = "MAIN"\npassword = "pw"\n'
        for number in range(terminals)
    )
    config = CONFIG.replace("sqlite:library.db", server.url(database))
    config = config.replace("[server]", f"[server]\nworkers = {workers}") + known
    file = await prepare(directory, config, [*LIBRARY, DEBT])
    plan = [kind for kind, times in events.items() for _ in range(times)]
    random.shuffle(plan)
    async with AsyncExitStack() as stack:
        first = GatewayProcess(file, keep_requests=False)
        await stack.enter_async_context(first)
        await first.start()
        stage = Stage(first, terminals, terminals / per_s)
        await stage.settled(workers)
        asking = [asyncio.create_task(kiosk.run(stage.done)) for kiosk in stage.kiosks]
        await asyncio.sleep(CALM_S)
        for times, kind in enumerate(plan):
            match kind:
                case "kill":
                    await stage.hit(signal.SIGKILL, within_s=10.0)
                case "freeze":
                    await stage.hit(signal.SIGSTOP, within_s=30.0)
                case "reload":
                    await stage.reload(times)
                case "restart":
                    await stage.follow(stack)
            await stage.settled(workers)
        at = stage.at()
        stage.done.set()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        for problem in ended:
            report.expect(problem is None, f"a terminal: {problem!r}")
        _judge(report, stage, at, workers, plan)
        await _judge_payments(report, stage, server.url(database))
        report.expect(await stage.gateway.stop() == 0, "the gateway did not end cleanly")
    return report


def _judge(
    report: Report, stage: Stage, at: Counter[object], workers: int, plan: list[str]
) -> None:
    for kiosk in stage.kiosks:
        report.expect(kiosk.is_complete, "a request had no answer")
    lost = sum(kiosk.lines - 1 for kiosk in stage.kiosks)
    report.expect(
        lost <= stage.lines_lost, f"{lost} lines ended, {stage.lines_lost} of them for a reason"
    )
    mean = sum(at.values()) / workers
    uneven = max(abs(at[number] - mean) for number in range(workers)) / mean
    report.expect(uneven <= UNEVEN_MAX, f"the workers have {dict(at)} terminals")
    report.numbers |= {
        "terminals": len(stage.kiosks),
        "answers": sum(len(kiosk.answers) for kiosk in stage.kiosks),
        "lines": sum(kiosk.lines for kiosk in stage.kiosks),
        "uneven": f"{uneven:.0%}",
        **Counter(plan),
    }


async def _judge_payments(report: Report, stage: Stage, url: str) -> None:
    tills = stage.kiosks[::TILLS_SHARE]
    answers = [answer for till in tills for answer in till.answers.values()]
    for answer in answers:
        report.expect(answer.startswith("38Y"), f"a payment was refused: {answer}")
    connection = await asyncpg.connect(url)
    booked = await connection.fetchval("SELECT COUNT(*) FROM payment")
    await connection.close()
    report.expect(booked == len(answers), f"{len(answers)} payments told, {booked} booked")
    report.numbers["payments"] = booked


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="workers", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--terminals", type=int, default=2_000)
    parser.add_argument("--per-second", type=float, default=500.0, help="requests in all")
    for kind, times in (("reload", 20), ("kill", 5), ("freeze", 2), ("restart", 5)):
        parser.add_argument(f"--{kind}s", type=int, default=times)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    events = {kind: vars(options)[f"{kind}s"] for kind in ("reload", "kill", "freeze", "restart")}
    with (
        running_server() as server,
        tempfile.TemporaryDirectory(prefix="sip2gw-workers-") as directory,
    ):
        proving = prove(
            server,
            Path(directory),
            workers=options.workers,
            terminals=options.terminals,
            per_s=options.per_second,
            events=events,
            seed=options.seed,
        )
        return asyncio.run(proving).tell()
