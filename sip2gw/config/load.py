"""Reading the whole file or nothing of it, with one line for each problem (B66)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace
from pydantic import Field, SecretStr, ValidationError

from sip2gw.config import places
from sip2gw.config.problems import Problems
from sip2gw.config.reading import read_file
from sip2gw.config.tables.accounts import resolve_accounts
from sip2gw.config.tables.branches import Branch, BranchTable, resolve_branch
from sip2gw.config.tables.files import Files
from sip2gw.config.tables.listeners import Listener, listener_problems, resolve_listeners
from sip2gw.config.tables.outbox import OutboxSection, outbox_problems
from sip2gw.config.tables.profiles import Profile, ProfileTable, resolve_profile
from sip2gw.config.tables.recognition import ambiguities
from sip2gw.config.tables.sections import (
    AdminSection,
    BackendSection,
    BadgesSection,
    InstitutionSection,
    LogSection,
    PrivacySection,
    RelationshipsSection,
    SecuritySection,
    StoreSection,
    SupportSection,
)
from sip2gw.config.tables.server import ServerSection
from sip2gw.config.tables.terminals import (
    Terminal,
    TerminalTable,
    resolve_terminal,
)
from sip2gw.config.tables.upstream import DEFAULT_ACCOUNT, Account
from sip2gw.config.types import (
    Code,
    Language,
    Name,
    Section,
)
from sip2gw.foundation.hashing import is_password_hash
from sip2gw.foundation.words import meant
from sip2gw.policy.relationships import RelationshipRules
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.texts import TEXT_KEYS, override_allowed, override_problem

_T = TypeVar("_T")


class ConfigFile(Section):
    """The whole file, as written."""

    institution: InstitutionSection = Field(description="The library.")
    store: StoreSection = Field(default=StoreSection(), description="The database.")
    server: ServerSection = Field(
        default=ServerSection(), description="Connections from terminals (SIP2)."
    )
    admin: AdminSection = Field(
        default=AdminSection(),
        description="Metrics, health checks and REST over HTTP, and the tokens for them.",
    )
    relationships: RelationshipsSection = Field(
        default=RelationshipsSection(), description="Families and authorisations."
    )
    backend: BackendSection = Field(default=BackendSection(), description="The library system.")
    security: SecuritySection = Field(
        default=SecuritySection(), description="Protection against guessing."
    )
    log: LogSection = Field(default=LogSection(), description="The log.")
    privacy: PrivacySection = Field(
        default=PrivacySection(), description="How long the store keeps identities."
    )
    badges: BadgesSection = Field(default=BadgesSection(), description="Badges of patrons.")
    support: SupportSection = Field(
        default=SupportSection(), description="Customer support messages."
    )
    outbox: OutboxSection = Field(default=OutboxSection(), description="How notices reach patrons.")
    texts: dict[Language, dict[str, str]] = Field(
        default={}, description="Your own screen texts: `[texts.nl]`, key and text."
    )
    branches: dict[Code, BranchTable] = Field(default={}, description="Branches by code.")
    profiles: dict[Name, ProfileTable] = Field(default={}, description="Profiles by name.")
    terminals: dict[Name, TerminalTable] = Field(default={}, description="Terminals by login.")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors and `check --schema`."""
    return ConfigFile.model_json_schema()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of the TLS with terminals."""

    certificate: Path
    key: Path
    client_ca: Path | None
    held: Mapping[Path, bytes] = field(default_factory=dict, repr=False, compare=False)
    """What they held when they came into force; a file that is not here is still to be read."""


TOKEN_CHARACTERS_MIN = 32
"""Of a token that somebody has made: nobody must be able to guess it."""


class ConfiguredToken(Struct, frozen=True):
    """A token of the configuration."""

    role: str
    networks: tuple[str, ...]
    secret: SecretStr


class Config(Discreet, Struct, frozen=True):
    """A valid configuration, with every reference resolved and every secret read.

    `repr` shows no secret.
    """

    path: Path
    institution: InstitutionSection
    store: StoreSection
    server: ServerSection
    admin: AdminSection
    relationships: RelationshipsSection
    backend: BackendSection
    security: SecuritySection
    log: LogSection
    privacy: PrivacySection
    badges: BadgesSection
    support: SupportSection
    outbox: OutboxSection
    texts: Mapping[str, Mapping[str, str]]
    """Language → key → text: the overrides for `sip2gw.texts.Catalogue`."""
    branches: Mapping[str, Branch]
    profiles: Mapping[str, Profile]
    terminals: Hidden[Mapping[str, Terminal]]
    """By login (CN)."""
    zone: ZoneInfo
    """The institution's."""
    listeners: tuple[Listener, ...]
    """Where terminals come in; `server.listen`, read."""
    tls: TlsFiles | None
    pin_secret_path: Path | None
    spool_path: Path
    """The file of a gateway on PostgreSQL for requests answered with "not sure" (C98)."""
    socket_path: Path
    """The control socket (C130)."""
    store_password: Hidden[SecretStr | None]
    tokens: Hidden[Mapping[str, ConfiguredToken]]
    """By name: those for unattended set-up."""
    accounts: Mapping[str, Account]
    """At a library system behind the gateway, by name."""
    smtp_password: Hidden[SecretStr | None]
    webhook_token: Hidden[SecretStr | None]
    source: Hidden[ConfigFile]
    """The file as written."""

    @property
    def base_dir(self) -> Path:
        """The directory that relative file names refer to."""
        return self.path.parent

    @property
    def relationship_rules(self) -> RelationshipRules:
        """What relationships there may be, and who has the word about memberships (B49, C56)."""
        is_library = self.backend.kind == "store"
        return replace(self.relationships.rules, judges_memberships=is_library)


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read and check the whole configuration at `path`.

    Raises:
        ConfigError: with one line per problem, `FILE: key: message; got …; allowed: …`. It never
            contains secrets.
    """
    file = Path(path).absolute()
    problems = Problems(str(path))
    data = _read_toml(file, problems)
    try:
        source = ConfigFile.model_validate(data)
    except ValidationError as error:
        problems.add_validation(error, ConfigFile)
        raise problems.error() from None
    config = _Resolver(file, source, problems).config()
    problems.raise_if_any()
    return config


def _read_toml(file: Path, problems: Problems) -> dict[str, object]:
    """The table in `file`; a byte order mark and any line ends do no harm."""
    try:
        data = read_file(file)
        text = data.decode("utf-8-sig")
        table = tomllib.loads(text)
    except OSError as error:
        problems.add("", f"cannot be read: {error.strerror}; correct --config or SIP2GW_CONFIG")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add("", f"line {line} is not UTF-8; save the file as UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        problems.not_toml(str(error))
    else:
        problems.text = text
        return table
    raise problems.error() from None


class _Resolver:
    """Follows the references and reads the secrets of one file; adds errors to `problems`."""

    def __init__(self, file: Path, source: ConfigFile, problems: Problems) -> None:
        self._file = file
        self._source = source
        self._problems = problems
        self._files = Files(file, problems)
        self._zone = ZoneInfo(source.institution.timezone)

    def config(self) -> Config:
        """The resolved configuration; valid only when no problem was added."""
        source = self._source
        self._check_combinations()
        self._check_history()
        self._check_texts()
        self._check_outbox()
        self._check_upstream()
        listeners = self._listeners()
        accounts = self._accounts()
        branches = {
            code: resolve_branch(code, table, source.institution.timezone)
            for code, table in source.branches.items()
        }
        for code, branch in branches.items():
            if branch.upstream is not None:
                self._follow(f"branches.{code}.upstream", branch.upstream, accounts)
        profiles = {
            name: resolve_profile(
                name,
                table,
                language=source.institution.language,
                relationships=bool(source.relationships.rules.types),
            )
            for name, table in source.profiles.items()
        }
        return Config(
            path=self._file,
            institution=source.institution,
            store=source.store,
            server=source.server,
            admin=source.admin,
            relationships=source.relationships,
            backend=source.backend,
            security=source.security,
            log=source.log,
            privacy=source.privacy,
            badges=source.badges,
            support=source.support,
            outbox=source.outbox,
            texts=MappingProxyType({lang: dict(own) for lang, own in source.texts.items()}),
            branches=MappingProxyType(branches),
            profiles=MappingProxyType(profiles),
            terminals=MappingProxyType(self._terminals(profiles, branches, accounts, listeners)),
            zone=self._zone,
            listeners=listeners,
            tls=self._tls(),
            pin_secret_path=self._files.path(source.store.pin_secret_file),
            spool_path=places.spool_path(self._file, self._files.path(source.store.spool_file)),
            socket_path=places.socket_path(self._file, self._files.path(source.server.socket)),
            store_password=self._files.secret(
                "store.password", source.store.password, source.store.password_file
            ),
            tokens=MappingProxyType(self._tokens()),
            accounts=MappingProxyType(accounts),
            smtp_password=self._files.secret(
                "outbox.smtp_password", None, source.outbox.smtp_password_file
            ),
            webhook_token=self._files.secret(
                "outbox.webhook_token", None, source.outbox.webhook_token_file
            ),
            source=source,
        )

    def _tokens(self) -> dict[str, ConfiguredToken]:
        found = {}
        for name, table in self._source.admin.tokens.items():
            where = f"admin.tokens.{name}.token"
            secret = self._files.secret(where, None, table.token_file)
            if secret is None:
                continue
            if len(secret.get_secret_value()) < TOKEN_CHARACTERS_MIN:
                self._problems.add(
                    f"{where}_file",
                    f"has a token that is too short; it needs {TOKEN_CHARACTERS_MIN} characters",
                )
            found[name] = ConfiguredToken(table.role, table.networks, secret)
        return found

    def _check_combinations(self) -> None:
        server, store = self._source.server, self._source.store
        add = self._problems.add
        if server.workers > 1 and store.is_sqlite:
            add(
                "server.workers",
                "more than one process needs PostgreSQL, because a SQLite file allows"
                " only one writer",
                got=server.workers,
                allowed="1, or a postgresql:// address in store.url",
            )
        if server.workers > 1 and self._source.backend.kind == "sip2":
            add(
                "server.workers",
                "one process asks a library system faster than that answers, and several would"
                " have to share its connections",
                got=server.workers,
                allowed="1",
            )
        if server.terminal_timeout_s <= server.request_timeout_s:
            add(
                "server.terminal_timeout_s",
                "terminals would give up before the gateway has decided",
                got=server.terminal_timeout_s,
                allowed=f"more than server.request_timeout_s = {server.request_timeout_s:g}",
            )

    def _check_upstream(self) -> None:
        """Refuse what needs a library system behind the gateway where there is none (B78)."""
        if self._source.backend.kind == "sip2":
            if self._source.backend.sip2 is None:
                self._problems.add("backend.sip2", 'is required with backend.kind = "sip2"')
            return
        needs = 'needs backend.kind = "sip2", because no other library system decides here'
        for name, table in self._source.profiles.items():
            if table.observe:
                self._problems.add(f"profiles.{name}.observe", needs, got=True, allowed="false")
            if table.door is not None and "upstream_flags" in table.door.model_fields_set:
                self._problems.add(f"profiles.{name}.door.upstream_flags", needs)

    def _accounts(self) -> dict[str, Account]:
        section = self._source.backend.sip2
        if section is None:
            return {}
        return resolve_accounts(
            section,
            institution=self._source.institution.id,
            limit_s=self._source.server.request_timeout_s,
            files=self._files,
            problems=self._problems,
        )

    def _account(
        self,
        where: str,
        table: TerminalTable,
        branch: Branch | None,
        accounts: Mapping[str, Account],
    ) -> str | None:
        """The name of the account of a terminal: its own, its branch's, or `default` (C120)."""
        if table.upstream is not None:
            self._follow(f"{where}.upstream", table.upstream, accounts)
            return table.upstream
        if branch is not None and branch.upstream is not None:
            return branch.upstream
        if self._source.backend.kind != "sip2":
            return None
        if accounts and DEFAULT_ACCOUNT not in accounts:
            self._problems.add(
                f"{where}.upstream",
                "is required, because [backend.sip2] has no login of its own",
                allowed=", ".join(accounts),
            )
        return DEFAULT_ACCOUNT

    def _check_history(self) -> None:
        if self._source.privacy.loan_history_days:
            return
        for name, table in self._source.profiles.items():
            if table.confirm_previously_borrowed:
                self._problems.add(
                    f"profiles.{name}.confirm_previously_borrowed",
                    "needs the history of loans, which is switched off",
                    got=True,
                    allowed="false, or privacy.loan_history_days of at least 1",
                )

    def _check_texts(self) -> None:
        for language, own in self._source.texts.items():
            for key, text in own.items():
                problem = override_problem(key, text)
                if problem is not None:
                    self._problems.add(
                        f"texts.{language}.{key}",
                        problem,
                        got=text if key in TEXT_KEYS else key,
                        allowed=override_allowed(key),
                    )

    def _check_outbox(self) -> None:
        for key, message, got, allowed in outbox_problems(self._source.outbox):
            self._problems.add(f"outbox.{key}", message, got=got, allowed=allowed)

    def _terminals(
        self,
        profiles: Mapping[str, Profile],
        branches: Mapping[str, Branch],
        accounts: Mapping[str, Account],
        listeners: Sequence[Listener],
    ) -> dict[str, Terminal]:
        terminals: dict[str, Terminal] = {}
        keys: dict[str, str] = {}
        for key, table in self._source.terminals.items():
            where = f"terminals.{key}"
            login = table.login or key
            if login in keys:
                self._problems.add(f"{where}.login", f"is already the login of {keys[login]}")
            keys[login] = where
            password = self._terminal_password(where, table)
            profile = self._follow(f"{where}.profile", table.profile, profiles)
            branch = None
            if table.branch:
                branch = self._follow(f"{where}.branch", table.branch, branches)
            if table.tls_client_name and not any(it.client_certificate for it in listeners):
                self._problems.add(f"{where}.tls_client_name", self._no_names())
            if profile is not None:
                terminals[login] = resolve_terminal(
                    key,
                    table,
                    profile=profile,
                    branch=branch,
                    upstream=self._account(where, table, branch, accounts),
                    password=password,
                    zone=self._zone,
                )
        for ambiguity in ambiguities(self._source.terminals):
            self._problems.add(ambiguity.key, ambiguity.message, got=ambiguity.got)
        return terminals

    def _follow(self, where: str, name: str, known: Mapping[str, _T]) -> _T | None:
        if name not in known:
            self._problems.add(
                where,
                f"does not exist{meant(name, known)}",
                got=name,
                allowed=", ".join(known) or "nothing, because none is defined",
            )
        return known.get(name)

    def _terminal_password(self, where: str, table: TerminalTable) -> SecretStr | None:
        hashed = table.password_hash
        if hashed is not None:
            if self._files.left_out(f"{where}.password_hash", hashed.get_secret_value()):
                return None
            if not is_password_hash(hashed.get_secret_value()):
                self._problems.add(
                    f"{where}.password_hash",
                    "was not made by sip2gw hash-password; run it and paste its output",
                )
            return None
        return self._files.password(f"{where}.password", table.password, table.password_file)

    def _no_names(self) -> str:
        """Why no terminal shows a certificate, and what to do."""
        if self._source.server.tls_client_ca is None:
            return "needs server.tls_client_ca"
        return "needs an address in server.listen that has TLS and asks for client certificates"

    def _listeners(self) -> tuple[Listener, ...]:
        source = self._source
        listeners = resolve_listeners(source.server, self._file.parent)
        for key, message, got in listener_problems(source.server, listeners, source.terminals):
            self._problems.add(key, message, got=got)
        return listeners

    def _tls(self) -> TlsFiles | None:
        server = self._source.server
        certificate, key, client_ca = (
            self._files.readable(f"server.{name}", getattr(server, name))
            for name in ("tls_certificate", "tls_key", "tls_client_ca")
        )
        if certificate is not None and key is not None:
            return TlsFiles(certificate, key, client_ca)
        if certificate is not None or key is not None or client_ca is not None:
            self._problems.add("server", "TLS needs both tls_certificate and tls_key")
        return None
