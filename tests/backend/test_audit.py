"""Tokens, the audit log, and answers to repeat, in both stores (B83, B84)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from orders import decided_by

from sip2gw.backend.base import BackendError, NotFoundError, RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.staff.answered import Answered
from sip2gw.backend.touched import note_object
from sip2gw.model.rights import Act, Role, Token
from sip2gw.staff.audit import audited
from sip2gw.staff.forgetting import MAINTENANCE

from .library import NOW, ZONE, order, pay_fee

DAY = timedelta(days=1)
READING = Act(NOW, "desk", Role.STAFF, "rest", "patron show", patron="C1", address="10.0.0.9")
CHANGE = Act(NOW, "ann", Role.ADMIN, "command", "payment undo", object="Y1")


def log(library: Library, **wanted: Any) -> list[tuple[str, str, str, str]]:
    return [
        (one.act.who, one.act.action, one.act.patron, one.outcome)
        for one in library.audit_entries(**wanted)
    ]


# The audit log


async def test_a_reading_is_written_down_under_the_patrons_id_before_it_begins(
    library: Library,
) -> None:
    with audited(library, READING):
        (entry,) = library.audit_entries()
    assert (entry.act, entry.outcome) == (replace(READING, patron="P1"), "done")


async def test_a_number_that_nobody_has_is_not_kept(library: Library) -> None:
    """Somebody may have typed a PIN in its place."""
    with audited(library, replace(READING, patron="1234")):
        pass
    assert log(library) == [("desk", "patron show", "", "done")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RefusedError("no"), "refused"),
        (NotFoundError("where?"), "refused"),
        (KeyError(1), "failed"),
    ],
)
async def test_a_change_says_what_became_of_it(
    library: Library, error: Exception, outcome: str
) -> None:
    def fail() -> None:
        assert log(library) == [("ann", "payment undo", "", "begun")]
        raise error

    with pytest.raises(type(error)), audited(library, CHANGE):
        fail()
    assert log(library) == [("ann", "payment undo", "", outcome)]


@pytest.mark.parametrize("error", [RefusedError("no"), KeyError(1)])
async def test_what_a_change_says_of_itself_is_kept_even_if_it_ends_badly(
    library: Library, error: Exception
) -> None:
    def fail() -> None:
        note_object("Y2")
        raise error

    with pytest.raises(type(error)), audited(library, CHANGE):
        fail()
    assert [one.act.object for one in library.audit_entries()] == ["Y2"]


async def test_what_is_killed_under_way_has_no_known_end(library: Library) -> None:
    with pytest.raises(KeyboardInterrupt), audited(library, CHANGE):
        raise KeyboardInterrupt
    assert log(library) == [("ann", "payment undo", "", "begun")]


async def test_every_patron_whom_a_change_touches_has_a_line(library: Library) -> None:
    paid = await library.book_payment(decided_by(order(), pay_fee("F1")))
    assert paid.payment is not None
    with audited(library, replace(CHANGE, object=paid.payment.id)):
        await library.undo_payment(paid.payment.id, NOW, ZONE)
    assert log(library) == [
        ("ann", "payment undo", "", "done"),
        ("ann", "payment undo", paid.payment.payer_id, "done"),
    ]
    assert {one.act.object for one in library.audit_entries()} == {paid.payment.id}


async def test_a_patron_who_was_named_is_not_listed_twice(library: Library) -> None:
    act = replace(CHANGE, action="patron set-pin", patron="C1")
    with audited(library, act):
        assert await library.set_pin_hash("P1", "x")
    assert log(library) == [("ann", "patron set-pin", "P1", "done")]


async def test_nothing_is_done_that_cannot_be_written_down(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> str:
        raise BackendError("the disk is full")

    monkeypatch.setattr(library, "add_audit_entry", fail)
    with pytest.raises(BackendError, match="disk is full"), audited(library, READING):
        pytest.fail("it was shown")


async def test_the_log_is_listed_by_who_whom_and_when(library: Library) -> None:
    for act in (READING, replace(CHANGE, time=NOW + DAY), replace(READING, time=NOW + 2 * DAY)):
        library.add_audit_entry(act, "done")
    assert [one.act.time for one in library.audit_entries(who="desk")] == [NOW, NOW + 2 * DAY]
    assert len(log(library, patron="OLD1")) == 2  # another card of P1
    assert log(library, patron="P2") == []
    assert log(library, since=NOW + DAY, until=NOW + 2 * DAY) == [
        ("ann", "payment undo", "", "done")
    ]


async def test_b93_the_log_is_forgotten_in_time(library: Library) -> None:
    for days in (0, 1):
        library.add_audit_entry(replace(READING, time=NOW + days * DAY), "done")
    (chore,) = [one for one in MAINTENANCE if one.key == "audit_forgotten"]
    assert chore.count(library, NOW + DAY) == await chore.do(library, NOW + DAY) == 1
    assert [one.act.time for one in library.audit_entries()] == [NOW + DAY]
    assert chore.count(library, NOW + DAY) == 0


# Tokens

TOKEN = Token("web", Role.STAFF, NOW, NOW + DAY, ("10.0.0.0/8", "::1/128"))


async def test_a_token_is_known_by_its_digest(library: Library) -> None:
    await library.add_token(TOKEN, "digest")
    assert library.token_of("digest") == TOKEN
    assert library.token_of("Digest") is None
    assert list(library.tokens()) == [TOKEN]


async def test_a_name_is_taken_until_it_is_revoked(library: Library) -> None:
    await library.add_token(TOKEN, "digest")
    with pytest.raises(RefusedError, match="there is a token web already"):
        await library.add_token(replace(TOKEN, role=Role.ADMIN), "other")
    assert library.token_of("other") is None
    assert await library.revoke_token("web")
    assert library.token_of("digest") is None
    assert not await library.revoke_token("web")
    await library.add_token(replace(TOKEN, expires=None, networks=()), "other")


async def test_when_a_token_was_used_is_known_to_the_minute(library: Library) -> None:
    await library.add_token(TOKEN, "digest")
    used = [0, 59, 60, 61]
    known = []
    for seconds in used:
        library.note_token_used("web", NOW + timedelta(seconds=seconds))
        found = library.token_of("digest")
        assert found is not None
        assert found.last_used is not None
        known.append((found.last_used - NOW).total_seconds())
    assert known == [0, 0, 0, 61]


# Answers to repeat


async def test_a_key_is_taken_once(library: Library) -> None:
    assert library.claim_answer("web", "K", "request", NOW) is None
    assert library.claim_answer("web", "K", "request", NOW) == Answered("request", None, "")
    assert library.claim_answer("till", "K", "request", NOW) is None
    library.put_answer("web", "K", 200, "{}")
    assert library.claim_answer("web", "K", "another", NOW) == Answered("request", 200, "{}")


async def test_only_what_has_not_ended_can_be_given_back(library: Library) -> None:
    library.claim_answer("web", "K", "request", NOW)
    library.release_answer("web", "K")
    assert library.claim_answer("web", "K", "request", NOW) is None
    library.put_answer("web", "K", 200, "{}")
    library.release_answer("web", "K")
    assert library.claim_answer("web", "K", "request", NOW) == Answered("request", 200, "{}")


async def test_answers_are_forgotten_after_a_day(library: Library) -> None:
    library.claim_answer("web", "K", "request", NOW)
    (chore,) = [one for one in MAINTENANCE if one.key == "answers_forgotten"]
    assert await chore.do(library, NOW + DAY) == 0
    late = NOW + DAY + timedelta(microseconds=1)
    assert chore.count(library, late) == await chore.do(library, late) == 1
