"""The snapshot of a patron that a library system's answer gives (B72, C121, C151).

A patron at a terminal is asked about several times, and mostly the same is answered. Then it is the
same snapshot, with all that was derived from it: reading an answer and deciding on it anew costs
several times what the rest of a request does. A snapshot that nobody has needed for some minutes is
forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sip2gw.foundation.recent import Recent
from sip2gw.handlers.base import Session
from sip2gw.handlers.rules import UpstreamManner
from sip2gw.model import Membership, PatronRecord
from sip2gw.policy.upstream.facts import Facts, read_facts, record_of
from sip2gw.protocol.encoding import is_exact
from sip2gw.protocol.messages import PatronInformationResponse, PatronStatusResponse

KEPT_MAX = 10_000

LibraryAnswer = PatronStatusResponse | PatronInformationResponse


@dataclass(slots=True)
class _Kept:
    """What was answered about a card last, and what came of it."""

    answer: LibraryAnswer = field(repr=False)
    """The message itself: `LibrarySystem.ask` gives it again as long as the same is said."""
    reading: tuple[object, ...]
    """How it was read."""
    facts: Facts
    ours: PatronRecord | None
    membership: Membership | None
    record: PatronRecord


class Snapshots:
    """The last ones, by card and kind of answer."""

    def __init__(self) -> None:
        self._kept: Recent[tuple[str, type[Any]], _Kept] = Recent(KEPT_MAX)

    async def of(
        self, session: Session, number: str, ours: PatronRecord | None, answer: LibraryAnswer
    ) -> PatronRecord:
        """The holder of card `number`: an answer about them, with what our store knows laid over
        it.

        Args:
            session: who asked.
            number: the card that was asked about.
            ours: the patron to whom our store says that it belongs.
            answer: one that does not say nothing.

        Raises:
            BackendError: the store cannot be read.
        """
        manner, currency = session.terminal.upstream, session.terminal.currency
        assert manner is not None
        reading = (manner.account, manner.facts, manner.text, manner.aliases, currency)
        key = (number, type(answer))
        kept = self._kept.get(key)
        if kept is not None and kept.answer is answer and kept.reading == reading:
            facts = kept.facts
        else:
            kept, facts = None, _read(number, answer, manner, currency)
        ours, membership = await _our_part(session, number, facts, ours)
        # Our own part is the same object as long as nothing of it has changed.
        if (
            kept is not None
            and kept.ours is ours
            and (kept.membership is membership or kept.membership == membership)
        ):
            return kept.record
        record = record_of(facts, number, ours, membership)
        self._kept.keep(key, _Kept(answer, reading, facts, ours, membership, record))
        return record

    async def anew(
        self, session: Session, number: str, record: PatronRecord
    ) -> PatronRecord | None:
        """`record` as it would be now, if the library system said the same again; None if our store
        knew the patron and does not any more.

        Raises:
            BackendError: the store cannot be read.
        """
        word = record.word
        if word is None or word.origin is None:
            return record
        facts: Facts = word.origin.facts
        ours = await session.services.backend.find_by_card(number)
        ours, membership = await _our_part(session, number, facts, ours)
        if ours is None and word.origin.known_here:
            return None
        return record_of(facts, number, ours, membership)

    def forget(self) -> None:
        """Make each snapshot anew."""
        self._kept.clear()


async def _our_part(
    session: Session, number: str, facts: Facts, ours: PatronRecord | None
) -> tuple[PatronRecord | None, Membership | None]:
    """Whom our store knows behind `facts`, if not `ours`, and the membership that they name."""
    manner, backend = session.terminal.upstream, session.services.backend
    assert manner is not None
    if manner.aliases and facts.id != number and (ours is None or ours.id != facts.id):
        ours = await backend.find_patron(facts.id) or ours
    membership = None
    if facts.membership is not None:
        membership = await backend.find_membership(facts.membership)
    return ours, membership


def id_in(answer: LibraryAnswer, number: str, manner: UpstreamManner) -> str:
    """Whom `answer` to a question about card `number` is about. An AA that cannot be read names
    nobody, like none at all."""
    said = answer.patron_identifier.strip()
    return said if said and is_exact(said, manner.text) else number


def _read(number: str, answer: LibraryAnswer, manner: UpstreamManner, currency: str) -> Facts:
    facts = read_facts(answer, manner.facts, currency, manner.text.decode)
    known_as = id_in(answer, number, manner)
    return facts if facts.id == known_as else replace(facts, id=known_as)
