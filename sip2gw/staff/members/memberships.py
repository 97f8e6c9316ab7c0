"""The membership definitions that patrons belong to (B62)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from sip2gw.staff.documents import document_of_struct

if TYPE_CHECKING:
    from msgspec.structs import FieldInfo

    from sip2gw.backend.library import Library
    from sip2gw.backend.loading.lines import Findings
    from sip2gw.backend.sql.members.memberships import Definition


class Added(NamedTuple):
    """What became of definitions that were to be added: all of them are there now, or none."""

    codes: list[str]
    misread: tuple[str, ...]
    """What is wrong with the lines, as `FILE:LINE: message`, up to a hundred (C52)."""
    refused: tuple[str, ...]
    """Why the store does not take them, likewise."""


def membership_document() -> Any:
    """The type of a definition in JSON, for those who describe it."""
    from sip2gw.backend.loading.format import MembershipLine

    return document_of_struct(MembershipLine, "Membership")


def membership_schema(*, changes: bool = False) -> dict[str, Any]:
    """The JSON schema of a definition that is to be added, or of `changes` of one."""
    import msgspec

    from sip2gw.backend.loading.format import MembershipLine

    _, found = msgspec.json.schema_components((MembershipLine,), ref_template="{name}")
    schema: dict[str, Any] = _inlined(found[MembershipLine.__name__], found)
    schema.pop("description")
    schema["properties"].pop("kind")
    schema["required"].remove("kind")
    if changes:
        schema["properties"].pop("code")
        schema.pop("required")
    return schema


def _inlined(schema: Any, found: Mapping[str, Any]) -> Any:
    """`schema` with what it refers to in place of references."""
    if isinstance(schema, list):
        return [_inlined(one, found) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(found[schema["$ref"]], found)
    return {key: _inlined(one, found) for key, one in schema.items()}


def membership_json(definition: Definition, currency: str) -> dict[str, Any]:
    """A definition with every key (C82)."""
    from sip2gw.backend.loading.memberships import record_of

    return record_of(definition, currency)


def memberships(store: Library, currency: str) -> list[dict[str, Any]]:
    """The definitions by position and code, hidden ones too."""
    return [membership_json(definition, currency) for definition in store.memberships()]


def find_membership(store: Library, code: str) -> Definition:
    """The definition with this code.

    Raises:
        NotFoundError: there is no such definition.
    """
    from sip2gw.backend.staff.memberships import unknown_membership

    found = next((it for it in store.memberships() if it.code == code), None)
    if found is None:
        raise unknown_membership(code)
    return found


async def add_memberships(store: Library, name: str, stream: BinaryIO, currency: str) -> Added:
    """Make the definitions in a file of JSON Lines, which has nothing else: all of them, or none.

    Args:
        store: where to.
        name: of the file, for errors.
        stream: the file.
        currency: of its amounts.
    """
    from sip2gw.backend.loading.lines import ERRORS_MAX, Findings, TooManyErrorsError

    findings = Findings()
    wanted: dict[int, Definition] = {}
    refused: list[tuple[int, str]] = []
    with suppress(TooManyErrorsError):
        _read(findings, name, stream, currency, wanted)
    if not findings.errors:
        refused = (await store.add_memberships(wanted))[:ERRORS_MAX]
    codes = [definition.code for definition in wanted.values()]
    return Added(codes, findings.texts(findings.errors), findings.texts(refused))


async def add_membership_records(
    store: Library, records: Iterable[Mapping[str, Any]], currency: str
) -> Added:
    """The same of records without `kind`, which messages call `item:1` and so on."""
    import msgspec

    lines = (msgspec.json.encode({"kind": "membership", **record}) for record in records)
    return await add_memberships(store, "item", BytesIO(b"\n".join(lines)), currency)


def _read(
    findings: Findings, name: str, stream: BinaryIO, currency: str, wanted: dict[int, Definition]
) -> None:
    """Fill `wanted` with the definitions of the file, by line, and note what is wrong with them."""
    from sip2gw.backend.loading.format import LineError
    from sip2gw.backend.loading.json_lines import numbered_lines

    findings.begin_file(name, 0)
    places: dict[str, int] = {}
    for number, line in numbered_lines(stream, 0):
        try:
            definition = _definition(line, currency)
            if definition is None:
                continue
            first = places.setdefault(definition.code, number)
            if first != number:
                raise LineError(
                    f"membership {definition.code} is already in {findings.place(first)}"
                )
        except LineError as error:
            findings.error(number, str(error))
            continue
        for problem in _problems(definition):
            findings.error(number, problem)
        wanted[number] = definition


def _definition(line: bytes | None, currency: str) -> Definition | None:
    from sip2gw.backend.loading.format import LineError, MembershipLine
    from sip2gw.backend.loading.json_lines import decode
    from sip2gw.backend.loading.lines import read_definition

    record = decode(line)
    if record is None:
        return None
    if not isinstance(record, MembershipLine):
        raise LineError(f"a {record.__struct_config__.tag} is no membership; load it with `import`")
    return read_definition(record, currency)


def _problems(definition: Definition) -> Iterable[str]:
    from sip2gw.policy.members.definitions import definition_problems

    return definition_problems(definition)


def read_changes(pairs: Iterable[str], currency: str) -> dict[str, Any]:
    """The values that texts `KEY=VALUE` give to keys of a definition, typed as in an import.

    An empty value is the default of the key; lists are JSON.

    Raises:
        KeyError: no such text, key, or a key given twice; the text says which.
        RefusedError: a value does not fit its key; the text says which.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, given, text = pair.partition("=")
        if not given:
            raise KeyError(f"{pair}: write KEY=VALUE, such as max_items=10")
        field = _field(name)
        if name in values:
            raise KeyError(f"{name}: is given twice")
        values[name] = _value(field, text, currency, nothing="")
    return values


