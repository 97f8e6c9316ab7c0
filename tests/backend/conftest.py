from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sip2gw.backend.store import Store

from .library import LIBRARY, load, open_library


@pytest.fixture
async def empty_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A new store."""
    store = open_library(tmp_path)
    yield store
    await store.close()


@pytest.fixture
def store(empty_store: Store) -> Store:
    """A store with the small library."""
    report = load(empty_store, *LIBRARY)
    assert report.errors == ()
    return empty_store
