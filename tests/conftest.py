"""What holds for all tests.

Hypothesis may take the time it takes: on a busy machine an example that takes some milliseconds
waits a second for the processor, and that is no failure.

Each call of the program in a process of the tests would build the tree of all its commands anew,
which takes ten times as long as what most commands do. Here it is built once, as in a shell's call.
"""

import gc
from collections.abc import Iterator
from functools import cache

import coverage_of
import new_stores
import pytest
import typer.main
import typer.testing
from full import FULL
from hypothesis import HealthCheck, settings

DEFAULTS = ("default", "ci")
"""What Hypothesis chooses by itself; whoever wants something else has chosen it by now."""

if settings.get_current_profile_name() in DEFAULTS:
    settings.register_profile(
        "unhurried",
        settings(),
        max_examples=100 if FULL else 50,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("unhurried")

typer.main.get_command = cache(typer.main.get_command)
typer.testing._get_command = typer.main.get_command  # type: ignore[attr-defined]

new_stores.copy_new_stores()

gc.disable()  # what is made until all tests are found stays


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Iterator[None]:
    """When `pytest-cov` measures by now, see to it that only what counts is counted."""
    coverage_of.pause(session)
    yield
    coverage_of.count(session)


def pytest_collection_finish() -> None:
    """All tests and all modules stay: the collector need not look through them again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()
