"""`explain` as people ask for it, by command or by REST (B70): its JSON, and who is asked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NotRequired

from typing_extensions import TypedDict

from sip2gw.policy.explaining.asking import Wanted
from sip2gw.policy.moments import read_start
from sip2gw.serving.explaining.answer import Explanation, explain
from sip2gw.serving.site import build_site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sip2gw.backend.base import Backend
    from sip2gw.backend.system import LibrarySystem
    from sip2gw.config import Config


class CheckJson(TypedDict):
    """One check."""

    check: str
    result: str
    detail: str


class OutcomeJson(TypedDict):
    """What the terminal would be told."""

    decision: str
    reason: str
    answer: str
    would_ask: NotRequired[list[str]]
    library_system: NotRequired[list[str]]


class ExplanationJson(OutcomeJson):
    """The same, check by check."""

    checks: list[CheckJson]


class NoTerminalError(Exception):
    """There is no such terminal; the text names those that there are."""


async def explain_wanted(
    config: Config,
    backend: Backend,
    library: LibrarySystem | None,
    last_import: Callable[[], Awaitable[datetime | None]],
    wanted: Wanted,
) -> Explanation:
    """Explain what is `wanted`.

    Args:
        config: with the terminals.
        backend: the store; it is only read.
        library: lines of our own to the library system behind the gateway, which are opened and
            closed here.
        last_import: says when library data was last imported.
        wanted: what; it makes sense (`Wanted.insist`).

    Raises:
        NoTerminalError: the terminal is unknown.
        LibrarySystemError: the library system does not answer.
        BackendError: the store cannot be read.
    """
    site = build_site(config, backend.capabilities)
    known = site.by_login.get(wanted.terminal) or site.by_name.get(wanted.terminal)
    if known is None:
        names = ", ".join(sorted(site.by_name)) or "none"
        raise NoTerminalError(f"no terminal {wanted.terminal}; configured: {names}")
    zone, at = known.view.zone, None
    if wanted.at is not None:
        at = read_start(wanted.at, zone).astimezone(zone)
    try:
        if library is not None:
            await library.start()
        return await explain(
            site,
            backend,
            known.view,
            wanted.card,
            message=wanted.message,
            item=wanted.item,
            at=at,
            address=wanted.address,
            library=library,
            imported=await last_import(),
        )
    finally:
        if library is not None:
            await library.close()


def checks_json(explanation: Explanation) -> list[CheckJson]:
    """All checks in their order."""
    return [
        {"check": one.check, "result": one.result, "detail": one.detail}
        for one in explanation.checks
    ]


def outcome_json(explanation: Explanation) -> OutcomeJson:
    """What the terminal would be told."""
    told: OutcomeJson = {
        "decision": explanation.decision,
        "reason": explanation.reason,
        "answer": explanation.answer,
    }
    if explanation.would_ask:
        told["would_ask"] = list(explanation.would_ask)
    if explanation.library:
        told["library_system"] = list(explanation.library)
    return told


def explanation_json(explanation: Explanation) -> ExplanationJson:
    """All of it."""
    return {**outcome_json(explanation), "checks": checks_json(explanation)}
