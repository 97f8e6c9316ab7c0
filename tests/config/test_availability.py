"""What this version cannot do yet is refused when it is asked for, never ignored."""

import pytest
from harness import CONFIG

from sip2gw.config import load_config
from sip2gw.config.availability import unavailable
from sip2gw.daemon.app import serve


def load(tmp_path, text):
    path = tmp_path / "sip2gw.toml"
    path.write_text(text)
    return load_config(path)


def test_the_example_asks_for_nothing_that_is_missing(tmp_path):
    assert unavailable(load(tmp_path, CONFIG)) == []


def test_serve_refuses_it_by_name(tmp_path, capfd):
    config = load(tmp_path, with_line("backend", UPSTREAM))
    assert serve(config) == 2
    told = capfd.readouterr().err
    assert str(config.path) in told
    assert "backend.sip2: the gateway asks no other library system" in told


def test_a_library_system_behind_the_gateway_is_available(tmp_path):
    assert unavailable(load(tmp_path, with_line("backend", f'kind = "sip2"\n{UPSTREAM}'))) == []


UPSTREAM = 'sip2 = { address = "127.0.0.1:6002", login = "x" }'


@pytest.mark.parametrize(
    ("key", "table", "line"),
    [
        ("admin.token", "admin", 'token = "hush-hush"'),
        ("admin.token_file", "admin", 'token_file = "token"'),
        ("backend.sip2", "backend", UPSTREAM),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path, key, table, line):
    """An operator who sets a key relies on it."""
    (tmp_path / "token").write_text("hush-hush")
    (problem,) = unavailable(load(tmp_path, with_line(table, line)))
    assert f": {key}: " in problem
    assert "leave the" in problem
    assert "hush-hush" not in problem


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("backend", 'kind = "store"'),
        ("support", "enabled = true"),
    ],
)
def test_a_default_may_be_written_out(tmp_path, table, line):
    assert unavailable(load(tmp_path, with_line(table, line))) == []


def with_line(table, line):
    heading = f"[{table}]\n"
    if heading in CONFIG:
        return CONFIG.replace(heading, f"{heading}{line}\n", 1)
    return f"{CONFIG}\n{heading}{line}\n"
