"""The server's PIN secret: without it a stolen PIN hash cannot be tried (B20, C18)."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from sip2gw.backend.base import BackendError
from sip2gw.config.reading import read_file

SECRET_BYTES = 32


class PinSecretError(BackendError):
    """The PIN secret is missing, unreadable, or not the one the PINs were hashed with."""


def load_pin_secret(path: Path, *, create: bool = True) -> bytes:
    """The secret in `path` (64 hexadecimal digits); made there, mode 0600, at first use.

    Raises:
        PinSecretError: it is missing and must not be made, or is not readable as a secret.
    """
    if create and not path.exists():
        _make(path)
    try:
        secret = bytes.fromhex(read_file(path).decode("ascii").strip())
    except FileNotFoundError:
        raise PinSecretError(
            f"{path}: the PIN secret is missing; restore it, without it no stored PIN can be right"
        ) from None
    except OSError as error:
        raise PinSecretError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise PinSecretError(f"{path}: not a PIN secret (64 hexadecimal digits)") from None
    if len(secret) != SECRET_BYTES:
        raise PinSecretError(f"{path}: not a PIN secret (64 hexadecimal digits)")
    return secret


def _make(path: Path) -> None:
    """Write a whole new secret; if another process was first, its secret counts."""
    with contextlib.suppress(FileExistsError):
        write_pin_secret(path, secrets.token_bytes(SECRET_BYTES))


def write_pin_secret(path: Path, secret: bytes) -> None:
    """Write `secret` whole to the new file `path`, or nothing, even if two processes try at once.

    Raises:
        FileExistsError: the file is there already.
        PinSecretError: it cannot be written.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secret.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise
        raise PinSecretError(f"{path}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
