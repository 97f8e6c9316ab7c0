"""37 in front of a library system that takes none: we book it, and staff tell it later
(B44, B46, B75, C98, C104, C105, C123, C124, C152, C157)."""

import asyncio
from datetime import UTC
from unittest.mock import patch

import pytest
from harness import STAMP, fields
from msgspec.structs import replace
from tills import LATER, NOT_SURE, before, listed, pay, reconciled, until, went_up

from sip2gw.backend.base import RefusedError, UnavailableError
from sip2gw.backend.sql.money import ledger, shares
from sip2gw.backend.system import NoAnswerError

FIXED_64 = 61
HERE = "payments = false"
FINES = "   Y      "


def ask(patron="1001", pin="1234", summary=FINES, more=""):
    return f"63001{STAMP}{summary}AOHUB|AA{patron}|AC|AD{pin}|{more}"


async def shown(gateway, request=None):
    """BV, the fee lines and their count in a 64 at another till."""
    till = await gateway.terminal("till-2")
    answer = await till.ask(request or ask())
    return (
        *fields(answer, "BV", fixed=FIXED_64),
        fields(answer, "AV", fixed=FIXED_64),
        int(answer[49:53]),
    )


def pending(gateway):
    return [
        (one.patron, one.fee, one.amount) for one in gateway.store.payment_exports(pending=True)
    ]


async def done(gateway, export_id=None):
    """Staff have entered it there: this one, or the only one that waits."""
    if export_id is None:
        ((export_id),) = [one.id for one in gateway.store.payment_exports(pending=True)]
    await gateway.store.set_exported(export_id, gateway.clock.now())


async def test_a_payment_is_booked_here_and_its_fee_is_no_longer_shown(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, library):
        till = await gateway.terminal("till-1")
        answer = await till.ask(pay("3.00", more="CG2|"))
        assert answer.startswith("38Y")
        assert "Still to pay: EUR 2.00." in answer
        assert went_up(library) == []
        assert listed(gateway) == [("booked", 300, "1001", [("2", 300)])]
        assert pending(gateway) == [("1001", "2", 300)]
        assert await shown(gateway) == ("2.00", ["#1 Fee 2.00"], 1)
        # The same again gets the first answer, and is booked once.
        assert await (await gateway.terminal("till-1")).ask(pay("3.00", more="CG2|")) == answer
        assert len(listed(gateway)) == 1


async def test_a_98_promises_what_is_taken_here(tmp_path):
    async with before(tmp_path, keys=f'{HERE}\nmessages = ["23", "63"]') as (gateway, _library):
        till = await gateway.terminal("till-1")
        status = await till.ask("9900302.00")
        assert status.partition("BX")[2][9] == "Y"


@pytest.mark.parametrize("summary", [FINES, " " * 10], ids=["with fees", "without"])
async def test_a_fee_that_is_gone_there_is_theirs_to_tell_again(tmp_path, summary):
    async with before(tmp_path, keys=HERE) as (gateway, library):
        till = await gateway.terminal("till-1")
        await till.ask(pay("3.00", more="CG2|"))
        assert (await shown(gateway, ask(summary=summary)))[0] == "2.00"
        del library.answer.owed[b"1001"][b"2"]  # staff have entered the payment there
        assert (await shown(gateway, ask(summary=summary)))[0] == "2.00"
        library.answer.owed[b"1001"][b"3"] = 300  # a new fine
        assert (await shown(gateway, ask(summary=summary)))[0] == "5.00"
        # It waits until staff say that it does not.
        assert pending(gateway) == [("1001", "2", 300)]


async def test_c124_a_list_that_is_left_out_for_once_says_nothing_of_what_is_entered(tmp_path):
    """They say the sum alone, and a count of 0: the fee is not gone, so nobody pays again."""
    async with before(tmp_path, keys=HERE) as (gateway, library):
        till = await gateway.terminal("till-1")
        await till.ask(pay("3.00", more="CG2|"))
        show = library.answer._show
        library.answer._show = lambda *said: (
            show(*said).partition(b"AV#")[0].replace(b"0002", b"0000", 1)
        )
        assert await shown(gateway) == ("2.00", [], 0)
        assert "more than" in await till.ask(pay("5.00", bk="B2"))
        assert pending(gateway) == [("1001", "2", 300)]


