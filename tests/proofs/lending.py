"""Terminals race for the same copies while their gateways are killed: one gets each, none is lost.

In each race all kiosks ask for one copy at once, each for a patron of its own; then it comes back,
half of the time through all kiosks at once. The gateway is killed again and again and comes back
on the same store; with `--postgresql` there are two gateways on one database, and half of the
kiosks are at each. What was not answered is asked for again after the reconnect, wherever; and now
and then a kiosk repeats what was answered before.

Shown (B61, C69, C88, C97): each race has one winner, and all others are told who is to blame; each
copy comes back once; what was acknowledged is in the store, once, and loans and returns of a copy
take turns; a repetition gets the same answer byte for byte but for AY and AZ as long as it is so,
and a return of long ago, since when somebody else had the copy, is refused; nothing is on loan at
the end, and the store finds no fault with itself.
"""

import argparse
import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from harness import STAMP, person
from postgres import Server, running_server

from proofs.outages import LIFE_S, LOST, Line, Outages
from proofs.process import GatewayProcess, prepare, twins
from proofs.report import Report
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.config import load_config
from sip2gw.texts.english import TEXTS

COPIES = 7
KIOSKS = (2, 20)
RACES = 1_000
KILLS = 20
REPEATED = 0.3
"""How often a kiosk repeats what was just done, and an earlier return."""

NETWORK_LIFE_S = (0.5, 5.0)
"""Two start while the other serves, which takes one processor each."""

SQLITE = "sqlite:library.db"
CONFIG = """
[institution]
id = "HUB"
currency = "EUR"
timezone = "Europe/Brussels"
language = "en"
[store]
url = "URL"
[server]
listen = ["127.0.0.1:0"]
request_timeout_s = 30
terminal_timeout_s = 60
[admin]
enabled = false
[log]
level = "info"
format = "json"
[branches.MAIN]
[profiles.kiosk]
kind = "selfcheck"
"""

LENT, REFUSED = b"121", b"120"
TAKEN_BACK, NOT_TAKEN = b"101", b"100"
LOSER = TEXTS["charged_to_other"].encode()
NOT_ON_LOAN = TEXTS["not_charged"].encode()


def configuration(url: str, kiosks: int) -> str:
    """One branch with so many kiosks."""
    terminals = "".join(
        f'[terminals.kiosk-{number}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n'
        for number in range(kiosks)
    )
    return CONFIG.replace("URL", url) + terminals


def library(kiosks: int) -> Iterator[dict[str, object]]:
    """A patron for each kiosk, and the copies."""
    yield {"kind": "membership", "code": "201", "description": "Adult", "type": 4}
    yield {"kind": "badge", "code": "ONBE", "name": "Unmanned opening hours"}
    for number in range(kiosks):
        yield person(f"P{number}", f"Patron {number}", membership_until="2099-12-31")
    for number in range(COPIES):
        yield {"kind": "item", "id": f"COPY{number}", "title": f"Title {number}"}


@dataclass(frozen=True)
class Done:
    """A loan or a return that a kiosk was told of."""

    kiosk: "Kiosk"
    code: str
    item: str
    stamp: str
    body: bytes
    answer: bytes


class Kiosk:
    """A terminal that asks until it is answered."""

    def __init__(self, outages: Outages, number: int) -> None:
        self._outages = outages
        self.name = f"kiosk-{number}"
        self.patron = f"P{number}"
        self._line: Line | None = None
        self.lost = 0
        """Requests whose answer did not come."""

    async def ask(self, body: bytes) -> bytes:
        """The answer to `body`; when it is lost, the one after the reconnect."""
        while True:
            try:
                if self._line is None:
                    await self._connect()
                assert self._line is not None
                return await self._line.ask(body)
            except LOST:
                self.lost += 1
                self.hang_up()

    async def _connect(self) -> None:
        host = await self._outages.any_host()
        self._line = await Line.open(host, self.name, self._outages.failures)

    def hang_up(self) -> None:
        """Connect anew for the next request."""
        if self._line is not None:
            self._line.close()
        self._line = None


