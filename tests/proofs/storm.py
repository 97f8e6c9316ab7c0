"""Payments in a storm: 20 connections, SIGKILL at random moments, every cent where it belongs.

Each kiosk pays fees of many patrons at a gateway process that is killed again and again and
comes back on the same store. A 37 whose answer was lost is sent again after the reconnect (some
are given up), an answered one is now and then repeated on purpose: over the same connection, over
another of the same terminal, in a later life of the gateway. `network` is the same with two
gateways on one database, where kiosks reconnect to either.

Shown (B46, C4): every acknowledged payment is in the ledger exactly once; nothing is there twice
or was never asked for or was refused; every repetition got the first 38 byte for byte but for AY
and AZ; what is owed is what was owed less what was booked, never below zero; the store finds no
fault with itself; SIGTERM ends with 0.
"""

import argparse
import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness import STAMP, ask_37, debt, person

from proofs.outages import LIFE_S, LOST, Host, Line, Outages
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.config import load_config
from sip2gw.model import PatronRecord, Payment

CONNECTIONS = 20
TERMINALS = 8
"""Fewer than connections: the same BK also races over two lines of one terminal."""
FEES_PER_PATRON = 30
FEE_MINOR = 2_000_000
"""So much that a storm never runs out of what can be paid."""
LULL_S = 0.5
"""Seconds that the kiosks go on after the last kill."""

CONFIG = """
[institution]
id = "HUB"
currency = "EUR"
timezone = "Europe/Brussels"
language = "en"
[store]
url = "sqlite:library.db"
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
[profiles.merged]
kind = "payment"
[profiles.separate]
kind = "payment"
family = "separate"
""" + "".join(
    f'[terminals.pay-{number}]\nprofile = "{"separate" if number % 4 == 3 else "merged"}"\n'
    f'branch = "MAIN"\npassword = "pw"\nmax_connections = 20\n'
    for number in range(TERMINALS)
)

HEAD, CHILD, AUTHORISER, AUTHORISED = "2001", "2002", "2003", "2004"
PATRONS = tuple(str(number) for number in range(2001, 2013))
DEBTORS = {HEAD: (HEAD, CHILD), AUTHORISED: (AUTHORISED, AUTHORISER)}
"""Whose fees a payer may also settle; everybody else's are the own ones."""


def library(patrons: Iterable[str] = PATRONS) -> Iterator[dict[str, object]]:
    """Patrons with far too many fees; a family and an authorisation among them."""
    yield {"kind": "membership", "code": "201", "description": "Adult", "type": 4}
    yield {"kind": "badge", "code": "ONBE", "name": "Unmanned opening hours"}
    for card in patrons:
        yield person(card, f"Patron {card}", membership_until="2099-12-31")
        for number in range(FEES_PER_PATRON):
            yield debt(f"{card}F{number}", card, f"{FEE_MINOR / 100:.2f}", created="2026-01-01")
    yield {"kind": "relationship", "type": "head_of_family", "from": HEAD, "to": CHILD}
    yield {
        "kind": "relationship",
        "type": "authorisation",
        "from": AUTHORISER,
        "to": AUTHORISED,
        "functions": ["pay"],
    }


@dataclass
class Order:
    """One payment that a kiosk wants booked, and all that it was ever told about it."""

    terminal: str
    payer: str
    amount: int
    bk: str
    body: bytes
    answers: list[bytes] = field(default_factory=list)
    """Bodies, without AY and AZ."""
    accepted_by: Host | None = None
    """Who said so first."""

    @property
    def accepted(self) -> bool:
        return any(answer.startswith(b"38Y") for answer in self.answers)

    @property
    def key(self) -> tuple[str, str, int]:
        """How the payment is recognised in the ledger; without BK its amount is unique."""
        return (self.terminal, self.bk, 0 if self.bk else self.amount)


