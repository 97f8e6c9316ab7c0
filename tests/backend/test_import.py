"""What an import does: replace whole, keep what it must, change nothing twice (C16, C17, C70)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from orders import decided_by

from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.loading.importing import import_files
from sip2gw.backend.sqlite.store import open_sqlite
from sip2gw.foundation.hashing import secret_fingerprint, verify_pin
from sip2gw.model import Block, BlockType, PatronRecord

from .library import LIBRARY, NOW, SETTINGS, content, load, order, pay_fee

pytestmark = pytest.mark.no_cover

P1: dict[str, Any] = next(line for line in LIBRARY if line.get("id") == "P1")
F1: dict[str, Any] = next(line for line in LIBRARY if line.get("id") == "F1")


async def patron(library: Library, patron_id: str = "P1") -> PatronRecord:
    """The patron, who must be there."""
    record = await library.find_patron(patron_id)
    assert record is not None
    return record


def test_the_same_file_again_changes_nothing(library: Library) -> None:
    """B69: not one row, the ledger and the version included."""
    before = content(library)
    report = load(library, *LIBRARY)
    assert (report.applied, report.rows_changed) == (True, 0)
    assert content(library) == before


def test_the_order_of_lines_is_free(empty_library: Library) -> None:
    """B69."""
    assert load(empty_library, *reversed(LIBRARY)).errors == ()


async def test_absent_keys_return_to_their_default(library: Library) -> None:
    """C16; lists are replaced whole."""
    load(library, {"kind": "patron", "id": "P1", "name": "Ann"})
    record = await patron(library)
    assert (record.membership, record.language, record.notices) == (None, None, ())
    assert [card.number for card in record.cards] == ["P1"]
    assert record.blocks == ()
    assert await library.find_by_card("C1") is None


async def test_an_absent_pin_is_kept_and_a_given_one_replaces_it(library: Library) -> None:
    """C16."""
    first = (await patron(library)).pin_hash
    load(library, {"kind": "patron", "id": "P1", "name": "Ann"})
    assert (await patron(library)).pin_hash == first
    load(library, {"kind": "patron", "id": "P1", "name": "Ann", "pin": "9876"})
    assert (await patron(library)).pin_hash not in (None, first)


def test_a_pin_is_hashed_again_only_when_it_is_another(library: Library) -> None:
    """C61."""
    hashed: list[str] = []

    def count(secret: bytes, pin: str) -> str:
        hashed.append(pin)
        return SETTINGS.hashing.hash(secret, pin)

    settings = replace(SETTINGS, hashing=replace(SETTINGS.hashing, hash=count))
    load(library, P1, settings=settings)
    assert hashed == []
    load(library, {**P1, "pin": "4321"}, settings=settings)
    assert hashed == ["4321"]


async def test_real_hashes_verify(library: Library) -> None:
    """C61: argon2id under the store's secret."""
    defaults = replace(SETTINGS)
    real = type(SETTINGS)(currency="EUR", zone=defaults.zone, now=NOW)
    load(library, {**P1, "pin": "2468"}, settings=real)
    pin_hash = (await patron(library)).pin_hash
    assert pin_hash is not None
    assert verify_pin(library.pin_secret, pin_hash, "2468")


async def test_absent_badges_are_kept_and_an_empty_list_removes_them(library: Library) -> None:
    """C70."""
    bare = {"kind": "patron", "id": "P1", "name": "Ann"}
    load(library, bare)
    assert [badge.code for badge in (await patron(library)).badges] == ["ONBE", "STUD"]
    load(library, {**bare, "badges": ["ONBE"]})
    (badge,) = (await patron(library)).badges
    assert badge.valid_from is None
    load(library, {**bare, "badges": []})
    assert (await patron(library)).badges == ()


