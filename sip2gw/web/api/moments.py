"""Spans of time in requests, as the commands read them (C34, B84)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, tzinfo
from typing import Annotated

from fastapi import Query

from sip2gw.policy import moments
from sip2gw.web.api.problems import ProblemError

Since = Annotated[
    str | None,
    Query(
        max_length=40,
        description="From this time on: a date, a time (ISO 8601), `today` or `yesterday`.",
    ),
]
Until = Annotated[
    str | None,
    Query(
        max_length=40,
        description="Up to this time; a date, `today` and `yesterday` mean the whole day.",
    ),
]


def since_of(text: str | None, zone: tzinfo, where: str = "query.since") -> datetime | None:
    """The moment that `text` names; a date, `today` or `yesterday` means its start.

    Args:
        text: None if it was not sent.
        zone: the library's.
        where: the place of `text` in the request.

    Raises:
        ProblemError: it is neither a day nor a time.
    """
    return _read(moments.read_since, text, zone, where)


def until_of(text: str | None, zone: tzinfo, where: str = "query.until") -> datetime | None:
    """The first moment after the span that ends with `text`; a day means all of it.

    Args:
        text: None if it was not sent.
        zone: the library's.
        where: the place of `text` in the request.

    Raises:
        ProblemError: it is neither a day nor a time.
    """
    return _read(moments.read_until, text, zone, where)


def _read(
    read: Callable[[str, tzinfo, date], datetime], text: str | None, zone: tzinfo, where: str
) -> datetime | None:
    if text is None:
        return None
    try:
        return read(text, zone, datetime.now(zone).date())
    except ValueError as error:
        problem = str(error)
        name = where.rpartition(".")[2]
        raise ProblemError(
            422, f"{name}: {problem}", problems=[{"where": where, "problem": problem}]
        ) from None
