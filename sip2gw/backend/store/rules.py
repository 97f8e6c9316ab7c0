"""What an import refuses although each line is well formed (C47, B49). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sip2gw.backend.store.format import MembershipLine
from sip2gw.model import Minor, RelationshipType

RENEWAL_TYPES = (0, 1, 3, 4, 5, 9)
TYPES_WITH_AGES = (1, 2)


def membership_problems(
    line: MembershipLine, *, fee: Minor, alert: Minor | None, limit: Minor | None
) -> Iterator[str]:
    """The combinations that no membership definition may have (C47)."""
    if line.type == 0 and fee:
        yield "a membership of type 0 has no fee"
    if line.type in TYPES_WITH_AGES and None in (line.minimum_age, line.maximum_age):
        yield f"a membership of type {line.type} needs minimum_age and maximum_age"
    if (
        line.minimum_age is not None
        and line.maximum_age is not None
        and line.minimum_age > line.maximum_age
    ):
        yield "minimum_age is above maximum_age"
    if line.renewal_type not in RENEWAL_TYPES:
        yield f"renewal_type must be one of {', '.join(map(str, RENEWAL_TYPES))}"
    if line.renewal_type == 3 and line.type != 6:
        yield "renewal_type 3 goes only with type 6"
    if line.renewal_type == 1 and line.type not in TYPES_WITH_AGES:
        yield "renewal_type 1 goes only with type 1 or 2"
    if alert is not None and limit is not None and alert > limit:
        yield "alert_amount is above max_fees_self_service"


class Relation(NamedTuple):
    """A relationship on its way into the store; `src` is the line it stands in."""

    src: int
    type: str
    from_id: str
    to_id: str
    may_renew: int
    may_pay: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it."""
        return self.type, self.from_id, self.to_id

    @property
    def functions(self) -> tuple[str, ...]:
        """What an authorisation allows."""
        given = (("renew", self.may_renew), ("pay", self.may_pay))
        return tuple(name for name, allowed in given if allowed)


class Structure:
    """The shape of families and authorisations so far (B49)."""

    def __init__(self) -> None:
        self._head_of: dict[str, str] = {}
        self._heads: set[str] = set()
        self._holder_of: dict[tuple[str, str], str] = {}

    def add(self, relation: Relation) -> Iterator[str]:
        """Take `relation` in; yields how it breaks the shape."""
        if relation.type == RelationshipType.HEAD_OF_FAMILY:
            yield from self._add_family(relation.from_id, relation.to_id)
        else:
            yield from self._add_authorisation(relation)

    def _add_family(self, head: str, child: str) -> Iterator[str]:
        if self._head_of.get(child, head) != head:
            yield f"patron {child} has a head of family already: {self._head_of[child]}"
        if head in self._head_of:
            yield f"patron {head} is a child and cannot be a head of family"
        if child in self._heads:
            yield f"patron {child} is a head of family and cannot be a child"
        self._head_of[child] = head
        self._heads.add(head)

    def _add_authorisation(self, relation: Relation) -> Iterator[str]:
        for function in relation.functions:
            holder = self._holder_of.setdefault((relation.from_id, function), relation.to_id)
            if holder != relation.to_id:
                yield f"patron {relation.from_id} has given {function} to {holder} already"


def structure_problems(
    stored: Iterable[Relation], staged: Iterable[Relation]
) -> Iterator[tuple[int, str]]:
    """How `staged` breaks the shape together with those `stored` that it does not replace."""
    coming = sorted(staged)
    replaced = {relation.key for relation in coming}
    structure = Structure()
    for relation in stored:
        if relation.key not in replaced:
            for _ in structure.add(relation):
                pass
    for relation in coming:
        for problem in structure.add(relation):
            yield relation.src, problem
