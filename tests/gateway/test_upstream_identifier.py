"""Cards and PINs that a library system behind the gateway judges.  (B40, B72, B74, C99, C122)

`9…` are cards of the library system that our store does not know; 1001 (Anna) has badges here.
"""

import asyncio
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from harness import CONFIG, NOON, load
from judged import Behind, ask_63, behind
from msgspec.structs import replace

from sip2gw.authentication import emergency, library_pins, upstream
from sip2gw.backend.base import BackendError, BackendTimeoutError, UnavailableError
from sip2gw.backend.database import WriteResult
from sip2gw.backend.system import BadAnswerError, NoAnswerError, NotAskedError
from sip2gw.model import DoorEntry, FailedPins
from sip2gw.model.badges import Deed
from sip2gw.policy.access import PinState
from sip2gw.policy.upstream.rules import Fact, FactRules
from sip2gw.protocol.encoding import text_encoding
from sip2gw.protocol.messages import HoldResponse, PatronStatusRequest
from sip2gw.staff.members.patrons import unblock

OK, WRONG, LOCKED, ABSENT = PinState.OK, PinState.WRONG, PinState.LOCKED, PinState.ABSENT
LOCK = timedelta(minutes=15)
EMERGENCY = CONFIG.replace(
    "minimum_age = 16 }", "minimum_age = 16, emergency = true, emergency_max_age_h = 24 }"
)


@pytest.fixture
async def there(tmp_path):
    async with behind(tmp_path) as behind_it:
        yield behind_it


# What goes up -------------------------------------------------------------------------------------


async def test_one_request_goes_up_as_it_came_but_in_the_accounts_name(there):
    request = ask_63("91", "1234", "ACts|BP1|BQ5|XAn\N{LATIN SMALL LETTER E WITH ACUTE}e|")
    asked = await there.identifier.ask(there.session(), request)
    assert there.library.asked == [
        "6300120260310    120000Y         AOTHERE|AA91|ACts|AD1234|BP1|BQ5|"
        "XAn\N{LATIN SMALL LETTER E WITH ACUTE}e|"
    ]
    assert asked.pin is OK
    assert asked.record.name == "Jan Jansen"
    assert asked.card == asked.record.card("91")


@pytest.mark.parametrize(("knows", "sent"), [(False, ""), (True, "FWB|")])
async def test_fw_goes_up_only_where_it_is_known(there, knows, sent):
    await there.identifier.ask(there.session(knows_fw_b=knows), ask_63("91", "1234", "FWB|"))
    assert there.library.asked[0].endswith(f"AD1234|{sent}")


async def test_a_pin_goes_up_once_and_a_repeated_one_is_nobodys(there):
    """Nobody would have counted the second."""
    session = there.session()
    asked = await there.identifier.ask(session, ask_63("91", "", "AD1234|AA92|"))
    assert asked.pin is ABSENT
    assert "AD" not in there.library.asked[0].split("|AA")[1]
    assert "1234" not in there.library.asked[0]
    assert await there.guess("91", "1111|AD1234") is WRONG
    assert "1234" not in there.library.asked[1]


async def test_an_empty_pin_is_none_and_what_is_said_of_it_counts_nothing(there):
    for pin in (None, "", None, "", None, ""):
        asked = await there.identifier.ask(there.session(), ask_63("91", pin))
        assert asked.pin is ABSENT
        assert asked.record.name == "Jan Jansen"
    assert "AD" not in there.library.asked[1]
    assert await there.counted("91") == [0]


async def test_kiosks_have_a_lease_and_doors_have_none(there):
    kiosk, door = there.session(), there.session("door-1")
    await there.guess("91", "1234", kiosk)
    await there.identifier.identify(door, "91", "1234")
    assert there.library.leases == [kiosk.lease, None]


async def test_no_card_is_asked_about_nowhere(there):
    asked = await there.identifier.ask(there.session(), ask_63("", "1234"))
    assert (asked.record, asked.card, asked.pin) == (None, None, ABSENT)
    assert there.library.asked == []


@pytest.mark.parametrize(("number", "pin"), [("9é", "1234"), ("91", "é12"), ("9\x7f", "1")])
async def test_what_the_account_cannot_write_is_wrong_and_not_asked(there, number, pin):
    """A `?` or a letter without its accent would be another card or PIN."""
    asked = await there.identifier.ask(
        there.session(text=text_encoding("ascii")), ask_63(number, pin)
    )
    assert asked.pin is WRONG
    assert (asked.card is None) == (number != "91")
    assert there.library.asked == []
    assert await there.counted(number) == [1]


async def test_a_card_that_the_account_cannot_write_is_nobodys_without_a_pin_too(there):
    session = there.session(text=text_encoding("ascii"))
    asked = await there.identifier.ask(session, ask_63("9é"))
    assert (asked.record, asked.card, asked.pin) == (None, None, ABSENT)
    assert there.library.asked == []


# Whose card it is ---------------------------------------------------------------------------------


async def test_what_we_know_is_laid_over_what_they_say(there):
    """B72, C56."""
    asked = await there.identifier.ask(there.session(), ask_63("1001", "4321"))
    assert asked.record.name == "Jan Jansen"
    assert {badge.code for badge in asked.record.badges} == {"ONBE", "OLD1"}
    assert asked.record.word is not None


async def test_a_membership_that_they_name_is_ours_with_its_limits(there):
    there.library.tail = "PC201|"
    facts = FactRules(membership=Fact("PC"))
    asked = await there.identifier.ask(there.session(facts=facts), ask_63("91", "1234"))
    assert asked.record.membership.max_fees_self_service == 1000
    there.library.tail = "PCother|"
    asked = await there.identifier.ask(there.session(facts=facts), ask_63("91", "1234"))
    assert asked.record.membership.max_fees_self_service is None


@pytest.mark.parametrize(("aliases", "badges"), [(True, {"ONBE", "OLD1"}), (False, set())])
async def test_with_aliases_we_know_the_patron_by_the_number_of_the_answer(there, aliases, badges):
    """C151."""
    there.library.holders["91"] = "1001"
    asked = await there.identifier.ask(there.session(aliases=aliases), ask_63("91", "1234"))
    assert {badge.code for badge in asked.record.badges} == badges
    assert asked.card.number == "91"


BARRED_91, BARRED_92, BARRED_1001, BARRED_1005 = (
    DoorEntry("bar", "MAIN", number) for number in ("91", "92", "1001", "1005")
)


