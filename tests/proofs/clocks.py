"""Whatever the clocks of the terminals say, each yes is so, and nothing is done twice for a retry.

Readers borrow, renew, reserve, return and cancel at terminals whose clocks stand still, count
minutes, jump to and fro, or run backward, so that requests that mean something new look like
repetitions of old ones, and the other way round; every request may be repeated, too. Each step is
put to SQLite, to PostgreSQL and to a model of the rules (`tests/backend/desk_model.py`).

Shown (B56-B61, C69, C88, C97): each answer is the one of the model; what was told before is told
again exactly while it is so, else judged afresh; right after each yes the store says the same; and
all loans, queues, places and debts are those of the model.
"""

import argparse

from backend.desk_machine import ClockMachine, play
from backend.desk_scene import AFRESH, MET
from postgres import Server, running_server

from proofs.report import Report

STEPS = 20_000
ENOUGH_FOR_ALL = 10_000
"""A run of so many steps must have come across everything."""


def prove(server: Server, *, steps: int, seed: int) -> Report:
    """Play at least so many steps on both stores.

    Args:
        server: where the PostgreSQL databases are made.
        steps: at least so many.
        seed: of what is random.
    """
    report = Report("clocks")
    try:
        done = play(ClockMachine, server, steps, seed)
    except AssertionError as error:
        report.failures += [str(error), *getattr(error, "__notes__", ())]
        return report
    afresh = {what: number for what, number in done.items() if what.endswith("afresh")}
    missing = (MET | AFRESH) - done.keys() if steps >= ENOUGH_FOR_ALL else set()
    report.expect(not missing, f"not met: {sorted(missing)}")
    report.numbers |= {
        "steps": done["steps"],
        "done": sum(number for what, number in done.items() if what.endswith("done")),
        "repeated": done["repeated"],
        "judged_afresh": sum(afresh.values()),
    }
    return report


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="clocks", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"at least (default {STEPS})")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with running_server() as server:
        return prove(server, steps=options.steps, seed=options.seed).tell()
