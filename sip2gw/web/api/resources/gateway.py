"""`/reload`, `/upstream`: the running gateway and the library system behind it (B77, B86, C157)."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from typing import Annotated, Any

from fastapi import Query
from msgspec.structs import asdict
from typing_extensions import TypedDict

from sip2gw.backend.system import AccountState
from sip2gw.control.messages import Reload, Reloaded, UpstreamAccounts, UpstreamStatus
from sip2gw.model.journal import JournalEntry
from sip2gw.staff.documents import document_of
from sip2gw.staff.journal import JournalJson, journal_json
from sip2gw.web.api.desk import Asked
from sip2gw.web.api.paging import Cursor, Limit, Page, page, page_of
from sip2gw.web.api.problems import ProblemError
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("gateway")

RELOAD_WITHIN_S = 8.0
"""A request has nine seconds in all."""

AccountJson = document_of(AccountState)


class ReloadedJson(TypedDict):
    """The new configuration is in force."""

    needs_restart: list[str]
    """Keys whose new value takes effect only after a restart."""


@resources.post("/reload", "reload")
def reload(asked: Asks) -> ReloadedJson:
    """Let the gateway read its configuration again; no terminal is disconnected.

    409 with all problems if it is not valid: the old one stays in force.
    """
    with asked.desk.asking_apart(Reload(), RELOAD_WITHIN_S) as (_, answer):
        assert isinstance(answer, Reloaded)
    if answer.problems:
        raise ProblemError(
            409,
            "the configuration is not valid; the old one stays in force",
            problems=[{"where": "configuration", "problem": one} for one in answer.problems],
        )
    with suppress(ProblemError):  # then we notice a second later
        asked.follow()
    return {"needs_restart": answer.needs_restart}


@resources.get("/upstream", "upstream status", answers=page_of(AccountJson))
def upstream_status(asked: Asks, limit: Limit = 100, cursor: Cursor = None) -> Page[Any]:
    """Show how the gateway's accounts at the library system are doing, by name."""
    return _accounts(asked, limit, cursor)


@resources.get("/upstream/status", "upstream status", answers=page_of(AccountJson))
def show_upstream_status(asked: Asks, limit: Limit = 100, cursor: Cursor = None) -> Page[Any]:
    """The same as `/upstream`, under the name of the command."""
    return _accounts(asked, limit, cursor)


def _accounts(asked: Asked, limit: int, cursor: str | None) -> Page[Any]:
    answer = asked.ask(UpstreamStatus())
    assert isinstance(answer, UpstreamAccounts)
    return page(
        sorted(answer.accounts, key=lambda one: one.account),
        limit,
        cursor,
        key=lambda one: (one.account,),
        told=asdict,
    )


@resources.get("/upstream/journal", "upstream journal")
def upstream_journal(
    asked: Asks,
    only_open: Annotated[
        bool, Query(alias="open", description="Only what the library system has yet to hear of.")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[JournalJson]:
    """List loans and returns that were taken while the library system was away, as they go up.

    `open` waits for the library system. `done` has gone up. `conflict` was refused there, or not
    done: see `/review`. `unknown` went up and was not answered; this stays so until the gateway has
    found out what became of it. What has gone up is shown for a day.
    """
    found = asked.store.journal_entries(only_open=only_open)
    return page(found, limit, cursor, key=_place, told=lambda one: journal_json(one, asked.zone))


def _place(entry: JournalEntry) -> tuple[str, str]:
    """In the order of going up."""
    return entry.happened.astimezone(UTC).isoformat(timespec="microseconds"), entry.id
