"""A good request for each operation, in an order in which each of them is answered yes.

Schemathesis makes up what it asks, so much of it is refused: hardly ever does a made-up body name
two patrons who go together. The tour is what shows that an operation does what it is there for;
every role that may do it goes on it. An operation that is added needs a stop here.
"""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from proofs.canary import PIN
from proofs.rest_judge import Heard, Judge, Place
from proofs.rest_scene import QUESTION, Ids, tokens_of
from sip2gw.model.rights import Role
from sip2gw.policy.rights import includes


class Stop(NamedTuple):
    """A good request."""

    method: str
    url: str
    """Below `/api/v1`; in braces the names of what was made beforehand."""
    body: Any = None


_NOTE = {"note": "seen"}
_RENEW = {"functions": ["renew"]}
STOPS = (
    Stop("GET", "/tokens"),
    Stop("POST", "/tokens", {"name": "tour", "role": "view"}),
    Stop("DELETE", "/tokens/tour"),
    Stop("GET", "/audit"),
    Stop("GET", "/payments/stream"),
    Stop("GET", "/door/stream"),
    Stop("GET", "/terminals/stream"),
    # The gateway.
    Stop("GET", "/terminals"),
    Stop("POST", "/terminals/kiosk-1/kick"),
    Stop("GET", "/terminals/kiosk-1/trace?seconds=0.01"),
    Stop("POST", "/reload"),
    Stop("GET", "/upstream/journal"),
    # Money.
    Stop("GET", "/payments/totals"),
    Stop("GET", "/payments/refused"),
    Stop("GET", "/payments/reconcile"),
    Stop("POST", "/payments/{unsure}/settle", {"verdict": "not-booked", **_NOTE}),
    Stop("GET", "/payments/surpluses"),
    Stop("POST", "/payments/surpluses/T1/refund"),
    Stop("GET", "/payments/errors"),
    Stop("GET", "/payments/export"),
    Stop("POST", "/payments/export/{export}/done"),
    Stop("GET", "/payments"),
    Stop("GET", "/payments/{payment}"),
    Stop("POST", "/payments/{payment}/undo"),
    # Doors.
    Stop("POST", "/door/decide", {"terminal": "door-1", "card": "1001", "pin": PIN}),
    Stop("GET", "/door/log"),
    Stop("GET", "/door/stats"),
    Stop("GET", "/door/inside?branch=MAIN&from=2026-01-01&to=2026-12-31&reveal=true"),
    Stop("GET", "/door/reveals"),
    Stop("POST", "/door/bars", {"card": "1009"}),
    Stop("GET", "/door/bars"),
    Stop("DELETE", "/door/bars/1009"),
    Stop("POST", "/door/passes", {"card": "1009"}),
    Stop("GET", "/door/passes"),
    Stop("DELETE", "/door/passes/1009"),
    Stop("GET", "/branches"),
    Stop("GET", "/branches/MAIN"),
    Stop("POST", "/branches/MAIN/close", {"reason": "storm"}),
    Stop("POST", "/branches/MAIN/open", {"reason": "calm"}),
    Stop("POST", "/branches/MAIN/reset"),
    Stop("GET", "/branches/MAIN/changes"),
    Stop("GET", "/review"),
    Stop("GET", "/review/{review}"),
    Stop("POST", "/review/{review}/close", _NOTE),
    Stop("GET", "/explain?terminal=kiosk-1&card=1001"),
    # Patrons, and what they have.
    Stop("GET", "/badges"),
    Stop("GET", "/badges/ONBE"),
    Stop("PUT", "/badges/NEW1", {"name": "Of new days"}),
    Stop("POST", "/badges/OLD1/activate"),
    Stop("POST", "/badges/OLD1/deactivate"),
    Stop("GET", "/patrons/1001/badges"),
    Stop("PUT", "/patrons/1009/badges/ONBE", {"reason": "asked for it"}),
    Stop("DELETE", "/patrons/1009/badges/ONBE"),
    Stop("POST", "/badges/ONBE/assign", {"patrons": [{"patron": "1009"}]}),
    Stop("GET", "/badge-holders"),
    Stop("GET", "/badge-history"),
    Stop("POST", "/relationships",
         {"type": "authorisation", "from": "1001", "to": "1004", "confirmed": False, **_RENEW}),
    Stop("POST", "/relationships/authorisation/1001/1004/confirm"),
    Stop("GET", "/relationships"),
    Stop("DELETE", "/relationships/authorisation/1001/1004"),
    Stop("GET", "/memberships"),
    Stop("GET", "/memberships/201"),
    Stop("POST", "/memberships", [{"code": "301", "description": "Visitor", "type": 5}]),
    Stop("PATCH", "/memberships/301", {"max_items": 10}),
    Stop("POST", "/memberships/301/hide"),
    Stop("POST", "/maintain", {"dry_run": True}),
    Stop("GET", "/patrons?find=peeters"),
    Stop("GET", "/patrons/1001"),
    Stop("PUT", "/patrons/1001/pin", {"pin": PIN}),
    Stop("POST", "/patrons/1009/blocks", _NOTE),
    Stop("DELETE", "/patrons/1009/blocks"),
    Stop("GET", "/patrons/1001/report"),
    Stop("POST", "/patrons/1008/merge", {"former": "1007"}),
    Stop("DELETE", "/patrons/1008"),
    # Customer support, and notices.
    Stop("GET", "/support"),
    Stop("POST", "/support", QUESTION),
    Stop("GET", "/support/{message}"),
    Stop("POST", "/support/{message}/answer", {"default": "BACK"}),
    Stop("POST", "/support/{message}/status", {"to": "D", **_NOTE}),
    Stop("POST", "/support/close", {"messages": ["{message}"], **_NOTE}),
    Stop("GET", "/support/tables/processing"),
    Stop("GET", "/support/tables/type"),
    Stop("POST", "/support/tables/type", {"code": "CO", "description": "Complaint"}),
    Stop("PATCH", "/support/tables/type/CO", {"description": "Complaints"}),
    Stop("POST", "/support/tables/processing", {"type": "CO", "category": "LOAN"}),
    Stop("PATCH", "/support/tables/processing/CO/LOAN", {"response_days": 1}),
    Stop("GET", "/outbox"),
    Stop("POST", "/outbox/send", {}),
    Stop("GET", "/observe/report"),
    # Patrons by themselves.
    Stop("GET", "/self/1004/authorisations"),
    Stop("POST", "/self/1004/authorisations",
         {"card": "1005", "birth_date": "1980-05-01", **_RENEW}),
    Stop("POST", "/self/1005/authorisations/from/1004/confirm"),
    Stop("DELETE", "/self/1005/authorisations/from/1004"),
    Stop("DELETE", "/self/1005/authorisations/to/1006"),
    Stop("GET", "/self/1001/messages"),
    Stop("POST", "/self/1001/messages",
         {key: value for key, value in QUESTION.items() if key != "patron"}),
    Stop("PUT", "/self/1001/house-rules"),
)  # fmt: skip

