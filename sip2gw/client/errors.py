"""What a request was refused with: problem details (RFC 9457) as errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RestError(Exception):
    """A request that was not carried out; its text says why.

    Args:
        status: of HTTP; 0: nothing was answered.
        detail: why, for people.
        problems: what is wrong where in the request.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        problems: Sequence[Mapping[str, str]] = (),
        wait_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.problems = status, detail, list(problems)
        self.wait_s = wait_s
        """After so many seconds it is worth trying again, if that was said."""


class UnauthorizedError(RestError):
    """The token is not good here and now."""


class ForbiddenError(RestError):
    """The token has another role."""


class MissingError(RestError):
    """There is no such thing."""


class ConflictError(RestError):
    """It is not as it would have to be, such as undone already, or the rules forbid it."""


class ChangedError(RestError):
    """Somebody has changed it since it was read."""


class InvalidError(RestError):
    """The request is not what the description says."""


class TooFastError(RestError):
    """Too many requests, or too many wrong guesses."""


class UnavailableError(RestError):
    """The gateway or its store does not answer just now. Nothing was done, unless the text says
    that it may be, or `status` is 0: then nobody knows."""


_KINDS: Mapping[int, type[RestError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: MissingError,
    409: ConflictError,
    412: ChangedError,
    422: InvalidError,
    429: TooFastError,
    503: UnavailableError,
}


def error_of(status: int, headers: Mapping[str, str], body: Any) -> RestError:
    """The error that an answer tells of; `headers` have names in lower case."""
    told = body if isinstance(body, dict) else {}
    wait = headers.get("retry-after", "")
    return _KINDS.get(status, RestError)(
        status,
        str(told.get("detail", f"the answer has the status {status}")),
        told.get("problems", ()),
        float(wait) if wait.isascii() and wait.isdecimal() else None,
    )
