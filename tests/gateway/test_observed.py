"""A profile that is only observed (B78, C126, C153): what is handed on, and what is noted."""

import asyncio
from typing import cast
from unittest.mock import patch

import pytest
import pytest_asyncio
from harness import NOON, STAMP, ask_23, ask_37, ask_63, running
from library_fakes import FakeLibrary
from observed import OBSERVED_CONFIG, ScriptedLibrary

from sip2gw.backend.base import BackendTimeoutError
from sip2gw.backend.system import BadAnswerError, LibrarySystem, NoAnswerError, NotAskedError
from sip2gw.model import DoorEntry
from sip2gw.protocol.checksum import seal
from sip2gw.protocol.codec import parse_response
from sip2gw.protocol.wire import WireFormat
from sip2gw.serving.explaining.answer import explain
from sip2gw.shared.afterwards import WAITING_MAX

NOW = "20260310    120000"
FREE = " " * 14
DENIED = "Y" + " " * 13
UNSURE = "AFWe are not sure that this was done. "


def said_24(card, *, flags=FREE, bl="Y", cq="Y", more=""):
    cq = f"CQ{cq}|" if cq else ""
    return f"24{flags}001{NOW}AOTHEIRS|AA{card}|AEAnna of theirs|BL{bl}|{cq}{more}"


def said_64(card, **more):
    return f"64{said_24(card, **more)[2:37]}{'0000' * 6}{said_24(card, **more)[37:]}"


def always(answer):
    """A library system that gives one answer to everything."""
    body = answer.encode("cp850") if isinstance(answer, str) else answer
    return ScriptedLibrary(lambda request: body)


def noted(gateway):
    """What was noted of each answer: theirs, ours, our reason."""
    return [
        (row.theirs, row.decision, row.reason)
        for row in gateway.store.access_rows()
        if row.mode == "observed"
    ]


@pytest_asyncio.fixture
async def gateway(tmp_path):
    async with running(tmp_path, config=OBSERVED_CONFIG) as started:
        yield started


def put_behind(gateway, library):
    """From now on `library` is the library system behind the gateway."""
    gateway.app.gateway.services.library = library


async def compared(gateway, terminal, library, asked):
    """What is noted when `terminal` has asked `library` what is `asked`."""
    put_behind(gateway, library)
    line = await gateway.terminal(terminal)
    await line.ask(asked)
    await gateway.app.gateway.services.afterwards.done()
    await gateway.store.ping()
    return noted(gateway)


# What is handed on --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("9900302.00", f"98YYYYYN030003{NOW}2.00AOTHEIRS|BXYYYYYYYYYYYYYYYY|"),
        (f"35{STAMP}AOelsewhere|AA1001|AC|", f"36Y{NOW}AOTHEIRS|AA1001|"),
        (ask_37("1001", "1.00"), f"38Y{NOW}AOTHEIRS|AA1001|"),
        (f"41{STAMP}AOHUB|AA1001|", f"42{NOW}AOTHEIRS|AA1001|"),
        (f"01N{STAMP}AOHUB|ALfound|AA1001|AC|", said_24("1001")),
        ("23not long enough", said_24("")),
        ("63|", said_64("")),
        ("86what nobody knows|ZZ", "87no more is this|"),
        ("xy", "!"),
    ],
)
async def test_every_request_is_handed_on_as_it_came(gateway, asked, told):
    """Another dialect's, one that the profile does not name, unreadable and unknown ones too."""
    library = always(told)
    put_behind(gateway, library)
    desk = await gateway.terminal("desk-1")
    sealed = seal(asked.encode(), b"4", True)
    assert await desk.ask(sealed + b"\r") == seal(told.encode(), b"4", True).decode()
    assert library.heard == [("east", "desk-1", asked.encode())]
    assert not gateway.metrics.frames_rejected


async def test_bytes_of_no_encoding_pass_both_ways(gateway):
    asked = b"23001" + STAMP.encode() + b"AOHUB|AA\xff\x00\x80|AC|zz\xf0\x9f|"
    told = b"24 \xfe\x00" + bytes(range(128, 256)) + b"no end"
    library = always(told)
    put_behind(gateway, library)
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.send(asked + b"\r")
    assert await kiosk.reader.readuntil(b"\r") == told + b"\r"
    assert library.heard[0][2] == asked


async def test_the_login_is_ours(gateway):
    """C153: 93 never goes up, even one that cannot be read; before it nothing does."""
    library = always("941")
    put_behind(gateway, library)
    line = await gateway.connect()
    await line.send("86unknown")
    assert (await line.ask("9900302.00")).startswith("98Y")
    assert await line.ask("9300CNkiosk-1|COwrong|") == "940"
    assert await line.ask("9300CNkiosk-1|COpw|") == "941"
    assert await line.ask("93") == "940"
    assert library.heard == []
    assert gateway.metrics.frames_rejected == {"unknown_message": 1, "unreadable": 1}


