"""Judges what REST answers by the description: who may ask what, and what nobody is told."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from proofs.canary import around, chirps
from proofs.report import Report
from sip2gw.model.rights import Role
from sip2gw.policy.rights import includes

_PARAMETER = re.compile(r"\{([^}]*)\}")


class Heard(NamedTuple):
    """An answer, and what was asked."""

    caller: str
    role: Role | None
    """None: no token that is good."""
    method: str
    url: str
    status: int
    body: bytes


class Place(NamedTuple):
    """An operation of the description."""

    method: str
    path: str
    role: Role
    """Who may do it."""
    pattern: re.Pattern[str]
    """Of the paths that are sent for it, with a group for each parameter."""
    is_stream: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Places:
    """The operations of a description."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.all = [
            Place(
                method.upper(),
                path,
                Role(operation["x-role"]),
                re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", path)),
                "text/event-stream" in str(operation["responses"]),
            )
            for path, operations in description["paths"].items()
            for method, operation in operations.items()
        ]
        self._of: dict[str, list[Place]] = {}
        for one in self.all:
            self._of.setdefault(one.method, []).append(one)

    def at(self, method: str, path: str) -> list[Place]:
        """Which operations are meant by `path` as it was sent."""
        return [one for one in self._of.get(method, ()) if one.pattern.fullmatch(path)]

    def first(self, method: str, path: str) -> Place | None:
        """Which operation answers: the first that fits counts."""
        return next(iter(self.at(method, path)), None)

    def open_to(self, role: Role) -> list[Place]:
        """What `role` may do."""
        return [one for one in self.all if includes(role, one.role)]

    def examples(self) -> Iterator[tuple[str, str]]:
        """A method and a path for each operation."""
        for one in self.all:
            yield one.method, _PARAMETER.sub("1001", one.path)


@dataclass
class Judge:
    """Counts the answers, and notes those that may not be.

    Args:
        report: gets the numbers, and the first example of each kind of fault.
    """

    report: Report
    places: Places = field(default_factory=lambda: Places({"paths": {}}))
    requests: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    done: set[tuple[Role, str]] = field(default_factory=set)
    """Operations that were carried out, and as whom."""
    roles: set[Role] = field(default_factory=set)
    """Who has asked."""

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note `otherwise` unless it `holds`."""
        self.report.expect(holds, otherwise)

    def hear(self, heard: Heard) -> None:
        """Judge one answer."""
        self.requests += 1
        self.statuses[f"{heard.role or heard.caller.split()[0]} {heard.status}"] += 1
        if heard.status >= 500:
            self._against("a status of 5xx", heard)
        if chirps(heard.body):
            self._against(f"a PIN is told: {around(heard.body.decode())}", heard)
        meant = self.places.at(heard.method, urlsplit(heard.url).path)
        if heard.role is not None:
            self.roles.add(heard.role)
            if heard.status < 300:
                self.done |= {(heard.role, str(one)) for one in meant[:1]}
        if not self._is_allowed(heard, meant):
            self._against("somebody who may not was let in, or not told so", heard)

    def _is_allowed(self, heard: Heard, meant: list[Place]) -> bool:
        if heard.role is None:
            return heard.status in (401, 429)
        if any(includes(heard.role, place.role) for place in meant):
            return heard.status != 401 and (heard.status != 429 or _is_of_guesses(heard.body))
        if heard.status == 403:
            return True
        if not meant:
            return heard.status in (404, 405, 422)
        return heard.status in (413, 422) and _is_of_the_gate(heard.body)

    def _against(self, what: str, heard: Heard) -> None:
        answer = heard.body[:200]
        self.fault(heard.caller, f"{what}: {heard.status} {answer!r}", heard.method, heard.url)

    def fault(self, caller: str, what: str, method: str, url: str) -> None:
        """Note a fault; of each kind only the first example is told."""
        path = urlsplit(url.partition(" ")[0]).path
        meant = self.places.at(method, path)
        kind = (what.partition(":")[0], str(meant[0]) if meant else f"{method} {path}")
        self.counted[kind] += 1
        self.faults.setdefault(kind, f"as {caller}: {method} {url[:300]}: {what}")

    def sum_up(self) -> None:
        """Put the numbers and the faults into the report."""
        self.report.numbers |= {
            "requests": self.requests,
            "operations": len(self.places.all),
            "carried out": len(self.done),
            **dict(sorted(self.statuses.items())),
        }
        for role, operation in self.only_refused():
            self.report.expect(False, f"nobody saw {operation} carried out for {role}")
        for kind, example in self.faults.items():
            self.report.expect(False, f"{self.counted[kind]} times, {example}")

    def only_refused(self) -> list[tuple[Role, str]]:
        """What nobody saw carried out, as whom, though they may do it."""
        wanted = {(role, str(one)) for role in self.roles for one in self.places.open_to(role)}
        return sorted(wanted - self.done)

    def add(self, other: Judge) -> None:
        """Add what another one has heard of the same description."""
        for failure in other.report.failures:
            self.expect(False, f"{other.report.title}: {failure}")
        self.places = other.places
        self.requests += other.requests
        self.statuses += other.statuses
        self.counted += other.counted
        self.faults = other.faults | self.faults
        self.done |= other.done
        self.roles |= other.roles


def _is_of_guesses(body: bytes) -> bool:
    """Whether it is refused because too many birth dates were wrong, as schemathesis' are."""
    return b'"too many wrong cards or birth dates;' in body


def _is_of_the_gate(body: bytes) -> bool:
    """Whether a refusal is that of a request that nobody could read, and not of its content."""
    problem = json.loads(body)
    return "problems" not in problem
