"""Odd dates, amounts, numbers and NULs in every field: nothing breaks, nothing is lost for good.

Terminals of every kind send requests of every kind whose dates, amounts, numbers and texts are
what no kiosk should send (years 1 and 9999 with zones, the 30th of February, numbers of 2,000
digits, NULs, halves of surrogates), mixed with right ones so that things are lent, returned,
reserved, paid and blocked all the while. Once on SQLite and once on PostgreSQL.

Shown (B9, B43, B68, C106): no answer was made of a bug or a store's refusal, the log tells of no
exception, every request is answered in its own form. Afterwards every item and patron can be
answered and shown, the export is complete and an import takes it without a change, and the
store's own check finds nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, cast

from desk import DESK_LIBRARY
from harness import NOON, STAMP, ZONE
from postgres import Server, running_server

from proofs.dialogues import login, sealed
from proofs.mutations import chunks
from proofs.odd_values import Speaker
from proofs.report import Report
from proofs.rig import FUZZ_CONFIG, TERMINALS, NullStream, Rig, rigged
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.staff.members.patrons import patron_json
from sip2gw.staff.payments import payment_json

REQUESTS_PER_LINE = 50
LENDING = ("t-kiosk", "t-utf", "t-strict", "t-sorter")
LENDING_CODES = ("09", "11", "15", "17", "19", "29", "63", "65")
PAYING = ("t-cash", "t-separate", "t-wise", "t-gossip")
PAYING_CODES = ("37", "41", "63")
LOOK_EVERY = 1_000
"""So many requests later something may be put right again that was wrong in between."""
CHECKED = "t-strict"
"""Hangs up on who sends no checksums."""
PATIENT = "[server]\nrequest_timeout_s = 60\nterminal_timeout_s = 90\n"
"""On a busy machine no request may end without an answer of its own."""
CONFIG = FUZZ_CONFIG.replace("[profiles.", "[branches.EAST]\n[profiles.", 1).replace(
    "[server]\n", PATIENT
)
KINDS = ((TERMINALS, ()), (LENDING, LENDING_CODES), (PAYING, PAYING_CODES))
"""Who sends, and what most often."""
DONE = (b"121", b"101", b"301", b"161", b"201", b"38Y", b"661", b"64 ", b"24 ", b"26 ", b"18")
"""How answers begin that say yes, or show something; each must have been given."""


class ExceptionsOnly(NullStream):
    """Takes a log and keeps the lines that tell of an exception."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []

    def write(self, data: object) -> int:
        told = bytes(data)  # type: ignore[call-overload]  # any buffer, as RawIOBase says
        self.kept += [line for line in told.splitlines() if b'"exception"' in line]
        return super().write(data)


class Dates:
    """A run of many lines on one rig."""

    def __init__(self, rig: Rig, title: str, wanted: int, seed: int) -> None:
        self.rig, self.wanted = rig, wanted
        self.report = Report(title)
        self.sent, self.answers = 0, 0
        self.done: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._speaker = Speaker(self._chance)

    async def run(self) -> Report:
        """Send the wanted number of requests, then look at everything."""
        began = time.monotonic()
        looked = 0
        while self.sent < self.wanted:
            await self._line(*self._chance.choice(KINDS))
            if self.sent - looked >= LOOK_EVERY:
                looked = self.sent
                await self._look()
        await self._look()
        errors = self.rig.app.metrics.backend_errors
        self.report.failures += self.rig.faults()
        for begins in DONE:
            self.report.expect(self.done[begins.decode()] > 0, f"no answer begins with {begins!r}")
        self.report.numbers |= {
            "requests": self.sent,
            "answers": self.answers,
            "lines": dict(self.closed),
            "bugs": sum(count for (_, kind), count in errors.items() if kind == "bug"),
            "done": dict(sorted(self.done.items())),
            "reviews": sum(1 for _ in self.rig.app.store.reviews()),
            "seconds": round(time.monotonic() - began),
        }
        return self.report

    async def _look(self) -> None:
        try:
            await look_at_everything(self.rig, self.report)
        except Exception as error:
            self.report.expect(False, f"after {self.sent} requests, looking: {error!r}")

    async def _line(self, terminals: tuple[str, ...], codes: tuple[str, ...]) -> None:
        terminal = self._chance.choice(terminals)
        share = 1 if terminal == CHECKED else 0.2
        bodies = [login(terminal), *(self._speaker.body(codes) for _ in range(REQUESTS_PER_LINE))]
        lines = [
            (sealed(body, number) if self._chance.random() < share else body) + b"\r"
            for number, body in enumerate(bodies)
        ]
        stream = b"".join(lines)
        self.rig.clock.advance(self._chance.choice((0.1, 1, 30, 1_000)))
        outcome = await self.rig.converse(chunks(self._chance, stream))
        self.sent += REQUESTS_PER_LINE
        self.answers += outcome.answers
        self.closed[outcome.closed or "by us"] += 1
        for problem in (*outcome.problems, *self.rig.backend_errors):
            self.report.expect(False, f"after {self.sent} requests at {terminal}: {problem}")
        for answer in outcome.sent.split(b"\r"):
            begins = answer.lstrip(b"\n")[:3]
            known = next((one for one in DONE if begins.startswith(one)), None)
            if known is not None:
                self.done[known.decode()] += 1
        if self.sent % 20_000 < REQUESTS_PER_LINE:
            sys.stderr.write(f"{self.sent} requests, {len(self.report.failures)} failures\n")


