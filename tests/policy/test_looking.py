"""What a look at the library system tells about a request of unknown outcome (C98, C127)."""

import pytest

from sip2gw.policy.upstream.looking import (
    Attempt,
    Ending,
    Whereabouts,
    answer_to_done,
    ending_of,
    needs_loans,
    where_item_is,
    where_loans_say,
    words_of,
)
from sip2gw.protocol.messages import (
    CheckinResponse,
    CheckoutResponse,
    ItemInformationResponse,
    PatronInformationResponse,
)

THEIRS, ANOTHERS, ON_LOAN, HERE, UNCLEAR = Whereabouts
DONE, REFUSED, UNKNOWN = Ending


def attempt(code="11", patron="1001", *, cancels=False, undone=False, recent=False):
    return Attempt(code, patron, cancels, undone, recent)


@pytest.mark.parametrize(
    ("status", "extra", "where"),
    [
        ("03", [], HERE),
        ("08", [], HERE),
        ("04", [], ON_LOAN),
        ("07", [], ON_LOAN),
        ("04", [("AA", b"1001")], THEIRS),
        ("04", [("AA", b"2002 ")], ANOTHERS),
        ("03", [("AA", b"1001")], HERE),
        ("12", [], UNCLEAR),  # lost
        ("01", [], UNCLEAR),
    ],
)
def test_an_18_says_whether_the_item_is_on_loan(status, extra, where):
    said = ItemInformationResponse(circulation_status=status, extra_fields=extra)
    assert where_item_is(said, "1001") is where


def test_where_patrons_have_two_numbers_another_one_may_be_theirs():
    """Who borrows by a user name has the loan under their number (C151)."""
    said = ItemInformationResponse(circulation_status="04", extra_fields=[("AA", b"1001")])
    assert where_item_is(said, "anna", aliases=True) is ON_LOAN
    assert where_item_is(said, "1001", aliases=True) is THEIRS


def test_without_a_patron_it_is_nobodys():
    said = ItemInformationResponse(circulation_status="04", extra_fields=[("AA", b"1001")])
    assert where_item_is(said, "") is ON_LOAN


@pytest.mark.parametrize(
    ("loans", "count", "valid", "where"),
    [
        (("I0", " I1 "), 2, True, THEIRS),
        (("I0",), 1, True, ANOTHERS),
        ((), 0, True, ANOTHERS),
        (("I0",), 2, True, UNCLEAR),  # a list that was cut
        (("I0 A book", "I1 Another book"), 2, True, THEIRS),
        (("I1/Another",), 1, True, UNCLEAR),
        (("I1-2",), 1, True, ANOTHERS),
        (("I11", "I1A"), 2, True, ANOTHERS),
        (("I11 A book",), 1, True, UNCLEAR),
        (("The Hobbit",), 1, True, UNCLEAR),  # titles: I1 may be one of them
        (("I0", "Dune"), 2, True, UNCLEAR),
        (("I1",), 1, False, UNCLEAR),  # BLN says nothing about a patron (C158)
    ],
)
def test_a_64_says_whether_it_is_with_the_patron(loans, count, valid, where):
    said = PatronInformationResponse(
        charged_items=loans, charged_items_count=count, valid_patron=valid
    )
    assert where_loans_say(said, "I1") is where


@pytest.mark.parametrize(
    ("asked", "where", "needs"),
    [
        (attempt(), ON_LOAN, True),
        (attempt("29"), ON_LOAN, True),
        (attempt(), UNCLEAR, True),
        (attempt(), HERE, False),
        (attempt(), THEIRS, False),
        (attempt("09", ""), ON_LOAN, False),
        (attempt("15"), ON_LOAN, False),
        (attempt(cancels=True), ON_LOAN, False),
        (attempt(patron=""), ON_LOAN, False),
    ],
)
def test_the_loans_are_asked_for_where_the_item_does_not_tell(asked, where, needs):
    assert needs_loans(asked, where) is needs


@pytest.mark.parametrize(
    ("asked", "where", "ending"),
    [
        (attempt(), THEIRS, DONE),
        (attempt(), ANOTHERS, REFUSED),
        (attempt(), HERE, REFUSED),
        (attempt(), ON_LOAN, UNKNOWN),
        (attempt(), UNCLEAR, UNKNOWN),
        (attempt(recent=True), THEIRS, DONE),
        (attempt(recent=True), HERE, None),  # it may still be about to be done
        (attempt(undone=True), HERE, UNKNOWN),  # lent, and returned since
        (attempt(undone=True, recent=True), ANOTHERS, UNKNOWN),
        (attempt("09", ""), HERE, DONE),
        (attempt("09", ""), ON_LOAN, REFUSED),
        (attempt("09", "", recent=True), ON_LOAN, None),
        (attempt("09", "", undone=True), ON_LOAN, UNKNOWN),  # returned, and lent since
        (attempt("29"), THEIRS, UNKNOWN),  # nobody knows the due date before
        (attempt("29"), ANOTHERS, REFUSED),
        (attempt("29"), HERE, REFUSED),
        (attempt("15"), HERE, UNKNOWN),
        (attempt(cancels=True), THEIRS, UNKNOWN),
        (attempt("09", "", cancels=True), HERE, UNKNOWN),
    ],
)
def test_what_became_of_it(asked, where, ending):
    assert ending_of(asked, where) is ending


@pytest.mark.parametrize(
    ("asked", "due", "words"),
    [
        (attempt(), "20260331    235900", ("on_loan", "due_20260331235900")),
        (attempt(), "31 März", ("on_loan", "due_31Mrz")),
        (attempt(), "9" * 50, ("on_loan", "due_" + "9" * 20)),
        (attempt(), None, ("on_loan",)),
        (attempt(cancels=True, undone=True), None, ("cancellation", "on_loan", "may_be_undone")),
    ],
)
def test_staff_see_what_was_seen(asked, due, words):
    assert words_of(asked, ON_LOAN, ItemInformationResponse(due_date=due)) == words


def test_staff_see_that_no_item_was_asked_about():
    assert words_of(attempt(), UNCLEAR, None) == ("not_told",)


def test_a_terminal_that_asks_again_is_told_what_the_18_says():
    said = ItemInformationResponse(
        title_identifier="Title", due_date="tomorrow", permanent_location="MAIN"
    )
    assert answer_to_done(attempt(), "I1", said) == CheckoutResponse(
        ok=True,
        desensitize=True,
        patron_identifier="1001",
        item_identifier="I1",
        title_identifier="Title",
        due_date="tomorrow",
    )
    assert answer_to_done(attempt("09", ""), "I1", said) == CheckinResponse(
        ok=True,
        resensitize=True,
        item_identifier="I1",
        permanent_location="MAIN",
        title_identifier="Title",
    )
    for status, alert_type in (("08", "01"), ("10", "04")):  # B59: on the hold shelf, in transit
        said = ItemInformationResponse(circulation_status=status)
        assert answer_to_done(attempt("09", ""), "I1", said) == CheckinResponse(
            ok=True, resensitize=True, alert=True, item_identifier="I1", alert_type=alert_type
        )
    bare = CheckoutResponse(
        ok=True, desensitize=True, patron_identifier="1001", item_identifier="I1"
    )
    assert answer_to_done(attempt(), "I1", None) == bare
    returned = CheckinResponse(ok=True, resensitize=True, item_identifier="I1")
    assert answer_to_done(attempt("09", ""), "I1", None) == returned
