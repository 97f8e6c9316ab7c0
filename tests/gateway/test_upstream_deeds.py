"""PINs in loans, renewals and holds, which a library system judges (B74, C98, C99, C155).

91 is a card that our store does not know; its PIN is 1234.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from unittest.mock import AsyncMock

import pytest
from judged import behind
from msgspec.structs import replace

from sip2gw.authentication import library_pins
from sip2gw.backend.system import NoAnswerError, NotAskedError
from sip2gw.model import PatronRecord
from sip2gw.policy.access import PinState
from sip2gw.protocol.codec import parse_response
from sip2gw.protocol.wire import WireFormat

OK, WRONG, LOCKED = PinState.OK, PinState.WRONG, PinState.LOCKED
THEN = "20260310    120000"
TAIL = "AOTHERE|AA91|ABB1|AJTitle|AH|"
YES, NO = f"121NUN{THEN}{TAIL}", f"120NUN{THEN}{TAIL}"
NO_WITH_CQN, NO_WITH_CQY, YES_WITH_CQY = f"{NO}CQN|", f"{NO}CQY|", f"{YES}CQY|"
FAILURES_MAX = 5


@pytest.fixture
async def there(tmp_path):
    async with behind(tmp_path) as behind_it:
        behind_it.deeds = []
        yield behind_it


async def lend(there, pin, answer, session=None, *, number="91", deed="11"):
    """What is told of a loan to which the library system says `answer`; the PINs that went up are
    in `there.deeds`."""

    async def send():
        there.deeds.append(pin)
        if isinstance(answer, Exception):
            raise answer
        return parse_response(answer.encode(), WireFormat())

    return await there.identifier.judge(session or there.session(), number, pin, deed, send)


async def test_a_yes_and_a_no_are_handed_on(there):
    assert (await lend(there, "1234", YES)).ok
    assert not (await lend(there, "1234", NO)).ok


async def test_at_most_so_many_pins_go_up_without_a_yes(there):
    for n in range(9):
        await lend(there, f"000{n}", NO)
    assert len(there.deeds) == FAILURES_MAX
    assert await lend(there, "1234", YES) is None  # locked: nobody is asked
    assert there.locks == ["card"]
    assert await there.guess("91", "1234") is LOCKED


async def test_noes_and_wrong_pins_elsewhere_count_together(there):
    for n in range(3):
        assert await there.guess("91", f"000{n}") is WRONG
    for n in range(3, 9):
        await lend(there, f"000{n}", NO)
    assert len(there.deeds) == FAILURES_MAX - 3


async def test_a_yes_takes_back_what_noes_to_the_same_pin_have_counted(there):
    """It was right all along, or nobody looks at it: those noes were about something else."""
    for _ in range(3):
        for _ in range(4):
            await lend(there, "1234", NO)
        assert (await lend(there, "1234", YES)).ok
        assert await there.counted("91") == [0]
    assert await there.guess("91", "0009") is WRONG
    assert (await lend(there, "1234", YES)).ok
    assert await there.counted("91") == [1]


async def test_a_yes_to_one_pin_tells_nothing_of_another(there):
    for n in range(4):
        await lend(there, f"000{n}", NO)
    await lend(there, "1234", YES)
    assert await there.counted("91") == [4]
    await lend(there, "0000", YES)
    assert await there.counted("91") == [3]


async def test_guesses_between_deeds_whose_pin_nobody_looks_at_come_to_an_end(there):
    """A library system may judge the PIN of a hold, and ignore that of a renewal (B20, B74)."""
    for n in range(9):
        await lend(there, f"000{n}", NO, deed="15")
        await lend(there, f"000{n}", YES, deed="29")
        await lend(there, f"000{n}", YES, there.session(account="other"), deed="15")
    assert len([pin for pin in there.deeds if pin != "0004"]) == 4 * 3
    assert there.locks == ["card"]
    assert await there.guess("91", "1234") is LOCKED


@pytest.mark.parametrize(("deed", "account"), [("15", "default"), ("29", "other")])
async def test_hanging_up_makes_no_guess_free_either(there, deed, account):
    """What nobody waited for was counted; the same PIN with another deed is a guess of its own."""
    for n in range(9):
        with suppress(NoAnswerError):
            await lend(there, f"000{n}", NoAnswerError(), deed="29")
        await lend(there, f"000{n}", NO, there.session(account=account), deed=deed)
        await lend(there, f"000{n}", YES, deed="29")
    assert there.locks == ["card"]
    assert set(there.deeds) == {"0000", "0001", "0002", "0003"}


async def test_a_63_that_was_not_answered_stays_counted_whatever_else_is_done(there):
    there.library.fails = NoAnswerError("late")
    for _ in range(3):
        with pytest.raises(NoAnswerError):
            await there.guess("91", "0000")
        assert (await lend(there, "0000", YES)).ok
    assert await there.counted("91") == [1]


async def test_what_is_wrong_by_cq_stays_counted_whatever_is_done_with_it(there):
    await lend(there, "0000", NO_WITH_CQN)
    await lend(there, "0000", YES)
    assert await there.counted("91") == [1]
    assert await there.guess("91", "1234") is OK
    with suppress(NoAnswerError):
        await lend(there, "0001", NoAnswerError())
    await lend(there, "0001", NO_WITH_CQN)
    await lend(there, "0001", YES)
    assert await there.counted("91") == [1]
    with suppress(NoAnswerError):
        await lend(there, "0002", NoAnswerError())
    await lend(there, "0002", NO)
    await lend(there, "0002", YES)  # that one was never found wrong
    assert await there.counted("91") == [1]


async def test_a_no_is_taken_back_at_all_numbers_of_the_patron_where_it_counts(there):
    """The PIN is the patron's: 1001 and 1001B are cards of Anna, whom they know as 77."""
    no, yes = (answer.replace("AA91", "AA77") for answer in (NO, YES))
    for pin in ("4321", "4321", "0001"):
        await lend(there, pin, no, number="1001")
    assert await there.counted("1001", "77") == [3, 2]
    await lend(there, "4321", yes, number="1001B")
    assert await there.counted("1001", "77") == [1, 2]
    await lend(there, "4321", yes, number="1001")
    assert await there.counted("1001", "77") == [1, 1]


