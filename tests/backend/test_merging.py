"""Two records of one person become one, on both databases (B49, C60)."""

from __future__ import annotations

import json
import unicodedata
from datetime import date, timedelta
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.base import PaymentOrder, PaymentOutcome, RefusedError
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.model import (
    Block,
    BlockType,
    PatronRecord,
    Relationship,
    RelationshipType,
)
from sip2gw.model.badges import Deed
from sip2gw.model.merging import MergeResult
from sip2gw.policy.relationships import RelationshipRules

from .contract import entry
from .library import NOW, ZONE, content, load, order, pay_fee

EVA = Deed("eva", NOW, "one person")
FAMILY = RelationshipType.HEAD_OF_FAMILY
BIRTH = {"birth_date": "1980-02-29"}
DOUBLE: list[dict[str, Any]] = [
    {
        "kind": "patron",
        "id": "D1",
        "name": "Ann Maes",
        **BIRTH,
        "pin": "9999",
        "membership": "201",
        "email": "ann@example.org",
        "cards": [{"number": "D2", "state": "lost"}],
        "badges": ["ONBE"],
        "blocks": [{"type": "general", "note": "double"}, {"type": "payment"}],
        "notices": ["A bag was found"],
        "house_rules_accepted": "2026-02-02",
    },
    {"kind": "item", "id": "I3", "title": "Uil"},
    {
        "kind": "loan",
        "item": "I3",
        "patron": "D1",
        "checked_out": "2026-03-01",
        "due": "2026-03-22",
    },
    {"kind": "hold", "id": "H2", "patron": "D1", "title_id": "T2", "placed": "2026-03-03"},
    {"kind": "hold", "id": "H3", "patron": "D1", "title_id": "T1", "placed": "2026-03-03"},
    {"kind": "fee", "id": "F5", "patron": "D1", "amount": "3.00", "created": "2026-02-01"},
    {"kind": "fee", "id": "F6", "patron": "D1", "amount": "-1.00", "created": "2026-02-01"},
    {
        "kind": "fee",
        "id": "F7",
        "patron": "D1",
        "amount": "2.00",
        "paid": "5.00",
        "created": "2026-02-01",
    },
    {"kind": "patron", "id": "P4", "name": "Dan Maes", "membership": "101"},
    {"kind": "relationship", "type": "head_of_family", "from": "D1", "to": "P4"},
]


async def double(library: Library) -> None:
    assert load(library, *DOUBLE).errors == ()


@pytest.fixture
async def doubled(furnished: Any) -> Library:
    """The library with Ann in it twice."""
    library: Library = await furnished(double)
    return library


async def found(library: Library, patron_id: str) -> PatronRecord:
    record = await library.find_patron(patron_id)
    assert record is not None
    return record


async def test_everything_is_one_persons(doubled: Library) -> None:
    before, unchanged = await found(doubled, "P1"), content(doubled)
    owed = sum(fee.owed for fee in (*before.fees, *(await found(doubled, "D1")).fees))
    foreseen = doubled.plan_merge("D1", "P1")
    assert content(doubled) == unchanged
    assert await doubled.merge_patrons("D2", "C1", EVA) == foreseen  # any of their cards
    record = await doubled.find_by_card("D1")
    assert record is not None
    assert record.id == "P1"
    assert {card.number: str(card.state) for card in record.cards} == {
        "P1": "active",
        "C1": "active",
        "OLD1": "replaced",
        "D1": "active",
        "D2": "lost",
    }
    assert {loan.item_id for loan in record.loans} == {"I1", "I3"}
    assert {hold.id for hold in record.holds} == {"H1", "H3"}
    assert sum(fee.owed for fee in record.fees) == owed
    assert {fee.id for fee in record.fees} == {"F1", "F2", "F5", "F6"}
    badge = next(one for one in record.badges if one.code == "ONBE")
    assert (badge.valid_from, badge.assignment_branches) == (None, ())
    assert sorted((str(one.type), one.note) for one in record.blocks) == [
        ("general", "ask"),
        ("general", "double"),
        ("payment", ""),
    ]
    assert {one.to_id for one in record.payer_for if one.type is FAMILY} == {"P2", "P4"}
    assert record.notices == ("A book was found", "A bag was found")
    assert (record.email, record.house_rules_accepted) == ("ann@example.org", date(2026, 2, 2))
    assert (record.pin_hash, record.fee_limit, record.membership_until) == (
        before.pin_hash,
        before.fee_limit,
        before.membership_until,
    )
    assert [one.note for one in foreseen.steps if one.result is MergeResult.DROPPED] == [
        "patron P1 waits for the same already: H1",
        "patron P1 keeps their own: 201",
        "patron P1 keeps their own",
    ]
    assert doubled.self_check() == []


