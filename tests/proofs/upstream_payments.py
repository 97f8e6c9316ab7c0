"""Payments through gateways that are killed, to a library system that does wrong what it can.

Each payment is for a patron of its own, who owes two fees: half of them name a fee (CG). A till
sends it, to all gateways at once if there are several on one database, and asks again after a
reconnect until it hears yes or no, or "not sure" for too long. The library system (`Till`) keeps
books and knows no BK; of some patrons more moves meanwhile: a new fine, or a waiver beside it.
The gateways are killed with SIGKILL at random moments, so at each step of some payment.

Shown (B46, B75, C59, C98, C156): no BK goes up again unless the library system has refused it; a
yes is said only for what it has booked, a no only for what it has not; whatever is not known is in
`payment reconcile`, what the gateways settle is as it is in its books, and what is left staff
settle by them; then its books and our ledger agree to the cent.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness import STAMP
from hostile_library import Drawn, HostileLibrary
from postgres import Server, running_server
from till_library import Till, total

from proofs.outages import LOST, Host, Line, Outages
from proofs.process import GatewayProcess, prepare, twins
from proofs.report import Report
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.config import load_config
from sip2gw.texts.english import TEXTS

PAYMENTS = 1_000
TILLS = 10
TIMEOUT_S = 0.3
FAULTS_SHARE, SLOW_SHARE, MOVED_SHARE = 0.1, 0.3, 0.3
ASKED_AGAIN_S = 2.0
"""So long a till asks again when it hears "not sure"; then staff have to look."""
PAUSE_S = 0.05
LOOKED_S = 60.0
"""After so long everything has been looked at once."""
LIFE_S = (0.5, 2.5)
FEES = {b"1": 200, b"2": 300}
AMOUNTS = (b"2.00", b"5.00")

NOT_SURE = TEXTS["unknown_outcome"].encode()
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
connections = 8
timeout_s = TIMEOUT
preset = "koha"
[server]
listen = ["127.0.0.1:0"]
[admin]
enabled = false
[log]
level = "info"
format = "json"
[branches.MAIN]
[profiles.till]
kind = "payment"
"""


@dataclass(frozen=True)
class Bill:
    """One payment; its number makes patron and BK."""

    number: int

    @property
    def patron(self) -> bytes:
        return b"P%d" % self.number

    @property
    def bk(self) -> bytes:
        return b"B%d" % self.number

    @property
    def body(self) -> bytes:
        fee = b"CG1|" if self.number % 2 else b""
        amount = AMOUNTS[0] if fee else AMOUNTS[1]
        who = b"AOHUB|AA%b|AC|AD1234|BK%b|" % (self.patron, self.bk)
        return b"37%b0100EURBV%b|" % (STAMP.encode(), amount) + who + fee


class Payer:
    """A till on one gateway."""

    def __init__(self, outages: Outages, host: Host, name: str, told: Counter[str]) -> None:
        self._outages, self._host, self._name, self._told = outages, host, name, told
        self._line: Line | None = None

    async def pay(self, bill: Bill) -> str:
        """`yes`, `no`, or `not sure` if it stays so."""
        began = time.monotonic()
        while True:
            answer = await self._one_answer(bill.body)
            if answer is not None and answer[2:3] == b"Y":
                return "yes"
            if answer is not None and NOT_SURE not in answer:
                return "no"
            self._told["asked_again"] += 1
            if time.monotonic() - began > ASKED_AGAIN_S and answer is not None:
                return "not sure"
            await asyncio.sleep(PAUSE_S)

    async def _one_answer(self, body: bytes) -> bytes | None:
        """None when the gateway is killed meanwhile."""
        try:
            if self._line is None:
                await self._host.up.wait()
                self._line = await Line.open(self._host, self._name, self._outages.failures)
            return await self._line.ask(body)
        except LOST:
            self._told["lost"] += 1
            self.hang_up()
            return None

    def hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None


class Tills:
    """All tills, and what they were told at last about each payment."""

    def __init__(self, outages: Outages, library: Till, tills: int) -> None:
        self.told: Counter[str] = Counter()
        self.ends: dict[bytes, set[str]] = {}
        self.moved: set[bytes] = set()
        self._chance, self._library = outages.chance, library
        self._payers = [
            [Payer(outages, host, f"till-{till}", self.told) for host in outages.hosts]
            for till in range(tills)
        ]

    async def pay(self, payments: int) -> None:
        """So many payments, one after the other at each till."""
        numbers = iter(range(payments))

        async def work(payers: Sequence[Payer]) -> None:
            for number in numbers:
                await self._pay(Bill(number), payers)

        await asyncio.gather(*(work(payers) for payers in self._payers))
        for payers in self._payers:
            for payer in payers:
                payer.hang_up()

    async def _pay(self, bill: Bill, payers: Sequence[Payer]) -> None:
        self._library.owed[bill.patron] = dict(FEES)
        ends = asyncio.gather(*(payer.pay(bill) for payer in payers))
        if self._chance.random() < MOVED_SHARE:
            await asyncio.sleep(self._chance.uniform(0, 2 * PAUSE_S))
            self.moved.add(bill.patron)
            fees = self._library.owed[bill.patron]
            if self._chance.random() < 0.5 or fees.get(b"2") != FEES[b"2"]:
                fees[b"9"] = self._chance.choice((100, 200, 500))
            else:
                fees[b"2"] -= 100
        self.ends[bill.bk] = set(await ends)


