"""The daily chores, which are also those of `maintain`: all of them forget something (B93).

One row each. Repeating them changes nothing, and several gateways on one store do no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from msgspec import Struct
from typing_extensions import TypedDict

from sip2gw.backend.library import Library
from sip2gw.config import Config


class MaintenanceChore(Struct, frozen=True):
    """One thing to forget."""

    key: str
    """The log's key for the number of what was forgotten."""
    noun: str
    """What is counted, in the singular."""
    what: str
    """What else is said of it; the moment follows."""
    do: Callable[[Library, datetime], Coroutine[Any, Any, int]]
    """Forget it; returns how many."""
    count: Callable[[Library, datetime], int]
    """How many would be forgotten."""
    done: str = "forgotten"
    to_do: str = "would be forgotten"
    """What was done with it, or would be."""
    nouns: str | None = None
    """The plural, unless it adds an s."""
    setting: str = ""
    """The key of `[privacy]` that says for how many days it is kept; empty: not a day."""

    def limit(self, config: Config, now: datetime) -> datetime:
        """The moment before which it is forgotten, as seen from `now`."""
        days: int = getattr(config.privacy, self.setting) if self.setting else 0
        return now - timedelta(days=days)


KEPT = timedelta(days=1)
"""How long a repeated request of REST gets the first answer again."""

TIED = "kept, because something is owed, on loan, left or unknown"

MAINTENANCE = (
    MaintenanceChore(  # B42
        key="identities_erased",
        setting="access_log_days",
        noun="row",
        what="of the door log before",
        do=lambda store, before: store.erase_access_identities(before),
        count=lambda store, before: store.count_access_identities(before),
        done="patron erased",
        to_do="patron would be erased",
    ),
    MaintenanceChore(  # C69, C97; they carry the moment until which they may be repeated
        key="transactions_forgotten",
        noun="item transaction",
        what="that expired before",
        do=lambda store, now: store.forget_transactions(now),
        count=lambda store, now: store.count_forgotten_transactions(now),
    ),
    MaintenanceChore(  # C125; they carry the moment until which they are shown
        key="journal_forgotten",
        noun="loan or return",
        nouns="loans and returns",
        what="taken off line that had gone up a day before",
        do=lambda store, now: store.forget_journal(now),
        count=lambda store, now: store.count_forgotten_journal(now),
    ),
    MaintenanceChore(  # B74; they carry the moment until which they are kept
        key="guesses_forgotten",
        noun="count of wrong PINs",
        nouns="counts of wrong PINs",
        what="kept until",
        do=lambda store, now: store.forget_guesses(now),
        count=lambda store, now: store.count_forgotten_guesses(now),
    ),
    MaintenanceChore(  # with 0 days nothing is kept
        key="loans_forgotten",
        setting="loan_history_days",
        noun="loan",
        what="that ended before",
        do=lambda store, before: store.forget_loans(before),
        count=lambda store, before: store.count_forgotten_loans(before),
    ),
    MaintenanceChore(  # C104
        key="refused_payments_forgotten",
        setting="refused_payment_days",
        noun="refused payment",
        what="before",
        do=lambda store, before: store.forget_refused_payments(before),
        count=lambda store, before: store.count_forgotten_refusals(before),
    ),
    MaintenanceChore(  # C166; open messages stay, and what they are about
        key="support_messages_forgotten",
        setting="support_days",
        noun="message",
        what="of customer support, closed before",
        do=lambda store, before: store.forget_support_messages(before),
        count=lambda store, before: store.count_forgotten_support_messages(before),
    ),
    MaintenanceChore(  # B93, C166
        key="reviews_forgotten",
        setting="review_days",
        noun="entry for review",
        nouns="entries for review",
        what="closed before",
        do=lambda store, before: store.forget_reviews(before),
        count=lambda store, before: store.count_forgotten_reviews(before),
    ),
    MaintenanceChore(  # B92, B93, C146
        key="patrons_forgotten",
        setting="ended_patron_days",
        noun="patron",
        what="who ended before",
        do=lambda store, before: store.forget_ended(before),
        count=lambda store, before: store.count_ended(before),
    ),
    MaintenanceChore(
        key="patrons_kept",
        setting="ended_patron_days",
        noun="patron",
        what="who ended before",
        do=lambda store, before: asyncio.to_thread(store.count_ended_kept, before),
        count=lambda store, before: store.count_ended_kept(before),
        done=TIED,
        to_do=TIED,
    ),
    MaintenanceChore(  # B63, C166; those that wait are kept
        key="notices_forgotten",
        setting="outbox_days",
        noun="notice",
        what="sent or given up before",
        do=lambda store, before: store.forget_notices(before),
        count=lambda store, before: store.count_forgotten_notices(before),
    ),
    MaintenanceChore(  # B83, B93
        key="audit_forgotten",
        setting="audit_days",
        noun="entry",
        nouns="entries",
        what="of the audit log before",
        do=lambda store, before: store.forget_audit(before),
        count=lambda store, before: store.count_forgotten_audit(before),
    ),
    MaintenanceChore(  # B84; a request that is repeated later is a new one
        key="answers_forgotten",
        noun="answer",
        what="kept to repeat it over REST, a day before",
        do=lambda store, now: store.forget_answers(now - KEPT),
        count=lambda store, now: store.count_forgotten_answers(now - KEPT),
    ),
)


class Forgotten(NamedTuple):
    """What became of one chore."""

    chore: MaintenanceChore
    limit: datetime
    """What is older is forgotten."""
    number: int
    """How much was forgotten, or would be."""


class ForgottenJson(TypedDict):
    """How much was forgotten of one kind, or would be."""

    what: str
    before: str
    count: int


async def forget(
    store: Library, config: Config, now: datetime, *, dry_run: bool = False
) -> AsyncIterator[Forgotten]:
    """Do all chores, one after the other; a dry run only counts.

    Raises:
        BackendError: the store failed; what was given out is done.
    """
    for chore in MAINTENANCE:
        limit = chore.limit(config, now)
        if dry_run:
            number = await asyncio.to_thread(chore.count, store, limit)
        else:
            number = await chore.do(store, limit)
        yield Forgotten(chore, limit, number)


def forgotten_json(one: Forgotten, zone: tzinfo) -> ForgottenJson:
    """The chore by its key in the log; the moment is local with its offset."""
    return {
        "what": one.chore.key,
        "before": one.limit.astimezone(zone).isoformat(),
        "count": one.number,
    }
