"""`import` and `export`: the library's data as JSON Lines (B69)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    account,
    configured,
    opened_store,
    replace_file,
    run,
    say,
)
from sip2gw.cli.failures import FAILED, UsageError
from sip2gw.foundation.words import counted

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.backend.loading.importing import (
        ImportReport,
        ImportSettings,
        Progress,
        Source,
    )
    from sip2gw.config import Config

STDIN = "-"


def import_library(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Files with JSON Lines; - is standard input."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and change nothing.")
    ] = False,
    complete: Annotated[
        str,
        typer.Option(
            metavar="KIND[,KIND]",
            help="The files have all records of these kinds; who or what is missing has ended.",
        ),
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Load library data from JSON Lines: everything, or nothing if there is an error.

    Errors name the file and the line. Importing the same file again changes nothing.

    Without --complete nothing is removed. With it, records that the files no longer have end: a
    patron gets status 9 and is forgotten after `privacy.ended_patron_days`; a relationship, hold or
    loan is removed; a badge is deactivated, a membership hidden, an item is missing and not for
    loan, a fee settled. A kind of which the files have nothing at all is an error.
    """
    from sip2gw.backend.loading.importing import import_files

    kinds = _complete_kinds(complete)
    settings = configured(config)
    place = _rehearsed if dry_run else opened_store
    with place(settings) as store, _progress() as progress:
        report = import_files(
            store,
            [_source(name) for name in files],
            settings=import_settings(settings),
            dry_run=dry_run,
            progress=progress,
            complete=kinds,
        )
    tell_import(report, dry_run=dry_run)
    if report.errors:
        raise typer.Exit(FAILED)


@contextmanager
def _rehearsed(settings: Config) -> Iterator[Library]:
    """The store, or an empty one for this once if there is none yet."""
    from tempfile import TemporaryDirectory

    from sip2gw.backend.sql.standing import NoStoreError
    from sip2gw.backend.sqlite.store import open_sqlite

    with ExitStack() as held:
        try:
            store = held.enter_context(opened_store(settings))
        except NoStoreError:
            directory = held.enter_context(TemporaryDirectory(prefix="sip2gw-"))
            currency = settings.institution.currency
            store = open_sqlite(
                Path(directory) / "library.db", role="command", access="make", currency=currency
            )
            held.callback(lambda: run(store.close()))
        yield store


def _complete_kinds(text: str) -> tuple[str, ...]:
    """The kinds that `--complete` names.

    Raises:
        UsageError: one of them is none.
    """
    from sip2gw.backend.loading.missing import KINDS

    kinds = tuple(dict.fromkeys(kind.strip() for kind in text.split(",") if kind.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--complete {kind}: no such kind; there are {', '.join(KINDS)}")
    return kinds


def import_settings(config: Config) -> ImportSettings:
    """The settings in `config` for an import that happens now."""
    from sip2gw.backend.loading.importing import ImportSettings

    return ImportSettings(
        currency=config.institution.currency,
        zone=config.zone,
        now=datetime.now(UTC),
        user=account(),
        relationship_types=config.relationships.rules.types,
    )


def tell_import(report: ImportReport, *, dry_run: bool) -> None:
    """Report errors, warnings, surpluses and the result on standard error (C52, C103)."""
    for line in (*report.errors, *report.warnings, *report.surpluses):
        say(line)
    read = (
        ", ".join(f"{counted(count, kind)}" for kind, count in report.counts.items()) or "nothing"
    )
    if report.errors:
        say(f"Nothing was changed: {counted(len(report.errors), 'error')}.")
    elif dry_run:
        say(f"No errors in {read}. Nothing was changed.")
    else:
        say(f"Read {read}; changed {counted(report.rows_changed, 'row')}.")
    if report.missing:
        say(f"Missing in the files: {_missing(report.missing)}.")
    if report.surpluses:
        say(
            f"{counted(len(report.surpluses), 'surplus', 'surpluses')} new or changed; see"
            " `payment reconcile`."
        )


def _missing(counts: Mapping[str, int]) -> str:
    from sip2gw.backend.loading.missing import told

    became = told(counts)
    return ", ".join(f"{counted(count, kind)} {became[kind]}" for kind, count in counts.items())


def _source(name: str) -> Source:
    return ("-", sys.stdin.buffer) if name == STDIN else Path(name)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Show a progress bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        yield _teller(bar.update, bar.add_task("read", total=None))


def _teller(update: Callable[..., None], task: object) -> Progress:
    def tell(phase: str, done: int, total: int) -> None:
        update(task, description=phase, completed=done, total=total or None)

    return tell


def export_library(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="File to write. Default: standard output."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include settled charges.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write library data in the format that `import` reads.

    The file has no PINs or passwords, but it has hashes of PINs, so keep it safe.
    """
    from sip2gw.backend.loading.exporting import export_lines

    settings = configured(config)
    with opened_store(settings) as store:
        currency = settings.institution.currency
        lines = export_lines(store, currency=currency, everything=everything)
        if file is None:
            for line in lines:
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        elif file.exists() and not file.is_file():
            # A pipe or a device cannot be replaced, only written to.
            with file.open("wb") as stream:
                stream.writelines(lines)
        else:
            replace_file(file, lines)
