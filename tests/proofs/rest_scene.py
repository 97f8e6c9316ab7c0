"""The site that the proof `rest` asks: a library in which there is something for every operation.

What a program asks for has to be there, or it is only ever refused. So before anybody asks, a kiosk
has taken payments and a loan that was made off line, an import has lowered a charge that was paid,
two payments wait for a library system, and a question of a patron waits at customer support.
"""

from __future__ import annotations

import http.client
import itertools
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from desk import ask_11
from harness import CONFIG, LIBRARY, ask_37, load
from orders import saying, settling

from proofs.canary import PIN
from proofs.process import GatewayProcess, today
from proofs.report import Report
from sip2gw.backend.base import Begun, PaymentOrder
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.config import load_config
from sip2gw.model.rights import Role
from sip2gw.model.shares import Kept, Share

TOKENS = 5
"""Of each role: each may ask 100 times a second."""
PAYMENTS = (("1001", "1.00"), ("1001", "2.00"), ("1004", "10.00"), ("1011", "0.50"))
"""Made at a kiosk before, so that there is something to undo."""
TABLES = (
    ("type", {"code": "QU", "description": "Question"}),
    ("category", {"code": "LOAN", "description": "Loans"}),
    ("department", {"code": "FRONT", "description": "Front office"}),
    ("unit", {"code": "CASH", "description": "Money", "department": "FRONT"}),
    ("default_message", {"code": "BACK", "description": "Back", "text": "You get it back."}),
    ("processing", {"type": "QU", "category": "LOAN", "group": "FRONT", "unit": "CASH"}),
)
QUESTION = {"type": "QU", "category": "LOAN", "text": "Where is my book?", "patron": "1001"}

IN_FRONT = """[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:9"
login = "gateway"
institution = "THEIRS"
"""
"""More of the configuration, for a gateway in front of a library system that is away."""


def tokens_of(name: str) -> list[str]:
    """Tokens of a role; `elsewhere`: of an administrator, but good in another network only."""
    return [f"{name}-{number}-{'x' * 40}" for number in range(TOKENS)]


def site(directory: Path) -> str:
    """The small library's configuration with tokens, whose files are made."""
    text = CONFIG + '[outbox]\nwebhook = "http://127.0.0.1:9/"\n'  # where nobody listens
    for name in (*Role, "elsewhere"):
        networks = 'networks = ["192.0.2.0/24"]\n' if name == "elsewhere" else ""
        role = "admin" if name == "elsewhere" else name
        for number, token in enumerate(tokens_of(name)):
            (directory / f"{name}-{number}").write_text(f"{token}\n")
            text += (
                f'[admin.tokens.{name}-{number}]\nrole = "{role}"\n'
                f'token_file = "{name}-{number}"\n{networks}'
            )
    return text


def records() -> list[dict[str, object]]:
    """The small library, with the canary for every PIN."""
    return [{**one, "pin": PIN} if "pin" in one else dict(one) for one in LIBRARY]


# What there is -----------------------------------------------------------------------------------

CARDS = ("1001", "1002", "1004", "1005", "1006", "1009")
CODES = ("ONBE", "OLD1", "201", "QU", "LOAN")
PLACES = ("kiosk-1", "pay-1", "door-1", "MAIN", "SHUT")
DAYS = ("today", "2026-03-01", "2099-12-31", "1980-05-01")
KNOWN = {
    "patron": CARDS,
    "card": CARDS,
    "lasting": CARDS,
    "other": CARDS,
    "code": CODES,
    "type": ("QU", "authorisation", "head_of_family"),
    "category": ("LOAN",),
    "terminal": PLACES,
    "branch": PLACES,
    "name": PLACES,
    "login": PLACES,
    "fee": ("T1", "D1", "D2", "B1", "I1"),
}
"""What the library has, by what the name of a parameter has in it."""

Ids = dict[str, str]
"""Of what was made beforehand, by its name in `rest_tour`: `payment`, `unsure`, `export`, `review`
and `message`."""


def known(ids: Ids) -> dict[str, tuple[str, ...]]:
    """`KNOWN` with what was made beforehand."""
    payments = (ids["payment"], ids["unsure"])
    return {
        **KNOWN,
        "payment": payments,
        **{name: (ids[name],) for name in ("export", "review", "message")},
    }


