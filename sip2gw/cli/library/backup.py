"""`backup` and `restore`: everything that cannot be made again, in one file (B90, C174)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    clock_time,
    configured,
    say,
    write_json,
    write_table,
)
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.foundation.words import counted

if TYPE_CHECKING:
    from sip2gw.backend.saving.form import Manifest, Rest
    from sip2gw.backend.saving.putting import Restored
    from sip2gw.config import Config

LOWEST = 19
REST_MAX_S = 0.1

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="New file; in a directory it is named after gateway and time."
        ),
    ],
    with_secret: Annotated[
        bool,
        typer.Option(
            "--with-secret",
            help="Save also the PIN secret, passwords, tokens and private keys. Keep such a file"
            " apart from the others.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is a backup.")] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With a directory: then remove all but the newest N backups of this gateway.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only read FILE whole, and say what it holds.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Save everything that cannot be made again to one file, while the gateway works on.

    The file shows one moment: every payment that was acknowledged before is in it. It holds the
    whole store, the requests of unknown outcome in this gateway's spool, and the configuration.
    Without --with-secret it has no password and no PIN secret, but personal data and hashes of
    PINs: only its owner may read it. It is read again before it gets its name. A store of an older
    schema is saved as it is.
    """
    if verify:
        if with_secret or force or keep is not None:
            raise UsageError("--verify only reads FILE; leave out the other options")
        with _in_the_background() as rest:
            _tell(file, _verified(file, rest), json)
        return
    if keep is not None and not file.is_dir():
        raise UsageError(f"--keep needs a directory of backups; {file} is none")
    settings = configured(config)
    with _in_the_background() as rest:
        written, manifest = _save(settings, file, with_secret=with_secret, force=force, rest=rest)
    if json:
        write_json(_record(written, manifest))
    say(f"{written}: saved {_size(manifest)}; read again, and whole.")
    if not with_secret:
        say(
            "Passwords and the PIN secret are not in it. They never change by themselves: keep one"
            " backup made with --with-secret in a safe place."
        )
    if keep is not None:
        _rotate(file, settings, keep)


