"""`[backend.sip2]`: the accounts at a library system, as written, and how they are resolved (C120).

The keys of an account come first, then those of `[backend.sip2]`, which all accounts share, then
the preset, then the defaults (C158).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, Field, SecretStr, Strict

from sip2gw.config.problems import Problems
from sip2gw.config.tables.facts import FactsTable, MoneyDenialsTable
from sip2gw.config.tables.files import Files
from sip2gw.config.tables.profiles import Message
from sip2gw.config.tables.upstream import DEFAULT_ACCOUNT, Account, Checksums, UpstreamTls
from sip2gw.config.types import (
    AddressText,
    FileName,
    Name,
    Seconds,
    Section,
    Terminator,
    parse_address,
)
from sip2gw.policy.upstream.presets import PRESETS
from sip2gw.policy.upstream.rules import FactRules
from sip2gw.protocol.encoding import Encoding
from sip2gw.protocol.timestamps import DateZone

PresetName = Literal[
    "none", "koha", "evergreen", "symphony", "horizon", "polaris", "folio", "sierra", "alma"
]


def _check_port(text: str) -> str:
    if parse_address(text).port == 0:
        raise ValueError("needs a port other than 0")
    return text


class AccountTable(Section):
    """One more account. Each key takes the place of the same key of `[backend.sip2]`."""

    preset: PresetName = Field(
        default="none",
        description="The library system: what is known about its fields and habits. Single keys"
        " overrule it.",
    )
    address: Annotated[AddressText, AfterValidator(_check_port)] | None = Field(
        default=None, description="Address of the library system."
    )
    login: Name | None = Field(
        default=None, repr=False, description="Login of the gateway there (CN)."
    )
    password: SecretStr | None = Field(
        default=None, description="Password (CO). Prefer `password_file`."
    )
    password_file: FileName | None = Field(default=None, description="File with the password.")
    location: Name | None = Field(
        default=None, description="Location code (CP); unset: none is sent."
    )
    institution: Name | None = Field(
        default=None, description="Institution id there (AO); unset: the institution's own."
    )
    connections: int = Field(
        default=4, ge=1, le=256, description="Largest number of connections at a time."
    )
    timeout_s: Seconds = Field(
        default=4,
        description="Seconds from the terminal's request to the answer of the library system,"
        " waiting for a connection included; shorter than `server.request_timeout_s`.",
    )
    encoding: Encoding = Field(default="cp850", description="Character encoding there.")
    terminator: Terminator = Field(default="CR", description="Line end of a message.")
    checksums: Literal[True, False, "characters"] = Field(
        default=True,
        description="Whether messages carry AY and AZ; characters: with the sum of the characters"
        " instead of the bytes.",
    )
    date_zone: DateZone = Field(
        default="local", description="Dates in messages: local time with blanks, or UTC with Z."
    )
    tls: bool = Field(default=False, description="Whether to use TLS.")
    tls_ca: FileName | None = Field(
        default=None, description="PEM file of its authority; unset: the system's authorities."
    )
    tls_name: Name | None = Field(
        default=None, description="Name in its certificate; unset: the host of `address`."
    )
    tls_certificate: FileName | None = Field(
        default=None, description="PEM file with the gateway's client certificate."
    )
    tls_key: FileName | None = Field(
        default=None, description="PEM file with the key of `tls_certificate`."
    )
    login_order: Literal["login", "status_first", "none"] = Field(
        default="login",
        description="What begins a connection. login: 93, then 99. status_first: 99, then 93."
        " none: 99 without a login.",
    )
    login_algorithm: Literal["0", " ", ""] = Field(
        default="0", description="Algorithm in the 93: 0, or a blank for systems that want one."
    )
    keepalive_s: Seconds = Field(
        default=60, description="Idle seconds after which a connection sends a 99."
    )
    messages: Annotated[tuple[Message, ...], Strict(False)] | None = Field(
        default=None,
        description="Codes of the requests that are passed on, whatever the BX of its 98 says;"
        " unset: as the BX says.",
    )
    aliases: bool = Field(
        default=False,
        description="Whether AA of an answer may be another card of the same patron. Otherwise"
        " such an answer is thrown away.",
    )
    payments: bool = Field(
        default=True,
        description="For payments: whether they go up as 37. Otherwise the gateway books them, and"
        " `payment export` lists them for staff to enter there.",
    )
    payment_split: Literal["sum", "lines"] = Field(
        default="sum",
        description="For payments: one 37 for all that is paid of a debtor, or one for each fee.",
    )
    knows_fw_b: bool = Field(
        default=False, description="Whether it knows FW=B, which is then passed on."
    )
    guards_bk: bool = Field(
        default=False, description="For payments: whether it books a repeated BK only once."
    )
    denials_by_money: MoneyDenialsTable | None = Field(
        default=None,
        description="Denials that FW=B lifts where the library system does not know it; unset:"
        " none.",
    )
    facts: FactsTable | None = Field(
        default=None, description="Facts about a patron, and the fields that say them."
    )


class UpstreamSection(AccountTable):
    """A library system that speaks SIP2: the account `default`, and what all accounts share."""

    accounts: dict[Name, AccountTable] = Field(
        default={}, description="More accounts, by name; `branches.X.upstream` names one of them."
    )


def resolve_accounts(
    section: UpstreamSection,
    *,
    institution: str,
    limit_s: float,
    files: Files,
    problems: Problems,
) -> dict[str, Account]:
    """Every account by name; usable only when no problem was added.

    Args:
        section: the tables as written.
        institution: AO where no key says it.
        limit_s: in which a request of a terminal must be decided.
        files: to find and read what the keys name.
        problems: takes one line for each thing that cannot work.
    """
    tables = dict(section.accounts)
    if DEFAULT_ACCOUNT in tables:
        problems.add(
            f"backend.sip2.accounts.{DEFAULT_ACCOUNT}",
            "is the account of [backend.sip2] itself; give this one another name",
        )
    if section.login is not None or not tables:
        tables = {DEFAULT_ACCOUNT: AccountTable(), **tables}
    drafts = [_Draft(name, own, section, files, problems) for name, own in tables.items()]
    for draft in drafts:
        draft.check(limit_s)
    return {draft.name: account for draft in drafts if (account := draft.account(institution))}


class _Draft:
    """One account: its own table over that of all accounts, over the preset."""

    def __init__(
        self,
        name: str,
        own: AccountTable,
        shared: UpstreamSection,
        files: Files,
        problems: Problems,
    ) -> None:
        self.name = name
        self._files, self._problems = files, problems
        place = f"backend.sip2.accounts.{name}"
        self._tables = ((place, own), ("backend.sip2", shared))
        self._preset = PRESETS[self._value("preset")]

    def _source(self, *keys: str) -> tuple[str, AccountTable]:
        """The first table that has any of `keys`, and what it is called; else the shared one."""
        return next(
            (pair for pair in self._tables if not pair[1].model_fields_set.isdisjoint(keys)),
            self._tables[-1],
        )

    def _value(self, key: str) -> Any:
        _, table = self._source(key)
        if key not in table.model_fields_set and key != "preset":
            return self._preset.habits.get(key, getattr(table, key))
        return getattr(table, key)

    def _add(self, key: str, message: str, **more: Any) -> None:
        self._problems.add(f"{self._source(key)[0]}.{key}", message, **more)

    def check(self, limit_s: float) -> None:
        """Add what cannot work together."""
        if self._value("address") is None:
            self._add("address", "is required", allowed="host:port")
        if self._value("login") is None and self._value("login_order") != "none":
            self._add("login", 'is required, unless login_order = "none"')
        if self._value("timeout_s") >= limit_s:
            self._add(
                "timeout_s",
                "the gateway would refuse requests before the library system answers",
                got=self._value("timeout_s"),
                allowed=f"less than server.request_timeout_s = {limit_s:g}",
            )
        if not self._value("tls"):
            for key in ("tls_ca", "tls_name", "tls_certificate", "tls_key"):
                if self._value(key) is not None:
                    self._add(key, "has no effect without tls = true", got=self._value(key))
        for key, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
            if self._value(key) is not None and self._value(other) is None:
                self._add(key, f"needs {other} as well", got=self._value(key))

    def account(self, institution: str) -> Account | None:
        """The account; None if it has no address."""
        if self._value("address") is None:
            return None
        messages = self._value("messages")
        return Account(
            name=self.name,
            address=parse_address(self._value("address")),
            login=self._value("login") or "",
            password=self._password(),
            institution=self._value("institution") or institution,
            terminator=b"\r\n" if self._value("terminator") == "CRLF" else b"\r",
            checksums=_CHECKSUMS[self._value("checksums")],
            tls=self._tls() if self._value("tls") else None,
            login_algorithm=self._value("login_algorithm") or " ",
            messages=None if messages is None else frozenset(messages),
            facts=self._facts(),
            **{key: self._value(key) for key in _TAKEN_AS_WRITTEN},
        )

    def _password(self) -> SecretStr | None:
        """Both keys come from one table: whoever has one of them does without the other."""
        where, table = self._source("password", "password_file")
        return self._files.password(f"{where}.password", table.password, table.password_file)

    def _tls(self) -> UpstreamTls:
        ca, certificate, key = (
            self._files.readable(f"{self._source(name)[0]}.{name}", self._value(name))
            for name in ("tls_ca", "tls_certificate", "tls_key")
        )
        return UpstreamTls(ca, self._value("tls_name"), certificate, key)

    def _facts(self) -> FactRules:
        rules = self._preset.facts
        for _, table in reversed(self._tables):
            if table.facts is not None:
                rules = table.facts.rules(rules)
        denials = self._value("denials_by_money")
        return rules if denials is None else replace(rules, denials_by_money=denials.denials())


_CHECKSUMS: dict[bool | str, Checksums] = {True: "bytes", False: "none", "characters": "characters"}
_TAKEN_AS_WRITTEN = (
    "location",
    "connections",
    "timeout_s",
    "encoding",
    "date_zone",
    "login_order",
    "keepalive_s",
    "aliases",
    "payments",
    "payment_split",
    "knows_fw_b",
    "guards_bk",
)
