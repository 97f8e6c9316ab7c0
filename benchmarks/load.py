"""The load generator: many terminals in one thread over epoll, cheaper than any server here.

Frames are made beforehand. Every answer's command and a mark of success are looked for, and of
every 64th answer the checksum too; what is not as expected is counted as an error.
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.servers import Address
from sip2gw.protocol.checksum import checksum_matches, split_trailer

ANSWER_TIMEOUT_S = 20.0
_RECEIVE_BYTES = 1 << 16
_CHECKED_EVERY = 64
_ADDRESSES = 200
"""Connections come from so many addresses of 127.0.0.0/24, for the sake of ephemeral ports."""


class NoAnswerError(Exception):
    """A server stopped answering."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What makes an answer a good one."""

    prefix: bytes | tuple[bytes, ...]
    """How it begins: one of these."""
    marks: bytes = b""
    """Bytes that stand somewhere in it."""
    sealed: bool = True
    """Whether it has a checksum that may be looked at."""

    def is_good(self, answer: bytes) -> bool:
        """Whether `answer` is what was asked for."""
        return answer.startswith(self.prefix) and self.marks in answer


@dataclass(slots=True)
class Outcome:
    """What a load generator saw."""

    seconds: float = 0.0
    latencies_ns: array[int] = field(default_factory=lambda: array("q"))
    errors: int = 0
    sample: bytes = b""
    """The first answer that was not good."""

    @property
    def requests(self) -> int:
        """Answers received."""
        return len(self.latencies_ns)

    def percentile_us(self, percent: float) -> float:
        """Latency that `percent` of the answers stayed below, µs."""
        ordered = sorted(self.latencies_ns)
        if not ordered:
            return 0.0
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1000

    def judge(self, answer: bytes, expected: Expected) -> None:
        """Count `answer` as an error unless it is good."""
        good = expected.is_good(answer)
        if good and expected.sealed and self.requests % _CHECKED_EVERY == 0:
            trailer = split_trailer(answer.rstrip(b"\r"))
            good = bool(trailer.digits) and checksum_matches(trailer.summed, trailer.digits)
        if not good:
            self.errors += 1
            self.sample = self.sample or answer


def connect(address: Address, number: int) -> socket.socket:
    """A new connection, from the address that belongs to `number`."""
    sock = socket.socket()
    try:
        _prepare(sock, number)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _prepare(sock: socket.socket, number: int) -> None:
    # Leaves the choice of a port to connect(), so that TIME_WAIT does not exhaust them.
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((f"127.0.0.{number % _ADDRESSES + 1}", 0))
    sock.settimeout(ANSWER_TIMEOUT_S)


_IP_BIND_ADDRESS_NO_PORT = 24
"""linux/in.h; the socket module does not name it."""


def receive_frame(sock: socket.socket) -> bytes:
    """One answer, from a blocking socket."""
    answer = b""
    while not answer.endswith(b"\r"):
        data = sock.recv(_RECEIVE_BYTES)
        if not data:
            raise NoAnswerError("the connection was closed")
        answer += data
    return answer


@contextmanager
def connected(address: Address, hellos: Iterable[bytes]) -> Iterator[list[socket.socket]]:
    """A connection for each of `hellos`, which is sent and answered on it."""
    sockets: list[socket.socket] = []
    try:
        for number, hello in enumerate(hellos):
            sock = connect(address, number)
            sockets.append(sock)
            sock.sendall(hello)
            receive_frame(sock)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def closed_loop(
    sockets: Sequence[socket.socket],
    supplies: Sequence[Iterator[bytes]],
    expected: Expected,
    seconds: float,
    turns: int = 1,
) -> Outcome:
    """Send the next frame on a connection as soon as its last one is answered.

    Ends after `seconds` or when there are no more frames, and when all are answered.

    Args:
        sockets: one for each terminal.
        supplies: what each of them sends; they may share one.
        expected: what a good answer is.
        seconds: how long.
        turns: frames of a dialogue, which is finished when it was begun in time.
    """
    outcome = Outcome()
    clock, poll = time.perf_counter_ns, select.epoll()
    receive = {sock.fileno(): sock.recv for sock in sockets}
    send = {sock.fileno(): sock.send for sock in sockets}
    supply = dict(zip(receive, supplies, strict=False))
    left = dict.fromkeys(receive, turns)
    sent: dict[int, int] = {}
    partial: dict[int, bytes] = {}
    start = clock()
    deadline = start + int(seconds * 1e9)
    for sock, frames in zip(sockets, supplies, strict=False):
        frame = next(frames, None)
        if frame is not None:
            poll.register(sock, select.EPOLLIN)
            sent[sock.fileno()] = clock()
            sock.send(frame)
    took = outcome.latencies_ns.append
    while sent:
        for fd, _ in _wait(poll):
            answer = receive[fd](_RECEIVE_BYTES)
            now = clock()
            if answer[-1:] != b"\r" or fd in partial:
                answer = _whole(partial, fd, answer)
                if not answer:
                    continue
            took(now - sent[fd])
            outcome.judge(answer, expected)
            left[fd] -= 1
            frame = next(supply[fd], None) if left[fd] or now < deadline else None
            left[fd] = left[fd] or turns
            if frame is None:
                del sent[fd]
            else:
                sent[fd] = now
                send[fd](frame)
    outcome.seconds = (clock() - start) / 1e9
    poll.close()
    return outcome


