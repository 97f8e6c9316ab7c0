"""The judge of `python tests/proofs faults` finds what contradicts the terminals."""

from collections import Counter
from dataclasses import replace

import pytest
from proofs.audit import Books, judge_balances, judge_copies, judge_payments, judge_share
from proofs.faults import recovered_at
from proofs.report import Report
from proofs.witnesses import Copy, Errand, Told, Try, Where

YES, NO, UNSURE, LOST = Told.YES, Told.NO, Told.UNSURE, Told.LOST
ROW = {"terminal": "pay-1", "bk": "B1", "payer": "P1", "amount": "1.25", "status": "booked"}
EMPTY = Books([], [], [], Counter(P1=1000), {})
BOOKED = replace(EMPTY, payments=[ROW], owed=Counter(P1=875))


def listed(state, books=EMPTY):
    return replace(books, reconcile=[{**ROW, "state": state}])


def payment(*heard):
    tries = [Try(told, told.value.encode(), 0, 0) for told in heard]
    return Errand("37", "pay-1", "B1", "P1", 125, b"", tries)


def loan(code, *heard):
    tries = [Try(told, b"", 0, 0) for told in heard]
    return Errand(code, "kiosk-1", "C1", "R1", 0, b"", tries)


def judged(errand, books):
    report = Report("")
    judge_payments([errand], books, report)
    judge_balances([errand], books, {"P1": 1000}, report)
    return report.failures


@pytest.mark.parametrize(
    ("errand", "books"),
    [
        (payment(YES), BOOKED),
        (payment(LOST, YES, YES), BOOKED),
        (payment(NO), EMPTY),
        (payment(NO, YES), BOOKED),
        (payment(LOST), EMPTY),
        (payment(LOST), BOOKED),
        (payment(LOST, NO), BOOKED),  # whoever said no could not know of the first one
        (payment(UNSURE), listed("booked", BOOKED)),
        (payment(UNSURE), listed("refused")),
        (payment(UNSURE, YES), listed("resolved", BOOKED)),
        (payment(UNSURE, YES), listed("refused", BOOKED)),  # fenced, and booked afresh
        (payment(UNSURE, NO), listed("refused")),
    ],
)
def test_what_agrees(errand, books):
    assert judged(errand, books) == []


@pytest.mark.parametrize(
    ("errand", "books", "said"),
    [
        (payment(YES), EMPTY, "told yes and is not there"),
        (payment(YES), replace(BOOKED, payments=[ROW, ROW]), "is there 2 times"),
        (payment(NO), BOOKED, "told no and is there"),
        (payment(UNSURE, NO), listed("booked", BOOKED), "told no and is there"),
        (payment(NO), listed("unknown"), "told no, listed as"),
        (payment(UNSURE), BOOKED, "is not in reconcile"),
        (payment(UNSURE, YES), BOOKED, "is not in reconcile"),
        (payment(UNSURE), listed("unknown"), "still unknown after the faults"),
        (payment(UNSURE), listed("refused", BOOKED), "reconcile says"),
        (payment(UNSURE), listed("booked"), "reconcile says"),
        (payment(YES), replace(BOOKED, payments=[{**ROW, "amount": "1.24"}]), "booked otherwise"),
        (payment(YES), replace(BOOKED, payments=[{**ROW, "payer": "P2"}]), "booked otherwise"),
        (payment(YES), replace(BOOKED, owed=Counter(P1=876)), "owes 876"),
        (payment(YES), replace(BOOKED, reconcile=[{"problem": "1 cent"}]), "the ledger"),
    ],
)
def test_what_contradicts(errand, books, said):
    assert any(said in failure for failure in judged(errand, books))


def test_two_different_yes_and_what_nobody_asked_for_are_found():
    twice = payment(YES)
    twice.tries.append(Try(YES, b"another", 0, 0))
    assert "different answers" in judged(twice, BOOKED)[0]
    report = Report("")
    judge_payments([], BOOKED, report)
    assert "never asked for" in report.failures[0]


@pytest.mark.parametrize(
    ("where", "borrower", "good"),
    [
        (Where.HOME, None, True),
        (Where.HOME, "R1", False),
        (Where.LENT, "R1", True),
        (Where.LENT, "R2", False),
        (Where.LENT, None, False),
        (Where.EITHER, None, True),
        (Where.EITHER, "R1", True),
        (Where.EITHER, "R2", False),
    ],
)
def test_where_a_copy_may_be(where, borrower, good):
    copy = Copy("C1", where, "R1", [loan("11", LOST)])
    books = replace(EMPTY, borrowers={"C1": borrower} if borrower else {})
    report = Report("")
    judge_copies([copy], copy.errands, books, report)
    assert bool(report.failures) is not good


def test_each_unsure_loan_is_in_review():
    errands = [loan("11", UNSURE, YES), loan("11", UNSURE), loan("09", YES)]
    entry = {"kind": "unknown", "terminal": "kiosk-1", "message": "11", "item": "C1"}
    for number in range(3):
        report = Report("")
        judge_copies([], errands, replace(EMPTY, review=[entry] * number), report)
        assert bool(report.failures) is (number < 2)


def test_when_a_gateway_has_recovered():
    def tries(*heard):
        return [Try(told, b"", 100.0 + number, 0) for number, told in enumerate(heard)]

    assert recovered_at(tries(*[YES] * 20), 100) == 100
    assert recovered_at(tries(*[YES] * 19), 100) is None
    assert recovered_at(tries(*[YES] * 25), 102.5) == 103
    assert recovered_at(tries(NO, NO, *[YES] * 19), 100) == 101  # one of twenty may fail
    assert recovered_at(tries(NO, LOST, UNSURE, *[YES] * 18), 100) is None


def test_the_share_of_what_is_unsure():
    errands = [payment(YES)] * 99 + [payment(UNSURE, YES)] + [loan("11", YES)]
    report = Report("")
    judge_share(errands, 0.01, report)
    assert report.failures == []
    judge_share([*errands, payment(UNSURE)], 0.01, report)
    assert report.failures == ["2 of 101 payments are 'not sure', more than 1%"]