async def test_a_library_system_is_asked_although_our_store_is_away(gateway):
    told = f"98YYYYYN030003{NOW}2.00AOTHEIRS|BXYYYYYYYYYYYYYYYY|"
    put_behind(gateway, always(told))
    gateway.metrics.backend_up = False
    kiosk = await gateway.terminal("kiosk-1")
    assert await kiosk.ask("9900301.00") == told


async def test_b8_the_same_frame_again_gets_the_same_answer_and_does_not_go_up(gateway):
    answers = iter([b"36Yfirst|", b"36Ysecond|"])
    library = ScriptedLibrary(lambda body: next(answers))
    put_behind(gateway, library)
    kiosk = await gateway.terminal("kiosk-1")
    frame = seal(f"35{STAMP}AOHUB|AA1001|".encode(), b"1", True) + b"\r"
    assert await kiosk.ask(frame) == await kiosk.ask(frame)
    assert len(library.heard) == 1


# When the library system fails ----------------------------------------------------------------


@pytest.mark.parametrize("error", [NotAskedError(), NoAnswerError(), BadAnswerError()])
async def test_a_failure_is_told_in_the_form_of_the_request(gateway, error):
    put_behind(gateway, ScriptedLibrary(lambda body: error))
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_23("1001", "1001"))
    assert answer.startswith(f"24YYYY          001{STAMP}AOHUB|AA1001|AE|BLN|CQN|AF")
    assert (await kiosk.ask(ask_37("1001", "1.00"))).startswith("38N")
    assert (await kiosk.ask("11|")).startswith("120NUN")
    assert gateway.metrics.backend_errors["23", error.kind] == 1
    assert gateway.metrics.backend_up
    await gateway.store.ping()
    assert noted(gateway) == []


@pytest.mark.parametrize(
    ("error", "is_sure"),
    [(NotAskedError(), True), (NoAnswerError(), False), (BadAnswerError(), False)],
)
@pytest.mark.parametrize(
    ("asked", "unknown_text"),
    [
        (ask_37("1001", "1.00"), "AFWe are not sure that your payment was recorded. "),
        (f"11NN{STAMP}{STAMP}AOHUB|AA1001|ABI1|AC|", UNSURE),
        (f"09N{STAMP}{STAMP}APMAIN|AOHUB|ABI1|AC|", UNSURE),
        (f"29NN{STAMP}{STAMP}AOHUB|AA1001|ABI1|", UNSURE),
        (f"65{STAMP}AOHUB|AA1001|", UNSURE),
        (f"15+{STAMP}AOHUB|AA1001|ABI1|", UNSURE),
    ],
)
async def test_c59_who_may_have_got_it_is_not_told_to_try_again(
    gateway, asked, unknown_text, error, is_sure
):
    """What went up may be done, whether we have heard of it or not (B46, C98)."""
    put_behind(gateway, ScriptedLibrary(lambda body: error))
    answer = await (await gateway.terminal("kiosk-1")).ask(asked)
    assert (unknown_text in answer) is not is_sure
    assert ("AFThe library system cannot be reached. " in answer) is is_sure
    assert gateway.metrics.backend_errors == {(asked[:2], error.kind): 1}


@pytest.mark.parametrize("error", [NoAnswerError(), BadAnswerError()])
async def test_a_question_that_was_not_answered_may_be_asked_again(gateway, error):
    put_behind(gateway, ScriptedLibrary(lambda body: error))
    answer = await (await gateway.terminal("kiosk-1")).ask(ask_63("1001", "1001"))
    assert "AFThe library system cannot be reached. " in answer


async def test_an_unknown_request_is_not_answered_when_the_library_system_fails(gateway):
    """B2: nobody knows what its refusal looks like. The terminal's retry is asked afresh."""
    answers = iter([NotAskedError(), b"87at last|", b"36Y"])
    library = ScriptedLibrary(lambda body: next(answers))
    put_behind(gateway, library)
    kiosk = await gateway.terminal("kiosk-1")
    frame = seal(b"86unknown|", b"1", True) + b"\r"
    await kiosk.send(frame)
    assert await kiosk.ask(frame) == seal(b"87at last|", b"1", True).decode()
    assert await kiosk.ask("35") == "36Y"
    assert len(library.heard) == 3
    assert gateway.metrics.requests["other", "kiosk", "error"] == 1
    assert gateway.metrics.requests["other", "kiosk", "ok"] == 1


