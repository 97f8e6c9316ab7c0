"""A command that root runs becomes the owner of the store's file first (C135)."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from sip2gw.cli.failures import CommandError
from sip2gw.cli.owner import become_owner

NOBODY = pwd.getpwnam("nobody")
STRANGER = 54_321
"""A user without a name, as in a container."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process has asked the system to become; it thinks that it is root's."""
    asked: list[Any] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
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
    become_owner(file)
    groups = ("initgroups", "nobody", NOBODY.pw_gid)
    assert became == [groups, ("setgid", NOBODY.pw_gid), ("setuid", NOBODY.pw_uid)]


def test_a_new_store_gets_the_owner_of_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    owned_by(monkeypatch, {tmp_path: STRANGER})
    become_owner(tmp_path / "library.db")
    assert became == [("setgroups", [STRANGER]), ("setgid", STRANGER), ("setuid", STRANGER)]


def test_a_store_of_root_and_a_missing_directory_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    owned_by(monkeypatch, {tmp_path: 0})
    become_owner(tmp_path / "library.db")
    become_owner(tmp_path / "nowhere" / "library.db")
    assert became == []


def test_others_stay_who_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    owned_by(monkeypatch, {tmp_path: STRANGER})
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    become_owner(tmp_path / "library.db")
    assert became == []


def test_a_system_that_does_not_let_us_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[Any]
) -> None:
    """In a container without the capability, root's own files would harm the gateway."""

    def refuse(user: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    owned_by(monkeypatch, {tmp_path: STRANGER})
    monkeypatch.setattr(os, "setuid", refuse)
    with pytest.raises(CommandError, match=f"user {STRANGER} .*; run the command as that user"):
        become_owner(tmp_path / "library.db")