async def test_when_the_export_is_done_they_have_the_last_word(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        till = await gateway.terminal("till-1")
        await till.ask(pay("3.00", more="CG2|"))
        assert (await shown(gateway))[0] == "2.00"
        await done(gateway)
        assert pending(gateway) == []
        assert await shown(gateway) == ("5.00", ["#1 Fee 2.00", "#2 Fee 3.00"], 2)


async def test_a_fee_that_they_lower_settles_no_other(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, library):
        till = await gateway.terminal("till-1")
        await till.ask(pay("3.00", more="CG2|"))
        library.answer.owed[b"1001"][b"2"] = 100  # waived but for 1.00
        assert await shown(gateway) == ("2.00", ["#1 Fee 2.00"], 1)
        assert (await till.ask(pay("2.00", bk="B2"))).startswith("38Y")


async def test_without_ids_only_the_sum_sinks_until_the_export_is_done(tmp_path):
    async with before(tmp_path, keys=HERE, shows_lines=False) as (gateway, library):
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay("2.00"))).startswith("38Y")
        assert pending(gateway) == [("1001", "", 200)]
        assert (await shown(gateway))[:2] == ("3.00", [])
        # Whether it is this payment by which their sum sinks, nobody can know.
        library.answer.owed[b"1001"].pop(b"1")
        assert (await shown(gateway))[0] == "1.00"
        await done(gateway)
        assert (await shown(gateway))[0] == "3.00"


