"""Backups under 200 payments a second, restored elsewhere (B90).

Twenty terminals pay without a pause while the command takes one backup after the other, as an
operator would: in a process of its own. Each backup is restored to a place of its own; with
PostgreSQL every second time to a SQLite file. Before each, a backup and a restore to the same
place are killed with SIGKILL at some moment. After a SIGTERM a last backup is taken, and two
gateways, on the original and on what was restored, get the same dialogues.

Shown: what was killed has left nothing that is not whole; each backup is whole; its ledger is
balanced; every payment that was acknowledged before its moment is there, with its amount, and none
that nobody asked for; what is owed is what was owed less what is booked there; a repetition gets
the first answer from a restored gateway; the dialogues are answered the same, byte for byte. Told
beside: how long terminals waited with and without a backup.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import CONFIG, LIBRARY, URL, Terminal, ask_37, person, running, without_http
from postgres import Server, running_server

from proofs.dialogues import REQUESTS
from proofs.process import ROOT, GatewayProcess, prepare, today
from proofs.report import Report
from proofs.storm import FEE_MINOR, FEES_PER_PATRON, PATRONS
from proofs.storm import library as payers
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config

TERMINALS = 20
PAUSE_S = 0.1
"""From one payment of a terminal to its next: together 200 a second."""
DIALOGUES = 500
RATIO_MAX = 2.0
"""Of the slowest percent with a backup to that without; on a machine that does nothing else."""
KILLED_AFTER_S = (0.3, 2.5)
BETWEEN_DIALOGUES_S = 30
"""So that a terminal with many wrong PINs need not wait for the clock."""

SETTINGS = without_http(CONFIG) + "".join(
    f'[terminals.till-{number}]\nprofile = "cash"\nbranch = "MAIN"\npassword = "pw"\n'
    for number in range(TERMINALS)
)
TALKERS = ("kiosk-1", "pay-1", "pay-2", "pay-3", "desk-1", "door-1", "door-facts", "door-out")
SAID = tuple(
    text for code, texts in REQUESTS.items() if code not in ("41", "93", "97") for text in texts
)


def library(others: int) -> Iterator[dict[str, object]]:
    """The small library, patrons who pay, and so many others, who only take room."""
    yield from LIBRARY
    yield from (record for record in payers() if record["kind"] not in ("membership", "badge"))
    for number in range(others):
        yield person(f"{900_000 + number}", f"Patron {number}", pin=None)


@dataclass
class Paid:
    """One payment that a terminal was told yes for."""

    terminal: str
    request: str
    answer: str
    at: datetime
    """When the answer was there."""
    took_s: float


@dataclass
class Tills:
    """Terminals that pay until they are told to stop."""

    gateway: GatewayProcess
    paid: dict[str, Paid] = field(default_factory=dict)
    """By BK."""
    asked: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    over: bool = False

    async def run(self, number: int) -> None:
        """One terminal."""
        name = f"till-{number}"
        terminal = await self.gateway.terminal(name)
        card = PATRONS[number % len(PATRONS)]
        due, count = time.monotonic(), 0
        while not self.over:
            count += 1
            bk = f"{number}-{count}"
            self.asked.add(bk)
            request = ask_37(card, "0.01", pin=card, bk=bk)
            began = time.monotonic()
            answer = await terminal.ask(request)
            took_s = time.monotonic() - began
            if answer.startswith("38Y"):
                self.paid[bk] = Paid(name, request, answer, datetime.now(UTC), took_s)
            else:
                self.problems.append(f"refused: {answer}")
            due += PAUSE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def took_since(self, moment: datetime) -> list[float]:
        """How long each payment took that was answered since then."""
        return [paid.took_s for paid in self.paid.values() if paid.at >= moment]


async def start(*words: object) -> asyncio.subprocess.Process:
    """`sip2gw` in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sip2gw", *map(str, words), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )


async def killed(after_s: float, *words: object) -> None:
    """Start a command and kill it, unless it is done before."""
    process = await start(*words)
    with suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            await process.communicate()
    if process.returncode is None:
        process.kill()
        await process.communicate()


