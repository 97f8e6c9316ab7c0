"""What every store must do with attempts of which nobody knew whether they were done (C98).

A store's test class inherits it and provides `library`. An attempt is made unknown here by saying
so: whether it was booked before, will be tried later, or never reached the store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from orders import decided_by

from sip2gw.backend.attempts import UnknownAttempt, UnknownCirculation, UnknownPayment
from sip2gw.backend.base import (
    BackendError,
    CirculationOrder,
    PaymentOrder,
    RefusedError,
    UnavailableError,
)
from sip2gw.backend.database import Connection, WriteResult
from sip2gw.backend.doubts import Doubts
from sip2gw.backend.library import Library
from sip2gw.backend.sql.money.unknown import attempt_of, unknown_attempts

from . import test_circulation as desk
from .library import NOW, order, pay_fee

LATER = NOW + timedelta(minutes=5)


def unknown(attempted: PaymentOrder | CirculationOrder) -> UnknownAttempt:
    """What is noted of the order when its outcome is unknown."""
    return attempt_of(attempted)


def doubts(library: Any) -> Doubts:
    """What the gateway's store keeps outside of itself."""
    kept: Doubts = library._doubts
    return kept


def same_as(known: UnknownAttempt) -> Callable[[UnknownAttempt], bool]:
    """Recognises `known`."""
    return lambda other: other.id == known.id


def listed(library: Library) -> dict[str, tuple[str, str]]:
    """BK and state of each payment that was answered with "not sure", by id."""
    return {one.payment.id: (one.payment.bk, one.state) for one in library.reconciliations(NOW)}


async def owed(library: Library, fee_id: str = "F1") -> int:
    """What P1 owes of a fee: 2.50 at first."""
    record = await library.find_patron("P1")
    assert record is not None
    return {fee.id: fee.owed for fee in record.fees}[fee_id]


