"""The journal of payments that go up to a library system, on both stores (B75, B76, C98, C156)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace
from orders import saying
from postgres import Server

from sip2gw.backend.base import BackendError, Begun, PaymentOrder, PaymentOutcome, PaymentResult
from sip2gw.backend.library import Library
from sip2gw.backend.postgres.address import Address
from sip2gw.backend.sql.migrate import migrate
from sip2gw.backend.sql.money import shares
from sip2gw.backend.sql.money.unknown import attempt_of
from sip2gw.backend.sqlite.database import memory
from sip2gw.model import Payment, PaymentLine
from sip2gw.model.shares import Debts, Kept, Share
from sip2gw.policy.desk.support import OpeningDays
from sip2gw.policy.reasons import PaymentRefusalReason

from .library import NOW, open_library, open_postgres_library, order

OWED = {"P8": Debts(300, (("21", 300),)), "P9": Debts(200, (("31", 200),))}
TOM = Share("P8", "C8", "head_of_family", 300, before=OWED["P8"])
TIM = Share("P9", "C9", "head_of_family", 200, before=OWED["P9"])
DAYS = OpeningDays({}, ZoneInfo("Europe/Brussels"))
LATER = NOW + timedelta(minutes=5)


class Counting:
    """A connection that counts its statements."""

    def __init__(self, connection: Any) -> None:
        self.count = 0
        self._connection = connection

    def execute(self, *asked: Any) -> Any:
        self.count += 1
        return self._connection.execute(*asked)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def statements(library: Library, job: Callable[..., Any], *args: Any, **more: Any) -> int:
    """How many statements `job` takes in a transaction."""
    counts = []

    def counted(connection: Any) -> Any:
        counting = Counting(connection)
        done = job(counting, *args, **more)
        counts.append(counting.count)
        return done

    await library.write(counted)
    return counts[-1]


def wanting(*plan: Share, bk: str = "B1", asked: datetime | None = None) -> PaymentOrder:
    """A payment of the shares by P7, whom only the library system knows."""
    amount = sum(share.amount for share in plan)
    content, texts = f"P7|{amount}", saying("Thanks")
    return order(bk, amount, payer_id="P7", content=content, texts=texts, asked=asked)


async def begin(
    library: Library, *plan: Share, bk: str = "B1", asked: datetime | None = None
) -> Begun | PaymentResult:
    wanted = wanting(*plan, bk=bk, asked=asked)
    return await library.begin_shares(wanted, "default", plan, ("Thanks",), OWED)


async def begun(library: Library, *plan: Share, bk: str = "B1") -> Begun:
    found = await begin(library, *plan, bk=bk)
    assert isinstance(found, Begun)
    return found


async def end(
    library: Library, payment: Begun, position: int, *, booked: bool, **more: Any
) -> Payment:
    return await library.end_share(payment.payment_id, position, booked=booked, now=NOW, **more)


def states(library: Library) -> list[tuple[str, str]]:
    """BK and state of what `payment reconcile` shows."""
    return [(one.payment.bk, one.state.value) for one in library.reconciliations(NOW)]


def told(library: Library) -> list[tuple[str, bool]]:
    """Each message to staff about a payment, and whether it is closed."""
    with library.snapshot() as connection:
        rows = connection.execute("SELECT text, closed FROM support_message ORDER BY id").fetchall()
    return [(text, closed is not None) for text, closed in rows]


def entries(library: Library) -> list[tuple[Any, ...]]:
    """Account, amount and debtor of all entries in the ledger for what goes up."""
    with library.snapshot() as connection:
        rows = connection.execute(
            "SELECT account, amount, debtor_id, relation FROM ledger_entry"
            " WHERE debtor_id IN ('P8', 'P9') ORDER BY transaction_id, position"
        ).fetchall()
    return list(map(tuple, rows))


async def test_two_shares_are_in_the_ledger_with_their_debtors(library: Library) -> None:
    payment = await begun(library, TOM, TIM)
    assert [(at, share.before) for at, share in payment.shares] == [
        (0, OWED["P8"]),
        (1, OWED["P9"]),
    ]
    first = await end(library, payment, 0, booked=True, then=payment.shares[1])
    assert (first.status, len(first.lines)) == ("unknown", 1)
    last = await end(library, payment, 1, booked=True, texts=("Paid there",))
    assert (last.status, last.texts) == ("booked", ("Paid there",))
    assert entries(library) == [
        ("library:default", -300, "P8", "head_of_family"),
        ("till:cash-1:00", 300, "P8", "head_of_family"),
        ("library:default", -200, "P9", "head_of_family"),
        ("till:cash-1:00", 200, "P9", "head_of_family"),
    ]
    assert library.self_check() == []
    again = await begin(library, TOM, TIM)
    assert again == PaymentResult(PaymentOutcome.REPLAYED, last)
    assert states(library) == []


async def test_what_is_told_of_one_share_is_what_is_kept(library: Library) -> None:
    payment = await begun(library, TOM)
    told = await end(library, payment, 0, booked=True, texts=("Thank you",))
    assert list(library.payments()) == [told]
    assert (told.status, told.texts) == ("booked", ("Thank you",))
    assert told.lines == (PaymentLine("", "P8", "head_of_family", 300),)


@pytest.mark.parametrize("texts", [(), ("Thank you",)])
async def test_what_is_known_of_a_single_share_is_what_would_be_read(
    library: Library, texts: tuple[str, ...]
) -> None:
    """B75: nothing is read again of what this gateway has just written."""
    known = await begun(library, TOM, bk="B1")
    one = await end(library, known, 0, booked=True, texts=texts, single=known.single)
    read = await begun(library, TOM, bk="B2")
    other = await end(library, read, 0, booked=True, texts=texts)
    assert one == replace(other, id=one.id, bk="B1")
    assert sorted(library.payments(), key=lambda it: it.bk) == [one, other]
    assert entries(library)[:2] == entries(library)[2:]
    assert library.self_check() == []


async def test_several_shares_and_one_that_stays_here_are_read(library: Library) -> None:
    assert (await begun(library, TOM, TIM, bk="B1")).single is None
    here = replace(TOM, debtor_id="P7", kept=Kept.FEE)
    assert (await begun(library, here, bk="B2")).single is None


async def test_a_single_share_that_they_refuse_is_not_booked(library: Library) -> None:
    payment = await begun(library, TOM)
    refused = await end(library, payment, 0, booked=False, single=payment.single)
    assert (refused.status, refused.lines, entries(library)) == ("refused", (), [])


async def test_a_single_share_that_was_settled_meanwhile_is_what_its_end_says(
    library: Library,
) -> None:
    """Their yes counts after all (B75), once; their no changes nothing any more."""
    payment = await begun(library, TOM)
    await end(library, payment, 0, booked=False, settled=True)
    refused = await end(library, payment, 0, booked=False, single=payment.single)
    assert (refused.status, refused.lines) == ("refused", ())
    for _ in range(2):
        booked = await end(library, payment, 0, booked=True, single=payment.single)
        assert list(library.payments()) == [booked]
        assert (booked.status, len(entries(library))) == ("booked", 2)


async def test_of_who_has_paid_before_three_statements_note_that_it_goes_up_and_four_its_end(
    library: Library,
) -> None:
    """B75: both are durable, and what they write is most of what a payment costs."""
    own = Share("P7", "P7", "own", 300)
    counts = []
    for bk, is_known in (("B1", False), ("B2", True)):
        wanted = order(bk, 300, payer_id="P7", content=bk, payer_is_ours=is_known)
        counts.append(await statements(library, shares.begin, wanted, "default", (own,), (), OWED))
        ends = await statements(library, shares.end, wanted.id, 0, booked=True, now=NOW)
        counts.append(ends)
    with library.snapshot() as connection:
        locks = 1 if connection.dialect.hold_debtor else 0
    # A stranger is added first.
    assert counts == [4 + locks, 4, 3 + locks, 4]


async def alone(library: Library) -> dict[str, bool]:
    """Of each share of which nobody knows, by its BK: whether nothing else moved the debts."""
    return {one.bk: one.alone for one in await library.sent_shares()}


@pytest.mark.parametrize(
    ("ended_s", "booked", "is_alone"),
    [(-10, True, False), (-10.000001, True, True), (60, True, False), (0, False, True)],
)
async def test_what_was_booked_since_shortly_before_it_began_moved_the_debts(
    library: Library, ended_s: float, booked: bool, is_alone: bool
) -> None:
    """B75: then a list of fees does not tell what became of it. What was not booked moves none."""
    other, own = replace(TOM, amount=100), replace(TOM, amount=200)
    first = await begun(library, other, bk="B1")
    ended = NOW + timedelta(seconds=ended_s)
    await library.end_share(first.payment_id, 0, booked=booked, now=ended)
    await begun(library, own, bk="B2")
    await begun(library, TIM, bk="B3")  # of somebody else
    assert await alone(library) == {"B2": is_alone, "B3": True}


async def test_of_two_that_are_open_for_one_debtor_none_is_alone(library: Library) -> None:
    await begun(library, replace(TOM, amount=100), bk="B1")
    await begun(library, replace(TOM, amount=200), bk="B2")
    assert await alone(library) == {"B1": False, "B2": False}


async def test_the_parts_of_one_payment_follow_one_another(library: Library) -> None:
    """What the first has moved is in what the second was sent with."""
    payment = await begun(library, replace(TOM, amount=100), replace(TOM, amount=200))
    await end(library, payment, 0, booked=True, then=payment.shares[1])
    assert await alone(library) == {"B1": True}


def test_who_has_paid_for_years_pays_as_fast_as_on_the_first_day() -> None:
    """Nothing is read of shares that ended before the list that the payment was decided on."""
    with closing(memory()) as connection:
        migrate(connection)
        steps = connection.execute(
            f"EXPLAIN QUERY PLAN {shares.OTHER_SHARES}", ("P8", "ID", "P8", "ID", "2026")
        )
        assert [step for *_, step in steps if step.startswith(("SEARCH", "SCAN"))] == [
            "SEARCH s USING INDEX payment_share_open (debtor_id=?)",
            "SEARCH u USING PRIMARY KEY (payment_id=?)",
            "SEARCH e USING COVERING INDEX payment_share_ended (ended>?)",
            "SEARCH s USING PRIMARY KEY (payment_id=? AND position=?)",
        ]


async def test_a_payer_who_is_gone_meanwhile_pays_nothing(library: Library) -> None:
    """The ledger is about patrons; staff have just had this one forgotten."""
    own = Share("P7", "P7", "own", 300)
    wanted = order("B1", 300, payer_id="P7", content="P7|300", payer_is_ours=True)
    with pytest.raises(BackendError):
        await library.begin_shares(wanted, "default", (own,), (), OWED)
    assert list(library.payments()) == []
    assert isinstance(await begin(library, own), Begun)


async def test_a_pseudonym_finds_who_has_paid_and_has_no_card_here(library: Library) -> None:
    """C76; P7 is known by nothing but the number that the library system said."""
    await begun(library, TOM)
    pseudonyms = {"P7": "0123456789ab"}
    found = library.search_patrons("0123456789ab", lambda number: pseudonyms.get(number, ""))
    assert [(one.id, one.cards) for one in found] == [("P7", ())]


async def test_while_nobody_knows_nothing_goes_up_again(library: Library) -> None:
    payment = await begun(library, TOM)
    again = await begin(library, TOM)
    assert isinstance(again, PaymentResult)
    assert again.refusal is PaymentRefusalReason.UNKNOWN_OUTCOME
    assert states(library) == [("B1", "unknown")]
    await end(library, payment, 0, booked=False, settled=True)
    # What another look says does not count: it is settled. What they say does.
    looked = await end(library, payment, 0, booked=True, settled=True)
    assert (looked.status, states(library)) == ("refused", [("B1", "refused")])
    assert (await end(library, payment, 0, booked=True)).status == "booked"
    assert states(library) == [("B1", "booked")]


async def test_the_retry_of_what_was_settled_as_not_booked_resolves_it(library: Library) -> None:
    """Otherwise staff would give money back that has been used."""
    lost = await begun(library, TOM)
    await end(library, lost, 0, booked=False, settled=True)
    payment = await begun(library, TOM)
    assert payment.payment_id != lost.payment_id
    assert states(library) == [("B1", "refused"), ("B1", "unknown")]
    await end(library, payment, 0, booked=True)
    assert states(library) == [("B1", "resolved")]


async def test_the_retry_does_what_is_left_and_no_more(library: Library) -> None:
    payment = await begun(library, TOM, TIM)
    await end(library, payment, 0, booked=True, then=payment.shares[1])
    await end(library, payment, 1, booked=False)
    assert states(library) == [("B1", "unknown")]
    rest = await begun(library, TOM, TIM)
    assert [at for at, _ in rest.shares] == [1]
    assert (await end(library, rest, 1, booked=True)).status == "booked"
    assert sum(amount for account, amount, *_ in entries(library) if "till" in account) == 500


async def test_of_retries_at_the_same_time_one_goes_up(library: Library) -> None:
    for bk in ("B1", "B2", "B3"):
        payment = await begun(library, TOM, TIM, bk=bk)
        await end(library, payment, 0, booked=True, then=payment.shares[1])
        await end(library, payment, 1, booked=False)
        found = await asyncio.gather(*(begin(library, TOM, TIM, bk=bk) for _ in range(4)))
        (rest,) = [one for one in found if isinstance(one, Begun)]
        await end(library, rest, 1, booked=True)


async def test_of_the_same_payments_at_the_same_time_one_goes_up(library: Library) -> None:
    for bk in ("B1", "B2", "B3"):
        plans = [(TOM, TIM), (TOM, TIM), (TOM, TIM), (TOM, TIM)]
        found = await asyncio.gather(*(begin(library, *plan, bk=bk) for plan in plans))
        (payment,) = [one for one in found if isinstance(one, Begun)]
        others = {one.refusal for one in found if isinstance(one, PaymentResult)}
        assert others == {PaymentRefusalReason.UNKNOWN_OUTCOME}
        await end(library, payment, 0, booked=False)


async def test_each_end_is_booked_once_whoever_notes_it(library: Library) -> None:
    payment = await begun(library, TOM)
    await asyncio.gather(*(end(library, payment, 0, booked=True) for _ in range(4)))
    assert len(entries(library)) == 2
    assert library.self_check() == []


async def test_a_no_gives_a_bk_back_that_another_payment_had(library: Library) -> None:
    """B46, C4, C105: a machine that asks for that one again does not pay twice."""

    async def pay(*plan: Share, day: int) -> Begun | PaymentResult:
        wanted = replace(wanting(*plan), transacted=NOW + timedelta(days=day))
        return await library.begin_shares(wanted, "default", plan, ("Thanks",), OWED)

    first = await pay(TIM, day=0)
    assert isinstance(first, Begun)
    paid = await end(library, first, 0, booked=True)
    second = await pay(TOM, day=1)
    assert isinstance(second, Begun)
    await end(library, second, 0, booked=False)
    again = await pay(TIM, day=0)
    assert isinstance(again, PaymentResult)
    assert again.payment is not None
    assert (again.outcome, again.payment.id) == (PaymentOutcome.REPLAYED, paid.id)
    assert isinstance(await pay(TOM, day=1), Begun)  # what was refused may be paid now


async def test_a_bk_for_something_else_is_refused(library: Library) -> None:
    await begun(library, TOM)
    other = await begin(library, TIM)
    assert isinstance(other, PaymentResult)
    assert other.refusal is PaymentRefusalReason.BK_REUSED


@pytest.mark.parametrize(
    ("sent", "rest", "amount"), [(True, True, 500), (True, False, 300), (False, None, None)]
)
async def test_staff_settle_one_after_the_other(
    library: Library, sent: bool, rest: bool | None, amount: int | None
) -> None:
    """What was not sent was certainly not booked, whatever was found of what was."""
    payment = await begun(library, TOM, TIM)
    for booked in (sent,) if rest is None else (sent, rest):
        await library.settle_payment(payment.payment_id, booked=booked, note="seen", now=LATER)
    (entry,) = library.reconciliations(NOW)
    assert (entry.settled, entry.note) == (LATER, "seen")
    (found,) = library.payments()
    assert (found.status, found.amount) == (
        ("refused", 500) if amount is None else ("booked", amount)
    )
    assert sum(-cents for account, cents, *_ in entries(library) if "library" in account) == (
        amount or 0
    )
    assert library.self_check() == []


async def test_who_says_that_the_rest_is_not_booked_is_noted(library: Library) -> None:
    payment = await begun(library, TOM, TIM)
    await end(library, payment, 0, booked=True, then=payment.shares[1], settled=True)
    await end(library, payment, 1, booked=False)
    await library.settle_payment(payment.payment_id, booked=False, note="paid back", now=LATER)
    (entry,) = library.reconciliations(NOW)
    assert (entry.state.value, entry.settled, entry.note) == ("booked", LATER, "paid back")
    assert library.reconciliations(LATER) == [entry]  # the first was settled earlier
    assert library.reconciliations(LATER + timedelta(seconds=1)) == []
    await follow_up(library)
    assert [closed for _, closed in told(library)] == [True]


async def test_what_was_looked_up_last_is_settled_although_the_first_never_was_in_doubt(
    library: Library,
) -> None:
    payment = await begun(library, TOM, TIM)
    await end(library, payment, 0, booked=True, then=payment.shares[1])
    await end(library, payment, 1, booked=True, settled=True)
    (entry,) = library.reconciliations(NOW)
    assert (entry.state.value, entry.settled) == ("booked", NOW)


async def test_what_is_not_sent_stays_open_when_the_other_is_settled(library: Library) -> None:
    payment = await begun(library, TOM, TIM)
    await library.settle_payment(payment.payment_id, booked=True, note="seen", now=LATER)
    (open_one,) = library.reconciliations(NOW)
    assert (open_one.state.value, open_one.proposal) == ("unknown", "not-booked")
    assert [at for at, _ in (await begun(library, TOM, TIM)).shares] == [1]


# Beside other payments (C60) --------------------------------------------------------------------


async def refusal(
    library: Library, *plan: Share, bk: str = "B2", asked: datetime | None = None
) -> str | None:
    """Why the payment is refused."""
    found = await begin(library, *plan, bk=bk, asked=asked)
    return found.refusal if isinstance(found, PaymentResult) else None


def of_fee(share: Share) -> Share:
    """The share for the debtor's only fee."""
    ((fee_id, _),) = OWED[share.debtor_id].lines or ()
    return replace(share, fee_id=fee_id)