@pytest.mark.parametrize(
    ("scanned", "told", "barred"),
    [
        pytest.param("91", "91", (BARRED_91,), id="nobody has it here"),
        pytest.param("92", "91", (BARRED_92, BARRED_91), id="nor the number of the answer"),
        pytest.param("92", "1001", (BARRED_1001, BARRED_92), id="who is answered is ours"),
        pytest.param("1001", "91", (BARRED_1001, BARRED_91), id="who is asked about is ours"),
        pytest.param("1005", "1001", (BARRED_1001, BARRED_1005), id="two patrons of ours"),
    ],
)
async def test_a_number_on_a_list_counts_whoever_has_it_here(there, scanned, told, barred):
    """B34, C151: as it is scanned, and as it is answered."""
    there.library.holders[scanned] = told
    there.library.pins.setdefault(scanned, "1234")
    for entry in (BARRED_91, BARRED_92, BARRED_1001, BARRED_1005):
        await there.gateway.store.put_door_entry(entry)
    asked = await there.identifier.ask(there.session(aliases=True), ask_63(scanned))
    assert asked.record.id == told
    assert asked.record.door_entries == barred


async def test_who_has_only_paid_here_is_barred_by_number(there):
    """Such a patron has no card in our store (`sql.stubs`)."""
    there.library.holders["92"] = "91"
    store = there.gateway.store
    await store.write(_has_paid("91"))
    assert (await store.find_patron("91")).cards == ()
    await store.put_door_entry(BARRED_91)
    asked = await there.identifier.ask(there.session(aliases=True), ask_63("92"))
    assert asked.record.door_entries == (BARRED_91,)


def _has_paid(number):
    def job(connection):
        connection.execute("INSERT INTO patron (id, name, status) VALUES (?, '', 5)", (number,))
        return WriteResult(None, (number,))

    return job


async def test_an_unknown_card_is_nobodys(there):
    asked = await there.identifier.ask(there.session(), ask_63("99"))
    assert (asked.record, asked.card, asked.pin) == (None, None, ABSENT)
    assert asked.response.valid_patron is False


async def test_a_wrong_pin_tells_no_more_than_that_there_is_such_a_card(there):
    """C112, C158."""
    asked = await there.identifier.ask(there.session(), ask_63("91", "0000"))
    assert asked.pin is WRONG
    assert (asked.record.id, asked.record.name, asked.card.number) == ("91", "", "91")
    known = await there.identifier.ask(there.session(), ask_63("1001", "0000"))
    assert known.record.name == "Anna Peeters"
    assert known.record.word is None


@pytest.mark.parametrize("doubt", ["CQN|", "BLN|"])
async def test_an_answer_that_says_yes_and_no_lets_nobody_in(there, doubt):
    """C121, C158."""
    there.library.tail = doubt
    asked = await there.identifier.ask(there.session(), ask_63("91", "1234"))
    assert (asked.pin, asked.record and asked.record.name) in [(WRONG, ""), (WRONG, None)]
    assert await there.counted("91") == [1]


async def test_a_card_that_is_valid_and_is_not_is_nobodys(there):
    there.library.tail = "BLN|"
    assert (await there.identifier.find(there.session("door-1"), "91"))[1] is None


async def test_an_answer_without_a_number_is_about_the_card(there):
    there.library.holders["91"] = ""
    asked = await there.identifier.ask(there.session(), ask_63("91", "1234"))
    assert asked.record.id == "91"


# Guessing (B74, C99) ------------------------------------------------------------------------------


async def test_five_wrong_pins_reach_the_library_system_and_then_not_even_the_right_one(there):
    pins = [await there.guess("91", f"000{n}") for n in range(7)]
    assert pins == [WRONG] * 5 + [LOCKED] * 2
    asked = await there.identifier.ask(there.session(), ask_63("91", "1234"))
    assert (asked.pin, asked.response, asked.card.number) == (LOCKED, None, "91")
    assert len(there.library.asked) == 5
    assert there.locks == ["card"]


async def test_the_lock_ends_and_the_count_begins_anew(there):
    for n in range(5):
        await there.guess("91", f"000{n}")
    there.gateway.clock.advance(LOCK.total_seconds() - 1)
    assert await there.guess("91", "1234") is LOCKED
    there.gateway.clock.advance(1)
    assert await there.guess("91", "1234") is OK
    assert await there.counted("91") == [0]


async def test_an_unknown_card_locks_like_any_other_and_looks_the_same(there):
    """Some library systems answer a wrong PIN with BLN."""
    asked = [await there.identifier.ask(there.session(), ask_63("99", f"000{n}")) for n in range(7)]
    assert [one.pin for one in asked] == [WRONG] * 5 + [LOCKED] * 2
    assert [one.card for one in asked] == [None] * 7
    assert len(there.library.asked) == 5


async def test_a_right_pin_ends_the_count(there):
    for n in range(4):
        await there.guess("91", f"000{n}")
    assert await there.guess("91", "1234") is OK
    assert await there.counted("91") == [0]
    assert [await there.guess("91", f"000{n}") for n in range(5)] == [WRONG] * 5


async def test_without_cq_no_pin_is_right_and_none_is_counted(there):
    """C158."""
    there.library.cq = False
    assert [await there.guess("91", "1234") for _ in range(7)] == [WRONG] * 7
    there.library.cq = True
    await there.guess("91", "0000")
    there.library.cq = False
    assert [await there.guess("91", "1234") for _ in range(7)] == [WRONG] * 7
    assert await there.counted("91") == [1]


async def test_the_other_number_of_a_card_counts_in_whatever_spelling(there):
    there.library.holders["91"] = "0092"
    assert await there.guess("91", "1234", there.session(aliases=True)) is OK
    assert await there.guess("91", "0000", there.session(aliases=True)) is WRONG
    assert await there.counted("91", "92") == [1, 1]


async def test_who_says_cq_of_right_pins_only_is_not_asked_about_all_of_them(there):
    """B20, B74: from the first CQY on, an answer without CQ is a no."""
    library = there.library
    library.says_no = False
    assert await there.guess("91", "0000") is WRONG
    assert await there.counted("91") == [0]
    assert await there.guess("92", "9999") is OK
    assert [await there.guess("91", f"000{n}") for n in range(7)] == [WRONG] * 5 + [LOCKED] * 2
    assert await there.guess("91", "1234") is LOCKED


async def test_what_is_said_of_cq_holds_for_that_account_and_that_kind_of_answer(there):
    assert await there.guess("92", "9999") is OK
    there.library.cq = False
    await there.guess("91", "0000", there.session(account="other"))
    assert await there.counted("91") == [0]
    there.library.offered = frozenset({"23"})
    await there.identifier.identify(there.session(), "91", "0000")
    assert await there.counted("91") == [0]
    there.library.cq = True
    await there.identifier.identify(there.session(), "92", "9999")
    there.library.cq = False
    await there.identifier.identify(there.session(), "91", "0000")
    assert await there.counted("91") == [1]


