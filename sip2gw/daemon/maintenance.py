"""What is done with the library's data once a day, or by `sip2gw maintain`: all of it forgetting.

One row each. Doing it again changes nothing, and several gateways on one store do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sip2gw.backend.library import Library
from sip2gw.config import Config


@dataclass(frozen=True, slots=True)
class MaintenanceChore:
    """One thing to forget."""

    key: str
    """Of the number of what was forgotten, in the log."""
    what: str
    """What is counted; the moment follows."""
    limit: Callable[[Config, datetime], datetime]
    """The moment before which it is forgotten, as seen from now."""
    do: Callable[[Library, datetime], Coroutine[Any, Any, int]]
    """Forget; how many."""
    count: Callable[[Library, datetime], int]
    """How many would be forgotten."""
    done: str = "are forgotten"
    to_do: str = "would be forgotten"
    """What has become of it, or would."""


MAINTENANCE = (
    MaintenanceChore(  # B42
        key="identities_erased",
        what="rows of the door log before",
        limit=lambda config, now: now - timedelta(days=config.privacy.access_log_days),
        do=lambda store, before: store.erase_access_identities(before),
        count=lambda store, before: store.count_access_identities(before),
        done="have lost their patron",
        to_do="would lose their patron",
    ),
    MaintenanceChore(  # C69, C97; they carry the moment until which they may be repeated
        key="transactions_forgotten",
        what="transactions with items that expired before",
        limit=lambda config, now: now,
        do=lambda store, now: store.forget_transactions(now),
        count=lambda store, now: store.count_forgotten_transactions(now),
    ),
    MaintenanceChore(  # 0 days: none are to be known
        key="loans_forgotten",
        what="loans that ended before",
        limit=lambda config, now: now - timedelta(days=config.privacy.loan_history_days),
        do=lambda store, before: store.forget_loans(before),
        count=lambda store, before: store.count_forgotten_loans(before),
    ),
    MaintenanceChore(  # C104
        key="refused_payments_forgotten",
        what="refused payments before",
        limit=lambda config, now: now - timedelta(days=config.privacy.refused_payment_days),
        do=lambda store, before: store.forget_refused_payments(before),
        count=lambda store, before: store.count_forgotten_refusals(before),
    ),
)
