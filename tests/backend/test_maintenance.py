"""Account maintenance and last activity on both databases (B63, C60, C160, C161)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from orders import decided_by

from sip2gw.backend.base import BackendError, UnavailableError
from sip2gw.backend.library import Library
from sip2gw.backend.sql.members import activity, maintenance
from sip2gw.backend.sql.members import outbox as notices
from sip2gw.backend.sql.members.activity import Activity
from sip2gw.backend.sql.members.maintenance import Occasion
from sip2gw.backend.sqlite.store import Store
from sip2gw.model import AccessRow
from sip2gw.model.badges import Deed
from sip2gw.model.maintenance import Rule, Step
from sip2gw.policy.members.memberships import fee_id, maintain
from sip2gw.policy.statuses import status_of
from sip2gw.staff.members.maintenance import maintain_memberships

from .library import (
    NOW,
    ZONE,
    content,
    load,
    open_library,
    open_postgres_library,
    order,
    pay_fee,
    unguarded,
)

SOON = datetime(2026, 4, 1, 2, tzinfo=UTC)
PERIOD = SOON.date()
FEE = fee_id("M1", PERIOD)

MEMBERS: list[dict[str, Any]] = [
    {
        "kind": "membership",
        "code": "301",
        "description": "Paying",
        "type": 3,
        "fee": "20.00",
        "invoicing_method": 1,
        "term_months": 12,
        "fee_reminder_months": 1,
        "fee_delinquent_months": 2,
        "fee_delete_months": 9,
        "refund": True,
    },
    {
        "kind": "membership",
        "code": "302",
        "description": "Guest",
        "type": 5,
        "renewal_type": 5,
        "notification_term_months": 1,
        "alert_amount": "1.00",
        "age_alert": True,
    },
    {
        "kind": "membership",
        "code": "303",
        "description": "Young",
        "type": 1,
        "minimum_age": 0,
        "maximum_age": 17,
        "renewal_type": 1,
        "remove_after_months": 12,
        "subsequent_membership": "301",
    },
    *(
        {
            "kind": "patron",
            "id": patron_id,
            "name": "Member",
            "membership": code,
            "membership_from": "2023-04-01",
            "membership_until": "2026-03-31",
            **more,
        }
        for patron_id, code, more in (
            ("M1", "301", {}),
            ("M2", "302", {"home_branch": "MAIN"}),
            ("M3", "303", {"birth_date": "2008-01-01"}),
            ("M4", "303", {"birth_date": "2015-01-01"}),
            ("M5", "303", {"birth_date": "2015-01-01"}),
        )
    ),
    {"kind": "fee", "id": "MF", "patron": "M2", "amount": "1.50", "created": "2026-02-24"},
    {"kind": "item", "id": "MI", "title": "Tijl"},
    {
        "kind": "loan",
        "item": "MI",
        "patron": "M5",
        "checked_out": "2026-01-02",
        "due": "2026-05-01",
    },
]


async def add_members(library: Library) -> None:
    assert load(library, *MEMBERS).errors == ()


@pytest.fixture
async def members(furnished: Any) -> Library:
    """The small library with five members whose periods end on 31 March."""
    library: Library = await furnished(add_members)
    return library


def on(now: datetime) -> Occasion:
    return Occasion(now, ZONE, {"MAIN": 40})


async def maintained(library: Library, now: datetime = SOON, *, dry: bool = False) -> list[Step]:
    """The steps that maintenance takes, or would take; the ledger is sound afterwards."""
    done = [one async for one in maintain_memberships(library, on(now), dry_run=dry)]
    assert library.self_check() == []
    return [step for one in done for step in one.steps]


def told(steps: list[Step]) -> list[tuple[str, str, str | None]]:
    return [(step.patron_id, step.rule.value, step.notice) for step in steps]


async def status(library: Library, patron_id: str = "M1") -> int:
    record = await library.find_patron(patron_id)
    assert record is not None
    return status_of(record)


def outbox(library: Library) -> list[tuple[str, str, str]]:
    with library.snapshot() as connection:
        return sorted(map(tuple, connection.execute("SELECT patron_id, kind, cause FROM outbox")))


EXPECTED = [
    ("M1", "renewed", None),
    ("M2", "notice", "CAT"),
    ("M2", "ended", "END"),
    ("M3", "moved", None),
    ("M4", "ended_idle", "END"),
    ("M5", "renewed", None),
]


async def test_b63_a_dry_run_says_what_the_run_does_and_the_next_finds_nothing(
    members: Library,
) -> None:
    before = content(members)
    planned = await maintained(members, dry=True)
    assert content(members) == before
    assert told(planned) == EXPECTED
    assert await maintained(members) == planned
    after = content(members)
    assert await maintained(members) == []
    assert content(members) == after
    for patron_id, code, since, until, number in (
        ("M1", "301", "2023-04-01", "2027-03-31", 2),
        ("M2", "302", "2023-04-01", "2026-03-31", 9),
        ("M3", "301", "2026-04-01", "2027-03-31", 2),
        ("M4", "303", "2023-04-01", "2026-03-31", 9),
        ("M5", "303", "2023-04-01", "2027-03-31", 5),
    ):
        record = await members.find_patron(patron_id)
        assert record is not None
        assert record.membership is not None
        assert record.membership.code == code
        assert (str(record.membership_from), str(record.membership_until)) == (since, until)
        assert status_of(record) == number
    assert outbox(members) == [
        ("M2", "CAT", "2026-03-31"),
        ("M2", "END", "2026-03-31"),
        ("M4", "END", "2026-03-31"),
    ]


async def test_c161_a_membership_fee_is_a_fee_like_others_of_type_01(members: Library) -> None:
    await maintained(members)
    record = await members.find_patron("M1")
    assert record is not None
    (fee,) = record.fees
    assert (fee.id, fee.amount, fee.owed, fee.type) == (FEE, 2000, 2000, "01")
    assert fee.created == datetime(2026, 4, 1, tzinfo=ZONE)
    assert fee.description == "Paying"


async def test_c160_a_paid_fee_lifts_the_status_with_the_next_request(members: Library) -> None:
    await maintained(members, SOON + timedelta(days=100))
    assert await status(members) == 4
    paid = order("BK9", 2000, payer_id="M1", now=SOON)
    await members.book_payment(decided_by(paid, pay_fee(FEE, 2000)))
    assert await status(members) == 5
    assert told(await maintained(members, SOON + timedelta(days=101))) == [("M1", "paid", None)]
    assert await status(members) == 5


async def test_c160_an_import_that_sets_the_status_has_the_last_word(members: Library) -> None:
    await maintained(members, SOON + timedelta(days=100))
    patron = next(it for it in MEMBERS if it.get("id") == "M1")
    same = {**patron, "membership_until": "2027-03-31"}
    load(members, {**same, "status": 4, "name": "Member One"})
    record = await members.find_patron("M1")
    assert record is not None
    assert record.status_fee == FEE  # it says what was so already
    load(members, {**same, "status": 3})
    record = await members.find_patron("M1")
    assert record is not None
    assert (record.status, record.status_fee) == (3, None)


async def test_what_was_paid_comes_back_when_staff_end_a_membership(members: Library) -> None:
    await maintained(members)
    paid = order("BK9", 2000, payer_id="M1", now=SOON)
    await members.book_payment(decided_by(paid, pay_fee(FEE, 2000)))
    patron = next(it for it in MEMBERS if it.get("id") == "M1")
    load(members, {**patron, "membership_until": "2027-03-31", "status": 9})
    steps = await maintained(members, datetime(2026, 10, 1, tzinfo=ZONE))
    assert told([it for it in steps if it.patron_id == "M1"]) == [
        ("M1", "ended_elsewhere", None),
        ("M1", "refunded", None),
    ]
    record = await members.find_patron("M1")
    assert record is not None
    assert [(fee.id, fee.owed) for fee in record.fees] == [(f"{FEE}-R", -1000)]
    assert await maintained(members, datetime(2026, 10, 2, tzinfo=ZONE)) == []


@pytest.mark.parametrize(
    ("paid", "account", "lowered_to", "credits"),
    [
        (0, "", "0.00", []),
        (0, "", "10.00", [1000]),
        (2000, "", "5.00", [-250]),
        (2000, "write_off:cash-1", None, []),
        (500, "write_off:cash-1", None, [1500]),
    ],
    ids=[
        "waived, nothing paid",
        "lowered, nothing paid",
        "paid, then lowered: the rest is a surplus",
        "written off",
        "a part written off, the rest owed",
    ],
)
async def test_no_more_comes_back_than_was_paid_in_money(
    members: Library, paid: int, account: str, lowered_to: str | None, credits: list[int]
) -> None:
    await maintained(members)
    if paid:
        wanted = order("BK9", paid, payer_id="M1", now=SOON, account=account)
        await members.book_payment(decided_by(wanted, pay_fee(FEE, paid)))
    if lowered_to is not None:
        fee = {"kind": "fee", "id": FEE, "patron": "M1", "created": "2026-04-01", "type": "01"}
        load(members, {**fee, "amount": lowered_to})
    patron = next(it for it in MEMBERS if it.get("id") == "M1")
    load(members, {**patron, "membership_until": "2027-03-31", "status": 9})
    await maintained(members, datetime(2026, 10, 1, tzinfo=ZONE))
    record = await members.find_patron("M1")
    assert record is not None
    assert [fee.owed for fee in record.fees] == credits


async def test_alerts_go_out_once_and_may_come_again_after_the_debt_was_paid(
    members: Library,
) -> None:
    alerts = [("M2", "age_alert", "AGE"), ("M2", "limit_alert", "LIMIT")]
    assert told(await maintained(members, datetime(2026, 3, 31, 12, tzinfo=UTC)))[1:3] == alerts
    patron = next(it for it in MEMBERS if it.get("id") == "M2")
    load(members, {**patron, "membership_until": "2027-03-31"})
    assert await maintained(members, SOON - timedelta(days=1)) == []
    paid = order("BK9", 150, payer_id="M2", now=SOON)
    await members.book_payment(decided_by(paid, pay_fee("MF", 150)))
    assert await maintained(members, SOON - timedelta(days=1)) == []
    load(members, {**MEMBERS[-3], "id": "MF2", "created": "2026-04-01"})
    assert ("M2", "limit_alert", "LIMIT") in told(await maintained(members, SOON))


async def test_c60_a_batch_is_done_whole_or_not_at_all(
    members: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise BackendError("gone")

    before = content(members)
    with monkeypatch.context() as patched:
        patched.setattr(notices, "put", fail)
        with pytest.raises(BackendError):
            await maintained(members)
    after = content(members)
    after.pop("store_version"), before.pop("store_version")
    assert after == before
    assert told(await maintained(members)) == EXPECTED


def spans(library: Library) -> list[tuple[str, str, int]]:
    """The first and the last patron with steps in each planned batch, and how many steps."""
    planned = (one.maintained for one in library.maintenance_batches(on(SOON), "K"))
    return [
        (done[0].before.id, done[-1].before.id, sum(len(one.steps) for one in done))
        for done in planned
        if done
    ]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, [("M1", "M1", 1), ("M2", "M2", 2), ("M3", "M3", 1), ("M4", "M4", 1), ("M5", "M5", 1)]),
        (3, [("M1", "M2", 3), ("M3", "M5", 3)]),
        (4, [("M1", "M3", 4), ("M4", "M5", 2)]),
        (7, [("M1", "M5", 6)]),
    ],
)
async def test_a_batch_ends_with_the_patron_who_brings_it_to_so_many_steps(
    members: Library,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    expected: list[tuple[str, str, int]],
) -> None:
    """Payments wait while a batch is written; whoever has years to make up is not divided."""
    monkeypatch.setattr(maintenance, "STEPS_PER_BATCH", most)
    assert spans(members) == expected
    assert told(await maintained(members)) == EXPECTED
    assert await maintained(members) == []


async def test_batches_follow_each_other_without_a_gap_up_to_the_last_patron(
    members: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a run may go on behind any of them."""
    monkeypatch.setattr(maintenance, "PATRONS_PER_BATCH", 4)
    monkeypatch.setattr(maintenance, "STEPS_PER_BATCH", 2)
    planned = list(members.maintenance_batches(on(SOON), ""))
    with members.snapshot() as connection:
        (last,) = connection.execute("SELECT MAX(id) FROM patron").fetchone()
    ends = [one.last for one in planned]
    assert [one.after for one in planned] == ["", *ends[:-1]]
    assert (ends, ends[-1]) == (sorted(set(ends)), last)
    for place, end in enumerate(ends, start=1):
        rest = members.maintenance_batches(on(SOON), end)
        assert [done for one in rest for done in one.maintained] == [
            done for one in planned[place:] for done in one.maintained
        ]


