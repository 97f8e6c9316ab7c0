"""The commands on a library in PostgreSQL: they are the same (C62)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sip2gw.backend.factory import open_backend
from sip2gw.cli.app import app
from sip2gw.config import load_config

Command = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def command(postgres_url: str, tmp_path: Path) -> Command:
    """A command that must succeed; its JSON Lines."""
    config = tmp_path / "sip2gw.toml"
    institution = '[institution]\nid = "HUB"\nname = "Hub"\ncurrency = "EUR"\n'
    config.write_text(f'{institution}[store]\nurl = "{postgres_url}"\n')

    def run(*arguments: str) -> list[dict[str, Any]]:
        result = CliRunner().invoke(app, [*arguments, "--config", str(config)])
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


def test_staff_works_on_postgresql_as_well(command: Command) -> None:
    command("check")
    command("relationship", "confirm", "authorisation", "P3", "C1")
    command("badge", "activate", "STUD")
    command("patron", "block", "C1", "--note", "ask")
    (patron,) = command("patron", "show", "C1", "--json")
    assert [one["confirmed"] for one in patron["may_pay_for"]] == [True, True]
    assert [badge["active"] for badge in patron["badges"]] == [True, True]
    assert [block["source"] for block in patron["blocks"]] == ["import", "staff"]
    assert len(command("relationship", "list", "--json")) == 2
    assert len(command("membership", "list", "--json")) == 2
    assert command("payment", "totals", "--json") == []
    assert command("payment", "reconcile", "--json") == []
    assert command("check") == []


def test_the_password_of_the_database_reaches_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        "sip2gw.backend.postgres.open_postgres", lambda url, **options: given.update(options)
    )
    (tmp_path / "password").write_text("s3cret\n")
    config = tmp_path / "sip2gw.toml"
    config.write_text(
        '[institution]\nid = "HUB"\nname = "Hub"\ncurrency = "EUR"\n'
        '[store]\nurl = "postgresql://sip2gw@db/library"\npassword_file = "password"\n'
    )
    open_backend(load_config(config), "command")
    assert given["password"] == "s3cret"
    assert "s3cret" not in repr(load_config(config))
