"""What several workers answer, as one answer of the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sip2gw.control.messages import TerminalState


def merged_terminals(
    names: Iterable[str], workers: Iterable[Iterable[TerminalState]]
) -> list[TerminalState]:
    """Each terminal as all workers together see it, in the order of `names`."""
    known: dict[str, TerminalState] = {}
    for worker in workers:
        for state in worker:
            other = known.get(state.name)
            known[state.name] = state if other is None else _merged(other, state)
    return [known[name] for name in names if name in known]


def _merged(one: TerminalState, other: TerminalState) -> TerminalState:
    """Of the newest line, wherever it is; lines add up, and the last message may be on another."""
    newest = max(one, other, key=lambda state: _moment(state.since))
    return TerminalState(
        name=one.name,
        profile=newest.profile,
        branch=newest.branch,
        connected=one.connected or other.connected,
        lines=one.lines + other.lines,
        address=newest.address,
        since=newest.since,
        requests=newest.requests,
        last_message=max(one.last_message, other.last_message, key=_moment),
    )


def _moment(text: str | None) -> float:
    """When that was; before all else if never. Texts of two offsets do not compare."""
    return datetime.fromisoformat(text).timestamp() if text is not None else 0.0
