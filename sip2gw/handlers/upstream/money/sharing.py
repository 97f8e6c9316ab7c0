"""The shares of a payment go up one after the other, each once; or they are booked here (B75, C59,
C98, C124, C156)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from msgspec import Struct

from sip2gw.backend.base import (
    BackendError,
    BackendTimeoutError,
    Begun,
    HungUpError,
    OutcomeUnknownError,
    PaymentOrder,
    PaymentOutcome,
    PaymentResult,
)
from sip2gw.backend.system import BadAnswerError, NoAnswerError, NotAskedError
from sip2gw.handlers.base import Session
from sip2gw.handlers.upstream.behind import library_of
from sip2gw.handlers.upstream.passing import in_their_manner, with_kept_bytes
from sip2gw.model import Payment, PaymentStatus, format_amount
from sip2gw.model.shares import Debts, Share
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.upstream.payments import DEAD_AFTER, receipt_of
from sip2gw.protocol.encoding import storable
from sip2gw.protocol.messages import FeePaid, FeePaidResponse
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.shared.payments import Outcome, Paying

_STOOD_STILL_S = DEAD_AFTER.total_seconds() / 2
"""Half of the time, for clocks differ."""
_BOOKED = PaymentOutcome.BOOKED  # Python 3.11 takes 0.1 µs to find a member of an enumeration


class Intent(Discreet, Struct, frozen=True):
    """What is to go up for an order, and what that was decided on."""

    order: PaymentOrder
    account: str
    """At the library system."""
    plan: tuple[Share, ...] | PaymentRefusalReason
    """The shares, or why there are none."""
    debts: Hidden[Mapping[str, Debts]]
    """What the library system says that each debtor owes, by their id."""
    texts: tuple[str, ...] = ()
    """What is said when it is booked."""
    pending: Mapping[str, Collection[str]] = {}
    """What was paid for them here that it does not know yet, where the shares stay here:
    `LibraryWord.pending`."""


class RefusedThereError(Exception):
    """The library system has said no; what is not booked may be tried again."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        super().__init__("refused there")
        self.texts = texts


async def pay_once(session: Session, request: FeePaid, intent: Intent) -> PaymentResult:
    """The payment, new or the first of this key, or why there is none.

    A session that ends does not end what is under way: its terminal comes back for the answer.

    Raises:
        RefusedThereError: the library system has said no.
        OutcomeUnknownError: nobody knows whether it is booked; the journal says so.
        BackendError: nothing is booked of what has not been booked before.
    """
    known, order = session.services.payments, intent.order
    key = (order.terminal, order.key, order.content)
    paying = known.under_way(key)
    if paying is None:
        paying = Paying(key)
        outcome = known.begin(paying, _pay(session, request, intent, paying))
    else:
        outcome = paying.work.join()
    paying.waiting += 1
    try:
        return await outcome
    except HungUpError:
        raise
    except asyncio.CancelledError:
        if paying.is_sent:
            raise OutcomeUnknownError("the deadline passed while it was under way") from None
        raise BackendTimeoutError("it did not go up in time") from None
    finally:
        paying.waiting -= 1


async def _pay(session: Session, request: FeePaid, intent: Intent, paying: Paying) -> PaymentResult:
    paying.noted_s = session.services.clock.monotonic()
    begun = await session.services.backend.begin_shares(
        intent.order, intent.account, intent.plan, intent.texts, intent.debts, intent.pending
    )
    if isinstance(begun, PaymentResult):
        return begun
    paying.payment_id = begun.payment_id
    try:
        if begun.stays_here:
            result = await _book_here(session, begun, paying)
        else:
            result = await _send_all(session, request, intent.order, begun, paying)
        if result.outcome is _BOOKED:
            session.services.backend.note_paid(intent.order, begun.payment_id)
        return result
    except (BackendError, RefusedThereError):
        raise
    except Exception as error:  # a fault of ours is no reason to say no (C98)
        if not paying.is_sent:
            raise
        raise OutcomeUnknownError("the gateway failed while it was under way") from error


