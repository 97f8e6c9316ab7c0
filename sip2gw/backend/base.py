"""The port: what the gateway asks of whatever keeps the library's data.

Every backend inherits the one contract suite in `tests/backend`. Methods are coroutines; one that
needs no waiting (SQLite reads) returns without suspending, and the gateway then answers in the
same loop turn. What a backend cannot do is missing from its `capabilities`, and never asked of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from msgspec import Struct, field

from sip2gw.backend.attempts import (
    DoubtfulSending,
    Settlement,
    UnknownAttempt,
    UnknownSending,
)
from sip2gw.backend.ids import new_id
from sip2gw.model import (
    AccessRow,
    Block,
    CalendarChange,
    CardHere,
    FailedPins,
    Membership,
    Minor,
    PaidFee,
    PatronRecord,
    Payment,
    Presence,
)
from sip2gw.model.items import ItemRecord, Outcome
from sip2gw.model.journal import JournalEntry, Kept
from sip2gw.model.refusals import RefusedPayment
from sip2gw.model.shares import Debts, PendingFee, SentShare, Share
from sip2gw.policy.items.cases import CirculationCase
from sip2gw.policy.items.decisions import Refusal
from sip2gw.policy.items.offline import Claim
from sip2gw.policy.money.payments import PaymentCase, PaymentFacts
from sip2gw.policy.money.receipts import Receipt, ReceiptRules
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.protocol.structs import Discreet, Hidden
from sip2gw.texts.payments import PaymentTexts

Role = Literal["daemon", "command"]
"""Who works on a store: a gateway, which is alone on a SQLite store, or a command beside it."""

Access = Literal["read", "note", "rehearse", "write", "make"]
"""What the one who opens a store may do to it (C135).

`read` changes nothing, not even a byte of the files. `note` writes the audit log, and nothing else
(B83). `rehearse` changes nothing, but may stage rows
in temporary tables. `write` also brings an older store up to date. `make` also makes a new one.
"""


class BackendError(Exception):
    """The backend failed; `kind` is the metric label of C74. Never carries patron data."""

    kind = "bug"
    of_store = True
    """Whether the store has failed; not so when it was the library system behind the gateway."""
    problem = ""
    """What is wrong and what to do, where that is known."""


class UnavailableError(BackendError):
    """The store cannot be reached or is closed; nothing was changed, and nothing will be."""

    kind = "unavailable"


class BackendTimeoutError(BackendError):
    """No answer within the deadline; nothing was changed, and nothing will be."""

    kind = "timeout"


class OutcomeUnknownError(BackendError):
    """A write was begun, and may or may not be done, or become done (C98).

    Raised only after the attempt was noted as unknown, in the store or in its spool. Every other
    `BackendError` of a write means: certainly not done, and never will be.
    """

    kind = "timeout"


class HungUpError(asyncio.CancelledError):
    """Cancels a request whose terminal has hung up: it got no answer and will get none.

    Work that has begun runs to its end, and the terminal's retry finds the result; nothing is noted
    as unknown. Other work is not begun.
    """


class RefusedError(BackendError):
    """Staff asked for something that is not allowed; the text says why. Nothing was changed."""

    kind = "conflict"


class NotFoundError(RefusedError):
    """Staff asked for something that is not there."""


class ChangedError(RefusedError):
    """Somebody else has changed in the meantime what staff wanted to change."""


def insist_unchanged(seen: object, known: object) -> None:
    """Go on only if what is `known` now is what was `seen`, or nobody says what that was.

    Raises:
        ChangedError: it is not.
    """
    if seen is not None and seen != known:
        raise ChangedError("somebody has changed it in the meantime; look at it again")


class Capability(StrEnum):
    """What a backend can do; decides BX and the flags of 98 together with the profile (B13)."""

    PATRONS = "patrons"
    PAYMENTS = "payments"
    BLOCKS = "blocks"
    CIRCULATION = "circulation"


class PaymentOrder(Discreet, Struct):
    """What a terminal asks us to book, and the key under which it is booked once (B46, C4)."""

    terminal: str
    key: str
    """Identifies the request among those of `terminal`: the BK, or what stands in for it."""
    content: str
    """What a retry must repeat exactly: patron, amount, currency, type, CG, ZD (C4)."""
    payer_id: str
    amount: Minor
    currency: str
    payment_type: str
    bk: str
    now: datetime
    key_expires: datetime
    case: Hidden[PaymentCase]
    """What else is asked for, and by which rules it is decided."""
    texts: PaymentTexts
    """What is said, now and to every retry, when it is booked."""
    card: Hidden[str] = ""
    """The payer's card as scanned (B21); a retry may come with another."""
    account: str = ""
    """The ledger account against which the fees are settled; empty: the terminal's till for
    the payment type (C71)."""
    seen: Hidden[PaymentFacts | None] = None
    """What `find_payer` told: saves reading it again where that takes a round trip."""
    transacted: datetime | None = None
    """The transaction date of the message; None without a readable one (C105)."""
    receipts: ReceiptRules = field(default_factory=ReceiptRules)
    """How the terminal numbers its receipts, for a key that is taken (C105)."""
    payer_is_ours: bool = False
    """Of what goes up to a library system: whether the store knows the payer, who need not be added
    then. Should they have gone meanwhile, the store refuses the payment."""
    asked: datetime | None = None
    """Of what goes up to a library system: the instant before that was asked what is owed. What was
    booked for others since then is not in its answer (C60)."""
    id: str = field(default_factory=new_id)
    """Of this attempt, and of the payment if it is booked, however often the store tries (C98)."""