async def test_noes_are_remembered_no_longer_than_they_count(there):
    pins = there.identifier._pins
    await lend(there, "0001", NO)
    assert await there.guess("91", "1234") is OK
    assert await there.guess("91", "0009") is WRONG
    await lend(there, "0001", YES)
    assert await there.counted("91") == [1]
    for n in range(2 * FAILURES_MAX):  # staff unlock, or another gateway has been told better
        await pins.backend.clear_guesses("91")
        await lend(there, f"000{n}", NO)
    assert len(pins._by_deed["91"]) == FAILURES_MAX


async def test_a_yes_takes_nothing_back_that_a_wrong_pin_has_counted(there):
    """Some library systems do not look at the PIN of a hold, which can be placed and removed."""
    for n in range(4):
        assert await there.guess("91", f"000{n}") is WRONG
        assert (await lend(there, "0000", YES)).ok
    assert await there.counted("91") == [4]
    assert await there.guess("91", "0009") is WRONG
    assert await there.guess("91", "1234") is LOCKED


async def test_a_lock_begins_a_new_count(there):
    for _ in range(FAILURES_MAX):
        await lend(there, "1234", NO)
    there.gateway.clock.advance(16 * 60)
    assert await there.guess("91", "0009") is WRONG
    assert (await lend(there, "1234", YES)).ok
    assert await there.counted("91") == [1]


async def test_a_pin_that_was_right_lately_may_be_refused_for_whatever_reason(there):
    """A kiosk with a line for each message has a session for each (B94)."""
    assert await there.guess("91", "1234") is OK
    for _ in range(9):
        assert not (await lend(there, "1234", NO)).ok
    assert await there.counted("91") == [0]
    # Ten minutes ago is not lately; and it is asked about each time.
    assert len(there.deeds) == 9
    there.gateway.clock.advance(601)
    await lend(there, "1234", NO)
    assert await there.counted("91") == [1]
    assert not (await lend(there, "1234", NO_WITH_CQY)).ok
    await lend(there, "1234", NO)
    assert await there.counted("91") == [0]