async def _book_here(session: Session, begun: Begun, paying: Paying) -> PaymentResult:
    """Book all shares in one go, in the place of the library system (C124).

    Raises:
        NotAskedError: nobody waits for it any more, so it is not booked (C98).
        OutcomeUnknownError: it could not be booked yet.
    """
    services = session.services
    if not paying.waiting:
        for number in range(len(begun.shares)):
            await _end(session, begun, number, booked=False, texts=())
        raise NotAskedError
    paying.is_sent = True
    try:
        payment = await services.backend.book_kept(begun.payment_id, services.clock.now())
    except BackendError as error:
        for position, _ in begun.shares:
            outcome = Outcome(begun.payment_id, position, booked=True, texts=())
            services.payments.unwritten[begun.payment_id, position] = outcome
        raise OutcomeUnknownError("the outcome could not be noted") from error
    if payment.status == PaymentStatus.BOOKED:
        return PaymentResult(_BOOKED, payment)
    # Another gateway has taken this one for dead.
    return PaymentResult(PaymentOutcome.REFUSED, refusal=PaymentRefusalReason.SYSTEM)


async def _send_all(
    session: Session, request: FeePaid, order: PaymentOrder, begun: Begun, paying: Paying
) -> PaymentResult:
    """Send one share after the other, as long as each is booked."""
    library, manner = library_of(session)
    terminal, payment = session.terminal.name, None
    for number, (position, share) in enumerate(begun.shares):
        bk = receipt_of(order.bk, begun.payment_id, position, guarded=manner.guards_bk)
        was_sent = paying.is_sent
        try:
            # What was answered no is not done later (C98), and what others have settled neither.
            if not paying.waiting or _stood_still(session, paying):
                raise NotAskedError
            up = _request_of(session, request, order.currency, share, bk)
            paying.is_sent = True
            answer = await library.ask(manner.account, terminal, up, session.lease)
        except NotAskedError:
            paying.is_sent = was_sent
            _refuse_all(await _end(session, begun, number, booked=False, texts=()))
            raise
        except (NoAnswerError, BadAnswerError) as error:
            raise OutcomeUnknownError("the library system did not answer") from error
        assert isinstance(answer, FeePaidResponse)
        booked, texts = answer.payment_accepted, tuple(map(storable, answer.screen_message))
        paying.noted_s = session.services.clock.monotonic()
        payment = await _end(session, begun, number, booked=booked, texts=texts)
        if not booked:
            _refuse_all(payment)
            raise RefusedThereError(texts)
    assert payment is not None
    return PaymentResult(_BOOKED, payment)


def _stood_still(session: Session, paying: Paying) -> bool:
    """Whether the process did between noting a share and sending it, for so long that another
    gateway may take it for dead (C156)."""
    return session.services.clock.monotonic() - paying.noted_s > _STOOD_STILL_S


def _refuse_all(payment: Payment) -> None:
    """See to it that a no is true of the whole `payment`, as it is after a share was refused.

    Raises:
        OutcomeUnknownError: something of it is booked: another share, or this one by the word of
            staff. Whoever gets all of their money back owes that, so staff must look.
    """
    if payment.lines:
        raise OutcomeUnknownError("a part of it is booked")


def _request_of(
    session: Session, request: FeePaid, currency: str, share: Share, bk: str | None
) -> FeePaid:
    """The 37 of a share; it goes up without a PIN (C155)."""
    up = in_their_manner(session, with_kept_bytes(session, request))
    up.patron_identifier, up.patron_password, up.debtor = share.card, None, None
    up.currency_type, up.fee_amount = currency, format_amount(share.amount, currency)
    up.fee_identifier, up.transaction_id = share.fee_id or None, bk
    return up


async def _end(
    session: Session, begun: Begun, number: int, *, booked: bool, texts: tuple[str, ...]
) -> Payment:
    """Note how a share ended, and that the next one goes up if this one is booked.

    Raises:
        OutcomeUnknownError: it could not be noted yet; until it is, staff and other gateways do
            not know.
    """
    services = session.services
    position, _ = begun.shares[number]
    following = begun.shares[number + 1 : number + 2] if booked else ()
    try:
        return await services.backend.end_share(
            begun.payment_id,
            position,
            booked=booked,
            now=services.clock.instant(),
            texts=texts,
            then=following[0] if following else None,
            single=begun.single,
        )
    except BackendError as error:
        outcome = Outcome(begun.payment_id, position, booked, texts)
        services.payments.unwritten[begun.payment_id, position] = outcome
        raise OutcomeUnknownError("the outcome could not be noted") from error
