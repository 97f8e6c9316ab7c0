"""What all requests about an item have in common.  (B57, B61, C20, C69, C88)"""

from __future__ import annotations

from datetime import datetime, timedelta

from sip2gw.backend.base import CirculationOrder, CirculationResult
from sip2gw.handlers.base import Session
from sip2gw.handlers.patron import PresentedCard, obstacle_text, standing_of
from sip2gw.handlers.refusal import kept
from sip2gw.model import PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.policy.items.cases import CirculationCase, Reader, RefusedCase
from sip2gw.policy.items.decisions import Refusal
from sip2gw.policy.items.offline import Claim, judge_claim
from sip2gw.policy.moments import END_OF_DAY
from sip2gw.policy.reasons import CIRCULATION_REASONS, CirculationReason
from sip2gw.protocol.describe import without_swallowed
from sip2gw.protocol.messages import Checkin, Checkout, Renew
from sip2gw.protocol.timestamps import read_timestamp, write_timestamp
from sip2gw.texts import format_day, format_money

KEY_KEPT = timedelta(hours=24)
"""How long a retry gets the same answer, and a transaction can be cancelled (C69)."""

NO_SECURITY = "01"
"""The security marker of an item that has none."""

_FLAGS = ("fee_acknowledged", "cancel", "no_block")
"""What a request may say besides item and patron that makes it another one. No block comes last,
where the journal leaves it out."""


def card_reason(presented: PresentedCard) -> CirculationReason | None:
    """What is wrong with the card or the PIN (C20)."""
    if presented.replaced:
        return CirculationReason.CARD_REPLACED
    if presented.record is None or presented.card is None or not presented.valid_patron:
        return CirculationReason.UNKNOWN_CARD
    if presented.pin in (PinState.WRONG, PinState.LOCKED):
        return CirculationReason.WRONG_PIN
    return CirculationReason.NO_PIN if presented.pin is PinState.ABSENT else None


def early_refusal(presented: PresentedCard, claim: Claim | None = None) -> Refusal | None:
    """Without a good card and PIN the answer reveals nothing about items.

    A believed off-line transaction goes on anyway (B57).
    """
    reason = card_reason(presented)
    believed = claim is not None and claim.believed
    return None if reason is None or believed else Refusal((reason,))


async def note_refusal(session: Session, order: CirculationOrder, refused: Refusal) -> None:
    """An early refusal is noted for review if the transaction may have happened (C106)."""
    if order.claim is not None:
        order.case = RefusedCase(refused)
        await session.services.backend.circulate(order)


def note_active(session: Session, patron_id: str | None, result: CirculationResult) -> None:
    """The patron was active if anything was done with their item (C161)."""
    if patron_id is not None and result.done is not None:
        session.services.backend.note_activity(patron_id, session.now())


def claim_of(session: Session, request: Checkout | Checkin | Renew) -> Claim | None:
    """How to treat no block `Y`; None without it (B57, C106).

    A return has its own date; some terminals put the time of sending into the other date.
    """
    if not request.no_block:
        return None
    dates, due = [request.transaction_date], []
    if isinstance(request, Checkin):
        dates.insert(0, request.return_date)
    else:
        due.append(request.nb_due_date)
    return judge_claim(
        session.now(),
        accepted=session.terminal.rights.accept_offline,
        dates=_said(session, dates),
        due=_said(session, due),
    )


def _said(session: Session, raw: list[str]) -> list[datetime | None]:
    """Dates as moments, without those that are blank or all zeros."""
    return [read_timestamp(one, session.terminal.zone) for one in raw if one.strip(" 0")]


def order_for(
    session: Session,
    code: str,
    item_id: str,
    request: Checkout | Checkin | Renew,
    presented: PresentedCard | None,
    claim: Claim | None,
    case: CirculationCase,
) -> CirculationOrder:
    """The order for what `request` asks to do with the item, or claims has been done."""
    record = presented.record if presented is not None else None
    unknown_card = ""
    if presented is not None and record is None:
        unknown_card = kept(without_swallowed(presented.number, request))
    now = session.now()
    return CirculationOrder(
        code=code,
        terminal=session.terminal.name,
        item_id=item_id,
        patron_id=record.id if record is not None else None,
        now=now,
        case=case,
        key=order_key(session, request, unknown_card if record is None else record.id),
        key_expires=now + KEY_KEPT,
        claim=claim,
        unknown_card=unknown_card,
        # Only what is claimed is listed, which is seldom; each loan comes here.
        unknown_item=without_swallowed(item_id, request) if claim is not None else "",
        keeps_history=session.terminal.circulation.loan_history is not None,
    )


def order_key(session: Session, request: Checkout | Checkin | Renew, patron_id: str) -> str | None:
    """The key under which `request` is done once for `patron_id`: nobody if empty, or a card that
    nobody has."""
    flags = "".join(["Y" if getattr(request, name, False) else "N" for name in _FLAGS])
    return transaction_key(session, request.code, patron_id, request.transaction_date, flags)


def transaction_key(
    session: Session, code: str, patron_id: str, date: str, said: str
) -> str | None:
    """The key under which a request that says `said` is done once; None without a date (C69, C88).

    A terminal whose clock stands still uses it again: it counts only while the answer is true
    (C97).
    """
    if not date.strip():
        return None
    return f"{session.terminal.name}|{code}|{patron_id}|{date}|{said}"


def refusal_texts(
    session: Session, refusal: Refusal, record: PatronRecord | None
) -> tuple[str, ...]:
    """The screen text of a refusal."""
    language = session.language("000", record)
    if refusal.reason is CirculationReason.BLOCKED and refusal.obstacle is not None:
        return (obstacle_text(session, language, refusal.obstacle),)
    values = {}
    if refusal.reason is CirculationReason.FEE:
        values["amount"] = format_money(refusal.fee, session.terminal.currency, language)
    key = CIRCULATION_REASONS[refusal.reason].text_key
    return (session.services.texts.text(language, key, **values),)


def due_text(session: Session, due: datetime | None) -> str:
    """AH in the branch's zone: like the other dates of the answer, or as people write dates."""
    if due is None:
        return ""
    terminal, local = session.terminal, due.astimezone(session.terminal.zone)
    if terminal.presentation.due_date_format == "sip2":
        return write_timestamp(local, terminal.wire.date_zone)
    day = format_day(local.date(), terminal.language)
    return day if local.time() == END_OF_DAY else f"{day} {local:%H:%M}"


def reader_of(session: Session, presented: PresentedCard) -> Reader:
    """Who asks, for the case of an order."""
    terminal, today = session.terminal, session.now().date()
    record, card = presented.record, presented.card
    judged = None
    if record is not None and card is not None:
        judged = standing_of(session, record, card, today)
    return Reader(card, today, terminal.zone, terminal.max_fee_age_days, record, judged)
