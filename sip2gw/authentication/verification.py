"""Slow verification of PINs and terminal passwords, kept off the loop.  (B11, B12, B20, C100)

Argon2 runs in a small thread pool behind a bounded queue. A success is remembered under a keyed
digest of (whose, secret, stored hash) for some minutes, so that a second request of the same
patron, or 500 kiosks that reconnect, cost microseconds; a changed hash misses by itself. Failures
are never remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from sip2gw.backend.base import BackendError, BackendTimeoutError
from sip2gw.foundation.hashing import verify_password
from sip2gw.foundation.priority import step_back
from sip2gw.foundation.threads import ready_pool

SUCCESS_TTL_S = 15 * 60.0
SUCCESS_ENTRIES_MAX = 50_000
T = TypeVar("T")

PENDING_MAX = 256
"""Verifications of each kind that may wait for a thread; more are refused as too late."""


class SlowVerifier:
    """A thread pool for slow hashes, and a memory of recent successes."""

    def __init__(self, monotonic: Callable[[], float], *, threads: int | None = None) -> None:
        self.monotonic = monotonic
        """Seconds that only grow."""
        threads = threads or min(4, os.cpu_count() or 1)
        self._first = ready_pool(max(1, threads // 2), "sip2gw-hash-first")
        """Somebody stands at a door: this must not wait for whatever else the machine does."""
        self._pool = ready_pool(max(1, threads - 1), "sip2gw-hash", initializer=step_back)
        self._pending: Counter[bool] = Counter()
        """The number of verifications waiting or running: those that go first, and the others."""
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._successes: OrderedDict[bytes, float] = OrderedDict()

    def digest(self, *parts: str) -> bytes:
        """A keyed digest of `parts`, worthless outside this process."""
        digest = self._keyed.copy()
        digest.update("\0".join(parts).encode("utf-8", "surrogatepass"))
        return digest.digest()

    def is_remembered(self, digest: bytes) -> bool:
        """Whether `digest` was verified within the last `SUCCESS_TTL_S`."""
        verified = self._successes.get(digest)
        if verified is None:
            return False
        if self.monotonic() - verified <= SUCCESS_TTL_S:
            return True
        del self._successes[digest]
        return False

    def remember(self, digest: bytes) -> None:
        """Note a success; the oldest entry is dropped when there are too many."""
        self._successes[digest] = self.monotonic()
        self._successes.move_to_end(digest)
        if len(self._successes) > SUCCESS_ENTRIES_MAX:
            self._successes.popitem(last=False)

    async def run(self, work: Callable[[], T], *, first: bool = False) -> T:
        """Run the slow `work` in a thread, and give its result.

        Args:
            work: what takes long.
            first: whether it goes before all that do not: in threads of its own, which do not
                yield, so that it is begun at once however many others wait.

        Raises:
            BackendTimeoutError: too many verifications are waiting already; this one would not
                be done in time.
        """
        if self._pending[first] >= PENDING_MAX:
            raise BackendTimeoutError("too many verifications are waiting")
        self._pending[first] += 1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._first if first else self._pool, work)
        finally:
            self._pending[first] -= 1

    def close(self) -> None:
        """Stop the threads."""
        for pool in (self._first, self._pool):
            pool.shutdown(wait=False, cancel_futures=True)


_NOBODY_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$c2lwMmd3LW5vYm9keS4u$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Nobody's password: verified for unknown logins so that they take as long as known ones (B11)."""


class LoginMemory(Protocol):
    """A place where the digests of good logins survive a restart; see
    `sip2gw.backend.base.Backend`.
    """

    async def known_logins(self) -> Mapping[str, str]:
        """Login → digest."""
        ...

    async def remember_logins(self, digests: Mapping[str, str]) -> None:
        """Keep these in place of those kept for the same logins."""
        ...


RECALL_EVERY_S = 2.0
"""At most this often an unknown password makes the gateway look at what others know."""

REMEMBER_AFTER_S = 1.0
"""How long good logins are gathered before they are written together."""


class PasswordService:
    """Verifies terminal passwords (93).

    A good login with a hashed password is kept as a keyed digest of login, password and hash, in
    memory and in the store: after a restart thousands of terminals log in within seconds (C100).
    A changed hash misses by itself.
    """

    def __init__(self, verifier: SlowVerifier, secret: bytes, memory: LoginMemory) -> None:
        """`secret` keys the digests; only a digest of it is kept."""
        self._verifier = verifier
        self._key = hashlib.sha256(b"logins" + secret).digest()
        self._memory = memory
        self._recalled_at = -RECALL_EVERY_S
        self._known: dict[str, str] = {}
        self._unwritten: dict[str, str] = {}
        self._writing: asyncio.Task[None] | None = None

    async def recall(self) -> None:
        """Read the digests that the store has kept; without them passwords are hashed again."""
        try:
            self._known.update(await self._memory.known_logins())
        except BackendError:
            return

    async def is_known(self, login: str, stored: str | None, is_hash: bool, password: str) -> bool:
        """Whether `password` was found right before, here or by another gateway of the store.

        `stored` is None for an unknown login, which is looked up all the same: the time must not
        tell that it is none (B11).
        """
        if self.recognises(login, stored, is_hash, password):
            return True
        now = self._verifier.monotonic()
        if now - self._recalled_at < RECALL_EVERY_S:
            return False
        self._recalled_at = now
        await self.recall()
        return self.recognises(login, stored, is_hash, password)

    def recognises(self, login: str, stored: str | None, is_hash: bool, password: str) -> bool:
        """Whether `password` is known to be right for `login`; costs microseconds."""
        if stored is None:
            return False
        if is_hash:
            expected = self._known.get(login, "")
            return hmac.compare_digest(expected, self._digest(login, stored, password))
        # Digests, so that the time tells nothing of the password, not even its length.
        digest = self._verifier.digest
        return hmac.compare_digest(digest(stored), digest(password))

    async def check(self, login: str, stored: str | None, is_hash: bool, password: str) -> bool:
        """Whether `password` is right; `stored` is None for an unknown login.

        Costs one slow hash in any case, so that unknown, wrong and right take the same time (B11).

        Raises:
            BackendTimeoutError: too many verifications are waiting.
        """
        against = stored if stored is not None and is_hash else _NOBODY_HASH
        encoded = password.encode("utf-8", "surrogatepass")
        matches = await self._verifier.run(lambda: verify_password(against, encoded))
        if stored is None:
            return False
        if not is_hash:
            return self.recognises(login, stored, is_hash, password)
        if matches:
            self._remember(login, self._digest(login, stored, password))
        return matches

    def _digest(self, login: str, stored: str, password: str) -> str:
        text = "\0".join((login, stored, password)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, "sha256").hex()

    def _remember(self, login: str, digest: str) -> None:
        self._known[login] = self._unwritten[login] = digest
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Write the gathered logins; one that cannot be written costs another hash after a
        restart.
        """
        try:
            while self._unwritten:
                await asyncio.sleep(REMEMBER_AFTER_S)
                digests, self._unwritten = self._unwritten, {}
                await self._memory.remember_logins(digests)
        except BackendError:
            self._unwritten.clear()
        finally:
            self._writing = None
