"""`demo --upstream` does what it prints, and both gateways end together (C53)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path

import pytest

from sip2gw.demo import Dialogue
from sip2gw.demo.upstream import (
    AWAY_DIALOGUES,
    LOAN_DIALOGUES,
    OBSERVED_DIALOGUES,
    PAYMENT_DIALOGUES,
    TERMINALS_IN_FRONT,
    UPSTREAM_DIALOGUES,
    records_behind,
    records_in_front,
)

from .conftest import Run
from .test_demo import READY, address, found, stop

AWAY_S = 1.0
"""Shorter than in reality."""
PROGRAM = (
    "import sys; from sip2gw.cli import main; from sip2gw.cli.demo import pair;"
    f" pair.AWAY_S = {AWAY_S}; sys.argv[0] = 'sip2gw'; main()"
)
ANYWHERE = ("--sip2", "127.0.0.1:0", "--admin", "127.0.0.1:0")


def start(*options: str, stderr: int = subprocess.DEVNULL) -> tuple[subprocess.Popen[str], str]:
    """Both gateways on free ports, and what was printed until they were ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "demo", "--upstream", *ANYWHERE, *options],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(READY):
            return process, printed
    raise AssertionError(f"the demo ended: {printed}")


def here(printed: str) -> str:
    """The configuration of the gateway in front."""
    return found(r"configuration (\S+/front/sip2gw\.toml)\.", printed)


def there(printed: str) -> str:
    """That of the library system."""
    return found(r"configuration (\S+/behind/sip2gw\.toml)\.", printed)


