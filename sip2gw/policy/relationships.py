"""Which relationships are allowed, and who may pay for whom at the moment (B49-B53, C3, C37).

The rules of form and structure return sentences for staff, the same in `import` and in
`relationship add`. A payer acts for the other party of a *direct* relationship only: a head of
family for a child, an authorised person (function `pay`) for the authoriser. Never the other way
round, and never over two steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from msgspec import Struct

from sip2gw.model import PatronRecord, Proposer, Relationship, RelationshipType
from sip2gw.policy.membership import MembershipState, membership_state


class RelationshipRules(Struct, frozen=True):
    """The institution's types of relationships (B49: licence, Flanders without authorisation)."""

    types: frozenset[RelationshipType] = frozenset(RelationshipType)
    """The types that may be made and used; none when relationships are switched off."""
    judges_memberships: bool = True
    """Whether our store's word about a membership counts when a relationship is made; not where a
    library system behind the gateway has the word (C56)."""


FUNCTIONS = ("renew", "pay")
"""What an authorisation may allow."""


def form_problems(relation: Relationship, types: frozenset[RelationshipType]) -> Iterator[str]:
    """What is wrong with `relation` by itself, regardless of all others (B49, B50)."""
    if relation.type not in types:
        yield f"relationships of type {relation.type} are switched off"
    if relation.from_id == relation.to_id:
        yield "a patron cannot have a relationship with themselves"
    if relation.type is RelationshipType.HEAD_OF_FAMILY:
        if relation.functions:
            yield "`functions` is allowed only with an authorisation"
        if relation.proposed_by is not Proposer.STAFF:
            yield "only staff propose a head of family"
    elif not relation.functions:
        yield "an authorisation needs `functions`: renew, pay or both"


class Structure:
    """The structure of families and authorisations so far (B49).

    A child has one head, nobody is both head and child, and an account gives each function to at
    most one person. Unconfirmed relationships count too.
    """

    def __init__(self) -> None:
        self._head_of: dict[str, str] = {}
        self._heads: set[str] = set()
        self._holder_of: dict[tuple[str, str], str] = {}

    def add(self, relation: Relationship) -> list[str]:
        """Add `relation`; returns how it breaks the shape, or nothing if it fits."""
        if relation.type is RelationshipType.HEAD_OF_FAMILY:
            return list(self._add_family(relation.from_id, relation.to_id))
        return list(self._add_authorisation(relation))

    def _add_family(self, head: str, child: str) -> Iterator[str]:
        if self._head_of.get(child, head) != head:
            yield f"patron {child} already has a head of family: {self._head_of[child]}"
        if head in self._head_of:
            yield f"patron {head} is a child, so cannot be a head of family"
        if child in self._heads:
            yield f"patron {child} is a head of family, so cannot be a child"
        self._head_of[child] = head
        self._heads.add(head)

    def _add_authorisation(self, relation: Relationship) -> Iterator[str]:
        for function in FUNCTIONS:
            if function in relation.functions:
                key = relation.from_id, function
                holder = self._holder_of.setdefault(key, relation.to_id)
                if holder != relation.to_id:
                    yield f"patron {relation.from_id} has already given {function} to {holder}"


def structure_problems(
    stored: Iterable[Relationship], coming: Iterable[Relationship]
) -> Iterator[tuple[Relationship, str]]:
    """How each of `coming` breaks the shape with those before it, and with those `stored` that it
    does not replace (C16)."""
    coming = list(coming)
    replaced = {relation.key for relation in coming}
    structure = Structure()
    for relation in stored:
        if relation.key not in replaced:
            structure.add(relation)
    for relation in coming:
        for problem in structure.add(relation):
            yield relation, problem


def addition_problems(
    relation: Relationship,
    parties: Iterable[PatronRecord],
    stored: Iterable[Relationship],
    rules: RelationshipRules,
    today: date,
) -> list[str]:
    """Why staff may not make `relation` on `today`: form, structure, memberships (B49, C3, C56).

    Args:
        relation: as it is to be stored; one with the same key is replaced.
        parties: both sides.
        stored: at least all relationships of either side.
        rules: which types there are, and whether memberships are judged here.
        today: the day on which both memberships must be valid.
    """
    problems = list(form_problems(relation, rules.types))
    problems += (problem for _, problem in structure_problems(stored, [relation]))
    if rules.judges_memberships:
        problems += (
            f"patron {party.id} has no valid membership"
            for party in parties
            if membership_state(party, today) is not MembershipState.VALID
        )
    return problems


