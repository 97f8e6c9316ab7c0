"""01 and 25 in front of a library system: it blocks and enables, our store notes nothing.

Rules: B31, B73, C41, C115, C152. Where it does not offer them they are refused: a block that only
we know of would stand at our terminals and nowhere else.
"""

from __future__ import annotations

from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.patron import PresentedCard, identify, show, shown_answer, withhold
from sip2gw.handlers.upstream.behind import is_offered, refuse_unoffered
from sip2gw.handlers.upstream.overlay import unknown_fields
from sip2gw.handlers.upstream.passing import (
    RefusedHereError,
    pass_on,
    refuse_here,
    refuse_with,
)
from sip2gw.policy.access import PinState
from sip2gw.protocol.fields import PatronFlag
from sip2gw.protocol.messages import (
    BlockPatron,
    PatronEnable,
    PatronEnableResponse,
    PatronStatusResponse,
)


async def block_patron(session: Session, request: BlockPatron) -> Answer:
    """Answer a 01 with a 24 that shows nothing of the patron but whether they are blocked now."""
    session.note_pin(request.patron_identifier, PinState.WRONG)
    refused = _not_allowed(session, request)
    if refused is not None:
        return refused
    try:
        theirs = await pass_on(session, request)
    except RefusedHereError as refusal:
        return refuse_here(session, request, refusal.reason)
    assert isinstance(theirs, PatronStatusResponse)
    number, is_known = request.patron_identifier, theirs.valid_patron is not False
    presented = PresentedCard(
        number, None, None, PinState.ABSENT, is_known, False, scanned=session.as_scanned(number)
    )
    response = PatronStatusResponse(language="000")
    answer = withhold(session, response, presented)
    if not is_known:
        return answer
    is_blocked = PatronFlag.CHARGE_DENIED in theirs.patron_status
    if not is_blocked:
        response.patron_status = theirs.patron_status
    text_key = "blocked_by_terminal" if is_blocked else "system"
    language = session.language(response.language)
    response.screen_message = (session.services.texts.text(language, text_key),)
    outcome, reason = ("ok", "") if is_blocked else ("refused", "upstream")
    return Answer(response, outcome, reason, number)


async def patron_enable(session: Session, request: PatronEnable) -> Answer:
    """Answer a 25 with a 26 about the patron as they are afterwards.

    The PIN is verified first, because a 26 shows the patron, and not every library system looks at
    the PIN of a 25.
    """
    refused = _not_allowed(session, request)
    if refused is not None:
        return refused
    number, pin = request.patron_identifier, request.patron_password
    response = PatronEnableResponse(language="000")
    presented = await identify(session, number, pin)
    if presented.shown is None:
        return withhold(session, response, presented)
    try:
        theirs = await pass_on(session, request)
    except RefusedHereError as refusal:
        return refuse_here(session, request, refusal.reason)
    presented = await identify(session, number, pin)
    record, card = presented.shown, presented.card
    if record is None or card is None:
        return withhold(session, response, presented)
    portrait = show(session, response, presented, record, card)
    custom = frozenset(tag for tag, _ in response.extra_fields)
    response.extra_fields = [*unknown_fields(session, theirs, custom), *response.extra_fields]
    return shown_answer(response, presented, portrait.standing)


def _not_allowed(session: Session, request: BlockPatron | PatronEnable) -> Answer | None:
    """The refusal of a terminal that may not block, or of what is not offered."""
    if not session.terminal.rights.may_block_patrons:
        text = session.services.texts.text(session.language("000"), "terminal_not_allowed")
        return refuse_with(session, request, "not_allowed", (text,))
    return None if is_offered(session, request) else refuse_unoffered(session, request)
