"""`/terminals`: the terminals of the running gateway, as they are now (B86)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path, Query
from typing_extensions import TypedDict

from sip2gw.control.messages import (
    Kick,
    Kicked,
    ListTerminals,
    Terminals,
    TerminalState,
    Trace,
    TraceBegan,
    TraceEnded,
    TraceEvent,
)
from sip2gw.staff.documents import document_of
from sip2gw.web.api.desk import ANSWER_WITHIN_S
from sip2gw.web.api.paging import Cursor, Limit, Page, page, page_of
from sip2gw.web.api.problems import unavailable
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("terminals")

Name = Annotated[str, Path(max_length=100, description="Name or login of the terminal.")]
TRACE_SECONDS_MAX = 5.0
"""A request has ten seconds in all."""

TerminalJson = document_of(TerminalState)


class KickedJson(TypedDict):
    """How many lines were closed."""

    lines: int


class TraceEventJson(TypedDict):
    """A message on a line, decoded and without secrets, or a line that began or ended."""

    time: str
    line: int
    what: Literal["received", "sent", "connected", "disconnected"]
    shown: list[str]
    missed: int


class TraceJson(TypedDict):
    """What a terminal and the gateway said to each other."""

    terminal: str
    lines: int
    events: list[TraceEventJson]
    reason: Literal["seconds", "frames", "stopping"]
    missed: int


@resources.get("/terminals", "terminal list", answers=page_of(TerminalJson))
def list_terminals(asked: Asks, limit: Limit = 1_000, cursor: Cursor = None) -> Page[Any]:
    """List every configured terminal by name: connected or not, and its last message."""
    answer = asked.ask(ListTerminals())
    assert isinstance(answer, Terminals)
    return page(
        sorted(answer.terminals, key=lambda one: one.name),
        limit,
        cursor,
        key=lambda one: (one.name,),
        told=msgspec.to_builtins,
    )


@resources.post("/terminals/{name}/kick", "terminal kick", object="name")
def kick_terminal(asked: Asks, name: Name) -> KickedJson:
    """Disconnect a terminal after the request in progress; it may connect again at once."""
    answer = asked.ask(Kick(name))
    assert isinstance(answer, Kicked)
    return {"lines": answer.lines}


@resources.get("/terminals/{name}/trace", "terminal trace", object="name")
def trace_terminal(
    asked: Asks,
    name: Name,
    seconds: Annotated[
        float, Query(gt=0, le=TRACE_SECONDS_MAX, description="How long at most.")
    ] = TRACE_SECONDS_MAX,
    frames: Annotated[int, Query(ge=1, le=10_000, description="How many messages at most.")] = 100,
) -> TraceJson:
    """Watch what a terminal and the gateway say to each other, for some seconds.

    PINs, passwords and logins are masked; names and card numbers are shown.
    """
    wanted = Trace(name, seconds, frames)
    with asked.desk.asking_apart(wanted, ANSWER_WITHIN_S) as (control, begun):
        assert isinstance(begun, TraceBegan)
        events: list[TraceEventJson] = []
        for answer in control.answers(seconds + ANSWER_WITHIN_S):
            if isinstance(answer, TraceEvent):
                events.append(_event(answer))
            elif isinstance(answer, TraceEnded):
                return {
                    "terminal": begun.terminal,
                    "lines": begun.lines,
                    "events": events,
                    "reason": answer.reason,
                    "missed": answer.missed,
                }
    raise unavailable("the gateway ended during the trace")


def _event(event: TraceEvent) -> TraceEventJson:
    return {
        "time": event.time,
        "line": event.line,
        "what": event.what,
        "shown": event.shown,
        "missed": event.missed,
    }