@pytest.mark.parametrize("share", [TOM, of_fee(TOM)])
async def test_what_is_under_way_is_not_paid_a_second_time(library: Library, share: Share) -> None:
    """B44; it stays so while nobody knows what became of the first."""
    payment = await begun(library, share)
    assert await refusal(library, share) == "nothing_to_pay"
    assert await refusal(library, TIM, share) == "nothing_to_pay"
    assert [one.bk for one in library.payments()] == ["B1"]
    await end(library, payment, 0, booked=False)
    assert await refusal(library, share) is None


async def test_what_was_refused_since_the_list_was_asked_for_is_still_owed(
    library: Library,
) -> None:
    payment = await begun(library, TOM)
    await end(library, payment, 0, booked=False)
    assert await refusal(library, TOM, asked=NOW - timedelta(seconds=1)) is None


async def test_two_who_pay_what_there_is_both_pass(library: Library) -> None:
    await begun(library, replace(TOM, amount=200))
    assert await refusal(library, replace(TOM, amount=101)) == "overpayment"
    assert await refusal(library, replace(TOM, amount=100)) is None


@pytest.mark.parametrize(
    ("asked_s", "reason"), [(-0.000001, "nothing_to_pay"), (0, None), (0.000001, None)]
)
async def test_what_was_booked_since_the_list_was_asked_for_is_not_in_it(
    library: Library, asked_s: float, reason: str | None
) -> None:
    """A payment that merely follows another passes."""
    await end(library, await begun(library, of_fee(TOM)), 0, booked=True)
    asked = NOW + timedelta(seconds=asked_s)
    assert await refusal(library, of_fee(TOM), asked=asked) == reason


