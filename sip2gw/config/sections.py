"""The general tables of the file, in the order of the reference page."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    Strict,
    WithJsonSchema,
    model_validator,
)

from sip2gw.config.types import (
    NEVER_BY_RELOAD,
    NEXT_START,
    Address,
    Addresses,
    AddressText,
    Code,
    Count,
    FileName,
    Language,
    Name,
    Networks,
    Seconds,
    Section,
    ZoneText,
    parse_address,
)
from sip2gw.model import RelationshipType
from sip2gw.policy.relationships import RelationshipRules
from sip2gw.protocol.encoding import Encoding

Terminator = Literal["CR", "CRLF"]


class InstitutionSection(Section):
    """The library."""

    id: Code = Field(description="Institution id, sent as AO.", json_schema_extra=NEVER_BY_RELOAD)
    name: Name = Field(default="", validate_default=False, description="Library name, sent as AM.")
    currency: str = Field(
        default="EUR",
        pattern=r"^[A-Z]{3}$",
        description="ISO 4217 currency of every amount; a payment in another one is refused.",
        json_schema_extra=NEVER_BY_RELOAD,
    )
    # A reload may correct it: times are stored in UTC, and days are counted when asked for.
    timezone: ZoneText = Field(
        default="Europe/Brussels", description="Time zone of the institution and its branches."
    )
    language: Language = Field(
        default="nl", description="Language when neither terminal nor patron has another."
    )


_URL_PASSWORD = re.compile(r"([a-z]+://[^:/@]*):([^/]*)(@[^@]*)")


def _check_store_url(url: str) -> str:
    scheme, _, rest = url.partition(":")
    if scheme not in ("sqlite", "postgresql") or not rest.strip("/"):
        raise ValueError("not the address of a store")
    return url


StoreUrl = Annotated[
    str,
    AfterValidator(_check_store_url),
    WithJsonSchema({"type": "string", "format": "sqlite:FILE or postgresql://…"}),
]


class StoreSection(Section):
    """Where the gateway keeps its data."""

    url: StoreUrl = Field(
        default="sqlite:library.db",
        description="`sqlite:FILE`, relative to the configuration file, or"
        " `postgresql://user@host/db`.",
        json_schema_extra=NEVER_BY_RELOAD,
    )
    password: SecretStr | None = Field(
        default=None,
        description="Password of the PostgreSQL user; better `password_file`.",
        json_schema_extra=NEXT_START,
    )
    password_file: FileName | None = Field(
        default=None,
        description="File with the password of the PostgreSQL user.",
        json_schema_extra=NEXT_START,
    )
    pin_secret_file: FileName | None = Field(
        default=None,
        description="File with the server's secret for PIN hashes; unset: made at first use next"
        " to the SQLite file, or kept in the PostgreSQL database.",
        json_schema_extra=NEVER_BY_RELOAD,
    )
    spool_file: FileName | None = Field(
        default=None,
        description="PostgreSQL: file of this gateway alone, which notes what was answered with"
        " “not sure” while the database cannot be asked; unset: named after the configuration"
        " file, with `.spool`, next to it or, under systemd, in the `StateDirectory`.",
        json_schema_extra=NEXT_START,
    )

    @model_validator(mode="before")
    @classmethod
    def _take_password_out_of_url(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        match = _URL_PASSWORD.fullmatch(str(data.get("url", "")))
        if match is None:
            return data
        if "password" in data:
            raise ValueError("the password is given twice: in url and in password")
        return {**data, "url": match[1] + match[3], "password": unquote(match[2])}

    @property
    def is_sqlite(self) -> bool:
        """Whether one machine keeps the data in a file."""
        return self.url.startswith("sqlite:")


class ServerSection(Section):
    """The SIP2 side."""

    listen: Addresses = Field(
        default=("127.0.0.1:6001",),
        description='Addresses to listen on; IPv6 as `"[::1]:6001"`.',
        json_schema_extra=NEXT_START,
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes; more than 1 needs PostgreSQL.",
        json_schema_extra=NEXT_START,
    )
    tls_certificate: FileName | None = Field(
        default=None,
        description="PEM file of the certificate chain; set: terminals speak TLS.",
        json_schema_extra=NEXT_START,
    )
    tls_key: FileName | None = Field(
        default=None, description="PEM file of the private key.", json_schema_extra=NEXT_START
    )
    tls_client_ca: FileName | None = Field(
        default=None,
        description="PEM file of the authority whose client certificates are required.",
        json_schema_extra=NEXT_START,
    )
    socket: FileName | None = Field(
        default=None,
        description="Control socket, through which `reload`, `drain` and `terminal …` reach the"
        " running gateway; unset: named after the configuration file, with `.control`, next to it"
        " or, under systemd, in the `RuntimeDirectory`.",
        json_schema_extra=NEXT_START,
    )
    proxy_protocol: bool = Field(
        default=False,
        description="Expect a PROXY protocol header from `proxy_networks` on each connection.",
        json_schema_extra=NEXT_START,
    )
    proxy_networks: Networks = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Networks of the proxies that are believed.",
        json_schema_extra=NEXT_START,
    )
    login_timeout_s: Seconds = Field(
        default=60, description="Seconds in which a new connection must log in."
    )
    idle_timeout_s: Seconds = Field(
        default=600, description="Seconds without a message after which a connection is closed."
    )
    drain_timeout_s: Seconds = Field(
        default=10, description="Seconds that running requests get at shut-down."
    )
    request_timeout_s: Seconds = Field(
        default=5, description="Seconds in which a request is decided; then it is refused."
    )
    terminal_timeout_s: Annotated[float, Field(gt=0, le=99.8)] = Field(
        default=10,
        description="Time-out told to terminals in 98, seconds; longer than `request_timeout_s`.",
    )
    terminal_retries: int = Field(
        default=3, ge=0, le=998, description="Retries told to terminals in 98."
    )
    status_before_login: bool = Field(
        default=True, description="Whether a 99 before the login is answered as on-line."
    )
    tcp_keepalive_s: Seconds = Field(
        default=60, description="Idle seconds before TCP keepalive probes."
    )
    max_connections: Count = Field(default=10_000, description="Connections at a time.")
    max_connections_per_address: Count = Field(
        default=1_000, description="Connections at a time from one address."
    )
    frame_bytes_max: int = Field(
        default=8_192, ge=512, le=1_048_576, description="Bytes of the longest message accepted."
    )
    frame_timeout_s: Seconds = Field(
        default=10, description="Seconds in which a message that has begun must be complete."
    )
    resend_limit: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Bad checksums in a row that are answered with 96 before the connection is"
        " closed.",
    )
    login_attempts: int = Field(
        default=3, ge=1, le=100, description="Failed logins before the connection is closed."
    )

    @property
    def addresses(self) -> tuple[Address, ...]:
        """`listen`, read."""
        return tuple(parse_address(text) for text in self.listen)


class AdminSection(Section):
    """Metrics, health, REST and console over HTTP."""

    enabled: bool = Field(
        default=True, description="Whether the HTTP side is opened.", json_schema_extra=NEXT_START
    )
    listen: AddressText = Field(
        default="127.0.0.1:9102", description="Address to listen on.", json_schema_extra=NEXT_START
    )
    token: SecretStr | None = Field(
        default=None,
        description="Bearer token of REST and console; better `token_file`.",
        json_schema_extra=NEXT_START,
    )
    token_file: FileName | None = Field(
        default=None,
        description="File with the token; without one REST and console answer on loopback only.",
        json_schema_extra=NEXT_START,
    )

    @property
    def address(self) -> Address:
        """`listen`, read."""
        return parse_address(self.listen)


class RelationshipsSection(Section):
    """Families and authorisations (B49)."""

    enabled: bool = Field(default=True, description="Whether relationships exist at all.")
    types: Annotated[tuple[Literal["head_of_family", "authorisation"], ...], Strict(False)] = Field(
        default=("head_of_family", "authorisation"), description="The types that exist here."
    )

    @property
    def rules(self) -> RelationshipRules:
        """The same for decisions."""
        types = self.types if self.enabled else ()
        return RelationshipRules(frozenset(map(RelationshipType, types)))


class UpstreamSection(Section):
    """A library system that speaks SIP2, behind the gateway."""

    address: AddressText = Field(description="Its address.")
    login: Name = Field(repr=False, description="Login of the gateway there (CN).")
    password: SecretStr | None = Field(
        default=None, description="Password (CO); better `password_file`."
    )
    password_file: FileName | None = Field(default=None, description="File with the password.")
    location: Name | None = Field(default=None, description="Location code (CP).")
    institution: Name | None = Field(
        default=None, description="Institution id there (AO); unset: our own."
    )
    connections: int = Field(default=4, ge=1, le=256, description="Connections kept open.")
    timeout_s: Seconds = Field(
        default=4, description="Seconds for an answer; shorter than `server.request_timeout_s`."
    )
    encoding: Encoding = Field(default="cp850", description="Character encoding there.")
    terminator: Terminator = Field(default="CR", description="End of a message.")
    checksums: bool = Field(default=True, description="Whether messages carry AY and AZ.")
    tls: bool = Field(default=False, description="Whether it speaks TLS.")
    tls_ca: FileName | None = Field(
        default=None, description="PEM file of its authority; unset: those of the system."
    )


class BackendSection(Section):
    """Which system is the library."""

    kind: Literal["store", "sip2"] = Field(
        default="store",
        description="The store itself, or an upstream SIP2 system.",
        json_schema_extra=NEVER_BY_RELOAD,
    )
    sip2: UpstreamSection | None = Field(
        default=None, description="The upstream system.", json_schema_extra=NEXT_START
    )


class SecuritySection(Section):
    """Brakes against guessing."""

    pin_failures_max: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Wrong PINs in a row, with whatever card, that lock a patron's PIN.",
    )
    pin_lock_min: Annotated[float, Field(gt=0, le=10_080)] = Field(
        default=15, description="Minutes for which a PIN stays locked."
    )
    terminal_pin_failures_max: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="Wrong PINs at one terminal, in `terminal_pin_window_min`, that are reported."
        " From then on its failing answers come up to 2 s late.",
    )
    terminal_pin_window_min: int = Field(
        default=15, ge=1, le=1_440, description="Minutes over which they are counted."
    )
    failing_answer_slot_s: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.5,
        description="The answer to a wrong or locked PIN leaves so many seconds after the request,"
        " or twice, three times as many, so that its time tells nothing. 0: at once.",
    )
    login_backoff_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=1, description="Seconds by which the answer to a failing login is delayed."
    )


class LogSection(Section):
    """The log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severity that is written."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: readable on a terminal, else JSON lines."
    )


class PrivacySection(Section):
    """How long identities are kept."""

    access_log_days: int = Field(
        default=30,
        ge=0,
        le=3_660,
        description="Days after which the access log forgets who it was; the rows stay.",
    )
    loan_history_days: int = Field(
        default=0,
        ge=0,
        le=3_660,
        description="For so many days after a return it is known who had borrowed it; 0: not at"
        " all.",
    )
    refused_payment_days: int = Field(
        default=90,
        ge=0,
        le=3_660,
        description="For so many days `payment refused` lists a payment that was answered no.",
    )


class SupportSection(Section):
    """Customer support messages (B64)."""

    enabled: bool = Field(
        default=False,
        description="Whether the gateway opens messages for what a person must follow up.",
    )
