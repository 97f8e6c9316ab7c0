"""`[backend.sip2]`: the accounts at a library system behind the gateway (B71, C120, C158)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct, field
from pydantic import SecretStr

from sip2gw.config.types import Address
from sip2gw.policy.upstream.rules import FactRules
from sip2gw.protocol.encoding import Encoding
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.protocol.timestamps import DateZone

DEFAULT_ACCOUNT = "default"
"""The account of `[backend.sip2]` itself (C157)."""

Checksums = Literal["bytes", "characters", "none"]


class UpstreamTls(Struct, frozen=True):
    """How TLS is spoken with the library system."""

    ca: Path | None = None
    """PEM; None: the system's authorities."""
    name: str | None = None
    """The name that its certificate must have; None: the host of the address."""
    certificate: Path | None = None
    key: Path | None = None


class Account(Discreet, Struct, frozen=True):
    """One login at the library system, resolved: own keys first, then those of `[backend.sip2]`."""

    name: str
    address: Address
    login: Hidden[str] = ""
    password: Hidden[SecretStr | None] = None
    location: str | None = None
    """CP; None sends none."""
    institution: str = ""
    """AO there."""
    connections: int = 4
    timeout_s: float = 4.0
    """From the terminal's request to the answer, waiting for a line included."""
    encoding: Encoding = "cp850"
    terminator: bytes = b"\r"
    checksums: Checksums = "bytes"
    date_zone: DateZone = "local"
    tls: UpstreamTls | None = None
    login_order: Literal["login", "status_first", "none"] = "login"
    login_algorithm: Literal["0", " "] = "0"
    keepalive_s: float = 60.0
    messages: frozenset[str] | None = None
    """What passes whatever their BX says; None: their BX decides (C152)."""
    payments: bool = True
    payment_split: Literal["sum", "lines"] = "sum"
    knows_fw_b: bool = False
    guards_bk: bool = False
    aliases: bool = False
    facts: FactRules = field(default_factory=FactRules)