class PaymentOutcome(StrEnum):
    """The result of an order to pay."""

    BOOKED = "booked"
    REPLAYED = "replayed"
    """It was booked before, and gets the first payment again."""
    REFUSED = "refused"


class PaymentResult(Struct):
    """The result of an order: a payment, unless it was refused."""

    outcome: PaymentOutcome
    payment: Payment | None = None
    refusal: PaymentRefusalReason | None = None


class SingleShare(Struct, frozen=True):
    """What is known of a payment of one share, as nearly all are, before it goes up."""

    account: str
    """At the library system."""
    till: str
    payment: Payment
    """As it is when it is booked, with our texts."""


class Begun(Struct, frozen=True):
    """A payment whose shares may go up: the first of them is noted as sent (B75)."""

    payment_id: str
    shares: tuple[tuple[int, Share], ...]
    """With their positions, in the order in which they go up."""
    single: SingleShare | None = None
    """Of a new payment of one share, which goes up: with it `end_share` need not read anything."""

    @property
    def stays_here(self) -> bool:
        """Whether we book it ourselves."""
        return self.shares[0][1].kept is not None


class CirculationOrder(Struct):
    """What a terminal asks us to do with one item (B56-B61)."""

    code: str
    """Of the request: 11, 09, 29, 65, 15 or 19."""
    terminal: str
    item_id: str
    patron_id: str | None
    """Who asks; None when nobody does (09, 19) or the card is unknown."""
    now: datetime
    case: CirculationCase
    """What else is asked, and by which rules it is decided."""
    key: str | None = None
    """Under which it is done once (C69, C88); None does it each time."""
    key_expires: datetime | None = None
    claim: Claim | None = None
    """That it has happened already, as the terminal says: a person is to look at it, at least if
    it is refused (B57, C106)."""
    unknown_card: str = ""
    """The card as scanned if nobody has it: how else would that person find the item?"""
    unknown_item: str = ""
    """The item as it may be shown if there is none of that number; empty: as it is."""
    with_borrower: bool = False
    """Whether the facts must hold who has the item on loan."""
    borrowed_since: datetime | None = None
    """The facts must hold whether the patron had it since then; None: nobody looks."""
    keeps_history: bool = False
    """Whether it is remembered whose loan ends."""
    id: str = field(default_factory=new_id)
    """Of this attempt, however often the store tries (C98)."""


class CirculationOutcome(StrEnum):
    """The result of an order to do something with an item."""

    DONE = "done"
    REPLAYED = "replayed"
    """It was done before, and is still so: the same is told again (C97)."""
    REFUSED = "refused"


