"""Lines that an import refuses although they are well formed (C47). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sip2gw.backend.loading.format import MembershipLine
from sip2gw.model import Minor

RENEWAL_TYPES = (0, 1, 3, 4, 5, 9)
TYPES_WITH_AGES = (1, 2)


def membership_problems(
    line: MembershipLine, *, fee: Minor, alert: Minor | None, limit: Minor | None
) -> Iterator[str]:
    """What is wrong with the combination of values in a membership definition (C47)."""
    if line.type == 0 and fee:
        yield "a membership of type 0 cannot have a fee"
    if line.type in TYPES_WITH_AGES and None in (line.minimum_age, line.maximum_age):
        yield f"a membership of type {line.type} needs minimum_age and maximum_age"
    if (
        line.minimum_age is not None
        and line.maximum_age is not None
        and line.minimum_age > line.maximum_age
    ):
        yield "minimum_age must not be above maximum_age"
    if line.renewal_type not in RENEWAL_TYPES:
        yield f"renewal_type must be one of {', '.join(map(str, RENEWAL_TYPES))}"
    if line.renewal_type == 3 and line.type != 6:
        yield "renewal_type 3 is allowed only with type 6"
    if line.renewal_type == 1 and line.type not in TYPES_WITH_AGES:
        yield "renewal_type 1 is allowed only with type 1 or 2"
    if alert is not None and limit is not None and alert > limit:
        yield "alert_amount must not be above max_fees_self_service"
