"""Keys of a profile that are valid one by one, and together do not what the operator wants."""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.config.load import Config
from sip2gw.config.tables.doors import DoorTable
from sip2gw.config.tables.profiles import Profile, ProfileTable

DOOR_QUESTIONS = frozenset({"23", "63"})
"""With which a door asks (B33)."""


def contradictions(config: Config) -> Iterator[str]:
    """One line for each pair of keys that cancel each other (B13, B33, C24)."""
    for name, profile in config.profiles.items():
        if profile.table.observe:
            continue  # neither its messages nor its fields count (C153)
        for problem in _of_payments(profile):
            yield f"profiles.{name}.{problem}"
        if profile.door is not None:
            for problem in _of_door(profile, profile.door):
                yield f"profiles.{name}.{problem}"


def _of_payments(profile: Profile) -> Iterator[str]:
    takes_37 = "37" in profile.messages
    if takes_37 and not profile.payment_types:
        yield (
            "payment_types: empty, so each payment is refused, though messages has 37; name the"
            " types, or leave 37 out"
        )
    if profile.table.payment_types and not takes_37:
        yield "payment_types has no effect, because messages does not have 37; add it"


def _of_door(profile: Profile, door: DoorTable) -> Iterator[str]:
    if not profile.messages & DOOR_QUESTIONS:
        yield "messages: neither 23 nor 63, with which a door asks, so nobody gets in; add one"
    if door.require_badges and door.mode == "decision" and _hides(profile.table, "GL"):
        yield (
            "door.require_badges: GL is hidden, so a controller that looks there for the badge"
            " admits nobody; show GL"
        )


def _hides(table: ProfileTable, tag: str) -> bool:
    return tag in table.hide_fields or (bool(table.allow_fields) and tag not in table.allow_fields)
