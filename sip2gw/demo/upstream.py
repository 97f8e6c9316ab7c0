"""The demo of two gateways: one plays the library system, one stands in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sip2gw.demo.dialogues import Dialogue
from sip2gw.demo.library import ANNA, BRAM, DIRK, EMMA, GREET, Record, library_records
from sip2gw.demo.site import (
    BRANCHES,
    INSTITUTION,
    OBSERVED,
    TERMINALS,
    DemoTerminal,
    addresses,
    marked,
)

_LOGIN = DemoTerminal("gateway", "gateway-demo", "gateway", "MAIN", "the gateway in front")
"""Which terminal it is, the library system is not told."""

TERMINALS_IN_FRONT = (
    *(known for known in TERMINALS if known.profile != "sorter"),
    OBSERVED,
)

_PROFILE_BEHIND = """
[log]
level = "warning"

# How this library system speaks to the gateway in front: it tells birth date (PB), membership (PC)
# and, in a field PA of its own, the end of the membership. It takes money, from anybody for
# anybody: who may pay for whom, only the gateway in front asks.
[profiles.gateway]
kind = "selfcheck"
encoding = "utf-8"
payment_types = ["00", "01", "02"]
fw_b = "any"
personal_fields = ["PB", "PC"]
custom_patron_fields = [{ field = "PA", template = "{membership_until}" }]
"""

_BACKEND = f"""
[backend]
kind = "sip2"
[backend.sip2]
address = "{{address}}"
login = "{_LOGIN.login}"
password = "{_LOGIN.password}"
encoding = "utf-8"
knows_fw_b = true
[backend.sip2.facts]
birth_date = {{{{ field = "PB" }}}}
membership = {{{{ field = "PC" }}}}
membership_until = {{{{ field = "PA", format = ["%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y"] }}}}
"""

_PROFILES_IN_FRONT = """
[profiles.kiosk]
kind = "selfcheck"

[profiles.entrance]
kind = "door"
[profiles.entrance.door]
require_badges = ["ONBE"]
minimum_age = 16
emergency = true

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

[profiles.observed]
kind = "door"
observe = true
encoding = "utf-8"
[profiles.observed.door]
require_badges = ["ONBE"]
minimum_age = 16
"""


def configuration_behind(sip2: str) -> str:
    """The TOML of the gateway that plays the library system, listening on `sip2`."""
    listen = addresses(sip2, "127.0.0.1:0") + "enabled = false\n"
    login = _LOGIN.table + "max_connections = 0  # the lines of one account, and `upstream check`\n"
    return marked(INSTITUTION, listen, BRANCHES, _PROFILE_BEHIND, login)


def configuration_in_front(sip2: str, admin: str, address: str) -> str:
    """The TOML of the gateway in front of the library system at `address`."""
    return marked(
        INSTITUTION,
        addresses(sip2, admin),
        _BACKEND.format(address=address),
        BRANCHES,
        _PROFILES_IN_FRONT,
        *(terminal.table for terminal in TERMINALS_IN_FRONT),
    )


def records_behind(today: date) -> Iterator[Record]:
    """The demo's library, for a library system that knows no badges and no relationships."""
    for record in library_records(today):
        if record["kind"] not in ("badge", "relationship"):
            yield {key: value for key, value in record.items() if key != "badges"}


def records_in_front(today: date) -> Iterator[Record]:
    """The badges, by the number of each card who has which, and who belongs to whom: all that the
    gateway imports."""
    for record in library_records(today):
        if record["kind"] in ("badge", "relationship"):
            yield record
        elif record.get("badges"):
            yield {key: record[key] for key in ("kind", "id", "name", "badges")}


UPSTREAM_DIALOGUES = (
    Dialogue("door-1", "23", ANNA, "24: admitted; the badge is ours", ("BLY", "CQY", "GLONBE")),
    Dialogue("door-1", "23", GREET, "24: refused, no badge here", ("24Y", "BLY", "CQY")),
    Dialogue("door-1", "23", EMMA, "24: refused, too young", ("24Y", "BLY", "CQY")),
    Dialogue("door-1", "23", DIRK, "24: refused for his debts", ("24Y", "BLY", "CQY")),
    Dialogue(
        "door-1", "23", ANNA, "24: the PIN is wrong, says the library", ("24Y", "CQN"), pin="9999"
    ),
    Dialogue("door-2", "23", ANNA, "24: refused, closed", ("24Y", "BLY", "CQY")),
    Dialogue("door-3", "23", ANNA, "24: the facts, the controller decides", ("BLY", "GLONBE")),
    Dialogue(
        "kiosk-1",
        "63",
        ANNA,
        "64: three loans, listed by the library, and our badge",
        ("AU30000000", "AU30000001", "AU30000002", "GLONBE"),
        ("summary=charged",),
    ),
    Dialogue("kiosk-1", "63", EMMA, "64: blocked by her debt there", ("64YY Y", "BV6.20")),
    Dialogue("auth-1", "63", ANNA, "64: card and PIN are right", ("BLY", "CQY")),
    Dialogue("kiosk-1", "99", "", "98: on line, because the library is", ("98Y",)),
)
"""Each may be repeated; the wrong PIN only until it is locked."""

_EMMAS_DEBT = ("BV=6.20", f"ZD={EMMA}", "BK=demo-1")
_KEPT = ("AB=30000003",)

PAYMENT_DIALOGUES = (
    Dialogue(
        "cash-1",
        "63",
        BRAM,
        "64: the family's debts in one total",
        ("BV9.50",),
        ("summary=fines", "FW=B"),
    ),
    Dialogue("cash-2", "37", BRAM, "38: his child's debt is paid", ("38Y",), _EMMAS_DEBT),
    Dialogue("cash-2", "37", BRAM, "38: the same again, paid once", ("38Y",), _EMMAS_DEBT),
    Dialogue("kiosk-1", "63", EMMA, "64: no longer blocked there", ("64  ", "BV0.00")),
)
"""In this order. The library system knows nothing of families."""

LOAN_DIALOGUES = (
    Dialogue("kiosk-1", "11", GREET, "12: refused there, reserved for Anna", ("120N",), _KEPT),
    Dialogue("kiosk-1", "11", ANNA, "12: lent there", ("121", "AH20"), _KEPT),
    Dialogue("kiosk-1", "29", ANNA, "30: renewed there", ("301Y", "AH20"), ("AB=30000001",)),
    Dialogue("kiosk-1", "09", "", "10: taken back there", ("101Y",), _KEPT),
)

OBSERVED_DIALOGUES = (
    Dialogue("door-4", "63", ANNA, "64: as it came, and so without our badge", ("BLY", "CQY")),
    Dialogue("door-4", "63", GREET, "64: the same; we would refuse her", ("BLY", "CQY")),
)

AWAY_DIALOGUES = (
    Dialogue("door-1", "23", ANNA, "24: admitted all the same, as lately", ("BLY", "GLONBE")),
    Dialogue("kiosk-1", "63", ANNA, "64: refused, try again later", ("64Y", "BLN")),
    Dialogue("kiosk-1", "99", "", "98: off line", ("98N",)),
)
"""While the library system is away, after Anna has been admitted at this door."""
