"""Import: all or nothing, idempotent, and brief while it locks others out (B69, C16, C63)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, field

from sip2gw.backend.database import Connection, Database, telling
from sip2gw.backend.loading import checks, json_lines, table
from sip2gw.backend.loading.columns import ColumnMap
from sip2gw.backend.loading.format import Take
from sip2gw.backend.loading.lines import (
    Findings,
    RecordReader,
    Rules,
    TooManyErrorsError,
)
from sip2gw.backend.loading.missing import Completion
from sip2gw.backend.loading.pins import ClearPins, PinHashing, store_pins
from sip2gw.backend.loading.plan import Plan
from sip2gw.backend.loading.staging import Stage
from sip2gw.backend.sql.money.surplus import Correction
from sip2gw.backend.sql.queries import BUMP_VERSION, REMEMBER_IMPORT, STORE_VERSION
from sip2gw.backend.sql.values import time_text
from sip2gw.foundation.hashing import secret_fingerprint
from sip2gw.model import format_amount
from sip2gw.policy.relationships import RelationshipRules
from sip2gw.protocol.structs import Discreet, Hidden

File = Path | tuple[str, BinaryIO]
"""A file, or a name for messages with an open stream."""


class Table(Struct, frozen=True):
    """A file with a header and one record in each row."""

    file: File
    columns: ColumnMap

    def records(self, stream: BinaryIO, start: int) -> Iterator[tuple[int, Take]]:
        """The records in `stream`; see `table.records`."""
        return table.records(stream, start, self.columns)

    def named(self, message: str) -> str:
        """`message` about a key, with its column."""
        return table.named(self.columns, message)


class JsonLines(Struct, frozen=True):
    """A file with one JSON object on each line."""

    file: File

    def records(self, stream: BinaryIO, start: int) -> Iterator[tuple[int, Take]]:
        """The records in `stream`, with their lines, numbered from `start` + 1."""
        return json_lines.records(stream, start)

    def named(self, message: str) -> str:
        """`message` about a key, which is called the same in the file."""
        return message


Source = File | Table

Progress = Callable[[str, int, int], None]
"""Told the phase (`read`, `check`, `apply`, `hash`), what is done and the total (0: unknown)."""


class ImportSettings(Struct, frozen=True):
    """What the configuration says about an import, and the moment it happens."""

    currency: str
    zone: tzinfo
    now: datetime
    user: str = ""
    """The system's name of the account that imports, for the history of badges."""
    relationships: RelationshipRules = RelationshipRules()
    hashing: PinHashing = field(default_factory=PinHashing)


class ImportReport(Discreet, Struct, frozen=True):
    """The result of an import; nothing was applied when there are `errors`."""

    counts: dict[str, int] = field(default_factory=dict)
    """Records read, by kind."""
    rows_changed: int = 0
    """Rows written or removed; 0 when the store was like the files already."""
    errors: tuple[str, ...] = ()
    """`FILE:LINE: message`, at most 100 (C52)."""
    warnings: tuple[str, ...] = ()
    surpluses: tuple[str, ...] = ()
    """Likewise, one for each patron who has paid too much of a fee now, or no longer (C103)."""
    missing: dict[str, int] = field(default_factory=dict)
    """Records that a complete import lacks, by kind; those that were dealt with are not counted."""
    applied: bool = False
    pins: Hidden[ClearPins] = field(default_factory=ClearPins)
    """Clear PINs of records that were applied, for `import_pins`."""


def import_files(
    store: Database,
    sources: Iterable[Source],
    *,
    settings: ImportSettings,
    dry_run: bool = False,
    progress: Progress | None = None,
    complete: Collection[str] = (),
) -> ImportReport:
    """Load JSON Lines into `store`, and hash their PINs: `import_records`, then `import_pins`."""
    report = import_records(
        store, sources, settings=settings, dry_run=dry_run, progress=progress, complete=complete
    )
    import_pins(store, report.pins, settings=settings, progress=progress)
    return report


