"""What a terminal can ask about an item: each case is a value that knows how to decide.

It holds the request and the rules, but no data of the library. It gets that as `Facts` inside the
write transaction, perhaps more than once (C60). Item and patron are in the order.
"""

from __future__ import annotations

from datetime import date, datetime, tzinfo

from msgspec import Struct

from sip2gw.model import Card, PatronRecord
from sip2gw.policy.items.decisions import (
    CirculationRequest,
    CirculationRules,
    Decision,
    Facts,
    Refusal,
    decide_cancel,
    decide_properties,
    refusal,
)
from sip2gw.policy.items.holds import HoldRequest, decide_hold
from sip2gw.policy.items.lending import decide_checkout, decide_renewal
from sip2gw.policy.items.returns import decide_checkin
from sip2gw.policy.obstacles import Standing, decide_standing
from sip2gw.policy.reasons import CirculationReason
from sip2gw.policy.relationships import RelationshipRules, may_renew_for
from sip2gw.protocol.structs import Discreet, Hidden


class Reader(Discreet, Struct, frozen=True):
    """The patron who asks, as far as the terminal knows, and what their standing needs."""

    card: Hidden[Card | None]
    """As it was presented; None for an unknown one."""
    today: date
    zone: tzinfo
    max_fee_age_days: int | None
    seen: Hidden[PatronRecord | None] = None
    """The snapshot that the terminal was shown; nearly always the transaction sees the same."""
    judged: Hidden[Standing | None] = None
    """Its standing with this card."""

    def standing(self, patron: PatronRecord | None) -> Standing | None:
        """The obstacles of `patron` with this card, as the transaction sees them."""
        if patron is None or self.card is None:
            return None
        if patron is self.seen and self.judged is not None:
            return self.judged
        return self.standing_with(patron, patron.card(self.card.number) or self.card)

    def standing_with(self, patron: PatronRecord, card: Card) -> Standing:
        """The same for any card of the patron."""
        return decide_standing(patron, card, self.today, self.zone, self.max_fee_age_days)


class LoanCase(Struct, frozen=True):
    """A loan (B56)."""

    request: CirculationRequest
    reader: Reader
    rules: CirculationRules

    def decide(self, facts: Facts) -> Decision:
        """Whether the item is lent."""
        standing = self.reader.standing(facts.patron)
        return decide_checkout(facts, standing, self.request, self.rules)


class RenewalCase(Struct, frozen=True):
    """A renewal, also of an authoriser's loan when the facts include the borrower (B54, B60)."""

    request: CirculationRequest
    reader: Reader
    rules: CirculationRules
    relationships: RelationshipRules
    pin_missing: bool
    """No PIN was shown where one is required."""

    def decide(self, facts: Facts) -> Decision:
        """Whether the loan is renewed."""
        standings = [self.reader.standing(facts.patron)]
        patron, borrower, may_act = facts.patron, facts.borrower, False
        if borrower is not None and patron is not None:
            may_act = may_renew_for(patron, borrower, self.relationships, self.reader.today)
            if may_act and self.pin_missing and not self.request.no_block:
                return refusal(CirculationReason.NO_PIN)
            standings.append(self.reader.standing_with(borrower, Card(borrower.id)))
        known = tuple(standing for standing in standings if standing is not None)
        return decide_renewal(facts, known, self.request, self.rules, may_act=may_act)


class ReturnCase(Struct, frozen=True):
    """A return (B59)."""

    request: CirculationRequest
    rules: CirculationRules

    def decide(self, facts: Facts) -> Decision:
        """Whether the item is taken back."""
        return decide_checkin(facts, self.request, self.rules)


class CancellationCase(Struct, frozen=True):
    """The cancellation of a loan or a return (B58)."""

    request: CirculationRequest
    rules: CirculationRules

    def decide(self, facts: Facts) -> Decision:
        """Whether it was the last transaction with the item."""
        return decide_cancel(facts, self.request, self.rules)


class HoldCase(Struct, frozen=True):
    """A hold is placed, changed or removed (B60)."""

    request: HoldRequest
    reader: Reader

    def decide(self, facts: Facts) -> Decision:
        """Whether it is."""
        return decide_hold(facts, self.reader.standing(facts.patron), self.request)


class PropertiesCase(Struct, frozen=True):
    """A terminal sends properties of the item (B60)."""

    properties: str
    now: datetime

    def decide(self, facts: Facts) -> Decision:
        """Whether there is such an item."""
        return decide_properties(facts, self.properties, self.now)


class RefusedCase(Struct, frozen=True):
    """A refusal that does not depend on facts; the order is only for the review (C106)."""

    refusal: Refusal

    def decide(self, facts: Facts) -> Decision:
        """No."""
        return self.refusal


CirculationCase = (
    LoanCase | RenewalCase | ReturnCase | CancellationCase | HoldCase | PropertiesCase | RefusedCase
)