# What we would have decided -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "pin", "told", "expected"),
    [
        ("1001", "1001", said_24("1001"), ("granted", "granted", "granted")),
        ("1001", "1001", said_24("1001", flags=DENIED), ("refused", "refused", "blocked")),
        ("1009", "1009", said_24("1009"), ("granted", "refused", "no_badge")),
        ("1001", "0000", said_24("1001", cq="N"), ("refused", "refused", "wrong_pin")),
        ("1001", "1001", said_24("1001", cq=""), ("granted", "refused", "wrong_pin")),
        ("1001", "", said_24("1001", cq="N"), ("granted", "refused", "wrong_pin")),
        ("4711", "0000", said_24("4711", bl="N"), ("refused", "refused", "unknown_card")),
        ("1001R", "1001", said_24("1001R"), ("granted", "refused", "card_replaced")),
        ("1001", "1001", said_24("1001", more="BLN|"), ("granted", "refused", "unknown_card")),
        ("1001", "1001", said_24("1001", more="CQN|"), ("granted", "refused", "wrong_pin")),
    ],
)
async def test_a_door_notes_what_it_would_have_decided(gateway, card, pin, told, expected):
    """Facts are theirs, badges ours (B72): Anna (1001) has the badge, Gil (1009) has not."""
    assert await compared(gateway, "door-1", always(told), ask_23(card, pin)) == [expected]
    _, ours, reason = expected
    assert gateway.metrics.access_decisions == {("MAIN", ours, reason, "observed"): 1}


async def test_c158_with_a_wrong_pin_their_flags_say_nothing(gateway):
    told = always(said_24("1001", cq="N", flags=DENIED))
    await compared(gateway, "door-1", told, ask_23("1001", "0000"))
    (row,) = gateway.store.access_rows()
    assert "pin=refused" in row.checks
    assert "status=ok" in row.checks


@pytest.mark.parametrize(("flags", "theirs"), [("[0]", "granted"), ("[0, 3]", "refused")])
async def test_c150_the_doors_own_flags_make_their_no(tmp_path, flags, theirs):
    config = OBSERVED_CONFIG.replace("minimum_age = 16", f"upstream_flags = {flags}")
    told = said_64("1001", flags="   Y" + " " * 10)
    async with running(tmp_path, config=config) as gateway:
        rows = await compared(gateway, "door-1", always(told), ask_63("1001", "1001"))
    assert [said for said, *_ in rows] == [theirs]


async def test_an_exit_would_let_everybody_out(gateway):
    """C67."""
    library = always(said_24("4711", bl="N"))
    rows = await compared(gateway, "door-out", library, ask_23("4711"))
    assert rows == [("refused", "granted", "granted")]


@pytest.mark.parametrize(
    ("terminal", "asked", "told", "expected"),
    [
        ("kiosk-1", ask_23("1001", "1001"), said_24("1001"), "granted"),
        ("kiosk-1", ask_63("1001", "0000"), said_64("1001", cq="N"), "wrong_pin"),
        ("kiosk-1", ask_63("1008", "1008"), said_64("1008"), "status"),
        ("kiosk-1", ask_63("4711", "1"), said_64("4711", bl="N"), "unknown_card"),
        ("pay-1", ask_63("1001"), said_64("1001", cq=""), "wrong_pin"),
        ("desk-1", ask_63("1001"), said_64("1001", cq=""), "granted"),
    ],
)
async def test_elsewhere_the_standing_is_noted(gateway, terminal, asked, told, expected):
    """With the PIN where the profile requires one: `pay-1` does."""
    [(_, ours, reason)] = await compared(gateway, terminal, always(told), asked)
    assert (ours, reason) == ("granted" if expected == "granted" else "refused", expected)


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [("false", ("granted", "refused", "no_badge")), ("true", ("granted", "granted", "granted"))],
)
async def test_c151_with_aliases_our_store_knows_the_number_of_the_answer(
    tmp_path, aliases, expected
):
    config = OBSERVED_CONFIG.replace("[backend.sip2]\n", f"[backend.sip2]\naliases = {aliases}\n")
    library, asked = always(said_24("1001")), ask_23("their-alias", "1001")
    async with running(tmp_path, config=config) as gateway:
        assert await compared(gateway, "door-1", library, asked) == [expected]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (ask_23("1001", "1001"), "24too short"),
        (ask_23("1001", "1001"), "87what is this"),
        (ask_23("1001", "1001"), "940"),
        (ask_23("", "1001"), said_24("")),
        ("23", said_24("1001")),
        (f"35{STAMP}AOHUB|AA1001|", f"36Y{NOW}AOTHEIRS|AA1001|"),
    ],
)
async def test_what_cannot_be_compared_is_not_noted(gateway, asked, told):
    assert await compared(gateway, "kiosk-1", always(told), asked) == []


