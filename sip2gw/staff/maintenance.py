"""Account maintenance as staff run it: a plan beforehand, all memberships, sums (B63)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sip2gw.foundation.words import counted
from sip2gw.model import Minor, format_amount
from sip2gw.model.maintenance import Maintained, Rule, Step

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.backend.sql.members.maintenance import Occasion
    from sip2gw.config import Config

WORDS = {
    Rule.RENEWED: "renewed for another period",
    Rule.TRIAL_OVER: "trial over, first ordinary period begun",
    Rule.MOVED: "moved to the subsequent membership",
    Rule.ENDED: "ended, the term is over",
    Rule.ENDED_AGE: "ended, over the maximum age",
    Rule.ENDED_IDLE: "ended, not active for too long",
    Rule.ENDED_OUTGOING: "ended, an outgoing membership",
    Rule.ENDED_UNPAID: "ended, the fee was not paid",
    Rule.ENDED_ELSEWHERE: "ended by others before the paid period was over",
    Rule.REFUNDED: "part of the fee given back",
    Rule.INVOICED: "status set to invoiced, a fee is owed",
    Rule.REMINDED: "status set to reminder sent",
    Rule.DELINQUENT: "status set to delinquent, blocks",
    Rule.PAID: "status set to normal, the fee is paid",
    Rule.NOTICE: "notice of the coming end",
    Rule.LIMIT_ALERT: "alert, owes the amount for an alert",
    Rule.AGE_ALERT: "alert, a fee is soon too old",
    Rule.BADGE_EXPIRES: "notice that a badge ends",
}
"""What each rule does, for people."""


def occasion_of(config: Config, now: datetime) -> Occasion:
    """A run for the day of `now` in the library's zone."""
    from sip2gw.backend.sql.members.maintenance import Occasion

    ages = {code: branch.max_fee_age_days for code, branch in config.branches.items()}
    return Occasion(now, config.zone, ages, config.badges.expiry_notice_days or None)


async def maintain_memberships(
    store: Library, occasion: Occasion, *, dry_run: bool = False
) -> AsyncIterator[Maintained]:
    """Do for each patron what is due by the end of the occasion's day.

    Each batch is one write transaction. What it did is given out when it is durable; it may differ
    from what a dry run said if others have written meanwhile.

    Raises:
        BackendError: the store failed; batches that were given out are done, and the rest is done
            by the next run.
    """
    for batch in store.maintenance_batches(occasion):
        done = batch.maintained
        if done and not dry_run:
            done = await store.maintain_memberships(occasion, batch.after, batch.last)
        for one in done:
            yield one


def step_json(step: Step, currency: str) -> dict[str, Any]:
    """One step with the keys of `maintain --json` (C160)."""
    return {
        "patron": step.patron_id,
        "rule": step.rule.value,
        "from": step.from_code,
        "to": step.to_code,
        "until": None if step.until is None else str(step.until),
        "status": step.status,
        "fee": _money(step.fee, currency),
        "notice": step.notice,
    }


def _money(amount: Minor | None, currency: str) -> str | None:
    return None if amount is None else format_amount(amount, currency)


def plan_lines(steps: Iterable[Step], currency: str) -> Iterator[str]:
    """A plan for people: how often each rule applies, then what changes for whom and when."""
    steps = list(steps)
    counts = Counter(step.rule for step in steps)
    for rule in Rule:
        if counts[rule]:
            yield f"{counts[rule]:>7}  {rule.value}: {WORDS[rule]}"
    patron = None
    for step in steps:
        if step.patron_id != patron:
            patron = step.patron_id
            yield ""
            yield f"patron {patron}"
        yield f"  {step.day}  {_told(step, currency)}"


def _told(step: Step, currency: str) -> str:
    said = [f"{step.rule.value}: {step.from_code or step.values['badge']}"]
    if step.to_code is not None:
        said[0] += f" -> {step.to_code}"
    if step.until is not None:
        said.append(f"until {step.until}")
    if step.status is not None:
        said.append(f"status {step.status}")
    if step.fee is not None:
        said.append(f"fee {format_amount(step.fee, currency)}")
    if step.notice is not None:
        said.append(f"notice {step.notice}")
    return ", ".join(said)


def summary(steps: Iterable[Step], currency: str) -> str:
    """The sums of a run, in one line."""
    steps = list(steps)
    patrons = len({step.patron_id for step in steps})
    fees = [step.fee for step in steps if step.fee is not None]
    made = sum(fee for fee in fees if fee > 0)
    back = -sum(fee for fee in fees if fee < 0)
    notices = sum(step.notice is not None for step in steps)
    return (
        f"{counted(len(steps), 'step')} for {counted(patrons, 'patron')}, "
        f"fees {format_amount(made, currency)}, refunds {format_amount(back, currency)}, "
        f"{counted(notices, 'notice')}"
    )
