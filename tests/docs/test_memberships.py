"""The page of memberships names every key of ours and every field of the Wise screen (B62)."""

from __future__ import annotations

from reference.memberships import FIELDS, OURS, about

from sip2gw.model import MembershipDefinition

SCREEN = """\
Organization
Membership
Type membership
Description
Fee configuration
My Menu configuration
Message preference configuration
Collections agent process
Collections agent process for overdue materials billings
Replacement cost billing process
Overdue materials billing process
Claim return process
Default text group
On OLA (Optical Readable Credit Slip)
Type of renewal
Shared account number
Invoicing method
Remove after
Maximum age
Minimum age
Term
Term of registration
Minimum term
Subsequent membership
Notification term: end/conversion of account
Statistical code
Reporting group
Customer group
Trial month(s)
Free month(s)
Maximum number of materials
Can select delivery process
Default delivery process
Number of collections
This is an outgoing membership
Outflow membership
Duration before deactivation possible
For service desk registrations, please print the registration form
Automatic renewal
Allow PIN Reset
Sorting position
Hide membership
Fixed expiration month
In period
Book code
Convert fee into registration
Entire amount
Convert journal entry code into registration
Direct debit
Does this card holder allow direct debit?
Include fines with direct debit on fee collection
Max fines and fees service desk
Maximum registration for Argos (Internet)
Max. of public fines (webcat and self-service)
Amount for alert registration
Next message xxx days later at the earliest
Alert period for age of outstanding registration
Age alert about exceeding maximum, as well
Maximum number of holds
Fee refund
Holds permitted
Guest lending permitted
Block checkout statistics
Issue via the Internet
Fines via invoice
Argos charges
Info
Info URL
Different message form
Non-default text group
Once only
Fees not returned due to punch card
TicketWise rate
Allowed to change online
Block exchange with IAM
No charge for card replacement
""".splitlines()
"""The fields of the screen *Membership definitions*, in its order."""

KEYS = MembershipDefinition.__struct_fields__


def test_every_field_of_the_screen_has_its_row() -> None:
    assert [row.field for row in FIELDS] == SCREEN


def test_every_key_has_a_field_or_is_said_to_be_ours() -> None:
    named = [key for row in FIELDS for key in row.keys] + list(OURS)
    assert sorted(named) == sorted(KEYS)


def test_what_is_not_kept_says_why() -> None:
    assert [row.field for row in FIELDS if not row.keys and not row.remark] == []


def test_every_key_says_what_it_changes_or_that_it_changes_nothing() -> None:
    assert all(about(key).effect.endswith(".") for key in KEYS)
