"""99 in front of a library system: ours, as far as that offers the same.  (B73, B77, C152)"""

from __future__ import annotations

from sip2gw.backend.system import LibrarySystemError
from sip2gw.handlers import status
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.upstream.behind import library_of, with_ours
from sip2gw.protocol.messages import ALWAYS_SUPPORTED, AcsStatus, ScStatus


async def sc_status(session: Session, request: ScStatus) -> Answer:
    """Answer a 99 with a 98 that promises what both of us do; on-line `N` while it is away."""
    theirs = await _their_status(session)
    if theirs is None or not theirs.online:
        return _away(session, request)
    answer = await status.sc_status(session, request)
    assert isinstance(answer.response, AcsStatus)
    _promise_at_most(session, answer.response, theirs)
    return answer


async def _their_status(session: Session) -> AcsStatus | None:
    """Their last 98; None while they are away.

    Who logs in before the first 98 has come, just after a start, waits for it: a terminal that is
    told that nothing is offered may believe it until its next login.
    """
    library, manner = library_of(session)
    if library.is_away(manner.account):
        return None
    known = library.last_status(manner.account)
    if known is not None:
        return known
    try:
        said = await library.ask(manner.account, session.terminal.name, ScStatus())
    except LibrarySystemError:
        return None
    assert isinstance(said, AcsStatus)
    return said


def _promise_at_most(session: Session, ours: AcsStatus, theirs: AcsStatus) -> None:
    """Take away from our 98 what theirs does not say (B73); a 37 may be taken here (C152)."""
    library, manner = library_of(session)
    offered = library.offers(manner.account)
    if offered is None:
        offered = theirs.supported_messages
    offered = with_ours(session, offered)
    ours.supported_messages = ours.supported_messages & offered | ALWAYS_SUPPORTED
    ours.checkin_ok &= theirs.checkin_ok and "09" in offered
    ours.checkout_ok &= theirs.checkout_ok and "11" in offered
    ours.renewal_policy &= theirs.renewal_policy and not offered.isdisjoint({"29", "65"})
    ours.status_update_ok &= theirs.status_update_ok and "01" in offered
    ours.offline_ok &= theirs.offline_ok and not offered.isdisjoint(status.OFF_LINE)


def _away(session: Session, request: ScStatus) -> Answer:
    """On-line `N` and a text that says when to try again; off-line ok `Y` where loans and returns
    are taken in all the same (B15, B77)."""
    terminal = session.terminal
    text = session.services.texts.text(session.language("000"), "library_away")
    response = request.failure_form(terminal.institution_id, session.now(), (text,))
    assert isinstance(response, AcsStatus)
    response.offline_ok = status.may_work_off_line(terminal)
    return Answer(response, "error", "unavailable")
