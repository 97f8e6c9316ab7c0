"""Asks the library system what became of payments that it did not answer (B75, C59, C156).

What the debts tell for certain is settled; all else waits for staff, who are shown what was seen.
Where a repeated BK is booked once, the 37 itself is asked again. Nothing else goes up twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta, tzinfo

from sip2gw.backend.base import Backend
from sip2gw.backend.system import LibrarySystem, LibrarySystemError
from sip2gw.config.tables.upstream import Account
from sip2gw.foundation.clock import Clock, StepWatch
from sip2gw.model import CardHere, PatronRecord, format_amount
from sip2gw.model.shares import Debts, SentShare
from sip2gw.monitoring.telemetry import Log
from sip2gw.policy.upstream.facts import read_facts, record_of, says_nothing
from sip2gw.policy.upstream.fees import fee_list_of
from sip2gw.policy.upstream.payments import (
    DEAD_AFTER,
    Verdict,
    debts_of,
    likely_verdict,
    receipt_of,
    verdict_of,
)
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.messages import (
    FeePaid,
    FeePaidResponse,
    PatronInformation,
    PatronInformationResponse,
)
from sip2gw.protocol.timestamps import write_timestamp
from sip2gw.shared.payments import Payments

LOOKS_MAX = 50
"""In one go; the others follow in the next."""
LATE = 3
"""No less than so many times the account's time-out."""
LONGEST_WAIT_S = 60.0

Key = tuple[str, int]
"""A share: its payment, and its position there."""


def _key(share: SentShare) -> Key:
    return share.payment_id, share.position


