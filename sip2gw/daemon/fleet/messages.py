"""What a parent and a worker tell and ask each other about connections and the configuration.

On the same link goes what workers share (`shared/together`). Operators' requests go over the
worker's control channel (`control/messages.py`), as in a gateway of one process.
"""

from __future__ import annotations

import msgspec

from sip2gw.shared.together.messages import Answered, Asked, Told


class Message(msgspec.Struct, frozen=True, tag=True):
    """A message."""


class Serving(Message, frozen=True):
    """From a worker: connections may come."""

    store_works: bool


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


class Look(Message, frozen=True):
    """Asked of a worker: does its loop take turns?"""


class Turn(Message, frozen=True):
    """The answer: it has just taken one."""

    store_works: bool


class Converse(Message, frozen=True):
    """To a worker: a control channel, whose descriptor comes with this."""


class HaveSpool(Message, frozen=True):
    """Asked of a worker: the gateway before this one has left, so its spool is free."""


class Done(Message, frozen=True):
    """The answer."""


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
    | Look
    | Turn
    | Converse
    | HaveSpool
    | Done
    | Follow
    | Followed
    | End
    | Over
    | Told
    | Asked
    | Answered
)
