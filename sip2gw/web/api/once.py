"""What must happen once: the first answer to an `Idempotency-Key` is given again (B84)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from sip2gw.backend.base import RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.wish import GivenUpError
from sip2gw.web.api.problems import ProblemError

KEY_CHARACTERS_MAX = 100
KEY_PARAMETER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text of your own. A request that is repeated with it within a day gets the"
    " first answer again, and nothing happens twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX},
}


class Keyed(Struct, frozen=True):
    """A request with a key."""

    token: str
    key: str
    digest: str
    """Of the whole request: another one must not take the key."""


class Asking(Protocol):
    """Whoever asks."""

    store: Library
    keyed: Keyed | None

    @property
    def now(self) -> datetime:
        """The moment."""


def keyed(token: str, key: str | None, *request: bytes) -> Keyed | None:
    """The key of a request; None if it has none.

    Raises:
        ProblemError: it cannot be one.
    """
    if key is None:
        return None
    if not 0 < len(key) <= KEY_CHARACTERS_MAX or not key.isprintable():
        raise ProblemError(422, f"an Idempotency-Key has 1 to {KEY_CHARACTERS_MAX} characters")
    return Keyed(token, key, hashlib.sha256(b"\0".join(request)).hexdigest())


def once(asked: Asking, work: Callable[[], Any]) -> Any:
    """The result of `work`, or that of the first request with this key.

    What was refused, or not begun, may be tried again with the same key. What ended in an error
    that nobody expected is not done again: nobody knows whether it was done.

    Raises:
        ProblemError: the key is that of another request, or of one that has not ended.
    """
    one = asked.keyed
    if one is None:
        return work()
    store, name = asked.store, (one.token, one.key)
    known = store.claim_answer(*name, one.digest, asked.now)
    if known is None:
        try:
            told = work()
        except (RefusedError, ProblemError, GivenUpError):
            store.release_answer(*name)
            raise
        store.put_answer(*name, 200, msgspec.json.encode(told).decode())
        return told
    if known.request != one.digest:
        raise ProblemError(422, "this Idempotency-Key is that of another request; take a new one")
    if known.status is None:
        raise ProblemError(
            409, "a request with this Idempotency-Key has not ended; look what became of it"
        )
    return msgspec.json.decode(known.body)
