"""What a parent and a worker tell and ask each other about connections and the configuration.

What workers share among each other is in `sip2gw/shared`; operators' requests go over the worker's
control channel (`control/messages.py`), as in a gateway of one process.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A message; an address is personal data of nobody, but of no interest to a log either."""


class Serving(Message, frozen=True):
    """From a worker: connections may come."""


class Arrived(Message, frozen=True):
    """To a worker: a connection, whose descriptor comes with this. It was let in already."""

    number: int
    """Of all connections of this gateway."""
    address: str
    listener: int
    """Its place in the configuration that the gateway was started with."""
    accepted_at: float
    """On the monotonic clock, which all processes of a machine share."""


class Taken(Message, frozen=True):
    """From a worker: it has the connection. Nothing was read from one that was not taken."""

    number: int


class Recognised(Message, frozen=True):
    """From a worker: a stranger from this address has logged in."""

    address: str


class Left(Message, frozen=True):
    """From a worker: a connection from this address has ended."""

    address: str
    stranger: bool


class Look(Message, frozen=True):
    """Asked of a worker: does its loop take turns?"""


class Turn(Message, frozen=True):
    """The answer: it has just taken one."""

    store_works: bool


class Converse(Message, frozen=True):
    """To a worker: a control channel, whose descriptor comes with this."""


class Follow(Message, frozen=True):
    """Asked of a worker: put this configuration in force; its descriptor comes with this."""


class Followed(Message, frozen=True):
    """The answer: it is in force."""


class End(Message, frozen=True):
    """Asked of a worker: let the requests that run end, and end."""


class Over(Message, frozen=True):
    """The answer, when all is closed."""

    given_up: list[str]
    """What took too long."""


AnyMessage = (
    Serving
    | Arrived
    | Taken
    | Recognised
    | Left
    | Look
    | Turn
    | Converse
    | Follow
    | Followed
    | End
    | Over
)
