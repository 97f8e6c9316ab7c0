"""Addresses of databases, for people."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

_PASSWORD_BEFORE_HOST = re.compile(r"postgresql://[^:@]*:.*@", re.DOTALL)
_PASSWORD_IN_QUERY = re.compile(r"postgresql:.*[?&][a-z]*password=", re.DOTALL)


def database_of(url: str) -> str:
    """The database and the hosts that `url` names; never a user or a password."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query).get("host", [""])
    hosts = unquote(parts.netloc.rpartition("@")[2]) or ",".join(asked) or "this machine"
    return f"{unquote(parts.path.lstrip('/')) or 'of the default name'} at {hosts}"


def tells_password(url: str) -> bool:
    """Whether a password may be in the address of a database, however it is written there."""
    return any(form.match(url) for form in (_PASSWORD_BEFORE_HOST, _PASSWORD_IN_QUERY))