async def test_what_goes_up_after_what_is_under_way_is_taken_too(library: Library) -> None:
    """P7 pays for Tom and Tim, one 37 after the other, when Tim's own payment comes."""
    payment = await begun(library, TOM, TIM)
    assert await refusal(library, TIM) == "nothing_to_pay"
    await end(library, payment, 0, booked=True, then=payment.shares[1])
    assert await refusal(library, TIM) == "nothing_to_pay"
    await end(library, payment, 1, booked=True)
    assert await refusal(library, TIM) is None


async def test_what_never_went_up_after_a_no_is_not_taken(library: Library) -> None:
    """It goes up when its terminal asks again, and not beside the payment that was faster."""
    left = replace(TIM, debtor_id="P8", fee_id="21", before=OWED["P8"])
    payment = await begun(library, replace(TOM, debtor_id="P7"), TIM, left)
    await end(library, payment, 0, booked=True, then=payment.shares[1])
    await end(library, payment, 1, booked=False)
    faster = await begun(library, left, bk="B2")
    again = (replace(TOM, debtor_id="P7"), TIM, left)
    assert await refusal(library, *again, bk="B1") == "unknown_outcome"
    await end(library, faster, 0, booked=True)
    assert await refusal(library, *again, bk="B1", asked=NOW - timedelta(1)) == "unknown_outcome"
    assert [at for at, _ in (await begun(library, *again)).shares] == [1, 2]


