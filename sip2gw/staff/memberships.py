"""The membership definitions that patrons belong to (B62)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.backend.loading.lines import Findings
    from sip2gw.backend.sql.members.memberships import Definition


def memberships(store: Library, currency: str) -> list[dict[str, Any]]:
    """The definitions by position and code, hidden ones too, with every key (C82)."""
    from sip2gw.backend.loading.memberships import record_of

    return [record_of(definition, currency) for definition in store.memberships()]


def find_membership(store: Library, code: str, currency: str) -> dict[str, Any]:
    """The definition with this code.

    Raises:
        RefusedError: there is no such definition.
    """
    from sip2gw.backend.staff.memberships import unknown_membership

    found = next((it for it in memberships(store, currency) if it["code"] == code), None)
    if found is None:
        raise unknown_membership(code)
    return found


async def add_memberships(
    store: Library, name: str, stream: BinaryIO, currency: str
) -> tuple[list[str], tuple[str, ...]]:
    """Make the definitions in a file of JSON Lines, which has nothing else: all of them, or none.

    Args:
        store: where to.
        name: of the file, for errors.
        stream: the file.
        currency: of its amounts.

    Returns:
        The codes that were read, and the errors, as `FILE:LINE: message`, up to a hundred (C52).
    """
    from sip2gw.backend.loading.lines import Findings, TooManyErrorsError

    findings = Findings()
    wanted: dict[int, Definition] = {}
    try:
        _read(findings, name, stream, currency, wanted)
        if not findings.errors:
            for number, problem in await store.add_memberships(wanted):
                findings.error(number, problem)
    except TooManyErrorsError:
        pass
    codes = [definition.code for definition in wanted.values()]
    return codes, findings.texts(findings.errors)


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
        if name == "code":
            raise KeyError("code: a membership keeps its code; add another membership")
        if name in values:
            raise KeyError(f"{name}: is given twice")
        values[name] = _value(name, text, currency)
    return values


def _value(name: str, text: str, currency: str) -> Any:
    import msgspec

    from sip2gw.backend.base import RefusedError
    from sip2gw.backend.loading.format import MembershipLine
    from sip2gw.backend.loading.memberships import read_amount
    from sip2gw.backend.loading.misfits import misfit_of
    from sip2gw.foundation.words import meant
    from sip2gw.model import MEMBERSHIP_AMOUNTS

    field = next((it for it in msgspec.structs.fields(MembershipLine) if it.name == name), None)
    if field is None:
        names = [it.name for it in msgspec.structs.fields(MembershipLine)]
        raise KeyError(f"{name}: no such key{meant(name, names)}; allowed: {', '.join(names)}")
    if not text and not field.required:
        return field.default
    try:
        if name in MEMBERSHIP_AMOUNTS:
            return read_amount(name, text, currency)
        value = msgspec.json.decode(text) if isinstance(field.default, tuple) else text
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.MsgspecError as error:
        raise RefusedError(f"{name}={text}: {misfit_of(MembershipLine, error)}") from None
    except ValueError as error:
        raise RefusedError(f"{name}={text}: {error}") from None
