"""What a resource works with: the store as a command opens it, the configuration, the gateway.

Resources are plain functions that run in threads, so nothing that waits holds up the process's
loop, and thereby `/metrics` and the probes. What of a store needs a loop runs in one of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from sip2gw.backend.factory import open_backend
from sip2gw.backend.library import Library
from sip2gw.backend.wish import begin
from sip2gw.config import Config
from sip2gw.config.passing import unpack
from sip2gw.control.client import Control, NoGatewayError, RefusedError
from sip2gw.control.messages import (
    AnyAnswer,
    Configuration,
    Decide,
    ReadConfiguration,
    Refused,
    Request,
)
from sip2gw.model.rights import Role, Token
from sip2gw.web.api.once import Keyed
from sip2gw.web.api.problems import ProblemError, unavailable

T = TypeVar("T")

ANSWER_WITHIN_S = 5.0
ASKING_MAX = 4
"""How many requests that take a while may have a connection of their own to the gateway at a time.
"""
DECIDING_MAX = 8
"""The same for decisions at doors, which do not wait for the others; of 16 in all, the rest is for
commands.
"""

EXPLAINING_MAX = 1
"""The same for explanations, each with lines of its own to a library system."""


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="desk", daemon=True)
        thread.start()

    def run(self, work: Coroutine[Any, Any, T], /) -> T:
        """Do `work` there and wait for its result; not to be called in the loop itself."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class Desk:
    """The store and the gateway, for all requests; opening it blocks.

    Args:
        running: the configuration that the gateway has in force; files may say something else.

    Raises:
        BackendError: the store cannot be opened.
    """

    def __init__(self, running: Configuration) -> None:
        self.follow(running)
        self._loop = Loop()
        self._asking = threading.BoundedSemaphore(ASKING_MAX)
        self._deciding = threading.BoundedSemaphore(DECIDING_MAX)
        self._explaining = threading.BoundedSemaphore(EXPLAINING_MAX)
        self.opened = open_backend(self.config, "command", "write")
        self.store: Library = self.opened.store

    def run(self, work: Coroutine[Any, Any, T], /) -> T:
        """Do what the store needs a loop for."""
        return self._loop.run(work)

    def follow(self, running: Configuration) -> None:
        """Go on with what the gateway has put into force; blocks."""
        self.config, self.reloads = unpack(running.packed), running.reloads

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Room for an explanation.

        Raises:
            ProblemError: others take too long.
        """
        with _room(self._explaining, "too many explanations are under way; try again"):
            yield

    @contextmanager
    def asking_apart(
        self, request: Request, within_s: float
    ) -> Iterator[tuple[Control, AnyAnswer]]:
        """A connection of its own to the gateway, for what takes a while, and the first answer.

        Few at a time, or commands would find no room at the gateway.

        Raises:
            ProblemError: the gateway is not there, or refuses.
        """
        places = self._deciding if isinstance(request, Decide) else self._asking
        with _room(places, "too many requests to the gateway are under way; try again"):
            begin()
            try:
                with Control(self.config.socket_path) as control:
                    yield control, control.ask(request, within_s)
            except NoGatewayError:
                raise unavailable("the gateway does not answer; look in its log") from None
            except RefusedError as error:
                raise refused(str(error)) from None


@contextmanager
def _room(places: threading.BoundedSemaphore, problem: str) -> Iterator[None]:
    if not places.acquire(timeout=ANSWER_WITHIN_S):
        raise unavailable(problem)
    try:
        yield
    finally:
        places.release()


def refused(problem: str) -> ProblemError:
    """What the gateway says when it does not do something."""
    status = 404 if problem.startswith("no terminal of that name") else 409
    return ProblemError(status, problem)


class Caller(Struct, frozen=True):
    """Who asks, and from where."""

    token: Token
    address: str

    @property
    def sees_persons(self) -> bool:
        """Whether the answer may say something about patrons."""
        return self.token.role is not Role.VIEW


class Asked:
    """One request: who asks, and what it takes to answer. The configuration is that of its
    beginning.
    """

    def __init__(
        self,
        desk: Desk,
        caller: Caller,
        loop: asyncio.AbstractEventLoop,
        ask: Callable[[Request], Awaitable[AnyAnswer]],
        keyed: Keyed | None,
    ) -> None:
        self.desk, self.caller, self.keyed = desk, caller, keyed
        self.config: Config = desk.config
        self.store = desk.store
        self._loop, self._ask = loop, ask

    @property
    def zone(self) -> ZoneInfo:
        """The library's."""
        return self.config.zone

    @property
    def now(self) -> datetime:
        """The moment."""
        return datetime.now(UTC)

    def run(self, work: Coroutine[Any, Any, T], /) -> T:
        """Do what the store needs a loop for."""
        return self.desk.run(work)

    def follow(self) -> None:
        """Let the next requests see what the gateway has just put into force.

        Raises:
            ProblemError: it does not answer.
        """
        running = self.ask(ReadConfiguration())
        assert isinstance(running, Configuration)
        self.desk.follow(running)

    def ask(self, request: Request) -> AnyAnswer:
        """What this gateway answers at once.

        Raises:
            ProblemError: it is not there, or refuses.
        """
        from sip2gw.control.channel import GatewayGoneError

        begin()

        async def wait() -> AnyAnswer:
            return await self._ask(request)

        waiting = asyncio.run_coroutine_threadsafe(wait(), self._loop)
        try:
            answer: AnyAnswer = waiting.result(ANSWER_WITHIN_S)
        except (TimeoutError, GatewayGoneError):
            raise unavailable("the gateway does not answer; look in its log") from None
        if isinstance(answer, Refused):
            raise refused(answer.problem)
        return answer
