"""The files of a configuration as a backup keeps them: without secrets, unless they are wanted."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sip2gw.config.files import LEFT_OUT, Files
from sip2gw.config.load import Config
from sip2gw.config.problems import Problems

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

_TEXT = r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
_SECRET = re.compile(rf"""(["']?\b(?:{"|".join(SECRETS)})["']?\s*=\s*)(?:{_TEXT})""", re.DOTALL)
_IN_URL = re.compile(r"(postgresql://[^:/@\s\"']*):[^/\s\"']*(@)")


def copies_of(config: Config, *, with_secrets: bool) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file: of the configuration first, then those that it names.

    Raises:
        OSError: one cannot be read.
    """
    content = config.path.read_bytes()
    yield config.path.name, content if with_secrets else without_secrets(content)
    wanted = (*PUBLIC_FILES, *(SECRET_FILES if with_secrets else ()))
    files = Files(config.path, Problems(str(config.path)))
    names = {value for key, value in _settings(_data(content)) if key in wanted}
    for name in sorted(names):
        path = files.path(name)
        if path is not None:
            yield _kept_as(path, config.base_dir), path.read_bytes()


def without_secrets(content: bytes) -> bytes:
    """The configuration with a mask in place of each secret; empty if one resists."""
    text = _SECRET.sub(rf'\1"{LEFT_OUT}"', content.decode("utf-8"))
    masked = _IN_URL.sub(rf"\1:{LEFT_OUT.replace(' ', '-')}\2", text).encode("utf-8")
    try:
        left = [value for key, value in _settings(_data(masked)) if key in SECRETS]
    except tomllib.TOMLDecodeError:
        return b""
    return masked if all(value == LEFT_OUT for value in left) else b""


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
