"""`send` and `decode`: SIP2 messages made readable; every secret is masked."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from msgspec import Struct

from sip2gw.cli.common import ConfigOption, say
from sip2gw.cli.failures import UsageError
from sip2gw.cli.kiosk.options import CaOption, CertOption, KeyOption, TlsOption
from sip2gw.cli.passwords import PasswordFileOption, PasswordOption, read_password
from sip2gw.protocol.encoding import ENCODINGS
from sip2gw.protocol.structs import Opaque

if TYPE_CHECKING:
    from sip2gw.cli.kiosk.client import Credentials, Kiosk, Show
    from sip2gw.cli.kiosk.requests import Wanted
    from sip2gw.protocol.wire import WireFormat

RAW = "raw"

EncodingOption = Annotated[
    str, typer.Option(metavar="E", help=f"{', '.join(ENCODINGS[:-1])} or {ENCODINGS[-1]}.")
]


def send(
    to: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address of the gateway.")],
    message: Annotated[
        str | None,
        typer.Argument(
            metavar="[MESSAGE]",
            help="Code or name (63, patron-information), or raw. Default: 93 and 99.",
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE...]",
            help="Fields by tag (AA=123) or attribute (summary=fines); with raw: the text.",
        ),
    ] = None,
    login: Annotated[str | None, typer.Option(metavar="L", help="Login of the terminal.")] = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    location: Annotated[
        str | None, typer.Option(metavar="CP", help="Location code to log in with.")
    ] = None,
    institution: Annotated[
        str | None, typer.Option(metavar="AO", help="Institution id. Default: the one in the 98.")
    ] = None,
    checksum: Annotated[
        bool, typer.Option("--checksum/--no-checksum", help="Send AY and AZ.")
    ] = True,
    tls: TlsOption = False,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    encoding: EncodingOption = "cp850",
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="S", help="Seconds to wait for an answer.")
    ] = 10.0,
    script: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Play the dialogue in this file; - is standard input."),
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="One line for each message, with what codes mean.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Act as a test kiosk: log in, send one message or play a script, and show both sides decoded.

    Dates, the institution and other required fields are filled in. The exit status is 0 when an
    answer came, whatever it says, or when a script went entirely as expected; otherwise it is 1.
    """
    from sip2gw.cli.kiosk.client import Credentials, Kiosk, show_frame
    from sip2gw.cli.kiosk.short import show_short
    from sip2gw.cli.kiosk.tls import Tls

    show = show_short if short else show_frame
    if script is not None and message is not None:
        raise UsageError("give a message or --script, not both")
    to_send = None if script is not None else _Message.typed(message, fields or [])
    secret = read_password(password, password_file)
    credentials = Credentials(login or "", secret or "", location)
    connect = partial(
        Kiosk.connect,
        to,
        encoding=encoding,
        timeout_s=timeout,
        checksums=checksum,
        tls=Tls.wanted(tls, ca, cert, key),
    )
    if script is not None:
        _play(script, connect, credentials, institution, show)
    elif to_send is not None:
        with connect() as kiosk, kiosk.noticing_tls():
            to_send.exchange(kiosk, credentials, institution, show)


class _Message(Opaque, Struct, frozen=True):
    """What to send; without `raw` and `wanted`: 93 and 99."""

    raw: str | None = None
    wanted: Wanted | None = None

    @classmethod
    def typed(cls, message: str | None, words: list[str]) -> _Message:
        """The message with its fields.

        Raises:
            UsageError: there is no such message or field.
        """
        from sip2gw.cli.kiosk.requests import requested

        if message is None:
            return cls()
        if message == RAW:
            return cls(raw=_raw_text(words))
        return cls(wanted=requested(message, words))

    @property
    def is_login(self) -> bool:
        """Whether this is a 93."""
        return self.wanted is not None and self.wanted.kind.code == "93"

    def exchange(
        self, kiosk: Kiosk, credentials: Credentials, institution: str | None, show: Show
    ) -> None:
        """Log in, unless this is a login itself, send it and show both sides."""
        from sip2gw.protocol.messages import ScStatus

        if credentials.login and not self.is_login:
            _log_in(kiosk, credentials, show if self == _Message() else None)
        if self.raw is not None:
            _exchange(kiosk, kiosk.sealed(kiosk.wire.text.encode(self.raw)), show)
        elif self.wanted is None:
            _exchange(kiosk, kiosk.frame_of(ScStatus()), show)
        else:
            wanted = self.wanted
            if self.is_login:
                wanted = wanted.with_login(credentials.request())
            elif wanted.needs_institution and institution is None:
                institution = kiosk.institution()
            _exchange(kiosk, kiosk.sealed(wanted.body(kiosk.wire, institution or "")), show)


