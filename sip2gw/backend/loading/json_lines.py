"""The library data format in JSON Lines: bytes become records (B69)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

import msgspec

from sip2gw.backend.loading.format import AnyLine, LineError, Take
from sip2gw.backend.loading.misfits import misfit

LINE_BYTES_MAX = 256 * 1024


def records(stream: BinaryIO, start: int) -> Iterator[tuple[int, Take]]:
    """The records of JSON Lines, with their lines, numbered from `start` + 1."""
    for src, line in numbered_lines(stream, start):
        yield src, partial(decode, line)


def numbered_lines(stream: BinaryIO, start: int) -> Iterator[tuple[int, bytes | None]]:
    """The lines of `stream`, numbered from `start` + 1; None for one that is too long."""
    src = start
    while line := stream.readline(LINE_BYTES_MAX + 1):
        src += 1
        if len(line) <= LINE_BYTES_MAX:
            yield src, line
            continue
        yield src, None
        while line and not line.endswith(b"\n"):
            line = stream.readline(LINE_BYTES_MAX + 1)


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decoder: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)


def decode(line: bytes | None) -> AnyLine | None:
    """The record in `line`; None for a blank line.

    Raises:
        LineError: the line is not a record of the format.
    """
    if line is None:
        raise LineError(f"the line is longer than {LINE_BYTES_MAX} bytes")
    line = line.removeprefix(_BYTE_ORDER_MARK).strip()
    if not line:
        return None
    if not line.startswith(b"{"):
        raise LineError("not a JSON object; write one record on each line, as `export` does")
    if b"\\u0000" in line:
        raise LineError("a NUL character is not allowed")
    try:
        return _decoder.decode(line)
    except UnicodeDecodeError:
        raise LineError("the line is not valid UTF-8") from None
    except RecursionError:
        raise LineError("the line nests too deeply") from None
    except msgspec.MsgspecError as error:
        raise LineError(misfit(line, error)) from None