async def test_each_debtor_owes_their_own(library: Library) -> None:
    await begun(library, replace(TOM, amount=100))
    assert await refusal(library, replace(TOM, amount=100), TIM) is None
    assert await refusal(library, replace(TOM, amount=100), TIM, bk="B3") == "nothing_to_pay"


async def test_what_is_left_goes_up_beside_what_the_payment_itself_has_booked(
    library: Library,
) -> None:
    parts = replace(of_fee(TOM), amount=200), replace(TOM, amount=101)
    payment = await begun(library, *parts)
    await end(library, payment, 0, booked=True, then=payment.shares[1])
    await end(library, payment, 1, booked=False)
    assert await refusal(library, *parts, bk="B1", asked=NOW - timedelta(1)) is None


async def test_a_retry_is_told_what_became_of_the_first(library: Library) -> None:
    """B46: its own payment is not another."""
    payment = await begun(library, of_fee(TOM))
    assert await refusal(library, of_fee(TOM), bk="B1") == "unknown_outcome"
    booked = await end(library, payment, 0, booked=True)
    again = await begin(library, of_fee(TOM), asked=NOW - timedelta(1))
    assert again == PaymentResult(PaymentOutcome.REPLAYED, booked)


async def test_a_payment_of_which_the_terminal_never_heard_is_remembered(library: Library) -> None:
    """C98: by the id of the payment, also if a retry has done the rest."""
    payment = await begun(library, TOM)
    await end(library, payment, 0, booked=True)
    again = wanting(TOM)
    known = replace(attempt_of(again), id=payment.payment_id)
    assert not await library.has_open_attempt(lambda attempt: attempt == known)
    library.note_paid(again, payment.payment_id)
    assert await library.has_open_attempt(lambda attempt: attempt == known)
    (settled,) = await library.settle([known], NOW)
    assert settled.done


