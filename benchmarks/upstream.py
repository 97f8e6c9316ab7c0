"""A real gateway in front of a library system: `python -m benchmarks.upstream`.

The library system is a process of its own that answers at once with frames made beforehand. It and
the load share one core, the gateway has the other. Each number comes from pairs of runs that
alternate (C136):

- `cost`: own CPU of a 63 and of a door's 23 through the library system, beside the same from the
  store with a remembered PIN. Own is what the gateway takes more than a bare responder asked the
  same in the same pair. The second socket's system calls are in it. What is more than a bare relay
  takes, which has a second socket, too, is shown without a goal: it is woken up for each message,
  so it takes more for its sockets than a busy gateway. `upstream_hotpath` has the code alone.
- `latency`: what the gateway adds at 500 requests a second, beside asking the library system
  directly. In the same turns one that asks its store takes the same: a machine that stands still
  now and then shows there, too.
- `fair`: 1,000 terminals ask at once, again and again, over ten lines of a library system that
  takes its time.
- `payments`: what fifty terminals pay over ten lines, beside a bare client that sends the 63s and
  37s on ten lines of its own; with a library system that answers at once, and with one that takes
  its time. Afterwards its books and ours must agree.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import select
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.against import interval
from benchmarks.bare_library import BOOKS
from benchmarks.compare import WARM_UP_S
from benchmarks.library import (
    Library,
    build,
    crowd_logins,
    in_front_of,
    ledger_problems,
    open_library,
    station_logins,
)
from benchmarks.load import (
    Expected,
    Outcome,
    Stream,
    closed_loop,
    connected,
    open_loop,
    receive_frame,
)
from benchmarks.servers import (
    LOAD_CPU,
    SERVER_CPU,
    Server,
    bare_library,
    bare_relay,
    gateway,
    raise_file_limit,
    use_load_cpu,
)
from benchmarks.workloads import (
    LOOK_AND_PAY,
    Workload,
    hello,
    look_and_pay_frames,
    workloads,
)
from sip2gw.model import PaymentStatus

TIMES_STORE_MAX = 2.0
PER_SECOND = 500
ADDED_P50_MS, ADDED_P99_MS = 0.5, 3.0
CROWD, CROWD_LINES, CROWD_DELAY_MS = 1_000, 10, 2.0
TIMES_MEAN_MAX = 3.0
PAYING_LINES, PAYMENTS_MIN = 10, 0.6
PAYING_DELAYS_MS = (0.0, 2.0, 20.0)
PAYMENTS_PER_S_MAX = 6_000
T = TypeVar("T")

PARTS = ("cost", "latency", "fair", "payments")
_LIBRARY = Library(2_000, 2_000)
_LINES = 50


def said(name: str, values: Sequence[float], goal: float, *, at_least: bool = False) -> bool:
    """Print the median of `values` beside its goal, the most or the least it may be; whether the
    goal is missed for certain."""
    low, high = interval(values)
    is_met, is_missed = (low >= goal, high < goal) if at_least else (high <= goal, low > goal)
    verdict = "met" if is_met else "missed" if is_missed else "open"
    median = statistics.median(values)
    print(f"{name}: {median:.3g} ({low:.3g} to {high:.3g}), goal {goal:g}: {verdict}")
    return verdict == "missed"


@dataclass(slots=True)
class Asked:
    """A server with the terminals of one workload connected to it."""

    server: Server
    workload: Workload
    sockets: Sequence[socket.socket]
    frames: Iterator[bytes] = field(init=False)

    def __post_init__(self) -> None:
        for frame in self.workload.warm_up():
            self.sockets[0].sendall(frame)
            receive_frame(self.sockets[0])
        self.frames = itertools.cycle(self.workload.frames(_LIBRARY.asked))

    def cpu_us(self, seconds: float) -> float:
        """CPU per request while every terminal asks as fast as it is answered."""
        before = self.server.cpu_s()
        supplies = [self.frames] * len(self.sockets)
        outcome = closed_loop(self.sockets, supplies, self.workload.expected, seconds)
        _insist(outcome)
        return (self.server.cpu_s() - before) * 1e6 / outcome.requests

    def latencies_ms(self, seconds: float) -> tuple[float, float]:
        """p50 and p99 at a steady rate."""
        stream = Stream(self.sockets, self.frames, PER_SECOND, self.workload.expected)
        (outcome,) = open_loop([stream], seconds)
        _insist(outcome)
        return outcome.percentile_us(50) / 1000, outcome.percentile_us(99) / 1000


def _insist(outcome: Outcome) -> None:
    if outcome.errors:
        raise RuntimeError(f"unexpected answer {outcome.sample!r}")


def _pairs(count: int, measures: Sequence[Callable[[], T]]) -> list[tuple[T, ...]]:
    """What each measure gives, `count` times, in an order that turns."""
    rows = []
    for number in range(count):
        order = list(range(len(measures)))
        turn = number % len(order)
        found = {at: measures[at]() for at in order[turn:] + order[:turn]}
        rows.append(tuple(found[at] for at in order))
    return rows


def cost(directory: Path, chosen: argparse.Namespace) -> bool:
    """Own CPU beside the store's."""
    missed = False
    store_config = build(_LIBRARY, directory / "store", _tell)
    build(_LIBRARY, directory / "front", _tell)
    with ExitStack() as stack:
        enter = stack.enter_context
        library, bare = (enter(bare_library(chosen.loop, cpu)) for cpu in (LOAD_CPU, SERVER_CPU))
        front_config = in_front_of(_address(library), directory / "front", _LINES)
        servers = (
            bare,
            enter(bare_relay(_address(library), chosen.loop)),
            enter(gateway(store_config, chosen.loop)),
            enter(gateway(front_config, chosen.loop)),
        )
        for workload in (it for it in workloads(_LIBRARY) if it.name in ("patron", "door")):
            hellos = [hello(f"{workload.profile}-{number}") for number in range(_LINES)]
            asked = [Asked(it, workload, enter(connected(it.address, hellos))) for it in servers]
            measures = [lambda it=it: it.cpu_us(chosen.seconds) for it in asked]
            rows = _pairs(chosen.pairs, measures)
            print(
                "µs of CPU, bare, bare relay, store, library system:",
                *(f"{statistics.median(column):.1f}" for column in zip(*rows, strict=True)),
            )
            ratios = [(front - bare) / (store - bare) for bare, _, store, front in rows]
            missed |= said(f"{workload.title}, times the store's", ratios, TIMES_STORE_MAX)
            ratios = [(front - relay) / (store - bare) for bare, relay, store, front in rows]
            low, high = interval(ratios)
            middle = statistics.median(ratios)
            print(f"the same beyond a bare relay: {middle:.3g} ({low:.3g} to {high:.3g})")
    return missed


