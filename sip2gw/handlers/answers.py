"""What staff answered to a patron's messages, shown at the next visit to a kiosk (B64, C145)."""

from __future__ import annotations

from sip2gw.handlers.base import Session
from sip2gw.model import PatronRecord
from sip2gw.protocol.messages import PatronInformationResponse, PatronStatusResponse

ANSWERS_PER_VISIT_MAX = 3
"""A screen has room for so many; the others wait for the next visit."""


def show_answers(
    session: Session,
    response: PatronStatusResponse | PatronInformationResponse,
    record: PatronRecord,
) -> None:
    """Add to AF of a shown patron, each once, the answers that the profile lets them see."""
    if not session.terminal.presentation.support_answers:
        return
    services = session.services
    answers = services.answers.take(record.id, record.answers, ANSWERS_PER_VISIT_MAX)
    language = session.language(response.language, record)
    response.screen_message = (
        *response.screen_message,
        *(services.texts.text(language, "support_answer", answer=answer) for answer in answers),
    )
