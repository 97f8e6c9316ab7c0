"""A worker's lines, which the parent knows as well: take-over and caps (B14, C8, C101, C102)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from sip2gw.shared.connected import HEARD_WITHIN_S, Connected, Replacements
from sip2gw.shared.doorkeeper import Doorkeeper
from sip2gw.shared.together.courier import Courier
from sip2gw.shared.together.messages import (
    Joined,
    Left,
    Parted,
    Recognised,
    Replace,
    Replaced,
    Settled,
)


class Line(Protocol):
    """What of a terminal's line matters here."""

    number: int

    @property
    def address(self) -> str:
        """Its peer's."""

    def at_rest(self) -> asyncio.Future[None]:
        """Done when no request is under way any more; asked of a line that is to close."""


L = TypeVar("L", bound=Line)


class JointLines(Connected[L]):
    """The lines of this worker; the parent says which have to go."""

    def __init__(self, courier: Courier, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._courier = courier
        self._monotonic = monotonic
        self._open: dict[int, L] = {}
        self._unsettled: dict[int, tuple[float, asyncio.Future[None]]] = {}
        """When each line joined that may not begin yet, and what ends its wait."""
        self._leaving: dict[str, list[asyncio.Future[None]]] = {}
        """The requests on lines that were replaced meanwhile, by terminal."""

    def join(self, terminal: str, line: L, allowed: int) -> Sequence[L]:
        """See `Connected`; which lines have to go comes from the parent."""
        super().join(terminal, line, 0)
        self._open[line.number] = line
        now_s = self._monotonic()
        self._unsettled[line.number] = (now_s, asyncio.get_running_loop().create_future())
        self._courier.tell(Joined(terminal, line.number, line.address, now_s, allowed))
        return ()

    def settled(self, line: L) -> asyncio.Future[None] | None:
        """See `Connected`; the line's deadline bounds the wait if another worker is stuck."""
        _, settled = self._unsettled.get(line.number, (0, None))
        return settled

    def leave(self, terminal: str, line: L) -> None:
        """See `Connected`."""
        super().leave(terminal, line)
        if self._open.pop(line.number, None) is not None:
            self._settle(line.number)  # a line that is held can close now
            self._courier.tell(Parted(terminal, line.number))

    def take_settled(self, told: Settled) -> None:
        """Nothing that happened before the login is under way any more."""
        joined_s, _ = self._unsettled.get(told.line, (0, None))
        if told.at_s == joined_s:  # not that of an earlier login on the same line
            self._settle(told.line)

    def _settle(self, number: int) -> None:
        _, settled = self._unsettled.pop(number, (0, None))
        if settled is not None and not settled.done():
            settled.set_result(None)

    def take_replace(self, told: Replace) -> None:
        """A terminal has logged in once more: an older line has to go."""
        line = self._open.get(told.line)
        if line is None or line not in self.of(told.terminal):
            return  # it has ended, or is another terminal's now
        self.on_replaced(told.terminal, line, told.address)
        leaving = (*self._leaving.get(told.terminal, ()), line.at_rest())
        self._leaving[told.terminal] = [rest for rest in leaving if not rest.done()]

    def come_to_rest(self, terminal: str) -> Awaitable[object]:
        """Wait for the requests of `terminal` on lines that were replaced until now.

        Not for those that will be: workers would wait for each other.
        """
        return asyncio.gather(*self._leaving.get(terminal, ()))


class JointReplacements(Replacements):
    """The parent counts them, and tells who shares a login."""

    def __init__(self, courier: Courier) -> None:
        super().__init__()
        self._courier = courier

    def note(
        self, terminal: str, last_heard: float, now: float, addresses: Sequence[str] = ()
    ) -> bool:
        """See `Replacements`; never True, because the parent reports it."""
        if now - last_heard <= HEARD_WITHIN_S:
            self._courier.tell(Replaced(terminal, list(addresses), now))
        return False


class JointDoorkeeper(Doorkeeper):
    """The parent has let in whoever comes, and counts; it hears here who goes."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    def take_place(self) -> bool:
        """The parent has taken it."""
        return True

    def leave_place(self) -> None:
        """See `leave`: a line here has always entered."""

    def obstacle(self, address: str) -> str:
        """The parent would not have handed the line over."""
        return ""

    def enter(self, address: str) -> None:
        """The parent has counted it."""

    def recognise(self, address: str) -> None:
        """See `Doorkeeper`."""
        self._courier.tell(Recognised(address))

    def leave(self, address: str, *, stranger: bool) -> None:
        """See `Doorkeeper`."""
        self._courier.tell(Left(address, stranger))
