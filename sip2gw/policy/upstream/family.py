"""Whose fees may be paid through a library system that knows no relations.

Rules: B51, B53, C37, C77, C150.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date

from msgspec.structs import replace

from sip2gw.model import UNDATED, Fee, PatronRecord
from sip2gw.policy.membership import MembershipState, membership_state
from sip2gw.policy.relationships import RelationshipRules, payable_by
from sip2gw.policy.upstream.fees import OPEN_AMOUNT, OTHER_TYPE
from sip2gw.policy.upstream.fields import PatronAnswer

DEBTORS_MAX = 10
"""So many others are asked about at most, because each costs the library system a question."""


def debtors_to_ask(
    payer: PatronRecord, rules: RelationshipRules, today: date
) -> tuple[tuple[str, ...], bool]:
    """Whom to ask about, by id, and whether those are all whom `payer` may pay for (B51)."""
    if membership_state(payer, today) is not MembershipState.VALID:
        return (), True
    wanted = sorted(payable_by(payer, rules))
    return tuple(wanted[:DEBTORS_MAX]), len(wanted) <= DEBTORS_MAX


def says_debt(answer: PatronAnswer, record: PatronRecord) -> bool:
    """Whether an answer says what is owed: an amount, a fee, or no denial at all (C150).

    Args:
        answer: as it came.
        record: what was read out of it; without their word it said nothing about the patron.
    """
    word = record.word
    if word is None:
        return False
    if word.fee_amount is not None or record.fees:
        return True
    is_denied = bool(word.flags) or answer.valid_patron_password is False
    return not is_denied and not (answer.fee_amount or "").strip()


def as_debtor(record: PatronRecord, *, tells_titles: bool) -> PatronRecord:
    """What a payer may learn of another: a first name and fees (B53, C37, C77).

    What a library system writes about a fee may be a title, so without `tells_titles` nothing of it
    is left.
    """
    _, comma, given = record.name.partition(",")
    fees = record.fees
    if not tells_titles:
        fees = tuple(replace(fee, description="", item_id=None) for fee in fees)
    return PatronRecord(
        record.id,
        given.strip() if comma else record.name,
        membership=record.membership,
        membership_from=record.membership_from,
        membership_until=record.membership_until,
        cards=record.cards,
        fees=fees,
        word=record.word,
    )


def told_apart(records: Iterable[PatronRecord]) -> Iterator[PatronRecord]:
    """`records` with fees that cannot be taken for one of a patron before.

    A 37 names a fee by its id alone (CG). Who has a fee with an id that was there already, owes
    what it comes to without an id.
    """
    taken: set[str] = set()
    for record in records:
        ids = {fee.id for fee in record.fees if fee.id != OPEN_AMOUNT}
        yield record if taken.isdisjoint(ids) else _without_ids(record, taken)
        taken |= ids


def _without_ids(record: PatronRecord, taken: Collection[str]) -> PatronRecord:
    kept = [fee for fee in record.fees if fee.id != OPEN_AMOUNT and fee.id not in taken]
    rest = sum(fee.owed for fee in record.fees) - sum(fee.owed for fee in kept)
    if rest:
        kept.append(Fee(OPEN_AMOUNT, record.id, rest, rest, UNDATED, type=OTHER_TYPE))
    return replace(record, fees=tuple(kept))