class Races:
    """All races, and everything that was acknowledged."""

    def __init__(self, outages: Outages, kiosks: int) -> None:
        self.outages = outages
        self.kiosks = [Kiosk(outages, number) for number in range(kiosks)]
        self.done: list[Done] = []
        self.run = 0
        self.repeated = 0

    async def race_until(self, is_over: Callable[[], bool]) -> None:
        """One race after the other."""
        while not is_over():
            item = f"COPY{self.run % COPIES}"
            await self._lend(item)
            await self._repeat()
            await self._take_back(item)
            await self._repeat()
            await self._repeat_old_return()
            self.run += 1
            await self.outages.rest()
        for kiosk in self.kiosks:
            kiosk.hang_up()

    def _stamp(self) -> str:
        return f"20260310    {self.run // 3600:02d}{self.run // 60 % 60:02d}{self.run % 60:02d}"

    async def _lend(self, item: str) -> None:
        stamp = self._stamp()
        bodies = {
            kiosk: f"11NN{stamp}{STAMP}AOHUB|AA{kiosk.patron}|AB{item}|AC|".encode()
            for kiosk in self.kiosks
        }
        won = await self._ask_all("11", item, bodies, (LENT, REFUSED, LOSER))
        if won != 1:
            self.outages.failures.append(f"race {self.run}: {item} was lent {won} times")

    async def _take_back(self, item: str) -> None:
        """Whoever has it does not matter for a return: any kiosk takes it, but only one."""
        chance, stamp = self.outages.chance, self._stamp()
        who = self.kiosks if chance.random() < 0.5 else [chance.choice(self.kiosks)]
        body = f"09N{stamp}{stamp}APMAIN|AOHUB|AB{item}|AC|".encode()
        taken = await self._ask_all(
            "09", item, dict.fromkeys(who, body), (TAKEN_BACK, NOT_TAKEN, NOT_ON_LOAN)
        )
        if taken != 1:
            self.outages.failures.append(f"race {self.run}: {item} came back {taken} times")

    async def _ask_all(
        self, code: str, item: str, bodies: dict[Kiosk, bytes], forms: tuple[bytes, bytes, bytes]
    ) -> int:
        """Ask all at once; how many were told yes. `forms`: what yes, no and its text look like."""
        yes, no, text = forms
        answers = await asyncio.gather(*(kiosk.ask(body) for kiosk, body in bodies.items()))
        accepted = 0
        for (kiosk, body), answer in zip(bodies.items(), answers, strict=True):
            if answer.startswith(yes):
                accepted += 1
                self.done.append(Done(kiosk, code, item, self._stamp(), body, answer))
            elif not (answer.startswith(no) and b"AF" + text in answer):
                self.outages.failures.append(f"race {self.run}: a loser was told {answer!r}")
        return accepted

    async def _repeat(self) -> None:
        """What was just done is not done again, but told again, whoever is asked."""
        if self.done and self.outages.chance.random() < REPEATED:
            done = self.done[-1]
            answer = await self._ask_again(done)
            if answer != done.answer:
                self.outages.failures.append(f"{done.body!r}: {done.answer!r}, then {answer!r}")

    async def _repeat_old_return(self) -> None:
        """Others had the copy since; now nobody has it (C97)."""
        last = {done.item: done for done in self.done}
        old = [done for done in self.done[-200:] if done.code == "09" and done != last[done.item]]
        if old and self.outages.chance.random() < REPEATED:
            done = self.outages.chance.choice(old)
            answer = await self._ask_again(done)
            if not (answer.startswith(NOT_TAKEN) and b"AF" + NOT_ON_LOAN in answer):
                self.outages.failures.append(f"{done.body!r}: {answer!r}, long after")

    async def _ask_again(self, done: Done) -> bytes:
        if self.outages.chance.random() < 0.5:
            done.kiosk.hang_up()
        self.repeated += 1
        return await done.kiosk.ask(done.body)