STOPS_IN_FRONT = (Stop("GET", "/upstream"), Stop("GET", "/upstream/status"))
"""What is refused without a library system behind the gateway."""


def tour_of(role: Role, stops: Iterable[Stop], ids: Ids, judge: Judge) -> list[tuple[Stop, Place]]:
    """The stops of those who have `role`, with what was made beforehand filled in."""
    found = []
    for method, url, body in stops:
        stop = Stop(method, url.format_map(ids), _filled(body, ids))
        place = judge.places.first(method, f"/api/v1{urlsplit(stop.url).path}")
        if place is None:
            judge.expect(False, f"the tour: there is no {method} {url}")
        elif includes(role, place.role):
            found.append((stop, place))
    return found


def _filled(body: Any, ids: Ids) -> Any:
    if isinstance(body, dict):
        return {key: _filled(value, ids) for key, value in body.items()}
    if isinstance(body, list):
        return [_filled(one, ids) for one in body]
    return body.format_map(ids) if isinstance(body, str) else body


def go(role: Role, stops: Iterable[Stop], admin: str, schema: Any, ids: Ids, judge: Judge) -> None:
    """Make the requests of a tour; each answer has to be a yes, and as described. It blocks."""
    tokens = itertools.cycle(tokens_of(role))
    for stop, place in tour_of(role, stops, ids, judge):
        asked = _looked_at if place.is_stream else _asked
        status, body, problem = asked(stop, place, admin, schema, next(tokens))
        judge.hear(Heard(role, role, stop.method, f"/api/v1{stop.url}", status, body))
        told = f"{role}: {stop.method} {stop.url}: {status} {body[:200]!r}"
        judge.expect(status < 300 and not problem, f"the tour as {told} {problem}")


Answer = tuple[int, bytes, str]
"""Status, body, and what is wrong with it by the description."""


def _asked(stop: Stop, place: Place, admin: str, schema: Any, token: str) -> Answer:
    parts = urlsplit(stop.url)
    named = place.pattern.fullmatch(f"/api/v1{parts.path}")
    operation = schema[place.path][place.method]
    case = operation.Case(
        path_parameters=named.groupdict() if named else {},
        query=dict(parse_qsl(parts.query)),
        **({} if stop.body is None else {"body": stop.body, "media_type": "application/json"}),
    )
    answer = case.call(f"http://{admin}", headers={"Authorization": f"Bearer {token}"})
    try:
        operation.validate_response(answer, case=case)
    except Exception as failure:
        return answer.status_code, answer.content, f"{failure!r}"[:400]
    return answer.status_code, answer.content, ""


def _looked_at(stop: Stop, place: Place, admin: str, schema: Any, token: str) -> Answer:
    """The beginning of a stream, which would go on for seconds."""
    host, _, port = admin.rpartition(":")
    line = http.client.HTTPConnection(host, int(port), timeout=15)
    try:
        line.request("GET", f"/api/v1{stop.url}", headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        return answer.status, answer.readline(), ""
    finally:
        line.close()
