"""`explain` is what happens: random patrons, items, terminals and moments, explained and asked.

A gateway serves terminals of every kind at branches with odd hours, old data and small rooms.
Before each request its clock goes on by minutes or days, and `explain` says what will be answered;
then a terminal asks, with the right PIN. In between wrong PINs lock cards, staff bar cards and lift
bars, people go out again, and loans, returns, renewals and holds change what is explained next.
With `--postgresql` the store is on PostgreSQL.

Shown (B70, C22, C171): the answer on the wire is the explained one byte for byte, with its
decision; the request's line in the log has its reason; and the row of each door in the door log has
its reason and all results of its checks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from desk import copy, lent, waits
from harness import CONFIG as HARNESS_CONFIG
from harness import NOON, URL, ZONE, Running, Terminal, debt, person, running
from postgres import Server, running_server

from proofs.report import Report
from sip2gw.model import DoorEntry
from sip2gw.serving.explaining.answer import ITEM_MESSAGES, MESSAGES, Explanation, explain

STEPS = 2_000
PATRONS = 150
ITEMS = 60
PAUSE_S = 61.0
"""Longer than a passage; and no two loans have the same date."""
HOURS_BETWEEN = 1.2
HOURS_MAX = 20
ENOUGH_WRONG_PINS = 5
EVERY_DAY = '["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'

CONFIG = (
    HARNESS_CONFIG.partition("[branches.MAIN]")[0]
    + f"""
[branches.MAIN]
max_fee_age_days = 49
hours = [
  {{ days = {EVERY_DAY}, from = "09:00", to = "17:00", state = "staffed" }},
  {{ days = {EVERY_DAY}, from = "17:00", to = "02:00", state = "unstaffed" }},
]
exceptions = [ {{ date = 2026-03-20, state = "closed" }} ]
bar = [ {{ card = "P7" }}, {{ card = "P8", until = 2026-04-01 }} ]
pass = [ {{ card = "P9" }}, {{ card = "P10", from = "03:00", to = "06:00" }} ]
[branches.OLD]
data_max_age_h = 1200
hours = [ {{ days = {EVERY_DAY}, from = "00:00", to = "24:00", state = "unstaffed" }} ]
[branches.SMALL]
hours = [ {{ days = {EVERY_DAY}, from = "00:00", to = "24:00", state = "unstaffed" }} ]
[profiles.entrance]
kind = "door"
door = {{ require_badges = ["ONBE"], minimum_age = 16, last_entry_margin_min = 60 }}
[profiles.bare]
kind = "door"
door = {{ require_pin = false, fees = "ignore", refuse_as = "cqn", when_staffed = "refuse" }}
[profiles.strict]
kind = "door"
[profiles.strict.door]
memberships = ["201"]
home_branch_only = true
require_house_rules = 2025-06-01
require_badges = ["ONBE", "EXTRA"]
badges = "any"
refuse_as = "bln"
[profiles.facts]
kind = "door"
door = {{ mode = "facts", require_badges = ["ONBE"] }}
[profiles.room]
kind = "door"
door = {{ capacity = 1 }}
[profiles.lounge]
kind = "door"
door = {{ refuse_inside = true }}
[profiles.exit]
kind = "door"
door = {{ direction = "out" }}
[profiles.kiosk]
kind = "selfcheck"
card_rules = [ {{ rule = "strip_prefix", value = "X" }} ]
[profiles.hiding]
kind = "selfcheck"
wrong_pin_hides_card = true
pin_required = true
second_checkout = "refuse"
blocked_material_types = ["M*"]
overdues_block_checkout = true
[profiles.cash]
kind = "payment"
[profiles.ask]
kind = "auth"
[profiles.sorter]
kind = "sorter"
checked_in_ok = true
refuse_checkin = ["note", "reserved"]
"""
)

TERMINALS = {
    "entrance": ("entrance", "MAIN"),
    "entrance-old": ("entrance", "OLD"),
    "entrance-nowhere": ("entrance", None),
    "bare": ("bare", "MAIN"),
    "strict": ("strict", "OLD"),
    "facts": ("facts", "MAIN"),
    "room": ("room", "SMALL"),
    "lounge": ("lounge", "SMALL"),
    "exit": ("exit", "SMALL"),
    "kiosk": ("kiosk", "MAIN"),
    "hiding": ("hiding", "MAIN"),
    "cash": ("cash", "MAIN"),
    "ask": ("ask", "OLD"),
    "sorter": ("sorter", "MAIN"),
    "gone": ("kiosk", "MAIN"),
}
"""The profile of each, and its branch."""
EXPIRING = "gone"


def configuration(url: str) -> str:
    """The terminals, on the store at `url`."""
    text = CONFIG.replace(URL, url).replace("[server]", "[server]\nidle_timeout_s = 86400")
    for name, (profile, branch) in TERMINALS.items():
        text += f'[terminals.{name}]\nprofile = "{profile}"\npassword = "pw"\n'
        text += f'branch = "{branch}"\n' if branch else ""
        text += "expires = 2026-03-11\n" if name == EXPIRING else ""
    return text


def library(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Patrons with every obstacle and none, and items that are lent, waited for, or neither."""
    adult = {"kind": "membership", "description": "Adult", "type": 4, "max_items": 3}
    yield {**adult, "code": "201", "max_fees_self_service": "10.00"}
    yield {**adult, "code": "202", "max_holds": 1}
    yield {"kind": "badge", "code": "ONBE", "name": "Unmanned opening hours"}
    yield {"kind": "badge", "code": "EXTRA", "name": "Second", "branches": ["OLD"]}
    for number in range(PATRONS):
        yield from _patron(chance, f"P{number}")
    for number in range(ITEMS):
        yield from _item(chance, number)


