"""Lists in pages: `limit` entries, and a `cursor` for those that follow."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from typing_extensions import TypedDict

from sip2gw.web.api.problems import ProblemError

T = TypeVar("T")
S = TypeVar("S")
Key = tuple[str, ...]

LIMIT_MAX = 1_000

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Entries of a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=1_000, description="`next` of the page before; leave it out for the first."),
]


class Page(TypedDict, Generic[T]):
    """Some entries of a list, in its order."""

    items: list[T]
    next: str | None
    """The `cursor` of the next page; null: this is the last one."""


def page_of(kind: Any) -> Any:
    """The type of a page of documents whose type is made while the program runs."""
    return Page[kind]


def page(
    entries: Iterable[S],
    limit: int,
    cursor: str | None,
    *,
    key: Callable[[S], Key],
    told: Callable[[S], T],
) -> Page[T]:
    """A page of `entries`, which come in the order of their `key`; each is told once."""
    after = key_of(cursor)
    rest: Iterator[S] = (one for one in entries if after is None or key(one) > after)
    shown = list(islice(rest, limit + 1))
    more = len(shown) > limit
    shown = shown[:limit]
    return {"items": list(map(told, shown)), "next": cursor_of(key(shown[-1])) if more else None}


def cursor_of(key: Key) -> str:
    """The cursor of the page after the entry with this key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def key_of(cursor: str | None) -> Key | None:
    """The key of the last entry that was shown.

    Raises:
        ProblemError: it is no cursor of ours.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return tuple(
            msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=list[str])
        )
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise no_cursor() from None


def time_key(time: datetime, entry_id: str) -> Key:
    """The key of an entry in a list by time and id."""
    return time.astimezone(UTC).isoformat(timespec="microseconds"), entry_id


def place_of(cursor: str | None) -> tuple[datetime, str] | None:
    """Time and id of the last entry that was shown of such a list.

    Raises:
        ProblemError: it is no cursor of ours.
    """
    key = key_of(cursor)
    if key is None:
        return None
    try:
        time, entry_id = key
        place = datetime.fromisoformat(time).astimezone(UTC), entry_id
    except (ValueError, OverflowError):
        raise no_cursor() from None
    if not entry_id.isprintable():  # no database would look for a NUL
        raise no_cursor()
    return place


def no_cursor() -> ProblemError:
    """That a cursor is none of ours."""
    detail = "the cursor is none of ours; leave it out to begin again"
    return ProblemError(422, detail, problems=[{"where": "query.cursor", "problem": detail}])