@pytest.mark.parametrize("payer", ["D1", "P1"])
async def test_c98_a_payment_of_unknown_outcome_comes_first(doubled: Library, payer: str) -> None:
    fee = {"D1": "F5", "P1": "F1"}[payer]
    booked = await doubled.book_payment(
        decided_by(order(payer_id=payer, amount=100), pay_fee(fee, 100))
    )
    assert booked.payment is not None
    attempt = (booked.payment.id,)

    def open_it(connection: Connection) -> WriteResult[None]:
        connection.execute("INSERT INTO attempt (id, key) VALUES (?, 'K')", attempt)
        return WriteResult(None)

    def settle(connection: Connection) -> WriteResult[None]:
        connection.execute("UPDATE attempt SET settled = 'now' WHERE id = ?", attempt)
        return WriteResult(None)

    await doubled.write(open_it)
    before = content(doubled)
    with pytest.raises(RefusedError, match="settle it first, see `payment reconcile`"):
        await doubled.merge_patrons("D1", "P1", EVA)
    assert content(doubled) == before
    await doubled.write(settle)
    assert (await doubled.merge_patrons("D1", "P1", EVA)).former_id == "D1"


async def test_payments_and_ledger_stay_as_they_are(doubled: Library) -> None:
    """Of the former record an empty row is left for them, and nothing is found in it."""
    await doubled.book_payment(decided_by(order(payer_id="D1", amount=300), pay_fee("F5", 300)))
    before = content(doubled)
    await doubled.merge_patrons("D1", "P1", EVA)
    after = content(doubled)
    assert after["payment"] == before["payment"]
    kept = len(before["ledger_entry"])
    assert set(before["ledger_entry"]) <= set(after["ledger_entry"])
    assert len(after["ledger_entry"]) == kept + 4  # the surplus of F7 changes hands
    (payment,) = doubled.payments(patron="P1")
    assert payment.payer_id == "D1"
    assert [(one.patron_id, one.amount) for one in doubled.surpluses()] == [("P1", 300)]
    assert await doubled.find_patron("D1") is None
    stub = next(row for row in after["patron"] if row[0] == "D1")
    assert {value for value in stub if value is not None} == {"D1", "", "[]", 9, "P1"}
    assert await doubled.count_patrons() == len(after["patron"]) - 1
    # and it can still be undone, to the one who is left
    await doubled.undo_payment(payment.id, NOW, ZONE)
    assert "F5" in {fee.id for fee in (await found(doubled, "P1")).fees}
    assert doubled.self_check() == []


@pytest.mark.parametrize("key", ["bk:7", "tx:{payer}||300|20260310    100000"])
async def test_a_payment_that_is_repeated_after_it_is_booked_once(
    doubled: Library, key: str
) -> None:
    """B46, C4: the terminal never got its answer, and the same card is the other patron's now."""

    def again(payer: str) -> PaymentOrder:
        said = f"{payer}|300|EUR|00||"
        one = order(key.format(payer=payer), 300, payer_id=payer, content=said)
        return decided_by(one, pay_fee("F5", 300))

    await doubled.book_payment(again("D1"))
    await doubled.merge_patrons("D1", "P4", EVA)
    await doubled.merge_patrons("P4", "P1", EVA)
    assert (await doubled.book_payment(again("P1"))).outcome is PaymentOutcome.REPLAYED
    assert [payment.amount for payment in doubled.payments()] == [300]


async def test_an_unknown_payment_keeps_the_patron_it_was_tried_for(doubled: Library) -> None:
    said = "D1|300|EUR|00||"
    one = order("bk:8", 300, payer_id="D1", content=said)
    await doubled.book_payment(decided_by(one, pay_fee("F5", 300)))
    with doubled.own_connection() as connection:
        connection.execute("UPDATE payment SET status = 'unknown'")
    await doubled.merge_patrons("D1", "P1", EVA)
    assert said in content(doubled)["payment"][0]


async def test_two_payments_with_one_key_are_no_obstacle(doubled: Library) -> None:
    """Both records paid the same at the same second; whose retry it is, nobody can tell."""
    for payer, fee in (("D1", "F5"), ("P1", "F1")):
        key, said = f"tx:{payer}||100|20260310    100000", f"{payer}|100|EUR|00||"
        one = order(key, payer_id=payer, content=said)
        await doubled.book_payment(decided_by(one, pay_fee(fee)))
    await doubled.merge_patrons("D1", "P1", EVA)
    assert len(list(doubled.payments())) == 2


