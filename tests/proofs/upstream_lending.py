"""Terminals race for the same items at a library system that does wrong whatever it can.

In each race all kiosks ask at once for an item, each for a patron of its own; who gets it brings
it back. The library system is `HostileLibrary`: it remembers what it has done, whether it answers
or not. The gateway in between is killed again and again. What was not answered, or answered with
"not sure", is asked for again after a reconnect, until it is clear or staff have to look.

Shown (B79, C69, C97, C98, C127): every answer is about the item that was asked for; a yes is said
only for what the library system has done, and a plain no only for what it has not done, or has
refused when it was asked last; nothing goes up twice unless the library system refused it or more
about the item or patron came there in between, understood or not; whatever was "not sure" is in
`review` and is settled in the end, as it was in truth; and a kiosk waits no longer than its
deadline.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from harness import STAMP
from hostile_library import CHANGES, Deed, Drawn, Heard, HostileLibrary, Loans

from proofs.outages import LIFE_S, LOST, Line, Outages
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from sip2gw.backend.factory import open_backend
from sip2gw.config import load_config
from sip2gw.texts.english import TEXTS

KIOSKS = 20
REQUESTS = 10_000
KILLS = 20
FAULTS_SHARE, SLOW_SHARE = 0.03, 0.15
TIMEOUT_S = 0.3
ASKED_AGAIN_S = 4.0
"""So long a kiosk asks again when it hears "not sure"; then staff have to look."""
PAUSE_S = 0.05
SETTLED_S = 30.0
SENT_AGAIN_S = 2.0
"""What was not done goes up again so long after its entry at the earliest, by whole seconds."""
SLACK_S = 2.0
"""Beyond the time-out: the start of a process, and two busy cores."""

NOT_SURE = TEXTS["unknown_outcome_item"].encode()
Request = tuple[bytes, bytes, bytes, bytes]
"""Message, patron, item and date."""
CONFIG = """
[institution]
id = "HUB"
currency = "EUR"
timezone = "Europe/Brussels"
language = "en"
[store]
url = "sqlite:library.db"
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:PORT"
login = "gateway"
password = "pw"
connections = 8
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
accept_offline = false
"""


class Kiosk:
    """A terminal with a patron of its own."""

    def __init__(self, outages: Outages, number: int, told: Counter[str]) -> None:
        self._outages = outages
        self._name = f"kiosk-{number}"
        self._line: Line | None = None
        self._told = told
        self.patron = b"P%d" % number
        self.longest_s = 0.0

    async def ask(self, body: bytes, item: bytes) -> str:
        """`yes`, `no`, or `not sure` if it stays so."""
        began = time.monotonic()
        while True:
            answer = await self._one_answer(body)
            if answer is None:
                continue
            self._told["requests"] += 1
            if b"|AB%b|" % item not in answer:
                self._outages.failures.append(f"{body!r} was answered with {answer!r}")
            if answer[2:3] == b"1":
                return "yes"
            if NOT_SURE not in answer:
                return "no"
            self._told["not_sure"] += 1
            if time.monotonic() - began > ASKED_AGAIN_S:
                return "not sure"
            if self._outages.chance.random() < 0.3:
                self.hang_up()
            await asyncio.sleep(PAUSE_S)

    async def _one_answer(self, body: bytes) -> bytes | None:
        """None when the gateway is killed meanwhile, or the kiosk loses patience."""
        try:
            if self._line is None:
                host = await self._outages.any_host()
                self._line = await Line.open(host, self._name, self._outages.failures)
            began = time.monotonic()
            answer = await self._line.ask(body)
        except LOST:
            self._told["lost"] += 1
            self.hang_up()
            return None
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        return answer

    def hang_up(self) -> None:
        """Connect anew for the next request."""
        if self._line is not None:
            self._line.close()
        self._line = None


class Races:
    """All races, and what the kiosks were told last about each request."""

    def __init__(self, outages: Outages, kiosks: int) -> None:
        self._outages = outages
        self.told: Counter[str] = Counter()
        self.kiosks = [Kiosk(outages, number, self.told) for number in range(kiosks)]
        self.ends: dict[Request, str] = {}
        self.run = 0

    async def race(self) -> None:
        """One item, all kiosks."""
        run, item = self.run, b"I%d" % self.run
        self.run += 1
        date = f"20260310    {run // 3600:02d}{run // 60 % 60:02d}{run % 60:02d}".encode()
        ends = await asyncio.gather(*(self._lend(kiosk, item, date) for kiosk in self.kiosks))
        for kiosk, end in zip(self.kiosks, ends, strict=True):
            if end == "yes":
                await self._give_back(kiosk, item, date)

    async def _lend(self, kiosk: Kiosk, item: bytes, date: bytes) -> str:
        body = b"11NN%b%bAOHUB|AA%b|AB%b|AC|" % (date, STAMP.encode(), kiosk.patron, item)
        end = await kiosk.ask(body, item)
        self.ends[b"11", kiosk.patron, item, date] = end
        return end

    async def _give_back(self, kiosk: Kiosk, item: bytes, date: bytes) -> None:
        body = b"09N%b%bAPMAIN|AOHUB|AB%b|AC|" % (date, date, item)
        self.ends[b"09", b"", item, date] = await kiosk.ask(body, item)


async def prove(
    directory: Path, *, kiosks: int, requests: int, kills: int, seed: int, share: float
) -> Report:
    """Race until so many requests were answered and so many gateways killed, and judge."""
    report = Report(f"upstream-lending, {kiosks} terminals")
    drawn = Drawn(seed, 10**9, share, SLOW_SHARE)
    loans = Loans()
    async with HostileLibrary(drawn, answer=loans, late_s=2 * TIMEOUT_S) as library:
        config = await prepare(directory, configuration(library.port, kiosks), ())
        async with GatewayProcess(config, keep_requests=False) as gateway:
            outages = Outages([gateway], seed)
            races = Races(outages, kiosks)

            def is_over() -> bool:
                return races.told["requests"] >= requests and outages.kills >= kills

            async def race() -> None:
                while not is_over():
                    await races.race()

            racing = asyncio.create_task(race())
            life_s = (2 * LIFE_S[0], 4 * LIFE_S[1])
            await outages.rage(lambda: racing.done() or is_over(), life_s)
            await racing
            drawn.left = 0
            await _until_settled(directory, report)
            for kiosk in races.kiosks:
                kiosk.hang_up()
            await gateway.stop()
    report.failures += outages.failures
    judge(loans.deeds, library.heard, races.ends, report)
    await judge_reviews(config, loans.deeds, report)
    longest = max(kiosk.longest_s for kiosk in races.kiosks)
    report.expect_in_time(longest < TIMEOUT_S + SLACK_S, f"an answer took {longest:.1f} s")
    report.numbers |= {
        **races.told,
        "races": races.run,
        "kills": outages.kills,
        "faults": sum(drawn.done.values()),
        "kinds": len(drawn.done),
        "longest_ms": round(longest * 1000),
        **Counter(races.ends.values()),
    }
    return report


def configuration(port: int, kiosks: int) -> str:
    terminals = "".join(
        f'[terminals.kiosk-{number}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n'
        for number in range(kiosks)
    )
    text = CONFIG.replace("PORT", str(port)).replace("TIMEOUT", str(TIMEOUT_S))
    return text + terminals


async def _until_settled(directory: Path, report: Report) -> None:
    """Every unknown outcome has been looked at."""
    store = open_backend(load_config(directory / "sip2gw.toml"), "command").store
    try:
        async with asyncio.timeout(SETTLED_S):
            while any(not entry.reasons for entry in store.reviews()):  # noqa: ASYNC110 -- a store
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        report.expect(False, "not everything was looked at")
    finally:
        await store.close()


def judge(
    deeds: list[Deed], heard: list[Heard], ends: Mapping[Request, str], report: Report
) -> None:
    """Compare what the kiosks were told in the end with what the library system has done."""
    of: defaultdict[Request, list[Deed]] = defaultdict(list)
    for deed in deeds:
        of[deed.code, deed.patron, deed.item, deed.date].append(deed)
    for asked, end in ends.items():
        same = of.get(asked, [])
        was_done = any(deed.done for deed in same)
        report.expect(end != "yes" or was_done, f"{asked} was not done, and got a yes")
        is_no = not was_done or not same[-1].done
        report.expect(end != "no" or is_no, f"{asked} was done, and got a no")
    twice = 0
    for request, same in of.items():
        others = [one for one in heard if _is_another_about(one, request)]
        for first, again in pairwise(same):
            twice += 1
            came_between = any(first.at < other.at < again.at for other in others)
            report.expect(not first.done or came_between, f"{request} went up twice")
    report.numbers["sent_again"] = twice
    lent = Counter(deed.item for deed in deeds if deed.code == b"11" and deed.done)
    report.numbers["lent"] = len(lent)


def _is_another_about(one: Heard, request: Request) -> bool:
    """Whether `one` may have changed something about the item or patron of `request`. It need not
    have been understood: it has gone up all the same, and the gateway does not know better."""
    if one.code not in CHANGES:
        return False
    _, patron, item, _ = request
    its_patron, its_item = one.value(b"AA"), one.value(b"AB")
    if (one.code, its_patron, its_item, one.date) == request:
        return False
    return its_item == item or (bool(patron) and its_patron == patron)


async def judge_reviews(config: Path, deeds: list[Deed], report: Report) -> None:
    """What was settled is as it was in truth."""
    store = open_backend(load_config(config), "command").store
    outcomes: Counter[str] = Counter()
    by_name: defaultdict[tuple[str, str, str], list[Deed]] = defaultdict(list)
    for deed in deeds:
        by_name[deed.code.decode(), deed.item.decode(), deed.patron.decode()].append(deed)
    for entry in store.reviews():
        outcomes[f"review_{entry.outcome}"] += 1
        was_done = any(
            deed.done and 0 <= deed.at - entry.time.timestamp() < SENT_AGAIN_S
            for deed in by_name[entry.message, entry.item, entry.patron]
        )
        report.expect(
            entry.outcome == "unknown" or (entry.outcome == "done") == was_done,
            f"{entry.message} {entry.item} {entry.patron}: {entry.outcome}, in truth {was_done}",
        )
    report.numbers |= outcomes
    await store.close()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="upstream-lending", description=__doc__)
    parser.add_argument("--terminals", type=int, default=KIOSKS)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"default {REQUESTS}")
    parser.add_argument("--kills", type=int, default=KILLS, help="at least so many (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(
            prove(
                Path(directory),
                kiosks=options.terminals,
                requests=options.requests,
                kills=options.kills,
                seed=options.seed,
                share=FAULTS_SHARE,
            )
        )
    return report.tell()
