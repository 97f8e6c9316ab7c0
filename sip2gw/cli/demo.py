"""`demo`: a gateway with a small library, ready to be tried (C53)."""

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
        str, typer.Option(metavar="HOST:PORT", help="Where terminals connect.")
    ] = "127.0.0.1:6001",
    admin: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where metrics and health are.")
    ] = "127.0.0.1:9102",
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", metavar="DIR", help="Keep configuration and library here. Default: nowhere."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Start a gateway with a small, lively library, and print what to try with it.

    Without --dir everything is thrown away at the end. A library that is in DIR is kept as it
    is; the configuration is written anew. A DIR whose configuration or store is not the demo's own
    is refused. Only the owner may read what is written.
    """
    with _for_the_owner_only(), _place(directory) as place:
        raise typer.Exit(_run(Path(place), sip2, admin))


@contextmanager
def _for_the_owner_only() -> Iterator[None]:
    """Whatever is made meanwhile, by the store too, nobody else may read."""
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
    """Refuse to put a demo where somebody's gateway is, where its configuration was edited, or
    where one runs: that one would read the new configuration at its next reload.

    Raises:
        CommandError: it is there.
    """
    from sip2gw.config.places import find_socket
    from sip2gw.control.client import Control, NoGatewayError
    from sip2gw.demo import is_demo_configuration

    file, store = place / CONFIGURATION, place / STORE
    if os.path.lexists(file):
        is_ours = file.is_file() and is_demo_configuration(file.read_text("utf-8", "replace"))
        if not is_ours:
            raise CommandError(
                f"{file}: not as the demo wrote it, and it stays as it is; name another --dir, or"
                f" go on with `sip2gw serve --config {file}`"
            )
    elif os.path.lexists(store):
        raise CommandError(f"{store}: not the demo's, and it stays as it is; name another --dir")
    with suppress(NoGatewayError), Control(find_socket(file)):
        raise CommandError(f"a gateway runs on {file} already; end it, or name another --dir")


def _fill(config: Config, library: Path) -> None:
    """Write the library's data, unless DIR has its own, and import it."""
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
    """How this program is called from here."""
    if shutil.which("sip2gw"):
        return "sip2gw"
    beside = Path(sys.executable).with_name("sip2gw")
    return str(beside) if beside.exists() else f"{sys.executable} -m sip2gw"


def _announce(sip2: str, admin: str, file: Path) -> None:
    """Logins, cards and dialogues on standard output, at once (C53)."""
    from sip2gw.demo import DIALOGUES, PEOPLE, TERMINALS

    program = _program()
    lines = [
        f"Demo Public Library: SIP2 on {sip2}, configuration {file}. Ctrl-C ends it.",
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
        "  → every check of that door, and which one refuses",
        "",
        f"metrics: http://{admin}/metrics",
        f"health:  http://{admin}/readyz http://{admin}/livez",
        "",
    ]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()
