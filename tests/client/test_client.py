"""The client that we ship: each call is its resource, a refusal an error of its kind (B84)."""

import socket
import threading
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from programs import Site

from sip2gw import client as shipped
from sip2gw.client import Client
from sip2gw.client.calls import at

PERSON: dict[str, Any] = {
    "kind": "patron",
    "birth_date": "1980-01-01",
    "membership": "201",
    "membership_until": "2099-12-31",
}
LIBRARY: list[dict[str, Any]] = [
    {"kind": "membership", "code": "201", "description": "Adult", "type": 0},
    {**PERSON, "id": "P1", "name": "Ann", "cards": [{"number": "C 1/?"}]},
    {**PERSON, "id": "P2", "name": "Bob"},
]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path, *LIBRARY)
    yield made
    made.close()


def test_lists_are_those_of_the_commands_page_after_page(site):
    staff = site.client("staff")
    numbers = [
        staff.open_support_message("AU", "CARD", f"{n}", patron="P1", key=f"K{n}")["id"]
        for n in (1, 2, 3)
    ]
    assert [one["id"] for one in staff.support_messages(limit=2, open=True)] == numbers
    assert list(staff.support_messages()) == site.listed("support", "list")
    assert list(staff.payments(since="2026-01-01")) == list(staff.notices()) == []
    assert list(staff.relationships("P1")) == []
    assert [one["name"] for one in site.client().tokens()] == ["admin", "self", "staff", "view"]
    read = site.client().audit(patron="P1", who="staff")
    assert {one["action"] for one in read} == {"support open", "relationship list"}


def test_one_thing_comes_with_its_version(site):
    staff = site.client("staff")
    opened = staff.open_support_message("AU", "CARD", "x", branch="MAIN")
    seen, etag = staff.support_message(opened["id"])
    assert seen == opened
    answered = staff.answer_support_message(seen["id"], "Done.", if_match=etag)
    assert answered["history"][-1]["note"] == "Done."
    with pytest.raises(shipped.ChangedError):
        staff.answer_support_message(seen["id"], "Again.", if_match=etag)


def test_patrons_act_for_themselves(site):
    ann, bob = (site.client("self").acting_for(patron) for patron in ("P1", "P2"))
    proposed = ann.propose("P2", date(1980, 1, 1), ["renew", "pay"])
    assert (proposed["functions"], proposed["confirmed"]) == (["pay", "renew"], False)
    assert list(bob.authorisations()) == [proposed]
    assert bob.confirm("P1")["confirmed"]
    ann.withdraw("P2")
    ann.propose("P2", date(1980, 1, 1), ["pay"])
    with pytest.raises(shipped.ConflictError, match="something else now"):
        bob.confirm("P1", ["pay", "renew"])
    assert bob.confirm("P1", ["pay"])["confirmed"]
    bob.renounce("P1")
    assert list(ann.authorisations()) == []
    assert ann.accept_house_rules() == {
        "house_rules_accepted": site.client().patron("P1")["house_rules_accepted"]
    }
    assert list(ann.messages()) == []
    with pytest.raises(shipped.ConflictError, match="only the gateway opens"):
        ann.ask("AU", "CARD", "x")


def test_tokens_are_made_and_revoked(site):
    admin = site.client()
    made = Client("", admin.add_token("kim", "view", networks=["192.0.2.0/24"]), send=site._send)
    assert list(made.payments()) == []
    admin.revoke_token("kim")
    with pytest.raises(shipped.UnauthorizedError):
        list(made.payments())


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (shipped.UnauthorizedError, lambda site: next(site.client("nobody").payments())),
        (shipped.ForbiddenError, lambda site: next(site.client("view").support_messages())),
        (shipped.MissingError, lambda site: site.client().payment("X")),
        (shipped.MissingError, lambda site: site.client().undo_payment("X", key="K")),
        (shipped.ConflictError, lambda site: site.client().send_notices(again=True)),
        (shipped.InvalidError, lambda site: next(site.client().payments(since="soon"))),
        (shipped.RestError, lambda site: site.client().ask("PATCH", "/payments")),
    ],
)
def test_a_refusal_is_an_error_of_its_kind(site, kind, call):
    with pytest.raises(kind) as refused:
        call(site)
    assert type(refused.value) is kind
    assert str(refused.value) == refused.value.detail != ""


def test_what_is_wrong_where_and_when_to_try_again_is_told(site):
    with pytest.raises(shipped.InvalidError) as wrong:
        list(site.client().payments(since="soon"))
    assert [one["where"] for one in wrong.value.problems] == ["query.since"]
    eve = site.client("self").acting_for("P2")
    for _ in range(5):
        with pytest.raises(shipped.ConflictError):
            eve.propose("C9", date(1970, 1, 1), ["pay"])
    with pytest.raises(shipped.TooFastError) as fast:
        eve.propose("P1", date(1980, 1, 1), ["pay"])
    assert fast.value.wait_s == 900


def test_a_path_has_whatever_characters_a_card_has():
    assert at("patrons", "C 1/?&é") == "/patrons/C%201%2F%3F%26%C3%A9"


# Over HTTP


@contextmanager
def answering(status: int, body: bytes, **headers: str):
    """A server that always answers the same; gives its URL and what it was asked."""
    asked: list[tuple[str, str, dict[str, str], bytes]] = []

    class Always(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.command, self.path, dict(self.headers), sent))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Always) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/lib/", asked
        finally:
            server.shutdown()
            thread.join()


def test_over_http_it_asks_and_reads_the_answer():
    with answering(200, b'{"a": 1}', ETag='"v1"') as (url, asked):
        told = Client(url, "s2g_x").ask(
            "POST", at("x y"), {"b": None}, key="K", if_match='"v0"', query={"c": True, "d": None}
        )
    assert told == ({"a": 1}, '"v1"')
    ((method, path, headers, body),) = asked
    assert (method, path, body) == ("POST", "/lib/api/v1/x%20y?c=true", b'{"b": null}')
    assert headers.items() >= {
        ("authorization", "Bearer s2g_x"),
        ("if-match", '"v0"'),
        ("idempotency-key", "K"),
    }


def test_an_answer_of_somebody_else_is_an_error():
    with answering(200, b"<html>") as (url, _), pytest.raises(shipped.RestError, match="address"):
        Client(url, "x").ask("POST", "/x", {})
    with answering(502, b'["proxy"]') as (url, _), pytest.raises(shipped.RestError) as refused:
        Client(url, "x").ask("POST", "/x", {})
    assert (refused.value.status, refused.value.detail) == (502, "the answer has the status 502")


def test_without_an_answer_nobody_knows_whether_it_was_done():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(shipped.UnavailableError) as refused:
            Client(url, "s2g_secret").ask("POST", "/x", {})
    assert (refused.value.status, "secret" in repr(refused.value)) == (0, False)


@pytest.mark.parametrize("url", ["", "127.0.0.1:9102", "ftp://x", "http://", "http://me@x"])
def test_a_url_is_one_of_http(url):
    with pytest.raises(ValueError, match="like http"):
        Client(url, "x")
