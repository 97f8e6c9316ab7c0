"""PINs that a library system found right, for the time when it is away (B40, C110)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress

from msgspec import Struct

from sip2gw.authentication.verification import SlowVerifier
from sip2gw.backend.base import BackendError
from sip2gw.backend.system import NotAskedError
from sip2gw.foundation.hashing import hash_pin, verify_pin
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.shared.door_memory import Admissions

HASH_AFTER_S = 1.0
"""The door decides meanwhile: only the PIN of somebody who was admitted is hashed."""
WAITING_MAX = 200
"""PINs that wait to be hashed; more are not remembered, which costs an entry in an emergency."""
DENIED_MAX = 20_000
"""PINs that were wrong when they were last asked about."""


class _Waiting(Discreet, Struct, frozen=True):
    """A right PIN that is to be hashed."""

    pin: Hidden[str]
    digest: Hidden[bytes]
    due_s: float


class EmergencyPins:
    """Slow hashes of the PINs of admitted patrons, made one after the other in the background.

    What the library system says of a PIN counts at once (C110): one that it denies, or that is not
    the right one any more, is forgotten. A keyed digest tells whether it is the one that is
    remembered, so only a PIN that is news is hashed.
    """

    def __init__(self, verifier: SlowVerifier, secret: bytes, admissions: Admissions) -> None:
        self._verifier = verifier
        self._secret = secret
        self._admissions = admissions
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        """By patron; it takes the place of what is remembered of them."""
        self._denied: OrderedDict[bytes, None] = OrderedDict()
        """The last PINs that were wrong, as keyed digests."""
        self.working: asyncio.Task[None] | None = None

    @property
    def knows_anybody(self) -> bool:
        """Whether anybody was admitted anywhere, or a PIN waits to be hashed; as long as not, no
        PIN matters but at a door that admits in an emergency."""
        return bool(self._waiting) or not self._admissions.is_empty

    def note_right(self, patron_id: str, pin: str, *, may_admit: bool) -> None:
        """The library system has found `pin` right.

        Args:
            patron_id: whose it is.
            pin: as it was presented.
            may_admit: whether it was at a door that admits in an emergency; elsewhere only the PIN
                of somebody who was admitted matters.
        """
        if not (may_admit or self._admissions.knows(patron_id)):
            return
        digest = self._verifier.digest("emergency", patron_id, pin)
        self._denied.pop(digest, None)
        if digest == self._remembered(patron_id):
            return
        self._forget(patron_id)
        if len(self._waiting) >= WAITING_MAX:
            return
        due_s = self._verifier.monotonic() + HASH_AFTER_S
        self._waiting[patron_id] = _Waiting(pin, digest, due_s)
        if self.working is None:
            self.working = asyncio.get_running_loop().create_task(self._work())

    def note_right_before(self, patron_id: str, pin: str, *, may_admit: bool) -> None:
        """The library system found `pin` right a moment ago, and was not asked again: that counts
        only where nothing is known that may be younger (C110)."""
        if self.remembers(patron_id):
            return
        if self._verifier.digest("emergency", patron_id, pin) not in self._denied:
            self.note_right(patron_id, pin, may_admit=may_admit)

    def note_wrong(self, patron_id: str, pin: str) -> None:
        """`pin` was wrong: if it is the one that is remembered, it was changed."""
        digest = self._verifier.digest("emergency", patron_id, pin)
        self._denied[digest] = None
        self._denied.move_to_end(digest)
        if len(self._denied) > DENIED_MAX:
            self._denied.popitem(last=False)
        if self._remembered(patron_id) == digest:
            self._forget(patron_id)

    def remembers(self, patron_id: str) -> bool:
        """Whether it is known which PIN was right last."""
        return self._remembered(patron_id) is not None

    def _remembered(self, patron_id: str) -> bytes | None:
        """The digest of the PIN that was right last."""
        waiting = self._waiting.get(patron_id)
        return waiting.digest if waiting is not None else self._admissions.pin_digest(patron_id)

    def _forget(self, patron_id: str) -> None:
        self._waiting.pop(patron_id, None)
        self._admissions.forget_pin(patron_id)

    async def _work(self) -> None:
        try:
            while self._waiting:
                patron_id, waiting = next(iter(self._waiting.items()))
                await asyncio.sleep(waiting.due_s - self._verifier.monotonic())
                pin_hash = await self._hash(patron_id, waiting.pin)
                if self._waiting.get(patron_id) is not waiting:
                    continue  # it was changed meanwhile
                del self._waiting[patron_id]
                if pin_hash is not None:
                    self._admissions.keep_pin(patron_id, pin_hash, waiting.digest)
        finally:
            self.working = None

    async def _hash(self, patron_id: str, pin: str) -> str | None:
        """A slow hash of the PIN; None if nobody was admitted, or too much is being hashed."""
        secret, pin_hash = self._secret, None
        if self._admissions.knows(patron_id):
            with suppress(BackendError):
                pin_hash = await self._verifier.run(lambda: hash_pin(secret, pin))
        if pin_hash is not None:
            self._verifier.remember(self._verifier.digest(patron_id, pin, pin_hash))
        return pin_hash

    async def matches(self, patron_id: str, pin: str) -> bool:
        """Whether `pin` was right when the library system was asked last; as long as that PIN waits
        to be hashed, by its digest.

        Raises:
            NotAskedError: nobody can say.
            BackendError: it cannot be verified now.
        """
        waiting = self._waiting.get(patron_id)
        if waiting is not None:
            return waiting.digest == self._verifier.digest("emergency", patron_id, pin)
        pin_hash = self._admissions.pin_hash(patron_id)
        if pin_hash is None:
            raise NotAskedError
        digest = self._verifier.digest(patron_id, pin, pin_hash)
        if self._verifier.is_remembered(digest):
            return True
        secret = self._secret
        matches = await self._verifier.run(lambda: verify_pin(secret, pin_hash, pin), first=True)
        if matches:
            self._verifier.remember(digest)
        return matches
