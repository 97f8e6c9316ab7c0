"""A door decides alike by HTTP and by SIP2: random cards, PINs, moments and doors, asked both ways.

Two gateways have the same library, doors and clock. One is asked by SIP2, the other as the process
for HTTP asks it. Between requests minutes or days pass, wrong PINs lock cards, staff bar cards and
lift bars, and people go out again. With `--postgresql` both stores are on PostgreSQL.

Shown (C140): decision, reason and text are the same; so are the rows of the door log with all
results of their checks, the lines of the log, and what the metrics count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections import Counter
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

from harness import URL, Running, ask_63, fields, running
from postgres import Server, running_server

from proofs.explain import DOORS, PATRONS, PAUSE_S, TERMINALS, configuration, library
from proofs.report import Report
from sip2gw.control.messages import Decide, Decided
from sip2gw.model import AccessRow, DoorEntry

STEPS = 2_000
HOURS_BETWEEN = 1.2
HOURS_MAX = 20
FIXED_64 = 61
DOOR_NAMES = tuple(name for name, (profile, _) in TERMINALS.items() if profile in DOORS)
KEYS = ("time", "terminal", "reason", "outcome", "message")
REASON = KEYS.index("reason")
NOBODY: Any = None
"""Peers are asked for by traces only."""


class Both:
    """Two gateways, each asked in its own way."""

    def __init__(self, by_sip2: Running, by_http: Running, report: Report, seed: int) -> None:
        self._by_sip2, self._by_http = self._gateways = by_sip2, by_http
        self._report = report
        self._chance = random.Random(seed)
        self._holder = "P0"
        self.verdicts: list[Decided] = []

    async def step(self) -> None:
        """Let something happen and time pass; then somebody stands at a door."""
        chance = self._chance
        if chance.random() < 0.1:
            await self._bar_or_not(f"P{chance.randrange(PATRONS)}")
        if chance.random() < 0.02:
            await self._guess()
        hours = min(chance.expovariate(1 / HOURS_BETWEEN), HOURS_MAX)
        # Now and then at once: a passage goes on, and a lock holds.
        seconds = chance.choice((1.0, PAUSE_S + 3_600 * hours))
        for gateway in self._gateways:
            gateway.clock.advance(seconds)
        if chance.random() < 0.8:
            self._holder = f"P{chance.randrange(PATRONS)}"
        card = self._holder + chance.choice(("", "", "", "", "B", "R", "Z"))
        pin = chance.choice((self._holder, self._holder, self._holder, "wrong", "", None))
        await self._ask(chance.choice(DOOR_NAMES), card, pin)

    async def _guess(self) -> None:
        """Somebody tries PINs at the entrance, until the card's is locked."""
        for pin in ("1", "2", "3", "4", "5", self._holder):
            await self._ask("entrance", self._holder, pin)

    async def _bar_or_not(self, card: str) -> None:
        """Staff change a door's list."""
        is_barred = self._chance.random() < 0.5
        for gateway in self._gateways:
            if is_barred:
                await gateway.store.put_door_entry(DoorEntry("bar", "MAIN", card))
            else:
                await gateway.store.remove_door_entry("bar", "MAIN", card)

    async def _ask(self, door: str, card: str, pin: str | None) -> None:
        line = await self._by_sip2.terminal(door)
        said = await line.ask(ask_63(card, pin, language="000"))
        line.close()
        told = await decided(self._by_http, Decide(door, card, pin))
        self.verdicts.append(told)
        if TERMINALS[door][0] != "facts":  # its answer says what is known, and not what is decided
            text = " ".join(fields(said, "AF", fixed=FIXED_64))
            self._report.expect(told.text == text, f"{door} {card} {pin}: {told}, by SIP2 {text}")

    async def compare(self) -> None:
        """The door logs, the lines of the logs, and the numbers are the same."""
        self._same("row", *[await rows_of(gateway) for gateway in self._gateways])
        lines, others = [requests_of(gateway) for gateway in self._gateways]
        self._same("line", lines, others)
        reasons = [line[REASON] for line in lines]
        self._same("reason", reasons, [one.reason for one in self.verdicts])
        decisions = ["granted" if one == "granted" else "refused" for one in reasons]
        self._same("decision", decisions, [one.decision for one in self.verdicts])
        for name in ("access_decisions", "pin_locks", "last_message"):
            sip2, http = (getattr(gateway.metrics, name) for gateway in self._gateways)
            self._report.expect(sip2 == http, f"{name}: by SIP2 {sip2}, by HTTP {http}")

    def _same(self, what: str, sip2: list[Any], http: list[Any]) -> None:
        self._report.expect(len(sip2) == len(http), f"{len(sip2)} {what}s, by HTTP {len(http)}")
        for one, other in zip(sip2, http, strict=False):
            self._report.expect(one == other, f"{what} {one}, by HTTP {other}")


async def decided(gateway: Running, question: Decide) -> Decided:
    """What the process for HTTP is told."""
    answer = gateway.app.operators._operations.answer(question, NOBODY)
    assert isinstance(answer, asyncio.Future), answer
    told = await answer
    assert isinstance(told, Decided)
    return told


async def rows_of(gateway: Running) -> list[AccessRow]:
    """The door log, with every result, as soon as all that was counted is written."""
    counted = sum(gateway.metrics.access_decisions.values())
    rows: list[AccessRow] = []
    async with asyncio.timeout(30):
        while len(rows) < counted:
            await asyncio.sleep(0.05)  # they are written within a second
            rows = gateway.store.access_rows(limit=counted + 1)
    return rows


def requests_of(gateway: Running) -> list[tuple[str, ...]]:
    """The lines about requests: when, where, why."""
    lines = (one for one in gateway.logged() if one["event"] == "request")
    return [tuple(one.get(key, "") for key in KEYS) for one in lines if one["message"] != "93"]


async def prove(directory: Path, *, steps: int, seed: int, server: Server | None = None) -> Report:
    """Ask `steps` times in both ways."""
    report = Report("decide on SQLite" if server is None else "decide on PostgreSQL")
    records = list(library(random.Random(seed)))
    async with AsyncExitStack() as stack:
        gateways = list[Running]()
        for name in ("sip2", "http"):
            place = directory / name
            place.mkdir()
            url = URL if server is None else server.url(server.make_database())
            started = running(place, config=configuration(url), records=records)
            gateways.append(await stack.enter_async_context(started))
        both = Both(gateways[0], gateways[1], report, seed)
        for _ in range(steps):
            await both.step()
        await both.compare()
    reasons = Counter(one.reason for one in both.verdicts)
    report.numbers = {
        "decided": reasons.total(),
        "reasons": len(reasons),
        "by reason": json.dumps(dict(sorted(reasons.items()))),
    }
    return report


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="decide", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server() if options.postgresql else nullcontext() as server,
    ):
        return asyncio.run(
            prove(Path(directory), steps=options.steps, seed=options.seed, server=server)
        ).tell()