async def test_a_cqy_where_no_pin_went_up_says_nothing_of_how_they_speak(there):
    """C158: some library systems say so always."""
    there.library.cq, there.library.tail = False, "CQY|"
    assert await there.guess("91", None) is ABSENT
    there.library.tail = ""
    assert await there.guess("91", "0000") is WRONG
    assert await there.counted("91") == [0]


async def test_a_guesser_on_twenty_lines_with_all_cards_of_a_patron(there):
    """Three cards that our store knows, and one of which an answer told the holder."""
    cards = ["1001", "1001B", "1001R", "91"]
    library = there.library
    library.pins = dict.fromkeys(cards, "4321")
    library.holders = dict.fromkeys(cards, "1001")
    assert await there.guess("91", "4321", there.session(aliases=True)) is OK

    async def line(n):
        session = there.session(aliases=True)
        return [await there.guess(cards[(n + i) % 4], f"{n}-{i}", session) for i in range(5)]

    answers = await asyncio.gather(*(line(n) for n in range(20)))
    assert sum(one is WRONG for line in answers for one in line) == 5
    assert len(library.wrong()) == 5
    assert await there.guess("1001B", "4321") is LOCKED


async def test_a_card_whose_holder_nobody_knew_counts_for_the_holder_too(there):
    there.library.pins["91"] = there.library.pins["92"] = "1234"
    there.library.holders = {"91": "92"}
    for n in range(2):
        await there.guess("91", f"000{n}", there.session(aliases=True))
    assert await there.counted("91", "92") == [2, 2]
    for n in range(3):
        assert await there.guess("92", f"000{n}") is WRONG
    assert await there.guess("91", "1234", there.session(aliases=True)) is LOCKED


async def test_a_right_pin_with_another_card_of_a_locked_patron_is_locked(there):
    for n in range(5):
        await there.guess("92", f"000{n}")
    there.library.holders = {"91": "92"}
    asked = await there.identifier.ask(there.session(aliases=True), ask_63("91", "1234"))
    assert (asked.pin, asked.response) == (LOCKED, None)


async def test_a_restart_does_not_ask_again_about_another_card_of_a_locked_patron(there):
    """Who told the holder is forgotten then; another gateway has never been told."""
    there.library.holders = {"91": "92"}
    for n in range(5):
        await there.guess("92", f"000{n}")
    there.gateway.clock.advance(60)
    for n in range(3):
        gateway = Behind(there.gateway, there.library)
        assert await gateway.guess("91", f"000{n}", gateway.session(aliases=True)) is LOCKED
    assert len(there.library.asked) == 6
    at, store = there.gateway.clock.now(), there.gateway.store
    patron, card = await store.failed_pins(["92", "91"])
    assert at < card.locked_until == patron.locked_until


async def test_a_card_is_locked_too_when_only_memory_has_counted(there, monkeypatch):
    there.library.holders = {"91": "92"}
    failing = AsyncMock(side_effect=UnavailableError)
    with monkeypatch.context() as patched:
        patched.setattr(there.gateway.app.backend, "record_guess", failing)
        for n in range(5):
            await there.guess("92", f"000{n}")
    assert await there.guess("91", "0000", there.session(aliases=True)) is LOCKED
    (card,) = await there.gateway.store.failed_pins(["91"])
    assert card.locked_until == there.gateway.clock.now() + LOCK


async def test_those_who_wait_count_for_the_holder_whom_the_first_was_told(there):
    there.library.pins["91"] = there.library.pins["92"] = "1234"
    there.library.holders = {"91": "92"}
    session = there.session(aliases=True)
    answers = await asyncio.gather(*(there.guess("91", f"{n}", session) for n in range(10)))
    assert answers.count(WRONG) == 5
    assert await there.counted("91", "92") == [5, 5]
    assert await there.guess("92", "1234") is LOCKED
    assert len(there.library.asked) == 5


async def test_those_who_wait_are_not_asked_once_the_holder_is_locked(there):
    for n in range(4):
        await there.guess("92", f"000{n}")
    there.library.holders = {"91": "92"}
    session = there.session(aliases=True)
    answers = await asyncio.gather(*(there.guess("91", f"{n}", session) for n in range(5)))
    assert answers == [WRONG] + [LOCKED] * 4
    assert len(there.library.asked) == 5


async def test_the_cards_of_a_patron_of_ours_share_their_failures(there):
    """Whatever number the library system answers."""
    there.library.pins = dict.fromkeys(["1001", "1001B"], "4321")
    answers = [await there.guess(("1001", "1001B")[n % 2], f"000{n}") for n in range(6)]
    assert answers == [WRONG] * 5 + [LOCKED]
    assert len(there.library.asked) == 5


@pytest.mark.parametrize("number", ["A123", "0012", "91"])
async def test_staff_end_a_lock_by_the_number_that_was_scanned(there, number):
    """B20, B74: all its spellings count as one, so one of them ends the lock of all."""
    there.library.pins[number] = "1234"
    for n in range(5):
        await there.guess(number, f"000{n}")
    assert await there.guess(number, "1234") is LOCKED
    app = there.gateway.app
    done = await unblock(app.store, app.gateway.site.config, number)
    assert (done["patron"], done["pin_unlocked"]) == (None, True)
    assert await there.guess(number, "1234") is OK


@pytest.mark.parametrize("named_by_staff", ["91", "92", "93"])
async def test_staff_end_a_lock_by_any_number_of_the_patron(there, named_by_staff):
    """The cards 91 and 93 are of 92, as the library system says (B20, B74, C151)."""
    there.library.pins["91"] = there.library.pins["92"] = there.library.pins["93"] = "1234"
    there.library.holders = {"91": "92", "93": "92"}
    for n in range(5):
        await there.guess("91", f"000{n}", there.session(aliases=True))
    assert await there.guess("93", "1234", there.session(aliases=True)) is LOCKED
    app = there.gateway.app
    anew = Behind(there.gateway, there.library)  # as after a restart
    done = await unblock(app.store, app.gateway.site.config, named_by_staff)
    assert done["pin_unlocked"]
    for number in ("91", "92", "93"):
        assert await anew.guess(number, "1234", anew.session(aliases=True)) is OK


