"""Makes the full-size proofs (`tests/proofs`) importable; their short forms run here."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture
def start(tmp_path):
    """Starts a gateway process over the small library: `async with start(config) as gateway`."""
    from harness import CONFIG, LIBRARY
    from proofs.process import GatewayProcess, prepare

    @asynccontextmanager
    async def starting(config=CONFIG, directory=tmp_path, environment=None):
        file = await prepare(directory, config, LIBRARY)
        async with GatewayProcess(file, environment=environment) as gateway:
            await gateway.start()
            yield gateway

    return starting
