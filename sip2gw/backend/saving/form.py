"""The form of a backup: lines of JSON, packed by gzip, written and read from front to end (B90).

First the header, then each part (what it is, its rows as lists, how many there were and their
digest), last the manifest: the header once more, with all parts. Without its manifest a backup is
not whole. `zcat FILE` shows it all.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from sip2gw.backend.base import BackendError

FORM = 1
"""Raised when a program of before could not read what is written now."""
ROWS_AT_ONCE = 1_000
LINE_MAX = 32 * 1024 * 1024
"""Bytes; no row is as long, and whoever made a longer one wants our memory."""
_COMPRESSION = 1
"""The lowest: it takes a third of the time and 15 % more room than the usual one."""
GZIP = b"\x1f\x8b"
"""What a backup begins with."""
_AS_GZIP = 31
"""zlib's word for the largest window, and gzip's head and tail."""

Value = str | int | float | None
Row = Sequence[Value]
Rest = Callable[[], None]
"""Called between two portions of rows, so that others get their turn."""


class BackupError(BackendError):
    """A backup cannot be made, read or restored; the text says why."""

    kind = "conflict"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is."""

    form: int
    program: str
    """The version of the program that made it."""
    schema: int
    """Of the store, whatever the program could have made of it."""
    time: str
    """ISO 8601 in UTC: what was answered by then is in it."""
    store: str
    """`sqlite` or `postgresql`."""
    secret: bool
    """Whether it holds the PIN secret, and the secrets of the configuration."""


class Counted(msgspec.Struct, frozen=True):
    """One part in the manifest."""

    name: str
    rows: int
    sha256: str
    """Of its lines, with their line ends."""


class Manifest(Header, frozen=True, kw_only=True):
    """What a whole backup holds."""

    parts: tuple[Counted, ...]


class _Start(msgspec.Struct, frozen=True):
    part: str
    columns: tuple[str, ...]


class _End(msgspec.Struct, frozen=True):
    end: Counted


class _First(msgspec.Struct, frozen=True):
    sip2gw_backup: Header


class _Last(msgspec.Struct, frozen=True):
    manifest: Manifest


class _Next(msgspec.Struct, frozen=True):
    """`_Start` or `_Last`, when it is read."""

    part: str = ""
    columns: tuple[str, ...] = ()
    manifest: Manifest | None = None


_ROW = msgspec.json.Decoder(list[Value])
_ENCODER = msgspec.json.Encoder()


def rest_never() -> None:
    """No pause: nobody else needs the machine."""


