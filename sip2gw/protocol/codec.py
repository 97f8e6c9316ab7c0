"""Messages to bytes and back, compiled from the declarations into closures over plain tuples.

Frames here have no line end. `serialise` writes no AY and AZ and `parse_…` ignores them: error
detection belongs to the connection.

Each message has two writers. One goes from field to field and can write anything. The other is
generated for the usual message, in which all texts are short and clean. Without it a 99 takes 1.14
times as much of our CPU, a 23 1.10 and a 63 1.07, which C136 calls worse; a 37 takes 1.02. Both
write the same bytes, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from itertools import groupby
from typing import Any, TypeVar

from sip2gw.protocol.checksum import split_trailer
from sip2gw.protocol.errors import UnknownMessageError, UnreadableError
from sip2gw.protocol.fields import (
    COMMAND_WIDTH,
    NUL,
    SCREEN_TAG,
    TAG_WIDTH,
    Fixed,
    Group,
    Tagged,
)
from sip2gw.protocol.layout import Placement, layout_of
from sip2gw.protocol.message import Message, Request, Response, Verbatim
from sip2gw.protocol.registry import requests_in, responses_in
from sip2gw.protocol.values import TEXT, TIMESTAMP
from sip2gw.protocol.wire import WireFormat

Kind = TypeVar("Kind", bound=Message)
Reader = Callable[[bytes], Any]
Writer = Callable[[Any], str]
_Step = tuple[Writer, object]
"""A writer, and the value that needs no writing."""

NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""Stands for what is no character: an undecodable byte, and NUL, which no database takes as text.
Nothing that a message says holds a NUL, nor half a surrogate unless the wire format keeps bytes."""

_NEVER = object()
"""Stands where every value, even none, is said."""
_RENDERED_MAX = 1024
"""Remembered renderings of one field, or some neighbours, whose values come from small sets."""


def parse_request(frame: bytes, wire: WireFormat) -> Request:
    """The request in `frame`.

    Raises:
        UnknownMessageError: no request has this command.
        UnreadableError: the fixed block is too short or has a delimiter inside.
    """
    return parse_request_body(split_trailer(frame).body, wire)


def parse_response(frame: bytes, wire: WireFormat) -> Response:
    """The response in `frame`.

    Raises:
        UnclearVerdictError: it says neither yes nor no to what was asked for.
        ProtocolError: as `parse_request`.
    """
    return parse_response_body(split_trailer(frame).body, wire)


def parse_request_body(body: bytes, wire: WireFormat) -> Request:
    """`parse_request` for a frame without its trailer."""
    readers = wire.request_readers
    read = readers.get(body[:COMMAND_WIDTH])
    if read is None:
        read = _new_reader(body, wire, requests_in(wire.dialect), readers)
    message: Request = read(body)
    return message


def parse_response_body(body: bytes, wire: WireFormat) -> Response:
    """`parse_response` for a frame without its trailer."""
    readers = wire.response_readers
    read = readers.get(body[:COMMAND_WIDTH])
    if read is None:
        read = _new_reader(body, wire, responses_in(wire.dialect), readers)
    message: Response = read(body)
    return message


def serialise(message: Message, wire: WireFormat) -> bytes:
    """`message` as a frame: fixed widths exact, values clean and short enough (B4, B9)."""
    kind = type(message)
    writer = wire.writers.get(kind)
    if writer is None:
        compiled = _body_of if kind is Verbatim else _compile_writer(kind, wire)
        writer = wire.writers[kind] = compiled
    frame: bytes = writer(message)
    return frame


def salvage(frame: bytes, request: type[Kind], wire: WireFormat) -> Kind:
    """A `request` with the texts that can still be read although its fixed block cannot.

    The texts of its fixed block are empty. What follows its first delimiter is read like any other
    identified field; secrets are left out.
    """
    layout, message = layout_of(request), request()
    for fixed in layout.fixed:
        if fixed.place.codec is TEXT:
            setattr(message, fixed.attribute, "")
    texts = {
        tagged.place.tag: tagged
        for tagged in layout.tagged
        if tagged.place.codec is TEXT and not (tagged.place.repeated or tagged.place.sensitive)
    }
    for part in wire.text.decode(split_trailer(frame).body).split("|")[1:]:
        tagged = texts.pop(part[:TAG_WIDTH], None)
        if tagged is not None:
            read, value = _reading(tagged.place), part[TAG_WIDTH:]
            setattr(message, tagged.attribute, read(value) if read is not None else value)
    return message


