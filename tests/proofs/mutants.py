"""Does a test notice when the rules, the handlers, the protocol or the ledger are spoiled?

Mutants are copies of the program with one place changed: `<` becomes `<=`, `and` becomes `or`, a
number is one more, two arguments change places, a statement is gone. They are drawn with a seed,
all places alike, and each is judged by the tests nearest to it, and if those see nothing, by all
that concern the four. A mutant that no test notices is told, unless `SAME` says why it changes
nothing. The same seed on the same source draws the same mutants, and fewer are the first of more.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proofs.places import Place, places
from proofs.report import Report

ROOT = Path(__file__).parents[2]
SPOILED = (
    "sip2gw/policy",
    "sip2gw/handlers",
    "sip2gw/protocol",
    "sip2gw/backend/sql/money/ledger.py",
    "sip2gw/backend/sql/money/shares.py",
    "sip2gw/shared/payments.py",
    "sip2gw/daemon/chores/looking_payments.py",
)
_UPSTREAM_PAYMENTS = (
    "tests/gateway/test_upstream_payment.py",
    "tests/gateway/test_upstream_payment_waits.py",
    "tests/policy/test_upstream_payments.py",
)
_FAMILIES = (
    "tests/gateway/test_upstream_family_payments.py",
    "tests/gateway/test_upstream_family.py",
)
NEAR = (
    (
        "sip2gw/policy/upstream/payments.py",
        ("tests/policy/test_upstream_payments.py", *_UPSTREAM_PAYMENTS[:2], *_FAMILIES),
    ),
    ("sip2gw/policy/upstream/family.py", ("tests/policy/test_upstream_family.py", *_FAMILIES)),
    ("sip2gw/policy/upstream/fees.py", ("tests/policy/test_upstream_fees.py", *_FAMILIES)),
    ("sip2gw/handlers/upstream/money/family.py", _FAMILIES),
    ("sip2gw/handlers/upstream/money/payment.py", (*_UPSTREAM_PAYMENTS, *_FAMILIES)),
    ("sip2gw/handlers/upstream/money/sharing.py", (*_UPSTREAM_PAYMENTS, *_FAMILIES)),
    (
        "sip2gw/handlers/fee_lines.py",
        ("tests/gateway/test_patron.py", "tests/wire", "tests/gateway/test_options.py", *_FAMILIES),
    ),
    ("sip2gw/shared/payments.py", _UPSTREAM_PAYMENTS),
    ("sip2gw/daemon/chores/looking_payments.py", _UPSTREAM_PAYMENTS),
    (
        "sip2gw/backend/sql/money/shares.py",
        (
            "tests/backend/test_payment_journal.py",
            *_UPSTREAM_PAYMENTS,
            "tests/backend/test_shares.py",
        ),
    ),
    ("sip2gw/policy/", ("tests/policy", "tests/wire")),
    ("sip2gw/protocol/", ("tests/wire/test_examples.py", "tests/protocol", "tests/wire")),
    (
        "sip2gw/handlers/door.py",
        ("tests/gateway/test_door.py", "tests/gateway/test_door_passages.py"),
    ),
    (
        "sip2gw/handlers/entry.py",
        ("tests/gateway/test_door.py", "tests/gateway/test_door_passages.py"),
    ),
    ("sip2gw/handlers/fee.py", ("tests/wire/test_examples.py", "tests/gateway/test_payment.py")),
    ("sip2gw/handlers/refusal.py", ("tests/gateway/test_refused_payments.py",)),
    ("sip2gw/handlers/status.py", ("tests/gateway/test_session.py",)),
    ("sip2gw/handlers/repeating.py", ("tests/gateway/test_unknown.py",)),
    (
        "sip2gw/handlers/items/",
        ("tests/wire", "tests/gateway/test_circulation.py", "tests/gateway/test_holds.py"),
    ),
    ("sip2gw/handlers/vendors/", ("tests/gateway/test_dialects.py", "tests/wire")),
    (
        "sip2gw/handlers/",
        ("tests/wire", "tests/gateway/test_patron.py", "tests/gateway/test_options.py"),
    ),
    (
        "sip2gw/backend/sql/money/ledger.py",
        ("tests/backend/test_ledger.py", "tests/backend/test_sqlite_contract.py"),
    ),
)
ALL = (
    "tests/policy",
    "tests/protocol",
    "tests/wire",
    "tests/gateway",
    "tests/backend/test_ledger.py",
    "tests/backend/test_credits.py",
    "tests/backend/test_sqlite_contract.py",
)
NEAR_S = 180
ALL_S = 900
WORKERS = 2
SAME: dict[tuple[str, str], str] = {
    (
        "sip2gw/policy/money/debts.py",
        "return (max(0, paid - amount)) if paid > 0 else 0",
    ): "the larger of two numbers, whichever comes first",
    (
        "sip2gw/backend/sql/money/ledger.py",
        "lines = tuple(PaymentLine(*row[11:]) for row in rows if row[(12)] is not None)",
    ): "an entry on a fee names its debtor, too, so both columns are empty together",
    (
        "sip2gw/protocol/codec.py",
        "return None instead of return not isinstance(place, Group) and bool(place.width)"
        " and place.codec is not TIMESTAMP",
    ): "it chooses what is remembered together, which costs time and changes no byte",
    (
        "sip2gw/protocol/codec.py",
        "return None instead of return place.codec is TEXT"
        " and not (place.width or place.repeated or hidden)",
    ): "it chooses the quick way of writing, which costs time and changes no byte",
    (
        "sip2gw/protocol/encoding.py",
        '_TEXT_ENCODINGS = {name: TextEncoding(name, 4 if name == "utf-8" else (2))'
        " for name in ENCODINGS}",
    ): "a longer text is measured where it need not be, which costs time and changes no byte",
    (
        "sip2gw/policy/hours/calendar.py",
        "minutes_low, minutes_high = (1), DAY_MIN",
    ): "no zone has changed its clocks in the first minute of a day of UTC since 1915",
    (
        "sip2gw/policy/members/memberships.py",
        "now, number, amount = self._now, fee_id(self._now.id, day), terms.fee or (-1)",
    ): "a period without a fee is not invoiced, and the amount not looked at",
}
"""File and change, as `change` tells it: why that changes nothing."""


Found = Literal["noticed", "timed out", "SURVIVED"]
"""What became of a mutant; a test run that does not end has noticed it."""


@dataclass(frozen=True)
class Mutant:
    """A file with one place changed."""

    file: str
    line: int
    before: str
    after: str
    change: str
    source: bytes

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before} -> {self.after}"


def files(names: Sequence[str] = SPOILED) -> list[str]:
    """The files that are spoiled: those of these names, and all in the directories of these."""
    found = [p for name in names for p in ((ROOT / name).rglob("*.py"), [ROOT / name])]
    flat = {path for paths in found for path in paths if path.is_file()}
    return sorted(str(path.relative_to(ROOT)) for path in flat)


def change(source: bytes, place: Place, after: str) -> str:
    """The line as it becomes, which tells one `1` from another; a whole statement beside what
    stood there."""
    start, stop = source.rfind(b"\n", 0, place.start) + 1, source.find(b"\n", place.end)
    parts = source[start : place.start], after.encode(), source[place.end : stop]
    line = " ".join(b"".join(parts).decode().split())
    before = " ".join(source[place.start : place.end].decode().split())
    return f"{line} instead of {before}" if line == after else line


def drawn(seed: str, count: int, names: Sequence[str] = SPOILED) -> list[Mutant]:
    """So many mutants, each of another place in these files and directories."""
    chance = random.Random(seed)
    everywhere = [
        (file, place) for file in files(names) for place in places((ROOT / file).read_bytes())
    ]
    chance.shuffle(everywhere)
    mutants = []
    for file, place in everywhere[:count]:
        source = (ROOT / file).read_bytes()
        after = place.choices[int(chance.random() * len(place.choices))]
        changed = source[: place.start] + after.encode() + source[place.end :]
        before = " ".join(source[place.start : place.end].decode().split())
        mutants.append(
            Mutant(file, place.line, before, after, change(source, place, after), changed)
        )
    return mutants


def near(file: str) -> list[str]:
    """The tests of a file, the nearest first."""
    tests = next(tests for prefix, tests in NEAR if file.startswith(prefix))
    own = f"{tests[0]}/test_{Path(file).stem}.py"
    return ([own] if (ROOT / own).exists() else []) + list(tests)


def copied(directory: Path) -> Path:
    """A copy of the program and its tests, compiled."""
    leave = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", ".hypothesis")
    shutil.copytree(ROOT, directory, ignore=leave)
    compileall.compile_dir(directory / "sip2gw", quiet=1)
    return directory


def tried(tree: Path, tests: list[str], seconds: int, *options: str) -> Found:
    """What these tests find."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "unshrunk"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "tests" / "support")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        ended = subprocess.run(
            [*command, *options, *tests],
            cwd=tree,
            env=environment,
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return "timed out"
    return "noticed" if ended.returncode else "SURVIVED"