def is_already_so(stored: Relationship, wanted: Relationship) -> bool:
    """Whether a party proposes with `wanted` what is `stored`, so that it stays as it is (B50).

    A website may repeat a request whose answer was lost; that takes nothing away. What waits is the
    same only if the same one proposed it: what staff have left open, a party may yet propose.
    """
    if wanted.proposed_by is Proposer.STAFF or stored.key != wanted.key:
        return False
    is_known = stored.confirmed or stored.proposed_by is wanted.proposed_by
    return is_known and stored.functions == wanted.functions


def confirmation_problem(
    relation: Relationship, patron_id: str, seen: frozenset[str] | None = None
) -> str | None:
    """Why `patron_id`, one of the two, may not put `relation` in force alone; None: they may (B50).

    Only the other party says yes to what one of them has proposed. What staff have left unconfirmed
    was proposed by neither, so neither can consent for the other: staff confirm it. To confirm what
    is in force changes nothing. A yes is to the functions that were `seen`; None: to any.
    """
    if seen is not None and seen != relation.functions:
        now = " and ".join(sorted(relation.functions))
        return f"it is something else now: {now}; look again, and say yes to that"
    if relation.confirmed:
        return None
    if relation.proposed_by is Proposer.STAFF:
        return "staff have left this open; only they can confirm it"
    other = relation.to_id if relation.proposed_by is Proposer.FROM else relation.from_id
    return None if patron_id == other else "the other party must say yes to what you have proposed"


def is_born_on(record: PatronRecord, day: date) -> bool:
    """Whether `day` is the patron's birth date; a patron without one was born on no day (B50)."""
    return record.birth_date is not None and record.birth_date == day


class PayableAccount(Struct, frozen=True):
    """A patron for whom the payer may pay at the moment, and why."""

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
    """Whether `relation` by itself lets `payer_id` pay, regardless of memberships."""
    if relation.type not in rules.types or not relation.confirmed:
        return False
    if payer_id_of(relation) != payer_id or debtor_id_of(relation) == payer_id:
        return False
    return relation.type is RelationshipType.HEAD_OF_FAMILY or "pay" in relation.functions


def payable_by(record: PatronRecord, rules: RelationshipRules) -> set[str]:
    """Those whose fees `record` may pay, regardless of memberships (B51)."""
    return {
        debtor_id_of(relation)
        for relation in record.payer_for
        if may_pay_by(relation, record.id, rules)
    }


def payable_accounts(
    payer: PatronRecord,
    debtors: Iterable[PatronRecord],
    rules: RelationshipRules,
    today: date,
) -> tuple[PayableAccount, ...]:
    """The accounts, by patron id, that `payer` may pay for on `today`.

    A relationship is dormant while either membership is invalid (B49, C3). Someone related twice is
    listed once, as family.
    """
    if not payer.payer_for or membership_state(payer, today) is not MembershipState.VALID:
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


def children_of(record: PatronRecord, rules: RelationshipRules) -> tuple[str, ...]:
    """The children of whom `record` is head of family, regardless of memberships (B49)."""
    return tuple(
        relation.to_id
        for relation in record.payer_for
        if relation.type is RelationshipType.HEAD_OF_FAMILY
        and may_pay_by(relation, record.id, rules)
    )


def renewable_by(record: PatronRecord, rules: RelationshipRules) -> tuple[str, ...]:
    """The authorisers whose loans `record` may renew, regardless of memberships (B54)."""
    if RelationshipType.AUTHORISATION not in rules.types:
        return ()
    return tuple(
        relation.from_id
        for relation in record.payer_for
        if relation.type is RelationshipType.AUTHORISATION
        and relation.to_id == record.id
        and relation.confirmed
        and "renew" in relation.functions
    )


def may_renew_for(
    record: PatronRecord, authoriser: PatronRecord, rules: RelationshipRules, today: date
) -> bool:
    """Whether `record` may renew `authoriser`'s loans on `today` (B49, B54, C3)."""
    return authoriser.id in renewable_by(record, rules) and all(
        membership_state(party, today) is MembershipState.VALID for party in (record, authoriser)
    )
