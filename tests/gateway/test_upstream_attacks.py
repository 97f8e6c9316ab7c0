"""Attacks on a gateway in front of a library system, from the terminals and from behind.

Rules: B36, B71, B74, C121, C122, C151, C158. The library system is ours to make as odd as they are.
"""

from contextlib import asynccontextmanager

import pytest
from desk import BLANK
from harness import CONFIG, STAMP, ask_23, ask_63, fields, running
from hostile_library import HostileLibrary, right_answer

from sip2gw.policy.upstream.questions import spelling

FRONT = """
[backend]
kind = "sip2"
[backend.sip2]
address = "127.0.0.1:PORT"
login = "gw"
password = "behind"
encoding = "utf-8"
KEYS
"""
DOOR = 'door = { require_badges = ["ONBE"], minimum_age = 16 }'
FOR_ALL = CONFIG.replace(DOOR, "door = {}")
WITHOUT_PIN = CONFIG.replace(DOOR, "door = { require_pin = false }")
WELCOME = "AFWelcome.|"
FIXED_64 = 61
CARDS = {b"anna": b"1001"}
"""By user name."""
ACCENTED = "\N{LATIN SMALL LETTER A WITH ACUTE}BC01"


@asynccontextmanager
async def attacked(directory, answer, keys="", config=FOR_ALL):
    """A gateway whose store knows nobody, and the library system that answers for it."""
    async with HostileLibrary(answer=answer) as library:
        front = FRONT.replace("PORT", str(library.port)).replace("KEYS", keys)
        async with running(directory, config=config + front, records=[]) as gateway:
            yield gateway, library


def answering(is_right, *, aa=None, tail=b"BLY|"):
    """Answers a 63 about anybody; `is_right` says what CQ says of number and PIN."""

    def answer(heard):
        if heard.code != b"63":
            return right_answer(heard)
        number, pin = heard.value(b"AA"), heard.value(b"AD")
        fixed = b" " * 14 + b"001" + STAMP.encode() + b"0000" * 6
        cq = b"Y" if is_right(number, pin) else b"N"
        return b"64%bAOHUB|AA%b|AEPia|%bCQ%b|" % (fixed, number if aa is None else aa, tail, cq)

    return answer


# PINs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["door-1", "kiosk-1"])
async def test_blanks_are_no_pin(tmp_path, login):
    """Some library systems cut AD to nothing, and say Y where none was asked."""
    trims = answering(lambda number, pin: pin.strip() in (b"", b"1234"))
    async with attacked(tmp_path, trims) as (gateway, library):
        terminal = await gateway.terminal(login)
        assert "CQY" in await terminal.ask(ask_63("1001", "1234"))
        for blanks in (" ", "    "):
            answer = await terminal.ask(ask_63("1001", blanks))
            assert fields(answer, "CQ", fixed=FIXED_64) == ["N"]
        assert not any(b"AD " in body for body in library.asked)


async def test_blanks_in_a_hold_take_no_failures_back(tmp_path):
    async with attacked(
        tmp_path, answering(lambda number, pin: False), "messages = ['63', '15']"
    ) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        for guess in range(8):
            await kiosk.ask(ask_63("1001", f"{guess}"))
            await kiosk.ask(f"15+{STAMP}AOHUB|AA1001|AD |ABBOOK1|AC|")
        assert sum(body.startswith(b"63") for body in library.asked) == 5


async def test_renewals_whose_pin_nobody_looks_at_make_no_guess_at_holds_free(tmp_path):
    """This library system judges the PIN of a 15, and says yes to any 29."""

    def answer(heard):
        if heard.code != b"15":
            return right_answer(heard)
        return b"160N" + STAMP.encode() + b"AOHUB|AA1001|AB%b|" % heard.value(b"AB")

    async with attacked(tmp_path, answer, "messages = ['15', '29']") as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        for n in range(8):
            await kiosk.ask(f"15+{STAMP}AOHUB|AA1001|AD000{n}|ABB{n}|AC|")
            await kiosk.ask(f"29NN{STAMP}{BLANK}AOHUB|AA1001|AD000{n}|ABB{n}|")
        assert sum(body.startswith(b"15") for body in library.asked) == 5


async def test_all_spellings_of_a_card_share_their_wrong_pins(tmp_path):
    """This library system finds a card whatever its case, and echoes the number as it was asked."""
    async with attacked(tmp_path, answering(lambda number, pin: False)) as (gateway, library):
        kiosk = await gateway.terminal("kiosk-1")
        for number in (
            "ABC-01",
            "abc-01",
            "aBc01",
            "0ABC 01",
            "\N{LATIN SMALL LETTER A WITH ACUTE}bc01",
        ):
            for guess in range(3):
                answer = await kiosk.ask(ask_63(number, f"9{guess}"))
                assert fields(answer, "CQ", fixed=FIXED_64) == ["N"]
        assert len(library.asked) == 5


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("20123", "20123"),
        ("0020123", "20123"),
        ("ab-20 123", "ab20123"),
        ("AB20123", "ab20123"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}T\N{LATIN SMALL LETTER SHARP S}1", "etss1"),
        ("000", "000"),
        ("--", "--"),
    ],
)
def test_what_spellings_have_in_common(number, name):
    assert spelling(number) == name


