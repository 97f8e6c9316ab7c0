"""A door's decision for who asks without SIP2: a door controller that speaks HTTP (C140).

The door's own handler decides, as for a door that has just logged in and asks for the first time.
So the decision, its row in the door log, the count of wrong PINs, passages, metrics and the
request's line in the log are those of SIP2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from sip2gw.foundation.eager import Suspended, start
from sip2gw.handlers import Answer, Session, TerminalView
from sip2gw.policy.reasons import Reason
from sip2gw.protocol.codec import parse_request_body, serialise
from sip2gw.protocol.encoding import is_exact
from sip2gw.protocol.line.connection import ServerConnection
from sip2gw.protocol.messages import PatronInformation, PatronStatusRequest, Request
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.timestamps import write_timestamp
from sip2gw.serving.conversation import Conversation
from sip2gw.serving.gateway import Gateway
from sip2gw.serving.rights import NOT_ALLOWED
from sip2gw.serving.site import KnownTerminal

NO_CONNECTION = 0
"""In place of a connection's number in the log."""

_TOLD = frozenset({*Reason, NOT_ALLOWED.reason})
"""Reasons that a controller is told; whatever else went wrong is `system`, as in the door log."""

_ASKS = (PatronInformation, PatronStatusRequest)
"""By default the first that the door may send, as in `explain`."""


class UndecidedError(Exception):
    """The question cannot be put to this door; the text says why."""


class Presented(Discreet, Struct, frozen=True):
    """Who wants to pass."""

    card: Hidden[str]
    pin: Hidden[str | None]
    direction: Literal["in", "out"] | None = None
    """As the controller understands it; None: as the door is configured."""


class Verdict(Struct, frozen=True):
    """What the door does."""

    granted: bool
    reason: str
    """A reason of B39, or `not_allowed`: the terminal may not ask."""
    text: str
    """For whoever stands there; it may say less than the reason (C99)."""


def decide(
    gateway: Gateway, known: KnownTerminal, presented: Presented, tell: Callable[[Verdict], None]
) -> None:
    """Decide about `presented` at the door `known`, and `tell` the verdict, now or later.

    Raises:
        UndecidedError: it is no door, it leads the other way, or a SIP2 door could not ask so.
    """
    door = known.view
    request = _request(gateway, door, presented)
    session = Session(gateway.services, door)
    link = ServerConnection(door.wire)
    conversation = Conversation(NO_CONNECTION, "", link, session=session, known=known)
    started = gateway.clock.monotonic()

    def finish(answer: Answer | asyncio.CancelledError) -> None:
        # A late request is answered, too; only a terminal that hangs up gets no answer.
        assert isinstance(answer, Answer)
        gateway.observe(conversation, request.code, answer, started)
        tell(_verdict(answer))

    running = start(gateway.answer(conversation, request, gated=False))
    if not isinstance(running, Suspended):
        finish(running)
        return
    limit_s = gateway.site.config.server.request_timeout_s
    late = asyncio.get_running_loop().call_later(limit_s, running.cancel)

    def ended(answer: Answer | asyncio.CancelledError) -> None:
        late.cancel()
        finish(answer)

    running.go_on(ended)


def _request(gateway: Gateway, door: TerminalView, presented: Presented) -> Request:
    """What the door would send, read as it would be read.

    Raises:
        UndecidedError: there is nothing that it could send.
    """
    if not door.is_door or door.is_observed:
        raise UndecidedError(
            'the terminal is no door that decides: name one whose profile has kind = "door" and'
            " is not only observed"
        )
    leads = door.door_manner.direction
    if presented.direction not in (None, leads):
        raise UndecidedError(
            f"the door leads {leads}; name the one that leads {presented.direction}"
        )
    card, pin, text = presented.card, presented.pin, door.wire.text
    if not is_exact(card, text) or not is_exact(pin or "", text):
        raise UndecidedError("card or PIN have characters that no terminal can send here")
    kind = next((kind for kind in _ASKS if kind.code in door.messages), _ASKS[0])
    now = write_timestamp(gateway.clock.now(door.zone))
    sent = kind(
        transaction_date=now,
        institution_id=door.institution_id,
        patron_identifier=card,
        patron_password=pin,
    )
    return parse_request_body(serialise(sent, door.wire), door.wire)


def _verdict(answer: Answer) -> Verdict:
    reason = answer.reason if answer.reason in _TOLD else Reason.SYSTEM
    text = " ".join(getattr(answer.response, "screen_message", ()))
    return Verdict(reason == Reason.GRANTED, str(reason), text)
