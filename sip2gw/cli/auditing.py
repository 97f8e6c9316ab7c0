"""Every command that reads about patrons, or changes something, is in the audit log (B83)."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sip2gw.cli.access import OPENS, Running, running_command

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model.rights import Act

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


def _act() -> Act | None:
    """The running command as the log says it; None if the log has no line of it.

    A rehearsal of an import shows nothing of the store.
    """
    from sip2gw.model.rights import Role
    from sip2gw.staff.actions import ACTIONS
    from sip2gw.staff.audit import act_of

    command = running_command()
    words = _words(command)
    action = ACTIONS.get(words)
    if action is None or not action.is_audited or command.access == "rehearse":
        return None
    return act_of(
        words,
        command.parameters,
        who=account(),
        role=Role.ADMIN,
        source="command",
        now=datetime.now(UTC),
    )


def _words(command: Running) -> str:
    """The action that the command is; an option may make it another."""
    from sip2gw.staff.actions import ACTIONS

    opens = OPENS.get(command.words)
    given = (name for name in (opens.given if opens else ()) if command.parameters.get(name))
    options = (f"{command.words} --{name}" for name in given)
    return next((words for words in options if words in ACTIONS), command.words)


def note_reading(config: Config) -> None:
    """Write a command that only reads into the audit log, before its store is opened for it.

    Who reads opens the store so that nothing in it can be changed, and SQLite would let no other
    connection of this process change anything while it is open.

    Raises:
        BackendError: it cannot be written, so nothing is shown.
    """
    act = _act() if running_command().access == "read" else None
    if act is None:
        return
    from sip2gw.backend.database import telling
    from sip2gw.backend.factory import open_backend
    from sip2gw.staff.audit import outcome_of_looking

    store = open_backend(config, "command", "note").store
    try:
        with telling("nothing is shown, because the audit log cannot be written", "try again"):
            store.add_audit_entry(act, outcome_of_looking(act))
    finally:
        run(store.close())


@contextmanager
def noted_change(store: Library) -> Iterator[None]:
    """Write a command that changes something into the audit log, and what became of it.

    Raises:
        BackendError: it cannot be written, so nothing is done.
    """
    act = _act() if running_command().access != "read" else None
    if act is None:
        yield
        return
    from sip2gw.staff.audit import audited

    with audited(store, act):
        yield
