"""`token …` and `audit` (B83), and what every command leaves in the log."""

from __future__ import annotations

import getpass
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sip2gw.cli.access import OPENS
from sip2gw.staff.actions import ACTIONS, REST_ONLY

from .conftest import Run

COMMANDS_ONLY = {
    *("serve", "drain", "demo", "check", "backup", "restore", "send", "decode"),
    *("dashboard", "alerts", "convert-config", "hash-password", "upstream check"),
}
"""They work with files and processes of their machine."""


BADGE = b'{"kind": "badge", "code": "ONBE", "name": "x"}\n'


def records(sip2gw: Run, config: Path, *command: object) -> list[dict[str, Any]]:
    result = sip2gw(*command, "--json", "--config", config)
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def made(sip2gw: Run, config: Path, *options: object) -> str:
    result = sip2gw("token", "add", *options, "--config", config)
    assert result.status == 0, result.err
    (token,) = result.out.split()
    return token


def test_every_command_is_an_action_or_stays_on_its_machine() -> None:
    commands = {words.partition(" --")[0] for words in set(ACTIONS) - REST_ONLY}
    assert set(OPENS) == commands | COMMANDS_ONLY
    assert not set(ACTIONS) & COMMANDS_ONLY


def test_a_token_is_shown_once_and_kept_as_a_digest(sip2gw: Run, library: Path) -> None:
    token = made(sip2gw, library, "web", "--role", "staff", "--networks", "10.0.0.0/8")
    assert token.startswith("s2g_")
    assert len(token) >= 40
    assert token != made(sip2gw, library, "other", "--role", "view")
    (_, listed) = records(sip2gw, library, "token", "list")
    assert {**listed, "created": "now"} == {
        "name": "web",
        "role": "staff",
        "created": "now",
        "expires": None,
        "networks": ["10.0.0.0/8"],
        "last_used": None,
    }
    for file in library.parent.glob("library.db*"):
        assert token.encode() not in file.read_bytes()


def test_a_last_day_counts_whole(sip2gw: Run, library: Path) -> None:
    made(sip2gw, library, "web", "--role", "view", "--expires", "2999-12-31")
    (listed,) = records(sip2gw, library, "token", "list")
    assert listed["expires"] == "3000-01-01T00:00:00+01:00"


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (("a b", "--role", "view"), 1, "the name of a token has 1 to 50 letters, digits and . _ -"),
        (("web", "--role", "king"), 2, "'king' is not one of"),
        (("web",), 2, "Missing option '--role'"),
        (("web", "--role", "view", "--expires", "2020-01-01"), 1, "give a later day"),
        (("web", "--role", "view", "--expires", "soon"), 2, "--expires soon"),
        (("web", "--role", "view", "--networks", "10.0.0.1/8"), 1, "write 10.0.0.0/8"),
        (("tool", "--role", "view"), 1, "the configuration has a token tool already"),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    sip2gw: Run, library: Path, options: tuple[str, ...], status: int, problem: str
) -> None:
    configure_token(library)
    result = sip2gw("token", "add", *options, "--config", library)
    assert result.status == status
    assert problem in result.err
    assert result.out == ""


def configure_token(config: Path) -> None:
    config.with_name("token").write_text("x" * 32)
    with config.open("a") as file:
        file.write('\n[admin.tokens.tool]\nrole = "view"\ntoken_file = "token"\n')


def test_a_token_of_the_configuration_is_listed_and_not_revoked(sip2gw: Run, library: Path) -> None:
    configure_token(library)
    (listed,) = records(sip2gw, library, "token", "list")
    assert (listed["name"], listed["created"]) == ("tool", None)
    result = sip2gw("token", "revoke", "tool", "--config", library)
    assert (result.status, "take it out there" in result.err) == (1, True)


def test_a_revoked_token_is_gone(sip2gw: Run, library: Path) -> None:
    made(sip2gw, library, "web", "--role", "view")
    assert sip2gw("token", "revoke", "web", "--config", library).status == 0
    assert records(sip2gw, library, "token", "list") == []
    again = sip2gw("token", "revoke", "web", "--config", library)
    assert (again.status, "there is no token of that name" in again.err) == (1, True)


