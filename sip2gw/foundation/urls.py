"""Addresses of databases, for people."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit


def database_of(url: str) -> str:
    """The database and the hosts that `url` names; never a user or a password."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query).get("host", [""])
    hosts = unquote(parts.netloc.rpartition("@")[2]) or ",".join(asked) or "this machine"
    return f"{unquote(parts.path.lstrip('/')) or 'of the default name'} at {hosts}"
