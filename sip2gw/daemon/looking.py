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
from sip2gw.config.upstream import Account
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
LATE = 3.0
"""So many times the time-out after it was sent, a request that was not done never will be: a library
system that is merely slow has done it by then."""


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

    async def look(self) -> tuple[int, bool]:
        """Look at what can be looked at now.

        Returns:
            How many are unknown still, and whether another look may tell more.

        Raises:
            BackendError: our store failed.
        """
        rows = await self.recall()
        waiting = [row.sending for row in rows if not row.seen and self._can_ask(row.sending)]
        settled = 0
        for sending in waiting[:LOOKS_MAX]:
            try:
                settled += await self._look_at(sending)
            except LibrarySystemError:
                break
        return len(rows) - settled, bool(waiting)

    async def recall(self) -> list[DoubtfulSending]:
        """Write for review what is in the spool; all of which nobody knows, of all gateways."""
        before = dict(self._sendings.doubtful)
        for known in await self._backend.unknown_attempts():
            if isinstance(known, UnknownSending) and not self._sendings.is_under_way(known):
                seen = ("cancellation",) if known.cancels else ()
                await self._backend.settle_sending(known, Ending.UNKNOWN, seen)
        rows = list(await self._backend.doubtful_sendings())
        self._sendings.recall((row.sending for row in rows), before)
        return rows

    def _can_ask(self, sending: UnknownSending) -> bool:
        is_known = sending.account in self._accounts()
        return is_known and not self._library.is_away(sending.account)

    async def _look_at(self, sending: UnknownSending) -> bool:
        """Whether it is settled.

        Raises:
            LibrarySystemError: nobody looked.
        """
        item, whereabouts = await self._where(sending)
        attempt = self._attempt(sending)
        ending = ending_of(attempt, whereabouts)
        if ending is None:
            return False
        await self._backend.settle_sending(sending, ending, words_of(attempt, whereabouts, item))
        if ending is Ending.UNKNOWN:
            return False
        if ending is Ending.DONE:
            answer = answer_to_done(attempt, sending.item_id, item)
            self._sendings.keep(sending, answer, self._clock.monotonic())
        self._sendings.forget(sending)
        self._log.events.warning(
            "outcome_settled",
            attempt=sending.id,
            terminal=sending.terminal,
            done=ending is Ending.DONE,
        )
        return True

    def _attempt(self, sending: UnknownSending) -> Attempt:
        return Attempt(
            sending.code,
            sending.patron_id,
            sending.cancels,
            undone=self._sendings.is_undone(sending),
            recent=self._clock.now() - sending.time < self._late(sending),
        )

    def _late(self, sending: UnknownSending) -> timedelta:
        return timedelta(seconds=LATE * self._accounts()[sending.account].timeout_s)

    async def _where(
        self, sending: UnknownSending
    ) -> tuple[ItemInformationResponse | None, Whereabouts]:
        item, whereabouts = None, Whereabouts.UNCLEAR
        if sending.item_id and self._offers(sending, ItemInformation.code):
            item = await self._ask_item(sending)
            whereabouts = where_item_is(item, sending.patron_id)
        if (
            sending.item_id
            and needs_loans(self._attempt(sending), whereabouts)
            and self._offers(sending, PatronInformation.code)
        ):
            whereabouts = where_loans_say(await self._ask_loans(sending), sending.item_id)
        return item, whereabouts

    def _offers(self, sending: UnknownSending, code: str) -> bool:
        offered = self._library.offers(sending.account)
        return offered is None or code in offered

    async def _ask_item(self, sending: UnknownSending) -> ItemInformationResponse:
        request = ItemInformation(
            transaction_date=write_timestamp(self._clock.now()),
            institution_id=self._accounts()[sending.account].institution,
            item_identifier=sending.item_id,
        )
        answer = await self._library.ask(sending.account, sending.terminal, request)
        assert isinstance(answer, ItemInformationResponse)
        return answer

    async def _ask_loans(self, sending: UnknownSending) -> PatronInformationResponse:
        request = PatronInformation(
            transaction_date=write_timestamp(self._clock.now()),
            summary=frozenset({Summary.CHARGED}),
            institution_id=self._accounts()[sending.account].institution,
            patron_identifier=sending.patron_id,
        )
        answer = await self._library.ask(sending.account, sending.terminal, request)
        assert isinstance(answer, PatronInformationResponse)
        return answer
