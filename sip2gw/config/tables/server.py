"""`[server]`: connections from terminals, as written (B88, C170)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema

from sip2gw.config.types import (
    NEXT_START,
    Address,
    Count,
    FileName,
    Networks,
    Seconds,
    Section,
    check_some,
    networks,
    parse_address,
    within,
)

ClientCertificate = Literal["required", "optional"]
_UNIX = "unix:"


class UnixAddress(NamedTuple):
    """A Unix socket to listen on."""

    path: Path

    def __str__(self) -> str:
        """As the file has it."""
        return f"{_UNIX}{self.path}"


ListenAddress = Address | UnixAddress


def parse_listen(text: str, directory: Path) -> ListenAddress:
    """Read what `server.listen` takes; a file is relative to `directory`.

    Raises:
        ValueError: the text has another form.
    """
    if text.startswith(_UNIX):
        return UnixAddress(directory / text.removeprefix(_UNIX))
    return parse_address(text)


def _check_address(text: str) -> str:
    if text == _UNIX:
        raise ValueError("must name a file, as unix:sip2gw.sip2")
    parse_listen(text, Path())
    return text


_ListenText = Annotated[
    str,
    AfterValidator(_check_address),
    WithJsonSchema({"type": "string", "format": "host:port or unix:PATH"}),
]


class ListenTable(Section):
    """An address to listen on. A plain text in the list is one with nothing but `address`."""

    address: _ListenText = Field(
        description='As `"127.0.0.1:6001"`, `"[::1]:6001"` or `"unix:PATH"`.'
    )
    tls: bool | None = Field(
        default=None,
        description="Whether terminals must use TLS. Unset: yes when `tls_certificate` is set and"
        " no entry of the list says `tls`.",
    )
    proxy: bool | None = Field(
        default=None,
        description="Whether each connection must begin with a PROXY protocol header (version 1"
        " or 2), sent from `proxy_networks`. Unset: no.",
    )
    client_certificate: ClientCertificate | None = Field(
        default=None,
        description="Whether terminals must (required) or may (optional) show a certificate of"
        " `tls_client_ca`. Unset: required when that is set and no entry of the list says"
        " `client_certificate`.",
    )


def _read_entry(value: object) -> object:
    """A plain text as a table; both are the same to whoever compares."""
    if isinstance(value, str):
        return {"address": _check_address(value)}
    if not isinstance(value, dict | ListenTable):
        raise ValueError("must be an address in quotes, or a table with one")
    return value


def _check_unique(entries: tuple[ListenTable, ...]) -> tuple[ListenTable, ...]:
    texts = [entry.address for entry in entries]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return entries


ListenEntries = Annotated[
    tuple[
        Annotated[
            ListenTable,
            BeforeValidator(_read_entry, json_schema_input_type=_ListenText | ListenTable),
        ],
        ...,
    ],
    Strict(False),
    AfterValidator(_check_unique),
    AfterValidator(check_some),
]


LISTEN_DEFAULT = "127.0.0.1:6001"


class ServerSection(Section):
    """Connections from terminals (SIP2)."""

    listen: ListenEntries = Field(
        default=(ListenTable(address=LISTEN_DEFAULT),),
        description='Addresses to listen on: a text, as `"127.0.0.1:6001"`, `"[::1]:6001"` or'
        ' `"unix:PATH"` (a Unix socket of mode 0660, for the proxy on this host), or a table'
        " that says more. Texts are TLS when `tls_certificate` is set and no table says `tls`.",
        json_schema_extra={**NEXT_START, "default": [LISTEN_DEFAULT]},
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Number of processes that serve terminals. More than 1 needs PostgreSQL and"
        " no library system behind the gateway.",
        json_schema_extra=NEXT_START,
    )
    tls_certificate: FileName | None = Field(
        default=None,
        description="PEM file with the certificate chain. When set, terminals must use TLS, unless"
        " `listen` says where. A reload reads it again; lines that are open stay.",
    )
    tls_key: FileName | None = Field(default=None, description="PEM file with the private key.")
    tls_client_ca: FileName | None = Field(
        default=None,
        description="PEM file of the authority; terminals must show a client certificate from it,"
        " unless `listen` says where.",
    )
    tls_minimum: Literal["1.2", "1.3"] = Field(
        default="1.2", description="Lowest version of TLS that terminals may speak."
    )
    socket: FileName | None = Field(
        default=None,
        description="Control socket, by which `reload`, `drain` and `terminal …` reach the running"
        " gateway. Unset: named after the configuration file, with `.control`, next to it or,"
        " under systemd, in the `RuntimeDirectory`.",
        json_schema_extra=NEXT_START,
    )
    proxy_protocol: bool = Field(
        default=False,
        description="The same as `proxy = true` at each address of `listen`; write that instead,"
        " this key will go.",
        json_schema_extra=NEXT_START,
    )
    proxy_networks: Networks = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Networks of the proxies; an address of `listen` with `proxy = true` is closed"
        " to all others. Who comes by a Unix socket needs none.",
    )
    login_timeout_s: Seconds = Field(
        default=60, description="Seconds within which a new connection must log in."
    )
    idle_timeout_s: Seconds = Field(
        default=600,
        description="Seconds without a message after which the gateway closes a connection.",
    )
    drain_timeout_s: Seconds = Field(
        default=10, description="Seconds that requests in progress have at shut-down."
    )
    request_timeout_s: Seconds = Field(
        default=5,
        description="Seconds within which a request is decided. After that the gateway refuses it.",
    )
    terminal_timeout_s: Annotated[float, Field(gt=0, le=99.8)] = Field(
        default=10,
        description="Time-out that the 98 gives to terminals, in seconds; longer than"
        " `request_timeout_s`.",
    )
    terminal_retries: int = Field(
        default=3, ge=0, le=998, description="Number of retries that the 98 gives to terminals."
    )
    status_before_login: bool = Field(
        default=True, description="Whether a 99 before the login is answered with on-line."
    )
    tcp_keepalive_s: Seconds = Field(
        default=60, description="Idle seconds before TCP keepalive probes begin."
    )
    max_connections: Count = Field(
        default=10_000, description="Maximum number of connections at a time."
    )
    max_connections_per_address: Count = Field(
        default=1_000, description="Maximum number of connections at a time from one address."
    )
    frame_bytes_max: int = Field(
        default=8_192,
        ge=512,
        le=1_048_576,
        description="Size of the longest message accepted, in bytes.",
    )
    frame_timeout_s: Seconds = Field(
        default=10,
        description="Seconds within which a message must be complete, from its first byte.",
    )
    resend_limit: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Bad checksums in a row that are answered with a 96 before the gateway"
        " closes the connection.",
    )
    login_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Failed logins before the gateway closes the connection.",
    )

    def trusts(self, peer: str) -> bool:
        """Whether the IP address `peer` may send PROXY headers."""
        return within(peer, networks(self.proxy_networks))
