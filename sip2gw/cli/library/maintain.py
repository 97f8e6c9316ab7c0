"""`maintain`: what has to be done with the library's data from time to time."""

from __future__ import annotations

from typing import Annotated

import typer

from sip2gw.cli.common import (
    ConfigOption,
    configured,
    opened_store,
    run,
    say,
)


def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    config: ConfigOption = None,
) -> None:
    """Take the patrons from door log rows older than `privacy.access_log_days`; rows stay.

    Loans and returns of more than a day ago are forgotten as transactions that a terminal could
    repeat or cancel, and loans that ended more than `privacy.loan_history_days` ago altogether.
    Refused payments are forgotten after `privacy.refused_payment_days`.

    The gateway does the same once a day. Doing it again changes nothing.
    """
    from datetime import UTC, datetime

    from sip2gw.daemon.maintenance import MAINTENANCE

    settings = configured(config)
    now = datetime.now(UTC)
    with opened_store(settings) as store:
        for chore in MAINTENANCE:
            limit = chore.limit(settings, now)
            count = chore.count(store, limit) if dry_run else run(chore.do(store, limit))
            moment = limit.astimezone(settings.zone)
            became = chore.to_do if dry_run else chore.done
            say(f"sip2gw: {count} {chore.what} {moment:%Y-%m-%d %H:%M} {became}")
