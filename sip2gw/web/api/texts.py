"""What a request is made of: text that every store can keep."""

from __future__ import annotations

import msgspec

from sip2gw.web.api.problems import ProblemError

_NUL_IN_JSON = b"\\u0000"


def insist_on_text(path: str, query: bytes, body: bytes) -> None:
    """Go on only if the parts of a request have no NUL, and its body is JSON, in UTF-8.

    A database keeps no NUL and no half of a character, so neither must come so far.

    Raises:
        ProblemError: they have, or it is not.
    """
    if "\0" in path or b"%00" in query:
        raise ProblemError(422, "a path and a query have no NUL")
    if not body:
        return
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProblemError(422, "the body is no JSON in UTF-8, or nests too deeply") from None
    if _NUL_IN_JSON in body:
        raise ProblemError(422, "texts in a body have no NUL")
