"""Errors as problem details (RFC 9457): what is wrong and what to do, and nothing of our inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NotRequired

import msgspec
from starlette.responses import Response
from typing_extensions import TypedDict

CONTENT_TYPE = "application/problem+json"
REALM = 'Bearer realm="sip2gw"'


class FieldProblem(TypedDict):
    """What is wrong with one part of a request."""

    where: str
    problem: str


class Problem(TypedDict):
    """Why a request was not carried out."""

    type: str
    title: str
    status: int
    detail: str
    problems: NotRequired[list[FieldProblem]]


class ProblemError(Exception):
    """A request that is not carried out."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        problems: Sequence[FieldProblem] = (),
        kind: str = "",
    ) -> None:
        """`kind` tells it from others with this status."""
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.kind = kind or HTTPStatus(status).phrase.lower().replace(" ", "-")
        self.headers, self.problems = dict(headers or {}), problems


def problem_response(error: ProblemError) -> Response:
    """The answer to such a request."""
    body: dict[str, Any] = {
        "type": f"urn:sip2gw:problem:{error.kind}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
    }
    if error.problems:
        body["problems"] = list(error.problems)
    headers = {**error.headers, "cache-control": "no-store"}
    return Response(msgspec.json.encode(body), error.status, headers, CONTENT_TYPE)


def unauthorized(detail: str, error: str = "") -> ProblemError:
    """No token, or none that is good."""
    challenge = f'{REALM}, error="{error}"' if error else REALM
    return ProblemError(401, detail, headers={"www-authenticate": challenge})


def too_fast(seconds: float, why: str = "too many requests") -> ProblemError:
    """Too many of something; the next one is answered after so many seconds."""
    wait = str(max(1, round(seconds)))
    return ProblemError(429, f"{why}; try again in {wait} s", headers={"retry-after": wait})


def unavailable(detail: str) -> ProblemError:
    """What it needs does not answer just now."""
    return ProblemError(503, detail, headers={"retry-after": "1"})
