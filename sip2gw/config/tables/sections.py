"""The general tables of the file, in the order of the reference page."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    Strict,
    WithJsonSchema,
    model_validator,
)

from sip2gw.config.tables.accounts import UpstreamSection
from sip2gw.config.types import (
    NEVER_BY_RELOAD,
    NEXT_START,
    Address,
    AddressText,
    Code,
    FileName,
    Language,
    Name,
    Networks,
    Section,
    ZoneText,
    parse_address,
)
from sip2gw.foundation.urls import tells_password
from sip2gw.model import RelationshipType
from sip2gw.policy.relationships import RelationshipRules


class InstitutionSection(Section):
    """The library."""

    id: Code = Field(description="Institution id, sent as AO.", json_schema_extra=NEVER_BY_RELOAD)
    name: Name = Field(default="", validate_default=False, description="Library name, sent as AM.")
    currency: str = Field(
        default="EUR",
        pattern=r"^[A-Z]{3}$",
        description="Currency of every amount (ISO 4217). The gateway refuses a payment in"
        " another one.",
        json_schema_extra=NEVER_BY_RELOAD,
    )
    # A reload may correct it: times are stored in UTC, and days are counted on demand.
    timezone: ZoneText = Field(
        default="Europe/Brussels", description="Time zone of the institution and its branches."
    )
    language: Language = Field(
        default="nl",
        description="Language used when neither the terminal nor the patron has another.",
    )


_URL_PASSWORD = re.compile(r"([a-z]+://[^:/@]*):([^/]*)(@[^@]*)")


def _check_store_url(url: str) -> str:
    scheme, _, rest = url.partition(":")
    if scheme not in ("sqlite", "postgresql") or not rest.strip("/"):
        raise ValueError("is not the address of a store")
    if tells_password(url):
        raise ValueError(
            "holds a password that cannot be kept secret there; put it into a file, and name that"
            " in store.password_file"
        )
    try:
        urlsplit(url)
    except ValueError:
        raise ValueError("is not the address of a store") from None
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
        description="Password of the PostgreSQL user. Prefer `password_file`.",
        json_schema_extra=NEXT_START,
    )
    password_file: FileName | None = Field(
        default=None,
        description="File with the password of the PostgreSQL user.",
        json_schema_extra=NEXT_START,
    )
    pin_secret_file: FileName | None = Field(
        default=None,
        description="File with the secret for PIN hashes. Unset: one is made with the"
        " store, next to the SQLite file or in the PostgreSQL database.",
        json_schema_extra=NEVER_BY_RELOAD,
    )
    spool_file: FileName | None = Field(
        default=None,
        description="PostgreSQL: file of this gateway alone. It records requests answered"
        " with “not sure” while the database is unavailable. Unset: named after"
        " the configuration file, with `.spool`, next to it or, under systemd, in"
        " the `StateDirectory`.",
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
            raise ValueError("the password is given twice, in url and in password; keep one")
        return {**data, "url": match[1] + match[3], "password": unquote(match[2])}

    @property
    def is_sqlite(self) -> bool:
        """Whether the data is in a file on this machine."""
        return self.url.startswith("sqlite:")


TokenName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,50}$")]
"""The name of a token."""


class TokenTable(Section):
    """`[admin.tokens.NAME]`: a token for unattended set-up (B83)."""

    role: Literal["view", "staff", "admin", "self"] = Field(
        description="view: no persons. staff: patrons too. admin: everything. self: self-service"
        " of patrons, for the library's website.",
    )
    token_file: FileName = Field(
        description="File with the token: at least 32 random characters on one line."
    )
    networks: Networks = Field(
        default=(), description="Networks that it may come from; empty: all."
    )


class AdminSection(Section):
    """Metrics, health checks and REST over HTTP; later the console."""

    enabled: bool = Field(
        default=True, description="Whether to serve HTTP.", json_schema_extra=NEXT_START
    )
    listen: AddressText = Field(
        default="127.0.0.1:9102", description="Address to listen on.", json_schema_extra=NEXT_START
    )
    token: SecretStr | None = Field(
        default=None, description="Not supported: tokens have names; see `admin.tokens`."
    )
    token_file: FileName | None = Field(
        default=None, description="Not supported: tokens have names; see `admin.tokens`."
    )
    tokens: dict[TokenName, TokenTable] = Field(
        default={},
        description="Tokens for unattended set-up, by name. Others are made with"
        " `sip2gw token add`.",
    )

    @property
    def address(self) -> Address:
        """`listen`, read."""
        return parse_address(self.listen)


class RelationshipsSection(Section):
    """Families and authorisations (B49)."""

    enabled: bool = Field(default=True, description="Whether the library uses relationships.")
    types: Annotated[tuple[Literal["head_of_family", "authorisation"], ...], Strict(False)] = Field(
        default=("head_of_family", "authorisation"),
        description="Types of relationships that the library uses.",
    )

    @property
    def rules(self) -> RelationshipRules:
        """The same for decisions."""
        types = self.types if self.enabled else ()
        return RelationshipRules(frozenset(map(RelationshipType, types)))


class BackendSection(Section):
    """The library system."""

    kind: Literal["store", "sip2"] = Field(
        default="store",
        description="store: the store itself. sip2: another library system.",
        json_schema_extra=NEVER_BY_RELOAD,
    )
    sip2: UpstreamSection | None = Field(
        default=None,
        description="What all accounts at the other library system share.",
        json_schema_extra=NEXT_START,
    )


class SecuritySection(Section):
    """Protection against guessing."""

    pin_failures_max: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Number of wrong PINs in a row, with any card, that lock a patron's PIN.",
    )
    pin_lock_min: Annotated[float, Field(gt=0, le=10_080)] = Field(
        default=15, description="Minutes for which a PIN stays locked."
    )
    terminal_pin_failures_max: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="Number of wrong PINs at one terminal, within `terminal_pin_window_min`,"
        " that are reported. From then on its failing answers come up to 2 s late.",
    )
    terminal_pin_window_min: int = Field(
        default=15,
        ge=1,
        le=1_440,
        description="Minutes over which wrong PINs at a terminal are counted.",
    )
    failing_answer_slot_s: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.5,
        description="The answer to a wrong or locked PIN leaves this many seconds after the"
        " request, or a multiple of it, so that the time reveals nothing. 0: at"
        " once.",
    )
    login_backoff_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=1, description="Seconds by which the gateway delays the answer to a failed login."
    )


class LogSection(Section):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest severity to log."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="Format of the log. auto: readable text on a terminal, otherwise JSON lines.",
    )


KEPT_DAYS_MAX = 3_660


def _days(default: int, description: str, *, least: int = 0) -> Any:
    """A key that says for how many days something is kept."""
    return Field(default=default, ge=least, le=KEPT_DAYS_MAX, description=description)


class PrivacySection(Section):
    """How long the store keeps identities."""

    access_log_days: int = _days(
        30,
        "Days after which the access log forgets the patron; the rows stay.",
    )
    loan_history_days: int = _days(
        0,
        "Days for which the store knows, after a return, who borrowed the item; 0: not at all.",
    )
    refused_payment_days: int = _days(
        90,
        "Days for which `payment refused` lists a refused payment.",
    )
    support_days: int = _days(
        730,
        "Days for which the store keeps a message of customer support that was closed,"
        " with its history.",
    )
    ended_patron_days: int = _days(
        365,
        "Days after which a patron who has ended is forgotten, unless something is"
        " owed, on loan, left or unknown.",
    )
    review_days: int = _days(
        365,
        "Days for which `review list` has an entry after it was closed.",
        least=1,
    )
    outbox_days: int = _days(
        90,
        "Days for which `outbox list` lists a notice that was sent or given up.",
    )
    audit_days: int = _days(
        730,
        "Days for which the audit log knows who read or changed what about whom.",
        least=1,
    )


class BadgesSection(Section):
    """Badges (B65)."""

    expiry_notice_days: int = Field(
        default=0,
        ge=0,
        le=366,
        description="Days before the last day of a badge from which `maintain` puts a notice to its"
        " holder into the outbox, once; 0: no notice.",
    )


class SupportSection(Section):
    """Customer support messages (B64)."""

    enabled: bool = Field(
        default=True,
        description="Whether the gateway opens a message when a person must follow something up.",
    )
