"""Canaries in every secret place: sent through everything, they must sing nowhere.

A PIN, wrong PINs, terminal passwords (CO), a login (CN) known and unknown, a terminal password in
a message (AC): sent in every message, as its own field, as an unknown and a repeated field, with
wrong checksums, unreadable, too long, as an unknown command; while the backend fails and while
handlers raise errors that quote them. Then looked for (B16, C78) in the log of every level and
format, /metrics, the repr of every object of ours that can be reached, error texts, the output of
every command that shows frames, records or configuration, the export and the files of the store.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import itertools
import json
import os
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from unittest.mock import patch

from harness import LIBRARY, STAMP, load
from typer.testing import CliRunner

from proofs.dialogues import REQUESTS, sealed
from proofs.process import GatewayProcess, today
from proofs.report import Report
from proofs.rig import FUZZ_CONFIG, Rig, rigged
from sip2gw.backend.base import BackendTimeoutError, UnavailableError
from sip2gw.backend.factory import open_backend
from sip2gw.cli.app import app as program
from sip2gw.config import ConfigError, load_config
from sip2gw.control.messages import Answer, encode
from sip2gw.control.tracing import Trace
from sip2gw.handlers import DOOR_HANDLERS, HANDLERS
from sip2gw.monitoring.metrics import FamilyMaker
from sip2gw.protocol.codec import parse_request
from sip2gw.protocol.errors import ProtocolError
from sip2gw.protocol.line.connection import ServerConnection
from sip2gw.protocol.wire import WireFormat
from sip2gw.web.exposition import exposition

PIN = "71cnry7pin"
WRONG_PIN = "cnry7wrong"
PASSWORD = "cnry7co"
FILE_PASSWORD = "cnry7file"
WRONG_PASSWORD = "cnry7badco"
LOGIN = "cnry7cn"
UNKNOWN_LOGIN = "cnry7nobody"
TERMINAL_PASSWORD = "cnry7ac"
CANARY = "cnry7"
"""In all of them, so that one search finds any, in either case and any encoding of ours."""

LOGINS = ("kiosk", "cash", "wise", "gossip", "entrance")
"""Terminals of the rig that get a login of their own."""

LEVELS = ("debug", "info", "warning", "error")


def config_text() -> str:
    """Terminals of every kind whose logins are not their names, and whose secrets are canaries."""
    text = FUZZ_CONFIG.replace('password = "pw"', f'password = "{PASSWORD}"')
    for name in LOGINS:
        text = text.replace(
            f"[terminals.t-{name}]", f'[terminals.t-{name}]\nlogin = "{LOGIN}{name}"'
        )
    return text + (
        f'[terminals.from-file]\nprofile = "kiosk"\nlogin = "{LOGIN}file"\n'
        'password_file = "password"\n'
    )


def library() -> list[dict[str, object]]:
    """The small library, with one PIN for all."""
    return [{**record, "pin": PIN} if "pin" in record else dict(record) for record in LIBRARY]


def secret_messages() -> Iterator[bytes]:
    """Every request with canaries in every secret field, in every shape that it may have."""
    for code, texts in REQUESTS.items():
        if code in ("93", "97", "99"):
            continue
        head = texts[0].partition("AO")[0]
        fields = "AOHUB|AA1001|ABBOOK1|CHx|BKc1|BV0.01|"
        for pin in (PIN, WRONG_PIN):
            secret = f"AC{TERMINAL_PASSWORD}|AD{pin}|"
            yield f"{head}{fields}{secret}".encode()
            yield f"{head}{secret}{fields}AD{pin}|CO{PASSWORD}|CN{LOGIN}|ZZ{pin}|".encode()
            yield f"{head}AOHUB|AA4711|{secret}".encode()
            yield f"{head[:9]}|{fields}{secret}".encode()  # unreadable
    for secret in (PIN, WRONG_PIN, TERMINAL_PASSWORD):
        yield f"ZZ{STAMP}AD{secret}|AC{secret}|CO{PASSWORD}|".encode()
        yield f"9900{secret}".encode()
        yield f"97AD{secret}|".encode()


def logins() -> Iterator[bytes]:
    """Good and bad ones."""
    for suffix in LOGINS:
        yield f"9300CN{LOGIN}{suffix}|CO{PASSWORD}|".encode()
    yield f"9300CN{LOGIN}file|CO{FILE_PASSWORD}|".encode()
    yield f"9300CN{LOGIN}kiosk|CO{WRONG_PASSWORD}|".encode()
    yield f"9300CN{UNKNOWN_LOGIN}|CO{WRONG_PASSWORD}|".encode()
    yield f"9310CN{UNKNOWN_LOGIN}|CO{PASSWORD}|".encode()
    yield f"93CN{UNKNOWN_LOGIN}|CO{PASSWORD}|".encode()


def conversations() -> Iterator[list[bytes]]:
    """Each login with every message, plain and sealed; then what closes a line."""
    for login in logins():
        yield [b"%b\r" % frame for frame in (*secret_messages(), login, *secret_messages())]
        yield [b"%b\r" % sealed(frame, n) for n, frame in enumerate((login, *secret_messages()))]
        yield [login + b"\r", *(b"%bAY1AZ0000\r" % frame for frame in secret_messages())]
        yield [login + b"\r63AD" + PIN.encode() * 1000]
        yield [login + b"\r", *[f"9300CN{UNKNOWN_LOGIN}|CO{WRONG_PASSWORD}|\r".encode()] * 3]


def chirps(text: str | bytes | bytearray) -> bool:
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return CANARY.encode() in data.lower()


Said = tuple[int, str]


class Quoting(RuntimeError):
    """What a careless library raises."""


def _quoting(*arguments: object, **named: object) -> object:
    raise Quoting(f"{PIN} {TERMINAL_PASSWORD} {PASSWORD} {LOGIN} {arguments!r}")


class Share:
    """One in `every` conversation, each time that it is gone through others."""

    def __init__(self, every: int) -> None:
        self._every, self._next = every, itertools.cycle(range(every))

    def __iter__(self) -> Iterator[list[bytes]]:
        return itertools.islice(conversations(), next(self._next), None, self._every)


async def _talk(rig: Rig, report: Report, share: Share, look_often: bool) -> None:
    for talk in share:
        # Five wrong PINs lock a card; the lock shall run out before the next conversation.
        rig.clock.advance(1000)
        await rig.converse(talk)
        if look_often:
            _look_at_reprs(rig, report)
    _look_at_reprs(rig, report)


def _look_at_reprs(rig: Rig, report: Report) -> None:
    found = {name: text for name, text in _reachable_reprs(rig) if chirps(text)}
    for name, text in found.items():
        known = any(failure.startswith(f"repr of {name}:") for failure in report.failures)
        report.expect(known, f"repr of {name}: {around(text)}")


async def _with_failures(rig: Rig, report: Report, share: Share) -> None:
    """The same while backend and handlers fail, with errors that quote what they were given."""
    store = type(rig.app.store)
    for error in (UnavailableError, BackendTimeoutError, Quoting):

        async def fail(*_: object, error: type[Exception] = error) -> None:
            raise error(f"{PIN} {PASSWORD}")

        with (
            patch.object(store, "find_by_card", fail),
            patch.object(store, "book_payment", fail),
            patch.object(store, "record_pin_failure", fail),
        ):
            await _talk(rig, report, share, look_often=False)
    with (
        patch.dict(HANDLERS, dict.fromkeys(HANDLERS, _quoting)),
        patch.dict(DOOR_HANDLERS, dict.fromkeys(DOOR_HANDLERS, _quoting)),
    ):
        await _talk(rig, report, share, look_often=False)


def around(text: str) -> str:
    at = max(0, text.lower().find(CANARY))
    return text[max(0, at - 60) : at + 30]


_SKIPPED = (type, ModuleType, FunctionType, FrameType)


def _reachable_reprs(rig: Rig) -> Iterator[tuple[str, str]]:
    """The repr of everything of ours that can be reached from the running gateway."""
    waiting: list[object] = [rig.app, *rig.app.server._lines.values(), *rig.lines]
    seen = {id(waiting), id(rig.app.metrics)}
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, _SKIPPED):
            continue
        seen.add(id(thing))
        if type(thing).__module__.startswith("sip2gw"):
            yield type(thing).__qualname__, f"{thing!r} {thing}"
        waiting += gc.get_referents(thing)


def messages(report: Report) -> None:
    """No event, message or protocol error shows what a frame held."""
    for frame in (*secret_messages(), *logins()):
        for logged_in in (False, True):
            link = ServerConnection(WireFormat())
            link.logged_in = logged_in
            link.receive(sealed(frame, 1) + b"\r")
            event = link.next_event(0.0)
            shown = [repr(event), str(event), repr(getattr(event, "request", None)), repr(link)]
            for text in shown:
                report.expect(not chirps(text), f"event: {around(text)}")
        try:
            parse_request(frame, WireFormat())
        except ProtocolError as error:
            text = "".join(traceback.format_exception(error))
            report.expect(not chirps(text), f"protocol error: {around(text)}")


class _Traced:
    """Traces every terminal, and keeps what it is shown."""

    uid, pid, ready = -1, -1, True

    def __init__(self, rig: Rig) -> None:
        self.shown = bytearray()
        for name in rig.app.site.by_name:
            seconds = itertools.count().__next__
            trace = Trace(self, 10**9, moment=str, monotonic=seconds, on_end=print)
            rig.app.server.watch(name, trace)

    def tell(self, answer: Answer) -> None:
        self.shown += encode(answer)


async def in_process(directory: Path, report: Report, levels: Iterable[str], share: Share) -> None:
    """The whole song against gateways in this process, one for each way of logging."""
    for level in levels:
        for console in (False, True):
            what = f"{level} {'console' if console else 'json'}"
            place = directory / what.replace(" ", "-")
            place.mkdir()
            (place / "password").write_text(FILE_PASSWORD)
            stream = io.BytesIO()
            async with rigged(
                place,
                config_text=config_text(),
                records=library(),
                stream=stream,
                level=level,
                console=console,
            ) as rig:
                traced = _Traced(rig)
                await _talk(rig, report, share, look_often=level == "debug" and not console)
                await _with_failures(rig, report, share)
                await rig.app.reload()
                families = FamilyMaker(rig.app.metrics).families()
                metrics, _ = exposition(families, os.getpid())
                report.expect(not chirps(metrics), f"{what}: in /metrics")
                report.expect(not chirps(traced.shown), f"{what}: in a trace")
                report.numbers[f"traced {what}"] = len(traced.shown)
                report.expect(bool(traced.shown), f"{what}: nothing was traced")
                unhandled = "\n".join(rig.unhandled)
                report.expect(not chirps(unhandled), f"{what}: loop said {unhandled[:200]}")
            for line in stream.getvalue().splitlines():
                report.expect(not chirps(line), f"{what}: logged {line[:300]!r}")
            logged = len(stream.getvalue())
            report.numbers[f"log {what}"] = logged
            report.expect(logged > 0, f"{what}: nothing was logged")
            look_into_files(place, report)


def look_into_files(place: Path, report: Report) -> None:
    """No file of the store holds a secret in clear; the configuration is the library's own."""
    for path in place.iterdir():
        if path.name not in ("sip2gw.toml", "password"):
            report.expect(not chirps(path.read_bytes()), f"in the file {path.name}")


