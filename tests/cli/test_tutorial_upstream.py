"""The tutorial with a library system works as it says: two gateways play it."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .conftest import Result, Run
from .test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "tutorial-library-system.md"
FILES = re.findall(
    r"Save (?:it|them|this) as `(\S+)`:\n\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL
)
ADMITTED = "64              "
REFUSED = "64Y             "


class Reader:
    """Does what the page says, in its order."""

    def __init__(self, sip2gw: Run, running: ExitStack) -> None:
        self._sip2gw, self._running = sip2gw, running
        self._ports = {"6001": _free_port(), "6002": _free_port()}
        self._again: list[str] | None = None
        self._lines: Iterator[str] = iter("".join(blocks(PAGE, "sh")).splitlines())

    def here(self, text: str) -> str:
        """`text` with ports that are free."""
        return re.sub(r"(?<=127\.0\.0\.1:)600[12]", lambda found: self._ports[found[0]], text)

    def next(self) -> Result:
        """Type the next line that calls the program; `serve` runs until the end."""
        self._again = None
        return self._sip2gw(*self._arguments())

    def _arguments(self) -> list[str]:
        for line in self._lines:
            match shlex.split(self.here(line)):
                case ["sip2gw", "serve", *options]:
                    self._serve(options)
                case ["sip2gw", *arguments]:
                    return arguments
                case ["export", setting]:
                    # `sip2gw` of conftest forgets what was there before.
                    name, _, value = setting.partition("=")
                    os.environ[name] = value
        raise AssertionError("the page is over")

    def next_again(self) -> Result:
        """The next line, and the same once more when it is asked for again before `next`."""
        if self._again is None:
            self._again = self._arguments()
        return self._sip2gw(*self._again)

    def _serve(self, options: list[str]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "sip2gw", "serve", *options],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.callback(process.wait, 20)
        self._running.callback(process.terminate)
        assert process.stderr is not None
        self._running.callback(process.stderr.close)
        for line in process.stderr:
            if '"listening"' in line:
                return
        raise AssertionError("it did not start")


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_page_does_what_it_says(
    sip2gw: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SIP2GW_CONFIG", "SIP2GW_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with ExitStack() as running:
        reader = Reader(sip2gw, running)
        for name, text in FILES:
            # The usual port for HTTP may be taken on a busy machine, too.
            elsewhere = "[admin]" not in text and name.endswith(".toml")
            port = '[admin]\nlisten = "127.0.0.1:0"\n' if elsewhere else ""
            Path(name).write_text(reader.here(text) + port)
        _play(reader, sip2gw, tmp_path)
    with pytest.raises(AssertionError, match="the page is over"):
        reader.next()


def _play(reader: Reader, sip2gw: Run, here: Path) -> None:
    assert reader.next().status == 0  # import patrons.jsonl
    assert reader.next().status == 0  # check
    found = reader.next()  # upstream check
    assert found.status == 0, found.err
    assert "→ birth_date" in found.err
    assert 'preset = "koha"' in found.out
    assert "payments = false" in found.out

    for _ in ("Anna", "Bram"):
        assert f"← {ADMITTED}" in reader.next().out
    # The door log is written a moment after the answer.
    until(lambda: "2 answers" in sip2gw("observe", "report").err)
    report = reader.next()
    assert "no_badge" in report.out
    assert "2 of 2 answers differ" in report.err

    assert reader.next().status == 0  # import badges.jsonl
    assert "\ngranted" in reader.next().out
    said = reader.next().out
    assert "refused: no_badge" in said
    assert "The library system answered:" in said

    file = here / "sip2gw.toml"
    text = file.read_text()
    assert text.count("observe = true") == 1
    file.write_text(text.replace("observe = true", "observe = false"))
    assert reader.next().status == 0  # reload
    anna, bram = reader.next().out, reader.next().out
    assert f"← {ADMITTED}" in anna
    assert "|GLONBE|" in anna
    assert f"← {REFUSED}" in bram
    assert "|CQY|" in bram
    assert "|GL" not in bram

    assert reader.next().status == 0  # drain
    until(lambda: _is_admitted_in_emergency(reader.next_again(), sip2gw))
    assert " away " in reader.next().out


def _is_admitted_in_emergency(said: Result, sip2gw: Run) -> bool:
    """For some seconds it is still the passage of before."""
    assert f"← {ADMITTED}" in said.out
    return "emergency" in sip2gw("door", "log").out
