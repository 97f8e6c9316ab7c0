"""`demo`: a gateway with a small library, ready to try (C53)."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    opened_store,
    printable,
    replace_file,
)
from sip2gw.cli.failures import CommandError

if TYPE_CHECKING:
    from sip2gw.config import Config

CONFIGURATION, LIBRARY, STORE = "sip2gw.toml", "library.jsonl", "library.db"


def demo(
    sip2: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address for terminals.")
    ] = "127.0.0.1:6001",
    admin: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address for metrics and health checks.")
    ] = "127.0.0.1:9102",
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Keep configuration and library in this directory. Default: keep nothing.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Start a gateway with a small, lively library, and print what you can try with it.

    Without --dir, everything is deleted at the end. With --dir, an existing demo library is kept
    and the configuration is written again; the command refuses a directory whose configuration or
    store is not the demo's own. Only the owner can read the files.
    """
    with _for_the_owner_only(), _place(directory) as place:
        raise typer.Exit(_run(Path(place), sip2, admin))


@contextmanager
def _for_the_owner_only() -> Iterator[None]:
    """Let nobody else read the files made in the meantime, the store's included."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _place(directory: Path | None) -> AbstractContextManager[str]:
    if directory is None:
        return tempfile.TemporaryDirectory(prefix="sip2gw-demo-")
    directory.mkdir(parents=True, exist_ok=True)
    return nullcontext(str(directory))


def _run(place: Path, sip2: str, admin: str) -> int:
    from sip2gw.config import load_config
    from sip2gw.daemon.app import serve
    from sip2gw.demo import configuration

    file = place / CONFIGURATION
    _insist_on_own(place)
    replace_file(file, [configuration(sip2, admin).encode()])
    settings = load_config(file)
    if not (place / STORE).exists():
        _fill(settings, place / LIBRARY)
    return serve(settings, lambda addresses, url: _announce(addresses[0], url, file))


def _insist_on_own(place: Path) -> None:
    """Refuse a directory with somebody's own gateway, an edited configuration, or a running demo.

    A running gateway would take up the new configuration at its next reload.

    Raises:
        CommandError: there is one.
    """
    from sip2gw.config.places import find_socket
    from sip2gw.control.client import Control, NoGatewayError
    from sip2gw.demo import is_demo_configuration

    file, store = place / CONFIGURATION, place / STORE
    if os.path.lexists(file):
        is_ours = file.is_file() and is_demo_configuration(file.read_text("utf-8", "replace"))
        if not is_ours:
            raise CommandError(
                f"{file}: is not as the demo wrote it and was left unchanged; name another --dir,"
                f" or continue with `sip2gw serve --config {file}`"
            )
    elif os.path.lexists(store):
        raise CommandError(
            f"{store}: does not belong to the demo and was left unchanged; name another --dir"
        )
    with suppress(NoGatewayError), Control(find_socket(file)):
        raise CommandError(
            f"a gateway is already running on {file}; stop it, or name another --dir"
        )


def _fill(config: Config, library: Path) -> None:
    """Write the library's data, unless DIR holds some already, and import it."""
    import msgspec

    from sip2gw.backend.loading.importing import import_files
    from sip2gw.cli.library.data import import_settings
    from sip2gw.demo import library_records

    if not library.exists():
        today = datetime.now(config.zone).date()
        lines = [msgspec.json.encode(record) + b"\n" for record in library_records(today)]
        library.write_bytes(b"".join(lines))
    with opened_store(config) as store:
        report = import_files(store, [library], settings=import_settings(config))
    if report.errors:
        raise CommandError("\n".join(map(printable, report.errors)))


def _program() -> str:
    """How to call this program from here."""
    if shutil.which("sip2gw"):
        return "sip2gw"
    beside = Path(sys.executable).with_name("sip2gw")
    return str(beside) if beside.exists() else f"{sys.executable} -m sip2gw"


def _announce(sip2: str, admin: str, file: Path) -> None:
    """Print logins, cards and dialogues to standard output at once (C53)."""
    from sip2gw.demo import DIALOGUES, PEOPLE, TERMINALS

    program = _program()
    lines = [
        f"Demo Public Library: SIP2 on {sip2}, configuration {file}. Press Ctrl-C to end it.",
        "",
        *(f"login={t.login} password={t.password}  # {t.note}" for t in TERMINALS),
        "",
        *(f"card={p.card} pin={p.pin}  # {p.name}: {p.note}" for p in PEOPLE),
        "",
        "To try, in another terminal:",
    ]
    for dialogue in DIALOGUES:
        lines += ["", dialogue.command(program, sip2), f"  {dialogue.outcome}"]
    lines += [
        "",
        f"{program} explain --config {file} --terminal door-1 --card {PEOPLE[5].card}",
        "  → every check of that door, and the one that refuses",
        "",
        f"metrics: http://{admin}/metrics",
        f"health:  http://{admin}/readyz http://{admin}/livez",
        "",
    ]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()
