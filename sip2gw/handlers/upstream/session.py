"""35 in front of a library system.  (B31, C122)"""

from __future__ import annotations

from contextlib import suppress

from sip2gw.backend.system import LibrarySystemError
from sip2gw.handlers import patron
from sip2gw.handlers.base import Answer, Session
from sip2gw.handlers.upstream.behind import is_offered, library_of
from sip2gw.protocol.messages import EndPatronSession


async def end_session(session: Session, request: EndPatronSession) -> Answer:
    """Answer a 35 with a 36, always `Y`, whatever the library system says to it, or does not."""
    library, manner = library_of(session)
    lease = session.lease
    if lease.line is not None and is_offered(session, request):
        # Without AD: nobody looks at a PIN here, so none may be tried out (B74).
        up = EndPatronSession(
            transaction_date=request.transaction_date,
            institution_id=manner.institution,
            patron_identifier=request.patron_identifier,
            terminal_password=request.terminal_password,
        )
        with suppress(LibrarySystemError):
            await library.ask(manner.account, session.terminal.name, up, lease)
    library.release(lease)
    return await patron.end_session(session, request)