async def test_a_merged_patron_is_not_exported(doubled: Library) -> None:
    await doubled.merge_patrons("D1", "P1", EVA)
    lines = [json.loads(line) for line in export_lines(doubled, currency="EUR")]
    assert "D1" not in {line["id"] for line in lines if line["kind"] == "patron"}
    assert "D1" not in {line.get("patron") for line in lines}
    assert load(doubled, *lines).rows_changed == 0


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (DOUBLE[0], "patron"),
        ({**DOUBLE[2], "item": "I2"}, "loan"),
        ({**DOUBLE[3], "id": "H9"}, "hold"),
        ({**DOUBLE[5], "id": "F9"}, "fee"),
        (DOUBLE[-1], "relationship"),
    ],
)
async def test_an_import_that_brings_the_double_again_is_refused(
    doubled: Library, line: dict[str, Any], kind: str
) -> None:
    await doubled.merge_patrons("D1", "P1", EVA)
    before = content(doubled)
    report = load(doubled, line)
    assert line["kind"] == kind
    assert report.errors[0] == (
        "data.jsonl:1: patron D1 was merged into patron P1; join them in your library system too,"
        " and name P1 here"
    )
    assert not report.applied
    assert content(doubled) == before


async def test_what_cannot_be_merged(doubled: Library) -> None:
    with pytest.raises(RefusedError, match="C1 and P1 are one patron already: P1"):
        await doubled.merge_patrons("C1", "P1", EVA)
    for cards in (("P9", "P1"), ("P1", "P9")):
        with pytest.raises(RefusedError, match="no patron has the id or card P9"):
            await doubled.merge_patrons(*cards, EVA)
    await doubled.merge_patrons("D1", "P1", EVA)
    with pytest.raises(RefusedError, match="D1 and P1 are one patron already: P1"):
        await doubled.merge_patrons("D1", "P1", EVA)


async def test_a_chain_of_merges_ends_at_the_last(doubled: Library) -> None:
    """And a former id that is no card any more still says where the person went."""
    await doubled.merge_patrons("D1", "P1", EVA)
    await doubled.merge_patrons("P1", "P3", EVA)
    with doubled.snapshot() as connection:
        rows = dict(map(tuple, connection.execute("SELECT id, merged_into FROM patron")))
    assert (rows["D1"], rows["P1"]) == ("P3", "P3")
    load(doubled, {"kind": "patron", "id": "P3", "name": "Cleo Peeters", "membership": "201"})
    with pytest.raises(RefusedError, match="patron D1 was merged into patron P3; name that one"):
        await doubled.merge_patrons("D1", "P2", EVA)


async def test_the_stricter_of_two_pin_locks_holds(doubled: Library) -> None:
    """C99: whatever the card."""
    lock = NOW + timedelta(minutes=15)
    await doubled.record_pin_failure("D1", NOW, 1, lock)
    await doubled.record_pin_failure("P1", NOW, 5, lock)
    await doubled.record_pin_failure("P1", NOW, 5, lock)
    await doubled.merge_patrons("D1", "P1", EVA)
    record = await found(doubled, "P1")
    assert {(card.pin_failures, card.pin_locked_until) for card in record.cards} == {(2, lock)}


async def test_one_person_is_inside_once(doubled: Library) -> None:
    await doubled.enter_branch(entry("P1"))
    await doubled.enter_branch(entry("D1", passage="door-1 D1"))
    await doubled.enter_branch(entry("D1", passage="door-1 D1", branch="EAST"))
    await doubled.merge_patrons("D1", "P1", EVA)
    inside = [row[:2] for row in content(doubled)["presence"]]
    assert sorted(inside) == [("EAST", "P1"), ("MAIN", "P1")]


async def test_the_history_of_badges_is_one_persons(doubled: Library) -> None:
    """B65: from before the merge, too."""
    await doubled.merge_patrons("D1", "P1", EVA)
    told = [
        (one.change.action, one.change.patron_id, one.source)
        for one in doubled.badge_history("ONBE", "P1")
    ]
    assert told == [
        ("assigned", "P1", "import"),
        ("assigned", "D1", "import"),
        ("unassigned", "D1", "merge"),
        ("changed", "P1", "merge"),
    ]


