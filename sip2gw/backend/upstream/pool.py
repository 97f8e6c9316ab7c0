"""The lines of one account: who uses which, when lines are opened and given up (B71, C120)."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sip2gw.backend.system import (
    AccountState,
    AnotherPatronAnsweredError,
    BadAnswerError,
    Lease,
    LibrarySystemError,
    NoAnswerError,
    NotAskedError,
    Sent,
)
from sip2gw.backend.upstream import leases
from sip2gw.backend.upstream.breaker import (
    FIRST_REFUSED_S,
    FIRST_WAIT_S,
    LONGEST_REFUSED_S,
    LONGEST_WAIT_S,
    Backoff,
    Breaker,
)
from sip2gw.backend.upstream.figures import Condition, Figures
from sip2gw.backend.upstream.line import End, Job, Line, wire_format
from sip2gw.backend.upstream.opening import (
    NoStatusError,
    RefusedError,
    client_context,
    connect,
    log_in,
    problem_of,
)
from sip2gw.backend.upstream.readings import Readings
from sip2gw.backend.upstream.turns import Turns
from sip2gw.config.tables.upstream import Account
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.policy.upstream.pace import Pace, can_be_sent, can_wait
from sip2gw.protocol.codec import serialise
from sip2gw.protocol.line.matching import asked_by
from sip2gw.protocol.message import Request, Response
from sip2gw.protocol.messages import ALWAYS_SUPPORTED, AcsStatus, FeePaid, ScStatus

WAITING_MAX = 4096
"""Requests that wait for a line of one account."""
IDLE_S = 600.0
"""After so long without a terminal's request a line is closed, but for one (C120)."""
OFF_LINE_S = 5.0
"""So often one that says by its 98 that it is off line is asked whether it still is (B77)."""
WORKED_EVERY_S = 0.001
"""How long our thread has worked is a question to the kernel, and only matters in a crowd: so often
is enough."""
YOUNG_S = 5.0
"""A line that ends sooner, before anybody was served, is one that could not be opened."""

_ERRORS: dict[End, type[LibrarySystemError]] = {
    End.HUNG_UP: NoAnswerError,
    End.STRANGE: BadAnswerError,
    End.MISTAKEN: AnotherPatronAnsweredError,
}
"""What becomes of the request on a line that has ended like this."""


