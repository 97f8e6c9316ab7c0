"""`token …` and `audit`: who may ask over HTTP, and who read or changed what (B83)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    SinceOption,
    UntilOption,
    configured,
    opened_store,
    printable,
    read_since,
    read_until,
    run,
    say,
    write_listing,
)
from sip2gw.model.rights import Role
from sip2gw.staff import tokens
from sip2gw.staff.audit import audit_json

token = typer.Typer(no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the token.")]

_COLUMNS = ("name", "role", "created", "expires", "networks", "last_used")
_TIMES = ("created", "expires", "last_used")
_AUDIT_COLUMNS = (
    *("time", "who", "role", "source", "action", "object", "patron", "address", "outcome"),
)


@token.command()
def add(
    name: NameArgument,
    role: Annotated[
        Role,
        typer.Option(
            metavar="R",
            help="view (no persons), staff (patrons too), admin (everything) or self"
            " (self-service of patrons, for the library's website).",
        ),
    ],
    expires: Annotated[
        str | None,
        typer.Option(metavar="D", help="Last day, or a time. Default: until you revoke it."),
    ] = None,
    networks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N", help="Network that it may come from, such as 10.0.0.0/8; repeatable."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a token and write it to standard output, once: the store keeps only a digest of it.

    Send it as `Authorization: Bearer TOKEN` with every request to REST.
    """
    settings = configured(config)
    end = read_until(expires, settings.zone, "--expires")
    with opened_store(settings) as store:
        made = run(
            tokens.make_token(
                store,
                settings,
                name,
                role,
                datetime.now(UTC),
                expires=end,
                networks=networks or (),
            )
        )
    typer.echo(made)
    say(f"Token {printable(name)} has been made. Keep it now: it cannot be shown again.")


@token.command("list")
def list_tokens(
    json: JsonOption = False, csv: CsvOption = False, config: ConfigOption = None
) -> None:
    """List the tokens of the configuration and of the store, but never a token itself.

    `expires` is the first moment at which it is not good any more. Without `created` it stands in
    the configuration. JSON keys: `name role created expires networks last_used`.
    """
    settings = configured(config)
    with opened_store(settings) as store:
        found = tokens.all_tokens(store, settings)
        told = [tokens.token_json(one, settings.zone) for one in found]
    zone = settings.institution.timezone
    write_listing(told, _COLUMNS, json, csv=csv, times=_TIMES, zone=zone)


@token.command()
def revoke(name: NameArgument, config: ConfigOption = None) -> None:
    """Let a token not be good any more, from the next request on."""
    settings = configured(config)
    with opened_store(settings) as store:
        run(tokens.revoke_token(store, settings, name))
    say(f"Token {printable(name)} has been revoked.")


def audit(
    who: Annotated[
        str | None, typer.Option(metavar="N", help="Only what this token or account did.")
    ] = None,
    patron: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what was about this patron (any card).")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List who read or changed what about whom, by command or by REST, oldest first.

    `object` is the id or name of what it was about. An outcome `begun` means that nobody knows what
    became of it, `rehearsed` that nothing was changed. JSON keys: `id time who role source action
    object patron address outcome`.
    """
    settings = configured(config)
    first, end = read_since(since, settings.zone), read_until(until, settings.zone)
    with opened_store(settings) as store:
        found = store.audit_entries(who=who, patron=patron, since=first, until=end)
        told = (audit_json(entry, settings.zone) for entry in found)
        zone = settings.institution.timezone
        write_listing(told, _AUDIT_COLUMNS, json, csv=csv, zone=zone)
