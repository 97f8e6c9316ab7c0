"""What many commands share: their options, the configuration, the store, and output."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sip2gw.cli.access import running_access
from sip2gw.cli.auditing import account as account
from sip2gw.cli.auditing import note_reading, noted_change
from sip2gw.cli.auditing import run as run
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.cli.meanings import Shown
from sip2gw.cli.owner import as_owner
from sip2gw.foundation.patience import telling
from sip2gw.foundation.words import meant

if TYPE_CHECKING:
    from sip2gw.backend.factory import Opened
    from sip2gw.backend.library import Library
    from sip2gw.config import Branch, Config

T = TypeVar("T")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", envvar="SIP2GW_CONFIG", metavar="FILE", help="Configuration file (TOML)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON Lines to standard output.")]
CsvOption = Annotated[
    bool,
    typer.Option("--csv", help="Write comma-separated values with a header to standard output."),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From this time on: a date, a time, today or yesterday.",
    ),
]
BranchOption = Annotated[str | None, typer.Option(metavar="B", help="Only this branch.")]
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Up to this time; a date, today and yesterday mean the whole day."
    ),
]


PatronArgument = Annotated[str, typer.Argument(metavar="ID", help="Patron id or any card number.")]


def configured(path: Path | None) -> Config:
    """The configuration in `path`.

    Raises:
        UsageError: no file is named.
        ConfigError: the configuration is not valid.
    """
    from sip2gw.config import load_config

    if path is None:
        raise UsageError("name the configuration with --config FILE or SIP2GW_CONFIG")
    return load_config(path)


@contextmanager
def opened(config: Config) -> Iterator[Opened]:
    """The store of `config`, opened for what the running command may do to it (C135).

    A gateway may be running on it (C62). Who opens it closes it. What the command does is in the
    audit log before it is done (B83).

    Raises:
        BackendError: the store cannot be opened.
    """
    with _opening(config) as found, noted_change(found.store):
        yield found


@contextmanager
def opened_store(config: Config) -> Iterator[Library]:
    """The same for staff, closed at the end.

    Raises:
        BackendError: the store cannot be opened.
    """
    with _opening(config) as found:
        try:
            with noted_change(found.store):
                yield found.store
        finally:
            run(found.store.close())


@contextmanager
def _opening(config: Config) -> Iterator[Opened]:
    from sip2gw.backend.factory import open_backend, store_file, store_name

    file = store_file(config)
    with nullcontext() if file is None else as_owner(file):
        with telling(say, f"sip2gw: waiting for the database {store_name(config)}"):
            note_reading(config)
            found = open_backend(config, "command", running_access())
        yield found


def read_branch(config: Config, code: str, option: str = "--branch") -> Branch:
    """The branch that `option` names, or an argument if that is empty.

    Raises:
        UsageError: no branch has this code.
    """
    known = config.branches.get(code)
    if known is None:
        names = ", ".join(config.branches) or "none"
        told = f"{option} {printable(code)}".lstrip()
        slip = meant(code, config.branches)
        raise UsageError(f"{told}: no such branch{slip}; configured: {names}")
    return known


def terminal_names(config: Config) -> list[str]:
    """The names under which terminals are recorded."""
    return [terminal.name for terminal in config.terminals.values()]


def passing(
    option: str, value: str | None, known: Iterable[str], found: Iterable[T]
) -> Iterator[T]:
    """What was `found` with a filter; a slip of the pen must not look like an empty list.

    What the configuration has no more may still be recorded, so a value that finds something is
    right.

    Raises:
        UsageError: nothing was found, and the value is not among the `known` ones.
    """
    names = list(known)
    if value is None or value in names:
        return iter(found)
    rows = list(found)
    if not rows:
        listed = ", ".join(names) or "nothing, because none is configured"
        raise UsageError(
            f"{option} {printable(value)}: not known, and there is nothing of it to list"
            f"{meant(value, names)}; allowed: {listed}"
        )
    return iter(rows)


def read_since(text: str | None, zone: tzinfo, option: str = "--since") -> datetime | None:
    """The moment that `text` names; a date, `today` or `yesterday` means its start (C34).

    Raises:
        UsageError: it is neither a date nor a time.
    """
    from sip2gw.policy import moments

    with _reading(option, text):
        return moments.read_since(text, zone, _today(zone)) if text else None


def read_until(text: str | None, zone: tzinfo, option: str = "--until") -> datetime | None:
    """The first moment after the span that ends with `text`; a day means all of it (C34).

    Raises:
        UsageError: it is neither a date nor a time.
    """
    from sip2gw.policy import moments

    with _reading(option, text):
        return moments.read_until(text, zone, _today(zone)) if text else None


def _today(zone: tzinfo) -> date:
    return datetime.now(zone).date()


@contextmanager
def _reading(option: str, text: str | None) -> Iterator[None]:
    """Name the option whose value cannot be read."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"{option} {printable(text or '')}: {error}") from None


