"""What the JSON documents of commands and REST have in common (C21, B84).

A document is a `TypedDict`: the type checker holds the functions that make it to its keys, and REST
describes them by it. Keys about patrons are marked, so that who may not see persons gets the same
document without them (C176).
"""

from __future__ import annotations

from functools import cache
from types import GenericAlias
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typing_extensions import TypedDict, is_typeddict


class AboutPerson:
    """Marks a key that says something about a patron."""


Person = Annotated[str | None, AboutPerson()]
"""A patron, a card or a name; null for who may not see persons."""
Persons = Annotated[list[str], AboutPerson()]
"""Several of them; empty for who may not see persons."""


def document_of(record: type[Any]) -> Any:
    """The document whose keys are the fields of the class `record`."""
    made = TypedDict(record.__name__, get_type_hints(record))  # type: ignore[misc] # made at run time
    made.__doc__ = record.__doc__
    return made


def document_of_struct(record: type[Any], name: str) -> Any:
    """The document of that name whose keys are those of the msgspec struct `record`."""
    import msgspec

    keys = {one.encode_name: _document_in(one.type) for one in msgspec.structs.fields(record)}
    made = TypedDict(name, keys)  # type: ignore[misc] # likewise
    made.__doc__ = record.__doc__
    return made


def _document_in(kind: Any) -> Any:
    import msgspec

    if get_origin(kind) is Annotated:
        return _document_in(get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return document_of_struct(kind, kind.__name__)
    if get_origin(kind) is tuple:
        return GenericAlias(list, (_document_in(get_args(kind)[0]),))
    return kind


def without_persons(document: Any, kind: Any) -> Any:
    """`document`, of the type `kind`, without what is about patrons."""
    if isinstance(document, list):
        (inner,) = get_args(kind) or (None,)
        return [without_persons(one, inner) for one in document]
    if not isinstance(document, dict):
        return document
    shown = dict(document)
    for key, hint, is_about in _looked_at(kind):
        if key in shown:
            value = shown[key]
            shown[key] = _nobody(value) if is_about else without_persons(value, hint)
    return shown


def _nobody(value: Any) -> Any:
    return [] if isinstance(value, list) else None


@cache
def _looked_at(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """The keys of a document that are about patrons, or may have documents in them, and which."""
    return tuple(
        (key, hint, _is_about_person(hint))
        for key, hint in _hints(kind).items()
        if not _is_plain(hint)
    )


def _is_about_person(hint: Any) -> bool:
    marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return any(isinstance(mark, AboutPerson) for mark in marks)


def _is_plain(hint: Any) -> bool:
    origin = get_origin(hint)
    return origin not in (Annotated, list) and not is_typeddict(origin or hint)


def _hints(kind: Any) -> dict[str, Any]:
    """The keys of a document; those of a page of documents are those of its own type."""
    origin = get_origin(kind)
    if origin is not None and is_typeddict(origin):
        (inner,) = get_args(kind)
        return {
            key: GenericAlias(list, (inner,)) if get_origin(hint) is list else hint
            for key, hint in get_type_hints(origin, include_extras=True).items()
        }
    return get_type_hints(kind, include_extras=True) if is_typeddict(kind) else {}
