"""PINs that a library system found right, for the time when it is away (B40, C110)."""

from __future__ import annotations

import asyncio
from collections import deque

from msgspec import Struct

from sip2gw.authentication.verification import SlowVerifier
from sip2gw.backend.base import BackendError
from sip2gw.foundation.hashing import hash_pin, verify_pin
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.shared.door_memory import Admissions

HASH_AFTER_S = 1.0
"""The door decides meanwhile: only the PIN of somebody who was admitted is hashed."""
WAITING_MAX = 200
"""PINs that wait to be hashed; more are not remembered, which costs an entry in an emergency."""


class _Seen(Discreet, Struct, frozen=True):
    patron_id: Hidden[str]
    pin: Hidden[str]
    right: bool
    due_s: float


class EmergencyPins:
    """Slow hashes of the PINs of admitted patrons, made one after the other in the background.

    A right PIN replaces what was remembered. One that was remembered and is wrong now was changed:
    it is forgotten. Between these the order is that of the answers.
    """

    def __init__(self, verifier: SlowVerifier, secret: bytes, admissions: Admissions) -> None:
        self._verifier = verifier
        self._secret = secret
        self._admissions = admissions
        self._waiting: deque[_Seen] = deque()
        self.working: asyncio.Task[None] | None = None

    def note(self, patron_id: str, pin: str, *, right: bool) -> None:
        """`pin` was found right at a door in front of an emergency, or wrong anywhere."""
        if not right and self._admissions.pin_hash(patron_id) is None and not self._waiting:
            return
        if len(self._waiting) >= WAITING_MAX:
            if not right:
                self._admissions.keep_hash(patron_id, None)  # it may be the one that was changed
            return
        due_s = self._verifier.monotonic() + HASH_AFTER_S
        self._waiting.append(_Seen(patron_id, pin, right, due_s))
        if self.working is None:
            self.working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(self._waiting[0].due_s - self._verifier.monotonic())
                seen = self._waiting.popleft()
                try:
                    await self._take_in(seen)
                except BackendError:  # too much is being hashed already
                    self._admissions.keep_hash(seen.patron_id, None)
        finally:
            self.working = None

    async def _take_in(self, seen: _Seen) -> None:
        if not self._admissions.knows(seen.patron_id):
            return
        matches = await self.matches(seen.patron_id, seen.pin, first=False)
        if seen.right and not matches:
            secret, pin = self._secret, seen.pin
            pin_hash = await self._verifier.run(lambda: hash_pin(secret, pin))
            self._verifier.remember(self._verifier.digest(seen.patron_id, pin, pin_hash))
            self._admissions.keep_hash(seen.patron_id, pin_hash)
        elif matches and not seen.right:
            self._admissions.keep_hash(seen.patron_id, None)

    async def matches(self, patron_id: str, pin: str, *, first: bool = True) -> bool:
        """Whether `pin` was right when the library system was asked last.

        Raises:
            BackendError: it cannot be verified now.
        """
        pin_hash = self._admissions.pin_hash(patron_id)
        if pin_hash is None:
            return False
        digest = self._verifier.digest(patron_id, pin, pin_hash)
        if self._verifier.is_remembered(digest):
            return True
        secret = self._secret
        matches = await self._verifier.run(lambda: verify_pin(secret, pin_hash, pin), first=first)
        if matches:
            self._verifier.remember(digest)
        return matches
