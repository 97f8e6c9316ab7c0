"""Taking notices out of the outbox one after the other, until none is left or nobody takes them.

Any number of processes may do so on one store. Each notice is handed over once, but for one case: a
process that ends after the other side took the notice and before this is noted. Then it is handed
over again, under the same Message-ID.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

from sip2gw.backend.base import BackendError
from sip2gw.backend.library import Library
from sip2gw.backend.sql.members.outbox import Claim
from sip2gw.config import Config
from sip2gw.model.notices import (
    Channel,
    Delivery,
    NoticeState,
    Result,
)
from sip2gw.policy.members.deliveries import is_address, next_try
from sip2gw.staff.delivery.channel import DeliveryChannel, Letter, NotTakenError
from sip2gw.texts.notices import BUILT_IN, Template, write_notice

NOTE_AGAIN_AFTER_S = 1.0
NOTE_TRIES = 120
"""What was handed over is noted, even if the store fails for so long: else it would be handed over
again."""


def open_channel(config: Config) -> DeliveryChannel | None:
    """The channel that `[outbox]` names, or None; reads files, so call it in a thread."""
    outbox = config.outbox
    if outbox.channel is Channel.EMAIL:
        from sip2gw.staff.delivery.mail import Mail, MailSettings

        password = config.smtp_password
        return Mail(
            MailSettings(
                outbox.server,
                outbox.smtp_tls,
                outbox.smtp_login,
                password.get_secret_value() if password is not None else None,
                outbox.from_whom,
            )
        )
    if outbox.channel is Channel.WEBHOOK:
        from sip2gw.staff.delivery.webhook import Webhook

        token = config.webhook_token
        return Webhook(outbox.url, token.get_secret_value() if token is not None else None)
    return None


class Courier:
    """Delivers the notices of one store through one channel.

    Args:
        config: of the library; its words and its patience.
        now: the clock.
    """

    def __init__(
        self,
        store: Library,
        channel: DeliveryChannel,
        config: Config,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._channel = channel
        self._config = config
        self._now = now
        self._stopped = False

    def stop(self) -> None:
        """Take no more notices."""
        self._stopped = True

    async def run(self, *, only_due: bool) -> AsyncIterator[tuple[Delivery, Result]]:
        """Deliver each notice that waits, or only those that are due now, once.

        Ends early when the other side takes nothing any more.

        Raises:
            BackendError: the store failed.
        """
        claim = Claim(self._channel.kind, self._channel.domain, self._now(), only_due)
        reachable = True
        while reachable and not self._stopped:
            delivery = await self._store.take_notice(claim, self._now())
            if delivery is None:
                return
            result, reachable = await self._attempt(delivery)
            await self._note(delivery, result)
            yield delivery, result

    async def _attempt(self, delivery: Delivery) -> tuple[Result, bool]:
        """What became of it, and whether to go on with others."""
        if not delivery.known:
            return Result(NoticeState.UNDELIVERABLE, "the patron is gone"), True
        address = (delivery.email or "").strip()
        to = address if is_address(address) else None
        if to is None and self._channel.kind is Channel.EMAIL:
            what = "is not one that can be used" if address else "is missing"
            return Result(NoticeState.UNDELIVERABLE, f"the e-mail address {what}"), True
        try:
            letter = self._letter(delivery, to)
        except (ValueError, KeyError):
            return Result(NoticeState.FAILED, "its values cannot be read"), True
        try:
            await self._channel.deliver(letter)
        except NotTakenError as error:
            return self._not_taken(delivery, str(error)), error.reachable
        except Exception as error:  # one notice must not keep all others from being delivered
            return self._not_taken(delivery, f"a fault of ours: {type(error).__name__}"), True
        return Result(NoticeState.SENT, to=to), True

    def _letter(self, delivery: Delivery, to: str | None) -> Letter:
        institution = self._config.institution
        asked = delivery.language
        language = asked if asked is not None and asked in BUILT_IN else institution.language
        subject, text = write_notice(
            self._template(delivery.kind, language),
            delivery.values,
            name=delivery.name,
            library=institution.name or institution.id,
            currency=institution.currency,
            language=language,
        )
        return Letter(
            id=delivery.id,
            kind=delivery.kind,
            patron_id=delivery.patron_id,
            to=to,
            language=language,
            subject=subject,
            text=text,
            values=delivery.values,
            created=delivery.created,
            message_id=delivery.message_id,
        )

    def _template(self, kind: str, language: str) -> Template:
        known = BUILT_IN[language][kind]
        own = self._config.outbox.own_text(kind, language)
        if own is None:
            return known
        return Template(own.subject or known.subject, own.text or known.text)

    def _not_taken(self, delivery: Delivery, problem: str) -> Result:
        longest = timedelta(hours=self._config.outbox.retry_max_h)
        later = next_try(delivery.attempts, delivery.first_try, self._now(), longest)
        state = NoticeState.FAILED if later is None else NoticeState.WAITING
        return Result(state, problem, next_try=later)

    async def _note(self, delivery: Delivery, result: Result) -> None:
        for _ in range(NOTE_TRIES):
            try:
                await self._store.note_delivery(delivery, result, self._now())
            except BackendError:
                await asyncio.sleep(NOTE_AGAIN_AFTER_S)
            else:
                return
        await self._store.note_delivery(delivery, result, self._now())