class Pool:
    """All lines of `account`; the owner of each `Line`."""

    def __init__(self, account: Account, metrics: Metrics, clock: Clock, log: Log) -> None:
        self._account = account
        self._clock = clock
        self.wire = wire_format(account)
        """How messages to the account are written."""
        self._readings = Readings(self.wire, aliases=account.aliases)
        self._tls = client_context(account.tls) if account.tls is not None else None
        self._figures = Figures(account.name, metrics, log)
        self._log = log
        self._breaker = Breaker(Backoff(FIRST_WAIT_S, LONGEST_WAIT_S))
        self._pace = Pace()
        self._worked_at, self._worked_s = -math.inf, 0.0
        self._opening_backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._refused_backoff = Backoff(FIRST_REFUSED_S, LONGEST_REFUSED_S)
        self._open_after = 0.0
        self._opens_rarely = False
        """Whether one of the two back-offs has grown."""
        self._openings: set[asyncio.Task[None]] = set()
        self._new: set[Line] = set()
        """Lines that are being opened."""
        self._lines: list[Line] = []
        """Those that are logged in."""
        self._idle: dict[Line, None] = {}
        """Those of them that wait for a request, the longest idle one first; a list would have to
        be searched for each request."""
        self._turns: Turns[Job] = Turns(WAITING_MAX)
        self._waited: deque[Job] = deque()
        """Jobs that had to wait for a line, in the order of their deadlines; those that have been
        sent or are over stay until it is looked again for what is late."""
        self._with_status = True
        self._is_refused = False
        self._problem = ""
        """Why the breaker opened last, for the log."""
        self._is_closed = False
        self._answered_at: float | None = None
        """When the last answer came, in seconds since 1970."""
        self.silent_at: float | None = None
        """See `LibrarySystem.silent_at`."""
        self.offers: frozenset[str] | None = None
        """See `LibrarySystem.offers`."""
        self._learn_offers(None)
        self.status: AcsStatus | None = None
        """See `LibrarySystem.last_status`."""

    # Asking --------------------------------------------------------------------------------

    def pass_on(
        self,
        terminal: str,
        body: bytes,
        lease: Lease | None,
        sent: Sent | None = None,
        *,
        typed: bool = False,
    ) -> Job:
        """Begin to ask with `body`; the caller awaits the job. The answer is a body, too, unless it
        is to be `typed`.

        Raises:
            NotAskedError: see `LibrarySystem.ask`.
        """
        now = self._clock.monotonic()
        deadline = now + self._account.timeout_s
        job = Job(self, terminal, body, asked_by(body), deadline, typed, lease, sent)
        if self._is_closed or not self._breaker.is_closed:
            self._figures.failed(body, NotAskedError)
            raise NotAskedError
        line, is_short = None, False
        if lease is not None:
            line = leases.leased_line(lease, job, self, now)
        if line is None:
            line = self._free_line(now)
            # Nobody's, as most are, need not be taken.
            is_short = line is None or (line.lease is not None and leases.take(line, lease))
        if line is not None:
            del self._idle[line]
            line.send(job, now, self._worked(now))
        elif self._can_wait(now) and self._turns.add(job):
            self._waited.append(job)
        else:
            self._figures.failed(body, NotAskedError)
            raise NotAskedError
        if is_short:
            self._open_more(now)
        return job

    def _worked(self, now: float) -> float:
        """How long our thread had worked at most `WORKED_EVERY_S` ago, in seconds."""
        if now - self._worked_at >= WORKED_EVERY_S:
            self._worked_at, self._worked_s = now, self._clock.worked()
        return self._worked_s

    def left(self, job: Job) -> None:
        """The owner of a line: see `line.Owner`."""
        line = job.line
        if line is None:
            self._turns.remove(job)
            self._figures.failed(job.body, NotAskedError)
        elif line.job is job:
            self._figures.failed(job.body, NoAnswerError)
            self._end(line)

    def _can_wait(self, now: float) -> bool:
        """Whether one more request would be answered in time if it waited for a line (B71).

        Lines that can be opened count as if they were there. While none is open nobody knows.
        """
        if not self._lines:
            return True
        lines = self._account.connections if now >= self._open_after else len(self._lines)
        theirs_s = self._pace.theirs_s(now, self._busy_s(self._lines, now))
        return can_wait(self._turns.size, lines, theirs_s, self._account.timeout_s)

    def _busy_s(self, lines: Iterable[Line], now: float) -> float:
        """For so long each of `lines` has waited for its answer, our work not counted; 0 if there
        are none."""
        idle_s = now - self._clock.worked()
        return min((idle_s - (line.used_at - line.worked_before) for line in lines), default=0.0)

    def _free_line(self, now: float) -> Line | None:
        """The idle line that was used last and is nobody's; else the one that waits longest for
        the session that has leased it."""
        for line in reversed(self._idle):
            if line.lease is None or now >= line.lease.until_s:
                return line
        return next(iter(self._idle), None)

    def _next(self, line: Line, now: float) -> None:
        """`line` is free: send what waits and can be answered in time."""
        expected_s = self._expected_s(line, now)
        while (job := self._turns.take()) is not None:
            if job.is_over:
                continue
            if can_be_sent(expected_s, job.deadline - now):
                leases.take(line, job.lease)
                line.send(job, now, self._worked(now))
                return
            self._fail(job, NotAskedError)
        self._idle[line] = None

    def _expected_s(self, line: Line, now: float) -> float:
        """How long the answer to what `line`, which is free, sends next will take."""
        others = (one for one in self._lines if one is not line)
        return self._pace.expected_s(now, self._busy_s(others, now))

    # Endings -------------------------------------------------------------------------------

    def answered(self, line: Line, job: Job, answer: Any) -> None:
        """The owner of a line: see `line.Owner`."""
        now = self._clock.monotonic()
        took_s = now - line.used_at
        self._figures.answered(job.body, took_s, is_ours=job.is_ours)
        # Only who waits wants to know how much of it was ours.
        ours_s = self._clock.worked() - line.worked_before if self._turns.size else 0.0
        self._pace.took(took_s, ours_s, now)
        self._answered_at = self._clock.epoch()
        if isinstance(answer, AcsStatus):
            line.status = answer
            if line.is_ready:
                self._learn(answer)
        if self._opens_rarely and line.is_ready:
            self._opens_rarely = False
            self._opening_backoff.reset()
            self._refused_backoff.reset()
        if not job.is_ours:
            line.has_served = True
            if job.lease is not None:
                leases.served(job.lease, job, line, now)
            if not self._breaker.is_well:
                self._works_again()
        if line.is_over:
            self._lost(line)
        elif line.is_ready:
            if self._turns.size:
                self._next(line, now)
            else:  # as nearly always
                self._idle[line] = None
        if not job.is_over:
            job.end(answer)

    def _works_again(self) -> None:
        """A terminal was answered after a failure."""
        was_away = self.is_away
        self._breaker.answered()
        if was_away:
            self._tell()

    def broken(self, line: Line, job: Job | None, end: End) -> None:
        """The owner of a line: see `line.Owner`."""
        now = self._clock.monotonic()
        is_unused = line.is_ready and job is None and not line.has_served
        if is_unused and now - line.opened_at < YOUNG_S:
            self._wait_to_open(self._opening_backoff, now)
        self._lost(line)
        if job is not None:
            self._failed(line, job, _ERRORS[end], serves=end is End.MISTAKEN)

    def _failed(
        self, line: Line, job: Job, error: type[LibrarySystemError], *, serves: bool = False
    ) -> None:
        self._fail(job, error)
        if line.is_ready and not serves and self._breaker.failed(self._clock.monotonic()):
            self._away(error())

    def _fail(self, job: Job, error: type[LibrarySystemError]) -> None:
        if not job.is_over:
            self._figures.failed(job.body, error)
            job.fail(error())

    def _end(self, line: Line) -> None:
        line.end()
        self._lost(line)

    def _lost(self, line: Line) -> None:
        """`line` is over; open another if somebody waits and we may."""
        if line in self._lines:
            self._lines.remove(line)
        self._idle.pop(line, None)
        if line.lease is not None:
            leases.end(line.lease)
        now = self._clock.monotonic()
        if self._turns.size:
            self._open_more(now)
        nobody_serves = not self._lines and not self._openings and self._breaker.is_closed
        if nobody_serves and now < self._open_after:
            self._breaker.trip(self._open_after)
            self._away(NoAnswerError())

    def _away(self, error: Exception) -> None:
        """The breaker has opened: nobody waits, and the lines that did not serve are closed."""
        self._is_refused = isinstance(error, RefusedError)
        # The words only: the error itself would keep alive what its line held.
        self._problem = problem_of(error)
        self._refuse_waiting()
        for line in tuple(self._idle):
            self._end(line)
        self._tell()

    def _refuse_waiting(self) -> None:
        while (job := self._turns.take()) is not None:
            self._fail(job, NotAskedError)

    def _learn(self, status: AcsStatus | None) -> None:
        """What a line that is logged in was told last: before the login they may say less."""
        if status is None:
            return
        self.status = status
        # The default itself, not its like: they have said no BX at all.
        if status.supported_messages is not ALWAYS_SUPPORTED:
            self._learn_offers(status.supported_messages)

    def _learn_offers(self, said: frozenset[str] | None) -> None:
        offered = self._account.messages if self._account.messages is not None else said
        if offered is not None and not self._account.payments:
            offered -= {FeePaid.code}
        self.offers = offered

    # Opening -------------------------------------------------------------------------------

    def open_one(self) -> None:
        """Open a line, in the background."""
        task = asyncio.get_running_loop().create_task(self._open())
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    def _open_more(self, now: float) -> None:
        """Open lines for those who wait, as far as the account may have more."""
        if self._is_closed or now < self._open_after or not self._breaker.is_closed:
            return
        wanted = max(1, self._turns.size) - len(self._openings)
        room = self._account.connections - len(self._lines) - len(self._openings)
        for _ in range(min(wanted, room)):
            self.open_one()

    async def _open(self) -> None:
        if not self._lines:
            self._with_status = True
        try:
            try:
                line = await self._new_line()
            except NoStatusError:
                self._with_status = False
                line = await self._new_line()
        except RefusedError as error:
            self._not_opened(self._refused_backoff, error)
        except (OSError, LibrarySystemError, NoStatusError) as error:
            self._not_opened(self._opening_backoff, error)
        except Exception as error:
            # Whatever it was, the account must be tried again: an open breaker waits for us.
            self._log.uncaught("upstream_opening_failed", error, account=self._account.name)
            self._not_opened(self._opening_backoff, error)
        else:
            self._opened(line)

    async def _new_line(self) -> Line:
        line = Line(self, self._account, self.wire, self._readings)
        self._new.add(line)
        try:
            await connect(self._account, self._tls, line)
            await log_in(self._account, line, self._say, with_status=self._with_status)
        except BaseException:
            line.end()
            raise
        finally:
            self._new.discard(line)
        if line.is_over:
            raise NoAnswerError
        return line

    async def _say(self, line: Line, request: Request) -> Response:
        if line.is_over:
            raise NoAnswerError
        answer: Response = await self._send_ours(line, request)
        return answer

    def _send_ours(self, line: Line, request: Request) -> Job:
        now = self._clock.monotonic()
        deadline = now + self._account.timeout_s
        body = serialise(request, self.wire)
        job = Job(self, "", body, asked_by(body), deadline, typed=True, is_ours=True)
        line.send(job, now, self._worked(now))
        return job

    def _opened(self, line: Line) -> None:
        now = self._clock.monotonic()
        if self.is_away:
            self.silent_at = now
        self._breaker.probe_succeeded()
        line.is_ready = True
        line.opened_at = line.served_at = now
        self._learn(line.status)
        self._lines.append(line)
        self._tell()
        self._next(line, now)

    def _not_opened(self, backoff: Backoff, error: Exception) -> None:
        self._wait_to_open(backoff, self._clock.monotonic())
        if not self._lines:
            self._breaker.trip(self._open_after)
            self._away(error)

    def _wait_to_open(self, backoff: Backoff, now: float) -> None:
        """Open no line before the next wait of `backoff` is over."""
        self._open_after, self._opens_rarely = now + backoff.next_s(), True

    # Time ----------------------------------------------------------------------------------

    def sweep(self) -> None:
        """End what is late and look after the lines; to be called several times a second."""
        now = self._clock.monotonic()
        for line in (*self._new, *self._lines):
            if line.job is not None and line.job.deadline <= now:
                self._late(line, line.job)
        self._end_waits(now)
        if self._breaker.may_probe(now):
            self._breaker.probe_began()
            self.open_one()
        elif not self._lines and not self._openings:
            self._open_more(now)
        self._tend(now)
        self._measure()

    def _late(self, line: Line, job: Job) -> None:
        self.silent_at = self._clock.monotonic()
        self._end(line)
        self._failed(line, job, NoAnswerError)

    def _end_waits(self, now: float) -> None:
        """Refuse what has waited for a line until its deadline."""
        while self._waited:
            job = self._waited[0]
            waits = job.line is None and not job.is_over
            if waits and now < job.deadline:
                return
            self._waited.popleft()
            if waits:
                self._turns.remove(job)
                self._fail(job, NotAskedError)

    def _tend(self, now: float) -> None:
        """Close idle lines, and keep the others alive."""
        keepalive_s = self._account.keepalive_s
        if self.status is not None and not self.status.online:
            keepalive_s = min(keepalive_s, OFF_LINE_S)
        for line in tuple(self._idle):
            if len(self._lines) > 1 and now - line.served_at >= IDLE_S:
                self._end(line)
            elif self._with_status and now - line.used_at >= keepalive_s:
                del self._idle[line]
                # Nobody awaits it; how it ends shows in the line.
                self._send_ours(line, ScStatus())

    async def close(self) -> None:
        """Close all lines; who waits learns that it was not asked, or not answered."""
        self._is_closed = True
        openings = tuple(self._openings)
        for task in openings:
            task.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        for line in tuple(self._lines):
            job = line.job
            self._end(line)
            if job is not None:
                self._fail(job, NoAnswerError)
        self._refuse_waiting()
        self._measure()

    # Telling -------------------------------------------------------------------------------

    def forget(self) -> None:
        """See `LibrarySystem.forget`."""
        self._readings.forget()

    @property
    def is_away(self) -> bool:
        """See `LibrarySystem.is_away`."""
        return not self._breaker.is_closed

    @property
    def last_answer(self) -> datetime | None:
        """See `LibrarySystem.last_answer`."""
        at = self._answered_at
        return datetime.fromtimestamp(at, UTC) if at is not None else None

    def state(self) -> AccountState:
        """For `upstream status`."""
        return AccountState(
            account=self._account.name,
            state=self._condition(),
            open=len(self._lines),
            idle=len(self._idle),
            waiting=self._turns.size,
            breaker=self._breaker.state,
            latency_ms=self._figures.latency_ms,
        )

    def _condition(self) -> Condition:
        if self._breaker.is_closed:
            return "up" if self._lines else "connecting"
        return "refused" if self._is_refused else "away"

    def _tell(self) -> None:
        self._figures.tell(self._condition(), self._problem)

    def _measure(self) -> None:
        idle = len(self._idle)
        self._figures.measure(
            idle=idle,
            busy=len(self._lines) - idle,
            opening=len(self._openings),
            breaker_open=self.is_away,
            last_answer=self._answered_at or 0.0,
        )
