"""What our structs have besides their fields: some are not shown, and there is room at some."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, get_type_hints

from msgspec import Struct

T = TypeVar("T")


class _NotShown:
    """Marks an attribute that no `repr` shows."""


Hidden: TypeAlias = Annotated[T, _NotShown()]
"""What an attribute of a `Discreet` value is when its `repr` leaves it out (B16)."""


class Discreet:
    """The first base of a struct with `Hidden` attributes: no `repr`, and so no log, shows them."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Every struct has this method, too, and there it shows everything.
        kind: Any = type(self)
        return [(name, getattr(self, name)) for name in _shown_of(kind)]


@cache
def _shown_of(kind: type[Struct]) -> tuple[str, ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(name for name in kind.__struct_fields__ if not _is_hidden(hints[name]))


def _is_hidden(hint: Any) -> bool:
    return any(isinstance(mark, _NotShown) for mark in getattr(hint, "__metadata__", ()))


class Opaque:
    """The first base of a struct whose `repr` says what it is, and nothing else (B16)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class Room:
    """The first base of a struct with room for what a reader derives from it, once it is finished.

    There is no `kept` at first, nor in a copy: it says nothing about the struct.
    """

    __slots__ = ("kept",)
    kept: Any
