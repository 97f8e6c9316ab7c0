"""What the gateway remembers between requests and between terminals.

Each process owns one `SharedState`. If a gateway has several workers, each part is either *shared*
(one truth for all workers), *copied* (each worker tells the others what changes, by way of the
parent) or *partitioned* (each worker has its own). Each part says which, and why. What is shared or
copied has a worker's side with the same methods (`together/worker.py`) and the parent's truth
(`together/parent.py`); a gateway of one process has neither.

Everything else may belong to a single worker: caches of the store (snapshots, and PINs and
passwords that were right), data that waits to be written, and counters, which are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sip2gw.shared.answers import ShownAnswers
from sip2gw.shared.callers import AddressGuard
from sip2gw.shared.connected import Connected, Replacements
from sip2gw.shared.door_memory import Admissions, Passages
from sip2gw.shared.door_questions import DoorQuestions
from sip2gw.shared.doorkeeper import Caps, Doorkeeper
from sip2gw.shared.journal import JournalSeen
from sip2gw.shared.payments import Payments
from sip2gw.shared.pin_guesses import PinGuesses
from sip2gw.shared.sendings import Sendings
from sip2gw.shared.today import Today


class SharedState:
    """Created once by the process, which hands each part to its users.

    Args:
        limits: returns the caps as they are configured now.
        monotonic: returns seconds that only grow, the same in all processes of a machine.
    """

    def __init__(self, limits: Callable[[], Caps], monotonic: Callable[[], float]) -> None:
        self.passages = Passages()
        """Copied, within moments: a door may reconnect to another worker and must continue its
        passage there. Otherwise one person would be logged, and counted inside, twice (B41). A door
        that logs in at another worker waits until everything is there (see `connected`)."""
        self.admissions: Admissions = Admissions()
        """Copied: a block or a wrong PIN that the gateway sees at any terminal must count at every
        door in an emergency. Otherwise a blocked patron could enter through another door (C110).
        The admission itself may come a moment later."""
        self.door_questions = DoorQuestions()
        """Partitioned: only a gateway in front of a library system has any, and that has one
        process. The same holds for the next three (C122)."""
        self.journal = JournalSeen()
        """It says what the last look at the store has shown, for when that fails."""
        self.sendings = Sendings()
        self.payments = Payments()
        """A terminal that reconnects must not have its loan sent up twice (B79)."""
        self.pin_guesses = PinGuesses()
        """Shared: the parent says when a guess may begin, and counts a failure before its answer
        leaves. Otherwise a terminal that keeps reconnecting would have the limit once at each
        worker (C19), and a patron be guessed at by all workers at the same time (C99). Each worker
        has a copy of the failures, to know which answers come late. The store counts the failures
        of a *patron*. What it could not count, each worker keeps until it can be written, and the
        others have a copy of the number, so that they lock the patron as well."""
        self.answers = ShownAnswers()
        """Partitioned: the store hears within a second or so what a worker has shown. Until then
        another worker may show it again (C145)."""
        self.today = Today()
        """Partitioned: each worker asks the store itself (C139)."""
        self.callers = AddressGuard(monotonic)
        """Shared: the parent has the places. An address can reach each worker by reconnecting, and
        would have more passwords judged the more workers there are (C100)."""
        self.doorkeeper = Doorkeeper(limits)
        """Shared: the parent lets in and counts; workers tell who has logged in or left (B14)."""
        self.connected: Connected[Any] = Connected()
        """Shared: a terminal that logs in at one worker replaces its line at another. The lines
        stay with their workers; the parent knows which worker has one, and in which order they
        logged in (B14, C8). It also says when a terminal that comes from another worker may begin:
        when whatever was running for it there has ended, and has been told."""
        self.replacements = Replacements()
        """Shared, like `connected`: two machines with one login may reach two workers (C102)."""
