"""The text of `/metrics`, made of the numbers that the gateway has handed over (B67, C130)."""

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
    """Families as prometheus_client wants them."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        for family in self._families:
            metric = Metric(family.name, family.text, family.kind)
            for suffix, values, value in family.samples:
                labels = dict(zip(family.labels, values, strict=False))
                metric.add_sample(f"{family.name}{suffix}", labels, value)
            yield metric


@cache
def _machine_started() -> float:
    """When it was, in whole seconds; always the same, whatever the clock does later."""
    return float(int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)))


class _Process(ProcessCollector):
    """What the system knows of a process, also where a service sees nothing but processes.

    The service of `systemd/` has `ProcSubset=pid`: no `/proc/stat`, which says when the machine was
    started and without which nothing at all would be shown.
    """

    def _boot_time(self) -> float:
        try:
            return float(super()._boot_time())  # type: ignore[no-untyped-call]
        except OSError:
            return _machine_started()


def exposition(
    families: Sequence[Family], pid: int, *, as_openmetrics: bool = False
) -> tuple[bytes, str]:
    """The text in one of the two forms that there are, and its content type.

    Args:
        pid: what the system knows of this process is shown too.
    """
    registry = CollectorRegistry()
    registry.register(_Shown(families))
    _Process(pid=lambda: pid, registry=registry)
    encode, content_type = choose_encoder(OPENMETRICS if as_openmetrics else "")
    return encode(registry), content_type
