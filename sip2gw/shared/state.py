"""What the gateway remembers between requests and between terminals.

Each process owns one `SharedState`. If a gateway has several workers, each part is either *shared*
(one truth for all workers) or *partitioned* (each worker has its own). Each part says which, and
why. Everything else may belong to a single worker: caches of the store (snapshots, and PINs and
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
        monotonic: returns seconds that only grow.
    """

    def __init__(self, limits: Callable[[], Caps], monotonic: Callable[[], float]) -> None:
        self.passages = Passages()
        """Shared: a door may reconnect to another worker and must continue its passage there.
        Otherwise one person would be logged, and counted inside, twice (B41)."""
        self.admissions = Admissions()
        """Shared: a block or a wrong PIN that the gateway sees at any terminal must count at every
        door in an emergency. Otherwise a blocked patron could enter through another door (C110)."""
        self.door_questions = DoorQuestions()
        """Partitioned: a door that reconnects to another worker has its question asked again, which
        costs the library system one request (C122)."""
        self.pin_guesses = PinGuesses()
        """Shared are the failures; otherwise a terminal that keeps reconnecting would have the
        limit once at each worker (C19). How many guesses are judged at a time may be partitioned,
        because each worker has its own processor. The store counts the failures of a *patron*."""
        self.journal = JournalSeen()
        """Partitioned: it says what the last look at the store has shown, for when that fails."""
        self.sendings = Sendings()
        self.payments = Payments()
        """Shared: a terminal that reconnects to another worker must not have its loan sent up
        twice (B79)."""
        self.answers = ShownAnswers()
        """Partitioned: the store hears within a second or so what a worker has shown. Until then
        another worker may show it again (C145)."""
        self.today = Today()
        """Partitioned: each worker asks the store itself (C139)."""
        self.callers = AddressGuard(monotonic)
        """Shared: an address can reach each worker by reconnecting. Otherwise it would have more
        passwords judged the more workers there are (C100)."""
        self.doorkeeper = Doorkeeper(limits)
        """Partitioned are all places together: each worker has descriptors of its own, and
        `max_connections` is divided among the workers. Shared are the lines of each address,
        because their cap is one number (B14)."""
        self.connected: Connected[Any] = Connected()
        """Shared: a terminal that logs in at one worker replaces its line at another. The lines
        stay with their workers; which worker has one is shared (B14, C8)."""
        self.replacements = Replacements()
        """Shared, like `connected`: two machines with one login may reach two workers (C102)."""
