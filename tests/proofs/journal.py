"""Kiosks go on while the library system is away, and gateways are killed.

All kiosks lend and take back; the library system goes away, and is back some time later. Meanwhile
the gateways are killed again and again, and once more while they hand over what was taken. With
`--postgresql` there are two gateways on one database, and each kiosk uses both.

Shown (B77, C125, C154): every loan and return got its yes, and went up once, with no block `Y` and
its own dates, in the order in which it was taken; one that was handed over when a gateway was
killed may have gone up once more, identical; nothing newer about an item went up before; what the
library system refused is a conflict in `review`, and nothing else is.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hostile_library import HostileLibrary, Loans
from postgres import Server, running_server

from proofs.outages import LOST, Line, Outages
from proofs.process import GatewayProcess, prepare, twins
from proofs.report import Report
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.config import load_config
from sip2gw.policy.upstream.journal import SENT_TWICE
from sip2gw.texts.english import TEXTS

KIOSKS = 10
REQUESTS = 500
AWAY_S = 120.0
KILLS = 20
TIMEOUT_S = 0.5
SHORTEST_LIFE_S = 0.5
"""A gateway that is killed sooner would take nothing."""
CONFLICTS_SHARE = 10
"""One item in so many is on loan to somebody else, as the library system sees it."""
HANDED_OVER_S = 120.0
PAUSE_S = 0.05
REFUSED = b"1801"
NOTED = TEXTS["taken_off_line"].encode()
CONFIG = """
[institution]
id = "HUB"
currency = "EUR"
timezone = "Europe/Brussels"
language = "en"
[store]
url = "URL"
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:PORT"
login = "gateway"
password = "pw"
connections = 4
timeout_s = TIMEOUT
[server]
listen = ["127.0.0.1:0"]
[admin]
enabled = false
[log]
level = "info"
format = "json"
[branches.MAIN]
[profiles.kiosk]
kind = "selfcheck"
"""


@dataclass(frozen=True)
class Taken:
    """A request that was answered with yes while the library system was away."""

    up: bytes
    """As it is to go up."""
    item: bytes
    patron: bytes


class Kiosk:
    """Lends and takes back the items of its own pile, one after the other."""

    def __init__(self, number: int, requests: int, pause_s: float, outages: Outages) -> None:
        self._number = number
        self._requests = requests
        self._pause_s = pause_s
        self._outages = outages
        self._line: Line | None = None
        self.taken: list[Taken] = []
        self.numbers: Counter[str] = Counter()

    async def work(self) -> None:
        """Every item is lent and brought back, but for those that somebody else has."""
        patron = b"P%d" % self._number
        run = 0
        while len(self.taken) < self._requests:
            item = self.item(run)
            run += 1
            await self._take(b"11NN", patron, item)
            if not is_somebody_elses(item):
                await self._take(b"09N", b"", item)

    def item(self, run: int) -> bytes:
        """The item of a number."""
        return b"I%d-%d" % (self._number, run)

    async def _take(self, head: bytes, patron: bytes, item: bytes) -> None:
        number = len(self.taken)
        stamp = b"20260310    %02d%02d%02d" % (number // 3600, number // 60 % 60, number % 60)
        whose = b"AA%b|" % patron if patron else b""
        place = b"" if patron else b"APMAIN|"
        dates = stamp + (b" " * 18 if patron else stamp)
        body = head + dates + place + b"AOHUB|" + whose + b"AB%b|AC|" % item
        answer = await self._answer(body)
        if answer[2:3] != b"1" or NOTED not in answer:
            self._outages.failures.append(f"{body!r} was answered with {answer!r}")
        up = head[:-1] + b"Y" + body[len(head) :] + (b"BON|BIN|" if patron else b"BIN|")
        self.taken.append(Taken(up, item, patron))
        await asyncio.sleep(self._pause_s)

    async def _answer(self, body: bytes) -> bytes:
        """What is answered in the end; whoever loses the line asks again."""
        while True:
            try:
                return await self.ask(body)
            except LOST:
                self.numbers["lost"] += 1
                self.hang_up()

    async def ask(self, body: bytes) -> bytes:
        """The answer, by either gateway.

        Raises:
            OSError, EOFError: it was killed.
        """
        if self._line is None or self._outages.chance.random() < 0.1:
            self.hang_up()
            host = await self._outages.any_host()
            name = f"kiosk-{self._number}"
            self._line = await Line.open(host, name, self._outages.failures)
        return await self._line.ask(body)

    async def ask_about(self, item: bytes) -> None:
        """A 17 while it may still be waiting, until it is answered by the library system."""
        answer = REFUSED
        while answer.startswith(REFUSED):
            answer = await self._answer(b"17" + b"20260310    235959" + b"AOHUB|AB%b|" % item)
            self.numbers["asked_about"] += 1
            await asyncio.sleep(PAUSE_S)

    def hang_up(self) -> None:
        """Connect anew for the next request."""
        if self._line is not None:
            self._line.close()
        self._line = None


def is_somebody_elses(item: bytes) -> bool:
    """Whether the library system has lent it to another patron."""
    return int(item.partition(b"-")[2]) % CONFLICTS_SHARE == 1


async def prove(
    directory: Path,
    *,
    requests: int,
    kills: int,
    away_s: float,
    seed: int,
    server: Server | None = None,
    kiosks: int = KIOSKS,
) -> Report:
    """Let the library system be away for `away_s` seconds, and judge what it hears afterwards."""
    report = Report(f"journal, {'SQLite' if server is None else 'two gateways on PostgreSQL'}")
    loans = Loans()
    async with HostileLibrary(answer=loans) as library, AsyncExitStack() as stack:
        url = "sqlite:library.db" if server is None else server.url(server.make_database())
        config = await prepare(directory, configuration(library.port, url, kiosks), ())
        configs = [config] if server is None else twins(config, 2)
        gateways = [
            await stack.enter_async_context(GatewayProcess(one, keep_requests=False))
            for one in configs
        ]
        library.vanish()
        outages = Outages(gateways, seed)
        each = requests // kiosks
        pause_s = away_s / (each + 2)
        working = [Kiosk(number, each, pause_s, outages) for number in range(kiosks)]
        for kiosk in working:
            for run in range(requests):
                item = kiosk.item(run)
                if is_somebody_elses(item):
                    loans.of[item] = b"somebody"
        began = time.monotonic()
        work = asyncio.gather(*(kiosk.work() for kiosk in working))
        life_s = max(SHORTEST_LIFE_S, away_s / kills)
        raging = asyncio.create_task(
            outages.rage(
                lambda: work.done() and outages.kills >= kills, (life_s / 2, life_s * 3 / 2)
            )
        )
        await work
        await raging
        report.numbers["away_s"] = round(time.monotonic() - began)
        before = outages.kills
        store = open_backend(load_config(config), "command").store
        await library.listen()
        asking = asyncio.gather(
            *(kiosk.ask_about(taken.item) for kiosk in working for taken in kiosk.taken[-1:])
        )
        await _kill_while_it_hands_over(outages, loans)
        await asking
        await _handed_over(store, report)
        report.numbers["killed_while_handing_over"] = outages.kills - before
        for kiosk in working:
            kiosk.hang_up()
        for gateway in gateways:
            status = await gateway.stop()
            report.expect(status == 0, f"SIGTERM ended with {status}")
        report.failures += outages.failures
        judge(library, working, store, report, outages.kills - before)
        await store.close()
    report.numbers |= {
        "requests": sum(len(kiosk.taken) for kiosk in working),
        "kills": outages.kills,
        **sum((kiosk.numbers for kiosk in working), Counter()),
    }
    return report


def configuration(port: int, url: str, kiosks: int) -> str:
    terminals = "".join(
        f'[terminals.kiosk-{number}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n'
        for number in range(kiosks)
    )
    text = CONFIG.replace("PORT", str(port)).replace("TIMEOUT", str(TIMEOUT_S))
    return text.replace("URL", url) + terminals


async def _kill_while_it_hands_over(outages: Outages, loans: Loans) -> None:
    """As soon as a part has gone up, all gateways are killed, and started again."""
    async with asyncio.timeout(HANDED_OVER_S):
        while len(loans.deeds) < 10:  # noqa: ASYNC110 -- it is the library system's
            await asyncio.sleep(0.001)
    for host in outages.hosts:
        host.up.clear()
        await host.gateway.kill()
        outages.kills += 1
    for host in outages.hosts:
        await host.gateway.start()
        host.up.set()


async def _handed_over(store: Library, report: Report) -> None:
    """Until nothing waits any more."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(HANDED_OVER_S):
            while await store.journal_waiting():  # noqa: ASYNC110 -- the store cannot tell
                await asyncio.sleep(0.05)
    except TimeoutError:
        report.expect(False, "not everything was handed over")
    report.numbers["handed_over_s"] = round(time.monotonic() - began, 1)


