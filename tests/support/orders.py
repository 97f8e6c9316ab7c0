"""Orders of which a test says how they are decided, whatever the policies would say."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from msgspec.structs import replace

from sip2gw.backend.base import CirculationOrder, PaymentOrder
from sip2gw.model import PaymentLine
from sip2gw.policy.items.decisions import Decision, Facts
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentCase, PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.texts.payments import PaymentTexts

Decide = Callable[[PaymentFacts], PaymentPlan | PaymentRefusalReason]


class ToldPayment:
    """A payment, decided by a function of the facts."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    def decide(self, amount: int, facts: PaymentFacts) -> PaymentPlan | PaymentRefusalReason:
        return self._decide(facts)


class SameTexts:
    """The same texts for every payment."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts

    def of(self, amount: int, left: int) -> tuple[str, ...]:
        return self._texts


class ToldCase:
    """What to do with an item, decided by a function of the facts."""

    def __init__(self, decide: Callable[[Facts], Decision]) -> None:
        self.decide = decide


Order = TypeVar("Order", PaymentOrder, CirculationOrder)


def decided_by(order: Order, decide: Callable[[Any], Any]) -> Order:
    """`order`, to be decided by `decide`."""
    case = ToldPayment(decide) if isinstance(order, PaymentOrder) else ToldCase(decide)
    return replace(order, case=cast(Any, case))


def settling(*lines: PaymentLine) -> PaymentCase:
    """A case that is decided to settle these."""
    return cast(PaymentCase, ToldPayment(lambda facts: PaymentPlan(lines, 0)))


def saying(*texts: str) -> PaymentTexts:
    """The same texts for every payment."""
    return cast(PaymentTexts, SameTexts(texts))
