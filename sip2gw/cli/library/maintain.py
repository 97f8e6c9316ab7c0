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

    from sip2gw.daemon.app import (
        anonymous_before,
        loans_forgotten_before,
        refusals_forgotten_before,
    )

    settings = configured(config)
    now = datetime.now(UTC)
    before = anonymous_before(settings, now)
    refused_before = refusals_forgotten_before(settings, now)
    with opened_store(settings) as store:
        if dry_run:
            count = store.count_access_identities(before)
            refused = store.count_forgotten_refusals(refused_before)
        else:
            count = run(store.erase_access_identities(before))
            run(store.forget_transactions(now))
            run(store.forget_loans(loans_forgotten_before(settings, now)))
            refused = run(store.forget_refused_payments(refused_before))
    would = "would lose" if dry_run else "have lost"
    day = before.astimezone(settings.zone)
    say(f"sip2gw: {count} rows of the door log before {day:%Y-%m-%d %H:%M} {would} their patron")
    would = "would be" if dry_run else "are"
    day = refused_before.astimezone(settings.zone)
    say(f"sip2gw: {refused} refused payments before {day:%Y-%m-%d %H:%M} {would} forgotten")
