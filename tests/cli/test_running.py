"""The commands for a running gateway, which is played here; real ones: `e2e/test_operators`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sip2gw.control.client import NoGatewayError, RefusedError
from sip2gw.control.messages import (
    Answer,
    Drained,
    Draining,
    Kicked,
    Reloaded,
    Request,
    Terminals,
    TerminalState,
    TraceBegan,
    TraceEnded,
    TraceEvent,
)

from .conftest import Run


class Gateway:
    """Says what it is told to say, and its process ends or does not."""

    def __init__(self, said: list[Any], gone: bool) -> None:
        self._said, self._gone = said, gone

    def __call__(self, path: Path) -> Gateway:
        return self

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def ask(self, request: Request, within_s: float) -> Any:
        answer = self.next_answer(within_s)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def next_answer(self, within_s: float) -> Any:
        return self._said.pop(0) if self._said else None

    def answers(self, silent_max_s: float) -> Iterator[Any]:
        while self._said:
            yield self._said.pop(0)

    @contextmanager
    def watching_its_end(self) -> Iterator[Gateway]:
        yield self

    def has_ended(self, within_s: float) -> bool:
        return self._gone


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    def says(*said: Answer | Exception, gone: bool = True) -> None:
        monkeypatch.setattr("sip2gw.control.client.Control", Gateway(list(said), gone))

    return says


@pytest.mark.parametrize(
    ("arguments", "answers", "status", "told"),
    [
        (("reload",), (Reloaded([], []),), 0, "sip2gw: reloaded\n"),
        (("reload",), (Reloaded([], ["server.listen"]),), 0, "into effect: server.listen\n"),
        (
            ("reload",),
            (Reloaded(["x.toml: bad"], []),),
            1,
            "the gateway refused the reload:\nsip2gw: x.toml: bad",
        ),
        (("reload",), (NoGatewayError("no gateway answers"),), 1, "start it with `sip2gw serve`"),
        (("drain",), (Draining(9), Drained([])), 0, "the gateway has ended"),
        (("drain",), (Draining(9), Drained(["store"])), 1, "abandoned: store"),
        (("drain",), (Draining(9),), 1, "ended before it had finished"),
        (("terminal", "kick", "k"), (Kicked(1),), 0, "k: 1 line closed"),
        (("terminal", "kick", "k"), (Kicked(2),), 0, "k: 2 lines closed"),
        (("terminal", "kick", "k"), (RefusedError("it is not connected"),), 1, "not connected"),
        (("terminal", "trace", "k"), (TraceBegan("k", 0),), 1, "the gateway ended"),
    ],
)
def test_what_a_command_says_and_how_it_ends(
    sip2gw: Run, config: Path, says: Any, arguments: Any, answers: Any, status: int, told: str
) -> None:
    says(*answers)
    result = sip2gw(*arguments, "--config", config)
    assert (result.status, result.out) == (status, "")
    assert told in result.err


def test_a_process_that_does_not_go_away_is_told(sip2gw: Run, config: Path, says: Any) -> None:
    says(Draining(9), Drained([]), gone=False)
    result = sip2gw("drain", "--config", config)
    assert result.status == 1
    assert "has not ended yet" in result.err


def test_without_a_configuration_nobody_is_found(sip2gw: Run) -> None:
    assert sip2gw("reload").status == 2


AT = "2026-03-10T12:00:00.000+01:00"


def test_terminals_are_listed(sip2gw: Run, config: Path, says: Any) -> None:
    states = [
        TerminalState("a", "kiosk", "MAIN", True, 1, "10.0.0.1", AT, 7, AT),
        TerminalState("b", "auth", None, True, 3, "10.0.0.2", AT, 1, AT),
        TerminalState("c", "kiosk", None, False, 0, None, None, 0, None),
    ]
    says(Terminals(states))
    rows = sip2gw("terminal", "list", "--config", config).out.splitlines()[1:]
    shown = "a kiosk MAIN yes 10.0.0.1 2026-03-10 12:00:00 7 2026-03-10 12:00:00"
    assert rows[0].split() == shown.split()
    assert "3 lines" in rows[1]
    assert rows[2].split() == ["c", "kiosk", "no"]
    says(Terminals(states))
    (first, *_) = sip2gw("terminal", "list", "--json", "--config", config).out.splitlines()
    assert json.loads(first)["last_message"] == AT


@pytest.mark.parametrize("reason", ["seconds", "frames", "stopping"])
def test_a_trace_is_shown(sip2gw: Run, config: Path, says: Any, reason: Any) -> None:
    says(
        TraceBegan("k", 1),
        TraceEvent(AT, 3, "connected", ["10.0.0.1"]),
        TraceEvent(AT, 3, "received", ["99 SC status", "     status code: 0\x1b"], missed=2),
        TraceEvent(AT, 3, "disconnected", []),
        TraceEnded(reason, 2),
    )
    result = sip2gw("terminal", "trace", "k", "--config", config)
    assert result.status == 0
    assert result.out.splitlines() == [
        "2026-03-10 12:00:00 connected 10.0.0.1",
        "2026-03-10 12:00:00 → 99 SC status",
        "     status code: 0\\x1b",
        "2026-03-10 12:00:00 disconnected",
    ]
    assert "tracing it for 60 s" in result.err
    assert "2 messages left out" in result.err
