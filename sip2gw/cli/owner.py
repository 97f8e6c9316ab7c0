"""Commands that root runs become the owner of the store's file first (C135).

Otherwise SQLite's log, or a new store, would be root's, and the gateway could not write any more.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from sip2gw.cli.failures import CommandError

ROOT = 0


def become_owner(file: Path) -> None:
    """Give up root's rights for those of the owner of `file`, or of its directory, if it is new.

    Only root can, and it cannot be undone in this process.

    Raises:
        CommandError: the system does not let us.
    """
    if os.geteuid() != ROOT:
        return
    try:
        found = os.stat(file if file.exists() else file.parent)
    except FileNotFoundError:
        return  # the store will say what is missing
    if found.st_uid == ROOT:
        return
    try:
        _become(found.st_uid, found.st_gid)
    except OSError as error:
        raise CommandError(
            f"{file}: root cannot become its owner, user {found.st_uid} ({error.strerror}); run"
            " the command as that user"
        ) from None


def _become(user: int, group: int) -> None:
    try:
        known = pwd.getpwuid(user)
    except KeyError:
        os.setgroups([group])
    else:
        group = known.pw_gid
        os.initgroups(known.pw_name, group)
    os.setgid(group)
    os.setuid(user)
