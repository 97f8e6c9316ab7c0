"""Spans of time in queries, as the commands read them (C34)."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Annotated

from fastapi import Query

from sip2gw.policy.moments import read_start
from sip2gw.web.api.problems import ProblemError

Since = Annotated[
    str | None,
    Query(max_length=40, description="From this time on: a date or a time, ISO 8601."),
]
Until = Annotated[
    str | None,
    Query(max_length=40, description="Up to this time; a date means the whole day."),
]
_DATE_CHARACTERS = len("YYYY-MM-DD")


def since_of(text: str | None, zone: tzinfo, name: str = "since") -> datetime | None:
    """The moment that `text` names; a date means its start.

    Raises:
        ProblemError: it is neither a date nor a time.
    """
    if text is None:
        return None
    try:
        return read_start(text, zone)
    except ValueError as error:
        problem = f"{name}: {error}"
        raise ProblemError(
            422, problem, problems=[{"where": f"query.{name}", "problem": str(error)}]
        ) from None


def until_of(text: str | None, zone: tzinfo, name: str = "until") -> datetime | None:
    """The first moment after the span that ends with `text`; a date means all of that day.

    Raises:
        ProblemError: it is neither a date nor a time.
    """
    moment = since_of(text, zone, name)
    if text is None or moment is None or len(text) != _DATE_CHARACTERS:
        return moment
    return moment + timedelta(days=1)
