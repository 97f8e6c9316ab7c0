"""What never changes in a store: its currency and the secret of its PIN hashes (C18)."""

from __future__ import annotations

import secrets
from pathlib import Path

from sip2gw.backend.base import BackendError
from sip2gw.backend.database import Connection
from sip2gw.backend.sql import queries
from sip2gw.backend.sql.secret import SECRET_BYTES, PinSecretError, load_pin_secret
from sip2gw.backend.sql.standing import HOW_TO_MAKE, NoStoreError
from sip2gw.foundation.hashing import secret_fingerprint

_FINGERPRINT = "pin_secret_fingerprint"
_SECRET = "pin_secret"  # noqa: S105 -- the name of a setting, not its value


def pin_secret_in_file(connection: Connection, path: Path, *, make: bool) -> bytes:
    """The secret in `path`, which must be the one that the store was made with.

    Args:
        make: whether a store without a secret gets one.

    Raises:
        PinSecretError: it is missing, unreadable, or another one.
        NoStoreError: the store has none, and must not get one.
    """
    known = _setting(connection, _FINGERPRINT)
    _insist_on_secret(known, make=make)
    secret = load_pin_secret(path, create=known is None)
    if _settle(connection, _FINGERPRINT, secret_fingerprint(secret)) != secret_fingerprint(secret):
        raise PinSecretError(
            f"{path}: the PINs in this store were hashed with another secret; restore that one"
        )
    return secret


def pin_secret_in_store(connection: Connection, *, make: bool) -> bytes:
    """The secret that the store itself keeps.

    Args:
        make: whether a store without a secret gets one.

    Raises:
        PinSecretError: the store's PINs were hashed with a secret from a file.
        NoStoreError: the store has none, and must not get one.
    """
    known = _setting(connection, _FINGERPRINT)
    _insist_on_secret(known, make=make)
    if known is None:
        _settle(connection, _SECRET, secrets.token_hex(SECRET_BYTES))
    text = _setting(connection, _SECRET)
    secret = bytes.fromhex(text or "")
    fingerprint = secret_fingerprint(secret)
    if text is None or _settle(connection, _FINGERPRINT, fingerprint) != fingerprint:
        raise PinSecretError(
            "the PINs in this store were hashed with a secret from a file; set"
            " store.pin_secret_file to it"
        )
    return secret


def _insist_on_secret(known: str | None, *, make: bool) -> None:
    if known is None and not make:
        raise NoStoreError(f"the store has tables, but was never set up; {HOW_TO_MAKE}")


def is_secret_of(connection: Connection, secret: bytes) -> bool:
    """Whether the PINs in this store were hashed with `secret`; if it has had none, any will do."""
    return _setting(connection, _FINGERPRINT) in (None, secret_fingerprint(secret))


def keep_secret(connection: Connection, secret: bytes) -> None:
    """Let the store itself keep `secret`, which is its own."""
    _settle(connection, _SECRET, secret.hex())


def start_with_another_secret(connection: Connection) -> None:
    """Give up all that only the lost secret could read: PINs, and what was counted under it."""
    for statement in queries.FORGET_WHAT_WAS_KEYED:
        connection.execute(statement)
    connection.execute(queries.REMOVE_SETTING, (_FINGERPRINT,))


def insist_on_currency(connection: Connection, currency: str) -> None:
    """A store keeps amounts in one currency only.

    Raises:
        BackendError: this one keeps them in another.
    """
    known = _settle(connection, "currency", currency)
    if known != currency:
        raise BackendError(
            f"the store holds amounts in {known}, not in {currency}; set institution.currency back"
        )


def _setting(connection: Connection, name: str) -> str | None:
    row = connection.execute(queries.SETTING, (name,)).fetchone()
    return None if row is None else str(row[0])


def _settle(connection: Connection, name: str, value: str) -> str | None:
    """Set `name` for ever unless it is set already; the value that counts.

    If it is set, nothing is written and no lock is taken, so that commands work next to a gateway
    whose disk is stuck.
    """
    known = _setting(connection, name)
    if known is not None:
        return known
    connection.execute(queries.ADD_SETTING, (name, value))
    return _setting(connection, name)
