"""Certificates that end soon, or do not belong to their key."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sip2gw.config import Config

ENDS_SOON = timedelta(days=30)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_EXPLICIT_VERSION, _UTC_TIME = 0xA0, 0x17


def about_certificates(config: Config, now: datetime) -> Iterator[str]:
    """What is doubtful about our own certificates and about those that we trust."""
    if config.tls is not None:
        files = config.tls
        yield from _end("server.tls_certificate", files.certificate, now)
        if files.client_ca is not None:
            yield from _end("server.tls_client_ca", files.client_ca, now)
    for name, account in config.accounts.items():
        tls = account.tls
        if tls is None:
            continue
        where = f"backend.sip2 (account {name})"
        if tls.certificate is not None and tls.key is not None:
            yield from _pair(where, tls.certificate, tls.key)
            yield from _end(f"{where} tls_certificate", tls.certificate, now)
        if tls.ca is not None:
            yield from _end(f"{where} tls_ca", tls.ca, now)


def _pair(where: str, certificate: Path, key: Path) -> Iterator[str]:
    """Whether the two belong together, by the TLS library, as when the gateway starts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            told = f"is not the key of tls_certificate ({certificate})"
        else:
            told = "cannot be used with tls_certificate"
        yield (
            f"{where}.tls_key: {key} {told}, so no TLS connection succeeds; name the certificate"
            " and the key that were made together, unencrypted"
        )


def _end(where: str, file: Path, now: datetime) -> Iterator[str]:
    try:
        ends = min(map(end_of, _PEM.findall(file.read_text("ascii"))))
    except (OSError, ValueError, IndexError):
        yield f"{where}: {file} holds no certificate that can be read; name a PEM file"
        return
    if ends <= now:
        yield f"{where}: {file} ended on {ends:%Y-%m-%d}; renew it"
    elif ends - now <= ENDS_SOON:
        yield f"{where}: {file} ends on {ends:%Y-%m-%d}; renew it before"


def end_of(pem: str) -> datetime:
    """The last moment at which a certificate is valid.

    Raises:
        ValueError: it is no certificate.
        IndexError: it is cut off.
    """
    ((_, certificate),) = _elements(ssl.PEM_cert_to_DER_cert(pem))
    _, body = next(_elements(certificate))
    # [version,] serial number, algorithm, issuer, validity, and more (RFC 5280, 4.1)
    fields = [content for tag, content in _elements(body) if tag != _EXPLICIT_VERSION]
    _, (tag, text) = _elements(fields[3])
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER element in `data`."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size]), at + size
        yield tag, data[at : at + length]
        at += length
