"""The one place that knows which backends exist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sip2gw.backend.base import Access, Backend, BackendError, Role
from sip2gw.backend.library import Library
from sip2gw.backend.spool import spool_of_worker, spools_beside
from sip2gw.backend.sqlite.place import beside
from sip2gw.backend.sqlite.store import open_sqlite, rehearse_sqlite
from sip2gw.backend.system import LibrarySystem
from sip2gw.config import Config
from sip2gw.foundation.clock import Clock
from sip2gw.foundation.urls import database_of
from sip2gw.monitoring.metrics import Metrics
from sip2gw.monitoring.telemetry import Log

if TYPE_CHECKING:
    from sip2gw.backend.postgres.address import Address
    from sip2gw.backend.saving.putting import Target
    from sip2gw.backend.saving.taking import Source

STORE_SHARE = 0.8
"""Of the time for a request that the store may take; the rest is for saying what became of it."""


class StoreUrlError(BackendError):
    """The configured `store.url` cannot be used; the text says why."""


class Opened(Struct, frozen=True):
    """What a gateway or a command works with."""

    backend: Backend
    """The store as terminals need it."""
    store: Library
    """Our own data: for staff, and for what the gateway looks after by itself."""


def open_backend(
    config: Config, role: Role, access: Access = "write", *, worker: int = 0
) -> Opened:
    """Open what `config` names; `store.url` is `sqlite:FILE` or `postgresql://user@host/database`.

    Args:
        role: who opens it.
        access: what may be done to it; only `make` makes a store that is not there.
        worker: the number of this process among those of a gateway, from 0 on.

    Raises:
        BackendError: the URL is not usable or the store cannot be opened; the text says why.
    """
    url = config.store.url
    if is_postgres(url):
        store = _open_postgres(config, role, access, worker)
    else:
        store = _open_file(config, role, access)
    return Opened(store, store)


def rehearse_opening(config: Config, access: Access) -> bool:
    """Look whether a gateway could open the store that `config` names; changes nothing.

    Returns:
        Whether the gateway that runs must have left it first: a file is one gateway's, and a
        database that has to be brought up to date is not changed under anybody's hands.

    Raises:
        BackendError: it could not, whoever leaves; the text says why.
    """
    if is_postgres(config.store.url):
        with _driver():
            from sip2gw.backend.postgres.store import is_older
        return is_older(_address_of(config), access)
    rehearse_sqlite(
        _file_of(config),
        access=access,
        currency=config.institution.currency,
        pin_secret_file=config.pin_secret_path,
    )
    return True


def open_library_system(
    config: Config, metrics: Metrics, clock: Clock, log: Log
) -> LibrarySystem | None:
    """The library system behind the gateway; None if the store itself is the library. Nothing is
    connected before its `start`."""
    if config.backend.kind == "store":
        return None
    # Imported here and not above: most gateways have none.
    from sip2gw.backend.upstream.system import open_upstream

    return open_upstream(config.accounts, metrics, clock, log)


def library_system_of_our_own(config: Config, secret: bytes) -> LibrarySystem | None:
    """Lines to the library system for one question of staff's, which nobody counts or logs."""
    import io

    from sip2gw.foundation.clock import Clock
    from sip2gw.monitoring.metrics import Metrics
    from sip2gw.monitoring.telemetry import Log, Redactor

    return open_library_system(config, Metrics(), Clock(), Log(io.BytesIO(), Redactor(secret)))


def open_source(config: Config) -> AbstractContextManager[Source]:
    """The store that `config` names as it is at one moment, for a backup: nothing is changed.

    Raises:
        BackendError: there is none, or it cannot be read.
    """
    if not is_postgres(config.store.url):
        from sip2gw.backend.saving import in_file

        return in_file.source(_file_of(config), config.pin_secret_path)
    with _driver():
        from sip2gw.backend.saving import in_database
    return in_database.source(_address_of(config), config.spool_path, config.pin_secret_path)


def target_of(config: Config) -> Target:
    """Where `config` wants its store, for a restore; nothing is made yet.

    Raises:
        BackendError: the URL is not usable.
    """
    from sip2gw.backend.saving import in_file
    from sip2gw.backend.saving.putting import Target

    currency, secret_file = config.institution.currency, config.pin_secret_path
    if not is_postgres(config.store.url):
        path = _file_of(config)
        return Target(
            partial(in_file.new_store, path),
            secret_file or beside(path, ".pin-secret"),
            in_file.spool_of(path),
            currency,
        )
    with _driver():
        from sip2gw.backend.saving import in_database
    opening = partial(in_database.new_store, _address_of(config))
    return Target(opening, secret_file, config.spool_path, currency)


def is_postgres(url: str) -> bool:
    """Whether `url` names a PostgreSQL database rather than a file."""
    return url.startswith("postgresql:")


def store_file(config: Config) -> Path | None:
    """The file of the store; None if it is in a database server.

    Raises:
        StoreUrlError: the URL is not usable.
    """
    url = config.store.url
    return None if is_postgres(url) else config.base_dir / sqlite_file(url)


def store_name(config: Config) -> str:
    """The store for people: its file, or database and host without user and password.

    Raises:
        StoreUrlError: the URL is not usable.
    """
    file = store_file(config)
    return str(file) if file is not None else database_of(config.store.url)


def _open_file(config: Config, role: Role, access: Access) -> Library:
    return open_sqlite(
        _file_of(config),
        role=role,
        access=access,
        currency=config.institution.currency,
        pin_secret_file=config.pin_secret_path,
    )


def _file_of(config: Config) -> Path:
    path = config.base_dir / sqlite_file(config.store.url)
    if not path.parent.is_dir():
        raise StoreUrlError(
            f"store.url: the directory {path.parent} does not exist; make it, or correct the path"
        )
    return path


@contextmanager
def _driver() -> Iterator[None]:
    """Import what needs PostgreSQL's driver: a library in a file does not need it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreUrlError(
            "store.url: postgresql:// needs the driver: pip install 'sip2gw[postgres]'"
        ) from None


def _address_of(config: Config) -> Address:
    from sip2gw.backend.postgres.address import Address

    password = config.store_password
    return Address(config.store.url, None if password is None else password.get_secret_value())


def _open_postgres(config: Config, role: Role, access: Access, worker: int) -> Library:
    with _driver():
        from sip2gw.backend.postgres import open_postgres
    password = config.store_password
    return open_postgres(
        config.store.url,
        password=None if password is None else password.get_secret_value(),
        role=role,
        access=access,
        currency=config.institution.currency,
        pin_secret_file=config.pin_secret_path,
        spool_file=spool_of_worker(config.spool_path, worker),
        spools_left=() if worker else spools_beside(config.spool_path, config.server.workers),
        timeout_s=config.server.request_timeout_s * STORE_SHARE,
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