async def test_blocks_of_staff_and_terminals_stay(library: Library) -> None:
    """C41, C70."""
    await library.set_block("P1", Block(BlockType.GENERAL, "by hand", None, "staff"))
    load(library, {"kind": "patron", "id": "P1", "name": "Ann"})
    assert [block.source for block in (await patron(library)).blocks] == ["staff"]


async def test_a_card_may_move_to_another_patron(library: Library) -> None:
    ann = {"kind": "patron", "id": "P1", "name": "Ann"}
    report = load(
        library, ann, {"kind": "patron", "id": "P3", "name": "C", "cards": [{"number": "C1"}]}
    )
    assert report.errors == ()
    record = await library.find_by_card("C1")
    assert record is not None
    assert record.id == "P3"


async def test_functions_may_change_hands_in_one_import(library: Library) -> None:
    """B49: what counts is the result."""
    line = {"kind": "relationship", "type": "authorisation", "from": "P3"}
    report = load(
        library,
        {**line, "to": "P1", "functions": ["renew"]},
        {**line, "to": "P2", "functions": ["pay"]},
    )
    assert report.errors == ()
    assert [r.from_id for r in (await patron(library, "P2")).payer_for] == ["P3"]


async def test_pin_failures_survive_an_import(library: Library) -> None:
    """B20: counted persistently."""
    await library.record_pin_failure("P1", NOW, 5, NOW)
    load(library, {**P1, "name": "Ann Changed"})
    card = (await patron(library)).card("C1")
    assert card is not None
    assert card.pin_failures == 1


async def test_a_changed_amount_is_an_adjustment_and_what_is_paid_stays_paid(
    library: Library,
) -> None:
    """C16, C71."""
    await library.book_payment(decided_by(order(), pay_fee("F1")))
    for amount, still_owed in (("3.00", 200), ("1.00", 0), ("1.50", 50)):
        assert load(library, {**F1, "amount": amount}).errors == ()
        owed = {fee.id: fee.owed for fee in (await patron(library)).fees}
        assert owed.get("F1", 0) == still_owed
        assert library.self_check() == []


async def test_paid_counts_only_for_a_fee_the_ledger_does_not_know(library: Library) -> None:
    """C17."""
    load(library, {**F1, "paid": "2.00"})
    assert (await patron(library)).fees[0].owed == 250
    load(library, {**F1, "id": "F8", "paid": "2.00"})
    assert {fee.id: fee.owed for fee in (await patron(library)).fees}["F8"] == 50
    assert library.self_check() == []


def test_a_fee_of_nothing_needs_no_ledger(library: Library) -> None:
    assert load(library, {**F1, "id": "F8", "amount": "0.00"}).applied
    assert load(library, {**F1, "id": "F8", "amount": "1.00"}).applied
    assert library.self_check() == []


def test_progress_is_told_in_phases(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({**P1, "pin": "5555"}) + "\n")
    phases: list[tuple[str, int, int]] = []
    import_files(library, [path], settings=SETTINGS, progress=lambda *step: phases.append(step))
    assert [phase for phase, _, _ in phases] == ["read", "check", "apply", "apply", "hash"]
    assert phases[0][1] == phases[0][2] == path.stat().st_size


# Export


def exported(library: Library, **options: bool) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export_lines(library, currency="EUR", **options)]


