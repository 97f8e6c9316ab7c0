"""The one place that knows which backends there are (architecture: one factory)."""

from __future__ import annotations

from pathlib import Path

from sip2gw.backend.base import BackendError
from sip2gw.backend.store import Role, Store, open_store


class StoreUrlError(BackendError):
    """The configured `store.url` cannot be used; the text says why."""


def open_backend(
    url: str,
    *,
    base_dir: Path,
    role: Role,
    currency: str,
    pin_secret_file: Path | None = None,
) -> Store:
    """Open the store that `url` names.

    Args:
        url: `sqlite:FILE`; a relative FILE is meant from `base_dir`.
        base_dir: the directory of the configuration file.
        role: `daemon` (alone on a SQLite store) or `command`.
        currency: ISO 4217 code of the institution.
        pin_secret_file: where the PIN secret lies; default beside the SQLite file (C18).

    Raises:
        BackendError: the URL is not usable or the store cannot be opened.
    """
    path = base_dir / sqlite_file(url)
    if not path.parent.is_dir():
        raise StoreUrlError(f"store.url: the directory {path.parent} does not exist")
    secret_file = None if pin_secret_file is None else base_dir / pin_secret_file
    return open_store(path, role=role, currency=currency, pin_secret_file=secret_file)


def sqlite_file(url: str) -> Path:
    """The file behind `sqlite:FILE` or `sqlite:///FILE`.

    Raises:
        StoreUrlError: another kind of URL, or no file in it.
    """
    scheme, colon, rest = url.partition(":")
    if scheme != "sqlite" or not colon:
        raise StoreUrlError(f"store.url: only sqlite:FILE is known here, not {scheme}:")
    if rest.startswith("///"):
        rest = rest[2:]
    if not rest or rest.startswith(("//", ":")) or "?" in rest:
        raise StoreUrlError("store.url: sqlite: needs the path of a file, as in sqlite:library.db")
    return Path(rest)
