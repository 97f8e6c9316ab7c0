"""Accounts for a gateway that stands in front of the system that the file came from (C120)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from sip2gw.convert.draft import Draft, Values
from sip2gw.protocol.structs import Discreet, Hidden

PROFILE_KEYS = frozenset(
    {"kind", "encoding", "terminator", "error_detection", "messages", "payment_types"}
)
"""What concerns the line to a terminal; all else stays with the library system."""
_LINE_KEYS = ("encoding", "terminator")
"""The same line, now between the gateway and the library system."""
_NOTED = frozenset({"id", "password", "institution", *_LINE_KEYS})
_NOTED_PLACES = ("institution ", "listener ", "include ")


class Login(Discreet, Struct, frozen=True):
    """An account of theirs that has become a terminal."""

    name: str
    password: Hidden[str]
    institution: str


def stand_before(
    draft: Draft, system: Literal["koha", "evergreen"], address: str, logins: Iterable[Login]
) -> dict[str, str]:
    """Add the library system at `address`, with an account for each login.

    Returns:
        The passwords, by the name of the file in which each belongs.
    """
    tables = draft.tables
    tables[("backend",)] = {"kind": "sip2"}
    tables[("backend", "sip2")] = {"address": address, "preset": system}
    passwords: dict[str, str] = {}
    for login in logins:
        terminal = tables[("terminals", login.name)]
        file = _free_name(login.name, passwords)
        passwords[file] = login.password
        tables[("backend", "sip2", "accounts", login.name)] = {
            "login": login.name,
            "password_file": file,
            "institution": login.institution,
            **_line(tables[("profiles", terminal["profile"])]),
        }
        terminal["upstream"] = login.name
    _remark(draft, address)
    return passwords


def _line(profile: Mapping[str, Any]) -> Values:
    return {key: profile[key] for key in _LINE_KEYS if key in profile}


def _free_name(login: str, taken: Mapping[str, str]) -> str:
    """A file name without anything that a file system could read as a path."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "-", login)
    names = (f"{stem}{'-' * bool(n)}{n or ''}.password" for n in range(len(taken) + 1))
    return next(name for name in names if name.lower() not in map(str.lower, taken))


def _remark(draft: Draft, address: str) -> None:
    draft.keep_notes(lambda name: name in _NOTED or name.startswith(_NOTED_PLACES))
    draft.remarks = [
        f"In front of the library system at {address}, one account for each login.",
        "What its own file says about texts, fields, loans and fines stays with it.",
        "Give doors and payment terminals a profile of their own, and set currency, time zone and"
        " language.",
    ]
    if address in draft.tables[("server",)].get("listen", ()):
        draft.remarks.append(
            "Gateway and library system have the same address: change server.listen, or let the"
            " library system listen elsewhere."
        )
