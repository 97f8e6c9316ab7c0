"""What a library system says of one card, field by field, without showing whose it is (B80)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sip2gw.cli.upstream.bytes import encoding_of
from sip2gw.cli.upstream.findings import Finding
from sip2gw.cli.upstream.seen import Exchange, Seen, Verdict
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.policy.upstream.rules import Fact, FactRules
from sip2gw.protocol.checksum import split_trailer
from sip2gw.protocol.fields import COMMAND_WIDTH, TAG_WIDTH
from sip2gw.protocol.layout import layout_of
from sip2gw.protocol.messages import PatronInformationResponse, PatronStatusResponse
from sip2gw.protocol.registry import FIELDS
from sip2gw.protocol.wire import WireFormat

DATES = ("birth_date", "membership_until")
WORDS = ("membership", "badges", "home_branch")
_PLAIN = frozenset({"AO", "AQ", "BH", "BL", "CQ", "BZ", "CA", "CB", "GL", "PI"})
"""Fields that say nothing about who it is."""
_SHOWN_MAX = 60
_NONE = "none"


@dataclass(frozen=True, slots=True, repr=False)
class Field:
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


def card_findings(seen: Seen) -> Iterator[Finding]:
    """What the library system says of the card that was asked about."""
    for one in seen.card:
        if one.verdict is not Verdict.ANSWERED:
            yield Finding("card", "warning", f"the {one.code} was not answered: {one.verdict}")
        else:
            yield from _answer(seen, one)


def _answer(seen: Seen, one: Exchange) -> Iterator[Finding]:
    wire = seen.wire(encoding_of(one.frame))
    fields = fields_of(one.frame, wire)
    said = {field.tag: field.value for field in reversed(fields)}
    if said.get("BL") == "N":
        yield Finding(
            "card",
            "warning",
            "it does not know this card (BLN), so nothing can be learned from it; try another"
            f" card, and check institution (AO {seen.account.institution!r} went up)",
        )
        return
    known = {fact.field: name for name, fact in mapped(seen.account.facts).items()}
    for field in fields:
        yield _field(field, known.get(field.tag), seen.account.facts, said)
    yield from _missing(seen.account.facts, said)
    yield _presets(said)


def _field(field: Field, name: str | None, rules: FactRules, said: Mapping[str, str]) -> Finding:
    declared = FIELDS.get(field.tag)
    label = declared.label if declared is not None else "unknown field"
    if name is None:
        text = f"{label}: {_masked(field, said)}"
        return Finding(field.tag, "note" if declared is None else "ok", text)
    fact = mapped(rules)[name]
    if name in WORDS:
        word = field.value[: fact.length]
        ours = fact.map.get(word, (fact.default or "unknown") if fact.map else word)
        return Finding(field.tag, "ok", f"{label}: {field.value[:_SHOWN_MAX]!r} → {name} {ours!r}")
    if read_date(fact, field.value):
        return Finding(field.tag, "ok", f"{label}: {shape(field.value)} → {name}")
    if not field.value.strip():
        return Finding(field.tag, "note", f"{label}: empty → {name} unknown")
    return Finding(
        field.tag,
        "warning",
        f"{label}: {shape(field.value)} → {name} cannot be read; give its format",
    )


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


def _missing(rules: FactRules, said: Mapping[str, str]) -> Iterator[Finding]:
    for name, fact in mapped(rules).items():
        if fact.field not in said:
            yield Finding(fact.field, "note", f"not in the answer: {name} is unknown")


# Presets ----------------------------------------------------------------------------------------


def mapped(rules: FactRules) -> dict[str, Fact]:
    """The facts that have a rule, by name."""
    found = {name: getattr(rules, name) for name in (*DATES, *WORDS)}
    return {name: fact for name, fact in found.items() if fact is not None}


def read_date(fact: Fact, value: str) -> bool:
    """Whether `value` is a date as `fact` says."""
    text = value[: fact.length].strip()
    for form in fact.formats:
        try:
            datetime.strptime(text, form)  # noqa: DTZ007 -- only its form matters
        except ValueError:
            continue
        return True
    return False


def fitting_presets(said: Mapping[str, str]) -> list[str]:
    """The presets whose facts the answer has most of; those that misread a field are out."""
    points = {name: _fit(preset.facts, said) for name, preset in PRESETS.items()}
    best = max(points.values())
    return [name for name, fit in points.items() if fit == best] if best > 0 else [_NONE]


def _fit(rules: FactRules, said: Mapping[str, str]) -> int:
    points = 0
    for name, fact in mapped(rules).items():
        value = said.get(fact.field)
        if value is None:
            points -= 1
        elif name not in DATES or not value.strip():
            points += 1
        elif read_date(fact, value):
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
