"""Two who edit the same: an `ETag` says what was seen, and `If-Match` insists on it (C176)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from fastapi import Header, Response

from sip2gw.web.api.problems import ProblemError

IfMatch = Annotated[
    str | None,
    Header(
        max_length=200,
        description="The `ETag` of what you saw; 412 if it is another now.",
    ),
]


def etag_of(document: Any) -> str:
    """What tells this version of `document` from all others."""
    return f'"{hashlib.sha256(msgspec.json.encode(document)).hexdigest()[:32]}"'


def show_etag(response: Response, document: Any) -> None:
    """Send the `ETag` of `document`."""
    response.headers["etag"] = etag_of(document)


def insist_on(if_match: str | None, document: Any) -> None:
    """Go on only if `document` is still what the client saw.

    Raises:
        ProblemError: somebody has changed it.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if etag_of(document) not in {one.strip() for one in if_match.split(",")}:
        raise ProblemError(412, "somebody has changed it in the meantime; read it again")
