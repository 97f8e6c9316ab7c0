"""How requests name patrons and days, and what they say of them."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from fastapi import Path
from pydantic import BeforeValidator, Field

from sip2gw.model.values import TEXT_CHARACTERS_MAX

NUMBER_CHARACTERS_MAX = 100

PatronId = Annotated[
    str, Path(max_length=NUMBER_CHARACTERS_MAX, description="Patron: id or any card number.")
]
Number = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NUMBER_CHARACTERS_MAX,
        description="Patron: id or any card number.",
        examples=["P1001"],
    ),
]
Words = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)]
"""A text for staff."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _day(value: object) -> object:
    """Numbers and times are no days, whatever pydantic makes of them."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("write a day as YYYY-MM-DD")
    if isinstance(value, int | float):
        raise ValueError("write a day as a text, YYYY-MM-DD")
    return value


Day = Annotated[date, BeforeValidator(_day), Field(examples=["2027-12-31"])]
