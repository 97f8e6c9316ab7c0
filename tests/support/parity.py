"""What differs when a terminal asks through a gateway in front of a gateway, field by field.

docs/reference/upstream.md names each difference and explains it; a test in `tests/gateway`
finds the differences anew and compares them with that table.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pages import exchanges, pages

from sip2gw.protocol.codec import parse_response
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.wire import WireFormat

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "upstream.md"
NOTHING = "nothing"
_WIRE = WireFormat()
_BLOCK = re.compile(r"^```sip2(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (\d\d) \| ([^|]+) \| (.+?) \| (.+?) \| [^|]+ \|$", re.MULTILINE)


class Difference(NamedTuple):
    """One field of one answer that is not the same."""

    answer: str
    field: str
    directly: str
    through: str


def named():
    """The differences that the page names."""
    rows = [Difference(*row) for row in _ROW.findall(PAGE.read_text())]
    assert rows, "no table"
    assert len(set(rows)) == len(rows), "a row too often"
    return set(rows)


def differences(directly: str, through: str) -> Iterator[Difference]:
    """The fields in which two answers differ, the order of the fields not counted."""
    answers = [_fields(directly), _fields(through)]
    for name in answers[0] | answers[1]:
        said = [answer.get(name, NOTHING) for answer in answers]
        if said[0] != said[1]:
            yield Difference(directly[:2], name, *said)


def _fields(answer):
    """Every field of an answer as it is written, by tag or by its label in the fixed block."""
    response = parse_response(answer.encode("cp850"), _WIRE)
    layout, at, found = layout_of(type(response)), 2, {"answer": answer[:2]}
    for fixed in layout.fixed:
        end = at + fixed.place.width
        found[fixed.place.label] = f"`{answer[at:end]}`"
        at = end
    for part in answer[at:].split("|"):
        if part:
            tag, value = part[:2], f"`{part[2:]}`"
            found[tag] = f"{found[tag]} {value}" if tag in found else value
    return found


def dialogues(codes):
    """(login, requests with the answers that a gateway gives directly) of the examples on pages."""
    for code in codes:
        for login, block in _BLOCK.findall(pages()[code].read_text()):
            yield login, exchanges(block)
