"""A running gateway for each test."""

import pytest_asyncio
from desk import DESK_CONFIG, DESK_LIBRARY
from harness import running


@pytest_asyncio.fixture
async def gateway(tmp_path):
    async with running(tmp_path) as started:
        yield started


@pytest_asyncio.fixture
async def desk(tmp_path):
    """The same with items to lend, see `desk`."""
    async with running(tmp_path, config=DESK_CONFIG, records=DESK_LIBRARY) as started:
        yield started
