"""The library system of the benchmarks keeps books that ours can be held against."""

from __future__ import annotations

from benchmarks.bare_library import BOOKS, Books
from benchmarks.library import Library
from benchmarks.load import Expected
from benchmarks.workloads import look_and_pay_frames, sealed
from sip2gw.protocol.checksum import checksum_matches, split_trailer
from sip2gw.protocol.messages import FeePaid


def paid(bk: str, amount: str) -> bytes:
    """A 37, without its CR."""
    request = FeePaid(
        transaction_date="20260302    101500",
        payment_type="00",
        fee_amount=amount,
        patron_identifier="7",
        transaction_id=bk,
    )
    return sealed([request])[0][:-1]


def test_what_is_paid_is_owed_no_more() -> None:
    books = Books()
    look, pay = look_and_pay_frames(Library(4, 4), 1)
    before, answer, after = (books.to(frame[:-1]) for frame in (look, pay, look))
    assert Expected(b"64", b"|BV1000.00|").is_good(before)
    assert Expected(b"38Y", b"|AA29500000000002|").is_good(answer)
    assert Expected(b"64", b"|BV999.99|").is_good(after)
    trailer = split_trailer(after.rstrip(b"\r"))
    assert checksum_matches(trailer.summed, trailer.digits)


def test_what_comes_twice_is_booked_twice_and_told() -> None:
    books = Books()
    for bk, amount in (("K1", "1.50"), ("K2", "2.00"), ("K1", "1.50")):
        books.to(paid(bk, amount))
    assert books.to(BOOKS[:-1]) == b"003 500 1\r"