class _Ages:
    """How long ago shares went up. Of what went up before the wall clock was set nobody knows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watch = StepWatch(clock)
        self._since_s: dict[Key, float] = {}
        """When that was noticed, of those for which it matters."""

    def watch(self, keys: Collection[Key]) -> None:
        """Notice whether the clock was set; `keys` are all shares that are out now."""
        is_set, now_s = self._watch.step() != 0.0, self._clock.monotonic()
        known = dict.fromkeys(keys, now_s) | self._since_s if is_set else self._since_s
        self._since_s = {key: since_s for key, since_s in known.items() if key in keys}

    def is_known(self, share: SentShare) -> bool:
        """Whether `of` is right, and not just the least that it can be."""
        return _key(share) not in self._since_s

    def of(self, share: SentShare) -> timedelta:
        """How long ago it went up."""
        since_s = self._since_s.get(_key(share))
        if since_s is None:
            return self._clock.now() - share.sent
        return timedelta(seconds=self._clock.monotonic() - since_s)


class PaymentLooker:
    """Looks whenever the `Settler` does.

    Args:
        accounts: as they are configured now.
        currency: of the site.
        zone: the library's.
    """

    def __init__(
        self,
        backend: Backend,
        library: LibrarySystem,
        payments: Payments,
        accounts: Callable[[], Mapping[str, Account]],
        currency: Callable[[], str],
        zone: Callable[[], tzinfo],
        clock: Clock,
        log: Log,
    ) -> None:
        self._backend = backend
        self._library = library
        self._payments = payments
        self._accounts = accounts
        self._currency = currency
        self._zone = zone
        self._clock = clock
        self._log = log
        self._ages = _Ages(clock)
        self._seen: dict[Key, float] = {}
        """What was looked at and is not certain, or was not answered: when it is looked at again;
        of what is still open only."""
        self._denied: set[str] = set()
        """Payments of which a 37 was asked again and denied: that is not asked a third time."""

    async def look(self) -> tuple[int, bool]:
        """Look at what can be looked at now.

        Returns:
            How many are unknown still, and whether another look may tell more.

        Raises:
            BackendError: our store failed.
        """
        await self._write_down()
        sent = await self._backend.sent_shares()
        self._ages.watch({_key(share) for share in sent})
        going_up = self._payments.ids
        shares = [share for share in sent if share.payment_id not in going_up]
        keys = set(map(_key, shares))
        self._seen = {key: due_s for key, due_s in self._seen.items() if key in keys}
        self._denied &= {payment_id for payment_id, _ in keys}
        settled = 0
        late = [share for share in shares if self._is_late(share)]
        await self._tell_staff(late)
        due = [share for share in late if self._is_due(share)]
        for share in due[:LOOKS_MAX]:
            try:
                settled += await self._look_at(share)
            except LibrarySystemError:
                self._wait(share)
        return len(shares) - settled, len(due) > settled

    async def _write_down(self) -> None:
        """Note in the journal what could not be noted when it was known."""
        for key, known in list(self._payments.unwritten.items()):
            await self._backend.end_share(
                known.payment_id,
                known.position,
                booked=known.booked,
                now=self._clock.instant(),
                texts=known.texts,
            )
            self._payments.unwritten.pop(key, None)

    def _wait(self, share: SentShare) -> None:
        due_s = self._clock.monotonic() + LONGEST_WAIT_S
        self._seen[_key(share)] = due_s

    async def _tell_staff(self, shares: Sequence[SentShare]) -> None:
        """Have it noted, once, that nobody knows what became of `shares`; nobody may be able to
        look for long."""
        untold = [share for share in shares if not share.in_doubt and not share.share.kept]
        for share in untold[:LOOKS_MAX]:
            await self._backend.tell_share(share, None, "")

    def _is_late(self, share: SentShare) -> bool:
        account = self._accounts().get(share.account)
        late_s = 0.0 if account is None or share.share.kept else LATE * account.timeout_s
        return self._ages.of(share) >= max(DEAD_AFTER, timedelta(seconds=late_s))

    def _is_due(self, share: SentShare) -> bool:
        if share.share.kept:
            return True
        if share.account not in self._accounts():
            return False
        if self._library.is_away(share.account):
            return False
        return self._clock.monotonic() >= self._seen.get(_key(share), 0.0)

    async def _look_at(self, share: SentShare) -> bool:
        """Whether it is settled.

        Raises:
            LibrarySystemError: nobody looked.
        """
        # What is booked here is booked in one step, or not at all (C124).
        verdict = Verdict.NOT_BOOKED if share.share.kept else await self._verdict_of(share)
        if verdict is None:
            self._wait(share)
            return False
        await self._backend.end_share(
            share.payment_id,
            share.position,
            booked=verdict is Verdict.BOOKED,
            now=self._clock.instant(),
            settled=True,
        )
        self._log.events.warning(
            "outcome_settled",
            attempt=share.payment_id,
            terminal=share.terminal,
            done=verdict is Verdict.BOOKED,
        )
        return True

    async def _verdict_of(self, share: SentShare) -> Verdict | None:
        """What the library system says that became of it; None, and it is noted what was seen, if
        that is not certain.

        Raises:
            LibrarySystemError: nobody looked.
        """
        account = self._accounts()[share.account]
        if account.guards_bk and share.payment_id not in self._denied:
            if (await self._ask_again(share, account)).payment_accepted:
                return Verdict.BOOKED
            # Either they refuse it, or they have it and say so; their list shows which.
            self._denied.add(share.payment_id)
        after = await self._debts(share, account)
        alone = share.alone and self._ages.is_known(share)
        verdict = verdict_of(share.share, after, alone=alone, late=self._ages.of(share))
        if verdict is Verdict.NOT_BOOKED and self._is_just_back(account):
            verdict = None  # what it had read before it stood still, it may do now
        likely = likely_verdict(share.share, after) if share.alone else None
        await self._backend.tell_share(share, after.balance, verdict or likely or "")
        return verdict

    def _is_just_back(self, account: Account) -> bool:
        silent_at = self._library.silent_at(account.name)
        rest_s = LATE * account.timeout_s
        return silent_at is not None and self._clock.monotonic() - silent_at < rest_s

    async def _ask_again(self, share: SentShare, account: Account) -> FeePaidResponse:
        """The same 37 once more: they know its BK, and do not book it twice (`guards_bk`)."""
        owed = share.share
        bk = receipt_of(share.bk, share.payment_id, share.position, guarded=True)
        request = FeePaid(
            # Of the first one: by another date it could be another payment there.
            transaction_date=write_timestamp(
                (share.transacted or share.sent).astimezone(self._zone()), account.date_zone
            ),
            payment_type=share.payment_type,
            currency_type=share.currency,
            fee_amount=format_amount(owed.amount, share.currency),
            institution_id=account.institution,
            patron_identifier=owed.card,
            fee_identifier=owed.fee_id or None,
            transaction_id=bk,
        )
        answer = await self._library.ask(share.account, share.terminal, request)
        assert isinstance(answer, FeePaidResponse)
        return answer

    async def _debts(self, share: SentShare, account: Account) -> Debts:
        """What the debtor owes now."""
        request = PatronInformation(
            transaction_date=write_timestamp(self._clock.now()),
            summary=frozenset({fee_list_of(account.facts)}),
            institution_id=account.institution,
            patron_identifier=share.share.card,
        )
        answer = await self._library.ask(share.account, share.terminal, request)
        assert isinstance(answer, PatronInformationResponse)
        if says_nothing(answer, with_pin=False):
            return Debts()
        text = text_encoding(account.encoding, keeps=True)
        facts = read_facts(answer, account.facts, self._currency(), text.decode)
        record: PatronRecord = record_of(facts, share.share.card, CardHere(), None)
        return debts_of(record, is_whole=len(facts.lines) >= answer.fine_items_count)