def import_records(
    store: Database,
    sources: Iterable[Source],
    *,
    settings: ImportSettings,
    dry_run: bool = False,
    progress: Progress | None = None,
    complete: Collection[str] = (),
) -> ImportReport:
    """Load JSON Lines into `store`: everything, or nothing if there is an error.

    Blocks; keeps others from writing only while the differences are written. Clear PINs are in the
    report, and in the store only after `import_pins`.

    `complete` names kinds of which the sources have every record: what becomes of the others that
    the store has is in `missing` (B92). It is an error if there is no record of such a kind at all.

    Raises:
        BackendError: the store failed; nothing was applied.
        OSError: a file cannot be read.
    """
    tell = progress or _tell_nobody
    left = telling("the import was not finished", "import the same files again")
    with left, store.own_connection() as connection:
        return _Import(store, connection, settings, tell, complete).run(sources, dry_run)


def import_pins(
    store: Database,
    pins: ClearPins,
    *,
    settings: ImportSettings,
    progress: Progress | None = None,
) -> None:
    """Hash the PINs of an import; see `store_pins`."""
    if pins:
        tell = progress or _tell_nobody
        store_pins(
            store,
            pins,
            hashing=settings.hashing,
            progress=lambda done, total: tell("hash", done, total),
        )


def _tell_nobody(phase: str, done: int, total: int) -> None:
    """The progress of an import that nobody watches."""


