"""The library that the gateway serves in the benchmarks: configuration, patrons, fees.

A fixed number of patrons is asked about, however many there are, spread evenly over all of them:
half have no fee, a quarter has ten open fees below the fee limit, a quarter has one large fee to
pay on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sip2gw.backend.base import Access
from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library as KeptLibrary
from sip2gw.backend.loading.importing import ImportSettings, import_files
from sip2gw.config import load_config
from sip2gw.foundation.hashing import hash_pin

INSTITUTION = "HUB"
CURRENCY = "EUR"
PASSWORD = "benchmark"
STATIONS = 50
"""Terminals of each kind."""
SHARED_TERMINALS = 20
"""Logins that a thousand connections may share, for the measurement of memory."""
SLOW_CARDS = 1_000
"""Cards whose PIN has a hash of full cost, to guess at."""
SLOW_PIN = "2468"
FEES = 10
COPIES = 40
"""Copies that each kiosk lends."""
SQLITE = "sqlite:library.db"

_PIN_MEMORY_KIB = 8
_PIN_ROUNDS = 1

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Library:
    """How many patrons there are, and which of them are asked about."""

    patrons: int
    asked: int

    def _cards(self, *quarters: int) -> list[str]:
        return [
            self.card(turn * self.patrons // self.asked)
            for turn in range(self.asked)
            if turn % 4 in quarters
        ]

    @staticmethod
    def card(index: int) -> str:
        """Card number of the patron with `index`."""
        return f"2950{index:010d}"

    @property
    def plain_cards(self) -> list[str]:
        """Patrons without fees."""
        return self._cards(0, 1)

    @property
    def payer_cards(self) -> list[str]:
        """Patrons with one large fee, whose id is the card number with an F before it."""
        return self._cards(2)

    @property
    def fee_cards(self) -> list[str]:
        """Patrons with ten fees."""
        return self._cards(3)

    @property
    def slow_cards(self) -> list[str]:
        """Patrons whose PIN takes long to verify."""
        return [f"SLOW{number:04d}" for number in range(SLOW_CARDS)]


def pin_of(card: str) -> str:
    """The PIN of a patron that is not slow."""
    return card[-4:]


def copies_of(station: int) -> list[str]:
    """The copies that lie at a kiosk."""
    return [f"I{station:02d}-{number:02d}" for number in range(COPIES)]


def rows(library: Library, pin_secret: bytes) -> Iterator[Row]:
    """All records, for the import."""
    yield {
        "kind": "membership", "code": "201", "description": "Adult", "type": 0,
        "max_fees_self_service": "10.00", "max_items": 20,
    }  # fmt: skip
    yield {"kind": "badge", "code": "ONBE", "name": "Unstaffed hours"}

    def quick_hash(pin: str) -> str:
        return hash_pin(pin_secret, pin, memory_kib=_PIN_MEMORY_KIB, time_cost=_PIN_ROUNDS)

    for index in range(library.patrons):
        card = library.card(index)
        yield _patron(card, quick_hash(pin_of(card)))
    slow_hash = hash_pin(pin_secret, SLOW_PIN)
    for card in library.slow_cards:
        yield _patron(card, slow_hash)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    for card in library.payer_cards:
        yield _fee(f"F{card}", card, "1000.00", yesterday)
    for card in library.fee_cards:
        for number in range(FEES):
            yield _fee(f"F{card}-{number}", card, "0.50", yesterday)
    for station in range(STATIONS):
        for copy in copies_of(station):
            yield copy_row(copy, f"T{copy}")


def _patron(card: str, pin_hash: str) -> Row:
    return {**reader_row(card), "pin_hash": pin_hash}


def reader_row(card: str) -> Row:
    """A patron without a PIN, against whom nothing stands."""
    return {
        "kind": "patron", "id": card, "name": f"Janssens, Marie {card[-5:]}",
        "birth_date": "1984-05-17", "membership": "201", "membership_from": "2024-01-01",
        "membership_until": "2099-12-31", "home_branch": "MAIN", "badges": ["ONBE"],
    }  # fmt: skip


def copy_row(item_id: str, title_id: str) -> Row:
    """A copy for loan."""
    return {
        "kind": "item", "id": item_id, "title": f"The title {title_id}", "title_id": title_id,
        "media_type": "001", "owner_branch": "MAIN", "current_branch": "MAIN",
        "call_number": "F 12", "security_marker": "02",
    }  # fmt: skip


def _fee(fee_id: str, card: str, amount: str, created: str) -> Row:
    return {
        "kind": "fee", "id": fee_id, "patron": card, "amount": amount, "created": created,
        "description": "Returned late",
    }  # fmt: skip


def configuration(url: str = SQLITE) -> str:
    """The TOML of a gateway with everything on and a door that is never closed."""
    parts = [
        f"""[institution]
