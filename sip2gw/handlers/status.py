"""SC status: what this terminal may do here.  (B13, B15, B17, C25)"""

from __future__ import annotations

from sip2gw.handlers.base import Answer, Session, TerminalView
from sip2gw.protocol.messages import ALWAYS_SUPPORTED, AcsStatus, ScStatus

OFF_LINE = frozenset({"09", "11"})
"""What can happen while the line is down (C25, C85)."""


def may_work_off_line(terminal: TerminalView) -> bool:
    """Whether what happens at `terminal` while its line is down is taken in later."""
    return terminal.rights.accept_offline and not terminal.messages.isdisjoint(OFF_LINE)


async def sc_status(session: Session, request: ScStatus) -> Answer:
    """Answer a 99 with a 98 that promises nothing that is refused.  Spec: SIP2 2.00, message 99."""
    terminal = session.terminal
    messages = terminal.messages
    response = AcsStatus(
        online=True,
        checkin_ok="09" in messages,
        checkout_ok="11" in messages,
        renewal_policy="29" in messages or "65" in messages,
        status_update_ok="01" in messages and terminal.rights.may_block_patrons,
        offline_ok=may_work_off_line(terminal),
        timeout_period_ds=int(terminal.timeout_s * 10),
        retries_allowed=terminal.retries,
        transaction_date=session.now(),
        institution_id=terminal.institution_id,
        library_name=terminal.library_name,
        supported_messages=messages | ALWAYS_SUPPORTED,
        terminal_location=terminal.branch,
    )
    return Answer(response)
