"""PIN hashes that come from library systems: bcrypt, as Koha and Evergreen have them (B69).

They know nothing of our secret, so each is replaced by a hash of ours at the first right PIN.
Verifying one takes as long as its cost says, and must not run in the event loop.
"""

from __future__ import annotations

import hashlib
import re

EVERGREEN = "$evergreen"
"""Goes before a hash of Evergreen's, which hashes not the PIN but a digest of salt and PIN."""

_BCRYPT = re.compile(
    r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII
)
"""Up to cost 14, which takes about a second. The salt has 128 bits, so its last character is one of
four; no PIN matches another, so an import refuses it."""
_SALT_CHARACTERS = len("$2b$10$") + 22
_BYTES_MAX = 72
"""Bcrypt ignores what comes after; library systems rely on that."""


def is_foreign_hash(text: str) -> bool:
    """Whether `text` is a hash that `verify_foreign` understands."""
    return _BCRYPT.fullmatch(text.removeprefix(EVERGREEN)) is not None


def verify_foreign(pin_hash: str, pin: str) -> bool:
    """Whether `pin` matches the foreign `pin_hash`; False for an unreadable hash too."""
    import bcrypt

    if not is_foreign_hash(pin_hash):
        return False
    plain = pin_hash.removeprefix(EVERGREEN)
    hashed = pin.encode("utf-8", "surrogatepass")
    if plain != pin_hash:
        hashed = _hex(plain[:_SALT_CHARACTERS].encode() + _hex(hashed))
    try:
        return bcrypt.checkpw(hashed[:_BYTES_MAX], plain.encode())
    except ValueError:  # a NUL, which no such hash can contain
        return False


def origin_of(pin_hash: str) -> str:
    """A name for a foreign hash, which is kept when the hash itself is replaced.

    It cannot be tried with guesses, because the salt is not kept.
    """
    return hashlib.sha256(pin_hash.encode()).hexdigest()


def _hex(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