async def test_a_command_answers_no_terminal_and_remembers_nothing(tmp_path: Path) -> None:
    store = open_library(tmp_path, role="command")
    store.note_paid(wanting(TOM), "P")
    assert not await store.has_open_attempt(lambda _: True)
    await store.close()


async def test_of_many_at_once_one_pays(library: Library) -> None:
    found = await asyncio.gather(*(begin(library, of_fee(TOM), bk=f"B{n}") for n in range(4)))
    assert sum(isinstance(one, Begun) for one in found) == 1


# What staff are told --------------------------------------------------------------------------


async def follow_up(library: Library) -> int:
    return await library.follow_up({"cash-1": "MAIN"}, LATER, DAYS)


async def test_what_is_under_way_is_nothing_for_staff(library: Library) -> None:
    payment = await begun(library, TOM)
    await end(library, payment, 0, booked=True)
    await begun(library, TIM, bk="B2")
    assert await follow_up(library) == 0


async def test_what_nobody_knows_is_told_once_and_ends_with_their_note(library: Library) -> None:
    payment = await begun(library, TOM)
    for _ in range(2):
        (share,) = await library.sent_shares()
        await library.tell_share(share, 300, "not-booked")
        await follow_up(library)
    ((text, closed),) = told(library)
    assert text.startswith(
        "A payment of 3.00 EUR with receipt B1 at cash-1 was answered with 'not sure'."
        " Look in the library system whether it was booked"
    )
    assert not closed
    await library.settle_payment(payment.payment_id, booked=True, note="it is there", now=LATER)
    await follow_up(library)
    assert told(library) == [(text, True)]


