"""A whole gateway inside the test: real store, real sockets, a clock that the test turns.

The library is small: Anna (1001) is head of family of Tom (1002), who owes 3.00; Dora (1004) owes
more than her limit of 10.00; Bert (1005, owes 5.00) has authorised Carla (1006) to pay for him.
Every PIN is the last four digits of the card plus nothing else: card 1001 has PIN 1001.
"""

import asyncio
import io
import json
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from once import Once

from sip2gw.backend.factory import open_backend
from sip2gw.backend.loading.importing import ImportSettings, import_files
from sip2gw.backend.loading.pins import PinHashing
from sip2gw.config import load_config
from sip2gw.daemon.app import App
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.hashing import hash_pin
from sip2gw.monitoring.telemetry import Log, Redactor

ZONE = ZoneInfo("Europe/Brussels")
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=ZONE)
STAMP = "20260310    120000"
URL = "sqlite:library.db"
HANGS_S = 20
"""So long takes no answer that comes, however busy the machine is."""

CONFIG = """
[institution]
id = "HUB"
name = "Hub Library"
currency = "EUR"
timezone = "Europe/Brussels"
language = "en"
[store]
url = "sqlite:library.db"
[server]
listen = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
[security]
login_backoff_s = 0
failing_answer_slot_s = 0
[branches.MAIN]
max_fee_age_days = 49
hours = [
  { days = EVERY_DAY, from = "00:00", to = "24:00", state = "unstaffed" },
]
[branches.SHUT]
[profiles.kiosk]
kind = "selfcheck"
[profiles.cash]
kind = "payment"
[profiles.separate]
kind = "payment"
family = "separate"
[profiles.alone]
kind = "payment"
family = "off"
[profiles.desk]
kind = "auth"
may_block_patrons = true
messages = ["01", "23", "25", "35", "63", "99"]
pin_required = false
[profiles.entrance]
kind = "door"
door = { require_badges = ["ONBE"], minimum_age = 16 }
[profiles.facts]
kind = "door"
door = { mode = "facts", require_badges = ["ONBE"] }
[profiles.exit]
kind = "door"
door = { direction = "out" }
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password = "pw"
[terminals.pay-1]
profile = "cash"
branch = "MAIN"
password = "pw"
[terminals.pay-2]
profile = "separate"
branch = "MAIN"
password = "pw"
[terminals.pay-3]
profile = "alone"
branch = "MAIN"
password = "pw"
[terminals.desk-1]
profile = "desk"
branch = "MAIN"
password = "pw"
[terminals.door-1]
profile = "entrance"
branch = "MAIN"
password = "pw"
[terminals.door-shut]
profile = "entrance"
branch = "SHUT"
password = "pw"
[terminals.door-nowhere]
profile = "entrance"
password = "pw"
[terminals.door-facts]
profile = "facts"
branch = "MAIN"
password = "pw"
[terminals.door-out]
profile = "exit"
branch = "MAIN"
password = "pw"
""".replace("EVERY_DAY", '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]')


def person(card, name, **changes):
    return {
        "kind": "patron",
        "id": card,
        "name": name,
        "pin": card,
        "birth_date": "1980-05-01",
        "membership": "201",
        "membership_from": "2025-01-01",
        "membership_until": "2026-12-31",
        "badges": ["ONBE"],
        **changes,
    }


def debt(fee_id, patron, amount, created="2026-03-01", **changes):
    return {
        "kind": "fee",
        "id": fee_id,
        "patron": patron,
        "amount": amount,
        "created": created,
        **changes,
    }


LIBRARY = [
    {
        "kind": "membership",
        "code": "201",
        "description": "Adult",
        "type": 4,
        "max_fees_self_service": "10.00",
        "alert_amount": "8.00",
    },
    {"kind": "badge", "code": "ONBE", "name": "Unmanned opening hours"},
    {"kind": "badge", "code": "OLD1", "name": "Of former days", "active": False},
    person(
        "1001",
        "Anna Peeters",
        email="anna@example.org",
        cards=[{"number": "1001B", "state": "blocked"}, {"number": "1001R", "state": "replaced"}],
        badges=["ONBE", "OLD1"],
    ),
    person("1002", "Tom Peeters", birth_date="2014-06-01"),
    person("1004", "Dora Claes"),
    person("1005", "Bert Maes"),
    person("1006", "Carla Maes", language="nl"),
    person("1007", "Eva Expired", membership_until="2026-01-31"),
    person("1008", "Fred Banned", status=8),
    person("1009", "Gil Nobadge", badges=[]),
    person("1010", "Hanna Overdue"),
    person("1011", "Ivo Alert"),
    {"kind": "relationship", "type": "head_of_family", "from": "1001", "to": "1002"},
    {
        "kind": "relationship",
        "type": "authorisation",
        "from": "1005",
        "to": "1006",
        "functions": ["pay"],
    },
    debt("T1", "1002", "3.00", description="Overdue"),
    debt("D1", "1004", "10.00"),
    debt("D2", "1004", "2.50", type="06", created="2026-03-02", description="Rental"),
    debt("B1", "1005", "5.00"),
    debt("H1", "1010", "0.50", created="2026-01-02"),
    debt("I1", "1011", "9.00"),
    *(
        {"kind": "item", "id": f"BOOK{n}", "title": f"Title {n}", "owner_branch": "MAIN"}
        for n in range(1, 5)
    ),
    *(
        {
            "kind": "loan",
            "item": f"BOOK{n}",
            "patron": "1001",
            "checked_out": "2026-02-01",
            "due": due,
        }
        for n, due in ((1, "2026-03-01"), (2, "2026-03-09"), (3, "2026-03-10"))
    ),
    {
        "kind": "hold",
        "id": "HO1",
        "patron": "1001",
        "item": "BOOK4",
        "placed": "2026-03-01",
        "ready": True,
    },
    {"kind": "hold", "id": "HO2", "patron": "1001", "title_id": "TI9", "placed": "2026-03-02"},
]


