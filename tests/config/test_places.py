"""Where the gateway's own files are when the configuration does not say (C98, C130)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sip2gw.config import load_config
from sip2gw.config.places import find_socket

MINIMAL = '[institution]\nid = "HUB"\n'


@pytest.fixture(autouse=True)
def without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)


def written(directory: Path, text: str = MINIMAL) -> Path:
    file = directory / "hub.toml"
    file.write_text(text)
    return file


def test_they_lie_beside_the_configuration_and_are_named_after_it(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    assert config.socket_path == tmp_path / "hub.control"
    assert config.spool_path == tmp_path / "hub.spool"


def test_under_systemd_they_are_where_the_service_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/sip2gw:/run/more")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/sip2gw")
    config = load_config(written(tmp_path))
    assert config.socket_path == Path("/run/sip2gw/hub.control")
    assert config.spool_path == Path("/var/lib/sip2gw/hub.spool")


def test_what_the_configuration_says_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/sip2gw")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/sip2gw")
    file = written(
        tmp_path,
        MINIMAL + '[store]\nspool_file = "/x/y.spool"\n[server]\nsocket = "my.control"\n',
    )
    config = load_config(file)
    assert config.socket_path == find_socket(file) == tmp_path / "my.control"
    assert config.spool_path == Path("/x/y.spool")


@pytest.mark.parametrize(
    "text",
    [
        "not TOML",
        "",
        "server = 7",
        "[server]\nsocket = 7",
        '[server]\nsocket = ""',
        "[server]\nlisten = 7",
    ],
)
def test_a_command_finds_the_gateway_though_the_configuration_is_not_valid(
    tmp_path: Path, text: str
) -> None:
    assert find_socket(written(tmp_path, text)) == tmp_path / "hub.control"
    assert find_socket(tmp_path / "missing.toml") == tmp_path / "missing.control"


def test_a_command_finds_the_gateway_although_the_configuration_is_a_named_pipe_now(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "hub.toml")
    assert find_socket(tmp_path / "hub.toml") == tmp_path / "hub.control"