def until(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
BEHIND, FRONT = 0, 1
"""In the order of their start."""
Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def begin() -> Iterator[Start]:
    """Start demos; what a failing test leaves behind is killed, and both gateways end with it."""
    started = []

    def begin(*options: str, **more: int) -> tuple[subprocess.Popen[str], str]:
        started.append(start(*options, **more))
        return started[-1]

    yield begin
    for process, _ in started:
        process.kill()
        with process:
            process.wait()


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    process, printed = start("--more")
    yield printed
    assert stop(process) == 0
    assert not Path(here(printed)).parents[1].exists(), "a throw-away library is thrown away"


def play(sip2gw: Run, demo: str, dialogues: Iterable[Dialogue]) -> None:
    """Play what is printed, and see the answer that is printed below it."""
    for dialogue in dialogues:
        assert dialogue.command("", address(demo)) in demo
        assert dialogue.outcome in demo
        result = sip2gw(*dialogue.arguments(address(demo)))
        assert result.status == 0, result.err
        answer = found(r"← (.*)", result.out)
        assert answer.startswith(dialogue.answer[:2])
        for shown in dialogue.shows:
            assert shown in answer, f"{dialogue.outcome}: {answer}"


def test_c53_every_dialogue_gives_what_is_printed_below_it(demo: str, sip2gw: Run) -> None:
    play(sip2gw, demo, UPSTREAM_DIALOGUES)


def test_c53_one_line_per_terminal(demo: str) -> None:
    assert [line for line in demo.splitlines() if line.startswith("login=")] == [
        terminal.line for terminal in TERMINALS_IN_FRONT
    ]


def test_explain_shows_the_check_that_refuses_and_what_the_library_system_said(
    demo: str, sip2gw: Run
) -> None:
    command = found(r"(explain --config \S+ --terminal door-1 --card 20001009)\n", demo)
    out = sip2gw(*command.split()).out
    assert "refused: no_badge" in out
    assert "The library system answered:" in out


def test_upstream_check_works_beside_the_gateway(demo: str, sip2gw: Run) -> None:
    result = sip2gw(*found(r"(upstream check --config \S+ --card 20001001)\n", demo).split())
    assert result.status == 0, result.err
    assert "→ birth_date" in result.err
    assert 'kind = "sip2"' in result.out
    assert state(sip2gw, demo) == "up", "its login costs the gateway no line"


def state(sip2gw: Run, demo: str) -> str:
    command = found(r"(upstream status --config \S+)\n", demo)
    row: dict[str, str] = json.loads(sip2gw(*command.split(), "--json").out)
    return row["state"]


def test_more_shows_what_an_observed_door_would_do(demo: str, sip2gw: Run) -> None:
    play(sip2gw, demo, OBSERVED_DIALOGUES)
    command = found(r"(observe report --config \S+)\n", demo)
    # The door log is written a moment after the answer.
    until(lambda: len(sip2gw(*command.split(), "--json").out.splitlines()) == 2)
    rows = [json.loads(line) for line in sip2gw(*command.split(), "--json").out.splitlines()]
    assert [(row["theirs"], row["ours"], row["reason"]) for row in rows] == [
        ("granted", "refused", "no_badge"),
        ("granted", "granted", "granted"),
    ]


def test_more_shows_a_payment_for_a_child_and_a_loan(demo: str, sip2gw: Run) -> None:
    play(sip2gw, demo, PAYMENT_DIALOGUES)
    command = found(r"(payment list --config \S+)\n", demo)
    (row,) = [json.loads(line) for line in sip2gw(*command.split(), "--json").out.splitlines()]
    assert (row["payer"], row["debtors"], row["relation"], row["amount"], row["status"]) == (
        "20001002",
        ["20001003"],
        "head_of_family",
        "6.20",
        "booked",
    )
    play(sip2gw, demo, LOAN_DIALOGUES)


@needs_proc
def test_more_lets_the_library_system_go_away_and_come_back(begin: Start, sip2gw: Run) -> None:
    process, printed = begin("--more", stderr=subprocess.PIPE)
    front = children(process.pid)[FRONT]
    admitted = UPSTREAM_DIALOGUES[0]
    play(sip2gw, printed, [admitted])
    os.kill(process.pid, signal.SIGSTOP)  # so that it stays away until all was tried
    assert sip2gw(*found(r"(drain --config \S+)\n", printed).split()).status == 0
    until(lambda: state(sip2gw, printed) == "away")
    play(sip2gw, printed, AWAY_DIALOGUES)

    def is_admitted_in_emergency() -> bool:
        play(sip2gw, printed, AWAY_DIALOGUES[:1])
        log = sip2gw("door", "log", "--json", "--config", here(printed)).out
        return "emergency" in [json.loads(row)["mode"] for row in log.splitlines()]

    # For some seconds it is still the passage that began while it was there.
    until(is_admitted_in_emergency)
    os.kill(process.pid, signal.SIGCONT)
    until(lambda: state(sip2gw, printed) == "up")
    play(sip2gw, printed, UPSTREAM_DIALOGUES)
    all_end_when_killed(process, printed, front, "the gateway in front has ended")


def children(process: int) -> list[int]:
    """In the order of their start, which is not that of their numbers: these begin again."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    pids = [int(pid) for pids in lists for pid in pids.read_text().split()]
    return sorted(pids, key=lambda pid: (int(_stat(pid)[_STARTED]), pid))


_STATE, _STARTED = 0, 19
"""Places in what Linux says of a process after its name."""


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def is_running(pid: int) -> bool:
    try:
        return _stat(pid)[_STATE] != "Z"
    except FileNotFoundError:
        return False


def all_end_when_killed(
    process: subprocess.Popen[str], printed: str, killed: int, said: str
) -> None:
    both = children(process.pid)
    assert len(both) == 2
    assert killed in both
    os.kill(killed, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said in err
    assert not any(map(is_running, both))
    assert not Path(here(printed)).parents[1].exists()


@needs_proc
def test_if_the_library_system_is_killed_the_rest_ends(begin: Start) -> None:
    process, printed = begin("--more", stderr=subprocess.PIPE)
    behind = children(process.pid)[BEHIND]
    all_end_when_killed(process, printed, behind, "the library system has ended")


@needs_proc
def test_dir_keeps_both_and_what_was_edited_there_stays(
    begin: Start, sip2gw: Run, tmp_path: Path
) -> None:
    process, _ = begin("--dir", str(tmp_path))
    both = children(process.pid)
    until(lambda: len(children(both[FRONT])) == 1)  # its process for HTTP
    http = children(both[FRONT])
    process.kill()
    process.communicate(timeout=30)
    until(lambda: not any(map(is_running, [*both, *http])))

    process, printed = begin("--dir", str(tmp_path), stderr=subprocess.PIPE)
    assert "observe report" not in printed
    assert sip2gw("drain", "--config", there(printed)).status == 0
    _, err = process.communicate(timeout=30)
    assert "the library system has ended, and with it the demo" in err
    assert process.returncode == 0, "without --more it does not come back"
    assert {path.parent for path in tmp_path.rglob("library.db")} == {
        tmp_path / "front",
        tmp_path / "behind",
    }
    assert [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077] == []

    file = Path(there(printed))
    file.write_text(file.read_text().replace("utf-8", "latin-1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:  # if it starts all the same, it ends
        sip2 = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("--sip2", sip2, "--admin", "127.0.0.1:0", "--dir", tmp_path)
        ended = sip2gw("demo", "--upstream", *options)
    assert ended.status == 1
    assert f"{file}: is not as the demo wrote it" in ended.err
    assert "latin-1" in file.read_text()


def test_a_taken_port_is_a_failure_and_leaves_nothing_running(demo: str, tmp_path: Path) -> None:
    options = ("--sip2", address(demo), "--admin", "127.0.0.1:0", "--dir", str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-m", "sip2gw", "demo", "--upstream", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "cannot listen" in ended.stderr
    assert "a gateway of the demo could not start" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_the_library_system_knows_no_badges_and_the_gateway_nothing_else() -> None:
    today = date(2026, 2, 28)
    behind, front = list(records_behind(today)), list(records_in_front(today))
    assert {key for record in behind for key in record} & {"badges"} == set()
    assert "badge" not in {record["kind"] for record in behind}
    assert {record["kind"] for record in front} == {"badge", "patron", "relationship"}
    assert "relationship" not in {record["kind"] for record in behind}
    whose = [record for record in front if record["kind"] == "patron"]
    assert {key for record in whose for key in record} == {"kind", "id", "name", "badges"}
    assert re.search("20001009", str(whose)) is None, "Greet has none"
