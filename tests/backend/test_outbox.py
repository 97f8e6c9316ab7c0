"""Notices to patrons, on both databases (B63, C162)."""

from __future__ import annotations

import pytest

from sip2gw.backend.database import WriteResult
from sip2gw.backend.library import Library
from sip2gw.backend.sql import outbox
from sip2gw.model.notices import Notice

from .library import NOW

ENDS = Notice("CAE", "P1", "2026-12-31", {"until": "2026-12-31", "membership": "Adults"})


async def put(library: Library, *notices: Notice) -> int:
    """Put `notices` into the outbox; how many are new."""
    return await library.write(lambda connection: WriteResult(outbox.put(connection, notices, NOW)))


async def test_a_notice_is_put_once_for_its_kind_patron_and_cause(library: Library) -> None:
    others = (
        Notice("CAT", "P1", ENDS.cause, ENDS.values),
        Notice("CAE", "P2", ENDS.cause, ENDS.values),
        Notice("CAE", "P1", "2027-12-31", ENDS.values),
    )
    assert await put(library, ENDS, ENDS) == 1
    assert await put(library, ENDS, *others) == 3
    assert await put(library, ENDS, *others) == 0


@pytest.mark.parametrize(
    ("kind", "values", "problem"),
    [
        ("CAX", {}, "no notice of kind 'CAX'"),
        ("LIMIT", {"owed": "500"}, "LIMIT says owed, limit"),
        ("LIMIT", {"owed": "500", "limit": "400", "pin": "1234"}, "LIMIT says owed, limit"),
    ],
)
def test_kinds_and_values_are_closed_lists(kind: str, values: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Notice(kind, "P1", "", values)
