"""`maintain`: the regular chores of the library's data."""

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
from sip2gw.foundation.words import counted


def maintain(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Forget what the privacy settings no longer allow to be kept.

    Rows of the door log older than `privacy.access_log_days` lose their patron; the rows stay.
    Loans that ended more than `privacy.loan_history_days` ago are forgotten, and refused payments
    after `privacy.refused_payment_days`. Notices that were sent or given up are forgotten after
    `privacy.outbox_days`. Loans and returns from more than a day ago are forgotten as transactions
    that a terminal could repeat or cancel.

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
            rows = f"{counted(count, chore.noun)} {chore.what} {moment:%Y-%m-%d %H:%M}"
            say(f"sip2gw: {rows}: {became}")
