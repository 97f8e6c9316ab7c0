"""What went up to a library system, as every store keeps it (B79, C98, C127).

A request that changes something there is written into the spool before it goes up. So it is in
doubt, not forgotten, if the gateway ends before the answer has come. One that was not answered
becomes an entry for review, where it stays after the library system has been asked about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sip2gw.backend.attempts import DoubtfulSending, UnknownSending
from sip2gw.backend.base import UnavailableError
from sip2gw.backend.database import Database
from sip2gw.backend.doubts import Doubts
from sip2gw.backend.sql.money import unknown


class Sendings(Database):
    """The part of a store that keeps them; a command has no `_doubts`, and sends nothing."""

    _doubts: Doubts | None

    async def begin_sending(self, sending: UnknownSending) -> None:
        """See `Backend.begin_sending`."""
        if self._doubts is None:
            raise UnavailableError("a command sends nothing")
        await self._doubts.begin(sending)

    async def note_sending(self, sending: UnknownSending) -> None:
        """See `Backend.note_sending`."""
        if self._doubts is not None:
            await self._doubts.note(sending)

    def end_sending(self, sending: UnknownSending) -> None:
        """See `Backend.end_sending`."""
        if self._doubts is not None:
            self._doubts.end(sending)

    async def settle_sending(
        self, sending: UnknownSending, outcome: str, seen: Sequence[str] = ()
    ) -> None:
        """See `Backend.settle_sending`."""

        def write() -> None:
            with self.own_connection() as connection:
                unknown.settle_sending(connection, sending, outcome, seen)

        await asyncio.to_thread(write)
        self.end_sending(sending)

    async def doubtful_sendings(self, done_since: datetime) -> Sequence[DoubtfulSending]:
        """See `Backend.doubtful_sendings`."""

        def read() -> list[DoubtfulSending]:
            with self.snapshot() as connection:
                return unknown.doubtful_sendings(connection, done_since)

        return await asyncio.to_thread(read)