async def test_what_was_found_by_looking_is_told_until_the_machine_asks(library: Library) -> None:
    payment = await begun(library, TOM)
    await end(library, payment, 0, booked=True, settled=True)
    await follow_up(library)
    ((text, closed),) = told(library)
    assert "It was booked in the library system. Find out whether the machine kept" in text
    assert not closed
    await begin(library, TOM)
    await follow_up(library)
    assert told(library) == [(text, True)]


@pytest.mark.parametrize("rest_booked", [True, False])
async def test_what_was_found_not_booked(library: Library, rest_booked: bool) -> None:
    await end(library, await begun(library, TOM), 0, booked=False, settled=True)
    await follow_up(library)
    ((text, _),) = told(library)
    assert "It was not booked in the library system." in text
    await end(library, await begun(library, TOM), 0, booked=rest_booked)
    await follow_up(library)
    assert told(library) == [(text, rest_booked)]


async def test_a_part_is_told_until_the_retry_has_done_the_rest(library: Library) -> None:
    payment = await begun(library, TOM, TIM)
    await end(library, payment, 0, booked=True, then=payment.shares[1])
    await end(library, payment, 1, booked=False)
    await follow_up(library)
    ((text, closed),) = told(library)
    assert "was booked only in part, and answered with 'not sure'." in text
    assert not closed
    await end(library, await begun(library, TOM, TIM), 1, booked=True)
    await follow_up(library)
    assert told(library) == [(text, True)]