def without_http(config):
    """The same configuration without the process for HTTP."""
    return config.replace("[admin]\n", "[admin]\nenabled = false\n", 1)


class TurnableClock(Clock):
    """Wall clock and monotonic clock, both moved by the test only."""

    def __init__(self, moment):
        self.at = moment.timestamp()
        self.ahead = 0.0
        super().__init__(lambda: self.at + self.ahead, lambda: self.at)

    def advance(self, seconds):
        self.at += seconds

    def set(self, by_s):
        """Set the wall clock, by so many seconds."""
        self.ahead += by_s


class Terminal:
    """One connection of a test kiosk, speaking wire text without the terminator."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, text):
        self.writer.write(text if isinstance(text, bytes) else text.encode("cp850") + b"\r")
        await self.writer.drain()

    async def read(self):
        async with asyncio.timeout(HANGS_S):
            return (await self.reader.readuntil(b"\r"))[:-1].decode("cp850")

    async def ask(self, text):
        await self.send(text)
        return await self.read()

    async def ended(self):
        """Whether the gateway closes the connection without another word."""
        async with asyncio.timeout(HANGS_S):
            return await self.reader.read() == b""

    def close(self):
        self.writer.close()


class Running:
    """A gateway that serves."""

    def __init__(self, app, clock, address, admin, log):
        self.app, self.clock, self.address, self._log = app, clock, address, log
        self.admin = admin
        self.terminals = []

    @property
    def store(self):
        return self.app.store

    @property
    def metrics(self):
        return self.app.metrics

    async def connect(self):
        reader, writer = await asyncio.open_connection(*self.address)
        self.terminals.append(Terminal(reader, writer))
        return self.terminals[-1]

    async def terminal(self, login):
        """A connected and logged-in terminal."""
        terminal = await self.connect()
        assert await terminal.ask(f"9300CN{login}|COpw|") == "941"
        return terminal

    def logged(self):
        """The log lines so far."""
        self.app.log.sink.close()
        return [json.loads(line) for line in self._log.getvalue().splitlines()]


def load(store, records, *, now=NOON):
    """Import `records`, with PIN hashes that are cheap to make."""
    text = "\n".join(json.dumps(record) for record in records).encode()
    cheap = partial(hash_pin, memory_kib=8, time_cost=1)
    settings = ImportSettings("EUR", ZONE, now, hashing=PinHashing(cheap))
    report = import_files(store, [("library.jsonl", io.BytesIO(text))], settings=settings)
    assert report.errors == ()
    return report


_libraries = Once()


async def stock(directory, settings, records, now):
    """Have the store of `settings` hold `records`; equal new ones are made once, and copied."""
    institution = settings.institution
    key = json.dumps([records, now.isoformat(), institution.currency, str(institution.timezone)])
    is_new = settings.store.url == URL and not (directory / "library.db").exists()
    if is_new and _libraries.give(key, directory):
        return
    store = open_backend(settings, "command", "make").store
    load(store, records, now=now)
    await store.close()
    if is_new:
        _libraries.keep(key, directory / "library.db")


async def settled(condition):
    """Wait until `condition` holds, and leave the processor to whoever must do something for it."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- nothing tells a test
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(directory, *, config=CONFIG, records=LIBRARY, now=NOON, operators=False):
    """Start a gateway with its library in `directory`, stop it at the end.

    Without `records` the store is as it is; with `operators` it has its control socket and HTTP.
    """
    path = directory / "sip2gw.toml"
    path.write_text(config)
    settings = load_config(path)
    if records:
        await stock(directory, settings, records, now)
    opened = open_backend(settings, "daemon", "make")
    store = opened.store
    stream = io.BytesIO()
    log = Log(stream, Redactor(store.pin_secret), level="debug")
    clock = TurnableClock(now)
    app = App(settings, opened, log, clock)
    del settings  # after a reload only what still runs on the old ones holds them
    addresses = await app.start()
    _, admin = await app.operators.open(app.config) if operators else ("", "")
    host, _, port = addresses[0].rpartition(":")
    gateway = Running(app, clock, (host, int(port)), admin, stream)
    try:
        yield gateway
    finally:
        for terminal in gateway.terminals:
            terminal.close()
        await app.stop()
        log.close()


def fields(answer, tag, *, fixed):
    """All values of `tag` in an answer whose fixed block is `fixed` characters long."""
    return [part[2:] for part in answer[fixed:].split("|") if part[:2] == tag]


def ask_23(card, pin=None, language="001"):
    ad = "" if pin is None else f"AD{pin}|"
    return f"23{language}{STAMP}AOHUB|AA{card}|AC|{ad}"


def ask_63(card, pin=None, *, summary=" " * 10, extra="", language="001"):
    ad = "" if pin is None else f"AD{pin}|"
    return f"63{language}{STAMP}{summary}AOHUB|AA{card}|AC|{ad}{extra}"


def ask_37(card, amount, *, pin=None, fee=None, bk=None, extra="", kind="00", currency="EUR"):
    ad = "" if pin is None else f"AD{pin}|"
    cg = "" if fee is None else f"CG{fee}|"
    key = "" if bk is None else f"BK{bk}|"
    return f"37{STAMP}01{kind}{currency}BV{amount}|AOHUB|AA{card}|AC|{ad}{cg}{key}{extra}"
