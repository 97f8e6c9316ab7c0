"""Asks the library system what became of requests that it did not answer (C98, C127).

Such a request is written for review first, so that staff see it at once and the spool has room.
When the library system answers again, a 17 and, where that does not tell, a 63 say what became of
it. What they do not tell either stays open until staff close it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from sip2gw.backend.attempts import DoubtfulSending, UnknownSending
from sip2gw.backend.base import Backend
from sip2gw.backend.system import LibrarySystem, LibrarySystemError
from sip2gw.config.tables.upstream import Account
from sip2gw.foundation.clock import Clock
from sip2gw.monitoring.telemetry import Log
from sip2gw.policy.upstream.looking import (
    Attempt,
    Ending,
    Whereabouts,
    answer_to_done,
    ending_of,
    needs_loans,
    where_item_is,
    where_loans_say,
    words_of,
)
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import (
    ItemInformation,
    ItemInformationResponse,
    PatronInformation,
    PatronInformationResponse,
)
from sip2gw.protocol.timestamps import write_timestamp
from sip2gw.shared.sendings import Sendings

LOOKS_MAX = 50
"""In one go; the others follow in the next."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
AGAIN_MAX = 10_000
TOLD_WITHIN = timedelta(minutes=2)
"""So long before and after a start it may be that a terminal asks for what an earlier process found
to be done."""
LATE, LATE_MORE_S = 3.0, 1.0
"""So many times the time-out after it was sent, and so long after that, a request that was not done
never will be: a library system that is merely slow has done it by then."""