class CirculationResult(Struct):
    """The result of an order: something was done, unless it was refused."""

    outcome: CirculationOutcome
    record: ItemRecord | None
    """The item as it was found; None for an unknown one."""
    done: Outcome | None = None
    refusal: Refusal | None = None


class EntryOrder(Discreet, Struct, frozen=True):
    """A patron at a door who has passed all other checks (C10)."""

    branch: str
    passage: Hidden[str]
    """The door and the card: the same again within the window is one passage (B41)."""
    patron_id: Hidden[str]
    now: datetime
    stay_ends: datetime
    """When the stay ends by itself."""
    same_since: datetime
    """An entry by the same `passage` after this moment and before `same_until` is this same one."""
    same_until: datetime
    """Later than `now`, for the clock that told of the first reading may have been ahead."""
    capacity: int
    """People inside at most; 0 is no limit."""
    refuse_inside: bool
    """Whether who is inside must go out before entering again."""


class Backend(Protocol):
    """The library system behind the gateway."""

    capabilities: frozenset[Capability]

    async def find_by_card(self, number: str) -> PatronRecord | None:
        """The holder of card `number` (any state, a replaced one too), or None."""
        ...

    async def find_here(self, number: str) -> CardHere:
        """What our store says of card `number` in front of a library system. One look-up.

        Gives the same holder again only if nothing has changed that it says of them, definitions of
        memberships included.
        """
        ...

    async def find_patron(self, patron_id: str) -> PatronRecord | None:
        """The patron whose main card is `patron_id`, or None."""
        ...

    async def find_patrons(self, patron_ids: Collection[str]) -> list[PatronRecord]:
        """The patrons with these ids, by id; unknown ones are left out. One look-up for all."""
        ...

    async def find_payer(self, number: str) -> PaymentFacts | None:
        """The holder of card `number`, who wants to pay, and whom they might pay for; or None.

        These records include the cards.
        """
        ...

    async def record_pin_failure(
        self, patron_id: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """Count a wrong PIN of the patron, durably; an expired lock starts a new count (C19, C81).

        Returns:
            How many there are now; with `failures_max` of them the PIN is locked. None when it was
            locked already, and for an unknown patron: nothing was counted.
        """
        ...

    async def clear_pin_failures(self, patron_id: str) -> None:
        """Forget the failures of the patron after a right PIN."""
        ...

    async def replace_pin_hash(self, patron_id: str, old: str, new: str) -> None:
        """Put another hash of the same PIN in the place of `old`, if it is still there."""
        ...

    async def failed_pins(self, numbers: Sequence[str]) -> Sequence[FailedPins]:
        """The wrong PINs counted by `record_guess`, in the order of `numbers`."""
        ...

    async def record_guess(
        self, number: str, now: datetime, failures_max: int, lock_until: datetime
    ) -> int | None:
        """Like `record_pin_failure`, for a card of a library system behind the gateway (B74).

        The store need not know the card, keeps no more than a keyed digest of its number, and
        forgets the count a day after the lock.
        """
        ...

    async def return_guess(self, number: str) -> None:
        """Count one guess less, and end its lock: it was counted first, and then not judged."""
        ...

    async def clear_guesses(self, number: str) -> None:
        """Forget what `record_guess` has counted, after a right PIN."""
        ...

    async def join_guesses(self, number: str, other: str) -> None:
        """Note that two numbers at which `record_guess` has counted are one patron's, until both
        counts are forgotten."""
        ...

    async def clear_all_guesses(self, number: str) -> None:
        """Forget what `record_guess` has counted at `number`, and at all that were joined with it:
        staff end the lock of a patron, whatever number they name."""
        ...

    async def find_membership(self, code: str) -> Membership | None:
        """The definition of a membership as decisions need it, or None."""
        ...

    async def book_payment(self, order: PaymentOrder) -> PaymentResult:
        """Book `order` exactly once, durably before it returns (B46).

        Inside one write transaction: of an order whose key is taken and not expired
        `policy.money.receipts` says whether it gets the first payment again (`replayed`), is
        refused (`bk_reused`, `bk_another_day`) or takes the key over; in the end facts are read,
        the order's case is decided on them, and the plan is written to the ledger. It may be
        decided again when the facts have changed before they could be written on.

        If cancelled, it finds out whether the booking was begun: if not, the booking is dropped; if
        so, it is noted as unknown (except for `HungUpError`). If an attempt under the same key is
        unknown, that is settled first; as long as this is not possible, the same content gets
        `OutcomeUnknownError` again, other content a refusal (`bk_reused`).

        Raises:
            OutcomeUnknownError: it was begun, and nobody knows what becomes of it (C98).
            BackendError: it was not booked, and will not be.
        """
        ...

    def begin_shares(
        self,
        order: PaymentOrder,
        account: str,
        plan: Sequence[Share] | PaymentRefusalReason,
        texts: Sequence[str],
        debts: Mapping[str, Debts],
        pending: Mapping[str, Collection[str]] | None = None,
    ) -> Awaitable[Begun | PaymentResult]:
        """Note, durably before this returns, that `order` goes up to a library system (B75), or
        that its shares are about to be booked here, if they are kept (`book_kept`, C124).

        The payment that has the order's key comes before any refusal: it is `replayed`; or what an
        earlier try has left of it may go up now; or, while nobody knows what became of it, the
        refusal is `unknown_outcome`. All gateways on one store see the same. Otherwise it is
        refused if other payments leave too little of what the debtors owe (`refusal_beside`): those
        that are under way, whose outcome is unknown, or that were booked after `order.asked`.

        Args:
            order: what is to be paid; its case is not looked at.
            account: at the library system.
            plan: the shares with what is owed right before each, or why there are none.
            texts: what is said when it is booked.
            debts: what each debtor owes now, by their id, for what an earlier try has left.
            pending: of kept shares the ids of `pending_fees` that the plan is made on, by debtor;
                if there are others now, the refusal is `system`.

        Raises:
            BackendError: nothing may go up.
        """
        ...

    def note_paid(self, order: PaymentOrder, payment_id: str) -> None:
        """Remember for a while that the payment of this id is booked, as `order` says: a retry that
        comes while the store is away must not be told no (see `has_open_attempt`)."""
        ...

    async def book_kept(self, payment_id: str, now: datetime) -> Payment:
        """Book, durably, all kept shares of a payment that was begun, unless that was settled
        otherwise before; gives the payment as it is now.

        Raises:
            BackendError: it is not booked, and nobody knows but who was told here.
        """
        ...

    async def pending_fees(self, debtor_id: str) -> Sequence[PendingFee]:
        """What was paid for a patron here that the library system was not told yet (C124)."""
        ...

    def end_share(
        self,
        payment_id: str,
        position: int,
        *,
        booked: bool,
        now: datetime,
        texts: Sequence[str] = (),
        then: tuple[int, Share] | None = None,
        settled: bool = False,
        single: SingleShare | None = None,
    ) -> Awaitable[Payment]:
        """Note, durably, how a share ended, unless that was noted before; a booked one is in the
        ledger then.

        Args:
            payment_id: the payment.
            position: of the share.
            booked: whether the library system has booked it; else it has not, and never will.
            now: when it ended.
            texts: what the library system says to it; empty leaves ours.
            then: the share that goes up next: it is noted as sent.
            settled: whether somebody had to look what became of it.
            single: see `Begun.single`.

        Returns:
            The payment as it is now: `booked` when all shares are, `refused` when none is.
        """
        ...

    async def sent_shares(self) -> Sequence[SentShare]:
        """What went up and nobody knows of yet, by any gateway; oldest first."""
        ...

    async def tell_share(self, share: SentShare, owed: Minor | None, proposal: str) -> None:
        """Note for staff what was seen of a share that nobody can settle for certain."""
        ...

    async def payment_under(
        self, terminal: str, key: str, now: datetime
    ) -> tuple[Receipt, Payment] | None:
        """The payment that has this key, with what tells a retry from another payment (C105); None
        if there is none, or the key has expired by `now` (C5). While nobody knows what became of
        it, it does not (C98)."""
        ...

    async def paid_fees(
        self, patron_id: str, since: datetime, payer_id: str | None = None
    ) -> tuple[PaidFee, ...]:
        """The patron's fees of which something is paid, and how much, oldest first, then by id.

        Args:
            patron_id: who owes or owed them.
            since: leaves out fees for which nothing was paid since then; older payments count.
            payer_id: count only what this patron paid; None: all that was paid, even before the fee
                came to us.
        """
        ...

    async def fees_settled_by(self, payment_id: str) -> tuple[PaidFee, ...]:
        """What each line of a payment paid, in its order, always the same.

        `fee.owed` is what was left right after the payment, whatever happened later.
        """
        ...

    async def find_item(self, item_id: str, now: datetime) -> ItemRecord | None:
        """The item with its loan and the first hold that it could serve at `now`, or None."""
        ...

    async def copy_of_title(self, title_id: str) -> str | None:
        """The id of some copy of the title, one for loan if there is any, or None."""
        ...

    async def hold_queue(self, record: ItemRecord, now: datetime) -> tuple[str, ...]:
        """The holds that wait, at `now`, for this item or any copy of its title; first come."""
        ...

    async def circulate(self, order: CirculationOrder) -> CirculationResult:
        """Do what `order` asks, durably before it returns (B61).

        Inside one write transaction: if the order's key is known and has not expired, the first
        result is returned again (`replayed`); otherwise facts are read, the order's case is decided
        on them, and the effect is written. If cancelled, it behaves like `book_payment`.

        Raises:
            OutcomeUnknownError: it was begun, and nobody knows what becomes of it (C98).
            BackendError: nothing was done, and nothing will be.
        """
        ...

    async def would_circulate(self, order: CirculationOrder) -> CirculationResult:
        """What `circulate` would answer now, decided on the same facts; nothing is written (B70).

        Raises:
            BackendError: the facts cannot be read.
        """
        ...

    async def has_open_attempt(self, is_meant: Callable[[UnknownAttempt], bool]) -> bool:
        """Whether an attempt that `is_meant` recognises was done, or may turn out to be (C98).

        For a request that fails before it has become an order: it may repeat such an attempt, and
        then a plain no would be wrong. Only this gateway's attempts are searched. An attempt that
        was not noted yet is noted now, because the terminal will be told "not sure". This asks no
        store, so it never fails.
        """
        ...

    async def unknown_attempts(self) -> Sequence[UnknownAttempt]:
        """All attempts that are not settled yet, oldest first, even those of other gateways.

        They include those in the spool, so this works even without a store.

        Raises:
            BackendError: the store cannot be read, and nothing lies in the spool.
        """
        ...

    async def settle(
        self, attempts: Iterable[UnknownAttempt], now: datetime
    ) -> Sequence[Settlement]:
        """Find out how `attempts` ended, fence those that were not done, note the result.

        Settling again gives the same result. Several gateways may do it at once.

        Returns:
            Those that could be settled; the others stay unknown, and must be tried again.

        Raises:
            BackendError: nothing could be settled.
        """
        ...

    async def begin_sending(self, sending: UnknownSending) -> None:
        """Write down, durably before this returns, what is about to go up to a library system.

        It is among the `unknown_attempts` if this process ends before `end_sending`.

        Raises:
            UnavailableError: it could not be written down, so it must not go up.
        """
        ...

    async def note_sending(self, sending: UnknownSending) -> None:
        """Nobody knows what became of `sending`: from now on it is one of `unknown_attempts`."""
        ...

    def end_sending(self, sending: UnknownSending) -> None:
        """It is known what became of `sending`: forget it. Nobody waits for the disk."""
        ...

    async def settle_sending(
        self, sending: UnknownSending, outcome: str, seen: Sequence[str] = ()
    ) -> None:
        """Note for review, durably, what a look at the library system told of `sending`.

        Args:
            sending: it ceases to be one of `unknown_attempts`.
            outcome: `done`, `refused` (not done) or `unknown`.
            seen: words that say why; none: nobody has looked yet.

        Raises:
            BackendError: nothing was noted.
        """
        ...

    async def doubtful_sendings(self, done_since: datetime) -> Sequence[DoubtfulSending]:
        """What `settle_sending` noted as `unknown` and nobody has closed, of all gateways; oldest
        first. Also what was sent after `done_since` and found to be done.

        Raises:
            BackendError: the store cannot be read.
        """
        ...

    async def add_to_journal(self, entry: JournalEntry) -> Kept:
        """Write down, durably before this returns, what was taken off line (B77, C125).

        A request that repeats the last one about its item is not written again.

        Raises:
            BackendError: it was not written.
        """
        ...

    async def journalled(self, item_id: str) -> JournalEntry | None:
        """The last that was taken off line about an item and has not gone up yet, whichever
        gateway took it; None when everything has.

        Raises:
            BackendError: the store cannot be read.
        """
        ...

    async def set_block(
        self, patron_id: str, block: Block, *, terminal: str = "", card: str = ""
    ) -> None:
        """Add `block`, replacing one of the same type and source.

        Args:
            patron_id: who is blocked.
            block: of which `source` says who set it.
            terminal: the one that blocked `card` with a 01. Staff have to follow it up, so the
                store remembers both until they are told (B64); empty: nobody need be told.
            card: as scanned.
        """
        ...

    async def lift_blocks(self, patron_id: str, sources: frozenset[str]) -> int:
        """Remove the blocks set by `sources`; returns how many (C41)."""
        ...

    def keep_refused_payment(self, refused: RefusedPayment) -> asyncio.Future[None] | None:
        """Keep a refused 37 for staff, at most 1,000 for each terminal and day (C104).

        It waits in memory until the store takes it, even after a failure.

        Returns:
            What is done when it was written or could not be for now, and never raises; None
            when there is nothing to wait for, because it is only counted.
        """
        ...

    async def known_logins(self) -> Mapping[str, str]:
        """The digests of logins that were good, by login (C100)."""
        ...

    async def remember_logins(self, digests: Mapping[str, str]) -> None:
        """Keep these digests, durably, instead of what was kept for the same logins."""
        ...

    async def calendar_changes(self, until: datetime | None = None) -> Sequence[CalendarChange]:
        """The last change of each branch's hours by staff, even one that has ended (C139).

        Args:
            until: leaves out what was changed later.
        """
        ...

    def log_access(self, row: AccessRow) -> None:
        """Queue a door decision; written within one second, never waited for (C65)."""
        ...

    def note_activity(self, patron_id: str, now: datetime) -> None:
        """Note the day on which the patron was active; written a second later, never waited for.

        For loans, returns, renewals, payments and PINs that were right (C161); a granted passage
        is noted by `log_access`.
        """
        ...

    async def enter_branch(self, order: EntryOrder) -> Presence:
        """Note that the patron is inside, unless `policy.access.has_room` says no.

        Looking and noting are one step for all gateways: if two ask for the last place, one gets
        it. Asking twice for the same passage counts once, and the time of the first counts.

        Returns:
            Who was inside before.
        """
        ...

    async def presence(self, order: EntryOrder) -> Presence:
        """Who is inside now; like `enter_branch`, but nothing is noted."""
        ...

    async def leave_branch(self, branch: str, patron_id: str) -> None:
        """The patron has gone out; ignored if they were not inside."""
        ...

    async def take_back(self, order: EntryOrder) -> None:
        """The stay that began with `order`, if it did, is none: nobody was let in.

        One that began with an earlier or a later reading of the card goes on.
        """
        ...

    async def move_stays(self, branch: str, since: datetime, ends: datetime) -> None:
        """All stays at `branch` that had not ended at `since` end by themselves at `ends`."""
        ...

    async def leave_by_passage(self, branch: str, passage: str) -> None:
        """Whoever came in by that `EntryOrder.passage` has gone out; ignored if nobody did."""
        ...

    async def look(self) -> None:
        """Look, quickly and without reading or writing, whether it is what was opened (C109).

        Raises:
            UnavailableError: it is gone, or something else has taken its place.
        """
        ...

    async def ping(self) -> None:
        """Prove that reads and writes are possible.

        Raises:
            BackendError: they are not.
        """
        ...

    async def close(self) -> None:
        """Write what is queued and let go of everything."""
        ...
