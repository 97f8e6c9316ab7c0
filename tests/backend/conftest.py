from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from full import FULL
from once import Once
from postgres import Server, running_server

from sip2gw.backend.library import Library
from sip2gw.backend.postgres import PostgresStore
from sip2gw.backend.sqlite.store import Store

from .library import LIBRARY, load, open_library, open_postgres_library

Furnish = Callable[[Library], Awaitable[None]]
"""Does something in the small library."""

HERE = Path(__file__).parent
_TWICE = ("library", "empty_library", "server", "url")
"""The fixtures with which a test runs on both databases."""
_stores = Once()
_templates: dict[Furnish | None, str] = {}
"""Databases to be copied, by what was done in them; None: nothing."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `SIP2GW_FULL=1` two of three tests that run on both databases run on SQLite only.

    The name decides, so it is the same ones always. What a store promises is in the contracts,
    which run on both.
    """
    left_out = [] if FULL else [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out(item: pytest.Item) -> bool:
    if HERE not in item.path.parents or not isinstance(item, pytest.Function):
        return False
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    is_second = any(chosen.get(name) == "postgres" for name in _TWICE)
    return is_second and crc32(item.originalname.encode()) % 3 > 0


async def _open(directory: Path, *records: dict[str, Any]) -> Store:
    """A store with `records`, which is made once."""
    key = "with the library" if records else "empty"
    if not _stores.give(key, directory):
        store = open_library(directory)
        if records:
            assert load(store, *records).errors == ()
        await store.close()
        _stores.keep(key, directory / "library.db")
    return open_library(directory)


@pytest.fixture
async def empty_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A new store, beside that with the small library if there is one."""
    place = tmp_path / "empty" if (tmp_path / "library.db").exists() else tmp_path
    place.mkdir(exist_ok=True)
    store = await _open(place)
    yield store
    await store.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with the small library."""
    store = await _open(tmp_path, *LIBRARY)
    yield store
    await store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def library(request: pytest.FixtureRequest) -> Any:
    """The small library, once on each database."""
    return request.getfixturevalue("store" if request.param == "sqlite" else "postgres_store")


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> Server | None:
    """None: on SQLite. A server has a database with the small library."""
    if request.param == "sqlite":
        return None
    request.getfixturevalue("library_template")
    found: Server = request.getfixturevalue("postgres")
    return found


@pytest.fixture
async def furnished(
    server: Server | None, tmp_path: Path
) -> AsyncIterator[Callable[[Furnish], Awaitable[Library]]]:
    """Open the small library after something was done in it; that is done once on each database."""
    async with AsyncExitStack() as stack:

        async def opened(furnish: Furnish) -> Library:
            store: Library
            if server is None:
                store = await _furnished(tmp_path, furnish)
            else:
                name = server.make_database(await _template(server, furnish))
                stack.callback(server.drop_database, name)
                store = open_postgres_library(server.url(name))
            stack.push_async_callback(store.close)
            return store

        yield opened


async def _furnished(directory: Path, furnish: Furnish) -> Store:
    key = f"{furnish.__module__}.{furnish.__qualname__}"
    if not _stores.give(key, directory):
        store = await _open(directory, *LIBRARY)
        await furnish(store)
        await store.close()
        _stores.keep(key, directory / "library.db")
    return open_library(directory)


async def _template(server: Server, furnish: Furnish) -> str:
    if furnish not in _templates:
        name = server.make_database(_templates[None])
        store = open_postgres_library(server.url(name))
        await furnish(store)
        await store.close()
        _templates[furnish] = name
    return _templates[furnish]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_library(request: pytest.FixtureRequest) -> Any:
    """A new store, once on each database."""
    name = "empty_store" if request.param == "sqlite" else "empty_postgres_store"
    return request.getfixturevalue(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for the whole run."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def library_template(postgres: Server) -> str:
    """A database with the small library, to be copied for each test."""
    name = postgres.make_database()
    store = open_postgres_library(postgres.url(name), role="command")
    assert load(store, *LIBRARY).errors == ()
    run(store.close())
    _templates[None] = name
    return name


def run(work: Any) -> Any:
    """Run a coroutine in a loop of its own."""
    import asyncio

    return asyncio.run(work)


@pytest.fixture(scope="session")
def empty_template(postgres: Server) -> str:
    """A database with an empty store, to be copied for each test."""
    name = postgres.make_database()
    run(open_postgres_library(postgres.url(name), role="command").close())
    return name


@pytest.fixture
def postgres_url(postgres: Server, library_template: str) -> Iterator[str]:
    """The URL of a database with the small library."""
    name = postgres.make_database(library_template)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
async def empty_postgres_store(
    postgres: Server, empty_template: str
) -> AsyncIterator[PostgresStore]:
    """A new store on PostgreSQL."""
    name = postgres.make_database(empty_template)
    store = open_postgres_library(postgres.url(name))
    yield store
    await store.close()
    postgres.drop_database(name)


@pytest.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A daemon's store with the small library on PostgreSQL."""
    store = open_postgres_library(postgres_url)
    yield store
    await store.close()
