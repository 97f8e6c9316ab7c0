"""`/explain`: what a terminal would be told about a card or an item, and why (B70)."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Query

from sip2gw.backend.factory import library_system_of_our_own
from sip2gw.backend.system import LibrarySystemError
from sip2gw.policy.explaining.asking import Message, Wanted, WrongQuestionError
from sip2gw.serving.explaining.asking import (
    ExplanationJson,
    NoTerminalError,
    explain_wanted,
    explanation_json,
)
from sip2gw.web.api.problems import ProblemError, unavailable
from sip2gw.web.api.resource import Asks, Resources

resources = Resources("explain")

EXPLAIN_WITHIN_S = 8.0
"""A request has ten seconds in all."""


@resources.get("/explain", "explain")
def explain(
    asked: Asks,
    terminal: Annotated[str, Query(max_length=100, description="Name or login of the terminal.")],
    card: Annotated[
        str, Query(max_length=100, description="Card number, known or unknown; not needed for 09.")
    ] = "",
    message: Annotated[
        Message | None,
        Query(description="Message that it sends. Default: 63 or 23, or with `item` 11."),
    ] = None,
    item: Annotated[
        str, Query(max_length=200, description="Item id: a loan, return, renewal or hold.")
    ] = "",
    at: Annotated[
        str | None,
        Query(max_length=40, description="Moment, in the branch's time zone. Default: now."),
    ] = None,
    address: Annotated[
        str | None, Query(max_length=100, description="IP address of the terminal.")
    ] = None,
) -> ExplanationJson:
    """Explain what a terminal would be told about a card or an item, and why, check by check.

    Nothing is recorded, counted, locked, lent or taken back, here or in a library system behind the
    gateway. The PIN is assumed to be right unless it is locked.
    """
    wanted = Wanted(terminal, card, message, at, item, address)
    desk = asked.desk
    try:
        wanted.insist()
        with desk.explaining():
            library = library_system_of_our_own(asked.config, asked.store.pin_secret)
            work = explain_wanted(
                asked.config, desk.opened.backend, library, asked.store.last_import, wanted
            )
            return explanation_json(asked.run(asyncio.wait_for(work, EXPLAIN_WITHIN_S)))
    except WrongQuestionError as error:
        raise ProblemError(422, str(error)) from None
    except NoTerminalError as error:
        raise ProblemError(404, str(error)) from None
    except LibrarySystemError as error:
        raise unavailable(error.problem or "the library system does not answer") from None
    except TimeoutError:
        raise unavailable("it took too long; try again") from None
