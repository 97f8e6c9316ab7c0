"""What workers and their parent tell and ask each other about what they share (B87, C131).

Times are those of the monotonic clock, which is the same for all processes of a machine. Nothing
here shows in a `repr`: cards, names and PINs belong on no page and in no log (B16).
"""

from __future__ import annotations

import msgspec

from sip2gw.protocol.structs import Opaque


class Message(Opaque, msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A message; those of a worker go to the parent and, where it says so, on to the others."""


# Lines -----------------------------------------------------------------------------------------


class Joined(Message, frozen=True):
    """A terminal became known on a line; answered with `Settled` (B14, C8)."""

    terminal: str
    line: int
    """Its number at the worker."""
    address: str
    at_s: float
    allowed: int
    """How many lines the terminal may have; 0 is any number."""


class Parted(Message, frozen=True):
    """That line has ended, or belongs to another terminal now."""

    terminal: str
    line: int


class Settled(Message, frozen=True):
    """To the worker: whatever happened elsewhere before this login has been told."""

    line: int
    at_s: float
    """Of the login."""


class Replace(Message, frozen=True):
    """To the worker: close this line after the request in progress."""

    terminal: str
    line: int
    address: str
    """Of the newer line."""


class Replaced(Message, frozen=True):
    """A line that was in use was replaced (C102)."""

    terminal: str
    addresses: list[str]
    at_s: float


class Recognised(Message, frozen=True):
    """A stranger's line has logged in."""

    address: str


class Left(Message, frozen=True):
    """A line has ended."""

    address: str
    stranger: bool


# Guesses ---------------------------------------------------------------------------------------


class PlaceLeft(Message, frozen=True):
    """A password of this address has been judged (C100)."""

    address: str


class GuessEnded(Message, frozen=True):
    """A guess at a PIN has been judged (C99)."""

    guess: int


class TurnOver(Message, frozen=True):
    """Nobody at this worker guesses at the PIN of these patrons any more."""

    names: list[str]


class PinFailed(Message, frozen=True):
    """A PIN has failed at a terminal: is it the one that reaches the limit? To the others (C19)."""

    terminal: str
    failures_max: int
    window_s: float
    at: float
    """Seconds of the wall clock."""


class PinsFailed(Message, frozen=True):
    """To a new worker: all that have failed at a terminal."""

    terminal: str
    failures_max: int
    at: list[float]


class Unwritten(Message, frozen=True):
    """So many more failures of a patron wait to be written, or none (0) any more; to the others."""

    name: str
    change: int
    until: float
    """Seconds of the wall clock."""


# Doors -----------------------------------------------------------------------------------------


class PassagesChanged(Message, frozen=True):
    """Passages have begun or ended; to the others (B41)."""

    changes: bytes
    """A list of `PassageChange`, sealed: the parent passes it on unread."""


class Led(Message, frozen=True):
    """A head of family was admitted where children may follow; to the others (C142)."""

    terminal: str
    children: list[str]
    card: str
    badges: list[str]
    at_s: float


class Admitted(Message, frozen=True):
    """A patron was admitted at a door that may have to decide alone; to the others (B40)."""

    patron_id: str
    terminal: str
    card: str
    at_s: float
    record: bytes
    """Sealed."""


class AdmittedAgain(Message, frozen=True):
    """Patrons of whom everybody knows the same already were admitted; to the others (B40)."""

    admissions: list[tuple[str, str, str, float]]
    """Patron, door, card and time of each."""


class Seen(Message, frozen=True):
    """This is known now of a patron who was admitted; to the others (C110)."""

    patron_id: str
    at_s: float
    record: bytes


class PinSeen(Message, frozen=True):
    """What a PIN of such a patron was worth; to the others (C110)."""

    patron_id: str
    right: bool


class Refused(Message, frozen=True):
    """A patron was refused for what they are: earlier admissions count nowhere; to the others."""

    patron_id: str
    at_s: float


class KnownPatron(Message, frozen=True):
    """All that is remembered of a patron who was admitted: to a new worker, or to the others."""

    patron_id: str
    at_s: float
    record: bytes
    admitted: list[tuple[str, str, float]]
    """Door, card and time of each."""
    wrong_pins: int


Telling = (
    Joined
    | Parted
    | Settled
    | Replace
    | Replaced
    | Recognised
    | Left
    | PlaceLeft
    | GuessEnded
    | TurnOver
    | PinFailed
    | PinsFailed
    | Unwritten
    | PassagesChanged
    | Led
    | Admitted
    | AdmittedAgain
    | Seen
    | PinSeen
    | Refused
    | KnownPatron
)


# Questions -------------------------------------------------------------------------------------


class TakePlace(Message, frozen=True):
    """May a password of this address be judged? The answer may take its time (C100)."""

    address: str


class LoginFailed(Message, frozen=True):
    """A login has failed; for how many seconds is its answer to be held back?"""

    address: str
    step_s: float


class BeginGuess(Message, frozen=True):
    """Begin a guess at a terminal; the answer is its number, when it may be judged (C99)."""

    terminal: str
    failures_max: int
    window_s: float
    now: float


class TakeTurn(Message, frozen=True):
    """Nobody else is to guess at the PIN of these patrons; answered when nobody does (B20)."""

    names: list[str]


class Settle(Message, frozen=True):
    """To a worker that had lines of this terminal: answer when its requests on lines that were
    replaced have ended."""

    terminal: str


Question = TakePlace | LoginFailed | BeginGuess | PinFailed | TakeTurn | Settle


# On the link -----------------------------------------------------------------------------------


class Told(Opaque, msgspec.Struct, frozen=True, tag=True):
    """Everything that one side had to say since the last time, in order."""

    messages: list[Telling]
    """They are sent as `msgspec.Raw`: each is written once, for however many workers."""


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A question."""

    question: Question


class Answered(msgspec.Struct, frozen=True, tag=True):
    """Its answer: yes or no, a number of seconds, or the number of a guess."""

    value: float = 0
