"""What vendors' terminals say beyond the standard: one value per dialect (B55).

A message of a dialect is known only where the profile speaks it; everywhere else its command is
unknown. Vendors' *fields* in standard messages (GL, FW, Gossip's fee details) are declared with
those messages; a handler that does not set them does not send them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from sip2gw.protocol import fields as f
from sip2gw.protocol.message import Message, Request, Response

DialectName = Literal["standard", "wise", "gossip"]
"""What a profile may speak."""


class MoneyLinesResponse(Response):
    """Money lines of a patron, one YZ each.  Spec: Wise, dialog 41/42 (B55, C45)."""

    code: ClassVar[str] = "42"

    transaction_date: f.AnswerDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    money_lines: f.MoneyLines = ()
    screen_message: f.ScreenMessage = ()
    print_line: f.PrintLine = ()


class MoneyLines(Request):
    """A terminal asks for open and paid money lines.  Spec: Wise, dialog 41/42 (B55, C45)."""

    code: ClassVar[str] = "41"
    response: ClassVar[type[Response]] = MoneyLinesResponse

    transaction_date: f.TransactionDate = ""
    institution_id: f.InstitutionId = ""
    patron_identifier: f.PatronIdentifier = ""
    terminal_password: f.TerminalPassword = None
    patron_password: f.PatronPassword = None
    switch_fa: f.SwitchFA = False
    switch_fb: f.SwitchFB = False
    switch_fc: f.SwitchFC = False


MESSAGES_OF: dict[DialectName, tuple[type[Message], ...]] = {
    "standard": (),
    "wise": (MoneyLines, MoneyLinesResponse),
    "gossip": (),
}
"""What each dialect adds to the standard's messages."""


def dialect_of(message: type[Message]) -> DialectName:
    """The dialect that `message` belongs to."""
    return next((name for name, own in MESSAGES_OF.items() if message in own), "standard")
