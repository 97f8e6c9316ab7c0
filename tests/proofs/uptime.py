"""A day at a gateway in minutes: reloads, new certificates, upgrades, and workers that fail.

Two thousand terminals ask one gateway for what terminals ask for, over plain lines and TLS, behind
a proxy, with and without a login. Meanwhile the configuration is reloaded, the certificate changed,
and another start takes over; with `--workers` workers are killed and stopped (SIGSTOP) as well.

Shown (B87-B89, B94, C131-C134): no connection is refused; each request has the answer that it must
have, on its line or, where that had to end, on the next one; a line ends only if its worker was
killed or stopped, or at a take-over, and then once; each payment is booked once; after a reload all
workers show the new configuration and certificate; the workers have as many lines, within 20 %, and
all of them work.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG
from postgres import running_server

from proofs.kiosks import Kiosk
from proofs.process import GatewayProcess, prepare
from proofs.regulars import LISTEN, PASSWORD, STATUS, TLS, Authority, Regular, library
from proofs.report import Report
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config

UNEVEN_MAX = 0.2
ROUNDS_MAX = 4
"""In how many parts all terminals come anew, at most, until the workers have as many."""
BUSY_MIN = 0.5
"""Of the requests that a worker would have if all had as many."""
BACK_WITHIN_S = 30.0
ANSWER_P99_S = 1.0
HANGS_S = 180.0
"""Nothing that ends takes so long, however busy the machine is."""
LOOK_S = 0.1
CALM_S = 1.0
"""From when all is well again to the next event."""
PROBE = f'[terminals.probe]\nprofile = "kiosk"\nmax_connections = 0\npassword = "{PASSWORD}"\n'
PROBES = 3
"""Lines for each worker that look what is in force; a new line goes where there are fewest."""
EVENTS = {"reload": 20, "certificate": 5, "restart": 5, "kill": 5, "freeze": 2}
OF_WORKERS = ("kill", "freeze")
ENDS_LINES = ("restart", *OF_WORKERS)


@dataclass
class Heard:
    """What the log of one gateway says of its workers."""

    at: dict[object, object] = field(default_factory=dict)
    """At which worker each terminal was last."""
    requests: Counter[object] = field(default_factory=Counter)
    """How many each worker has answered."""
    serving: set[object] = field(default_factory=set)
    """Those that serve."""

    def hear(self, line: dict[str, object]) -> None:
        event = line.get("event")
        if event == "worker_serves":
            self.serving.add(line["worker"])
        if event == "worker_ended":
            self.serving.discard(line["worker"])
        if event in ("login", "request"):
            self.at[line.get("terminal")] = line.get("worker")
            self.requests[line.get("worker")] += event == "request"


class Stage:
    """A gateway and those that follow it, and the terminals that ask it."""

    def __init__(
        self, config: Path, regulars: Sequence[Regular], known: Authority, pause_s: float
    ) -> None:
        self._config, self._known = config, known
        self.gateways: list[GatewayProcess] = []
        self.heard: list[Heard] = []
        self.done = asyncio.Event()
        self.regulars = {
            regular: regular.kiosk(lambda: self.gateway, known, pause_s) for regular in regulars
        }
        self.may_lose: Counter[Regular] = Counter()
        """How many lines of each may have ended so far."""
        self._asking: list[asyncio.Task[None]] = []
        self.unclean: list[str] = []
        """What a gateway did not end at its end."""
        self.back_s: list[float] = []
        """After how long everybody was there again."""
        self.away: list[tuple[float, float]] = []
        """From when to when not everybody was there. Whoever comes again in a crowd waits for the
        others, and so does whoever is there: for this process as much as for the gateway."""
        self.came_anew = 0
        """How many have come again because the workers had too uneven numbers."""

    @property
    def gateway(self) -> GatewayProcess:
        """The one that serves now."""
        return self.gateways[-1]

    @property
    def kiosks(self) -> Sequence[Kiosk]:
        return tuple(self.regulars.values())

    def lines(self, workers: int) -> list[int]:
        """How many lines each worker has, of terminals that keep theirs."""
        at = self.heard[-1].at
        count = Counter(at.get(regular.name) for regular in self.regulars if regular.stays)
        return [count[number] for number in range(workers)]

    # The gateway ---------------------------------------------------------------------------

    async def start(self, stack: AsyncExitStack) -> None:
        """Start a gateway, which takes over from the one before it."""
        heard = Heard()
        gateway = GatewayProcess(self._config, keep_requests=False, hear=heard.hear)
        await stack.enter_async_context(gateway)
        before = self.gateways[-1:]
        if before:
            self.may_lose.update(list(self.regulars))
        await gateway.start(HANGS_S)
        self.gateways.append(gateway)
        self.heard.append(heard)
        for one in before:
            await self._end(one)

    async def _end(self, gateway: GatewayProcess) -> None:
        status = await gateway.ended()
        if status:
            what = gateway.events("stop_incomplete") or gateway.log[-3:]
            self.unclean.append(f"a gateway ended with {status}: {what}")

    async def stop(self) -> None:
        """End the last one."""
        self.gateway.signal(signal.SIGTERM)
        await self._end(self.gateway)

    async def hit(self, number: signal.Signals) -> None:
        """Send a signal to a worker, and wait until that one has ended."""
        victim, pid = random.choice(sorted(self.gateway.workers.items()))
        at = self.heard[-1].at
        hit = [one for one in self.regulars if not one.stays or at[one.name] == victim]
        self.may_lose.update(hit)
        for one in hit:
            at.pop(one.name, None)
        ended = len(self.gateway.events("worker_ended"))
        os.kill(pid, number)
        await self.gateway.logged("worker_ended", ended + 1, HANGS_S)

    async def reload(self, name: str) -> None:
        """Reload, with a new name of the library."""
        text = self._config.read_text()
        self._config.write_text(re.sub('name = "Hub[^"]*"', f'name = "{name}"', text, count=1))
        reloaded = len(self.gateway.events("reload_done"))
        self.gateway.signal(signal.SIGHUP)
        await self.gateway.logged("reload_done", reloaded + 1, HANGS_S)

    async def in_force(self, lines: int) -> set[tuple[str, str]]:
        """Name and certificate that new lines are shown, so many at once."""
        host, _, port = self.gateway.addresses[TLS].rpartition(":")
        found = set()
        async with AsyncExitStack() as stack:
            for _ in range(lines):
                terminal = await self.gateway.connect((host, int(port)), ssl=self._known.context)
                stack.callback(terminal.close)
                assert await terminal.ask(f"9300CNprobe|CO{PASSWORD}|") == "941"
                (name,) = re.findall(r"\|AM([^|]*)\|", await terminal.ask(STATUS))
                shown = terminal.writer.get_extra_info("ssl_object").getpeercert(True)
                found.add((name, ssl.DER_cert_to_PEM_cert(shown)))
        return found

    # The terminals -------------------------------------------------------------------------

    def open(self, stack: AsyncExitStack) -> None:
        """Let them come; with `stack` they leave."""
        self._asking = [asyncio.create_task(kiosk.run(self.done)) for kiosk in self.kiosks]
        for task in self._asking:
            stack.callback(task.cancel)

    async def close(self) -> list[BaseException]:
        """Let them finish what they do; why some have given up."""
        self.done.set()
        ended = await asyncio.gather(*self._asking, return_exceptions=True)
        return [problem for problem in ended if problem is not None]

    async def settle(self, workers: int) -> None:
        """Wait until so many workers serve, and everybody is there again."""
        began = time.monotonic()
        await self._all_in(workers)
        self.back_s.append(time.monotonic() - began)

    async def _all_in(self, workers: int) -> None:
        async with asyncio.timeout(HANGS_S):
            while not self._all_are_in(workers):
                await asyncio.sleep(LOOK_S)
                assert not any(task.done() for task in self._asking), await self.close()

    def _all_are_in(self, workers: int) -> bool:
        """The log, which comes a little later, knows of them, too."""
        heard = self.heard[-1]
        return len(heard.serving) == (workers if workers > 1 else 0) and all(
            regular.name in heard.at and kiosk.is_in
            for regular, kiosk in self.regulars.items()
            if regular.stays
        )

    async def even(self, workers: int) -> float:
        """How uneven the workers' lines are, once enough terminals have come anew if they were too
        uneven: nobody takes a line away from a worker."""
        staying = [one for one in self.regulars if one.stays]
        for _ in range(ROUNDS_MAX):
            if _unevenness(self.lines(workers)) <= UNEVEN_MAX:
                break
            for regular in random.sample(staying, len(staying) // ROUNDS_MAX):
                self.regulars[regular].come_again()
                del self.heard[-1].at[regular.name]
                self.came_anew += 1
            await self._all_in(workers)
        return _unevenness(self.lines(workers))


def _unevenness(lines: Sequence[int]) -> float:
    mean = sum(lines) / len(lines)
    return max(abs(number - mean) for number in lines) / mean if mean else 0.0


class Day:
    """The events of one run, and what is judged after each of them."""

    def __init__(self, stage: Stage, known: Authority, workers: int, report: Report) -> None:
        self._stage, self._known = stage, known
        self._workers, self._report = workers, report
        self._names = 0
        self.uneven: list[float] = []
        self.calm: Counter[object] = Counter()
        """How many requests each worker has answered between the events."""

    async def play(self, events: Sequence[str], every_s: float, stack: AsyncExitStack) -> None:
        """These, in this order, at least `every_s` apart."""
        began = time.monotonic()
        for place, event in enumerate(events, 1):
            happens = time.monotonic()
            await self._happen(event, stack)
            await self._stage.settle(self._workers)
            if self._workers > 1:
                self.uneven.append(await self._stage.even(self._workers))
                self._report.expect(
                    self.uneven[-1] <= UNEVEN_MAX,
                    f"after {event} {place} the workers have {self._stage.lines(self._workers)}",
                )
            if event in ENDS_LINES:
                self._stage.away.append((happens, time.monotonic()))
            self._judge_lines(f"{event} {place}")
            await self._be_calm(max(CALM_S, began + place * every_s - time.monotonic()))

    async def _be_calm(self, seconds: float) -> None:
        requests = self._stage.heard[-1].requests
        before = requests.copy()
        await asyncio.sleep(seconds)
        self.calm += requests - before

    async def _happen(self, event: str, stack: AsyncExitStack) -> None:
        match event:
            case "kill":
                await self._stage.hit(signal.SIGKILL)
            case "freeze":
                await self._stage.hit(signal.SIGSTOP)
            case "restart":
                await self._stage.start(stack)
            case "certificate":
                self._known.renew()
                await self._reload()
            case "reload":
                await self._reload()

    async def _reload(self) -> None:
        self._names += 1
        name = f"Hub Library {self._names}"
        await self._stage.reload(name)
        shown = await self._stage.in_force(PROBES * self._workers)
        expected = {(name, self._known.certificate)}
        self._report.expect(shown == expected, f"{name} is not in force everywhere")

    def _judge_lines(self, when: str) -> None:
        stage = self._stage
        for regular, kiosk in stage.regulars.items():
            told = f"{regular.name} ({regular.kind}, listener {regular.listener}) has lost"
            allowed = stage.may_lose[regular]
            self._report.expect(
                kiosk.lost <= allowed, f"{when}: {told} {kiosk.lost} lines instead of {allowed}"
            )


def configuration(regulars: Sequence[Regular], workers: int, store: str) -> str:
    """For these terminals."""
    text = CONFIG.replace("sqlite:library.db", store)
    server = f"[server]\nworkers = {workers}\n{LISTEN}"
    text = text.replace('[server]\nlisten = ["127.0.0.1:0"]\n', server)
    return text + PROBE + "".join(regular.table() for regular in regulars)


async def prove(
    directory: Path,
    store: str,
    *,
    workers: int,
    terminals: int,
    per_s: float,
    minutes: float,
    events: dict[str, int],
    seed: int,
) -> Report:
    """Play `events` (kinds and how often) in random order on a gateway in `directory`."""
    random.seed(seed)
    report = Report("uptime")
    regulars, known = [Regular(number) for number in range(terminals)], Authority(directory)
    text = configuration(regulars, workers, store)
    config = await prepare(directory, text, library(regulars))
    plan = [kind for kind, times in events.items() for _ in range(times)]
    random.shuffle(plan)
    async with AsyncExitStack() as stack:
        stage = Stage(config, regulars, known, terminals / per_s)
        await stage.start(stack)
        stage.open(stack)
        await stage.settle(workers)
        stage.back_s.clear()  # there were no lines before
        began = time.monotonic()
        day = Day(stage, known, workers, report)
        await day.play(plan, minutes * 60 / len(plan), stack)
        took_s = time.monotonic() - began
        for problem in await stage.close():
            report.expect(False, f"a terminal: {problem!r}")
        await stage.stop()
    _judge_answers(report, stage)
    _judge_work(report, day.calm, workers)
    _judge_logs(report, stage)
    await _judge_payments(report, stage, config)
    report.numbers |= Counter(plan)
    report.numbers["requests_per_s"] = round(sum(len(k.answers) for k in stage.kiosks) / took_s)
    report.numbers["uneven_max"] = f"{max(day.uneven, default=0):.0%}"
    return report


def _judge_answers(report: Report, stage: Stage) -> None:
    for regular, kiosk in stage.regulars.items():
        for number, answer in kiosk.answers.items():
            good = regular.is_good(number, answer)
            report.expect(good, f"{regular.name}, request {number}: {answer}")
    calm, crowded = _waits(stage)
    p99_s, back_s = _p99(calm), max(stage.back_s)
    report.expect_in_time(p99_s <= ANSWER_P99_S, f"one answer in a hundred took {p99_s:.2f} s")
    report.expect_in_time(back_s <= BACK_WITHIN_S, f"not all were back after {back_s:.1f} s")
    report.numbers |= {
        "terminals": len(stage.kiosks),
        "answers": len(calm) + len(crowded),
        "p50_ms": round(calm[len(calm) // 2] * 1000, 1),
        "p99_ms": round(p99_s * 1000, 1),
        "crowded": len(crowded),
        "crowded_p99_ms": round(_p99(crowded) * 1000, 1),
        "lines": sum(kiosk.lines for kiosk in stage.kiosks),
        "lost": sum(kiosk.lost for kiosk in stage.kiosks),
        "came_anew": stage.came_anew,
        "back_s": round(back_s, 1),
    }


def _waits(stage: Stage) -> tuple[list[float], list[float]]:
    """How long answers took to what was asked while everybody was there, and to the rest."""
    calm: list[float] = []
    crowded: list[float] = []
    for kiosk in stage.kiosks:
        for asked, took_s in kiosk.waits:
            is_crowded = any(began <= asked <= ended for began, ended in stage.away)
            (crowded if is_crowded else calm).append(took_s)
    return sorted(calm), sorted(crowded)


def _p99(waits: Sequence[float]) -> float:
    return waits[len(waits) * 99 // 100] if waits else 0.0


def _judge_work(report: Report, calm: Counter[object], workers: int) -> None:
    for number in range(workers if workers > 1 else 0):
        told = f"worker {number} has answered {calm[number]} requests of {calm.total()}"
        report.expect(calm[number] >= calm.total() / workers * BUSY_MIN, told)


def _judge_logs(report: Report, stage: Stage) -> None:
    for problem in stage.unclean:
        report.expect(False, problem)
    for gateway in stage.gateways:
        bad = [line for line in gateway.log if line.get("level") in ("error", "critical")]
        bad = [line for line in bad if line.get("event") != "worker_ended"]
        report.expect(not bad, f"logged: {bad[:3]}")


async def _judge_payments(report: Report, stage: Stage, config: Path) -> None:
    store = open_backend(load_config(config), "daemon").store
    booked = Counter(payment.bk for payment in store.payments())
    faults = store.self_check()
    await store.close()
    told = {
        f"{regular.name}-{number}"
        for regular, kiosk in stage.regulars.items()
        if regular.kind == "cash"
        for number, answer in kiosk.answers.items()
        if answer.startswith("38Y")
    }
    report.expect(not faults, f"the store finds fault with itself: {faults[:5]}")
    report.expect(set(booked) == told, f"{len(told)} payments told, {len(booked)} booked")
    twice = [bk for bk, times in booked.items() if times > 1]
    report.expect(not twice, f"booked more than once: {twice[:5]}")
    report.numbers["payments"] = booked.total()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="uptime", description=__doc__)
    parser.add_argument("--workers", type=int, default=1, help="more than 1: on PostgreSQL")
    parser.add_argument("--terminals", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second in all")
    parser.add_argument("--minutes", type=float, default=4.0, help="at least so long")
    for kind, times in EVENTS.items():
        parser.add_argument(f"--{kind}s", type=int, default=times)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    kinds = [kind for kind in EVENTS if options.workers > 1 or kind not in OF_WORKERS]
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sip2gw-uptime-"))
        store = "sqlite:library.db"
        if options.workers > 1:
            server = stack.enter_context(running_server())
            store = server.url(server.make_database())
        proving = prove(
            Path(directory),
            store,
            workers=options.workers,
            terminals=options.terminals,
            per_s=options.rate,
            minutes=options.minutes,
            events={kind: vars(options)[f"{kind}s"] for kind in kinds},
            seed=options.seed,
        )
        return asyncio.run(proving).tell()
