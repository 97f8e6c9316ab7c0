"""Terminals while their library system comes and goes, and beside one that is slow (B40, B77).

Kiosks and doors ask a whole gateway so many times a second. The library system is away for a third
of the time: in turns it is gone, or takes requests and says nothing. Shown: each request has one
answer, of its type and form, in time; 98 says what is so; a door admits by itself exactly those
whom it admitted before, with that PIN; a yes to a loan or return is said only for what was done
there, a plain no only for what was not; and what a kiosk without `accept_offline` says has happened
goes nowhere. The second part is in `brownout`.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from harness import CONFIG, STAMP, URL, ask_23, ask_63, without_http
from hostile_library import HostileLibrary, Loans, right_answer
from postgres import running_server

from proofs import brownout
from proofs.judge import ANSWER_TO, Seen, read_answer
from proofs.observe import Line
from proofs.process import GatewayProcess, prepare
from proofs.report import Report
from sip2gw.texts.english import TEXTS

TIMEOUT_S, REQUEST_TIMEOUT_S = 1.5, 3.0
LATE_S = REQUEST_TIMEOUT_S + 1
"""So much later than it was asked, a terminal has its answer, on a busy machine too."""
GONE_S, SILENT_S = 1.5, 2 * TIMEOUT_S + 1
"""So long after it has gone, or says nothing any more, 98 may still say that it is there."""
BACK_S = 12.0
"""So long after it has come back 98 may still say that it is away."""
RATE, KIOSKS, DOORS, CARDS = 50.0, 80, 20, 5
"""Requests a second; terminals; cards at each door."""
PIN, WRONG_PIN = "4711", "0815"
NOT_SURE = TEXTS["unknown_outcome_item"].encode()
UNCUT = 1 << 20

MORE = f"""
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:PORT"
login = "gateway"
password = "behind"
institution = "HUB"
connections = 8
timeout_s = {TIMEOUT_S}
[backend.sip2.facts]
birth_date = {{ field = "PB", format = "%Y%m%d" }}
[profiles.k]
kind = "selfcheck"
accept_offline = false
[profiles.d]
kind = "door"
door = {{ minimum_age = 16, emergency = true, emergency_max_age_h = 24 }}
"""


def configuration(port: int, url: str, kiosks: int, doors: int) -> str:
    """Of the gateway."""
    names = [f"k{n}" for n in range(kiosks)] + [f"d{n}" for n in range(doors)]
    terminals = "".join(
        f'[terminals.{name}]\nprofile = "{name[0]}"\nbranch = "MAIN"\npassword = "pw"\n'
        for name in names
    )
    text = without_http(CONFIG)
    text = text.replace("[server]\n", f"[server]\nrequest_timeout_s = {REQUEST_TIMEOUT_S}\n")
    text = text.replace("[security]\n", "[security]\nterminal_pin_failures_max = 10000\n")
    return text.replace(URL, url) + MORE.replace("PORT", str(port)) + terminals


def is_minor(card: str) -> bool:
    """Whose own answer says that they are too young for the door."""
    return card.endswith("3")


class Library:
    """Lends, knows who is how old and who has which PIN; and comes and goes."""

    def __init__(self) -> None:
        self.loans = Loans()
        self.hangs = False
        self.is_here = True
        self.changed_at = time.monotonic()
        self.changes = 0

    def answer(self, heard, patron=None, item=None):
        if heard.code not in (b"23", b"63"):
            return self.loans(heard, patron, item)
        body = right_answer(heard, patron, item)
        if heard.value(b"AD") != PIN.encode():
            body = body.replace(b"CQY", b"CQN")
        born = b"20190105" if is_minor(heard.value(b"AA").decode()) else b"19800105"
        return body + b"PB%b|" % born

    @property
    def noticed_s(self) -> float:
        """After so long it must be known that it is away."""
        return SILENT_S if self.hangs else GONE_S

    def behave(self, _heard: object) -> str:
        return "silent" if self.hangs else "right"

    async def come_and_go(self, line: HostileLibrary, here_s: float, away_s: float) -> None:
        """For ever: here, then gone or silent."""
        while True:
            await asyncio.sleep(here_s)
            self._changes(is_here=False)
            if self.changes % 4 == 1:
                line.vanish()
            else:
                self.hangs = True
            await asyncio.sleep(away_s)
            await self.come_back(line)

    async def come_back(self, line: HostileLibrary) -> None:
        if not self.is_here:
            if not self.hangs:
                await line.listen()
            self.hangs = False
            self._changes(is_here=True)

    def _changes(self, *, is_here: bool) -> None:
        self.is_here, self.changed_at = is_here, time.monotonic()
        self.changes += 1


@dataclass
class Scene:
    """What all terminals share."""

    library: Library
    report: Report
    told: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    ends: dict[tuple[bytes, bytes], str] = field(default_factory=dict)
    """What each loan and return was answered, by message and item."""
    claims: set[bytes] = field(default_factory=set)
    """Items that were said to be lent already; nobody may lend them."""
    is_over: bool = False

    def surely(self, began: float, *, here: bool, after_s: float) -> bool:
        """Whether it has been here, or away, since `after_s` before `began`, and still is."""
        library = self.library
        return library.is_here == here and library.changed_at + after_s <= began


class Asking:
    """A terminal that asks one thing after the other, at its pace."""

    def __init__(self, scene: Scene, name: str, seed: int) -> None:
        self.scene, self.name = scene, name
        self.chance = random.Random(f"{seed} {name}")

    async def run(self, address: tuple[str, int], every_s: float) -> None:
        self.line = await Line.to(address)
        assert await self.line.ask(b"9300CN%b|COpw|" % self.name.encode()) == b"941"
        await asyncio.sleep(self.chance.random() * every_s)
        due = time.monotonic()
        while not self.scene.is_over:
            await self.step()
            due = max(due + every_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        self.line.close()

    async def step(self) -> None:
        raise NotImplementedError

    async def say(self, body: bytes) -> bytes:
        scene, expect = self.scene, self.scene.report.expect
        began = time.monotonic()
        try:
            answer = await self.line.ask(body)
        except (OSError, EOFError, TimeoutError, AssertionError) as error:
            expect(False, f"{self.name} {body[:2]!r}: no answer, {type(error).__name__}")
            raise
        took_s = time.monotonic() - began
        scene.longest_s = max(scene.longest_s, took_s)
        scene.told["requests"] += 1
        expect(took_s <= LATE_S, f"{self.name}: an answer came after {took_s:.1f} s")
        expect(answer[:2] == ANSWER_TO[body[:2]], f"{body[:2]!r} was answered by {answer[:2]!r}")
        seen = read_answer(answer, value_bytes_max=UNCUT)
        expect(isinstance(seen, Seen), f"{self.name}: {seen} in {answer[:99]!r}")
        return answer


class Kiosk(Asking):
    """Lends and takes back an item at a time, asks who somebody is, and whether all is well."""

    number = 0
    item: bytes | None = None

    async def step(self) -> None:
        draw = self.chance.random()
        if draw < 0.2:
            await self._status()
        elif draw < 0.4:
            await self.say(ask_63(f"{self.name}1", PIN).encode())
        elif draw < 0.45:
            await self._claim()
        elif self.item is None:
            await self._lend()
        else:
            await self._give_back()

    async def _status(self) -> None:
        began = time.monotonic()
        answer = await self.say(b"9900302.00")
        scene = self.scene
        if scene.surely(began, here=False, after_s=scene.library.noticed_s):
            scene.told["off_line"] += 1
            # Neither on-line nor off-line ok: this kiosk does not accept what happened off line.
            scene.report.expect(answer.startswith(b"98NNNNNN000"), f"while away: {answer!r}")
        elif scene.surely(began, here=True, after_s=BACK_S):
            scene.report.expect(answer.startswith(b"98Y"), f"while there: {answer!r}")

    def _next_item(self) -> bytes:
        self.number += 1
        return f"I{self.name}x{self.number}".encode()

    async def _lend(self) -> None:
        item, stamp = self._next_item(), STAMP.encode()
        body = b"11NN%b%bAOHUB|AAP%b|AB%b|AC|" % (stamp, stamp, self.name.encode(), item)
        if await self._deed(body, item) == "yes":
            self.item = item

    async def _give_back(self) -> None:
        item, stamp = self.item, STAMP.encode()
        assert item is not None
        self.item = None
        await self._deed(b"09N%b%bAPMAIN|AOHUB|AB%b|AC|" % (stamp, stamp, item), item)

    async def _deed(self, body: bytes, item: bytes) -> str:
        answer = await self.say(body)
        end = "yes" if answer[2:3] == b"1" else "not sure" if NOT_SURE in answer else "no"
        self.scene.ends[body[:2], item] = end
        self.scene.told[end] += 1
        return end

    async def _claim(self) -> None:
        """A loan that has happened already: no block Y."""
        item, stamp = self._next_item(), STAMP.encode()
        body = b"11NY%b%bAOHUB|AAP%b|AB%b|AC|" % (stamp, stamp, self.name.encode(), item)
        self.scene.claims.add(item)
        end = await self._deed(body, item)
        self.scene.report.expect(end != "yes", f"a claim at {self.name} was answered yes")


class Door(Asking):
    """Its own cards, some of them of minors; now and then somebody mistypes the PIN."""

    def __init__(self, scene: Scene, name: str, seed: int) -> None:
        super().__init__(scene, name, seed)
        self.admitted: dict[str, float] = {}
        """When each card was admitted first."""

    async def step(self) -> None:
        chance, scene = self.chance, self.scene
        card = f"2{self.name[1:]}0{chance.randrange(CARDS)}"
        if is_minor(card) or chance.random() > 0.05:
            await self._enter(card, PIN)
        else:
            await self._enter(card, WRONG_PIN)
            await self._enter(card, PIN)
        if chance.random() < 0.02:  # somebody whom no door has ever seen
            number = f"29{self.name[1:]}{scene.told['requests']}1"
            await self._enter(number, PIN)

    async def _enter(self, card: str, pin: str) -> None:
        scene, expect = self.scene, self.scene.report.expect
        began = time.monotonic()
        answer = await self.say(ask_23(card, pin).encode())
        granted = answer[2:3] == b" "
        was_away = scene.surely(began, here=False, after_s=0)
        known_s = began - self.admitted.get(card, began)
        if granted:
            scene.told["admitted"] += 1
            expect(pin == PIN, f"{self.name}: {card} was let in by a wrong PIN")
            expect(not is_minor(card), f"{self.name}: the minor {card} was let in")
            if was_away:
                scene.told["in_emergency"] += 1
                expect(known_s > 0, f"{self.name}: {card} was let in, and never before")
            self.admitted.setdefault(card, time.monotonic())
        elif pin == PIN and not is_minor(card):
            must = was_away and known_s > 0
            expect(not must, f"{self.name}: {card} was kept out, {known_s:.0f} s after {answer!r}")
            if scene.surely(began, here=True, after_s=BACK_S):
                expect(False, f"{self.name}: {card} was kept out while all was well: {answer!r}")
            scene.told["kept_out"] += 1


def judge(scene: Scene) -> None:
    """What the kiosks were told, and what was done."""
    done = Counter((deed.code, deed.item) for deed in scene.library.loans.deeds if deed.done)
    expect = scene.report.expect
    for (code, item), end in scene.ends.items():
        times = done[code, item]
        expect(item not in scene.claims or not times, f"{item!r} went up, and was not accepted")
        expect(times <= 1, f"{code!r} {item!r} was done {times} times")
        expect(end != "yes" or times == 1, f"{code!r} {item!r} got a yes and was not done")
        expect(end != "no" or not times, f"{code!r} {item!r} got a no and was done")
    for name in ("yes", "no", "off_line", "in_emergency"):
        expect(scene.told[name] > 0, f"nothing was {name}")


async def prove(
    directory: Path,
    *,
    cycles: int,
    here_s: float,
    away_s: float,
    url: str = URL,
    scale: float = 1.0,
    seed: int = 0,
) -> Report:
    """Ask while the library system goes and comes `cycles` times; `scale` of the terminals."""
    report = Report(f"away, {cycles} times {away_s:g} s of {here_s + away_s:g}")
    library = Library()
    scene = Scene(library, report)
    kiosks, doors = round(KIOSKS * scale), round(DOORS * scale)
    async with HostileLibrary(library.behave, answer=library.answer) as there:
        config = await prepare(directory, configuration(there.port, url, kiosks, doors), ())
        async with GatewayProcess(config, keep_requests=False) as gateway:
            await gateway.start()
            terminals: list[Asking] = [Kiosk(scene, f"k{n}", seed) for n in range(kiosks)]
            terminals += [Door(scene, f"d{n}", seed) for n in range(doors)]
            every_s = len(terminals) / (RATE * scale)
            asking = [asyncio.create_task(one.run(gateway.address, every_s)) for one in terminals]
            coming = asyncio.create_task(library.come_and_go(there, here_s, away_s))
            await asyncio.wait(asking, timeout=cycles * (here_s + away_s))
            coming.cancel()
            await library.come_back(there)
            scene.is_over = True
            for end in await asyncio.gather(*asking, return_exceptions=True):
                report.expect(end is None, f"a terminal gave up: {end!r}")
            await _is_on_line_again(gateway, report)
            report.expect(await gateway.stop() == 0, "the gateway did not stop cleanly")
    judge(scene)
    report.numbers |= {**scene.told, "longest_ms": round(scene.longest_s * 1000)}
    return report


async def _is_on_line_again(gateway: GatewayProcess, report: Report) -> None:
    kiosk = await gateway.terminal("k0")
    try:
        async with asyncio.timeout(BACK_S):
            while not (await kiosk.ask("9900302.00")).startswith("98Y"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        report.expect(False, "98 does not say that the library system is back")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="away", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        server = running_server(durable=True) if options.postgresql else nullcontext()
        with server as database:
            url = database.url(database.make_database()) if database is not None else URL
            times = {"cycles": max(2, round(options.minutes * 60 / 90)), "here_s": 60, "away_s": 30}
            proving = prove(Path(name), **times, url=url, seed=options.seed)
            status = asyncio.run(proving).tell()
    with tempfile.TemporaryDirectory() as name:
        return status | asyncio.run(brownout.prove(Path(name), pairs=brownout.PAIRS)).tell()
