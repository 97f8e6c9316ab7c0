"""The calls of the client: each is one resource."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from sip2gw.client.errors import RestError, error_of
from sip2gw.client.line import Send, over_http

if TYPE_CHECKING:
    from sip2gw.staff.audit import AuditJson
    from sip2gw.staff.members.patrons import PatronJson
    from sip2gw.staff.members.relationships import RelationshipJson
    from sip2gw.staff.members.self_service import HouseRulesJson, OwnMessageJson
    from sip2gw.staff.outbox import NoticeJson, SentJson
    from sip2gw.staff.payments import PaymentJson, ShownPaymentJson
    from sip2gw.staff.support import FullMessageJson, MessageJson
    from sip2gw.staff.tokens import TokenJson

_BASE = "/api/v1"
_OK = range(200, 300)


class Answer(NamedTuple):
    """What a request was answered with."""

    document: Any
    etag: str | None
    """Which version it is: give it back as `if_match`."""


class Client:
    """REST of one gateway, for one token. It may be used by several threads.

    Args:
        url: where the gateway answers, such as `http://127.0.0.1:9102`.
        token: as `sip2gw token add` has told it.
        timeout_s: so long an answer may take.
        send: sends in another way than over HTTP to `url`.

    Raises:
        ValueError: `url` is none of HTTP.
    """

    def __init__(
        self, url: str, token: str, *, timeout_s: float = 15.0, send: Send | None = None
    ) -> None:
        self._send = over_http(url, timeout_s) if send is None else send
        self._token = token

    # Anything -----------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        if_match: str | None = None,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """What `method` at `path` (below `/api/v1`) is answered with.

        Args:
            method: of HTTP.
            path: with its parts quoted, see `at`.
            body: becomes JSON.
            if_match: the `etag` of what was read; an error if it is another now.
            key: a text of your own: whatever has been done with it is not done again.
            query: parameters; those that are None are left out.

        Raises:
            RestError: it was not carried out, or nobody knows: then with the status 0.
        """
        headers = {"authorization": f"Bearer {self._token}", "accept": "application/json"}
        sent = b""
        if body is not None:
            headers["content-type"] = "application/json"
            sent = json.dumps(body).encode()
        if if_match is not None:
            headers["if-match"] = if_match
        if key is not None:
            headers["idempotency-key"] = key
        status, told, raw = self._send(method, f"{_BASE}{path}{_written(query)}", headers, sent)
        document = _document(raw)
        if status not in _OK:
            raise error_of(status, told, document)
        return Answer(document, told.get("etag"))

    def listed(self, path: str, **query: Any) -> Iterator[Any]:
        """All entries of the list at `path`, page after page as they are taken."""
        cursor = None
        while True:
            page = self.ask("GET", path, query={**query, "cursor": cursor}).document
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    # Payments -----------------------------------------------------------------------------

    def payments(
        self,
        *,
        terminal: str | None = None,
        patron: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Iterator[PaymentJson]:
        """Payments, oldest first."""
        asked = {"terminal": terminal, "patron": patron, "since": since, "until": until}
        return self.listed("/payments", **asked)

    def payment(self, payment_id: str) -> ShownPaymentJson:
        """One of them, with its fees."""
        document: ShownPaymentJson = self.ask("GET", at("payments", payment_id)).document
        return document

    def undo_payment(self, payment_id: str, *, key: str | None = None) -> ShownPaymentJson:
        """Undo a whole payment, on the day it was made."""
        path = at("payments", payment_id, "undo")
        document: ShownPaymentJson = self.ask("POST", path, key=key).document
        return document

    # Patrons ------------------------------------------------------------------------------

    def patron(self, number: str) -> PatronJson:
        """A patron, by id or any card."""
        document: PatronJson = self.ask("GET", at("patrons", number)).document
        return document

    def relationships(self, patron: str | None = None) -> Iterator[RelationshipJson]:
        """Families and authorisations, all or those of a patron."""
        return self.listed("/relationships", patron=patron)

    # Customer support, notices ------------------------------------------------------------

    def support_messages(self, **query: Any) -> Iterator[MessageJson]:
        """Messages, in the order in which they were opened; see the description for `query`."""
        return self.listed("/support", **query)

    def support_message(self, message_id: str) -> tuple[FullMessageJson, str | None]:
        """One of them with its history, and its etag."""
        return self.ask("GET", at("support", message_id))

    def open_support_message(
        self,
        type_code: str,
        category: str,
        text: str,
        *,
        patron: str | None = None,
        branch: str | None = None,
        key: str | None = None,
    ) -> FullMessageJson:
        """Open a message."""
        body = {"type": type_code, "category": category, "text": text}
        body |= {name: it for name, it in (("patron", patron), ("branch", branch)) if it}
        document: FullMessageJson = self.ask("POST", "/support", body, key=key).document
        return document

    def answer_support_message(
        self, message_id: str, text: str, *, if_match: str | None = None, key: str | None = None
    ) -> FullMessageJson:
        """Answer a message."""
        path = at("support", message_id, "answer")
        told = self.ask("POST", path, {"text": text}, if_match=if_match, key=key)
        document: FullMessageJson = told.document
        return document

    def notices(self, *, reveal: bool = False) -> Iterator[NoticeJson]:
        """Notices to patrons, oldest first."""
        return self.listed("/outbox", reveal=reveal)

    def send_notices(self, *, again: bool = False) -> SentJson:
        """Deliver the notices that wait."""
        document: SentJson = self.ask("POST", "/outbox/send", {"again": again}).document
        return document

    # Tokens, the audit log ----------------------------------------------------------------

    def tokens(self) -> Iterator[TokenJson]:
        """The tokens, without themselves."""
        return self.listed("/tokens")

    def add_token(self, name: str, role: str, *, networks: Iterable[str] = ()) -> str:
        """Make a token; it is told this once."""
        body = {"name": name, "role": role, "networks": list(networks)}
        return str(self.ask("POST", "/tokens", body).document["token"])

    def revoke_token(self, name: str) -> None:
        """Let a token not be good any more."""
        self.ask("DELETE", at("tokens", name))

    def audit(self, **query: Any) -> Iterator[AuditJson]:
        """Who read or changed what about whom, oldest first."""
        return self.listed("/audit", **query)

    # Self-service -------------------------------------------------------------------------

    def acting_for(self, patron: str) -> Patron:
        """What a website does for a patron that it has signed in."""
        return Patron(self, patron)


class Patron:
    """A patron on a library's own website, by id or any card; made by `Client.acting_for`."""

    def __init__(self, client: Client, patron: str) -> None:
        self._client, self._patron = client, patron

    def _at(self, *parts: str) -> str:
        return at("self", self._patron, *parts)

    def authorisations(self) -> Iterator[RelationshipJson]:
        """Those that the patron gave or got, and those that wait for a yes."""
        return self._client.listed(self._at("authorisations"))

    def propose(self, card: str, birth_date: date, functions: Iterable[str]) -> RelationshipJson:
        """Authorise the holder of `card`; in force once that one has confirmed it."""
        wanted = {
            "card": card,
            "birth_date": birth_date.isoformat(),
            "functions": sorted(functions),
        }
        path = self._at("authorisations")
        document: RelationshipJson = self._client.ask("POST", path, wanted).document
        return document

    def confirm(self, giver: str, functions: Iterable[str] | None = None) -> RelationshipJson:
        """Say yes to what another wants to let the patron do: to `functions`, which the patron saw.

        Raises:
            ConflictError: the other has proposed something else by now, or not proposed it.
        """
        path = self._at("authorisations", "from", giver, "confirm")
        seen = None if functions is None else {"functions": sorted(functions)}
        document: RelationshipJson = self._client.ask("POST", path, seen).document
        return document

    def renounce(self, giver: str) -> None:
        """Do without what another has authorised the patron to, or say no to it."""
        self._client.ask("DELETE", self._at("authorisations", "from", giver))

    def withdraw(self, holder: str) -> None:
        """Take back what the patron has authorised another to."""
        self._client.ask("DELETE", self._at("authorisations", "to", holder))

    def messages(self) -> Iterator[OwnMessageJson]:
        """What the patron asked, and what the library answered."""
        return self._client.listed(self._at("messages"))

    def ask(
        self, type_code: str, category: str, text: str, *, key: str | None = None
    ) -> OwnMessageJson:
        """Ask customer support."""
        body = {"type": type_code, "category": category, "text": text}
        told = self._client.ask("POST", self._at("messages"), body, key=key)
        document: OwnMessageJson = told.document
        return document

    def accept_house_rules(self) -> HouseRulesJson:
        """Note that the patron has accepted the house rules, today."""
        document: HouseRulesJson = self._client.ask("PUT", self._at("house-rules")).document
        return document


def at(*parts: str) -> str:
    """The path of these parts, whatever characters are in them."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _written(query: Mapping[str, Any] | None) -> str:
    given = {name: _value(value) for name, value in (query or {}).items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _document(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise RestError(0, "the answer is no JSON; is this the address of a gateway?") from None
