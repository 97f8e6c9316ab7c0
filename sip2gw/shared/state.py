"""All that requests of different terminals, or of one after the other, have in common in memory.

One process owns one of these. With several workers for one gateway each part is either *shared*,
one truth for all of them, or *partitioned*, each worker having its own; the parts say which, and
why. What is not here may be each worker's own: caches of what the store says (snapshots, PINs and
passwords that were right), what waits to be written, and numbers, which are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sip2gw.shared.answers import ShownAnswers
from sip2gw.shared.callers import AddressGuard
from sip2gw.shared.connected import Connected, Replacements
from sip2gw.shared.door_memory import Admissions, Passages
from sip2gw.shared.doorkeeper import Caps, Doorkeeper
from sip2gw.shared.pin_guesses import PinGuesses


class SharedState:
    """Made once by the process, which hands each part to those who use it.

    Args:
        limits: the caps as they are configured now.
        monotonic: seconds that only grow.
    """

    def __init__(self, limits: Callable[[], Caps], monotonic: Callable[[], float]) -> None:
        self.passages = Passages()
        """Shared: a door that connects again, perhaps to another worker, goes on with the passage
        that it began, or one person is written down, and counted inside, twice (B41)."""
        self.admissions = Admissions()
        """Shared: what any terminal shows of a patron, a block or a wrong PIN, must count at every
        door in an emergency; with parts a blocked patron gets in through another one (C110)."""
        self.pin_guesses = PinGuesses()
        """Shared as far as failures are counted, or a terminal that connects again and again has
        the limit once with each worker (C19). How many are judged at a time may be partitioned:
        the processors are the workers' own. Failures of a *patron* are counted by the store."""
        self.answers = ShownAnswers()
        """Partitioned: what a worker has shown the store hears of within a second or so, and until
        then another one may show it again (C145)."""
        self.callers = AddressGuard(monotonic)
        """Shared: an address chooses its worker by connecting again, so with parts it would have as
        many passwords judged as there are workers (C100)."""
        self.doorkeeper = Doorkeeper(limits)
        """Partitioned are the places in all, for each worker has descriptors of its own, with
        `max_connections` divided among them. Shared are the lines of an address, whose cap is one
        number (B14)."""
        self.connected: Connected[Any] = Connected()
        """Shared: a terminal that logs in with one worker replaces the line that it had with
        another. The lines stay with their worker; what is shared is who has one (B14, C8)."""
        self.replacements = Replacements()
        """Shared, like `connected`: two machines with one login may come to two workers (C102)."""