def test_the_log_says_who_read_and_changed_what_about_whom(sip2gw: Run, library: Path) -> None:
    sip2gw("patron", "show", "OLD2", "--config", library)
    sip2gw("patron", "block", "P1", "--config", library)
    sip2gw("patron", "find", "Claes", "--config", library)
    sip2gw("explain", "--terminal", "kiosk-1", "--card", "P2", "--config", library)
    sip2gw("patron", "unblock", "P2", "--config", library)
    sip2gw("badge", "list", "--config", library)
    lines = records(sip2gw, library, "audit")
    assert {(one["who"], one["role"], one["source"]) for one in lines} == {
        (getpass.getuser(), "admin", "command")
    }
    assert [(one["action"], one["patron"], one["outcome"]) for one in lines[1:]] == [
        ("patron show", "P2", "done"),
        ("patron block", "P1", "done"),
        ("patron find", None, "done"),
        ("explain", "P2", "done"),
        ("patron unblock", "P2", "refused"),
        ("audit", None, "done"),
    ]
    assert lines[0]["action"] == "import"
    of_p2 = records(sip2gw, library, "audit", "--patron", "OLD2")
    assert [one["action"] for one in of_p2] == ["patron show", "explain", "patron unblock", "audit"]
    assert "Claes" not in json.dumps(lines)


def test_a_rehearsal_is_a_reading(sip2gw: Run, library: Path) -> None:
    sip2gw("maintain", "--dry-run", "--config", library)
    sip2gw("import", library.with_name("library.jsonl"), "--dry-run", "--config", library)
    lines = records(sip2gw, library, "audit", "--since", "today")
    assert [(one["action"], one["outcome"]) for one in lines] == [
        ("import", "done"),
        ("maintain", "rehearsed"),
        ("audit", "done"),
    ]


def test_nothing_is_shown_that_cannot_be_written_down(sip2gw: Run, library: Path) -> None:
    with closing(sqlite3.connect(library.with_name("library.db"))) as store:
        store.execute(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'x'); END"
        )
    result = sip2gw("patron", "show", "P1", "--config", library)
    assert result.status == 1
    assert result.out == ""
    assert "nothing is shown, because the audit log cannot be written" in result.err


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_person_who_makes_a_store_is_told_its_first_token(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    data = config.with_name("library.jsonl")
    data.write_text('{"kind": "badge", "code": "ONBE", "name": "x"}\n')
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    first = sip2gw("import", data, "--config", config)
    again = sip2gw("import", data, "--config", config)
    assert ("Its first token for REST has the role admin: s2g_" in first.err) is is_terminal
    assert "first token" not in again.err
    names = [one["name"] for one in records(sip2gw, config, "token", "list")]
    assert names == (["first"] if is_terminal else [])


def test_the_first_token_waits_for_an_import_that_succeeds(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import with an error has made the store, which is not new any more."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    wrong = sip2gw("import", "-", "--config", config, stdin=b'{"kind": "bagde"}\n')
    assert (wrong.status, "first token" in wrong.err) == (1, False)
    dry = sip2gw("import", "-", "--dry-run", "--config", config, stdin=BADGE)
    assert (dry.status, "first token" in dry.err) == (0, False)
    good = sip2gw("import", "-", "--config", config, stdin=BADGE)
    assert "Its first token for REST has the role admin: s2g_" in good.err


def test_a_first_token_that_was_revoked_does_not_return(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "first token" in sip2gw("import", "-", "--config", config, stdin=BADGE).err
    assert sip2gw("token", "revoke", "first", "--config", config).status == 0
    assert "first token" not in sip2gw("import", "-", "--config", config, stdin=BADGE).err


def test_who_has_a_token_needs_no_first_one(
    sip2gw: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert sip2gw("import", "-", "--config", config, stdin=b"x").status == 1
    made(sip2gw, config, "website", "--role", "staff")
    assert "first token" not in sip2gw("import", "-", "--config", config, stdin=BADGE).err
