"""Modules that are imported late, when one of their functions is first called, or never."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class Later:
    """Stands for a module; its attributes stand for the module's functions.

    The type checker and the import contracts are to see the module itself:

        if TYPE_CHECKING:
            from sip2gw.backend.staff import badges
        else:
            badges = Later("sip2gw.backend.staff.badges")
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, function: str) -> _Function:
        return _Function(self._module, function)


class _Function:
    """Stands for one function of a module."""

    def __init__(self, module: str, name: str) -> None:
        self.__name__ = name
        self._module = module

    def loaded(self) -> Callable[..., Any]:
        """The function itself."""
        function: Callable[..., Any] = getattr(import_module(self._module), self.__name__)
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.loaded()(*args, **kwargs)


def loaded(function: F) -> F:
    """The function itself, imported by now; for a call that must not wait for an import."""
    if isinstance(function, _Function):
        return cast("F", function.loaded())
    return function


@contextmanager
def absent(module: str) -> Iterator[None]:
    """Whoever imports the library `module` in the meantime finds that it is not installed.

    Not if it is imported already: then nothing is saved.
    """
    if module in sys.modules:
        yield
        return
    # The import system's way to say so; typed as if every entry were a module.
    vars(sys)["modules"][module] = None
    try:
        yield
    finally:
        del sys.modules[module]
