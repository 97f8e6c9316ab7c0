"""Doors in front of a library system. They decide as on our own store (B33, B72): only what a
door in mode `facts` tells is the library system's answer.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress

from sip2gw.backend.base import BackendError
from sip2gw.handlers import door as ours
from sip2gw.handlers.base import Answer, Handler, Session
from sip2gw.handlers.entry import decide_entry, passage_of
from sip2gw.handlers.patron import present
from sip2gw.handlers.upstream.behind import identifier_of, is_offered, refuse_unoffered
from sip2gw.handlers.upstream.patron import PatronRequest, tell


def patron_status(session: Session, request: PatronRequest) -> Awaitable[Answer]:
    """Answer a door's 23."""
    return _answer(session, request, ours.patron_status)


def patron_information(session: Session, request: PatronRequest) -> Awaitable[Answer]:
    """Answer a door's 63."""
    return _answer(session, request, ours.patron_information)


def _answer(session: Session, request: PatronRequest, as_ours: Handler) -> Awaitable[Answer]:
    manner = session.terminal.door_manner
    if manner.direction == "out":
        return _let_out(session, request, as_ours)
    if manner.mode == "facts":
        return _tell_facts(session, request)
    return as_ours(session, request)


async def decide_without_library(
    session: Session, request: PatronRequest, error: BackendError
) -> Answer | None:
    """The answer of an entrance in an emergency, on what the library system said last and what our
    store says now: who has been barred since stays out (B40, B77)."""
    if not error.of_store and session.terminal.door.emergency_max_age is not None:
        # A store that cannot be read either is an emergency like any other.
        with suppress(BackendError):
            await identifier_of(session).look_again(session, request.patron_identifier)
    return await ours.decide_without_backend(session, request, error)


async def _let_out(session: Session, request: PatronRequest, as_ours: Handler) -> Answer:
    """Who only the library system knows went in under the number that it said (C67, C151). If that
    was said to another gateway, or before a restart, the card that came in tells who it is."""
    number, terminal = request.patron_identifier, session.terminal
    if number and terminal.counts_inside:
        backend, branch = session.services.backend, terminal.branch or ""
        for known_as in identifier_of(session).numbers_of(number):
            await backend.leave_branch(branch, known_as)
        for door in terminal.way_back:
            await backend.leave_by_passage(branch, passage_of(door, number))
    return await as_ours(session, request)


async def _tell_facts(session: Session, request: PatronRequest) -> Answer:
    """Their answer with ours laid over it; what we would have decided is recorded (B33)."""
    if not is_offered(session, request):
        return refuse_unoffered(session, request)
    asked = await identifier_of(session).ask(session, request)
    number, pin = request.patron_identifier, request.patron_password
    required = session.terminal.door.require_pin
    presented = present(session, number, pin, asked.record, asked.card, asked.pin, required)
    facts, decision = await decide_entry(session, presented)
    answer = tell(session, request, presented, asked.response)
    return ours.tell_facts(session, presented, facts, decision, answer)
