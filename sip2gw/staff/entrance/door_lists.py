"""The bar and pass lists of cards, in the store and in the file (C10, C11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from sip2gw.model import EVERY_BRANCH, DoorEntry
from sip2gw.staff.documents import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime

    from sip2gw.backend.library import Library
    from sip2gw.config import Config


Source = Literal["store", "file"]
"""Who keeps an entry: the store for all gateways, or the configuration file."""


class BarJson(TypedDict):
    """A card that is refused at the doors of a branch; `*` is every branch."""

    branch: str
    card: Person
    until: str | None
    note: Person
    source: Source


_Hours = TypedDict("_Hours", {"days": list[str], "from": str, "to": str})


class PassJson(BarJson, _Hours):
    """A card that may enter outside the opening hours."""


async def put_door_entry(
    store: Library, entry: DoorEntry, today: date, *, force: bool, alone: bool
) -> None:
    """Put a card on a list of the store, instead of its entry there if it has one.

    Args:
        store: the library.
        entry: which card, where, how long.
        today: the day at the entry's branch.
        force: put it there even if it has no effect for now.
        alone: whether a number that nobody in the store has counts by itself, because a library
            system knows whose it is.

    Raises:
        RefusedError: nobody can have the card, or the last day is past.
    """
    from sip2gw.backend.base import RefusedError

    if not force and entry.valid_until is not None and entry.valid_until < today:
        raise RefusedError(
            f"the {entry.kind} list was left as it was: the last day {entry.valid_until} is past;"
            " give a later --until, or add it all the same with --force"
        )
    if not (force or alone) and store.unknown_cards((entry.card,)):
        raise RefusedError(
            f"the {entry.kind} list was left as it was: nobody in the store has card {entry.card},"
            " so the entry would have no effect; check the number, or add it all the same with"
            " --force"
        )
    await store.put_door_entry(entry)


def knows_more(config: Config) -> bool:
    """Whether a library system has patrons whom the store need not know (B72)."""
    return config.backend.kind == "sip2"


async def remove_door_entry(store: Library, kind: str, branch: str, card: str) -> None:
    """Take a card off a list of the store.

    Raises:
        NotFoundError: the card is not on the list.
    """
    from sip2gw.backend.base import NotFoundError

    if not await store.remove_door_entry(kind, branch, card):
        raise NotFoundError(
            f"the store's {kind} list for {place_of(branch)} does not have card {card};"
            f" `door {kind} list` shows where it is"
        )


def place_of(branch: str) -> str:
    """Where an entry counts, in words."""
    return "every branch" if branch == EVERY_BRANCH else f"branch {branch}"


def today_at(config: Config, branch: str, now: datetime) -> date:
    """The day at a branch; for every branch, or one that is not configured, the library's."""
    known = config.branches.get(branch)
    return now.astimezone(config.zone if known is None else known.zone).date()


def bars(store: Library, config: Config, branch: str | None) -> Iterator[BarJson]:
    """The bar list: first the store's entries, then the file's."""
    return (bar_json(*one) for one in _entries(store, config, "bar", branch))


def passes(store: Library, config: Config, branch: str | None) -> Iterator[PassJson]:
    """The pass list: first the store's entries, then the file's."""
    return (pass_json(*one) for one in _entries(store, config, "pass", branch))


def _entries(
    store: Library, config: Config, kind: str, branch: str | None
) -> Iterator[tuple[DoorEntry, Source]]:
    for entry in store.door_entries(kind, branch):
        yield entry, "store"
    for entry in _in_file(config, kind):
        if branch in (None, entry.branch):
            yield entry, "file"


def _in_file(config: Config, kind: str) -> Iterator[DoorEntry]:
    for code, place in config.branches.items():
        if kind == "bar":
            for bar in place.bar:
                yield DoorEntry("bar", code, bar.card, bar.until)
        else:
            for it in place.passes:
                hours = it.start_minute, it.end_minute
                yield DoorEntry("pass", code, it.card, it.until, it.weekdays, *hours)


def bar_json(entry: DoorEntry, source: Source) -> BarJson:
    """An entry with its keys as in the configuration, and its source."""
    return {
        "branch": entry.branch,
        "card": entry.card,
        "until": None if entry.valid_until is None else entry.valid_until.isoformat(),
        "note": entry.note,
        "source": source,
    }


def pass_json(entry: DoorEntry, source: Source) -> PassJson:
    """The same with days and hours."""
    from sip2gw.config.types import WEEKDAYS

    return {
        **bar_json(entry, source),
        "days": [WEEKDAYS[day] for day in sorted(entry.weekdays)],
        "from": _clock(entry.start_minute),
        "to": _clock(entry.end_minute),
    }


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
