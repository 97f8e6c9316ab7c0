"""`send` and `decode`: the wire made readable; every secret is masked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from sip2gw.cli.common import ConfigOption, say
from sip2gw.cli.failures import UsageError
from sip2gw.cli.passwords import PasswordFileOption, PasswordOption, read_password

if TYPE_CHECKING:
    from sip2gw.cli.kiosk import Kiosk
    from sip2gw.protocol.wire import WireFormat

RAW = "raw"

EncodingOption = Annotated[
    str, typer.Option(metavar="E", help="cp850, latin-1, cp1252, utf-8 or ascii.")
]


def send(
    to: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the gateway listens.")],
    message: Annotated[
        str | None,
        typer.Argument(
            metavar="[MESSAGE]",
            help="Code or name (63, patron-information), or raw. Without: 93 and 99.",
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE...]",
            help="Fields by tag (AA=123) or attribute (summary=fines); after raw: the text.",
        ),
    ] = None,
    login: Annotated[str | None, typer.Option(metavar="L", help="Login of the terminal.")] = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    location: Annotated[
        str | None, typer.Option(metavar="CP", help="Location code of the login.")
    ] = None,
    institution: Annotated[
        str | None, typer.Option(metavar="AO", help="Institution id. Default: what the 98 says.")
    ] = None,
    checksum: Annotated[
        bool, typer.Option("--checksum/--no-checksum", help="With AY and AZ.")
    ] = True,
    encoding: EncodingOption = "cp850",
    timeout: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="S", help="Seconds to wait for an answer.")
    ] = 10.0,
    config: ConfigOption = None,
) -> None:
    """Be a test kiosk: log in, send one message, and show both sides decoded.

    Dates, institution and what else a message demands are filled in. Exit status 0 when an
    answer came, whatever it says; 1 when none did or the login was refused.
    """
    from sip2gw.cli.kiosk import Kiosk
    from sip2gw.cli.requests import requested
    from sip2gw.protocol.messages import Login, ScStatus

    pairs = fields or []
    raw = _raw_text(pairs) if message == RAW else None
    wanted = requested(message, pairs) if message is not None and raw is None else None
    secret = read_password(password, password_file) or ""
    with Kiosk.connect(to, encoding=encoding, timeout_s=timeout, checksums=checksum) as kiosk:
        if login is not None and (wanted is None or wanted.kind is not Login):
            _log_in(kiosk, login, secret, location, shown=message is None)
        if raw is not None:
            _exchange(kiosk, kiosk.sealed(kiosk.wire.text.encode(raw)))
        elif wanted is None:
            _exchange(kiosk, kiosk.frame_of(ScStatus()))
        else:
            if wanted.kind is Login:
                wanted = wanted.with_login(login, secret, location)
            elif wanted.needs_institution and institution is None:
                institution = _institution(kiosk)
            _exchange(kiosk, kiosk.sealed(wanted.body(kiosk.wire, institution or "")))


def _raw_text(words: list[str]) -> str:
    if not words:
        raise UsageError("raw wants the text of a message")
    return " ".join(words)


def _log_in(kiosk: Kiosk, login: str, password: str, location: str | None, *, shown: bool) -> None:
    from sip2gw.protocol.messages import Login

    if not shown:
        kiosk.log_in(login, password, location)
        return
    request = Login(login_user_id=login, login_password=password, location_code=location)
    answer = _exchange(kiosk, kiosk.frame_of(request))
    if not answer.startswith(b"941"):
        say("sip2gw: login: refused")
        raise typer.Exit(1)


def _institution(kiosk: Kiosk) -> str:
    """What the gateway calls its institution; empty when it does not say."""
    from sip2gw.protocol.messages import ScStatus

    return getattr(kiosk.ask(ScStatus()), "institution_id", "")


def _exchange(kiosk: Kiosk, frame: bytes) -> bytes:
    """Send `frame`, show it and the answer."""
    _show("→", frame, kiosk.wire)
    kiosk.send(frame)
    answer = kiosk.receive()
    _show("←", answer, kiosk.wire)
    return answer


def _show(arrow: str, frame: bytes, wire: WireFormat) -> None:
    from sip2gw.cli.common import printable
    from sip2gw.protocol.describe import describe_frame, redact_frame

    sys.stdout.write(f"{arrow} {printable(wire.text.decode(redact_frame(frame)))}\n")
    for line in describe_frame(frame, wire):
        sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


def decode(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Default: standard input.")
    ] = None,
    encoding: EncodingOption = "cp850",
    config: ConfigOption = None,
) -> None:
    """Explain captured SIP2 lines, field by field; every secret is masked."""
    from sip2gw.protocol.wire import WireFormat

    try:
        wire = WireFormat(encoding=encoding)
    except ValueError as error:
        raise UsageError(f"--encoding: {error}") from None
    if file is None:
        _decode(sys.stdin.buffer, wire)
    else:
        with file.open("rb") as stream:
            _decode(stream, wire)


def _decode(stream: BinaryIO, wire: WireFormat) -> None:
    from sip2gw.protocol.describe import describe_frame

    for frame in _frames(stream):
        for line in describe_frame(frame, wire):
            sys.stdout.write(f"{line}\n")
        sys.stdout.write("\n")
        sys.stdout.flush()


def _frames(lines: Iterable[bytes]) -> Iterator[bytes]:
    """What stands between line ends of any kind, blank pieces left out."""
    for line in lines:
        for piece in line.split(b"\r"):
            frame = piece.strip(b"\0 \n")
            if frame:
                yield frame
