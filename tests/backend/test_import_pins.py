"""PINs come after the records; hashes of library systems are taken as they are (B20, B69, C61)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from foreign_pins import BCRYPT_2468, BCRYPT_LONG, EVERGREEN_2468, KOHA_2468, LONG_PIN
from msgspec.structs import replace

from sip2gw.backend.library import Library
from sip2gw.backend.loading import pins as pins_module
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.loading.importing import ImportReport, import_pins, import_records
from sip2gw.backend.loading.pins import ClearPins, PinHashing
from sip2gw.foundation.hashing import hash_pin, verify_pin

from .library import NOW, SETTINGS, content, load, stream_of

Hash = Callable[[bytes, str], str]


def reader(number: int, **keys: Any) -> dict[str, Any]:
    return {"kind": "patron", "id": f"R{number}", "name": f"Reader {number}", **keys}


READERS = [reader(n, pin=f"000{n}") for n in range(1, 6)]


def records(library: Library, *lines: dict[str, Any]) -> ImportReport:
    return import_records(library, [("data.jsonl", stream_of(*lines))], settings=SETTINGS)


def hash_with(library: Library, pins: ClearPins, hash_one: Hash) -> None:
    settings = replace(SETTINGS, hashing=replace(SETTINGS.hashing, hash=hash_one))
    import_pins(library, pins, settings=settings)


def quick(secret: bytes, pin: str) -> str:
    return SETTINGS.hashing.hash(secret, pin)


async def hash_of(library: Library, patron_id: str) -> str | None:
    record = await library.find_patron(patron_id)
    assert record is not None
    return record.pin_hash


async def who_has_none(library: Library) -> set[str]:
    return {it["id"] for it in READERS if await hash_of(library, it["id"]) is None}


async def test_patrons_are_known_before_their_pins(library: Library) -> None:
    report = records(library, *READERS)
    assert report.applied
    assert await who_has_none(library) == {"R1", "R2", "R3", "R4", "R5"}
    assert len(report.pins) == 5
    hash_with(library, report.pins, quick)
    assert await who_has_none(library) == set()
    stored = await hash_of(library, "R3")
    assert stored is not None
    assert SETTINGS.hashing.verify(library.pin_secret, stored, "0003")


def test_no_pin_is_shown_while_it_waits(library: Library) -> None:
    """B16."""
    report = records(library, *READERS)
    assert "0003" not in repr(report) + repr(report.pins)


async def test_a_known_pin_holds_until_the_new_one_is_hashed(library: Library) -> None:
    before = await hash_of(library, "P1")
    report = records(library, {"kind": "patron", "id": "P1", "name": "Ann", "pin": "9999"})
    assert await hash_of(library, "P1") == before
    hash_with(library, report.pins, quick)
    assert await hash_of(library, "P1") not in (None, before)


async def test_what_was_hashed_before_an_interruption_stays_and_the_rest_comes_first(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins_module, "PINS_PER_BATCH", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    def until_the_fourth(secret: bytes, pin: str) -> str:
        if pin == "0004":
            raise KeyboardInterrupt
        return quick(secret, pin)

    report = records(library, *READERS)
    with pytest.raises(KeyboardInterrupt):
        hash_with(library, report.pins, until_the_fourth)
    assert await who_has_none(library) == {"R4", "R5"}
    assert report.pins.done == 3, "what the command says was done"

    tried: list[str] = []

    def note(secret: bytes, stored: str, pin: str) -> bool:
        tried.append(pin)
        return SETTINGS.hashing.verify(secret, stored, pin)

    def note_new(secret: bytes, pin: str) -> str:
        tried.append(pin)
        return quick(secret, pin)

    again = records(library, *READERS)
    assert again.rows_changed == 0
    hashing = replace(SETTINGS.hashing, hash=note_new, verify=note)
    import_pins(library, again.pins, settings=replace(SETTINGS, hashing=hashing))
    assert await who_has_none(library) == set()
    assert tried == ["0004", "0005", "0001", "0002", "0003"]


async def test_what_staff_do_meanwhile_stands(library: Library) -> None:
    """A PIN that was set while the one of the file was being hashed is the newer one."""
    report = records(library, READERS[0])

    def while_staff_set_one(secret: bytes, pin: str) -> str:
        with library.own_connection() as connection:
            connection.execute("UPDATE patron SET pin_hash = 'of staff' WHERE id = 'R1'")
            if connection.in_transaction:
                connection.execute("COMMIT")
        return quick(secret, pin)

    hash_with(library, report.pins, while_staff_set_one)
    library.distrust_cache()
    assert await hash_of(library, "R1") == "of staff"


async def test_guesses_at_a_pin_that_was_not_there_are_forgotten(library: Library) -> None:
    """They were told no whatever they said; failures at a PIN that was there stay (C19)."""
    report = records(library, *READERS, {"kind": "patron", "id": "P2", "name": "Tom", "pin": "7"})
    for patron_id in ("R1", "P2"):
        await library.set_pin_hash(patron_id, None if patron_id == "R1" else "$argon2id$known")
        await library.record_pin_failure(patron_id, NOW, 1, NOW + timedelta(minutes=15))
    hash_with(library, report.pins, quick)
    counted = {}
    for patron_id in ("R1", "P2"):
        record = await library.find_patron(patron_id)
        assert record is not None
        counted[patron_id] = max(card.pin_failures for card in record.cards)
    assert counted == {"R1": 0, "P2": 1}


def test_a_dry_run_and_an_import_with_errors_hash_nothing(library: Library) -> None:
    source = [("data.jsonl", stream_of(*READERS))]
    assert not import_records(library, source, settings=SETTINGS, dry_run=True).pins
    assert not records(library, *READERS, {"kind": "patron", "id": "R9"}).pins


# Hashes of library systems


@pytest.mark.parametrize(
    ("pin_hash", "pin"),
    [
        (KOHA_2468, "2468"),
        (BCRYPT_2468, "2468"),
        (BCRYPT_2468.replace("$2b$", "$2y$"), "2468"),
        (EVERGREEN_2468, "2468"),
        (BCRYPT_LONG, LONG_PIN),
    ],
)
def test_hashes_of_library_systems_are_verified(pin_hash: str, pin: str) -> None:
    assert verify_pin(b"any secret", pin_hash, pin)
    for wrong in ("2467", "", "\0", "2468 ", pin_hash):
        assert not verify_pin(b"any secret", pin_hash, wrong)


def test_a_damaged_hash_fits_no_pin() -> None:
    for damaged in (KOHA_2468[:-1], KOHA_2468 + "x", "$2a$31$" + "a" * 53, "$evergreen", ""):
        assert not verify_pin(b"", damaged, "2468")


def test_a_salt_that_bcrypt_cannot_have_is_refused(library: Library) -> None:
    """Its last character stands for two bits; with another one no PIN is ever right."""
    typed = KOHA_2468.replace("stuu", "stuv")
    (error,) = load(library, reader(1, pin_hash=typed)).errors
    assert "a bcrypt hash" in str(error)


async def test_a_foreign_hash_is_stored_as_it_is_and_again_changes_nothing(
    library: Library,
) -> None:
    line = reader(1, pin_hash=KOHA_2468)
    assert load(library, line).errors == ()
    assert await hash_of(library, "R1") == KOHA_2468
    before = content(library)
    assert load(library, line).rows_changed == 0
    assert content(library) == before


async def test_what_replaced_a_foreign_hash_survives_the_next_import(library: Library) -> None:
    """The nightly file still has the hash that ours was made from at the first right PIN."""
    line = reader(1, pin_hash=KOHA_2468)
    load(library, line)
    await library.replace_pin_hash("R1", KOHA_2468, "ours")
    assert load(library, line).rows_changed == 0
    assert await hash_of(library, "R1") == "ours"
    load(library, reader(1, pin_hash=EVERGREEN_2468))
    assert await hash_of(library, "R1") == EVERGREEN_2468, "they have changed the PIN there"


async def test_staff_set_a_pin_over_a_foreign_hash_and_the_file_goes_first_again(
    library: Library,
) -> None:
    """C16: as with any other PIN, the file replaces what it says."""
    line = reader(1, pin_hash=KOHA_2468)
    load(library, line)
    await library.set_pin_hash("R1", "of staff")
    load(library, line)
    assert await hash_of(library, "R1") == KOHA_2468


async def test_a_clear_pin_makes_our_hash_of_a_foreign_one(library: Library) -> None:
    """Also when it is the PIN of the foreign one."""
    load(library, reader(1, pin_hash=KOHA_2468))
    settings = replace(SETTINGS, hashing=PinHashing(quick, verify_pin))
    load(library, reader(1, pin="2468"), settings=settings)
    stored = await hash_of(library, "R1")
    assert stored is not None
    assert SETTINGS.hashing.verify(library.pin_secret, stored, "2468")
    load(library, reader(1, pin_hash=KOHA_2468))
    assert await hash_of(library, "R1") == KOHA_2468


async def test_an_export_takes_foreign_hashes_along(library: Library) -> None:
    load(library, reader(1, pin_hash=KOHA_2468), reader(2, pin_hash=EVERGREEN_2468))
    own = hash_pin(library.pin_secret, "2468", memory_kib=8, time_cost=1)
    await library.replace_pin_hash("R2", EVERGREEN_2468, own)
    lines = list(export_lines(library, currency="EUR"))
    found = {it["id"]: it["pin_hash"] for it in map(json.loads, lines) if it.get("pin_hash")}
    assert (found["R1"], found["R2"]) == (KOHA_2468, own)
    assert load(library, *lines).rows_changed == 0
    assert load(library, reader(2, pin_hash=EVERGREEN_2468)).rows_changed == 0


def test_another_secret_is_no_matter_for_foreign_hashes(library: Library) -> None:
    """C95: only our own hashes were made under it."""
    other = {"kind": "pin_secret", "fingerprint": "of another store"}
    assert load(library, other, reader(1, pin_hash=KOHA_2468)).errors == ()
