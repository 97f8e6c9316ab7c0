"""`/maintain`: the same as the command, a portion at a time (B63, B84, B93, C160)."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from programs import Site

from sip2gw.backend.sql.members import maintenance as batches
from sip2gw.model.maintenance import Rule, Step
from sip2gw.staff.forgetting import MAINTENANCE
from sip2gw.staff.members.maintenance import Sums, sums_of
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.resources.members import maintenance

PAYING: dict[str, Any] = {
    "kind": "membership",
    "code": "301",
    "description": "Paying",
    "type": 3,
    "fee": "20.00",
    "invoicing_method": 1,
    "term_months": 12,
}
MEMBER = {"kind": "patron", "membership": "301", "membership_until": "2020-06-14"}
LIBRARY: list[dict[str, Any]] = [
    PAYING,
    *({**MEMBER, "id": f"P{number}", "name": "Ann"} for number in (1, 2, 3)),
    {"kind": "patron", "id": "P4", "name": "Bob", "membership": "301"},
]
DAY = "2020-06-15"
RENEWED = {
    "rule": "renewed",
    "from": "301",
    "to": "301",
    "until": "2021-06-14",
    "status": 2,
    "fee": "20.00",
    "notice": None,
}
STEPS = [{"patron": patron, **RENEWED} for patron in ("P1", "P2", "P3")]
SUMS = {"day": DAY, "patrons": 3, "fees": "60.00", "refunds": "0.00", "notices": 0}


@pytest.fixture
def site(tmp_path, monkeypatch):
    # However busy the machine is, all of it is done at once.
    monkeypatch.setattr(maintenance, "MAINTAINING_S", 1e6)
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


def maintain(site, role="admin", headers=None, cursor=None, **body):
    query = {} if cursor is None else {"cursor": cursor}
    return site.ask("POST", "/maintain", body, role=role, headers=headers, **query)


def debts(site):
    return [site.ask("GET", f"/patrons/P{number}").json["owed"] for number in (1, 2, 3)]


def sums(told):
    return {key: told[key] for key in SUMS}


def test_a_rehearsal_tells_the_steps_of_the_command_and_changes_nothing(site):
    told = maintain(site, at=DAY, dry_run=True).json
    assert told["steps"] == STEPS == site.listed("maintain", "--dry-run", "--at", DAY)
    assert (sums(told), told["dry_run"], told["next"]) == (SUMS, True, None)
    assert [one["what"] for one in told["forgotten"]] == [chore.key for chore in MAINTENANCE]
    assert debts(site) == ["0.00"] * 3
    assert site.audit()[0] == ("admin", "maintain", "", "", "rehearsed")


def test_what_is_due_is_done_and_a_second_time_nothing_is(site):
    told = maintain(site, at=DAY).json
    assert (told["steps"], sums(told), told["dry_run"]) == (STEPS, SUMS, False)
    assert debts(site) == ["20.00"] * 3
    again = maintain(site, at=DAY).json
    assert (again["steps"], sums(again)) == ([], {**SUMS, "patrons": 0, "fees": "0.00"})
    assert [row for row in site.audit() if row[1] == "maintain"] == [
        ("admin", "maintain", "", "", "done"),
        *(("admin", "maintain", "", f"P{number}", "done") for number in (1, 2, 3)),
        ("admin", "maintain", "", "", "done"),
    ]


@pytest.fixture
def clock(monkeypatch):
    """What the time is for each request, in one place."""
    moment = [datetime(2027, 3, 1, 9, tzinfo=UTC)]
    monkeypatch.setattr(Asked, "now", property(lambda _: moment[0]))
    return moment


def audit_forgotten(site, **body):
    told = {one["what"]: one for one in maintain(site, **body).json["forgotten"]}
    return told["audit_forgotten"]["before"], told["audit_forgotten"]["count"]


def test_what_may_no_longer_be_kept_is_forgotten_and_a_rehearsal_only_counts_it(site, clock):
    for _ in range(2):
        site.ask("GET", "/patrons/P1")
    clock[0] = datetime(2099, 1, 1, 9, tzinfo=UTC)
    counted, forgotten = (audit_forgotten(site, dry_run=dry) for dry in (True, False))
    before, number = counted
    assert (before, counted) == ("2097-01-01T10:00:00+01:00", forgotten)
    assert number >= 2
    assert {row[1] for row in site.audit()} == {"maintain"}, "only its own lines are new enough"


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("at", [DAY, "2029-03-02"])
def test_what_is_forgotten_goes_by_the_clock_and_not_by_at(site, clock, at, dry):
    """B83, B93: else a token could erase the audit log by a date, and its own line with it."""
    site.ask("GET", "/patrons/P1")
    looked = site.audit()
    clock[0] = datetime(2027, 3, 2, 9, tzinfo=UTC)
    assert audit_forgotten(site, at=at, dry_run=dry) == ("2025-03-02T10:00:00+01:00", 0)
    assert [row for row in site.audit() if row[1] != "maintain"] == looked != []


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2029-03-01T10:00", 200),
        ("2029-03-01T10:01", 422),
        ("2060-01-01", 422),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_at_is_two_years_ahead_at_most(site, clock, at, status, dry):
    """Whoever mistypes a year makes no fees for decades."""
    told = maintain(site, at=at, dry_run=dry)
    assert told.status == status
    if status == 422:
        problem = "more than two years ahead; only the command `maintain --at` goes further"
        assert told.json["detail"] == f"at: {problem}"
        assert told.json["problems"] == [{"where": "body.at", "problem": problem}]
        assert debts(site) == ["0.00"] * 3


def test_what_is_given_back_is_no_fee():
    """B63: the sums of a run keep the two apart, and count each patron once."""
    day = date(2020, 6, 15)
    steps = [
        Step("P1", day, Rule.RENEWED, "301", fee=2000),
        Step("P1", day, Rule.REFUNDED, "301", fee=-500),
        Step("P2", day, Rule.REFUNDED, "301", fee=-50, notice="CAO"),
        Step("P2", day, Rule.ENDED, "301"),
    ]
    assert sums_of(steps) == Sums(steps=4, patrons=2, fees=2000, refunds=550, notices=1)


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(("limit", "value"), [("STEPS_MAX", 2), ("MAINTAINING_S", 0.0)])
@pytest.mark.parametrize("bound", ["PATRONS_PER_BATCH", "STEPS_PER_BATCH"])
def test_what_takes_longer_than_a_request_is_done_in_portions(
    site, monkeypatch, bound, limit, value, dry
):
    monkeypatch.setattr(batches, bound, 2)
    monkeypatch.setattr(maintenance, limit, value)
    portions = [maintain(site, at=DAY, dry_run=dry).json]
    if not dry:
        assert debts(site) == ["20.00", "20.00", "0.00"]
    while portions[-1]["next"] is not None and len(portions) < 4:
        portions.append(maintain(site, at=DAY, dry_run=dry, cursor=portions[-1]["next"]).json)
    assert [step for portion in portions for step in portion["steps"]] == STEPS
    assert [portion["steps"] for portion in portions][:2] == [STEPS[:2], STEPS[2:]]
    assert [bool(portion["forgotten"]) for portion in portions] == [
        *[False] * (len(portions) - 1),
        True,
    ]
    assert debts(site) == ["0.00" if dry else "20.00"] * 3


def test_with_a_key_it_is_done_once(site):
    """B84: who asks again because the answer was lost gets it."""
    key = {"idempotency-key": "K"}
    first, second = (maintain(site, at=DAY, headers=key).json for _ in range(2))
    assert first == second
    assert first["steps"] == STEPS
    assert maintain(site, at=DAY, headers=key, cursor="WyJQMyJd").status == 422


def test_what_a_person_must_follow_up_has_a_message_before_anything_is_forgotten(site, monkeypatch):
    """B64: a rehearsal opens none."""
    asked = []

    async def follow_up(*_):
        asked.append("follow up")
        return 0

    async def forget(*_, **options):
        asked.append("count" if options["dry_run"] else "forget")
        return
        yield

    monkeypatch.setattr(maintenance, "follow_up", follow_up)
    monkeypatch.setattr(maintenance, "forget", forget)
    maintain(site, dry_run=True)
    maintain(site)
    assert asked == ["count", "follow up", "forget"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"at": "soon"}, "body.at"),
        ({"at": ""}, "body.at"),
        ({"dry_run": "yes"}, "body.dry_run"),
        ({"json": True}, "body.json"),
        ({"cursor": "%"}, "query.cursor"),
    ],
)
def test_what_it_cannot_read_it_does_not_guess(site, body, where):
    told = maintain(site, **body)
    assert (told.status, [one["where"] for one in told.json["problems"]]) == (422, [where])
    assert debts(site) == ["0.00"] * 3


@pytest.mark.parametrize("role", ["staff", "view", "self"])
@pytest.mark.parametrize("dry", [True, False])
def test_it_is_for_administrators(site, role, dry):
    assert maintain(site, role=role, dry_run=dry).status == 403
    assert site.audit() == []
