"""The single numbers: memory, start-up, latency under garbage and beside wrong PINs."""

from __future__ import annotations

import itertools
import socket
import statistics
import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks.compare import Scale, Site, station_hellos
from benchmarks.library import listen_on
from benchmarks.load import Expected, Outcome, Stream, connect, connected, open_loop
from benchmarks.servers import LOAD_CPU, Server, bare_responder, spawn
from benchmarks.workloads import (
    STATUS_ANSWER,
    guess_frames,
    information_frames,
    shared_hellos,
    status_frames,
)

MEMORY_GOAL_KIB = 8.0
START_GOAL_S = 1.0
GARBAGE_GOAL_MS = 50.0
GUESSED_GOAL = 2.0

GARBAGE_CONNECTIONS = 200
GUESSES_PER_S = 10.0
PACED_CONNECTIONS = 20
PACED_PER_S = 200.0
START_TIMEOUT_S = 20.0
_POLL_S = 0.001


@dataclass(frozen=True, slots=True)
class Figure:
    """One number and its goal: not more than that."""

    name: str
    title: str
    value: float
    unit: str
    goal: float | None = None
    note: str = ""
    errors: int = 0


def idle_memory(site: Site, scale: Scale) -> list[Figure]:
    """What a connection that is logged in and silent keeps in memory, in both servers."""
    hellos = shared_hellos(scale.idle)
    with site.gateway() as server:
        base, each = _growth(server, hellos, scale.settle_s)
    with bare_responder(b"941", site.loop) as bare:
        _, bare_each = _growth(bare, hellos, scale.settle_s)
    note = f"{scale.idle:,} logged-in connections; bare responder {bare_each / 1024:.1f} KiB"
    return [
        Figure("idle", "memory per idle connection", each / 1024, "KiB", MEMORY_GOAL_KIB, note),
        Figure("base", "memory of the gateway with none", base / 2**20, "MiB", 60.0),
    ]


def _growth(server: Server, hellos: list[bytes], settle_s: float) -> tuple[float, float]:
    """Resident bytes before, and more for each connection that stays."""
    with connected(server.address, hellos[:50]):
        pass
    time.sleep(settle_s)
    base = server.rss_bytes()
    with connected(server.address, hellos):
        time.sleep(settle_s)
        return base, (server.rss_bytes() - base) / len(hellos)


def start_up(site: Site, scale: Scale) -> list[Figure]:
    """From exec of the command until a connection is taken."""
    address = ("127.0.0.1", _free_port())
    config = listen_on(site.config, address[1])
    command = ["-m", "sip2gw", "serve", "--config", str(config)]
    took: list[float] = []
    with (site.directory / "start.log").open("ab") as log:
        for _ in range(scale.starts):
            began = time.perf_counter()
            server = Server(spawn(command, stderr=log), address)
            try:
                _await_listening(server)
                took.append(time.perf_counter() - began)
            finally:
                server.stop()
    note = f"median of {scale.starts}, {min(took):.2f}-{max(took):.2f}"
    return [Figure("start", "exec to listening", statistics.median(took), "s", START_GOAL_S, note)]


def _free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _await_listening(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            connect(server.address, 0).close()
        except ConnectionRefusedError:
            time.sleep(_POLL_S)
        else:
            return
    raise RuntimeError("the gateway did not start; see start.log")


def garbage(site: Site, server: Server, scale: Scale) -> list[Figure]:
    """How long a 99 takes while many connections send garbage (C80)."""
    with connected(server.address, station_hellos("kiosk", PACED_CONNECTIONS)) as sockets:
        stream = Stream(sockets, itertools.cycle(status_frames()), PACED_PER_S, STATUS_ANSWER)
        (calm,) = open_loop([stream], scale.seconds)
        host, port = server.address
        command = ["-m", "benchmarks.garbage", f"{host}:{port}", str(GARBAGE_CONNECTIONS)]
        noise = Server(spawn(command, cpu=LOAD_CPU), server.address)
        try:
            assert noise.process.stdout is not None
            noise.process.stdout.readline()
            time.sleep(scale.settle_s)
            (loud,) = open_loop([stream], scale.seconds)
        finally:
            noise.stop()
    note = f"{GARBAGE_CONNECTIONS} connections send it; without {_ms(calm, 99):.1f} ms"
    title = "p99 of a 99 beside garbage"
    return [
        Figure(
            "garbage", title, _ms(loud, 99), "ms", GARBAGE_GOAL_MS, note, calm.errors + loud.errors
        )
    ]


def guesses(site: Site, server: Server, scale: Scale) -> list[Figure]:
    """How long a 63 takes while wrong PINs arrive, each worth a full hash (B20)."""
    cards = site.library.plain_cards[:1000]
    frames = itertools.cycle(information_frames(cards))
    with (
        connected(server.address, station_hellos("kiosk", PACED_CONNECTIONS)) as sockets,
        connected(server.address, shared_hellos(10)) as guessers,
    ):
        server.use_all_cpus()
        readers = Stream(sockets, frames, PACED_PER_S, Expected(b"64", b"|BLY|CQY|"))
        guesser = Stream(
            guessers,
            itertools.cycle(guess_frames(site.library)),
            GUESSES_PER_S,
            Expected(b"64", b"|CQN|"),
        )
        open_loop([readers], len(cards) / PACED_PER_S)
        pairs = [
            (*open_loop([readers], scale.seconds), *open_loop([readers, guesser], scale.seconds))
            for _ in range(scale.runs)
        ]
    return [_guesses_figure(pairs)]


def _guesses_figure(pairs: list[tuple[Outcome, ...]]) -> Figure:
    """The median over `pairs` of a calm run, and one beside guesses with the guesses."""
    ratios = [beside.percentile_us(99) / calm.percentile_us(99) for calm, beside, _ in pairs]
    calm_ms, beside_ms, guess_ms = (
        statistics.median(_ms(pair[which], percent) for pair in pairs)
        for which, percent in ((0, 99), (1, 99), (2, 50))
    )
    guesses = sum(guessed.requests for _, _, guessed in pairs)
    note = (
        f"median of {len(pairs)}, {min(ratios):.2f}-{max(ratios):.2f}; p99 {beside_ms:.1f} ms,"
        f" without {calm_ms:.1f} ms; {guesses} guesses of {guess_ms:.0f} ms"
    )
    errors = sum(outcome.errors for pair in pairs for outcome in pair)
    title = "p99 of a 63 beside 10 wrong PINs/s"
    return Figure("guesses", title, statistics.median(ratios), "x", GUESSED_GOAL, note, errors)


def _ms(outcome: Outcome, percent: float) -> float:
    return outcome.percentile_us(percent) / 1000
