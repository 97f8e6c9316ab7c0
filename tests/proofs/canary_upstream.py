"""The canaries in front of a library system that does wrong, and echoes them (B16, C78, C125).

Two accounts, each with a password of its own; half of the terminals belong to the one, half to the
other, and some are only observed. Besides looking where `canary` looks, this counts what goes up: a
PIN at most once for the request it came in, and never to the other account.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness import LIBRARY, STAMP
from hostile_library import Drawn, Heard, HostileLibrary, right_answer

from proofs import canary
from proofs.canary import LOGIN, PASSWORD, around, chirps, look_into_files, run_command
from proofs.observe import Line
from proofs.process import ROOT, GatewayProcess, prepare
from proofs.report import Report

ACCOUNTS = {"default": "cnry7behind", "east": "cnry7eastern"}
"""Their passwords."""
PATRON_PIN = "cnry7once"
"""With a number behind it, which is another in each request."""
OBSERVED = "observed"
TERMINALS = (*canary.LOGINS, OBSERVED)
FAULTS = 300

BACKEND = """
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:DEFAULT"
login = "gateway"
password = "cnry7behind"
timeout_s = 0.3
messages = ["01", "09", "11", "15", "17", "19", "23", "25", "29", "35", "37", "63", "65", "99"]
[backend.sip2.accounts.east]
address = "127.0.0.1:EAST"
password = "cnry7eastern"
[profiles.observed]
kind = "selfcheck"
observe = true
[terminals.t-observed]
login = "cnry7cnobserved"
profile = "observed"
branch = "MAIN"
password = "cnry7co"
max_connections = 100
"""


def account_of(terminal: str) -> str:
    """The account of a terminal of ours, by its place among them."""
    return "east" if TERMINALS.index(terminal) % 2 else "default"


def configuration(ports: dict[str, int]) -> str:
    """The terminals of `canary`, before two accounts; their log says what it can."""
    backend = BACKEND.replace("DEFAULT", str(ports["default"])).replace("EAST", str(ports["east"]))
    text = canary.config_text().partition("[terminals.from-file]")[0] + backend
    for name in TERMINALS:
        if account_of(name) == "east":
            text = text.replace(f"[terminals.t-{name}]", f'[terminals.t-{name}]\nupstream = "east"')
    return text.replace("[admin]\n", '[log]\nlevel = "debug"\n[admin]\n')


class Echoing:
    """A library system that says every secret back, in the fields where they came."""

    def __init__(self, seed: int) -> None:
        self._drawn = Drawn(seed, FAULTS)

    def behave(self, heard: Heard) -> str:
        """What is asked for by 96 goes up again; all else must not."""
        behaviour = self._drawn(heard)
        return "right" if behaviour in ("resend_once", "endless_96") else behaviour

    def calm(self) -> None:
        """From now on all is well."""
        self._drawn.left = 0

    @staticmethod
    def told(heard: Heard, patron: bytes | None = None, item: bytes | None = None) -> bytes:
        """The right answer and the secrets; a PIN of a canary patron is right."""
        body = right_answer(heard, patron, item)
        if heard.code not in (b"23", b"63"):
            return body
        pin, password = heard.value(b"AD"), heard.value(b"AC")
        return body + b"AD%b|AC%b|CO%b|CNx|" % (pin, password, ACCOUNTS["default"].encode())


def requests() -> Iterator[tuple[str, bytes]]:
    """On and on, what has a PIN in AD, each with another; the PIN, and the request. To these the
    library system knows an answer; for others it asks again by 96."""
    heads = itertools.cycle(
        (
            f"23001{STAMP}AOHUB|AA1001|AC|",
            f"63001{STAMP}{' ' * 10}AOHUB|AA1002|AC|",
            f"35{STAMP}AOHUB|AA1001|AC|",
            f"37{STAMP}0100EURBV1.00|AOHUB|AA1001|AC|BKcNUMBER|",
            f"11NN{STAMP}{STAMP}AOHUB|AA1001|ABBOOK1|AC|",
            f"29NN{STAMP}{STAMP}AOHUB|AA1001|ABBOOK1|",
            f"63001{STAMP}{' ' * 10}AOHUB|AA9NUMBER|AC|",
        )
    )
    for number, head in enumerate(heads):
        pin = f"{PATRON_PIN}{number}z"
        yield pin, f"{head.replace('NUMBER', str(number))}AD{pin}|".encode()


class Sent:
    """Which PIN was sent by which terminal."""

    def __init__(self) -> None:
        self.by_account: dict[str, list[str]] = {name: [] for name in ACCOUNTS}
        self._requests = requests()

    async def talk(self, gateway: GatewayProcess, name: str, count: int) -> None:
        """So many requests at one terminal."""
        line = await Line.to(gateway.address)
        assert await line.ask(f"9300CN{LOGIN}{name}|CO{PASSWORD}|".encode()) == b"941"
        for pin, body in itertools.islice(self._requests, count):
            self.by_account[account_of(name)].append(pin)
            await line.ask(body)
        line.close()

    def judge(self, libraries: dict[str, HostileLibrary], report: Report) -> None:
        """Each PIN at most once, and only at its own account."""
        for account, pins in self.by_account.items():
            arrived = 0
            for name, library in libraries.items():
                said = b"\r".join(heard.frame for heard in library.heard)
                times = [said.count(pin.encode()) for pin in pins]
                arrived += sum(times)
                report.expect(max(times) <= 1, f"a PIN went up {max(times)} times")
                report.expect(name == account or not sum(times), f"PINs of {account} at {name}")
            report.numbers[f"pins {account}"] = f"{arrived} of {len(pins)}"
            report.expect(arrived > 0, f"no PIN arrived at {account}")
        for name, library in libraries.items():
            frames = [heard.frame for heard in library.heard]
            for account, password in ACCOUNTS.items():
                there = [frame for frame in frames if password.encode() in frame]
                strange = [frame[:2] for frame in there if frame[:2] != b"93" or name != account]
                report.expect(not strange, f"the password of {account} at {name}: {strange[:3]}")
                report.expect(bool(there) == (name == account), f"{account} never logged in")


async def sing(directory: Path, *, count: int = 100, every: int = 1) -> Report:
    """`count` requests of each terminal and one in `every` of the conversations of `canary`."""
    report, sent, echoing = Report("canary, in front of a library system"), Sent(), Echoing(1)
    echo = partial(HostileLibrary, echoing.behave, answer=echoing.told, late_s=0.6)
    async with echo() as main, echo() as east:
        libraries = {"default": main, "east": east}
        ports = {name: library.port for name, library in libraries.items()}
        config = await prepare(directory, configuration(ports), _ours())
        async with GatewayProcess(config) as gateway:
            await gateway.start()
            tracing = [asyncio.create_task(_trace(config, name)) for name in ("kiosk", OBSERVED)]
            await asyncio.sleep(1)
            await asyncio.gather(*(sent.talk(gateway, name, count) for name in TERMINALS))
            echoing.calm()
            await asyncio.sleep(1)
            await asyncio.gather(*(sent.talk(gateway, name, count) for name in TERMINALS))
            sent.judge(libraries, report)
            for talk in itertools.islice(canary.conversations(), 0, None, every):
                await canary.over_a_socket(gateway, b"".join(talk))
            said = {"trace": await tracing[0], "trace, observed": await tracing[1]}
            await _commands(said, config)
            _, metrics = await gateway.http("/metrics")
            report.expect(not chirps(metrics), "in /metrics")
            report.expect(await gateway.stop() == 0, "the gateway did not end with 0")
        for line in [json.dumps(line) for line in gateway.log] + gateway.other_output:
            report.expect(not chirps(line), f"logged: {line[:300]}")
        report.numbers["logged"] = len(gateway.log)
        report.expect(len(gateway.log) > count, "next to nothing was logged")
    for name, (status, text) in said.items():
        report.expect(status == 0 and bool(text), f"{name}: {status} {text[-300:]}")
        report.numbers[name] = len(text)
        # The login of a terminal is what its trace is asked for by.
        shown = text.lower().replace(LOGIN, "")
        report.expect(not chirps(shown), f"{name}: {around(shown)}")
    look_into_files(directory, report)
    return report


async def _trace(config: Path, name: str) -> canary.Said:
    """What a trace of a terminal shows; in a process of its own, for others run beside it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sip2gw", "terminal", "trace", f"{LOGIN}{name}"),
        *("--seconds", "5", "--config", str(config)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    shown, _ = await process.communicate()
    return process.returncode or 0, shown.decode("utf-8", "replace")


async def _commands(said: dict[str, canary.Said], config: Path) -> None:
    """Everything that shows what the library system said, or was told."""
    for words in (
        "upstream check --card 1001",
        "upstream check --account east --json",
        "upstream status",
        "observe report --json",
        "door log --json",
        "explain --terminal t-kiosk --card 1001",
        "explain --terminal t-entrance --card 1001",
        "explain --terminal t-observed --card 1001",
        "check",
        "export --all",
    ):
        said[words] = await run_command(*words.split(), "--config", str(config))


def _ours() -> list[dict[str, object]]:
    """What the store knows: memberships, badges and people, none of whom has a PIN here."""
    known = ("membership", "badge", "patron", "item")
    return [
        {key: value for key, value in record.items() if key != "pin"}
        for record in LIBRARY
        if record["kind"] in known
    ]


def main(arguments: list[str]) -> int:
    """The command."""
    argparse.ArgumentParser(prog="canary-upstream", description=__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(sing(Path(directory))).tell()
