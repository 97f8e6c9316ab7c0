"""How long a text of the model may be, and how large its numbers."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

TEXT_CHARACTERS_MAX = 2_000
"""No text of a library is longer: an import takes it, so an export gives it."""

NAME_CHARACTERS_MAX = 64
"""The same for what identifies something."""

COUNT_MAX = 9_999
"""The same for what is counted: loans, renewals, days."""

THREE_DIGITS = r"^[0-9]{3}$"
"""The pattern of membership codes, and of media types in SIP2."""

Text: TypeAlias = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Age: TypeAlias = Annotated[int, Meta(ge=0, le=150)]
Months: TypeAlias = Annotated[int, Meta(ge=0, le=1200)]
