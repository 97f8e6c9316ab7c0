"""The demo's configuration: two branches whose state never depends on the hour, all profiles."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import NamedTuple


class DemoTerminal(NamedTuple):
    """One login of the demo."""

    login: str
    password: str
    profile: str
    branch: str
    note: str

    @property
    def line(self) -> str:
        """Login, password and kind, as the demo prints them."""
        return f"login={self.login} password={self.password}  # {self.note}"

    @property
    def table(self) -> str:
        """Its part of the configuration."""
        return _TERMINAL.format(**self._asdict())


TERMINALS = (
    DemoTerminal("kiosk-1", "kiosk-demo", "kiosk", "MAIN", "self-check"),
    DemoTerminal("sorter-1", "sorter-demo", "sorter", "MAIN", "sorting machine"),
    DemoTerminal("door-1", "door-demo", "entrance", "MAIN", "door that asks for a decision"),
    DemoTerminal("door-2", "door-demo", "entrance", "ANNEX", "the same at a closed branch"),
    DemoTerminal("door-3", "facts-demo", "facts", "MAIN", "door that asks for facts only"),
    DemoTerminal("cash-1", "cash-demo", "cash", "MAIN", "payment, family in one total"),
    DemoTerminal("cash-2", "cash-demo", "cash-separate", "MAIN", "payment, family listed apart"),
    DemoTerminal("auth-1", "auth-demo", "auth", "MAIN", "public computer"),
)

OBSERVED = DemoTerminal(
    "door-4", "observed-demo", "observed", "MAIN", "door that is observed: nothing is decided here"
)
"""In front of a library system only."""

BARRED_CARD = "20001014"
"""Kept out at MAIN, by the configuration and not by the library's data."""

_MARK = "# The demo's configuration {digest}, written anew at every start of `sip2gw demo`."
"""The first line, by which the demo knows its own file while nobody has changed it."""

INSTITUTION = """
[institution]
id = "DEMO"
name = "Demo Public Library"
currency = "EUR"
timezone = "Europe/Brussels"
language = "en"

[store]
url = "sqlite:library.db"
"""

_ADDRESSES = """
[server]
listen = [{sip2}]

[admin]
listen = {admin}
"""

BRANCHES = f"""
# MAIN is always open without staff and ANNEX always closed, so that nothing here depends on the
# hour. A real branch has staffed hours too.
[branches.MAIN]
name = "Main branch"
max_fee_age_days = 49
hours = [
  {{ days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], from = "00:00", to = "24:00", \
state = "unstaffed" }},
]
bar = [{{ card = "{BARRED_CARD}", note = "until further notice" }}]

[branches.ANNEX]
name = "Annex"
"""

_PROFILES = """
[profiles.kiosk]
kind = "selfcheck"

[profiles.sorter]
kind = "sorter"
checked_in_ok = true

[profiles.entrance]
kind = "door"
[profiles.entrance.door]
require_badges = ["ONBE"]
minimum_age = 16

[profiles.facts]
kind = "door"
[profiles.facts.door]
mode = "facts"
require_badges = ["ONBE"]

[profiles.cash]
kind = "payment"

[profiles.cash-separate]
kind = "payment"
family = "separate"

[profiles.auth]
kind = "auth"
"""

_TERMINAL = """
[terminals.{login}]
profile = "{profile}"
branch = "{branch}"
password = "{password}"
"""


def configuration(sip2: str, admin: str) -> str:
    """The demo's TOML, listening on `sip2` and `admin` (each `host:port`)."""
    tables = (terminal.table for terminal in TERMINALS)
    return marked(INSTITUTION, addresses(sip2, admin), BRANCHES, _PROFILES, *tables)


def addresses(sip2: str, admin: str) -> str:
    """Where the gateway listens."""
    return _ADDRESSES.format(sip2=json.dumps(sip2), admin=json.dumps(admin))


def is_demo_configuration(text: str) -> bool:
    """Whether the demo wrote `text`, whatever the addresses and version, and nobody edited it."""
    _, _, body = text.partition("\n")
    return text == marked(body)


def marked(*parts: str) -> str:
    """The whole file, with the mark of the demo."""
    body = "".join(parts)
    digest = sha256(body.encode()).hexdigest()[:16]
    return f"{_MARK.format(digest=digest)}\n{body}"