class UnknownContract:
    """The contract suite; `library` is loaded with the small library."""

    # Payments

    async def test_every_attempt_has_an_id_and_the_payment_gets_it(self, library: Library) -> None:
        first, second = order("BK1"), order("BK2")
        assert first.id != second.id
        booked = await library.book_payment(decided_by(first, pay_fee("F1")))
        assert booked.payment is not None
        assert booked.payment.id == first.id

    async def test_what_was_not_booked_is_settled_as_refused_and_shown(
        self, library: Library
    ) -> None:
        """C157: with what was owed then and is owed now, 2.50 + 1.20 and 6.00 of the child."""
        seen = await library.find_payer("C1")
        lost = order(seen=seen, card="C1")
        (settled,) = await library.settle([unknown(lost)], LATER)
        assert (settled.attempt.id, settled.done) == (lost.id, False)
        (shown,) = library.reconciliations(NOW)
        assert (shown.payment.id, shown.payment.bk, shown.state) == (lost.id, "BK1", "refused")
        assert (shown.payment.owed, shown.after) == (970, 970)
        assert (shown.settled, shown.proposal) == (LATER, "")
        (row,) = library.payments()
        assert (row.id, row.status, row.lines) == (lost.id, "refused", ())
        assert library.self_check() == []
        assert await owed(library) == 250

    async def test_what_was_settled_as_refused_is_never_booked_later(
        self, library: Library
    ) -> None:
        """The fence: the statement that was stuck on its way arrives after all."""
        late = order()
        await library.settle([unknown(late)], LATER)
        with pytest.raises(BackendError):
            await library.book_payment(decided_by(late, pay_fee("F1")))
        assert await owed(library) == 250
        assert [row.status for row in library.payments()] == ["refused"]

    async def test_a_retry_after_a_refusal_is_booked_and_resolves_it(
        self, library: Library
    ) -> None:
        lost, again = order(), order()
        await library.settle([unknown(lost)], LATER)
        result = await library.book_payment(decided_by(again, pay_fee("F1")))
        assert result.outcome == "booked"
        assert await owed(library) == 150
        assert listed(library) == {lost.id: ("BK1", "resolved")}

    async def test_another_payment_under_the_freed_key_resolves_nothing(
        self, library: Library
    ) -> None:
        lost = order()
        await library.settle([unknown(lost)], LATER)
        other = order(amount=50)
        result = await library.book_payment(decided_by(other, pay_fee("F1", 50)))
        assert result.outcome == "booked"
        assert listed(library) == {lost.id: ("BK1", "refused")}

    async def test_what_was_booked_is_settled_as_booked(self, library: Library) -> None:
        """The answer was "not sure", but the commit had gone through."""
        done = order()
        await library.book_payment(decided_by(done, pay_fee("F1")))
        (settled,) = await library.settle([unknown(done)], LATER)
        assert settled.done
        assert listed(library) == {done.id: ("BK1", "booked")}
        assert [row.status for row in library.payments()] == ["booked"]
        assert library.self_check() == []

    async def test_a_retry_of_what_was_booked_gets_its_yes_and_resolves_it(
        self, library: Library
    ) -> None:
        """C59."""
        done = order()
        first = await library.book_payment(decided_by(done, pay_fee("F1")))
        await library.settle([unknown(done)], LATER)
        again = await library.book_payment(decided_by(order(), pay_fee("F1")))
        assert (again.outcome, again.payment) == ("replayed", first.payment)
        assert listed(library) == {done.id: ("BK1", "resolved")}
        assert await owed(library) == 150

    async def test_what_was_booked_and_undone_was_booked(self, library: Library) -> None:
        from .library import ZONE

        done = order()
        await library.book_payment(decided_by(done, pay_fee("F1")))
        await library.undo_payment(done.id, NOW, ZONE)
        (settled,) = await library.settle([unknown(done)], LATER)
        assert settled.done
        assert [row.status for row in library.payments()] == ["undone"]

    async def test_settling_twice_finds_the_same(self, library: Library) -> None:
        """Two gateways look at once; or what lay in a spool comes back after a crash."""
        lost, done = order("BK1"), order("BK2")
        await library.book_payment(decided_by(done, pay_fee("F1")))
        for moment in (LATER, LATER + timedelta(hours=1)):
            settled = await library.settle([unknown(lost), unknown(done)], moment)
            assert [known.done for known in settled] == [False, True]
        assert listed(library) == {lost.id: ("BK1", "refused"), done.id: ("BK2", "booked")}
        assert {one.settled for one in library.reconciliations(NOW)} == {LATER}

    async def test_what_another_gateway_left_open_in_the_store_is_settled(
        self, library: Library
    ) -> None:
        """Its row holds the key until then."""
        left = order()
        await library.settle([unknown(left)], LATER)

        def reopen(connection: Connection) -> WriteResult[None]:
            connection.execute("UPDATE payment SET status = 'unknown', key = 'BK1'")
            connection.execute("UPDATE attempt SET settled = NULL")
            return WriteResult(None)

        await library.write(reopen)
        assert listed(library) == {left.id: ("BK1", "unknown")}
        with library.snapshot() as connection:
            (found,) = unknown_attempts(connection)
        assert found == unknown(left)
        (settled,) = await library.settle([found], LATER)
        assert not settled.done
        assert listed(library) == {left.id: ("BK1", "refused")}
        assert (await library.book_payment(decided_by(order(), pay_fee("F1")))).outcome == "booked"

    async def test_what_was_settled_long_ago_is_not_shown(self, library: Library) -> None:
        await library.settle([unknown(order())], LATER)
        assert len(library.reconciliations(LATER)) == 1
        assert library.reconciliations(LATER + timedelta(seconds=1)) == []

    async def test_nothing_is_open_once_it_is_settled(self, library: Library) -> None:
        assert list(await library.unknown_attempts()) == []
        await library.settle([unknown(order()), unknown(desk.order())], LATER)
        assert list(await library.unknown_attempts()) == []

    async def test_staff_cannot_settle_what_is_settled(self, library: Library) -> None:
        lost = order()
        await library.settle([unknown(lost)], LATER)
        with pytest.raises(RefusedError, match=lost.id):
            await library.settle_payment(lost.id, booked=False, note="gave 1.00 back", now=LATER)
        with pytest.raises(RefusedError, match="nobody"):
            await library.settle_payment("nobody", booked=True, note="", now=LATER)

    async def test_without_a_spool_a_retry_still_gets_its_yes_and_nothing_new_is_booked(
        self, library: Library
    ) -> None:
        done = order()
        await library.book_payment(decided_by(done, pay_fee("F1")))
        assert not library.spool_problem
        doubts(library).writable, doubts(library).problem = False, "no space is left"
        assert library.spool_problem == "no space is left"
        again = await library.book_payment(decided_by(order(), pay_fee("F1")))
        assert (again.outcome, again.payment and again.payment.id) == ("replayed", done.id)
        other = await library.book_payment(decided_by(order(amount=50), pay_fee("F1", 50)))
        assert other.refusal == "bk_reused"
        with pytest.raises(UnavailableError, match="could be noted"):
            await library.book_payment(decided_by(order("BK2"), pay_fee("F1")))
        assert [row.bk for row in library.payments()] == ["BK1"]

    async def test_what_is_noted_is_open_until_it_is_settled(self, library: Library) -> None:
        """For a request that cannot even be read up, and may be the retry of it."""
        lost, loan = unknown(order()), unknown(desk.order())
        await doubts(library).note(lost)
        await doubts(library).note(loan)
        for known in (lost, loan):
            assert await library.has_open_attempt(same_as(known))
        assert not await library.has_open_attempt(same_as(unknown(order("BK2"))))
        await library.settle([lost], LATER)
        assert not await library.has_open_attempt(same_as(lost))
        assert await library.has_open_attempt(same_as(loan))

    async def test_what_turned_out_to_be_done_stays_known(self, library: Library) -> None:
        """Its terminal was told "not sure", and asks again when the store has failed once more."""
        paid = order()
        await library.book_payment(decided_by(paid, pay_fee("F1")))
        await doubts(library).note(unknown(paid))
        await library.settle([unknown(paid)], LATER)
        assert await library.unknown_attempts() == []
        assert await library.has_open_attempt(same_as(unknown(paid)))
        # The terminal is told "not sure" now, so it is listed and looked at again.
        assert [known.id for known in await library.unknown_attempts()] == [paid.id]
        await library.settle([unknown(paid)], LATER)
        assert listed(library) == {paid.id: ("BK1", "booked")}

    async def test_what_was_done_at_once_stays_known_too(self, library: Library) -> None:
        """The network that lost the yes may take the store away as well."""
        paid, lent = order(), desk.order(patron="P1")
        again, refused = order(), order("BK2")
        await library.book_payment(decided_by(paid, pay_fee("F1")))
        await library.book_payment(decided_by(again, pay_fee("F1")))
        await library.book_payment(decided_by(refused, pay_fee("nothing like it")))
        await library.circulate(decided_by(lent, desk.lending()))
        assert await library.has_open_attempt(same_as(unknown(paid)))
        assert await library.has_open_attempt(same_as(unknown(lent)))
        for nothing in (again, refused):
            assert not await library.has_open_attempt(same_as(unknown(nothing)))
        await library.settle(await library.unknown_attempts(), LATER)
        assert listed(library) == {paid.id: ("BK1", "booked")}

    async def test_of_what_was_done_the_oldest_is_forgotten(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sip2gw.backend.doubts.DONE_KEPT_MAX", 2)
        paid = [order(f"BK{number}", 10) for number in range(3)]
        for one in paid:
            await library.book_payment(decided_by(one, pay_fee("F1", 10)))
        known = [await library.has_open_attempt(same_as(unknown(one))) for one in paid]
        assert known == [False, True, True]

    async def test_what_its_retry_found_to_be_done_stays_known(self, library: Library) -> None:
        """Perhaps the yes never arrived, and the store fails before the terminal asks again."""
        first = order("BK1")
        paid, lost = unknown(first), unknown(order("BK2"))
        await library.book_payment(decided_by(first, pay_fee("F1")))
        for known in (paid, lost):
            await doubts(library).note(known)
        assert (
            await library.book_payment(decided_by(order("BK1"), pay_fee("F1")))
        ).outcome == "replayed"
        refusing = pay_fee("nothing like it")
        assert (await library.book_payment(decided_by(order("BK2"), refusing))).outcome == "refused"
        assert await library.unknown_attempts() == []
        assert await library.has_open_attempt(same_as(paid))
        assert not await library.has_open_attempt(same_as(lost))

    # Circulation

    async def test_a_loan_that_was_not_made_is_for_review_as_refused(
        self, library: Library
    ) -> None:
        lost = desk.order()
        (settled,) = await library.settle([unknown(lost)], LATER)
        assert not settled.done
        (entry,) = library.reviews()
        assert (entry.id, entry.kind, entry.outcome) == (lost.id, "unknown", "refused")
        assert (entry.message, entry.item, entry.patron) == ("11", "I2", "P3")
        assert entry.state == "open"

    @pytest.mark.parametrize("key", ["kiosk-1|11|P1|I2", None])
    async def test_a_loan_that_was_made_is_for_review_as_done(
        self, library: Library, key: str | None
    ) -> None:
        done = desk.order(patron="P1", key=key)
        assert (await library.circulate(decided_by(done, desk.lending()))).outcome == "done"
        (settled,) = await library.settle([unknown(done)], LATER)
        assert settled.done
        assert [(entry.kind, entry.outcome) for entry in library.reviews()] == [("unknown", "done")]

    async def test_a_retry_of_a_loan_is_judged_afresh_once_it_is_settled(
        self, library: Library
    ) -> None:
        await library.settle([unknown(desk.order(patron="P1"))], LATER)
        again = await library.circulate(decided_by(desk.order(patron="P1"), desk.lending()))
        assert again.outcome == "done"

    # What is noted

    async def test_everything_that_settling_needs_is_noted(self, library: Library) -> None:
        seen = await library.find_payer("C1")
        payment, loan = order(seen=seen, card="Ann's card"), desk.order(key=None, patron=None)
        noted = attempt_of(payment)
        assert isinstance(noted, UnknownPayment)
        assert (noted.id, noted.key, noted.content) == (payment.id, payment.key, payment.content)
        assert (noted.owed, noted.time) == (970, NOW)
        assert "Ann's card" not in repr(noted)
        other = attempt_of(loan)
        assert isinstance(other, UnknownCirculation)
        assert (other.key, other.patron_id) == (f"#{loan.id}", "")
