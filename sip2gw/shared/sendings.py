"""What went up to a library system lately, so that it does not go up twice.  (B79, C97, C127)

In memory only, and bounded; the store keeps what must outlive this process (`Backend`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import Struct

from sip2gw.backend.attempts import UnknownSending
from sip2gw.foundation.eager import Detached
from sip2gw.protocol.message import Response
from sip2gw.protocol.structs import Discreet, Hidden

ANSWER_KEPT_S = 60.0
"""So long at most a yes is given again (C127)."""
ANSWERS_MAX = 10_000
NAMED_MAX = 50_000
"""Items and patrons of whom the last request is known."""

Effect = Literal["lends", "returns", ""]

Key = tuple[str, str]
"""What two requests have in common only if one repeats the other (C69, C88)."""


def key_of(sending: UnknownSending) -> Key:
    """The key names terminal, message, patron and date; the item stands beside it."""
    return sending.key, sending.item_id


def effect_of(sending: UnknownSending) -> Effect:
    """What it does with the item if it is done."""
    if sending.code == "15":
        return ""
    return "returns" if (sending.code == "09") != sending.cancels else "lends"


@dataclass(eq=False, slots=True)
class Passage:
    """A request on its way up."""

    sending: UnknownSending
    work: Detached[Response] = field(init=False, repr=False)
    """Ends when its outcome is known, or noted as unknown."""
    waiting: int = 0
    """How many requests wait for the answer."""
    is_sent: bool = False
    """Whether it may have reached the library system."""
    answer: Response | None = field(default=None, repr=False)


class _Answered(Discreet, Struct, frozen=True):
    sending: UnknownSending
    answer: Hidden[Response]
    until_s: float


class Sendings:
    """Answers that still hold, what is under way, and what nobody knows."""

    def __init__(self) -> None:
        self.doubtful: dict[Key, UnknownSending] = {}
        """What nobody knows: none of these goes up again."""
        self.is_recalled = False
        """Whether `doubtful` has what an earlier process has left: nothing goes up before."""
        self._under_way: dict[Key, Passage] = {}
        self._ids: set[str] = set()
        """Of those under way."""
        self._left: set[asyncio.Future[None]] = set()
        """Of those whose asker has gone."""
        self._answered: OrderedDict[Key, _Answered] = OrderedDict()
        self._last: OrderedDict[tuple[str, str], str] = OrderedDict()
        """The last request that may have changed something about an item or a patron."""

    # Under way -----------------------------------------------------------------------------

    def begin(
        self, passage: Passage, sending_it: Coroutine[Any, Any, Response]
    ) -> Awaitable[Response]:
        """From now on `passage` is under way, until `sending_it` has ended; await its outcome."""
        sending = passage.sending
        key = key_of(sending)
        self._under_way[key] = passage
        self._ids.add(sending.id)

        def end() -> None:
            del self._under_way[key]
            self._ids.discard(sending.id)

        passage.work = Detached(self._left, end)
        return passage.work.run(sending_it)

    def under_way(self, sending: UnknownSending) -> Passage | None:
        """The same request, sent before and not answered yet."""
        return self._under_way.get(key_of(sending))

    def is_under_way(self, sending: UnknownSending) -> bool:
        """Whether this very request is."""
        return sending.id in self._ids

    # What was sent last --------------------------------------------------------------------

    def sent(self, sending: UnknownSending) -> None:
        """`sending` goes up now: see `went_up`."""
        self.went_up(sending.id, sending.item_id, sending.patron_id, effect_of(sending))

    def went_up(self, sending_id: str, item: str, patron: str, effect: Effect = "") -> None:
        """Something that may change things about `item` and `patron` goes up now.

        What was answered about them before may be so no longer. So this is not for what only waits
        for a line: it may never go up, and what was done before would be done again.
        """
        for named in (("item", item), ("patron", patron), (effect, item)):
            if all(named):
                self._last[named] = sending_id
                self._last.move_to_end(named)
        while len(self._last) > NAMED_MAX:
            self._last.popitem(last=False)

    def is_overtaken(self, sending: UnknownSending) -> bool:
        """Whether more about its item or patron went up since."""
        named = (("item", sending.item_id), ("patron", sending.patron_id))
        return any(self._last.get(one, sending.id) != sending.id for one in named)

    def is_undone(self, sending: UnknownSending) -> bool:
        """Whether something went up since that may have undone it. Ids sort by time."""
        undone_by = "lends" if effect_of(sending) == "returns" else "returns"
        return self._last.get((undone_by, sending.item_id), "") > sending.id

    # Answers -------------------------------------------------------------------------------

    def keep(self, sending: UnknownSending, answer: Response, now_s: float) -> None:
        """`sending` was done; `now_s` is monotonic."""
        key = key_of(sending)
        self._answered[key] = _Answered(sending, answer, now_s + ANSWER_KEPT_S)
        self._answered.move_to_end(key)
        while len(self._answered) > ANSWERS_MAX:
            self._answered.popitem(last=False)

    def answer(self, sending: UnknownSending, now_s: float) -> Response | None:
        """What the same request was answered with, if that still holds."""
        kept = self._answered.get(key_of(sending))
        if kept is None:
            return None
        if kept.until_s <= now_s or self.is_overtaken(kept.sending):
            del self._answered[key_of(sending)]
            return None
        return kept.answer

    # What nobody knows ---------------------------------------------------------------------

    def may_be_done(self, sending: UnknownSending) -> bool:
        """Whether the same request went up before, and nobody knows what became of it."""
        passage = self.under_way(sending)
        is_sent = passage is not None and passage.is_sent
        return is_sent or key_of(sending) in self.doubtful

    def doubt(self, sending: UnknownSending) -> None:
        """Nobody knows what became of `sending`."""
        self.doubtful[key_of(sending)] = sending

    def forget(self, sending: UnknownSending) -> None:
        """It is known now."""
        self.doubtful.pop(key_of(sending), None)

    def recall(
        self, doubtful: Iterable[UnknownSending], before: Mapping[Key, UnknownSending]
    ) -> None:
        """These are in the store. What was doubtful `before` they were read, and is not among
        them, is settled, or staff have closed it."""
        stored = {key_of(sending): sending for sending in doubtful}
        for key, sending in before.items():
            if key not in stored and self.doubtful.get(key) is sending:
                del self.doubtful[key]
        self.doubtful.update(stored)
        self.is_recalled = True
