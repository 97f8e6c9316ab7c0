"""A real gateway while its library system is away, and when it is back
(B77, C42, C98, C106, C125, C154)."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from behind import UPSTREAM
from harness import CONFIG, NOON, STAMP, running
from hostile_library import HostileLibrary, Loans, right_answer, script

from sip2gw.backend.base import BackendError
from sip2gw.foundation.hashing import hash_pin
from sip2gw.model import Block, BlockType, DoorEntry, PatronRecord
from sip2gw.model.journal import Kept
from sip2gw.model.support import SupportFilter

TIMEOUT_S = 0.3
LOCK = timedelta(minutes=15)
NOT_SURE = "AFWe are not sure that this was done. Please ask the staff.|"
EARLIER, DUE = "20260310    110000", "20260331    235900"
AWAY = "AFThe library system cannot be reached. Please try again in a few minutes.|"
NOTED = "AFThis is noted and will be entered as soon as our system is back.|"
KIOSKS = """
[profiles.strict]
kind = "selfcheck"
accept_offline = false
[profiles.secret]
kind = "selfcheck"
pin_required = true
[profiles.picky]
kind = "selfcheck"
blocked_material_types = ["DVD"]
refuse_checkin_material_types = ["DVD"]
[profiles.band]
kind = "sorter"
sort_bins = [
  { field = "destination", comparator = "ne", value = "EAST", bin = "3" },
  { field = "item", value = "I1", bin = "7" },
]
send_ct = "always"
cv_on_success = true
[terminals.strict-1]
profile = "strict"
branch = "MAIN"
password = "pw"
[terminals.secret-1]
profile = "secret"
branch = "MAIN"
password = "pw"
[terminals.picky-1]
profile = "picky"
branch = "MAIN"
password = "pw"
[terminals.band-1]
profile = "band"
branch = "MAIN"
password = "pw"
"""


def lend(item="I1", patron="4711", date=STAMP, due=STAMP, more="", no_block="N"):
    return f"11N{no_block}{date}{due}AOHUB|AA{patron}|AB{item}|AC|{more}"


def give_back(item="I1", date=STAMP, returned=STAMP, more="", no_block="N"):
    return f"09{no_block}{date}{returned}APHERE|AOHUB|AB{item}|AC|{more}"


def ask_about(item="I1"):
    return f"17{STAMP}AOHUB|AB{item}|"


def question(patron="4711", more=""):
    return f"63001{STAMP}          AOHUB|AA{patron}|{more}"


async def asked(gateway, kiosk, request):
    """The answer, while time goes by."""
    await kiosk.send(request)
    answer = asyncio.create_task(kiosk.read())
    async with asyncio.timeout(60):
        while not answer.done():
            await asyncio.wait((answer,), timeout=0.05)
            gateway.clock.advance(1)
    return await answer


@asynccontextmanager
async def before(directory, *behaviours, config=""):
    """A gateway in front of a library system that is there, and misbehaves so."""
    async with HostileLibrary(script(*behaviours), answer=Loans()) as library:
        upstream = UPSTREAM.replace("ADDRESS", f"127.0.0.1:{library.port}")
        upstream = upstream.replace("KEYS", f"timeout_s = {TIMEOUT_S}\n")
        barred = CONFIG.replace("[branches.MAIN]", '[branches.MAIN]\nbar = [{ card = "6666" }]')
        whole = barred + KIOSKS + config + upstream
        async with running(directory, config=whole, now=NOON) as gateway:
            yield gateway, library


@asynccontextmanager
async def away(directory, *behaviours, config=""):
    """The same while it is away."""
    async with before(directory, *behaviours, config=config) as (gateway, library):
        await until(lambda: not gateway.app.library.is_away("default"))
        await until(lambda: b"99" in library.codes)
        library.vanish()
        kiosk = await gateway.terminal("kiosk-1")
        while not gateway.app.library.is_away("default"):
            await kiosk.ask(ask_about("I0"))
        yield gateway, library


async def until(holds):
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 -- it may be about anything
            await asyncio.sleep(0.01)


async def back_again(gateway, library):
    """The library system is back, and all that waited has been handed over."""
    await library.listen()
    await there(gateway)
    await handed_over(gateway)


async def there(gateway):
    """The gateway has noticed that it is back."""
    while gateway.app.library.is_away("default"):
        gateway.clock.advance(1)
        await asyncio.sleep(0.01)


async def handed_over(gateway):
    async with asyncio.timeout(60):
        while await gateway.store.journal_waiting():
            await gateway.app.replay()
            await asyncio.sleep(0.01)


def journal(gateway):
    return [
        (entry.terminal, entry.message, entry.item, entry.patron, entry.state.value)
        for entry in gateway.store.journal_entries()
    ]


def went_up(library):
    """The bodies of all loans and returns."""
    return [body.decode() for body in library.asked if body[:2] in (b"11", b"09")]


# While it is away ----------------------------------------------------------------------------


async def test_a_loan_and_a_return_are_noted_and_answered(tmp_path):
    async with away(tmp_path) as (gateway, _):
        kiosk = await gateway.terminal("kiosk-1")
        lent = await kiosk.ask(lend())
        assert lent == f"121NUY{STAMP}AOHUB|AA4711|ABI1|AJ|AH|{NOTED}"
        taken = await kiosk.ask(give_back("I2"))
        assert taken == f"101YUN{STAMP}AOHUB|ABI2|AQ|{NOTED}"
        assert journal(gateway) == [
            ("kiosk-1", "11", "I1", "4711", "open"),
            ("kiosk-1", "09", "I2", "", "open"),
        ]


async def test_it_is_written_down_before_the_answer_leaves(tmp_path, monkeypatch):
    async with away(tmp_path) as (gateway, _):
        kiosk = await gateway.terminal("kiosk-1")
        write, may_write = gateway.store.add_to_journal, asyncio.Event()

        async def late(entry):
            await may_write.wait()
            return await write(entry)

        monkeypatch.setattr(gateway.app.gateway.services.backend, "_inner", _With(late))
        await kiosk.send(lend())
        answer = asyncio.create_task(kiosk.read())
        await asyncio.sleep(0.05)
        assert not answer.done()
        may_write.set()
        assert (await answer).startswith("121")


class _With:
    """A store of which only one method is asked."""

    def __init__(self, add_to_journal):
        self.add_to_journal = add_to_journal


async def test_the_due_date_is_the_terminals_own(tmp_path):
    """Many terminals fill the field with the moment of the request: that is none."""
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        assert f"|AH{DUE}|" in await kiosk.ask(lend(due=DUE))
        assert "|AH|" in await kiosk.ask(lend("I2", due=STAMP))
        await back_again(gateway, library)
        assert [body[22:40].strip() for body in went_up(library)] == [DUE, ""]


async def test_a_return_date_ahead_of_our_clock_changes_no_order(tmp_path):
    """A sorter whose clock is wrong: who borrows the item next must not lose it by that."""
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(give_back(date=EARLIER, returned="20260310    180000", no_block="Y"))
        await kiosk.ask(lend())
        await back_again(gateway, library)
        assert [body[:2] for body in went_up(library)] == ["09", "11"]


CLAIMS = {
    "29": f"29NY{EARLIER}{EARLIER}AOHUB|AA4711|ABI1|",
    "11": lend(date=EARLIER, no_block="Y"),
    "09": give_back(returned=EARLIER, no_block="Y"),
}


@pytest.mark.parametrize("code", CLAIMS)
async def test_what_is_claimed_and_cannot_be_taken_is_listed_for_staff(tmp_path, monkeypatch, code):
    """It may have happened all the same, and nobody will hear of it again (C106)."""
    monkeypatch.setattr("sip2gw.backend.sql.journal.OPEN_MAX", 0)
    async with away(tmp_path) as (gateway, _):
        kiosk = await gateway.terminal("kiosk-1")
        for _ in range(2):
            answer = await kiosk.ask(CLAIMS[code])
            assert answer[2] == "0"
            assert AWAY in answer
        (review,) = gateway.store.reviews()
        assert (review.message, review.item, review.outcome) == (code, "I1", "refused")


async def test_what_is_not_claimed_and_not_taken_is_not_listed(tmp_path):
    async with away(tmp_path) as (gateway, _):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(f"29NN{STAMP}{STAMP}AOHUB|AA4711|ABI1|")
        assert list(gateway.store.reviews()) == []


async def test_a_sorter_is_told_its_bin_and_nothing_that_nobody_knows(tmp_path):
    """Somebody may wait for the item, and it may belong elsewhere: no CV, no CT (B59)."""
    async with away(tmp_path) as (gateway, _):
        band = await gateway.terminal("band-1")
        taken = await band.ask(give_back())
        assert taken == f"101YUN{STAMP}AOHUB|ABI1|AQ|CL7|{NOTED}"
        assert "|CL" not in await band.ask(give_back("I2"))


async def test_asking_again_is_the_same_entry(tmp_path):
    """Also on a new connection, and where the terminal gives no date."""
    async with away(tmp_path) as (gateway, _):
        for request in (lend(), lend(), lend("I2", date=" " * 18), lend("I2", date=" " * 18)):
            kiosk = await gateway.terminal("kiosk-1")
            assert (await kiosk.ask(request)).startswith("121")
        assert [entry[2] for entry in journal(gateway)] == ["I1", "I2"]


async def test_what_a_terminal_reports_again_as_done_off_line_is_the_same_entry(tmp_path):
    """It missed the answer, went off line itself, and says so later: the patron has one loan."""
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        for no_block in "NY":
            assert NOTED in await kiosk.ask(lend(date=EARLIER, no_block=no_block))
            assert NOTED in await kiosk.ask(give_back("I2", date=EARLIER, no_block=no_block))
        await back_again(gateway, library)
        assert [body[:3] for body in went_up(library)] == ["11N", "09Y"]


async def test_what_is_done_and_undone_with_an_item_stays_in_its_order(tmp_path):
    """Lent, brought back, lent again, with a clock that stands still; then taken back (BI)."""
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        for request in (lend(), give_back(), lend(), give_back(more="BIY|")):
            assert (await kiosk.ask(request))[2] == "1"
        await back_again(gateway, library)
        assert [body[:2] for body in went_up(library)] == ["11", "09", "11", "09"]
        assert went_up(library)[-1].endswith("BIY|")
        assert library.answer.of == {}


@pytest.mark.parametrize(
    ("login", "request_", "refused"),
    [
        pytest.param("strict-1", lend(), "120", id="the profile accepts nothing off line"),
        pytest.param("strict-1", give_back(), "100", id="nor a return"),
        pytest.param("picky-1", lend(more="CRDVD|"), "120", id="the profile keeps this material"),
        pytest.param("picky-1", give_back(more="CRDVD|"), "100", id="nor takes it back"),
        pytest.param("secret-1", lend(), "120", id="the profile demands a PIN"),
        pytest.param("secret-1", lend(more="AD1111|"), "120", id="which nobody can verify"),
        pytest.param("kiosk-1", lend(patron=""), "120", id="nobody"),
        pytest.param("kiosk-1", lend(item=""), "120", id="nothing"),
        pytest.param("kiosk-1", lend(patron="1001B"), "120", id="our store: the card is blocked"),
        pytest.param("kiosk-1", lend(patron="1001R"), "120", id="our store: it was replaced"),
        pytest.param("kiosk-1", lend(patron="1002"), "120", id="our store: a block"),
        pytest.param("kiosk-1", lend(patron="6666"), "120", id="barred at the branch"),
        pytest.param("kiosk-1", lend(patron="7777"), "120", id="our store: barred by number"),
        pytest.param("kiosk-1", lend(patron="1001"), "120", id="our store: another card is barred"),
        pytest.param("kiosk-1", f"29NN{STAMP}{STAMP}AOHUB|AA4711|ABI1|", "300", id="a renewal"),
        pytest.param("kiosk-1", ask_about(), "1801000100", id="a question"),
    ],
)
async def test_what_is_not_taken_is_refused_in_its_own_form(tmp_path, login, request_, refused):
    async with away(tmp_path) as (gateway, library):
        await gateway.store.set_block("1002", Block(BlockType.GENERAL, source="staff"))
        for card in ("7777", "1001B"):
            await gateway.store.put_door_entry(DoorEntry("bar", "*", card))
        terminal = await gateway.terminal(login)
        answer = await terminal.ask(request_)
        assert answer.startswith(refused[:3])
        assert NOTED not in answer
        # Where nothing speaks against it, the terminal may try again later.
        may_try_again = login == "strict-1" or request_[:2] in ("17", "29") or "|AB|" in request_
        assert (AWAY in answer) == may_try_again
        assert journal(gateway) == []
        await back_again(gateway, library)
        assert went_up(library) == []


async def test_what_went_up_before_and_is_unknown_is_not_taken_whatever_waits(tmp_path):
    """The item has been brought back off line. What the terminal asks for again was perhaps done
    before that: afterwards it would be a second loan."""
    async with before(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        library.behave = lambda heard: "silent" if heard.code == b"11" else "right"
        assert NOT_SURE in await asked(gateway, kiosk, lend())
        library.vanish()
        while not gateway.app.library.is_away("default"):
            await kiosk.ask(ask_about("I0"))
        assert NOTED in await (await gateway.terminal("band-1")).ask(give_back())
        assert NOT_SURE in await kiosk.ask(lend())
        assert [entry[1] for entry in journal(gateway)] == ["09"]


async def test_a_full_journal_takes_nothing(tmp_path, monkeypatch):
    async with away(tmp_path) as (gateway, _):

        async def full(entry):
            return Kept.FULL

        monkeypatch.setattr(gateway.app.gateway.services.backend, "_inner", _With(full))
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(lend())).startswith("120")


async def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch):
    async with away(tmp_path) as (gateway, _):

        async def fails(entry):
            raise BackendError

        monkeypatch.setattr(gateway.app.gateway.services.backend, "_inner", _With(fails))
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(lend())).startswith("120")


async def test_a_pin_that_is_locked_here_keeps_a_loan_from_being_taken(tmp_path):
    """The library system judges PINs, and cannot be asked; a lock of ours holds all the same."""
    async with away(tmp_path) as (gateway, _):
        for _ in range(5):
            await gateway.store.record_guess("4711", NOON, 5, NOON + LOCK)
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(lend(more="AD1234|"))).startswith("120")
        assert (await kiosk.ask(lend(patron="4712", more="AD1234|"))).startswith("121")


async def test_a_pin_that_was_right_at_a_door_tells_a_wrong_one_which_counts(tmp_path):
    async with away(tmp_path) as (gateway, _):
        admissions = gateway.app.state.admissions
        admissions.remember("door-1", "4711", PatronRecord("4711", "Ann"), 0.0)
        cheap = hash_pin(gateway.store.pin_secret, "1234", memory_kib=8, time_cost=1)
        admissions.keep_pin("4711", cheap, b"its digest")
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(lend(more="AD9999|"))).startswith("120")
        (counted,) = await gateway.store.failed_pins(["4711"])
        assert counted.failures == 1
        assert (await kiosk.ask(lend(more="AD1234|"))).startswith("121")


async def test_where_a_pin_is_demanded_one_that_was_verified_before_will_do(tmp_path):
    async with before(tmp_path) as (gateway, library):
        library.answer = right_answer  # says CQY
        kiosk = await gateway.terminal("secret-1")
        assert (await kiosk.ask(question(more="AD1234|"))).startswith("64")
        library.vanish()
        await until(lambda: not gateway.app.library.states()[0].open)
        assert (await kiosk.ask(lend(patron="4711"))).startswith("121")
        assert (await kiosk.ask(lend("I2", patron="4712"))).startswith("120")


async def test_no_pin_is_kept(tmp_path):
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend(more="AD7531|ZZ8642|", patron="4711"))
        (entry,) = gateway.store.journal_entries()
        assert "7531" not in repr(entry) + repr(dict(entry.request))
        await back_again(gateway, library)
        assert "7531" not in went_up(library)[0]


async def test_after_the_deadline_nobody_says_no(tmp_path, monkeypatch):
    """It is being written: it may go up later, so the answer is "not sure" (C98)."""
    async with away(tmp_path) as (gateway, library):
        write, may_write = gateway.store.add_to_journal, asyncio.Event()

        async def late(entry):
            await may_write.wait()
            return await write(entry)

        monkeypatch.setattr(gateway.app.gateway.services.backend, "_inner", _With(late))
        kiosk = await gateway.terminal("kiosk-1")
        assert NOT_SURE in await asked(gateway, kiosk, lend())
        may_write.set()
        await until(lambda: journal(gateway))
        await gateway.app.gateway.services.afterwards.done()
        assert list(gateway.store.reviews()) == []
        assert NOTED in await kiosk.ask(lend())
        await back_again(gateway, library)
        assert len(went_up(library)) == 1


async def test_what_was_not_written_after_the_deadline_is_shown_to_staff(tmp_path, monkeypatch):
    async with away(tmp_path) as (gateway, _):
        may_fail = asyncio.Event()

        async def fails(entry):
            await may_fail.wait()
            raise BackendError

        monkeypatch.setattr(gateway.app.gateway.services.backend, "_inner", _With(fails))
        kiosk = await gateway.terminal("kiosk-1")
        assert NOT_SURE in await asked(gateway, kiosk, lend())
        may_fail.set()
        await until(lambda: [entry.item for entry in gateway.store.reviews()] == ["I1"])
        assert journal(gateway) == []


async def test_who_hangs_up_finds_it_noted(tmp_path, monkeypatch):
    async with away(tmp_path) as (gateway, _):
        write, may_write = gateway.store.add_to_journal, asyncio.Event()

        async def late(entry):
            await may_write.wait()
            return await write(entry)

        monkeypatch.setattr(gateway.app.gateway.services.backend, "_inner", _With(late))
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.send(lend())
        await asyncio.sleep(0.05)
        kiosk.writer.transport.abort()
        await asyncio.sleep(0.05)
        may_write.set()
        await until(lambda: journal(gateway))
        assert list(gateway.store.reviews()) == []


# When it is back -----------------------------------------------------------------------------


async def test_all_goes_up_once_in_order_as_it_happened(tmp_path):
    """With no block `Y`, the original dates, AO of the account and AP of the terminal."""
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend(due=DUE, more="BOY|CHa bag|"))
        await kiosk.ask(give_back("I2", returned=EARLIER))
        # Off line itself for an hour, this terminal reports what came before both.
        await kiosk.ask(lend("I3", date=EARLIER, no_block="Y"))
        await back_again(gateway, library)
        assert went_up(library) == [
            f"11NY{EARLIER}{' ' * 18}AOHUB|AA4711|ABI3|AC|BON|BIN|",
            f"11NY{STAMP}{DUE}AOHUB|AA4711|ABI1|AC|CHa bag|BOY|BIN|",
            f"09Y{STAMP}{EARLIER}APHERE|AOHUB|ABI2|AC|BIN|",
        ]
        assert [entry[4] for entry in journal(gateway)] == ["done", "done", "conflict"]
        await gateway.app.replay()
        assert len(went_up(library)) == 3


async def test_without_a_date_of_the_terminal_ours_goes_up(tmp_path):
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend(date=" " * 18))
        await back_again(gateway, library)
        assert went_up(library)[0][4:22] == STAMP


async def test_what_is_refused_there_is_a_conflict_for_staff(tmp_path):
    async with away(tmp_path) as (gateway, library):
        library.answer.of[b"I1"] = b"1002"
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await back_again(gateway, library)
        (review,) = gateway.store.reviews()
        assert (review.kind, review.terminal, review.message) == ("conflict", "kiosk-1", "11")
        assert (review.item, review.patron, review.outcome) == ("I1", "4711", "refused")
        assert review.reasons == ("refused_by_library_system",)
        await gateway.app.support_chore.look()
        (message,) = gateway.store.support_messages(SupportFilter())
        assert message.category == "OFFL"
        assert "was taken while the library system was away" in message.text


async def test_a_retry_after_that_gets_the_library_systems_answer(tmp_path):
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await back_again(gateway, library)
        again = await kiosk.ask(lend())
        assert "|AHlater|" in again
        assert NOTED not in again
        assert len(went_up(library)) == 1


async def test_what_is_not_answered_does_not_go_up_again(tmp_path):
    """A library system that does it and hangs up: the look at it tells (C98)."""
    async with away(tmp_path, *["hangs_up"]) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await kiosk.ask(lend("I2"))
        await back_again_but_slow(gateway, library)
        assert [entry[4] for entry in journal(gateway)] == ["unknown", "done"]
        assert [body[:2] for body in went_up(library)] == ["11", "11"]
        assert "outcome_settled" not in str(gateway.logged())


async def back_again_but_slow(gateway, library):
    """The account rests after what was not answered, before anything else goes up."""
    await library.listen()
    await there(gateway)
    await until_unknown(gateway)
    await gateway.app.replay()
    assert await gateway.store.journal_waiting()
    gateway.clock.advance(10)
    await there(gateway)
    await handed_over(gateway)


async def until_unknown(gateway):
    async with asyncio.timeout(60):
        while "unknown" not in {entry[4] for entry in journal(gateway)}:
            await gateway.app.replay()
            await asyncio.sleep(0.01)


async def test_what_is_newer_about_the_item_waits_for_its_turn(tmp_path):
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await library.listen()
        await there(gateway)
        other = await gateway.terminal("strict-1")
        await other.send(ask_about())
        await kiosk.send(give_back())
        await asyncio.sleep(0.1)
        assert went_up(library) == []
        assert (await (await gateway.terminal("strict-1")).ask(lend("I9"))).startswith("121")
        await handed_over(gateway)
        assert (await kiosk.read()).startswith("101")
        assert (await other.read()).startswith("18")
        about = [body[:2] for body in library.asked if b"ABI1|" in body]
        assert about[0] == b"11"
        assert sorted(about[1:]) == [b"09", b"17"]


async def test_whose_turn_does_not_come_is_noted_or_refused(tmp_path):
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await library.listen()
        await there(gateway)
        answer = asyncio.create_task(kiosk.ask(give_back()))
        other = await gateway.terminal("strict-1")
        refused = asyncio.create_task(other.ask(ask_about()))
        await asyncio.sleep(0.1)
        gateway.clock.advance(2)
        assert NOTED in await answer
        assert (await refused).startswith("18")
        await handed_over(gateway)
        about = [body[:2] for body in library.asked if b"ABI1|" in body]
        assert about == [b"11", b"09"]


async def test_while_our_store_fails_it_depends_on_what_the_last_look_has_shown(
    tmp_path, monkeypatch
):
    async with before(tmp_path) as (gateway, _):

        async def fails(item_id):
            raise BackendError

        await gateway.app.replay()
        monkeypatch.setattr(gateway.app.gateway.services.backend, "journalled", fails)
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(lend())).startswith("121")
        gateway.app.state.journal.add()
        assert (await kiosk.ask(lend("I2"))).startswith("120")


async def test_what_waits_is_counted_and_staff_hear_of_what_waits_long(tmp_path):
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await kiosk.ask(give_back("I2"))
        await gateway.app.replay()
        assert gateway.metrics.journal_open == {"loan": 1, "return": 1}
        assert told(gateway) == []
        for _ in range(2):
            gateway.clock.advance(3600)
            await gateway.app.replay()
            await gateway.app.cause_chore.write()
        (message,) = told(gateway)
        assert (message.category, message.count) == ("JOUR", 1)
        assert "2 loans and returns of the account default" in message.text
        await back_again(gateway, library)
        await gateway.app.replay()
        assert gateway.metrics.journal_open == {"loan": 0, "return": 0}
        assert [one.category for one in told(gateway) if one.closed is None] == []


def told(gateway):
    return [one for one in gateway.store.support_messages(SupportFilter()) if one.category != "X"]


async def test_an_ending_that_cannot_be_written_does_not_go_up_again(tmp_path, monkeypatch):
    async with away(tmp_path) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(lend())
        await kiosk.ask(lend("I2"))
        await library.listen()
        await there(gateway)
        with monkeypatch.context() as failing:

            async def fails(*_args):
                raise BackendError

            failing.setattr(gateway.store, "end_journalled", fails)
            await gateway.app.replay()
            await until(lambda: went_up(library))
            await gateway.app.replay()
            await asyncio.sleep(0.1)
            assert len(went_up(library)) == 1
        await handed_over(gateway)
        assert [entry[4] for entry in journal(gateway)] == ["done", "done"]
        assert len(went_up(library)) == 2
