"""The snapshot of a patron that a library system's answer gives (B72, C121, C151).

A patron at a terminal is asked about several times, and mostly the same is answered, which is the
same message then (`LibrarySystem.ask`). So its snapshot is kept with it, with all that was derived
from that: reading an answer and deciding on it anew costs several times what the rest of a request
does.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.backend.base import Backend
from sip2gw.handlers.base import Session
from sip2gw.handlers.rules import UpstreamManner
from sip2gw.model import CardHere, Membership, PatronRecord
from sip2gw.policy.upstream.facts import (
    Facts,
    deny_doubtful,
    pin_is_right,
    read_facts,
    record_of,
)
from sip2gw.policy.upstream.pending import may_owe
from sip2gw.protocol.encoding import is_exact
from sip2gw.protocol.messages import PatronInformationResponse, PatronStatusResponse
from sip2gw.protocol.structs import Discreet, Hidden

LibraryAnswer = PatronStatusResponse | PatronInformationResponse


class _Snapshot(Discreet, Struct, frozen=True):
    """What was made last of an answer and of what our store knows."""

    here: CardHere
    membership: Membership | None
    record: PatronRecord


class Reading(Discreet, Struct):
    """What follows from an answer to a question about a card."""

    number: Hidden[str]
    """The card that was asked about."""
    manner: UpstreamManner
    """How the answer is read."""
    patron_id: Hidden[str]
    """Whom it is about: `id_in`."""
    may_owe: bool
    """See `sip2gw.policy.upstream.pending.may_owe`."""
    is_right: bool
    """See `pin_is_right`."""
    facts: Facts | None = None
    """Once they were needed."""
    snapshot: _Snapshot | None = None
    """The same."""


def reading_of(answer: LibraryAnswer, number: str, manner: UpstreamManner) -> Reading:
    """What follows from `answer` to a question about card `number`; what it says both ways is made
    a no in it (`deny_doubtful`)."""
    kept: Reading | None = getattr(answer, "kept", None)
    if (
        kept is not None
        and kept.number == number
        and (kept.manner is manner or kept.manner == manner)
    ):
        return kept
    deny_doubtful(answer)
    whose = id_in(answer, number, manner)
    reading = Reading(number, manner, whose, may_owe(answer), pin_is_right(answer))
    answer.kept = reading
    return reading


def snapshot_kept(
    session: Session, number: str, here: CardHere, answer: LibraryAnswer
) -> PatronRecord | None:
    """What `snapshot_of` made of `answer` last, if nothing can have changed since; nobody waits.

    Our store gives the same record of somebody only as long as nothing has changed that it says of
    them, definitions of memberships included. None where it has to be asked for more.
    """
    reading: Reading | None = getattr(answer, "kept", None)
    if reading is None or reading.may_owe or reading.manner is not session.terminal.upstream:
        return None
    last, holder = reading.snapshot, here.holder
    if last is None or holder is None or last.here.holder is not holder:
        return None
    # Of another number our store may know more by now (C151).
    return last.record if reading.patron_id == number == reading.number else None


async def snapshot_of(
    session: Session, reading: Reading, here: CardHere, answer: LibraryAnswer
) -> PatronRecord:
    """The holder of the card: an answer about them, with what our store knows laid over it.

    Args:
        session: who asked.
        reading: of the answer.
        here: what our store says of the card that was asked about.
        answer: one that does not say nothing.

    Raises:
        BackendError: the store cannot be read.
    """
    number, manner, facts = reading.number, reading.manner, reading.facts
    backend = session.services.backend
    if facts is None:
        facts = reading.facts = _read(reading, answer, session.terminal.currency)
    if manner.aliases and facts.id != number:
        here = await _as_told(backend, facts, here)
    membership = None
    if facts.membership is not None:
        membership = await backend.find_membership(facts.membership)
    last = reading.snapshot
    # Our own part is the same object as long as nothing of it has changed.
    if (
        last is not None
        and last.here.holder is here.holder
        and last.here.listed == here.listed
        and (last.membership is membership or last.membership == membership)
    ):
        return last.record
    record = record_of(facts, number, here, membership)
    reading.snapshot = _Snapshot(here, membership, record)
    return record


async def snapshot_anew(session: Session, number: str, record: PatronRecord) -> PatronRecord | None:
    """`record` as it would be now, if the library system said the same again; None if our store
    knew the patron and does not any more.

    Raises:
        BackendError: the store cannot be read.
    """
    word, manner = record.word, session.terminal.upstream
    assert manner is not None
    if word is None or word.origin is None:
        return record
    facts: Facts = word.origin.facts
    backend = session.services.backend
    here = await backend.find_here(number)
    if manner.aliases and facts.id != number:
        here = await _as_told(backend, facts, here)
    membership = None
    if facts.membership is not None:
        membership = await backend.find_membership(facts.membership)
    if here.holder is None and word.origin.known_here:
        return None
    return record_of(facts, number, here, membership)


async def _as_told(backend: Backend, facts: Facts, here: CardHere) -> CardHere:
    """`here`, and what our store says of the number that `facts` are about (C151)."""
    scanned = here.holder
    if scanned is not None and scanned.id == facts.id:
        return here
    told = await backend.find_patron(facts.id)
    listed = here.listed
    if told is not None and scanned is not None:
        listed = scanned.door_entries  # the card itself is on the lists, whoever has it
    if told is None or told.card(facts.id) is None:
        listed += (await backend.find_here(facts.id)).listed
    return CardHere(told or scanned, listed)


def id_in(answer: LibraryAnswer, number: str, manner: UpstreamManner) -> str:
    """Whom `answer` to a question about card `number` is about. An AA that cannot be read names
    nobody, like none at all."""
    said = answer.patron_identifier.strip()
    return said if said and is_exact(said, manner.text) else number


def _read(reading: Reading, answer: LibraryAnswer, currency: str) -> Facts:
    manner, known_as = reading.manner, reading.patron_id
    facts = read_facts(answer, manner.facts, currency, manner.text.decode)
    return facts if facts.id == known_as else replace(facts, id=known_as)
