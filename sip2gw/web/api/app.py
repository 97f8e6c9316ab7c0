"""The application behind the gate: all resources, their description, and how errors are told."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import chain, groupby
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from sip2gw import __version__
from sip2gw.backend.base import BackendError, ChangedError, NotFoundError, RefusedError
from sip2gw.web.api.problems import (
    FieldProblem,
    Problem,
    ProblemError,
    problem_response,
    unavailable,
)
from sip2gw.web.api.resource import PREFIX
from sip2gw.web.api.resources import (
    audit,
    bookkeeping,
    explaining,
    gateway,
    notices,
    payments,
    streams,
    terminals,
    tokens,
)
from sip2gw.web.api.resources.desk import reviews, support, support_tables
from sip2gw.web.api.resources.entrance import branches, door_lists, doors
from sip2gw.web.api.resources.members import (
    badges,
    maintenance,
    memberships,
    patrons,
    relationships,
    self_service,
)

_ALL = (
    # The first path that fits counts: `/payments/{payment_id}` comes after its siblings.
    *(tokens, audit, streams, terminals, gateway),
    *(bookkeeping, payments),
    *(doors, door_lists, branches, reviews, explaining),
    *(patrons, badges, relationships, memberships, maintenance),
    *(support, support_tables, notices, self_service),
)

_OURS = "Value error, "
"""What pydantic writes before a sentence of ours."""

_ABOUT = """What the commands of sip2gw do, for programs. Every request needs a token in
`Authorization: Bearer TOKEN`; `sip2gw token add` makes one. Roles: `admin` may do what `staff` may,
`staff` what `view` may; `self` stands apart. Errors are problem details (RFC 9457)."""


@cache
def application() -> FastAPI:
    """The one of this process: it keeps nothing from one request to the next."""
    app = _with(chain.from_iterable(module.resources.router.routes for module in _ALL))
    app.add_api_route(
        f"{PREFIX}/openapi.json", lambda: description(app), include_in_schema=False, name="openapi"
    )
    return app


class Parted:
    """The same, but a request is compared only with the paths that begin like its own. To compare
    it with all hundred takes longer than most answers."""

    def __init__(self) -> None:
        routes = sorted(application().routes, key=_beginning)
        self._parts = {beginning: _with(some) for beginning, some in groupby(routes, _beginning)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or say that there is nothing at its path."""
        app = self._parts.get(_first_part(scope["path"])) or application()
        await app(scope, receive, send)


def _beginning(route: BaseRoute) -> str:
    assert isinstance(route, Route)
    return _first_part(route.path)


def _first_part(path: str) -> str:
    return path.removeprefix(f"{PREFIX}/").partition("/")[0]


def _with(routes: Iterable[BaseRoute]) -> FastAPI:
    """An application with these routes."""
    app = FastAPI(
        title="sip2gw",
        version=__version__,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.routes.extend(routes)
    for kind, tell in (
        (ProblemError, _told),
        (RequestValidationError, _invalid),
        (HTTPException, _http),
        (NotFoundError, _not_found),
        (ChangedError, _changed),
        (RefusedError, _refused),
        (BackendError, _store_failed),
        (Exception, _failed),
    ):
        app.add_exception_handler(kind, tell)
    return app


def description(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description of all resources."""
    if app.openapi_schema is None:
        made = app.openapi()
        components = made.setdefault("components", {})
        schema = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
        components.setdefault("schemas", {}).update(schema.pop("$defs", {}), Problem=schema)
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        app.openapi_schema = made
    return app.openapi_schema


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error)


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong where; never what was sent: it may be a PIN."""
    assert isinstance(error, RequestValidationError)
    problems: list[FieldProblem] = [
        {"where": ".".join(map(str, one["loc"])), "problem": one["msg"].removeprefix(_OURS)}
        for one in error.errors()
    ]
    detail = "the request is not what the description says"
    return problem_response(ProblemError(422, detail, problems=problems))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: "there is nothing at this path; see /api/v1/openapi.json",
        405: "this path has other methods; see /api/v1/openapi.json",
        400: "the body cannot be read",
    }.get(error.status_code, "the request cannot be answered")
    return problem_response(ProblemError(error.status_code, detail, headers=error.headers))


async def _not_found(request: Request, error: Exception) -> Response:
    return problem_response(ProblemError(404, str(error)))


async def _changed(request: Request, error: Exception) -> Response:
    return problem_response(ProblemError(412, str(error)))


async def _refused(request: Request, error: Exception) -> Response:
    return problem_response(ProblemError(409, str(error)))


async def _store_failed(request: Request, error: Exception) -> Response:
    return problem_response(unavailable("the store does not answer; look in the gateway's log"))


async def _failed(request: Request, error: Exception) -> Response:
    detail = "an error of our own; the reason is in the gateway's log"
    return problem_response(ProblemError(500, detail))