# Afterwards -------------------------------------------------------------------------------------


async def look_at_everything(rig: Rig, report: Report) -> None:
    """Ask for each item and patron, show them, export, import, check."""
    store = rig.app.store
    items = [one["id"] for one in DESK_LIBRARY if one["kind"] == "item"]
    patrons = [one["id"] for one in DESK_LIBRARY if one["kind"] == "patron"]
    rig.clock.advance(3_600)  # no PIN is locked any more
    await _ask(rig, report, [line for item in items for line in _about_item(item)])
    await _ask(rig, report, [line for patron in patrons for line in _about_patron(patron)])
    for patron in patrons:
        record = await store.find_patron(str(patron))
        report.expect(record is not None, f"patron {patron} is gone")
        if record is not None:
            report.expect(bool(patron_json(record, "EUR", ZONE)), f"{patron} cannot be shown")
    for payment in store.payments():
        payment_json(payment, ZONE)
    exported = b"".join(export_lines(store, currency="EUR", everything=True))
    found = await asyncio.to_thread(_taken_again, store, exported)
    report.expect(found == "", f"the export is not taken again: {found}")
    report.failures += store.self_check()


def _about_item(item: object) -> list[str]:
    ask = f"17{STAMP}AOHUB|AB{item}|"
    renew = f"29NN{STAMP}{' ' * 18}AOHUB|AA1001|AD1001|AB{item}|"
    return [ask, renew, f"09N{STAMP}{STAMP}APMAIN|AOHUB|AB{item}|AC|", ask]


def _about_patron(patron: object) -> list[str]:
    return [f"63000{STAMP}{'Y' * 10}AOHUB|AA{patron}|AD{patron}|", f"23000{STAMP}AOHUB|AA{patron}|"]


async def _ask(rig: Rig, report: Report, lines: list[str]) -> None:
    """Each gets an answer in its own form, and none is made of an error."""
    stream = b"".join([login("t-kiosk") + b"\r", *(line.encode() + b"\r" for line in lines)])
    outcome = await rig.converse([stream])
    report.failures += [f"afterwards: {problem}" for problem in outcome.problems]
    report.expect(outcome.answers == len(lines) + 1, "something is not answered afterwards")


def _taken_again(store: Library, exported: bytes) -> str:
    """What an import says against the store's own export."""
    import io

    from sip2gw.backend.loading.importing import ImportSettings, import_files

    settings = ImportSettings(currency="EUR", zone=ZONE, now=NOON)
    report = import_files(store, [("export", io.BytesIO(exported))], settings=settings)
    changed = f"{report.rows_changed} rows changed" if report.rows_changed else ""
    return "; ".join(report.errors[:3]) or changed


async def dates(directory: Path, requests: int, seed: int, server: Server | None = None) -> Report:
    """Send `requests` to a fresh gateway in `directory`, on PostgreSQL if there is a `server`."""
    config, log = CONFIG, ExceptionsOnly()
    if server is not None:
        url = server.url(server.make_database())
        config = config.replace("sqlite:library.db", url)
    title = "dates on SQLite" if server is None else "dates on PostgreSQL"
    async with rigged(
        directory, config_text=config, records=DESK_LIBRARY, stream=cast("BinaryIO", log)
    ) as rig:
        report = await Dates(rig, title, requests, seed).run()
    for line in log.kept[:5]:
        report.expect(False, f"the log tells of an exception: {line!r}")
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dates", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, help="on each store")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), help="only this one")
    options = parser.parse_args(arguments)
    status = 0
    for store in ("sqlite", "postgresql") if options.store is None else (options.store,):
        database = running_server() if store == "postgresql" else nullcontext()
        with database as server, tempfile.TemporaryDirectory() as directory:
            work = dates(Path(directory), options.requests, options.seed, server)
            status |= asyncio.run(work).tell()
    return status