def read_values(given: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """The same of values in JSON; null is the default of the key.

    Raises:
        KeyError: there is no such key; the text says which.
        RefusedError: a value does not fit its key; the text says which.
    """
    return {
        name: _value(_field(name), value, currency, nothing=None) for name, value in given.items()
    }


def _field(name: str) -> FieldInfo:
    import msgspec

    from sip2gw.backend.loading.format import MembershipLine
    from sip2gw.foundation.words import meant

    if name == "code":
        raise KeyError("code: a membership keeps its code; add another membership")
    fields = {it.name: it for it in msgspec.structs.fields(MembershipLine)}
    if name not in fields:
        raise KeyError(f"{name}: no such key{meant(name, fields)}; allowed: {', '.join(fields)}")
    return fields[name]


def _value(field: FieldInfo, given: Any, currency: str, *, nothing: str | None) -> Any:
    """What `given` says for a key: a text if `nothing` is one, else a value of JSON."""
    import msgspec

    from sip2gw.backend.base import RefusedError
    from sip2gw.backend.loading.format import MembershipLine
    from sip2gw.backend.loading.memberships import read_amount
    from sip2gw.backend.loading.misfits import misfit_of
    from sip2gw.model import MEMBERSHIP_AMOUNTS

    name, is_text = field.name, nothing is not None
    if given == nothing and not field.required:
        return field.default
    try:
        is_list = isinstance(field.default, tuple)
        value = msgspec.json.decode(given) if is_text and is_list else given
        value = msgspec.convert(value, field.type, strict=not is_text)
        return read_amount(name, value, currency) if name in MEMBERSHIP_AMOUNTS else value
    except msgspec.MsgspecError as error:
        raise RefusedError(f"{_told(name, given)}: {misfit_of(MembershipLine, error)}") from None
    except ValueError as error:
        raise RefusedError(f"{_told(name, given)}: {error}") from None


def _told(name: str, given: Any) -> str:
    return f"{name}={given}" if isinstance(given, str) else name
