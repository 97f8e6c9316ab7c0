"""Notices to patrons as staff see them (B63, C162)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from sip2gw.policy.members.deliveries import masked
from sip2gw.staff.documents import Person

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model.notices import Channel, KeptNotice, NoticeState
    from sip2gw.staff.delivery.channel import DeliveryChannel
    from sip2gw.staff.delivery.courier import Courier


class NoticeJson(TypedDict):
    """A notice to a patron, as it is listed (C162)."""

    id: str
    kind: str
    patron: Person
    channel: str | None
    to: Person
    state: str
    attempts: int
    created: str
    sent: str | None


class SentJson(TypedDict):
    """What became of the notices that were to be sent."""

    sent: int
    waiting: int
    """Not taken; to be tried again."""
    failed: int
    undeliverable: int
    """Without an address."""
    under_way: bool
    """Whether the gateway sends the rest: it takes longer than a request may."""


def notice_json(
    notice: KeptNotice, zone: tzinfo, channel: Channel | None, *, reveal: bool
) -> NoticeJson:
    """A notice with the keys of C162.

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
    }


def find_channel(config: Config) -> DeliveryChannel:
    """The way in which notices are delivered; reads files.

    Raises:
        RefusedError: none is configured.
    """
    from sip2gw.backend.base import RefusedError
    from sip2gw.staff.delivery.courier import open_channel

    channel = open_channel(config)
    if channel is None:
        raise RefusedError(
            "no way to deliver notices is configured; set outbox.smtp or outbox.webhook"
        )
    return channel


async def send_within(
    store: Library,
    config: Config,
    channel: DeliveryChannel,
    now: datetime,
    *,
    again: bool,
    within_s: float,
) -> SentJson:
    """Deliver the notices that wait, as many as can be delivered in that time.

    An attempt that has begun is not broken off, or nobody would know whether the other side took
    the notice: it ends beside whoever called.
    """
    from sip2gw.model.notices import NoticeState
    from sip2gw.staff.delivery.courier import Courier

    if again:
        await store.try_notices_again(now)
    courier, done = Courier(store, channel, config), Counter[NoticeState]()
    delivering = asyncio.create_task(_deliver(courier, done))
    _DELIVERING.add(delivering)
    delivering.add_done_callback(_DELIVERING.discard)
    await asyncio.wait({delivering}, timeout=within_s)
    if ended := delivering.done():
        delivering.result()
    courier.stop()
    return {
        "sent": done[NoticeState.SENT],
        "waiting": done[NoticeState.WAITING],
        "failed": done[NoticeState.FAILED],
        "undeliverable": done[NoticeState.UNDELIVERABLE],
        "under_way": not ended,
    }


_DELIVERING: set[asyncio.Task[None]] = set()
"""What has begun and nobody waits for any more; a loop by itself keeps no task."""


async def _deliver(courier: Courier, done: Counter[NoticeState]) -> None:
    async for _, result in courier.run(only_due=False):
        done[result.state] += 1
