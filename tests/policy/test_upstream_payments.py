"""How a payment goes up to a library system, and what the debts tell of it (B75, C59, C156)."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from sip2gw.model import UNDATED, Fee, LibraryWord, PatronRecord, PaymentLine
from sip2gw.model.shares import Debts, Kept, Share
from sip2gw.policy.reasons import PaymentRefusalReason
from sip2gw.policy.upstream.payments import (
    CERTAIN_FOR,
    LISTED_MAX,
    Verdict,
    debts_of,
    kept_here,
    likely_verdict,
    one_after_the_other,
    payable_by,
    receipt_of,
    refusal_beside,
    refusal_of_rest,
    shares_of,
    verdict_of,
)

SOON = timedelta(minutes=2)
BEFORE = Debts(500, (("1", 200), ("2", 300)))


def owing(balance, **fees):
    """A patron who owes `balance` by BV, and fees by id; `rest` has none."""
    owed = tuple(
        Fee("" if name == "rest" else name[1:], "P", cents, cents, UNDATED)
        for name, cents in fees.items()
    )
    return PatronRecord("P", "", fees=owed, word=LibraryWord(frozenset(), fee_amount=balance))


def paid(amount=200, fee="1", before=BEFORE):
    return Share("P", "P", "own", amount, fee, before)


def test_a_list_without_what_was_paid_here_is_not_compared():
    record = owing(500, f1=200, f2=300)
    record.word = replace(record.word, pending=("P-0",))
    assert debts_of(record) == Debts()


@pytest.mark.parametrize(
    ("record", "fees"),
    [
        (owing(None), {}),  # who could say that it is too much?
        (owing(300, rest=300), {"9": 100, "\0P": 200}),
    ],
)
def test_what_does_not_go_up_must_be_said_to_be_owed(record, fees):
    payable = payable_by(record, 100, "9", goes_up=False)
    assert {fee.id: fee.owed for fee in payable.fees} == fees


def test_what_is_booked_here_names_a_fee_if_they_list_it():
    shares = [
        replace(paid(fee=fee), debtor_id=whose)
        for fee, whose in (("1", "P"), ("", "P"), ("1", "C"))
    ]
    found = kept_here(shares, [owing(500, f1=200, rest=300)])
    assert [one.kept for one in found] == [Kept.FEE, Kept.SUM, Kept.SUM]


@pytest.mark.parametrize(
    ("record", "debts"),
    [
        (owing(500, f1=200, f2=300), BEFORE),
        (owing(500, f1=200, rest=300), Debts(500)),
        (owing(None, f1=200), Debts(None)),
        (PatronRecord("P", ""), Debts(None)),
    ],
)
def test_a_list_tells_all_if_each_line_has_an_id_and_the_sum_is_said(record, debts):
    assert debts_of(record) == debts


def test_a_list_that_is_shorter_than_their_count_does_not_tell_all():
    """Nothing is owed by it, and two fees are counted: it was cut."""
    assert debts_of(owing(0), is_whole=False) == Debts(0)


@pytest.mark.parametrize(
    ("record", "amount", "fee_id", "fees"),
    [
        pytest.param(owing(500, f1=200, f2=300), 200, "1", {"1": 200, "2": 300}, id="known"),
        pytest.param(owing(500, f1=200, f2=300), 200, "9", {"1": 200, "2": 300}, id="nobody's"),
        pytest.param(owing(500, f1=200, rest=300), 100, "9", {"1": 200, "9": 100, "\0P": 200},
                     id="part of the rest"),
        pytest.param(owing(300, rest=300), 400, "9", {"9": 300}, id="never more than the rest"),
        pytest.param(owing(300, rest=300), 300, None, {"\0P": 300}, id="no CG"),
        pytest.param(owing(None), 400, "9", {"9": 400}, id="nothing said, CG"),
        pytest.param(owing(None), 400, None, {"\0P": 400}, id="nothing said, no CG"),
        pytest.param(owing(0), 400, "9", {}, id="nothing owed"),
        pytest.param(owing(-300, rest=-300), 100, "9", {"\0P": -300}, id="a credit"),
    ],
)  # fmt: skip
def test_what_a_payment_is_decided_on(record, amount, fee_id, fees):
    payable = payable_by(record, amount, fee_id)
    assert {fee.id: fee.owed for fee in payable.fees} == fees


def test_who_owes_nothing_without_an_id_is_decided_on_as_they_are():
    record = owing(500, f1=200, f2=300)
    assert payable_by(record, 200, "1") is record


LINES = (
    PaymentLine("1", "P", "own", 200),
    PaymentLine("\0P", "P", "own", 300),
    PaymentLine("7", "C", "head_of_family", 400),
)


@pytest.mark.parametrize(
    ("lines", "fee_id", "split", "shares"),
    [
        (LINES, None, "sum", [("P", "", 500), ("C", "", 400)]),
        (LINES, None, "lines", [("P", "1", 200), ("P", "", 300), ("C", "7", 400)]),
        (LINES[:1], "1", "lines", [("P", "1", 200)]),
        ((*LINES[:2], PaymentLine("3", "P", "own", -50)), None, "lines", [("P", "", 450)]),
    ],
)
def test_one_37_for_each_debtor_or_each_fee(lines, fee_id, split, shares):
    debts = {"P": Debts(500), "C": Debts(400)}
    found = shares_of(lines, fee_id, split, {"P": "P-card"}, debts)
    assert [(one.debtor_id, one.fee_id, one.amount) for one in found] == shares
    assert {(one.debtor_id, one.card) for one in found} <= {("P", "P-card"), ("C", "C")}


def test_each_37_is_known_with_what_its_debtor_owes_right_before_it():
    found = shares_of(LINES, None, "lines", {}, {"P": BEFORE, "C": Debts(400)})
    assert [one.before for one in found] == [BEFORE, Debts(300, (("2", 300),)), Debts(400)]


@pytest.mark.parametrize(
    ("bk", "position", "guarded", "sent"),
    [
        ("B1", 0, False, "B1"),
        ("B1", 1, False, "B1-2"),
        ("", 1, False, None),
        ("B1", 0, True, "id"),
        ("B1", 1, True, "id-2"),
        ("", 0, True, "id"),
    ],
)
def test_each_share_has_a_receipt_number_and_a_guarded_one_is_ours(bk, position, guarded, sent):
    assert receipt_of(bk, "id", position, guarded=guarded) == sent


@pytest.mark.parametrize(
    ("plan", "payable", "reason"),
    [
        # One of two debts is paid, so as a new payment it would be too much.
        (PaymentRefusalReason.OVERPAYMENT, {"P", "C"}, None),
        (PaymentRefusalReason.OVERPAYMENT, {"P"}, PaymentRefusalReason.UNKNOWN_OUTCOME),
        (PaymentRefusalReason.NO_PIN, {"P", "C"}, PaymentRefusalReason.NO_PIN),
        (PaymentRefusalReason.CARD_BLOCKED, {"P", "C"}, PaymentRefusalReason.CARD_BLOCKED),
        ((paid(),), {"P", "C"}, None),
    ],
)
def test_when_the_rest_of_a_payment_goes_up(plan, payable, reason):
    rest = replace(paid(200, "1"), debtor_id="C")
    assert refusal_of_rest([rest], plan, payable) is reason


@pytest.mark.parametrize(
    ("fee_id", "before", "reason"),
    [
        pytest.param("1", BEFORE, None, id="all of it"),
        pytest.param("1", Debts(300, (("2", 300),)), "unknown_outcome", id="not the fee any more"),
        pytest.param("1", Debts(350, (("1", 50), ("2", 300))), "unknown_outcome", id="less of it"),
        pytest.param("", Debts(200), None, id="just so much"),
        pytest.param("", Debts(199), "unknown_outcome", id="less"),
        pytest.param("", Debts(-100), "unknown_outcome", id="they have a credit"),
        pytest.param("1", Debts(), None, id="they do not say"),
    ],
)
def test_b44_of_the_rest_no_more_goes_up_than_is_owed_now(fee_id, before, reason):
    assert refusal_of_rest([paid(200, fee_id, before)], None, ["P"]) == reason


def test_what_is_owed_before_each_share():
    seen = one_after_the_other([paid(200, "1"), paid(100, ""), paid(50, "2")])
    assert [one.before for one in seen] == [BEFORE, Debts(300, (("2", 300),)), Debts(200)]
    unsaid = one_after_the_other([paid(200, "1", Debts()), paid(100, "", Debts())])
    assert unsaid[1].before == Debts()


def test_only_with_some_shares_a_list_is_kept():
    """Somebody with thousands of fees pays each by itself."""
    fees = [f"{number:04}" for number in range(LISTED_MAX + 2)]
    lines = tuple((fee, 1) for fee in fees)
    owed = Debts(len(fees), lines)
    seen = [one.before for one in one_after_the_other([paid(1, fee, owed) for fee in fees])]
    assert [one.balance for one in seen] == list(range(len(fees), 0, -1))
    assert seen[LISTED_MAX - 1] == Debts(3, lines[-3:])
    assert [one.lines for one in seen[LISTED_MAX:]] == [None, None]


@pytest.mark.parametrize(
    ("share", "after", "verdict"),
    [
        pytest.param(paid(), Debts(300, (("2", 300),)), Verdict.BOOKED, id="exactly that"),
        pytest.param(paid(), BEFORE, Verdict.NOT_BOOKED, id="nothing moved"),
        pytest.param(paid(500, ""), Debts(0, ()), Verdict.BOOKED, id="spread over all"),
        pytest.param(paid(), Debts(400, (("1", 200), ("2", 200))), None, id="another amount"),
        pytest.param(paid(), Debts(300, (("1", 200), ("2", 100))), None, id="another fee"),
        pytest.param(
            paid(), Debts(300, (("2", 200), ("3", 100))), None, id="a new fine hides a waiver"
        ),
        pytest.param(paid(), Debts(None), None, id="nothing said"),
        pytest.param(paid(before=Debts()), BEFORE, None, id="nothing said before"),
        pytest.param(paid(), Debts(300), None, id="no list"),
        pytest.param(paid(before=Debts(500)), Debts(300, (("2", 300),)), None, id="none before"),
    ],
)
def test_only_what_is_certain_is_settled(share, after, verdict):
    assert verdict_of(share, after, alone=True, late=SOON) == verdict


@pytest.mark.parametrize(
    ("late_s", "verdict"), [(30, None), (89.9, None), (90, Verdict.NOT_BOOKED)]
)
def test_b75_what_has_not_moved_yet_may_be_waiting_there(late_s, verdict):
    """For a lock of their database: so the same receipt number must not go up again yet."""
    late = timedelta(seconds=late_s)
    assert verdict_of(paid(), BEFORE, alone=True, late=late) is verdict
    booked = Debts(300, (("2", 300),))
    assert verdict_of(paid(), booked, alone=True, late=late) is Verdict.BOOKED


def test_what_may_have_another_cause_is_not_certain():
    share, after = paid(), Debts(300, (("2", 300),))
    assert verdict_of(share, after, alone=False, late=SOON) is None
    assert verdict_of(share, after, alone=True, late=CERTAIN_FOR) is Verdict.BOOKED
    assert verdict_of(share, after, alone=True, late=CERTAIN_FOR + SOON) is None


@pytest.mark.parametrize(
    ("after", "verdict"),
    [(300, Verdict.BOOKED), (500, Verdict.NOT_BOOKED), (400, None), (None, None)],
)
def test_without_lists_staff_get_a_proposal(after, verdict):
    assert likely_verdict(paid(before=Debts(500)), Debts(after)) == verdict


# Beside other payments (C60) -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "others", "refusal"),
    [
        # The same fee, however much of it; another one.
        ([(100, "1")], [(100, "1")], "nothing_to_pay"),
        ([(200, "1")], [(300, "2")], None),
        ([(200, "1"), (300, "2")], [(300, "2")], "nothing_to_pay"),
        # What names no fee may be for any of them.
        ([(200, "")], [(300, "")], None),
        ([(201, "")], [(300, "")], "overpayment"),
        ([(201, "")], [(200, ""), (100, "1")], "overpayment"),
        ([(201, "1")], [(300, "")], "overpayment"),
        ([(1, "")], [(500, "1")], "nothing_to_pay"),
        ([(1, "")], [(499, "1")], None),
        ([(100, "1"), (100, "")], [(300, "2")], None),
        ([(100, "1"), (101, "")], [(300, "2")], "overpayment"),
    ],
)
def test_what_others_pay_is_not_owed_any_more(own, others, refusal):
    shares = one_after_the_other([paid(*one) for one in own])
    assert refusal_beside(shares, [paid(*one) for one in others]) == refusal


@pytest.mark.parametrize(("amount", "refusal"), [(300, "nothing_to_pay"), (301, "overpayment")])
def test_where_nothing_is_said_of_what_is_owed_nothing_is_left_for_another(amount, refusal):
    """As in `payable_by`, no more is owed than what is paid."""
    share = paid(amount, "", Debts())
    assert refusal_beside([share], [paid(300, "")]) == refusal


def test_what_stays_here_is_beside_what_goes_up_and_not_beside_its_own_kind():
    """C124: without those they owe what they owe."""
    here = replace(paid(200, "1"), kept=Kept.FEE)
    rest = replace(paid(500, ""), kept=Kept.SUM)
    assert refusal_beside([here], [paid(200, "1")]) == "nothing_to_pay"
    assert refusal_beside([paid(200, "1")], [here]) == "nothing_to_pay"
    assert refusal_beside([here], [here]) is None
    assert refusal_beside([rest], [rest]) is None
    # Of what is left of an earlier try nobody asks again whether it is owed.
    assert refusal_beside([replace(rest, amount=501)], [rest]) is None
