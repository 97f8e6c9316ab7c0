"""REST: tokens, roles, limits, errors, the audit log, and what commands say (B83, B84, C176)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import load
from once import Once
from orders import decided_by, saying, settling
from programs import end
from typer.testing import CliRunner

from sip2gw.backend.base import BackendError, PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.backend.wish import Wish, wished
from sip2gw.cli.app import app
from sip2gw.config import Config, load_config
from sip2gw.config.passing import pack
from sip2gw.control.channel import GatewayGoneError
from sip2gw.control.messages import (
    Alive,
    Configuration,
    Kick,
    Kicked,
    ListTerminals,
    Ping,
    ReadConfiguration,
    Refused,
    Reloaded,
    Terminals,
    TerminalState,
    UpstreamStatus,
)
from sip2gw.model import PaymentLine
from sip2gw.model.rights import Role
from sip2gw.policy.money.debts import PaymentPlan
from sip2gw.policy.money.payments import PaymentFacts
from sip2gw.staff.actions import ACTIONS
from sip2gw.staff.tokens import make_token
from sip2gw.web.api import gate
from sip2gw.web.api.gate import BODY_BYTES_MAX, Api
from sip2gw.web.api.rates import Rates
from sip2gw.web.pages import application

CONFIG = """\
[institution]
id = "HUB"
name = "Hub"
[branches.MAIN]
[profiles.kiosk]
kind = "selfcheck"
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "pw"
[admin.tokens.tool]
role = "view"
token_file = "token"
networks = ["127.0.0.0/8"]
"""
TOOL = "t" * 40
STATE = TerminalState("kiosk-1", "kiosk", "MAIN", True, 1, "10.0.0.1", None, 3, None)


class Answer:
    """What a client gets."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.status = sent[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.text = b"".join(part.get("body", b"") for part in sent[1:]).decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """Asks REST without a network, in front of a gateway that answers as it is told."""

    def __init__(self, config: Path) -> None:
        self.tokens: dict[str, str] = {"tool": TOOL}
        self.file, self.running = config, load_config(config)
        self.api = Api(self.ask, clock=lambda: self.time)
        self.app = application(self.ask, self.api)
        self.time = 0.0
        self.alive = Alive(True)
        self.gone = False
        self.asked: list[Any] = []

    async def ask(self, request: Any) -> Any:
        self.asked.append(request)
        if self.gone:
            raise GatewayGoneError
        match request:
            case Ping():
                return self.alive
            case ReadConfiguration():
                return Configuration(self.alive.reloads, pack(self.running))
            case ListTerminals():
                return Terminals([replace_name("zeta"), STATE])
            case Kick("kiosk-1"):
                return Kicked(1)
            case Kick():
                return Refused("no terminal of that name is configured")
            case UpstreamStatus():
                return Refused("there is no library system")

    async def __call__(
        self,
        method: str,
        path: str,
        token: str | None = "ann",
        *,
        body: Any = None,
        address: str = "127.0.0.1",
        **headers: str,
    ) -> Answer:
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        sent: list[dict[str, Any]] = []
        parts = [data[at : at + 65536] for at in range(0, len(data) or 1, 65536)]
        given = {"content-type": "application/json"} | headers
        if token is not None:
            given["authorization"] = f"Bearer {self.tokens.get(token, token)}"
        path, _, query = f"/api/v1{path}".partition("?")

        async def receive() -> dict[str, Any]:
            if not parts:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode(),
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in given.items()
            ],
            "client": (address, 1),
            "server": ("127.0.0.1", 2),
        }
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        return Answer(sent)


def replace_name(name: str) -> TerminalState:
    return TerminalState(name, "kiosk", "MAIN", False, 0, None, None, 0, None)


ZONE = ZoneInfo("Europe/Brussels")
LIBRARY = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    {"kind": "patron", "id": "P1", "name": "Ann", "membership": "201", "cards": [{"number": "C1"}]},
    {"kind": "patron", "id": "P2", "name": "Bob", "membership": "201"},
    {"kind": "fee", "id": "F1", "patron": "P1", "amount": "2.50", "created": "2026-02-01"},
]
TODAY = datetime.now(ZONE).date().isoformat()
ROLES = {"ann": "admin", "stef": "staff", "vic": "view", "web": "self"}
_stores = Once()
_tokens: dict[str, str] = {}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    file = tmp_path / "sip2gw.toml"
    file.write_text(CONFIG)
    (tmp_path / "token").write_text(TOOL)
    if not _stores.give("rest", tmp_path):
        await make_store(load_config(file))
        _stores.keep("rest", tmp_path / "library.db")
    made = Client(file)
    made.tokens |= _tokens
    yield made
    if made.api._opened is not None:
        end(made.api._opened.desk)


async def make_store(config: Config) -> None:
    """The small library, three payments of today, and a token for each role."""
    store = open_backend(config, "command", "make").store
    load(store, LIBRARY)
    now = datetime.now(UTC)
    for name, role in ROLES.items():
        _tokens[name] = await make_token(store, config, name, Role(role), now)
    for key in ("K1", "K2", "K3"):
        assert (await store.book_payment(decided_by(half_a_euro(key, now), of_f1))).payment
        now += timedelta(seconds=1)
    await store.close()


def half_a_euro(key: str, now: datetime) -> PaymentOrder:
    """A payment by P1."""
    return PaymentOrder(
        terminal="kiosk-1",
        key=key,
        content=key,
        payer_id="P1",
        amount=50,
        currency="EUR",
        payment_type="00",
        bk=key,
        now=now,
        key_expires=now + timedelta(days=30),
        case=settling(),
        texts=saying("Thank you"),
        card="C1",
    )


def of_f1(facts: PaymentFacts) -> PaymentPlan:
    """It settles part of F1."""
    return PaymentPlan((PaymentLine("F1", facts.payer.id, "own", 50),), 0)


async def audit(client: Client, query: str = "") -> list[tuple[Any, ...]]:
    told = (await client("GET", f"/audit?since=2000-01-01{query}", "ann")).json["items"]
    return [
        (one["who"], one["action"], one["object"], one["patron"], one["outcome"]) for one in told
    ]


# Who may ask


@pytest.mark.parametrize("token", [None, "nobody", "s2g_" + "x" * 43])
@pytest.mark.parametrize("path", ["/payments", "/openapi.json", "/nowhere", "/tokens/ann"])
async def test_without_a_good_token_nothing_is_answered(client, token, path) -> None:
    answer = await client("GET", path, token)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="sip2gw"')
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == 401


async def test_a_token_is_good_until_it_is_revoked(client) -> None:
    assert (await client("GET", "/payments", "vic")).status == 200
    assert (await client("DELETE", "/tokens/vic")).status == 204
    assert (await client("GET", "/payments", "vic")).status == 401
    assert (await client("DELETE", "/tokens/vic")).status == 404


async def test_a_token_comes_only_from_its_networks(client) -> None:
    assert (await client("GET", "/terminals", "tool", address="127.0.0.9")).status == 200
    elsewhere = await client("GET", "/terminals", "tool", address="10.0.0.9")
    assert elsewhere.status == 401
    # What is wrong is not told to who asks, but where staff see it.
    assert "`sip2gw token list` shows" in elsewhere.json["detail"]
    unknown = await client("GET", "/terminals", "s2g_" + "x" * 43)
    assert unknown.json["detail"] == elsewhere.json["detail"]


async def test_every_operation_asks_for_its_role(client) -> None:
    described = (await client("GET", "/openapi.json", "tool")).json
    may = {"vic": "view", "stef": "view staff", "ann": "view staff admin", "web": "self"}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            where = re.sub(r"\{\w+\}", "x", path.removeprefix("/api/v1"))
            assert operation["x-role"] == ACTIONS[operation["x-command"]].role
            for token, roles in may.items():
                client.time += 1
                if operation["x-role"] not in roles.split():
                    assert (await client(method.upper(), where, token)).status == 403, path


async def test_view_sees_no_persons(client) -> None:
    """C176: the same documents, without who paid for whom."""
    seen = (await client("GET", "/payments", "vic")).json["items"]
    full = (await client("GET", "/payments", "stef")).json["items"]
    assert [(one["id"], one["amount"]) for one in seen] == [
        (one["id"], one["amount"]) for one in full
    ]
    assert {one["payer"] for one in full} == {"P1"}
    for one in seen:
        assert (one["payer"], one["debtors"]) == (None, [])
        assert [line["debtor"] for line in one["lines"]] == [None]
    shown = (await client("GET", f"/payments/{full[0]['id']}", "vic")).json
    assert (shown["payer"], shown["card"]) == (None, None)
    assert "P1" not in json.dumps([seen, shown])
    assert (await client("GET", "/payments?patron=P1", "vic")).status == 403


# Limits


async def test_a_token_that_asks_too_fast_waits(client, monkeypatch) -> None:
    monkeypatch.setattr(client.api, "_rates", Rates(2.0, 3.0, lambda: client.time))
    got = [(await client("GET", "/terminals", "vic")).status for _ in range(4)]
    assert got == [200, 200, 200, 429]
    assert (await client("GET", "/terminals", "stef")).status == 200
    client.time += 0.5
    assert (await client("GET", "/terminals", "vic")).status == 200
    refused = await client("GET", "/terminals", "vic")
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")


async def test_who_guesses_tokens_waits_and_others_do_not(client) -> None:
    for _ in range(int(gate.GUESSES_BURST)):
        assert (await client("GET", "/terminals", "wrong", address="192.0.2.9")).status == 401
    assert (await client("GET", "/terminals", "wrong", address="192.0.2.9")).status == 429
    assert (await client("GET", "/terminals", "ann", address="192.0.2.9")).status == 200
    assert (await client("GET", "/terminals", "wrong", address="192.0.2.8")).status == 401
    client.time += 1
    assert (await client("GET", "/terminals", "wrong", address="192.0.2.9")).status == 401


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_has_a_limit(client, announced) -> None:
    headers = {"content_length": str(BODY_BYTES_MAX + 1)} if announced else {}
    answer = await client("POST", "/tokens", body=b"x" * (BODY_BYTES_MAX + 1), **headers)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert (await client("POST", "/tokens", body=b"x" * BODY_BYTES_MAX)).status == 422


async def test_too_many_at_once_are_refused_and_the_probes_are_not(client, monkeypatch) -> None:
    monkeypatch.setattr(gate, "REQUESTS_MAX", 0)
    answer = await client("GET", "/terminals")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_without_a_good_token_nobody_has_a_place(client, monkeypatch, token) -> None:
    monkeypatch.setattr(gate, "REQUESTS_MAX", 0)
    assert (await client("GET", "/terminals", token)).status == 401


# Errors


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("PATCH", "/payments", None, 405),
        ("GET", "/payments/X", None, 404),
        ("POST", "/payments/X/undo", None, 404),
        ("GET", "/payments?limit=0", None, 422),
        ("GET", "/payments?cursor=x", None, 422),
        ("GET", "/payments?since=soon", None, 422),
        ("GET", "/payments?patron=nobody", None, 404),
        ("POST", "/tokens", b"{", 422),
        ("POST", "/tokens", {"name": "a", "role": "king"}, 422),
        ("POST", "/tokens", {"name": "a", "role": "view", "secret": "4711"}, 422),
        ("POST", "/tokens", {"name": "ann", "role": "view"}, 409),
        ("POST", "/tokens", {"name": "a", "role": "view", "expires": "soon"}, 422),
        ("POST", "/terminals/nobody/kick", None, 404),
        ("GET", "/upstream", None, 409),
    ],
)
async def test_what_cannot_be_done_is_a_problem(client, method, path, body, status) -> None:
    answer = await client(method, path, body=body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(answer.json)
    assert "4711" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body", "where"),
    [
        ("GET", "/payments?since=soon", None, "query.since"),
        ("GET", "/payments?until=soon", None, "query.until"),
        ("GET", "/door/inside?branch=MAIN&from=soon&to=today", None, "query.from"),
        ("GET", "/door/inside?branch=MAIN&from=today&to=soon", None, "query.to"),
        ("POST", "/tokens", {"name": "a", "role": "view", "expires": "soon"}, "body.expires"),
    ],
)
async def test_c34_what_names_no_moment_is_told_with_its_place(
    client, method, path, body, where
) -> None:
    answer = (await client(method, path, body=body)).json
    why = "not a date YYYY-MM-DD or a time YYYY-MM-DDTHH:MM:SS; also allowed: today, yesterday"
    assert answer["problems"] == [{"where": where, "problem": why}]
    assert answer["detail"] == f"{where.partition('.')[2]}: {why}"


async def test_a_store_that_fails_is_a_503(client, monkeypatch) -> None:
    assert (await client("GET", "/payments")).status == 200
    store = client.api._opened.desk.store

    def fail(*_: Any, **__: Any) -> Any:
        raise BackendError("/secret/path: disk I/O error")

    monkeypatch.setattr(store, "payments", fail)
    answer = await client("GET", "/payments")
    assert (answer.status, "secret" in answer.text) == (503, False)


async def test_a_fault_of_ours_is_a_500_and_is_logged_without_details(client, monkeypatch) -> None:
    assert (await client("GET", "/payments")).status == 200
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("4711")

    monkeypatch.setattr(client.api._opened.desk.store, "payments", fail)
    answer = await client("GET", "/payments")
    assert (answer.status, "4711" in answer.text) == (500, False)
    assert isinstance(told[0]["exception"], KeyError)


# The audit log


async def test_every_change_and_every_reading_about_persons_is_in_the_log(client) -> None:
    (first, *_) = (await client("GET", "/payments?limit=1", "stef", address="127.0.0.7")).json[
        "items"
    ]
    await client("GET", "/payments", "vic")
    await client("GET", "/payments?patron=C1", "stef")
    await client("POST", f"/payments/{first['id']}/undo", "stef")
    await client("POST", f"/payments/{first['id']}/undo", "stef")
    await client("GET", "/terminals", "stef")
    await client("POST", "/terminals/kiosk-1/kick")
    assert await audit(client) == [
        ("stef", "payment list", "", None, "done"),
        ("stef", "payment list", "", "P1", "done"),
        ("stef", "payment undo", first["id"], None, "done"),
        ("stef", "payment undo", first["id"], "P1", "done"),
        ("stef", "payment undo", first["id"], None, "refused"),
        ("ann", "terminal kick", "kiosk-1", None, "done"),
        ("ann", "audit", "", None, "done"),
    ]
    (line, *_) = (await client("GET", "/audit?who=stef&limit=1")).json["items"]
    assert (line["role"], line["source"], line["address"]) == ("staff", "rest", "127.0.0.7")


async def test_a_new_token_is_in_the_answer_and_nowhere_else(client) -> None:
    made = await client("POST", "/tokens", body={"name": "kim", "role": "view"})
    token = made.json["token"]
    assert made.status == 201
    assert (await client("GET", "/terminals", token)).status == 200
    assert token not in (await client("GET", "/audit")).text
    assert token not in (await client("GET", "/tokens")).text
    for file in client.file.parent.glob("library.db*"):
        assert token.encode() not in file.read_bytes()


# Pages, versions, once


async def test_pages_follow_each_other_and_lose_nothing(client) -> None:
    whole = (await client("GET", "/payments")).json
    assert (len(whole["items"]), whole["next"]) == (3, None)
    got, cursor = [], ""
    while True:
        page = (await client("GET", f"/payments?limit=1{cursor}")).json
        got += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert got == whole["items"]


async def test_pages_of_the_audit_log_follow_each_other(client) -> None:
    for _ in range(3):
        await client("GET", "/payments", "stef")
    whole = (await client("GET", "/audit?who=stef")).json["items"]
    got, cursor = [], ""
    for _ in whole:
        page = (await client("GET", f"/audit?who=stef&limit=1{cursor}")).json
        got += page["items"]
        cursor = f"&cursor={page['next']}"
    assert (got, page["next"]) == (whole, None)
    assert len(whole) == 3


async def test_payments_of_a_patron_are_those_that_they_made(client) -> None:
    for patron, count in (("C1", 3), ("P2", 0)):
        listed = (await client("GET", f"/payments?patron={patron}", "stef")).json["items"]
        assert len(listed) == count, patron


async def test_who_edits_something_else_than_was_seen_is_told(client) -> None:
    (one, *_) = (await client("GET", "/payments")).json["items"]
    path = f"/payments/{one['id']}"
    seen = (await client("GET", path)).headers["etag"]
    assert (await client("POST", f"{path}/undo", if_match='"other"')).status == 412
    assert (await client("POST", f"{path}/undo", if_match=f'"x", {seen}')).status == 200
    assert (await client("POST", f"{path}/undo", if_match=seen)).status == 412
    assert (await client("POST", f"{path}/undo", if_match="*")).status == 409
    assert (await client("GET", path)).headers["etag"] != seen


async def test_a_request_with_a_key_is_done_once(client) -> None:
    first, second, _ = (await client("GET", "/payments")).json["items"]
    undo = f"/payments/{first['id']}/undo"
    told = [await client("POST", undo, idempotency_key="K") for _ in range(2)]
    assert [one.status for one in told] == [200, 200]
    assert told[0].json == told[1].json
    assert told[0].json["status"] == "undone"
    assert (await client("POST", undo)).status == 409
    done = [one for one in await audit(client) if one[1:3] == ("payment undo", first["id"])]
    assert [one[-1] for one in done] == ["done", "done", "refused"]  # one of them about P1
    other = f"/payments/{second['id']}/undo"
    assert (await client("POST", other, idempotency_key="K")).status == 422
    assert (await client("POST", other, "stef", idempotency_key="K")).status == 200
    assert (await client("POST", undo, idempotency_key="x" * 101)).status == 422


async def test_what_was_refused_may_be_tried_again_with_its_key(client) -> None:
    (one, *_) = (await client("GET", "/payments")).json["items"]
    undo = f"/payments/{one['id']}/undo"
    assert (await client("POST", undo, idempotency_key="K", if_match='"x"')).status == 412
    assert (await client("POST", undo, idempotency_key="K")).status == 200


async def test_what_did_not_end_is_not_done_again(client, monkeypatch) -> None:
    (one, *_) = (await client("GET", "/payments")).json["items"]
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    async def fail(*_: Any) -> Any:
        raise KeyError

    monkeypatch.setattr(client.api._opened.desk.store, "undo_payment", fail)
    undo = f"/payments/{one['id']}/undo"
    assert (await client("POST", undo, idempotency_key="K")).status == 500
    monkeypatch.undo()
    answer = await client("POST", undo, idempotency_key="K")
    assert (answer.status, "has not ended" in answer.text) == (409, True)


# The gateway


async def test_terminals_are_listed_by_name_in_pages(client) -> None:
    first = (await client("GET", "/terminals?limit=1", "vic")).json
    assert [one["name"] for one in first["items"]] == ["kiosk-1"]
    rest = (await client("GET", f"/terminals?cursor={first['next']}", "vic")).json
    assert [one["name"] for one in rest["items"]] == ["zeta"]


async def test_a_terminal_is_kicked_once_for_each_request(client) -> None:
    assert (await client("POST", "/terminals/kiosk-1/kick")).json == {"lines": 1}
    assert client.asked.count(Kick("kiosk-1")) == 1


async def test_after_a_reload_the_new_configuration_counts(client) -> None:
    assert (await client("GET", "/terminals", "tool")).status == 200
    client.file.write_text(CONFIG.replace('role = "view"', 'role = "self"'))
    client.running = load_config(client.file)
    assert (await client("GET", "/terminals", "tool")).status == 200
    client.alive = Alive(True, reloads=1)
    client.time = gate.RELOAD_SEEN_WITHIN_S
    assert (await client("GET", "/terminals", "tool")).status == 403


async def test_the_gateway_is_not_asked_for_each_request_whether_it_has_reloaded(client) -> None:
    """A terminal would wait for its answers."""
    for tenth in range(25):
        client.time = tenth / 10
        assert (await client("GET", "/terminals", "tool")).status == 200
    assert client.asked.count(Ping()) == 3


async def test_while_the_gateway_does_not_say_it_is_asked_again(client) -> None:
    assert (await client("GET", "/payments")).status == 200
    client.time, client.gone = 1.0, True
    for _ in range(2):
        asked = client.asked.count(Ping())
        assert (await client("GET", "/payments")).status == 200
        assert client.asked.count(Ping()) == asked + 1


async def test_a_reload_by_rest_counts_at_once(client, monkeypatch) -> None:
    assert (await client("GET", "/terminals", "tool")).status == 200

    @contextmanager
    def reloaded(*_: Any) -> Iterator[Any]:
        client.file.write_text(CONFIG.replace('role = "view"', 'role = "self"'))
        client.running, client.alive = load_config(client.file), Alive(True, reloads=1)
        yield None, Reloaded([], [])

    monkeypatch.setattr(client.api._opened.desk, "asking_apart", reloaded)
    assert (await client("POST", "/reload")).json == {"needs_restart": []}
    assert (await client("GET", "/terminals", "tool")).status == 403


async def test_a_reload_is_done_even_if_the_gateway_says_no_more(client, monkeypatch) -> None:
    assert (await client("GET", "/terminals", "tool")).status == 200

    @contextmanager
    def reloaded(*_: Any) -> Iterator[Any]:
        client.gone = True
        yield None, Reloaded([], ["server.workers"])

    monkeypatch.setattr(client.api._opened.desk, "asking_apart", reloaded)
    assert (await client("POST", "/reload")).json == {"needs_restart": ["server.workers"]}


async def test_what_is_given_up_before_it_begins_may_be_sent_again(client) -> None:
    """With the same key: nothing was done."""
    (one,) = (await client("GET", "/payments?limit=1")).json["items"]
    undo = f"/payments/{one['id']}/undo"
    with wished(wish := Wish()):
        wish.give_up()
        assert (await client("POST", undo, idempotency_key="K")).status == 503
    assert (await client("POST", undo, idempotency_key="K")).status == 200


async def test_what_is_given_up_while_it_waits_may_be_sent_again(client, monkeypatch) -> None:
    (one,) = (await client("GET", "/payments?limit=1")).json["items"]
    undo = f"/payments/{one['id']}/undo"
    write = client.api._opened.desk.store.write
    wish = Wish()

    def late(job: Any) -> Any:
        written = write(job)
        wish.give_up()
        return written

    monkeypatch.setattr(client.api._opened.desk.store, "write", late)
    with wished(wish):
        assert (await client("POST", undo, idempotency_key="K")).status == 503
    monkeypatch.undo()
    log = (await client("GET", "/audit")).json["items"]
    assert [it["outcome"] for it in log if it["action"] == "payment undo"] == ["refused"]
    assert (await client("POST", undo, idempotency_key="K")).status == 200


@pytest.mark.parametrize("now", ["nonsense", CONFIG.replace("[admin.tokens.tool]", "[admin.x]")])
async def test_a_file_that_never_came_into_force_does_not_count(client, now) -> None:
    """As after a refused reload, when the process for HTTP has to start again."""
    client.file.write_text(now)
    assert (await client("GET", "/terminals", "tool")).status == 200


async def test_without_the_gateway_it_says_so_and_tries_again(client) -> None:
    client.gone = True
    answer = await client("GET", "/payments")
    assert (answer.status, answer.json["detail"]) == (
        503,
        "the gateway does not answer; look in its log",
    )
    client.gone = False
    assert (await client("GET", "/payments")).status == 200
    client.gone = True
    assert (await client("GET", "/payments")).status == 200, "the store is there without it"


async def test_without_a_store_it_says_so_and_tries_again(client) -> None:
    store = client.file.with_name("library.db")
    away = store.rename(store.with_name("away"))
    answer = await client("GET", "/payments")
    assert (answer.status, answer.json["detail"]) == (
        503,
        "the store cannot be opened; look in the gateway's log",
    )
    away.rename(store)
    assert (await client("GET", "/payments")).status == 200


# The same as by command


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("token list", "/tokens"),
        ("audit --until 2020-01-01", "/audit?until=2020-01-01"),
        ("payment list", "/payments"),
        (f"payment list --patron C1 --since {TODAY}", f"/payments?patron=C1&since={TODAY}"),
        ("payment list --since today --until today", "/payments?since=today&until=today"),
        ("payment list --until yesterday", "/payments?until=yesterday"),
        ("payment show PAYMENT", "/payments/PAYMENT"),
    ],
)
async def test_b84_a_resource_gives_the_json_of_its_command(client, command, path) -> None:
    payment = (await client("GET", "/payments?limit=1")).json["items"][0]["id"]
    words = [*command.replace("PAYMENT", payment).split(), "--json"]
    given = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--config", str(client.file)])
    assert given.exit_code == 0, given.output
    told = (await client("GET", path.replace("PAYMENT", payment))).json
    listed = told.get("items", [told])
    said = [json.loads(line) for line in given.stdout.splitlines()]
    for one in (*listed, *said):
        one.pop("last_used", None)  # just now
    assert listed == said


async def test_each_resource_is_declared_as_the_command_that_it_is(client) -> None:
    described = (await client("GET", "/openapi.json")).json
    found = {
        (method.upper(), path.removeprefix("/api/v1"), operation["x-command"])
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }
    assert found >= {
        ("GET", "/tokens", "token list"),
        ("POST", "/tokens", "token add"),
        ("DELETE", "/tokens/{name}", "token revoke"),
        ("GET", "/audit", "audit"),
        ("GET", "/terminals", "terminal list"),
        ("POST", "/terminals/{name}/kick", "terminal kick"),
        ("GET", "/terminals/{name}/trace", "terminal trace"),
        ("POST", "/reload", "reload"),
        ("GET", "/upstream", "upstream status"),
        ("GET", "/upstream/status", "upstream status"),
        ("GET", "/upstream/journal", "upstream journal"),
        ("GET", "/door/log", "door log"),
        ("GET", "/door/stats", "door stats"),
        ("GET", "/door/inside", "door inside"),
        ("GET", "/door/reveals", "door reveals"),
        ("POST", "/door/decide", "door decide"),
        ("GET", "/door/bars", "door bar list"),
        ("POST", "/door/bars", "door bar add"),
        ("DELETE", "/door/bars/{card}", "door bar remove"),
        ("GET", "/door/passes", "door pass list"),
        ("POST", "/door/passes", "door pass add"),
        ("DELETE", "/door/passes/{card}", "door pass remove"),
        ("GET", "/branches", "branch list"),
        ("POST", "/branches/{branch}/close", "branch close"),
        ("POST", "/branches/{branch}/open", "branch open"),
        ("POST", "/branches/{branch}/reset", "branch reset"),
        ("GET", "/review", "review list"),
        ("GET", "/review/{review_id}", "review show"),
        ("POST", "/review/{review_id}/close", "review close"),
        ("GET", "/explain", "explain"),
        ("GET", "/payments/totals", "payment totals"),
        ("GET", "/payments/refused", "payment refused"),
        ("GET", "/payments/reconcile", "payment reconcile"),
        ("POST", "/payments/surpluses/{fee_id}/refund", "payment refund"),
        ("POST", "/payments/{payment_id}/settle", "payment reconcile --settle"),
        ("GET", "/payments/export", "payment export"),
        ("POST", "/payments/export/{export_id}/done", "payment export --done"),
        ("GET", "/payments", "payment list"),
        ("GET", "/payments/{payment_id}", "payment show"),
        ("POST", "/payments/{payment_id}/undo", "payment undo"),
    }
    assert all((method == "GET") == (ACTIONS[words].does == "reads") for method, _, words in found)


async def test_the_description_says_of_every_answer_what_it_is(client) -> None:
    described = (await client("GET", "/openapi.json", "vic")).json
    assert described["security"] == [{"token": []}]
    problem = {"$ref": "#/components/schemas/Problem"}
    for operations in described["paths"].values():
        for operation in operations.values():
            assert {"401", "403", "404", "409", "413", "422", "429", "503"} <= set(
                operation["responses"]
            )
            for status, answer in operation["responses"].items():
                schemas = [one["schema"] for one in answer.get("content", {}).values()]
                assert status in ("200", "201", "204") or problem in schemas, operation
    assert set(described["components"]["schemas"]["Problem"]["required"]) == {
        *("type", "title", "status", "detail"),
    }