id = "{INSTITUTION}"
name = "Hub Public Library"
currency = "{CURRENCY}"
[store]
url = "{url}"
[server]
listen = ["127.0.0.1:0"]
max_connections = 20000
max_connections_per_address = 20000
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
[branches.MAIN]
name = "Main branch"
max_fee_age_days = 49
[[branches.MAIN.hours]]
days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
from = "00:00"
to = "24:00"
state = "unstaffed"
[profiles.door]
kind = "door"
[profiles.door.door]
passage_window_s = 0.001  # passages are noted, but a card that comes again soon is a row again
require_pin = true
require_badges = ["ONBE"]
minimum_age = 16
[profiles.kiosk]
kind = "selfcheck"
[profiles.cash]
kind = "payment"
"""
    ]
    for profile in ("door", "kiosk", "cash"):
        parts += [_terminal(login, profile) for login in station_logins(profile)]
    parts += [_terminal(login, "kiosk") + "max_connections = 1000\n" for login in shared_logins()]
    return "".join(parts)


def _terminal(login: str, profile: str) -> str:
    return f'[terminals.{login}]\nprofile = "{profile}"\nbranch = "MAIN"\npassword = "{PASSWORD}"\n'


def station_logins(profile: str) -> list[str]:
    """The logins of all terminals of `profile`."""
    return [f"{profile}-{number}" for number in range(STATIONS)]


def crowd_logins(count: int) -> list[str]:
    """The logins of so many kiosks."""
    return [f"crowd-{number}" for number in range(count)]


def shared_logins() -> list[str]:
    """The logins that many connections may share."""
    return [f"shared-{number}" for number in range(SHARED_TERMINALS)]


def build(
    library: Library,
    directory: Path,
    tell: Callable[[str], None],
    url: str = SQLITE,
    more: Iterable[Row] = (),
) -> Path:
    """Write configuration and store into `directory` unless they are there; the former's path.

    `more` are records besides those of `library`.
    """
    directory.mkdir(exist_ok=True)
    config = directory / "sip2gw.toml"
    config.write_text(configuration(url))
    if not (directory / "built").exists():
        asyncio.run(_import(library, directory, tell, more))
        (directory / "built").touch()
    return config


async def _import(
    library: Library,
    directory: Path,
    tell: Callable[[str], None],
    more: Iterable[Row],
) -> None:
    lines = directory / "library.jsonl"
    store = _opened(directory, "make")
    try:
        tell(f"writing {library.patrons:,} patrons")
        with lines.open("w") as file:
            for row in itertools.chain(rows(library, store.pin_secret), more):
                file.write(json.dumps(row) + "\n")
        tell("importing them")
        settings = ImportSettings(CURRENCY, ZoneInfo("Europe/Brussels"), datetime.now(UTC))
        report = import_files(store, [lines], settings=settings)
        if not report.applied:
            raise RuntimeError("\n".join(report.errors))
    finally:
        await store.close()
    lines.unlink()


def in_front_of(address: str, directory: Path, lines: int, crowd: int = 0) -> Path:
    """The configuration in `directory` once more, for a library system at `address` that has all
    patrons; the store goes on knowing badges. A `crowd` of kiosks more may log in."""
    config = directory / "upstream.toml"
    config.write_text(
        f"""{configuration()}{"".join(_terminal(login, "kiosk") for login in crowd_logins(crowd))}
[backend]
kind = "sip2"
[backend.sip2]
address = "{address}"
login = "gateway"
institution = "THERE"
preset = "evergreen"
connections = {lines}
"""
    )
    return config


def listen_on(config: Path, port: int) -> Path:
    """A copy of `config` beside it whose gateway listens on `port`."""
    copy = config.with_name("start.toml")
    copy.write_text(config.read_text().replace('["127.0.0.1:0"]', f'["127.0.0.1:{port}"]'))
    return copy


def count_rows(directory: Path, table: str) -> int:
    """How many rows the store in `directory` has in `table`."""
    with closing(sqlite3.connect(f"file:{directory}/library.db?mode=ro", uri=True)) as store:
        (count,) = store.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def ledger_problems(directory: Path) -> list[str]:
    """What the store's own check finds wrong."""

    async def check() -> list[str]:
        store = open_library(directory)
        try:
            return store.self_check()
        finally:
            await store.close()

    return asyncio.run(check())


def open_library(directory: Path) -> KeptLibrary:
    """The store that `build` has filled, opened as a command would."""
    return _opened(directory, "write")


def _opened(directory: Path, access: Access) -> KeptLibrary:
    return open_backend(load_config(directory / "sip2gw.toml"), "command", access).store
