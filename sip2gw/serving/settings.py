"""What the settings behind a decision are called in the configuration, and what they say (B70)."""

from __future__ import annotations

from sip2gw.config.tables.doors import DoorTable
from sip2gw.config.tables.profiles import Profile
from sip2gw.config.tables.terminals import Terminal
from sip2gw.handlers import TerminalView
from sip2gw.policy.explaining.places import Settings


def settings_of(terminal: TerminalView, profile: Profile) -> Settings:
    """The settings that decide at `terminal`, by their keys in the file."""
    table = profile.door or DoorTable()

    def door(*keys: str) -> str:
        said = ", ".join(f"{key} = {_toml(getattr(table, key))}" for key in keys)
        return f"profiles.{profile.name}.door.{said}"

    def branch(key: str, elsewhere: str = "") -> str:
        if terminal.branch is None:
            return "the terminal has no branch"
        return f"branches.{terminal.branch}.{key}{elsewhere}"

    days, limit = terminal.max_fee_age_days, terminal.data_limit
    hours = f" = {limit.max_age.total_seconds() / 3600:g}" if limit is not None else ""
    return Settings(
        branch=f"terminals.{terminal.name}.branch",
        data_age=branch("data_max_age_h", hours),
        emergency=door("emergency", "emergency_max_age_h"),
        direction=door("direction"),
        hours=branch("hours", " and exceptions"),
        when_staffed=door("when_staffed"),
        last_entry=door("last_entry_margin_min"),
        bars=branch("bar", ", door bar list"),
        passes=branch("pass", ", door pass list"),
        pin=door("require_pin"),
        pin_required=f"profiles.{profile.name}.pin_required = {_toml(profile.pin_required)}",
        badges=door("require_badges"),
        all_badges=door("require_badges", "badges"),
        age=door("minimum_age"),
        companions=door("companions"),
        memberships=door("memberships"),
        home_branch=door("home_branch_only"),
        fees=door("fees"),
        fee_age=branch("max_fee_age_days", "" if days is None else f" = {days}"),
        house_rules=door("require_house_rules"),
        capacity=door("capacity"),
        inside=door("refuse_inside"),
    )


def access_of(terminal: Terminal, address: str | None = None) -> str:
    """From where a terminal may come, how it is known, and until when; `address` is one that it
    may come from.
    """
    key, networks = f"terminals.{terminal.name}", _toml(tuple(map(str, terminal.networks)))
    parts = [f"{key}.networks = {networks}"]
    if address is not None and terminal.allows_address(address):
        parts = [f"{address} is in {parts[0]}"]
    if not terminal.login_required:
        parts.append(f"{key}.login_required = false")
    if terminal.tls_client_name is not None:
        parts.append(f"{key}.tls_client_name = {_toml(terminal.tls_client_name)}")
    if terminal.expires_at is not None:
        parts.append(f"{key}.expires: {terminal.expires_at:%Y-%m-%d %H:%M}")
    return "; ".join(parts)


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case float():
            return f"{value:g}"
        case tuple():
            return "[" + ", ".join(map(_toml, sorted(value))) + "]"
        case _:
            return str(value)
