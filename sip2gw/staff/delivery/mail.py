"""Handing a letter to a mail server (RFC 5321), with TLS exactly as configured (C162)."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address as MailAddress
from email.message import EmailMessage
from email.policy import SMTP as AS_SENT
from typing import Literal

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)
from msgspec import Struct

from sip2gw.config.tables.outbox import Sender
from sip2gw.config.types import Address
from sip2gw.model.notices import Channel
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.staff.delivery.channel import (
    ANSWER_S,
    ATTEMPT_S,
    Letter,
    NotTakenError,
)

_GOODBYE_S = 2.0
_CLOSING = 421
"""The server's answer to anything when it does not go on."""


class MailSettings(Discreet, Struct, frozen=True):
    """How to reach the mail server."""

    server: Address
    tls: Literal["none", "starttls", "tls"]
    login: str | None
    password: Hidden[str | None]
    sender: Sender
    answer_s: float = ANSWER_S


class Mail:
    """The mail server, one connection for each letter.

    Making one reads the system's certificates, so do it in a thread.
    """

    kind = Channel.EMAIL

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._tls = ssl.create_default_context() if settings.tls != "none" else None
        self._name = socket.gethostname()

    @property
    def domain(self) -> str:
        """The sender's."""
        return self._settings.sender.domain

    async def deliver(self, letter: Letter) -> None:
        """Hand `letter` over; see `DeliveryChannel.deliver`."""
        assert letter.to is not None
        settings, message = self._settings, self._message(letter)
        client = SMTP(
            hostname=settings.server.host,
            port=settings.server.port,
            username=settings.login,
            password=settings.password,
            local_hostname=self._name,
            timeout=settings.answer_s,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
        )
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await client.connect()
                await client.sendmail(settings.sender.address, [letter.to], message)
        except (SMTPException, OSError, TimeoutError) as error:
            raise _not_taken(error) from None
        else:
            # It has been taken: whatever happens from here on changes nothing about that.
            with suppress(Exception):
                async with asyncio.timeout(_GOODBYE_S):
                    await client.quit()
        finally:
            client.close()

    def _message(self, letter: Letter) -> bytes:
        """The e-mail; the policy refuses a header with a line end in it."""
        sender, message = self._settings.sender, EmailMessage(policy=AS_SENT)
        message["From"] = MailAddress(display_name=sender.name, addr_spec=sender.address)
        message["To"] = MailAddress(addr_spec=letter.to)
        message["Subject"] = letter.subject
        message["Date"] = datetime.now(UTC)
        message["Message-ID"] = letter.message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text, cte="quoted-printable")
        message["Content-Language"] = letter.language
        return message.as_bytes()


def _not_taken(error: Exception) -> NotTakenError:
    """The failure in our words: the server's own may contain the address."""
    match error:
        case SMTPRecipientsRefused():
            code = error.recipients[0].code
            return NotTakenError(
                f"the mail server refused the address with {code}", reachable=code != _CLOSING
            )
        case SMTPAuthenticationError():
            return NotTakenError(f"the mail server refused the login with {error.code}")
        case SMTPDataError():
            return NotTakenError(
                f"the mail server refused the e-mail with {error.code}",
                reachable=error.code != _CLOSING,
            )
        case SMTPResponseException(code=-1):
            return NotTakenError("the mail server does not answer as mail servers do")
        case SMTPResponseException():
            return NotTakenError(f"the mail server answered {error.code}")
        case SMTPTimeoutError() | TimeoutError():
            return NotTakenError("the mail server did not answer in time")
        case SMTPServerDisconnected():
            return NotTakenError("the mail server closed the connection")
        case SMTPConnectError() | OSError():
            cause = error.__cause__ or error.__context__ or error
            if isinstance(cause, SMTPServerDisconnected):
                return NotTakenError("the mail server closed the connection")
            return NotTakenError(f"no connection to the mail server: {_reason(cause)}")
    return NotTakenError(f"the mail server cannot do what is configured: {error}")


def _reason(cause: BaseException) -> str:
    """What the system says about a connection that failed."""
    match cause:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not valid: {cause.verify_message}"
        case socket.gaierror() | ssl.SSLError():
            return str(cause.strerror)
        case OSError(errno=int(number)):
            return os.strerror(number)
    return str(cause) or type(cause).__name__
