"""A transcript of the doors: every reason of B39 once, and the money block with and without FW=B.

A library and branches whose hours fit the present moment are made, a real gateway is started, and
`sip2gw send` plays the terminals. Both sides of each exchange are printed. At the end the door log
must name the expected reasons in this order, and the flags of the 64s must be the expected ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from harness import debt, person

from proofs.process import ROOT, GatewayProcess, prepare, today
from proofs.report import Report

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALL_DAYS = ", ".join(f'"{day}"' for day in DAYS)

CONFIG = """
[institution]
id = "HUB"
name = "Hub Library"
language = "en"
[store]
url = "sqlite:library.db"
[server]
listen = ["127.0.0.1:0"]
[admin]
enabled = false
[security]
pin_failures_max = 1
[branches.MAIN]
max_fee_age_days = 49
hours = [ { days = [<all days>], from = "00:00", to = "24:00", state = "unstaffed" } ]
bar = [ { card = "BARRED" } ]
[branches.SHUT]
[branches.LATE]
hours = [ { days = ["<day>"], from = "<from>", to = "<to>", state = "unstaffed" } ]
[branches.SMALL]
hours = [ { days = [<all days>], from = "00:00", to = "24:00", state = "unstaffed" } ]
[profiles.cash]
kind = "payment"
[profiles.entrance]
kind = "door"
[profiles.entrance.door]
require_badges = ["ONBE"]
minimum_age = 16
memberships = ["201"]
require_house_rules = true
last_entry_margin_min = 120
[profiles.own]
kind = "door"
door = { home_branch_only = true }
[profiles.single]
kind = "door"
door = { capacity = 1, refuse_inside = true, passage_window_s = 0 }
[profiles.exit]
kind = "door"
door = { direction = "out" }
"""

TERMINALS = {
    "cash": ("cash", "MAIN"),
    "main": ("entrance", "MAIN"),
    "own": ("own", "MAIN"),
    "shut": ("entrance", "SHUT"),
    "late": ("entrance", "LATE"),
    "nowhere": ("entrance", None),
    "single-1": ("single", "SMALL"),
    "single-2": ("single", "SMALL"),
    "single-out": ("exit", "SMALL"),
}


def config_text(now: datetime) -> str:
    """The configuration; LATE closes an hour from now."""
    opened, closing = now - timedelta(hours=1), now + timedelta(hours=1)
    text = CONFIG.replace("<all days>", ALL_DAYS).replace("<day>", DAYS[opened.weekday()])
    text = text.replace("<from>", f"{opened:%H:%M}").replace("<to>", f"{closing:%H:%M}")
    for name, (profile, branch) in TERMINALS.items():
        text += f'[terminals.{name}]\nprofile = "{profile}"\npassword = "pw"\n'
        text += f'branch = "{branch}"\n' if branch else ""
    return text


def library(now: datetime) -> list[dict[str, object]]:
    """One patron for each reason; the PIN of everybody is 1234."""

    def days(number: int) -> str:
        return f"{now + timedelta(days=number):%Y-%m-%d}"

    def patron(card: str, **changes: object) -> dict[str, object]:
        adult = {
            "pin": "1234",
            "birth_date": days(-30 * 365),
            "membership_from": days(-365),
            "membership_until": days(365),
            "house_rules_accepted": days(-365),
            "home_branch": "MAIN",
        }
        record: dict[str, object] = person(card, f"Anna {card.title()}", **{**adult, **changes})
        return {key: value for key, value in record.items() if value is not None}

    membership = {"kind": "membership", "description": "Member", "type": 4}
    former = [{"number": "STOPPED", "state": "blocked"}, {"number": "FORMER", "state": "replaced"}]
    return [
        {**membership, "code": "201", "max_fees_self_service": "10.00"},
        {**membership, "code": "202"},
        {"kind": "badge", "code": "ONBE", "name": "Hours without staff"},
        patron("GOOD", cards=former),
        patron("FORGETFUL"),
        patron("ELSEWHERE", home_branch="EAST"),
        patron("NOBADGE", badges=[]),
        patron("EXPIRED", membership_until=days(-1)),
        patron("BANNED", status=8),
        patron("BLOCKED", blocks=[{"type": "general"}]),
        patron("YOUNG", birth_date=days(-12 * 365)),
        patron("GUEST", membership="202"),
        patron("DEBTOR"),
        patron("LIMIT"),
        patron("OVERDUE"),
        patron("NORULES", house_rules_accepted=None),
        patron("BARRED"),
        debt("D1", "DEBTOR", "10.01", days(-1)),
        debt("L1", "LIMIT", "10.00", days(-1)),
        debt("O1", "OVERDUE", "0.50", days(-60)),
    ]


@dataclass(frozen=True)
class Attempt:
    """A card before a door, and the reason that the log must name."""

    door: str
    card: str
    reason: str
    pin: str = "1234"


ATTEMPTS = (
    Attempt("main", "GOOD", "granted"),
    Attempt("shut", "GOOD", "closed"),
    Attempt("late", "GOOD", "too_late"),
    Attempt("main", "NOBODY", "unknown_card"),
    Attempt("main", "STOPPED", "card_blocked"),
    Attempt("main", "FORMER", "card_replaced"),
    Attempt("main", "FORGETFUL", "wrong_pin", pin="4321"),
    Attempt("main", "FORGETFUL", "pin_locked"),
    Attempt("main", "NOBADGE", "no_badge"),
    Attempt("main", "EXPIRED", "membership_expired"),
    Attempt("main", "BANNED", "status"),
    Attempt("main", "BLOCKED", "blocked"),
    Attempt("main", "YOUNG", "under_age"),
    Attempt("main", "GUEST", "membership_not_allowed"),
    Attempt("own", "ELSEWHERE", "other_branch"),
    Attempt("main", "LIMIT", "granted"),
    Attempt("main", "DEBTOR", "fee_limit"),
    Attempt("main", "OVERDUE", "fee_age"),
    Attempt("main", "NORULES", "no_consent"),
    Attempt("main", "BARRED", "barred"),
    Attempt("single-1", "GOOD", "granted"),
    Attempt("single-1", "LIMIT", "full"),
    Attempt("single-2", "GOOD", "already_inside"),
    Attempt("single-out", "GOOD", "granted"),
    Attempt("single-1", "LIMIT", "granted"),
    Attempt("nowhere", "GOOD", "system"),
)

MONEY_BLOCK = {0, 1, 3, 10}
FETCHES: tuple[tuple[str, str, set[int]], ...] = (
    ("LIMIT", "", set()),
    ("LIMIT", "B", set()),
    ("DEBTOR", "", MONEY_BLOCK),
    ("DEBTOR", "B", set()),
    ("OVERDUE", "", MONEY_BLOCK),
    ("OVERDUE", "B", set()),
)
"""A 63 at a payment terminal: the card, FW, and the flags of the 64 (B23-B26)."""

Command = Callable[..., str]
"""Runs `sip2gw` with arguments and gives what it printed."""


def by_shell(*arguments: str) -> str:
    """The command as users start it."""
    done = subprocess.run(
        [sys.executable, "-m", "sip2gw", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    return done.stdout + done.stderr


def in_process(*arguments: str) -> str:
    """The command without a new interpreter."""
    from typer.testing import CliRunner

    from sip2gw.cli.app import app

    return CliRunner().invoke(app, list(arguments)).output


async def play(directory: Path, command: Command = by_shell) -> Report:
    """Play everything; the transcript goes to standard output."""
    report, now = Report("doors"), today()
    path = await prepare(directory, config_text(now), library(now))
    async with GatewayProcess(path) as gateway:
        await gateway.start()
        to = "send", "--to", "{}:{}".format(*gateway.address), "--password", "pw", "--login"

        async def ask(title: str, login: str, *message: str) -> str:
            told = await asyncio.to_thread(command, *to, login, *message)
            sys.stdout.write(f"\n# {title}\n{told}")
            return told

        for attempt in ATTEMPTS:
            title = f"{attempt.door}: {attempt.card}, {attempt.reason}"
            told = await ask(title, attempt.door, "23", f"AA={attempt.card}", f"AD={attempt.pin}")
            admitted = _flags(told) == set()
            report.expect(admitted == (attempt.reason == "granted"), f"{title}: {told}")
        for card, reason, flags in FETCHES:
            more = (f"FW={reason}",) if reason else ()
            title = f"cash: {card}, FW={reason or 'nothing'}"
            told = await ask(title, "cash", "63", f"AA={card}", "AD=1234", *more)
            report.expect(_flags(told) == flags, f"{title}: {_flags(told)}, not {flags}")
        report.expect(await gateway.stop() == 0, "the gateway did not end with 0")
    # What a gateway has not yet written when the last answer arrives is written at its end.
    log = await asyncio.to_thread(command, "door", "log", "--json", "--config", str(path))
    _compare_log(report, log)
    return report


def _flags(told: str) -> set[int] | None:
    """The flags that are set in the answer shown in a transcript; None without an answer."""
    answers = [line[2:] for line in told.splitlines() if line.startswith("←")]
    if not answers:
        return None
    return {position for position, flag in enumerate(answers[-1][2:16]) if flag == "Y"}


def _compare_log(report: Report, printed: str) -> None:
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    logged = [(row["terminal"], row["reason"]) for row in rows]
    expected = [(attempt.door, attempt.reason) for attempt in ATTEMPTS]
    report.expect(len(logged) == len(expected), f"{len(logged)} rows, not {len(expected)}")
    for number, (found, wanted) in enumerate(zip(logged, expected, strict=False)):
        report.expect(found == wanted, f"row {number + 1}: {found}, not {wanted}")
    reasons = {reason for _, reason in logged}
    report.numbers = {"attempts": len(logged), "reasons": len(reasons), "fetches": len(FETCHES)}


def main(arguments: list[str]) -> int:
    """The program."""
    argparse.ArgumentParser(prog="doors", description=__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(play(Path(directory))).tell()