async def test_nothing_else_is_known_to_be_right_by_that(there):
    assert await there.guess("91", "1234") is OK
    await lend(there, "4321", NO)
    await lend(there, "1234", NO, number="0-91")  # somebody else's, for all we know
    assert await there.counted("91") == [2]
    await lend(there, "1234", NO, there.session(account="other"))
    assert await there.counted("91") == [3]
    await lend(there, "1234", NO)
    assert await there.counted("91") == [3]
    assert await there.guess("91", "1234") is OK
    assert len(there.library.judged) == 2  # a 63 is asked each time


async def test_a_yes_without_cq_makes_no_pin_known(there):
    assert (await lend(there, "0000", YES)).ok
    await lend(there, "0000", NO)
    assert await there.counted("91") == [1]


async def test_a_pin_that_is_wrong_by_now_is_a_guess_again(there):
    assert await there.guess("91", "1234") is OK
    there.library.pins["91"] = "5678"
    assert await there.guess("91", "0000") is WRONG
    await lend(there, "1234", NO)
    assert await there.counted("91") == [1]
    assert await there.guess("91", "1234") is WRONG
    await lend(there, "1234", NO)
    assert await there.counted("91") == [3]


@pytest.mark.parametrize(
    ("card", "guessed_at", "patron"),
    [("1001", "1001B", "1001"), ("1001B", "1001", "1001"), ("9-B", "9B", "9B")],
)
@pytest.mark.parametrize("deed", [True, False])
async def test_after_a_lock_every_pin_is_a_guess(there, card, guessed_at, patron, deed):
    there.library.pins |= {"1001B": "4321", "9-B": "4321"}
    there.identifier.rules = replace(there.identifier.rules, lock=timedelta(minutes=1))
    assert await there.guess(card, "4321") is OK
    for n in range(FAILURES_MAX):
        wrong = guessed_at, f"000{n}"
        await (lend(there, wrong[1], NO, number=wrong[0]) if deed else there.guess(*wrong))
    there.gateway.clock.advance(61)
    await lend(there, "4321", NO, number=card)
    assert await there.counted(patron) == [1]


async def test_a_lock_by_another_gateway_counts_as_well(there):
    assert await there.guess("91", "1234") is OK
    at = there.gateway.clock.now()
    await there.gateway.store.record_guess("91", at, 1, at + timedelta(minutes=1))
    assert await lend(there, "1234", NO) is None
    there.gateway.clock.advance(61)
    await lend(there, "1234", NO)
    assert await there.counted("91") == [1]


@pytest.mark.parametrize(("seconds", "is_believed"), [(540, True), (601, False)])
async def test_a_pin_is_believed_for_nine_minutes_after_it_was_said_last(
    there, seconds, is_believed
):
    """B74: that it is right is said several times in a visit; one of them within a minute counts,
    so ten minutes may be nine."""
    for pause_s in (0, 60, 60):
        there.gateway.clock.advance(pause_s)
        assert await there.guess("91", "1234") is OK
    there.gateway.clock.advance(seconds)
    await lend(there, "1234", NO)
    assert await there.counted("91") == [0 if is_believed else 1]


async def test_another_pin_is_believed_as_soon_as_they_say_that_it_is_right(there):
    assert await there.guess("91", "1234") is OK
    there.library.pins["91"] = "5678"
    assert await there.guess("91", "5678") is OK
    await lend(there, "5678", NO)
    assert await there.counted("91") == [0]
    await lend(there, "1234", NO)
    assert await there.counted("91") == [1]


async def test_who_was_right_is_remembered_of_so_many(there, monkeypatch):
    monkeypatch.setattr(library_pins, "REMEMBERED_MAX", 2)
    there.library.pins = {"91": "1", "92": "2", "93": "3"}
    for number, pin in there.library.pins.items():
        assert await there.guess(number, pin) is OK
    assert list(there.identifier._pins._right) == ["92", "93"]