def _patron(chance: random.Random, card: str) -> Iterator[dict[str, Any]]:
    def sometimes(share: float, **changes: Any) -> dict[str, Any]:
        return changes if chance.random() < share else {}

    block = {"type": chance.choice(("general", "payment")), "until": "2026-06-01"}
    yield person(
        card,
        f"Name {card}",
        cards=[
            {"number": f"{card}B", "state": chance.choice(("active", "blocked", "lost"))},
            {"number": f"{card}R", "state": "replaced"},
        ],
        home_branch=chance.choice(("MAIN", "OLD")),
        language=chance.choice(("nl", "en", "fr", "de")),
        **{
            "house_rules_accepted": "2025-07-01",
            **sometimes(0.3, house_rules_accepted="2025-01-01"),
            **sometimes(0.2, membership="202"),
            **sometimes(0.2, membership_until=chance.choice(("2026-02-01", "2026-05-01"))),
            **sometimes(0.1, status=chance.choice((4, 8, 9))),
            **sometimes(0.1, blocks=[block]),
            **sometimes(0.1, badges=[]),
            **sometimes(0.1, badges=["EXTRA"]),
            **sometimes(0.2, birth_date=chance.choice(("2010-04-15", "2015-01-01"))),
        },
    )
    if chance.random() < 0.3:
        amount = chance.choice(("0.50", "9.99", "10.01"))
        yield debt(f"F-{card}", card, amount, chance.choice(("2026-01-02", "2026-03-01")))


def _item(chance: random.Random, number: int) -> Iterator[dict[str, Any]]:
    item = f"I{number}"
    odd: list[dict[str, Any]] = [
        {"for_loan": False},
        {"checkout_fee": "1.50"},
        {"material": "MAP"},
        {"note": "look"},
        {"status": "missing"},
        {"max_renewals": 0},
        {"minimum_age": 18},
    ]
    yield copy(item, **(chance.choice(odd) if chance.random() < 0.4 else {}))
    if chance.random() < 0.3:
        yield lent(item, f"P{chance.randrange(PATRONS)}", due="2026-05-20")
    if chance.random() < 0.3:
        yield waits(f"H-{item}", f"P{chance.randrange(PATRONS)}", item=item)


