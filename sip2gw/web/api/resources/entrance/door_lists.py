"""`/door/bars` and `/door/passes`: the lists that the store keeps for all gateways (C10, C11)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from sip2gw.config.tables.branches import ALL_DAYS
from sip2gw.config.types import EndText, StartText, Weekdays, parse_minute, weekday_numbers
from sip2gw.model import EVERY_BRANCH, DoorEntry
from sip2gw.staff.entrance import door_lists
from sip2gw.staff.entrance.door_lists import (
    BarJson,
    PassJson,
    knows_more,
    put_door_entry,
    remove_door_entry,
    today_at,
)
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.editing import etag_of
from sip2gw.web.api.naming import NUMBER_CHARACTERS_MAX, Day, Words
from sip2gw.web.api.paging import Cursor, Key, Limit, Page, page
from sip2gw.web.api.resource import Asks, Resources
from sip2gw.web.api.resources.entrance.branches import branch_of

resources = Resources("door lists")

Entry = TypeVar("Entry", BarJson, PassJson)

BRANCH_CHARACTERS_MAX = 100

Card = Annotated[str, Path(max_length=NUMBER_CHARACTERS_MAX, description="Card number.")]
OnlyBranch = Annotated[
    str | None,
    Query(
        max_length=BRANCH_CHARACTERS_MAX,
        description="Only what is said of this branch; `*`: of every branch.",
    ),
]
ItsBranch = Annotated[
    str | None,
    Query(max_length=BRANCH_CHARACTERS_MAX, description="Branch; left out or `*`: every branch."),
]


class NewBar(BaseModel):
    """A card that is to be refused."""

    model_config = ConfigDict(extra="forbid")

    card: Annotated[
        str,
        Field(
            pattern=r"\S",
            max_length=NUMBER_CHARACTERS_MAX,
            description="Card number.",
            examples=["20001014"],
        ),
    ]
    branch: Annotated[
        str | None,
        Field(max_length=BRANCH_CHARACTERS_MAX, description="Branch; null or `*`: every branch."),
    ] = None
    until: Annotated[Day | None, Field(description="Last day; null: no end.")] = None
    note: Annotated[Words, Field(description="For staff; never sent to a terminal.")] = ""
    force: Annotated[
        bool, Field(description="Add it even if nobody has the card, or the last day is past.")
    ] = False


class NewPass(NewBar):
    """A card that is to get in outside the opening hours."""

    days: Annotated[
        Weekdays, Field(description="Days on which the pass is valid.", examples=[["mon", "tue"]])
    ] = ALL_DAYS
    start: Annotated[
        StartText,
        Field(alias="from", description="Start of its hours, HH:MM.", examples=["05:00"]),
    ] = "00:00"
    end: Annotated[
        EndText,
        Field(
            alias="to",
            description="End, HH:MM; at or before `from` it means the next day.",
            examples=["07:00"],
        ),
    ] = "24:00"


# The lists --------------------------------------------------------------------------------------


@resources.get("/door/bars", "door bar list")
def list_bars(
    asked: Asks, branch: OnlyBranch = None, limit: Limit = 100, cursor: Cursor = None
) -> Page[BarJson]:
    """List the refused cards: first those in the store, then those in the configuration file."""
    found = door_lists.bars(asked.store, asked.config, branch)
    return _listed(asked, branch, found, limit, cursor)


@resources.get("/door/passes", "door pass list")
def list_passes(
    asked: Asks, branch: OnlyBranch = None, limit: Limit = 100, cursor: Cursor = None
) -> Page[PassJson]:
    """List the cards with a pass: first those in the store, then those in the configuration file.

    A pass counts outside the opening hours, and changes nothing else.
    """
    found = door_lists.passes(asked.store, asked.config, branch)
    return _listed(asked, branch, found, limit, cursor)


def _listed(
    asked: Asked, branch: str | None, found: Iterator[Entry], limit: int, cursor: str | None
) -> Page[Entry]:
    """A page by source, branch and card.

    Raises:
        ProblemError: there is no such branch, and no entry that names it.
    """
    entries = sorted(found, key=_key)
    if not entries and branch is not None:
        _known(asked, branch)
    return page(entries, limit, cursor, key=_key, told=lambda one: one)


def _key(one: BarJson) -> Key:
    """What tells an entry from all others: the file may have several of one card."""
    source = "" if one["source"] == "store" else "file"
    return source, one["branch"], one["card"] or "", etag_of(one)


# What staff change ------------------------------------------------------------------------------


@resources.post("/door/bars", "door bar add", status=201)
def add_bar(asked: Asks, new: NewBar) -> BarJson:
    """Refuse a card, and all other cards of its holder, from the next card at a door on.

    This replaces the card's entry for this branch. 409 says why an entry would have no effect.
    """
    entry = DoorEntry("bar", _known(asked, new.branch), new.card, new.until, note=new.note)
    _put(asked, entry, force=new.force)
    return door_lists.bar_json(entry, "store")


@resources.post("/door/passes", "door pass add", status=201)
def add_pass(asked: Asks, new: NewPass) -> PassJson:
    """Let a card in outside the opening hours, from the next card at a door on.

    This replaces the card's entry for this branch. 409 says why an entry would have no effect.
    """
    entry = DoorEntry(
        "pass",
        _known(asked, new.branch),
        new.card,
        new.until,
        weekday_numbers(new.days),
        parse_minute(new.start),
        parse_minute(new.end),
        new.note,
    )
    _put(asked, entry, force=new.force)
    return door_lists.pass_json(entry, "store")


def _known(asked: Asked, branch: str | None) -> str:
    """The store's word for a branch that is configured, or for every branch.

    Raises:
        ProblemError: no branch has this code.
    """
    code = _word_of(branch)
    return code if code == EVERY_BRANCH else branch_of(asked, code).code


def _word_of(branch: str | None) -> str:
    return EVERY_BRANCH if branch is None else branch


def _put(asked: Asked, entry: DoorEntry, *, force: bool) -> None:
    today = today_at(asked.config, entry.branch, asked.now)
    alone = knows_more(asked.config)
    asked.run(put_door_entry(asked.store, entry, today, force=force, alone=alone))


@resources.delete("/door/bars/{card}", "door bar remove", status=204)
def remove_bar(asked: Asks, card: Card, branch: ItsBranch = None) -> None:
    """Take a card off the store's bar list for a branch, or off the list for every branch."""
    asked.run(remove_door_entry(asked.store, "bar", _word_of(branch), card))


@resources.delete("/door/passes/{card}", "door pass remove", status=204)
def remove_pass(asked: Asks, card: Card, branch: ItsBranch = None) -> None:
    """Take a card off the store's pass list for a branch, or off the list for every branch."""
    asked.run(remove_door_entry(asked.store, "pass", _word_of(branch), card))
