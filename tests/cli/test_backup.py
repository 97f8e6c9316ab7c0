"""`backup` and `restore` as an operator uses them (B90, C135, C174)."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sip2gw.backend.saving.drafts import backups_in, drafting
from sip2gw.backend.saving.form import GZIP
from sip2gw.cli.library import backup as command

from .conftest import Run


@pytest.fixture(autouse=True)
def priority(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the command asked for; this process goes on as it is."""
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    return asked


@pytest.fixture
def elsewhere(config: Path, tmp_path: Path) -> Path:
    """The same configuration on another machine, with nothing beside it."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "sip2gw.toml").write_text(config.read_text())
    return directory / "sip2gw.toml"


def patrons(config: Path) -> list[str]:
    with closing(sqlite3.connect(config.with_name("library.db"))) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM patron ORDER BY id")]


def test_save_look_and_restore(
    sip2gw: Run, library: Path, elsewhere: Path, tmp_path: Path, priority: list[int]
) -> None:
    file = tmp_path / "one.backup.gz"
    saved = sip2gw("backup", file, "--with-secret", "--config", library)
    assert saved.status == 0, saved.err
    assert "read again, and whole" in saved.err
    assert priority == [19]
    assert file.stat().st_mode & 0o777 == 0o600
    told = sip2gw("backup", "--verify", file)
    assert told.status == 0
    assert "store.patron" in told.out
    assert "with the PIN secret" in told.err
    restored = sip2gw("restore", file, "--config", elsewhere)
    assert restored.status == 0, restored.err
    assert "store.patron" in restored.out
    assert "sip2gw check" in restored.err
    assert patrons(elsewhere) == ["Anna Claes", "Dirk Wouters"]
    assert sip2gw("check", "--config", elsewhere).status == 0
    for name in ("library.db", "library.db.pin-secret"):
        assert elsewhere.with_name(name).stat().st_mode & 0o777 == 0o600


def test_json_says_what_it_holds(sip2gw: Run, library: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup.gz"
    (made,) = map(
        json.loads, sip2gw("backup", file, "--config", library, "--json").out.split("\n")[:1]
    )
    (seen,) = map(json.loads, sip2gw("backup", "--verify", file, "--json").out.splitlines())
    assert made == seen
    assert list(seen) == ["file", "time", "program", "schema", "store", "secret", "parts"]
    assert (seen["store"], seen["secret"]) == ("sqlite", False)
    fees = next(part for part in seen["parts"] if part["name"] == "store.fee")
    assert (fees["rows"], len(fees["sha256"])) == (1, 64)


def test_passwords_are_left_out_and_it_is_said(sip2gw: Run, library: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup.gz"
    saved = sip2gw("backup", file, "--config", library)
    assert "--with-secret" in saved.err
    extracted = sip2gw("restore", file, "--files", tmp_path / "etc")
    assert extracted.status == 0
    assert "set them before you use the configuration" in extracted.err
    text = (tmp_path / "etc" / "sip2gw.toml").read_text()
    assert 'password = "left out of the backup"' in text
    assert not (tmp_path / "etc" / "library.db").exists()


def test_an_existing_file_is_kept_without_force(sip2gw: Run, library: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.backup.gz"
    sip2gw("backup", file, "--with-secret", "--config", library)
    before = file.read_bytes()
    refused = sip2gw("backup", file, "--config", library)
    assert refused.status == 1
    assert "left unchanged; name another file, or add --force" in refused.err
    assert file.read_bytes() == before
    assert sip2gw("backup", file, "--force", "--config", library).status == 0
    assert file.read_bytes() != before
    assert sip2gw("backup", "--verify", file).status == 0


def test_force_replaces_only_backups(sip2gw: Run, library: Path, tmp_path: Path) -> None:
    """Tab completion may have given the name of the store, or of the configuration."""
    for file in (library.with_name("library.db"), library):
        before = file.read_bytes()
        refused = sip2gw("backup", file, "--force", "--config", library)
        assert (refused.status, "is no backup and was left unchanged" in refused.err) == (1, True)
        assert file.read_bytes() == before
    (tmp_path / "reserved").touch()
    assert sip2gw("backup", tmp_path / "reserved", "--force", "--config", library).status == 0


def test_a_store_is_not_overwritten(sip2gw: Run, library: Path, tmp_path: Path) -> None:
    file, store = tmp_path / "one.backup.gz", library.with_name("library.db")
    sip2gw("backup", file, "--config", library)
    before = store.read_bytes()
    refused = sip2gw("restore", file, "--config", library)
    assert refused.status == 1
    assert "move it away" in refused.err
    assert store.read_bytes() == before


def test_neither_reading_nor_saving_makes_a_store(
    sip2gw: Run, elsewhere: Path, tmp_path: Path
) -> None:
    file = tmp_path / "one.backup.gz"
    refused = sip2gw("backup", file, "--config", elsewhere)
    assert refused.status == 1
    assert "library.db: there is no store; check store.url" in refused.err
    assert [path.name for path in elsewhere.parent.iterdir()] == ["sip2gw.toml"]
    assert not list(tmp_path.glob("one*"))


def test_the_lost_and_the_given_secret(
    sip2gw: Run, library: Path, elsewhere: Path, tmp_path: Path
) -> None:
    file = tmp_path / "one.backup.gz"
    sip2gw("backup", file, "--config", library)
    missing = sip2gw("restore", file, "--config", elsewhere)
    assert missing.status == 0
    assert f"Put it into {elsewhere.with_name('library.db.pin-secret')}" in missing.err
    assert sip2gw("patron", "show", "P1", "--config", elsewhere).status == 1
    for path in elsewhere.parent.glob("library.db*"):
        path.unlink()
    secret = library.with_name("library.db.pin-secret")
    given = sip2gw("restore", file, "--secret", secret, "--config", elsewhere)
    assert given.status == 0
    assert elsewhere.with_name("library.db.pin-secret").read_bytes() == secret.read_bytes()
    for path in elsewhere.parent.glob("library.db*"):
        path.unlink()
    assert sip2gw("restore", file, "--new-secret", "--config", elsewhere).status == 0
    assert elsewhere.with_name("library.db.pin-secret").read_bytes() != secret.read_bytes()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["backup", "--verify", "--force", "x"], "leave out the other options"),
        (["backup", "x", "--keep", "3"], "--keep needs a directory"),
        (["restore", "x", "--secret", "y", "--new-secret"], "not both"),
        (["backup", "x"], "name the configuration"),
        (["restore", "x"], "name the configuration"),
    ],
)
def test_wrong_usage(sip2gw: Run, words: list[str], problem: str) -> None:
    result = sip2gw(*words)
    assert result.status == 2
    assert problem in result.err


@pytest.mark.parametrize("words", [["backup", "--verify"], ["restore", "--files", "new"]])
def test_what_is_no_backup_is_said(
    sip2gw: Run, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(gzip.compress(b'{"kind": "patron"}\n'))
    for name, problem in (
        ("file", "or cut off; name another file"),
        ("none", "No such file or directory; name a file with a backup"),
    ):
        result = sip2gw(*words, name)
        assert result.status == 1
        assert problem in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# A directory of backups


def test_a_directory_keeps_the_newest(sip2gw: Run, library: Path, tmp_path: Path) -> None:
    """The timer's line; other gateways' backups and other files are nobody's business."""
    directory = tmp_path / "backups"
    directory.mkdir()
    days = [f"sip2gw-2026010{day}T020000Z.backup.gz" for day in range(1, 5)]
    others = ["east-20250101T020000Z.backup.gz", "sip2gw-notes.txt", "sip2gw-1.backup.gz"]
    for name in [*days, *others, "sip2gw-20260101T010000Z.backup.gz.part"]:
        (directory / name).touch()
    kept = sip2gw("backup", directory, "--keep", "3", "--config", library)
    assert kept.status == 0, kept.err
    assert kept.err.count("removed, because 3 newer backups are there") == 2
    left = backups_in(directory, "sip2gw")
    assert [path.name for path in left[:2]] == days[2:]
    assert len(left) == 3
    assert sip2gw("backup", "--verify", left[2]).status == 0
    assert {path.name for path in directory.iterdir()} == {path.name for path in left} | {*others}


