"""Which tests count for the coverage, and how little the others pay for it.

Tracing makes the code half as slow again, and there is nobody to thank for a line that was reached
by chance. So lines count that examples reach: not those that Hypothesis draws at random, nor what a
proof does to whole gateways, nor the same test once more on PostgreSQL, nor what fixtures do to set
the scene. Nor is pytest traced between the tests, or while it looks for them. `no_cover` marks what
is costly and reaches nothing that no other test reaches. What modules do when they are imported
counts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import sip2gw

_NEVER = frozenset({"benchmarks", "docs", "e2e", "proofs"})
"""Directories under `tests` whose tests do not count."""


def pause(session: pytest.Session) -> None:
    """End the measuring that `pytest-cov` begins before the session.

    It measures the imports of `conftest.py`. In a worker another one follows at the start of the
    session, and coverage goes back to the first one whenever that is paused: all would be traced
    all the time.
    """
    controller = _controller(session)
    if controller is not None:
        controller.pause()


def count(session: pytest.Session) -> None:
    """Have only what counts counted in this process, if anything is."""
    controller = _controller(session)
    hands_out = session.config.option.dist != "no" and not hasattr(session.config, "workerinput")
    if controller is not None and not hands_out:
        session.config.pluginmanager.register(_Counting(controller))


def _controller(session: pytest.Session) -> Any:
    """What measures in this process; None: nothing does."""
    return getattr(session.config.pluginmanager.getplugin("_cov"), "cov_controller", None)


class _Counting:
    """Pauses `pytest-cov` for whatever does not count."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Import everything, in one of the processes; then only tests count."""
        self._count(True)
        if _is_first(session.config):
            for module in pkgutil.walk_packages(sip2gw.__path__, "sip2gw."):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)
        self._count(False)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Count the test itself, if it is one of those that do."""
        self._count(counts(item))
        try:
            yield
        finally:
            self._count(False)

    def _count(self, wanted: bool) -> None:
        if wanted != self._controller.started:
            (self._controller.resume if wanted else self._controller.pause)()


def _is_first(config: pytest.Config) -> bool:
    worker = getattr(config, "workerinput", {})
    return worker.get("workerid", "gw0") == "gw0"


def counts(item: pytest.Item) -> bool:
    """Whether lines that this test reaches count."""
    is_drawn = hasattr(getattr(item, "obj", None), "hypothesis")
    is_second = "[postgres" in item.name
    return not (
        _place(item) in _NEVER or is_drawn or is_second or item.get_closest_marker("no_cover")
    )


def _place(item: pytest.Item) -> str:
    """The directory under `tests` that it is in."""
    return item.path.relative_to(item.config.rootpath / "tests").parts[0]
