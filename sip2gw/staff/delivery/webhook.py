"""Handing a letter to a program of the library's own: JSON by POST, 2xx means taken (C162)."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from contextlib import suppress
from urllib.parse import SplitResult

import msgspec

from sip2gw import __version__
from sip2gw.model.notices import Channel
from sip2gw.staff.delivery.channel import (
    ANSWER_S,
    ATTEMPT_S,
    Letter,
    NotTakenError,
)

_ABOUT_THE_LETTER = (400, 409, 410, 413, 422)
"""With these the program refuses this letter; with any other status it refuses us."""


class Webhook:
    """The program. Each request runs in a thread and on a connection of its own.

    Making one reads the system's certificates, so do it in a thread.
    """

    kind = Channel.WEBHOOK

    def __init__(
        self,
        url: SplitResult,
        token: str | None,
        *,
        answer_s: float = ANSWER_S,
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self._host, self._port = url.hostname or "", url.port
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._answer_s, self._attempt_s = answer_s, attempt_s
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"sip2gw/{__version__}",
        }
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    @property
    def domain(self) -> str:
        """Its host."""
        return self._host

    async def deliver(self, letter: Letter) -> None:
        """Hand `letter` over; see `DeliveryChannel.deliver`."""
        connection = self._connection()
        try:
            async with asyncio.timeout(self._attempt_s):
                status = await asyncio.to_thread(self._post, connection, letter)
        except TimeoutError:
            raise NotTakenError("the webhook did not answer in time") from None
        except ssl.SSLCertVerificationError as error:
            raise NotTakenError(
                f"the webhook's certificate is not valid: {error.verify_message}"
            ) from None
        except (BrokenPipeError, ConnectionAbortedError, ConnectionResetError):
            raise NotTakenError("the webhook closed the connection") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise NotTakenError(f"no connection to the webhook: {reason}") from None
        except http.client.HTTPException:
            raise NotTakenError("the webhook does not answer in HTTP") from None
        finally:
            _hang_up(connection)
        if not 200 <= status < 300:
            raise NotTakenError(
                f"the webhook answered {status}", reachable=status in _ABOUT_THE_LETTER
            )

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._answer_s)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._answer_s, context=self._tls
        )

    def _post(self, connection: http.client.HTTPConnection, letter: Letter) -> int:
        headers = {**self._headers, "Idempotency-Key": letter.id}
        connection.request("POST", self._target, _body(letter), headers)
        return connection.getresponse().status


def _body(letter: Letter) -> bytes:
    return msgspec.json.encode(
        {
            "id": letter.id,
            "kind": letter.kind,
            "patron": letter.patron_id,
            "to": letter.to,
            "language": letter.language,
            "subject": letter.subject,
            "text": letter.text,
            "values": dict(letter.values),
            "created": letter.created.isoformat(),
        }
    )


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """Close it; a thread that still waits for an answer notices."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
