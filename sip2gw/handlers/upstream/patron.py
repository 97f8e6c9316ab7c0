"""23 and 63 about patrons of a library system: its answer, with what we know laid over it.

Rules: B18-B32, B72, C121, C152.
"""

from __future__ import annotations

from contextlib import suppress

from sip2gw.backend.system import LibrarySystemError
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.information import honours_payment_fetch
from sip2gw.handlers.patron import (
    PresentedCard,
    present,
    response_to,
    withhold,
)
from sip2gw.handlers.upstream.authorisers import authorisers_of
from sip2gw.handlers.upstream.behind import identifier_of, is_offered, refuse_unoffered
from sip2gw.handlers.upstream.money.family import tell_family
from sip2gw.handlers.upstream.overlay import lay_over
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
    PatronStatusResponse,
)

PatronRequest = PatronStatusRequest | PatronInformation
PatronResponse = PatronStatusResponse | PatronInformationResponse


async def patron(session: Session, request: PatronRequest) -> Answer:
    """Answer a 23 or 63 with what the library system says of the patron."""
    if not is_offered(session, request):
        return refuse_unoffered(session, request)
    asked = await identifier_of(session).ask(session, request)
    number, pin = request.patron_identifier, request.patron_password
    required = session.terminal.identification.pin_required
    presented = present(session, number, pin, asked.record, asked.card, asked.pin, required)
    answer = tell(session, request, presented, asked.response)
    if answer.written is not None:
        return answer  # bytes are kept only where nothing may be added
    record, response = presented.shown, answer.response
    if record is None or asked.response is None:
        return answer
    assert isinstance(response, PatronStatusResponse | PatronInformationResponse)
    if isinstance(response, PatronInformationResponse):
        await _list_for_authorisers(session, request, response)
    await tell_family(session, request, response, record)  # last, as the deadline may pass in it
    return answer


async def _list_for_authorisers(
    session: Session, request: PatronRequest, response: PatronInformationResponse
) -> None:
    """By profile, add to AU what others have on loan who have authorised the patron (B54).

    A page of the list is theirs alone: nobody could say on which page ours stand.
    """
    assert isinstance(request, PatronInformation)
    is_page = request.start_item is not None or request.end_item is not None
    is_listed = Summary.CHARGED in request.summary and not is_page
    if not is_listed or not session.terminal.rights.renewals_of_authorisers:
        return
    with suppress(LibrarySystemError):
        # The PIN has been judged with the 63 itself.
        async for authoriser in authorisers_of(session, request.patron_identifier, None):
            response.charged_items += authoriser.charged_items
            response.charged_items_count += len(authoriser.charged_items)


def tell(
    session: Session,
    request: PatronRequest,
    presented: PresentedCard,
    theirs: PatronResponse | None,
) -> Answer:
    """Their answer with ours laid over it. If nothing may be shown, it is our own refusal: theirs
    would tell a locked PIN, which nobody was asked about, from a wrong one (B74, C99)."""
    record = presented.shown
    if record is None or presented.card is None or theirs is None:
        return withhold(session, response_to(request), presented)
    for_payment = isinstance(request, PatronInformation) and honours_payment_fetch(session, request)
    if for_payment:
        session.services.metrics.fee_limit_lifted += 1
    return lay_over(session, theirs, presented, record, presented.card, for_payment=for_payment)
