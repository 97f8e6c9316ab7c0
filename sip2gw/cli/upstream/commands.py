"""`upstream check`, `upstream status` and `upstream journal` (B77, B80, C157)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    configured,
    opened_store,
    printable,
    say,
    write_json,
    write_listing,
)
from sip2gw.cli.failures import CommandError, UsageError
from sip2gw.cli.gateway.running import ANSWER_WITHIN_S, running_gateway
from sip2gw.staff.journal import JOURNAL_KEYS, journal_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sip2gw.cli.upstream.findings import Finding
    from sip2gw.cli.upstream.seen import Seen
    from sip2gw.config import Config
    from sip2gw.config.tables.upstream import Account

upstream = typer.Typer(no_args_is_help=True)

_COLUMNS = ("account", "state", "open", "idle", "waiting", "breaker", "latency_ms")


@upstream.command()
def check(
    account: Annotated[
        str | None,
        typer.Option(metavar="A", help="Only this account. Default: all that are configured."),
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(metavar="N", help="Also ask about this card, without a PIN."),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Connect to the library system, say what it is and offers, and print the configuration that
    fits.

    The command logs in as the gateway does. If that fails, it tries the other login order once, and
    both without checksums; it never tries a refused login again in the same order. It changes
    nothing there and never asks for a PIN. With a card you see which fields came and which facts
    they become; what could tell whose card it is appears as x and 9.

    The findings go to standard error, the configuration to standard output. JSON keys: `account
    works findings toml`; a finding has `about level text`. The exit status is 0 when every account
    works.
    """
    from sip2gw.cli.upstream.card import card_findings
    from sip2gw.cli.upstream.findings import findings
    from sip2gw.cli.upstream.paste import fitting_toml
    from sip2gw.cli.upstream.probing import probe

    settings = configured(config)
    now = datetime.now(UTC)
    every: list[Seen] = []
    for one in _chosen(settings.accounts, account):
        seen = probe(one, card, now.astimezone(settings.zone))
        every.append(seen)
        said = [*findings(seen, now), *card_findings(seen, settings.institution.currency)]
        if json:
            toml = fitting_toml(_written(settings), [seen]) if seen.working else None
            _write_json(seen, said, toml)
        else:
            _tell(seen, said)
    works = [seen for seen in every if seen.working is not None]
    if works and not json:
        sys.stdout.write(fitting_toml(_written(settings), works))
    failed = [seen.account.name for seen in every if seen.working is None]
    if failed:
        raise CommandError(
            f"{printable(', '.join(failed))}: the account does not work; see what to do above"
        )


def _chosen(accounts: Mapping[str, Account], name: str | None) -> list[Account]:
    """The accounts to look at.

    Raises:
        CommandError: there is no library system.
        UsageError: no account has this name.
    """
    if not accounts:
        raise CommandError(
            "the configuration names no library system; write its address and login in"
            " [backend.sip2]"
        )
    if name is None:
        return list(accounts.values())
    if name not in accounts:
        known = ", ".join(accounts)
        raise UsageError(f"--account {printable(name)}: no such account; configured: {known}")
    return [accounts[name]]


def _written(settings: Config) -> dict[str, object]:
    """`[backend.sip2]` as the file has it."""
    section = settings.source.backend.sip2
    assert section is not None, "it has accounts"
    return section.model_dump(mode="json", exclude_unset=True)


def _tell(seen: Seen, said: list[Finding]) -> None:
    say(f"account {seen.account.name}")
    width = max(len(one.about) for one in said)
    for one in said:
        mark = "" if one.level in ("ok", "note") else f"{one.level}: "
        say(f"  {one.about:{width}}  {mark}{one.text}")


def _write_json(seen: Seen, said: list[Finding], toml: str | None) -> None:
    write_json(
        {
            "account": seen.account.name,
            "works": seen.working is not None,
            "findings": [
                {"about": one.about, "level": one.level, "text": one.text} for one in said
            ],
            "toml": toml,
        }
    )


@upstream.command()
def status(json: JsonOption = False, csv: CsvOption = False, config: ConfigOption = None) -> None:
    """Show how the running gateway's accounts at the library system are doing.

    `state` is up, connecting, away or refused; `open` counts the lines that are logged in, `idle`
    those of them without a request, `waiting` the requests that wait for a line. `breaker` is
    closed, half_open or open: while it is open, nobody is asked. `latency_ms` is the median of the
    last answers. JSON keys: `account state open idle waiting breaker latency_ms`.
    """
    import msgspec

    from sip2gw.control.messages import UpstreamAccounts, UpstreamStatus

    with running_gateway(config) as gateway:
        answer = gateway.ask(UpstreamStatus(), ANSWER_WITHIN_S)
    assert isinstance(answer, UpstreamAccounts)
    write_listing(map(msgspec.to_builtins, answer.accounts), _COLUMNS, json, csv=csv, times=())
    for one in answer.accounts:
        if one.state in ("away", "refused"):
            say(
                f"{printable(one.account)} is {one.state}: the log says why"
                f" (upstream_{one.state}), and what to do says"
                f" `sip2gw upstream check --account {printable(one.account)}`"
            )


@upstream.command()
def journal(
    only_open: Annotated[
        bool, typer.Option("--open", help="Only what the library system has yet to hear of.")
    ] = False,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List loans and returns that were taken while the library system was away.

    `open` waits for the library system; it goes up by itself, in this order. `done` has gone up.
    `conflict` was refused there, or not done: see `review list`. `unknown` went up and was not
    answered; this stays so until the gateway has found out what became of it. What has gone up is
    shown for a day. JSON keys: `id time account terminal message item patron state`.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        entries = store.journal_entries(only_open=only_open)
        told = (journal_json(entry, settings.zone) for entry in entries)
        zone = settings.institution.timezone
        write_listing(told, JOURNAL_KEYS, json, csv=csv, zone=zone)
