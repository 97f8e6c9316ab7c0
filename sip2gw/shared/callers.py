"""The addresses that log in, and what a wrong password costs them (C100).

Of one address two passwords are hashed at a time, and once one of them was wrong its place stays
taken while the answer is held back: an address that guesses has a few passwords judged, however
many lines it opens, and the rest is refused without being judged.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

FAILURES_WINDOW_S = 300.0
"""How long a failed login counts against its address."""

DELAY_STEPS_MAX = 3
"""The answer is held back longer with each failure, up to this many times `login_backoff_s`."""

JUDGED_AT_ONCE_MAX = 2
"""Passwords of one address that are hashed, or whose wrong answer is held back, at a time."""

ADDRESSES_MAX = 10_000
IPV6_SITE_BITS = 64
"""One customer of a provider gets a whole network of this size; to us it is one address."""


def neighbourhood(address: str) -> str:
    """The unit that counts as one address: an IPv4 address, or an IPv6 network of
    `IPV6_SITE_BITS`.
    """
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, IPV6_SITE_BITS), strict=False))


@dataclass(slots=True)
class _Caller:
    """One address that logs in."""

    failures: deque[float] = field(default_factory=lambda: deque(maxlen=DELAY_STEPS_MAX))
    """The times of the newest failed logins of the last minutes."""
    judged: int = 0
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)


class AddressGuard:
    """Hands out the few places in which an address may have a password judged (C100)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._callers: OrderedDict[str, _Caller] = OrderedDict()

    async def take_place(self, address: str) -> bool:
        """Wait for a place; False when the address has to come again.

        It is refused at once while failures of the last minutes are held against it and its places
        are taken. Whoever gets True gives the place back with `leave_place`.
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
        """Let the next one in."""
        caller = self._caller(address)
        while caller.waiting:
            turn = caller.waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        caller.judged -= 1

    def note_failure(self, address: str, step_s: float) -> float:
        """Count a failed login, and send away who waits at `address` for a place.

        Returns:
            Seconds by which the answer is to be held back; `step_s` for each recent failure.
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
        """Forget who has not come for longest, but nobody whose place is taken."""
        if len(self._callers) < ADDRESSES_MAX:
            return
        for key, caller in self._callers.items():
            if not caller.judged:
                del self._callers[key]
                return
