"""A bad file is refused whole, and every line of the refusal helps to mend it (B66)."""

import os
import re
import tempfile
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sip2gw.config import ConfigError, load_config
from sip2gw.config.lines import lines_of_keys

CANARY = "canary-4711"
BASE = '[institution]\nid = "HUB"\n[profiles.p]\nkind = "auth"\n[profiles.d]\nkind = "door"\n'
TERMINAL = '[terminals.t]\nprofile = "p"\n'


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with `text`, without the file and line that each begins with."""
    file = tmp_path / "bad.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == "\n".join(caught.value.problems)
    place = re.compile(rf"{re.escape(str(file))}(:[1-9]\d*)?: ")
    assert all(place.match(line) for line in caught.value.problems)
    return [place.sub("", line) for line in caught.value.problems]


def examples() -> list[tuple[str, list[str]]]:
    """What stands in `refused.txt`: TOML and the expected lines."""
    blocks = (Path(__file__).parent / "refused.txt").read_text(encoding="utf-8").split("====\n")[1:]
    found = []
    for block in blocks:
        text, _, expected = block.partition("-->\n")
        text = text.replace("BASE TERMINAL\n", BASE + TERMINAL).replace("BASE\n", BASE)
        found.append((text, expected.splitlines()))
    return found


@pytest.mark.parametrize(("text", "expected"), examples())
def test_each_problem_names_key_value_and_what_is_allowed_b66(
    text: str, expected: list[str]
) -> None:
    # A short name, for long values are cut.
    with tempfile.TemporaryDirectory() as directory:
        found = problems(Path(directory), text)
    assert [line.replace(directory, "DIR") for line in found] == expected


def test_all_problems_are_named_at_once_b66(tmp_path: Path) -> None:
    found = problems(
        tmp_path, BASE + '[server]\nworkers = 0\n[log]\nlevel = "x"\n[security]\npin_lock_min = 0'
    )
    assert [line.partition(":")[0] for line in found] == [
        "server.workers",
        "security.pin_lock_min",
        "log.level",
    ]


def test_an_unknown_text_key_lists_the_known_ones_b29(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, BASE + '[texts.nl]\ngrantd = "Dag"')
    assert line.startswith(
        "texts.nl.grantd: unknown text key; got 'grantd'; allowed: granted, closed,"
    )


LAID_OUT = """\
# Comment with a [table] and a key = 1
institution = { id = "HUB", nme = "Hub" }

[server]
listen = [
  "127.0.0.1:6001",  # fine
  "nowhere",
]

[branches."A.B"]
name = \"\"\"
[log]
level = "no key of the file"\"\"\"

[[branches."A.B".exceptions]]
date = 2026-12-25
state = 'closed'
[[branches."A.B".exceptions]]
date = 2026-12-25T10:00:00
state = "shut"

[log]
a.b = 1
level.x = [[1, 2], [
  3]]
