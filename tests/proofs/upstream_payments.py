"""Payments through gateways that are killed, to a library system that does wrong what it can.

Each payment is by a patron of its own, who owes two fees: some name a fee (CG), some pay all, and
every fourth is the head of a family who pays for two children too, of whom the library system
refuses some at first. A till sends it, to all gateways at once if there are several on one
database, and asks again after a reconnect until it hears yes or no, or "not sure" for too long. The
library system (`Till`) keeps books and knows no BK; of some debtors more moves meanwhile: new
fines, larger ones, waivers. The gateways kill themselves with SIGKILL (`killed`): before the intent
is written, while it is, when it is durable, when the 37 has left, when its answer has come, while
our end is written, and when it is durable.

Shown (B46, B75, B76, C59, C98, C156): no BK goes up again for a debtor unless the library system
has refused it; a yes is said only for what it has booked, a no only for what it has not;
whatever is not known is in `payment reconcile`, what the gateways settle is as it is in its books,
and what is left staff settle by them; then its books and our ledger agree to the cent.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import killed
from harness import STAMP, person
from hostile_library import Drawn, HostileLibrary
from postgres import Server, running_server
from till_library import Till, amount, total

from proofs.outages import LOST, Host, Line, Outages
from proofs.process import GatewayProcess, prepare, twins
from proofs.report import Report
from sip2gw.backend.base import RefusedError
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
LOOKED_S = 180.0
"""After so long everything has been looked at once, also what nobody answered the first time."""
LIFE = 400
FEES = {b"1": 200, b"2": 300}
UNWILLING_SHARE = 0.3
"""Of the families: one child's 37 is refused at first."""
SETTLED_MAX = 5
"""So many times staff go through what is open: each time one debtor of a payment is settled."""
TRIED_AGAIN = 3
"""So often a till tries what was refused in part."""

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
    def debtors(self) -> tuple[bytes, ...]:
        """The payer, and the children of every fourth."""
        is_head = self.number % 4 == 0
        return (self.patron, *(self.patron + child for child in (b"A", b"B") if is_head))

    @property
    def names_fee(self) -> bool:
        return self.number % 2 == 1

    @property
    def cents(self) -> int:
        return FEES[b"1"] if self.names_fee else len(self.debtors) * sum(FEES.values())

    @property
    def body(self) -> bytes:
        fee = b"CG1|" if self.names_fee else b""
        who = b"AOHUB|AA%b|AC|AD1234|BK%b|" % (self.patron, self.bk)
        return b"37%b0100EURBV%b|" % (STAMP.encode(), amount(self.cents)) + who + fee


def families(payments: int) -> Iterator[dict[str, object]]:
    """What our store knows: who is whose child."""
    yield {"kind": "membership", "code": "201", "description": "Adult", "type": 4}
    for number in range(payments):
        head, *children = (one.decode() for one in Bill(number).debtors)
        for card in (head, *children) if children else ():
            yield {**person(card, f"Patron {card}"), "pin": None, "badges": []}
        for child in children:
            yield {"kind": "relationship", "type": "head_of_family", "from": head, "to": child}


class Payer:
    """A till on one gateway."""

    def __init__(self, outages: Outages, host: Host, name: str, told: Counter[str]) -> None:
        self._outages, self._host, self._name, self._told = outages, host, name, told
        self._line: Line | None = None

    async def pay(self, bill: Bill) -> str:
        """`yes`, `no`, or `not sure` if it stays so."""
        began, refused = time.monotonic(), 0
        while True:
            answer = await self._one_answer(bill.body)
            if answer is not None and answer[2:3] == b"Y":
                return "yes"
            is_no = answer is not None and NOT_SURE not in answer
            refused += is_no
            if is_no and (refused == TRIED_AGAIN or len(bill.debtors) == 1):
                return "no"
            self._told["asked_again"] += 1
            if time.monotonic() - began > ASKED_AGAIN_S and answer is not None:
                return "no" if is_no else "not sure"
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
        for debtor in bill.debtors:
            self._library.owed[debtor] = dict(FEES)
        if len(bill.debtors) > 1 and self._chance.random() < UNWILLING_SHARE:
            self._library.unwilling[self._chance.choice(bill.debtors)] = 1
        ends = asyncio.gather(*(payer.pay(bill) for payer in payers))
        if self._chance.random() < MOVED_SHARE:
            await asyncio.sleep(self._chance.uniform(0, 2 * PAUSE_S))
            self._move(self._chance.choice(bill.debtors), bill)
        self.ends[bill.bk] = set(await ends)

    def _move(self, debtor: bytes, bill: Bill) -> None:
        """Something else becomes of what `debtor` owes, that could hide a payment or look like one.

        Not a waiver of just what is paid: no list of fees would show which of the two it was.
        """
        fees = self._library.owed[debtor]
        moves = [lambda: fees.update({b"9": self._chance.choice((100, 200, 300, 500))})]
        if fees.get(b"2") == FEES[b"2"]:
            moves += [
                lambda: fees.update({b"2": 400}),
                lambda: fees.update({b"2": 200}),
                lambda: fees.update({b"2": 200, b"9": 100}),
            ]
            if bill.names_fee:  # as much as is paid, but of another fee
                moves.append(lambda: fees.update({b"2": 100}))
        self._chance.choice(moves)()
        self.moved.add(debtor)


