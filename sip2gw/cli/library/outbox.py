"""`outbox …`: notices to patrons (B63, C162)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sip2gw.cli.common import (
    ConfigOption,
    CsvOption,
    JsonOption,
    configured,
    opened_store,
    run,
    say,
    write_listing,
)
from sip2gw.cli.failures import FAILED, saying_when_stopped
from sip2gw.foundation.words import counted
from sip2gw.staff.outbox import NoticeJson, find_channel, notice_json

if TYPE_CHECKING:
    from sip2gw.backend.library import Library
    from sip2gw.config import Config
    from sip2gw.model.notices import NoticeState
    from sip2gw.staff.delivery.channel import DeliveryChannel

outbox = typer.Typer(no_args_is_help=True)

_COLUMNS = (*NoticeJson.__annotations__, "problem")


@outbox.callback()
def _outbox() -> None:
    pass


@outbox.command("list")
def list_notices(
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the whole addresses.")] = False,
    json: JsonOption = False,
    csv: CsvOption = False,
    config: ConfigOption = None,
) -> None:
    """List the notices to patrons, oldest first.

    `waiting` is to be sent, for the first time or again. `sent` was handed over. `failed` was not
    taken for `outbox.retry_max_h`. `undeliverable` has no address to go to. A notice that was sent
    or given up is forgotten after `privacy.outbox_days`.
    """
    settings = configured(config)
    channel = settings.outbox.channel
    with opened_store(settings) as store:
        told: Iterable[dict[str, Any]] = (
            {**notice_json(notice, settings.zone, channel, reveal=reveal)}
            | ({} if json else {"problem": notice.problem})
            for notice in store.notices()
        )
        write_listing(
            told,
            _COLUMNS,
            json,
            csv=csv,
            times=("created", "sent"),
            zone=settings.institution.timezone,
        )


@outbox.command()
def send(
    again: Annotated[
        bool, typer.Option("--again", help="Also those that failed or had no address.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Deliver the notices that wait, now and each once.

    Those that the gateway would try again later are tried, too. A gateway may be running; it and
    this command never deliver the same notice. The status is 1 if a notice was not taken.
    """
    settings = configured(config)
    channel = find_channel(settings)
    with opened_store(settings) as store, saying_when_stopped(lambda: _LEFT):
        done = run(_send(store, channel, settings, again=again))
    _sum_up(done)


_LEFT = (
    "what was handed over is noted as sent, the rest waits; `outbox list` shows both, and the"
    " gateway or this command sends the rest"
)


async def _send(
    store: Library, channel: DeliveryChannel, settings: Config, *, again: bool
) -> Counter[NoticeState]:
    from datetime import UTC, datetime

    from sip2gw.model.notices import NoticeState
    from sip2gw.staff.delivery.courier import Courier

    if again:
        await store.try_notices_again(datetime.now(UTC))
    done: Counter[NoticeState] = Counter()
    async for delivery, result in Courier(store, channel, settings).run(only_due=False):
        done[result.state] += 1
        if result.state is NoticeState.SENT:
            continue
        then = ""
        if result.next_try is not None:
            then = f"; to be tried again after {result.next_try.astimezone(settings.zone):%H:%M}"
        say(f"sip2gw: {delivery.kind} {delivery.id}: {result.problem}{then}")
    return done


def _sum_up(done: Counter[NoticeState]) -> None:
    from sip2gw.model.notices import NoticeState

    later, failed = done[NoticeState.WAITING], done[NoticeState.FAILED]
    parts = (
        (done[NoticeState.SENT], "sent"),
        (later, "to be tried again"),
        (failed, "failed"),
        (done[NoticeState.UNDELIVERABLE], "without an address"),
    )
    told = ", ".join(f"{number} {what}" for number, what in parts if number)
    say(f"sip2gw: {counted(done.total(), 'notice')}{': ' if told else ''}{told}")
    if later or failed:
        raise typer.Exit(FAILED)