class Looker:
    """Looks whenever the `Settler` does.

    Args:
        accounts: as they are configured now.
    """

    def __init__(
        self,
        backend: Backend,
        library: LibrarySystem,
        sendings: Sendings,
        accounts: Callable[[], Mapping[str, Account]],
        clock: Clock,
        log: Log,
    ) -> None:
        self._backend = backend
        self._library = library
        self._sendings = sendings
        self._accounts = accounts
        self._clock = clock
        self._log = log
        self._started = clock.now()
        self._told: set[str] = set()
        """What was found to be done; in memory there is an answer for the terminal."""
        self._again: dict[str, tuple[float, float]] = {}
        """What was not answered when it was looked at: how long the next wait is, and its end."""

    async def look(self) -> tuple[int, bool]:
        """Look at what can be looked at now.

        Returns:
            How many are unknown still, and whether another look may tell more.

        Raises:
            BackendError: our store failed.
        """
        rows = await self.recall()
        unknown = sum(not row.is_done for row in rows)
        waiting = [
            row.sending
            for row in rows
            if (row.is_done or not row.seen) and self._can_ask(row.sending)
        ]
        done, settled = {row.sending.id: row.is_done for row in rows}, 0
        for sending in waiting[:LOOKS_MAX]:
            account = self._accounts().get(sending.account)
            if account is None or not self._can_ask(sending):
                continue
            try:
                settled += await self._look_at(sending, account) and not done[sending.id]
            except LibrarySystemError:
                self._wait_longer(sending)
        return unknown - settled, bool(waiting)

    def _wait_longer(self, sending: UnknownSending) -> None:
        """One that is never answered must not wear out a line each second."""
        wait_s, _ = self._again.pop(sending.id, (FIRST_WAIT_S, 0.0))
        self._again[sending.id] = (min(2 * wait_s, LONGEST_WAIT_S), self._now_s() + wait_s)
        if len(self._again) > AGAIN_MAX:
            del self._again[next(iter(self._again))]

    def _now_s(self) -> float:
        return self._clock.monotonic()

    async def recall(self) -> list[DoubtfulSending]:
        """Write for review what is in the spool; all of which nobody knows, of all gateways."""
        before = dict(self._sendings.doubtful)
        for known in await self._backend.unknown_attempts():
            if isinstance(known, UnknownSending) and not self._sendings.is_under_way(known):
                seen = ("cancellation",) if known.cancels else ()
                await self._backend.settle_sending(known, Ending.UNKNOWN, seen)
        rows = [
            row
            for row in await self._backend.doubtful_sendings(self._started - TOLD_WITHIN)
            if not row.is_done or self._is_untold(row.sending)
        ]
        self._sendings.recall((row.sending for row in rows), before)
        return rows

    def _is_untold(self, sending: UnknownSending) -> bool:
        """Whether an earlier process found that it was done, and its terminal may ask for that. We
        look again, for what the answer was has gone with that process."""
        is_earlier = sending.time < self._started and sending.id not in self._told
        return is_earlier and self._clock.now() - self._started < TOLD_WITHIN

    def _can_ask(self, sending: UnknownSending) -> bool:
        if sending.account not in self._accounts():
            return False
        if self._library.is_away(sending.account):
            return False
        _, not_before_s = self._again.get(sending.id, (0.0, 0.0))
        return self._now_s() >= not_before_s

    async def _look_at(self, sending: UnknownSending, account: Account) -> bool:
        """Whether it is settled.

        Raises:
            LibrarySystemError: nobody looked.
        """
        item, whereabouts = await self._where(sending, account)
        attempt = self._attempt(sending, account)
        ending = ending_of(attempt, whereabouts)
        if ending is None:
            return False
        await self._backend.settle_sending(sending, ending, words_of(attempt, whereabouts, item))
        self._again.pop(sending.id, None)
        if ending is Ending.UNKNOWN:
            return False
        if ending is Ending.DONE:
            answer = answer_to_done(attempt, sending.item_id, item)
            self._sendings.keep(sending, answer, self._now_s())
            self._told.add(sending.id)
        self._sendings.forget(sending)
        self._log.events.warning(
            "outcome_settled",
            attempt=sending.id,
            terminal=sending.terminal,
            done=ending is Ending.DONE,
        )
        return True

    def _attempt(self, sending: UnknownSending, account: Account) -> Attempt:
        late_s = LATE * account.timeout_s + LATE_MORE_S
        is_new = self._clock.now() - sending.time < timedelta(seconds=late_s)
        # What it had read before it stood still, it may do when it goes on.
        silent_at = self._library.silent_at(account.name)
        is_just_back = silent_at is not None and self._now_s() - silent_at < late_s
        return Attempt(
            sending.code,
            sending.patron_id,
            sending.cancels,
            undone=self._sendings.is_undone(sending),
            recent=is_new or is_just_back,
        )

    async def _where(
        self, sending: UnknownSending, account: Account
    ) -> tuple[ItemInformationResponse | None, Whereabouts]:
        item, whereabouts = None, Whereabouts.UNCLEAR
        if not sending.item_id:
            return item, whereabouts
        if self._offers(sending, ItemInformation.code):
            item = await self._ask_item(sending, account)
            whereabouts = where_item_is(item, sending.patron_id, aliases=account.aliases)
        needs = needs_loans(self._attempt(sending, account), whereabouts)
        if needs and self._offers(sending, PatronInformation.code):
            loans = await self._ask_loans(sending, account)
            whereabouts = where_loans_say(loans, sending.item_id)
        return item, whereabouts

    def _offers(self, sending: UnknownSending, code: str) -> bool:
        offered = self._library.offers(sending.account)
        return offered is None or code in offered

    async def _ask_item(self, sending: UnknownSending, account: Account) -> ItemInformationResponse:
        request = ItemInformation(
            transaction_date=write_timestamp(self._clock.now()),
            institution_id=account.institution,
            item_identifier=sending.item_id,
        )
        answer = await self._library.ask(sending.account, sending.terminal, request)
        assert isinstance(answer, ItemInformationResponse)
        return answer

    async def _ask_loans(
        self, sending: UnknownSending, account: Account
    ) -> PatronInformationResponse:
        request = PatronInformation(
            transaction_date=write_timestamp(self._clock.now()),
            summary=frozenset({Summary.CHARGED}),
            institution_id=account.institution,
            patron_identifier=sending.patron_id,
        )
        answer = await self._library.ask(sending.account, sending.terminal, request)
        assert isinstance(answer, PatronInformationResponse)
        return answer