def judge(mutant: Mutant, trees: queue.SimpleQueue[Path], quick: bool) -> Found:
    """What the nearest tests find, and all others where those find nothing."""
    tree = trees.get()
    path = tree / mutant.file
    original = path.read_bytes()
    path.write_bytes(mutant.source)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    try:
        nearest, *others = near(mutant.file)
        found = tried(tree, [nearest], NEAR_S)
        if found == "SURVIVED" and others:  # collecting these takes longer than running the nearest
            found = tried(tree, others, NEAR_S)
        if found == "SURVIVED" and not quick:
            found = tried(tree, list(ALL), ALL_S, "-n", "2")
        return found
    finally:
        path.write_bytes(original)
        trees.put(tree)


def judged(mutants: list[Mutant], directory: Path, quick: bool) -> list[Found]:
    """What was found about each; told as it is found."""
    trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(min(WORKERS, len(mutants))):
        trees.put(copied(directory / str(number)))

    def one(mutant: Mutant) -> Found:
        found = judge(mutant, trees, quick)
        sys.stderr.write(f"{found} {mutant}\n")
        return found

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, mutants))


def mutants(seed: str, count: int, skip: int, quick: bool, names: Sequence[str]) -> Report:
    """Draw and judge them."""
    report = Report("mutants")
    chosen = drawn(seed, count, names)[skip:]
    meant = [m for m in chosen if (m.file, m.change) not in SAME]
    with tempfile.TemporaryDirectory() as name:
        found = judged(meant, Path(name), quick)
    report.numbers = {
        "seed": seed,
        "mutants": len(chosen),
        "noticed": found.count("noticed"),
        "timed_out": found.count("timed out"),
        "change_nothing": len(chosen) - len(meant),
    }
    for mutant, what in zip(meant, found, strict=True):
        report.expect(what != "SURVIVED", f"no test notices {mutant}")
    return report


def head() -> str:
    """The hash of the commit that is checked out."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python tests/proofs mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--skip", type=int, default=0, help="leave out the first so many")
    parser.add_argument("--seed", help="the hash of a commit; that of HEAD without it")
    parser.add_argument("--quick", action="store_true", help="only the nearest tests")
    parser.add_argument(
        "names", nargs="*", help="files and directories; without any, all of the four"
    )
    options = parser.parse_args(arguments)
    seed, names = options.seed or head(), options.names or SPOILED
    return mutants(seed, options.count, options.skip, options.quick, names).tell()
