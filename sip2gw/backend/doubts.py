"""Attempts of unknown outcome that are not in the store yet, in memory and in the spool (C98)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sip2gw.backend.attempts import (
    Settlement,
    UnknownAttempt,
    UnknownCirculation,
    UnknownSending,
)
from sip2gw.backend.base import (
    HungUpError,
    PaymentOutcome,
    PaymentResult,
    UnavailableError,
)
from sip2gw.backend.spool import SLOTS, Spool, SpoolError
from sip2gw.foundation.eager import Happening
from sip2gw.foundation.threads import ready_pool
from sip2gw.policy.reasons import PaymentRefusalReason

T = TypeVar("T")

NOTE_WAIT_S = 1.0
"""So long may noting an attempt hold up the answer. A disk that takes longer goes on writing the
entry, which then outlives our own end, but perhaps not that of the machine."""

ENDED_KEPT_S = 0.2
"""So long at least, and at most twice as long, the spool keeps what has ended: the answer may not
have left yet, and if this process ends before it has, the terminal asks again."""

DONE_KEPT_MAX = 1_000
"""Of more attempts that are known to be done the oldest are forgotten."""

NOT_NOTABLE = PaymentResult(PaymentOutcome.REFUSED, refusal=PaymentRefusalReason.SYSTEM)
"""Nothing is booked whose unknown outcome could not be noted (C98).

Inside a store only, where it is a result like others: what was booked before is found all the
same, for the key speaks before any refusal, and a terminal that was told "not sure" gets its yes.
Then `insist_on_notable` turns it into a failure.
"""

Key = tuple[str, ...]
"""What two attempts have in common only if one repeats the other."""


def key_of(attempt: UnknownAttempt) -> Key:
    """Under which `attempt` is found."""
    item_id = attempt.item_id if isinstance(attempt, UnknownCirculation) else ""
    return attempt.terminal, attempt.key, item_id


def insist_on_notable(doubts: Doubts | None, result: PaymentResult) -> PaymentResult:
    """`result`, unless that is `NOT_NOTABLE`.

    Raises:
        UnavailableError: nothing was booked, because its outcome could not have been noted.
    """
    if doubts is not None and result is NOT_NOTABLE:
        raise UnavailableError(f"no outcome could be noted: {doubts.problem}")
    return result


class _Beginning(Happening):
    """A request that waits to be written down before it goes up."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: UnknownSending) -> None:
        super().__init__()
        self.attempt = attempt


