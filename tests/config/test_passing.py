"""The configuration in force goes to another process as it is, secrets included (C131)."""

import os
from pathlib import Path

import pytest
from harness import CONFIG

from sip2gw.backend.base import Capability
from sip2gw.config import load_config
from sip2gw.config.passing import read_config, write_config
from sip2gw.serving.site import build_site


@pytest.fixture
def config(tmp_path: Path):
    (tmp_path / "sip2gw.toml").write_text(CONFIG)
    return load_config(tmp_path / "sip2gw.toml")


def test_it_arrives_whole(config):
    passed = read_config(write_config(config))
    assert passed == config
    ours, theirs = (build_site(one, frozenset(Capability)) for one in (config, passed))
    assert list(ours.by_login) == list(theirs.by_login)
    assert ours.by_name["kiosk-1"].admits_like(theirs.by_name["kiosk-1"])


def test_it_may_be_read_again_and_nobody_else_finds_it(config):
    descriptor = write_config(config)
    copy = os.dup(descriptor)
    assert read_config(descriptor) == read_config(copy) == config
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_it_stays_read_only(config):
    passed = read_config(write_config(config))
    with pytest.raises(TypeError):
        passed.terminals["new"] = None  # type: ignore[index]
