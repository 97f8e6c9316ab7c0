"""A 37 in front of a library system whose terminal, store or library system goes away meanwhile
(B75, B79, C59, C98)."""

import asyncio
from functools import partial
from unittest.mock import patch

import pytest
from hostile_library import HELD, script
from till_library import Paid
from tills import (
    LATER,
    NOT_SURE,
    TIMEOUT_S,
    asked,
    before,
    books_agree,
    listed,
    pay,
    reconciled,
    until,
    went_up,
)

from sip2gw.backend.base import UnavailableError

REQUEST_TIMEOUT_S = 5
"""`server.request_timeout_s`."""


def instead(gateway, name, how):
    """While it lasts, `how` answers for this method of the store; it is given the method itself."""
    backend = gateway.app.gateway.services.backend
    return patch.object(backend, name, partial(how, getattr(backend, name)))


def is_connected(gateway, login):
    return bool(gateway.app.server.lines_of(login))


def waiting(gateway):
    """How many requests wait for each payment that is under way."""
    return [one.waiting for one in gateway.app.state.payments._under_way.values()]


async def test_who_comes_back_gets_the_answer_of_what_is_under_way(tmp_path):
    async with before(tmp_path, HELD) as (gateway, library):
        first = await gateway.terminal("till-1")
        await first.send(pay())
        await until(lambda: went_up(library))
        first.writer.transport.abort()
        await until(lambda: waiting(gateway) == [0])
        again = await gateway.terminal("till-1")
        await again.send(pay())
        await until(lambda: waiting(gateway) == [1])
        library.release()
        assert (await again.read()).startswith("38Y")
        assert library.answer.paid == [Paid(b"1001", b"", 200, b"B1")]
        assert listed(gateway) == [("booked", 200, "1001", [("", 200)])]


async def test_a_terminal_that_hangs_up_does_not_end_what_went_up(tmp_path):
    async with before(tmp_path, HELD) as (gateway, library):
        till = await gateway.terminal("till-1")
        await till.send(pay())
        await until(lambda: went_up(library))
        till.writer.transport.abort()
        await until(lambda: waiting(gateway) == [0])
        assert listed(gateway)[0][0] == "unknown"
        library.release()
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert books_agree(gateway, library)


async def test_their_yes_counts_although_another_gateway_has_settled_it(tmp_path):
    """The clock of the other one is half a minute ahead: it takes this one for dead."""
    async with before(tmp_path, HELD) as (gateway, library):
        till = await gateway.terminal("till-1")
        await till.send(pay())
        await until(lambda: went_up(library))
        (payment,) = gateway.store.payments()
        now = gateway.clock.now()
        await gateway.store.end_share(payment.id, 0, booked=False, now=now, settled=True)
        library.release()
        assert (await till.read()).startswith("38Y")
        assert listed(gateway) == [("booked", 200, "1001", [("", 200)])]
        assert books_agree(gateway, library)


async def test_their_no_is_not_certain_once_staff_have_settled_it_as_booked(tmp_path):
    async with before(tmp_path, HELD) as (gateway, library):
        library.answer._pay = lambda *_: False
        till = await gateway.terminal("till-1")
        await till.send(pay())
        await until(lambda: went_up(library))
        (going,) = gateway.store.reconciliations(gateway.clock.now())
        await gateway.store.settle_payment(
            going.payment.id, booked=True, note="too early", now=gateway.clock.now()
        )
        library.release()
        assert NOT_SURE in await till.read()
        assert [entry[0] for entry in listed(gateway)] == ["booked"]


async def test_past_the_deadline_it_is_not_sure_and_noted_when_the_answer_comes(tmp_path):
    used_s = REQUEST_TIMEOUT_S / 2  # by the 63
    assert used_s < REQUEST_TIMEOUT_S - used_s + 0.1 < TIMEOUT_S, "they are not late themselves"
    async with before(tmp_path) as (gateway, library):
        library.behave = lambda heard: HELD if heard.code in (b"63", b"37") else "right"
        till = await gateway.terminal("till-1")
        await till.send(pay())
        await until(lambda: library.asked)
        gateway.clock.advance(used_s)
        library.release()
        await until(lambda: went_up(library))
        gateway.clock.advance(REQUEST_TIMEOUT_S - used_s + 0.1)
        assert NOT_SURE in await till.read()
        library.behave = script()
        library.release()
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert (await till.ask(pay())).startswith("38Y")
        assert len(went_up(library)) == 1
        assert reconciled(gateway) == []  # nobody had to look


