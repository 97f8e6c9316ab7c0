"""One line for each message, with what its codes mean (`send --short`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from sip2gw.cli.common import printable
from sip2gw.cli.meanings import PAYMENT_TYPES
from sip2gw.protocol.describe import describe_frame
from sip2gw.protocol.fields import PatronFlag
from sip2gw.protocol.wire import WireFormat

_LEFT_OUT = frozenset({"institution id", "transaction date", "language", "sequence number"})
"""Every message has them; they tell nothing about what was asked and answered."""

_CODES = {
    "circulation status": {
        "01": "other",
        "02": "on order",
        "03": "available",
        "04": "charged",
        "05": "charged; not to be recalled until earliest recall date",
        "06": "in process",
        "07": "recalled",
        "08": "waiting on hold shelf",
        "09": "waiting to be re-shelved",
        "10": "in transit",
        "11": "claimed returned",
        "12": "lost",
        "13": "missing",
    },
    "media type": {
        "000": "other",
        "001": "book",
        "002": "magazine",
        "003": "bound journal",
        "004": "audio tape",
        "005": "video tape",
        "006": "CD",
        "007": "diskette",
        "008": "book with diskette",
        "009": "book with CD",
        "010": "book with audio tape",
    },
    "fee type": {
        "01": "other",
        "02": "administrative",
        "03": "damage",
        "04": "overdue",
        "05": "processing",
        "06": "rental",
        "07": "replacement",
        "08": "computer access charge",
        "09": "hold fee",
    },
    "payment type": PAYMENT_TYPES,
}
"""What the codes of SIP2 2.00 mean, by the labels of the fields."""
_YES_NO = {"Y": "yes", "N": "no", "U": "unknown"}
_DONE = {"1": "yes", "0": "no"} | _YES_NO
"""Of fields without a tag, where a 1 is no amount and no card number."""


def show_short(arrow: str, frame: bytes, wire: WireFormat) -> None:
    """Print `frame` as one line, with secrets masked."""
    sys.stdout.write(f"{arrow} {printable(short_line(frame, wire))}\n")
    sys.stdout.flush()


def short_line(frame: bytes, wire: WireFormat) -> str:
    """The name of the message, and the fields that say something, with what they mean."""
    title, *fields = describe_frame(frame, wire)
    told = "; ".join(_told(fields))
    return f"{title}: {told}" if told else title


def _told(fields: list[str]) -> Iterator[str]:
    for line in fields:
        name, _, value = line.strip().partition(": ")
        tag, label = line[2:4].strip(), line[5:].partition(": ")[0]
        if label in _LEFT_OUT or (label == "checksum" and value.endswith("(right)")):
            continue
        if meaning := _meaning(label, value, _YES_NO if tag else _DONE):
            yield f"{name if tag else label} {meaning}"


def _meaning(label: str, value: str, usual: Mapping[str, str]) -> str:
    """What a value means; empty if it says nothing."""
    if label == "patron status":
        set_ones = [flag for flag in PatronFlag if value[flag : flag + 1] == "Y"]
        return ", ".join(flag.name.lower().replace("_", " ") for flag in set_ones) or "all clear"
    if label.endswith(" count") and not value.strip("0 "):
        return ""
    meaning = _CODES.get(label, usual).get(value)
    if meaning is None:
        return value.strip()
    return f"{value} ({meaning})"
