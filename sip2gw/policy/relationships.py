"""Who may pay for whom, now.  (B49-B53, C3, C37)

A payer acts for the other party of a *direct* relationship only: a head of family for a child, an
authorised person (function `pay`) for the authoriser. Never the reverse, never over two steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sip2gw.model import PatronRecord, Relationship, RelationshipType
from sip2gw.policy.membership import MembershipState, membership_state


@dataclass(frozen=True, slots=True)
class RelationshipRules:
    """Which relationships the institution has (B49: licence, Flanders without authorisation)."""

    enabled: bool = True
    types: frozenset[RelationshipType] = frozenset(RelationshipType)


@dataclass(frozen=True, slots=True)
class PayableAccount:
    """A patron for whom the payer may pay now, and why."""

    debtor: PatronRecord
    relation: RelationshipType


def debtor_id_of(relation: Relationship) -> str:
    """The party whose fees the payer of `relation` may settle."""
    if relation.type is RelationshipType.HEAD_OF_FAMILY:
        return relation.to_id
    return relation.from_id


def payer_id_of(relation: Relationship) -> str:
    """The party who may pay."""
    if relation.type is RelationshipType.HEAD_OF_FAMILY:
        return relation.from_id
    return relation.to_id


def may_pay_by(relation: Relationship, payer_id: str, rules: RelationshipRules) -> bool:
    """Whether `relation` by itself lets `payer_id` pay, memberships aside."""
    if not rules.enabled or relation.type not in rules.types or not relation.confirmed:
        return False
    if payer_id_of(relation) != payer_id or debtor_id_of(relation) == payer_id:
        return False
    return relation.type is RelationshipType.HEAD_OF_FAMILY or "pay" in relation.functions


def payable_accounts(
    payer: PatronRecord,
    debtors: Iterable[PatronRecord],
    rules: RelationshipRules,
    today: date,
) -> tuple[PayableAccount, ...]:
    """The accounts, by patron id, that `payer` may pay for on `today`.

    A relationship sleeps while either membership is invalid (B49, C3). Someone related twice is
    listed once, as family.
    """
    if membership_state(payer, today) is not MembershipState.VALID:
        return ()
    relations: dict[str, RelationshipType] = {}
    for relation in payer.payer_for:
        if may_pay_by(relation, payer.id, rules):
            debtor_id = debtor_id_of(relation)
            known = relations.get(debtor_id)
            if known is not RelationshipType.HEAD_OF_FAMILY:
                relations[debtor_id] = relation.type
    accounts = {
        debtor.id: PayableAccount(debtor, relations[debtor.id])
        for debtor in debtors
        if debtor.id in relations and membership_state(debtor, today) is MembershipState.VALID
    }
    return tuple(accounts[debtor_id] for debtor_id in sorted(accounts))