@pytest.mark.parametrize("leaves", ["hangs up", "gets a no"])
async def test_what_nobody_waits_for_any_more_does_not_go_up(tmp_path, leaves):
    async with before(tmp_path) as (gateway, library):
        has_begun, may_go_on = asyncio.Event(), asyncio.Event()

        async def slow(begin_shares, *args):
            has_begun.set()
            await may_go_on.wait()
            return await begin_shares(*args)

        till = await gateway.terminal("till-1")
        with instead(gateway, "begin_shares", slow):
            await till.send(pay())
            await asyncio.wait_for(has_begun.wait(), 10)
            if leaves == "hangs up":
                till.writer.transport.abort()
                await until(lambda: not is_connected(gateway, "till-1"))
            else:
                gateway.clock.advance(REQUEST_TIMEOUT_S + 1)
                answer = await till.read()
                assert answer.startswith("38N")
                assert NOT_SURE not in answer  # a no is certain
            may_go_on.set()
            await until(lambda: [entry[0] for entry in listed(gateway)] == ["refused"])
        assert went_up(library) == []
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay())).startswith("38Y")
        assert books_agree(gateway, library)


async def test_what_others_take_for_dead_does_not_go_up_any_more(tmp_path):
    """The process stands still between writing down the first share and sending it. Meanwhile
    another gateway settles it as not booked, so the terminal may pay anew."""
    async with before(tmp_path) as (gateway, library):

        async def stands_still(begin_shares, *args):
            begun = await begin_shares(*args)
            now = gateway.clock.now()
            await gateway.store.end_share(begun.payment_id, 0, booked=False, now=now, settled=True)
            gateway.clock.advance(LATER)
            return begun

        till = await gateway.terminal("till-1")
        with instead(gateway, "begin_shares", stands_still):
            answer = await till.ask(pay())
        assert answer.startswith("38N")
        assert NOT_SURE not in answer
        assert went_up(library) == []
        assert (await till.ask(pay())).startswith("38Y")
        assert len(library.answer.paid) == 1


async def test_nor_does_the_next_share(tmp_path):
    """The same between two 37s: what is booked stays, and the retry pays the other once."""
    async with before(tmp_path, keys='payment_split = "lines"\n') as (gateway, library):

        async def stands_still(end_share, *args, **kwargs):
            payment = await end_share(*args, **kwargs)
            gateway.clock.advance(LATER)
            return payment

        till = await gateway.terminal("till-1")
        with instead(gateway, "end_share", stands_still):
            assert (await till.ask(pay("5.00"))).startswith("38N")
        assert library.answer.paid == [Paid(b"1001", b"1", 200, b"B1")]
        assert (await till.ask(pay("5.00"))).startswith("38Y")
        assert library.answer.paid[1:] == [Paid(b"1001", b"2", 300, b"B1-2")]
        assert books_agree(gateway, library)


async def test_what_is_still_under_way_is_not_looked_at(tmp_path):
    """Nobody takes it for dead while it is being noted, however long that takes."""
    async with before(tmp_path) as (gateway, library):
        has_come, may_go_on = asyncio.Event(), asyncio.Event()

        async def slow(end_share, *args, **kwargs):
            has_come.set()
            await may_go_on.wait()
            return await end_share(*args, **kwargs)

        till = await gateway.terminal("till-1")
        with instead(gateway, "end_share", slow):
            await till.send(pay())
            await asyncio.wait_for(has_come.wait(), 10)
            asked_before = [body[:2] for body in library.asked]
            gateway.clock.advance(LATER)
            await asyncio.wait_for(gateway.app.settler.settle(), 10)
            assert [body[:2] for body in library.asked] == asked_before
            may_go_on.set()
            await until(lambda: listed(gateway)[0][0] == "booked")
        assert books_agree(gateway, library)


async def test_what_was_not_sent_is_a_no_although_that_is_noted_too_late(tmp_path):
    async with before(tmp_path) as (gateway, library):
        has_come, may_go_on = asyncio.Event(), asyncio.Event()

        async def as_it_goes_away(begin_shares, *args):
            library.vanish()
            await until(lambda: not gateway.app.library.states()[0].open)
            return await begin_shares(*args)

        async def slow(end_share, *args, **kwargs):
            has_come.set()
            await may_go_on.wait()
            return await end_share(*args, **kwargs)

        till = await gateway.terminal("till-1")
        with (
            instead(gateway, "begin_shares", as_it_goes_away),
            instead(gateway, "end_share", slow),
        ):
            await till.send(pay())
            await asyncio.wait_for(has_come.wait(), 10)
            gateway.clock.advance(REQUEST_TIMEOUT_S + 1)
            answer = await till.read()
            may_go_on.set()
            await until(lambda: listed(gateway)[0][0] == "refused")
        assert answer.startswith("38N")
        assert NOT_SURE not in answer