# Doors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bl", "opens"), [(b"BLY|", True), (b"BLN|", False), (b"", False)])
async def test_a_door_without_pins_opens_only_for_cards_that_are_said_to_be_valid(
    tmp_path, bl, opens
):
    nobody_asks = answering(lambda number, pin: True, tail=bl)
    async with attacked(tmp_path, nobody_asks, config=WITHOUT_PIN) as (gateway, _):
        door = await gateway.terminal("door-1")
        assert (WELCOME in await door.ask(ask_23("7777"))) == opens


@pytest.mark.parametrize(
    ("sign", "opens"), [(b" ", True), (b"N", True), (b"Y", False), (b"y", False), (b"1", False)]
)
async def test_b72_a_door_stays_shut_when_nobody_knows_what_a_flag_says(tmp_path, sign, opens):
    plain = answering(lambda number, pin: True)

    def answer(heard):
        said = plain(heard)
        return said[:2] + sign + said[3:] if heard.code == b"63" else said

    async with attacked(tmp_path, answer) as (gateway, _):
        door = await gateway.terminal("door-1")
        assert (WELCOME in await door.ask(ask_63("1001", "1234"))) == opens


# The library system ---------------------------------------------------------------------------


async def test_nobody_at_a_kiosk_can_have_the_library_system_left_alone(tmp_path):
    """Some answer a user name with the number of the card, and that answer is not believed."""

    def answer(heard):
        return answering(lambda number, pin: pin == b"1234", aa=CARDS.get(heard.value(b"AA")))(
            heard
        )

    async with attacked(tmp_path, answer) as (gateway, library):
        kiosk, door = await gateway.terminal("kiosk-1"), await gateway.terminal("door-1")
        for guess in range(7):
            assert "AE|" in await kiosk.ask(ask_63("anna", f"{guess}"))
        assert WELCOME in await door.ask(ask_63("1001", "1234"))
        assert len([body for body in library.asked if b"AAanna" in body]) == 5
        failed = [line for line in gateway.logged() if line["event"] == "backend_failed"]
        assert {line["kind"] for line in failed} == {"bad_answer"}
        assert all("set aliases = true" in line["problem"] for line in failed)


async def test_an_aa_that_is_no_text_names_nobody(tmp_path):
    odd = answering(lambda number, pin: pin == b"1234", aa=b"10\xe9\xff1")
    async with attacked(tmp_path, odd, "aliases = true") as (gateway, _):
        door = await gateway.terminal("door-1")
        assert WELCOME in await door.ask(ask_63("1001", "1234"))
        await gateway.store.ping()
        (row,) = gateway.store.access_rows()
        assert (row.reason, row.patron_id) == ("granted", "1001")


async def test_who_came_in_under_another_number_leaves_under_it(tmp_path):
    """Else the branch is full for ever, of nobody."""
    config = CONFIG.replace(DOOR, "door = { capacity = 1 }")

    def answer(heard):
        return answering(lambda number, pin: True, aa=CARDS.get(heard.value(b"AA")))(heard)

    async with attacked(tmp_path, answer, "aliases = true", config) as (gateway, _):
        door, out = await gateway.terminal("door-1"), await gateway.terminal("door-out")
        assert WELCOME in await door.ask(ask_63("anna", "1"))
        assert WELCOME not in await door.ask(ask_63("2002", "2"))
        await out.ask(ask_63("anna"))
        assert WELCOME in await door.ask(ask_63("2002", "2"))


# What a terminal sees -------------------------------------------------------------------------

SHY = CONFIG.replace("[profiles.kiosk]", "[profiles.kiosk]\ntemplate_ae = '{first_word}'")
BIRTH = "[backend.sip2.facts]\nbirth_date = { field = 'PD' }\nmembership = { field = 'ZY' }"


async def test_what_is_said_twice_is_told_once(tmp_path):
    """The second could show a name that the profile shortens, or say yes where we say nothing."""
    twice = b"BLY|AEPia Private|AA7777|BLY|CQY|AQHUB|AQEAST|"
    async with attacked(tmp_path, answering(lambda *_: True, tail=twice), config=SHY) as (g, _):
        kiosk = await g.terminal("kiosk-1")
        answer = await kiosk.ask(ask_63("1001"))
        said = {tag: fields(answer, tag, fixed=FIXED_64) for tag in ("AA", "AE", "BL", "CQ", "AQ")}
        assert said == {"AA": ["1001"], "AE": ["Pia"], "BL": ["Y"], "CQ": [], "AQ": ["HUB", "EAST"]}


async def test_personal_data_is_withheld_in_whatever_field_and_answer(tmp_path):
    personal = b"BLY|PD19800501|ZYADULT|BEpia@example.org|XXpublic|"
    enabled = b"26%b001%bAOHUB|AA1001|AEPia|BLY|CQY|" % (b" " * 14, STAMP.encode())

    def answer(heard):
        if heard.code == b"25":
            return enabled + personal
        return answering(lambda *_: True, tail=personal)(heard)

    keys = f"messages = ['63', '25']\n{BIRTH}"
    async with attacked(tmp_path, answer, keys) as (gateway, _):
        desk = await gateway.terminal("desk-1")
        for request in (ask_63("1001", "1"), f"25{STAMP}AOHUB|AA1001|AC|AD1|"):
            said = await desk.ask(request)
            assert "XXpublic|" in said
            assert not [tag for tag in ("PD19", "ZYAD", "BEpi") if tag in said]
