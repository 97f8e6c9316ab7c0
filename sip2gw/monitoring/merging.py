"""The numbers of several processes as those of one gateway (B67, B87).

How the values of a family come together, the family says itself (`Family.together`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import add

from sip2gw.monitoring.metrics import Family, Sample, Together

_TOGETHER: dict[Together, Callable[[float, float], float]] = {
    "sum": add,
    "max": max,
    "min": min,
    "latest": max,
}


def merged(*processes: Iterable[Family]) -> list[Family]:
    """The families of all `processes` together, in the order of the first that has them."""
    families: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, tuple[str, ...]], float]] = {}
    for family in (family for process in processes for family in process):
        families.setdefault(family.name, family)
        so_far = values.setdefault(family.name, {})
        together = _TOGETHER[family.together]
        for suffix, labels, value in family.samples:
            key = suffix, labels
            so_far[key] = together(so_far[key], value) if key in so_far else value
    return [_with(family, values[name].items()) for name, family in families.items()]


def lasting(families: Iterable[Family]) -> list[Family]:
    """What stays true of a process that has ended: what it has counted, and moments.

    Otherwise counters would go back when a worker ends, and terminals would never have been heard.
    """
    return [
        family
        for family in families
        if family.kind in ("counter", "histogram") or family.together == "latest"
    ]


def _with(family: Family, values: Iterable[tuple[tuple[str, tuple[str, ...]], float]]) -> Family:
    samples: list[Sample] = [(suffix, labels, value) for (suffix, labels), value in values]
    return Family(family.name, family.kind, family.text, family.labels, samples, family.together)