@pytest.mark.parametrize("split", ["sum", "lines"])
async def test_what_cannot_be_sent_is_not_done_and_may_be_paid_later(tmp_path, split):
    """The library system goes away between its answer to the 63 and the 37."""
    async with before(tmp_path, keys=f'payment_split = "{split}"\n') as (gateway, library):

        async def as_it_goes_away(begin_shares, *args):
            library.vanish()
            await until(lambda: not gateway.app.library.states()[0].open)
            return await begin_shares(*args)

        till = await gateway.terminal("till-1")
        with instead(gateway, "begin_shares", as_it_goes_away):
            answer = await till.ask(pay("5.00"))
        assert answer.startswith("38N")
        assert NOT_SURE not in answer
        assert [entry[0] for entry in listed(gateway)] == ["refused"]
        assert reconciled(gateway) == []
        await library.listen()
        gateway.clock.advance(60)  # the breaker tries again
        await until(lambda: gateway.app.library.states()[0].open)
        assert (await till.ask(pay("5.00"))).startswith("38Y")
        assert books_agree(gateway, library)


async def test_what_is_booked_of_two_stays_and_the_retry_pays_the_other(tmp_path):
    """The library system goes away between two 37s."""
    async with before(tmp_path, keys='payment_split = "lines"\n') as (gateway, library):

        async def as_it_goes_away(end_share, *args, **kwargs):
            library.vanish()
            await until(lambda: not gateway.app.library.states()[0].open)
            return await end_share(*args, **kwargs)

        till = await gateway.terminal("till-1")
        with instead(gateway, "end_share", as_it_goes_away):
            assert NOT_SURE in await till.ask(pay("5.00"))
        assert list(gateway.store.refused_payments()) == []
        assert library.answer.paid == [Paid(b"1001", b"1", 200, b"B1")]
        assert listed(gateway) == [("unknown", 500, "1001", [("1", 200)])]
        assert reconciled(gateway) == [("unknown", 300, None, "not-booked")]
        await library.listen()
        gateway.clock.advance(60)
        await until(lambda: gateway.app.library.states()[0].open)
        assert (await till.ask(pay("5.00"))).startswith("38Y")
        assert library.answer.paid[1:] == [Paid(b"1001", b"2", 300, b"B1-2")]
        assert books_agree(gateway, library)


# While our store is away ---------------------------------------------------------------------


@pytest.mark.parametrize("keys", ["", "payments = false\n"])
async def test_the_retry_of_what_was_just_booked_is_not_sure(tmp_path, keys):
    """C98: the network that lost the 38 may have taken the store away as well."""
    async with before(tmp_path, keys=keys) as (gateway, _library):
        assert (await (await gateway.terminal("till-1")).ask(pay())).startswith("38Y")
        till = await gateway.terminal("till-1")

        async def fail(*_):
            raise UnavailableError("the database cannot be reached")

        with instead(gateway, "find_here", fail):
            assert NOT_SURE in await till.ask(pay())
            for other in (pay("1.00"), pay(bk="B2")):
                answer = await till.ask(other)
                assert answer.startswith("38N")
                assert NOT_SURE not in answer
        await until(lambda: not gateway.store._doubts)
        assert [entry[0] for entry in reconciled(gateway)] == ["booked"]
        assert (await till.ask(pay())).startswith("38Y")
        assert [entry[0] for entry in listed(gateway)] == ["booked"]
        assert [entry[0] for entry in reconciled(gateway)] == ["resolved"]


# While the library system is away ------------------------------------------------------------


async def test_while_it_is_away_an_unknown_payment_stays_unknown(tmp_path):
    async with before(tmp_path, "silent") as (gateway, library):
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await asked(gateway, till, pay())
        library.vanish()
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await till.ask(pay())
        assert [entry[0] for entry in listed(gateway)] == ["unknown"]


