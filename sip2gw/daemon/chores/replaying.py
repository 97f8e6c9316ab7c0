"""Hands over what was taken off line, when the library system is back (B77, C125, C154).

The entries of an account go up one after the other, in the order in which they happened, each once,
whichever gateway has written it down. Terminals come first: at most half of one line's time is for
the journal. What was not answered is never sent again; the account rests then, so that a library
system that is merely slow has done it before anything else arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct

from sip2gw.backend.attempts import sending_of
from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.backend.system import LibrarySystem, LibrarySystemError, NotAskedError
from sip2gw.config.tables.upstream import Account
from sip2gw.daemon.chores.looking import LATE, LATE_MORE_S
from sip2gw.foundation.clock import Clock
from sip2gw.model.journal import OPEN_MAX, EntryState, JournalEntry, Waiting
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log
from sip2gw.policy.upstream.journal import reasons_for_staff, request_of, state_after
from sip2gw.protocol.messages import CheckinResponse, CheckoutResponse
from sip2gw.shared.journal import JournalSeen
from sip2gw.shared.sendings import Sendings

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 1.0
"""After an entry the account pauses as long as that took, within these."""
LEASE_MORE_S = 10.0
"""A lease is so much longer than four times the time-out."""
STAYS_OPEN = timedelta(hours=1)
"""What waits for so long, staff should know of: nights of maintenance are shorter, and then
terminals have been off line for all that time."""
KINDS = {"09": "return", "11": "loan"}
"""Labels of the metric, by message."""

Tell = Callable[[Waiting, int, bool], None]
"""Tells staff what waits longest for an account, how much does, and whether more has no room."""


class _Ended(Struct, frozen=True):
    """What became of an entry that the store still shows as open."""

    entry: JournalEntry
    state: EntryState


class Replayer:
    """Looks every second; each account that is there has a task while something waits for it.

    Args:
        store: where the journal is.
        accounts: as they are configured now.
        tell: see `Tell`.
    """

    def __init__(
        self,
        store: Library,
        library: LibrarySystem,
        sendings: Sendings,
        seen: JournalSeen,
        accounts: Callable[[], Mapping[str, Account]],
        tell: Tell,
        metrics: Metrics,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._library = library
        self._sendings = sendings
        self._seen = seen
        self._accounts = accounts
        self._tell = tell
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unwritten: dict[str, _Ended] = {}
        """By account: nothing else of it goes up before that is written down."""
        self._rest_until: dict[str, float] = {}
        self._told: dict[str, str] = {}
        """The oldest entry of each account that staff were told of."""
        self._is_stopping = False

    async def look(self) -> None:
        """Begin to hand over what can be; what the store does not tell waits for the next look."""
        try:
            waiting = await self._store.journal_waiting()
        except BackendError as error:
            self._failed(error)
            return
        self._seen.look(sum(one.count for one in waiting))
        self._count(waiting)
        self._tell_staff(waiting)
        for account in {one.account for one in waiting} | set(self._unwritten):
            if account not in self._tasks and self._may_ask(account):
                self._begin(account)

    def _begin(self, account: str) -> None:
        task = asyncio.get_running_loop().create_task(self._work(account))
        self._tasks[account] = task
        task.add_done_callback(lambda _: self._tasks.pop(account, None))

    async def stop(self) -> None:
        """Begin nothing more, and wait for what is being handed over."""
        self._is_stopping = True
        while self._tasks:
            await asyncio.wait(tuple(self._tasks.values()))

    def _may_ask(self, account: str) -> bool:
        if self._is_stopping or account not in self._accounts():
            return False
        if self._clock.monotonic() < self._rest_until.get(account, 0.0):
            return False
        return not self._library.is_away(account)

    async def _work(self, account: str) -> None:
        """Hand over entry after entry, until nothing is left or the account is not there."""
        try:
            while self._may_ask(account):
                began_s = self._clock.monotonic()
                if not await self._next(account):
                    return
                took_s = self._clock.monotonic() - began_s
                await asyncio.sleep(min(max(took_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S))
        except BackendError as error:
            self._failed(error)
        except Exception as error:
            # The next look tries again: nothing else hands over what waits.
            self._log.uncaught("journal_failed", error, account=account)

    async def _next(self, account: str) -> bool:
        """Hand over the next entry; whether there was one.

        Raises:
            BackendError: the store failed.
        """
        await self._write_down(account)
        lease_s = 4 * self._accounts()[account].timeout_s + LEASE_MORE_S
        now, began_s = self._clock.now(), self._clock.monotonic()
        until = now + timedelta(seconds=lease_s)
        entry = await self._store.claim_journalled(account, self._store.claimant, now, until)
        if entry is None:
            return False
        if self._clock.monotonic() - began_s > lease_s / 2:
            # The process was held up: somebody else may take it before there is an answer.
            await self._store.release_journalled(entry, self._store.claimant)
            return True
        return await self._hand_over(entry, self._accounts()[account])

    async def _hand_over(self, entry: JournalEntry, account: Account) -> bool:
        sending = sending_of(entry)
        request = request_of(entry, account.institution)
        sent = partial(self._sendings.sent, sending)
        try:
            answer = await self._library.ask(account.name, entry.terminal, request, sent=sent)
        except NotAskedError:
            await self._store.release_journalled(entry, self._store.claimant)
            return False
        except LibrarySystemError:
            self._sendings.doubt(sending)
            rest_s = LATE * account.timeout_s + LATE_MORE_S
            self._rest_until[account.name] = self._clock.monotonic() + rest_s
            await self._end(entry, EntryState.UNKNOWN)
            return False
        assert isinstance(answer, CheckoutResponse | CheckinResponse)
        state = state_after(answer)
        if state is EntryState.DONE:
            self._sendings.keep(sending, answer, self._clock.monotonic())
        await self._end(entry, state)
        return True

    async def _end(self, entry: JournalEntry, state: EntryState) -> None:
        self._unwritten[entry.account] = _Ended(entry, state)
        await self._write_down(entry.account)

    async def _write_down(self, account: str) -> None:
        """Note how the last entry ended, if that is still to be noted."""
        ended = self._unwritten.get(account)
        if ended is None:
            return
        entry, state = ended.entry, ended.state
        reasons = reasons_for_staff(entry, state)
        await self._store.end_journalled(entry, state, reasons, self._clock.now())
        del self._unwritten[account]
        if state is not EntryState.DONE:
            self._log.events.warning(
                "journal_conflict",
                entry=entry.id,
                terminal=entry.terminal,
                state=state.value,
            )

    # What others are told ------------------------------------------------------------------

    def _count(self, waiting: Sequence[Waiting]) -> None:
        counts = dict.fromkeys(KINDS.values(), 0)
        for one in waiting:
            counts[KINDS[one.message]] += one.count
        self._metrics.journal_open = counts

    def _tell_staff(self, waiting: Sequence[Waiting]) -> None:
        now: datetime = self._clock.now()
        for account in {one.account for one in waiting}:
            of_account = [one for one in waiting if one.account == account]
            oldest, count = min(of_account, key=_id), sum(one.count for one in of_account)
            is_full = count >= OPEN_MAX
            stays = now - oldest.since >= STAYS_OPEN
            if (stays or is_full) and self._told.get(account) != oldest.oldest:
                self._told[account] = oldest.oldest
                self._tell(oldest, count, is_full)

    def _failed(self, error: BackendError) -> None:
        self._metrics.backend_errors["journal", error.kind] += 1
        self._log.events.warning("journal_store_failed", kind=error.kind)


def _id(waiting: Waiting) -> str:
    return waiting.oldest