async def test_a_retry_that_did_the_rest_resolves_what_was_looked_up(library: Library) -> None:
    payment = await begun(library, TOM, TIM)
    await end(library, payment, 0, booked=True, settled=True)
    assert states(library) == [("B1", "unknown")]
    await end(library, await begun(library, TOM, TIM), 1, booked=True)
    assert states(library) == [("B1", "resolved")]
    assert payment.shares[1][1].debtor_id == "P9"


# PostgreSQL -----------------------------------------------------------------------------------


async def test_who_begins_to_pay_for_a_debtor_waits_for_who_has_begun(
    postgres: Server, empty_template: str
) -> None:
    """Neither would see the other's before it is committed."""
    name = postgres.make_database(empty_template)
    store = open_postgres_library(postgres.url(name))
    with store.own_connection() as first:
        first.execute("BEGIN")
        shares.begin(first, wanting(TIM, TOM), "default", (TIM, TOM), (), OWED)
        second = asyncio.create_task(begin(store, TOM, bk="B2"))
        done, _ = await asyncio.wait({second}, timeout=0.5)
        assert not done
        first.execute("COMMIT")
    found = await second
    assert isinstance(found, PaymentResult)
    assert found.refusal is PaymentRefusalReason.NOTHING_TO_PAY
    await store.close()
    postgres.drop_database(name)


async def test_gateways_pay_on_connections_that_they_have(
    postgres: Server, empty_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection for each write took most of a payment's time."""
    name = postgres.make_database(empty_template)
    store = open_postgres_library(postgres.url(name))
    opened = 0
    connect: Callable[..., Any] = Address.connect

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal opened
        opened += 1
        return await connect(*arguments, **options)

    monkeypatch.setattr(Address, "connect", counted)
    for number in range(5):
        payment = await begun(store, TOM, bk=f"B{number}")
        await end(store, payment, 0, booked=True)
    await store.close()
    postgres.drop_database(name)
    assert opened == 1
