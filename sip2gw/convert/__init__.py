"""Configurations of other servers, converted into ours: `sip2gw convert-config`.

`options` has one row for every option of theirs, `sipconfig` and `edge` read their files into a
`Draft`, and `converted` proves that the result is a valid configuration.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from sip2gw.config import load_config
from sip2gw.config.availability import unavailable
from sip2gw.convert.draft import Draft, Note
from sip2gw.convert.edge import draft_from_edge, read_json
from sip2gw.convert.sipconfig import draft_from_sipconfig
from sip2gw.convert.source import SourceError
from sip2gw.convert.xml import read_xml
from sip2gw.protocol.structs import Discreet, Hidden

__all__ = ["Converted", "Note", "SourceError", "converted"]


class Converted(Discreet, Struct, frozen=True):
    """A configuration of ours, and the options that are not in it."""

    toml: str
    notes: tuple[Note, ...]
    passwords: Hidden[Mapping[str, str]] = field(default_factory=dict)
    """For the accounts at the library system, by the name of the file in which each belongs."""


def converted(
    sources: dict[str, bytes], institution: str | None = None, upstream: str | None = None
) -> Converted:
    """The configuration made from `sources` (name → content); it is valid and starts.

    Args:
        sources: one `SIPconfig.xml`, or the JSON files of one edge-sip2.
        institution: the institution or tenant that is the library; None: the first.
        upstream: address of the server that has this file, if it stays behind the gateway.

    Raises:
        SourceError: the files cannot be read.
    """
    draft, passwords = _draft(sources, institution, upstream)
    title = f"Made by sip2gw convert-config from {', '.join(sources)}."
    _drop_unavailable(draft, title, passwords)
    return Converted(draft.toml(title), draft.notes, passwords)


def _draft(
    sources: dict[str, bytes], institution: str | None, upstream: str | None
) -> tuple[Draft, dict[str, str]]:
    documents = []
    for name, data in sources.items():
        try:
            if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                if len(sources) > 1:
                    raise SourceError(
                        "only the JSON files of edge-sip2 can be given together; name one file"
                    )
                return draft_from_sipconfig(read_xml(data), institution, upstream)
            documents.append(read_json(data))
        except SourceError as error:
            raise SourceError(f"{name}: {error}") from None
    if upstream is not None:
        raise SourceError("edge-sip2 has no passwords; write [backend.sip2] for FOLIO yourself")
    try:
        return draft_from_edge(documents, institution), {}
    except SourceError as error:
        raise SourceError(f"{', '.join(sources)}: {error}") from None


def _drop_unavailable(draft: Draft, title: str, passwords: Mapping[str, str]) -> None:
    """Take out the keys that this version does not support yet; the rest must be valid as a
    whole.
    """
    with tempfile.TemporaryDirectory() as directory:
        for name, password in passwords.items():
            Path(directory, name).write_text(password, encoding="utf-8")
        file = Path(directory, "sip2gw.toml")
        file.write_text(draft.toml(title), encoding="utf-8")
        lines = [line.removeprefix(f"{file}: ") for line in unavailable(load_config(file))]
    for path, values in draft.tables.items():
        for name in tuple(values):
            key = ".".join((*path, name))
            for line in lines:
                if line.startswith(f"{key}: "):
                    draft.note(key, line.removeprefix(f"{key}: "))
                    values.pop(name, None)
