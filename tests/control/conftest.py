"""A running gateway for each test."""

import pytest_asyncio
from harness import running


@pytest_asyncio.fixture
async def gateway(tmp_path):
    async with running(tmp_path) as started:
        yield started
