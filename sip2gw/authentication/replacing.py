"""A library system's PIN hash makes room for one of ours at the first right PIN (B20, B69)."""

from __future__ import annotations

import asyncio

from sip2gw.authentication.verification import SlowVerifier
from sip2gw.backend.base import Backend, BackendError
from sip2gw.foundation.foreign_hashes import is_foreign_hash
from sip2gw.foundation.hashing import hash_pin
from sip2gw.model import PatronRecord


class HashReplacing:
    """Hashes PINs anew after their answers; what fails is done at a later right PIN."""

    def __init__(self, backend: Backend, verifier: SlowVerifier, pin_secret: bytes) -> None:
        self._backend = backend
        self._verifier = verifier
        self._secret = pin_secret
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def of(self, record: PatronRecord, pin: str) -> None:
        """Begin to replace the hash of `pin`, which was right, unless it is ours."""
        if record.id in self._tasks or not is_foreign_hash(record.pin_hash or ""):
            return
        task = asyncio.get_running_loop().create_task(self._replace(record, pin))
        self._tasks[record.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(record.id))

    async def _replace(self, record: PatronRecord, pin: str) -> None:
        secret, old = self._secret, record.pin_hash
        assert old is not None
        try:
            new = await self._verifier.run(lambda: hash_pin(secret, pin))
            await self._backend.replace_pin_hash(record.id, old, new)
        except BackendError:
            return
        self._verifier.remember(self._verifier.digest(record.id, pin, new))

    async def done(self) -> None:
        """Wait until nothing is left to do."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())
