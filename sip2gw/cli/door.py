"""`door …`: who was admitted and who was not (B42)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    JsonOption,
    SinceOption,
    UntilOption,
    clock_time,
    configured,
    opened_store,
    read_since,
    read_until,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.model import AccessRow
    from sip2gw.telemetry import Redactor

door = typer.Typer(help="The doors' access log.", no_args_is_help=True)

_COLUMNS = ("time", "branch", "terminal", "decision", "reason", "mode", "patron")


@door.callback()
def _door() -> None:
    pass


@door.command("log")
def list_decisions(
    json: JsonOption = False,
    since: SinceOption = None,
    until: UntilOption = None,
    branch: Annotated[str | None, typer.Option(metavar="B", help="Only this branch.")] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="R", help="Only this reason, such as no_badge.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest so many.")] = 1000,
    config: ConfigOption = None,
) -> None:
    """List door decisions, newest last. Patrons appear under the pseudonym of the log."""
    from sip2gw.telemetry import Redactor

    settings = configured(config)
    span = {"since": read_since(since, settings.zone), "until": read_until(until, settings.zone)}
    with opened_store(settings) as store:
        redactor = Redactor(store.pin_secret)
        rows = store.access_rows(branch=branch, reason=reason, limit=limit, **span)
    told = [tell_decision(row, settings.zone, redactor) for row in rows]
    if json:
        for record in told:
            write_json(record)
    else:
        write_table(_COLUMNS, map(_row, told))


def _row(told: dict[str, Any]) -> list[str]:
    return [clock_time(told["time"]), *(told[name] for name in _COLUMNS[1:])]


def tell_decision(row: AccessRow, zone: tzinfo, redactor: Redactor) -> dict[str, Any]:
    """A decision with the keys of C21, and the pseudonym of the patron (C76)."""
    return {
        "time": row.time.astimezone(zone).isoformat(),
        "branch": row.branch,
        "terminal": row.terminal,
        "decision": row.decision,
        "reason": row.reason,
        "mode": row.mode,
        "checks": dict(check.split("=", 1) for check in row.checks.split()),
        "patron": redactor.pseudonym(row.patron_id or ""),
    }
