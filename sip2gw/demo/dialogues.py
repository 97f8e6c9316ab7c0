"""What to try with the demo, and what it answers. The tests play every line."""

from __future__ import annotations

import shlex

from msgspec import Struct

from sip2gw.demo.library import (
    ANNA,
    BRAM,
    EMMA,
    GREET,
    PEOPLE,
)
from sip2gw.demo.site import OBSERVED, TERMINALS

_PASSWORDS = {terminal.login: terminal.password for terminal in (*TERMINALS, OBSERVED)}
_PINS = {person.card: person.pin for person in PEOPLE}


class Dialogue(Struct, frozen=True):
    """One message, as said by one terminal, and the kind of answer."""

    login: str
    message: str
    card: str
    answer: str
    """The code of the answer and what it means."""
    shows: tuple[str, ...]
    """Fields that stand in the answer."""
    fields: tuple[str, ...] = ()
    pin: str = ""
    """Instead of the right one."""
    is_first: bool = False
    """Whether it is on the first screen, with the few that everybody tries."""

    def arguments(self, address: str) -> list[str]:
        """The arguments of `sip2gw`."""
        pin = self.pin or _PINS.get(self.card)
        card = [f"AA={self.card}", f"AD={pin}"] if self.card else []
        login = ["--login", self.login, "--password", _PASSWORDS[self.login]]
        return ["send", "--to", address, *login, self.message, *card, *self.fields]

    def command(self, program: str, address: str) -> str:
        """The line to type in a shell."""
        return f"{program} {shlex.join(self.arguments(address))}"

    @property
    def outcome(self) -> str:
        """What to expect, in one line."""
        return f"→ {self.answer} ({', '.join(self.shows)})"


_EMMAS_FEE = ("BV=6.20", "CG=F-1003-1", "BK=demo-1")
_KEPT, _FILM = ("AB=30000003",), ("AB=30000006",)

DIALOGUES = (
    Dialogue("door-1", "23", ANNA, "24: admitted", ("BLY", "CQY", "GLONBE"), is_first=True),
    Dialogue("door-1", "23", GREET, "24: refused, no badge", ("24Y", "BLY", "CQY"), is_first=True),
    Dialogue("door-1", "23", EMMA, "24: refused, too young", ("24Y", "BLY", "CQY")),
    Dialogue("door-2", "23", ANNA, "24: refused, closed", ("24Y", "BLY", "CQY")),
    Dialogue("door-3", "23", ANNA, "24: the facts, the controller decides", ("BLY", "GLONBE")),
    Dialogue(
        "kiosk-1",
        "63",
        ANNA,
        "64: three loans",
        ("AU30000000", "AU30000001", "AU30000002"),
        ("summary=charged",),
        is_first=True,
    ),
    Dialogue("kiosk-1", "63", EMMA, "64: blocked by her debt", ("64YY Y", "BV6.20", "CC5.00")),
    Dialogue(
        "cash-1",
        "63",
        BRAM,
        "64: the family's debts in one total",
        ("BV9.50",),
        ("summary=fines", "FW=B"),
    ),
    Dialogue(
        "cash-1",
        "37",
        BRAM,
        "38: her debt is paid",
        ("38Y", "BKdemo-1"),
        _EMMAS_FEE,
        is_first=True,
    ),
    Dialogue("cash-1", "37", BRAM, "38: the same again, booked once", ("38Y",), _EMMAS_FEE),
    Dialogue("kiosk-1", "63", EMMA, "64: no longer blocked", ("BV0.00",)),
    Dialogue(
        "cash-2",
        "63",
        BRAM,
        "64: own total, the family listed apart",
        ("BV2.50", "ZR20001004~Lars~head_of_family~0.80"),
        ("summary=fines",),
    ),
    Dialogue("auth-1", "63", ANNA, "64: card and PIN are right", ("BLY", "CQY")),
    Dialogue(
        "kiosk-1", "17", "", "18: on loan, and until when", ("1804", "AH20"), ("AB=30000001",)
    ),
    Dialogue(
        "kiosk-1", "11", GREET, "12: refused, reserved for Anna", ("120N", "AFThis item is"), _KEPT
    ),
    Dialogue("kiosk-1", "11", ANNA, "12: lent, for she reserved it", ("121", "AH20"), _KEPT),
    Dialogue("kiosk-1", "11", GREET, "12: refused, it costs something", ("120N", "BV1.50"), _FILM),
    Dialogue(
        "kiosk-1", "11", GREET, "12: lent, she agreed to pay", ("121", "BV1.50"), (*_FILM, "BO=Y")
    ),
    Dialogue("kiosk-1", "29", ANNA, "30: renewed", ("301Y", "AH20"), ("AB=30000001",)),
    Dialogue("kiosk-1", "65", ANNA, "66: all of hers renewed", ("661", "BM30000000")),
    Dialogue(
        "sorter-1",
        "09",
        "",
        "10: back on the shelf",
        ("101Y", "AQMAIN"),
        ("AB=30000002",),
        is_first=True,
    ),
    Dialogue(
        "sorter-1",
        "09",
        "",
        "10: late, and set aside for Carla",
        ("101Y", "CV01", "CY20001005"),
        ("AB=30000005",),
    ),
    Dialogue("sorter-1", "09", "", "10: refused, not known", ("100", "CV99"), ("AB=39999999",)),
    Dialogue("sorter-1", "99", "", "98: what this terminal may do", ("98Y",)),
)
"""In this order: what is paid, lent and returned changes what comes after. Each may be repeated."""
