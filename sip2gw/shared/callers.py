"""Limits how fast an address can guess passwords (C100).

Two passwords of an address are hashed at a time. A wrong one keeps its place while its answer is
held back. So an address that guesses gets only a few passwords judged, however many lines it opens;
the others are refused without being judged.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable

from msgspec import Struct, field

FAILURES_WINDOW_S = 300.0
"""How long a failed login counts against its address."""

DELAY_STEPS_MAX = 3
"""Each failure holds the answer back longer, up to this many times `login_backoff_s`."""

JUDGED_AT_ONCE_MAX = 2
"""Passwords of one address that are being hashed, or whose answer is held back, at a time."""

ADDRESSES_MAX = 10_000
IPV6_SITE_BITS = 64
"""A provider gives each customer a whole network of this size; it counts as one address."""


def neighbourhood(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 network of `IPV6_SITE_BITS`."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, IPV6_SITE_BITS), strict=False))


class _Caller(Struct):
    """An address that logs in."""

    failures: deque[float] = field(default_factory=lambda: deque(maxlen=DELAY_STEPS_MAX))
    """The times of the latest failed logins."""
    judged: int = 0
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)


class AddressGuard:
    """Grants an address its few places for having a password judged (C100)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    async def take_place(self, address: str) -> bool:
        """Wait for a place; False if the address must try again later.

        An address with recent failures is refused at once while its places are taken. After True,
        give the place back with `leave_place`.
        """
        caller = self._caller(address)
        if caller.judged < JUDGED_AT_ONCE_MAX:
            caller.judged += 1
            return True
        if self._failed_lately(caller):
            return False
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        caller.waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave_place(address)
            raise

    def leave_place(self, address: str) -> None:
        """Give a place back, or pass it on to the next in line."""
        caller = self._caller(address)
        while caller.waiting:
            turn = caller.waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        caller.judged -= 1

    async def note_failure(self, address: str, step_s: float) -> float:
        """Count a failed login, and refuse all that wait for a place at `address`.

        Returns:
            Seconds for which to hold back the answer: `step_s` for each recent failure.
        """
        caller, now = self._caller(address), self._monotonic()
        while caller.failures and now - caller.failures[0] >= FAILURES_WINDOW_S:
            caller.failures.popleft()
        caller.failures.append(now)
        for turn in caller.waiting:
            if not turn.done():
                turn.set_result(False)
        caller.waiting.clear()
        return step_s * len(caller.failures)

    def _failed_lately(self, caller: _Caller) -> bool:
        failures = caller.failures
        return bool(failures) and self._monotonic() - failures[-1] < FAILURES_WINDOW_S

    def _caller(self, address: str) -> _Caller:
        key = neighbourhood(address)
        caller = self._callers.get(key)
        if caller is None:
            self._make_room()
            caller = self._callers[key] = _Caller()
        self._callers.move_to_end(key)
        return caller

    def _make_room(self) -> None:
        """Forget the address unseen for the longest time, but none with a place taken."""
        if len(self._callers) < ADDRESSES_MAX:
            return
        for key, caller in self._callers.items():
            if not caller.judged:
                del self._callers[key]
                return