async def command(*words: object) -> dict[str, Any]:
    """What `sip2gw` says as JSON."""
    process = await start(*words)
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    told: dict[str, Any] = json.loads(out)
    return told


class Proof:
    """A gateway, its backups, and where they are restored."""

    def __init__(
        self, directory: Path, server: Server | None, report: Report, chance: random.Random
    ) -> None:
        self._directory, self._server, self._report = directory, server, report
        self._chance = chance
        self._databases: list[str] = []
        self.restored = 0

    def place(self, name: str, *, in_file: bool = False) -> tuple[Path, str]:
        """A new directory and the configuration for it."""
        directory = self._directory / name
        directory.mkdir()
        if self._server is None or in_file:
            return directory, SETTINGS
        self._databases.append(self._server.make_database())
        return directory, SETTINGS.replace(URL, self._server.url(self._databases[-1]))

    def close(self) -> None:
        """Let go of the databases."""
        for name in self._databases:
            assert self._server is not None
            self._server.drop_database(name)

    async def restore(self, backup: Path) -> tuple[Path, str]:
        """The configuration of a new place that holds it."""
        self.restored += 1
        odd = self.restored % 2 == 1
        directory, config = self.place(f"restored-{self.restored}", in_file=odd)
        (directory / "sip2gw.toml").write_text(config)
        words = ("restore", backup, "--config", directory / "sip2gw.toml")
        await killed(self._chance.uniform(*KILLED_AFTER_S), *words)
        if not self._is_store(directory, config):  # else it was whole, which is judged
            await command(*words)
        return directory / "sip2gw.toml", config

    def _is_store(self, directory: Path, config: str) -> bool:
        """Whether a restore has got to its end."""
        if URL in config:
            return self._is_there(directory / "library.db")
        assert self._server is not None
        tables = "SELECT 1 FROM pg_tables WHERE schemaname = 'public'"
        return bool(self._server.run(tables, self._databases[-1]))

    def _is_there(self, file: Path) -> bool:
        return file.exists()

    async def save(self, file: Path, config: Path) -> tuple[float, datetime, dict[str, Any]]:
        """A backup, after one that was killed: how long it took, since when, what it holds."""
        words = ("backup", file, "--with-secret", "--config", config)
        await killed(self._chance.uniform(*KILLED_AFTER_S), *words)
        if self._is_there(file):
            await command("backup", "--verify", file)
        began, moment = time.monotonic(), datetime.now(UTC)
        told = await command(*words, "--force")
        return time.monotonic() - began, moment, told

    async def judge(self, config: Path, told: dict[str, Any], tills: Tills) -> int:
        """Compare a restored store with what terminals were told; how many payments it has."""
        expect, moment = self._report.expect, datetime.fromisoformat(told["time"])
        store = open_backend(load_config(config), "command").store
        problems = store.self_check()
        expect(not problems, f"the restored store: {problems[:1]}")
        there = {payment.bk: payment for payment in store.payments()}
        for bk, paid in list(tills.paid.items()):
            if paid.at < moment:
                expect(bk in there, f"{bk} was acknowledged before the backup and is not in it")
        expect(there.keys() <= tills.asked, "a payment that nobody asked for")
        expect(all(payment.amount == 1 for payment in there.values()), "another amount")
        owed = [fee.owed for record in await store.find_patrons(PATRONS) for fee in record.fees]
        before = len(PATRONS) * FEES_PER_PATRON * FEE_MINOR
        expect(before - sum(owed) == len(there), "debts and payments do not add up")
        await store.close()
        return len(there)


def dialogues(seed: int, count: int, tills: Tills) -> list[tuple[str, list[str]]]:
    """Which terminal says what; a third of them repeats payments of before."""
    chance = random.Random(seed)
    paid = list(tills.paid.values())
    found = []
    for number in range(count):
        if number % 3 == 0 and paid:
            one = chance.choice(paid)
            found.append((one.terminal, [one.request, chance.choice(SAID)]))
        else:
            said = [chance.choice(SAID) for _ in range(chance.randint(1, 4))]
            found.append((chance.choice(TALKERS), said))
    return found