BROKEN_CONFIGS = (
    ('password = "{secret}"', 'password = ["{secret}"]'),
    ('password = "{secret}"', 'password = "{secret}"\npassword_hash = "{secret}"'),
    ('password = "{secret}"', 'password_hash = "{secret}"'),
    ('password = "{secret}"', 'password = "{secret}'),
    ('password = "{secret}"', 'password = "{secret}"\npasswrd = "{secret}"'),
    ('password = "{secret}"', 'password = "{long}"'),
    ('url = "sqlite:library.db"', 'url = "postgresql://u:{secret}@h/db"'),
    ('url = "sqlite:library.db"', 'url = "mysql://u:{secret}@h/db"'),
    ('[admin]\n', '[admin]\ntoken = ["{secret}"]\n'),
    ('[admin]\n', '[admin]\ntoken = "{secret}"\ntokens = "{secret}"\n'),
)  # fmt: skip

BROKEN_RECORDS = (
    {"pin": [PIN]},
    {"pin": PIN, "pins": PIN},
    {"pin": PIN, "pin_hash": PIN},
    {"pin_hash": PIN},
    {"pin": PIN * 100},
    {"pin": PIN, "birth_date": "never"},
    {"pin": ""},
)


def broken_configurations(directory: Path, report: Report) -> None:
    """No error about a configuration quotes a secret of it."""
    directory.mkdir()
    (directory / "password").write_text(FILE_PASSWORD)
    for old, new in BROKEN_CONFIGS:
        fill = {"secret": PASSWORD, "long": PASSWORD * 60}
        text = config_text().replace(old.format(**fill), new.format(**fill))
        path = directory / "sip2gw.toml"
        path.write_text(text)
        try:
            shown = repr(load_config(path))
        except ConfigError as error:
            shown = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
        # The logins of terminals are configuration, not a secret that a terminal sent.
        shown = shown.lower().replace(LOGIN, "")
        report.expect(not chirps(shown), f"configuration: {around(shown)}")


