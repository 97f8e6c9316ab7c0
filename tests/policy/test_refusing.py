"""Which doors refuse everybody (B64, C145)."""

import pytest

from sip2gw.policy.desk.refusing import DoorDecisions, RefusingDoor, refusing_doors
from sip2gw.policy.reasons import Reason


def refused(reason, count, door="door-1"):
    return DoorDecisions(door, "MAIN", False, reason, count)


def granted(count, door="door-1"):
    return DoorDecisions(door, "MAIN", True, Reason.GRANTED, count)


NO_BADGE = refused("no_badge", 5)


@pytest.mark.parametrize(
    ("decisions", "doors"),
    [
        ([], []),
        ([NO_BADGE], ["door-1"]),
        ([refused("no_badge", 4)], []),
        ([refused("no_badge", 3), refused("unknown_card", 2)], ["door-1"]),
        # One who was let in shows that it works.
        ([NO_BADGE, granted(1)], []),
        ([granted(1), NO_BADGE], []),
        ([NO_BADGE, granted(9, "door-2")], ["door-1"]),
        # Nobody gets in where it is closed.
        ([refused("closed", 9), refused("too_late", 9)], []),
        ([refused("closed", 9), refused("no_badge", 4)], []),
        ([refused("closed", 9), NO_BADGE], ["door-1"]),
        ([refused("system", 7, "door-2"), NO_BADGE], ["door-1", "door-2"]),
    ],
)
def test_a_door_refuses_everybody_when_five_came_and_nobody_got_in(decisions, doors):
    assert [one.door for one in refusing_doors(decisions)] == doors


def test_what_it_refused_for_is_told_with_the_most_frequent_reason_first():
    found = refusing_doors([refused("no_badge", 2), refused("closed", 9), refused("age", 6)])
    assert found == [RefusingDoor("door-1", "MAIN", (("age", 6), ("no_badge", 2)))]
    assert found[0].refused == 8
