"""Makes the full-size proofs (`tests/proofs`) importable; their short forms run here.

Nothing may block the loop (C114): whatever a test does to a gateway, it fails when a callback held
the loop of one of its processes for long (`tests/support/watched.py` says what counts).
"""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))


class Watch:
    """Which gateways of a test are watched, and what was found."""

    def __init__(self, report):
        self.report = report
        """A line for each long hold; all processes of the test add to it."""
        self._excuse = ""

    def program(self, *, names=True):
        """What a `GatewayProcess` runs to be watched; without `names` no name is ever resolved."""
        from watched import program

        return program(self.report, names=names)

    def excuse(self, reason):
        """The test does something for which the loop may be held: what, and why that is right."""
        assert reason
        self._excuse = reason

    def holds(self):
        """How long the loop was held and where, of each long hold so far."""
        return self.report.read_text().splitlines() if self.report.exists() else []

    def check(self):
        """Fail if the loop was held."""
        if self.holds() and not self._excuse:
            pytest.fail("\n".join(["the loop was held (seconds, and where):", *self.holds()]))


@pytest.fixture
def watch(tmp_path):
    """Fails the test at its end if the loop of a watched gateway was held."""
    watching = Watch(tmp_path / "held")
    yield watching
    watching.check()


@pytest.fixture
def start(tmp_path, watch):
    """Starts a gateway process over the small library: `async with start(config) as gateway`.

    Its loop is watched; with `may_hold`, which says why, it may be held. Only with `http` it serves
    HTTP, too: the process for that takes half as long to start as the gateway.
    """
    from harness import CONFIG, LIBRARY, without_http
    from proofs.process import GatewayProcess, prepare

    @asynccontextmanager
    async def starting(
        config=CONFIG, directory=tmp_path, *, http=False, may_hold="", names=True, **options
    ):
        if may_hold:
            watch.excuse(may_hold)
        file = await prepare(directory, config if http else without_http(config), LIBRARY)
        async with GatewayProcess(file, program=watch.program(names=names), **options) as gateway:
            await gateway.start()
            yield gateway

    return starting
