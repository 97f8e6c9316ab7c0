"""`import` and `export`: the library's data as JSON Lines (B69)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
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
from sip2gw.cli.failures import FAILED, UsageError, saying_when_stopped
from sip2gw.cli.first_token import tell_first_token
from sip2gw.cli.library.progress import shown_progress
from sip2gw.foundation.words import counted

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.backend.loading.importing import File, ImportReport, ImportSettings, Source
    from sip2gw.backend.loading.pins import ClearPins
    from sip2gw.config import Config

STDIN = "-"


def import_library(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE...]", help="Files with JSON Lines; - is standard input."),
    ] = None,
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
    csv: Annotated[
        list[str] | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="A table with a header; with --kind and --map, and as often as they are.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="What a row of the table is: patron, fee …"),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FILE", help="Which of our keys is in which column (TOML)."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Load library data from JSON Lines or tables: everything, or nothing if there is an error.

    Errors name the file and the line. Importing the same file again changes nothing.

    Records come first: patrons are known at once. Then clear PINs are hashed, a few dozen a second
    on each core; until then a new patron has no PIN, and a changed one is still the old one. When
    you stop the command, what it has done stays done: import the same files again to go on.

    Without --complete nothing is removed. With it, records that the files no longer have end: a
    patron gets status 9 and is forgotten after `privacy.ended_patron_days`; a relationship, hold or
    loan is removed; a badge is deactivated, a membership hidden, an item is missing and not for
    loan, a fee settled. A kind of which the files have nothing at all is an error.
    """
    from sip2gw.backend.loading.importing import import_records

    kinds = _complete_kinds(complete)
    sources = [*map(_file, files or ()), *_tables(csv or (), kind or (), map_ or ())]
    if not sources:
        raise UsageError("name a FILE with JSON Lines, or give --csv FILE --kind KIND --map FILE")
    settings = configured(config)
    rules = import_settings(settings)
    place = _rehearsed if dry_run else opened_store
    with place(settings) as store:
        # A new store may be older than this: an import with an error leaves it empty.
        is_first = run(store.last_import()) is None
        phases = ["read"]
        stopped = saying_when_stopped(lambda: _LEFT.get(phases[-1], _NOTHING_CHANGED))
        with stopped, shown_progress(phases.append) as progress:
            report = import_records(
                store,
                sources,
                settings=rules,
                dry_run=dry_run,
                progress=progress,
                complete=kinds,
            )
        tell_import(report, dry_run=dry_run)
        if report.errors:
            raise typer.Exit(FAILED)
        _import_pins(store, report.pins, rules)
        if is_first and not dry_run:
            tell_first_token(store, settings)


def _import_pins(store: Library, pins: ClearPins, rules: ImportSettings) -> None:
    """Hash the PINs of records that are in the store, and say how far it is."""
    from sip2gw.backend.loading.importing import import_pins

    if not pins:
        return
    say(
        f"All records are in use. {counted(len(pins), 'PIN')} to hash or compare; who has none yet"
        " is refused where a PIN is asked."
    )
    stopped = saying_when_stopped(
        lambda: (
            f"all records are in the store, and {pins.done} of {len(pins)} PINs were done; import"
            " the same files again to go on"
        )
    )
    with stopped, shown_progress() as progress:
        import_pins(store, pins, settings=rules, progress=progress)
    say(f"{counted(len(pins), 'PIN')} done.")


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
        relationships=config.relationship_rules,
    )


def tell_import(report: ImportReport, *, dry_run: bool) -> None:
    """Report errors, warnings, surpluses and the result on standard error (C52, C103)."""
    from sip2gw.backend.loading.lines import ERRORS_MAX

    for line in (*report.errors, *report.warnings, *report.surpluses):
        say(line)
    read = (
        ", ".join(f"{counted(count, kind)}" for kind, count in report.counts.items()) or "nothing"
    )
    if report.errors:
        found = counted(len(report.errors), "error")
        told = found if len(report.errors) < ERRORS_MAX else f"these are the first {found}"
        say(f"Nothing was changed: {told}.")
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


def _file(name: str) -> File:
    return ("-", sys.stdin.buffer) if name == STDIN else Path(name)


_NOTHING_CHANGED = "nothing was changed; import the same files again"
_LEFT = {
    "apply": "the import is there as a whole or not at all; import the same files again, which"
    " does no harm if it is"
}
"""What an import leaves that is ended with Ctrl-C, by the phase that it was in."""


def _tables(files: Sequence[str], kinds: Sequence[str], maps: Sequence[str]) -> Iterator[Source]:
    """The tables that the options name; the first kind and map belong to the first file.

    Raises:
        UsageError: some are missing, or a map cannot be used.
    """
    from sip2gw.backend.loading.columns import MapError, read_map
    from sip2gw.backend.loading.format import LINES
    from sip2gw.backend.loading.importing import Table

    if not len(files) == len(kinds) == len(maps):
        raise UsageError(
            "--csv, --kind and --map belong together; give all three for each file, in the same"
            " order"
        )
    for name, kind, map_name in zip(files, kinds, maps, strict=True):
        if kind not in LINES:
            raise UsageError(f"--kind {kind}: no such kind; there are {', '.join(LINES)}")
        try:
            yield Table(_file(name), read_map(Path(map_name).read_bytes(), kind))
        except MapError as error:
            raise UsageError(f"{map_name}: {error}") from None


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
