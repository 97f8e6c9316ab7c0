"""What a library system says of one card, field by field, without showing whose it is (B80)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from sip2gw.cli.upstream.findings import Finding, fitting_encoding
from sip2gw.cli.upstream.seen import Exchange, Seen, Verdict
from sip2gw.foundation.words import counted
from sip2gw.model import format_amount
from sip2gw.policy.upstream.facts import Facts, read_facts, says_nothing
from sip2gw.policy.upstream.fields import PatronAnswer, read_date
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.policy.upstream.rules import DATES, WORDS, FactRules
from sip2gw.protocol.checksum import split_trailer
from sip2gw.protocol.fields import COMMAND_WIDTH, TAG_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.messages import PatronInformationResponse, PatronStatusResponse
from sip2gw.protocol.registry import FIELDS
from sip2gw.protocol.structs import Opaque
from sip2gw.protocol.wire import WireFormat

_PLAIN = frozenset({"AO", "AQ", "BH", "BL", "CQ", "BZ", "CA", "CB", "GL", "PI"})
"""Fields that say nothing about who it is."""
_SHOWN_MAX = 60
_REPEATED_MAX = 5
"""Of a field that is repeated; some patrons have hundreds of fees."""
_NONE = "none"


class Field(Opaque, Struct, frozen=True):
    """One identified field of an answer."""

    tag: str
    value: str


def fields_of(frame: bytes, wire: WireFormat) -> list[Field]:
    """The identified fields of a 64 or 24, in their order."""
    body = split_trailer(frame).body
    kind = PatronInformationResponse if body.startswith(b"64") else PatronStatusResponse
    rest = wire.text.decode(body[COMMAND_WIDTH + layout_of(kind).fixed_width :])
    return [Field(part[:TAG_WIDTH], part[TAG_WIDTH:]) for part in rest.split("|") if part]


def shape(value: str) -> str:
    """The form of a value: letters are x, digits 9, so `20011231` is `99999999`."""
    return re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "9", value))


def card_findings(seen: Seen, currency: str) -> Iterator[Finding]:
    """What the library system says of the card that was asked about, read as the gateway will.

    Args:
        currency: of the site.
    """
    for one in seen.card:
        if one.verdict is not Verdict.ANSWERED:
            yield Finding("card", "warning", f"the {one.code} was not answered: {one.verdict}")
            continue
        answer = one.answer(seen.wire(fitting_encoding(seen)))
        assert isinstance(answer, PatronInformationResponse | PatronStatusResponse)
        if says_nothing(answer, with_pin=False):
            yield Finding(
                "card",
                "warning",
                "it does not know this card (BLN), so nothing can be learned from it; try another"
                f" card, and check institution (AO {seen.account.institution!r} went up)",
            )
        else:
            yield from _answer(seen, one, answer, currency)


def _answer(seen: Seen, one: Exchange, answer: PatronAnswer, currency: str) -> Iterator[Finding]:
    wire, rules = seen.wire(fitting_encoding(seen)), seen.account.facts
    fields = fields_of(one.frame, wire)
    said = {field.tag: field.value for field in reversed(fields)}
    facts = read_facts(answer, rules, currency, wire.text.decode)
    if answer.valid_patron_password is False:
        yield Finding("card", "note", "CQN without a PIN; it may hold back what needs one")
    if one.is_about_another and not seen.account.aliases:
        yield Finding(
            "card",
            "warning",
            "the answer has another number (AA), so the gateway throws it away; if that is the"
            " same patron's, set aliases = true",
        )
    yield _flags(facts)
    times: Counter[str] = Counter()
    for field in fields:
        times[field.tag] += 1
        if times[field.tag] <= _REPEATED_MAX:
            yield _field(field, rules, facts, said)
    for tag, count in times.items():
        if count > _REPEATED_MAX:
            yield Finding(tag, "ok", f"and {count - _REPEATED_MAX} more")
    for name, fact in rules.mapped().items():
        if fact.field not in said:
            yield Finding(fact.field, "note", f"not in the answer: {name} is unknown")
    yield from _money(rules, facts, said, currency)
    yield _presets(said)


def _flags(facts: Facts) -> Finding:
    flags = ", ".join(
        f"{flag.value} {flag.name.replace('_', ' ').lower()}" for flag in sorted(facts.word.flags)
    )
    return Finding("patron flags", "ok", flags or "none")


def _field(field: Field, rules: FactRules, facts: Facts, said: Mapping[str, str]) -> Finding:
    declared = FIELDS.get(field.tag)
    label = declared.label if declared is not None else "unknown field"
    names = [name for name, fact in rules.mapped().items() if fact.field == field.tag]
    if not names:
        text = f"{label}: {_masked(field, said)}"
        return Finding(field.tag, "note" if declared is None else "ok", text)
    text = f"{label}: {_shown(field, names)}"
    read = {name: getattr(facts, name) for name in names}
    becomes = " and ".join(_becomes(name, value) for name, value in read.items())
    is_unread = bool(field.value.strip()) and not all(read.values())
    return Finding(field.tag, "warning" if is_unread else "ok", f"{text} → {becomes}")


def _shown(field: Field, names: Sequence[str]) -> str:
    """Words are shown as they are, so that they can be mapped; dates only in their form."""
    if all(name in WORDS for name in names):
        return repr(field.value[:_SHOWN_MAX])
    return shape(field.value)[:_SHOWN_MAX] or "empty"


def _becomes(name: str, value: Any) -> str:
    if not value:
        return f"{name} unknown"
    if name in DATES:
        return name
    return f"{name} {' '.join(value) if isinstance(value, tuple) else value}"


def _money(
    rules: FactRules, facts: Facts, said: Mapping[str, str], currency: str
) -> Iterator[Finding]:
    balance = facts.word.fee_amount
    if said.get("BV", "").strip() and balance is None:
        yield Finding("BV", "warning", "is no amount, so its money flags decide")
    theirs = said.get("BH", "").strip().upper()
    if balance is not None and theirs not in ("", currency):
        text = f"says {theirs!r}, but amounts are taken for {currency}; is one of the two wrong?"
        yield Finding("BH", "warning", text)
    if "AV" not in said:
        return
    if not facts.lines:
        yield Finding("fees", "note", f"its fee lines are not read: facts.fees is {rules.fees!r}")
        return
    single = sum(bool(line.id) for line in facts.lines)
    unread = sum(line.amount is None for line in facts.lines)
    text = f"{counted(len(facts.lines), 'line')}, {single} to be paid singly, {unread} unreadable"
    total = sum([line.amount or 0 for line in facts.lines])
    is_sum = balance in (None, total)
    if balance is not None and not is_sum:
        listed, owed = (format_amount(amount, currency) for amount in (total, balance))
        text += (
            f"; they come to {listed}, and BV says {owed}, so staff must find out what became of a"
            " payment that is not answered"
        )
    yield Finding("fees", "warning" if unread or not is_sum else "ok", text)


def _masked(field: Field, said: Mapping[str, str]) -> str:
    if field.tag in _PLAIN:
        return field.value[:_SHOWN_MAX]
    if field.tag == "AF":
        return _without_names(field.value, said)[:_SHOWN_MAX]
    return shape(field.value)[:_SHOWN_MAX] or "empty"


def _without_names(text: str, said: Mapping[str, str]) -> str:
    """A screen text without the words of the name, and without numbers."""
    for word in re.findall(r"\w+", said.get("AE", "")):
        text = re.sub(rf"\b{re.escape(word)}\b", "***", text, flags=re.IGNORECASE)
    return re.sub(r"\d", "9", text)


# Presets ----------------------------------------------------------------------------------------


def fitting_presets(said: Mapping[str, str]) -> list[str]:
    """The presets whose facts the answer has most of; those that misread a field are out."""
    points = {name: _fit(preset.facts, said) for name, preset in PRESETS.items()}
    best = max(points.values())
    return [name for name, fit in points.items() if fit == best] if best > 0 else [_NONE]


def _fit(rules: FactRules, said: Mapping[str, str]) -> int:
    points = 0
    for name, fact in rules.mapped().items():
        value = said.get(fact.field)
        if value is None:
            points -= 1
        elif name not in DATES or not value.strip():
            points += 1
        elif read_date(value[: fact.length].strip(), fact.formats):
            # That says more than a word, which anything can be.
            points += 2
        else:
            return -1
    return points


def _presets(said: Mapping[str, str]) -> Finding:
    fitting = fitting_presets(said)
    if fitting == [_NONE]:
        text = "no known system by its fields; declare [backend.sip2.facts] yourself"
        return Finding("preset", "note", text)
    return Finding("preset", "ok", f"by the fields seen: {' or '.join(fitting)}")


def preset_of(seen: Seen) -> str | None:
    """The preset that fits alone; None when nothing can be said."""
    for one in seen.card:
        if one.verdict is Verdict.ANSWERED:
            said = {f.tag: f.value for f in reversed(fields_of(one.frame, seen.wire()))}
            fitting = fitting_presets(said) if said.get("BL") != "N" else []
            if len(fitting) == 1 and fitting != [_NONE]:
                return fitting[0]
    return None
