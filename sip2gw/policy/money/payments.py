"""Whether a payment is booked, and what it settles: pure, so it may be decided again.  (C60)"""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from sip2gw.model import Minor, PatronRecord
from sip2gw.policy.money.debts import (
    PaymentPlan,
    PaymentRequest,
    PaymentRules,
    decide_allocation,
)
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.relationships import PayableAccount, RelationshipRules, payable_accounts


class PaymentFacts(Struct):
    """What a payment is decided on (C60).

    Read inside the booking transaction the records hold membership, fees and relationships only;
    cards, badges, blocks, loans and holds are left out.
    """

    payer: PatronRecord
    debtors: tuple[PatronRecord, ...]
    """The other parties of `payer.payer_for`, whether or not the relationship is valid now."""


class PaymentCase(Struct):
    """The request apart from the amount, the payer, and the rules that decide it.

    The payer's obstacles are part of it: when an answer was lost, the retry must find its booking
    even over a new connection without the PIN (B46, C4).
    """

    fee_id: str | None
    """CG: exactly this fee; None spreads (B44)."""
    debtor_id: str | None
    """Whose fees are meant; None is everybody's that may be paid (C37)."""
    pin_missing: bool
    card_active: bool
    today: date
    relationships: RelationshipRules | None
    """None: nobody pays for others here."""
    rules: PaymentRules

    def decide(self, amount: Minor, facts: PaymentFacts) -> PaymentPlan | PaymentRefusalReason:
        """How `amount` is spread, or why nothing is booked."""
        if self.pin_missing:
            return PaymentRefusalReason.NO_PIN
        if not self.card_active:
            return PaymentRefusalReason.CARD_BLOCKED
        accounts: tuple[PayableAccount, ...] = ()
        if self.relationships is not None:
            accounts = payable_accounts(facts.payer, facts.debtors, self.relationships, self.today)
        payer, accounts = _of_debtor(facts.payer, accounts, self.debtor_id)
        if payer is None:
            return PaymentRefusalReason.NOT_YOURS
        return decide_allocation(payer, accounts, PaymentRequest(amount, self.fee_id), self.rules)


def _of_debtor(
    payer: PatronRecord, accounts: tuple[PayableAccount, ...], debtor_id: str | None
) -> tuple[PatronRecord | None, tuple[PayableAccount, ...]]:
    """Narrow what may be paid to `debtor_id`'s fees; (None, ()) when they may not be paid."""
    if debtor_id is None:
        return payer, accounts
    if debtor_id == payer.id:
        return payer, ()
    chosen = tuple(account for account in accounts if account.debtor.id == debtor_id)
    return (_without_fees(payer) if chosen else None), chosen


def _without_fees(payer: PatronRecord) -> PatronRecord:
    return PatronRecord(id=payer.id, name=payer.name)