async def test_nobody_is_decided_on_before_their_batch_is_taken(
    members: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[str] = []

    def deciding(member: Any, *others: Any) -> Any:
        decided.append(member.id)
        return maintain(member, *others)

    monkeypatch.setattr(maintenance, "STEPS_PER_BATCH", 3)
    monkeypatch.setattr(maintenance, "maintain", deciding)
    planned = members.maintenance_batches(on(SOON), "K")
    next(planned)
    assert decided == ["M1", "M2"]


async def test_others_have_their_turn_while_a_batch_is_decided_on(
    members: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decides waits here for somebody else in the same loop, and gets its answer."""
    here = asyncio.get_running_loop()

    async def other() -> str:
        return "answered"

    answers: list[str] = []

    def deciding(*facts: Any) -> Any:
        asked = asyncio.run_coroutine_threadsafe(other(), here)
        answers.append(asked.result(timeout=30))
        return maintain(*facts)

    monkeypatch.setattr(maintenance, "maintain", deciding)
    assert told(await maintained(members, dry=True)) == EXPECTED
    assert set(answers) == {"answered"}


async def test_two_hosts_at_once_do_everything_once(
    members: Library, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(maintenance, "PATRONS_PER_BATCH", 2)
    if isinstance(members, Store):
        other: Library = open_library(members.path.parent, role="command")
    else:
        other = open_postgres_library(request.getfixturevalue("postgres_url"), role="command")
    try:
        both = await asyncio.gather(maintained(members), maintained(other))
    finally:
        await other.close()
    assert sorted(told(both[0]) + told(both[1])) == sorted(EXPECTED)
    members.distrust_cache()
    assert await maintained(members) == []


async def test_a_fee_that_has_the_id_of_ours_is_not_made_twice(members: Library) -> None:
    load(
        members,
        {"kind": "fee", "id": FEE, "patron": "P3", "amount": "1.00", "created": "2026-01-01"},
    )
    assert told(await maintained(members)) == EXPECTED
    record = await members.find_patron("M1")
    assert record is not None
    assert record.fees == ()


# Last activity


def days(library: Library) -> dict[str, str]:
    with library.snapshot() as connection:
        return dict(map(tuple, connection.execute("SELECT patron_id, day FROM activity")))


async def written(library: Library) -> dict[str, str]:
    """What is in the store once everything is written."""
    store: Any = library
    await store._activity._write_all()
    return days(library)


async def test_c161_a_day_is_written_once_and_never_set_back(library: Library) -> None:
    library.note_activity("P1", NOW)
    library.note_activity("P1", NOW + timedelta(hours=1))
    library.note_activity("nobody", NOW)
    assert await written(library) == {"P1": "2026-03-10"}
    library.note_activity("P2", NOW + timedelta(days=1))
    library.note_activity("P1", NOW + timedelta(days=1))
    assert await written(library) == {"P1": "2026-03-11", "P2": "2026-03-11"}
    library.note_activity("P1", NOW - timedelta(days=30))
    assert (await written(library))["P1"] == "2026-03-11"


async def test_c161_whoever_was_let_in_was_active(library: Library) -> None:
    row = AccessRow(NOW, "MAIN", "door-1", "granted", "granted", "store", "", "P1", "in")
    library.log_access(row)
    refused = AccessRow(NOW, "MAIN", "door-1", "refused", "status", "store", "", "P2", "in")
    library.log_access(refused)
    library.log_access(AccessRow(NOW, "MAIN", "door-1", "granted", "granted", "x", "", None, "out"))
    seen = AccessRow(NOW, "MAIN", "door-1", "granted", "granted", "observed", "", "P3", "in")
    library.log_access(seen)
    assert await written(library) == {"P1": "2026-03-10"}


async def test_c161_it_is_written_a_second_later_and_when_the_store_closes(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "WRITE_AFTER_S", 0.01)
    library.note_activity("P1", NOW)
    async with asyncio.timeout(30):
        while not days(library):  # noqa: ASYNC110 -- the store tells nobody
            await asyncio.sleep(0.01)
    library.note_activity("P2", NOW)
    await library.close()


class Unsteady:
    """A store that fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.rows: list[tuple[str, str]] = []

    async def write(self, rows: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("not now")
        self.rows += rows


async def test_what_could_not_be_written_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "WRITE_AFTER_S", 0)
    monkeypatch.setattr(activity, "RETRY_AFTER_S", 0)
    store = Unsteady(failures=2)
    notes = Activity(store.write)
    for number in range(activity.ROWS_PER_WRITE + 1):
        notes.note(f"P{number}", NOW)
    async with asyncio.timeout(30):
        while len(store.rows) <= activity.ROWS_PER_WRITE:  # noqa: ASYNC110 -- nor does this
            await asyncio.sleep(0)
    assert len(set(store.rows)) == activity.ROWS_PER_WRITE + 1
    await notes.close()
    notes.note("late", NOW)  # closed: nothing is begun any more
    assert notes._timer is None


async def test_around_midnight_two_zones_do_not_empty_the_memory() -> None:
    store = Unsteady(failures=0)
    notes = Activity(store.write)
    late = datetime(2026, 3, 10, 23, 30, tzinfo=UTC)
    notes.note("P1", late.astimezone(ZONE))
    for _ in range(3):
        notes.note("P1", late)
        notes.note("P1", late.astimezone(ZONE))
    await notes.close()
    assert store.rows == [("2026-03-11", "P1")]


async def test_c161_in_a_store_that_was_there_before_nobody_is_idle_since_longer(
    members: Library,
) -> None:
    with unguarded(members) as connection:
        connection.execute(
            "INSERT INTO setting (name, value) VALUES ('activity_since', '2025-06-01')"
        )
    assert ("M4", "renewed", None) in told(await maintained(members))


# Badges

BADGES: list[dict[str, Any]] = [
    {"kind": "badge", "code": "ZOMR", "name": "Summer", "until": "2026-04-10"},
    *(
        {"kind": "patron", "id": patron_id, "name": "Ann", "badges": [badge], **more}
        for patron_id, badge, more in (
            ("B1", {"code": "ONBE", "until": "2026-04-15"}, {}),
            ("B2", {"code": "ONBE", "until": "2026-04-16"}, {}),
            ("B3", {"code": "ZOMR", "until": "2026-12-31"}, {"membership": "302",
                "membership_from": "2026-01-01", "membership_until": "2026-12-31"}),
            ("B4", {"code": "STUD", "until": "2026-04-10"}, {}),
            ("B5", {"code": "ONBE", "until": "2026-04-10"}, {"status": 9}),
            ("M4", "ZOMR", {"membership": "303", "birth_date": "2015-01-01",
                "membership_from": "2023-04-01", "membership_until": "2026-03-31"}),
        )
    ),
]  # fmt: skip
"""B1 and B3 hold a badge that ends within a fortnight; M4's membership ends today."""


def early(days: int) -> Occasion:
    return replace(on(SOON), badge_notice_days=days)


async def told_of_badges(library: Library, occasion: Occasion, *, dry: bool = False) -> list[Step]:
    done = [one async for one in maintain_memberships(library, occasion, dry_run=dry)]
    return [step for one in done for step in one.steps if step.rule is Rule.BADGE_EXPIRES]


@pytest.mark.parametrize(("bound", "most"), [("PATRONS_PER_BATCH", 2), ("STEPS_PER_BATCH", 1)])
async def test_c162_holders_get_one_notice_before_a_badge_ends(
    members: Library, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """B65: whether they have a membership or not, by the badge's own last day or the holder's."""
    monkeypatch.setattr(maintenance, bound, most)
    assert load(members, *BADGES).errors == ()
    planned = await told_of_badges(members, early(14), dry=True)
    assert outbox(members) == []
    done = await told_of_badges(members, early(14))
    assert done == planned
    assert [(step.patron_id, str(step.until), step.values["badge"]) for step in done] == [
        ("B1", "2026-04-15", "Open library"),
        ("B3", "2026-04-10", "Summer"),
    ]
    assert [one for one in outbox(members) if one[1] == "BADGE"] == [
        ("B1", "BADGE", "ONBE 2026-04-15"),
        ("B3", "BADGE", "ZOMR 2026-04-10"),
    ]
    assert await told_of_badges(members, early(14)) == []
    (later,) = await told_of_badges(members, early(15))
    assert later.patron_id == "B2"


async def test_without_the_setting_nobody_is_told_of_badges(members: Library) -> None:
    assert load(members, *BADGES).errors == ()
    assert await told_of_badges(members, on(SOON)) == []


async def test_b65_after_a_merge_nobody_is_told_of_the_same_badge_again(members: Library) -> None:
    assert load(members, *BADGES).errors == ()
    await told_of_badges(members, early(14))
    await members.merge_patrons("B1", "P3", Deed("eva", NOW))
    assert await told_of_badges(members, early(14)) == []