def words_of(description: dict[str, Any], ids: Ids) -> dict[str, Any]:
    """Settings by which most parameters name something that there is, and half of all texts."""
    there = known(ids)
    parameters = [
        (f"{one['in']}.{one['name']}", one)
        for operations in description["paths"].values()
        for operation in operations.values()
        for one in operation.get("parameters", ())
    ]
    enumerations = {place for place, one in parameters if "$ref" in str(one["schema"])}
    found = {
        place: {"dictionary": word, "probability": 0.7}
        for place, one in parameters
        for word in there
        if word in one["name"] and place not in enumerations
    }
    lists = {**there, "any": dict.fromkeys(itertools.chain(DAYS, *there.values()))}
    return {
        "dictionaries": {name: {"values": list(values)} for name, values in lists.items()},
        "parameters": found,
    }


# Beforehand --------------------------------------------------------------------------------------


async def at_the_kiosk(gateway: GatewayProcess, report: Report) -> None:
    """Take payments, and a loan made off line of what somebody else has on hold."""
    pay, kiosk = await gateway.terminal("pay-1"), await gateway.terminal("kiosk-1")
    for number, (card, amount) in enumerate(PAYMENTS):
        answer = await pay.ask(ask_37(card, amount, pin=PIN, bk=f"K{number}"))
        report.expect(answer.startswith("38Y"), f"a payment of {card} was answered {answer}")
    answer = await kiosk.ask(ask_11("BOOK4", "1009", PIN, flags="NY"))
    report.expect(answer.startswith("12"), f"a loan made off line was answered {answer}")


async def in_the_store(config: Path) -> Ids:
    """Lower a charge that was paid, and begin two payments for a library system; what there is."""
    store = open_backend(load_config(config), "command", "write").store
    try:
        last_payment = [one.id for one in store.payments()][-1]
        lowered = [{**one, "amount": "1.00"} for one in LIBRARY if one.get("id") == "T1"]
        load(store, lowered, now=today())
        entered, unsure = [
            await _begun(store, Share("1001", "1001", "own", 50, fee, kept=kept))
            for fee, kept in (("F7", Kept.FEE), ("F8", None))
        ]
        await store.book_kept(entered, today())
        (export,), (review,) = store.payment_exports(pending=False), store.reviews()
        return {
            "payment": last_payment, "unsure": unsure, "export": export.id, "review": review.id,
        }  # fmt: skip
    finally:
        await store.close()


async def _begun(store: Library, share: Share) -> str:
    now = today()
    order = PaymentOrder(
        terminal="pay-1",
        key=share.fee_id,
        content=share.fee_id,
        payer_id=share.debtor_id,
        amount=share.amount,
        currency="EUR",
        payment_type="00",
        bk=share.fee_id,
        now=now,
        key_expires=now + timedelta(days=30),
        case=settling(),
        texts=saying("Thank you"),
        card=share.card,
    )
    begun = await store.begin_shares(order, "default", [share], ("Thank you",), {})
    assert isinstance(begun, Begun)
    return begun.payment_id


def over_rest(admin: str) -> Ids:
    """Fill the tables of customer support, and ask it something; what there is."""
    for table, row in TABLES:
        _posted(admin, f"/support/tables/{table}", row)
    return {"message": str(_posted(admin, "/support", QUESTION)["id"])}


def _posted(admin: str, path: str, body: dict[str, str]) -> dict[str, Any]:
    token = tokens_of(Role.ADMIN)[0]
    status, told = asked_plainly(admin, "POST", f"/api/v1{path}", token, body=body)
    assert status == 201, told
    found: dict[str, Any] = json.loads(told)
    return found


def asked_plainly(
    admin: str,
    method: str,
    path: str,
    token: str | None,
    source: str = "127.0.0.1",
    body: Any = None,
) -> tuple[int, bytes]:
    """Status and body of one request, from an address of this machine."""
    host, _, port = admin.rpartition(":")
    line = http.client.HTTPConnection(host, int(port), timeout=15, source_address=(source, 0))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        line.request(method, path, None if body is None else json.dumps(body), headers)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()
