"""A copy or two for the policy tests: what may be lent, who waits for it."""

from datetime import timedelta

from family import NOON, ZONE, patron
from msgspec.structs import replace

from sip2gw.model import Card
from sip2gw.model.items import (
    Item,
    ItemLoan,
    ItemRecord,
    ItemState,
    QueuedHold,
)
from sip2gw.policy.items.decisions import (
    CHECKOUT,
    CirculationRequest,
    CirculationRules,
    Facts,
)
from sip2gw.policy.obstacles import decide_standing

DUE = NOON + timedelta(days=7)
RULES = CirculationRules(
    "kiosk-1",
    "MAIN",
    ZONE,
    describe_checkout_fee="Loan charge",
    describe_overdue_fee="Late by {}".format,
)


def item(item_id="I1", **changes):
    """A copy of title T1 that belongs to MAIN."""
    return Item(item_id, "Reinaert", title_id="T1", owner_branch="MAIN", **changes)


def loan(patron_id, **changes):
    taken = ItemLoan(patron_id, NOON - timedelta(days=14), DUE)
    return replace(taken, **changes)


def hold(patron_id, **changes):
    """Somebody waits for any copy of T1."""
    placed = NOON - timedelta(days=3)
    return replace(QueuedHold("H1", patron_id, "Bert Maes", None, "T1", placed), **changes)


def record(*, loan=None, hold=None, state=None, **changes):
    known = state or ItemState(current_branch="MAIN")
    return ItemRecord(item(**changes), replace(known, loan=loan), hold)


def facts(known, who=None, borrower=None):
    return Facts(known, who, borrower)


def request(code=CHECKOUT, **changes):
    return CirculationRequest(NOON, code, **changes)


def standing_of(who):
    return decide_standing(who, Card(who.id), NOON.date(), ZONE, None)


READER = patron("ANNA")
OTHER = patron("BERT", "Bert Maes")
BANNED = patron("FRED", "Fred Banned", status=8)
