"""One request over HTTP and its answer."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from sip2gw.client.errors import UnavailableError

ANSWER_BYTES_MAX = 64 * 1024 * 1024


class Raw(NamedTuple):
    """An answer as it came; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Send = Callable[[str, str, Mapping[str, str], bytes], Raw]
"""Sends method, path with query, headers and body."""


def over_http(url: str, timeout_s: float) -> Send:
    """Sends to the gateway at `url`, with a connection for each request.

    Raises:
        ValueError: `url` is none of HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError("the URL is like http://127.0.0.1:9102 or https://library.example")
    host, port, base = parts.hostname, parts.port, parts.path.rstrip("/")
    tls = ssl.create_default_context() if parts.scheme == "https" else None

    def send(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Raw:
        line = (
            http.client.HTTPConnection(host, port, timeout=timeout_s)
            if tls is None
            else http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls)
        )
        try:
            line.request(method, f"{base}{path}", body, dict(headers))
            answer = line.getresponse()
            told = answer.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(0, f"no answer came ({type(error).__name__})") from None
        finally:
            line.close()
        if len(told) > ANSWER_BYTES_MAX:
            raise UnavailableError(0, "the answer is too long")
        return Raw(answer.status, {name.lower(): it for name, it in answer.getheaders()}, told)

    return send
