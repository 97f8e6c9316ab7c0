"""Where the demo keeps its files, whose they are, and how they are filled."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sip2gw.cli.common import opened_store, printable, replace_file
from sip2gw.cli.failures import CommandError
from sip2gw.cli.first_token import demo_token

if TYPE_CHECKING:
    from sip2gw.config import Config

CONFIGURATION, LIBRARY, STORE = "sip2gw.toml", "library.jsonl", "library.db"


@contextmanager
def for_the_owner_only() -> Iterator[None]:
    """Let nobody else read the files made in the meantime, the store's included."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def place(directory: Path | None) -> AbstractContextManager[str]:
    """`directory`, or one that is deleted at the end."""
    if directory is None:
        return tempfile.TemporaryDirectory(prefix="sip2gw-demo-")
    directory.mkdir(parents=True, exist_ok=True)
    return nullcontext(str(directory))


def insist_on_own(place: Path) -> None:
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


def write(place: Path, configuration: str) -> Path:
    """Write the configuration; returns its file."""
    file = place / CONFIGURATION
    replace_file(file, [configuration.encode()])
    return file


def filled(file: Path, records: Callable[[date], Iterable[dict[str, Any]]]) -> Config:
    """Read the configuration, and make its store of `records` unless there is one already."""
    from sip2gw.config import load_config

    config = load_config(file)
    if not file.with_name(STORE).exists():
        _fill(config, file.with_name(LIBRARY), records)
    return config


def token(config: Config) -> str:
    """A token for REST, which the demo prints."""
    with opened_store(config) as store:
        return demo_token(store, config)


def _fill(
    config: Config, library: Path, records: Callable[[date], Iterable[dict[str, Any]]]
) -> None:
    """Write the library's data, unless DIR holds some already, and import it."""
    import msgspec

    from sip2gw.backend.loading.importing import import_files
    from sip2gw.cli.library.data import import_settings

    if not library.exists():
        today = datetime.now(config.zone).date()
        lines = [msgspec.json.encode(record) + b"\n" for record in records(today)]
        library.write_bytes(b"".join(lines))
    with opened_store(config) as store:
        report = import_files(store, [library], settings=import_settings(config))
    if report.errors:
        raise CommandError("\n".join(map(printable, report.errors)))


def program() -> str:
    """How to call this program from here."""
    if shutil.which("sip2gw"):
        return "sip2gw"
    beside = Path(sys.executable).with_name("sip2gw")
    return str(beside) if beside.exists() else f"{sys.executable} -m sip2gw"