def latency(directory: Path, chosen: argparse.Namespace) -> bool:
    """What the gateway adds; and what one that asks its store takes, which tells of the machine."""
    store_config = build(_LIBRARY, directory / "store", _tell)
    build(_LIBRARY, directory / "front", _tell)
    workload = next(it for it in workloads(_LIBRARY) if it.name == "patron")
    hellos = [hello(f"{workload.profile}-{number}") for number in range(_LINES)]
    with ExitStack() as stack:
        enter = stack.enter_context
        library = enter(bare_library(chosen.loop, LOAD_CPU))
        config = in_front_of(_address(library), directory / "front", CROWD_LINES)
        store, front = (enter(gateway(it, chosen.loop)) for it in (store_config, config))
        servers = (library, store, front)
        asked = [Asked(it, workload, enter(connected(it.address, hellos))) for it in servers]
        before_s, count = front.cpu_s(), PER_SECOND * chosen.seconds * chosen.pairs
        measures = [partial(it.latencies_ms, chosen.seconds) for it in asked]
        rows = _pairs(chosen.pairs, measures)
        cpu_ms = (front.cpu_s() - before_s) * 1000 / count
    # What is added beyond this is waiting: for a CPU, or for others' requests.
    print(f"CPU of the gateway for each request, ms: {cpu_ms:.2f}")
    for name, column in zip(("directly", "from the store"), zip(*rows, strict=True), strict=False):
        middle = [f"{statistics.median(values):.2f}" for values in zip(*column, strict=True)]
        print(f"{name}, p50 and p99, ms:", *middle)
    added = [(after[0] - before[0], after[1] - before[1]) for before, _, after in rows]
    p50, p99 = zip(*added, strict=True)
    missed = said(f"p50 added at {PER_SECOND}/s, ms", p50, ADDED_P50_MS)
    return said(f"p99 added at {PER_SECOND}/s, ms", p99, ADDED_P99_MS) or missed