def restore(
    file: FileArgument,
    secret: Annotated[
        Path | None,
        typer.Option(
            "--secret",
            metavar="FILE",
            help="The PIN secret, if the backup was made without: its file, or a backup made"
            " with --with-secret.",
        ),
    ] = None,
    new_secret: Annotated[
        bool,
        typer.Option("--new-secret", help="The PIN secret is lost: restore all but the PINs."),
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Only write the configuration in the backup to the new directory DIR.",
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a new store of a backup, where the configuration wants it; nothing is overwritten.

    The store may be another database than the one that was saved: a SQLite file can become a
    PostgreSQL database, and the reverse. A backup of an older schema is upgraded, one of a newer
    schema is refused. If anything goes wrong, nothing is left.
    """
    if secret is not None and new_secret:
        raise UsageError("give --secret or --new-secret, not both")
    if files is not None:
        with _working() as rest:
            _extract(file, files, rest)
        return
    settings = configured(config)
    with _working() as rest:
        manifest, done = _restore(file, settings, secret, is_lost=new_secret, rest=rest)
    _tell(file, manifest, json)
    if not done.has_secret:
        say(_secret_missing(settings))
    if done.problems:
        lines = [f"the backup was wrong already: {problem}" for problem in done.problems]
        raise CommandError("\n".join(["restored as it was, but:", *lines]))
    say("Restored. Look at it with `sip2gw check`, then start the gateway.")


def _secret_missing(settings: Config) -> str:
    from sip2gw.backend.factory import target_of

    file = target_of(settings).secret_file
    remedy = f"Put it into {file}" if file else "Name its file in store.pin_secret_file"
    return (
        "The PIN secret is not in this backup, and the gateway will not start without it."
        f" {remedy}; or restore again with --secret FILE (its file, or a backup made with"
        " --with-secret) or, if it is lost, with --new-secret, which gives up the PINs."
    )


def _save(
    settings: Config, file: Path, *, with_secret: bool, force: bool, rest: Rest
) -> tuple[Path, Manifest]:
    from datetime import UTC, datetime

    from sip2gw.backend.factory import open_source
    from sip2gw.backend.saving.drafts import drafting, named_by_time
    from sip2gw.backend.saving.taking import FileCopy, take
    from sip2gw.config.copying import copies_of

    if file.is_dir():
        file = named_by_time(file, settings.path.stem, datetime.now(UTC))
    copies = [FileCopy(*copy) for copy in copies_of(settings, with_secrets=with_secret)]
    with (
        drafting(file, replace=force, check=lambda draft: _verified(draft, rest)) as stream,
        open_source(settings) as source,
    ):
        manifest = take(source, stream, files=copies, with_secret=with_secret, rest=rest)
    return file, manifest


def _verified(file: Path, rest: Rest) -> Manifest:
    from sip2gw.backend.saving.form import reading

    with reading(file, rest) as backup:
        return backup.read_through()


def _rotate(directory: Path, settings: Config, keep: int) -> None:
    from sip2gw.backend.saving.drafts import rotate

    for gone in rotate(directory, settings.path.stem, keep):
        say(f"{gone}: removed, because {counted(keep, 'newer backup')} {_are(keep)} there.")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _restore(
    file: Path, settings: Config, secret: Path | None, *, is_lost: bool, rest: Rest
) -> tuple[Manifest, Restored]:
    from sip2gw.backend.factory import target_of
    from sip2gw.backend.saving.extracting import secret_in
    from sip2gw.backend.saving.form import reading
    from sip2gw.backend.saving.putting import Secret
    from sip2gw.backend.saving.putting import restore as put

    known = Secret(is_lost=is_lost)
    if secret is not None:
        known = Secret(secret_in(secret), str(secret))
    with reading(file, rest) as backup:
        done = put(backup, target_of(settings), known)
        return backup.manifest, done


def _extract(file: Path, directory: Path, rest: Rest) -> None:
    from sip2gw.backend.saving.extracting import extract_files
    from sip2gw.backend.saving.form import reading

    with reading(file, rest) as backup:
        names = extract_files(backup, directory)
    say(f"{directory}: {', '.join(names)}. Nothing else was restored.")
    if not backup.header.secret:
        say("Passwords were left out of this backup: set them before you use the configuration.")


def _tell(file: Path, manifest: Manifest, json: bool) -> None:
    """Say what a backup holds."""
    if json:
        write_json(_record(file, manifest))
        return
    with_secret = "with" if manifest.secret else "without"
    say(
        f"{file}: the {manifest.store} store at {clock_time(manifest.time)} UTC, schema"
        f" {manifest.schema}, saved by sip2gw {manifest.program}, {with_secret} the PIN secret"
    )
    filled = [(part.name, str(part.rows)) for part in manifest.parts if part.rows]
    write_table(("part", "rows"), filled)
    say(f"Whole: {_size(manifest)}.")


def _size(manifest: Manifest) -> str:
    rows = sum(part.rows for part in manifest.parts)
    return f"{counted(rows, 'row')} in {counted(len(manifest.parts), 'part')}"


def _record(file: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "file": str(file),
        "time": manifest.time,
        "program": manifest.program,
        "schema": manifest.schema,
        "store": manifest.store,
        "secret": manifest.secret,
        "parts": [
            {"name": part.name, "rows": part.rows, "sha256": part.sha256} for part in manifest.parts
        ],
    }


@contextmanager
def _in_the_background() -> Iterator[Rest]:
    """Work behind terminals: with the lowest priority, and idle for as long as busy."""
    os.nice(LOWEST)
    with _working() as tell:
        yield _Pace(tell).rest


@contextmanager
def _working() -> Iterator[Rest]:
    """Show what is done; SIGTERM ends the work as Ctrl-C does, so that no draft is left."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _shown() as tell:
            yield tell
    finally:
        signal.signal(signal.SIGTERM, before)


class _Pace:
    """After each portion of work a pause as long as that took of the processor."""

    def __init__(
        self,
        tell: Callable[[], None],
        worked: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tell, self._worked, self._sleep = tell, worked, sleep
        self._since = worked()

    def rest(self) -> None:
        """Pause, and show that something was done."""
        self._tell()
        worked = self._worked()
        self._sleep(min(worked - self._since, REST_MAX_S))
        self._since = worked


@contextmanager
def _shown() -> Iterator[Callable[[], None]]:
    """Show on a terminal how many rows are done."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from sip2gw.backend.saving.form import ROWS_AT_ONCE

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda: bar.advance(task, ROWS_AT_ONCE)
