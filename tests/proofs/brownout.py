"""One account of a library system is slow, not away; terminals of another are beside it (B71, B77).

The two accounts have a library system each. That of the slow one answers quickly and after 3 s of a
4 s time-out, in turns. Shown: its terminals hear a yes for what was done there, or at once a plain
no for what was not even sent, and never that nobody knows; the others are not slowed; and when it
is quick again, all are served.
"""

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG, STAMP, ask_63
from hostile_library import HostileLibrary, Loans

from proofs.observe import Line
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from sip2gw.texts.english import TEXTS

PAIRS = 6
PHASE_S = 20.0
"""Of each pair the slow and the quick part."""
QUICK_S, SLOW_S, TIMEOUT_S, CONNECTIONS = 0.03, 3.0, 4.0, 4
SLOW_KIOSKS, QUICK_KIOSKS = 30, 10
EVERY_S = 1.0
"""A kiosk of the slow account asks anew; the others go on at once."""
P99_RATIO_MAX = 1.1
AT_ONCE_S = 0.5
"""So long takes a refusal that waits for nothing, at the median and on a busy machine."""
RECOVERED_S = 2 * SLOW_S
"""After the last slow answer all are served again."""
NOT_SURE, AWAY = TEXTS["unknown_outcome_item"].encode(), TEXTS["library_away"].encode()

BACKEND = f"""
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:QUICK"
login = "gateway"
password = "behind"
institution = "HUB"
connections = {CONNECTIONS}
timeout_s = {TIMEOUT_S}
[backend.sip2.accounts.slow]
address = "127.0.0.1:SLOW"
"""


def configuration(quick: int, slow: int, kiosks: tuple[int, int]) -> str:
    """Of the gateway in front of two library systems on these ports."""
    accounts = BACKEND.replace("QUICK", str(quick)).replace("SLOW", str(slow))
    terminals = "".join(
        f'[terminals.{kind}{n}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n{key}'
        for kind, many, key in (
            ("slow", kiosks[0], 'upstream = "slow"\n'),
            ("quick", kiosks[1], ""),
        )
        for n in range(many)
    )
    kiosk = '[profiles.kiosk]\nkind = "selfcheck"\n'
    # What was taken off line would be a yes as well, and true a little later.
    config = CONFIG.replace(kiosk, f"{kiosk}accept_offline = false\n")
    return config + accounts + terminals


@dataclass
class Scene:
    """What the kiosks share."""

    report: Report
    is_slow: bool = False
    changed_at: float = field(default_factory=time.monotonic)
    is_over: bool = False
    told: Counter[str] = field(default_factory=Counter)
    ends: dict[bytes, str] = field(default_factory=dict)
    """What each loan at the slow account was answered, by item."""
    refused_s: list[float] = field(default_factory=list)
    took_s: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    """Of the other account, while this one is slow and while it is quick."""


async def _line(address: tuple[str, int], name: str) -> Line:
    line = await Line.to(address)
    assert await line.ask(f"9300CN{name}|COpw|".encode()) == b"941"
    return line


async def _lend(scene: Scene, address: tuple[str, int], number: int) -> None:
    """A kiosk of the slow account: one loan after the other, each of another item."""
    line, count, stamp = await _line(address, f"slow{number}"), 0, STAMP.encode()
    while not scene.is_over:
        count += 1
        item = b"I%dx%d" % (number, count)
        began = time.monotonic()
        answer = await line.ask(
            b"11NN%b%bAOHUB|AAP%d|AB%b|AC|" % (stamp, stamp, number, item),
        )
        took_s = time.monotonic() - began
        is_done = answer[2:3] == b"1"
        scene.ends[item] = "yes" if is_done else "not sure" if NOT_SURE in answer else "no"
        scene.told[scene.ends[item]] += 1
        if not is_done:
            scene.report.expect(AWAY in answer, f"{answer!r} does not say when to try again")
            scene.refused_s.append(took_s)
            since_s = began - scene.changed_at
            well = not scene.is_slow and since_s > RECOVERED_S
            scene.report.expect(not well, f"a refusal {since_s:.1f} s after it was quick again")
        await asyncio.sleep(EVERY_S)
    line.close()


async def _ask(scene: Scene, address: tuple[str, int], number: int) -> None:
    """A kiosk of the other account."""
    line = await _line(address, f"quick{number}")
    while not scene.is_over:
        began, was_slow = time.monotonic(), scene.is_slow
        answer = await line.ask(ask_63(f"21{number}", "4711").encode())
        scene.report.expect(b"AEPatron" in answer, f"beside it: {answer[:99]!r}")
        if was_slow == scene.is_slow and began - scene.changed_at > 1:
            scene.took_s[was_slow].append(time.monotonic() - began)
    line.close()


async def prove(
    directory: Path, *, pairs: int, phase_s: float = PHASE_S, judges_times: bool = True
) -> Report:
    """So many times slow and quick; without `judges_times` only what was said is judged."""
    report = Report(f"brown-out, {pairs} times {phase_s:g} s")
    scene, loans = Scene(report), Loans()
    async with (
        HostileLibrary(delay_s=QUICK_S) as quick,
        HostileLibrary(delay_s=QUICK_S, answer=loans) as slow,
    ):
        text = configuration(quick.port, slow.port, (SLOW_KIOSKS, QUICK_KIOSKS))
        config = await prepare(directory, text, ())
        async with GatewayProcess(config, keep_requests=False) as gateway:
            await gateway.start()
            kiosks = [
                asyncio.create_task(run(scene, gateway.address, number))
                for run, many in ((_lend, SLOW_KIOSKS), (_ask, QUICK_KIOSKS))
                for number in range(many)
            ]
            for _ in range(pairs):
                for is_slow in (True, False):
                    slow.delay_s = SLOW_S if is_slow else QUICK_S
                    scene.is_slow, scene.changed_at = is_slow, time.monotonic()
                    await asyncio.wait(kiosks, timeout=phase_s)
            scene.is_over = True
            for end in await asyncio.gather(*kiosks, return_exceptions=True):
                report.expect(end is None, f"a kiosk gave up: {end!r}")
            report.expect(await gateway.stop() == 0, "the gateway did not stop cleanly")
    judge(scene, loans)
    if judges_times:
        judge_times(scene)
    report.numbers |= scene.told
    return report


def judge(scene: Scene, loans: Loans) -> None:
    """What was said is so."""
    expect = scene.report.expect
    done = {deed.item for deed in loans.deeds if deed.done}
    for item, end in scene.ends.items():
        expect((end == "yes") == (item in done), f"{item!r}: {end}, in truth {item in done}")
    expect(not scene.told["not sure"], f"{scene.told['not sure']} times nobody knew")
    for name in ("yes", "no"):
        expect(scene.told[name] > 0, f"nothing was answered {name}")


def judge_times(scene: Scene) -> None:
    """Who is refused hears it at once, and those beside it are served as quickly as ever."""
    at_once_s = statistics.median(scene.refused_s)
    scene.report.expect(at_once_s < AT_ONCE_S, f"a refusal takes {at_once_s:.2f} s")
    p99_s = {slow: statistics.quantiles(took, n=100)[98] for slow, took in scene.took_s.items()}
    ratio = p99_s[True] / p99_s[False]
    scene.report.expect(ratio <= P99_RATIO_MAX, f"the others' p99 is {ratio:.2f} times as long")
    scene.report.numbers |= {
        "refused_ms": round(at_once_s * 1000, 1),
        "p99_ms": " ".join(f"{p99_s[slow] * 1000:.1f}" for slow in (False, True)),
        "ratio": round(ratio, 3),
    }