async def test_of_a_fee_that_was_paid_in_part_the_rest_is_shown_and_paid(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        till = await gateway.terminal("till-1")
        await till.ask(pay("1.25", more="CG2|"))
        assert await shown(gateway) == ("3.75", ["#1 Fee 2.00", "#2 Fee 1.75"], 2)
        assert "more than" in await till.ask(pay("3.00", bk="B2", more="CG2|"))
        assert (await till.ask(pay("1.75", bk="B3", more="CG2|"))).startswith("38Y")
        assert await shown(gateway) == ("2.00", ["#1 Fee 2.00"], 1)


async def test_without_cg_each_fee_is_exported_and_all_can_be_done_at_once(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        till = await gateway.terminal("till-1")
        await till.ask(pay("4.00"))
        assert pending(gateway) == [("1001", "1", 200), ("1001", "2", 200)]
        assert await shown(gateway) == ("1.00", ["#2 Fee 1.00"], 1)
        first, second = gateway.store.payment_exports(pending=True)
        await done(gateway, second.id)
        assert await shown(gateway) == ("3.00", ["#2 Fee 3.00"], 1)
        assert [one.id for one in gateway.store.payment_exports(pending=True)] == [first.id]
        (paid,) = gateway.store.payments()
        await done(gateway, paid.id)
        assert pending(gateway) == []
        for known in (first.id, paid.id):
            with pytest.raises(RefusedError, match="before"):
                await done(gateway, known)


async def test_nobody_is_billed_for_what_is_not_said(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, library):
        said = library.answer._show
        library.answer._show = lambda *about: said(*about).replace(b"BV5.00|", b"")
        library.answer.shows_lines = False
        till = await gateway.terminal("till-1")
        assert "nothing to pay" in await till.ask(pay("2.00"))
        assert listed(gateway) == []


async def test_a_payment_is_undone_until_it_is_in_their_books(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        till = await gateway.terminal("till-1")
        first = await till.ask(pay("2.00", more="CG1|"))
        (paid,) = gateway.store.payments()
        await gateway.store.undo_payment(paid.id, gateway.clock.now(), UTC)
        assert pending(gateway) == []
        assert await shown(gateway) == ("5.00", ["#1 Fee 2.00", "#2 Fee 3.00"], 2)
        assert listed(gateway) == [("undone", 200, "1001", [("1", 200)])]
        assert gateway.store.self_check() == []
        with pytest.raises(RefusedError, match="undone"):
            await done(gateway, paid.id)
        assert await till.ask(pay("2.00", more="CG1|")) == first  # the BK stays taken (C54)
        await till.ask(pay("5.00", bk="B2"))
        *_, paid = gateway.store.payments()
        await done(gateway, f"{paid.id}-1")
        with pytest.raises(ledger.UndoRefusedError, match="library system"):
            await gateway.store.undo_payment(paid.id, gateway.clock.now(), UTC)
        assert gateway.store.self_check() == []


async def test_two_tills_cannot_take_money_for_the_same_fee(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        backend = gateway.app.gateway.services.backend
        look, both_have_looked = backend.pending_fees, asyncio.Barrier(2)

        async def look_together(debtor):
            found = await look(debtor)
            await both_have_looked.wait()
            return found

        backend.pending_fees = look_together
        tills = [await gateway.terminal(name) for name in ("till-1", "till-2")]
        both = (till.ask(pay("3.00", more="CG2|")) for till in tills)
        answers = await asyncio.gather(*both)
        assert sorted(answer[:3] for answer in answers) == ["38N", "38Y"]
        assert pending(gateway) == [("1001", "2", 300)]
        assert [one.reason for one in gateway.store.refused_payments()] == ["system"]


async def test_a_retry_is_answered_while_the_library_system_is_away(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, library):
        first = await (await gateway.terminal("till-1")).ask(pay())
        library.vanish()
        assert await (await gateway.terminal("till-1")).ask(pay()) == first


# When something fails ------------------------------------------------------------------------


async def test_what_could_not_be_booked_at_once_is_booked_later(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        till = await gateway.terminal("till-1")
        with patch.object(shares, "book_kept", side_effect=UnavailableError("away")):
            assert NOT_SURE in await till.ask(pay("4.00"))
        await until(lambda: listed(gateway)[0][0] == "booked")
        assert pending(gateway) == [("1001", "1", 200), ("1001", "2", 200)]
        assert (await till.ask(pay("4.00"))).startswith("38Y")


async def test_what_a_dead_gateway_left_is_not_booked_and_frees_the_fee(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, library):
        till = await gateway.terminal("till-1")
        with patch.object(shares, "book_kept", side_effect=UnavailableError("away")):
            await till.ask(pay("4.00"))
            gateway.app.state.payments.unwritten.clear()  # only the dead one knew
        # Nobody knows yet, so nobody pays for it a second time.
        assert listed(gateway)[0][0] == "unknown"
        assert (await shown(gateway))[0] == "1.00"
        gateway.clock.advance(LATER)
        await until(lambda: listed(gateway)[0][0] == "refused")
        assert [entry[0] for entry in reconciled(gateway)] == ["refused"]
        assert pending(gateway) == []
        assert (await shown(gateway))[0] == "5.00"
        assert (await till.ask(pay("4.00"))).startswith("38Y")
        assert went_up(library) == []


async def test_what_nobody_waits_for_is_not_booked(tmp_path):
    """C98: the terminal has hung up, so it got no answer; it may ask again."""
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        backend, payments = gateway.app.gateway.services.backend, gateway.app.state.payments
        begin, begun, gone = backend.begin_shares, asyncio.Event(), asyncio.Event()

        async def begin_slowly(*order):
            result = await begin(*order)
            begun.set()
            await gone.wait()
            return result

        backend.begin_shares = begin_slowly
        till = await gateway.terminal("till-1")
        await till.send(pay("4.00"))
        await begun.wait()
        till.writer.close()
        await until(lambda: not any(one.waiting for one in payments._under_way.values()))
        gone.set()
        await until(lambda: listed(gateway)[0][0] == "refused")
        backend.begin_shares = begin
        assert pending(gateway) == []
        assert (await (await gateway.terminal("till-1")).ask(pay("4.00"))).startswith("38Y")
        assert len(pending(gateway)) == 2


async def test_what_another_gateway_has_given_up_is_refused(tmp_path):
    async with before(tmp_path, keys=HERE) as (gateway, _library):
        backend = gateway.app.gateway.services.backend
        book = backend.book_kept

        async def book_late(payment_id, now):
            for share in await backend.sent_shares():
                await backend.end_share(payment_id, share.position, booked=False, now=now)
            return await book(payment_id, now)

        backend.book_kept = book_late
        till = await gateway.terminal("till-1")
        assert (await till.ask(pay("4.00"))).startswith("38N")
        assert [one.reason for one in gateway.store.refused_payments()] == ["system"]
        assert pending(gateway) == []
        assert not await backend.has_open_attempt(lambda _: True)  # the no is certain


class Unlisted:
    """A library system that does not tell the list of fees; everything else it does."""

    def __init__(self, library, list_is):
        self._library, self.list_is = library, list_is
        self._asked = False

    def __getattr__(self, name):
        return getattr(self._library, name)

    def offers(self, account):
        offered = self._library.offers(account)
        return offered - {"63"} if self.list_is == "not_offered" and self._asked else offered

    async def ask(self, account, terminal, request, lease=None, sent=None):
        self._asked, is_list = True, bool(request.summary)
        if is_list and self.list_is == "away":
            raise NoAnswerError
        answer = await self._library.ask(account, terminal, request, lease, sent)
        if is_list and self.list_is == "says_nothing":
            return replace(answer, valid_patron=False)
        return answer


@pytest.mark.parametrize("list_is", ["away", "says_nothing", "not_offered"])
async def test_who_cannot_see_the_list_takes_the_fee_for_unpaid_there(tmp_path, list_is):
    """Nobody pays a second time because the library system does not answer."""
    async with before(tmp_path, keys=HERE) as (gateway, library):
        till = await gateway.terminal("till-1")
        await till.ask(pay("3.00", more="CG2|"))
        del library.answer.owed[b"1001"][b"2"]
        services = gateway.app.gateway.services
        services.library = Unlisted(services.library, list_is)
        answer = await till.ask(ask(summary=" " * 10))
        assert fields(answer, "BV", fixed=FIXED_64) == ["0.00"]
        services.library.list_is = "told"
        answer = await till.ask(ask(summary=" " * 10))
        assert fields(answer, "BV", fixed=FIXED_64) == ["2.00"]


# What they deny ------------------------------------------------------------------------------

DENIALS = 'denials_by_money = { flags = [0, 1, 3, 10, 11], af = "owe" }\n'


@pytest.mark.parametrize(
    ("keys", "amount", "flags"),
    [
        pytest.param(DENIALS, "5.00", " " * 14, id="nothing is left"),
        pytest.param(DENIALS, "4.00", "YY Y      YY  ", id="something is left"),
        pytest.param("", "5.00", "YY Y      YY  ", id="nothing is declared"),
    ],
)
async def test_a_denial_for_money_ends_when_all_is_paid(tmp_path, keys, amount, flags):
    async with before(tmp_path, keys=f"{HERE}\n{keys}") as (gateway, library):
        said = library.answer._show

        def deny(*about):
            answer = said(*about)
            return answer.replace(b" " * 14, b"YY Y      YY  ", 1) + b"AFYou owe us money.|"

        library.answer._show = deny
        till = await gateway.terminal("till-1")
        assert (await till.ask(ask()))[2:16] == "YY Y      YY  "
        assert (await till.ask(pay(amount))).startswith("38Y")
        answer = await till.ask(ask())
        assert answer[2:16] == flags
        assert ("You owe us" in answer) == (flags != " " * 14)
        # Who comes to pay is not denied that, as ever (C123).
        if keys:
            assert (await till.ask(ask(more="FWB|")))[2:16] == " " * 14
