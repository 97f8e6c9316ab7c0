"""What staff are told about joining two records, and about whom they found (B49)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sip2gw.backend.library import Library
    from sip2gw.model.merging import FoundPatron, MergeStep
    from sip2gw.policy.members.merging import MergePlan


class MergeStepJson(TypedDict):
    """What becomes of one thing of the former patron."""

    what: str
    id: str
    result: str
    note: str


class FoundPatronJson(TypedDict):
    """A patron who was found, with what tells namesakes apart."""

    id: str
    name: str
    birth_date: str | None
    home_branch: str | None
    cards: list[str]


def step_json(step: MergeStep) -> MergeStepJson:
    """What becomes of one thing of the former patron."""
    return {"what": step.what, "id": step.id, "result": str(step.result), "note": step.note}


def found_json(patron: FoundPatron) -> FoundPatronJson:
    """A patron who was found, with what tells namesakes apart."""
    return {
        "id": patron.id,
        "name": patron.name,
        "birth_date": None if patron.birth_date is None else patron.birth_date.isoformat(),
        "home_branch": patron.home_branch,
        "cards": list(patron.cards),
    }


def found_patrons(store: Library, text: str) -> Iterator[FoundPatron]:
    """Who has the card, id or pseudonym `text`, and whose name has all its words; by name."""
    from sip2gw.monitoring.telemetry import Redactor

    return store.search_patrons(text, Redactor(store.pin_secret).pseudonym)


async def merged(store: Library, former: str, lasting: str, who: str, now: datetime) -> MergePlan:
    """Join the record of `former` with that of `lasting`; what became of each thing.

    Raises:
        RefusedError: as for the plan.
    """
    from sip2gw.model.badges import Deed

    deed = Deed(who, now, f"merged {former} into {lasting}")
    return await store.merge_patrons(former, lasting, deed)
