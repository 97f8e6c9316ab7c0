"""What nobody waits for any more is not begun; what has begun goes on (B84)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sip2gw.backend.library import Library
from sip2gw.backend.sqlite.store import Store
from sip2gw.backend.wish import GivenUpError, Wish, if_wished, insist_on_somebody, wished
from sip2gw.model import Block, BlockType
from sip2gw.model.rights import Act, Role

from .library import NOW, open_library

BLOCK = Block(BlockType.GENERAL, "by staff", None, "staff")


def test_what_is_given_up_never_begins() -> None:
    wish = Wish()
    wish.insist()
    assert wish.give_up()
    for _ in range(2):
        with pytest.raises(GivenUpError):
            wish.begin()
        with pytest.raises(GivenUpError):
            wish.insist()
    assert wish.give_up()


def test_what_has_begun_goes_on_to_its_end() -> None:
    wish = Wish()
    wish.begin()
    assert not wish.give_up()
    wish.begin()  # the next step of the same
    assert not wish.give_up()
    with pytest.raises(GivenUpError):
        wish.insist()


def test_who_never_gives_up_is_always_served() -> None:
    insist_on_somebody()
    assert if_wished(len)("abc") == 3


def test_a_job_belongs_to_who_has_ordered_it_wherever_it_runs() -> None:
    wish = Wish()
    with wished(wish):
        job = if_wished(len)
    assert job("abc") == 3
    assert not wish.give_up()
    with wished(other := Wish()):
        job = if_wished(len)
        insist_on_somebody()
        other.give_up()
        with pytest.raises(GivenUpError):
            insist_on_somebody()
    with pytest.raises(GivenUpError):
        job("abc")


async def imported(library: Library) -> None:
    with library.own_connection():
        pass


CHANGES: list[Callable[[Library], Coroutine[Any, Any, Any]]] = [
    lambda library: library.set_block("P1", BLOCK),
    lambda library: library.lift_blocks("P1", frozenset({"import"})),
    lambda library: library.accept_house_rules("P1", NOW.date()),
    lambda library: library.clear_guesses("1"),
    lambda library: library.revoke_token("x"),
    imported,
]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_begins_for_who_waits_and_for_nobody_else(
    library: Library, change: Callable[[Library], Coroutine[Any, Any, Any]]
) -> None:
    given_up, begun = Wish(), Wish()
    given_up.give_up()
    before = await library.find_patron("P1")
    with wished(given_up), pytest.raises(GivenUpError):
        await change(library)
    assert await library.find_patron("P1") == before
    with wished(begun):
        await change(library)
    assert not begun.give_up()


async def test_a_reading_and_its_line_in_the_log_are_no_change(library: Library) -> None:
    act = Act(NOW, "desk", Role.STAFF, "rest", "patron show", "", "P1")
    with wished(wish := Wish()):
        library.add_audit_entry(act, "done")
        await library.find_patron("P1")
        assert list(library.tokens()) == []
    assert wish.give_up()


async def test_what_waits_for_the_lock_is_not_done_later(store: Store, tmp_path: Path) -> None:
    """The request was answered with "nothing was done" meanwhile."""
    command = open_library(tmp_path, role="command")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with wished(wish := Wish()):
        waiting = asyncio.ensure_future(command.set_block("P1", BLOCK))
    await asyncio.sleep(0)
    assert wish.give_up()
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(GivenUpError):
        await waiting
    record = await store.find_patron("P1")
    assert record is not None
    assert BLOCK not in record.blocks
    await command.close()
