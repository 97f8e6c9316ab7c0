"""What staff does, on both databases: relationships, badges, PINs (B49, B50, B65, C41)."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta

import pytest
from msgspec.structs import replace
from orders import decided_by

from sip2gw.backend.base import BackendError, NotFoundError, RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.model import (
    Badge,
    PatronRecord,
    Proposer,
    Relationship,
    RelationshipType,
)
from sip2gw.policy.money.debts import (
    PaymentPlan,
    PaymentRequest,
    PaymentRules,
    decide_allocation,
)
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.relationships import RelationshipRules, payable_accounts

from .library import NOW, content, load, order

TODAY = date(2026, 3, 10)
RULES = RelationshipRules()
FLANDERS = RelationshipRules(types=frozenset({RelationshipType.HEAD_OF_FAMILY}))
FAMILY = RelationshipType.HEAD_OF_FAMILY
AUTHORISATION = RelationshipType.AUTHORISATION


def authorised(giver: str, receiver: str, *functions: str, confirmed: bool = True) -> Relationship:
    return Relationship(AUTHORISATION, giver, receiver, frozenset(functions), confirmed)


async def found(library: Library, patron_id: str) -> PatronRecord:
    record = await library.find_patron(patron_id)
    assert record is not None
    return record


# Relationships


async def test_an_added_relationship_is_seen_by_both_at_once(library: Library) -> None:
    """B50: made by staff it works at once; the cards may be any of theirs (C57)."""
    before = await found(library, "P2")
    assert before.payer_for == ()
    added = await library.add_relationship(authorised("OLD1", "P2", "pay"), RULES, TODAY)
    assert added == authorised("P1", "P2", "pay")
    assert (await found(library, "P2")).payer_for == (added,)
    assert added in library.relationships("C1")
    assert library.self_check() == []


async def test_an_authorisation_waits_for_its_confirmation(library: Library) -> None:
    """B50."""
    (waiting,) = (one for one in library.relationships() if one.type == AUTHORISATION)
    assert not waiting.confirmed
    for _ in range(2):
        confirmed = await library.confirm_relationship(AUTHORISATION, "P3", "C1")
        assert confirmed == replace(waiting, confirmed=True)
    assert waiting not in (await found(library, "P1")).payer_for
    assert authorised("P3", "P1", "pay", "renew") in (await found(library, "P1")).payer_for


@pytest.mark.parametrize("proposer", Proposer)
async def test_b50_it_is_kept_who_proposed_a_relationship(
    library: Library, proposer: Proposer
) -> None:
    """And exported, imported again as it was, and shown when it is used."""
    await library.remove_relationship(AUTHORISATION, "P3", "P1")
    proposed = replace(authorised("P3", "P2", "pay", confirmed=False), proposed_by=proposer)
    assert await library.add_relationship(proposed, RULES, TODAY) == proposed
    assert list(library.relationships("P3")) == [proposed]
    assert (await found(library, "P2")).payer_for == (proposed,)
    exported = map(json.loads, export_lines(library, currency="EUR"))
    (line,) = (one for one in exported if one.get("from") == "P3")
    assert line.get("proposed_by", "staff") == proposer.value
    await library.remove_relationship(AUTHORISATION, "P3", "P2")
    assert load(library, line).errors == ()
    assert list(library.relationships("P3")) == [proposed]
    del line["confirmed"]
    assert load(library, {**line, "proposed_by": "staff"}).errors == ()
    by_staff = replace(proposed, confirmed=True, proposed_by=Proposer.STAFF)
    assert list(library.relationships("P3")) == [by_staff]


async def test_b50_a_party_confirms_only_what_the_other_has_proposed(library: Library) -> None:
    """P3 has proposed it; staff may confirm what they like."""
    proposed = replace(authorised("P3", "P1", "pay", confirmed=False), proposed_by=Proposer.FROM)
    key = AUTHORISATION, "P3", "P1"
    await library.add_relationship(proposed, RULES, TODAY)
    with pytest.raises(RefusedError, match="the other party must say yes"):
        await library.confirm_relationship(*key, by="P3")
    assert list(library.relationships("P3")) == [proposed]
    confirmed = replace(proposed, confirmed=True)
    assert await library.confirm_relationship(*key, by="P1") == confirmed
    assert list(library.relationships("P3")) == [confirmed]
    await library.add_relationship(replace(proposed, proposed_by=Proposer.STAFF), RULES, TODAY)
    with pytest.raises(RefusedError, match="staff have left this open"):
        await library.confirm_relationship(*key, by="P1")
    assert (await library.confirm_relationship(*key)).confirmed


async def test_accepted_house_rules_are_seen_at_once(library: Library) -> None:
    """C10: a door may ask for them; any card names the patron (C57)."""
    await library.accept_house_rules("C1", TODAY)
    assert (await found(library, "P1")).house_rules_accepted == TODAY
    assert (await found(library, "P2")).house_rules_accepted is None
    with pytest.raises(NotFoundError):
        await library.accept_house_rules("C9", TODAY)


async def test_the_same_between_the_same_two_is_replaced(library: Library) -> None:
    """C16: as in an import."""
    wanted = authorised("P3", "P1", "pay", confirmed=True)
    await library.add_relationship(wanted, RULES, TODAY)
    assert list(library.relationships("P3")) == [wanted]
    # and what it gave before is free for others
    await library.add_relationship(authorised("P3", "P2", "renew"), RULES, TODAY)


async def test_a_removed_relationship_is_gone_at_once(library: Library) -> None:
    assert [one.type for one in (await found(library, "P1")).payer_for] == [FAMILY, AUTHORISATION]
    await library.remove_relationship(FAMILY, "C1", "P2")
    assert [one.type for one in (await found(library, "P1")).payer_for] == [AUTHORISATION]
    for change in (library.remove_relationship, library.confirm_relationship):
        with pytest.raises(NotFoundError, match="no head_of_family from patron P1 to patron P2"):
            await change(FAMILY, "P1", "P2")


@pytest.mark.parametrize(
    ("relation", "sentence"),
    [
        (Relationship(FAMILY, "P3", "P2"), "patron P2 already has a head of family: P1"),
        (Relationship(FAMILY, "P2", "P3"), "patron P2 is a child, so cannot be a head"),
        (Relationship(FAMILY, "P3", "P1"), "patron P1 is a head of family, so cannot be a child"),
        (Relationship(FAMILY, "P1", "C1"), "a patron cannot have a relationship with themselves"),
        (authorised("P3", "P2", "pay"), "patron P3 has already given pay to P1"),
        (authorised("P1", "P2"), "an authorisation needs `functions`"),
        (
            Relationship(FAMILY, "P3", "P2", frozenset({"pay"})),
            "`functions` is allowed only with an authorisation",
        ),
        (Relationship(FAMILY, "P3", "nobody"), "no patron has the id or card nobody"),
    ],
)
async def test_what_the_rules_forbid_changes_nothing(
    library: Library, relation: Relationship, sentence: str
) -> None:
    """B49: the rules of policy.relationships, on what is stored."""
    before = content(library)
    with pytest.raises(RefusedError, match=sentence):
        await library.add_relationship(relation, RULES, TODAY)
    assert content(library)["relationship"] == before["relationship"]


async def test_a_type_that_is_switched_off_is_refused(library: Library) -> None:
    """B49: Flanders has families only."""
    with pytest.raises(RefusedError, match="type authorisation are switched off"):
        await library.add_relationship(authorised("P1", "P2", "pay"), FLANDERS, TODAY)


async def test_c3_an_invalid_membership_is_refused_here_but_not_at_import(library: Library) -> None:
    load(library, {"kind": "patron", "id": "P4", "name": "Nobody's member"})
    with pytest.raises(RefusedError, match="patron P4 has no valid membership"):
        await library.add_relationship(Relationship(FAMILY, "P1", "P4"), RULES, TODAY)
    line = {"kind": "relationship", "type": "head_of_family", "from": "P1", "to": "P4"}
    report = load(library, line)
    assert (report.errors, len(report.warnings)) == ((), 1)


# Badges


async def test_badges_are_defined_and_defined_again(library: Library) -> None:
    """B65: holders and branches stay."""
    await library.define_badge(Badge("VOLU", "Volunteers", False, "They have a key"))
    await library.define_badge(Badge("ONBE", "Hours without staff"))
    assert library.badges() == [
        Badge("ONBE", "Hours without staff"),
        Badge("STUD", "Study room", False),
        Badge("VOLU", "Volunteers", False, "They have a key"),
    ]
    badge = next(one for one in (await found(library, "P1")).badges if one.code == "ONBE")
    assert badge.badge_branches == ("MAIN", "EAST")


@pytest.mark.parametrize("code", ["", "ELEVENCHARS", "A|B", " A"])
async def test_codes_that_an_import_would_not_take_are_refused(library: Library, code: str) -> None:
    """B22."""
    with pytest.raises(RefusedError):
        await library.define_badge(Badge(code, "Name"))


async def test_a_badge_is_active_for_all_its_holders_at_once(library: Library) -> None:
    async def active() -> dict[str, bool]:
        return {badge.code: badge.active for badge in (await found(library, "P1")).badges}

    assert await active() == {"ONBE": True, "STUD": False}
    await library.set_badge_active("ONBE", False)
    await library.set_badge_active("STUD", True)
    assert await active() == {"ONBE": False, "STUD": True}
    with pytest.raises(RefusedError, match="there is no badge NONE"):
        await library.set_badge_active("NONE", True)


# PINs and memberships


async def test_a_new_pin_unlocks(library: Library) -> None:
    """C51."""
    await library.record_pin_failure("P1", NOW, 1, NOW + timedelta(hours=1))
    assert await library.set_pin_hash("P1", "$new")
    record = await found(library, "P1")
    assert record.pin_hash == "$new"
    assert all(card.pin_locked_until is None for card in record.cards)
    assert not await library.set_pin_hash("nobody", "$new")


async def test_the_store_refuses_all_of_it_when_closed(library: Library) -> None:
    await library.close()
    with pytest.raises(BackendError):
        await library.set_badge_active("ONBE", True)


# Families


def people(size: int) -> list[dict[str, object]]:
    """So many members, each of whom owes 1.00."""
    names = [f"P{number}" for number in range(size)]
    member: dict[str, object] = {
        "kind": "membership",
        "code": "101",
        "description": "All",
        "type": 0,
    }
    patrons: list[dict[str, object]] = [
        {"kind": "patron", "id": name, "name": name, "membership": "101"} for name in names
    ]
    fees: list[dict[str, object]] = [
        {
            "kind": "fee",
            "id": f"F-{name}",
            "patron": name,
            "amount": "1.00",
            "created": "2026-01-01",
        }
        for name in names
    ]
    return [member, *patrons, *fees]


async def test_no_random_family_pays_over_two_steps(empty_library: Library) -> None:
    """B51, through the store: everybody tries to pay one cent of everybody's fee."""
    size, chance = 12, random.Random(51)
    names = [f"P{number}" for number in range(size)]
    assert load(empty_library, *people(size)).errors == ()
    made: dict[object, Relationship] = {}
    for _ in range(8 * size):
        one, other = chance.choice(names), chance.choice(names)
        wanted = chance.choice((Relationship(FAMILY, one, other), authorised(one, other, "pay")))
        try:
            added = await empty_library.add_relationship(wanted, RULES, TODAY)
        except RefusedError:
            continue
        made[added.key] = added
    assert len(made) > size // 2
    assert set(empty_library.relationships()) == set(made.values())
    paid = set()
    for payer in names:
        for debtor in names:
            wanted_fee = PaymentRequest(1, f"F-{debtor}")

            def decide(
                facts: PaymentFacts, request: PaymentRequest = wanted_fee
            ) -> PaymentPlan | PaymentRefusalReason:
                accounts = payable_accounts(facts.payer, facts.debtors, RULES, TODAY)
                return decide_allocation(facts.payer, accounts, request, PaymentRules(True, True))

            wanted_payment = order(f"{payer}-{debtor}", 1, payer_id=payer)
            if (
                await empty_library.book_payment(decided_by(wanted_payment, decide))
            ).outcome == "booked":
                paid.add((payer, debtor))
    families = {one.key[1:] for one in made.values() if one.type is FAMILY}
    authorisations = {one.key[:0:-1] for one in made.values() if one.type is AUTHORISATION}
    assert paid == families | authorisations | {(name, name) for name in names}
    assert empty_library.self_check() == []