async def test_a_pin_that_only_we_have_compared_is_none_that_they_said_is_right(there):
    """B40: what was right at a door yesterday may have been changed since."""
    there.services.admissions.pin_hash = lambda patron_id: "a hash"
    there.identifier._emergency.matches = AsyncMock(return_value=True)
    assert await there.identifier.judge_alone(there.session(), "91", "1234") is OK
    await lend(there, "1234", NO)
    assert await there.counted("91") == [1]


async def test_cq_says_more_than_a_no(there):
    session = there.session()
    assert await there.guess("91", "1234", session) is OK
    session.note_pin("91", OK)
    assert not (await lend(there, "1234", NO_WITH_CQY)).ok
    assert await there.counted("91") == [0]
    # Somebody has changed it in the meantime: then nothing of it is told.
    assert await lend(there, "1234", NO_WITH_CQN, session) is None
    assert await there.counted("91") == [1]
    assert not session.is_verified("91")
    assert (await lend(there, "1234", YES_WITH_CQY)).ok
    assert await there.counted("91") == [0]


async def test_a_pin_that_cannot_be_written_there_is_wrong(there):
    assert await lend(there, "12\ufffd4", YES) is None
    assert there.deeds == []
    assert await there.counted("91") == [1]


async def test_what_was_not_asked_is_not_counted_and_what_was_not_answered_is(there):
    with suppress(NotAskedError):
        await lend(there, "0001", NotAskedError())
    assert await there.counted("91") == [0]
    for _ in range(3):  # the same one is one guess …
        with suppress(NoAnswerError):
            await lend(there, "0001", NoAnswerError())
    assert await there.counted("91") == [1]
    assert (await lend(there, "0001", YES)).ok  # … until it is answered
    assert await there.counted("91") == [0]


async def test_another_number_of_the_patron_is_learnt(there):
    await lend(there, "0001", NO.replace("AA91", "AA77"))
    await lend(there, "0002", NO)
    assert await there.counted("91", "77") == [2, 1]


async def test_who_gives_up_has_nothing_sent_any_more(there):
    """What was answered no is not done later (C98), and hanging up makes no guess free."""
    begun = asyncio.Event()
    sent = []

    async def hang():
        sent.append(1)
        begun.set()
        await asyncio.Event().wait()

    session = there.session()
    first = asyncio.create_task(there.identifier.judge(session, "91", "0001", "11", hang))
    await begun.wait()
    # The second waits for its turn.
    second = asyncio.create_task(there.identifier.judge(session, "91", "0002", "11", hang))
    guesses = there.identifier._pins.guesses
    while guesses.terminal(session.terminal.name).judged < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    async with asyncio.timeout(30):
        await asyncio.gather(*guesses.left, return_exceptions=True)
    assert sent == [1]
    assert await there.counted("91") == [1]


async def test_failing_answers_leave_when_all_of_them_do(there, monkeypatch):
    held = []

    async def hold_back(terminal, now, began_s):
        held.append(terminal)

    monkeypatch.setattr(there.identifier._pins.guesses, "hold_back", hold_back)
    there.identifier.rules = replace(there.identifier.rules, failures_max=2)
    await lend(there, "1234", YES)
    assert held == []
    await lend(there, "0001", NO)
    await lend(there, "0001", NO_WITH_CQN)
    assert await lend(there, "0002", NO) is None
    assert held == ["kiosk-1"] * 3


async def test_a_no_tells_a_door_nothing_about_the_pin(there):
    """It was the loan that was refused; somebody who was let in yesterday is no guesser."""
    noted, admissions = [], there.identifier._pins._admissions
    admissions.remember("door-1", "91", PatronRecord("91", "Tim"), 0.0)
    admissions.note_pin = lambda name, *, right: noted.append(right)
    await lend(there, "0001", NO)
    await lend(there, "1234", YES)
    assert noted == []
    await lend(there, "1234", YES_WITH_CQY)
    assert noted == [True]