async def test_when_it_is_back_it_gets_time_for_what_it_had_read_before(tmp_path):
    """A library system that stands still for a minute books the 37 when it goes on."""
    async with before(tmp_path, "silent") as (gateway, library):
        till = await gateway.terminal("till-1")
        book, library.answer._pay = library.answer._pay, lambda *_: False
        assert NOT_SURE in await asked(gateway, till, pay())
        library.vanish()
        gateway.clock.advance(LATER)
        await library.listen()
        while not gateway.app.library.states()[0].open:
            await gateway.app.settler.settle()
            gateway.clock.advance(1)
            await asyncio.sleep(0.01)
        await gateway.app.settler.settle()
        await until(lambda: reconciled(gateway) == [("unknown", 500, 500, "not-booked")])
        await gateway.app.settler.settle()
        assert listed(gateway)[0][0] == "unknown"
        book(b"1001", b"", 200)
        library.answer.paid.append(Paid(b"1001", b"", 200, b"B1"))
        gateway.clock.advance(2 * LATER)
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert books_agree(gateway, library)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(pay(bk=""), id="no receipt number"),
        pytest.param(pay("3.00"), id="another amount"),
        pytest.param(pay(patron="1002"), id="another card"),
        pytest.param(pay(more="CG1|"), id="another fee"),
    ],
)
async def test_while_it_is_away_only_the_very_same_is_answered_from_the_journal(tmp_path, other):
    async with before(tmp_path) as (gateway, library):
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay())).startswith("38Y")
        library.vanish()
        till = await gateway.terminal("till-1")
        assert (await till.ask(other)).startswith("38N")
        assert (await till.ask(pay())).startswith("38Y")


async def test_c98_while_it_is_away_a_retry_without_a_receipt_number_is_no_no(tmp_path):
    """What was booked before the gateway was started anew, is found by the date (B46)."""
    async with before(tmp_path) as (gateway, library):
        first = await (await gateway.terminal("till-1")).ask(pay(bk=""))
        assert first.startswith("38Y")
        gateway.store._doubts._done.clear()  # as after a start
        library.vanish()
        till = await gateway.terminal("till-1")
        assert await till.ask(pay(bk="")) == first
        for date in ("20260310    120100", " " * 18):
            assert (await till.ask(pay(bk="", date=date))).startswith("38N")
        assert (await till.ask(pay(bk="", patron="1002"))).startswith("38N")


TOMORROW = "20260311    120000"


@pytest.mark.parametrize(
    ("profile", "kept"),
    [
        pytest.param("", ["bk_another_day"], id="nobody knows whether it is a retry"),
        pytest.param("bk_retention_days = 1", [], id="receipts start anew each day"),
    ],
)
async def test_c105_while_it_is_away_the_number_of_another_day_is_not_taken_for_a_retry(
    tmp_path, profile, kept
):
    """A yes would tell of yesterday's payment, and today's would be nowhere."""
    async with before(tmp_path, profile=profile) as (gateway, library):
        assert (await (await gateway.terminal("till-1")).ask(pay())).startswith("38Y")
        library.vanish()
        gateway.clock.advance(23 * 3600)
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay())).startswith("38Y")
        assert NOT_SURE in await till.ask(pay(date=TOMORROW))
        assert [one.reason for one in gateway.store.refused_payments()] == kept


async def test_while_it_is_away_a_receipt_number_is_free_after_its_days(tmp_path):
    """C5: its clock stands still, so all its payments seem to be of one day."""
    async with before(tmp_path) as (gateway, library):
        assert (await (await gateway.terminal("till-1")).ask(pay())).startswith("38Y")
        library.vanish()
        gateway.clock.advance(31 * 86400)
        assert (await (await gateway.terminal("till-1")).ask(pay())).startswith("38N")


async def test_while_it_is_away_what_they_refused_is_a_no(tmp_path):
    async with before(tmp_path) as (gateway, library):
        library.answer._pay = lambda *_: False
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay())).startswith("38N")
        library.vanish()
        answer = await till.ask(pay())
        assert answer.startswith("38N")
        assert NOT_SURE not in answer


@pytest.mark.parametrize("fee", ["é1", "1\x07"])
async def test_a_fee_that_nobody_can_have_written_is_not_asked_for(tmp_path, fee):
    """Its characters are none of theirs, or none at all."""
    async with before(tmp_path, keys='encoding = "ascii"\n') as (gateway, library):
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay(more=f"CG{fee}|"))).startswith("38N")
        assert went_up(library) == []
        assert [one.reason for one in gateway.store.refused_payments()] == ["unknown_fee"]


# Nobody is paid for --------------------------------------------------------------------------


async def test_where_they_take_no_37_none_is_sent(tmp_path):
    async with before(tmp_path, keys='messages = ["23", "63"]\n') as (gateway, library):
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay())).startswith("38N")
        assert library.asked == []


async def test_a_card_that_they_do_not_know_pays_nothing(tmp_path):
    """64 with BLN: unknown there."""
    async with before(tmp_path) as (gateway, library):
        known = library.answer
        library.answer = lambda heard, **more: known(heard, **more).replace(b"BLY", b"BLN")
        till = await gateway.terminal("till-1")
        answer = await till.ask(pay())
        assert answer.startswith("38N")
        assert "AFThis card is not known. Please ask the staff.|" in answer
        assert went_up(library) == []
        assert [one.reason for one in gateway.store.refused_payments()] == ["unknown_card"]
