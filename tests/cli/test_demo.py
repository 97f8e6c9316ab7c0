"""The demo does what it prints: every dialogue is played against it (C53)."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sip2gw.cli.demo import alone
from sip2gw.cli.kiosk.requests import requested
from sip2gw.demo import (
    DIALOGUES,
    PEOPLE,
    TERMINALS,
    library_records,
)
from sip2gw.protocol.wire import WireFormat

from .conftest import Run

READY = "health:"


def start(*options: str) -> tuple[subprocess.Popen[str], str]:
    """A demo on free ports, and what it printed until it was ready."""
    program = [sys.executable, "-m", "sip2gw", "demo", "--sip2", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*program, "--admin", "127.0.0.1:0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
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


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    with process:
        return process.wait(20)


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    process, printed = start()
    yield printed
    assert stop(process) == 0
    directory = Path(found(r"configuration (\S+)\.", printed)).parent
    assert not directory.exists(), "a throw-away library is thrown away"


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, pattern
    return match.group(1)


def address(printed: str) -> str:
    return found(r"SIP2 on (\S+),", printed)


def test_c53_one_line_per_terminal_and_per_patron(demo: str) -> None:
    lines = demo.splitlines()
    assert sum(bool(re.match(r"login=\S+ password=\S+  # .", line)) for line in lines) == len(
        TERMINALS
    )
    assert sum(bool(re.match(r"card=\S+ pin=\S+  # .", line)) for line in lines) == len(PEOPLE)


def test_every_kind_of_terminal_is_there() -> None:
    logins = {terminal.login.rpartition("-")[0] for terminal in TERMINALS}
    assert logins == {"kiosk", "sorter", "door", "cash", "auth"}


def test_every_dialogue_gives_what_is_printed_below_it_sent_and_raw(demo: str, sip2gw: Run) -> None:
    for dialogue in DIALOGUES:
        arguments = dialogue.arguments(address(demo))
        assert dialogue.command("", address(demo)) in demo
        assert dialogue.outcome in demo
        result = sip2gw(*arguments)
        assert result.status == 0, result.err
        for answer in (found(r"← (.*)", result.out), asked_raw(arguments)):
            assert answer.startswith(dialogue.answer[:2])
            for shown in dialogue.shows:
                assert shown in answer, f"{dialogue.outcome}: {answer}"
    assert dialogue.login == "sorter-1", "all were played"


def asked_raw(arguments: list[str]) -> str:
    """The same over a bare connection, without AY and AZ."""
    _, _, place, _, login, _, password, message, *pairs = arguments
    host, _, port = place.rpartition(":")
    body = requested(message, pairs).body(WireFormat(), "DEMO")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        answers = line.makefile("rb")
        for frame in (f"9300CN{login}|CO{password}|".encode(), body):
            line.sendall(frame + b"\r")
            answer = b""
            while not answer.endswith(b"\r"):
                answer += answers.read(1)
    return answer[:-1].decode("cp850")


def test_the_script_of_the_page_on_the_test_kiosk_goes_as_it_expects(
    demo: str, sip2gw: Run, tmp_path: Path
) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "test-kiosk.md"
    script = tmp_path / "dirk.sip"
    script.write_text(found(r"(?s)```sip\n(.*?)```", page.read_text(encoding="utf-8")))
    options = ("--login", "cash-1", "--password", "cash-demo", "--script", script)
    for _ in range(2):
        result = sip2gw("send", "--to", address(demo), *options)
        assert result.status == 0, result.err
        assert result.err == "dirk.sip: 10 sent, 9 checked, 0 failed\n"
        assert "1006|" in result.out
        assert "AD1006" not in result.out


def test_a_refused_patron_gets_no_badge(demo: str, sip2gw: Run) -> None:
    refused = next(dialogue for dialogue in DIALOGUES if "too young" in dialogue.answer)
    assert "|GL" not in sip2gw(*refused.arguments(address(demo))).out


@pytest.mark.parametrize("path", ["metrics", "readyz", "livez"])
def test_metrics_and_health_are_where_it_says(demo: str, path: str) -> None:
    url = found(rf"(http://\S+/{path})", demo)
    with urllib.request.urlopen(url) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("20001001", "granted"),
        ("20001003", "under_age"),
        ("20001006", "fee_limit"),
        ("20001007", "fee_age"),
        ("20001008", "membership_expired"),
        ("20001009", "no_badge"),
        ("20001010", "blocked"),
        ("20001011", "status"),
        ("20001012", "granted"),
        ("20000012", "card_replaced"),
        ("20001013", "card_blocked"),
        ("20001014", "barred"),
        ("20001015", "under_age"),
        ("20001016", "no_badge"),
        ("20001017", "granted"),
        ("99", "unknown_card"),
    ],
)
def test_each_person_is_in_the_standing_that_the_note_says(
    demo: str, sip2gw: Run, card: str, reason: str
) -> None:
    config = found(r"configuration (\S+)\.", demo)
    options = ("--terminal", "door-1", "--card", card, "--json", "--config", config)
    result = sip2gw("explain", *options)
    assert json.loads(result.out.splitlines()[-1])["reason"] == reason


def contents(place: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in place.iterdir() if file.is_file()}


@pytest.fixture
def refused(sip2gw: Run) -> Iterator[Callable[[Path], str]]:
    """What a demo says that will not start in a place; nothing there may change.

    Its address is taken, so that one that starts all the same ends by itself, too.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        def refused(place: Path) -> str:
            before = contents(place)
            options = ("--sip2", address, "--admin", "127.0.0.1:0", "--dir", place)
            result = sip2gw("demo", *options)
            assert (result.status, result.out) == (1, "")
            assert contents(place) == before
            return result.err

        yield refused


