"""Whether somebody still waits for a change: what nobody waits for any more is not begun.

Whoever gives up then knows which of two is true: nothing was done and nothing will be, or it has
begun and goes on to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from sip2gw.backend.base import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")


class GivenUpError(UnavailableError):
    """Nobody waits for it any more, so it was not begun."""


class Wish:
    """What somebody waits for; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_begun = self._is_given_up = False

    def begin(self) -> None:
        """Something that changes anything begins now; also each further step of it.

        Raises:
            GivenUpError: nobody waits for it any more, and nothing of it has begun.
        """
        with self._lock:
            if self._is_given_up and not self._has_begun:
                raise GivenUpError("nobody waits for it any more")
            self._has_begun = True

    def give_up(self) -> bool:
        """Wait no longer; whether nothing has begun, which then never will."""
        with self._lock:
            self._is_given_up = True
            return not self._has_begun

    def insist(self) -> None:
        """Go on only for somebody who waits.

        Raises:
            GivenUpError: nobody does.
        """
        if self._is_given_up:
            raise GivenUpError("nobody waits for it any more")


_wish: ContextVar[Wish | None] = ContextVar("what somebody waits for", default=None)


@contextmanager
def wished(wish: Wish) -> Iterator[None]:
    """Everything inside is done for `wish`, also in threads and tasks that begin there."""
    token = _wish.set(wish)
    try:
        yield
    finally:
        _wish.reset(token)


def begin() -> None:
    """See `Wish.begin`; does nothing for who never gives up."""
    wish = _wish.get()
    if wish is not None:
        wish.begin()


def insist_on_somebody() -> None:
    """See `Wish.insist`; does nothing for who never gives up."""
    wish = _wish.get()
    if wish is not None:
        wish.insist()


def if_wished(job: Callable[P, T]) -> Callable[P, T]:
    """`job`, which is to begin later and elsewhere, if somebody waits for it then."""
    wish = _wish.get()
    if wish is None:
        return job

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        wish.begin()
        return job(*args, **kwargs)

    return run
