"""What a backup keeps of the configuration (B90): no secret that nobody asked for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sip2gw.config import json_schema, load_config
from sip2gw.config.copying import (
    FILES_OF_THE_GATEWAY,
    PUBLIC_FILES,
    SECRET_FILES,
    SECRETS,
    copies_of,
    without_private_keys,
    without_secrets,
)
from sip2gw.config.tables.files import LEFT_OUT


def keys_with(format_name: str) -> Iterator[str]:
    """The names of all keys of the configuration whose values have this format."""

    def look(name: str, value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if value.get("format") == format_name:
                yield name
            for key, inner in value.items():
                # `anyOf` and the like are about the same key.
                yield from look(key if key not in ("anyOf", "items") else name, inner)
        elif isinstance(value, list):
            for inner in value:
                yield from look(name, inner)

    return look("", json_schema())


def test_each_key_that_names_a_file_says_what_becomes_of_it() -> None:
    assert set(keys_with("file name")) == {*SECRET_FILES, *PUBLIC_FILES, *FILES_OF_THE_GATEWAY}


def test_each_key_with_a_secret_is_masked() -> None:
    assert set(keys_with("password")) == set(SECRETS)


@pytest.mark.parametrize(
    "written",
    [
        'password = "S3cret"',
        "password='S3cret'",
        '"password" = "S3cret"',
        'token   =  "S3cret" # in the open',
        'password = """\nS3cret"""',
        "password = '''\nS3cret '''",
        'password = "a \\" S3cret"',
        'door = { password = "S3cret", x = 1 }',
        '# password = "S3cret"',
        'password_hash = "$argon2id$S3cret"',
        'url = "postgresql://sip2gw:S3cret@db/library"',
        'url = "postgresql://sip2gw:a S3cret@db/library"',
        'url = "postgresql://sip2gw:a/S3cret@db/library"',
        'url = "postgresql://sip2gw:a@S3cret@db/library" # me@example.org',
    ],
)
def test_however_a_secret_is_written_it_is_masked(written: str) -> None:
    text = f'[a]\nkind = "x"\n{written}\nlast = "kept"\n'
    masked = without_secrets(text.encode()).decode()
    assert "S3cret" not in masked
    assert LEFT_OUT.split()[0] in masked
    assert tomllib.loads(masked)["a"]["last"] == "kept"


@pytest.mark.parametrize(
    "written",
    [
        r'"pass\u0077ord" = "S3cret"',
        r'url = "postgresql:\u002f/sip2gw:S3cret@db/library"',
        r'url = "postgresql://sip2gw:a\"S3cret@db/library"',
        'url = "postgresql://sip2gw@db/library?password=S3cret"',
    ],
)
def test_what_resists_is_left_out_as_a_whole(written: str) -> None:
    """Written so that no expression finds it: better no configuration than a password."""
    assert "S3cret" in str(tomllib.loads(written))
    assert without_secrets(written.encode()) == b""


def test_a_certificate_is_kept_without_the_private_key_in_its_file() -> None:
    """`cat cert.pem key.pem > server.pem`: one file for both keys, as proxies want it (B90)."""
    certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    for kind in (b"PRIVATE KEY", b"RSA PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"):
        key = b"-----BEGIN %b-----\nS3cret\n-----END %b-----\n" % (kind, kind)
        for both in (certificate + key, key + certificate):
            kept = without_private_keys(both)
            assert certificate in kept
            assert b"S3cret" not in kept
    cut_off = key[: key.index(b"-----END")]
    assert b"S3cret" not in without_private_keys(cut_off)


CONFIG = """
[institution]
id = "HUB"
[store]
url = "sqlite:library.db"
[server]
tls_certificate = "tls/server.pem"
tls_key = "tls/server.key"
tls_client_ca = "{elsewhere}/ca.pem"
[branches.MAIN]
[profiles.kiosk]
kind = "selfcheck"
[terminals.kiosk-1]
profile = "kiosk"
branch = "MAIN"
password_file = "kiosk.password"
[terminals.kiosk-2]
profile = "kiosk"
branch = "MAIN"
password = "S3cret-2"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    elsewhere, directory = tmp_path / "elsewhere", tmp_path / "etc"
    (directory / "tls").mkdir(parents=True)
    elsewhere.mkdir()
    for file, text in (
        (elsewhere / "ca.pem", "authority"),
        (directory / "tls" / "server.pem", "certificate"),
        (directory / "tls" / "server.key", "private"),
        (directory / "kiosk.password", "S3cret-1\n"),
        (directory / "sip2gw.toml", CONFIG.format(elsewhere=elsewhere)),
    ):
        file.write_text(text)
    return directory / "sip2gw.toml"


def test_without_secrets_only_what_anybody_may_read(site: Path) -> None:
    copies = dict(copies_of(load_config(site), with_secrets=False))
    outside = next(name for name in copies if name.startswith("outside/"))
    assert re.fullmatch(r"outside/.*/elsewhere/ca\.pem", outside)
    assert set(copies) == {"sip2gw.toml", "tls/server.pem", outside}
    assert b"S3cret" not in b"".join(copies.values())


def test_one_file_for_both_keys_is_copied_without_the_private_one(site: Path) -> None:
    key = b"-----BEGIN PRIVATE KEY-----\nS3cret\n-----END PRIVATE KEY-----\n"
    (site.parent / "tls" / "server.pem").write_bytes(b"certificate\n" + key)
    for with_secrets in (False, True):
        kept = dict(copies_of(load_config(site), with_secrets=with_secrets))["tls/server.pem"]
        assert kept.startswith(b"certificate\n")
        assert (key in kept) is with_secrets


def test_with_secrets_it_is_the_whole_configuration(site: Path, tmp_path: Path) -> None:
    copies = dict(copies_of(load_config(site), with_secrets=True))
    assert copies["sip2gw.toml"] == site.read_bytes()
    assert copies["tls/server.key"] == b"private"
    assert copies["kiosk.password"] == b"S3cret-1\n"
    assert len(copies) == 5
