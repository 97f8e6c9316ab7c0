"""Two who pay the same in front of a library system: it goes up once (B44, C60)."""

import asyncio
from contextlib import asynccontextmanager
from unittest.mock import patch

import pytest
from hostile_library import HELD
from till_library import Paid
from tills import LATER, NOT_SURE, asked, before, books_agree, listed, pay, until, went_up

from sip2gw.backend.base import UnavailableError
from sip2gw.backend.sql.money import shares
from sip2gw.backend.sql.values import time_text

BY_FEE, BY_SUM = "CG1|", ""


def one_fee():
    """What the patron owes."""
    return {b"1001": {b"1": 200}}


def refusals(gateway):
    return [one.reason for one in gateway.store.refused_payments()]


@pytest.mark.parametrize("fee", [BY_FEE, BY_SUM])
async def test_what_is_under_way_is_not_owed_any_more(tmp_path, fee):
    """The library system would book it twice, for it takes its time with the first."""
    async with before(tmp_path, HELD, owed=one_fee()) as (gateway, library):
        first, second = await gateway.terminal("till-1"), await gateway.terminal("till-2")
        await first.send(pay(more=fee))
        await until(lambda: went_up(library))
        library.answer.owed |= one_fee()  # so it says still
        assert "There is nothing to pay." in await second.ask(pay(bk="B2", more=fee))
        assert refusals(gateway) == ["nothing_to_pay"]
        library.release()
        assert (await first.read()).startswith("38Y")
        assert library.answer.paid == [Paid(b"1001", fee[2:3].encode(), 200, b"B1")]
        assert books_agree(gateway, library)


async def test_another_fee_is(tmp_path):
    async with before(tmp_path, HELD) as (gateway, library):
        first, second = await gateway.terminal("till-1"), await gateway.terminal("till-2")
        await first.send(pay(more="CG1|"))
        await until(lambda: went_up(library))
        assert (await second.ask(pay("3.00", bk="B2", more="CG2|"))).startswith("38Y")
        library.release()
        assert (await first.read()).startswith("38Y")
        assert books_agree(gateway, library)


@pytest.mark.parametrize("fee", [BY_FEE, BY_SUM])
async def test_another_receipt_number_does_not_pay_what_nobody_knows_of(tmp_path, fee):
    """C59: nor is the terminal told anything else of its own than before."""
    async with before(tmp_path, "silent", owed=one_fee()) as (gateway, library):
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await asked(gateway, till, pay(more=fee))
        library.answer.owed |= one_fee()
        assert "There is nothing to pay." in await till.ask(pay(bk="B2", more=fee))
        assert NOT_SURE in await till.ask(pay(more=fee))
        assert len(went_up(library)) == 1
        assert [entry[0] for entry in listed(gateway)] == ["unknown"]


@asynccontextmanager
async def overtaken(gateway, library, second):
    """The payment B2 of the terminal has seen the list, and is written down after the block."""
    backend, may_go_on = gateway.app.gateway.services.backend, asyncio.Event()
    begin_shares = backend.begin_shares

    async def slow(order, *rest):
        if order.bk == "B2":
            await may_go_on.wait()
        return await begin_shares(order, *rest)

    with patch.object(backend, "begin_shares", slow):
        gateway.clock.advance(0.5)
        await second.send(pay(bk="B2"))
        await until(lambda: library.codes.count(b"63"))
        gateway.clock.advance(0.001)
        yield
        may_go_on.set()
        assert "There is nothing to pay." in await second.read()


async def test_what_was_booked_after_the_list_was_asked_for_is_not_owed_either(tmp_path):
    async with before(tmp_path, owed=one_fee()) as (gateway, library):
        first, second = await gateway.terminal("till-1"), await gateway.terminal("till-2")
        async with overtaken(gateway, library, second):
            assert (await first.ask(pay())).startswith("38Y")
        # A list that is asked for now says what is owed.
        library.answer.owed |= one_fee()
        assert (await second.ask(pay(bk="B2"))).startswith("38Y")
        assert books_agree(gateway, library)


async def test_what_could_be_noted_only_later_is_not_owed_either(tmp_path):
    """C98: our store failed when it was booked there."""
    async with before(tmp_path, owed=one_fee()) as (gateway, library):
        first, second = await gateway.terminal("till-1"), await gateway.terminal("till-2")
        async with overtaken(gateway, library, second):
            with patch.object(shares, "end", side_effect=UnavailableError("away")):
                assert NOT_SURE in await first.ask(pay())
            await until(lambda: listed(gateway)[0][0] == "booked")
        assert books_agree(gateway, library)


async def test_what_was_found_to_be_booked_was_so_at_that_instant(tmp_path):
    async with before(tmp_path, "silent", owed=one_fee()) as (gateway, _library):
        till = await gateway.terminal("till-1")
        assert NOT_SURE in await asked(gateway, till, pay())
        gateway.clock.advance(LATER + 0.001)
        await until(lambda: listed(gateway)[0][0] == "booked")
        with gateway.store.snapshot() as connection:
            ((ended,),) = connection.execute("SELECT ended FROM payment_share").fetchall()
        assert ended == time_text(gateway.clock.instant())
