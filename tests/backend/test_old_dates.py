"""Dates in a store that no zone can tell: what they belong to is answered all the same (C106)."""

from __future__ import annotations

import json

import pytest
from orders import decided_by

from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.policy.items.decisions import CirculationRequest
from sip2gw.policy.items.lending import decide_renewal
from sip2gw.staff.members.patrons import patron_json

from .library import NOW, ZONE, load, unguarded
from .test_circulation import RULES, lending, order, returning

EVER = "9999-12-31T23:59:59.000000+00:00"
NEVER = "0001-01-01T00:00:00.000000+00:00"


@pytest.fixture(params=[(NEVER, EVER), (EVER, NEVER)], ids=["for ever", "since ever"])
def odd(library: Library, request: pytest.FixtureRequest) -> Library:
    """The small library, with a loan, a hold and a fee of such dates."""
    first, last = request.param
    with unguarded(library) as connection:
        for statement in (
            f"UPDATE loan SET checked_out = '{first}', due = '{last}' WHERE item_id = 'I1'",
            f"UPDATE hold SET placed = '{first}', expires = '{last}' WHERE id = 'H1'",
            f"UPDATE fee SET created = '{first}' WHERE id = 'F1'",
        ):
            connection.execute(statement)
    library.distrust_cache()
    return library


async def test_patron_and_item_are_answered_and_shown(odd: Library) -> None:
    for item in ("I1", "I2"):
        record = await odd.find_item(item, NOW)
        assert record is not None
        loan, hold = record.state.loan, record.next_hold
        assert loan is None or loan.due.astimezone(ZONE)
        assert hold is None or hold.expires is None or hold.expires.astimezone(ZONE)
    patron = await odd.find_patron("P1")
    assert patron is not None
    told = patron_json(patron, "EUR", ZONE)
    assert [loan["item"] for loan in told["loans"]] == ["I1"]
    assert odd.self_check() == []


async def test_what_is_exported_is_imported_again(odd: Library) -> None:
    lines = list(export_lines(odd, currency="EUR"))
    (loan,) = (json.loads(line) for line in lines if b'"kind":"loan"' in line)
    assert {loan["due"][:4], loan["checked_out"][:4]} == {"1800", "8999"}
    assert load(odd, *map(json.loads, lines)).errors == ()


async def test_the_item_is_renewed_and_returned(odd: Library) -> None:
    request = CirculationRequest(NOW, "29")
    renewed = await odd.circulate(
        decided_by(order("29", "I1", "P1"), lambda facts: decide_renewal(facts, (), request, RULES))
    )
    assert renewed.done is not None
    returned = await odd.circulate(decided_by(order("09", "I1", None), returning()))
    assert returned.done is not None
    assert (await odd.circulate(decided_by(order("11", "I2", "P1"), lending()))).done is not None
