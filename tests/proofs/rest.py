"""REST under requests that its own description gives rise to. (B83, B84, C176)

[Schemathesis](https://schemathesis.readthedocs.io) reads `/api/v1/openapi.json` from a real gateway
and makes requests of it, good and bad ones, alone and one after the other with what the answers
gave. They come with a token of each role, with none, and with tokens that are not good. A token may
ask 100 times a second, so each role has several. Each of these callers has a gateway of its own
over a fresh copy of the library, for an administrator removes patrons and books what is owed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness import CONFIG, ask_37

from proofs.canary import PIN, chirps, library, look_into_files
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from proofs.rest_judge import Heard, Judge, Places
from sip2gw.model.rights import Role

TOKENS = 5
"""Of each role: they may ask so many times 100 times a second."""
WRONG_PER_ADDRESS = 15
"""Tokens that are not good: after 20 an address is told to wait."""
OPEN_WITHIN_S = 120.0
PASSED_OVER_S = 0.01
"""How long a trace lasts at most; a second would teach nothing more."""
PAYMENTS = (("1001", "1.00"), ("1001", "2.00"), ("1004", "10.00"), ("1011", "0.50"))
"""Made at a kiosk before, so that there is something to undo."""


class Caller(NamedTuple):
    """Somebody who asks; the tokens are sent in turn."""

    name: str
    role: Role | None
    tokens: Sequence[str | None]


def _tokens(name: str) -> list[str]:
    return [f"{name}-{number}-{'x' * 40}" for number in range(TOKENS)]


NOBODY = Caller("nobody", None, [None])
STRANGER = Caller("stranger", None, ["y" * 40, *_tokens("elsewhere"), "", "\u00e9"])
CALLERS = (*(Caller(role, role, _tokens(role)) for role in reversed(Role)), NOBODY, STRANGER)

# The site --------------------------------------------------------------------------------------


def _site(directory: Path) -> str:
    """The small library's configuration with tokens, whose files are made."""
    text = CONFIG
    for name in (*Role, "elsewhere"):
        networks = 'networks = ["192.0.2.0/24"]\n' if name == "elsewhere" else ""
        role = "admin" if name == "elsewhere" else name
        for number, token in enumerate(_tokens(name)):
            (directory / f"{name}-{number}").write_text(f"{token}\n")
            text += (
                f'[admin.tokens.{name}-{number}]\nrole = "{role}"\n'
                f'token_file = "{name}-{number}"\n{networks}'
            )
    return text


CARDS = ("1001", "1002", "1004", "1005", "1006", "1009")
CODES = ("ONBE", "OLD1", "201")
PLACES = ("kiosk-1", "pay-1", "door-1", "MAIN", "SHUT")
FEES = ("T1", "D1", "D2", "B1", "I1")
DAYS = ("today", "2026-03-01", "2099-12-31")
KNOWN = {
    "patron": CARDS,
    "card": CARDS,
    "lasting": CARDS,
    "code": CODES,
    "terminal": PLACES,
    "branch": PLACES,
    "name": PLACES,
    "login": PLACES,
    "fee": FEES,
}
"""What the library has, by what the name of a parameter has in it."""


def words_of(description: dict[str, Any], payments: Sequence[str]) -> dict[str, Any]:
    """Settings by which most parameters name something that there is, and half of all texts."""
    known = {**KNOWN, "payment": tuple(payments)}
    found = {
        f"{one['in']}.{one['name']}": {"dictionary": word, "probability": 0.7}
        for operations in description["paths"].values()
        for operation in operations.values()
        for one in operation.get("parameters", ())
        for word in known
        if word in one["name"]
    }
    lists = {**known, "any": dict.fromkeys(itertools.chain(DAYS, *known.values()))}
    return {
        "dictionaries": {name: {"values": list(values)} for name, values in lists.items()},
        "parameters": found,
    }


async def opened(admin: str) -> None:
    """Wait for the process for HTTP: on a busy machine it begins later than a request may take."""
    async with asyncio.timeout(OPEN_WITHIN_S):
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                token = _tokens(Role.VIEW)[0]
                status, _ = await asyncio.to_thread(
                    asked_plainly, admin, "GET", "/api/v1/openapi.json", token
                )
                if status == 200:
                    return
            await asyncio.sleep(0.2)


async def _pay(gateway: GatewayProcess, report: Report) -> None:
    kiosk = await gateway.terminal("pay-1")
    for number, (card, amount) in enumerate(PAYMENTS):
        answer = await kiosk.ask(ask_37(card, amount, pin=PIN, bk=f"K{number}"))
        report.expect(answer.startswith("38Y"), f"a payment of {card} was answered {answer}")