async def prove(
    directory: Path,
    *,
    kiosks: int,
    races: int,
    kills: int,
    seed: int,
    server: Server | None = None,
    life_s: tuple[float, float] | None = None,
    kills_max: int | None = None,
) -> Report:
    """Race until so many races were run and so many gateways killed, and judge.

    Args:
        directory: for the configuration and an SQLite store.
        kiosks: how many race.
        races: at least so many.
        kills: at least so many.
        seed: of what is random.
        server: with one, two gateways on a database there; else one on SQLite.
        life_s: how long a gateway lives, if not as usual.
        kills_max: after so many kills nobody is killed any more.
    """
    report = Report(f"lending, {kiosks} terminals, {'PostgreSQL' if server else 'SQLite'}")
    database = server.make_database() if server else ""
    url = server.url(database) if server else SQLITE
    config = await prepare(directory, configuration(url, kiosks), library(kiosks))
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(GatewayProcess(path, keep_requests=False))
            for path in twins(config, 2 if server else 1)
        ]
        outages = Outages(gateways, seed, kills_max)
        contest = Races(outages, kiosks)
        over = asyncio.Event()
        racing = asyncio.create_task(
            contest.race_until(lambda: contest.run >= races and over.is_set())
        )
        await outages.rage(
            lambda: racing.done() or (contest.run >= races and outages.kills >= kills),
            life_s or (NETWORK_LIFE_S if server else LIFE_S),
        )
        over.set()
        await racing
        await outages.end()
    await judge(config, contest, report)
    if server:
        server.drop_database(database)
    return report


async def judge(config: Path, contest: Races, report: Report) -> None:
    """Compare the store with what the kiosks were told."""
    report.failures += contest.outages.failures
    store = open_backend(load_config(config), "daemon").store
    with store.snapshot() as connection:
        (on_loan,) = connection.execute("SELECT COUNT(*) FROM loan").fetchone()
        noted = connection.execute(
            "SELECT item_id, terminal, code, key FROM circulation ORDER BY item_id, position"
        ).fetchall()
    faults, loans = store.self_check(), await _loans(store, contest)
    await store.close()
    report.expect(not faults, f"the store finds fault with itself: {faults[:5]}")
    report.expect(on_loan == 0 and not loans, f"still on loan: {on_loan}, {loans}")
    in_turn: defaultdict[str, list[str]] = defaultdict(list)
    kept: list[tuple[str, ...]] = []
    for item, terminal, code, key in noted:
        in_turn[item].append(code)
        kept.append((terminal, code, item, key.split("|")[3]))
    for item, codes in in_turn.items():
        expected = ["11", "09"] * (len(codes) // 2)
        report.expect(codes == expected, f"{item}: loans and returns do not take turns: {codes}")
    told = [(done.kiosk.name, done.code, done.item, done.stamp) for done in contest.done]
    report.expect(len(set(kept)) == len(kept), "something is noted twice")
    report.expect(set(kept) == set(told), f"not what was told: {list(set(kept) ^ set(told))[:5]}")
    report.numbers |= {
        "races": contest.run,
        "acknowledged": len(told),
        "noted": len(kept),
        "answers_lost": sum(kiosk.lost for kiosk in contest.kiosks),
        "repetitions": contest.repeated,
        "kills": contest.outages.kills,
    }


async def _loans(store: Library, contest: Races) -> list[str]:
    records = [await store.find_patron(kiosk.patron) for kiosk in contest.kiosks]
    return [loan.item_id for record in records if record is not None for loan in record.loans]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lending", description=__doc__)
    parser.add_argument("--terminals", type=int, nargs="+", default=KIOSKS)
    parser.add_argument("--races", type=int, default=RACES, help=f"default {RACES}")
    parser.add_argument("--kills", type=int, default=KILLS, help="at least so many (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--postgresql", action="store_true", help="two gateways on one PostgreSQL, else SQLite"
    )
    options = parser.parse_args(arguments)
    status = 0
    with running_server(durable=True) if options.postgresql else nullcontext() as server:
        for kiosks in options.terminals:
            with tempfile.TemporaryDirectory() as directory:
                report = asyncio.run(
                    prove(
                        Path(directory),
                        kiosks=kiosks,
                        races=options.races,
                        kills=options.kills,
                        seed=options.seed,
                        server=server,
                    )
                )
            status |= report.tell()
    return status
