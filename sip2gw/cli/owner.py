"""Commands that root runs become the owner of the store's file first (C135).

Otherwise a new store, or what SQLite keeps beside it, would be root's, and the gateway could not
write any more.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sip2gw

ROOT = 0

_PROGRAM = (os.__file__, sip2gw.__file__)
"""Parts of the program are imported only when they are needed."""


@contextmanager
def as_owner(file: Path) -> Iterator[None]:
    """Work as the owner of `file`, or of its directory while there is no file.

    Only root can, and it cannot be undone in this process. Where the system does not let us, or the
    owner cannot read the program, the owner is given at the end what is new.
    """
    owner = _owner_of(file) if os.geteuid() == ROOT else None
    if owner is None:
        yield
    elif _can_run(*owner):
        _become(*owner)
        yield
    else:
        try:
            yield
        finally:
            _give_away(file, *owner)


def _owner_of(file: Path) -> tuple[int, int] | None:
    """User and group; None where root is right, or what is missing will be told by others."""
    try:
        found = os.stat(file if file.exists() else file.parent)
    except FileNotFoundError:
        return None
    if found.st_uid == ROOT:
        return None
    try:
        return found.st_uid, pwd.getpwuid(found.st_uid).pw_gid
    except KeyError:
        return found.st_uid, found.st_gid  # nobody by name, as in a container


def _can_run(user: int, group: int) -> bool:
    """Whether we may become the user, who then can read the program."""
    try:
        os.setegid(group)
        os.seteuid(user)
        return all(os.access(part, os.R_OK, effective_ids=True) for part in _PROGRAM)
    except OSError:
        return False  # a container may take this right away
    finally:
        os.seteuid(ROOT)
        os.setegid(ROOT)


def _become(user: int, group: int) -> None:
    try:
        os.initgroups(pwd.getpwuid(user).pw_name, group)
    except KeyError:
        os.setgroups([group])
    os.setgid(group)
    os.setuid(user)


def _give_away(file: Path, user: int, group: int) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        if os.stat(path, follow_symlinks=False).st_uid == ROOT:
            os.chown(path, user, group, follow_symlinks=False)