async def test_a_refused_relationship_names_the_double(doubled: Library) -> None:
    """B49: two records of one child, of which one has a head already."""
    line = {"kind": "patron", "name": "Bob Maes", "membership": "101", "birth_date": "2015-01-01"}
    load(doubled, {**line, "id": "P2"}, {**line, "id": "B2", "name": "BOB MAES"})
    rules, today = RelationshipRules(), date(2026, 3, 10)
    wanted = Relationship(FAMILY, "P3", "P2")
    with pytest.raises(RefusedError) as refused:
        await doubled.add_relationship(wanted, rules, today)
    assert str(refused.value) == (
        "patron P2 already has a head of family: P1; patron B2 has the same name and birth date"
        " as patron P2: if they are one person, join them with `patron merge B2 P2`"
    )
    await doubled.merge_patrons("B2", "P2", EVA)
    with pytest.raises(RefusedError) as refused:
        await doubled.add_relationship(Relationship(FAMILY, "P3", "B2"), rules, today)
    assert str(refused.value) == (
        "patron P2 already has a head of family: P1; patron B2 was merged into patron P2"
    )


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("C1", ["P1"]),
        ("OLD1", ["P1"]),
        ("P3", ["P3"]),
        ("maes", ["D1", "P1", "P2", "P4"]),
        ("  MAES  bo", ["P2"]),
        ("zoé", ["Z1"]),
        ("ZOE", ["Z1"]),
        ("", []),
        ("%", []),
        ("abcdefabcdef", ["P3"]),
        ("ABCDEFABCDEF", []),
    ],
)
def test_patrons_are_found_by_what_is_at_hand(
    doubled: Library, text: str, people: list[str]
) -> None:
    load(
        doubled,
        {"kind": "patron", "id": "Z1", "name": "Zo\N{LATIN SMALL LETTER E WITH ACUTE} Claes"},
    )
    pseudonyms = {"P3": "abcdefabcdef"}
    found = doubled.search_patrons(text, lambda number: pseudonyms.get(number, ""))
    assert [one.id for one in found] == people


