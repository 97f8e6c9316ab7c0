"""A mail server on the loopback that behaves as badly as it is told."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage

TAKE = "take"
HANG_UP = "hang up"
"""Close the connection without a word."""
BUSY = "busy"
"""Answer the connection with 421."""
GIBBERISH = "gibberish"
"""Say something that is not SMTP."""
HANG = "hang"
"""Never say anything."""
HANG_AT_RCPT = "hang at RCPT"
DROP_BEFORE_DATA = "drop before DATA"
DROP_AFTER_DATA = "drop after DATA"
"""Take the e-mail and say nothing about it."""
HANG_AFTER_DATA = "hang after DATA"
"""Take the e-mail and say nothing about it, nor hang up."""
RCPT_451, RCPT_550, DATA_554 = "451 at RCPT", "550 at RCPT", "554 at DATA"


class MailServer:
    """Plays one behaviour for each connection, the last one for all further ones.

    Args:
        behaviours: what to do.
        tls: to offer STARTTLS with, or, with `from_start`, to begin with.
        login: user and password that are asked for.
    """

    def __init__(
        self,
        behaviours: Iterable[str] = (TAKE,),
        *,
        tls: ssl.SSLContext | None = None,
        from_start: bool = False,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.behaviours = list(behaviours)
        self.taken: Counter[str] = Counter()
        """How often each Message-ID was taken and confirmed."""
        self.unconfirmed: Counter[str] = Counter()
        """How often it was taken, but the connection dropped."""
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.said: list[str] = []
        """The first word of each command, with `(TLS)` when encrypted."""
        self.connections = 0
        self.was_connected = asyncio.Event()
        self.has_message = asyncio.Event()
        self.port = 0
        self._tls, self._from_start, self._login = tls, from_start, login
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MailServer]:
        """Listen on a port of the loopback."""
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls if self._from_start else None
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.was_connected.set()
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._talk(behaviour, reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _talk(
        self, behaviour: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if behaviour == HANG_UP:
            return
        if behaviour == HANG:
            await asyncio.sleep(3600)
        if behaviour == BUSY:
            writer.write(b"421 too busy\r\n")
            return
        if behaviour == GIBBERISH:
            writer.write(b"\x00\xff\r\n")
            return
        writer.write(b"220 test\r\n")
        is_encrypted, is_known = self._from_start, self._login is None
        recipient = ""
        while line := (await reader.readline()).decode().strip():
            word = line.partition(" ")[0].upper()
            self.said.append(f"{word} (TLS)" if is_encrypted else word)
            if word == "EHLO":
                offers = ["test", "8BITMIME"]
                if self._tls is not None and not is_encrypted:
                    offers.append("STARTTLS")
                if self._login is not None:
                    offers.append("AUTH PLAIN")
                marks = ["-"] * (len(offers) - 1) + [" "]
                lines = (f"250{mark}{o}\r\n" for mark, o in zip(marks, offers, strict=True))
                writer.write("".join(lines).encode())
            elif word == "STARTTLS":
                assert self._tls is not None
                writer.write(b"220 go\r\n")
                await writer.drain()
                await writer.start_tls(self._tls)
                is_encrypted = True
            elif word == "AUTH":
                assert self._login is not None
                wanted = base64.b64encode(b"\0" + "\0".join(self._login).encode()).decode()
                is_known = line.split()[-1] == wanted
                writer.write(b"235 ok\r\n" if is_known else b"535 ann@example.org is wrong\r\n")
            elif word == "MAIL":
                writer.write(b"250 ok\r\n" if is_known else b"530 log in\r\n")
            elif word == "RCPT":
                recipient = line
                if behaviour == HANG_AT_RCPT:
                    await asyncio.sleep(3600)
                answers = {RCPT_451: b"451 later", RCPT_550: b"550 no ann@example.org here"}
                writer.write(answers.get(behaviour, b"250 ok") + b"\r\n")
            elif word == "DATA":
                if behaviour == DROP_BEFORE_DATA:
                    return
                writer.write(b"354 go\r\n")
                text = await reader.readuntil(b"\r\n.\r\n")
                if not self._has_taken(behaviour, text, recipient, writer):
                    if behaviour == HANG_AFTER_DATA:
                        await asyncio.sleep(3600)
                    return
            elif word == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")

    def _has_taken(
        self, behaviour: str, text: bytes, recipient: str, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether to go on."""
        if behaviour == DATA_554:
            writer.write(b"554 no\r\n")
            return True
        message = email.message_from_bytes(text[:-5], policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.has_message.set()
        self.recipients.append(recipient)
        dropped = behaviour in (DROP_AFTER_DATA, HANG_AFTER_DATA)
        (self.unconfirmed if dropped else self.taken)[message["Message-ID"]] += 1
        if not dropped:
            writer.write(b"250 taken\r\n")
        return not dropped