async def test_b70_explain_says_what_we_would_say(gateway):
    """So the reasons that `observe report` counts can be looked into."""
    said = parse_response(said_24("1009", cq="").encode(), WireFormat())
    library = FakeLibrary({"23": said}, offered=frozenset({"23"}))
    view = gateway.app.site.by_name["door-1"].view
    told = await explain(
        gateway.app.site,
        gateway.store,
        view,
        "1009",
        message="23",
        at=NOON,
        library=cast("LibrarySystem", library),
    )
    assert told.reason == "no_badge"
    assert told.answer.startswith("24Y")


# What it must not do --------------------------------------------------------------------------


async def test_nothing_is_counted_remembered_or_asked_again(gateway):
    """No PIN failure, no passage, no admission, no PIN for a later 37 (C64), no second question."""
    library = always(said_24("1001", cq="N"))
    put_behind(gateway, library)
    door = await gateway.terminal("door-1")
    for _ in range(10):
        await door.ask(ask_23("1001", "0000"))
        await gateway.app.gateway.services.afterwards.done()
    library.script = lambda body: said_24("1001").encode()
    await door.ask(ask_23("1001", "1001"))
    await gateway.app.gateway.services.afterwards.done()
    await gateway.store.ping()
    assert len(library.heard) == 11
    assert len(noted(gateway)) == 11
    card = (await gateway.store.find_by_card("1001")).card("1001")
    assert (card.pin_failures, card.pin_locked_until) == (0, None)
    (line,) = gateway.app.server.lines_of("door-1")
    assert line.conversation.session.verified_card == ""
    services = gateway.app.gateway.services
    assert not services.passages.goes_on("door-1", "1001", services.clock.monotonic(), 60)
    assert gateway.store.door_counts() == []


async def test_the_answer_has_left_before_anything_is_compared(gateway):
    """And a comparison that takes for ever delays no other answer."""
    held, begun = asyncio.Event(), asyncio.Event()

    async def wait(*_):
        begun.set()
        await held.wait()

    put_behind(gateway, always(said_24("1001")))
    kiosk = await gateway.terminal("kiosk-1")
    with patch("sip2gw.handlers.upstream.observing.compare", wait):
        for _ in range(WAITING_MAX + 3):
            assert await kiosk.ask(ask_23("1001", "1001")) == said_24("1001")
        await begun.wait()
    assert gateway.metrics.backend_errors == {("observe", "timeout"): 2}
    held.set()
    await gateway.app.gateway.services.afterwards.done()


async def test_a_store_that_fails_is_counted_and_nothing_else(gateway):
    async def failing(number):
        raise BackendTimeoutError("busy")

    with patch.object(gateway.app.gateway.services.backend, "find_here", failing):
        rows = await compared(gateway, "kiosk-1", always(said_24("1001")), ask_23("1001", "1001"))
    assert rows == []
    assert gateway.metrics.backend_errors == {("observe", "timeout"): 1}


async def test_a_bar_of_a_number_that_nobody_has_here_is_compared_too(gateway):
    """B34."""
    library = always(said_24("4711"))
    await gateway.store.put_door_entry(DoorEntry("bar", "MAIN", "4711"))
    await compared(gateway, "door-1", library, ask_23("4711", "1"))
    (row,) = gateway.store.access_rows()
    assert "bar=refused" in row.checks.split()


async def test_c40_a_63_in_order_to_pay_is_compared_without_the_money_block(gateway):
    """Dora (1004) owes more than her limit."""
    put_behind(gateway, always(said_64("1004", more="BV12.50|")))
    pay = await gateway.terminal("pay-1")
    await pay.ask(ask_63("1004", "1004"))
    await pay.ask(ask_63("1004", "1004", extra="FWB|"))
    await gateway.app.gateway.services.afterwards.done()
    await gateway.store.ping()
    assert [reason for _, _, reason in noted(gateway)] == ["fee_limit", "granted"]
    assert gateway.metrics.fee_limit_lifted == 0


async def test_b16_no_secret_is_logged(gateway):
    library = ScriptedLibrary(lambda body: BadAnswerError())
    put_behind(gateway, library)
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.ask(ask_23("1001", "canary4242"))
    library.script = lambda body: said_24("1001").encode()
    await kiosk.ask(ask_23("1001", "canary4242"))
    await kiosk.ask("86canary4242")
    assert "canary" not in str(gateway.logged())
