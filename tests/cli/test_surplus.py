"""What was paid too much of a charge that an import lowers: told, listed, given back (C103)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from .conftest import Run
from .test_administration import pay

LOWER = {"kind": "fee", "id": "F2", "patron": "P2", "amount": "1.00", "created": "2026-01-02"}
CREDIT = {**LOWER, "id": "K2", "amount": "-3.50"}


def write(library: Path, *lines: dict[str, str]) -> Path:
    """A file to import."""
    path = library.with_name("night.jsonl")
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_a_surplus_is_told_listed_and_given_back(sip2gw: Run, library: Path) -> None:
    pay(library, 250, now=datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
    night = write(library, LOWER, {"kind": "badge", "code": "NEW", "name": "New"})
    told = f"{night}:1: fee F2 is overpaid by 1.50: a surplus of patron P2\n"
    summary = "1 surplus new or changed; see `payment reconcile`.\n"
    foreseen = sip2gw("import", "--dry-run", night, "--config", library)
    assert foreseen.status == 0
    assert foreseen.err.startswith(told)
    assert foreseen.err.endswith(f"Nothing was changed.\n{summary}")
    done = sip2gw("import", night, "--config", library)
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith(told)
    assert done.err.endswith(f"rows.\n{summary}")
    assert "NEW" in sip2gw("badge", "list", "--config", library).out
    again = sip2gw("import", night, "--config", library)
    assert again.err == "Read 1 fee, 1 badge; changed 0 rows.\n"

    listed = sip2gw("payment", "reconcile", "--json", "--config", library)
    assert listed.status == 1
    (record,) = map(json.loads, listed.out.splitlines())
    assert record.pop("time").startswith(str(datetime.now(UTC).year))
    assert record == {"surplus": "1.50", "currency": "EUR", "fee": "F2", "patron": "P2"}
    for_people = sip2gw("payment", "reconcile", "--config", library)
    assert for_people.status == 1
    assert for_people.out.splitlines()[-1].startswith("1.50 EUR  F2   P2      ")
    assert "1 overpaid charge. Give the money back" in for_people.err

    given = sip2gw("payment", "refund", "F2", "--config", library)
    assert (given.status, given.out) == (0, "")
    assert given.err == "EUR 1.50 of charge F2 has been recorded as given back to patron P2.\n"
    assert sip2gw("payment", "reconcile", "--config", library).status == 0
    refused = sip2gw("payment", "refund", "F2", "--config", library)
    assert (refused.status, refused.err) == (1, "sip2gw: fee F2 is not overpaid\n")


def test_staff_sees_charges_and_credits_and_what_is_left_of_both(
    sip2gw: Run, library: Path
) -> None:
    sip2gw("import", write(library, CREDIT), "--config", library)
    shown = json.loads(sip2gw("patron", "show", "P2", "--json", "--config", library).out)
    assert (shown["owed"], shown["payable"]) == ("9.00", "9.00")
    assert {fee["id"]: (fee["amount"], fee["owed"]) for fee in shown["fees"]} == {
        "F2": ("12.50", "12.50"),
        "K2": ("-3.50", "-3.50"),
    }
