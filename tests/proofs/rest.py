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
import multiprocessing
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from proofs.canary import PIN, chirps, look_into_files
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from proofs.rest_judge import Heard, Judge, Places
from proofs.rest_scene import (
    IN_FRONT,
    Ids,
    asked_plainly,
    at_the_kiosk,
    in_the_store,
    over_rest,
    records,
    site,
    tokens_of,
    words_of,
)
from proofs.rest_tour import STOPS, STOPS_IN_FRONT, go
from sip2gw.model.rights import Role

WRONG_PER_ADDRESS = 15
"""Tokens that are not good: after 20 an address is told to wait."""
OPEN_WITHIN_S = 900.0
PASSED_OVER_S = 0.01
"""How long a trace lasts at most; a second would teach nothing more."""


class Caller(NamedTuple):
    """Somebody who asks; the tokens are sent in turn."""

    name: str
    role: Role | None
    tokens: Sequence[str | None]


NOBODY = Caller("nobody", None, [None])
STRANGER = Caller("stranger", None, ["y" * 40, *tokens_of("elsewhere"), "", "\u00e9"])
OF_STAFF = (Role.VIEW, Role.STAFF, Role.ADMIN)
"""Who may look at the library system."""
CALLERS = (*(Caller(role, role, tokens_of(role)) for role in reversed(Role)), NOBODY, STRANGER)


async def opened(admin: str) -> None:
    """Wait for the process for HTTP: on a busy machine it begins later than a request may take."""
    async with asyncio.timeout(OPEN_WITHIN_S):
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                token = tokens_of(Role.VIEW)[0]
                status, _ = await asyncio.to_thread(
                    asked_plainly, admin, "GET", "/api/v1/openapi.json", token
                )
                if status == 200:
                    return
            await asyncio.sleep(0.2)


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
    ids: Ids
    judge: Judge
    problems: list[str] = field(default_factory=list)

    def ask_all(self, description: dict[str, Any]) -> None:
        """Make the requests and judge the answers; blocks."""
        import schemathesis
        from schemathesis.engine import events, from_schema

        config = self._settings(description)
        if self.caller.role is not None:
            whole = schemathesis.openapi.from_dict(description, config=config)
            go(self.caller.role, STOPS, self.admin, whole, self.ids, self.judge)
        if not self.examples:
            return
        schema = schemathesis.openapi.from_dict(without_streams(description), config=config)
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
                **words_of(description, self.ids),
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


def describe(admin: str) -> dict[str, Any]:
    """The description, as the gateway gives it."""
    status, body = asked_plainly(admin, "GET", "/api/v1/openapi.json", tokens_of(Role.VIEW)[0])
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
        for token in (None, "y" * 40, tokens_of("elsewhere")[0]):
            address = f"127.0.1.{next(asked) // WRONG_PER_ADDRESS + 1}"
            status, body = asked_plainly(admin, method, path, token, address)
            judge.hear(Heard(f"knocking from {address}", None, method, path, status, body))
            judge.expect(status == 401, f"{method} {path} with {token} was answered {status}")


# The proof -------------------------------------------------------------------------------------


@asynccontextmanager
async def asked(judge: Judge, more: str = "") -> AsyncIterator[tuple[GatewayProcess, Path]]:
    """A gateway of its own with the scene set, and what must not be left behind."""
    report = judge.report
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = await prepare(directory, site(directory) + more, records())
        async with GatewayProcess(path) as gateway:
            await gateway.start(OPEN_WITHIN_S)
            yield gateway, path
            report.expect(await gateway.stop() == 0, "the end was not 0")
        for event in ("uncaught", "http_ended", "http_failed"):
            report.expect(not gateway.events(event), f"{event}: {gateway.events(event)[:1]}")
        said = [*map(json.dumps, gateway.log), *gateway.other_output]
        report.expect(not any(map(chirps, said)), "a PIN is in the log")
        report.expect(not gateway.other_output, f"it said {gateway.other_output[:3]}")
        look_into_files(directory, report)


async def ask_as(caller: Caller, seed: int, examples: int, judge: Judge) -> None:
    """All that one caller asks."""
    async with asked(judge) as (gateway, path):
        await at_the_kiosk(gateway, judge.report)
        ids = await in_the_store(path)
        await opened(gateway.admin)
        ids |= await asyncio.to_thread(over_rest, gateway.admin)
        description = await asyncio.to_thread(describe, gateway.admin)
        judge.places = Places(description)
        if caller is NOBODY:
            await asyncio.to_thread(knock, gateway.admin, judge.places, judge)
        run = Run(caller, gateway.admin, seed, examples, ids, judge)
        await asyncio.to_thread(run.ask_all, description)
    for problem in run.problems:
        judge.expect(False, f"{caller.name}: schemathesis: {problem}")


async def ask_in_front(role: Role, judge: Judge) -> None:
    """What only a gateway in front of a library system answers."""
    import schemathesis

    async with asked(judge, IN_FRONT) as (gateway, _):
        await opened(gateway.admin)
        description = await asyncio.to_thread(describe, gateway.admin)
        judge.places = Places(description)
        schema = schemathesis.openapi.from_dict(description)
        await asyncio.to_thread(go, role, STOPS_IN_FRONT, gateway.admin, schema, {}, judge)


def heard_by(name: str, seed: int, examples: int) -> Judge:
    """What one caller hears; in a process of its own."""
    judge = Judge(Report(name))
    caller = next(one for one in CALLERS if one.name == name)
    asyncio.run(ask_as(caller, seed, examples, judge))
    return judge


def heard_in_front(role: Role) -> Judge:
    """The same in front of a library system."""
    judge = Judge(Report(role))
    asyncio.run(ask_in_front(role, judge))
    return judge


def prove(
    requests: int, seed: int, examples: int, names: Sequence[str], at_once: int = 1
) -> Report:
    """Rounds of these callers, so many `at_once`, until so many requests were made."""
    judge = Judge(Report("rest"))
    seeds = itertools.count(seed)
    # Each in a new process: a caller's hooks and what schemathesis remembers are its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=context, max_tasks_per_child=1) as pool:
        under_way = [pool.submit(heard_in_front, role) for role in OF_STAFF if role in names]
        while judge.requests < requests:
            under_way += [pool.submit(heard_by, name, next(seeds), examples) for name in names]
            for heard in map(Future.result, as_completed(under_way)):
                judge.add(heard)
                sys.stderr.write(f"{heard.report.title}: {judge.requests} requests so far\n")
            under_way.clear()
    judge.sum_up()
    return judge.report


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python tests/proofs rest", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="at least (default 100000)")
    parser.add_argument(
        "--examples", type=int, default=150, help="of an operation (default 150; 0: the tour only)"
    )
    parser.add_argument("--seed", type=int, default=1)
    names = [caller.name for caller in CALLERS]
    parser.add_argument("--callers", nargs="+", choices=names, default=names, help="only these")
    parser.add_argument("--at-once", type=int, default=2, help="callers at a time (default 2)")
    given = parser.parse_args(arguments)
    chosen = (given.requests, given.seed, given.examples, given.callers, given.at_once)
    return prove(*chosen).tell()
