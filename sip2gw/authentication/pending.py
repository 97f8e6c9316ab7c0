"""A library system's answer with what was paid here and it was not told yet.  (C124)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sip2gw.authentication.snapshots import LibraryAnswer
from sip2gw.backend.system import LibrarySystemError
from sip2gw.handlers.base import Session
from sip2gw.handlers.rules import UpstreamManner
from sip2gw.model import Minor
from sip2gw.model.shares import PendingFee
from sip2gw.policy.upstream.facts import says_nothing
from sip2gw.policy.upstream.fees import fee_list_of
from sip2gw.policy.upstream.pending import (
    listed_fees,
    lists_fees,
    not_entered,
    without_paid,
)
from sip2gw.policy.upstream.questions import going_up
from sip2gw.protocol.messages import (
    PatronInformation,
    PatronInformationResponse,
    PatronStatusRequest,
)
from sip2gw.protocol.timestamps import write_timestamp


async def as_if_told(
    session: Session,
    request: PatronStatusRequest | PatronInformation,
    answer: LibraryAnswer,
    pending: Sequence[PendingFee],
) -> LibraryAnswer:
    """`answer` as if the library system knew of all payments.

    Args:
        session: who asked.
        request: what was asked; its PIN was right, or it had none.
        answer: one that does not say nothing.
        pending: what it was not told of, at least one payment.
    """
    manner, currency = session.terminal.upstream, session.terminal.currency
    assert manner is not None
    listed = None
    if any(fee.fee_id for fee in pending):
        listed = await _listed(session, request, answer, manner)
    left = not_entered(pending, listed)
    return without_paid(answer, left, manner.facts, currency, manner.text.decode)


async def _listed(
    session: Session,
    request: PatronStatusRequest | PatronInformation,
    answer: LibraryAnswer,
    manner: UpstreamManner,
) -> Mapping[str, Minor] | None:
    """The fees by their ids: out of `answer`, or out of one to a question of our own if it has no
    list; None if nobody knows all of them."""
    currency = session.terminal.currency
    if not lists_fees(request, manner.facts):
        asked = await _ask(session, request, manner)
        if asked is None:
            return None
        answer = asked
    return listed_fees(answer, manner.facts, currency, manner.text.decode)


async def _ask(
    session: Session, request: PatronStatusRequest | PatronInformation, manner: UpstreamManner
) -> LibraryAnswer | None:
    """Ask for the list; None if there is no answer to it."""
    library, terminal = session.services.library, session.terminal
    assert library is not None
    offered = library.offers(manner.account)
    if offered is not None and PatronInformation.code not in offered:
        return None
    question = PatronInformation(
        transaction_date=write_timestamp(session.now()),
        summary=frozenset({fee_list_of(manner.facts)}),
        patron_identifier=request.patron_identifier,
        patron_password=request.patron_password,
    )
    up = going_up(
        question,
        manner.institution,
        terminal.wire.text,
        manner.text,
        knows_fw_b=manner.knows_fw_b,
    )
    assert up is not None  # `request` has the same card and PIN, and went up
    lease = None if terminal.is_door else session.lease
    try:
        answer = await library.ask(manner.account, terminal.name, up, lease)
    except LibrarySystemError:
        return None
    assert isinstance(answer, PatronInformationResponse)
    is_about_them = answer.patron_identifier.strip() and not says_nothing(
        answer, with_pin=request.patron_password is not None
    )
    return answer if is_about_them else None