def judge(
    library: HostileLibrary, kiosks: list[Kiosk], store: Library, report: Report, killed: int
) -> None:
    """Compare what went up with what was taken."""
    heard = [body for body in library.asked if body[:2] in (b"09", b"11")]
    taken = [one for kiosk in kiosks for one in kiosk.taken]
    once = [body for body, after in pairwise([*heard, b""]) if body != after]
    report.numbers["went_up_twice"] = len(heard) - len(once)
    report.expect(len(heard) - len(once) <= killed, "more went up twice than was being handed over")
    expected = Counter(one.up for one in taken)
    report.expect(Counter(once) == expected, _difference(Counter(once), expected))
    entries = list(store.journal_entries())
    order = [(entry.message.encode(), entry.item.encode()) for entry in entries]
    went = [(body[:2], _item(body)) for body in once]
    report.expect(order == went, "what was taken did not go up in its order")
    for kiosk in kiosks:
        items = {one.item for one in kiosk.taken}
        own = [body for body in once if _item(body) in items]
        report.expect(own == [one.up for one in kiosk.taken], "a kiosk's order was not kept")
    _judge_turns(library, report)
    _judge_conflicts(taken, store, report)


def _difference(found: Counter[bytes], expected: Counter[bytes]) -> str:
    return f"went up without need: {[*(found - expected)][:3]}, not: {[*(expected - found)][:3]}"


