"""Badges on both databases: their days, assignments, and who gave them when and why (B65, C165)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from sip2gw.backend.base import ChangedError, NotFoundError, RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.loading.importing import import_files
from sip2gw.model import Badge, PatronRecord
from sip2gw.model.badges import BadgeTerms, BadgeWish, Deed
from sip2gw.policy.members.badges import AssignmentPlan
from sip2gw.policy.obstacles import visible_badges

from .library import LIBRARY, NOW, SETTINGS, load, stream_of

EVA = Deed("eva", NOW, "signed the form")
MAY = date(2026, 5, 31)
TODAY = date(2026, 3, 10)


async def found(library: Library, patron_id: str) -> PatronRecord:
    record = await library.find_patron(patron_id)
    assert record is not None
    return record


async def assign(library: Library, code: str, card: str, **terms: Any) -> AssignmentPlan:
    return await library.assign_badge(code, [BadgeWish(card, BadgeTerms(**terms))], EVA)


def told(library: Library, *wanted: str | None) -> list[tuple[str, ...]]:
    """The history as who, what, badge, patron, why and source."""
    return [
        (
            event.user,
            event.change.action,
            event.change.code,
            event.change.patron_id,
            event.reason,
            event.source,
        )
        for event in library.badge_history(*wanted)
    ]


# Assignments


async def test_an_assigned_badge_has_the_limits_that_were_named(library: Library) -> None:
    """C57: any card, and what an import had limited is so no longer."""
    for card, patron_id in (("P2", "P2"), ("C1", "P1")):
        (change,) = (await assign(library, "ONBE", card)).changes
        assert change.patron_id == patron_id
        badge = next(one for one in (await found(library, patron_id)).badges if one.code == "ONBE")
        assert (badge.valid_from, badge.valid_until, badge.assignment_branches) == (None, None, ())
    await assign(library, "ONBE", "C1", valid_from=TODAY, valid_until=MAY, branches=("EAST",))
    badge = next(one for one in (await found(library, "P1")).badges if one.code == "ONBE")
    assert (badge.valid_from, badge.valid_until) == (TODAY, MAY)
    assert badge.assignment_branches == ("EAST",)


async def test_an_unassigned_badge_is_gone_at_once(library: Library) -> None:
    assert await library.unassign_badge("STUD", "C1", EVA) == "P1"
    assert [badge.code for badge in (await found(library, "P1")).badges] == ["ONBE"]
    with pytest.raises(RefusedError, match="patron P1 does not have badge STUD"):
        await library.unassign_badge("STUD", "P1", EVA)


async def test_only_what_there_is_can_be_assigned(library: Library) -> None:
    with pytest.raises(RefusedError, match="there is no badge NONE"):
        await assign(library, "NONE", "P1")
    assert (await assign(library, "ONBE", "nobody")).problems == [
        "no patron has the id or card nobody"
    ]


async def test_all_of_many_or_none(library: Library) -> None:
    """C165: a dry run says the same, and doing it again changes nothing."""
    good = [BadgeWish("P2", place="f:1"), BadgeWish("P3", place="f:2")]
    bad = [*good, BadgeWish("P9", place="f:3")]
    for refused in (library.plan_badge("ONBE", bad), await library.assign_badge("ONBE", bad, EVA)):
        assert refused.problems == ["f:3: no patron has the id or card P9"]
    assert [one.patron_id for one in library.badge_holders("ONBE")] == ["P1"]
    foreseen = library.plan_badge("ONBE", good)
    assert [one.patron_id for one in library.badge_holders("ONBE")] == ["P1"]
    assert await library.assign_badge("ONBE", good, EVA) == foreseen
    assert [one.patron_id for one in library.badge_holders("ONBE")] == ["P1", "P2", "P3"]
    before = told(library)
    again = await library.assign_badge("ONBE", good, EVA)
    assert (again.changes, again.unchanged) == ([], 2)
    assert told(library) == before


async def test_a_thousand_cards_are_looked_up(library: Library) -> None:
    """More than a statement takes at once."""
    names = [f"N{number}" for number in range(1_100)]
    load(library, *({"kind": "patron", "id": name, "name": "New"} for name in names))
    plan = await library.assign_badge("ONBE", [BadgeWish(name) for name in names], EVA)
    assert len(plan.changes) == 1_100


async def test_holders_are_reported_by_badge(library: Library) -> None:
    """B65, C70."""
    await assign(library, "ONBE", "P2")
    reported = [
        (one.code, one.patron_id, one.active, one.source) for one in library.badge_holders()
    ]
    assert reported == [
        ("ONBE", "P1", True, "import"),
        ("ONBE", "P2", True, "staff"),
        ("STUD", "P1", False, "import"),
    ]
    first, second = library.badge_holders("ONBE")
    assert (first.name, first.valid_from, first.branches) == (
        "Ann Maes",
        date(2026, 1, 1),
        ("MAIN",),
    )
    assert (second.valid_from, second.branches) == (None, ())
    with pytest.raises(RefusedError, match="there is no badge NONE"):
        list(library.badge_holders("NONE"))


# A badge's own days


async def test_a_badges_own_days_limit_every_assignment(library: Library) -> None:
    first, last = TODAY + timedelta(days=1), TODAY + timedelta(days=3)
    await library.define_badge(Badge("ONBE", "Open library", True, "", first, last))
    record = await found(library, "P1")
    days = [TODAY + timedelta(days=number) for number in range(5)]
    assert [visible_badges(record, "MAIN", day) for day in days] == [
        (),
        ("ONBE",),
        ("ONBE",),
        ("ONBE",),
        (),
    ]


@pytest.mark.parametrize(
    ("own", "of_badge", "both"),
    [
        ((None, None), (None, None), (None, None)),
        ((TODAY, MAY), (None, None), (TODAY, MAY)),
        ((None, None), (TODAY, MAY), (TODAY, MAY)),
        ((TODAY, MAY), (date(2026, 4, 1), date(2026, 4, 2)), (date(2026, 4, 1), date(2026, 4, 2))),
        ((date(2026, 4, 1), date(2026, 4, 2)), (TODAY, MAY), (date(2026, 4, 1), date(2026, 4, 2))),
    ],
)
async def test_the_report_has_the_days_that_both_allow(
    library: Library, own: tuple[Any, Any], of_badge: tuple[Any, Any], both: tuple[Any, Any]
) -> None:
    await library.define_badge(Badge("ONBE", "Open library", True, "", *of_badge))
    await assign(library, "ONBE", "P1", valid_from=own[0], valid_until=own[1])
    (holder,) = library.badge_holders("ONBE")
    assert (holder.valid_from, holder.valid_until) == both


async def test_days_stay_unless_they_are_named(library: Library) -> None:
    badge = Badge("VOLU", "Volunteers", True, "", TODAY, MAY)
    await library.define_badge(badge)
    await library.define_badge(Badge("VOLU", "Helpers"), ("valid_from", "valid_until"))
    assert library.badges()[-1] == replace(badge, name="Helpers")
    await library.define_badge(Badge("VOLU", "Helpers"), ("valid_from",))
    assert library.badges()[-1] == replace(badge, name="Helpers", valid_until=None)
    with pytest.raises(RefusedError, match="its last day 2026-03-09 is before its first"):
        await library.define_badge(
            Badge("VOLU", "Helpers", valid_until=TODAY - timedelta(days=1)), ("valid_from",)
        )


async def test_a_badge_that_somebody_else_has_changed_stays(library: Library) -> None:
    """C176: who says what was seen changes nothing else."""
    seen = library.badges()[0]
    await library.define_badge(replace(seen, name="First"), seen=seen)
    with pytest.raises(ChangedError, match="somebody has changed it in the meantime"):
        await library.define_badge(replace(seen, name="Second"), seen=seen)
    assert library.badges()[0] == replace(seen, name="First")


async def test_what_is_not_there_is_not_found(library: Library) -> None:
    """B84: and not merely refused."""
    with pytest.raises(NotFoundError):
        await library.unassign_badge("ONBE", "P2", EVA)
    with pytest.raises(NotFoundError):
        await library.unassign_badge("ONBE", "P9", EVA)
    with pytest.raises(NotFoundError):
        await library.set_badge_active("NONE", True)


def test_a_badges_days_are_imported_and_exported(library: Library) -> None:
    line = {"kind": "badge", "code": "SUMM", "name": "Summer", "from": "2026-07-01"}
    assert load(library, {**line, "until": "2026-08-31"}).errors == ()
    exported = b"".join(export_lines(library, currency="EUR"))
    assert b'"code":"SUMM","name":"Summer","from":"2026-07-01","until":"2026-08-31"' in exported
    assert load(library, line).rows_changed == 1  # what an import leaves out goes back to default
    assert library.badges()[-2].valid_until is None
    wrong = load(library, {**line, "until": "2026-06-30"})
    assert wrong.errors == ("data.jsonl:1: `until`: must not be before `from`",)


# History


async def test_the_history_says_who_did_what_and_why(library: Library) -> None:
    await assign(library, "ONBE", "P2")
    await assign(library, "ONBE", "P2", valid_until=MAY)
    await library.unassign_badge("ONBE", "P2", Deed("jan", NOW + timedelta(1), "moved away"))
    done = list(library.badge_history("ONBE", "P2"))
    assert told(library, "ONBE", "P2") == [
        ("eva", "assigned", "ONBE", "P2", "signed the form", "staff"),
        ("eva", "changed", "ONBE", "P2", "signed the form", "staff"),
        ("jan", "unassigned", "ONBE", "P2", "moved away", "staff"),
    ]
    assert [event.change.terms.valid_until for event in done] == [None, MAY, MAY]
    assert [event.time for event in done] == [NOW, NOW, NOW + timedelta(1)]
    assert len({event.id for event in done}) == len(done)
    assert told(library, "STUD", "P2") == []
    with pytest.raises(RefusedError, match="there is no badge NONE"):
        list(library.badge_history("NONE"))
    with pytest.raises(RefusedError, match="no patron has the id or card P9"):
        list(library.badge_history(None, "P9"))


async def test_what_an_import_changes_is_history_too(library: Library) -> None:
    """One row for each assignment that changed, none for those that stayed."""
    ann = next(line for line in LIBRARY if line.get("id") == "P1")
    settings = replace(SETTINGS, user="ils")

    def load_badges(patron: str, badges: list[Any]) -> None:
        line = {**ann, "id": patron, "badges": badges, "cards": []}
        done = import_files(library, [("x", stream_of(line))], settings=settings)
        assert done.applied

    assert told(library, "ONBE") == [("", "assigned", "ONBE", "P1", "", "import")]
    load_badges("N1", ["ONBE", "STUD"])
    load_badges("N1", [{"code": "ONBE", "until": "2026-05-31"}, "STUD"])
    load_badges("N1", ["ONBE"])
    load_badges("N1", ["ONBE"])
    assert told(library, None, "N1") == [
        ("ils", "assigned", "ONBE", "N1", "", "import"),
        ("ils", "assigned", "STUD", "N1", "", "import"),
        ("ils", "changed", "ONBE", "N1", "", "import"),
        ("ils", "changed", "ONBE", "N1", "", "import"),
        ("ils", "unassigned", "STUD", "N1", "", "import"),
    ]
    events = list(library.badge_history("ONBE", "N1"))
    assert [event.change.terms.valid_until for event in events] == [None, MAY, None]


async def test_what_is_undone_leaves_no_history(library: Library) -> None:
    before = told(library)
    await library.assign_badge("ONBE", [BadgeWish("P2"), BadgeWish("P9")], EVA)
    report = load(
        library,
        {"kind": "patron", "id": "N2", "name": "N", "badges": ["ONBE"]},
        {"kind": "loan", "item": "none", "patron": "N2", "checked_out": "2026-03-01", "due": "x"},
    )
    assert report.errors
    assert told(library) == before
