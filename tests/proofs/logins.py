"""Guesses at logins cost their address, and nobody else.  (B11, C9, C100)

A real gateway process, all passwords hashed at full cost. Five addresses of the loopback network
keep many lines open, each sending one wrong login after the other and coming again when it is
closed. Beside them terminals of another address log in, again and again, one that the gateway
knows and one that it has never seen. Then the gateway is killed and started again, and all
terminals of a large library come back at once. From the gateway's own log comes how many passwords
were judged, and how many bytes were written. The program ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG, LIBRARY, without_http

from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from sip2gw.foundation.hashing import hash_password

ADDRESSES = tuple(f"127.0.0.{number}" for number in range(11, 16))
"""Where the guesses come from."""
JUDGED_PER_SECOND_MAX = 5
IN_WITHIN_S = 2.0
BACK_WITHIN_S = 10.0
LOG_BYTES_PER_SECOND_MAX = 10 * 1024
PASSWORD = "a long and good password"


@dataclass
class Found:
    """What was seen."""

    seconds: float = 0.0
    answers: int = 0
    guessed_right: int = 0
    known_s: list[float] = field(default_factory=list)
    """How long a terminal that was in before took to log in."""
    new_s: list[float] = field(default_factory=list)
    judged: int = 0
    log_bytes: int = 0
    back_s: float = 0.0


def configuration(terminals: int) -> str:
    """Terminals with hashed passwords; they share a hash to make the file quickly."""
    hashed = hash_password(PASSWORD.encode())
    entries = (
        f'[terminals.k{number}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword_hash = "{hashed}"\n'
        for number in range(terminals)
    )
    slow = without_http(CONFIG).replace("login_backoff_s = 0", "login_backoff_s = 1")
    return slow + "".join(entries)


async def guess(
    gateway: GatewayProcess, address: str, guesses: Iterator[int], found: Found
) -> None:
    """One line that guesses for as long as it may, and comes again."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            line = await gateway.connect(local_addr=(address, 0))
            try:
                while True:
                    number = next(guesses)
                    answer = await line.ask(f"9300CNk{number % 20}|COguess {number}|")
                    found.answers += 1
                    found.guessed_right += answer == "941"
            finally:
                line.writer.transport.abort()
        await asyncio.sleep(0.01)


async def log_in(gateway: GatewayProcess, name: str) -> float:
    """Seconds from connecting to a good answer; a refused login is tried again."""
    started = time.monotonic()
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            line = await gateway.connect()
            try:
                if await line.ask(f"9300CN{name}|CO{PASSWORD}|") == "941":
                    return time.monotonic() - started
            finally:
                line.writer.transport.abort()


async def besiege(gateway: GatewayProcess, lines: int, tries: int, found: Found) -> None:
    """Guess at many lines while `tries` terminals that are new and as many known ones log in."""
    guesses = itertools.count()
    addresses = itertools.cycle(ADDRESSES)
    logged = len(gateway.log)
    started = time.monotonic()
    guessing = [
        asyncio.create_task(guess(gateway, next(addresses), guesses, found)) for _ in range(lines)
    ]
    await asyncio.sleep(1)
    for number in range(tries):
        found.new_s.append(await log_in(gateway, f"k{20 + number}"))
        found.known_s.append(await log_in(gateway, f"k{20 + number}"))
    for _ in range(300):  # On a busy machine nobody may have been answered yet.
        if found.answers:
            break
        await asyncio.sleep(0.1)
    for task in guessing:
        task.cancel()
    await asyncio.gather(*guessing, return_exceptions=True)
    found.seconds = time.monotonic() - started
    await asyncio.sleep(1.5)
    for line in gateway.log[logged:]:
        found.judged += _judged(line)
        if line.get("terminal") == "" or line["event"] in ("login_refused", "lines_summed_up"):
            found.log_bytes += len(str(line))


def _judged(line: dict[str, object]) -> int:
    """How many judged guesses a line of the log tells of."""
    if line["event"] == "login_refused":
        return int(line["reason"] == "unknown_or_wrong_password")
    summed_up = line.get("lines", {})
    assert isinstance(summed_up, dict)
    return int(summed_up.get("login_refused unknown_or_wrong_password", 0))


async def come_back(gateway: GatewayProcess, terminals: int, found: Found) -> None:
    """All terminals log in, the gateway dies, and all log in again at once."""
    names = [f"k{number}" for number in range(terminals)]

    async def all_in(at_once: int) -> float:
        started = time.monotonic()
        places = asyncio.Semaphore(at_once)

        async def one(name: str) -> None:
            async with places:
                await log_in(gateway, name)

        await asyncio.gather(*map(one, names))
        return time.monotonic() - started

    await all_in(10)
    await asyncio.sleep(2)
    await gateway.kill()
    await gateway.start()
    found.back_s = await all_in(len(names))


async def prove(directory: Path, lines: int, tries: int, terminals: int) -> tuple[Report, Found]:
    """Run everything; what does not depend on how busy the machine is has been judged then."""
    found, report = Found(), Report("logins")
    config = configuration(max(terminals, 20 + tries))
    path = await prepare(directory, config, LIBRARY)
    async with GatewayProcess(path) as gateway:
        await gateway.start()
        await besiege(gateway, lines, tries, found)
        await come_back(gateway, terminals, found)
        report.expect(await gateway.stop() == 0, "the gateway did not end well")
        report.expect(not gateway.other_output, f"stderr: {gateway.other_output[:3]}")
    judged_per_s = found.judged / len(ADDRESSES) / found.seconds
    report.expect(found.guessed_right == 0, "a guess was taken for right")
    report.expect(found.answers > 0, "no guess was answered")
    report.expect(0 < judged_per_s <= JUDGED_PER_SECOND_MAX, "too many passwords were judged")
    report.expect(len(found.new_s) == len(found.known_s) == tries, "a good terminal is not in")
    return report, found


def judge_times(report: Report, found: Found) -> None:
    """Compare with the goals, on a machine with nothing else to do."""
    judged_per_s = found.judged / len(ADDRESSES) / found.seconds
    log_per_s = found.log_bytes / found.seconds
    report.numbers = {
        "refused": found.answers,
        "judged_per_second_and_address": round(judged_per_s, 2),
        "slowest_new_terminal_s": round(max(found.new_s), 3),
        "slowest_known_terminal_s": round(max(found.known_s), 3),
        "log_bytes_per_second": round(log_per_s),
        "all_back_s": round(found.back_s, 2),
    }
    slowest = max(*found.new_s, *found.known_s)
    report.expect_in_time(slowest <= IN_WITHIN_S, f"a good terminal took {slowest:.2f} s")
    report.expect(log_per_s <= LOG_BYTES_PER_SECOND_MAX, "the flood filled the log")
    report.expect_in_time(
        found.back_s <= BACK_WITHIN_S, f"all were back after {found.back_s:.1f} s"
    )


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python tests/proofs logins", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000, help="lines that guess")
    parser.add_argument("--tries", type=int, default=100, help="logins of good terminals")
    parser.add_argument("--terminals", type=int, default=2_000, help="that come back at once")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        report, found = asyncio.run(
            prove(Path(directory), options.lines, options.tries, options.terminals)
        )
    judge_times(report, found)
    return report.tell()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
