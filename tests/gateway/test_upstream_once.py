"""What goes up once, and what nobody knows: a real gateway before a library system that lends
(B79, C69, C88, C97, C98, C127)."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from unittest.mock import patch

import pytest
from behind import UPSTREAM
from harness import CONFIG, NOON, STAMP, ask_63, running
from hostile_library import UNCLEAR, HostileLibrary, Loans, script

LATER = "20260310    120500"
"""Another transaction date."""
TIMEOUT_S = 0.3
LATE_S = 2
"""After so long a request that was not done never will be."""
GIVEN_UP_S = 11
"""Longer than the time-out in a 98."""
KIOSK_2 = """
[terminals.kiosk-2]
profile = "kiosk"
branch = "MAIN"
password = "pw"
"""
NOT_SURE = "AFWe are not sure that this was done. Please ask the staff.|"


def lend(item="I1", patron="1001", date=STAMP, more=""):
    return f"11NN{date}{STAMP}AOHUB|AA{patron}|AB{item}|AC|{more}"


def give_back(item="I1", date=STAMP):
    return f"09N{date}{date}APMAIN|AOHUB|AB{item}|AC|"


def renew(item="I1", patron="1001", date=STAMP):
    return f"29NN{date}{STAMP}AOHUB|AA{patron}|AB{item}|"


def hold(item="I1", patron="1001", date=STAMP):
    return f"15+{date}AOHUB|AA{patron}|AB{item}|"


@asynccontextmanager
async def before(directory, *behaviours, offers=None, now=NOON, connections=4):
    """A gateway before a library system that behaves so for what is asked after the login."""
    library = HostileLibrary(script(*behaviours), answer=Loans(), late_s=2 * TIMEOUT_S)
    async with library:
        keys = f"timeout_s = {TIMEOUT_S}\n"
        if offers is not None:
            keys = f"messages = {offers}\n"
        address = f"127.0.0.1:{library.port}"
        upstream = (
            UPSTREAM.replace("connections = 1", f"connections = {connections}")
            .replace("ADDRESS", address)
            .replace("KEYS", keys)
        )
        async with running(directory, config=CONFIG + KIOSK_2 + upstream, now=now) as gateway:
            yield gateway, library


def sent(library, code="11"):
    """How often a request of this kind came."""
    return [deed.code for deed in library.answer.deeds].count(code.encode())


def reviewed(gateway):
    """The entries for review: message, item, patron, outcome, what was seen, state."""
    return [
        (entry.message, entry.item, entry.patron, entry.outcome, entry.reasons, entry.state)
        for entry in gateway.store.reviews()
    ]


async def until(holds):
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 -- it may be about anything
            await asyncio.sleep(0.01)


async def asked(gateway, kiosk, request):
    """The answer, while the time of the library system runs out."""
    await kiosk.send(request)
    answer = asyncio.create_task(kiosk.read())
    async with asyncio.timeout(60):
        while not answer.done():
            await asyncio.wait((answer,), timeout=0.05)
            gateway.clock.advance(TIMEOUT_S / 5)
    return await answer


async def settled(gateway, *outcomes):
    """Wait until the entries for review have these outcomes and have been looked at."""

    def are_settled():
        entries = reviewed(gateway)
        is_looked_at = all(entry[4] for entry in entries)
        return is_looked_at and [entry[3] for entry in entries] == list(outcomes)

    await until(are_settled)
    doubtful = gateway.app.state.sendings.doubtful
    await until(lambda: len(doubtful) == outcomes.count("unknown"))


# Repetitions ---------------------------------------------------------------------------------


async def test_a_retry_gets_the_same_answer_and_does_not_go_up(tmp_path):
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        first = await kiosk.ask(lend())
        assert first.startswith("121")
        kiosk = await gateway.terminal("kiosk-1")  # reconnected
        assert await kiosk.ask(lend()) == first
        assert sent(library) == 1
        assert reviewed(gateway) == []


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lend(date=LATER), id="another transaction date"),
        pytest.param(lend(more="BOY|"), id="fee acknowledged"),
        pytest.param(lend(more="BIY|"), id="cancelled"),
        pytest.param(lend(patron="1002"), id="another patron"),
        pytest.param(lend(date=" " * 18), id="no date"),
    ],
)
async def test_what_differs_in_the_key_goes_up(tmp_path, other):
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await kiosk.ask(other)
        assert sent(library) == 2


async def test_another_terminal_is_not_the_same(tmp_path):
    async with before(tmp_path) as (gateway, library):
        for login in ("kiosk-1", "kiosk-2"):
            await (await gateway.terminal(login)).ask(hold())
        assert sent(library, "15") == 2


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(give_back(), id="the item came back"),
        pytest.param(lend("I2"), id="the patron borrowed more"),
        pytest.param(hold("I2"), id="the patron reserved another item"),
    ],
)
async def test_after_another_message_about_item_or_patron_it_goes_up_again(tmp_path, between):
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await kiosk.ask(between)
        await kiosk.ask(lend())
        assert [deed.item for deed in library.answer.deeds if deed.code == b"11"].count(b"I1") == 2


async def test_whatever_may_change_something_counts_as_gone_up(tmp_path):
    async with before(tmp_path, "right", "hangs_up", offers='["11", "65"]') as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await kiosk.ask(f"65{STAMP}AOHUB|AA1001|")
        assert "65" in {heard.code.decode() for heard in library.heard}
        await kiosk.ask(lend())
        assert sent(library) == 2


async def test_what_waited_for_a_line_in_vain_leaves_the_answer_before_it_as_it_is(tmp_path):
    """It never went up: what the first one was told is so still, and is not done again."""
    async with before(tmp_path, "right", "silent", connections=1) as (gateway, library):
        kiosk, other = [await gateway.terminal(name) for name in ("kiosk-1", "kiosk-2")]
        first = await kiosk.ask(lend())
        await other.send(f"17{STAMP}AOHUB|ABI9|")
        await until(lambda: len(library.asked) == 2)
        refused = await asked(gateway, kiosk, renew(patron="1002"))
        assert refused.startswith("300")
        assert NOT_SURE not in refused
        assert await kiosk.ask(lend()) == first
        assert sent(library) == 1


async def test_a_question_changes_nothing(tmp_path):
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await kiosk.ask(f"17{STAMP}AOHUB|ABI1|")
        await kiosk.ask(lend())
        assert sent(library) == 1


async def test_a_refusal_is_judged_afresh(tmp_path):
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend(patron="1002"))
        assert (await kiosk.ask(lend())).startswith("120")
        library.answer.of.clear()
        assert (await kiosk.ask(lend())).startswith("121")


async def test_after_a_minute_it_goes_up_again(tmp_path):
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        gateway.clock.advance(59)
        await kiosk.ask(lend())
        assert sent(library) == 1
        gateway.clock.advance(1)
        await kiosk.ask(lend())
        assert sent(library) == 2


# Under way -----------------------------------------------------------------------------------


async def test_who_comes_back_waits_for_what_is_under_way(tmp_path):
    async with before(tmp_path) as (gateway, library):
        library.delay_s = 0.15
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.send(lend())
        await asyncio.sleep(0.05)
        kiosk.writer.transport.abort()
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(lend())).startswith("121")
        assert sent(library) == 1


# Nobody knows --------------------------------------------------------------------------------


FAULTS = ["silent", "hangs_up", "garbage", "another_item", "wrong_type", UNCLEAR]


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_was_not_answered_is_noted_looked_up_and_told(tmp_path, fault):
    async with before(tmp_path, fault) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        answer = await asked(gateway, kiosk, lend())
        assert answer.startswith("120")
        assert NOT_SURE in answer
        assert [entry[:4] for entry in reviewed(gateway)] == [("11", "I1", "1001", "unknown")]
        await settled(gateway, "done")
        assert reviewed(gateway)[0][4:] == (("on_loan_to_patron", "due_later"), "open")
        kiosk = await gateway.terminal("kiosk-1")
        told = await kiosk.ask(lend())
        assert told == f"121NUY{STAMP}AOHUB|AA1001|ABI1|AJTitle I1|AHlater|"
        assert sent(library) == 1


async def test_a_loan_that_was_not_made_may_go_up_again_but_not_before_that_is_sure(tmp_path):
    async with before(tmp_path, "hangs_up") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        library.answer.of.clear()  # it did not do it, after all
        asked_before = len(library.asked)
        await until(lambda: len(library.asked) >= asked_before + 2)  # it is looked at, repeatedly
        assert NOT_SURE in await kiosk.ask(lend())
        assert sent(library) == 1
        gateway.clock.advance(LATE_S)
        await settled(gateway, "refused")
        assert reviewed(gateway)[0][4] == ("not_on_loan",)
        assert (await kiosk.ask(lend())).startswith("121")
        assert sent(library) == 2


async def test_when_it_is_back_it_gets_time_for_what_it_had_read_before(tmp_path):
    """A library system that stands still for a minute lends the item when it goes on."""
    async with before(tmp_path, "hangs_up") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        assert NOT_SURE in await kiosk.ask(lend())
        library.answer.of.clear()  # it has not done it yet
        library.vanish()
        gateway.clock.advance(60)
        await gateway.app.settler.settle()
        await library.listen()
        while not gateway.app.library.states()[0].open:
            await gateway.app.settler.settle()
            gateway.clock.advance(1)
            await asyncio.sleep(0.01)
        await gateway.app.settler.settle()
        assert library.codes.count(b"17") > 0
        assert [entry[3] for entry in reviewed(gateway)] == ["unknown"]
        library.answer.of[b"I1"] = b"1001"
        await gateway.app.settler.settle()
        await settled(gateway, "done")
        assert sent(library) == 1


async def test_it_gets_that_time_even_if_nobody_looked_while_it_was_away(tmp_path):
    """Looks are up to a minute apart, and it may be away between two of them only."""
    async with before(tmp_path, "hangs_up") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        assert NOT_SURE in await kiosk.ask(lend())
        await gateway.app.settler.stop()
        library.answer.of.clear()
        library.vanish()
        gateway.clock.advance(60)
        await until(lambda: gateway.app.library.is_away("default"))
        await library.listen()
        gateway.clock.advance(10)
        await until(lambda: gateway.app.library.states()[0].open)
        await gateway.app.settler.settle()
        assert [entry[3] for entry in reviewed(gateway)] == ["unknown"]
        gateway.clock.advance(LATE_S)
        await gateway.app.settler.settle()
        assert [entry[3] for entry in reviewed(gateway)] == ["refused"]


async def test_a_loan_that_somebody_else_got_was_not_made(tmp_path):
    async with before(tmp_path, "right", "hangs_up") as (gateway, _library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend(patron="1002"))
        assert NOT_SURE in await kiosk.ask(lend())
        gateway.clock.advance(LATE_S)
        await settled(gateway, "refused")
        assert reviewed(gateway)[0][4] == ("not_on_loan_to_patron", "due_later")


class _RenewsAll(Loans):
    """Takes 65 and 19, too."""

    def _answer(self, heard, item, patron):
        match heard.code:
            case b"65":
                return b"66100010000" + STAMP.encode() + b"AOHUB|BMI1|"
            case b"19":
                return b"201" + STAMP.encode() + b"AB%b|" % item
        return super()._answer(heard, item, patron)


@pytest.mark.parametrize("fault", ["silent", "hangs_up", "garbage", "wrong_type"])
@pytest.mark.parametrize(
    ("request_", "no", "seen"),
    [
        (f"65{STAMP}AOHUB|AA1001|", "660", ("65", "", "1001")),
        (f"19{STAMP}AOHUB|ABI1|CHtorn|", "200", ("19", "I1", "")),
    ],
)
async def test_what_may_go_up_twice_is_not_sure_either_and_staff_see_it(
    tmp_path, fault, request_, no, seen
):
    """Nobody is told that nothing was renewed, and to try again, when it may be (C98)."""
    offers = '["17", "19", "63", "65"]'
    async with before(tmp_path, fault, offers=offers) as (gateway, library):
        library.answer = _RenewsAll()
        kiosk = await gateway.terminal("kiosk-1")
        answer = await asked(gateway, kiosk, request_)
        assert answer.startswith(no)
        assert NOT_SURE in answer
        await settled(gateway, "unknown")
        assert reviewed(gateway)[0][:3] == seen
        assert (await asked(gateway, kiosk, request_))[2] == "1"  # it may go up again all the same


class _ByNumber(Loans):
    """An 18 names the number of whoever has the item, not the user name that they came with."""

    def _answer(self, heard, item, patron):
        answer = super()._answer(heard, item, patron)
        return answer + b"AA1001|" if answer.startswith(b"1804") else answer


async def test_a_loan_to_a_user_name_was_made_though_an_18_names_the_number(tmp_path):
    """Else the retry would lend it a second time (C151)."""
    async with before(tmp_path, "hangs_up") as (gateway, library):
        library.answer = _ByNumber()
        kiosk = await gateway.terminal("kiosk-1")
        assert NOT_SURE in await kiosk.ask(lend(patron="anna"))
        gateway.clock.advance(LATE_S)
        await settled(gateway, "done")
        assert (await kiosk.ask(lend(patron="anna"))).startswith("121")
        assert sent(library) == 1


async def test_a_return_is_done_when_the_item_is_not_on_loan(tmp_path):
    async with before(tmp_path, "right", "hangs_up") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        assert NOT_SURE in await kiosk.ask(give_back())
        await settled(gateway, "done")
        assert reviewed(gateway)[0] == ("09", "I1", "", "done", ("not_on_loan",), "open")
        assert (await kiosk.ask(give_back())).startswith("101YUN")
        assert sent(library, "09") == 1


@pytest.mark.parametrize(("status", "cv"), [(b"08", "01"), (b"10", "04")])
async def test_b59_a_return_that_was_not_answered_does_not_go_to_the_shelf(tmp_path, status, cv):
    """Somebody waits for the item, or it must travel: a yes without alert would be invented."""
    async with before(tmp_path, "right", "hangs_up") as (gateway, library):
        library.answer.status = status
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        assert NOT_SURE in await kiosk.ask(give_back())
        await settled(gateway, "done")
        told = await kiosk.ask(give_back())
        assert told == f"101YUY{STAMP}AOHUB|ABI1|AQ|AJTitle I1|CV{cv}|"
        assert sent(library, "09") == 1


@pytest.mark.parametrize(
    ("request_", "seen"),
    [
        pytest.param(renew(), ("on_loan_to_patron", "due_later"), id="a renewal"),
        pytest.param(hold(), ("on_loan", "due_later"), id="a hold"),
        pytest.param(lend(more="BIY|"), ("cancellation",), id="a cancelled loan"),
    ],
)
async def test_what_a_look_cannot_tell_stays_unknown_until_staff_close_it(tmp_path, request_, seen):
    async with before(tmp_path, "right", "hangs_up") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend(date=LATER))
        code = request_[:2]
        assert NOT_SURE in await kiosk.ask(request_)
        await settled(gateway, "unknown")
        assert reviewed(gateway)[0][4] == seen
        await gateway.app.settler.settle()
        assert gateway.metrics.outcome_unknown == 1
        went_up = sent(library, code)
        assert NOT_SURE in await kiosk.ask(request_)
        assert sent(library, code) == went_up

        (entry,) = gateway.store.reviews()
        await gateway.store.close_reviews([entry.id], "seen", "ann", gateway.clock.now())
        await gateway.app.settler.settle()
        assert gateway.metrics.outcome_unknown == 0
        assert (await kiosk.ask(request_)).startswith(("121", "301", "161"))
        assert sent(library, code) == went_up + 1


@pytest.mark.parametrize(
    ("offers", "outcome", "seen"),
    [
        ('["11", "63"]', "done", ("on_loan_to_patron",)),
        ('["11", "17"]', "unknown", ("on_loan", "due_later")),
        ('["11"]', "unknown", ("not_told",)),
    ],
)
async def test_a_look_asks_only_what_is_offered(tmp_path, offers, outcome, seen):
    async with before(tmp_path, "hangs_up", offers=offers) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await settled(gateway, outcome)
        assert reviewed(gateway)[0][4] == seen
        asked = {heard.code.decode() for heard in library.heard} - {"93", "99"}
        assert {code for code in asked if code not in offers} == set()


async def test_while_it_is_away_nothing_is_asked_and_a_retry_is_not_sure(tmp_path):
    async with before(tmp_path, "hangs_up") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        library.vanish()
        assert not sent(library)
        await kiosk.ask(lend())
        refused = await kiosk.ask(renew("I2"))
        assert refused.startswith("300")
        assert NOT_SURE not in refused  # it was not asked: a plain no
        assert {entry[1] for entry in reviewed(gateway)} <= {"I1"}


async def test_what_an_earlier_process_has_sent_is_not_sent_again(tmp_path):
    """The gateway was killed while the request was under way: the spool still has it."""
    async with before(tmp_path) as (gateway, library):
        library.delay_s = 0.2
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.send(lend())
        await until(lambda: library.asked)
        spooled = (tmp_path / "library.db.spool").read_bytes()
        await kiosk.read()
    (tmp_path / "library.db.spool").write_bytes(spooled)
    async with before(tmp_path) as (gateway, library):
        library.answer.of[b"I1"] = b"1001"
        kiosk = await gateway.terminal("kiosk-1")
        assert [entry[:3] for entry in reviewed(gateway)] == [("11", "I1", "1001")]
        first = await kiosk.ask(lend())
        assert NOT_SURE in first or first.startswith("121")
        await settled(gateway, "done")
        assert (await kiosk.ask(lend())).startswith("121")
        assert sent(library) == 0


async def test_what_an_earlier_process_has_found_to_be_done_is_told(tmp_path):
    """The gateway was killed after the look, before the terminal asked again."""
    async with before(tmp_path, "hangs_up") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        assert NOT_SURE in await kiosk.ask(lend())
        await settled(gateway, "done")
    async with before(tmp_path, now=NOON + timedelta(seconds=10)) as (gateway, library):
        library.answer.of[b"I1"] = b"1001"
        kiosk = await gateway.terminal("kiosk-1")
        sendings = gateway.app.state.sendings
        await until(lambda: sendings._answered)
        assert (await kiosk.ask(lend())).startswith("121")
        assert sent(library) == 0
        assert gateway.metrics.outcome_unknown == 0


async def test_nothing_goes_up_that_could_not_be_written_down(tmp_path, monkeypatch):
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        spool = gateway.store._doubts._spool
        monkeypatch.setattr(spool, "_file", None)
        answer = await kiosk.ask(lend())
        assert answer.startswith("120")
        assert NOT_SURE not in answer
        assert library.asked == []
        monkeypatch.undo()
        assert (await kiosk.ask(lend())).startswith("121")


async def test_what_stood_still_until_its_terminal_gave_up_does_not_go_up(tmp_path):
    """The process stands still between writing a request down and sending it. By then its terminal
    has asked another gateway, or told the patron that it does not work."""
    async with before(tmp_path) as (gateway, library):
        backend = gateway.app.gateway.services.backend
        begin_sending = backend.begin_sending

        async def stands_still(sending):
            await begin_sending(sending)
            gateway.clock.advance(GIVEN_UP_S)

        kiosk = await gateway.terminal("kiosk-1")
        with patch.object(backend, "begin_sending", stands_still):
            answer = await kiosk.ask(lend())
        assert answer.startswith("120")
        assert NOT_SURE not in answer
        assert library.asked == []
        assert await gateway.store.journalled("I1") is None
        assert (await kiosk.ask(lend())).startswith("121")


async def test_a_slow_item_delays_no_other_terminal(tmp_path):
    async with before(tmp_path, "silent") as (gateway, library):
        slow, quick = [await gateway.terminal(name) for name in ("kiosk-1", "kiosk-2")]
        await slow.send(lend())
        await until(lambda: library.asked)
        async with asyncio.timeout(30):  # no time passes in the gateway, so the first still waits
            assert (await quick.ask(lend("I2", "1002"))).startswith("121")
            assert (await quick.ask(give_back("I2"))).startswith("101")


async def test_who_opens_a_line_for_each_question_needs_one_line_there(tmp_path):
    """What a session has leased is anybody's when its terminal has hung up (B94, C120, C122)."""
    async with before(tmp_path) as (gateway, _):
        for _ in range(3):
            kiosk = await gateway.terminal("kiosk-1")
            assert (await kiosk.ask(ask_63("1001"))).startswith("64")
            kiosk.writer.close()
            await until(lambda: not gateway.app.server.lines_of("kiosk-1"))
        assert gateway.app.library.states()[0].open == 1
