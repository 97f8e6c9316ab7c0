"""`/payments/stream`, `/door/stream`, `/terminals/stream`: what happens, as it happens (B84)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from fastapi import Header

from sip2gw.control.messages import ListTerminals, Terminals
from sip2gw.model import AccessRow, Payment
from sip2gw.monitoring.telemetry import Redactor
from sip2gw.staff.documents import without_persons
from sip2gw.staff.entrance.doors import DecisionJson, decision_json
from sip2gw.staff.payments import PaymentJson, payment_json
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.resource import Asks, Resources
from sip2gw.web.api.streams import Event, EventStream, Following

resources = Resources("streams")

ROWS_MAX = 1_000
LastSeen = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=200,
        description="The id of the last event that you saw; left out: from now on.",
    ),
]


@resources.get("/payments/stream", "payment stream")
def stream_payments(asked: Asks, last_seen: LastSeen = None) -> EventStream:
    """Follow payments as they are booked, as server-sent events `payment` without persons.

    A stream ends after some seconds: ask again with the last id. An event may come again then; its
    id tells.
    """

    def told(one: Payment) -> Any:
        return without_persons(payment_json(one, asked.zone), PaymentJson)

    following = Following(
        lambda since: asked.store.payments(since=since),
        lambda one: (one.time, one.id),
        told,
        last_seen,
        asked.now,
    )
    return EventStream("payment", following)


@resources.get("/door/stream", "door stream")
def stream_decisions(asked: Asks, last_seen: LastSeen = None) -> EventStream:
    """Follow decisions at doors, as server-sent events `decision` without persons.

    A stream ends after some seconds: ask again with the last id. An event may come again then; its
    id tells.
    """

    redactor = Redactor(asked.store.pin_secret)

    def told(one: AccessRow) -> Any:
        return without_persons(decision_json(one, asked.zone, redactor), DecisionJson)

    following = Following(
        lambda since: asked.store.access_rows(since=since, limit=ROWS_MAX),
        lambda one: (one.time, one.id),
        told,
        last_seen,
        asked.now,
    )
    return EventStream("decision", following)


@resources.get("/terminals/stream", "terminal stream")
def stream_terminals(asked: Asks) -> EventStream:
    """Follow terminals, as server-sent events `terminal`: first all, then each that has changed.

    A stream ends after some seconds: ask again, and it begins with all.
    """
    return EventStream("terminal", _Terminals(asked))


class _Terminals:
    """Looks which terminals are not as they were."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._before: dict[str, Any] = {}

    def __call__(self) -> Iterator[Event]:
        answer = self._asked.ask(ListTerminals())
        assert isinstance(answer, Terminals)
        for state in answer.terminals:
            if self._before.get(state.name) != state:
                self._before[state.name] = state
                yield Event("", msgspec.to_builtins(state))
