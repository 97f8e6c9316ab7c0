"""How a resource is declared: its path, the action that it is, its type; the rest follows.

From the action (`staff/actions.py`) follow the role that it takes, its line in the audit log, and
whether persons are left out for who may not see them. See CONTRIBUTING for an example.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, TypeAdapter
from starlette.responses import Response

from sip2gw.backend.wish import GivenUpError, insist_on_somebody
from sip2gw.policy.rights import includes
from sip2gw.staff.actions import ACTIONS, REST_ONLY, Action
from sip2gw.staff.audit import act_of, audited, outcome_of_looking
from sip2gw.staff.documents import without_persons
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.once import KEY_PARAMETER, Keyed, keyed, once
from sip2gw.web.api.problems import CONTENT_TYPE, ProblemError

PREFIX = "/api/v1"

Endpoint = Callable[..., Any]

_REFUSALS = {
    401: "no token, or none that is good here and now",
    403: "the token has another role",
    404: "there is no such thing",
    409: "it is not as it would have to be",
    412: "somebody has changed it in the meantime",
    413: "the body is too large",
    415: "the body is no JSON",
    422: "the request is not what is described here",
    429: "too many requests",
    500: "our own error; it is in the gateway's log",
    503: "the store or the gateway does not answer just now",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in _REFUSALS.items()
}


def _once_of(request: Request) -> Keyed | None:
    state = request.scope["state"]
    parts = (request.method, request.url.path, request.url.query)
    key = request.headers.get("idempotency-key")
    return keyed(state["caller"].token.name, key, *map(str.encode, parts), state["body"])


async def asking(request: Request) -> Asked:
    """What the request is answered with; made by the gate. It waits for nothing, so no thread."""
    state = request.scope["state"]
    return Asked(state["desk"], state["caller"], state["loop"], state["ask"], _once_of(request))


Asks = Annotated[Asked, Depends(asking)]


class Resources:
    """Some resources, under one heading of the description."""

    def __init__(self, heading: str) -> None:
        self.router = APIRouter(
            prefix=PREFIX, tags=[heading], generate_unique_id_function=lambda it: it.name
        )

    def get(self, path: str, words: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Declare a reading; see `_declare`."""
        return self._declare("GET", path, words, **options)

    def post(self, path: str, words: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Declare a change; see `_declare`."""
        return self._declare("POST", path, words, **options)

    def put(self, path: str, words: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Declare a change that may be repeated; see `_declare`."""
        return self._declare("PUT", path, words, **options)

    def patch(self, path: str, words: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Declare a change of some keys; see `_declare`."""
        return self._declare("PATCH", path, words, **options)

    def delete(self, path: str, words: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Declare a removal; see `_declare`."""
        return self._declare("DELETE", path, words, **options)

    def _declare(
        self,
        method: str,
        path: str,
        words: str,
        *,
        answers: Any = None,
        status: int = 200,
        is_once: bool = False,
        object: str = "",
    ) -> Callable[[Endpoint], Endpoint]:
        """Declare what answers `method` at `path`: a function that takes `asked` and parameters.

        Args:
            method: of HTTP.
            path: below `/api/v1`.
            words: the action, by the words of the command.
            answers: the type of the answer, if it is not the function's own.
            status: of an answer that is no refusal.
            is_once: whether an `Idempotency-Key` makes it happen once.
            object: the parameter with the object of the action, if it is called otherwise here.
        """
        action = ACTIONS[words]
        if object:
            action = action._replace(object=object)

        def declare(endpoint: Endpoint) -> Endpoint:
            kind = answers or get_type_hints(endpoint, include_extras=True)["return"]
            carried_out = _carried_out(endpoint, words, action, kind, is_once=is_once)
            self.router.add_api_route(
                path,
                _written(carried_out, kind, status) if _is_document(kind) else carried_out,
                methods=[method],
                status_code=status,
                **_answering(kind),
                dependencies=[Depends(_needs(action))],
                summary=inspect.cleandoc(endpoint.__doc__ or "").partition("\n")[0],
                description=inspect.cleandoc(endpoint.__doc__ or "")
                + f"\n\nRole: `{action.role}`.{_command(words)}",
                responses=RESPONSES,
                name=endpoint.__name__,
                openapi_extra={
                    "x-command": words,
                    "x-role": action.role.value,
                    **({"parameters": [KEY_PARAMETER]} if is_once else {}),
                },
            )
            return endpoint

        return declare


def _answering(kind: Any) -> dict[str, Any]:
    """How the description says what is answered: nothing, an answer made by hand, a document."""
    if _is_document(kind):
        return {"response_model": kind}
    if kind is type(None):
        return {"response_model": None}
    return {"response_model": None, "response_class": kind}


def _is_document(kind: Any) -> bool:
    return not (isinstance(kind, type) and issubclass(kind, type(None) | Response))


def _written(endpoint: Endpoint, kind: Any, status: int) -> Endpoint:
    """`endpoint`, whose document becomes JSON in the same thread: handing it to another one takes
    longer than that. It is still insisted that the document is what the description says."""
    document: TypeAdapter[Any] = TypeAdapter(kind)

    @wraps(endpoint)
    def write(**parameters: Any) -> Response:
        told = document.validate_python(endpoint(**parameters))
        answer = Response(document.dump_json(told), status, media_type="application/json")
        for given in parameters.values():
            if isinstance(given, Response):  # in which the endpoint has put an `ETag`
                answer.headers.update(given.headers)
        return answer

    return write


def _command(words: str) -> str:
    return "" if words in REST_ONLY else f" Command: `sip2gw {words}`."


def _needs(action: Action) -> Callable[[Asks], Awaitable[None]]:
    """Lets only those pass who may do `action`; before their parameters are looked at."""

    async def insist(asked: Asks) -> None:
        role = asked.caller.token.role
        if not includes(role, action.role):
            raise ProblemError(
                403, f"this needs a token with the role {action.role}; yours has {role}"
            )

    return insist


def _carried_out(
    endpoint: Endpoint, words: str, action: Action, kind: Any, *, is_once: bool
) -> Endpoint:
    """`endpoint` with what all have in common: the audit log, persons left out, once only."""

    @wraps(endpoint)
    def carry_out(**parameters: Any) -> Any:
        insist_on_somebody()
        asked: Asked = parameters["asked"]
        named = _named(parameters)
        if not asked.caller.sees_persons and named.get(action.patron):
            raise ProblemError(403, f"{action.patron} needs a token with the role staff")

        def do() -> Any:
            with _in_the_log(asked, words, action, named):
                return endpoint(**parameters)

        told = once(asked, do) if is_once else do()
        if action.shows_persons and not asked.caller.sees_persons:
            return without_persons(told, kind)
        return told

    return carry_out


def _named(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name, also those in the body."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        found |= dict(value) if isinstance(value, BaseModel) else {name: value}
    return found


def _in_the_log(asked: Asked, words: str, action: Action, named: Mapping[str, Any]) -> Any:
    """Writes the action down before it is done; who sees no persons reads nothing of them, and
    a dry run changes nothing."""
    reads_nothing = action.does == "reads" and not asked.caller.sees_persons
    if not action.is_audited or reads_nothing:
        return nullcontext()
    act = act_of(
        words,
        {**named, ACTIONS[words].object: named.get(action.object)},
        who=asked.caller.token.name,
        role=asked.caller.token.role,
        source="rest",
        now=asked.now,
        address=asked.caller.address,
    )
    if named.get("dry_run"):
        asked.store.add_audit_entry(act, outcome_of_looking(act))
        return nullcontext()
    return audited(asked.store, act, (ProblemError, GivenUpError))
