"""The pages of docs/reference, made from what the code declares."""

from __future__ import annotations

from reference.commands import command_reference
from reference.configuration import configuration_reference
from reference.data import data_reference
from reference.memberships import membership_reference
from reference.messages import message_reference
from reference.options import option_reference
from reference.reasons import reason_reference
from reference.retention import retention_reference

PAGES = {
    "commands": command_reference,
    "configuration": configuration_reference,
    "data": data_reference,
    "memberships": membership_reference,
    "messages": message_reference,
    "options": option_reference,
    "reasons": reason_reference,
    "retention": retention_reference,
}
"""Each page by the name of its file."""
