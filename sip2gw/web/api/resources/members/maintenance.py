"""`/maintain`: memberships through the year, and what may no longer be kept (B63, B93, C160)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from sip2gw.model import format_amount
from sip2gw.staff.forgetting import ForgottenJson, forget, forgotten_json
from sip2gw.staff.members.maintenance import (
    StepJson,
    maintain_portion,
    occasion_of,
    step_json,
    sums_of,
)
from sip2gw.staff.support import follow_up
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.moments import since_of
from sip2gw.web.api.paging import Cursor, cursor_of, key_of
from sip2gw.web.api.problems import FieldProblem, ProblemError
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("maintenance")

MAINTAINING_S = 5.0
"""A request has ten seconds in all, and what has begun is done to its end."""
STEPS_MAX = 1_000
"""So many steps, and those of the batch that reaches it, make an answer long enough."""
AHEAD_MAX = timedelta(days=731)
"""Two years, and no more: whoever mistypes a year would make fees for decades."""


class Maintenance(BaseModel):
    """What is to be done."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})

    at: Annotated[
        str | None,
        Field(
            max_length=40,
            description=(
                "Do for memberships what is due by this day, in the library's time zone; two years "
                "ahead at most; default: now. What may no longer be kept goes by the clock alone."
            ),
            examples=["2027-01-01"],
        ),
    ] = None
    dry_run: Annotated[bool, Field(description="Only tell what would be done.", strict=True)] = (
        False
    )


class MaintainedJson(TypedDict):
    """What was done, or would be."""

    day: str
    """By the end of which everything is done that is due for memberships."""
    steps: list[StepJson]
    patrons: int
    """How many had steps."""
    fees: str
    refunds: str
    notices: int
    forgotten: list[ForgottenJson]
    """Empty while there is a rest: memberships come first. Never by `at`, always by the clock."""
    dry_run: bool
    next: str | None
    """The `cursor` for the rest, which takes longer than a request may; null: nothing is left."""


@resources.post("/maintain", "maintain", is_once=True)
def maintain(asked: Asks, wanted: Maintenance, cursor: Cursor = None) -> MaintainedJson:
    """Renew, move and end memberships, and forget what may no longer be kept.

    What is due by the end of the day is done, with fees, statuses and notices, patron by patron,
    and then what `[privacy]` no longer allows to be kept now is forgotten, whatever the day. Where
    all that takes longer than a request may, ask again with `next` as the `cursor`, until it is
    null. Doing it again changes nothing.
    """
    occasion = occasion_of(asked.config, _moment_of(wanted.at, asked))
    after, *_ = key_of(cursor) or ("",)
    done = asked.run(
        maintain_portion(
            asked.store,
            occasion,
            after,
            dry_run=wanted.dry_run,
            within_s=MAINTAINING_S,
            steps_max=STEPS_MAX,
        )
    )
    currency, sums = asked.config.institution.currency, sums_of(done.steps)
    return {
        "day": str(occasion.day),
        "steps": [step_json(step, currency) for step in done.steps],
        "patrons": sums.patrons,
        "fees": format_amount(sums.fees, currency),
        "refunds": format_amount(sums.refunds, currency),
        "notices": sums.notices,
        "forgotten": asked.run(_forget(asked, wanted)) if done.last is None else [],
        "dry_run": wanted.dry_run,
        "next": None if done.last is None else cursor_of((done.last,)),
    }


def _moment_of(at: str | None, asked: Asked) -> datetime:
    now = asked.now
    moment = since_of(at, asked.zone, "body.at") or now
    if moment > now + AHEAD_MAX:
        problem = "more than two years ahead; only the command `maintain --at` goes further"
        where = [FieldProblem(where="body.at", problem=problem)]
        raise ProblemError(422, f"at: {problem}", problems=where)
    return moment


async def _forget(asked: Asked, wanted: Maintenance) -> list[ForgottenJson]:
    """By the clock: a token must not erase by a date, above all not the audit log (B83, B93)."""
    now = asked.now
    if not wanted.dry_run:
        # Before what it is about may be forgotten.
        await follow_up(asked.store, asked.config, now)
    forgotten = forget(asked.store, asked.config, now, dry_run=wanted.dry_run)
    return [forgotten_json(one, asked.zone) async for one in forgotten]