def wire(code: str, now: datetime, card: str, pin: str, item: str) -> str:
    """The plain request of a terminal that says all that it knows."""
    stamp, blank = f"{now:%Y%m%d    %H%M%S}", " " * 18
    head = {
        "23": f"23000{stamp}",
        "63": f"63000{stamp}{' ' * 10}",
        "11": f"11NN{stamp}{blank}",
        "09": f"09N{stamp}{stamp}AP|",
        "29": f"29NN{stamp}{blank}",
        "15": f"15+{stamp}",
    }[code]
    who = "" if code == "09" else f"AA{card}|AD{pin}|"
    what = f"AB{item}|" if code in ITEM_MESSAGES else ""
    return f"{head}AOHUB|{who}{what}AC|"


class Asked:
    """All that was explained and asked so far."""

    def __init__(self, gateway: Running, report: Report, seed: int) -> None:
        self._gateway, self._report = gateway, report
        self._chance = random.Random(seed)
        self._terminals = list(TERMINALS)
        """Those that may log in."""
        self.told: list[tuple[str, Explanation]] = []
        """With the request's code, in their order."""
        self.at_doors: list[tuple[str, Explanation]] = []
        """With the door."""
        self._locked = ""
        """A card whose PIN has just been locked."""

    async def step(self) -> None:
        """Let something happen and time pass; then explain a request, and send it."""
        if self._chance.random() < 0.1:
            await self._happen()
        name = self._chance.choice(self._terminals)
        hours = min(self._chance.expovariate(1 / HOURS_BETWEEN), HOURS_MAX)
        if self._locked:
            hours /= 10
        if self._expires_soon():
            name, hours = EXPIRING, HOURS_MAX
        line = await self._gateway.terminal(name)
        self._gateway.clock.advance(PAUSE_S + 3_600 * hours)
        await self._ask(name, line)
        line.close()

    def _expires_soon(self) -> bool:
        """Whether the terminal is logged in for the last time."""
        expires = self._gateway.app.site.by_name[EXPIRING].view.expires_at
        assert expires is not None
        soon = self._gateway.clock.now() + timedelta(hours=HOURS_MAX)
        return EXPIRING in self._terminals and soon >= expires

    async def _ask(self, name: str, line: Terminal) -> None:
        view = self._gateway.app.site.by_name[name].view
        code = self._chance.choice(self._codes(name))
        holder = self._locked or self._any_patron()
        self._locked = ""
        ends = ("", "", "", "", "B", "R", "Z")
        card = ("X" if name == "kiosk" else "") + holder + self._chance.choice(ends)
        item = f"I{self._chance.randrange(ITEMS + 2)}" if code in ITEM_MESSAGES else ""
        now = self._gateway.clock.now(view.zone)
        told = await explain(
            self._gateway.app.site,
            self._gateway.store,
            view,
            card,
            message=code,
            item=item,
            at=now,
            imported=await self._gateway.store.last_import(),
        )
        answer = await line.ask(wire(code, now, card, holder, item))
        where = f"{now:%F %T} {name} {code} {card} {item}"
        self._report.expect(told.answer == answer, f"{where}:\n  {told.answer}\n  {answer}")
        self._note(name, code, told)

    def _codes(self, name: str) -> list[str]:
        messages = self._gateway.app.site.by_name[name].view.messages
        known = [*MESSAGES, *ITEM_MESSAGES]
        # Now and then one that it may not send.
        return known if self._chance.random() < 0.1 else [one for one in known if one in messages]

    def _note(self, name: str, code: str, told: Explanation) -> None:
        self.told.append((code, told))
        is_asked = {check.check for check in told.checks} != {"terminal"}
        if TERMINALS[name][0] in DOORS and code in MESSAGES and is_asked:
            self.at_doors.append((name, told))
        if told.checks[0].detail.startswith("the terminal has expired"):
            self._terminals.remove(name)

    def _any_patron(self) -> str:
        return f"P{self._chance.randrange(PATRONS)}"

    async def _happen(self) -> None:
        """Somebody tries PINs, or staff change a door's list."""
        card = self._any_patron()
        store, now = self._gateway.store, self._gateway.clock.now(ZONE)
        match self._chance.randrange(3):
            case 0:
                line = await self._gateway.terminal("ask")
                for _ in range(ENOUGH_WRONG_PINS):
                    await line.ask(wire("23", now, card, "wrong", ""))
                    self.told.append(("23", NOT_EXPLAINED))
                self._locked = card
            case 1:
                await store.put_door_entry(DoorEntry("bar", "MAIN", card))
            case _:
                await store.remove_door_entry("bar", "MAIN", card)


