"""Server CPU per request as a multiple of the bare responder's, in alternating pairs of runs."""

from __future__ import annotations

import itertools
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.library import STATIONS, Library, count_rows, station_logins
from benchmarks.load import (
    Expected,
    Outcome,
    closed_loop,
    connected,
    receive_frame,
    visits,
)
from benchmarks.servers import Server, bare_responder, gateway
from benchmarks.workloads import STATUS_ANSWER, Workload, hello, status_frames
from sip2gw.protocol.checksum import split_trailer

FLUSHED_S = 0.6
"""After so long a server has written its last log lines and rows."""
DURABLE_PER_S_MAX = 25_000
"""No more requests that change something are made beforehand."""
VISIT_GOAL = 3.0
WARM_UP_S = 3600.0
"""A warm-up ends with its frames, not with the time."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    runs: int = 5
    seconds: float = 3.0
    connections: int = 50
    idle: int = 10_000
    starts: int = 5
    settle_s: float = FLUSHED_S
    """How long a server may still work on a load after the last answer; its CPU counts."""


@dataclass(frozen=True, slots=True)
class Site:
    """What is measured: a library in a directory, on a kind of event loop."""

    library: Library
    directory: Path
    config: Path
    loop: str
    profile: Path | None = None
    """Where the gateway's profile goes, if one is wanted."""

    @contextmanager
    def gateway(self) -> Iterator[Server]:
        """The gateway on this site."""
        with gateway(self.config, self.loop, self.profile) as server:
            yield server


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one server."""

    requests: int
    errors: int
    cpu_us: float
    """Server CPU per request."""
    per_s: float
    p50_us: float
    p99_us: float
    sample: str = ""
    """The first answer that was not good."""


@dataclass(slots=True)
class Comparison:
    """Runs of a workload on both servers, in pairs."""

    name: str
    title: str
    goal: float
    bare: list[Run] = field(default_factory=list)
    gateway: list[Run] = field(default_factory=list)
    note: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Server CPU per request as a multiple of the bare responder's, one for each pair."""
        return [
            ours.cpu_us / bare.cpu_us for bare, ours in zip(self.bare, self.gateway, strict=True)
        ]

    @property
    def ratio(self) -> float:
        """Median of the paired ratios."""
        return statistics.median(self.ratios)

    @property
    def errors(self) -> int:
        """Answers that were not as expected, and other problems."""
        return sum(run.errors for run in (*self.bare, *self.gateway)) + len(self.problems)

    @property
    def acknowledged(self) -> int:
        """Good answers of the gateway."""
        return sum(run.requests - run.errors for run in self.gateway)

    def run_pair(
        self, bare: Server, ours: Server, load: Callable[[Server], Outcome], settle_s: float
    ) -> None:
        """Put the same load on both, the bare responder first."""
        self.bare.append(measured(bare, load, settle_s))
        self.gateway.append(measured(ours, load, settle_s))


def measured(server: Server, load: Callable[[Server], Outcome], settle_s: float) -> Run:
    """Run `load` and see what it cost `server`, until `settle_s` after it."""
    before = server.cpu_s()
    outcome = load(server)
    time.sleep(settle_s)
    cpu = server.cpu_s() - before
    return Run(
        requests=outcome.requests,
        errors=outcome.errors,
        cpu_us=cpu * 1e6 / max(1, outcome.requests),
        per_s=outcome.requests / outcome.seconds,
        p50_us=outcome.percentile_us(50),
        p99_us=outcome.percentile_us(99),
        sample=outcome.sample.decode("latin-1"),
    )


def station_hellos(profile: str, count: int) -> list[bytes]:
    """Logins for `count` connections, each of a terminal of its own while there are enough."""
    logins = itertools.cycle(station_logins(profile))
    return [hello(login) for login in itertools.islice(logins, count)]


def compare(site: Site, server: Server, workload: Workload, scale: Scale) -> Comparison:
    """`workload` on a bare responder and on the gateway `server`, in turn."""
    result = Comparison(workload.name, workload.title, workload.goal)
    hellos = station_hellos(workload.profile, scale.connections)
    rows_before = count_rows(site.directory, "access_log")
    with connected(server.address, hellos) as ours:
        warm_up = [iter(workload.warm_up())] * len(ours)
        warmed = closed_loop(ours, warm_up, Expected(b""), WARM_UP_S)
        # One that no run begins or ends with, so that it cannot pass for a retransmission.
        frames = workload.frames(1)
        body = answer_body(ours[0], frames[min(len(frames), STATIONS) // 2])
        with (
            bare_responder(body, site.loop) as bare,
            connected(bare.address, hellos) as bares,
        ):
            sockets = {server.address: ours, bare.address: bares}

            def load(target: Server) -> Outcome:
                return closed_loop(
                    sockets[target.address],
                    _supplies(workload, scale),
                    workload.expected,
                    scale.seconds,
                    workload.turns,
                )

            for _ in range(scale.runs):
                result.run_pair(bare, server, load, scale.settle_s)
    if workload.name == "door":
        answers = warmed.requests + 1 + sum(run.requests for run in result.gateway)
        _note_rows(result, site, rows_before, answers)
    return result


def _supplies(workload: Workload, scale: Scale) -> list[Iterator[bytes]]:
    """What each connection sends: of the same frames, or its station's own dialogues."""
    frames = workload.frames(int(scale.seconds * DURABLE_PER_S_MAX))
    if workload.turns > 1:
        stations = min(scale.connections, STATIONS)
        return [iter(frames[station::STATIONS]) for station in range(stations)]
    shared = itertools.cycle(frames) if workload.repeats else iter(frames)
    return [shared] * scale.connections


def answer_body(sock: socket.socket, frame: bytes) -> bytes:
    """The gateway's answer to `frame`, without trailer: what a bare responder shall say."""
    sock.sendall(frame)
    return split_trailer(receive_frame(sock).rstrip(b"\r")).body


def _note_rows(result: Comparison, site: Site, before: int, answers: int) -> None:
    """Say how much of the door log was written (C65)."""
    time.sleep(FLUSHED_S)
    rows = count_rows(site.directory, "access_log") - before
    cards = len(site.library.plain_cards)
    result.note = f"{cards:,} distinct cards, {rows:,} access-log rows"
    if rows != answers:
        result.problems.append(f"{rows} access-log rows for {answers} decisions")


def compare_visits(site: Site, server: Server, scale: Scale) -> Comparison:
    """Connect, log in, one 99, close: on both, in turn."""
    result = Comparison("visit", "connect, 93, 99, close", VISIT_GOAL)
    hellos = station_hellos("kiosk", scale.connections)
    frame = status_frames()[0]
    with connected(server.address, hellos[:1]) as ours:
        body = answer_body(ours[0], frame)
    load = partial(
        visits, logins=hellos, frame=frame, expected=STATUS_ANSWER, seconds=scale.seconds
    )
    with bare_responder(body, site.loop) as bare:
        for _ in range(scale.runs):
            result.run_pair(bare, server, lambda target: load(target.address), scale.settle_s)
    return result