async def test_a_pin_of_which_nothing_is_said_opens_nothing(there):
    there.library.cq = False
    asked = await there.identifier.ask(there.session(), ask_63("91", "1234"))
    assert (asked.pin, asked.record.name) == (WRONG, "")


async def test_another_gateway_may_have_locked_between_reading_and_counting(there, monkeypatch):
    async def locked_meanwhile(number, now, failures_max, lock_until):
        return None

    await there.guess("91", "0000")
    monkeypatch.setattr(there.gateway.app.backend, "record_guess", locked_meanwhile)
    assert await there.guess("91", "1234") is LOCKED
    assert len(there.library.asked) == 1


async def test_a_holder_whose_lock_cannot_be_looked_up_is_counted_all_the_same(there, monkeypatch):
    there.library.holders = {"91": "92"}
    read = there.gateway.app.backend.failed_pins

    async def goes_away(numbers):
        if numbers == ["92"]:
            raise UnavailableError("away")
        return await read(numbers)

    monkeypatch.setattr(there.gateway.app.backend, "failed_pins", goes_away)
    assert await there.guess("91", "0000", there.session(aliases=True)) is WRONG
    assert [count.failures for count in await read(["91", "92"])] == [1, 1]


async def test_what_is_remembered_of_cards_is_bounded(there, monkeypatch):
    monkeypatch.setattr(library_pins, "REMEMBERED_MAX", 2)
    monkeypatch.setattr(upstream, "UNKNOWN_CARDS_MAX", 2)
    pins = there.identifier._pins
    there.library.fails = NoAnswerError("late")
    for n in range(4):
        pins.learn(f"{n}", "92")
        with pytest.raises(NoAnswerError):
            await there.guess(f"8{n}", "1")
    assert list(pins._aliases) == ["2", "3"]
    assert len(pins._unanswered) == 2
    there.library.fails = None
    for n in range(4):
        await there.guess(f"7{n}", None)
    assert list(there.identifier._unknown) == ["72", "73"]