async def prove(
    directory: Path,
    *,
    payments: int,
    tills: int,
    seed: int,
    life: int = LIFE,
    looks: bool = True,
    server: Server | None = None,
) -> Report:
    """Pay, kill, look, let staff settle what is left, and judge.

    `life`: how many steps of payments a gateway lives at most.
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
        config = configuration(url, library.port, tills)
        path = await prepare(directory, config, families(payments))
        kills = directory / "kills"
        kills.touch()
        processes = [
            await stack.enter_async_context(
                GatewayProcess(each, keep_requests=False, program=killed.program(kills, seed, life))
            )
            for each in (twins(path, gateways) if gateways > 1 else [path])
        ]
        outages = Outages(processes, seed)
        counter = Tills(outages, books, tills)
        paying = asyncio.create_task(counter.pay(payments))
        await outages.revive(paying.done)
        await paying
        report.numbers |= Counter(f"at_{step}" for step in kills.read_text().split())
        kills.unlink()  # from now on they live
        await outages.revive(lambda: True)
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


def _receipt(bk: bytes) -> bytes:
    """The terminal's number: the second 37 of a payment has `-2` behind it."""
    return bk.partition(b"-")[0]


def _open(store: Library) -> list[str]:
    """The BKs of what `payment reconcile` shows as unknown, and their ids."""
    since = datetime.now(UTC) - timedelta(days=1)
    return [one.payment.id for one in store.reconciliations(since) if one.settled is None]


async def _until_looked_at(store: Library, report: Report) -> None:
    since = datetime.now(UTC) - timedelta(days=1)

    def is_done() -> bool:
        listed = store.reconciliations(since)
        # Where nothing is sent there is nothing to look at: a part of it is not booked.
        return all(one.settled or one.after is not None or one.proposal for one in listed)

    try:
        async with asyncio.timeout(LOOKED_S):
            while not is_done():  # noqa: ASYNC110 -- a store
                await asyncio.sleep(0.5)
    except TimeoutError:
        report.expect_in_time(False, f"not everything was looked at within {LOOKED_S:g} s")


async def settle(store: Library, books: Till, report: Report, tills: Tills) -> None:
    """Staff look into the library system's books, at one debtor after the other."""
    by_id = {one.id: one for one in store.payments()}
    since = datetime.now(UTC) - timedelta(days=1)
    for one in store.reconciliations(since):
        report.numbers[f"looked_{one.state.value}"] = (
            report.numbers.get(f"looked_{one.state.value}", 0) + 1
        )
    left = _open(store)
    report.numbers["left_to_staff"] = len(left)
    for _ in range(SETTLED_MAX):
        ours = {one.id: sum(line.amount for line in one.lines) for one in store.payments()}
        for payment_id in _open(store):
            bk = by_id[payment_id].bk.encode()
            theirs = sum(one.cents for one in books.paid if _receipt(one.bk) == bk)
            # What we have not booked, and they have, is what nobody knew.
            is_booked, now = theirs > ours[payment_id], datetime.now(UTC)
            with suppress(RefusedError):  # a gateway has just settled it
                await store.settle_payment(payment_id, booked=is_booked, note="seen", now=now)
    unsure = {bk.decode() for bk, ends in tills.ends.items() if ends == {"not sure"}}
    known = {one.bk for one in by_id.values()}
    report.expect(unsure <= known, f"not in the journal: {sorted(unsure - known)[:5]}")


def judge(store: Library, library: HostileLibrary, tills: Tills, report: Report) -> None:
    """Compare the library system's books with ours, and with what the tills were told."""
    books = library.answer
    assert isinstance(books, Till)
    paid = Counter((_receipt(one.bk), one.patron) for one in books.paid)
    sums: Counter[bytes] = Counter()
    for one in books.paid:
        sums[_receipt(one.bk)] += one.cents
    sent = Counter(heard.value(b"BK") for heard in library.heard if heard.code == b"37")
    report.expect(not books.too_often, f"went up again when it was booked: {books.too_often[:5]}")
    for which, times in paid.items():
        report.expect(times == 1, f"{which} was booked {times} times")
    for bk, ends in tills.ends.items():
        cents = Bill(int(bk[1:])).cents
        report.expect("yes" not in ends or sums[bk] == cents, f"{bk!r}: a yes, and is not booked")
        report.expect(ends != {"no"} or not sums[bk], f"{bk!r}: a no, and is booked")
    report.numbers["sent"] = sum(sent.values())
    ours = {
        (one.bk.encode(), line.debtor_id.encode(), line.amount)
        for one in store.payments()
        if one.status == "booked"
        for line in one.lines
    }
    theirs = {(_receipt(one.bk), one.patron, one.cents) for one in books.paid}
    report.expect(ours == theirs, f"the books differ: {sorted(ours ^ theirs)[:5]}")
    report.expect(not _open(store), "something is left in reconcile")
    report.expect(store.self_check() == [], f"{store.self_check()[:3]}")
    report.numbers["booked"] = len(sums)
    report.numbers["for_others"] = sum(bk[1:] != patron[1:] for bk, patron in paid)
    report.numbers["refused_there"] = len(books.refused)
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
