"""Three years of monthly maintenance, against a naive second statement of the rules (B63, C160).

50,000 patrons with memberships of every type and renewal type live through 36 months. Each month
some of them are active and some pay their fees at a gateway's store; then maintenance runs. In some
months a run is killed with SIGKILL after it has written some batches, and another run goes on; in
others two processes run at once.

Shown after each month: every patron has the membership, period, status and credits that the naive
model in this file says, so nobody is lost and nobody is in two; every change is a step with a rule,
for the steps alone lead from the first state of each patron to the last; nothing is said or done
twice; another run finds nothing to do; the ledger is sound; and each month takes less than 60 s.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from orders import saying, settling
from postgres import Server, running_server

from proofs.process import ROOT, prepare
from proofs.report import Report
from sip2gw.backend.base import PaymentOrder, PaymentOutcome
from sip2gw.backend.database import WriteResult
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.backend.sql.members import activity
from sip2gw.config import Config, load_config
from sip2gw.model import PaymentLine
from sip2gw.model.maintenance import Step
from sip2gw.staff.members.maintenance import maintain_memberships, occasion_of, step_json

PATRONS = 50_000
MONTHS = 36
SECONDS_MAX = 60.0
SQLITE = "sqlite:library.db"
ZONE = ZoneInfo("Europe/Brussels")
FIRST = date(2027, 1, 1)
"""The day of the first run; each further one is a month later."""
ACTIVE, PAYING = 0.03, 0.02
"""How many of the patrons are active, and pay, in a month."""
KILLED, TWICE = (3, 17), (5, 23)
"""In which months a run is killed, and two run at once."""
PAYMENTS_AT_ONCE = 50
DAY = timedelta(days=1)

CONFIG = """
[institution]
id = "HUB"
currency = "EUR"
timezone = "Europe/Brussels"
[store]
url = "URL"
[server]
listen = ["127.0.0.1:0"]
[branches.MAIN]
[privacy]
ended_patron_days = 3660
"""
"""Nobody is forgotten meanwhile: memberships are looked at here, to their end."""

MEMBERSHIPS: dict[str, dict[str, Any]] = {
    "101": {
        "type": 1,
        "minimum_age": 0,
        "maximum_age": 11,
        "renewal_type": 1,
        "remove_after_months": 24,
        "term_months": 12,
        "subsequent_membership": "102",
        "notification_term_months": 1,
    },
    "102": {
        "type": 1,
        "minimum_age": 12,
        "maximum_age": 17,
        "term_months": 12,
        "subsequent_membership": "201",
        "notification_term_months": 2,
    },
    "105": {
        "type": 1,
        "minimum_age": 10,
        "maximum_age": 15,
        "renewal_type": 5,
        "term_months": 6,
        "notification_term_months": 1,
    },
    "201": {
        "type": 3,
        "fee": 2000,
        "invoicing_method": 1,
        "term_months": 12,
        "fee_reminder_months": 1,
        "fee_delinquent_months": 3,
        "fee_delete_months": 8,
        "refund": True,
    },
    "202": {
        "type": 2,
        "minimum_age": 18,
        "maximum_age": 64,
        "renewal_type": 1,
        "remove_after_months": 12,
        "term_months": 12,
        "fee": 1000,
        "invoicing_method": 2,
        "fee_reminder_months": 2,
        "subsequent_membership": "203",
        "notification_term_months": 1,
    },
    "203": {"type": 0, "term_months": 24},
    "301": {"type": 5, "renewal_type": 5, "term_months": 3, "notification_term_months": 1},
    "302": {"type": 3, "renewal_type": 9, "term_months": 12, "notification_term_months": 3},
    "303": {
        "type": 3,
        "outgoing": True,
        "remove_after_months": 15,
        "term_months": 6,
        "fee": 600,
        "invoicing_method": 0,
        "refund": True,
    },
    "401": {"type": 4, "renewal_type": 4, "term_months": 12, "subsequent_membership": "402"},
    "402": {"type": 4, "term_months": 12, "fee": 5000, "invoicing_method": 4},
    "501": {"type": 6, "renewal_type": 3, "term_months": 12, "notification_term_months": 1},
    "601": {
        "type": 3,
        "fee": 300,
        "invoicing_method": 3,
        "term_months": 2,
        "registration_term_months": 3,
        "trial_months": 1,
        "free_months": 1,
        "fee_delinquent_months": 2,
        "fee_delete_months": 4,
    },
}
"""Amounts in cents; `records` writes them as the import wants them."""


# A naive second statement of the rules: no events, one month after the other -----------------


def later(day: date, months: int) -> date:
    """The same day so many months later, or the last one that this month has."""
    year, month = day.year, day.month + months
    while month > 12:
        year, month = year + 1, month - 12
    for number in range(day.day, 27, -1):
        try:
            return date(year, month, number)
        except ValueError:
            pass
    return date(year, month, min(day.day, 28))


def age(born: date, day: date) -> int:
    years = day.year - born.year
    return years if (day.month, day.day) >= (born.month, born.day) else years - 1


@dataclass
class Charge:
    """A fee for a period."""

    since: date
    until: date
    amount: int
    paid: bool = False


@dataclass
class Life:
    """One patron."""

    number: int
    code: str
    since: date
    until: date
    born: date
    active: date | None = None
    status: int = 5
    charges: list[Charge] = field(default_factory=list)
    """Those that count for the status."""
    cause: Charge | None = None
    credit: int = 0

    @property
    def id(self) -> str:
        return f"P{self.number}"

    @property
    def is_member(self) -> bool:
        return self.status != 9

    @property
    def row(self) -> tuple[str, str, str, int]:
        return self.code, str(self.since), str(self.until), self.status

    def live_to(self, day: date) -> None:
        """What the runs of all months up to the one of `day`, a first of the month, have done."""
        self._pass_periods(day - DAY)
        self._judge_payments(day)
        self._pass_periods(day)
        self._judge_payments(day)

    def _pass_periods(self, day: date) -> None:
        """Whatever ends before or on `day`."""
        while self.is_member:
            keys = MEMBERSHIPS[self.code]
            last = self.until
            leaves = (
                later(self.since, keys["remove_after_months"]) if keys.get("outgoing") else None
            )
            if leaves is not None and leaves - DAY <= last:
                if leaves <= day:
                    self._end(leaves)
                return
            if last + DAY > day:
                return
            self._go_on(keys, last)

    def _go_on(self, keys: dict[str, Any], last: date) -> None:
        kind = keys.get("renewal_type", 0)
        over = "maximum_age" in keys and age(self.born, last) > keys["maximum_age"]
        moves = over if "maximum_age" in keys else kind == 4
        idle = max(self.active or self.since, self.since)
        if kind in (0, 1, 4) and moves and "subsequent_membership" in keys:
            self.code, self.since = keys["subsequent_membership"], last + DAY
            self._begin(last + DAY, first=True)
        elif (
            kind in (3, 9)
            or (kind == 5 and (over or keys["type"] == 5))
            or (kind == 1 and later(idle, keys["remove_after_months"]) <= last)
        ):
            self._end(last + DAY)
        else:
            trial = keys.get("trial_months")
            is_trial = trial is not None and later(self.since, trial) == last + DAY
            self._begin(last + DAY, first=is_trial)

    def _begin(self, day: date, *, first: bool) -> None:
        keys = MEMBERSHIPS[self.code]
        months = keys["term_months"]
        if first:
            months = keys.get("registration_term_months", months) + keys.get("free_months", 0)
        self.until = later(day, months) - DAY
        if "fee" in keys:
            self.charges.append(Charge(day, self.until, keys["fee"]))
            if self.status == 5:
                self.status, self.cause = 2, self.charges[-1]

    def _judge_payments(self, day: date) -> None:
        if not self.is_member:
            return
        unpaid = [charge for charge in self.charges if not charge.paid]
        if not unpaid:
            self.status, self.cause = 5, None
            return
        if unpaid[0] is not self.cause:
            self.status, self.cause = 2, unpaid[0]
        waited = (day.year - unpaid[0].since.year) * 12 + day.month - unpaid[0].since.month - 1
        keys = MEMBERSHIPS[self.code]
        for key, status in (("reminder", 3), ("delinquent", 4), ("delete", 9)):
            months = keys.get(f"fee_{key}_months")
            if months is not None and waited >= months and status > self.status:
                if status == 9:
                    self._end(later(unpaid[0].since.replace(day=1), months + 1))
                else:
                    self.status = status

    def _end(self, day: date) -> None:
        self.status, self.cause = 9, None
        for charge in self.charges:
            if MEMBERSHIPS[self.code].get("refund") and charge.paid and charge.until >= day:
                whole = left = 0
                while later(charge.since, whole + 1) <= charge.until + DAY:
                    whole += 1
                while later(max(day, charge.since), left + 1) <= charge.until + DAY:
                    left += 1
                self.credit += charge.amount * left // max(whole, 1)
        self.charges = []


# The library -------------------------------------------------------------------------------------


def people(patrons: int, chance: random.Random) -> list[Life]:
    """So many patrons, members since some day of the last three years."""
    return [_life(number, chance) for number in range(patrons)]


def _life(number: int, chance: random.Random) -> Life:
    code = chance.choice(list(MEMBERSHIPS))
    keys = MEMBERSHIPS[code]
    since = FIRST - timedelta(days=chance.randrange(1, 1_000))
    years = chance.randint(keys.get("minimum_age", 5), keys.get("maximum_age", 80) + 1)
    born = FIRST - timedelta(days=365 * years + chance.randrange(400))
    until = FIRST + timedelta(days=chance.randrange(400))
    if chance.random() < 0.1:
        until = FIRST - timedelta(days=chance.randrange(1, 60))  # the library begins late
    if code == "601" and chance.random() < 0.5:
        since = FIRST - timedelta(days=chance.randrange(20))
        until = later(since, keys["trial_months"]) - DAY
    return Life(number, code, since, max(until, since), born)


def records(lives: list[Life]) -> Iterator[dict[str, object]]:
    """What is imported."""
    for code, keys in MEMBERSHIPS.items():
        fee = {"fee": f"{keys['fee'] / 100:.2f}"} if "fee" in keys else {}
        yield {"kind": "membership", "code": code, "description": f"Number {code}", **keys, **fee}
    for life in lives:
        yield {
            "kind": "patron",
            "id": life.id,
            "name": f"Patron {life.number}",
            "membership": life.code,
            "membership_from": str(life.since),
            "membership_until": str(life.until),
            "birth_date": str(life.born),
        }


# The years ---------------------------------------------------------------------------------------


class Years:
    """The months, one after the other."""

    def __init__(self, config: Path, lives: list[Life], seed: int, report: Report) -> None:
        self._path = config
        self._config: Config = load_config(config)
        self._lives = {life.id: life for life in lives}
        self._chance = random.Random(f"life {seed}")
        self._report = report
        self._said = {
            life.id: (life.code, str(life.since), str(life.until), life.status) for life in lives
        }
        """Where the steps alone have led each patron."""
        self._unsaid: set[str] = set()
        """Whose steps were lost with a killed run."""
        self.notices: Counter[tuple[str, str, str]] = Counter()
        self.rules: Counter[str] = Counter()
        self.payments = 0
        self.killed_after = 0
        self.seconds: list[float] = []

    async def pass_month(self, month: int) -> None:
        """Live, run, compare."""
        day = later(FIRST, month)
        now = datetime(day.year, day.month, day.day, 2, tzinfo=ZONE)
        store = open_backend(self._config, "daemon").store
        try:
            await self._live(store, day, now)
            for life in self._lives.values():
                life.live_to(day)
            began_s = time.monotonic()
            if month in KILLED:
                await self._run_and_kill(now)
            if month in TWICE:
                both = await asyncio.gather(self._run_process(now), self._run_process(now))
                self._hear([*both[0], *both[1]])
            else:
                self._hear(await self._run(now))
            self.seconds.append(time.monotonic() - began_s)
            await self._compare(store, day, now)
        finally:
            await store.close()

    async def _live(self, store: Library, day: date, now: datetime) -> None:
        before = day - timedelta(days=self._chance.randint(1, 25))
        lives = list(self._lives.values())
        active = self._chance.sample(lives, int(len(lives) * ACTIVE))
        for life in active:
            life.active = max(before, life.active or before)
        rows = [(str(before), life.id) for life in active]

        def note(connection: Any) -> WriteResult[None]:
            connection.executemany(activity.PUT, rows)
            return WriteResult(None)

        await store.write(note)
        debtors = [life for life in lives if any(not it.paid for it in life.charges)]
        paying = self._chance.sample(debtors, min(len(debtors), int(len(lives) * PAYING) + 1))
        for start in range(0, len(paying), PAYMENTS_AT_ONCE):
            some = paying[start : start + PAYMENTS_AT_ONCE]
            await asyncio.gather(*(self._pay(store, life, now) for life in some))

    async def _pay(self, store: Library, life: Life, now: datetime) -> None:
        """Pay the oldest fee; in a third of the cases the youngest."""
        unpaid = [charge for charge in life.charges if not charge.paid]
        charge = unpaid[-1 if life.number % 3 == 0 else 0]
        record = await store.find_patron(life.id)
        assert record is not None
        fees = [f for f in record.fees if f.created.astimezone(ZONE).date() == charge.since]
        if len(fees) != 1 or fees[0].owed != charge.amount:
            self._report.expect(False, f"{life.id}: not the fee of {charge.since}: {fees}")
            return
        self.payments += 1
        key = f"BK{self.payments}"
        line = PaymentLine(fees[0].id, life.id, "own", charge.amount)
        order = PaymentOrder(
            terminal="cash-1",
            key=key,
            content=f"{life.id}|{charge.amount}",
            payer_id=life.id,
            amount=charge.amount,
            currency="EUR",
            payment_type="00",
            bk=key,
            now=now - timedelta(hours=12),
            key_expires=now + timedelta(days=30),
            case=settling(line),
            texts=saying("Thank you"),
        )
        result = await store.book_payment(order)
        charge.paid = result.outcome is PaymentOutcome.BOOKED
        self._report.expect(charge.paid, f"{life.id}: could not pay")

    async def _run(self, now: datetime) -> list[dict[str, Any]]:
        """A run by hand: the steps, as the command tells them."""
        store = open_backend(self._config, "command").store
        try:
            done = maintain_memberships(store, occasion_of(self._config, now))
            return [_told(step) async for one in done for step in one.steps]
        finally:
            await store.close()

    async def _begin_process(self, now: datetime) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sip2gw", "maintain", "--json", "--at", now.isoformat()),
            *("--config", str(self._path)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**24,
        )

    async def _run_process(self, now: datetime) -> list[dict[str, Any]]:
        process = await self._begin_process(now)
        out, err = await process.communicate()
        self._report.expect(process.returncode == 0, f"a run failed: {err[-300:]!r}")
        return [json.loads(line) for line in out.splitlines()]

    async def _run_and_kill(self, now: datetime) -> None:
        """Kill a run as soon as it has told of a step, which a batch has made durable."""
        process = await self._begin_process(now)
        assert process.stdout is not None
        await process.stdout.readline()
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        heard = 1 + (await process.stdout.read()).count(b"\n")
        await process.wait()
        self.killed_after += heard
        self._unsaid.update(self._lives)

    def _hear(self, steps: list[dict[str, Any]]) -> None:
        for step in steps:
            patron, rule = step["patron"], step["rule"]
            self.rules[rule] += 1
            code, since, until, status = self._said[patron]
            self._report.expect(
                step["from"] == code or patron in self._unsaid, f"{step}, in {code}"
            )
            begins = str(date.fromisoformat(until) + DAY)
            if step["to"] is not None:
                since = begins if step["to"] != code else since
                code, until = step["to"], step["until"]
            if step["status"] is not None:
                status = step["status"]
            self._said[patron] = code, since, until, status

    async def _compare(self, store: Library, day: date, now: datetime) -> None:
        report = self._report
        store.distrust_cache()
        with store.snapshot() as connection:
            rows = connection.execute(
                "SELECT id, membership_code, membership_from, membership_until, status FROM patron"
            ).fetchall()
            credits = dict(
                map(
                    tuple,
                    connection.execute(
                        "SELECT patron_id, SUM(amount) FROM fee WHERE amount < 0 GROUP BY patron_id"
                    ).fetchall(),
                )
            )
            charges = Counter(
                (patron, since, amount)
                for patron, since, amount in connection.execute(
                    "SELECT m.patron_id, m.since, f.amount FROM membership_fee m "
                    "JOIN fee f ON f.id = m.fee_id WHERE m.closed = 0"
                ).fetchall()
            )
        report.expect(len(rows) == len(self._lives), f"{day}: {len(rows)} patrons are left")
        for patron, *state in rows:
            life = self._lives[patron]
            expected, state = life.row, tuple(state)
            report.expect(state == expected, f"{day}: {patron} is {state}, not {expected}")
            owed = -int(credits.get(patron, 0))
            report.expect(owed == life.credit, f"{day}: {patron} gets {owed}, not {life.credit}")
            if patron in self._unsaid:
                self._said[patron] = state
            report.expect(
                self._said[patron] == state,
                f"{day}: {patron} is {state}, the steps say {self._said[patron]}",
            )
        self._unsaid.clear()
        due = Counter(
            (life.id, str(charge.since), charge.amount)
            for life in self._lives.values()
            for charge in life.charges
        )
        wrong = list((charges - due) + (due - charges))
        report.expect(not wrong, f"{day}: fees differ: {wrong[:3]}")
        again = await self._run(now)
        report.expect(not again, f"{day}: a second run has steps: {again[:3]}")

    def judge(self, store: Library) -> None:
        """What can be said at the end."""
        report = self._report
        with store.snapshot() as connection:
            given = connection.execute("SELECT patron_id, kind, cause FROM notice_given").fetchall()
            sent = connection.execute("SELECT patron_id, kind, cause FROM outbox").fetchall()
        report.expect(
            Counter(map(tuple, given)) == Counter(map(tuple, sent)), "the outbox has other notices"
        )
        faults = store.self_check()
        report.expect(not faults, f"the store finds fault with itself: {faults[:5]}")
        slowest = max(self.seconds)
        report.expect_in_time(slowest < SECONDS_MAX, f"a month took {slowest:.1f} s")
        report.numbers |= {
            "months": len(self.seconds),
            "steps": self.rules.total(),
            "payments": self.payments,
            "notices": len(sent),
            "refunds": self.rules["refunded"],
            "killed_after_steps": self.killed_after,
            "slowest_month_s": round(slowest, 1),
            "rules": ",".join(f"{rule}:{count}" for rule, count in sorted(self.rules.items())),
        }


def _told(step: Step) -> dict[str, Any]:
    return dict(step_json(step, "EUR"))


async def prove(
    directory: Path, *, patrons: int, months: int, seed: int, server: Server | None = None
) -> Report:
    """Let so many patrons live through so many months, and judge.

    Args:
        directory: for the configuration and an SQLite store.
        patrons: how many.
        months: from January 2027 on.
        seed: of what is random.
        server: with one, the store is a database there; else SQLite.
    """
    report = Report(f"maintenance, {patrons} patrons, {'PostgreSQL' if server else 'SQLite'}")
    database = server.make_database() if server else ""
    url = server.url(database) if server else SQLITE
    lives = people(patrons, random.Random(seed))
    config = await prepare(directory, CONFIG.replace("URL", url), records(lives))
    years = Years(config, lives, seed, report)
    for month in range(months):
        await years.pass_month(month)
    store = open_backend(load_config(config), "command").store
    years.judge(store)
    await store.close()
    if server:
        server.drop_database(database)
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="maintenance", description=__doc__)
    parser.add_argument("--patrons", type=int, default=PATRONS, help=f"default {PATRONS}")
    parser.add_argument("--months", type=int, default=MONTHS, help=f"default {MONTHS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL, else SQLite")
    options = parser.parse_args(arguments)
    with (
        running_server(durable=True) if options.postgresql else nullcontext() as server,
        tempfile.TemporaryDirectory() as directory,
    ):
        report = asyncio.run(
            prove(
                Path(directory),
                patrons=options.patrons,
                months=options.months,
                seed=options.seed,
                server=server,
            )
        )
    return report.tell()