# Reading --------------------------------------------------------------------------------------


def _new_reader(
    body: bytes,
    wire: WireFormat,
    classes: dict[str, type[Kind]],
    readers: dict[bytes, Reader],
) -> Reader:
    """Compile the reader of `body`'s command among `classes`, into `readers`."""
    command = body[:COMMAND_WIDTH]
    code = command.decode("latin-1")
    if code not in classes:
        raise UnknownMessageError
    kind = classes[code]
    reader = _compile_reader(kind, wire)
    for placement in layout_of(kind).groups:
        reader = _grouping(reader, placement, wire)
    readers[command] = reader
    return reader


def _grouping(read: Reader, placement: Placement[Group], wire: WireFormat) -> Reader:
    """`read`, which also takes the fields of a group out of the unknown ones.

    A group begins wherever its first member appears; missing members are empty.
    """
    group = placement.place
    columns = {member.tag: at for at, member in enumerate(group.members)}
    first = group.members[0].tag

    def read_grouped(body: bytes) -> Any:
        message = read(body)
        rows: list[list[str]] = []
        strange = []
        for tag, raw in message.extra_fields:
            if tag == first:
                rows.append([""] * len(columns))
            if tag in columns and rows:
                rows[-1][columns[tag]] = wire.text.decode(raw)
            else:
                strange.append((tag, raw))
        if rows:
            setattr(message, placement.attribute, tuple(group.kind(*row) for row in rows))
            message.extra_fields = strange
        return message

    return read_grouped


def _compile_reader(message: type[Message], wire: WireFormat) -> Reader:
    layout = layout_of(message)
    decode = wire.text.decode
    fixed_end = COMMAND_WIDTH + layout.fixed_width
    cuts: list[tuple[int, int, Callable[[str], Any] | None]] = []
    start = COMMAND_WIDTH
    for fixed in layout.fixed:
        end = start + fixed.place.width
        cuts.append((start, end, fixed.place.codec.read))
        start = end
    slots = {
        tagged.place.tag: (at, _reading(tagged.place), tagged.place.repeated, 1 << at)
        for at, tagged in enumerate(layout.tagged, len(cuts))
    }
    slot_of = slots.get
    absent = [tagged.absent for tagged in layout.tagged]

    def read(body: bytes) -> Message:
        if body.isascii():
            text = body.decode("ascii")
            head, tail = text[:fixed_end], text[fixed_end:]
        else:
            head, tail = body[:fixed_end].decode("latin-1"), decode(body[fixed_end:])
        if NUL in body:
            head, tail = head.replace("\0", NO_CHARACTER), tail.replace("\0", NO_CHARACTER)
        if len(head) < fixed_end or "|" in head:
            raise UnreadableError(message.code)
        values: list[Any] = [
            head[start:end] if read_value is None else read_value(head[start:end])
            for start, end, read_value in cuts
        ]
        values += absent
        seen = 0
        strange: list[int] = []
        for position, part in enumerate(tail.split("|")):
            slot = slot_of(part[:TAG_WIDTH])
            if slot is None:
                if part:
                    strange.append(position)
                continue
            at, read_value, repeated, bit = slot
            if seen & bit:
                strange.append(position)
                continue
            value = part[TAG_WIDTH:] if read_value is None else read_value(part[TAG_WIDTH:])
            if repeated:
                values[at] += (value,)
            else:
                values[at] = value
                seen |= bit
        result = message(*values)
        if strange:
            result.extra_fields = _raw_fields(body[fixed_end:], strange)
        return result

    return read


def _reading(place: Tagged) -> Callable[[str], Any] | None:
    """What makes the value of an identified field of its text; None: it is the text."""
    return str.strip if place.trimmed else place.codec.read


def _raw_fields(tagged: bytes, positions: Sequence[int]) -> list[tuple[str, bytes]]:
    parts = tagged.split(b"|")
    return [(parts[at][:TAG_WIDTH].decode("latin-1"), parts[at][TAG_WIDTH:]) for at in positions]