def by_key(lines: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {line.get("id", ""): line for line in lines if line["kind"] == kind}


def test_the_export_begins_with_the_fingerprint_and_knows_no_pin(library: Library) -> None:
    """C95, B16."""
    lines = exported(library)
    assert lines[0] == {
        "kind": "pin_secret",
        "fingerprint": secret_fingerprint(library.pin_secret),
    }
    assert "pin" not in by_key(lines, "patron")["P1"]
    assert by_key(lines, "patron")["P1"]["pin_hash"]


def test_importing_an_export_changes_nothing(library: Library) -> None:
    """B69."""
    before = content(library)
    report = load(library, *export_lines(library, currency="EUR"))
    assert (report.errors, report.rows_changed) == ((), 0)
    assert content(library) == before


async def test_an_export_makes_the_same_library_elsewhere(library: Library, tmp_path: Path) -> None:
    """B69; after payments too, and with blocks of staff."""
    await library.book_payment(decided_by(order(), pay_fee("F1")))
    await library.set_block("P3", Block(BlockType.PAYMENT, "ask", None, "staff"))
    secret_file = tmp_path / "secret"
    secret_file.write_text(library.pin_secret.hex())
    copy = open_sqlite(
        tmp_path / "copy.db",
        role="command",
        access="make",
        currency="EUR",
        pin_secret_file=secret_file,
    )
    assert load(copy, *export_lines(library, currency="EUR", everything=True)).errors == ()
    for patron_id in ("P1", "P2"):
        assert await copy.find_patron(patron_id) == await library.find_patron(patron_id)
    assert exported(copy, everything=True) == exported(library, everything=True)
    assert copy.self_check() == []
    await copy.close()


def test_settled_fees_are_exported_only_on_demand(library: Library) -> None:
    """C17: the original amount, and what is paid."""
    fees = by_key(exported(library), "fee")
    assert set(fees) == {"F1", "F2", "F3"}
    assert (fees["F3"]["amount"], fees["F3"]["paid"]) == ("10.00", "4.00")
    assert "paid" not in fees["F1"]
    assert set(by_key(exported(library, everything=True), "fee")) == {"F1", "F2", "F3", "F4"}


def test_the_id_is_not_exported_as_a_card_of_its_own(library: Library) -> None:
    """C35."""
    patrons = by_key(exported(library), "patron")
    assert {card["number"] for card in patrons["P1"]["cards"]} == {"C1", "OLD1"}
    assert patrons["P2"]["cards"] == [{"number": "P2", "state": "lost"}]


async def test_blocks_of_staff_are_not_doubled_by_importing_an_export(library: Library) -> None:
    await library.set_block("P1", Block(BlockType.PAYMENT, "ask", None, "staff"))
    load(library, *export_lines(library, currency="EUR"))
    assert [block.source for block in (await patron(library)).blocks] == ["import", "staff"]


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
async def test_decimals_follow_the_currency(tmp_path: Path, currency: str) -> None:
    """C77."""
    library = open_sqlite(tmp_path / "x.db", role="command", access="make", currency=currency)
    amount = {"JPY": "250", "KWD": "2.505"}[currency]
    settings = replace(SETTINGS, currency=currency)
    person = {"kind": "patron", "id": "P1", "name": "Ann"}
    assert load(library, person, {**F1, "item": None, "amount": amount}, settings=settings).applied
    (line,) = [json.loads(x) for x in export_lines(library, currency=currency) if b'"fee"' in x]
    assert line["amount"] == amount
    await library.close()


async def test_the_store_knows_when_it_was_last_imported_to(empty_library: Library) -> None:
    """C138: a dry run, an error and an empty file bring no data; the same data again is fresh."""
    assert await empty_library.last_import() is None
    assert load(empty_library, *LIBRARY, dry_run=True).errors == ()
    assert load(empty_library, {"kind": "patron", "id": "P1"}).errors != ()
    assert load(empty_library).applied
    assert await empty_library.last_import() is None
    load(empty_library, *LIBRARY)
    assert await empty_library.last_import() == NOW
    tomorrow = NOW + timedelta(days=1)
    report = load(empty_library, *LIBRARY, settings=replace(SETTINGS, now=tomorrow))
    assert report.rows_changed == 0
    assert await empty_library.last_import() == tomorrow


async def test_patrons_are_counted(empty_library: Library) -> None:
    assert await empty_library.count_patrons() == 0
    load(empty_library, *LIBRARY)
    patrons = {line["id"] for line in LIBRARY if line["kind"] == "patron"}
    assert await empty_library.count_patrons() == len(patrons)