class _Import:
    """One import from the first line to the commit."""

    def __init__(
        self,
        store: Database,
        connection: Connection,
        settings: ImportSettings,
        progress: Progress,
        complete: Collection[str],
    ) -> None:
        self._store = store
        self._connection = connection
        self._settings = settings
        self._progress = progress
        self._findings = Findings()
        self._stage = Stage(connection)
        self._complete = complete
        today = settings.now.astimezone(settings.zone).date()
        self._completion = Completion(connection, complete, today)
        self._plan = Plan(connection, self._completion)
        self._lines = 0
        self._surpluses: list[Correction] = []
        self._version: int | None = None
        """Of the store when it was looked at last."""
        rules = Rules(settings.currency, settings.zone, settings.relationships.types)
        self._reader = RecordReader(self._stage, rules, self._findings)

    def run(self, sources: Iterable[Source], dry_run: bool) -> ImportReport:
        changed = 0
        try:
            self._connection.execute("BEGIN")
            self._read(sources)
            self._stage.complete()
            self._connection.execute("COMMIT")
            self._check()
            if not self._findings.errors and not any(self._nothing_of()):
                self._completion.stage(self._lines)
                changed = self._foresee() if dry_run else self._apply()
        except TooManyErrorsError:
            pass
        errors = self._findings.texts(self._findings.errors) or tuple(self._nothing_of())
        return ImportReport(
            counts=dict(self._reader.counts),
            rows_changed=changed,
            errors=errors,
            warnings=self._findings.texts(self._findings.warnings),
            surpluses=()
            if errors
            else self._findings.texts(list(map(self._told, self._surpluses))),
            missing={} if errors else dict(self._completion.counts),
            applied=not dry_run and not errors,
            pins=ClearPins() if dry_run or errors else ClearPins(self._reader.pins),
        )

    def _nothing_of(self) -> Iterator[str]:
        """Kinds that are said to be complete and are not there at all (C166)."""
        for kind in self._complete:
            if not self._reader.counts[kind]:
                yield f"--complete {kind}: the files have none, so they cannot be complete"

    def _read(self, sources: Iterable[Source]) -> None:
        start = 0
        for source in sources:
            form = source if isinstance(source, Table) else JsonLines(source)
            if isinstance(form.file, Path):
                with form.file.open("rb") as stream:
                    start = self._read_stream(str(form.file), stream, form, start)
            else:
                start = self._read_stream(*form.file, form, start)
        self._lines = start

    def _read_stream(self, name: str, stream: BinaryIO, form: Table | JsonLines, start: int) -> int:
        self._findings.begin_file(name, start)
        total = _size(stream)
        src = start
        for src, take in form.records(stream, start):
            self._reader.read(src, take, form.named)
            if src % 1000 == 0:
                self._progress("read", stream.tell() if total else src - start, total)
        self._progress("read", total or src - start, total or src - start)
        return src

    def _check(self) -> None:
        self._progress("check", 0, 0)
        self._version = self._version_now()
        self._check_secret()
        self._note(checks.reference_problems(self._connection, self._reader.seen))
        memberships = self._reader.seen.get("membership", {})
        self._note(checks.linked_problems(self._connection, self._reader.linked, memberships))
        self._note(checks.merged_problems(self._connection))
        self._note(checks.state_problems(self._connection))
        if self._settings.relationships.judges_memberships:
            today = self._settings.now.astimezone(self._settings.zone).date()
            for src, message in checks.sleeping_relations(self._connection, today):
                self._findings.warning(src, message)

    def _check_secret(self) -> None:
        """Hashes made under another secret could never be verified here (C61, C95)."""
        if not self._reader.has_pin_hashes:
            return
        ours = secret_fingerprint(self._store.pin_secret)
        for src, fingerprint in self._reader.fingerprints:
            if fingerprint != ours:
                self._findings.error(
                    src,
                    "the PIN hashes were made with another PIN secret than this store's; use"
                    " that secret here, or leave out `pin_hash`",
                )

    def _foresee(self) -> int:
        """Only find out what would be overpaid; no row is changed."""
        self._plan.make()
        self._surpluses = self._plan.surpluses()
        return 0

    def _told(self, change: Correction) -> checks.Problem:
        amount = format_amount(abs(change.amount), self._settings.currency)
        whose = f"a surplus of patron {change.patron_id}"
        if change.amount > 0:
            return change.src, f"fee {change.fee_id} is overpaid by {amount}: {whose}"
        return change.src, f"{amount} of fee {change.fee_id} is no longer {whose}"

    def _apply(self) -> int:
        """Write what differs, in one transaction; how many rows that were."""
        self._progress("apply", 0, 1)
        changed = 0
        self._plan.make()
        if self._plan.is_empty:
            self._remember_moment()
        else:
            written = self._write_as_planned()
            changed = self._write_alone() if written is None else written
        self._store.distrust_cache()
        self._progress("apply", 1, 1)
        return changed

    def _write_as_planned(self) -> int | None:
        """The short way; None, and nothing written, when a command has written meanwhile."""
        dialect, time = self._connection.dialect, time_text(self._settings.now)
        with self._transaction(dialect.begin_import):
            if not self._is_current():
                return None
            changed = self._plan.write_ahead(time, self._settings.user)
            for statement in dialect.lock_facts:
                self._connection.execute(statement)
            if not self._is_current():
                return None
            return self._finish(changed + self._write_rest(time))

    def _write_alone(self) -> int:
        """The safe way: check everything again and write it while nobody else may write."""
        dialect, time = self._connection.dialect, time_text(self._settings.now)
        with self._transaction((*dialect.begin_import, *dialect.lock_facts)):
            self._check()
            self._plan.make()
            return self._finish(
                self._plan.write_ahead(time, self._settings.user) + self._write_rest(time)
            )

    def _write_rest(self, time: str) -> int:
        # Until now payments could go on.
        self._surpluses = self._plan.surpluses()
        return self._plan.write_rest(time, self._settings.user, self._surpluses)

    @contextmanager
    def _transaction(self, begin: Sequence[str]) -> Iterator[None]:
        """A transaction that is undone unless it was committed inside."""
        for statement in begin:
            self._connection.execute(statement)
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _is_current(self) -> bool:
        return self._version == self._version_now()

    def _version_now(self) -> int:
        (version,) = self._connection.execute(STORE_VERSION).fetchone()
        return int(version)

    def _finish(self, changed: int) -> int:
        """Commit, unless there are errors; how many rows were changed."""
        if self._findings.errors:
            return 0
        self._remember_moment()
        self._connection.execute(BUMP_VERSION)
        self._connection.execute("COMMIT")
        return changed

    def _remember_moment(self) -> None:
        """How old the data is, for all gateways: unchanged data is fresh too (C138).

        An empty file brings no data, so its import is not remembered.
        """
        if self._reader.counts:
            self._connection.execute(REMEMBER_IMPORT, (time_text(self._settings.now),))

    def _note(self, problems: Iterable[checks.Problem]) -> None:
        for src, message in problems:
            self._findings.error(src, message)


def _size(stream: BinaryIO) -> int:
    """Bytes in the file behind `stream`, 0 when there is none."""
    try:
        return os.fstat(stream.fileno()).st_size
    except OSError:
        return 0
