"""TLS on a terminal's line: our side of the handshake, and what the other side's says (C101)."""

from __future__ import annotations

import asyncio
import ssl

from sip2gw.config import TlsFiles


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Our certificate, and the authority whose certificates terminals must show, if any."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def shake_hands(
    raw: asyncio.Transport, line: asyncio.Protocol, tls: ssl.SSLContext, within_s: float
) -> asyncio.Transport | None:
    """The transport over which `line` speaks TLS from now on; None when nothing came of it."""
    try:
        return await asyncio.get_running_loop().start_tls(
            raw, line, tls, server_side=True, ssl_handshake_timeout=within_s
        )
    except Exception:
        # Whatever went wrong, with the peer or in the TLS library: its place is to be free again.
        return None


def client_names(secure: asyncio.Transport) -> frozenset[str]:
    """Common and alternative names of the client's certificate, which was verified."""
    certificate = secure.get_extra_info("peercert")
    if not certificate:
        return frozenset()
    names: set[str] = set()
    alternatives = certificate.get("subjectAltName", ())
    subject = certificate.get("subject", ())
    assert isinstance(alternatives, tuple)
    assert isinstance(subject, tuple)
    names.update(value for _, value in alternatives)
    names.update(value for part in subject for key, value in part if key == "commonName")
    return frozenset(names)
