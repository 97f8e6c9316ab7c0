"""Results as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.compare import Comparison, Run
from benchmarks.figures import Figure


@dataclass(slots=True)
class Report:
    """Everything that one invocation has found."""

    patrons: int
    loop: str
    runs: int
    seconds: float
    comparisons: list[Comparison] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Answers that were not as expected, and other problems."""
        return sum(c.errors for c in self.comparisons) + sum(f.errors for f in self.figures)


_HEAD = (
    "workload", "bare µs", "gateway µs", "x bare", "min-max", "goal", "req/s",
    "p50 ms", "p99 ms", "errors",
)  # fmt: skip
_LEFT = {0}


def as_text(report: Report, earlier: Mapping[str, float]) -> str:
    """The report in Markdown; `earlier` are the ratios of another one, to stand beside."""
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}, {report.loop}, {report.patrons:,} patrons,"
        f" {report.runs} pairs of {report.seconds:g} s.",
        "",
    ]
    if report.comparisons:
        head = (*_HEAD, "x earlier") if earlier else _HEAD
        rows = [_row(comparison, earlier) for comparison in report.comparisons]
        lines += [*_table(head, rows), ""]
    lines += [f"- {c.title}: {c.note}" for c in report.comparisons if c.note]
    lines += [_figure_line(figure) for figure in report.figures]
    lines += [f"- **{c.title}: {text}**" for c in report.comparisons for text in _problems(c)]
    return "\n".join(lines)


def _row(comparison: Comparison, earlier: Mapping[str, float]) -> list[str]:
    ours = comparison.gateway

    def median(value: Callable[[Run], float], runs: Sequence[Run] = ours) -> float:
        return statistics.median(map(value, runs))

    ratios = comparison.ratios
    row = [
        comparison.title,
        f"{median(lambda run: run.cpu_us, comparison.bare):.1f}",
        f"{median(lambda run: run.cpu_us):.1f}",
        f"{comparison.ratio:.2f}",
        f"{min(ratios):.2f}-{max(ratios):.2f}",
        f"{comparison.goal:g}",
        f"{median(lambda run: run.per_s):,.0f}",
        f"{median(lambda run: run.p50_us) / 1000:.2f}",
        f"{median(lambda run: run.p99_us) / 1000:.2f}",
        str(comparison.errors),
    ]
    if earlier:
        before = earlier.get(comparison.name)
        row.append(f"{comparison.ratio / before:.2f}" if before else "")
    return row


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if at in _LEFT else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if at in _LEFT else "-" * (width - 1) + ":" for at, width in enumerate(widths)
    ]
    return [line(head), f"| {' | '.join(rule)} |", *map(line, rows)]


def _figure_line(figure: Figure) -> str:
    goal = f" (goal {figure.goal:g})" if figure.goal is not None else ""
    note = f"; {figure.note}" if figure.note else ""
    wrong = f"; **{figure.errors} errors**" if figure.errors else ""
    return f"- {figure.title}: {figure.value:.2f} {figure.unit}{goal}{note}{wrong}"


def _problems(comparison: Comparison) -> list[str]:
    samples = [run.sample for run in (*comparison.bare, *comparison.gateway) if run.sample]
    return [*comparison.problems, *(f"unexpected answer {sample!r}" for sample in samples[:1])]


def as_json(report: Report) -> str:
    """The report with every single run."""
    return json.dumps(
        {
            **asdict(report),
            "ratios": {c.name: c.ratio for c in report.comparisons},
            "errors": report.errors,
        },
        indent=1,
    )


def read_ratios(path: Path) -> dict[str, float]:
    """The ratios in a report written by `as_json`."""
    ratios: dict[str, float] = json.loads(path.read_text())["ratios"]
    return ratios