def fair(directory: Path, chosen: argparse.Namespace) -> bool:
    """How long each of many terminals waits."""
    build(_LIBRARY, directory / "front", _tell)
    workload = next(it for it in workloads(_LIBRARY) if it.name == "patron")
    with bare_library(chosen.loop, LOAD_CPU, CROWD_DELAY_MS) as library:
        config = in_front_of(_address(library), directory / "front", CROWD_LINES, CROWD)
        hellos = [hello(login) for login in crowd_logins(CROWD)]
        with gateway(config, chosen.loop) as front, connected(front.address, hellos) as sockets:
            frames = itertools.cycle(workload.frames(CROWD))
            waits = crowd_waits(sockets, frames, workload, chosen.seconds * chosen.pairs)
    means = sorted(map(statistics.fmean, waits))
    mean = statistics.fmean(means)
    worst = means[-1] / mean
    print(
        f"{CROWD} terminals over {CROWD_LINES} lines: {sum(map(len, waits)):,} answers, mean wait"
        f" {mean * 1000:.0f} ms; who waits longest {worst:.2f} times, goal {TIMES_MEAN_MAX:g}:"
        f" {'met' if worst <= TIMES_MEAN_MAX else 'missed'}"
    )
    return worst > TIMES_MEAN_MAX


def crowd_waits(
    sockets: Sequence[socket.socket], frames: Iterator[bytes], workload: Workload, seconds: float
) -> list[list[float]]:
    """The waits of each terminal, which asks again as soon as it is answered."""
    waits: dict[int, list[float]] = {sock.fileno(): [] for sock in sockets}
    of = {sock.fileno(): sock for sock in sockets}
    sent: dict[int, float] = {}
    poll, clock = select.epoll(), time.perf_counter
    until = clock() + seconds
    for sock in sockets:
        poll.register(sock, select.EPOLLIN)
        sent[sock.fileno()] = clock()
        sock.send(next(frames))
    while sent:
        for fd, _ in poll.poll():
            answer = receive_frame(of[fd])
            now = clock()
            waits[fd].append(now - sent.pop(fd))
            if not workload.expected.is_good(answer):
                raise RuntimeError(f"unexpected answer {answer!r}")
            if now < until:
                sent[fd] = now
                of[fd].send(next(frames))
    poll.close()
    return list(waits.values())


def payments(directory: Path, chosen: argparse.Namespace) -> bool:
    """How many payments ten lines take through the gateway and from a bare client."""
    build(_LIBRARY, directory / "front", _tell)
    # All of them, whatever the first one shows.
    missed = [_paid(directory / "front", delay_ms, chosen) for delay_ms in PAYING_DELAYS_MS]
    return any(missed)


@dataclass(slots=True)
class Paying:
    """Payments over and over on some connections."""

    sockets: Sequence[socket.socket]
    supplies: Callable[[], Sequence[Iterator[bytes]]]
    """New frames for each of them."""
    expected: Expected
    turns: int = 1
    """Frames of a payment."""
    accepted: int = 0

    def per_second(self, seconds: float) -> float:
        """Payments in one second, while each connection begins the next when one is answered."""
        outcome = closed_loop(self.sockets, self.supplies(), self.expected, seconds, self.turns)
        _insist(outcome)
        payments = outcome.requests // self.turns
        self.accepted += payments
        return payments / outcome.seconds