class Storm(Outages):
    """All kiosks, the gateways they talk to, and everything that was asked and answered."""

    def __init__(
        self,
        gateways: Iterable[GatewayProcess],
        seed: int,
        patrons: tuple[str, ...] = PATRONS,
        kills_max: int | None = None,
    ) -> None:
        super().__init__(gateways, seed, kills_max)
        self.patrons = patrons
        self.orders: list[Order] = []
        self.ending = False
        self.acknowledged = 0
        self.repeated = 0
        self.answered_elsewhere = 0
        """Answers to what another gateway had accepted first."""
        self.reused_refused = 0
        self._unique = iter(range(1, 10_000))

    async def blow(
        self,
        connections: int,
        is_over: Callable[["Storm"], bool],
        life_s: tuple[float, float] = LIFE_S,
    ) -> None:
        """Let kiosks pay while the gateways are killed, until `is_over`; they end with SIGTERM."""
        kiosks = [Kiosk(self, number) for number in range(connections)]
        running = [asyncio.create_task(kiosk.run()) for kiosk in kiosks]
        await self.rage(lambda: is_over(self), life_s)
        await asyncio.sleep(LULL_S)
        self.ending = True
        await asyncio.gather(*running)
        await self.end()

    def new_order(self, terminal: str) -> Order:
        """Any payment: with and without CG and BK, own and others' fees, sometimes too much."""
        chance, number = self.chance, len(self.orders)
        payer = chance.choice(self.patrons)
        separate = int(terminal[4:]) % 4 == 3
        amount, bk = chance.randint(1, 300), f"BK{number}"
        if chance.random() < 0.1:
            amount, bk = next(self._unique), ""
        elif chance.random() < 0.03:
            amount = FEE_MINOR * FEES_PER_PATRON * 3
        fee = extra = None
        debtor = chance.choice(DEBTORS.get(payer, (payer,)))
        if bk and chance.random() < 0.5:
            fee = f"{debtor}F{chance.randrange(FEES_PER_PATRON)}"
        if separate and debtor != payer:
            extra = f"ZD{debtor}|"
        text = ask_37(
            payer, f"{amount / 100:.2f}", pin=payer, fee=fee, bk=bk or None, extra=extra or ""
        )
        if not bk:
            # Without BK the transaction date tells two payments apart (B46).
            text = text.replace(STAMP, f"20260310    {number % 240000:06d}")
        order = Order(terminal, payer, amount, bk, text.encode("ascii"))
        self.orders.append(order)
        return order

    def note(self, order: Order, answer: bytes, host: Host) -> None:
        """Keep an answer; after an acceptance all must be the same."""
        if order.accepted and answer != order.answers[-1]:
            self.failures.append(f"{order.key}: {order.answers[-1]!r}, then {answer!r}")
        order.answers.append(answer)
        if order.accepted_by is not None:
            self.answered_elsewhere += host is not order.accepted_by
        elif order.accepted:
            order.accepted_by = host
            self.acknowledged += 1


