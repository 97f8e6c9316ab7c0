"""What holds for every command."""

from __future__ import annotations

import csv
import gc
import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer

from sip2gw import __version__
from sip2gw.backend.base import UnavailableError
from sip2gw.cli import app as app_module
from sip2gw.cli.app import app
from sip2gw.cli.common import write_listing, write_table
from sip2gw.cli.failures import CommandError, UsageError, failure_of
from sip2gw.cli.meanings import with_meaning
from sip2gw.cli.tree import Commands, helps
from sip2gw.foundation.patience import telling

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
    ("backup",),
    ("restore",),
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
    *(("token", what) for what in ("add", "list", "revoke")),
    ("audit",),
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


def test_ctrl_c_says_what_was_done(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sip2gw.config.load_config", interrupt)
    result = sip2gw("check", "--config", config)
    assert (result.status, result.out) == (130, "")
    assert result.err == "sip2gw: interrupted: nothing was changed\n"


@pytest.mark.parametrize(
    ("command", "interrupted", "told"),
    [
        (
            ("import", "-"),
            "sip2gw.backend.loading.importing._Import._check",
            "nothing was changed; import the same files again",
        ),
        (
            ("import", "-"),
            "sip2gw.backend.loading.importing._Import._write_as_planned",
            "there as a whole or not at all; import the same files again",
        ),
        (
            ("maintain",),
            "sip2gw.staff.members.maintenance.maintain_memberships",
            "what it says above is done, patron by patron; give the command again",
        ),
        (("outbox", "send"), "sip2gw.cli.library.outbox._send", "the rest waits"),
        (
            ("patron", "block", "P1"),
            "sip2gw.staff.members.patrons.block",
            "what it says above is done;",
        ),
        (("hash-password",), "sip2gw.cli.passwords.read_secret", "nothing was changed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_ctrl_c_in_long_work_says_what_is_left(
    sip2gw: Run,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    interrupted: str,
    told: str,
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    library.write_text(library.read_text() + '[outbox]\nwebhook = "https://hub.example/"\n')
    monkeypatch.setattr(interrupted, interrupt)
    record = b'{"kind": "badge", "code": "NEW", "name": "New"}'
    result = sip2gw(*command, "--config", library, stdin=record)
    assert result.status == 130
    assert result.err.splitlines()[-1].startswith("sip2gw: interrupted: ")
    assert told in result.err
    monkeypatch.undo()
    assert "NEW" not in sip2gw("badge", "list", "--config", library).out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_h_is_help_everywhere(command: tuple[str, ...], sip2gw: Run) -> None:
    result = sip2gw(*command, "-h")
    assert (result.status, result.err) == (0, "")
    assert f"Usage: sip2gw {' '.join(command)} " in result.out


@pytest.mark.parametrize("group", ["patron", "door", "payment", "support", "badge", "membership"])
def test_a_list_of_commands_cuts_no_summary(group: str, sip2gw: Run) -> None:
    shown = " ".join(sip2gw(group, "-h").out.split())
    for name, command in Commands()[group].commands.items():
        first_sentence = " ".join(command.help.split()).partition(". ")[0].rstrip(".")
        assert f"{name} {first_sentence}" in shown
    assert "..." not in shown.partition("Commands:")[2]


def test_completion_can_be_installed(
    sip2gw: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    result = sip2gw("--install-completion")
    assert result.status == 0, result.err
    assert "sip2gw" in (tmp_path / ".bashrc").read_text()
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert "_SIP2GW_COMPLETE" in script.read_text()


def test_completion_knows_the_commands(
    capfd: pytest.CaptureFixture[str], sip2gw: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_SIP2GW_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "sip2gw badge as")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert sip2gw().out.split() == ["assign"]


LISTS = [
    ("patron", "find", "Anna"),
    ("badge", "list"),
    ("badge", "report"),
    ("badge", "history"),
    ("relationship", "list"),
    ("membership", "list"),
    ("payment", "list"),
    ("payment", "totals"),
    ("payment", "refused"),
    ("payment", "export"),
    ("review", "list"),
    ("support", "list"),
    ("support", "table", "list", "type"),
    ("outbox", "list"),
    ("door", "log"),
    ("door", "stats"),
    ("door", "reveals"),
    ("door", "bar", "list"),
    ("door", "pass", "list"),
    ("observe", "report"),
]


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_each_list_is_also_there_for_a_spreadsheet(
    command: tuple[str, ...], sip2gw: Run, library: Path
) -> None:
    """RFC 4180: a header, lines that end in CRLF, nothing else on standard output."""
    result = sip2gw(*command, "--csv", "--config", library)
    assert result.status == 0, result.err
    header, *rows = csv.reader(io.StringIO(result.out, newline=""))
    assert len(set(header)) == len(header) > 1
    assert all(len(row) == len(header) for row in rows)
    assert result.out.count("\n") == result.out.count("\r\n")
    assert sip2gw(*command, "--csv", "--json", "--config", library).status == 2


def test_cells_of_a_spreadsheet_hold_what_is_there_and_no_formula(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = {
        "n": None,
        "list": ["A", "B"],
        "yes": True,
        "text": 'two\nlines, "quoted"',
        "sum": "=1+1",
        "credit": "-2.50",
        "dash": "-none",
    }
    write_listing([told], tuple(told), json=False, csv=True)
    written = capsys.readouterr().out
    assert written.splitlines()[0] == "n,list,yes,text,sum,credit,dash"
    (row,) = csv.DictReader(io.StringIO(written, newline=""))
    assert list(row.values()) == [
        "",
        "A B",
        "yes",
        'two\nlines, "quoted"',
        "'=1+1",
        "-2.50",
        "'-none",
    ]


def test_a_code_stands_beside_its_meaning_for_people_and_alone_for_programs(
    sip2gw: Run, library: Path
) -> None:
    def told(*command: str) -> str:
        return sip2gw(*command, "--config", library).out

    assert "status  5 (normal)" in told("patron", "show", "P1")
    assert '"status":5' in told("patron", "show", "P1", "--json")
    assert "0 (free)" in told("membership", "list")
    assert "201,Adult,0," in told("membership", "list", "--csv")
    assert with_meaning("type", {"00": "cash"})({"type": "42"}) == {"type": "42"}


def test_a_table_names_the_time_zone_below(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"time": "2026-03-01T10:30:00+01:00", "name": "Anna"}
    write_listing([told], ("time", "name"), json=False, zone="Europe/Brussels")
    assert capsys.readouterr().err == "Times are those of Europe/Brussels.\n"
    write_listing([told], ("time", "name"), json=True, zone="Europe/Brussels")
    write_listing([], ("time", "name"), json=False, zone="Europe/Brussels")
    assert capsys.readouterr().err == ""


def test_no_id_is_broken_over_two_lines_of_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    payment = "01JXQ5Z8T3M9W2K7N4B6V1C0RD"
    write_table(("id", "bk", "note"), [(payment, "R-2026-000017", "a note of many short words")])
    out = capsys.readouterr().out
    assert payment in out
    assert "R-2026-000017" in out
    assert len(out.strip().splitlines()) > 3, "only texts are wrapped"


def test_who_waits_long_for_the_database_is_told_and_who_does_not_is_not() -> None:
    told: list[str] = []
    heard = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        heard.set()

    with telling(tell, "waiting for the database library at db.example", after_s=0.001):
        assert heard.wait(30)
    with telling(tell, "never", after_s=3600):
        pass
    assert told == ["waiting for the database library at db.example"]


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