class Writing:
    """A backup that is being written to `stream`."""

    def __init__(self, stream: BinaryIO, header: Header, rest: Rest = rest_never) -> None:
        self._header = header
        self._rest = rest
        self._parts: list[Counted] = []
        self._stream = stream
        self._packer = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, _AS_GZIP)
        self._line(_First(header))

    def part(self, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Write one part whole."""
        self._line(_Start(name, tuple(columns)))
        count, digest, rows = 0, hashlib.sha256(), iter(rows)
        while portion := list(islice(rows, ROWS_AT_ONCE)):
            lines = _ENCODER.encode_lines(portion)
            digest.update(lines)
            self._stream.write(self._packer.compress(lines))
            count += len(portion)
            self._rest()
        counted = Counted(name, count, digest.hexdigest())
        self._parts.append(counted)
        self._line(_End(counted))

    def finish(self) -> Manifest:
        """Write the manifest, after which nothing may come."""
        known = msgspec.structs.asdict(self._header)
        manifest = Manifest(**known, parts=tuple(self._parts))
        self._line(_Last(manifest))
        self._stream.write(self._packer.flush())
        return manifest

    def _line(self, record: msgspec.Struct) -> None:
        self._stream.write(self._packer.compress(_ENCODER.encode(record) + b"\n"))


class Part:
    """One part of a backup that is being read; its rows can be read once."""

    def __init__(self, name: str, columns: tuple[str, ...], rows: Iterator[Row]) -> None:
        self.name = name
        self.columns = columns
        self.rows = rows


class Reading:
    """A backup that is being read, part by part.

    Args:
        name: of the file, for messages.
        stream: what is in it.
        rest: called now and then.

    Raises:
        BackupError: it is none, or one of a later form.
    """

    def __init__(self, name: str, stream: BinaryIO, rest: Rest = rest_never) -> None:
        self._name = name
        self._rest = rest
        self._lines = io.BufferedReader(gzip.GzipFile(fileobj=stream, mode="rb"), 1 << 16)
        self._counted: list[Counted] = []
        try:
            with self._telling():
                self.header = self._record(_First).sip2gw_backup
        except BackupError:
            raise BackupError(
                f"{name}: not a backup of sip2gw, or cut off; name another file"
            ) from None
        if self.header.form > FORM:
            raise BackupError(
                f"{name}: made by sip2gw {self.header.program}, which this program cannot read;"
                " use that version or a later one"
            )

    def parts(self) -> Iterator[Part]:
        """Each part, in order. What was not read of its rows is passed over.

        Raises:
            BackupError: the backup is damaged, or not whole.
        """
        while (manifest := (found := self._next()).manifest) is None:
            rows = self._rows(found)
            yield Part(found.part, found.columns, rows)
            for _ in rows:
                pass
        self._insist(manifest.parts == tuple(self._counted), "its manifest is of another")
        with self._telling():
            self._insist(not self._lines.read(1), "something follows its end")
        self.manifest = manifest
        """What was found, after the last part."""

    def _next(self) -> _Next:
        with self._telling():
            found: _Next = self._record(_Next)
        return found

    def read_through(self) -> Manifest:
        """Read everything, to see whether it is whole and as it was written.

        Raises:
            BackupError: it is not.
        """
        for _ in self.parts():
            pass
        return self.manifest

    def _rows(self, start: _Next) -> Iterator[Row]:
        digest, count, width = hashlib.sha256(), 0, len(start.columns)
        while True:
            with self._telling(start.part):
                line = self._line()
                if line.startswith(b"{"):
                    break
                row = _ROW.decode(line)
                self._insist(len(row) == width, "a row has not all columns", start.part)
                digest.update(line)
            count += 1
            if count % ROWS_AT_ONCE == 0:
                self._rest()
            yield row
        with self._telling(start.part):
            end = msgspec.json.decode(line, type=_End).end
        found = Counted(start.part, count, digest.hexdigest())
        self._insist(end == found, "its rows are not those that were written", start.part)
        self._counted.append(found)

    def _record(self, kind: Any) -> Any:
        return msgspec.json.decode(self._line(), type=kind)

    def _line(self) -> bytes:
        line = self._lines.readline(LINE_MAX)
        self._insist(line.endswith(b"\n"), "it is cut off")
        return line

    def _insist(self, holds: bool, otherwise: str, part: str = "") -> None:
        if not holds:
            raise BackupError(f"{self._name}: damaged{f' in {part}' if part else ''}: {otherwise}")

    @contextmanager
    def _telling(self, part: str = "") -> Iterator[None]:
        """Say of whatever goes wrong that the backup is damaged."""
        try:
            yield
        except (EOFError, OSError, zlib.error, ValueError) as error:
            # An error of the decoder may quote what it read.
            told = "it is cut off" if isinstance(error, EOFError) else "it cannot be unpacked"
            is_text = isinstance(error, ValueError)
            self._insist(False, "a line is no record" if is_text else told, part)


@contextmanager
def reading(file: Path, rest: Rest = rest_never) -> Iterator[Reading]:
    """The backup in `file`.

    Raises:
        BackupError: it is none.
    """
    try:
        stream = file.open("rb")
    except OSError as error:
        raise BackupError(f"{file}: {error.strerror}; name a file with a backup") from None
    with stream:
        yield Reading(str(file), stream, rest)