def _wait(poll: select.epoll) -> list[tuple[int, int]]:
    events = poll.poll(ANSWER_TIMEOUT_S)
    if not events:
        raise NoAnswerError("no answer came")
    return events


def _whole(partial: dict[int, bytes], fd: int, data: bytes) -> bytes:
    """The answer if `data` completes it, else nothing."""
    if not data:
        raise NoAnswerError("the connection was closed")
    answer = partial.pop(fd, b"") + data
    if answer.endswith(b"\r"):
        return answer
    partial[fd] = answer
    return b""


def visits(
    address: Address,
    logins: Sequence[bytes],
    frame: bytes,
    expected: Expected,
    seconds: float,
) -> Outcome:
    """Connect, log in, ask once and close, again and again, one visit at a time for each login.

    The latency is that of the whole visit.
    """
    outcome = Outcome()
    clock, poll = time.perf_counter_ns, select.epoll()
    start = clock()
    deadline = start + int(seconds * 1e9)
    begun: dict[int, int] = {}
    lines: dict[int, tuple[socket.socket, int]] = {}
    logged_in: set[int] = set()

    def begin(number: int) -> None:
        now = clock()
        if now >= deadline:
            return
        sock = connect(address, number)
        fd = sock.fileno()
        lines[fd], begun[fd] = (sock, number), now
        sock.send(logins[number])
        poll.register(fd, select.EPOLLIN)

    for number in range(len(logins)):
        begin(number)
    while lines:
        for fd, _ in _wait(poll):
            sock, number = lines[fd]
            answer = sock.recv(_RECEIVE_BYTES)
            if fd not in logged_in and answer:
                logged_in.add(fd)
                sock.send(frame)
                continue
            outcome.latencies_ns.append(clock() - begun[fd])
            outcome.judge(answer, expected)
            logged_in.discard(fd)
            del lines[fd]
            sock.close()
            begin(number)
    outcome.seconds = (clock() - start) / 1e9
    poll.close()
    return outcome


Split = Callable[[bytes], tuple[list[bytes], bytes]]
"""Complete answers in what was received, and the rest."""


def answers_in(data: bytes) -> tuple[list[bytes], bytes]:
    """Answers of SIP2 end with a CR."""
    *answers, rest = data.split(b"\r")
    return answers, rest


@dataclass(frozen=True, slots=True)
class Stream:
    """Frames to be sent at a steady rate over some connections, whatever the answers do."""

    sockets: Sequence[socket.socket]
    frames: Iterator[bytes]
    per_second: float
    expected: Expected
    begins_s: float = 0.0
    """When the first is due, so that streams side by side do not all send at once."""
    split: Split = answers_in

    def schedule(self, seconds: float) -> Iterator[tuple[float, Stream, socket.socket]]:
        """When each frame is due, and on which connection."""
        for turn in range(int(seconds * self.per_second)):
            due = self.begins_s + turn / self.per_second
            yield due, self, self.sockets[turn % len(self.sockets)]


def open_loop(streams: Sequence[Stream], seconds: float) -> list[Outcome]:
    """Run all `streams` side by side; one outcome each.

    A frame is sent when it is due even if the connection still waits for an earlier answer, so
    that a slow server cannot slow the load down and thereby look fast. Nothing waits for the rest
    of an answer either, so that a slow stream cannot make another one look slow.
    """
    outcomes = {id(stream): Outcome() for stream in streams}
    owner = {sock.fileno(): (sock, stream) for stream in streams for sock in stream.sockets}
    waiting: dict[int, deque[int]] = {fd: deque() for fd in owner}
    partial: dict[int, bytes] = dict.fromkeys(owner, b"")
    poll = select.epoll()
    for fd in owner:
        poll.register(fd, select.EPOLLIN)
    due = sorted(
        (entry for stream in streams for entry in stream.schedule(seconds)),
        key=lambda entry: entry[0],
    )
    start = time.perf_counter()
    position = 0
    while position < len(due) or any(waiting.values()):
        now = time.perf_counter() - start
        while position < len(due) and due[position][0] <= now:
            _, stream, sock = due[position]
            position += 1
            waiting[sock.fileno()].append(time.perf_counter_ns())
            sock.send(next(stream.frames))
        pause = due[position][0] - now if position < len(due) else ANSWER_TIMEOUT_S
        events = poll.poll(max(0.0, pause))
        if not events and position >= len(due):
            raise NoAnswerError("no answer came")
        for fd, _ in events:
            sock, stream = owner[fd]
            data = sock.recv(_RECEIVE_BYTES)
            if not data:
                raise NoAnswerError("the connection was closed")
            answers, partial[fd] = stream.split(partial[fd] + data)
            _take(answers, waiting[fd], outcomes[id(stream)], stream.expected)
    for outcome in outcomes.values():
        outcome.seconds = time.perf_counter() - start
    poll.close()
    return list(outcomes.values())


def _take(
    answers: Iterable[bytes], waiting: deque[int], outcome: Outcome, expected: Expected
) -> None:
    for answer in answers:
        outcome.latencies_ns.append(time.perf_counter_ns() - waiting.popleft())
        outcome.judge(answer, expected)