def read_day_option(option: str, text: str | None) -> date | None:
    """The day that an option names.

    Raises:
        UsageError: it is not a date.
    """
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: not a date YYYY-MM-DD") from None


def say(text: str) -> None:
    """Write one line for a person to standard error; quoted text can do no harm."""
    sys.stderr.write(f"{printable(text)}\n")


def write_json(record: Mapping[str, Any]) -> None:
    """Write one line of JSON to standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(record, enc_hook=str).decode() + "\n")


def write_listing(
    records: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    json: bool,
    *,
    csv: bool = False,
    times: Collection[str] = ("time",),
    zone: str = "",
    shown: Shown = dict,
) -> None:
    """Write JSON Lines, comma-separated values for spreadsheets, or a table for people.

    Args:
        records: what to list, with the keys of the JSON.
        columns: the keys that the table or the spreadsheet shows.
        json: whether `--json` was given.
        csv: whether `--csv` was given.
        times: the columns that hold local times.
        zone: whose local times they are; people are told below the table.
        shown: how the table shows a record, where that differs from the JSON.

    Raises:
        UsageError: two formats were asked for.
    """
    if json and csv:
        raise UsageError("give --json or --csv, not both")
    if json:
        for record in records:
            write_json(record)
        return
    if csv:
        _write_csv(columns, records)
        return
    rows = [
        [_cell(it.get(name), name in times) for name in columns]
        for it in map(shown, map(dict, records))
    ]
    write_table(columns, rows)
    if zone and any(map(any, rows)):
        sys.stdout.flush()
        say(f"Times are those of {zone}.")


def _cell(value: Any, is_time: bool = False) -> str:
    if value is None:
        return ""
    return clock_time(value) if is_time else _one_line(value)


def write_one(record: Mapping[str, Any], json: bool, shown: Shown = dict) -> None:
    """Write one record as a line of JSON, or for people as `shown`."""
    if json:
        write_json(record)
    else:
        write_record(shown(dict(record)))


def _write_csv(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Write comma-separated values with a header to standard output, as RFC 4180 wants them.

    An apostrophe protects a text that a spreadsheet would take for a formula.
    """
    import csv

    writer = csv.writer(sys.stdout, csv.excel)
    writer.writerow(columns)
    for record in records:
        writer.writerow([_harmless(_cell(record.get(name))) for name in columns])


_NUMBER = re.compile(r"-\d+([.,]\d+)?")


def _harmless(cell: str) -> str:
    is_formula = cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def write_record(record: Mapping[str, Any]) -> None:
    """Write one record for people: a line for each value, several for a list."""
    for key, value in record.items():
        for entry in value if isinstance(value, list | tuple) else [value]:
            if entry is not None:
                sys.stdout.write(f"{key:>20}  {printable(_one_line(entry))}\n")


_NOTHING: tuple[object, ...] = (None, "", [], ())
"""Values of a card, a badge or a fee that need no mention."""


def _one_line(value: object) -> str:
    """A value for people; a record shows only the values worth a mention."""
    if isinstance(value, dict):
        told = (f"{name} {_one_line(part)}" for name, part in value.items() if part not in _NOTHING)
        return ", ".join(told)
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table for people to standard output; plain, aligned text outside a terminal."""
    lines = [tuple(map(printable, row)) for row in rows]
    if sys.stdout.isatty():
        _write_rich_table(columns, lines)
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *lines, strict=True)]
    for line in (tuple(columns), *lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _write_rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    # Texts may wrap between words. A number, an id or a reason stays whole: broken over two lines
    # it could not be copied, and truncated it would be useless.
    wraps = [any(" " in cell for cell in cells) for cells in zip(columns, *rows, strict=True)]
    table = Table(
        *(Column(name, no_wrap=not wrap) for name, wrap in zip(columns, wraps, strict=True)),
        box=box.SIMPLE_HEAD,
    )
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    needed = table.__rich_measure__(console, console.options).minimum
    console.width = max(console.width, needed)
    console.print(table, soft_wrap=True)


def write_new(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Write `text` to a new `file`.

    Raises:
        CommandError: the file exists already.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise CommandError(
            f"{file}: already exists and was left unchanged; name another file"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def replace_file(file: Path, lines: Iterable[bytes], *, mode: int = 0o600) -> None:
    """Write all `lines` to `file`, or leave it unchanged; a symbolic link is replaced."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def clock_time(iso: str) -> str:
    """A local time for people: `2026-03-01T10:30:00+01:00` without `T` and offset."""
    return iso[: len("YYYY-MM-DDTHH:MM:SS")].replace("T", " ")


def printable(text: str) -> str:
    """`text` without characters that could disturb a terminal or fake a line."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
