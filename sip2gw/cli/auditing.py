"""Every command that reads about patrons, or changes something, is in the audit log (B83)."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sip2gw.cli.access import running_command

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.config import Config

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], /) -> T:
    """Run `work` until it is done; in a thread if a loop of the command's is running."""
    import asyncio

    if asyncio._get_running_loop() is None:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def account() -> str:
    """The system's name of the account that gives the command; its number if it has no name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@contextmanager
def noted(config: Config, store: Library) -> Iterator[None]:
    """Write the running command into the audit log of `store` before it goes on.

    Who only reads has opened the store so that nothing can be changed; the log is then written on a
    connection of its own. A rehearsal of an import shows nothing of the store.

    Raises:
        BackendError: it cannot be written, so nothing is shown and nothing is done.
    """
    from sip2gw.model.rights import Role
    from sip2gw.staff.actions import ACTIONS

    command = running_command()
    action = ACTIONS.get(command.words)
    if action is None or not action.is_audited or command.access == "rehearse":
        yield
        return
    from sip2gw.staff.audit import act_of, audited

    act = act_of(
        command.words,
        command.parameters,
        who=account(),
        role=Role.ADMIN,
        source="command",
        now=datetime.now(UTC),
    )
    if command.access != "read":
        with audited(run, store, act):
            yield
        return
    with _open_for_the_log(config) as log, audited(run, log, act, reads=True):
        pass
    yield


@contextmanager
def _open_for_the_log(config: Config) -> Iterator[Library]:
    from sip2gw.backend.database import telling
    from sip2gw.backend.factory import open_backend

    with telling("the audit log cannot be written, so nothing is shown", "see docs/how-to/rest.md"):
        store = open_backend(config, "command", "write").store
        try:
            yield store
        finally:
            run(store.close())