def folded(text: str) -> str:
    """Independently of what is tested: no accents, no capitals."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(one for one in decomposed if not unicodedata.combining(one)).casefold()


NAMES = [
    "Claes, Ann",
    "CLAES-ANNA",
    "Zo\N{LATIN SMALL LETTER E WITH ACUTE} Claes",
    "Stra\N{LATIN SMALL LETTER SHARP S}e 100%",
    "100% STRASSE",
    "a_b!c%d",
    "axb",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}pek",
    "IPEK",
    "one two three four five six seven eight nine",
    "nine eight seven six five four three two one!",
    "\N{GREEK CAPITAL LETTER SIGMA}\N{GREEK SMALL LETTER FINAL SIGMA}",
]


@pytest.mark.parametrize(
    "text",
    [
        *NAMES,
        *("claes", "ANN claes", "zoe", "la", "%", "_", "!", "a_b", "b!c", "0%", "100", "strasse"),
        *("ipek", "\N{GREEK SMALL LETTER SIGMA}", "-", "  ", "one two three four five six seven x"),
        *("one two three four five six seven eight x", "one! two three four five six seven eight"),
        *(
            "one two three four five six seven eight two!",
            "\N{KELVIN SIGN}",
            "e\N{COMBINING ACUTE ACCENT}",
        ),
    ],
)
def test_names_are_found_as_if_each_were_looked_at(doubled: Library, text: str) -> None:
    """The database only leaves out what cannot fit."""
    rows = [{"kind": "patron", "id": f"N{at}", "name": name} for at, name in enumerate(NAMES)]
    load(doubled, *rows)
    words = folded(text.strip()).split()
    fits = [
        f"N{at}"
        for at, name in enumerate(NAMES)
        if words and all(word in folded(name) for word in words)
    ]
    found = [one.id for one in doubled.search_patrons(text, str) if one.id.startswith("N")]
    assert sorted(found) == sorted(fits)


async def test_a_number_that_somebody_has_is_no_pseudonym(doubled: Library) -> None:
    """To look for one takes all numbers; every card with twelve digits would be taken for one."""
    load(doubled, {"kind": "patron", "id": "123456789012", "name": "Twelve"})

    def pseudonym(number: str) -> str:
        pytest.fail(f"{number} was looked at")

    found = doubled.search_patrons("123456789012", pseudonym)
    assert [one.id for one in found] == ["123456789012"]


async def test_who_was_merged_is_found_as_the_other(doubled: Library) -> None:
    await doubled.merge_patrons("D1", "P1", EVA)
    (person,) = doubled.search_patrons("D1", str)
    assert (person.id, person.cards) == ("P1", ("C1", "D1", "D2", "OLD1", "P1"))


async def test_blocks_of_staff_stay_apart(doubled: Library) -> None:
    """C70: each source and type can still be replaced and lifted."""
    for patron_id, note in (("P1", "one"), ("D1", "two")):
        await doubled.set_block(patron_id, Block(BlockType.GENERAL, note, None, "staff"))
    await doubled.set_block("D1", Block(BlockType.PAYMENT, "three", None, "terminal"))
    await doubled.merge_patrons("D1", "P1", EVA)

    async def notes() -> list[str]:
        record = await found(doubled, "P1")
        return sorted(one.note for one in record.blocks if one.source != "import")

    assert await notes() == ["one", "three", "two"]
    await doubled.set_block("P1", Block(BlockType.PAYMENT, "four", None, "terminal"))
    assert await notes() == ["four", "one", "two"]
    assert await doubled.lift_blocks("P1", frozenset({"staff", "terminal"})) == 3


async def test_what_waits_for_a_person_follows(doubled: Library) -> None:
    """Open entries for review, and payments that were refused."""
    with doubled.own_connection() as connection:
        for entry_id, state, closed in (("R1", "open", None), ("R2", "closed", "x")):
            connection.execute(
                "INSERT INTO review (id, time, kind, terminal, message, item, patron, outcome,"
                " state, closed) VALUES (?, 'x', 'offline', 'k', '11', 'I1', 'D1', 'done', ?, ?)",
                (entry_id, state, closed),
            )
        connection.execute(
            "INSERT INTO refused_payment (id, time, terminal, day, payer, amount, currency,"
            " payment_type, bk, reason)"
            " VALUES ('X', 'x', 'k', 'd', 'D1', '1', 'EUR', '00', '', 'reason')"
        )
    await doubled.merge_patrons("D1", "P1", EVA)
    stored = content(doubled)
    assert [row[6] for row in stored["review"]] == ["P1", "D1"]
    assert [row[4] for row in stored["refused_payment"]] == ["P1"]


async def test_a_loan_can_still_be_cancelled_and_repeated(doubled: Library) -> None:
    """B58, C97: what is kept of the last transactions names the one who is left."""
    with doubled.own_connection() as connection:
        connection.execute(
            "INSERT INTO circulation (item_id, key, terminal, code, patron_id, position, expires,"
            " outcome, before) VALUES ('I3', 'k', 't', '11', 'D1', 1, 'x', ?, ?)",
            (
                '{"time":"D1","patron_id":"D1","hold":{"patron_id":"D1"}}',
                '{"patron_id":"D1","state":{"patron_id":"D11"}}',
            ),
        )
        connection.execute("INSERT INTO borrowed VALUES ('D1', 'title T1', '2027')")
        connection.execute("INSERT INTO borrowed VALUES ('D1', 'title T2', '2026')")
        connection.execute("INSERT INTO borrowed VALUES ('P1', 'title T1', '2026')")
        connection.execute("INSERT INTO borrowed VALUES ('P1', 'title T2', '2027')")
    await doubled.merge_patrons("D1", "P1", EVA)
    stored = content(doubled)
    (event,) = stored["circulation"]
    assert event[4] == "P1"
    assert event[7] == '{"time":"D1","patron_id":"P1","hold":{"patron_id":"P1"}}'
    assert event[8] == '{"patron_id":"P1","state":{"patron_id":"D11"}}'
    assert [tuple(row) for row in stored["borrowed"]] == [
        ("P1", "title T1", "2027"),
        ("P1", "title T2", "2027"),
    ]


async def test_what_others_did_with_copies_of_the_former_names_the_lasting_one(
    doubled: Library,
) -> None:
    """B58: P3 took over off line what D1 had on loan; cancelled, it must be on loan to P1."""
    before = '{"state":{"loan":{"patron_id":"%s"}},"hold":{"patron_id":"D11"}}'
    with doubled.own_connection() as connection:
        connection.execute(
            "INSERT INTO circulation (item_id, key, terminal, code, patron_id, position, expires,"
            " outcome, before) VALUES ('I3', 'k', 't', '11', 'P3', 1, 'x', ?, ?)",
            ('{"patron_id":"P3"}', before % "D1"),
        )
    await doubled.merge_patrons("D1", "P1", EVA)
    (event,) = content(doubled)["circulation"]
    assert (event[4], event[7], event[8]) == ("P3", '{"patron_id":"P3"}', before % "P1")