# Asking ----------------------------------------------------------------------------------------


@dataclass
class _Manners:
    """What is added to each request before it is sent."""

    tokens: Iterator[str | None]
    secrets: frozenset[str]
    """Keys of bodies that hold a secret."""
    versions: Iterator[bool] = field(default_factory=lambda: itertools.cycle((True, False)))
    """Whether the next `If-Match` is one that holds; what is made up never does."""

    def change(self, case: Any) -> None:
        """Send a token; let a secret be the canary, and some versions fit; let no trace last."""
        token = next(self.tokens)
        case.headers.pop("Authorization", None)
        if token is not None:
            case.headers["Authorization"] = f"Bearer {token}"
        if "if-match" in case.headers and next(self.versions):
            case.headers["if-match"] = "*"
        case.body = self._with_canary(case.body)
        if any(one.name == "seconds" for one in case.operation.query):
            given = (case.query or {}).get("seconds", 1.0)
            if isinstance(given, int | float) and given > PASSED_OVER_S:
                case.query = {**(case.query or {}), "seconds": PASSED_OVER_S}

    def _with_canary(self, body: Any) -> Any:
        if isinstance(body, list):
            return [self._with_canary(one) for one in body]
        if not isinstance(body, dict):
            return body
        return {
            key: (PIN if isinstance(value, str) else [PIN])
            if key in self.secrets
            else self._with_canary(value)
            for key, value in body.items()
        }


@dataclass
class Run:
    """What schemathesis does as one caller."""

    caller: Caller
    admin: str
    seed: int
    examples: int
    payments: Sequence[str]
    judge: Judge
    problems: list[str] = field(default_factory=list)

    def ask_all(self, description: dict[str, Any]) -> None:
        """Make the requests and judge the answers; blocks."""
        import schemathesis
        from schemathesis.engine import events, from_schema

        schema = schemathesis.openapi.from_dict(description, config=self._settings(description))
        manners = _Manners(itertools.cycle(self.caller.tokens), secrets_of(description))

        def before_call(context: Any, case: Any, kwargs: Any) -> None:
            manners.change(case)

        schemathesis.hook(before_call)
        try:
            for event in from_schema(schema).execute():
                if isinstance(event, events.ScenarioFinished):
                    self._hear(event.recorder)
                elif isinstance(event, events.NonFatalError):
                    self.problems.append(f"{event.label}: {event.value!r}"[:500])
                elif isinstance(event, events.FatalError):
                    self.problems.append(repr(event.exception)[:500])
        finally:
            schemathesis.hooks.unregister(before_call)

    def _settings(self, description: dict[str, Any]) -> Any:
        import schemathesis

        is_known = self.caller.role is not None
        return schemathesis.Config.from_dict(
            {
                "seed": self.seed,
                "base-url": f"http://{self.admin}",
                "request-timeout": 15,
                "continue-on-failure": True,
                "suppress-health-check": ["all"],
                "output": {"truncation": {"max-recorded-payload-size": 0}},
                **words_of(description, self.payments),
                "generation": {
                    "max-examples": self.examples if is_known else 1 + self.examples // 20,
                    "no-shrink": True,
                    "database": "none",
                    "with-security-parameters": False,
                    "dictionaries": {"string": {"dictionary": "any", "probability": 0.5}},
                },
                "phases": {"stateful": {"enabled": is_known}},
                "checks": {
                    "enabled": False,
                    "not_a_server_error": {"enabled": True},
                    "status_code_conformance": {"enabled": True},
                    "content_type_conformance": {"enabled": True},
                    "response_headers_conformance": {"enabled": True},
                    "response_schema_conformance": {"enabled": True},
                },
            }
        )

    def _hear(self, recorder: Any) -> None:
        for one in recorder.interactions.values():
            if one.response is None:
                self.judge.fault(self.caller.name, "no answer", one.request.method, one.request.uri)
                continue
            told = one.response
            self.judge.hear(
                Heard(
                    self.caller.name,
                    self.caller.role,
                    one.request.method,
                    one.request.uri,
                    told.status_code,
                    told.content or b"",
                )
            )
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    asked = recorder.interactions[case_id].request
                    failure = check.failure_info.failure
                    why = f"{check.name}: {failure.title}: {failure.message[:400]}"
                    body = (asked.body or b"")[:200]
                    self.judge.fault(self.caller.name, why, asked.method, f"{asked.uri} {body!r}")


