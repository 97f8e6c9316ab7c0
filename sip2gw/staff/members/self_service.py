"""What patrons do themselves on a library's own website, which has signed them in (B50).

The website's token may name every patron, but who acts for one learns nothing of others: whether a
card exists is told only to who knows its holder's birth date, and tries are counted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from sip2gw.backend.base import NotFoundError, RefusedError
from sip2gw.backend.touched import note_object
from sip2gw.model import Proposer, Relationship, RelationshipType
from sip2gw.model.support import AUTOMATIC_TYPE, EventKind, SupportFilter
from sip2gw.policy.relationships import is_born_on
from sip2gw.staff.members.relationships import add_relationship

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model import PatronRecord
    from sip2gw.model.support import SupportEvent, SupportMessage

NO_SUCH = "there is no such authorisation of yours; list them again"


class TooManyGuessesError(RefusedError):
    """So many wrong cards or birth dates that no more are looked at for a while."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__("too many wrong cards or birth dates")
        self.wait = wait
        """How long nothing more is looked at."""


class AnswerJson(TypedDict):
    """What the library answered to a patron."""

    time: str
    text: str


class OwnMessageJson(TypedDict):
    """A message to customer support, as the patron may see it: without what staff noted."""

    id: str
    status: str
    created: str
    answers: list[AnswerJson]


class HouseRulesJson(TypedDict):
    """When a patron accepted the house rules."""

    house_rules_accepted: str


# Authorisations ---------------------------------------------------------------------------------


def authorisations_of(store: Library, patron_id: str) -> Iterator[Relationship]:
    """The authorisations that a patron gave or got, confirmed or not."""
    for relation in store.relationships(patron_id):
        if relation.type is RelationshipType.AUTHORISATION:
            yield relation


async def propose(
    store: Library,
    config: Config,
    patron: PatronRecord,
    card: str,
    birth_date: date,
    functions: frozenset[str],
    now: datetime,
) -> Relationship:
    """Let `patron` authorise the holder of `card`; in force once that one has confirmed (B50).

    What is already so stays; with other functions it is replaced, and waits for a new yes.

    Raises:
        TooManyGuessesError: the birth date was not looked at.
        RefusedError: nobody has that card and birth date, or the library's rules forbid it.
    """
    other = await store.find_by_card(card)
    by = f"self by {patron.id}"
    about = f"self about {card if other is None else other.id}"
    await _count(store, config, by, about, now)
    if other is None or not is_born_on(other, birth_date):
        raise RefusedError("no patron has this card and this birth date; look at both again")
    for name in (by, about):
        await store.return_guess(name)
    wanted = Relationship(
        RelationshipType.AUTHORISATION,
        patron.id,
        other.id,
        functions,
        confirmed=False,
        proposed_by=Proposer.FROM,
    )
    _note(wanted, patron)
    return await add_relationship(store, config, wanted, now)


async def _count(store: Library, config: Config, by: str, about: str, now: datetime) -> None:
    """Count a try before it is judged, so that many at once are not more than allowed.

    Who must wait counts nothing about others, and whom others keep from trying has not tried.
    """
    await _count_one(store, config, by, now)
    try:
        await _count_one(store, config, about, now)
    except TooManyGuessesError:
        await store.return_guess(by)
        raise


async def _count_one(store: Library, config: Config, name: str, now: datetime) -> None:
    security = config.security
    until = now + timedelta(minutes=security.pin_lock_min)
    made = await store.record_guess(name, now, security.pin_failures_max + 1, until)
    if made is None or made > security.pin_failures_max:
        (counted,) = await store.failed_pins([name])
        raise TooManyGuessesError((counted.locked_until or until) - now)


async def confirm(
    store: Library, patron: PatronRecord, giver: str, seen: frozenset[str] | None = None
) -> Relationship:
    """Put in force what `giver` wants to let `patron` do (B50).

    Args:
        store: has the authorisation.
        patron: who says yes.
        giver: the id of the one who gives it.
        seen: the functions that `patron` says yes to; None: whatever it is now.

    Raises:
        NotFoundError: there is no such authorisation.
        RefusedError: it was not `giver` who proposed it, or it has other functions than `seen`.
    """
    _insist_on(store, patron, giver, patron.id)
    confirmed = await store.confirm_relationship(
        RelationshipType.AUTHORISATION, giver, patron.id, by=patron.id, seen=seen
    )
    _note(confirmed, patron)
    return confirmed


async def withdraw(store: Library, patron: PatronRecord, giver: str, holder: str) -> None:
    """End an authorisation that `patron` gave or got.

    Raises:
        NotFoundError: there is none.
    """
    _insist_on(store, patron, giver, holder)
    await store.remove_relationship(RelationshipType.AUTHORISATION, giver, holder)


def _insist_on(store: Library, patron: PatronRecord, giver: str, holder: str) -> None:
    """Look among the patron's own, by id: other cards are not even looked up."""
    for one in authorisations_of(store, patron.id):
        if (one.from_id, one.to_id) == (giver, holder):
            _note(one, patron)
            return
    raise NotFoundError(NO_SUCH)


def _note(relation: Relationship, by: PatronRecord) -> None:
    """Have the audit log say who agreed to what, or ended it: both patrons have that line."""
    functions = ",".join(sorted(relation.functions))
    note_object(f"authorisation {relation.from_id} {relation.to_id} {functions} by {by.id}")


# Customer support -------------------------------------------------------------------------------


def own_messages(
    store: Library, patron: PatronRecord
) -> Iterator[tuple[SupportMessage, list[SupportEvent]]]:
    """What a patron asked, with its history; not what the gateway noted about them."""
    for message in store.support_messages(SupportFilter(patron_id=patron.id)):
        if message.type != AUTOMATIC_TYPE:
            yield store.support_message(message.id)


def insist_on_own_type(type_code: str) -> None:
    """Go on only if patrons may open messages of this type.

    Raises:
        RefusedError: only the gateway opens them.
    """
    if type_code == AUTOMATIC_TYPE:
        raise RefusedError(f"only the gateway opens messages of type {AUTOMATIC_TYPE}")


def own_message_json(
    told: tuple[SupportMessage, list[SupportEvent]], zone: tzinfo
) -> OwnMessageJson:
    """A message with its answers."""
    message, history = told
    return {
        "id": str(message.id),
        "status": message.status.value,
        "created": message.created.astimezone(zone).isoformat(),
        "answers": [
            {"time": event.time.astimezone(zone).isoformat(), "text": event.note}
            for event in history
            if event.kind is EventKind.ANSWERED
        ],
    }