class Doubts:
    """Notes attempts and finds them again. All methods belong to one event loop.

    Args:
        spool: opened by `open`; used in a thread of its own.
        left: the spools of workers that there are no longer; what is in them is settled here.
    """

    def __init__(self, spool: Spool, left: Iterable[Path] = ()) -> None:
        self.writable = False
        """Whether an attempt could be noted: else no payment is taken any more."""
        self.problem = "not open"
        """Why it could not."""
        self._spool = spool
        self._left = list(left)
        """Not taken over yet."""
        self._known: dict[str, UnknownAttempt] = {}
        self._by_key: dict[Key, UnknownAttempt] = {}
        self._done: dict[Key, UnknownAttempt] = {}
        """What is known to be done, the oldest first."""
        self._unwritten: set[str] = set()
        """Noted in memory only."""
        self._begun: set[str] = set()
        """Under way and in the spool, but not in doubt as long as this process lives."""
        self._beginning: dict[str, _Beginning] = {}
        """By their ids; to be written next."""
        self._writes_beginnings = False
        """Whether a write is under way, or begins in this turn of the loop."""
        self._ended: dict[str, list[UnknownSending]] = {}
        """By their items; in the spool for a moment longer."""
        self._ended_before: dict[str, list[UnknownSending]] = {}
        """The same of those that go first."""
        self._aging: asyncio.TimerHandle | None = None
        """Runs while there are any."""
        self._opened = False
        self._thread = ready_pool(1, "spool")

    def __len__(self) -> int:
        return len(self._known)

    def open(self) -> None:
        """Read what an earlier process has left; blocking, before the loop runs.

        A spool that cannot be opened is tried again by `mend`.
        """
        try:
            found = self._spool.open()
        except SpoolError as error:
            self.problem = str(error)
            return
        self._opened = self.writable = True
        with suppress(SpoolError):  # `mend` tries again
            found += self._take_over()
        for attempt in found:
            self._add(attempt)

    def all(self) -> list[UnknownAttempt]:
        """All of them, oldest first."""
        return sorted(self._known.values(), key=lambda known: (known.time, known.id))

    def perhaps_done(self) -> list[UnknownAttempt]:
        """All of them, and those that are known to be done: a retry must not get a no."""
        return [*self.all(), *self._done.values()]

    def under(self, key: Key) -> UnknownAttempt | None:
        """An attempt under `key` (see `key_of`), if there is one; of several, one at a time."""
        return self._by_key.get(key)

    async def note(self, attempt: UnknownAttempt) -> None:
        """Remember `attempt`, durably before this returns if the disk lets us.

        If it does not, the attempt is kept in memory, and `writable` is false. The deadline of the
        request does not end this, because "not sure" is the only possible answer then.
        """
        if attempt.id in self._known:
            return
        self._add(attempt)
        if attempt.id in self._begun:
            return
        self._unwritten.add(attempt.id)
        writing = self._run(self._put, attempt)
        try:
            await asyncio.wait({writing}, timeout=NOTE_WAIT_S)
        except HungUpError:
            raise
        except asyncio.CancelledError:
            await asyncio.wait({writing}, timeout=NOTE_WAIT_S)

    async def begin(self, attempt: UnknownSending) -> None:
        """Write down `attempt` before it is made: it is in doubt if this process ends before `end`.

        Those of several terminals share a thread and a wait for the disk.

        Raises:
            UnavailableError: it is not written down, so it must not be made.
        """
        if self._undoes(attempt) or len(self._begun) >= SLOTS // 2:
            self._drop_ended()
        beginning = self._beginning[attempt.id] = _Beginning(attempt)
        if not self._writes_beginnings:
            self._writes_beginnings = True
            asyncio.get_running_loop().call_soon(self._write_beginnings)
        try:
            await beginning
        except asyncio.CancelledError:
            self.end(attempt)
            raise
        if attempt.id not in self._begun:
            raise UnavailableError(f"no outcome could be noted: {self.problem}")

    def _undoes(self, attempt: UnknownSending) -> bool:
        """Whether it may undo what has just ended, which a look after a crash would find undone."""
        generations = (self._ended, self._ended_before)
        about = [one for ended in generations for one in ended.get(attempt.item_id, ())]
        return any(one.code != attempt.code for one in about)

    def _write_beginnings(self) -> None:
        """Write what has come since the last time, as long as something does."""
        batch, self._beginning = list(self._beginning.values()), {}
        self._writes_beginnings = bool(batch)
        if not batch:
            return

        def written(_: object) -> None:
            for beginning in batch:
                beginning.happen()
            self._write_beginnings()

        attempts = [beginning.attempt for beginning in batch]
        self._run(self._put_all, attempts).add_done_callback(written)

    def end(self, attempt: UnknownSending) -> None:
        """`attempt` is known to be done or not; nobody waits for the spool."""
        if self._beginning.pop(attempt.id, None) is not None:
            return
        if attempt.id in self._known:
            self._forget((attempt.id,))
            return
        self._ended.setdefault(attempt.item_id, []).append(attempt)
        if self._aging is None:
            self._age_ended_later()

    def _age_ended_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._aging = loop.call_later(ENDED_KEPT_S, self._age_ended)

    def _age_ended(self) -> None:
        """Drop what had ended before this was called last."""
        self._aging = None
        gone, self._ended_before, self._ended = self._ended_before, self._ended, {}
        self._drop_all(gone)
        if self._ended_before:
            self._age_ended_later()

    def _drop_ended(self) -> None:
        for ended in (self._ended_before, self._ended):
            self._drop_all(ended)
        self._ended_before, self._ended = {}, {}

    def _drop_all(self, ended: dict[str, list[UnknownSending]]) -> None:
        if ended:
            self._run(self._drop, [one.id for about in ended.values() for one in about])

    def settled(self, settlements: Iterable[Settlement]) -> None:
        """These are settled, durably, in the store; nobody waits for the spool.

        Those that were done are remembered, as by `done`.
        """
        settlements = tuple(settlements)
        for one in settlements:
            if one.done:
                self.done(one.attempt)
        self._forget(one.attempt.id for one in settlements)

    def done(self, attempt: UnknownAttempt) -> None:
        """`attempt` is done, durably. Its terminal may not hear of it, as when the network fails,
        and may ask again while the store cannot be read."""
        self._done.pop(key_of(attempt), None)
        self._done[key_of(attempt)] = attempt
        if len(self._done) > DONE_KEPT_MAX:
            del self._done[next(iter(self._done))]

    def _forget(self, attempt_ids: Iterable[str]) -> None:
        gone = [attempt_id for attempt_id in attempt_ids if attempt_id in self._known]
        for attempt_id in gone:
            attempt = self._known.pop(attempt_id)
            self._unwritten.discard(attempt_id)
            if self._by_key.get(key_of(attempt)) is attempt:
                del self._by_key[key_of(attempt)]
        if gone:
            for attempt in self._known.values():
                self._by_key.setdefault(key_of(attempt), attempt)
            self._run(self._drop, gone)

    async def mend(self) -> None:
        """Try again what failed; afterwards `writable` says whether it works."""
        if self._unwritten or not self.writable or self._left:
            unwritten = [self._known[attempt_id] for attempt_id in sorted(self._unwritten)]
            for attempt in await self._run(self._mend, unwritten):
                self._add(attempt)

    async def close(self) -> None:
        """Finish what is being written and let go of the spool."""
        self._drop_ended()
        await self._run(self._spool.close)
        self._thread.shutdown(wait=False)

    def _add(self, attempt: UnknownAttempt) -> None:
        self._known[attempt.id] = attempt
        self._by_key[key_of(attempt)] = attempt

    def _run(self, what: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, what, *arguments)

    # In the thread --------------------------------------------------------------------------

    def _put(self, attempt: UnknownAttempt) -> None:
        try:
            self._spool.put(attempt)
        except SpoolError as error:
            self._failed(error)
        else:
            self._unwritten.discard(attempt.id)

    def _put_all(self, attempts: Iterable[UnknownAttempt]) -> None:
        try:
            noted = self._spool.put_all(attempts)
        except SpoolError as error:
            self._failed(error)
        else:
            self._begun.update(noted)

    def _drop(self, attempt_ids: Iterable[str]) -> None:
        self._begun.difference_update(attempt_ids)
        try:
            self._spool.drop(attempt_ids)
        except SpoolError as error:
            self._failed(error)

    def _mend(self, unwritten: Iterable[UnknownAttempt]) -> list[UnknownAttempt]:
        """What an earlier process has left, if the spool could be opened only now."""
        found: list[UnknownAttempt] = []
        try:
            if not self._opened:
                found = self._spool.open()
                self._opened = True
            for attempt in unwritten:
                self._spool.put(attempt)
                self._unwritten.discard(attempt.id)
            self._spool.check()
            found += self._take_over()
        except SpoolError as error:
            self._failed(error)
        else:
            self.writable = True
        return found

    def _take_over(self) -> list[UnknownAttempt]:
        """What was in the spools that nobody uses any more; others are tried again."""
        found: list[UnknownAttempt] = []
        for path in tuple(self._left):
            taken = self._spool.take_over(path)
            if taken is not None:
                self._left.remove(path)
                found += taken
        return found

    def _failed(self, error: SpoolError) -> None:
        self.problem, self.writable = str(error), False