class Kiosk:
    """One connection after the other, one payment after the other."""

    def __init__(self, storm: Storm, number: int) -> None:
        self.storm = storm
        self.terminal = f"pay-{number % TERMINALS}"
        self.open: Order | None = None
        """Sent, not answered yet."""

    async def run(self) -> None:
        """Pay until the storm is over."""
        while not self.storm.ending:
            host = await self.storm.any_host()
            try:
                await self._one_life(host)
            except LOST:
                continue

    async def _one_life(self, host: Host) -> None:
        line = await Line.open(host, self.terminal, self.storm.failures)
        try:
            while not self.storm.ending:
                order = self._next_order()
                self.open = order
                self.storm.note(order, await line.ask(order.body), host)
                self.open = None
                await self._reuse_key(line, order)
                await self.storm.rest()
        finally:
            line.close()

    def _next_order(self) -> Order:
        storm, chance = self.storm, self.storm.chance
        if self.open is not None and chance.random() < 0.9:
            return self.open
        if chance.random() < 0.15:
            # Perhaps one that another line of this terminal waits for at this moment.
            mine = [order for order in storm.orders[-400:] if order.terminal == self.terminal]
            if mine:
                storm.repeated += 1
                return chance.choice(mine)
        return storm.new_order(self.terminal)

    async def _reuse_key(self, line: Line, order: Order) -> None:
        """The same BK for another amount must be refused."""
        if not (order.accepted and order.bk and self.storm.chance.random() < 0.05):
            return
        other = re.sub(rb"BV[0-9.]+", b"BV%d.99" % (order.amount // 100 + 1), order.body)
        answer = await line.ask(other)
        self.storm.reused_refused += 1
        if not answer.startswith(b"38N"):
            self.storm.failures.append(f"{order.key}: its BK was accepted for another amount")


async def blow(directory: Path, rounds: int, seed: int) -> Report:
    """Run the whole storm in `directory` and judge the ledger afterwards."""
    report = Report("storm")
    config = await prepare(directory, CONFIG, library())
    async with GatewayProcess(config) as gateway:
        storm = Storm([gateway], seed)
        await storm.blow(CONNECTIONS, lambda storm: storm.kills >= rounds)
    await judge(config, storm, report)
    return report


async def judge(config: Path, storm: Storm, report: Report) -> None:
    """Compare the ledger with what the kiosks know."""
    report.failures += storm.failures
    store = open_backend(load_config(config), "daemon").store
    booked = list(store.payments())
    faults = store.self_check()
    records = [await _record(store, card) for card in storm.patrons]
    owed = {fee.id: fee.owed for record in records for fee in record.fees}
    await store.close()
    report.expect(not faults, f"the store finds fault with itself: {faults[:5]}")
    _judge_keys(booked, storm.orders, report)
    _judge_money(booked, owed, storm.patrons, report)
    report.numbers |= {
        "asked": len(storm.orders),
        "acknowledged": storm.acknowledged,
        "booked": len(booked),
        "booked_unacknowledged": len(booked) - storm.acknowledged,
        "repetitions": storm.repeated,
        "answers": sum(len(order.answers) for order in storm.orders),
        "reused_keys_refused": storm.reused_refused,
        "kills": storm.kills,
    }


async def _record(store: Library, card: str) -> PatronRecord:
    record = await store.find_patron(card)
    assert record is not None
    return record


def _judge_keys(booked: list[Payment], orders: list[Order], report: Report) -> None:
    keys = Counter((p.terminal, p.bk, 0 if p.bk else p.amount) for p in booked)
    in_ledger = {(p.terminal, p.bk, 0 if p.bk else p.amount): p for p in booked}
    for key, count in keys.items():
        report.expect(count == 1, f"{key} is in the ledger {count} times")
    asked = {order.key: order for order in orders}
    report.expect(len(asked) == len(orders), "the proof itself used a key twice")
    for key, order in asked.items():
        payment = in_ledger.pop(key, None)
        report.expect(payment is not None or not order.accepted, f"{key} was lost")
        refused = bool(order.answers) and not order.accepted
        report.expect(payment is None or not refused, f"{key} was refused and is booked")
        same = payment is None or (payment.payer_id, payment.amount) == (order.payer, order.amount)
        report.expect(same, f"{key} was booked with other content")
    report.expect(not in_ledger, f"never asked for: {list(in_ledger)[:3]}")


def _judge_money(
    booked: list[Payment], owed: dict[str, int], patrons: Iterable[str], report: Report
) -> None:
    settled: Counter[str] = Counter()
    for payment in booked:
        lines = sum(line.amount for line in payment.lines)
        report.expect(lines == payment.amount, f"{payment.id}: lines {lines} != {payment.amount}")
        settled.update({line.fee_id: 0 for line in payment.lines})
        for line in payment.lines:
            settled[line.fee_id] += line.amount
    for card in patrons:
        for number in range(FEES_PER_PATRON):
            fee = f"{card}F{number}"
            left = owed.get(fee, 0)
            report.expect(left >= 0, f"{fee}: more was booked than was owed")
            report.expect(
                left == FEE_MINOR - settled[fee], f"{fee}: owed {left}, settled {settled[fee]}"
            )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="storm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(blow(Path(directory), options.rounds, options.seed))
    return report.tell()