DOORS = frozenset({"entrance", "bare", "strict", "facts", "room", "lounge", "exit"})
TELLING_FACTS = {"facts"}
"""Their answer says yes whatever we would have decided (B33)."""
NOT_EXPLAINED = Explanation((), "", "")
_IN_THE_LOG = {
    "system": {"system", "expired"},
    "pin_locked": {"pin_locked", "wrong_pin", "unknown_card"},
}
"""What a reason is called in the log where the terminal must not be told, or is none any more."""


def compare_requests(report: Report, asked: Asked, logged: list[dict[str, Any]]) -> None:
    """The lines of the log have the reasons that were explained."""
    lines = [one for one in logged if one["event"] == "request" and one["message"] != "93"]
    report.expect(len(lines) == len(asked.told), f"{len(lines)} lines for {len(asked.told)}")
    for line, (code, told) in zip(lines, asked.told, strict=False):
        if told is NOT_EXPLAINED:
            continue
        reason = line.get("reason", "")
        said = f"{line['time']} {line['terminal']} {code}: {told.reason}, not {reason}"
        granted = line["outcome"] == "ok"
        if line["terminal"] not in TELLING_FACTS:
            report.expect((told.decision == "granted") == granted, f"{said}, {line['outcome']}")
        if not granted:
            names = _IN_THE_LOG.get(told.reason, {told.reason})
            report.expect(reason in names, said)


async def compare_rows(report: Report, asked: Asked, gateway: Running) -> None:
    """The rows of the door log are those that were explained, with every result."""
    rows: list[Any] = []
    async with asyncio.timeout(30):
        while len(rows) < len(asked.at_doors):
            await asyncio.sleep(0.05)  # they are written within a second
            rows = gateway.store.access_rows(limit=len(asked.at_doors) + 1)
    found = [(row.terminal, row.decision, row.reason, row.checks) for row in rows]
    expected = [
        (name, told.decision, told.reason, " ".join(f"{c.check}={c.result}" for c in told.checks))
        for name, told in asked.at_doors
    ]
    report.expect(len(found) == len(expected), f"{len(found)} rows, not {len(expected)}")
    for row, wanted in zip(found, expected, strict=False):
        report.expect(row == wanted, f"in the door log {row}, explained {wanted}")


async def prove(directory: Path, *, steps: int, seed: int, server: Server | None = None) -> Report:
    """Explain and ask `steps` times."""
    url = URL if server is None else server.url(server.make_database())
    report = Report("explain on SQLite" if server is None else "explain on PostgreSQL")
    records = list(library(random.Random(seed)))
    async with running(directory, config=configuration(url), records=records) as gateway:
        asked = Asked(gateway, report, seed)
        for _ in range(steps):
            await asked.step()
        await compare_rows(report, asked, gateway)
        compare_requests(report, asked, gateway.logged())
        until = gateway.clock.now(ZONE) - NOON
    reasons = Counter(told.reason for _, told in asked.told if told is not NOT_EXPLAINED)
    report.numbers = {
        "explained": reasons.total(),
        "at doors": len(asked.at_doors),
        "reasons": len(reasons),
        "by reason": json.dumps(dict(sorted(reasons.items()))),
        "days": until // timedelta(days=1),
    }
    return report


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="explain", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server() if options.postgresql else nullcontext() as server,
    ):
        return asyncio.run(
            prove(Path(directory), steps=options.steps, seed=options.seed, server=server)
        ).tell()