"""


def test_each_problem_names_the_line_that_must_be_changed_b66(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    # As an editor on Windows saves it: with a byte order mark and its own line ends.
    file.write_bytes(b"\xef\xbb\xbf" + LAID_OUT.replace("\n", "\r\n").encode())
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    told = [line.removeprefix(f"{file}:") for line in caught.value.problems]
    assert [": ".join(line.split(": ")[:2]) for line in told] == [
        "2: institution.nme",
        "7: server.listen.2",
        "24: log.level",
        "23: log.a",
        "11: branches.A.B.name",
        "19: branches.A.B.exceptions.2.date",
        "20: branches.A.B.exceptions.2.state",
    ]


def test_a_missing_key_is_asked_for_in_the_line_of_its_table_b66(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(BASE + "[terminals.t]\n")
    with pytest.raises(ConfigError, match=rf"^{file}:7: terminals\.t\.profile: is required"):
        load_config(file)


def test_what_is_not_toml_is_named_with_its_line_b66(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(BASE + "[server\n")
    with pytest.raises(ConfigError, match=r"bad.toml:7: is not valid TOML: .* \(column 8\)$"):
        load_config(file)


def _keys(value: Any, key: str = "") -> Iterator[str]:
    """The full keys of everything in `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value, 1)
    for name, one in inner:
        full = f"{key}.{name}".lstrip(".")
        yield full
        if isinstance(one, dict | list):
            yield from _keys(one, full)


def test_the_line_of_every_key_in_these_examples_is_known() -> None:
    for text, _ in examples():
        with suppress(tomllib.TOMLDecodeError):
            keys = list(_keys(tomllib.loads(text)))
            lines = lines_of_keys(text)
            assert [key for key in keys if key not in lines] == []
            for key in keys:
                name = key.rpartition(".")[2]
                assert name.isdigit() or name in text.splitlines()[lines[key] - 1]


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, BASE + f'[log]\nlevel = "{"x" * 5000}"')
    assert len(line) < 250


def test_a_missing_file_is_a_problem_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.toml")


def test_a_configuration_that_is_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(
        ConfigError, match=r"pipe\.toml: cannot be read: it is a pipe or a device; "
    ):
        load_config(tmp_path / "pipe.toml")


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("server.tls_certificate", '[server]\ntls_certificate = "pipe"'),
        ("outbox.webhook_token_file", '[outbox]\nwebhook_token_file = "pipe"'),
        ("terminals.t.password_file", TERMINAL + 'password_file = "pipe"'),
    ],
)
def test_a_file_that_is_a_named_pipe_is_refused_at_once(
    tmp_path: Path, key: str, table: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (line,) = [one for one in problems(tmp_path, BASE + table) if f"{key}: cannot" in one]
    assert "cannot be read: it is a pipe or a device; name a regular file; got '" in line


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes('[institution]\nid = "é"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml: line 2 is not UTF-8; save"):
        load_config(file)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            None,
            "terminals.t.password_file: cannot be read: No such file or directory; got 'secret'",
        ),
        (b"\n", "terminals.t.password_file: is empty, so everybody would know it"),
        (
            b"canary-4711\nsecond line\n",
            "terminals.t.password_file: must be one line of at most 255 characters",
        ),
        (
            b"canary-4711" * 30,
            "terminals.t.password_file: must be one line of at most 255 characters",
        ),
        (b"canary-4711\xff", "terminals.t.password_file: is not UTF-8 text; got 'secret'"),
    ],
)
def test_a_secret_file_must_hold_one_line_b12(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    assert problems(tmp_path, BASE + TERMINAL + 'password_file = "secret"') == [problem]


@pytest.mark.parametrize(
    "lines",
    [
        f'passwort = "{CANARY}"',
        f'password = "{CANARY}"\npassword_file = "x"',
        f'password = ["{CANARY}"]',
        f'password = {{ text = "{CANARY}" }}',
        f'password_hash = "{CANARY}"',
        f'password = "{CANARY}{"x" * 300}"',
        f'password = "{CANARY}\\n"',
        f'password = "{CANARY}"\nprofile2 = "{CANARY}"',
        f'password = "x"\n[admin.tokens.a]\nrole = "view"\ntoken = "{CANARY}"',
        f'password = "x"\n[admin.tokens.a]\nrole = "view"\ntoken_file = "x"\ntoken = "{CANARY}"',
        f'password = "x"\n[store]\nurl = "mysql://gw:{CANARY}@host/db"',
        f'password = "x"\n[store]\nurl = "postgresql:/gw:{CANARY}@host/db/"\npassword = 3',
        f'password = "x"\n[store]\nurl = "postgresql://gw:{CANARY}@host/db"\npassword = "y"',
        f'password = "x"\n[terminals]\nu = "{CANARY}"',
        f'password = "x"\n[terminals.u]\nprofile = "p"\npassword = "{CANARY}" x',
    ],
)
def test_no_secret_is_in_an_error_b16(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(BASE + TERMINAL + lines)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert CANARY not in "".join(traceback.format_exception(caught.value, chain=True))
    assert CANARY not in repr(caught.value)


def test_no_secret_login_or_card_is_in_a_repr_or_the_public_view_b16(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(CANARY)
    file = tmp_path / "good.toml"
    file.write_text(
        BASE
        + f"""
        [store]
        url = "postgresql://gw:{CANARY}@host/db"
        [admin]
        token = "{CANARY}"
        [backend]
        kind = "sip2"
        sip2 = {{ address = "ils:6001", login = "{CANARY}", password = "{CANARY}" }}
        [branches.MAIN]
        bar = [{{ card = "{CANARY}", note = "x" }}]
        pass = [{{ card = "{CANARY}" }}]
        [terminals.t]
        profile = "p"
        branch = "MAIN"
        login = "{CANARY}"
        password_file = "secret"
        [terminals.u]
        profile = "p"
        password = "{CANARY}"
        """
    )
    config = load_config(file)
    terminal = config.terminals[CANARY]
    shown = [config, config.source, terminal, terminal.branch]
    shown += [config.source.model_dump()["store"], config.admin, config.store, config.backend]
    for value in shown:
        assert CANARY not in repr(value)
        assert CANARY not in str(value)
