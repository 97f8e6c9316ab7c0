"""`[terminals.X]`: one login each, as written and as used (B12, B94, C134)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct
from pydantic import Field, SecretStr, model_validator

from sip2gw.config.tables.branches import Branch
from sip2gw.config.tables.profiles import Profile
from sip2gw.config.types import (
    DayOrTime,
    FileName,
    Name,
    Network,
    Networks,
    Section,
    networks,
    within,
)
from sip2gw.protocol.structs import Discreet, Hidden

PASSWORD_CHARACTERS_MAX = 255
EVERYWHERE = ("0.0.0.0/0", "::/0")
NO_ADDRESS = "unix"
"""Who comes by a Unix socket, and not through a proxy that tells an address, has this in place of
one."""


class TerminalTable(Section):
    """A terminal. Its key is the login unless `login` says otherwise."""

    profile: str = Field(description="Name of its profile.")
    branch: str | None = Field(
        default=None, description="Code of its branch. A door without a branch admits nobody."
    )
    upstream: Name | None = Field(
        default=None,
        description="Account at the library system, from `backend.sip2.accounts`; unset: the"
        " branch's.",
    )
    login_required: bool = Field(
        default=True,
        description="Whether the terminal must log in. Without a login its address (`networks`) or"
        " its client certificate (`tls_client_name`) says which terminal it is.",
    )
    login: Name | None = Field(default=None, repr=False, description="Login (CN); unset: the key.")
    password: SecretStr | None = Field(
        default=None,
        max_length=PASSWORD_CHARACTERS_MAX,
        description="Password (CO) in plain text. Give exactly one of `password`,"
        " `password_file` and `password_hash`; none is needed without `login_required`.",
    )
    password_file: FileName | None = Field(default=None, description="File with the password.")
    password_hash: SecretStr | None = Field(
        default=None, description="Argon2id hash of the password, made by `sip2gw hash-password`."
    )
    networks: Networks = Field(
        default=EVERYWHERE, description="Networks from which the terminal may connect."
    )
    location: Name | None = Field(
        default=None, description="Location (CP) that the terminal must send; unset: any."
    )
    expires: DayOrTime | None = Field(
        default=None, description="Last day, or last moment, on which the terminal may log in."
    )
    tls_client_name: Name | None = Field(
        default=None, description="Name that the terminal's client certificate must contain."
    )
    max_connections: int | None = Field(
        default=None,
        ge=0,
        le=1_000,
        description="Connections at a time; one more login closes the oldest connection. 0:"
        " as many as the limits in `server` allow. Unset: 1, but 0 for `auth`.",
    )

    @model_validator(mode="after")
    def _one_password(self) -> TerminalTable:
        passwords = (self.password, self.password_file, self.password_hash)
        given = sum(value is not None for value in passwords)
        if self.login_required and given != 1:
            raise ValueError("give exactly one of password, password_file and password_hash")
        if given > 1:
            raise ValueError("give only one of password, password_file and password_hash")
        return self

    @model_validator(mode="after")
    def _known_by_something(self) -> TerminalTable:
        named = "networks" in self.model_fields_set and self.networks
        if not self.login_required and not named and self.tls_client_name is None:
            raise ValueError(
                "login_required = false needs networks or tls_client_name; name the addresses"
                " from which only this terminal comes, or the name in its client certificate"
            )
        return self

    @property
    def is_bound_to_networks(self) -> bool:
        """Whether it may not come from everywhere."""
        return set(self.networks) != set(EVERYWHERE)


class Terminal(Discreet, Struct, frozen=True):
    """A terminal as the gateway uses it.

    Exactly one of the password attributes is set; perhaps none if it need not log in.
    """

    name: str
    """Its key in the file; logs and metrics use it."""
    login: Hidden[str]
    profile: Profile
    branch: Branch | None
    upstream: str | None
    """The account that asks the library system for it; None where there is no such system."""
    password: Hidden[SecretStr | None]
    password_hash: Hidden[SecretStr | None]
    networks: tuple[Network, ...]
    location: str | None
    expires_at: datetime | None
    """The first instant at which it may no longer log in, with time zone; None: never."""
    tls_client_name: str | None
    max_connections: int
    """0: no limit other than the caps."""
    login_required: bool = True
    """If not, its certificate name or networks say that a new line is its (C134)."""

    @property
    def admission(self) -> tuple[object, ...]:
        """What a terminal must show to be let in; a line that showed something else is closed
        (C101).
        """
        return (
            self.login_required,
            self.login,
            self.password,
            self.password_hash,
            self.networks,
            self.location,
            self.tls_client_name,
        )

    def allows_address(self, address: str) -> bool:
        """Whether it may connect from the IP `address`; an unreadable one is refused.

        A terminal that is bound to networks cannot come without an address.
        """
        if address == NO_ADDRESS:
            return set(self.networks) == set(networks(EVERYWHERE))
        return within(address, self.networks)

    def expired_at(self, moment: datetime) -> bool:
        """Whether it may no longer log in at `moment` (aware)."""
        return self.expires_at is not None and moment >= self.expires_at


def _first_void_instant(until: date, zone: ZoneInfo) -> datetime:
    """The end of the last valid day, or the given time (C34)."""
    if isinstance(until, datetime):
        return until if until.tzinfo is not None else until.replace(tzinfo=zone)
    if until == date.max:
        return datetime.combine(until, time.max, tzinfo=zone)
    return datetime.combine(until + timedelta(days=1), time(), tzinfo=zone)


def resolve_terminal(
    name: str,
    table: TerminalTable,
    *,
    profile: Profile,
    branch: Branch | None,
    upstream: str | None,
    password: SecretStr | None,
    zone: ZoneInfo,
) -> Terminal:
    """The terminal `name` as `table` describes it; `password` is the plain one, if any."""
    return Terminal(
        name=name,
        login=table.login or name,
        profile=profile,
        branch=branch,
        upstream=upstream,
        password=password,
        password_hash=table.password_hash,
        networks=networks(table.networks),
        location=table.location,
        expires_at=_first_void_instant(table.expires, zone) if table.expires else None,
        tls_client_name=table.tls_client_name,
        max_connections=_connections(table, profile),
        login_required=table.login_required,
    )


def _connections(table: TerminalTable, profile: Profile) -> int:
    """The limit: a kiosk is one machine, but services that only ask open many lines (C102)."""
    if table.max_connections is None:
        return 0 if profile.kind == "auth" else 1
    return table.max_connections
