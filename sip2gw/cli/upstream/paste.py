"""The part of the configuration that fits a library system, ready to paste (B80).

It is what the file says, with what was seen in its place; never with a password.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sip2gw.cli.upstream.card import preset_of
from sip2gw.cli.upstream.findings import (
    answers_63,
    fitting_checksums,
    fitting_encoding,
    names_another,
    passing_63,
    passing_messages,
)
from sip2gw.cli.upstream.seen import Seen
from sip2gw.config.tables.upstream import DEFAULT_ACCOUNT
from sip2gw.foundation.toml import toml_key, toml_value

Table = dict[str, Any]
_CHECKSUMS: Mapping[str, object] = {"bytes": True, "none": False, "characters": "characters"}
_NOT_SHOWN = 'password = ""  # write yours in; it is not shown here'
"""An empty one is refused at the start, so whoever forgets it does not get the login locked."""


def fitting_toml(written: Mapping[str, Any], seen: Sequence[Seen]) -> str:
    """`[backend]` and below.

    Args:
        written: `[backend.sip2]` as the file has it.
        seen: the accounts that were tried; those that do not work stay as they are.
    """
    shared = {key: value for key, value in written.items() if key != "accounts"}
    accounts = dict(written.get("accounts", {}))
    works = [one for one in seen if one.working is not None]
    for one in sorted(works, key=lambda one: one.account.name != DEFAULT_ACCOUNT):
        fits = _fitting(one)
        if one.account.name == DEFAULT_ACCOUNT:
            shared |= fits
        else:
            own = accounts[one.account.name]
            more = {k: v for k, v in fits.items() if own.get(k, shared.get(k)) != v}
            accounts[one.account.name] = own | more
    return "\n".join(_lines(shared, accounts)) + "\n"


def _lines(shared: Table, accounts: Mapping[str, Table]) -> Iterator[str]:
    yield from _table("backend", {"kind": "sip2"})
    yield from _table("backend.sip2", shared)
    for name, own in accounts.items():
        yield from _table(f"backend.sip2.accounts.{toml_key(name)}", own)


def _table(path: str, keys: Table) -> Iterator[str]:
    """Its plain keys, and then its own tables."""
    yield f"[{path}]"
    tables = {key: value for key, value in keys.items() if isinstance(value, dict)}
    for key, value in keys.items():
        if key not in tables:
            yield _NOT_SHOWN if key == "password" else f"{key} = {toml_value(value)}"
    for key, value in tables.items():
        yield f"[{path}.{key}]"
        yield from (f"{toml_key(name)} = {toml_value(own)}" for name, own in value.items())


def _fitting(seen: Seen) -> Table:
    """The keys that were found out."""
    account, status, working = seen.account, seen.status, seen.working
    assert working is not None, "only what works is worth pasting"
    assert status is not None, "what works has its 98"
    found: Table = {
        "institution": status.institution_id or account.institution,
        "encoding": fitting_encoding(seen),
        "checksums": _CHECKSUMS[fitting_checksums(seen)],
        "login_order": working.order,
    }
    preset = preset_of(seen)
    if preset is not None:
        found["preset"] = preset
    if "37" not in status.supported_messages:
        found["payments"] = False
    if names_another(seen):
        found["aliases"] = True
    answers, passing = answers_63(seen), passing_messages(seen)
    if answers and not passing_63(seen):
        found["messages"] = sorted({*passing, "63"})
    elif answers is False and "63" in passing:
        found["messages"] = sorted(passing - {"63"})
    return found
