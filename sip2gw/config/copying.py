"""The files of a configuration as a backup keeps them: without secrets, unless they are wanted."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sip2gw.config.load import Config
from sip2gw.config.problems import Problems
from sip2gw.config.reading import read_file
from sip2gw.config.tables.files import LEFT_OUT, Files
from sip2gw.foundation.urls import tells_password

SECRETS = ("password", "password_hash", "token")
"""Keys whose value is a secret."""
SECRET_FILES = (
    "password_file",
    "token_file",
    "tls_key",
    "smtp_password_file",
    "webhook_token_file",
)
"""Keys that name a file with a secret."""
PUBLIC_FILES = ("tls_certificate", "tls_client_ca", "tls_ca")
"""Keys that name a file which anybody may read."""
FILES_OF_THE_GATEWAY = ("pin_secret_file", "spool_file", "socket")
"""Keys that name a file which the gateway makes; what matters of them is a part of its own."""

_MASKED_IN_URL = f":{LEFT_OUT.replace(' ', '-')}@"
_TEXT = r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
_SECRET = re.compile(rf"""(["']?\b(?:{"|".join(SECRETS)})["']?\s*=\s*)(?:{_TEXT})""", re.DOTALL)
_IN_URL = re.compile(r"(postgresql://[^:/@\s\"']*):[^\n\"']*@")
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)


def copies_of(config: Config, *, with_secrets: bool) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file: of the configuration first, then those that it names.

    Raises:
        OSError: one cannot be read.
    """
    content = read_file(config.path)
    yield config.path.name, content if with_secrets else without_secrets(content)
    wanted = (*PUBLIC_FILES, *(SECRET_FILES if with_secrets else ()))
    files = Files(config.path, Problems(str(config.path)))
    names = {value for key, value in _settings(_data(content)) if key in wanted}
    for name in sorted(names):
        path = files.path(name)
        if path is not None:
            data = read_file(path)
            kept = data if with_secrets else without_private_keys(data)
            yield _kept_as(path, config.base_dir), kept


def secret_paths(config: Config) -> Iterator[tuple[str, Path]]:
    """The files with a secret that the configuration names, each with its key."""
    files = Files(config.path, Problems(str(config.path)))
    for key, name in _settings(_data(read_file(config.path))):
        path = files.path(name) if key in (*SECRET_FILES, "pin_secret_file") else None
        if path is not None:
            yield key, path


def without_secrets(content: bytes) -> bytes:
    """The configuration with a mask in place of each secret; empty if one resists."""
    text = _SECRET.sub(rf'\1"{LEFT_OUT}"', content.decode("utf-8"))
    masked = _IN_URL.sub(rf"\1{_MASKED_IN_URL}", text).encode("utf-8")
    try:
        settings = list(_settings(_data(masked)))
    except tomllib.TOMLDecodeError:
        return b""
    return b"" if any(_is_left(key, value) for key, value in settings) else masked


def _is_left(key: str, value: str) -> bool:
    """Whether a secret is still there."""
    if key in SECRETS and value != LEFT_OUT:
        return True
    return tells_password(value.replace(_MASKED_IN_URL, "@"))


def without_private_keys(content: bytes) -> bytes:
    """A certificate without the private key that may stand in the same file."""
    return _PRIVATE_KEY.sub(LEFT_OUT.encode(), content)


def _data(content: bytes) -> Mapping[str, Any]:
    return tomllib.loads(content.decode("utf-8-sig"))


def _settings(table: Any) -> Iterator[tuple[str, str]]:
    """Each key with a text as its value, wherever it stands."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            if isinstance(value, str):
                yield key, value
            else:
                yield from _settings(value)
    elif isinstance(table, Sequence) and not isinstance(table, str):
        for value in table:
            yield from _settings(value)


def _kept_as(path: Path, base: Path) -> str:
    """Its place below the configuration's directory; `outside/…` for what lies elsewhere."""
    whole = Path(path).absolute()
    if whole.is_relative_to(base) and ".." not in whole.parts:
        return str(whole.relative_to(base))
    return str(Path("outside", *(part for part in whole.parts[1:] if part != "..")))
