"""The audit log as staff write and read it (B83)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from sip2gw.model.rights import Act, AuditEntry
from sip2gw.staff.actions import ACTIONS

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.model.rights import AuditOutcome, Role, Source

OBJECT_CHARACTERS_MAX = 100


class AuditJson(TypedDict):
    """Who read or changed what about whom, from where, and when."""

    id: str
    time: str
    who: str
    role: str
    source: str
    action: str
    object: str
    patron: str | None
    address: str
    outcome: str


def audit_json(entry: AuditEntry, zone: tzinfo) -> AuditJson:
    """A line of the log; the time is local with its offset."""
    act = entry.act
    return {
        "id": entry.id,
        "time": act.time.astimezone(zone).isoformat(),
        "who": act.who,
        "role": act.role.value,
        "source": act.source,
        "action": act.action,
        "object": act.object,
        "patron": act.patron or None,
        "address": act.address,
        "outcome": entry.outcome,
    }


def act_of(
    action: str,
    parameters: Mapping[str, Any],
    *,
    who: str,
    role: Role,
    source: Source,
    now: datetime,
    address: str = "",
) -> Act:
    """What somebody is about to do, as the log says it; `parameters` are those of the command."""
    declared = ACTIONS[action]
    return Act(
        now,
        who,
        role,
        source,
        action,
        object=_text(parameters.get(declared.object))[:OBJECT_CHARACTERS_MAX],
        patron=_text(parameters.get(declared.patron)),
        address=address,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def outcome_of_looking(act: Act) -> AuditOutcome:
    """What the log says if nothing is changed: of a change it was a rehearsal."""
    return "done" if ACTIONS[act.action].does == "reads" else "rehearsed"


@contextmanager
def audited(store: Library, act: Act, refusals: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Write `act` down before it is done, and for a change what became of it; blocks.

    Args:
        store: has the log.
        act: of which the log has a line.
        refusals: errors beside `RefusedError` which say that nothing was done.

    Raises:
        BackendError: it cannot be written down, so it must not be done.
    """
    from sip2gw.backend.base import RefusedError
    from sip2gw.backend.touched import noting_touched

    refused: tuple[type[Exception], ...] = (RefusedError, *refusals)
    if ACTIONS[act.action].does == "reads":
        store.add_audit_entry(act, outcome_of_looking(act))
        yield
        return
    entry = store.add_audit_entry(act, "begun")
    with noting_touched() as touched:
        try:
            yield
        except refused:
            store.end_audit_entry(entry, "refused", (), touched.object)
            raise
        except Exception:
            store.end_audit_entry(entry, "failed", touched.patrons, touched.object)
            raise
        store.end_audit_entry(entry, "done", touched.patrons, touched.object)


def listed(entries: Iterator[AuditEntry], zone: tzinfo) -> Iterator[AuditJson]:
    """All `entries` as JSON."""
    return (audit_json(entry, zone) for entry in entries)
