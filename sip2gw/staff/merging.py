"""What staff are told about joining two records, and about whom they found (B49)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sip2gw.model.merging import FoundPatron, MergeStep


def step_json(step: MergeStep) -> dict[str, Any]:
    """What becomes of one thing of the former patron."""
    return {"what": step.what, "id": step.id, "result": str(step.result), "note": step.note}


def found_json(patron: FoundPatron) -> dict[str, Any]:
    """A patron who was found, with what tells namesakes apart."""
    return {
        "id": patron.id,
        "name": patron.name,
        "birth_date": None if patron.birth_date is None else patron.birth_date.isoformat(),
        "home_branch": patron.home_branch,
        "cards": list(patron.cards),
    }
