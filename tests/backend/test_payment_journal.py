"""What both stores must do with payments that go up to a library system (B75, B76, C59, C156).

P1 pays at `cash-1`; for Zoe, whom only the library system knows, there is nothing in the store.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from sip2gw.backend.base import Begun, PaymentOrder, PaymentResult, RefusedError
from sip2gw.backend.library import Library
from sip2gw.backend.loading.exporting import export_lines
from sip2gw.backend.sql.money import ledger
from sip2gw.model import Payment, PaymentLine
from sip2gw.model.shares import Debts, Share
from sip2gw.policy.reasons import PaymentRefusalReason

from .library import LIBRARY, NOW, load, order
from .test_complete_import import complete

ZOE = "2099"
OWED = {"P1": Debts(500, (("A1", 500),)), ZOE: Debts(700, (("Z1", 300), ("Z2", 400)))}
"""What the library system says before anything is paid."""
OWN = Share("P1", "C1", "own", 200, before=OWED["P1"])
FOR_ZOE = Share(ZOE, ZOE, "head_of_family", 300, "Z1", OWED[ZOE])


def later(**passed: float) -> Any:
    return NOW + timedelta(**passed)


def paying(key: str = "BK1", **changed: Any) -> PaymentOrder:
    return order(key, 500, card="C1", **changed)


async def begin(
    library: Library,
    wanted: PaymentOrder | None = None,
    plan: Sequence[Share] | PaymentRefusalReason = (OWN, FOR_ZOE),
) -> Begun | PaymentResult:
    order = wanted or paying()
    if not isinstance(plan, PaymentRefusalReason):
        order = replace(order, amount=sum(share.amount for share in plan))
    return await library.begin_shares(order, "east", plan, ("Thank you",), OWED)


async def begun(library: Library, wanted: PaymentOrder | None = None, *plan: Share) -> Begun:
    """A payment whose first share is on its way."""
    what = await begin(library, wanted, plan or (OWN, FOR_ZOE))
    assert isinstance(what, Begun)
    return what


async def refused(library: Library, wanted: PaymentOrder) -> PaymentRefusalReason | None:
    what = await begin(library, wanted, (OWN,))
    assert isinstance(what, PaymentResult)
    assert what.payment is None
    return what.refusal


def listed(library: Library, **chosen: Any) -> list[Payment]:
    return list(library.payments(**chosen))


def status(library: Library) -> list[tuple[str, int, tuple[PaymentLine, ...]]]:
    return [(one.status, one.amount, one.lines) for one in listed(library)]


def entries(library: Library) -> list[tuple[str, int, str, str]]:
    """Account, amount, debtor and relation of what is in the ledger of payments upstream."""
    assert library.self_check() == []
    with library.snapshot() as connection:
        assert ledger.problems(connection) == []
        rows = connection.execute(
            "SELECT e.account, e.amount, e.debtor_id, e.relation FROM ledger_entry e"
            " JOIN ledger_transaction t ON t.id = e.transaction_id WHERE t.payment_id IS NOT NULL"
            " ORDER BY t.id, e.amount"
        ).fetchall()
    return list(map(tuple, rows))


def reconciled(library: Library) -> list[tuple[Any, ...]]:
    return [
        (one.state, one.payment.owed, one.after, one.proposal, one.note)
        for one in library.reconciliations(NOW)
    ]


OWN_ENTRIES = [("library:east", -200, "P1", "own"), ("till:cash-1:00", 200, "P1", "own")]
ZOES_ENTRIES = [
    ("library:east", -300, ZOE, "head_of_family"),
    ("till:cash-1:00", 300, ZOE, "head_of_family"),
]


async def test_it_is_unknown_before_it_is_sent_and_booked_when_each_share_is(
    library: Library,
) -> None:
    going = await begun(library)
    assert status(library) == [("unknown", 500, ())]
    (sent,) = await library.sent_shares()
    assert (sent.payment_id, sent.position, sent.account) == (going.payment_id, 0, "east")
    assert (sent.terminal, sent.bk, sent.payment_type, sent.currency) == (
        "cash-1", "BK1", "00", "EUR",
    )  # fmt: skip
    assert (sent.sent, sent.alone) == (NOW, True)
    assert sent.share == Share("P1", "C1", "own", 200, before=OWED["P1"])
    await library.end_share(going.payment_id, 0, booked=True, now=later(seconds=1),
                            then=going.shares[1])  # fmt: skip
    (sent,) = await library.sent_shares()
    assert (sent.position, sent.sent, sent.share) == (
        1, later(seconds=1), Share(ZOE, ZOE, "head_of_family", 300, "Z1", OWED[ZOE]),
    )  # fmt: skip
    assert [entry[0] for entry in status(library)] == ["unknown"]
    payment = await library.end_share(
        going.payment_id, 1, booked=True, now=later(seconds=2), texts=("Theirs",)
    )
    assert (payment.status, payment.texts) == ("booked", ("Theirs",))
    assert await library.sent_shares() == []
    assert [line.debtor_id for line in payment.lines] == ["P1", ZOE]
    assert entries(library) == OWN_ENTRIES + ZOES_ENTRIES
    assert reconciled(library) == []


async def test_who_asks_again_is_told_that_nobody_knows_and_then_the_first_answer(
    library: Library,
) -> None:
    going = await begun(library, None, OWN)
    assert await refused(library, paying()) == "unknown_outcome"
    assert await refused(library, paying(content="another")) == "bk_reused"
    await library.end_share(going.payment_id, 0, booked=True, now=NOW)
    again = await begin(library, paying())
    assert isinstance(again, PaymentResult)
    assert (again.outcome, again.payment) == ("replayed", listed(library)[0])
    assert again.payment is not None
    assert again.payment.texts == ("Thank you",)
    assert len(status(library)) == 1
    assert entries(library) == OWN_ENTRIES


async def test_c98_what_nobody_knows_keeps_its_receipt_number_for_longer_than_its_days(
    library: Library,
) -> None:
    """A till that was switched off asks again after a month, and nobody has settled it."""
    going = await begun(library, paying(transacted=NOW), OWN)
    late = paying(now=later(days=60), transacted=NOW)
    again = await begin(library, late, (OWN,))
    assert isinstance(again, PaymentResult)
    assert again.refusal is PaymentRefusalReason.UNKNOWN_OUTCOME
    kept = await library.payment_under("cash-1", "BK1", late.now)
    assert kept is not None
    await library.settle_payment(going.payment_id, booked=False, note="not there", now=late.now)
    assert await library.payment_under("cash-1", "BK1", late.now) is None
    assert (await begun(library, late, OWN)).payment_id != going.payment_id


async def test_what_was_refused_leaves_the_receipt_number_free(library: Library) -> None:
    first = await begun(library, None, OWN)
    await library.end_share(first.payment_id, 0, booked=False, now=NOW)
    assert [entry[0] for entry in status(library)] == ["refused"]
    assert await library.payment_under("cash-1", "BK1", NOW) is None
    second = await begun(library, None, OWN)
    assert second.payment_id != first.payment_id
    await library.end_share(second.payment_id, 0, booked=True, now=NOW)
    assert sorted(entry[0] for entry in status(library)) == ["booked", "refused"]
    assert entries(library) == OWN_ENTRIES


async def test_a_refusal_of_ours_writes_nothing_but_gives_way_to_what_is_known(
    library: Library,
) -> None:
    no = PaymentRefusalReason.OVERPAYMENT
    what = await begin(library, None, no)
    assert isinstance(what, PaymentResult)
    assert (what.refusal, status(library)) == (no, [])
    going = await begun(library, None, OWN)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW)
    # Now nothing is owed any more, and the retry is told that it is paid.
    what = await begin(library, None, no)
    assert isinstance(what, PaymentResult)
    assert what.outcome == "replayed"


async def test_what_is_booked_of_two_stays_and_the_retry_sends_the_other(library: Library) -> None:
    going = await begun(library)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW, then=going.shares[1])
    payment = await library.end_share(going.payment_id, 1, booked=False, now=NOW)
    assert payment.status == "unknown"
    assert entries(library) == OWN_ENTRIES
    assert reconciled(library) == [("unknown", 700, None, "not-booked", "")]
    again = await begun(library)
    assert again.payment_id == going.payment_id
    assert [(position, share.debtor_id) for position, share in again.shares] == [(1, ZOE)]
    (sent,) = await library.sent_shares()
    assert (sent.position, sent.share.before) == (1, OWED[ZOE])
    await library.end_share(going.payment_id, 1, booked=True, now=NOW)
    assert [entry[0] for entry in status(library)] == ["booked"]
    assert entries(library) == OWN_ENTRIES + ZOES_ENTRIES


async def test_only_the_first_word_about_a_share_counts(library: Library) -> None:
    """A gateway that was slow comes after the one that has looked (C156)."""
    going = await begun(library, None, OWN)
    for booked in (True, True, False):
        payment = await library.end_share(going.payment_id, 0, booked=booked, now=NOW)
        assert payment.status == "booked"
    assert entries(library) == OWN_ENTRIES


async def test_their_yes_counts_after_somebody_has_settled_it_as_not_booked(
    library: Library,
) -> None:
    """A gateway whose clock is ahead looks at what is under way, and finds nothing paid yet."""
    going = await begun(library, None, OWN)
    await library.end_share(going.payment_id, 0, booked=False, now=NOW, settled=True)
    assert await library.payment_under("cash-1", "BK1", NOW) is None
    for _ in range(2):
        payment = await library.end_share(going.payment_id, 0, booked=True, now=NOW)
        assert (payment.status, payment.amount) == ("booked", 200)
    assert entries(library) == OWN_ENTRIES
    again = await begin(library, paying(), (OWN,))
    assert isinstance(again, PaymentResult)
    assert again.payment == payment


async def test_their_late_yes_leaves_the_receipt_number_to_who_has_it_now(library: Library) -> None:
    going = await begun(library, None, OWN)
    await library.end_share(going.payment_id, 0, booked=False, now=NOW, settled=True)
    retry = await begun(library, None, OWN)
    for payment_id in (going.payment_id, retry.payment_id):
        await library.end_share(payment_id, 0, booked=True, now=NOW)
    assert [entry[:2] for entry in status(library)] == [("booked", 200)] * 2
    kept = await library.payment_under("cash-1", "BK1", NOW)
    assert kept is not None
    assert kept[1].id == retry.payment_id
    # Both are in their books: that is for staff, however well the retry went.
    assert [entry[0] for entry in reconciled(library)] == ["booked"]


async def test_their_late_yes_to_what_staff_have_left_out(library: Library) -> None:
    going = await begun(library)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW, then=going.shares[1])
    await library.settle_payment(going.payment_id, booked=False, note="", now=NOW)
    payment = await library.end_share(going.payment_id, 1, booked=True, now=NOW)
    assert (payment.status, payment.amount) == ("booked", 500)
    assert entries(library) == OWN_ENTRIES + ZOES_ENTRIES


@pytest.mark.parametrize(
    ("key", "debtor", "ended", "alone"),
    [
        ("BK2", "P1", None, False),
        ("BK2", ZOE, None, True),
        ("BK2", "P1", timedelta(seconds=-10), False),
        ("BK2", "P1", timedelta(seconds=-11), True),
    ],
)
async def test_what_went_up_beside_it_may_have_moved_the_debts(
    library: Library, key: str, debtor: str, ended: timedelta | None, alone: bool
) -> None:
    other = await begun(
        library, paying(key, now=later(minutes=-1)), Share(debtor, "C1", "own", 200)
    )
    if ended is not None:
        await library.end_share(other.payment_id, 0, booked=True, now=NOW + ended)
    going = await begun(library, None, OWN)
    (sent,) = [one for one in await library.sent_shares() if one.payment_id == going.payment_id]
    assert sent.alone is alone


async def test_a_refused_one_beside_it_has_moved_nothing(library: Library) -> None:
    other = await begun(library, paying("BK2"), OWN)
    await library.end_share(other.payment_id, 0, booked=False, now=NOW)
    await begun(library, None, OWN)
    (sent,) = await library.sent_shares()
    assert sent.alone


async def test_what_was_seen_is_told_to_staff_until_it_is_settled(library: Library) -> None:
    going = await begun(library, None, OWN)
    (sent,) = await library.sent_shares()
    await library.tell_share(sent, 300, "booked")
    assert reconciled(library) == [("unknown", 500, 300, "booked", "")]
    await library.end_share(going.payment_id, 0, booked=True, now=NOW, settled=True)
    assert reconciled(library) == [("booked", 500, 300, "", "")]
    await library.tell_share(sent, 999, "not-booked")  # too late
    assert reconciled(library) == [("booked", 500, 300, "", "")]
    await begin(library)  # the terminal's retry gets its yes
    assert reconciled(library) == [("resolved", 500, 300, "", "")]


async def test_what_was_settled_long_ago_is_listed_no_more(library: Library) -> None:
    going = await begun(library, None, OWN)
    await library.end_share(going.payment_id, 0, booked=False, now=later(days=-1), settled=True)
    assert reconciled(library) == []
    assert [one.state for one in library.reconciliations(later(days=-1))] == ["refused"]


async def test_a_share_that_goes_up_again_is_looked_at_afresh(library: Library) -> None:
    going = await begun(library, None, OWN, FOR_ZOE)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW, then=going.shares[1])
    (sent,) = await library.sent_shares()
    await library.tell_share(sent, 650, "")
    await library.end_share(going.payment_id, 1, booked=False, now=NOW)
    await begun(library)
    assert reconciled(library) == [("unknown", 700, None, "", "")]


async def test_staff_say_that_it_is_booked(library: Library) -> None:
    going = await begun(library, None, OWN)
    await library.settle_payment(going.payment_id, booked=True, note="seen", now=NOW)
    assert [entry[0] for entry in status(library)] == ["booked"]
    assert entries(library) == OWN_ENTRIES
    assert reconciled(library) == [("booked", 500, None, "", "seen")]
    with pytest.raises(RefusedError, match="no payment of unknown outcome has the id"):
        await library.settle_payment(going.payment_id, booked=True, note="", now=NOW)


async def test_staff_say_that_it_is_not_booked(library: Library) -> None:
    going = await begun(library)
    await library.settle_payment(going.payment_id, booked=False, note="gave it back", now=NOW)
    assert [entry[0] for entry in status(library)] == ["refused"]
    assert entries(library) == []
    assert reconciled(library) == [("refused", 500, None, "", "gave it back")]
    assert await library.payment_under("cash-1", "BK1", NOW) is None


async def test_staff_say_that_the_rest_is_not_booked(library: Library) -> None:
    """Then the payment is what is booked of it, and the receipt number is free."""
    going = await begun(library)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW, then=going.shares[1])
    await library.settle_payment(going.payment_id, booked=False, note="", now=NOW)
    (one,) = listed(library)
    assert (one.status, one.amount, [line.amount for line in one.lines]) == ("booked", 200, [200])
    assert entries(library) == OWN_ENTRIES
    assert await library.payment_under("cash-1", "BK1", NOW) is None
    assert isinstance(await begin(library), Begun)


async def test_money_goes_to_the_account_that_the_till_names(library: Library) -> None:
    going = await begun(library, paying(account="till:front:00"), OWN)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW)
    assert [entry[0] for entry in entries(library)] == ["library:east", "till:front:00"]


async def test_it_is_taken_back_where_it_was_booked(library: Library) -> None:
    going = await begun(library, None, OWN)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW)
    with pytest.raises(ledger.UndoRefusedError, match="library system"):
        await library.undo_payment(going.payment_id, NOW, UTC)
    assert entries(library) == OWN_ENTRIES


# Whoever only the library system knows ----------------------------------------------------------


def exported(library: Library) -> list[str]:
    lines = export_lines(library, currency="EUR", everything=True)
    return [line.decode() if isinstance(line, bytes) else line for line in lines]


async def test_who_was_paid_for_is_no_patron_of_ours_because_of_that(library: Library) -> None:
    before, count = exported(library), await library.count_patrons()
    going = await begun(library, None, FOR_ZOE)
    await library.end_share(going.payment_id, 0, booked=True, now=NOW)
    assert await library.count_patrons() == count
    assert exported(library) == before
    assert await library.find_by_card(ZOE) is None
    # Staff find what was paid for her; an import that does not name her does not end her.
    assert [one.id for one in listed(library, patron_id=ZOE)] == [going.payment_id]
    assert complete(library, LIBRARY, "patron").missing == {"patron": 0}
    zoe = await library.find_patron(ZOE)
    assert zoe is not None
    assert zoe.status == 5


async def test_who_is_imported_afterwards_is_a_patron_with_these_payments(library: Library) -> None:
    count = await library.count_patrons()
    await begun(library, None, FOR_ZOE)
    record = {"kind": "patron", "id": ZOE, "name": "Zoe", "badges": ["ONBE"]}
    assert load(library, record).errors == ()
    assert await library.count_patrons() == count + 1
    assert ZOE in {json.loads(line).get("id") for line in exported(library)}
    zoe = await library.find_by_card(ZOE)
    assert zoe is not None
    assert [badge.code for badge in zoe.badges] == ["ONBE"]
    assert len(listed(library, patron_id=ZOE)) == 1