def secrets_of(description: dict[str, Any]) -> frozenset[str]:
    """The keys of bodies that are described as secret."""
    return frozenset(
        key
        for schema in description["components"]["schemas"].values()
        for key, one in schema.get("properties", {}).items()
        if one.get("writeOnly")
    )


def asked_plainly(
    admin: str, method: str, path: str, token: str | None, source: str = "127.0.0.1"
) -> tuple[int, bytes]:
    """Status and body of one request without a body, from an address of this machine."""
    host, _, port = admin.rpartition(":")
    line = http.client.HTTPConnection(host, int(port), timeout=15, source_address=(source, 0))
    try:
        line.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def payments(admin: str) -> list[str]:
    """The ids of those that were made before."""
    status, body = asked_plainly(admin, "GET", "/api/v1/payments", _tokens(Role.VIEW)[0])
    assert status == 200, body
    return [one["id"] for one in json.loads(body)["items"]]


def describe(admin: str) -> dict[str, Any]:
    """The description, as the gateway gives it."""
    status, body = asked_plainly(admin, "GET", "/api/v1/openapi.json", _tokens(Role.VIEW)[0])
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def without_streams(description: dict[str, Any]) -> dict[str, Any]:
    """The same without what answers for seconds and in no schema; `knock` comes there, too."""
    return {
        **description,
        "paths": {
            path: {
                method: operation
                for method, operation in operations.items()
                if "text/event-stream" not in str(operation["responses"])
            }
            for path, operations in description["paths"].items()
        },
    }


def knock(admin: str, places: Places, judge: Judge) -> None:
    """Each operation without a token and with tokens that are not good, from many addresses."""
    asked = itertools.count()
    for method, path in places.examples():
        for token in (None, "y" * 40, _tokens("elsewhere")[0]):
            address = f"127.0.1.{next(asked) // WRONG_PER_ADDRESS + 1}"
            status, body = asked_plainly(admin, method, path, token, address)
            judge.hear(Heard(f"knocking from {address}", None, method, path, status, body))
            judge.expect(status == 401, f"{method} {path} with {token} was answered {status}")


# The proof -------------------------------------------------------------------------------------


async def ask_as(caller: Caller, seed: int, examples: int, judge: Judge, report: Report) -> None:
    """All that one caller asks, of a gateway of its own, and what that leaves behind."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = await prepare(directory, _site(directory), library())
        async with GatewayProcess(path) as gateway:
            await gateway.start()
            await _pay(gateway, report)
            await opened(gateway.admin)
            description = await asyncio.to_thread(describe, gateway.admin)
            judge.places = Places(description)
            if caller is NOBODY:
                await asyncio.to_thread(knock, gateway.admin, judge.places, judge)
            paid = await asyncio.to_thread(payments, gateway.admin)
            run = Run(caller, gateway.admin, seed, examples, paid, judge)
            await asyncio.to_thread(run.ask_all, without_streams(description))
            report.expect(await gateway.stop() == 0, f"{caller.name}: the end was not 0")
        for problem in run.problems:
            report.expect(False, f"{caller.name}: schemathesis: {problem}")
        for event in ("uncaught", "http_ended", "http_failed"):
            report.expect(not gateway.events(event), f"{event}: {gateway.events(event)[:1]}")
        said = [*map(json.dumps, gateway.log), *gateway.other_output]
        report.expect(not any(map(chirps, said)), f"{caller.name}: a PIN is in the log")
        report.expect(not gateway.other_output, f"it said {gateway.other_output[:3]}")
        look_into_files(directory, report)


async def prove(requests: int, seed: int, examples: int, names: Sequence[str]) -> Report:
    """Rounds of these callers, until so many requests were made."""
    report = Report("rest")
    judge = Judge(report)
    seeds = itertools.count(seed)
    while judge.requests < requests:
        for caller in CALLERS:
            if caller.name in names:
                await ask_as(caller, next(seeds), examples, judge, report)
                sys.stderr.write(f"{caller.name}: {judge.requests} requests so far\n")
    judge.sum_up()
    return report


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python tests/proofs rest", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="at least (default 100000)")
    parser.add_argument("--examples", type=int, default=150, help="of an operation (default 150)")
    parser.add_argument("--seed", type=int, default=1)
    names = [caller.name for caller in CALLERS]
    parser.add_argument("--callers", nargs="+", choices=names, default=names, help="only these")
    given = parser.parse_args(arguments)
    report = asyncio.run(prove(given.requests, given.seed, given.examples, given.callers))
    return report.tell()
