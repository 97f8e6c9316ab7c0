"""Frames in words for people, with everything secret masked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sip2gw.protocol.checksum import (
    Trailer,
    character_checksum_matches,
    checksum_digits,
    checksum_matches,
    split_trailer,
)
from sip2gw.protocol.fields import (
    COMMAND_WIDTH,
    TAG_WIDTH,
    VALUE_BYTES_MAX,
    Tagged,
)
from sip2gw.protocol.layout import Layout, layout_of
from sip2gw.protocol.message import Message
from sip2gw.protocol.registry import FIELDS, MESSAGES, SENSITIVE_TAGS
from sip2gw.protocol.wire import WireFormat

MASK = "***"

_SECRET = re.compile("|".join(sorted(SENSITIVE_TAGS)))
_ODD_SECRET_TAG = re.compile("|".join(rf"\W*{t[0]}\W*{t[1]}" for t in sorted(SENSITIVE_TAGS)), re.I)
"""A sensitive tag as a misconfigured terminal or a bad line may write it: `ad`, `A D`."""


def redact_frame(frame: bytes) -> bytes:
    """`frame` with every sensitive value masked, fit for a trace (C78).

    Whatever follows the letters AC, AD, CN or CO is masked wherever they appear, so that a lost
    delimiter or a mangled command cannot reveal a password. Capitals in a text may be masked by
    mistake. At the beginning of a field small letters count too, and characters other than letters
    and digits before or between the two are ignored. With a secret its checksum is masked, which
    reveals the sum of a PIN's digits.
    """
    trailer = split_trailer(frame)
    message = _message_of(trailer.body)
    text = trailer.body.decode("latin-1")
    head, parts = "", []
    if message is None:
        parts = _masked_parts(text)
    else:
        head, parts = _masked(text, layout_of(message))
    shown = head + "|".join(parts)
    rest = frame[len(trailer.body) :]
    if shown != text and trailer.has_checksum:
        begin, _, end = rest.partition(b"AZ" + trailer.digits)
        rest = begin + b"AZ" + MASK.encode() + end
    return shown.encode("latin-1") + rest


def without_swallowed(text: str, message: Message) -> str:
    """`text`, a value of `message`, without a secret that it may have swallowed (B16).

    A terminal that forgets a `|`, or uses another delimiter, leaves a PIN or password in the value
    before, and the field of its own is missing. So what follows the tag of a sensitive field that
    `message` could have and lacks is masked. That may be the rest of a receipt number with such
    letters in it.
    """
    for placement in layout_of(type(message)).tagged:
        tag, value = placement.place.tag, getattr(message, placement.attribute)
        if placement.place.sensitive and value is None:
            head, found, swallowed = text.partition(tag)
            text = head + found + (MASK if swallowed else "")
    return text


def describe_frame(
    frame: bytes,
    wire: WireFormat,
    *,
    wary: bool = False,
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """Readable lines for `frame`: its name, then every field with its label and value.

    Each line also says what is wrong: a fixed block of another width, a field of the wrong length
    or out of place, a missing one, a bad checksum. Sensitive values are `***` as in `redact_frame`,
    and so is the checksum of a frame that has any. With `wary` you see less. The value of a field
    that is unknown, repeated, or not of this message is hidden, because it may be a secret with a
    wrong tag. A secret under a valid tag with another meaning cannot be recognised. Any bytes give
    some lines; nothing raises.

    Args:
        names: what fields that SIP2 does not know mean to whoever sent the frame, by their tags.
    """
    trailer = split_trailer(frame)
    message = _message_of(trailer.body)
    if message is None:
        lines = _unreadable_lines(trailer.body, wire, wary)
    else:
        fields = _field_lines(trailer.body, message, wire, wary, names or {})
        lines = [f"{message.code} {title(message)}", *fields]
    is_hidden = any(MASK in line for line in lines)
    return lines + _trailer_lines(trailer, wire, is_hidden)


def _unreadable_lines(body: bytes, wire: WireFormat, wary: bool) -> list[str]:
    """What can be said about a line whose command or fixed block is broken."""
    message = MESSAGES.get(body[:COMMAND_WIDTH].decode("latin-1"))
    first, *others = _masked_parts(wire.text.decode(body))
    if wary:
        first = first if message is not None else _without_doubtful(first, COMMAND_WIDTH)
        others = [_without_doubtful(part, 0) for part in others]
    text = _shown("|".join([first, *others]))
    if message is None:
        return [f"unknown or unreadable: {text}"]
    start, end, _ = body.partition(b"|")
    what = f"the first | comes after {len(start)}" if end else f"the line has {len(start)}"
    width = COMMAND_WIDTH + layout_of(message).fixed_width
    return [
        f"{message.code} {title(message)}: unreadable, its first {width} characters have"
        f" no |, but {what}",
        _line("", "text", text),
    ]


def _without_doubtful(part: str, width: int) -> str:
    """`part` if it is a field that we know, else as many of its digits as a command has, or none.

    Text without a tag may be the rest of a secret.
    """
    if not part or part[:TAG_WIDTH] in FIELDS:
        return part
    return (part[:width] if part[:width].isdecimal() else "") + (MASK if part[width:] else "")


def _message_of(body: bytes) -> type[Message] | None:
    """The message class of `body`, or None when it is unknown or its fixed block is broken."""
    message = MESSAGES.get(body[:COMMAND_WIDTH].decode("latin-1"))
    if message is None:
        return None
    end = COMMAND_WIDTH + layout_of(message).fixed_width
    return None if len(body) < end or b"|" in body[:end] else message


def _masked(text: str, layout: Layout) -> tuple[str, list[str]]:
    """Command and fixed block, and the identified fields of `text`, each with secrets masked.

    The fixed block keeps its width. If the first field does not begin with a known tag, the fixed
    block may be shifted, and the value after a sensitive tag there may extend past its end.
    """
    end = COMMAND_WIDTH + layout.fixed_width
    head, rest = text[:end], text[end:]
    found = _SECRET.search(head, COMMAND_WIDTH)
    parts = _masked_parts(rest)
    if found is not None:
        head = head[: found.end()] + "*" * (end - found.end())
        if rest[:TAG_WIDTH] not in FIELDS:
            parts[0] = MASK
    elif head[-1:] + rest[:1] in SENSITIVE_TAGS:
        parts[0] = MASK
    return head, parts


def _masked_parts(text: str) -> list[str]:
    """The fields of `text`; a stray piece after a sensitive one may be the rest of a secret."""
    parts: list[str] = []
    after_secret = False
    for part in text.split("|"):
        found = _ODD_SECRET_TAG.match(part) or _SECRET.search(part)
        stray = part[:TAG_WIDTH] not in FIELDS
        if found is not None:
            parts.append(part[: found.end()] + (MASK if part[found.end() :] else ""))
        elif after_secret and stray:
            parts.append(MASK if part else "")
        else:
            parts.append(part)
        after_secret = found is not None or (after_secret and stray)
    return parts


def _field_lines(
    body: bytes, message: type[Message], wire: WireFormat, wary: bool, names: Mapping[str, str]
) -> list[str]:
    layout = layout_of(message)
    end = COMMAND_WIDTH + layout.fixed_width
    text = body[:end].decode("latin-1") + wire.text.decode(body[end:])
    head, parts = _masked(text, layout)
    lines = []
    start = COMMAND_WIDTH
    for placement in layout.fixed:
        stop = start + placement.place.width
        lines.append(_line("", placement.place.label, head[start:stop]))
        start = stop
    lines += _tagged_lines(parts, layout, wire, wary, names)
    return lines


def _tagged_lines(
    parts: list[str], layout: Layout, wire: WireFormat, wary: bool, names: Mapping[str, str]
) -> Iterator[str]:
    """The identified fields, then those that the message demands but that are missing."""
    places = {place.tag: place for place in layout.fields}
    once = {p.place.tag for p in layout.tagged if not p.place.repeated}
    seen: set[str] = set()
    for part in parts:
        tag, value = part[:TAG_WIDTH], part[TAG_WIDTH:]
        if part == MASK:
            yield _line("", "hidden", MASK)
        elif part:
            known = places.get(tag) or FIELDS.get(tag)
            label = known.label if known is not None else names.get(tag, "unknown field")
            notes = list(_notes(tag, value, places.get(tag), wire))
            is_again = tag in seen and tag in once
            if is_again:
                notes.append("again: only the first counts")
            if wary and value and (is_again or tag not in places):
                value = MASK
            yield _line(tag, label + "".join(f" ({note})" for note in notes), value)
            seen.add(tag)
    for tag, place in places.items():
        if place.is_required and tag not in seen:
            yield _line(tag, place.label, "missing")


def _notes(tag: str, value: str, place: Tagged | None, wire: WireFormat) -> Iterator[str]:
    """What is wrong with a field, in a few words; nothing about a masked value."""
    if place is None:
        if tag in FIELDS:
            yield "not of this message"
    elif place.width and value and len(value) != place.width:
        yield f"{len(value)} characters instead of {place.width}"
    size = len(wire.text.encode(value))
    if size > VALUE_BYTES_MAX:
        yield f"{size} bytes, over {VALUE_BYTES_MAX}"


def _line(tag: str, label: str, value: str) -> str:
    return f"  {_shown(tag):2} {label}: {_shown(value)}"


def _shown(text: str) -> str:
    """`text` without anything that could disturb a terminal or fake a line."""
    return "".join([c if c.isprintable() else f"\\x{ord(c):02x}" for c in text])


def title(message: type[Message]) -> str:
    """The name of the message in words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", message.__name__).capitalize()
    return re.sub(r"\b(acs|sc)\b", lambda match: match[0].upper(), words, flags=re.IGNORECASE)


def _trailer_lines(trailer: Trailer, wire: WireFormat, is_hidden: bool) -> list[str]:
    lines = []
    if trailer.sequence:
        lines.append(_line("AY", "sequence number", trailer.sequence.decode("ascii")))
    if trailer.has_checksum:
        good = checksum_matches(trailer.summed, trailer.digits)
        right = checksum_digits(trailer.summed).decode("ascii")
        verdict = "right" if good else "wrong" if is_hidden else f"wrong, should be {right}"
        text = wire.text.decode(trailer.summed)
        if not good and character_checksum_matches(text, trailer.digits):
            verdict += "; right when summed over characters"
        digits = MASK if is_hidden else trailer.digits.decode("latin-1")
        lines.append(_line("AZ", "checksum", f"{digits} ({verdict})"))
    return lines
