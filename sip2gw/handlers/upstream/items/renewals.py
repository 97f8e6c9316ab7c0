"""29 and 65 in front of a library system, also for those who have authorised the patron.

Rules: B54, B60, B73, C106, C152.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from msgspec.structs import replace

from sip2gw.backend.base import OutcomeUnknownError
from sip2gw.backend.system import LibrarySystemError
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.items.circulation import claim_of
from sip2gw.handlers.upstream.authorisers import (
    Authoriser,
    authorisers_of,
    has_on_loan,
)
from sip2gw.handlers.upstream.behind import is_offered, refuse_unoffered
from sip2gw.handlers.upstream.items.circulation import (
    claimed,
    listed_if_it_fails,
    note_refused_claim,
)
from sip2gw.handlers.upstream.items.telling import tell
from sip2gw.handlers.upstream.passing import RefusedHereError, pass_on, refuse_here
from sip2gw.policy.items.decisions import Materials
from sip2gw.protocol.messages import Renew, RenewAll, RenewAllResponse, RenewResponse

_ALL_KINDS = Materials()


async def renew(session: Session, request: Renew) -> Answer:
    """Answer a 29 with a 30; for somebody else's loan it goes up with their card (B54)."""
    claim = claim_of(session, request)
    try:
        async with listed_if_it_fails(session, request, claim):
            borrower = await _borrower(session, request)
    except RefusedHereError as refused:
        await note_refused_claim(session, request, claim)
        return refuse_here(session, request, refused.reason)
    if borrower is None:
        return await claimed(session, request, _ALL_KINDS)
    answer = await claimed(session, _for(request, borrower), _ALL_KINDS)
    assert isinstance(answer.response, RenewResponse)
    answer.response.patron_identifier = session.as_scanned(request.patron_identifier)
    answer.card = request.patron_identifier
    return answer


async def _borrower(session: Session, request: Renew) -> str | None:
    """The authoriser who has the item on loan; None if it is to be tried with the own card."""
    item_id = request.item_identifier
    if not request.third_party_allowed or not item_id or not is_offered(session, request):
        return None
    number, pin = request.patron_identifier, request.patron_password
    async for authoriser in authorisers_of(session, number, pin):
        if has_on_loan(authoriser, item_id):
            return authoriser.id
    return None


def _for(request: Renew, borrower: str) -> Renew:
    """`request` for the borrower's card; the PIN is that of somebody else."""
    return replace(request, patron_identifier=borrower, patron_password=None)


async def renew_all(session: Session, request: RenewAll) -> Answer:
    """Answer a 65 with a 66; by profile with the loans of those who have authorised the patron."""
    if not is_offered(session, request):
        return refuse_unoffered(session, request)
    try:
        authorisers = await _authorisers(session, request)
        response = await pass_on(session, request)
    except RefusedHereError as refused:
        return refuse_here(session, request, refused.reason)
    assert isinstance(response, RenewAllResponse)
    await _renew_for(session, request, authorisers, response)
    tell(session, response)
    outcome, reason = ("ok", "") if response.ok else ("refused", "upstream")
    return Answer(response, outcome, reason, request.patron_identifier)


async def _authorisers(session: Session, request: RenewAll) -> list[Authoriser]:
    """Whose loans are renewed, too, by profile. They are asked for first, because that tells
    whether the PIN is right; whoever cannot be asked for is left out."""
    number, pin = request.patron_identifier, request.patron_password
    found: list[Authoriser] = []
    if session.terminal.rights.renewals_of_authorisers:
        with suppress(LibrarySystemError):
            async for authoriser in authorisers_of(session, number, pin):
                found.append(authoriser)
    return found


async def _renew_for(
    session: Session,
    request: RenewAll,
    authorisers: Iterable[Authoriser],
    response: RenewAllResponse,
) -> None:
    """Add to `response` what became of the authorisers' loans. What was renewed stays said, even
    if the library system fails for the next (C98)."""
    for authoriser in authorisers:
        try:
            theirs = await pass_on(
                session, replace(request, patron_identifier=authoriser.id, patron_password=None)
            )
        except OutcomeUnknownError:
            text = session.services.texts.text(session.language("000"), "unknown_outcome_item")
            response.screen_message += (text,)
            return
        except (LibrarySystemError, RefusedHereError):
            return
        assert isinstance(theirs, RenewAllResponse)
        _add(response, theirs)


def _add(response: RenewAllResponse, more: RenewAllResponse) -> None:
    response.ok |= more.ok
    response.renewed_count += more.renewed_count
    response.unrenewed_count += more.unrenewed_count
    response.renewed_items += more.renewed_items
    response.unrenewed_items += more.unrenewed_items
    response.screen_message += more.screen_message
