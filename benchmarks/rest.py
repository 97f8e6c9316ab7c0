"""REST beside terminals: `python -m benchmarks.rest`.

Fifty terminals ask at a steady rate that leaves the gateway idle for most of the time, so that what
they wait for is work and not a queue. Beside them programs ask 50 times a second over REST, with a
token of each role, mostly to read and also to write. Slices with and without REST take turns; the
ratio of the terminals' p99 in a pair is what counts (C136). The gateway and its process for HTTP
share one core, so that they compete; the load has the other one. `--spread` lets them run anywhere,
as in production, where the load then competes with them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare import station_hellos
from benchmarks.library import Library, build
from benchmarks.load import (
    Expected,
    NoAnswerError,
    Outcome,
    Stream,
    connect,
    connected,
    open_loop,
    receive_frame,
)
from benchmarks.servers import Address, Server, gateway, raise_file_limit, use_load_cpu
from benchmarks.upstream import said
from benchmarks.workloads import Workload, workloads
from sip2gw.model.rights import Role

TIMES_MAX = 1.1
REST_PER_S = 50.0
TERMINALS = {"patron": (20, 250.0), "door": (20, 200.0), "pay": (10, 50.0)}
"""How many of each kind, and what they ask a second, all together."""
ASKED = 2_000
"""Patrons that terminals ask about."""
PERSONS = 100
"""Patrons that programs ask about, in turn; no terminal asks about them."""
_OPEN_WITHIN_S = 120.0
_HEAD_ENDS = b"\r\n\r\n"
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a program asks over REST, over and over."""

    role: Role
    method: str
    path: str
    """With `{card}` where a card number belongs."""
    status: int
    """Of the answer, always."""
    body: dict[str, object] | None = None

    def frames(self, cards: Sequence[str]) -> Iterator[bytes]:
        """The request about each of `cards`, from the first again after the last."""
        return itertools.cycle([self._about(card) for card in cards])

    def _about(self, card: str) -> bytes:
        body = "" if self.body is None else json.dumps(self.body).replace("{card}", card)
        head = (
            f"{self.method} /api/v1{self.path.replace('{card}', card)} HTTP/1.1",
            "Host: gateway",
            f"Authorization: Bearer {token_of(self.role)}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join((*head, "", body)).encode()

    @property
    def expected(self) -> Expected:
        """The answer."""
        return Expected(b"HTTP/1.1 %d" % self.status, sealed=False)


QUESTIONS = (
    Question(Role.VIEW, "GET", "/terminals", 200),
    Question(Role.STAFF, "GET", "/patrons/{card}", 200),
    Question(Role.SELF, "PUT", "/self/{card}/house-rules", 200),
    Question(Role.VIEW, "GET", "/payments", 200),
    Question(Role.STAFF, "POST", "/door/decide", 200, {"terminal": "door-0", "card": "{card}"}),
    Question(Role.ADMIN, "GET", "/audit", 200),
    Question(Role.STAFF, "GET", "/patrons?find={card}", 200),
    Question(Role.STAFF, "POST", "/patrons/{card}/blocks", 201, {"note": "see the desk"}),
    Question(Role.VIEW, "GET", "/door/log", 200),
    Question(Role.SELF, "GET", "/self/{card}/authorisations", 200),
)
"""Each is asked as often as the others: seven to read, of which two note who looked; two to write;
and one to decide."""


def token_of(role: Role) -> str:
    """The token of a program that has `role`."""
    return f"{role}-{'x' * 40}"


def with_tokens(config: Path) -> Path:
    """A copy of `config` beside it, with a token of each role."""
    text = config.read_text()
    for role in Role:
        (config.parent / f"token-{role}").write_text(token_of(role) + "\n")
        text += f'[admin.tokens.{role}]\nrole = "{role}"\ntoken_file = "token-{role}"\n'
    copy = config.with_name("rest.toml")
    copy.write_text(text)
    return copy


def responses_in(data: bytes) -> tuple[list[bytes], bytes]:
    """Complete answers of HTTP in what was received, and the rest."""
    found = []
    while _HEAD_ENDS in data:
        begin = data.index(_HEAD_ENDS) + len(_HEAD_ENDS)
        _, is_there, length = data[:begin].lower().partition(_LENGTH)
        end = begin + (int(length.partition(b"\r")[0]) if is_there else 0)
        if len(data) < end:
            break
        found.append(data[:end])
        data = data[end:]
    return found, data


class Crowd:
    """The terminals and the programs of one gateway."""

    def __init__(self, library: Library, server: Server, admin: Address, seconds: float) -> None:
        self._library, self._server, self._admin = library, server, admin
        self._seconds = seconds
        self._kinds = [it for it in workloads(library) if it.name in TERMINALS]
        self._frames: dict[str, Iterator[bytes]] = {}

    @contextmanager
    def terminals(self, slices: int) -> Iterator[list[Stream]]:
        """All terminals connected, what they ask about known, with frames for so many slices."""
        with ExitStack() as stack:
            yield [self._station(stack, kind, slices) for kind in self._kinds]

    def _station(self, stack: ExitStack, kind: Workload, slices: int) -> Stream:
        count, per_second = TERMINALS[kind.name]
        hellos = station_hellos(kind.profile, count)
        sockets = stack.enter_context(connected(self._server.address, hellos))
        for frame in kind.warm_up():
            sockets[0].sendall(frame)
            receive_frame(sockets[0])
        frames = kind.frames(int(slices * self._seconds * per_second))
        supply = itertools.cycle(frames) if kind.repeats else iter(frames)
        return Stream(sockets, supply, per_second, kind.expected)

    @contextmanager
    def programs(self) -> Iterator[list[Stream]]:
        """All programs connected, each with one question."""
        cards = [self._library.card(number * 10 + 1) for number in range(PERSONS)]
        with ExitStack() as stack:
            yield [
                Stream(
                    [stack.enter_context(connect(self._admin, number))],
                    question.frames(cards),
                    REST_PER_S / len(QUESTIONS),
                    question.expected,
                    begins_s=number / REST_PER_S,
                    split=responses_in,
                )
                for number, question in enumerate(QUESTIONS)
            ]


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """As one."""
    every = Outcome(max(it.seconds for it in outcomes), array("q"))
    for outcome in outcomes:
        every.latencies_ns.extend(outcome.latencies_ns)
        every.errors += outcome.errors
        every.sample = every.sample or outcome.sample
    return every


@dataclass(frozen=True, slots=True)
class Slice:
    """What was seen for a while."""

    terminals: Sequence[Outcome]
    """Of each kind."""
    programs: Sequence[Outcome]
    """Of each question; none without REST."""
    cpu_s: float
    """Of the gateway's own process."""
    http_cpu_s: float
    """Of its process for HTTP."""

    def insist(self) -> Slice:
        """Itself, if all answers were good ones.

        Raises:
            RuntimeError: one was not.
        """
        every = together([*self.terminals, *self.programs])
        if every.errors:
            raise RuntimeError(f"{every.errors} unexpected answers, {every.sample[:300]!r}")
        return self


Pair = tuple[Slice, Slice]
"""Without REST, and with it."""


def measured(
    server: Server, terminals: Sequence[Stream], programs: Sequence[Stream], seconds: float
) -> Slice:
    """All of them for so many seconds."""
    before, http_before = server.cpu_s(), server.children_cpu_s()
    outcomes = open_loop([*terminals, *programs], seconds)
    cpu_s, http_cpu_s = server.cpu_s() - before, server.children_cpu_s() - http_before
    count = len(terminals)
    return Slice(outcomes[:count], outcomes[count:], cpu_s, http_cpu_s).insist()


def pairs_of(crowd: Crowd, server: Server, pairs: int, seconds: float) -> Iterator[Pair]:
    """So many pairs; every second one begins with REST."""
    with crowd.terminals(2 * pairs + 2) as terminals:

        def without_rest() -> Slice:
            return measured(server, terminals, (), seconds)

        def with_rest() -> Slice:
            with crowd.programs() as programs:  # which hang up in between: they would be idle
                return measured(server, terminals, programs, seconds)

        without_rest(), with_rest()  # the store, the modules and the processor's caches are warm
        for number in range(pairs):
            if number % 2:
                beside = with_rest()
                yield without_rest(), beside
            else:
                yield without_rest(), with_rest()


def tell(pairs: Sequence[Pair]) -> bool:
    """Print what was seen; whether the goal is missed for certain."""
    requests = sum(it.requests for _, beside in pairs for it in beside.programs)
    waited = [together(beside.programs) for _, beside in pairs]
    print(f"{requests} requests over REST: p50 {_median_ms(waited, 50):.1f} ms")
    for at, name in enumerate(TERMINALS):
        _compared(name, [(calm.terminals[at], beside.terminals[at]) for calm, beside in pairs])
    both = [(together(calm.terminals), together(beside.terminals)) for calm, beside in pairs]
    ratios = _compared("terminals", both)
    cpu = statistics.median(beside.cpu_s / calm.cpu_s for calm, beside in pairs)
    print(f"CPU of the gateway's own process: {cpu:.2f} times")
    http_cpu_s = sum(beside.http_cpu_s for _, beside in pairs)
    print(f"CPU of the process for HTTP: {http_cpu_s / requests * 1000:.2f} ms a request")
    return said(f"p99 beside {REST_PER_S:g} requests/s of REST, times", ratios, TIMES_MAX)


def _compared(name: str, pairs: Sequence[tuple[Outcome, Outcome]]) -> list[float]:
    """Print the latencies of `pairs` without and with REST; the ratios of p99."""
    calm, beside = zip(*pairs, strict=True)
    ratios = [it.percentile_us(99) / other.percentile_us(99) for other, it in pairs]
    print(
        f"{name}: p50 {_median_ms(calm, 50):.2f} and {_median_ms(beside, 50):.2f} ms,"
        f" p99 {_median_ms(calm, 99):.2f} and {_median_ms(beside, 99):.2f} ms,"
        f" {statistics.median(ratios):.2f} times"
    )
    return ratios


def _median_ms(outcomes: Sequence[Outcome], percent: float) -> float:
    return statistics.median(it.percentile_us(percent) for it in outcomes) / 1000


def opened(address: Address) -> None:
    """Wait until the process for HTTP has opened the store; the first request makes it do so.

    Raises:
        NoAnswerError: it does not.
    """
    question = Question(Role.VIEW, "GET", "/badges", 200)
    frame = next(question.frames([""]))
    until = time.monotonic() + _OPEN_WITHIN_S
    while time.monotonic() < until:
        with connect(address, 0) as sock, suppress(OSError):  # no answer, or hung up without one
            sock.sendall(frame)
            if question.expected.is_good(sock.recv(1 << 16)):
                return
        time.sleep(0.1)
    raise NoAnswerError("the process for HTTP does not answer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rest", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each slice")
    parser.add_argument("--patrons", type=int, default=20_000)
    parser.add_argument("--spread", action="store_true", help="no core is reserved for the gateway")
    chosen = parser.parse_args(arguments)
    raise_file_limit()
    use_load_cpu()
    library = Library(chosen.patrons, min(ASKED, chosen.patrons // 10))
    with tempfile.TemporaryDirectory(prefix="sip2gw-rest-") as directory:
        config = with_tokens(build(library, Path(directory) / "library", _tell))
        with gateway(config, "asyncio") as server:
            admin = server.second_address()
            opened(admin)
            if chosen.spread:
                server.use_all_cpus()
            crowd = Crowd(library, server, admin, chosen.seconds)
            found = []
            for calm, beside in pairs_of(crowd, server, chosen.pairs, chosen.seconds):
                found.append((calm, beside))
                _tell(f"pair {len(found)} of {chosen.pairs}")
        return int(tell(found))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
