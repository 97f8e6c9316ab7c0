"""How long terminals wait while 200 HTTP clients do their worst.  (B68, C114, C130)

A real gateway process and, in a process of its own, 50 kiosks that ask for 63, 23 and 99 at a
steady rate, whatever the answers do. Stretches without HTTP clients and with 200 hostile ones
(`proofs.crowd`, a process of its own) take turns; the p99 of the one is divided by that of the
other, pair by pair. Gateway and HTTP process have one core, everything else has another, on which
those who time go before those who disturb. Meanwhile good clients ask `/livez` and `/readyz`, and
memory, threads and descriptors of both processes are looked at. The program ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG, LIBRARY, ask_23, ask_63

from benchmarks.against import interval
from benchmarks.load import Expected, Stream, connected, open_loop
from benchmarks.servers import Address
from proofs import crowd
from proofs.memory import resident_mib
from proofs.process import ROOT, GatewayProcess, prepare
from proofs.report import Report
from sip2gw.protocol.checksum import seal
from sip2gw.web.serving import CONNECTIONS_MAX

RATIO_MAX = 1.1
TERMINALS = 50
REQUESTS_PER_SECOND = 500.0
"""Of all of them: a tenth of what a core can answer."""
LEAD_S = 0.3
"""So long the clients are there before and after the terminals are timed, and away before."""
LOOK_EVERY_S = 0.25
GATEWAY_GROWTH_MIB_MAX = 16
GATEWAY_DESCRIPTORS_MORE_MAX = 4
"""For what it looks at now and then."""
HTTP_GROWTH_MIB_MAX = 32
HTTP_THREADS_MAX = 3
HTTP_DESCRIPTORS_MAX = CONNECTIONS_MAX + 32
"""One for each connection, and for those that are just being told that there are too many."""
CARDS = ("1001", "1005")


def configuration() -> str:
    """The small library with so many kiosks."""
    entry = '[terminals.t{}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n'
    return CONFIG + "".join(map(entry.format, range(TERMINALS)))


# Terminals: a process of their own ----------------------------------------------------------


def sealed(text: str) -> bytes:
    """As a terminal sends it."""
    return seal(text.encode(), b"1", with_checksum=True) + b"\r"


def serve_terminals(address: Address) -> None:
    """For each number of seconds on stdin tell how long answers took, in µs."""
    hellos = [sealed(f"9300CNt{number}|COpw|") for number in range(TERMINALS)]
    asked = ["9900302.00", *(ask(card, card) for card in CARDS for ask in (ask_23, ask_63))]
    frames = itertools.cycle(map(sealed, asked))
    with connected(address, hellos) as sockets:
        stream = Stream(sockets, frames, REQUESTS_PER_SECOND, Expected((b"98Y", b"24", b"64")))
        for line in sys.stdin:
            (outcome,) = open_loop([stream], float(line))
            told = {
                "p50_us": outcome.percentile_us(50),
                "p99_us": outcome.percentile_us(99),
                "answers": outcome.requests,
                "errors": outcome.errors,
            }
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


class Helper:
    """One of the processes of this proof, which answers each line with a line."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Helper:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(str(Path(__file__).parent), "beside", *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return self

    async def ask(self, seconds: float) -> str:
        """Its answer, when it has done that for so many seconds."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n".encode())
        answer = await self._process.stdout.readline()
        assert answer, f"{self._arguments} broke down"
        return answer.decode()

    async def __aexit__(self, *failure: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


# What is seen -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """How long terminals waited for their answers."""

    p50_us: float
    p99_us: float
    answers: int
    errors: int


@dataclass
class Usage:
    """What a process had, and the most that it had since then."""

    pid: int
    began_mib: float = field(init=False)
    began: tuple[int, int] = field(init=False)
    threads: int = 0
    descriptors: int = 0

    def __post_init__(self) -> None:
        self.began_mib = resident_mib(self.pid)
        self.look()
        self.began = self.threads, self.descriptors

    def look(self) -> None:
        """Count."""
        with suppress(FileNotFoundError):  # it has ended, as the log says
            self.threads = max(self.threads, len(os.listdir(f"/proc/{self.pid}/task")))
            self.descriptors = max(self.descriptors, len(os.listdir(f"/proc/{self.pid}/fd")))

    @property
    def growth_mib(self) -> float:
        """How much more memory it took than when it began."""
        return resident_mib(self.pid) - self.began_mib

    def shown(self) -> str:
        """For people."""
        return f"{resident_mib(self.pid):.0f}MiB/{self.threads}/{self.descriptors}"


@dataclass
class Found:
    """What was seen."""

    quiet: list[Stretch] = field(default_factory=list)
    loud: list[Stretch] = field(default_factory=list)
    visits: int = 0
    """How often hostile clients came."""
    probes: dict[int, int] = field(default_factory=dict)
    """How often good clients were answered with that status."""
    slowest_probe_s: float = 0.0

    @property
    def ratios(self) -> list[float]:
        """Of the two p99s, pair by pair."""
        return [
            loud.p99_us / quiet.p99_us for quiet, loud in zip(self.quiet, self.loud, strict=True)
        ]


# The run ------------------------------------------------------------------------------------


class Pairs:
    """Stretches of terminals without and with the crowd."""

    def __init__(
        self, gateway: GatewayProcess, terminals: Helper, clients: Helper, usages: Sequence[Usage]
    ) -> None:
        self.found = Found()
        self._gateway, self._usages = gateway, usages
        self._terminals, self._clients = terminals, clients

    async def run(self, pairs: int, seconds: float) -> None:
        """So many, each of the two as often first as the other."""
        for number in range(pairs):
            order = [self._quiet, self._loud]
            for stretch in order if number % 2 else order[::-1]:
                await stretch(seconds)

    async def _timed(self, seconds: float) -> Stretch:
        return Stretch(**json.loads(await self._terminals.ask(seconds)))

    async def _quiet(self, seconds: float) -> None:
        await asyncio.sleep(LEAD_S)
        self.found.quiet.append(await self._timed(seconds))

    async def _loud(self, seconds: float) -> None:
        crowding = asyncio.create_task(self._clients.ask(seconds + 2 * LEAD_S))
        await asyncio.sleep(LEAD_S)
        over = asyncio.Event()
        looking = asyncio.create_task(self._look_on(over))
        self.found.loud.append(await self._timed(seconds))
        over.set()
        await looking
        self.found.visits += int(await crowding)

    async def _look_on(self, over: asyncio.Event) -> None:
        while not over.is_set():
            for path in ("/livez", "/readyz"):
                await self._probe(path)
            for usage in self._usages:
                usage.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), LOOK_EVERY_S)

    async def _probe(self, path: str) -> None:
        began = time.monotonic()
        try:
            # Not from the crowd's address, which has only so many connections.
            status, _ = await self._gateway.http(path, source="127.0.0.2")
        except (OSError, ValueError, IndexError, TimeoutError):
            status = 0
        self.found.slowest_probe_s = max(self.found.slowest_probe_s, time.monotonic() - began)
        self.found.probes[status] = self.found.probes.get(status, 0) + 1


class Cores:
    """One for the gateway and its process for HTTP, one for everybody else, if that is wanted."""

    def __init__(self, *, pinned: bool) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self._pinned = pinned and len(cores) > 1
        self._theirs, self._ours = {cores[0]}, {cores[-1]}

    def for_gateway(self) -> None:
        """What is started from now on is the gateway."""
        if self._pinned:
            os.sched_setaffinity(0, self._theirs)

    def for_terminals(self) -> None:
        """What is started from now on are terminals."""
        if self._pinned:
            os.sched_setaffinity(0, self._ours)

    def for_clients(self) -> None:
        """And now those who let terminals go first, as this process does from now on, too."""
        if self._pinned:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


async def prove(
    directory: Path,
    pairs: int,
    seconds: float,
    *,
    pinned: bool = False,
    program: Sequence[str] = ("-m", "sip2gw"),
) -> tuple[Report, Found]:
    """Run everything; what does not depend on how busy the machine is has been judged then."""
    report, cores = Report("beside"), Cores(pinned=pinned)
    path = await prepare(directory, configuration(), LIBRARY)
    async with AsyncExitStack() as stack:
        cores.for_gateway()
        gateway = GatewayProcess(path, keep_requests=False, program=program)
        await stack.enter_async_context(gateway)
        await gateway.start()
        cores.for_terminals()
        host, port = gateway.address
        terminals = await stack.enter_async_context(Helper("--terminals-of", f"{host}:{port}"))
        cores.for_clients()
        clients = await stack.enter_async_context(Helper("--clients-of", gateway.admin))
        await terminals.ask(seconds)
        report.expect((await gateway.http("/metrics"))[0] == 200, "nothing answers over HTTP")
        own, web = Usage(gateway.pid), Usage(gateway.http_pid)
        run = Pairs(gateway, terminals, clients, (own, web))
        await run.run(pairs, seconds)
        if not gateway.events("http_ended"):
            _judge_usage(report, own, web)
        _judge_answers(report, run.found)
        report.expect(await gateway.stop() == 0, "the gateway did not end with 0")
    report.expect(not gateway.other_output, f"no JSON: {gateway.other_output[:3]}")
    faults = [*gateway.events("uncaught"), *gateway.events("http_ended")]
    report.expect(not faults, f"faults of ours: {faults[:3]}")
    return report, run.found


def _judge_usage(report: Report, own: Usage, web: Usage) -> None:
    shown = "(MiB/threads/descriptors)"
    report.numbers |= {f"gateway{shown}": own.shown(), f"http{shown}": web.shown()}
    for name, usage, most_mib in (
        ("the gateway", own, GATEWAY_GROWTH_MIB_MAX),
        ("the process for HTTP", web, HTTP_GROWTH_MIB_MAX),
    ):
        grown = usage.growth_mib
        report.expect(grown <= most_mib, f"{name} took {grown:.0f} MiB more")
    report.expect(own.threads == own.began[0], f"the gateway had {own.threads} threads")
    most = own.began[1] + GATEWAY_DESCRIPTORS_MORE_MAX
    report.expect(own.descriptors <= most, f"the gateway had {own.descriptors} descriptors")
    report.expect(web.threads <= HTTP_THREADS_MAX, f"{web.threads} threads for HTTP")
    report.expect(
        web.descriptors <= HTTP_DESCRIPTORS_MAX, f"{web.descriptors} descriptors for HTTP"
    )


def _judge_answers(report: Report, found: Found) -> None:
    stretches = found.quiet + found.loud
    probes = " ".join(f"{count}x{status}" for status, count in sorted(found.probes.items()))
    report.numbers |= {
        "pairs": len(found.loud),
        "asked": sum(stretch.answers for stretch in stretches),
        "visits": found.visits,
        "probes": probes,
        "slowest_probe_s": round(found.slowest_probe_s, 2),
    }
    report.expect(not any(stretch.errors for stretch in stretches), "terminals got wrong answers")
    report.expect(found.visits >= crowd.CLIENTS, "the clients did not all come")
    report.expect(found.probes.keys() == {200}, f"good clients were answered {probes}")


def judge_ratio(report: Report, found: Found) -> None:
    """Compare with the goal, on a machine with nothing else to do."""
    median, (low, high) = statistics.median(found.ratios), interval(found.ratios)

    def shown(stretches: Sequence[Stretch]) -> str:
        p50 = statistics.median(stretch.p50_us for stretch in stretches)
        p99 = statistics.median(stretch.p99_us for stretch in stretches)
        return f"{p50 / 1e3:.2f}/{p99 / 1e3:.2f}"

    report.numbers |= {
        "quiet_ms(p50/p99)": shown(found.quiet),
        "loud_ms(p50/p99)": shown(found.loud),
        "p99_ratio": f"{median:.3f}({low:.3f}-{high:.3f})",
    }
    report.expect_in_time(
        median <= RATIO_MAX or low <= 1 <= high,
        f"beside the clients the p99 is {median:.3f} times as long ({low:.3f} to {high:.3f})",
    )


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python tests/proofs beside", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of the two")
    parser.add_argument("--terminals-of", type=_address, help=argparse.SUPPRESS)
    parser.add_argument("--clients-of", type=_address, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.terminals_of:
        serve_terminals(options.terminals_of)
        return 0
    if options.clients_of:
        crowd.serve(options.clients_of)
        return 0
    with tempfile.TemporaryDirectory() as name:
        report, found = asyncio.run(prove(Path(name), options.pairs, options.seconds, pinned=True))
    judge_ratio(report, found)
    return report.tell()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
