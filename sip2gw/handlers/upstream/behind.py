"""The library system behind the gateway, as one terminal's handlers see it.  (B73, C152)"""

from __future__ import annotations

from sip2gw.backend.system import LibrarySystem
from sip2gw.handlers.base import Answer, LibraryIdentifier, Session
from sip2gw.handlers.rules import UpstreamManner
from sip2gw.protocol.messages import FeePaid, Request


def library_of(session: Session) -> tuple[LibrarySystem, UpstreamManner]:
    """The library system, and how the session's terminal is served by it."""
    # Both are there wherever this is asked; assertions would cost as much as the look itself.
    return session.services.library, session.terminal.upstream  # type: ignore[return-value]


def identifier_of(session: Session) -> LibraryIdentifier:
    """Who asks the library system about cards and PINs."""
    return session.services.identifier  # type: ignore[return-value]  # a cast would be a call


def with_ours(session: Session, theirs: frozenset[str]) -> frozenset[str]:
    """The codes of the requests that the library system takes, and of what we take in its place
    (C124, C152)."""
    _, manner = library_of(session)
    return theirs if manner.payments else theirs | {FeePaid.code}


def is_offered(session: Session, request: Request) -> bool:
    """Whether `request` is taken. While nobody knows, the library system is asked: that opens the
    line on which it says so (C152)."""
    library, manner = library_of(session)
    offered = library.offers(manner.account)
    code = request.code
    # First without a set of their codes and ours: nearly all requests are theirs.
    return offered is None or code in offered or code in with_ours(session, offered)


def refuse_unoffered(session: Session, request: Request) -> Answer:
    """The failure form of what the library system does not take."""
    language = session.language(getattr(request, "language", "000"))
    text = session.services.texts.text(language, "not_supported")
    response = request.failure_form(session.terminal.institution_id, session.now(), (text,))
    return Answer(response, "refused", "not_offered")