# Writing --------------------------------------------------------------------------------------


def _body_of(answer: Any) -> bytes:
    body: bytes = answer.body
    return body


def _compile_writer(message: type[Message], wire: WireFormat) -> Callable[[Message], bytes]:
    """A writer for `message` that first assumes that all values are short and representable.

    A value of at most `trusted` characters cannot be too long. Only if the encoding then lacks a
    character is the message written again, with every value fitted.
    """
    trusted = wire.value_bytes_max // wire.text.bytes_per_character_max
    write_text = _compile_usual_writer(message, wire, trusted)
    write_fitted_text = _compile_text_writer(message, wire, -1)
    encode = wire.text.encode_strict

    def write(value: Message) -> bytes:
        try:
            frame = encode(write_text(value))
        except UnicodeEncodeError:
            frame = encode(write_fitted_text(value))
        return frame + _extra(value.extra_fields) if value.extra_fields else frame

    return write


def _extra(fields: list[tuple[str, bytes]]) -> bytes:
    """Fields that the message does not know; their values must be clean."""
    return b"".join([tag.encode("latin-1") + value + b"|" for tag, value in fields])


def _compile_usual_writer(message: type[Message], wire: WireFormat, trusted: int) -> Writer:
    """The writer of the usual message, in which all texts together are short and clean.

    It is one f-string, so nothing is looked up. Everything less usual takes the long way of
    `_compile_text_writer`, with the same result. Of a 36 it reads

        def write(m):
            texts = f"{m.institution_id}{m.patron_identifier}"
            if len(texts) > (255 if texts.isascii() else trusted): return otherwise(m)
            if "|" in texts or not texts.isprintable(): return otherwise(m)
            return f"36{write0((m.end_session,))}{write1(m.transaction_date)}AO{m.inst…
    """
    writers: dict[str, Writer] = {}
    texts: list[str] = []
    said: list[str] = []
    for alike, group in groupby(_placements(message), lambda p: _comes_from_a_small_set(p.place)):
        if alike:
            few = list(group)
            name = f"write{len(writers)}"
            writers[name] = _together([_step(p.place, wire, trusted) for p in few])
            said.append(f"{{{name}(({''.join(f'm.{p.attribute}, ' for p in few)}))}}")
        else:
            said += [_expression(p, wire, trusted, writers, texts) for p in group]
    source = f'''
def write(m):
    texts = f"{"".join(texts)}"
    if len(texts) > ({wire.value_bytes_max} if texts.isascii() else {trusted}): return otherwise(m)
    if "|" in texts or not texts.isprintable(): return otherwise(m)
    return f"""{message.code}{"".join(said)}"""
'''
    known: dict[str, Any] = {**writers, "otherwise": _compile_text_writer(message, wire, trusted)}
    exec(source, known)  # noqa: S102 -- made of our own declarations, as dataclasses do
    write: Writer = known["write"]
    return write


def _expression(
    placement: Placement[Any],
    wire: WireFormat,
    trusted: int,
    writers: dict[str, Writer],
    texts: list[str],
) -> str:
    """How one attribute of `m` is written in an f-string. What it calls goes into `writers`, a text
    that must be checked into `texts`."""
    place, value = placement.place, f"m.{placement.attribute}"
    if isinstance(place, Tagged) and _is_free_text(place, wire):
        texts.append(f"{{{value}}}")
        if place.is_required:
            return f"{place.tag}{{{value} or ''}}|"
        return f"{{'' if {value} is None else f'{place.tag}{{{value}}}|'}}"
    name = f"write{len(writers)}"
    writers[name], nothing = _step(place, wire, trusted)
    if nothing is _NEVER:
        return f"{{{name}({value})}}"
    return f"{{{name}({value}) if {value} {'' if nothing == () else 'is not None '}else ''}}"


def _is_free_text(place: Tagged, wire: WireFormat) -> bool:
    hidden = place.tag in wire.hidden_fields
    return place.codec is TEXT and not (place.width or place.repeated or hidden)


def _compile_text_writer(message: type[Message], wire: WireFormat, trusted: int) -> Writer:
    """The writer of any message, field by field."""
    steps = [(p.attribute, *_step(p.place, wire, trusted)) for p in _placements(message)]

    def write(value: Message) -> str:
        return message.code + "".join(
            [
                writer(part)
                for attribute, writer, nothing in steps
                if (part := getattr(value, attribute)) is not nothing
            ]
        )

    return write


