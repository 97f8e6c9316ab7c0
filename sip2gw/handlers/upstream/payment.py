"""37 in front of a library system: it goes up once, and our journal knows how it ended.

Rules: B43, B44, B46, B75, C59, C98, C105, C155, C156.
"""

from __future__ import annotations

from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.fee import Bill
from sip2gw.handlers.patron import PresentedCard
from sip2gw.policy.payments import PaymentFacts
from sip2gw.protocol.messages import FeePaid


async def pay(
    session: Session,
    request: FeePaid,
    bill: Bill,
    facts: PaymentFacts,
    presented: PresentedCard,
) -> Answer:
    """Pay what `bill` says, and answer with a 38.

    Args:
        session: who asks.
        request: the 37.
        bill: its text, as it was read.
        facts: the payer, and those for whom they may pay, each as a 63 has just shown them; which
            of their fees are paid is decided as in front of a store (`PaymentCase`).
        presented: the payer's card; the PIN was right, or none is needed, or it is missing.
    """
    raise NotImplementedError