def _paid(directory: Path, delay_ms: float, chosen: argparse.Namespace) -> bool:
    before = _booked_here(directory)
    with ExitStack() as stack:
        enter = stack.enter_context
        library = enter(bare_library(chosen.loop, LOAD_CPU, delay_ms, has_books=True))
        config = in_front_of(_address(library), directory, PAYING_LINES)
        front = enter(gateway(config, chosen.loop))
        hellos = [hello(login) for login in station_logins("cash")]
        terminals = enter(connected(front.address, hellos))
        lines = enter(connected(library.address, hellos[:PAYING_LINES]))
        count = int(PAYMENTS_PER_S_MAX * chosen.seconds)
        through, directly = _through(terminals, count), _directly(lines, count)
        measures = [partial(it.per_second, chosen.seconds) for it in (directly, through)]
        cpu_s = front.cpu_s()
        rows = _pairs(chosen.pairs, measures)
        cpu_s = front.cpu_s() - cpu_s
        lines[0].sendall(BOOKS)
        booked, _, twice = map(int, receive_frame(lines[0])[2:].split())
    here, problems = _booked_here(directory) - before, ledger_problems(directory)
    accepted = directly.accepted + through.accepted
    if (booked, here, twice) != (accepted, through.accepted, 0) or problems:
        told = f"{accepted=}, {through.accepted=}, {booked=}, {here=}, {twice=}, {problems}"
        raise RuntimeError(f"the books do not agree: {told}")
    bare, ours = (statistics.median(side) for side in zip(*rows, strict=True))
    print(
        f"payments over {PAYING_LINES} lines, {delay_ms:g} ms for each answer: {ours:,.0f}/s,"
        f" bare client {bare:,.0f}/s; CPU of the gateway {cpu_s * 1000 / here:.2f} ms for each;"
        f" {here:,} of {booked:,} are ours, and the books agree"
    )
    ratios = [mine / theirs for theirs, mine in rows]
    name = "share of the bare client's payments"
    if delay_ms:
        return said(name, ratios, PAYMENTS_MIN, at_least=True)
    print(f"{name}: {statistics.median(ratios):.2g}; no goal, for no library system is so quick")
    return False


def _through(terminals: Sequence[socket.socket], count: int) -> Paying:
    """Payments at the gateway's `terminals`, up to `count` at a time."""
    workload = next(it for it in workloads(_LIBRARY) if it.name == "pay")
    looks = iter(workload.warm_up())
    # Opens the gateway's lines.
    closed_loop(terminals, [looks] * len(terminals), Expected(b""), WARM_UP_S)

    def supplies() -> list[Iterator[bytes]]:
        return [iter(workload.frames(count))] * len(terminals)

    return Paying(terminals, supplies, workload.expected)


def _directly(lines: Sequence[socket.socket], count: int) -> Paying:
    """The same on `lines` to the library system."""

    def supplies() -> list[Iterator[bytes]]:
        frames = look_and_pay_frames(_LIBRARY, count)
        return [_dialogues(frames, LOOK_AND_PAY, at, len(lines)) for at in range(len(lines))]

    return Paying(lines, supplies, Expected((b"64", b"38Y")), LOOK_AND_PAY)


def _dialogues(frames: Sequence[bytes], turns: int, number: int, of: int) -> Iterator[bytes]:
    """The frames of every dialogue whose number is `number` when divided `of`."""
    starts = range(number * turns, len(frames), of * turns)
    return (frame for start in starts for frame in frames[start : start + turns])


def _booked_here(directory: Path) -> int:
    """How many payments our store has as booked; any other is a fault."""

    async def count() -> int:
        store = open_library(directory)
        try:
            found = Counter(payment.status for payment in store.payments())
        finally:
            await store.close()
        if set(found) > {PaymentStatus.BOOKED.value}:
            raise RuntimeError(f"not all payments are booked: {found}")
        return found[PaymentStatus.BOOKED]

    return asyncio.run(count())


def _address(server: Server) -> str:
    return "{}:{}".format(*server.address)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each number; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each run")
    parser.add_argument(
        "--loop", choices=("asyncio", "uvloop"), default="asyncio", help="of all servers"
    )
    chosen = parser.parse_args(arguments)
    raise_file_limit()
    use_load_cpu()
    with tempfile.TemporaryDirectory(prefix="sip2gw-upstream-") as directory:
        parts = {"cost": cost, "latency": latency, "fair": fair, "payments": payments}
        missed = [parts[part](Path(directory), chosen) for part in chosen.only]
    return int(any(missed))


if __name__ == "__main__":
    sys.exit(main())