async def prove(
    directory: Path,
    *,
    payments: int,
    tills: int,
    seed: int,
    looks: bool = True,
    server: Server | None = None,
) -> Report:
    """Pay, kill, look, let staff settle what is left, and judge.

    `looks`: whether to wait until the gateways have looked at what nobody knew.
    """
    gateways = 2 if server is not None else 1
    report = Report(f"upstream-payments, {gateways} gateways")
    drawn = Drawn(seed, 10**9, FAULTS_SHARE, SLOW_SHARE)
    books = Till()
    url = server.url(server.make_database()) if server is not None else "sqlite:library.db"
    library = HostileLibrary(
        lambda heard: drawn(heard) if heard.code == b"37" else "right",
        answer=books,
        late_s=2 * TIMEOUT_S,
    )
    async with library, AsyncExitStack() as stack:
        path = await prepare(directory, configuration(url, library.port, tills), ())
        processes = [
            await stack.enter_async_context(GatewayProcess(each, keep_requests=False))
            for each in (twins(path, gateways) if gateways > 1 else [path])
        ]
        outages = Outages(processes, seed)
        counter = Tills(outages, books, tills)
        paying = asyncio.create_task(counter.pay(payments))
        await outages.rage(paying.done, LIFE_S)
        await paying
        store = open_backend(load_config(path), "command").store
        stack.push_async_callback(store.close)
        if looks:
            await _until_looked_at(store, report)
        await settle(store, books, report, counter)
        for process in processes:
            await process.stop()
        report.failures += outages.failures
        judge(store, library, counter, report)
    report.numbers |= {**counter.told, "kills": outages.kills, "faults": sum(drawn.done.values())}
    report.numbers |= Counter(
        end.replace(" ", "_") for ends in counter.ends.values() for end in ends
    )
    return report


def configuration(url: str, port: int, tills: int) -> str:
    terminals = "".join(
        f'[terminals.till-{number}]\nprofile = "till"\nbranch = "MAIN"\npassword = "pw"\n'
        for number in range(tills)
    )
    text = CONFIG.replace("URL", url).replace("PORT", str(port))
    return text.replace("TIMEOUT", str(TIMEOUT_S)) + terminals


def _open(store: Library) -> list[str]:
    """The BKs of what `payment reconcile` shows as unknown, and their ids."""
    since = datetime.now(UTC) - timedelta(days=1)
    return [one.payment.id for one in store.reconciliations(since) if one.settled is None]


async def _until_looked_at(store: Library, report: Report) -> None:
    since = datetime.now(UTC) - timedelta(days=1)

    def is_done() -> bool:
        listed = store.reconciliations(since)
        return all(one.settled is not None or one.after is not None for one in listed)

    try:
        async with asyncio.timeout(LOOKED_S):
            while not is_done():  # noqa: ASYNC110 -- a store
                await asyncio.sleep(0.5)
    except TimeoutError:
        report.expect(False, "not everything was looked at")


async def settle(store: Library, books: Till, report: Report, tills: Tills) -> None:
    """Staff look into the library system's books."""
    paid = {one.bk.decode() for one in books.paid}
    by_id = {one.id: one for one in store.payments()}
    since = datetime.now(UTC) - timedelta(days=1)
    for one in store.reconciliations(since):
        report.numbers[f"looked_{one.state.value}"] = (
            report.numbers.get(f"looked_{one.state.value}", 0) + 1
        )
    left = _open(store)
    report.numbers["left_to_staff"] = len(left)
    for payment_id in left:
        is_booked = by_id[payment_id].bk in paid
        now = datetime.now(UTC)
        await store.settle_payment(payment_id, booked=is_booked, note="by their books", now=now)
    unsure = {bk.decode() for bk, ends in tills.ends.items() if ends == {"not sure"}}
    known = {one.bk for one in by_id.values()}
    report.expect(unsure <= known, f"not in the journal: {sorted(unsure - known)[:5]}")


def judge(store: Library, library: HostileLibrary, tills: Tills, report: Report) -> None:
    """Compare the library system's books with ours, and with what the tills were told."""
    books = library.answer
    assert isinstance(books, Till)
    paid = Counter(one.bk for one in books.paid)
    refused = Counter(books.refused)
    sent = Counter(heard.value(b"BK") for heard in library.heard if heard.code == b"37")
    report.expect(not books.too_often, f"went up again when it was booked: {books.too_often[:5]}")
    for bk, times in paid.items():
        report.expect(times == 1, f"{bk!r} was booked {times} times")
    for bk, ends in tills.ends.items():
        report.expect("yes" not in ends or bk in paid, f"{bk!r} got a yes and is not booked")
        report.expect(ends != {"no"} or bk not in paid, f"{bk!r} got a no and is booked")
    report.numbers["sent"] = sum(sent.values())
    ours = {one.bk.encode(): one.amount for one in store.payments() if one.status == "booked"}
    theirs = {one.bk: one.cents for one in books.paid}
    report.expect(
        ours == theirs, f"the books differ: {sorted(set(ours.items()) ^ set(theirs.items()))[:5]}"
    )
    report.expect(not _open(store), "something is left in reconcile")
    report.expect(store.self_check() == [], f"{store.self_check()[:3]}")
    report.numbers["booked"] = len(theirs)
    report.numbers["refused_there"] = sum(refused.values())
    report.numbers["moved"] = len(tills.moved)
    report.numbers["still_owed"] = sum(map(total, books.owed.values()))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="upstream-payments", description=__doc__)
    parser.add_argument("--payments", type=int, default=PAYMENTS, help=f"default {PAYMENTS}")
    parser.add_argument("--terminals", type=int, default=TILLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgresql", action="store_true", help="two gateways on one database")
    options = parser.parse_args(arguments)
    server = running_server(durable=True) if options.postgresql else nullcontext()
    with tempfile.TemporaryDirectory() as directory, server as running:
        report = asyncio.run(
            prove(
                Path(directory),
                payments=options.payments,
                tills=options.terminals,
                seed=options.seed,
                server=running,
            )
        )
    return report.tell()
