"""TLS of a test kiosk: whom it trusts, its certificate, and what to do when TLS fails (B88)."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from sip2gw.cli.failures import CommandError, UsageError

PROBE_WITHIN_S = 3.0
_EXPIRED, _TOO_EARLY = 10, 9
_OTHER_NAMES = (62, 64)
"""OpenSSL's codes (`X509_V_ERR_…`) of what is wrong with a certificate."""


class Tls(Struct, frozen=True):
    """What TLS needs of our side."""

    ca: Path | None = None
    """Of the authority that we trust; None: those that this system trusts."""
    certificate: Path | None = None
    key: Path | None = None
    """None: it is in the file of the certificate."""

    @classmethod
    def wanted(
        cls, tls: bool, ca: Path | None, certificate: Path | None, key: Path | None
    ) -> Tls | None:
        """What the options ask for; None for a line without TLS.

        Raises:
            UsageError: the options do not go together.
        """
        if key is not None and certificate is None:
            raise UsageError("--key needs --cert")
        if not tls and (ca is not None or certificate is not None):
            raise UsageError("--ca, --cert and --key need --tls")
        return cls(ca, certificate, key) if tls else None

    def secured(self, context: ssl.SSLContext, line: socket.socket, host: str) -> ssl.SSLSocket:
        """`line` over TLS in our `context`, if what answers is `host` by its certificate.

        Raises:
            CommandError: TLS fails; it says what to do.
        """
        try:
            return context.wrap_socket(line, server_hostname=host)
        except (OSError, ValueError) as error:
            line.close()
            raise CommandError(f"TLS failed: {self._problem(error, host)}") from None

    def context(self) -> ssl.SSLContext:
        """Whom we trust, and who we are.

        Raises:
            UsageError: a file cannot be used.
        """
        for file in filter(None, (self.ca, self.certificate, self.key)):
            try:
                file.open("rb").close()
            except OSError as error:
                raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError:
            raise UsageError(f"--ca {self.ca}: holds no certificate in PEM form") from None
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")
            except ssl.SSLError:
                raise UsageError(
                    f"--cert {self.certificate}: cannot be used with the key in"
                    f" {self.key or 'the same file'}; name a certificate and the key that was made"
                    " with it, in PEM form and unencrypted"
                ) from None
        return context

    def _problem(self, error: Exception, host: str) -> str:
        """Why the handshake failed, and what to do."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._distrust(error, host)
        broke_off = isinstance(error, ssl.SSLError) and not error.reason
        if broke_off or isinstance(error, ssl.SSLEOFError | ConnectionError):
            return (
                "the line was closed before TLS was agreed on; check that a terminal may come from"
                " this machine (networks), and that the port is that of a TLS listener"
            )
        if isinstance(error, TimeoutError):
            return "no answer in time; leave --tls out, or give the port of a TLS listener"
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            return self.refusal(error)
        if isinstance(error, ssl.SSLError):
            return (
                f"what answers speaks no TLS ({error.reason}); leave --tls out,"
                " or give the port of a TLS listener"
            )
        return f"{host} is no name that a certificate may have"

    def _distrust(self, error: ssl.SSLCertVerificationError, host: str) -> str:
        if error.verify_code == _EXPIRED:
            return "the gateway's certificate has expired; renew it, and reload the gateway"
        if error.verify_code == _TOO_EARLY:
            return "the gateway's certificate is not valid yet; check the clocks of both machines"
        if error.verify_code in _OTHER_NAMES:
            return (
                f"the gateway's certificate is not for {host}; use a name that is in it, or make"
                f" one that has {host} as subjectAltName"
            )
        trusted = f"the authority in {self.ca}" if self.ca else "an authority that is trusted here"
        return (
            f"the gateway's certificate is not from {trusted} ({error.verify_message}); name the"
            " file of its authority with --ca"
        )

    def refusal(self, error: Exception | None) -> str:
        """Why the line ended before anything was said; a gateway may refuse a certificate late."""
        alert = getattr(error, "reason", None) or "the line was closed after the handshake"
        if self.certificate is None:
            return (
                f"the gateway may demand a client certificate ({alert}); give one with --cert and"
                " --key"
            )
        return (
            f"the gateway does not take the client certificate ({alert}); give one from the"
            " authority in its tls_client_ca that has not expired"
        )


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake begins at the address, whoever may be there."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with closing(socket.create_connection((host, port), PROBE_WITHIN_S)) as line:
            context.wrap_socket(line, server_hostname=host).close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, ValueError):
        return False
    return True