async def test_parallel_guesses_are_judged_one_after_the_other(there):
    there.library.gate.clear()
    guesses = [asyncio.create_task(there.guess("91", f"{n}")) for n in range(20)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(there.library.asked) == 1
    there.library.gate.set()
    assert (await asyncio.gather(*guesses)).count(WRONG) == 5
    assert len(there.library.wrong()) == 5


async def test_whoever_hangs_up_has_guessed_all_the_same(there):
    there.library.gate.clear()
    for n in range(10):
        impatient = asyncio.create_task(there.guess("91", f"{n}"))
        for _ in range(20):
            await asyncio.sleep(0)
        impatient.cancel()
    there.library.gate.set()
    await asyncio.gather(*there.identifier._pins.guesses.left)
    assert len(there.library.wrong()) == 5
    assert await there.guess("91", "1234") is LOCKED


async def test_what_our_store_cannot_count_memory_does(there, monkeypatch):
    async def away(*arguments):
        raise UnavailableError("full")

    monkeypatch.setattr(there.gateway.app.backend, "record_guess", away)
    pins = [await there.guess("91", f"000{n}") for n in range(7)]
    assert pins == [WRONG] * 5 + [LOCKED] * 2
    assert len(there.library.asked) == 5


async def test_while_our_store_cannot_say_whether_the_pin_is_locked_nobody_is_asked(
    there, monkeypatch
):
    async def away(*arguments):
        raise UnavailableError("away")

    monkeypatch.setattr(there.gateway.app.backend, "failed_pins", away)
    with pytest.raises(UnavailableError):
        await there.guess("91", "1234")
    assert there.library.asked == []


async def test_rules_can_be_replaced(there):
    there.identifier.rules = replace(there.identifier.rules, failures_max=2)
    assert [await there.guess("91", f"000{n}") for n in range(3)] == [WRONG, WRONG, LOCKED]


@pytest.mark.parametrize("pin", ["0000", "1234"])
async def test_failing_answers_wait_for_their_slot_and_others_do_not(there, monkeypatch, pin):
    held = []

    async def hold_back(terminal, now, began_s):
        held.append(terminal)

    monkeypatch.setattr(there.identifier._pins.guesses, "hold_back", hold_back)
    await there.guess("91", pin)
    assert held == ([] if pin == "1234" else ["kiosk-1"])
    for n in range(5):
        await there.guess("99", f"{n}")
    held.clear()
    await there.guess("99", "9")  # locked
    await there.guess("99", "")
    assert held == ["kiosk-1"]


# A library system that fails ----------------------------------------------------------------------


async def test_what_was_not_asked_is_not_counted(there):
    await there.guess("91", "0000")
    there.library.fails = NotAskedError("the breaker is open")
    for n in range(7):
        with pytest.raises(NotAskedError):
            await there.guess("91", f"{n}")
    assert await there.counted("91") == [1]


async def test_the_last_guess_that_was_not_asked_locks_nobody(there):
    for n in range(4):
        await there.guess("91", f"000{n}")
    there.library.fails = NotAskedError("no line")
    with pytest.raises(NotAskedError):
        await there.guess("91", "1234")
    there.library.fails = None
    assert await there.guess("91", "1234") is OK


async def test_nor_where_memory_had_counted_it(there, monkeypatch):
    async def away(*arguments):
        raise UnavailableError("full")

    backend = there.gateway.app.backend
    await there.guess("91", "0000")
    monkeypatch.setattr(backend, "record_guess", away)
    monkeypatch.setattr(backend, "return_guess", away)
    there.library.fails = NotAskedError("no line")
    for _ in range(7):
        with pytest.raises(NotAskedError):
            await there.guess("91", "1234")
    assert there.identifier._pins.guesses.unwritten == {}
    monkeypatch.undo()
    monkeypatch.setattr(backend, "return_guess", away)
    with pytest.raises(NotAskedError):
        await there.guess("91", "1234")
    assert await there.counted("91") == [2]


@pytest.mark.parametrize("error", [NoAnswerError("late"), BadAnswerError("garbage")])
async def test_a_guess_that_was_not_answered_counts_once_for_each_pin(there, error):
    there.library.fails = error
    for _ in range(7):
        with pytest.raises(type(error)):
            await there.guess("91", "1234")
    assert await there.counted("91") == [1]
    there.library.fails = None
    assert await there.guess("91", "1234") is OK
    assert await there.counted("91") == [0]


async def test_many_pins_that_are_not_answered_lock_the_patron(there):
    """Else a library system that answers wrong PINs late could be asked for ever."""
    there.library.fails = NoAnswerError("late")
    for n in range(5):
        with pytest.raises(NoAnswerError):
            await there.guess("91", f"000{n}")
    there.library.fails = None
    assert await there.guess("91", "0000") is LOCKED
    assert len(there.library.asked) == 5


async def test_one_that_was_not_answered_and_is_wrong_is_one_failure(there):
    there.library.fails = NoAnswerError("late")
    with pytest.raises(NoAnswerError):
        await there.guess("91", "0000")
    there.library.fails = None
    assert await there.guess("91", "0000") is WRONG
    assert await there.counted("91") == [1]
    assert await there.guess("91", "0000") is WRONG
    assert await there.counted("91") == [2]


async def test_a_card_that_only_our_store_calls_replaced_stays_so_when_the_same_is_answered(
    there, monkeypatch
):
    """B21."""
    cards = [{"number": "91", "state": "replaced"}]
    load(there.gateway.store, [{"kind": "patron", "id": "91", "name": "Jan", "cards": cards}])
    ask = there.library.ask
    answers: list[Any] = []

    async def ask_once(*asked, **more):
        if not answers:
            owes_nothing = {"patron_status": frozenset(), "fee_amount": "0.00"}
            answers.append(replace(await ask(*asked, **more), **owes_nothing))
        return answers[0]

    monkeypatch.setattr(there.library, "ask", ask_once)
    session = there.session()
    assert [await there.guess("91", "1234", session) for _ in range(2)] == [ABSENT, ABSENT]
    assert answers[0].kept.snapshot is not None


# Doors (C122) -------------------------------------------------------------------------------------


async def test_a_door_asks_by_63_or_where_that_is_not_offered_by_23(there):
    door = there.session("door-1")
    await there.identifier.identify(door, "91", "1234")
    there.library.offered = frozenset({"23"})
    await there.identifier.identify(door, "1001", "4321")
    never = there.session("door-1", offers_information=False)
    there.library.offered = frozenset({"23", "63"})
    await there.identifier.identify(never, "92", "9999")
    assert [asked[:2] for asked in there.library.asked] == ["63", "23", "23"]
    assert there.library.asked[0] == "6300020260310    120000          AOTHERE|AA91|AD1234|"


async def test_the_same_card_and_pin_at_the_same_door_are_one_question(there):
    door, other = there.session("door-1"), there.session("door-shut")
    ask = there.identifier.identify
    for _ in range(3):
        found = await ask(door, "91", "1234")
        assert (found.record.id, found.pin) == ("91", OK)
    assert len(there.library.asked) == 1
    await ask(other, "91", "1234")
    assert len(there.library.asked) == 2
    assert (await ask(door, "91", "0000")).pin is WRONG
    assert (await ask(door, "91", "0000")).pin is WRONG
    assert len(there.library.asked) == 3
    assert await there.counted("91") == [1]
    there.gateway.clock.advance(door.terminal.door_manner.passage_window_s)
    await ask(door, "91", "1234")
    assert len(there.library.asked) == 4


async def test_a_pin_that_was_right_a_moment_ago_is_locked_when_it_is(there):
    door = there.session("door-1")
    await there.identifier.identify(door, "91", "1234")
    for n in range(5):
        await there.guess("91", f"000{n}")
    assert (await there.identifier.identify(door, "91", "1234")).pin is LOCKED


async def test_what_we_change_counts_at_once_though_nobody_is_asked_again(there):
    door = there.session("door-1")
    await there.identifier.identify(door, "1001", "4321")
    await there.gateway.store.unassign_badge("ONBE", "1001", Deed("eva", NOON))
    record = (await there.identifier.identify(door, "1001", "4321")).record
    assert "ONBE" not in {badge.code for badge in record.badges}
    assert len(there.library.asked) == 1


async def test_a_door_without_pin_asks_without(there):
    door = there.session("door-1")
    record, card = await there.identifier.find(door, "91")
    await there.identifier.find(door, "91")
    assert (record.name, card.number) == ("Jan Jansen", "91")
    assert [asked.split("|")[1:] for asked in there.library.asked] == [["AA91", ""]]


async def test_a_kiosk_is_asked_each_time(there):
    session = there.session()
    await there.identifier.identify(session, "91", "1234")
    await there.identifier.identify(session, "91", "1234")
    assert len(there.library.asked) == 2


async def test_whoever_pays_is_asked_about_with_their_fees_and_nobody_else_is(there):
    """Our store knows for whom 1006 may pay, and the library system what these owe."""
    there.library.pins["1006"] = "1006"
    facts, card, pin = await there.identifier.identify_payer(there.session(), "1006", "1006")
    assert (facts.payer.name, card.number, pin) == ("Jan Jansen", "1006", OK)
    assert [relation.from_id for relation in facts.payer.payer_for] == ["1005"]
    assert facts.debtors == ()
    assert len(there.library.asked) == 1
    assert (await there.identifier.identify_payer(there.session(), "99", "1"))[0] is None


# When the library system is away (B40, C110) ------------------------------------------------------


@pytest.fixture
async def door(tmp_path, monkeypatch):
    monkeypatch.setattr(emergency, "HASH_AFTER_S", 0)
    async with behind(tmp_path, config=EMERGENCY) as behind_it:
        yield behind_it


async def admit(there, number, pin):
    """The door has asked, and let them in."""
    session = there.session("door-1")
    found = await there.identifier.identify(session, number, pin)
    record, state = found.record, found.pin
    if state is OK:
        there.services.admissions.remember("door-1", number, record, 0)
    await hashed(there)
    return session, record


async def hashed(there):
    """When all PINs that waited are hashed."""
    while there.identifier._emergency.working is not None:
        await there.identifier._emergency.working


async def away(there, session, record, number, pin):
    return await there.identifier.verify_without_store(session, record, number, pin)


async def test_a_store_that_is_away_is_not_asked_what_it_has_counted(door, monkeypatch):
    session, record = await admit(door, "91", "1234")

    async def failed_pins(names):
        raise BackendError

    monkeypatch.setattr(door.gateway.app.backend, "failed_pins", failed_pins)
    assert await away(door, session, record, "91", "1234") is OK


async def test_a_pin_that_was_right_at_an_admission_is_right_without_the_library_system(door):
    session, record = await admit(door, "91", "1234")
    pin_hash = door.services.admissions.pin_hash("91")
    assert pin_hash.startswith("$argon2id$")
    assert "pin_hash" not in repr(door.services.admissions._patrons["91"])
    asked = len(door.library.asked)
    assert await away(door, session, record, "91", "1234") is OK
    assert await away(door, session, record, "91", "0000") is WRONG
    assert await away(door, session, record, "91", None) is ABSENT
    assert len(door.library.asked) == asked
    await admit(door, "91", "1234")
    assert door.services.admissions.pin_hash("91") == pin_hash


async def test_who_was_not_admitted_has_no_hash(door, monkeypatch):
    hashes = AsyncMock()
    monkeypatch.setattr(door.verifier, "run", hashes)
    session = door.session("door-1")
    record = (await door.identifier.identify(session, "91", "1234")).record
    await hashed(door)
    assert door.services.admissions.pin_hash("91") is None
    assert await away(door, session, record, "91", "1234") is WRONG
    assert hashes.await_count == 0


async def test_a_door_that_knows_no_emergency_hashes_nothing(there):
    await admit(there, "91", "1234")
    assert there.services.admissions.pin_hash("91") is None


async def test_a_pin_that_was_changed_is_right_no_more(door):
    session, record = await admit(door, "91", "1234")
    door.library.pins["91"] = "5678"
    await door.guess("91", "0000")
    await hashed(door)
    assert door.services.admissions.pin_hash("91") is not None
    await door.guess("91", "1234")
    await hashed(door)
    assert await away(door, session, record, "91", "1234") is WRONG
    session, record = await admit(door, "91", "5678")
    assert await away(door, session, record, "91", "5678") is OK
    assert await away(door, session, record, "91", "1234") is WRONG


async def test_a_pin_that_was_wrong_once_is_remembered_again_when_it_is_right_again(door):
    session, record = await admit(door, "91", "1234")
    for pin in ("5678", "1234"):
        door.library.pins["91"] = pin
        await door.guess("91", "1234")
    await hashed(door)
    assert await away(door, session, record, "91", "1234") is OK


async def ask_at_a_kiosk(there, number, pin):
    assert await there.guess(number, pin) is OK


async def hold_at_a_kiosk(there, number, pin):
    """They say CQY, so it is no mere deed (C155)."""

    async def send():
        return HoldResponse(ok=True, extra_fields=[("CQ", b"Y")])

    assert await there.identifier.judge(there.session(), number, pin, "15", send) is not None


@pytest.mark.parametrize("learn", [ask_at_a_kiosk, hold_at_a_kiosk])
async def test_another_pin_that_is_right_at_any_terminal_takes_its_place_c110(door, learn):
    session, record = await admit(door, "91", "1234")
    door.library.pins["91"] = "5678"
    await learn(door, "91", "5678")
    await hashed(door)
    assert await away(door, session, record, "91", "1234") is WRONG
    assert await away(door, session, record, "91", "5678") is OK


async def test_a_deed_that_was_done_says_nothing_of_the_pin_that_is_remembered(door):
    session, record = await admit(door, "91", "1234")

    async def send():
        return HoldResponse(ok=True)

    await door.identifier.judge(door.session(), "91", "5678", "15", send)
    await hashed(door)
    assert await away(door, session, record, "91", "1234") is OK


async def test_a_pin_that_is_right_no_more_is_refused_before_the_other_is_hashed_c110(
    door, monkeypatch
):
    session, record = await admit(door, "91", "1234")
    monkeypatch.setattr(emergency, "HASH_AFTER_S", 60)
    hashes = AsyncMock()
    monkeypatch.setattr(door.verifier, "run", hashes)
    door.library.pins["91"] = "5678"
    await door.guess("91", "5678")
    assert await away(door, session, record, "91", "1234") is WRONG
    for _ in range(3):
        await asyncio.sleep(0)
    assert hashes.await_count == 0
    door.identifier._emergency.working.cancel()


async def test_a_pin_that_waits_to_be_hashed_is_forgotten_when_it_is_wrong_by_now(
    door, monkeypatch
):
    """Before anybody was admitted: the door may be deciding just now."""
    monkeypatch.setattr(emergency, "HASH_AFTER_S", 60)
    await door.identifier.identify(door.session("door-1"), "91", "1234")
    pins = door.identifier._emergency
    assert pins.remembers("91")
    door.library.pins["91"] = "5678"
    await door.guess("91", "1234")
    assert not pins.remembers("91")
    pins.working.cancel()


async def test_a_pin_that_is_changed_back_before_it_is_hashed_is_the_one_that_counts(door):
    session, record = await admit(door, "91", "1234")
    working = []
    for pin in ("5678", "1234"):
        door.library.pins["91"] = pin
        await door.guess("91", pin)
        working.append(door.identifier._emergency.working)
    assert working[0] is working[1]  # one after the other is hashed
    await hashed(door)
    assert await away(door, session, record, "91", "5678") is WRONG
    assert await away(door, session, record, "91", "1234") is OK


async def test_a_pin_that_turns_out_wrong_while_it_is_hashed_is_not_remembered(door, monkeypatch):
    run = door.verifier.run

    async def changed_meanwhile(work, *, first=False):
        door.library.pins["91"] = "5678"
        await door.guess("91", "1234")
        return await run(work, first=first)

    monkeypatch.setattr(door.verifier, "run", changed_meanwhile)
    await admit(door, "91", "1234")
    assert door.services.admissions.pin_hash("91") is None


async def test_a_repeated_answer_at_a_door_is_no_news_of_the_pin_c110(door):
    """C122: what is answered again is older than what a kiosk has learnt since."""
    session, record = await admit(door, "91", "1234")
    door.library.pins["91"] = "5678"
    await door.guess("91", "5678")
    await admit(door, "91", "1234")
    assert await away(door, session, record, "91", "1234") is WRONG
    assert await away(door, session, record, "91", "5678") is OK


async def test_only_a_pin_that_is_news_is_hashed(door, monkeypatch):
    """Kiosks ask often, and hashing is slow."""
    session, record = await admit(door, "91", "1234")
    hashes = AsyncMock(wraps=door.verifier.run)
    monkeypatch.setattr(door.verifier, "run", hashes)
    assert await away(door, session, record, "91", "1234") is OK  # found right by this very memory
    for number, pin in (("91", "1234"), ("91", "0000"), ("92", "9999")):
        await door.guess(number, pin)
    await admit(door, "91", "1234")
    await hashed(door)
    assert hashes.await_count == 0
    assert await away(door, session, record, "91", "0000") is WRONG
    assert [call.kwargs for call in hashes.await_args_list] == [{"first": True}]
    hashes.reset_mock()
    door.library.pins["91"] = "5678"
    for _ in range(3):
        await door.guess("91", "5678")
    await hashed(door)
    assert hashes.await_count == 1


async def test_what_this_memory_itself_found_right_is_no_news(door, monkeypatch):
    """The PIN may be changed while it is compared."""
    session, record = await admit(door, "91", "1234")

    async def matches(patron_id, pin):
        door.services.admissions.forget_pin(patron_id)
        return True

    monkeypatch.setattr(door.identifier._emergency, "matches", matches)
    assert await away(door, session, record, "91", "1234") is OK
    await hashed(door)
    assert door.services.admissions.pin_hash("91") is None


async def test_a_number_that_cannot_be_read_names_nobody_else(door):
    door.library.holders["91"] = "9é"
    session = door.session("door-1", text=text_encoding("ascii"))
    record = (await door.identifier.identify(session, "91", "1234")).record
    door.services.admissions.remember("door-1", "91", record, 0)
    await hashed(door)
    assert await away(door, session, record, "91", "1234") is OK


async def test_another_pin_takes_its_place_whichever_card_it_was_presented_with_c151(door):
    door.library.holders["91"], door.library.pins["91"] = "1001", "5678"
    session, record = await admit(door, "1001", "4321")
    await door.guess("91", "5678")
    await hashed(door)
    assert await away(door, session, record, "1001", "5678") is OK


async def test_another_pin_of_whoever_has_the_card_now_is_theirs_alone_c151(door):
    """91 was a card of 1001, and is one of 1002: the PIN of 1002 opens nothing as 1001."""
    door.library.pins.update({"1001": "4321", "91": "4321"})
    door.library.holders["91"] = "1001"
    _, record = await admit(door, "1001", "4321")
    await door.guess("91", "4321")
    door.library.holders["91"], door.library.pins["91"] = "1002", "5678"
    await door.guess("91", "5678")
    await hashed(door)
    session = door.session("door-1")
    assert await away(door, session, record, "1001", "5678") is WRONG
    assert await away(door, session, record, "1001", "4321") is OK


async def test_five_wrong_pins_and_the_right_one_is_locked(door):
    session, record = await admit(door, "91", "1234")
    for n in range(5):
        assert await away(door, session, record, "91", f"{n}") is WRONG
    assert await away(door, session, record, "91", "1234") is LOCKED


async def test_wrong_pins_while_it_was_there_count_when_it_is_away(door):
    session, record = await admit(door, "91", "1234")
    for n in range(6):
        await door.guess("91", f"000{n}")
    assert await away(door, session, record, "91", "1234") is LOCKED


async def test_a_slow_library_system_and_an_emergency_lock_nobody(door):
    """Each entry begins with a question that is not answered."""
    session, record = await admit(door, "91", "1234")
    door.gateway.clock.advance(60)
    door.library.fails = NoAnswerError("late")
    for _ in range(7):
        with pytest.raises(NoAnswerError):
            await door.identifier.identify(session, "91", "1234")
        assert await away(door, session, record, "91", "1234") is OK
    assert await door.counted("91") == [1]


async def test_threads_that_are_too_busy_hash_nothing_and_the_next_is_hashed(door, monkeypatch):
    run, busy = door.verifier.run, True

    async def maybe(work, *, first=False):
        if busy:
            raise BackendTimeoutError("too many verifications are waiting")
        return await run(work, first=first)

    monkeypatch.setattr(door.verifier, "run", maybe)
    await admit(door, "91", "1234")
    assert door.services.admissions.pin_hash("91") is None
    busy = False
    door.gateway.clock.advance(60)  # else it is the same question (C122)
    await admit(door, "91", "1234")
    assert door.services.admissions.pin_hash("91") is not None


async def test_too_many_that_wait_are_not_hashed(door, monkeypatch):
    await admit(door, "91", "1234")
    monkeypatch.setattr(emergency, "WAITING_MAX", 0)
    pins = door.identifier._emergency
    pins.note_right("92", "9999", may_admit=True)
    assert pins.working is None
    pins.note_right("91", "5678", may_admit=False)
    assert pins.working is None
    assert door.services.admissions.pin_hash("91") is None  # it is right no more


async def test_a_pin_that_waits_to_be_hashed_is_known_all_the_same(door, monkeypatch):
    """On a busy machine hashing takes its time, and the library system may go away meanwhile."""
    monkeypatch.setattr(emergency, "HASH_AFTER_S", 60)
    session = door.session("door-1")
    record = (await door.identifier.identify(session, "91", "1234")).record
    door.services.admissions.remember("door-1", "91", record, 0)
    assert await away(door, session, record, "91", "0000") is WRONG
    for _ in range(6):
        assert await away(door, session, record, "91", "1234") is OK
    door.gateway.clock.advance(60)
    assert await door.guess("91", "1234") is OK
    door.identifier._emergency.working.cancel()


async def test_where_nobody_can_say_whether_a_pin_is_right_no_guess_is_counted(door, monkeypatch):
    monkeypatch.setattr(emergency, "WAITING_MAX", 0)
    session, record = await admit(door, "91", "1234")
    for _ in range(6):
        assert await away(door, session, record, "91", "1234") is WRONG
    assert await door.guess("91", "1234") is OK


async def test_who_was_admitted_nowhere_and_what_only_our_store_said_is_not_made_anew(door):
    admissions, backend = door.services.admissions, door.gateway.app.backend
    await door.identifier.look_again(door.session("door-1"), "91")
    assert admissions.holder("91") is None
    record = await backend.find_by_card("1001")
    admissions.remember("door-1", "1001", record, 0)
    await door.identifier.look_again(door.session("door-1"), "1001")
    assert admissions.holder("1001") is record


async def test_with_aliases_we_look_again_at_whom_the_answer_named(door):
    """C151: 92 is a card of 1001, whom our store knows, and knows no more afterwards."""
    door.library.holders["92"] = "1001"
    session = door.session("door-1", aliases=True)
    found = await door.identifier.identify(session, "92", "9999")
    record, state = found.record, found.pin
    assert (record.id, state) == ("1001", OK)
    admissions = door.services.admissions
    admissions.remember("door-1", "92", record, 0)
    await door.identifier.look_again(session, "92")
    assert {badge.code for badge in admissions.holder("92").badges} == {"ONBE", "OLD1"}
    await door.gateway.store.forget_patron("1001", str, force=True)
    await door.identifier.look_again(session, "92")
    assert admissions.holder("92") is None


async def test_a_pin_that_nobody_has_judged_yet_ends_a_verification(there):
    """C94: the answer may come too late."""
    session = there.session()
    session.note_pin("91", OK)
    there.library.fails = NoAnswerError("late")
    with pytest.raises(NoAnswerError):
        await there.guess("91", "1234", session)
    assert not session.is_verified("91")


async def test_whose_pin_was_right_is_active_and_seen(there, monkeypatch):
    """C110, C161."""
    active, admissions = [], there.services.admissions
    backend = there.gateway.app.backend
    monkeypatch.setattr(backend, "note_activity", lambda patron_id, now: active.append(patron_id))
    admissions.remember("door-1", "1001", await backend.find_by_card("1001"), 0)
    await there.guess("1001", "0000")
    assert (active, admissions.recall("door-1", "1001", 0, 1).word) == ([], None)
    await there.guess("1001", "4321")
    assert active == ["1001"]
    assert admissions.recall("door-1", "1001", 0, 1).word is not None


# Silence ------------------------------------------------------------------------------------------


async def test_a_canary_pin_goes_up_once_and_is_nowhere_else(door):
    canary = "C4N4RY7"
    door.library.pins["91"] = canary
    await admit(door, "91", canary)
    door.library.fails = NoAnswerError("late")
    with pytest.raises(NoAnswerError) as failed:
        await door.guess("92", canary)
    assert [asked.count(canary) for asked in door.library.asked] == [1, 1]
    assert canary not in str(failed.value)
    assert canary not in repr(door.identifier._pins.__dict__)
    assert canary not in repr(door.identifier.__dict__)
    assert canary not in repr(door.services.admissions._patrons)
    assert canary not in repr(door.gateway.app.state.door_questions.__dict__)
    with door.gateway.store.snapshot() as connection:
        kept = connection.execute("SELECT * FROM guess").fetchall()
    assert canary not in repr(kept)
    assert "92" not in {row[0] for row in kept}
    assert canary not in repr(door.gateway.logged())
    assert await door.gateway.store.failed_pins(["92"]) == [FailedPins(1)]


async def test_a_pin_that_was_wrong_since_is_not_remembered_again_at_its_door_c110(door):
    """C122: the door was told that it is right, before a kiosk was told that it is not."""
    session, record = await admit(door, "91", "1234")
    door.library.pins["91"] = "5678"
    assert await door.guess("91", "1234") is WRONG
    await door.identifier.identify(session, "91", "1234")
    await hashed(door)
    assert await away(door, session, record, "91", "1234") is WRONG


async def test_nor_where_nobody_was_admitted_when_it_was_wrong_c110(door):
    """The door has refused for another reason at first, and admits when the card is read again."""
    session = door.session("door-1")
    await door.identifier.identify(session, "91", "1234")
    await hashed(door)
    door.library.pins["91"] = "5678"
    assert await door.guess("91", "1234") is WRONG
    _, record = await admit(door, "91", "1234")
    assert await away(door, session, record, "91", "1234") is WRONG
    door.library.pins["91"] = "1234"
    assert await door.guess("91", "1234") is OK
    await hashed(door)
    assert await away(door, session, record, "91", "1234") is OK


async def test_so_many_wrong_pins_are_remembered(door, monkeypatch):
    monkeypatch.setattr(emergency, "DENIED_MAX", 2)
    for number in ("91", "92", "91", "93"):
        await door.guess(number, "0000")
    denied = door.identifier._emergency._denied
    assert len(denied) == 2
    assert door.verifier.digest("emergency", "92", "0000") not in denied


async def test_a_repeated_answer_at_a_door_is_no_news_of_the_patron_either_c110(door):
    """C122: a kiosk has seen since that they are to ask the staff, and that counts."""
    _, record = await admit(door, "91", "1234")
    assert record.word.texts == ()
    door.library.tail = "AFAsk staff|"
    assert await door.guess("91", "1234") is OK
    asked = len(door.library.asked)
    for _ in range(2):
        _, record = await admit(door, "91", "1234")
        assert record.word.texts == ("Ask staff",)
        assert door.services.admissions.holder("91").word.texts == ("Ask staff",)
    assert len(door.library.asked) == asked


async def test_a_repeated_answer_that_says_the_same_as_the_last_one_is_that_of_the_door(door):
    _, record = await admit(door, "91", "1234")
    assert await door.guess("91", "1234") is OK
    asked = len(door.library.asked)
    _, again = await admit(door, "91", "1234")
    assert again == record
    assert len(door.library.asked) == asked


async def test_without_a_pin_too_a_kiosk_may_have_seen_more_since_c110(door):
    session = door.session("door-1")
    record, _ = await door.identifier.find(session, "91")
    door.services.admissions.remember("door-1", "91", record, 0)
    door.library.tail = "AFAsk staff|"
    assert await door.guess("91", "1234") is OK
    record, _ = await door.identifier.find(session, "91")
    assert record.word.texts == ("Ask staff",)


async def test_whom_our_store_knows_no_more_is_at_a_repetition_whom_the_answer_names(door):
    door.library.holders["92"] = "1001"
    session = door.session("door-1", aliases=True)
    record = (await door.identifier.identify(session, "92", "9999")).record
    door.services.admissions.remember("door-1", "92", record, 0)
    await door.gateway.store.forget_patron("1001", str, force=True)
    record = (await door.identifier.identify(session, "92", "9999")).record
    assert (record.id, record.badges) == ("1001", ())
    assert len(door.library.asked) == 1


async def test_a_pin_that_was_seen_to_be_locked_is_not_right_in_an_emergency_c110(door):
    """By fewer wrong PINs than an emergency allows."""
    session, record = await admit(door, "91", "1234")
    door.identifier.rules = replace(door.identifier.rules, failures_max=3)
    for n in range(3):
        assert await door.guess("91", f"000{n}") is WRONG
    assert await away(door, session, record, "91", "1234") is LOCKED


async def test_a_lock_by_another_gateway_that_was_seen_counts_in_an_emergency_c110(door):
    session, record = await admit(door, "91", "1234")
    await door.gateway.store.record_guess("91", NOON, 1, NOON + LOCK)
    assert await door.guess("91", "1234") is LOCKED
    assert await away(door, session, record, "91", "1234") is LOCKED
    door.gateway.clock.advance(16 * 60)
    assert await door.guess("91", "1234") is OK
    assert await away(door, session, record, "91", "1234") is OK


async def test_an_answer_that_says_nothing_of_the_pin_is_no_news_in_an_emergency(door):
    """B74, C158: they say CQ in a 64 and never in a 24, which counts nothing."""
    session, record = await admit(door, "91", "1234")
    door.library.cq = False
    for _ in range(6):
        question = PatronStatusRequest(
            language="001", institution_id="HUB", patron_identifier="91", patron_password="1234"
        )
        assert (await door.identifier.ask(door.session(), question)).pin is WRONG
    assert await door.counted("91") == [0]
    assert await away(door, session, record, "91", "1234") is OK
