"""What a library system's answer about an item is worth to a profile's options.  (B59, B73, C86)"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, tzinfo

from sip2gw.policy.items.sorting import SortField
from sip2gw.policy.moments import END_OF_DAY
from sip2gw.protocol.messages import CheckinResponse
from sip2gw.protocol.timestamps import YEARS, read_timestamp

NO_ALERT = "00"
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?))?", re.ASCII)
_DOTS = re.compile(r"(\d\d)\.(\d\d)\.(\d{4})", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)


def read_due(text: str, zone: tzinfo) -> datetime | None:
    """The moment that AH means, if that is certain; a date means its end.

    Day and month of other forms, such as 5/4/2026, are anybody's guess.
    """
    said = text.strip()
    moment = read_timestamp(text[:18], zone) if len(said) >= 18 and text[:8].isdigit() else None
    if moment is not None:
        return moment
    if dots := _DOTS.fullmatch(said):
        said = f"{dots[3]}-{dots[2]}-{dots[1]}"
    elif compact := _COMPACT.fullmatch(said):
        said = "-".join(compact.groups())
    iso = _ISO.fullmatch(said)
    if iso is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{iso[1]}T{iso[2] or END_OF_DAY.isoformat()}")
    except ValueError:
        return None
    return moment.replace(tzinfo=zone) if moment.year in YEARS else None


def alerts(response: CheckinResponse) -> bool:
    """Whether somebody must look at the item: an alert type says so as well."""
    return response.alert or (response.alert_type or "").strip() not in ("", NO_ALERT)


_SAID: dict[SortField, Callable[[CheckinResponse], str | None]] = {
    "item": lambda said: said.item_identifier,
    "material": lambda said: said.collection_code,
    "media_type": lambda said: said.media_type,
    "owner_branch": lambda said: said.permanent_location,
    "call_number": lambda said: said.call_number,
    "destination": lambda said: said.destination_location,
    "alert_type": lambda said: said.alert_type if alerts(said) else None,
}
"""Title id, shelf and attachment are in no field of a 10, so they are not known."""


def said_of(response: CheckinResponse, field: SortField) -> str | None:
    """What a 10 says of what a sorter's rule looks at."""
    look = _SAID.get(field)
    return look(response) if look is not None else None


_COLLECTION: dict[str, Callable[[CheckinResponse], str | None]] = {
    "call_number": lambda said: said.call_number,
    "owner_branch": lambda said: said.permanent_location or None,
}


def collection_code(response: CheckinResponse, item_field: str) -> str | None:
    """CR as the profile wants it; theirs if that is what it wants or they do not say it."""
    look = _COLLECTION.get(item_field)
    return (look(response) if look is not None else None) or response.collection_code
