"""11, 09, 15, 17 and 19 in front of a library system: asked there, told here.

Rules: B57, B73, B77, C106, C125, C152.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from sip2gw.backend.base import BackendError, OutcomeUnknownError
from sip2gw.backend.system import NotAskedError
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.items.circulation import claim_of, note_refusal, order_for
from sip2gw.handlers.patron import PresentedCard
from sip2gw.handlers.upstream.behind import is_offered, refuse_unoffered
from sip2gw.handlers.upstream.items.journal import take_off_line
from sip2gw.handlers.upstream.items.telling import ItemResponse, tell
from sip2gw.handlers.upstream.passing import (
    RefusedHereError,
    pass_on,
    refuse_here,
    refuse_with,
)
from sip2gw.policy.access import PinState
from sip2gw.policy.items.cases import RefusedCase
from sip2gw.policy.items.decisions import Materials, refusal
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.upstream.passing import said_material
from sip2gw.protocol.messages import (
    Checkin,
    Checkout,
    Hold,
    ItemInformation,
    ItemStatusUpdate,
    Renew,
)

OFFLINE_NOT_ACCEPTED = "offline_not_accepted"
Claiming = Checkout | Checkin | Renew
"""What may have happened already, with no block `Y`."""


async def item(session: Session, request: Hold | ItemInformation | ItemStatusUpdate) -> Answer:
    """Answer a 15, 17 or 19 with what the library system says."""
    if not is_offered(session, request):
        return refuse_unoffered(session, request)
    return await ask_and_tell(session, request)


def checkout(session: Session, request: Checkout) -> Awaitable[Answer]:
    """Answer a 11 with a 12; while the library system is away it may be taken off line."""
    kept_back = session.terminal.circulation.not_lent
    return claimed(session, request, kept_back, take_off_line)


def checkin(session: Session, request: Checkin) -> Awaitable[Answer]:
    """Answer a 09 with a 10; while the library system is away it may be taken off line."""
    kept_back = session.terminal.circulation.not_taken_back_materials
    return claimed(session, request, kept_back, take_off_line)


async def claimed(
    session: Session,
    request: Claiming,
    kept_back: Materials,
    not_asked: Callable[[Session, Any, Claim | None], Awaitable[Answer | None]] | None = None,
) -> Answer:
    """Ask unless the profile refuses; a believed claim that it has happened goes up as such.

    Whatever was claimed and is refused, or could not be asked, is listed in the review (C106).

    Args:
        session: who asks.
        request: what is asked, or claimed.
        kept_back: the materials that the profile refuses.
        not_asked: answers what certainly did not reach the library system; None: nobody does.
    """
    claim = claim_of(session, request)
    async with listed_if_it_fails(session, request, claim):
        answer = await _answer_to(session, request, claim, kept_back, not_asked)
    if answer.outcome != "ok":
        await note_refused_claim(session, request, claim)
    return answer


async def _answer_to(
    session: Session,
    request: Claiming,
    claim: Claim | None,
    kept_back: Materials,
    not_asked: Callable[[Session, Any, Claim | None], Awaitable[Answer | None]] | None,
) -> Answer:
    if not is_offered(session, request):
        return refuse_unoffered(session, request)
    answer = _refused_by_profile(session, request, claim, kept_back)
    if answer is not None:
        return answer
    request.no_block = claim is not None and claim.believed
    try:
        return await ask_and_tell(session, request)
    except NotAskedError:
        answer = await not_asked(session, request, claim) if not_asked is not None else None
        if answer is None:
            raise
        return answer


def _refused_by_profile(
    session: Session, request: Claiming, claim: Claim | None, kept_back: Materials
) -> Answer | None:
    """What the operator refuses on purpose, whatever the library system would say."""
    if claim is not None and not session.terminal.rights.accept_offline:
        text = session.services.texts.text(session.language("000"), "terminal_not_allowed")
        return refuse_with(session, request, OFFLINE_NOT_ACCEPTED, (text,))
    is_believed = claim is not None and claim.believed
    material = said_material(request, session.terminal.wire.text)
    if not is_believed and material in kept_back:
        return refuse_here(session, request, CirculationReason.MATERIAL)
    return None


@asynccontextmanager
async def listed_if_it_fails(
    session: Session, request: Claiming, claim: Claim | None
) -> AsyncIterator[None]:
    """A claim that gets a no because nobody could be asked is refused like others (C106)."""
    try:
        yield
    except OutcomeUnknownError:
        raise  # it is listed as that
    except BackendError:
        with suppress(BackendError):  # else the answer would be about our store
            await note_refused_claim(session, request, claim)
        raise


async def note_refused_claim(session: Session, request: Claiming, claim: Claim | None) -> None:
    """What was claimed and is refused may have happened all the same: staff must look at it."""
    if claim is None:
        return
    number: str = getattr(request, "patron_identifier", "")
    nobody = PresentedCard(number, None, None, PinState.ABSENT, False, False)
    refused = refusal(CirculationReason.UNKNOWN_ITEM)
    item_id = request.item_identifier or ""
    order = order_for(session, request.code, item_id, request, nobody, claim, RefusedCase(refused))
    await note_refusal(session, order, refused)


async def ask_and_tell(
    session: Session,
    request: Claiming | Hold | ItemInformation | ItemStatusUpdate,
) -> Answer:
    """The library system's answer, as the profile likes it."""
    number: str = getattr(request, "patron_identifier", "")
    try:
        response = cast("ItemResponse", await pass_on(session, request))
    except RefusedHereError as refused:
        return refuse_here(session, request, refused.reason)
    tell(session, response)
    outcome = "ok" if getattr(response, "ok", True) else "refused"
    return Answer(response, outcome, "" if outcome == "ok" else "upstream", number)
