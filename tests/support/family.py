"""One small family library for the policy tests: who exists, and what they owe.

Anna (head of family) and her son Tom; Bert has authorised Carla to pay for him.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from sip2gw.model import (
    BadgeAssignment,
    Card,
    Fee,
    Membership,
    PatronRecord,
    Relationship,
    RelationshipType,
)

ZONE = ZoneInfo("Europe/Brussels")
TODAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=ZONE)
ADULT = Membership("201", "Adult", 4, max_fees_self_service=1000, alert_amount=800)


def fee(fee_id, patron_id, owed, *, days_old=1, **changes):
    created = datetime(2026, 3, 10, 9, tzinfo=UTC) - timedelta(days=days_old)
    return Fee(fee_id, patron_id, amount=owed, owed=owed, created=created, **changes)


def patron(number, name="Anna Peeters", **changes):
    record = PatronRecord(
        id=number,
        name=name,
        pin_hash="(hash)",
        birth_date=date(1980, 5, 1),
        membership=ADULT,
        membership_from=date(2025, 1, 1),
        membership_until=date(2026, 12, 31),
        home_branch="MAIN",
        cards=(Card(number),),
        badges=(BadgeAssignment("ONBE"),),
    )
    return replace(record, **changes)


HEAD_OF_TOM = Relationship(RelationshipType.HEAD_OF_FAMILY, "ANNA", "TOM")
CARLA_PAYS_FOR_BERT = Relationship(
    RelationshipType.AUTHORISATION, "BERT", "CARLA", frozenset({"pay"})
)
ANNA = patron("ANNA", payer_for=(HEAD_OF_TOM,))
TOM = patron("TOM", "Tom Peeters", fees=(fee("T1", "TOM", 300, days_old=20),))
BERT = patron("BERT", "Bert Maes", fees=(fee("B1", "BERT", 500),))
CARLA = patron("CARLA", "Carla Maes", payer_for=(CARLA_PAYS_FOR_BERT,))
