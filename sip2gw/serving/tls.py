"""TLS with terminals: our side of it, why a handshake failed, and who the other side is.

A context lasts as long as the lines that began with it, so a reload makes new ones and drops nobody
(B88, C101, C173).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from asyncio import sslproto
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from sip2gw.config import ClientCertificate, Config, ConfigError, Listener, TlsFiles
from sip2gw.config.reading import read_file
from sip2gw.serving.arrivals import RECEIVE_BYTES

_FILES_ARE = Path("/proc/self/fd")

Contexts = Mapping[ClientCertificate | None, ssl.SSLContext]
"""By whether terminals are asked for a certificate."""

_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY: Mapping[ClientCertificate | None, ssl.VerifyMode] = {
    None: ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}

# Trap: by default asyncio reserves 256 KiB for each line, whatever it sends (C137).
sslproto.SSLProtocol.max_size = RECEIVE_BYTES


def holding(config: Config) -> Config:
    """`config` with what its files hold now, for processes that begin when they may have changed.

    Reads files, so it is for a thread. A file that cannot be read is left to `contexts_of`.
    """
    files = config.tls
    if files is None:
        return config
    held = {}
    for path in (files.certificate, files.key, files.client_ca):
        if path is not None:
            with suppress(OSError):
                held[path] = read_file(path)
    return replace(config, tls=TlsFiles(files.certificate, files.key, files.client_ca, held))


@contextmanager
def _file(files: TlsFiles, path: Path) -> Iterator[Path]:
    """Where `path` can be read as it came into force; OpenSSL takes a key only from a file."""
    if path not in files.held:
        yield path
        return
    with open(os.memfd_create("sip2gw-tls"), "wb") as memory:
        memory.write(files.held[path])
        memory.flush()
        yield _FILES_ARE / str(memory.fileno())


def contexts_of(config: Config) -> Contexts:
    """All contexts that the files of `config` suffice for. Reads files, so it is for a thread.

    Raises:
        ConfigError: a file is of no use; says what to do.
    """
    files = config.tls
    if files is None:
        return {}
    kinds: list[ClientCertificate | None] = [None]
    if files.client_ca is not None:
        kinds += ["optional", "required"]
    return {kind: _context(config, kind) for kind in kinds}


def _context(config: Config, asks: ClientCertificate | None) -> ssl.SSLContext:
    files = config.tls
    assert files is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = _MINIMUM[config.server.tls_minimum]
    context.verify_mode = _VERIFY[asks]
    try:
        # Without the empty password OpenSSL would ask for one on the terminal.
        with _file(files, files.certificate) as certificate, _file(files, files.key) as key:
            context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            why = "is not the key of tls_certificate"
        else:
            why = "cannot be used with tls_certificate"
        raise _unusable(
            config,
            f"server.tls_key: {files.key} {why} ({files.certificate}); name unencrypted PEM files"
            " of a certificate and its own key",
        ) from None
    if asks is not None:
        assert files.client_ca is not None
        try:
            with _file(files, files.client_ca) as client_ca:
                context.load_verify_locations(client_ca)
        except (OSError, ValueError):
            raise _unusable(
                config,
                f"server.tls_client_ca: {files.client_ca} holds no certificate that can be read;"
                " name a PEM file",
            ) from None
    return context


def _unusable(config: Config, problem: str) -> ConfigError:
    return ConfigError((f"{config.path}: {problem}",))


def sufficient(new: TlsFiles | None, old: TlsFiles | None) -> TlsFiles | None:
    """The files in force, with what listeners that began with the old ones may still need."""
    if new is None or old is None:
        return new or old
    held = {**old.held, **new.held}
    return TlsFiles(new.certificate, new.key, new.client_ca or old.client_ca, held)


def context_for(listener: Listener, contexts: Contexts) -> ssl.SSLContext | None:
    """The context of the lines at `listener`; None: they are plain."""
    return contexts[listener.client_certificate] if listener.tls else None


def client_names(secure: asyncio.BaseTransport) -> frozenset[str]:
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


_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "NO_PROTOCOLS_AVAILABLE": "version",
    "INAPPROPRIATE_FALLBACK": "version",
    "NO_SHARED_CIPHER": "version",
    "CERTIFICATE_VERIFY_FAILED": "bad_certificate",
    "BAD_SIGNATURE": "bad_certificate",
    "WRONG_SIGNATURE_TYPE": "bad_certificate",
    "UNEXPECTED_EOF_WHILE_READING": "client_aborted",
}
"""What OpenSSL calls it, and how it is counted."""


def failure(error: BaseException) -> tuple[str, str]:
    """Why a handshake failed: a reason to count (C173), and the cause in OpenSSL's words."""
    if isinstance(error, asyncio.CancelledError):
        return "timeout", "no handshake in time"
    if not isinstance(error, ssl.SSLError):
        return "client_aborted", "hung up"
    name = error.reason or "UNEXPECTED_EOF_WHILE_READING"
    reason = _REASONS.get(name, "client_aborted" if "_ALERT_" in name else "not_tls")
    told = getattr(error, "verify_message", "") or name.lower().replace("_", " ")
    return reason, told
