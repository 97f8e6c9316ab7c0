"""Notices to patrons as staff see them (B63, C162)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sip2gw.policy.members.deliveries import masked

if TYPE_CHECKING:
    from datetime import tzinfo

    from sip2gw.model.notices import Channel, KeptNotice

LISTED_KEYS = ("id", "kind", "patron", "channel", "to", "state", "attempts", "created", "sent")
"""The keys of a notice in a list (C162)."""


def notice_json(
    notice: KeptNotice, zone: tzinfo, channel: Channel | None, *, reveal: bool
) -> dict[str, Any]:
    """A notice with the keys of C162, and why it was not sent.

    Args:
        channel: through which those go that were not tried yet.
        reveal: whether to show the whole address.
    """
    to = notice.to if notice.to is None or reveal else masked(notice.to)
    return {
        "id": notice.id,
        "kind": notice.kind,
        "patron": notice.patron_id,
        "channel": notice.channel or channel,
        "to": to,
        "state": notice.state.value,
        "attempts": notice.attempts,
        "created": notice.created.astimezone(zone).isoformat(),
        "sent": notice.sent.astimezone(zone).isoformat() if notice.sent else None,
        "problem": notice.problem,
    }
