"""Customer statuses: what they do, and when one that a fee caused has ended.  (B27, C14, C160)"""

from __future__ import annotations

from sip2gw.model import PatronRecord
from sip2gw.policy.money.debts import open_fees

BLOCKING_STATUSES = frozenset({4, 6, 7, 8, 9})
"""Customer statuses that block: delinquent, internet registration unpaid or incomplete, banned,
expired (C14)."""

UNPAID_STATUSES = frozenset({2, 3, 4})
"""Those of who owes a membership fee: invoiced, reminder sent, delinquent (C160)."""

NORMAL_STATUS = 5


def status_of(record: PatronRecord) -> int:
    """The customer status: of a fee that is no longer owed nobody is reminded (C160).

    What account maintenance set for a fee ends with the fee, at once. Any other status stays.
    """
    cause = record.status_fee
    if cause is None or record.status not in UNPAID_STATUSES:
        return record.status
    is_owed = any(fee.id == cause for fee in open_fees(record.fees))
    return record.status if is_owed else NORMAL_STATUS
