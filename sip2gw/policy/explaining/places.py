"""Where a question is asked: the terminal, its branch, and what their settings are called (B70)."""

from __future__ import annotations

from msgspec import Struct

from sip2gw.model import Minor, format_amount
from sip2gw.policy.access import CheckResult


class Settings(Struct, frozen=True):
    """The settings behind the checks: what each is called where the operator set it, and its value.

    Whoever knows the configuration says them; here they are only words.
    """

    branch: str
    """Only the name: it is said when the terminal has no branch."""
    data_age: str
    emergency: str
    direction: str
    hours: str
    """Where the opening hours are, exceptions included."""
    when_staffed: str
    last_entry: str
    bars: str
    """Where the cards of the bar list are kept."""
    passes: str
    pin: str
    """At a door."""
    pin_required: str
    """Elsewhere."""
    badges: str
    all_badges: str
    """`badges`, and whether all of them are required."""
    age: str
    companions: str
    memberships: str
    home_branch: str
    fees: str
    fee_age: str
    house_rules: str
    capacity: str
    inside: str


class Place(Struct, frozen=True):
    """The terminal and branch of the question, and their settings."""

    terminal: str
    branch: str
    """Empty for a terminal without a branch."""
    currency: str
    max_fee_age_days: int | None
    settings: Settings
    access: str
    """From where the terminal may log in, and until when."""

    @property
    def words(self) -> str:
        """Who asks, where, and what let them ask."""
        here = f"terminal {self.terminal} at branch {self.branch}"
        return f"{here if self.branch else f'terminal {self.terminal}'}; {self.access}"

    def money(self, minor: Minor) -> str:
        """An amount with its currency."""
        return f"{format_amount(minor, self.currency)} {self.currency}"


class ExplainedCheck(Struct, frozen=True):
    """One check: its name (C74), its result, and the reason in plain words."""

    check: str
    result: CheckResult
    detail: str
