"""Account maintenance as staff run it: a plan beforehand, all memberships, sums (B63)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import TypedDict

from sip2gw.foundation.words import counted
from sip2gw.model import Minor, format_amount
from sip2gw.model.maintenance import Maintained, Rule, Step
from sip2gw.staff.documents import Person

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


StepJson = TypedDict(
    "StepJson",
    {
        "patron": Person,
        "rule": str,
        "from": str | None,
        "to": str | None,
        "until": str | None,
        "status": int | None,
        "fee": str | None,
        "notice": str | None,
    },
)
"""One step for a patron; null for what does not change (C160)."""


class Portion(NamedTuple):
    """What a run did of all that was due."""

    steps: Sequence[Step]
    last: str | None
    """The patron after whom the rest goes on; None: there is no rest."""


class Sums(NamedTuple):
    """Some steps in numbers."""

    steps: int
    patrons: int
    fees: Minor
    refunds: Minor
    notices: int


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
    async for _, done in _batches(store, occasion, dry_run=dry_run):
        for one in done:
            yield one


async def maintain_portion(
    store: Library,
    occasion: Occasion,
    after: str = "",
    *,
    dry_run: bool,
    within_s: float,
    steps_max: int,
) -> Portion:
    """Do as much of the same as there is time for, batch by batch, and one batch at least.

    Args:
        store: has the patrons.
        occasion: the run.
        after: those up to this patron are left out.
        dry_run: only tell.
        within_s: after so many seconds no further batch begins.
        steps_max: when there are so many steps, no further batch begins.

    Raises:
        BackendError: the store failed; some batches may be done, and the next run does the rest.
    """
    end, steps = time.monotonic() + within_s, list[Step]()
    async with aclosing(_batches(store, occasion, after, dry_run=dry_run)) as batches:
        async for last, done in batches:
            steps.extend(step for one in done for step in one.steps)
            if len(steps) >= steps_max or time.monotonic() >= end:
                return Portion(steps, last)
    return Portion(steps, None)


async def _batches(
    store: Library, occasion: Occasion, after: str = "", *, dry_run: bool
) -> AsyncGenerator[tuple[str, Sequence[Maintained]], None]:
    """What was done, or would be, and the last patron that was looked at.

    Others in this loop have their turn meanwhile: it only waits, for a thread that decides or for
    the store.
    """
    planned = store.maintenance_batches(occasion, after)
    while (batch := await asyncio.to_thread(next, planned, None)) is not None:
        done = batch.maintained
        if done and not dry_run:
            done = await store.maintain_memberships(occasion, batch.after, batch.last)
        yield batch.last, done


def step_json(step: Step, currency: str) -> StepJson:
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


def sums_of(steps: Sequence[Step]) -> Sums:
    """What `steps` come to."""
    fees = [step.fee for step in steps if step.fee is not None]
    return Sums(
        steps=len(steps),
        patrons=len({step.patron_id for step in steps}),
        fees=sum(fee for fee in fees if fee > 0),
        refunds=-sum(fee for fee in fees if fee < 0),
        notices=sum(step.notice is not None for step in steps),
    )


def summary(steps: Sequence[Step], currency: str) -> str:
    """The sums of a run, in one line."""
    sums = sums_of(steps)
    return (
        f"{counted(sums.steps, 'step')} for {counted(sums.patrons, 'patron')}, "
        f"fees {format_amount(sums.fees, currency)}, "
        f"refunds {format_amount(sums.refunds, currency)}, "
        f"{counted(sums.notices, 'notice')}"
    )
