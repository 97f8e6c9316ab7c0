"""The demo's library: people in every standing that a terminal can meet, as import records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from msgspec import Struct, field

from sip2gw.protocol.structs import Discreet, Hidden

Record = dict[str, Any]

ADULT, YOUTH = "201", "202"
ANNA, BRAM, EMMA, LARS, CARLA = "20001001", "20001002", "20001003", "20001004", "20001005"
DIRK, GREET = "20001006", "20001009"
OLD_CARD = "20000012"


class Person(Discreet, Struct, frozen=True):
    """A patron of the demo; `repr` shows no PIN."""

    card: str
    pin: Hidden[str]
    name: str
    note: str
    age: int | None = 40
    changes: Record = field(default_factory=dict)
    """What differs from a patron with whom all is well, in the keys of the import."""

    @property
    def line(self) -> str:
        """Card, PIN and story, as the demo prints them."""
        return f"card={self.card} pin={self.pin}  # {self.name}: {self.note}"


PEOPLE = (
    Person(ANNA, "1001", "Anna Claes", "all is well; loans, holds, may pay for Carla"),
    Person(BRAM, "1002", "Bram Peeters", "head of family of Emma and Lars, owes 2.50"),
    Person(
        EMMA,
        "1003",
        "Emma Peeters",
        "Bram's child, 12, owes 6.20 and so is blocked",
        12,
        {"membership": YOUTH},
    ),
    Person(LARS, "1004", "Lars Peeters", "Bram's child, 15, owes 0.80", 15, {"membership": YOUTH}),
    Person(CARLA, "1005", "Carla Maes", "owes 4.00, has authorised Anna to pay and renew", 78),
    Person(DIRK, "1006", "Dirk Wouters", "owes 14.40, over the limit of 10.00"),
    Person("20001007", "1007", "Els Jacobs", "owes 1.00 for longer than the 49 days of MAIN"),
    Person(
        "20001008",
        "1008",
        "Frank Mertens",
        "membership expired",
        changes={"membership_until": timedelta(-10)},
    ),
    Person(
        GREET,
        "1009",
        "Greet Willems",
        "no badge for the hours without staff",
        changes={"badges": []},
    ),
    Person(
        "20001010",
        "1010",
        "Hugo Lemmens",
        "blocked by the staff",
        changes={"blocks": [{"type": "general", "note": "see the desk"}]},
    ),
    Person(
        "20001011", "1011", "Ines Goossens", "banned (customer status 8)", changes={"status": 8}
    ),
    Person(
        "20001012",
        "1012",
        "Joris Hermans",
        f"has a new card; the old one, {OLD_CARD}, is replaced",
        changes={"cards": [{"number": OLD_CARD, "state": "replaced"}]},
    ),
    Person(
        "20001013",
        "1013",
        "Karin Aerts",
        "card reported lost",
        changes={"cards": [{"number": "20001013", "state": "lost"}]},
    ),
    Person("20001014", "1014", "Leo Smet", "on the bar list of MAIN"),
    Person(
        "20001015",
        "1015",
        "Mia Dubois",
        "birth date unknown; speaks French",
        None,
        {"language": "fr"},
    ),
    Person(
        "20001016",
        "1016",
        "Noor Bakker",
        "badge no longer valid",
        changes={"badges": [{"code": "ONBE", "until": timedelta(-30)}]},
    ),
    Person(
        "20001017",
        "1017",
        "Otto Schmidt",
        "owes 7.00, is warned; speaks German",
        changes={"language": "de"},
    ),
    Person("20001018", "1018", "Petra Vos", "owes 3.00 that was invoiced: listed, not payable"),
)

_MEMBERSHIPS: tuple[Record, ...] = (
    {
        "kind": "membership",
        "code": ADULT,
        "description": "Adult",
        "type": 0,
        "max_items": 10,
        "max_fees_self_service": "10.00",
        "alert_amount": "5.00",
    },
    {
        "kind": "membership",
        "code": YOUTH,
        "description": "Youth",
        "type": 1,
        "minimum_age": 0,
        "maximum_age": 17,
        "max_items": 15,
        "max_fees_self_service": "5.00",
        "subsequent_membership": ADULT,
    },
)
_BADGES: tuple[Record, ...] = (
    {"kind": "badge", "code": "ONBE", "name": "Hours without staff"},
    {"kind": "badge", "code": "STUD", "name": "Study room", "active": False},
)
_RELATIONSHIPS: tuple[Record, ...] = (
    {"kind": "relationship", "type": "head_of_family", "from": BRAM, "to": EMMA},
    {"kind": "relationship", "type": "head_of_family", "from": BRAM, "to": LARS},
    {
        "kind": "relationship",
        "type": "authorisation",
        "from": CARLA,
        "to": ANNA,
        "functions": ["renew", "pay"],
    },
)
_TITLES = (
    "The Sorrow of Belgium",
    "Max Havelaar",
    "The Discovery of Heaven",
    "Reynard the Fox",
    "The Evenings",
    "Pluk of the Petteflet",
    "Film: Daens",
)
_FEES_OF_LOANS = {6: "1.50"}
"""What it costs to borrow a title."""
_LOANS = ((0, ANNA, -30, -9), (1, ANNA, -10, 11), (2, ANNA, -3, 18), (5, EMMA, -40, -19))
"""Title, patron, day of the checkout, day when due."""
_FEES = (
    ("F-1002-1", BRAM, "2.50", -12, {"description": "Reservation", "type": "09"}),
    ("F-1003-1", EMMA, "6.20", -15, {"description": "Overdue", "item": "30000005"}),
    ("F-1004-1", LARS, "0.80", -5, {"description": "Overdue"}),
    ("F-1005-1", CARLA, "4.00", -20, {"description": "Overdue"}),
    ("F-1006-1", DIRK, "14.40", -25, {"description": "Lost item", "type": "07"}),
    ("F-1007-1", "20001007", "1.00", -60, {"description": "Overdue"}),
    ("F-1017-1", "20001017", "7.00", -8, {"description": "Damage", "type": "03"}),
    ("F-1018-1", "20001018", "3.00", -30, {"description": "Overdue", "status": "I"}),
)
"""Id, patron, amount, day of its creation, and what else."""


def library_records(today: date) -> Iterator[Record]:
    """All records of the demo, with dates counted from `today`."""
    yield from _MEMBERSHIPS
    yield from _BADGES
    for person in PEOPLE:
        yield _patron(person, today)
    yield from _RELATIONSHIPS
    for number, title in enumerate(_TITLES):
        yield {
            "kind": "item",
            "id": _item(number),
            "title": title,
            "title_id": f"T{number}",
            "owner_branch": "MAIN",
            "max_renewals": 20,
            "checkout_fee": _FEES_OF_LOANS.get(number),
        }
    for number, patron, checked_out, due in _LOANS:
        yield {
            "kind": "loan",
            "item": _item(number),
            "patron": patron,
            "checked_out": str(today + timedelta(checked_out)),
            "due": str(today + timedelta(due)),
        }
    yield from _holds(today)
    for fee_id, patron, amount, created, more in _FEES:
        day = str(today + timedelta(created))
        yield {
            "kind": "fee",
            "id": fee_id,
            "patron": patron,
            "amount": amount,
            "created": day,
        } | more


def _item(number: int) -> str:
    return f"3000000{number}"


def _patron(person: Person, today: date) -> Record:
    record: Record = {
        "kind": "patron",
        "id": person.card,
        "name": person.name,
        "pin": person.pin,
        "membership": ADULT,
        "membership_from": timedelta(-200),
        "membership_until": timedelta(165),
        "home_branch": "MAIN",
        "badges": ["ONBE"],
    }
    if person.age is not None:
        record["birth_date"] = timedelta(-round(365.25 * (person.age + 0.5)))
    dated: Record = _dated(record | person.changes, today)
    return dated


def _dated(value: Any, today: date) -> Any:
    """`value` with every time span in it as the day that lies so far from `today`."""
    if isinstance(value, timedelta):
        return str(today + value)
    if isinstance(value, dict):
        return {key: _dated(part, today) for key, part in value.items()}
    if isinstance(value, list):
        return [_dated(part, today) for part in value]
    return value


def _holds(today: date) -> Iterator[Record]:
    yield {
        "kind": "hold",
        "id": "H1",
        "patron": ANNA,
        "item": _item(3),
        "placed": str(today - timedelta(6)),
        "pickup_branch": "MAIN",
        "ready": True,
        "expires": str(today + timedelta(8)),
    }
    yield {
        "kind": "hold",
        "id": "H2",
        "patron": ANNA,
        "title_id": "T4",
        "placed": str(today - timedelta(2)),
        "pickup_branch": "MAIN",
    }
    yield {
        "kind": "hold",
        "id": "H3",
        "patron": CARLA,
        "title_id": "T5",
        "placed": str(today - timedelta(20)),
        "pickup_branch": "MAIN",
    }
