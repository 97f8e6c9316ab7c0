"""`check`: is the configuration valid, is the store sound, does a running gateway answer?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    configured,
    opened_store,
    run,
    say,
)
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.cli.kiosk.options import CaOption, CertOption, KeyOption, TlsOption
from sip2gw.cli.passwords import PasswordFileOption, PasswordOption, read_password
from sip2gw.foundation.words import counted

if TYPE_CHECKING:
    from sip2gw.cli.kiosk.tls import Tls
    from sip2gw.config import Config


def check(
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the configuration and exit.")
    ] = False,
    live: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Probe the gateway at this address instead."),
    ] = None,
    terminal: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="With --live: log in as this terminal of the configuration."
        ),
    ] = None,
    login: Annotated[
        str | None, typer.Option(metavar="L", help="With --live: log in with this login.")
    ] = None,
    password: PasswordOption = None,
    password_file: PasswordFileOption = None,
    tls: TlsOption = False,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if there is a warning as well.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Check the configuration and the store, or probe a running gateway.

    Without options, the command reads the whole configuration, then checks the store's schema, its
    integrity and the balance of its ledger. It warns of what is valid, but hardly what you want: a
    setting without effect, a door that nobody can pass, a password from an example, an address open
    to the world, a key that everybody can read. Warnings do not change the exit status, unless you
    give --strict.
    """
    if schema:
        _print_schema()
    elif live is not None:
        from sip2gw.cli.kiosk.tls import Tls

        recognised = False
        if terminal is not None:
            login, password = _credentials(configured(config), terminal)
            recognised = login is None
        _probe(
            live,
            Tls.wanted(tls, ca, cert, key),
            (login, read_password(password, password_file)),
            recognised=recognised,
        )
    else:
        _check_site(configured(config), strict=strict)


def _print_schema() -> None:
    import json

    from sip2gw.config import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


def _check_site(config: Config, *, strict: bool) -> None:
    from sip2gw.cli.checking.certificates import about_certificates
    from sip2gw.cli.checking.exposure import about_addresses
    from sip2gw.cli.checking.listeners import about_listeners
    from sip2gw.cli.checking.secret_files import about_secret_files
    from sip2gw.cli.checking.terminals import about_terminals
    from sip2gw.config.availability import unavailable
    from sip2gw.config.contradictions import contradictions
    from sip2gw.config.unsaid import unsaid
    from sip2gw.config.without_effect import without_effect

    problems = unavailable(config) or _unusable_certificates(config)
    if problems:
        raise UsageError("\n".join(problems))
    say(
        f"configuration: {counted(len(config.branches), 'branch', 'branches')},"
        f" {counted(len(config.profiles), 'profile')},"
        f" {counted(len(config.terminals), 'terminal')}{_behind(config)}"
    )
    now = datetime.now(config.zone)
    warnings = [
        *contradictions(config),
        *without_effect(config),
        *unsaid(config),
        *about_addresses(config),
        *about_listeners(config),
        *about_certificates(config, now),
        *about_secret_files(config),
        *about_terminals(config, now),
    ]
    for warning in warnings:
        say(f"warning: {config.path}: {warning}")
    count = len(warnings) + _check_store(config, now)
    if count and strict:
        raise CommandError(f"{counted(count, 'warning')}, and --strict allows none")


def _unusable_certificates(config: Config) -> Sequence[str]:
    """Why the gateway would not start or reload with its certificates."""
    from sip2gw.config import ConfigError
    from sip2gw.serving.tls import contexts_of

    try:
        contexts_of(config)
    except ConfigError as error:
        return error.problems
    return ()


def _check_store(config: Config, now: datetime) -> int:
    """The number of warnings about the store; nothing is made or changed there.

    Raises:
        CommandError: it is broken.
        BackendError: it cannot be used, or is not ours.
    """
    from sip2gw.backend.sql.standing import NoStoreError
    from sip2gw.cli.checking.library import about_store

    try:
        with opened_store(config) as store:
            problems = store.self_check()
            last_import = run(store.last_import())
            warnings = list(about_store(config, store, last_import, now))
    except NoStoreError as error:
        say(f"warning: store: {error}")
        return 1
    if problems:
        raise CommandError("\n".join(f"store: {problem}" for problem in problems))
    say("store: schema, integrity and ledger are in order")
    for warning in warnings:
        say(f"warning: {warning}")
    return len(warnings)


def _behind(config: Config) -> str:
    """How many accounts there are at a library system behind the gateway, if there is one."""
    if not config.accounts:
        return ""
    return f", {counted(len(config.accounts), 'account')} at the library system"


def _credentials(config: Config, name: str) -> tuple[str | None, str | None]:
    """Login and password of a terminal whose password the configuration holds; nothing for one
    that need not log in.
    """
    known = {terminal.name: terminal for terminal in config.terminals.values()}
    terminal = config.terminals.get(name) or known.get(name)
    if terminal is None:
        raise CommandError(f"no terminal {name}; configured: {', '.join(sorted(known))}")
    if not terminal.login_required:
        return None, None
    if terminal.password is None:
        raise UsageError(
            f"the configuration holds only a hash of {name}'s password; give --login and --password"
        )
    return terminal.login, terminal.password.get_secret_value()


def _probe(
    address: str, tls: Tls | None, login: tuple[str | None, str | None], *, recognised: bool
) -> None:
    """Log in if a login is given, ask for the status, and report the answers.

    Where the gateway must know us as a terminal without a login, `recognised`, it is a failure when
    it promises only what it promises strangers.
    """
    from sip2gw.cli.kiosk.client import Credentials, Kiosk
    from sip2gw.protocol.messages import ALWAYS_SUPPORTED, AcsStatus, ScStatus

    with Kiosk.connect(address, tls=tls) as kiosk, kiosk.noticing_tls():
        say(f"{address}: connected{'' if tls is None else ', with TLS'}")
        name, password = login
        if name is not None:
            kiosk.log_in(Credentials(name, password or ""))
            say("login: accepted")
        status = kiosk.ask(ScStatus())
    if not isinstance(status, AcsStatus):
        raise CommandError("status: the gateway did not answer the 99 with a 98")
    if not status.online:
        raise CommandError(
            "status: the gateway is up but off-line, because its store does not work"
        )
    say(f"status: on-line, institution {status.institution_id}")
    if recognised and status.supported_messages <= ALWAYS_SUPPORTED:
        raise CommandError(
            "terminal: the gateway takes this machine for a stranger; run the command on the"
            " terminal's machine, or correct the terminal's networks or tls_client_name"
        )
    say(f"messages served: {' '.join(sorted(status.supported_messages))}")
