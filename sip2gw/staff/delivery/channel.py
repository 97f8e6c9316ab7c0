"""What a channel is: it hands one letter over, or says why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from sip2gw.model.notices import Channel
from sip2gw.protocol.structs import Discreet, Hidden

ANSWER_S = 30.0
"""How long the other side has for each of its answers."""
ATTEMPT_S = 90.0
"""How long one attempt may take in all; shorter than a lease."""


class Letter(Discreet, Struct, frozen=True):
    """A notice in words, ready to be handed over."""

    id: str
    """The same at each attempt."""
    kind: str
    patron_id: Hidden[str]
    to: Hidden[str | None]
    """An address that e-mail can be sent to."""
    language: str
    subject: Hidden[str]
    text: Hidden[str]
    values: Hidden[Mapping[str, str]]
    created: datetime
    message_id: str
    """The same at each attempt, too."""


class NotTakenError(Exception):
    """A letter was not handed over, or nobody knows; the text names nobody.

    `reachable`: only this letter was refused, others need not wait.
    """

    def __init__(self, problem: str, *, reachable: bool = False) -> None:
        super().__init__(problem)
        self.reachable = reachable


class DeliveryChannel(Protocol):
    """A way to hand letters over."""

    @property
    def kind(self) -> Channel:
        """Which one it is."""
        ...

    @property
    def domain(self) -> str:
        """Behind the @ of the Message-ID of new letters."""
        ...

    async def deliver(self, letter: Letter) -> None:
        """Hand `letter` over; it returns only when the other side has taken it.

        Raises:
            NotTakenError: it has not, or nobody knows.
        """
        ...