async def talk(
    config: str, directory: Path, now: datetime, said: Sequence[tuple[str, list[str]]]
) -> list[list[str]]:
    """What a gateway on that store answers, dialogue by dialogue."""
    answers = []
    async with running(directory, config=config, records=(), now=now) as gateway:
        for login, requests in said:
            terminal: Terminal = await gateway.connect()
            assert await terminal.ask(f"9300CN{login}|COpw|") == "941"
            answers.append([await terminal.ask(request) for request in requests])
            terminal.close()
            gateway.clock.advance(BETWEEN_DIALOGUES_S)
    return answers


def slowest_percent(times: Sequence[float]) -> float:
    """The time that 99 % of them stay under."""
    return statistics.quantiles(times, n=100)[98] if len(times) > 1 else 0.0


async def prove(
    directory: Path,
    *,
    rounds: int,
    seconds: float,
    others: int,
    count: int,
    seed: int,
    server: Server | None = None,
) -> Report:
    """Pay, save, restore, judge; then talk."""
    report = Report(f"backup, {'SQLite' if server is None else 'PostgreSQL'}")
    proof = Proof(directory, server, report, random.Random(seed))
    place, config = proof.place("original")
    path = await prepare(place, config, library(others))
    saved: list[tuple[Path, dict[str, Any]]] = []
    ratios, lasted = [], []
    async with GatewayProcess(path, keep_requests=False) as gateway:
        await gateway.start()
        tills = Tills(gateway)
        began = time.monotonic()
        working = [asyncio.create_task(tills.run(number)) for number in range(TERMINALS)]
        await asyncio.sleep(1)  # until the PINs are known
        for number in range(rounds):
            moment = datetime.now(UTC)
            await asyncio.sleep(seconds)
            quiet = tills.took_since(moment)
            file = directory / f"{number}.backup.gz"
            took_s, moment, told = await proof.save(file, path)
            saved.append((file, told))
            lasted.append(took_s)
            ratios.append(slowest_percent(tills.took_since(moment)) / slowest_percent(quiet))
        rate = len(tills.paid) / (time.monotonic() - began)
        tills.over = True
        await asyncio.gather(*working)
        report.expect(await gateway.stop() == 0, "SIGTERM did not end with 0")
    file = directory / "last.backup.gz"
    _, _, last = await proof.save(file, path)
    restored_to = []
    for backup, told in [*saved, (file, last)]:
        where, restored_config = await proof.restore(backup)
        restored_to.append(await proof.judge(where, told, tills))
    for problem in tills.problems:
        report.expect(False, problem)
    now = today()
    said = dialogues(seed, count, tills)
    before = await talk(config, place, now, said)
    after = await talk(restored_config, where.parent, now, said)
    different = [pair for pair in zip(said, before, after, strict=True) if pair[1] != pair[2]]
    report.expect(not different, f"another answer: {different[:1]}")
    for (_, requests), answers in zip(said, after, strict=True):
        for one in tills.paid.values():
            if one.request == requests[0]:
                report.expect(one.answer == answers[0], f"not the first answer: {answers[0]}")
    report.numbers |= {
        "payments": len(tills.paid),
        "per_second": round(rate),
        "in_backups": restored_to,
        "seconds": [round(one, 1) for one in lasted],
        "p99_ratio": round(statistics.median(ratios), 2),
        "dialogues": len(said),
        "answers": sum(map(len, after)),
    }
    proof.close()
    return report


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python tests/proofs backup", description=__doc__)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0, help="without a backup, each round")
    parser.add_argument("--patrons", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    durable = running_server(durable=True) if options.postgresql else nullcontext()
    with tempfile.TemporaryDirectory() as directory, durable as server:
        report = asyncio.run(
            prove(
                Path(directory),
                rounds=options.rounds,
                seconds=options.seconds,
                others=options.patrons,
                count=DIALOGUES,
                seed=options.seed,
                server=server,
            )
        )
    ratio = report.numbers["p99_ratio"]
    report.expect(ratio <= RATIO_MAX, f"terminals wait {ratio} times as long")
    return report.tell()
