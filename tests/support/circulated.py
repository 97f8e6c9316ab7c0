"""The circulation dialogues of `tests/wire/circulation`, and the library they are played in."""

from pathlib import Path

import pytest
from desk import DESK_CONFIG, DESK_LIBRARY, copy, lent
from harness import person

CONFIG = f"""{DESK_CONFIG}
[profiles.picky]
kind = "selfcheck"
blocked_material_types = ["M*"]
lend_with_attachment = false
overdues_block_checkout = true
lost_block_checkout = 1
checked_in_ok = true
refuse_checkin = ["in_transit", "note", "reference", "reserved"]
refuse_checkin_material_types = ["M*"]
[terminals.picky-1]
profile = "picky"
branch = "MAIN"
password = "pw"
[privacy]
loan_history_days = 30
[profiles.asking]
kind = "selfcheck"
confirm_previously_borrowed = true
[terminals.asking-1]
profile = "asking"
branch = "MAIN"
password = "pw"
"""
"""With a kiosk that refuses whatever a profile can refuse, and one that asks."""

LIBRARY = [
    *DESK_LIBRARY,
    person("1031", "Lea Late"),
    copy("LATE9"),
    lent("LATE9", "1031", due="2026-03-05"),
    person("1032", "Mo Lost"),
    copy("LOST1", status="lost"),
    lent("LOST1", "1032", due="2026-04-05"),
    copy("MAP1", material="MAP"),
    copy("BOX1", attachment="a map"),
    copy("NOTE1", note="look"),
    lent("NOTE1", "1031", due="2026-04-05"),
    copy("MOVING1", status="in_transit"),
    {
        "kind": "membership",
        "code": "204",
        "description": "Choosy",
        "type": 4,
        "hold_limit": "1.00",
        "grace_days": 3,
        "overdue_fee_max": "1.50",
        "materials": [
            {"material": "GAME*", "allowed": False},
            {"material": "FILM-16", "minimum_age": 16},
            {"material": "FILM*", "max_items": 1, "loan_days": 7},
        ],
    },
    person("1034", "Pim Young", membership="204", birth_date="2014-03-11"),
    person("1035", "Rik Unknown", membership="204", birth_date=None),
    {"kind": "fee", "id": "P1", "patron": "1035", "amount": "1.01", "created": "2026-03-01"},
    copy("GAME1", material="GAME-3"),
    copy("GAME2", material="GAME-3"),
    lent("GAME2", "1034"),
    copy("FILM1", material="FILM-6"),
    copy("FILM2", material="FILM-6"),
    copy("FILM3", material="FILM-16"),
    copy("TWELVE1", minimum_age=12),
    copy("GRACE1", overdue_fee_per_day="0.40"),
    lent("GRACE1", "1034", due="2026-03-07"),
    copy("GRACE2", overdue_fee_per_day="0.40"),
    lent("GRACE2", "1034", due="2026-03-06"),
    copy("GRACE3", overdue_fee_per_day="0.40", overdue_fee_max="0.60"),
    lent("GRACE3", "1034", due="2026-03-06"),
]

FILES = sorted((Path(__file__).parents[1] / "wire" / "circulation").glob("*.txt"))


def dialogues():
    """Title and lines of each dialogue in each file."""
    for file in FILES:
        for part in file.read_text("ascii").split("\n== ")[1:]:
            title, *lines = part.splitlines()
            said = [line.split(" ", 2) for line in lines if line and not line.startswith("#")]
            yield pytest.param(said, id=f"{file.stem}: {title}")
