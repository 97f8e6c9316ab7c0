"""`/audit`: who read or changed what about whom (B83)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from sip2gw.staff.audit import AuditJson, audit_json
from sip2gw.web.api.moments import Since, Until, since_of, until_of
from sip2gw.web.api.paging import Cursor, Limit, Page, page, place_of, time_key
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("audit")


@resources.get("/audit", "audit")
def list_audit(
    asked: Asks,
    who: Annotated[str | None, Query(max_length=100, description="Token or account.")] = None,
    patron: Annotated[str | None, Query(max_length=100, description="Patron, any card.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AuditJson]:
    """List who read or changed what about whom, oldest first."""
    found = asked.store.audit_entries(
        who=who,
        patron=patron,
        since=since_of(since, asked.zone),
        until=until_of(until, asked.zone),
        after=place_of(cursor),
        limit=limit + 1,
    )
    return page(
        found,
        limit,
        cursor,
        key=lambda one: time_key(one.act.time, one.id),
        told=lambda one: audit_json(one, asked.zone),
    )
