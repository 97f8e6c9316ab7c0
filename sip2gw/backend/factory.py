"""The one place that knows which backends there are."""

from __future__ import annotations

from pathlib import Path

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.backend.sqlite.store import Role, open_store


class StoreUrlError(BackendError):
    """The configured `store.url` cannot be used; the text says why."""


def open_backend(
    url: str,
    *,
    base_dir: Path,
    role: Role,
    currency: str,
    pin_secret_file: Path | None = None,
    password: str | None = None,
    spool_file: Path | None = None,
    timeout_s: float | None = None,
) -> Library:
    """Open the store that `url` names.

    Args:
        url: `sqlite:FILE`, a relative FILE is meant from `base_dir`; or
            `postgresql://user@host/database`.
        base_dir: the directory of the configuration file.
        role: `daemon` (alone on a SQLite store) or `command`.
        currency: ISO 4217 code of the institution.
        pin_secret_file: where the PIN secret lies; default beside the SQLite file, or in the
            PostgreSQL database (C18).
        password: of the PostgreSQL user.
        spool_file: on PostgreSQL: keeps what was answered with "not sure" while the database cannot
            be asked. On SQLite it lies next to the store.
        timeout_s: seconds for one operation on PostgreSQL; shorter than a request may take.

    Raises:
        BackendError: the URL is not usable or the store cannot be opened.
    """
    secret_file = None if pin_secret_file is None else base_dir / pin_secret_file
    if is_postgres(url):
        return _open_postgres(url, password, role, currency, secret_file, spool_file, timeout_s)
    path = base_dir / sqlite_file(url)
    if not path.parent.is_dir():
        raise StoreUrlError(f"store.url: the directory {path.parent} does not exist")
    return open_store(path, role=role, currency=currency, pin_secret_file=secret_file)


def is_postgres(url: str) -> bool:
    """Whether `url` names a PostgreSQL database rather than a file."""
    return url.startswith("postgresql:")


def _open_postgres(
    url: str,
    password: str | None,
    role: Role,
    currency: str,
    secret_file: Path | None,
    spool_file: Path | None,
    timeout_s: float | None,
) -> Library:
    try:
        # Here and not above: who keeps the library in a file need not have the driver.
        from sip2gw.backend.postgres import open_postgres
        from sip2gw.backend.postgres.store import TIMEOUT_S
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreUrlError(
            "store.url: postgresql:// needs the driver: pip install 'sip2gw[postgres]'"
        ) from None
    return open_postgres(
        url,
        password=password,
        role=role,
        currency=currency,
        pin_secret_file=secret_file,
        spool_file=spool_file,
        timeout_s=timeout_s or TIMEOUT_S,
    )


def sqlite_file(url: str) -> Path:
    """The file behind `sqlite:FILE` or `sqlite:///FILE`.

    Raises:
        StoreUrlError: another kind of URL, or no file in it.
    """
    scheme, colon, rest = url.partition(":")
    if scheme != "sqlite" or not colon:
        raise StoreUrlError(f"store.url: sqlite:FILE and postgresql://… are known, not {scheme}:")
    if rest.startswith("///"):
        rest = rest[2:]
    if not rest or rest.startswith(("//", ":")) or "?" in rest:
        raise StoreUrlError("store.url: sqlite: needs the path of a file, as in sqlite:library.db")
    return Path(rest)
