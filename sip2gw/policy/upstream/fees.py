"""Amounts and fee lines as library systems write them.  (C150)

What cannot be read is unknown, never guessed. A line without an id cannot be paid by itself, so it
is no fee of its own: what such lines come to is one open amount.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal

from msgspec import Struct
from msgspec.structs import replace

from sip2gw.model import UNDATED, Fee, Minor, currency_digits, format_amount
from sip2gw.model.money import AMOUNT_MAX_MINOR
from sip2gw.policy.upstream.fields import Fields, read_date
from sip2gw.policy.upstream.rules import FactRules, FeeFormat
from sip2gw.protocol.fields import Summary
from sip2gw.protocol.structs import Discreet, Hidden

OPEN_AMOUNT = ""
"""The id of what is owed beside the fees that have one."""

OTHER_TYPE = "01"
"""The SIP2 fee type of what is of no known one."""
_TYPES = {"FINE": "04", "LOST": "07"}
"""The types that are known to mean something, as SIP2 fee types."""

_CHARACTERS_MAX = 1000
"""A longer line is nothing that a person wrote."""

_AMOUNT = re.compile(r"\$?(-?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,15})(?:\.([0-9]{0,15}))?")
_GOSSIP_AMOUNT = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]{1,2})?")
_KOHA_ID = re.compile(r"#([0-9]+)\s+")
_KOHA_AMOUNT = re.compile(r"(?<![\w.,$-])(?P<amount>-?[0-9]+\.[0-9]{2})$")
_EVERGREEN_LINES = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"Charge-Number: (?P<id>[0-9]+), Amount-Due: (?P<amount>-?[0-9]+(?:\.[0-9]+)?),"
        r" Fine-Type: (?P<type>[A-Z]+), Title: ?(?P<text>.*)",
        r'(?P<id>[0-9]+) \$(?P<amount>-?[0-9]+(?:\.[0-9]+)?) "(?P<type>[^"]*)"\s*(?P<text>.*)',
        r"(?P<amount>-?[0-9]+(?:\.[0-9]+)?) (?P<text>.*)",
    )
)
_GOSSIP_DATE = ("%d.%m.%Y",)


class FeeLine(Discreet, Struct, frozen=True):
    """One line of a fee list, as far as it can be read."""

    text: Hidden[str]
    amount: Minor | None = None
    """Negative for a credit; None: unreadable."""
    id: str = ""
    """Theirs; empty: there is none, so the line cannot be paid by itself."""
    type: str = OTHER_TYPE
    """SIP2 fee type."""
    item_id: str | None = None
    created: date | None = None


def fee_list_of(rules: FactRules) -> Summary:
    """What a 63 must ask for, to be told of each fee."""
    return Summary.FEE_DETAILS if rules.fees == "gossip" else Summary.FINES


def read_money(text: str | None, currency: str) -> Minor | None:
    """An amount in minor units of `currency`, rounded; None if `text` is not one."""
    match = _AMOUNT.fullmatch(text.strip()) if text is not None else None
    if match is None:
        return None
    sign, whole, fraction = match[1], match[2].replace(",", ""), match[3] or "0"
    amount = Decimal(f"{whole}.{fraction}").scaleb(currency_digits(currency))
    minor = int(amount.to_integral_value(ROUND_HALF_UP))
    if minor > AMOUNT_MAX_MINOR:
        return None
    return -minor if sign else minor


def read_lines(fields: Fields, form: FeeFormat, currency: str) -> tuple[FeeLine, ...]:
    """The fee lines of an answer, in its order."""
    if form == "gossip":
        lines = [_gossip_line(group, currency) for group in fields.fee_groups()]
    elif form in _LINE_READERS:
        lines = [_read_line(text, _LINE_READERS[form], currency) for text in fields.values("AV")]
    else:
        return ()
    times = Counter(line.id for line in lines if line.id)
    return tuple(replace(line, id="") if times[line.id] > 1 else line for line in lines)


LineReader = Callable[[str, str], FeeLine | None]
"""Reads one trimmed AV with amounts in a currency; None if the form is another one."""


def _read_line(text: str, read: LineReader, currency: str) -> FeeLine:
    text = text.strip()
    line = read(text, currency) if len(text) <= _CHARACTERS_MAX else None
    return FeeLine(text) if line is None or line.amount is None else line


def _koha_line(text: str, currency: str) -> FeeLine | None:
    amount = _KOHA_AMOUNT.search(text)
    if amount is None:
        return None
    number = _KOHA_ID.match(text)
    return FeeLine(
        text[number.end() if number else 0 : amount.start()].strip(),
        read_money(amount[0], currency),
        number[1] if number else "",
    )


def _evergreen_match(text: str) -> re.Match[str] | None:
    return next(filter(None, (line.fullmatch(text) for line in _EVERGREEN_LINES)), None)


def _evergreen_line(text: str, currency: str) -> FeeLine | None:
    match = _evergreen_match(text)
    if match is None:
        return None
    said = match.groupdict()
    return FeeLine(
        said["text"].strip(),
        read_money(said["amount"], currency),
        said.get("id", ""),
        _TYPES.get(said.get("type", ""), OTHER_TYPE),
    )


_LINE_READERS: dict[FeeFormat, LineReader] = {
    "av_koha": _koha_line,
    "av_evergreen": _evergreen_line,
}


def with_amount(text: str, form: FeeFormat, amount: Minor, currency: str) -> str:
    """`text`, a line that can be read, with another amount in its place."""
    text = text.strip()
    found = _KOHA_AMOUNT.search(text) if form == "av_koha" else _evergreen_match(text)
    assert found is not None
    start, end = found.span("amount")
    return f"{text[:start]}{format_amount(amount, currency)}{text[end:]}"


def _gossip_line(group: dict[str, str], currency: str) -> FeeLine:
    """One group; its FA has a stricter form, for it has been seen with `.` between thousands."""
    owed, number = group["FA"].strip(), group["CG"].strip()
    is_amount = _GOSSIP_AMOUNT.fullmatch(owed) is not None
    amount = read_money(owed, currency) if is_amount else None
    return FeeLine(
        " ".join(part.strip() for part in (group["FF"], group["FD"]) if part.strip()),
        amount,
        number if amount is not None and number.isprintable() else "",
        item_id=group["FB"].strip() or None,
        created=read_date(group["FC"].strip(), _GOSSIP_DATE),
    )


def open_fees(lines: Sequence[FeeLine], balance: Minor | None, debtor: str) -> tuple[Fee, ...]:
    """What `debtor` owes: the lines that have an id, and what the rest comes to.

    Args:
        balance: BV. It counts: what the lines say differently is in the rest, a credit perhaps.
    """
    named = [line for line in lines if line.id and line.amount]
    others = [line for line in lines if not (line.id and line.amount)]
    rest = _total(others) if balance is None else balance - _total(named)
    text = others[0].text if len(others) == 1 else ""
    open_lines = [*named, FeeLine(text, rest)] if rest else named
    fees = [_fee(line, line.amount or 0, debtor) for line in open_lines]
    return tuple(sorted(fees, key=lambda fee: (fee.created, fee.id)))


def _total(lines: Iterable[FeeLine]) -> Minor:
    return sum(line.amount or 0 for line in lines)


def _fee(line: FeeLine, amount: Minor, debtor: str) -> Fee:
    return Fee(
        line.id or OPEN_AMOUNT,
        debtor,
        amount,
        amount,
        UNDATED if line.created is None else _noon(line.created),
        type=line.type,
        description=line.text,
        item_id=line.item_id,
    )


def _noon(day: date) -> datetime:
    """A moment that is on `day` wherever libraries are."""
    return datetime.combine(day, time(11), UTC)
