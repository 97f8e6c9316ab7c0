"""PIN hashes: argon2id over HMAC-SHA256(server secret, PIN), in PHC form (B20, C61).

A four-digit PIN has ten thousand values, so no hash alone protects it: without the server secret a
stolen hash cannot even be tried. Both functions that hash take tens of milliseconds and must not
run in the event loop.
"""

from __future__ import annotations

import hashlib
import hmac

from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret, verify_secret

from sip2gw.foundation.foreign_hashes import is_foreign_hash, verify_foreign

ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_TIME = 2
ARGON2_LANES = 1
PIN_CHARACTERS_MAX = 100
_SALT_BYTES = 16
_HASH_BYTES = 32


def _keyed(secret: bytes, pin: str) -> bytes:
    return hmac.digest(secret, pin.encode("utf-8", "surrogatepass"), "sha256")


def hash_pin(
    secret: bytes, pin: str, *, memory_kib: int = ARGON2_MEMORY_KIB, time_cost: int = ARGON2_TIME
) -> str:
    """The PHC string to store for `pin` under the server's `secret`."""
    return hash_password(_keyed(secret, pin), memory_kib=memory_kib, time_cost=time_cost)


def verify_pin(secret: bytes, pin_hash: str, pin: str) -> bool:
    """Whether `pin` matches `pin_hash`, ours or a library system's; False for an unreadable one."""
    if is_foreign_hash(pin_hash):
        return verify_foreign(pin_hash, pin)
    return verify_password(pin_hash, _keyed(secret, pin))


def hash_password(
    password: bytes, *, memory_kib: int = ARGON2_MEMORY_KIB, time_cost: int = ARGON2_TIME
) -> str:
    """The PHC string of a terminal's password (`sip2gw hash-password`, B12)."""
    import secrets

    salt = secrets.token_bytes(_SALT_BYTES)
    return hash_secret(
        password, salt, time_cost, memory_kib, ARGON2_LANES, _HASH_BYTES, Type.ID
    ).decode("ascii")


def verify_password(password_hash: str, password: bytes) -> bool:
    """Whether `password` matches `password_hash`; False for an unreadable hash."""
    try:
        return verify_secret(password_hash.encode("ascii"), password, Type.ID)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def is_password_hash(text: str) -> bool:
    """Whether `text` is an argon2id PHC string with sane costs (up to 1 GiB, 64 rounds)."""
    parts = text.split("$")
    if len(parts) != 6 or parts[1] != "argon2id" or not text.isascii():
        return False
    costs = dict(part.partition("=")[::2] for part in parts[3].split(","))
    try:
        memory, rounds, lanes = (int(costs[name]) for name in ("m", "t", "p"))
    except (KeyError, ValueError):
        return False
    return 8 <= memory <= 1 << 20 and 1 <= rounds <= 64 and 1 <= lanes <= 16


def secret_fingerprint(secret: bytes) -> str:
    """A name for `secret` that does not give it away; travels in exports (C95)."""
    return hashlib.blake2b(b"sip2gw pin secret", key=secret[:64], digest_size=8).hexdigest()