def _item(body: bytes) -> bytes:
    return body.partition(b"|AB")[2].partition(b"|")[0]


def _judge_turns(library: HostileLibrary, report: Report) -> None:
    """A 17 about an item came after all that was taken about it."""
    asked = [(place, body) for place, body in enumerate(library.asked) if body[:2] == b"17"]
    for place, body in asked:
        later = [other for other in library.asked[place:] if _item(other) == _item(body)]
        report.expect(
            all(other[:2] == b"17" for other in later), f"{body!r} went up before its turn"
        )
    report.numbers["went_up_about"] = len(asked)


def _judge_conflicts(taken: list[Taken], store: Library, report: Report) -> None:
    """What was refused is for staff, and nothing else is."""
    refused = {one.item.decode() for one in taken if is_somebody_elses(one.item)}
    reviews = list(store.reviews())
    conflicts = {entry.item for entry in reviews if SENT_TWICE not in entry.reasons}
    report.expect(
        conflicts == refused, f"conflicts {conflicts ^ refused} are not as they should be"
    )
    report.expect(
        all(entry.kind == "conflict" for entry in reviews), "something else is for review"
    )
    states = Counter(entry.state.value for entry in store.journal_entries())
    report.numbers |= {"conflicts": len(conflicts), **states}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="journal", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"default {REQUESTS}")
    parser.add_argument("--kills", type=int, default=KILLS, help="at least so many (default 20)")
    parser.add_argument("--away", type=float, default=AWAY_S, help="seconds (default 120)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgresql", action="store_true", help="two gateways on one database")
    options = parser.parse_args(arguments)
    database = running_server(durable=True) if options.postgresql else nullcontext()
    with tempfile.TemporaryDirectory() as directory, database as server:
        report = asyncio.run(
            prove(
                Path(directory),
                requests=options.requests,
                kills=options.kills,
                away_s=options.away,
                seed=options.seed,
                server=server,
            )
        )
    return report.tell()
