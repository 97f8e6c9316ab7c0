"""The checks of 11, 09, 29 and 15 in plain words (B56-B60, B70).

What refuses is not found out here: `Refusal.reasons` says so, and `CIRCULATION_REASONS` what each
of them means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct

from sip2gw.foundation.words import counted
from sip2gw.model import Loan, Membership, PatronRecord
from sip2gw.model.items import ItemRecord
from sip2gw.policy.access import CheckResult
from sip2gw.policy.explaining.places import ExplainedCheck, Place
from sip2gw.policy.items.decisions import CHECKIN, CHECKOUT, HOLD, RENEWAL, checkout_fee
from sip2gw.policy.items.materials import rule_for
from sip2gw.policy.membership import age_on
from sip2gw.policy.obstacles import Standing
from sip2gw.policy.reasons import CIRCULATION_REASONS, CirculationReason


class ItemCase(Struct, frozen=True):
    """An item that is known, who wants it, and where."""

    record: ItemRecord
    patron: PatronRecord | None
    """None where nobody is asked for (09)."""
    standing: Standing | None
    now: datetime
    place: Place


def explain_items(
    code: str, reasons: Iterable[CirculationReason], case: ItemCase | None
) -> list[ExplainedCheck]:
    """The checks of the item in a request `code` that is refused for `reasons`, if for any.

    Those of card and PIN come before. Without a `case` nobody has looked at the item: it is not
    known, or the card is refused.
    """
    refused = tuple(reasons)
    if case is None:
        return _not_looked_at(code, refused)
    last = next((reason for reason in refused if reason in _LAST[code]), None)
    explained = [ExplainedCheck("item", CheckResult.OK, _item(case))]
    for name in _CHECKS[code]:
        spoken = [reason for reason in refused if _CHECK_OF[reason] == name]
        if last is not None and not spoken:
            skipped = f"not checked: {CIRCULATION_REASONS[last].meaning}"
            explained.append(ExplainedCheck(name, CheckResult.SKIPPED, skipped))
            continue
        meanings = [CIRCULATION_REASONS[reason].meaning for reason in spoken]
        detail = "; ".join(filter(None, (_FACTS[name](case), *meanings)))
        result = CheckResult.REFUSED if spoken else CheckResult.OK
        explained.append(ExplainedCheck(name, result, detail))
    return explained


def _not_looked_at(code: str, refused: tuple[CirculationReason, ...]) -> list[ExplainedCheck]:
    reason = refused[0]
    meaning = CIRCULATION_REASONS[reason].meaning
    skipped = f"not checked: {meaning}"
    item = ExplainedCheck("item", CheckResult.SKIPPED, skipped)
    if reason is CirculationReason.UNKNOWN_ITEM:
        item = ExplainedCheck("item", CheckResult.REFUSED, meaning)
    others = (ExplainedCheck(name, CheckResult.SKIPPED, skipped) for name in _CHECKS[code])
    return [item, *others]


_CHECK_OF = {
    reason: name
    for name, reasons in (
        ("card", "unknown_card card_replaced"),
        ("pin", "wrong_pin no_pin"),
        ("item", "unknown_item"),
        ("for_loan", "not_for_loan reference"),
        ("material", "material"),
        ("attachment", "attachment"),
        ("waiting", "on_hold reserved"),
        ("loan", "charged_to_other already_charged not_charged nothing_to_cancel"),
        ("in_transit", "in_transit"),
        ("note", "note"),
        ("patron", "blocked"),
        ("overdue", "overdue"),
        ("lost_items", "lost_items"),
        ("item_limit", "item_limit"),
        ("membership_material", "material_not_allowed"),
        ("age", "under_age"),
        ("material_limit", "material_limit"),
        ("renewals", "renewal_limit"),
        ("borrowed_before", "previously_borrowed"),
        ("fee", "fee"),
        ("own_hold", "already_held no_such_hold unknown_mode hold_ready"),
        ("holds", "holds_not_permitted hold_limit"),
        ("hold_fees", "hold_fee_limit"),
        ("pickup", "unknown_branch expired"),
    )
    for reason in map(CirculationReason, reasons.split())
}
"""Each reason belongs to one check."""

_CHECKS = {
    CHECKOUT: (
        *("for_loan", "material", "attachment", "waiting", "loan", "patron", "overdue"),
        *("lost_items", "item_limit", "membership_material", "age", "material_limit"),
        *("renewals", "borrowed_before", "fee"),
    ),
    RENEWAL: ("loan", "waiting", "patron", "membership_material", "age", "renewals", "fee"),
    CHECKIN: ("material", "loan", "in_transit", "note", "for_loan", "waiting"),
    HOLD: (
        *("for_loan", "loan", "own_hold", "patron", "membership_material", "age"),
        *("holds", "hold_fees", "pickup"),
    ),
}
"""The checks that follow on that of the item, in the order of speaking."""

_LAST = {
    CHECKOUT: {CirculationReason.ALREADY_CHARGED},
    RENEWAL: {CirculationReason.CHARGED_TO_OTHER, CirculationReason.NOT_CHARGED},
    CHECKIN: frozenset[CirculationReason](),
    HOLD: frozenset[CirculationReason](),
}
"""After these nothing else is looked at."""


def _membership(case: ItemCase) -> Membership | None:
    return case.patron.membership if case.patron is not None else None


def _loans(case: ItemCase) -> tuple[Loan, ...]:
    return case.patron.loans if case.patron is not None else ()


def _item(case: ItemCase) -> str:
    return f"{case.record.item.id}, {case.record.item.title}"


def _for_loan(case: ItemCase) -> str:
    kind = "for loan" if case.record.item.for_loan else "a reference copy"
    return f"{kind}, {case.record.state.status}"


def _material(case: ItemCase) -> str:
    return f"material {case.record.item.material or 'unknown'}"


def _attachment(case: ItemCase) -> str:
    attachment = case.record.item.attachment
    return f"attached: {attachment}" if attachment else "nothing belongs to it"


def _waiting(case: ItemCase) -> str:
    hold = case.record.next_hold
    if hold is None:
        return "nobody waits for it"
    return f"patron {hold.patron_id} is next{', and it is ready' if hold.ready else ''}"


def _loan(case: ItemCase) -> str:
    loan = case.record.state.loan
    if loan is None:
        return "nobody has it on loan"
    due = loan.due.astimezone(case.now.tzinfo)
    return f"patron {loan.patron_id} has it on loan until {due:%a %Y-%m-%d %H:%M}"


def _in_transit(case: ItemCase) -> str:
    return f"it is {case.record.state.status}"


def _note(case: ItemCase) -> str:
    return "staff has left a note" if case.record.item.note else "no note"


def _patron(case: ItemCase) -> str:
    if case.standing is None or not case.standing.obstacles:
        return "nothing stands against the patron"
    return "against the patron: " + ", ".join(one.reason for one in case.standing.obstacles)


def _overdue(case: ItemCase) -> str:
    loans = _loans(case)
    return f"{counted(sum(loan.due < case.now for loan in loans), 'loan')} overdue"


def _lost_items(case: ItemCase) -> str:
    loans = _loans(case)
    return f"{counted(sum(loan.lost for loan in loans), 'loan')} lost"


def _item_limit(case: ItemCase) -> str:
    membership = _membership(case)
    limit = membership.max_items if membership is not None else 0
    allowed = f"{limit} allowed (max_items of the membership)" if limit else "no limit"
    return f"{counted(len(_loans(case)), 'loan')}, {allowed}"


def _membership_material(case: ItemCase) -> str:
    rule = rule_for(case.patron, case.record.item.material)
    if rule is None:
        return "no rule of the membership is about this material"
    return f"a rule of the membership about {rule.material}"


def _age(case: ItemCase) -> str:
    rule = rule_for(case.patron, case.record.item.material)
    ages = (case.record.item.minimum_age, rule.minimum_age if rule is not None else None)
    minimum = max((age for age in ages if age is not None), default=None)
    if minimum is None:
        return "no minimum age"
    born = case.patron.birth_date if case.patron is not None else None
    age = "unknown" if born is None else str(age_on(born, case.now.date()))
    return f"age {age}, at least {minimum} is asked for"


def _material_limit(case: ItemCase) -> str:
    rule = rule_for(case.patron, case.record.item.material)
    if rule is None or not rule.max_items:
        return "no limit for this material"
    return f"at most {rule.max_items} of {rule.material}"


def _renewals(case: ItemCase) -> str:
    loan = case.record.state.loan
    renewed = loan.renewals if loan is not None else 0
    return f"renewed {renewed} of {case.record.item.max_renewals} times"


def _fee(case: ItemCase) -> str:
    fee = checkout_fee(case.record.item)
    return f"costs {case.place.money(fee)}" if fee else "costs nothing"


def _holds(case: ItemCase) -> str:
    membership = _membership(case)
    limit = membership.max_holds if membership is not None else 0
    allowed = f"{limit} allowed (max_holds of the membership)" if limit else "no limit"
    holds = case.patron.holds if case.patron is not None else ()
    return f"{counted(len(holds), 'hold')}, {allowed}"


def _hold_fees(case: ItemCase) -> str:
    owed = case.standing.money.owed if case.standing is not None else 0
    return f"owes {case.place.money(owed)}"


def _nothing_more(case: ItemCase) -> str:
    """What the meaning of the reason says already."""
    return ""


_FACTS: dict[str, Callable[[ItemCase], str]] = {
    "for_loan": _for_loan,
    "material": _material,
    "attachment": _attachment,
    "waiting": _waiting,
    "loan": _loan,
    "in_transit": _in_transit,
    "note": _note,
    "patron": _patron,
    "overdue": _overdue,
    "lost_items": _lost_items,
    "item_limit": _item_limit,
    "membership_material": _membership_material,
    "age": _age,
    "material_limit": _material_limit,
    "renewals": _renewals,
    "borrowed_before": _nothing_more,
    "fee": _fee,
    "own_hold": _nothing_more,
    "holds": _holds,
    "hold_fees": _hold_fees,
    "pickup": _nothing_more,
}
