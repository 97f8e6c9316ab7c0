"""What holds for every command."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from sip2gw import __version__
from sip2gw.backend.base import UnavailableError
from sip2gw.cli import app as app_module
from sip2gw.cli.app import app
from sip2gw.cli.common import write_listing, write_table
from sip2gw.cli.failures import CommandError, UsageError, failure_of
from sip2gw.cli.tree import Commands, helps

from .conftest import Run

COMMANDS = [
    ("serve",),
    ("reload",),
    ("drain",),
    *(("terminal", name) for name in ("list", "kick", "trace")),
    *(("upstream", name) for name in ("check", "status")),
    ("observe", "report"),
    ("demo",),
    ("check",),
    ("import",),
    ("export",),
    ("backup",),
    ("restore",),
    ("explain",),
    ("send",),
    ("decode",),
    ("dashboard",),
    ("alerts",),
    *(("review", name) for name in ("list", "show", "close")),
    *(("support", name) for name in ("list", "show", "open", "answer", "status", "close")),
    *(("support", "table", name) for name in ("list", "add", "change")),
    *(("outbox", name) for name in ("list", "send")),
    *(("patron", name) for name in ("show", "set-pin", "block", "unblock")),
    *(("badge", name) for name in ("define", "list", "activate", "deactivate", "report")),
    *(("badge", name) for name in ("assign", "unassign")),
    *(("relationship", name) for name in ("add", "confirm", "remove", "list")),
    *(("membership", name) for name in ("list", "show")),
    *(("payment", name) for name in ("list", "show", "undo", "refund", "totals", "reconcile")),
    *(("branch", name) for name in ("close", "open", "reset", "list")),
    ("door", "log"),
    ("door", "stats"),
    ("door", "inside"),
    ("door", "reveals"),
    *((("door", kind, what)) for kind in ("bar", "pass") for what in ("add", "remove", "list")),
    ("maintain",),
    ("dashboard",),
    ("alerts",),
    ("convert-config",),
    ("hash-password",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_takes_config(command: tuple[str, ...], sip2gw: Run) -> None:
    result = sip2gw(*command, "--help")
    assert result.status == 0
    assert "--config FILE" in result.out
    assert "SIP2GW_CONFIG" in result.out


def test_no_command_is_missing_from_these_tests() -> None:
    top = typer.main.get_command(app)
    known = {command[0] for command in COMMANDS}
    assert set(getattr(top, "commands", {})) == known


def test_version(sip2gw: Run) -> None:
    assert sip2gw("--version").out == f"sip2gw {__version__}\n"


def test_without_a_command_help_is_shown_and_usage_was_wrong(sip2gw: Run) -> None:
    result = sip2gw()
    assert result.status == 2
    assert "Commands:" in result.out + result.err


@pytest.mark.parametrize("command", [("nonsense",), ("check", "--nonsense"), ("patron", "show")])
def test_wrong_usage_is_2(command: tuple[str, ...], sip2gw: Run) -> None:
    result = sip2gw(*command)
    assert result.status == 2
    assert result.out == ""


def test_no_configuration_named_is_wrong_usage(sip2gw: Run) -> None:
    result = sip2gw("payment", "list")
    assert (result.status, result.out) == (2, "")
    assert "SIP2GW_CONFIG" in result.err


def test_an_invalid_configuration_is_2_and_named_in_full(sip2gw: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[institution]\nid = "X"\ncurrency = 3\nnonsense = 1\n')
    result = sip2gw("serve", "--config", file)
    assert result.status == 2
    assert "institution.currency" in result.err
    assert "institution.nonsense" in result.err


def test_the_configuration_may_come_from_the_environment(
    sip2gw: Run, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIP2GW_CONFIG", str(library))
    assert sip2gw("payment", "list", "--json").status == 0


def test_options_may_stand_after_arguments(sip2gw: Run, library: Path) -> None:
    assert sip2gw("patron", "show", "P1", "--json", "--config", library).status == 0


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (CommandError("not now"), 1, "not now"),
        (UsageError("not so"), 2, "not so"),
        (UnavailableError("store away"), 1, "store away"),
        (PermissionError(13, "Permission denied", "x.db"), 1, "x.db: Permission denied"),
        (ConnectionResetError("gone"), 1, "ConnectionResetError"),
    ],
)
def test_a_foreseen_failure_is_a_sentence(error: Exception, status: int, line: str) -> None:
    failure = failure_of(error)
    assert failure is not None
    assert (failure.status, failure.lines) == (status, (line,))


def test_a_bug_is_not_dressed_up() -> None:
    assert failure_of(ZeroDivisionError()) is None


def test_a_bug_is_raised_with_its_traceback(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip2gw.config.load_config", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sip2gw("check", "--config", config)


def test_a_closed_pipe_is_quiet(library: Path) -> None:
    """`sip2gw export | head -1` tells nothing about broken pipes."""
    program = [sys.executable, "-m", "sip2gw", "export", "--config", str(library)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == app_module.PIPE_CLOSED_STATUS


def test_ctrl_c_is_quiet(sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sip2gw.config.load_config", interrupt)
    result = sip2gw("check", "--config", config)
    assert (result.status, result.out, result.err) == (130, "", "")


def test_on_a_terminal_a_table_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    write_table(("name", "value"), [("[red]x", "1\x1b[0m")])
    out = capsys.readouterr().out
    assert "[red]x" in out, "texts are no markup"
    assert "\\x1b[0m" in out, "texts steer no terminal"


def test_only_a_time_is_shortened_in_a_listing(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"time": "2026-03-01T10:30:00+01:00", "name": "Annemarie Tack"}
    write_listing([told], ("time", "name"), json=False)
    assert "2026-03-01 10:30:00  Annemarie Tack\n" in capsys.readouterr().out


def test_on_a_terminal_import_shows_its_progress(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    record = b'{"kind": "patron", "id": "P", "name": "P", "pin": "1"}'
    assert sip2gw("import", "-", "--config", config, stdin=record).status == 0


def test_only_what_is_listed_stands_on_an_empty_table(sip2gw: Run, library: Path) -> None:
    result = sip2gw("payment", "list", "--config", library)
    titles = ["id", "time", "terminal", "payer", "debtors", "amount", "bk", "status"]
    assert result.out.split() == titles


def test_c136_imports_are_not_searched_for_garbage(sip2gw: Run) -> None:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        sip2gw("--version")
        assert gc.get_threshold() == (50_000, 20, 100)
    finally:
        gc.set_threshold(*before)


def test_the_list_of_commands_says_what_their_docstrings_begin_with(sip2gw: Run) -> None:
    """It is written without importing them; the docstring is what `NAME --help` shows."""
    made, listed = Commands(), dict(helps())
    for name, place in listed.items():
        documented = " ".join(made[name].help.split())
        assert documented.startswith(place.removesuffix(".")), name
    shown = " ".join(sip2gw("--help").out.split())
    assert all(f"{name} {said}" in shown for name, said in listed.items())


@pytest.mark.parametrize("arguments", [("--help",), ("hash-password", "--help")], ids=" ".join)
def test_c136_a_command_imports_no_other_command(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from sip2gw.cli.app import app\n"
        "try: app()\n"
        "finally: print(sum(name.startswith('sip2gw.model') for name in sys.modules))"
    )
    program = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("\n0\n"), "no command is imported that knows patrons"