def test_a_backup_that_fails_removes_no_other(sip2gw: Run, elsewhere: Path, tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    directory.mkdir()
    for day in range(1, 4):
        (directory / f"sip2gw-2026010{day}T020000Z.backup.gz").touch()
    assert sip2gw("backup", directory, "--keep", "1", "--config", elsewhere).status == 1
    assert len(list(directory.iterdir())) == 3


# Whole or not at all


def accept(draft: Path) -> None:
    """No check."""


def test_an_interrupted_backup_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "one"
    with pytest.raises(ZeroDivisionError), drafting(file, replace=False, check=accept) as stream:
        stream.write(b"%d" % (1 // 0))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_and_says_so(
    sip2gw: Run, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = set(tmp_path.iterdir())
    monkeypatch.setattr(os, "fdatasync", full)
    file = tmp_path / "one"
    result = sip2gw("backup", file, "--config", library)
    assert (result.status, result.err) == (1, f"sip2gw: {file}: No space left on device\n")
    assert set(tmp_path.iterdir()) == before


def test_a_directory_that_is_not_there_is_named(sip2gw: Run, library: Path, tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to("gone")
    sip2gw("backup", tmp_path / "one", "--config", library)
    for line, told in (
        (("backup", tmp_path / "none" / "one"), f"{tmp_path}/none: there is no such directory"),
        (
            ("restore", tmp_path / "one", "--files", tmp_path / "none" / "etc"),
            f"{tmp_path}/none: there is no such directory",
        ),
        (
            ("restore", tmp_path / "one", "--files", tmp_path / "nowhere"),
            f"{tmp_path}/nowhere: is there already",
        ),
    ):
        refused = sip2gw(*line, "--config", library)
        assert (refused.status, told in refused.err) == (1, True), refused.err


def test_one_that_was_killed_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "one.part").write_bytes(b"half of a longer one")
    with drafting(tmp_path / "one", replace=False, check=accept) as stream:
        stream.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_bytes() == b"whole"


def test_a_draft_that_cannot_be_read_again_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_bytes(GZIP + b"before")

    def refuse(draft: Path) -> None:
        assert draft.read_bytes() == b"rotten"
        raise ValueError

    with pytest.raises(ValueError), drafting(file, replace=True, check=refuse) as stream:  # noqa: PT011
        stream.write(b"rotten")
    assert file.read_bytes() == GZIP + b"before"
    assert len(list(tmp_path.iterdir())) == 1


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "one"
    with drafting(file, replace=True, check=accept) as stream:
        with (
            pytest.raises(Exception, match="another backup is being written"),
            drafting(file, replace=True, check=accept),
        ):
            pass
        stream.write(b"first")
    assert file.read_bytes() == b"first"


def test_a_file_that_somebody_made_meanwhile_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "one"
    with (
        pytest.raises(Exception, match="somebody else has made it"),
        drafting(file, replace=False, check=accept),
    ):
        file.write_bytes(b"theirs")
    assert file.read_bytes() == b"theirs"


def test_sigterm_ends_it_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), command._working():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_it_pauses_for_as_long_as_it_works() -> None:
    """Waiting for others is no work; and no pause is long."""
    moments = iter([0.0, 0.02, 0.05, 7.0])
    slept: list[float] = []
    pace = command._Pace(lambda: None, lambda: next(moments), slept.append)
    for _ in range(3):
        pace.rest()
    assert slept == pytest.approx([0.02, 0.03, 0.1])