def test_dir_is_for_the_owner_only_and_its_library_and_what_was_edited_there_stay(
    tmp_path: Path, sip2gw: Run, refused: Callable[[Path], str]
) -> None:
    place = tmp_path / "new" / "demo"
    process, _printed = start("--dir", str(place))
    file = place / "sip2gw.toml"
    assert f"a gateway is already running on {file}" in refused(place)
    assert stop(process) == 0
    assert [file.name for file in place.iterdir() if file.stat().st_mode & 0o077] == []
    assert place.stat().st_mode & 0o077 == 0

    changed = tmp_path / "changed.jsonl"
    changed.write_text(json.dumps({"kind": "patron", "id": "20001001", "name": "Nine"}))
    assert sip2gw("import", changed, "--config", file).status == 0
    process, _printed = start("--dir", str(place))
    assert stop(process) == 0
    assert '"Nine"' in sip2gw("export", "--config", file).out

    file.write_text(file.read_text().replace("Demo Public Library", "Our Library"))
    assert f"{file}: is not as the demo wrote it" in refused(place)


@pytest.mark.parametrize("name", ["sip2gw.toml", "library.db"])
def test_somebodys_gateway_is_left_alone(
    tmp_path: Path, refused: Callable[[Path], str], name: str
) -> None:
    (tmp_path / name).write_text("[institution]\n")
    assert "was left unchanged; name another --dir" in refused(tmp_path)


def test_a_link_in_dir_is_not_followed(tmp_path: Path, refused: Callable[[Path], str]) -> None:
    (tmp_path / "theirs.toml").write_text("[institution]\n")
    place = tmp_path / "demo"
    place.mkdir()
    (place / "sip2gw.toml").symlink_to(tmp_path / "theirs.toml")
    assert "was left unchanged" in refused(place)
    (place / "sip2gw.toml").unlink()
    (place / "sip2gw.toml").symlink_to(tmp_path / "nowhere.toml")
    assert "was left unchanged" in refused(place)
    assert not (tmp_path / "nowhere.toml").exists()


def test_a_taken_port_is_a_failure(sip2gw: Run, demo: str, tmp_path: Path) -> None:
    taken = ["--sip2", address(demo), "--admin", "127.0.0.1:0", "--dir", str(tmp_path)]
    own = json.dumps({"kind": "patron", "id": "P9", "name": "Nine"})
    (tmp_path / "library.jsonl").write_text(own)
    result = subprocess.run(
        [sys.executable, "-m", "sip2gw", "demo", *taken], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "cannot listen" in result.stderr
    assert "Traceback" not in result.stderr
    exported = sip2gw("export", "--config", tmp_path / "sip2gw.toml").out
    assert '"P9"' in exported, "a library that was there already is the one that is used"
    assert '"20001001"' not in exported


def test_an_address_that_is_none_is_an_invalid_configuration(sip2gw: Run) -> None:
    assert sip2gw("demo", "--sip2", "nonsense").status == 2


def test_a_wrong_library_in_dir_is_told(sip2gw: Run, tmp_path: Path) -> None:
    (tmp_path / "library.jsonl").write_text('{"kind": "nonsense"}\n')
    result = sip2gw("demo", "--dir", tmp_path)
    assert result.status == 1
    assert "library.jsonl:1:" in result.err


@pytest.mark.parametrize("today", [date(2024, 2, 29), date(2026, 12, 31)])
def test_the_library_fits_any_day(today: date) -> None:
    records: list[dict[str, Any]] = list(library_records(today))
    ages = {record["id"]: record.get("birth_date", "") for record in records if "pin" in record}
    assert ages["20001015"] == ""
    assert today.year - int(ages["20001003"][:4]) in (12, 13)


@pytest.mark.parametrize("more", [False, True])
def test_a_person_at_a_terminal_gets_one_screen_unless_asked_for_more(
    more: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    alone._announce("127.0.0.1:6001", "127.0.0.1:9102", Path("sip2gw.toml"), "s2g_x", more=more)
    printed = capsys.readouterr().out
    assert all(one.line in printed for one in (*TERMINALS, *PEOPLE))
    shown = [one for one in DIALOGUES if one.outcome in printed]
    assert {one.login for one in shown} >= {"door-1", "kiosk-1", "cash-1", "sorter-1"}
    assert (len(shown) == len(DIALOGUES)) == more
    assert ("demo --more" in printed) != more
    assert "with the token s2g_x" in printed
    assert more or len(printed.splitlines()) <= 55
