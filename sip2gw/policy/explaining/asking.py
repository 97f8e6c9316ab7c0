"""What people ask `explain`, and whether that makes sense (B70)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from enum import StrEnum
from ipaddress import ip_address

from msgspec import Struct

from sip2gw.policy.moments import read_start
from sip2gw.protocol.structs import Discreet, Hidden


class Message(StrEnum):
    """The message that a terminal asks with."""

    PATRON_STATUS = "23"
    PATRON_INFORMATION = "63"
    CHECKOUT = "11"
    CHECKIN = "09"
    RENEWAL = "29"
    HOLD = "15"


_ABOUT_ITEMS = (Message.CHECKOUT, Message.CHECKIN, Message.RENEWAL, Message.HOLD)


class WrongQuestionError(Exception):
    """Nothing can be explained; the text says why."""


class Wanted(Discreet, Struct, frozen=True):
    """What is to be explained."""

    terminal: str
    card: Hidden[str] = ""
    message: Message | None = None
    at: str | None = None
    item: str = ""
    address: str | None = None

    def insist(self, named: Callable[[str], str] = str) -> None:
        """Go on only if it makes sense; `named` says what its parts are called.

        Raises:
            WrongQuestionError: it does not.
        """
        message, item = named("message"), named("item")
        if self.message in _ABOUT_ITEMS and not self.item:
            raise WrongQuestionError(f"{message} {self.message} needs {item}")
        if self.item and self.message is not None and self.message not in _ABOUT_ITEMS:
            raise WrongQuestionError(f"{message} {self.message} is about no item; leave {item} out")
        if self.address is not None and not _is_ip(self.address):
            raise WrongQuestionError(f"{named('address')} {self.address} is no IP address")
        if self.at is not None and (problem := _problem_of_moment(self.at)):
            raise WrongQuestionError(f"{named('at')} {self.at}: {problem}")
        if not self.card and self.message is not Message.CHECKIN:
            raise WrongQuestionError(f"{named('card')} is needed for every message but 09")


def _problem_of_moment(text: str) -> str:
    try:
        read_start(text, UTC)
    except ValueError as error:
        return str(error)
    return ""


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
