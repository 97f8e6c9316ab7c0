"""A small library system that plays a script, for `upstream check`."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sip2gw.protocol.checksum import checksum_digits, split_trailer

Answer = bytes | Callable[[bytes], bytes | None] | None
"""A body, or what makes one from the request; None closes the line, b"" is silence."""

ON_LINE = b"98YYYYYN60000320260310    1200002.00AOTOWN|AMTown Library|BXYYYNYYYYYYYNNNYN|"
ANNA = (
    b"64              00020260310    120000000000000001000000000000"
    b"AOTOWN|AA1001|AEAnna Claes|BLY|PB19800501|PCADULT|AFGreetings, Anna 12|"
)


def byte_sum(text: bytes) -> bytes:
    return checksum_digits(text)


def character_sum(text: bytes) -> bytes:
    """The same over the characters of UTF-8 text."""
    return b"%04X" % (-sum(map(ord, text.decode())) & 0xFFFF)


class Library:
    """Answers requests by their code, on as many lines as come."""

    def __init__(
        self,
        answers: dict[str, Answer],
        *,
        line_end: bytes = b"\r",
        sums: Callable[[bytes], bytes] | None = byte_sum,
        greeting: bytes = b"",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.heard: list[bytes] = []
        self.lines = 0
        self._answers, self._line_end, self._sums = answers, line_end, sums
        self._greeting, self._tls = greeting, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.lines += 1
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        with suppress(OSError), line:
            secured = self._tls.wrap_socket(line, server_side=True) if self._tls else line
            with secured, secured.makefile("rwb") as stream:
                stream.write(self._greeting)
                stream.flush()
                while self._one(stream):
                    pass

    def _one(self, stream: Any) -> bool:
        frame = bytearray()
        while not frame.endswith(b"\r"):
            byte = stream.read(1)
            if not byte:
                return False
            frame += byte
        request = bytes(frame).strip()
        self.heard.append(request)
        answer = self._answers.get(request[:2].decode("latin-1"))
        if callable(answer):
            answer = answer(request)
        if answer is None:
            return False
        if answer:
            stream.write(self._sealed(answer, request) + self._line_end)
            stream.flush()
        return True

    def _sealed(self, body: bytes, request: bytes) -> bytes:
        trailer = split_trailer(request)
        if self._sums is None or not trailer.has_checksum or not body.endswith(b"|"):
            return body
        start = body + b"AY" + trailer.sequence + b"AZ"
        return start + self._sums(start)

    @property
    def codes(self) -> list[str]:
        """What was asked, in order."""
        return [frame[:2].decode("latin-1") for frame in self.heard]

    def close(self) -> None:
        # Closing alone does not wake a thread in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@contextmanager
def library(**answers: Any) -> Iterator[Library]:
    """One that answers `_93`, `_99`…, by default as a quiet Koha would."""
    options = {key: answers.pop(key) for key in list(answers) if not key.startswith("_")}
    usual: dict[str, Answer] = {"93": b"941", "99": ON_LINE, "63": ANNA}
    own = {key.removeprefix("_"): answer for key, answer in answers.items()}
    played = Library(usual | own, **options)
    try:
        yield played
    finally:
        played.close()