def _raw_text(words: list[str]) -> str:
    if not words:
        raise UsageError("raw needs the text of a message")
    return " ".join(words)


def _log_in(kiosk: Kiosk, credentials: Credentials, show: Show | None) -> None:
    if show is None:
        kiosk.log_in(credentials)
    elif not _exchange(kiosk, kiosk.frame_of(credentials.request()), show).startswith(b"941"):
        say("sip2gw: the gateway refused the login")
        raise typer.Exit(1)


def _play(
    script: Path,
    connect: Callable[[], Kiosk],
    credentials: Credentials,
    institution: str | None,
    show: Show,
) -> None:
    from sip2gw.cli.kiosk.play import Player
    from sip2gw.cli.kiosk.script import read_script

    name = script.name
    steps = read_script(_script_text(script), name, run=str(time.time_ns() // 1000))
    score = Player(connect, name, credentials, institution, show=show).play(steps)
    say(f"{name}: {score.sent} sent, {score.checks} checked, {score.failures} failed")
    if score.failures:
        raise typer.Exit(1)


def _script_text(script: Path) -> str:
    data = sys.stdin.buffer.read() if str(script) == "-" else script.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{script}: line {line} is not UTF-8; save the file as UTF-8") from None


def _exchange(kiosk: Kiosk, frame: bytes, show: Show) -> bytes:
    """Send `frame`; show it and the answer."""
    show("→", frame, kiosk.wire)
    kiosk.send(frame)
    answer = kiosk.receive()
    show("←", answer, kiosk.wire)
    return answer


def decode(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Default: standard input.")
    ] = None,
    encoding: EncodingOption = "cp850",
    config: ConfigOption = None,
) -> None:
    """Explain captured SIP2 lines of both sides, field by field; every secret is masked.

    Problems are shown next to the line: a bad checksum, unknown, missing or misplaced fields, wrong
    lengths. Arrows before a line, as `send` prints them, are ignored.
    """
    from sip2gw.protocol.wire import WireFormat

    try:
        wire = WireFormat(encoding=encoding)
    except ValueError as error:
        raise UsageError(f"--encoding: {error}") from None
    if file is None:
        explain_lines(sys.stdin.buffer, wire)
    else:
        with file.open("rb") as stream:
            explain_lines(stream, wire)


def explain_lines(stream: BinaryIO, wire: WireFormat) -> None:
    """Print the meaning of each line of `stream`."""
    from sip2gw.protocol.describe import describe_frame
    from sip2gw.protocol.registry import REQUESTS, RESPONSES

    arrows = {code.encode(): "→ " for code in REQUESTS} | {
        code.encode(): "← " for code in RESPONSES
    }
    for frame in _frames(stream):
        first, *others = describe_frame(frame, wire)
        sys.stdout.write(arrows.get(frame[:2], "") + "\n".join((first, *others)) + "\n\n")
        sys.stdout.flush()


_ARROW = re.compile(rb"(?:\(lost\) )?(?:\xe2\x86[\x90\x92]|[<>]+)[ \t]+")
"""The arrow that `send` and most traces put before a line, in UTF-8."""


def _frames(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The text between line ends of any kind, without empty lines."""
    for line in lines:
        for piece in line.split(b"\r"):
            frame = _ARROW.sub(b"", piece.strip(b"\0 \n"), count=1)
            if frame:
                yield frame