async def run_command(
    *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> Said:
    """A command of the program: its status and all that it says."""

    def invoke() -> Said:
        result = CliRunner().invoke(program, arguments, input=stdin, env=env)
        escaped = "" if result.exception is None else repr(result.exception)
        return result.exit_code, f"{result.output}{escaped}"

    return await asyncio.to_thread(invoke)


async def commands(directory: Path, report: Report) -> None:
    """What the commands print, beside a real gateway with a real log."""
    config, password = _site_in(directory)
    store = open_backend(load_config(config), "command", "make").store
    load(store, library(), now=today())
    await store.close()
    async with GatewayProcess(config) as gateway:
        await gateway.start()
        host = f"{gateway.address[0]}:{gateway.address[1]}"
        for talk in conversations():
            await over_a_socket(gateway, b"".join(talk))
        await _send_commands(host, password, report)
        _, metrics = await gateway.http("/metrics")
        report.expect(not chirps(metrics), "a real gateway's /metrics")
        report.expect(await gateway.stop() == 0, "the gateway did not end with 0")
        for line in [json.dumps(line) for line in gateway.log] + gateway.other_output:
            report.expect(not chirps(line), f"a real gateway's log: {line[:300]}")
        report.expect(len(gateway.log) > 100, "the real gateway logged next to nothing")
    await _other_commands(config, report)
    password.unlink()
    look_into_files(directory, report)


def _site_in(directory: Path) -> tuple[Path, Path]:
    """The configuration, and a file with the password of its terminals."""
    directory.mkdir()
    config, password = directory / "sip2gw.toml", directory / "password"
    config.write_text(config_text())
    password.write_text(PASSWORD)
    return config, password


async def over_a_socket(gateway: GatewayProcess, stream: bytes) -> None:
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(stream)
    writer.write_eof()
    try:
        await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _send_commands(host: str, password: Path, report: Report) -> None:
    kiosk, cash = f"{LOGIN}kiosk", f"{LOGIN}cash"
    asked = (
        (kiosk, str(password), ("23", "AA=1001", f"AD={PIN}", f"AC={TERMINAL_PASSWORD}")),
        (kiosk, str(password), ("63", "AA=1001", f"AD={WRONG_PIN}", "summary=YYYYYYYYYY")),
        (cash, str(password), ("37", "AA=1004", f"AD={PIN}", "BV=0.01", "BK=c9")),
        (kiosk, str(password), ("raw", f"23001{STAMP}AOHUB|AA1001|AC{TERMINAL_PASSWORD}|AD{PIN}|")),
        (kiosk, str(password), ("raw", f"ZZ{STAMP}AD{PIN}|")),
        (kiosk, str(password), ("93", f"CN={UNKNOWN_LOGIN}", f"CO={WRONG_PASSWORD}")),
        (kiosk, str(password), (f"AD={PIN}",)),
        (kiosk, str(password), ("23", f"summary={PIN}", f"AD={PIN}")),
        (UNKNOWN_LOGIN, str(password), ()),
    )
    for login, file, message in asked:
        options = ("send", "--to", host, "--login", login, "--password-file", file)
        _, said = await run_command(*options, "--timeout", "2", *message)
        # What somebody types wrongly may be told back to them by name, never by value.
        report.expect(not chirps(said), f"send {message[:2]}: {around(said)}")
        report.expect(bool(said), f"send {message[:1]} said nothing")
    environment = {"SIP2GW_PASSWORD": WRONG_PASSWORD}
    _, said = await run_command("send", "--to", host, "--login", kiosk, env=environment)
    report.expect(not chirps(said), f"send: {around(said)}")


async def _other_commands(config: Path, report: Report) -> None:
    frames = b"\n".join(
        [
            *secret_messages(),
            *logins(),
            b"<- 23|AD%b|AC%b" % (PIN.encode(), TERMINAL_PASSWORD.encode()),
        ]
    )
    outputs = {
        "decode": await run_command("decode", stdin=frames),
        "decode sealed": await run_command(
            "decode", stdin=b"\r".join(sealed(f, 1) for f in logins())
        ),
        "check": await run_command("check", "--config", str(config)),
        "check --schema": await run_command("check", "--schema"),
        "export": await run_command("export", "--all", "--config", str(config)),
        "patron show": await run_command(
            "patron", "show", "1001", "--json", "--config", str(config)
        ),
        "payment list": await run_command("payment", "list", "--json", "--config", str(config)),
        "door log": await run_command("door", "log", "--json", "--config", str(config)),
        "hash-password": await run_command("hash-password", stdin=PASSWORD.encode() + b"\n"),
    }
    for terminal in ("t-kiosk", "t-entrance"):
        asked = ("explain", "--terminal", terminal, "--card", "1001", "--config", str(config))
        outputs[f"explain {terminal}"] = await run_command(*asked)
    for name, (status, said) in outputs.items():
        report.expect(status == 0 and bool(said), f"{name}: {status} {said[-300:]}")
        report.expect(not chirps(said), f"{name}: {around(said)}")
    for record in BROKEN_RECORDS:
        line = json.dumps({"kind": "patron", "id": "9001", "name": "New", **record})
        two_lines = line.encode() + b'\n{"kind": "patron", "pin": "' + PIN.encode()
        _, said = await run_command(
            "import", "-", "--dry-run", "--config", str(config), stdin=two_lines
        )
        report.expect(not chirps(said), f"import: {around(said)}")


async def sing(directory: Path, levels: Iterable[str] = LEVELS, every: int = 1) -> Report:
    """All of it, in `directory`; with `every`, in each state of a gateway that part of the talks.

    After that many states all were held.
    """
    report = Report("canary")
    messages(report)
    broken_configurations(directory / "broken", report)
    await in_process(directory, report, levels, Share(every))
    await commands(directory / "commands", report)
    return report


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser(prog="canary", description=__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(sing(Path(directory))).tell()
