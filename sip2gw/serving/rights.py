"""Whether a terminal that has logged in may ask what it asks, and how it hears a no.

Rules: B2, B13, C27, C101. The gateway and `explain` look here, so that they cannot differ.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sip2gw.foundation.clock import Clock
from sip2gw.handlers import TerminalView
from sip2gw.protocol.message import Response
from sip2gw.protocol.messages import ALWAYS_SUPPORTED, Request
from sip2gw.serving.site import Site
from sip2gw.texts import choose_language


class Denied(NamedTuple):
    """Why a request is not served."""

    text_key: str
    reason: str
    """For the log."""


EXPIRED = Denied("terminal_not_allowed", "expired")
NOT_OFFERED = Denied("not_supported", "not_allowed")
"""Its profile names the message, but nobody here answers it."""
NOT_ALLOWED = Denied("terminal_not_allowed", "not_allowed")


def denied(terminal: TerminalView, code: str, clock: Clock) -> Denied | None:
    """Why `terminal` may not send `code` now; None if it may."""
    if terminal.expires_at is not None and clock.now() >= terminal.expires_at:
        return EXPIRED
    if code in terminal.messages or code in ALWAYS_SUPPORTED:
        return None
    return NOT_OFFERED if code in terminal.offered else NOT_ALLOWED


def failure_form(
    site: Site, terminal: TerminalView | None, request: Request, now: datetime, text_key: str
) -> Response:
    """The response to `request` in failure form, with a text; before the login without a
    `terminal`."""
    institution = site.config.institution
    spoken = terminal.language if terminal else institution.language
    language = choose_language(getattr(request, "language", ""), None, spoken)
    return request.failure_form(institution.id, now, (site.texts.text(language, text_key),))
