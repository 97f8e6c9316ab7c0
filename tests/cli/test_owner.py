"""A command that root runs becomes the owner of the store's file first (C135)."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from sip2gw.cli import owner
from sip2gw.cli.owner import as_owner

NOBODY = pwd.getpwnam("nobody")
STRANGER = 54_321
"""A user without a name, as in a container."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process has asked the system to become; it thinks that it is root's."""
    asked: list[Any] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("seteuid", "setegid"):
        monkeypatch.setattr(os, name, lambda who: None)
    for name in ("initgroups", "setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda *what, name=name: asked.append((name, *what)))
    return asked


def owned_by(monkeypatch: pytest.MonkeyPatch, owners: dict[Path, int]) -> None:
    """The system says that these are theirs."""
    found = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        fields = list(found(path, **options))
        if path in owners:
            fields[4] = fields[5] = owners[path]
        return os.stat_result(fields)

    monkeypatch.setattr(os, "stat", stat)


def test_a_user_with_a_name_gets_all_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    """The groups first: afterwards the process may not change them any more."""
    file = tmp_path / "library.db"
    file.touch()
    owned_by(monkeypatch, {file: NOBODY.pw_uid, tmp_path: STRANGER})
    with as_owner(file):
        pass
    groups = ("initgroups", "nobody", NOBODY.pw_gid)
    assert became == [groups, ("setgid", NOBODY.pw_gid), ("setuid", NOBODY.pw_uid)]


def test_a_new_store_gets_the_owner_of_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    owned_by(monkeypatch, {tmp_path: STRANGER})
    with as_owner(tmp_path / "library.db"):
        pass
    assert became == [("setgroups", [STRANGER]), ("setgid", STRANGER), ("setuid", STRANGER)]


def test_a_store_of_root_and_a_missing_directory_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    owned_by(monkeypatch, {tmp_path: 0})
    with as_owner(tmp_path / "library.db"):
        pass
    with as_owner(tmp_path / "nowhere" / "library.db"):
        pass
    assert became == []


def test_others_stay_who_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    owned_by(monkeypatch, {tmp_path: STRANGER})
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    with as_owner(tmp_path / "library.db"):
        pass
    assert became == []


def refuse(user: int) -> None:
    if user != 0:
        raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [(owner, "_PROGRAM", ("/nowhere/program",)), (os, "seteuid", refuse)],
    ids=["the owner cannot read the program", "the system does not let us"],
)
def test_otherwise_the_owner_is_given_what_is_new(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    became: list[Any],
    where: Any,
    name: str,
    value: Any,
) -> None:
    """Another user's file stays that user's."""
    given: list[Any] = []
    monkeypatch.setattr(where, name, value)
    monkeypatch.setattr(os, "chown", lambda *what, **options: given.append(what))
    file, secret = tmp_path / "library.db", tmp_path / "library.db.pin-secret"
    owned_by(monkeypatch, {tmp_path: STRANGER, file: 0, secret: STRANGER})
    with as_owner(file):
        file.touch()
        secret.touch()
    assert (became, given) == ([], [(file, STRANGER, STRANGER)])
