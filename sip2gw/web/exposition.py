"""Turns the gateway's numbers into the text of `/metrics` (B67, C130)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sip2gw.monitoring.metrics import Family

OPENMETRICS = "application/openmetrics-text"


class _Shown(Collector):
    """Families in the form that prometheus_client expects."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """All families."""
        for family in self._families:
            metric = Metric(family.name, family.text, family.kind)
            for suffix, values, value in family.samples:
                labels = dict(zip(family.labels, values, strict=False))
                metric.add_sample(f"{family.name}{suffix}", labels, value)
            yield metric


@cache
def _machine_started() -> float:
    """When the machine started, in whole seconds; later steps of the clock do not change it."""
    return float(int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)))


class _Process(ProcessCollector):
    """The system's figures of a process, even where only processes are visible in `/proc`.

    The service in `systemd/` has `ProcSubset=pid`, which hides `/proc/stat`. That file says when
    the machine started, and without it prometheus_client shows nothing at all.
    """

    def _boot_time(self) -> float:
        try:
            return float(super()._boot_time())  # type: ignore[no-untyped-call] # of a library
        except OSError:
            return _machine_started()


def exposition(
    families: Sequence[Family], pid: int, *, as_openmetrics: bool = False
) -> tuple[bytes, str]:
    """The text in one of its two formats, and its content type.

    Args:
        families: the gateway's numbers.
        pid: the process whose system figures are shown too.
        as_openmetrics: use the format OpenMetrics instead of that of Prometheus.
    """
    registry = CollectorRegistry()
    registry.register(_Shown(families))
    _Process(pid=lambda: pid, registry=registry)
    encode, content_type = choose_encoder(OPENMETRICS if as_openmetrics else "")
    return encode(registry), content_type
