"""Payments, loans and returns while the store is locked, full, slow, failing, frozen, cut, killed.

Ten tills and ten kiosks work at one gateway process while one fault after the other strikes in
random order, on SQLite or, with `--postgresql`, on a PostgreSQL server that writes to disk. Each
keeps in mind what it asked for and was told: yes, no, 'not sure', or nothing.

Shown (B2, B46, C59, C98): each yes is there once; each no is not there, neither when the fault has
ended nor after a restart; each 'not sure' is in `payment reconcile` or `review`; balances are
exact to the cent; at most 1 % are 'not sure'; within five seconds of a fault's end 95 % succeed
again; while the gateway lives each request is answered within the time-out that 98 tells.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from faulty_disk import FaultyDisk, build
from harness import debt, person
from postgres import Server, running_server
from proxy import breakable

from proofs import audit
from proofs.outages import Line
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from proofs.trouble import CRASHES, ON_POSTGRESQL, ON_SQLITE, Database, Kind, Place, strike
from proofs.witnesses import (
    STARTED,
    Kiosk,
    Scene,
    Till,
    Told,
    Try,
    Witness,
    copies_of,
    line_cutter,
    readers_of,
)

TILLS = KIOSKS = 10
PAYMENTS = 10_000
PAYERS = tuple(f"P{number}" for number in range(40))
FEES_PER_PAYER = 3
FEE_MINOR = 10_000_000
"""So much that nobody runs out of what can be paid."""
THINK_S = (0.02, 0.3)
QUIET_S = (1.0, 4.0)
"""Between two faults, from the moment that the gateway has recovered."""
RECOVERY_S = 5.0
RECOVERED = 0.95
WINDOW = 20
"""Requests of which 95 % succeed."""
TRIES_LOOKED_AT = 5_000
"""Of the last ones; no fault is followed by more before the gateway has recovered."""
GIVEN_UP_S = 30.0
"""A gateway that has not recovered after that will not."""
MINUTES_MAX = 30.0
UNSURE_MAX = 0.01
"""Of all payments, and of all loans and returns (C98)."""

CONFIG = """
[institution]
id = "HUB"
currency = "EUR"
timezone = "Europe/Brussels"
language = "en"
[store]
url = "URL"
[server]
listen = ["127.0.0.1:0"]
request_timeout_s = DEADLINE
terminal_timeout_s = TIMEOUT
[admin]
listen = "127.0.0.1:0"
[log]
level = "info"
format = "json"
[branches.MAIN]
[profiles.till]
kind = "payment"
[profiles.kiosk]
kind = "selfcheck"
"""
SQLITE = "sqlite:library.db"


@dataclass(frozen=True)
class Plan:
    """What a run is like; see `main` for the full size.

    deadline_s, timeout_s: the gateway's `request_timeout_s` and `terminal_timeout_s`.
    kinds: the faults, all of them in each round; None: all that are possible.
    seconds_min, seconds_max: no fault lasts less or longer.
    unsure_max: the share of payments, and of loans and returns, that may be 'not sure'.
    """

    payments: int = PAYMENTS
    seed: int = 0
    rounds: int = 1
    kinds: tuple[str, ...] | None = None
    deadline_s: float = 5
    timeout_s: float = 10
    seconds_min: float = 0
    seconds_max: float = 12
    think_s: tuple[float, float] = THINK_S
    quiet_s: tuple[float, float] = QUIET_S
    minutes_max: float = MINUTES_MAX
    unsure_max: float = UNSURE_MAX


def library() -> Iterator[dict[str, object]]:
    """Who pays, who borrows, and the copies."""
    yield {"kind": "membership", "code": "201", "description": "Adult", "type": 4}
    yield {"kind": "badge", "code": "ONBE", "name": "Unmanned opening hours"}
    for card in PAYERS:
        yield person(card, f"Payer {card}", membership_until="2099-12-31")
        for number in range(FEES_PER_PAYER):
            yield debt(f"{card}F{number}", card, f"{FEE_MINOR / 100:.2f}", created="2026-01-01")
    for kiosk in range(KIOSKS):
        for card in readers_of(kiosk):
            yield person(card, f"Reader {card}", membership_until="2099-12-31")
        for copy in copies_of(kiosk):
            yield {"kind": "item", "id": copy, "title": f"Title {copy}"}


def configuration(url: str, plan: Plan) -> str:
    """One gateway for all terminals."""
    text = CONFIG.replace("URL", url).replace("TIMEOUT", str(plan.timeout_s))
    terminals = [("pay", "till", number) for number in range(TILLS)]
    terminals += [("kiosk", "kiosk", number) for number in range(KIOSKS)]
    return text.replace("DEADLINE", str(plan.deadline_s)) + "".join(
        f'[terminals.{name}-{number}]\nprofile = "{profile}"\nbranch = "MAIN"\npassword = "pw"\n'
        for name, profile, number in terminals
    )


@dataclass
class Course:
    """The faults of one run, and how the gateway took them."""

    scene: Scene
    plan: Plan
    kinds: list[Kind]
    report: Report
    recovery_s: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    past: list[str] = field(default_factory=list)
    """Which fault struck when."""
    unknown_seen: int = 0
    """The most that the gauge showed."""
    afterwards: list[bool] = field(default_factory=list)
    """Whether each request that was asked five seconds after a fault succeeded."""

    async def run(self) -> None:
        """Faults in random order, all kinds in each round, until enough was paid."""
        chance, plan = self.scene.chance, self.plan
        until = time.monotonic() + plan.minutes_max * 60
        number = 0
        while number < plan.rounds or self._paid() < plan.payments:
            number += 1
            for kind in chance.sample(self.kinds, len(self.kinds)):
                seconds = max(chance.uniform(*kind.seconds), plan.seconds_min)
                crash = kind.crashes and chance.random() < CRASHES
                await self._fault(kind, min(seconds, plan.seconds_max), crash)
                if time.monotonic() > until:
                    self.report.expect(False, f"not done in {plan.minutes_max} minutes")
                    return

    def _paid(self) -> int:
        return sum(errand.code == "37" for errand in self.scene.errands)

    async def _fault(self, kind: Kind, seconds: float, crash: bool) -> None:
        name = f"{kind.name}{', killed' if crash else ''}"
        begun = time.monotonic() - STARTED
        await strike(self.scene.place, kind, seconds, crash=crash)
        self.past.append(f"{name} {begun:.1f}-{time.monotonic() - STARTED:.1f} s")
        await self._recover(name, seconds)

    async def _recover(self, name: str, seconds: float) -> None:
        """Wait until 95 % succeed again, and a while longer."""
        ended = time.monotonic()
        while (recovered := recovered_at(self.scene.tries, ended)) is None:
            await asyncio.sleep(0.05)
            if time.monotonic() - ended > GIVEN_UP_S:
                break
        taken = GIVEN_UP_S if recovered is None else recovered - ended
        self.recovery_s[name].append(taken)
        self.report.expect(recovered is not None, f"{name}: not recovered")
        self.report.expect_in_time(
            taken <= RECOVERY_S, f"{name} for {seconds:.1f} s: recovered after {taken:.1f} s"
        )
        await asyncio.sleep(self.scene.chance.uniform(*self.plan.quiet_s))
        self.afterwards += [
            one.told is Told.YES for one in self.scene.tries if one.begun >= ended + RECOVERY_S
        ]

    async def watch_gauge(self) -> None:
        """Note how many outcomes are unknown, as often as the gateway can say."""
        while True:
            with suppress(OSError, ValueError):  # it is away
                async with asyncio.timeout(1):
                    number = await open_unknown(self.scene.place.gateway)
                self.unknown_seen = max(self.unknown_seen, number)
            await asyncio.sleep(0.2)


def recovered_at(tries: Sequence[Try], ended: float) -> float | None:
    """The first moment from `ended` on from which 95 % of `WINDOW` requests succeeded, if any."""
    after = sorted(
        (one.begun, one.told is Told.YES) for one in tries[-TRIES_LOOKED_AT:] if one.begun >= ended
    )
    for first in range(len(after) - WINDOW + 1):
        good = sum(succeeded for _, succeeded in after[first : first + WINDOW])
        if good >= RECOVERED * WINDOW:
            return after[first][0]
    return None


async def open_unknown(gateway: GatewayProcess) -> int:
    """What the gauge of outcomes that are not known shows."""
    _, body = await gateway.http("/metrics")
    (line,) = (line for line in body.splitlines() if line.startswith("sip2gw_outcome_unknown"))
    return int(float(line.split()[-1]))


async def advertised_s(place: Place) -> float:
    """The time-out that 98 tells terminals, seconds."""
    line = await Line.open(place.host, "pay-0", [])
    answer = await line.ask(b"9900302.00")
    line.close()
    return int(answer[8:11]) / 10


async def prove(
    directory: Path, plan: Plan, disk: FaultyDisk | None, server: Server | None = None
) -> Report:
    """Let faults strike until the plan is fulfilled, and judge.

    Args:
        directory: for the configuration and an SQLite store.
        plan: how much.
        disk: under the gateway's files and, when it has it, the server's; None: no such faults.
        server: with one, the store is a database there; else it is on SQLite.
    """
    report = Report(f"faults, {'PostgreSQL' if server else 'SQLite'}, seed {plan.seed}")
    chance = random.Random(plan.seed)
    async with _place(directory, plan, chance, disk, server) as place:
        kinds = [
            kind
            for kind in (ON_POSTGRESQL if server else ON_SQLITE)
            if (disk is not None or not kind.needs_disk)
            and (plan.kinds is None or kind.name in plan.kinds)
        ]
        scene = Scene(place, chance, await advertised_s(place), plan.think_s)
        course = Course(scene, plan, kinds, report)
        witnesses = _witnesses(scene)
        place.hang_up = line_cutter(witnesses)
        running = [asyncio.create_task(witness.run()) for witness in witnesses]
        watching = asyncio.create_task(course.watch_gauge())
        try:
            await course.run()
        finally:
            watching.cancel()
            scene.ending.set()
            place.host.up.set()  # so that nobody waits for a gateway that did not come back
            await asyncio.gather(*running)
        await _judge(course, witnesses)
    return report


def _witnesses(scene: Scene) -> list[Witness]:
    tills = [Till(scene, number, list(PAYERS)) for number in range(TILLS)]
    kiosks = [Kiosk(scene, number) for number in range(KIOSKS)]
    return [*tills, *kiosks]


@asynccontextmanager
async def _place(
    directory: Path,
    plan: Plan,
    chance: random.Random,
    disk: FaultyDisk | None,
    server: Server | None,
) -> AsyncIterator[Place]:
    """The gateway on its store, started."""
    name = server.make_database() if server else ""
    url = server.url(name) if server else SQLITE
    config = await prepare(directory, configuration(url, plan), library())
    gateway = GatewayProcess(
        config, keep_requests=False, environment=disk.environment if disk else None
    )
    async with gateway:
        if server is None:
            place = Place(gateway, chance, disk, file=directory / "library.db")
            await place.start()
            yield place
            return
        async with breakable(server.socket) as proxy:
            through = f"postgresql://postgres@{proxy.address}/{name}"
            config.write_text(configuration(through, plan))
            place = Place(gateway, chance, disk, database=Database(server, name, proxy))
            await place.start()
            yield place


async def _judge(course: Course, witnesses: Sequence[Witness]) -> None:
    """Compare what staff see with what was told: now, and once more after a restart."""
    scene, report = course.scene, course.report
    gateway, errands = scene.place.gateway, scene.errands
    report.failures += scene.failures
    report.failures += [
        f"{errand.name}: no answer within {ended - begun:.1f} s"
        for errand, begun, ended in scene.in_vain
        if not scene.place.excused(begun, ended)
    ]
    left = await _settled(gateway)
    report.expect(left == 0, f"outcome_unknown is {left} when all faults have ended")
    copies = [copy for kiosk in witnesses if isinstance(kiosk, Kiosk) for copy in kiosk.copies]
    debts = dict.fromkeys(PAYERS, FEE_MINOR * FEES_PER_PAYER)
    payments = [errand for errand in errands if errand.code == "37"]
    before = await audit.read_books(gateway.config, report)
    await _start_again(scene.place, report)
    after = await audit.read_books(gateway.config, report)
    for books in (before, after):
        audit.judge_payments(errands, books, report)
        audit.judge_balances(payments, books, debts, report)
        audit.judge_copies(copies, errands, books, report)
    audit.same_books(before, after, report)
    audit.judge_share(errands, course.plan.unsure_max, report)
    _judge_course(course)
    if report.failures:
        report.failures.append(f"the faults were {'; '.join(course.past)}")


async def _settled(gateway: GatewayProcess) -> int:
    """What is still unknown when the gateway had ten seconds to look."""
    left = 0
    for _ in range(20):
        left = await open_unknown(gateway)
        if not left:
            break
        await asyncio.sleep(0.5)
    return left


async def _start_again(place: Place, report: Report) -> None:
    status = await place.gateway.stop()
    report.expect(status == 0, f"SIGTERM ended with {status}")
    await place.start()
    bugs = place.gateway.events("request_failed")
    report.expect(not bugs, f"bugs: {bugs[:3]}")


def _judge_course(course: Course) -> None:
    report, scene = course.report, course.scene
    good, number = sum(course.afterwards), len(course.afterwards)
    report.expect_in_time(
        good >= RECOVERED * number, f"five seconds after faults {good} of {number} succeeded"
    )
    heard = [one.told for one in scene.tries]
    report.numbers |= {
        "faults": sum(map(len, course.recovery_s.values())),
        "kills": scene.place.kills,
        "requests": len(heard),
        **{told.value: heard.count(told) for told in Told},
        "unknown_at_a_time": course.unknown_seen,
        "answer_s_max": round(
            max(
                one.ended - one.begun
                for one in scene.tries
                if not scene.place.excused(one.begun, one.ended)
            ),
            1,
        ),
    }
    if scene.place.disk is not None:
        report.numbers |= {
            "disk_failed_full_slow": "/".join(map(str, scene.place.disk.store.hits)),
            "spool_failed_full_slow": "/".join(map(str, scene.place.disk.spool.hits)),
        }
    for name, seconds in sorted(course.recovery_s.items()):
        worst = f"{max(seconds):.2f}"
        report.numbers[name.replace(", ", "_")] = f"{len(seconds)}x/{worst}s"


async def _until_told_to_end(
    directory: Path, plan: Plan, stack: ExitStack, postgresql: bool
) -> Report:
    """Prove; SIGTERM ends it in an orderly way."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    library_directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    disk = build(library_directory)
    if disk is None:
        sys.stdout.write("There is no gcc: the disk does not fail, and is neither full nor slow.\n")
    server = None
    if postgresql:
        environment = disk.environment if disk else None
        server = stack.enter_context(running_server(durable=True, environment=environment))
    if disk is not None:
        stack.enter_context(disk)
    return await prove(directory, plan, disk, server)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--payments", type=int, default=PAYMENTS, help=f"default {PAYMENTS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", help="only these faults")
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX, help="at most")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL, else SQLite")
    options = parser.parse_args(arguments)
    plan = Plan(
        payments=options.payments,
        seed=options.seed,
        kinds=tuple(options.kinds) if options.kinds else None,
        minutes_max=options.minutes,
    )
    with ExitStack() as stack, suppress(asyncio.CancelledError):
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report = asyncio.run(_until_told_to_end(directory, plan, stack, options.postgresql))
        return report.tell()
    sys.stdout.write("faults: ended before it was done\n")
    return 1