def _placements(message: type[Message]) -> list[Placement[Any]]:
    layout = layout_of(message)
    return [*layout.fixed, *layout.tagged, *layout.groups]


def _comes_from_a_small_set(place: Fixed | Tagged | Group) -> bool:
    return not isinstance(place, Group) and bool(place.width) and place.codec is not TIMESTAMP


def _step(place: Fixed | Tagged | Group, wire: WireFormat, trusted: int) -> _Step:
    if isinstance(place, Group):
        return _group_writer(place, wire, trusted), ()
    if isinstance(place, Fixed):
        return _exact_writer(place, wire, "", ""), _NEVER
    nothing: object = _NEVER if place.is_required else () if place.repeated else None
    return _tagged_writer(place, wire, trusted), nothing


def _together(steps: list[_Step]) -> Writer:
    """One writer for the tuple of all values of `steps`."""

    @lru_cache(maxsize=_RENDERED_MAX)
    def write(values: tuple[Any, ...]) -> str:
        return "".join(
            writer(value)
            for (writer, nothing), value in zip(steps, values, strict=True)
            if value is not nothing
        )

    return write


def _exact_writer(place: Fixed | Tagged, wire: WireFormat, before: str, after: str) -> Writer:
    """A writer for values of one width, which repeat themselves: flags, counts, codes, dates."""
    width, write_value = place.width, place.codec.write
    if place.codec is TIMESTAMP:
        render = wire.timestamps.render
        return lambda value: f"{before}{render(value)}{after}"
    return lru_cache(maxsize=_RENDERED_MAX)(
        lambda value: f"{before}{write_value(value, width)}{after}"
    )


def _tagged_writer(place: Tagged, wire: WireFormat, trusted: int) -> Writer:
    empty = f"{place.tag}|" if place.is_required else ""
    if place.tag in wire.hidden_fields:
        return lambda _value: empty
    if place.repeated:
        write = _repeated_writer(place.tag, _text_field_writer(place, wire, trusted), trusted)
        rewrites = place.tag == SCREEN_TAG and wire.rewritten
        return _rewriting_writer(write, wire.rewritten) if rewrites else write
    if place.codec is TEXT and not place.width:
        return _text_field_writer(place, wire, trusted)
    return _exact_writer(place, wire, place.tag, "|")


def _repeated_writer(tag: str, write_one: Writer, trusted: int) -> Writer:
    between = f"|{tag}"

    def write(values: Sequence[str]) -> str:
        count = len(values)
        if count == 1:
            return write_one(values[0])
        together = between.join(values)
        clean = together.isprintable() and together.count("|") == count - 1
        if count and clean and max(map(len, values)) <= trusted:
            return f"{tag}{together}|"
        return "".join([write_one(value) for value in values])

    return write


def _group_writer(group: Group, wire: WireFormat, trusted: int) -> Writer:
    writers = [_tagged_writer(member, wire, trusted) for member in group.members]

    def write(rows: Sequence[Sequence[str]]) -> str:
        return "".join(
            [writer(value) for row in rows for writer, value in zip(writers, row, strict=True)]
        )

    return write


def _rewriting_writer(write_all: Writer, rewritten: tuple[tuple[str, str], ...]) -> Writer:
    """Replace texts before they are cut to their length; texts that become empty are left out."""

    def write(values: Sequence[str]) -> str:
        texts = (reduce(lambda text, pair: text.replace(*pair), rewritten, v) for v in values)
        return write_all([text for text in texts if text.strip()])

    return write


def _text_field_writer(place: Tagged, wire: WireFormat, trusted: int) -> Writer:
    tag, splits = place.tag, place.splits
    fit, pieces, limit = wire.text.fit, wire.text.pieces, wire.value_bytes_max

    def write(value: str | None) -> str:
        if value is None:
            return f"{tag}|"
        if len(value) <= trusted and value.isprintable() and "|" not in value:
            return f"{tag}{value}|"
        if splits:
            return "".join([f"{tag}{piece}|" for piece in pieces(value, limit)])
        return f"{tag}{fit(value, limit)}|"

    return write
