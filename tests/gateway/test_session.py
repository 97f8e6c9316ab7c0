"""Login, rights, status and the line itself (B2, B3, B7-B17): every known request is answered."""

import asyncio
import re

import pytest
from harness import CONFIG, STAMP, ask_23, ask_37, fields, running

from sip2gw.backend.base import UnavailableError
from sip2gw.protocol.checksum import seal
from sip2gw.protocol.registry import REQUESTS, requests_in
from sip2gw.serving.line import TerminalLine

LOGIN = "9300CNkiosk-1|COpw|"
REQUEST_OF_EACH_KIND = {
    "01": f"01N{STAMP}AOHUB|ALx|AA1001|AC|",
    "09": f"09N{STAMP}{STAMP}APx|AOHUB|ABBOOK1|AC|",
    "11": f"11YN{STAMP}{STAMP}AOHUB|AA1001|ABBOOK1|AC|",
    "15": f"15+{STAMP}AOHUB|AA1001|ABBOOK1|",
    "17": f"17{STAMP}AOHUB|ABBOOK1|AC|",
    "19": f"19{STAMP}AOHUB|ABBOOK1|CHx|",
    "23": ask_23("1001", "1001"),
    "25": f"25{STAMP}AOHUB|AA1001|AC|AD1001|",
    "29": f"29NN{STAMP}{STAMP}AOHUB|AA1001|ABBOOK1|",
    "35": f"35{STAMP}AOHUB|AA1001|AC|",
    "37": ask_37("1001", "1.00", pin="1001"),
    "63": f"63001{STAMP}{' ' * 10}AOHUB|AA1001|AC|AD1001|",
    "65": f"65{STAMP}AOHUB|AA1001|",
}
RESPONSES = {code: REQUESTS[code].response.code for code in REQUEST_OF_EACH_KIND}


def test_the_table_has_every_request():
    assert REQUEST_OF_EACH_KIND.keys() | {"93", "97", "99"} == requests_in("standard").keys()


@pytest.mark.parametrize("code", REQUEST_OF_EACH_KIND)
async def test_before_login_known_requests_are_answered_in_failure_form(gateway, code):
    line = await gateway.connect()
    answer = await line.ask(REQUEST_OF_EACH_KIND[code])
    assert answer.startswith(RESPONSES[code])
    assert not re.match(r"(12|10|18|20|30|66)1|38Y", answer)
    assert "Anna" not in answer
    assert gateway.metrics.frames_rejected["not_logged_in"] == 1


SERVED = {
    "kiosk-1": {"01", "09", "11", "15", "17", "19", "23", "25", "29", "35", "63", "65"},
    "door-1": {"23", "35", "63"},
    "pay-1": {"23", "35", "37", "63"},
}
"""C24."""


@pytest.mark.parametrize("code", REQUEST_OF_EACH_KIND)
@pytest.mark.parametrize("login", ["kiosk-1", "door-1", "pay-1"])
async def test_after_login_too_whatever_the_terminal_may_do(gateway, login, code):
    line = await gateway.terminal(login)
    answer = await line.ask(REQUEST_OF_EACH_KIND[code])
    assert answer.startswith(RESPONSES[code])
    status = await line.ask("9900302.00")
    (supported,) = fields(status, "BX", fixed=36)
    places = ["23", "11", "09", "01", "99", "97", "93", "63", "35", "37", "17", "19", "25", "15"]
    places += ["29", "65"]
    promised = supported[places.index(code)] == "Y"
    assert promised == (code in SERVED[login])


async def test_status_before_and_after_login(gateway):
    line = await gateway.connect()
    #               on-line, nothing else; 10 s, 3 retries             93, 97, 99 only
    assert await line.ask("9900302.00") == (
        f"98YNNNNN100003{STAMP}2.00AOHUB|AMHub Library|BXNNNNYYYNNNNNNNNN|"
    )
    await line.ask(LOGIN)
    assert await line.ask("9900302.00") == (
        f"98YYYYNY100003{STAMP}2.00AOHUB|AMHub Library|BXYYYYYYYYYNYYYYYY|ANMAIN|"
    )


async def test_a_terminal_of_an_old_protocol_is_told_so(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask("9900301.00")
    assert answer.startswith("98NNNNNN000000")
    assert "|AFThis terminal uses a version of SIP2 that is too old; 2.00 is needed.|" in answer


@pytest.mark.parametrize(
    "login",
    [
        "9300CNkiosk-1|COwrong|",
        "9300CNnobody|COpw|",
        "9300CN|CO|",
        "9310CNkiosk-1|COpw|",
        "9301CNkiosk-1|COpw|",
    ],
)
async def test_a_wrong_login_is_refused_and_all_look_alike(gateway, login):
    line = await gateway.connect()
    assert await line.ask(login) == "940"
    assert (await line.ask(ask_23("1001", "1001"))).startswith("24YYYY")
    assert await line.ask(LOGIN) == "941"


async def test_three_wrong_logins_close_the_line(gateway):
    line = await gateway.connect()
    for _ in range(3):
        assert await line.ask("9300CNkiosk-1|COwrong|") == "940"
    assert await line.ended()
    assert gateway.metrics.logins == {"refused": 3}


async def test_a_failing_login_ends_the_session_that_was_there(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    assert await kiosk.ask("9300CNkiosk-1|COwrong|") == "940"
    assert (await kiosk.ask(ask_23("1001", "1001"))).startswith("24YYYY")


@pytest.mark.parametrize(
    ("extra", "login", "good"),
    [
        ('networks = ["10.0.0.0/8"]', LOGIN, False),
        ('networks = ["127.0.0.0/8"]', LOGIN, True),
        ("expires = 2026-03-09", LOGIN, False),
        ("expires = 2026-03-10", LOGIN, True),
        ('location = "hall"', LOGIN, False),
        ('location = "hall"', LOGIN + "CPhall|", True),
        ('login = "other"', LOGIN, False),
        ('login = "other"', "9300CNother|COpw|", True),
    ],
)
async def test_a_terminal_is_more_than_its_password(tmp_path, extra, login, good):
    config = CONFIG.replace("[terminals.kiosk-1]", f"[terminals.kiosk-1]\n{extra}")
    async with running(tmp_path, config=config) as gateway:
        line = await gateway.connect()
        assert await line.ask(login) == ("941" if good else "940")


async def test_a_new_login_replaces_the_older_line_of_the_terminal(gateway):
    first = await gateway.terminal("kiosk-1")
    second = await gateway.terminal("kiosk-1")
    assert await first.ended()
    assert "CQY" in await second.ask(ask_23("1001", "1001"))
    assert gateway.metrics.connections["kiosk"] == 1


async def test_a_terminal_may_have_several_lines_by_setting(tmp_path):
    config = CONFIG.replace("[terminals.kiosk-1]", "[terminals.kiosk-1]\nmax_connections = 2")
    async with running(tmp_path, config=config) as gateway:
        first, second = await gateway.terminal("kiosk-1"), await gateway.terminal("kiosk-1")
        third = await gateway.terminal("kiosk-1")
        assert await first.ended()
        for line in (second, third):
            assert "CQY" in await line.ask(ask_23("1001", "1001"))


# The line ---------------------------------------------------------------------------------------


async def test_error_detection_is_mirrored_request_by_request(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    assert re.search(r"AY2AZ[0-9A-F]{4}$", await kiosk.ask("9900302.00AY2AZFCA4"))
    assert "AZ" not in await kiosk.ask("9900302.00")


async def test_a_wrong_checksum_is_asked_for_again_three_times_at_most(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answers = [await kiosk.ask("9900302.00AY2AZ0000") for _ in range(3)]
    assert answers == ["96AZFEF6"] * 3
    assert await kiosk.ended()
    assert gateway.metrics.frames_rejected["checksum"] == 3


async def test_the_last_answer_is_sent_again_on_request(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask("9900302.00AY2AZFCA4")
    again = await kiosk.ask("97AZFEF5")
    assert again[: answer.index("AY")] == answer[: answer.index("AY")]
    assert "AY" not in again


async def test_nothing_sent_yet_and_asked_to_send_again(gateway):
    line = await gateway.connect()
    assert await line.ask("97AZFEF5") == "96AZFEF6"
    assert gateway.metrics.frames_rejected["checksum"] == 0


async def test_a_retransmission_is_answered_from_memory(gateway):
    pay = await gateway.terminal("pay-1")
    wire = ask_37("1004", "1.00", pin="1004", bk="K")
    first = await pay.ask(wire + "AY3")
    gateway.clock.advance(1)
    assert await pay.ask(wire + "AY3") == first
    assert gateway.metrics.resends["replayed"] == 1


async def test_several_requests_in_one_segment_are_answered_in_order(gateway):
    pay = await gateway.terminal("pay-1")
    await pay.send(
        "\r".join((ask_37("1004", "1.00", pin="1004", bk="K"), "9900302.00", "35")).encode()
        + b"\r\n\r\n"
    )
    assert [(await pay.read())[:2] for _ in range(3)] == ["38", "98", "36"]


async def test_any_line_end_and_any_chopping(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    for end in (b"\r", b"\n", b"\r\n", b"\r\r\n", b"\x00 \r\n"):
        for byte in b"9900302.00" + end:
            await kiosk.send(bytes([byte]))
        assert (await kiosk.read()).startswith("98Y")


async def test_unknown_commands_get_no_answer_and_unreadable_ones_their_failure_form(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.send("ZZnonsense")
    await kiosk.send("9Xnonsense")
    assert (await kiosk.ask("63001")).startswith("64YYYY")
    assert gateway.metrics.frames_rejected == {"unknown_message": 2, "unreadable": 1}


async def test_a_frame_that_never_ends_closes_the_line(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.send(b"63" + b"x" * 9000)
    assert await kiosk.ended()
    assert gateway.metrics.frames_rejected["too_long"] == 1


@pytest.mark.parametrize(
    ("start", "seconds", "reason"),
    [("login", 601, "idle"), ("nothing", 61, "login_timeout"), ("half a frame", 11, "stalled")],
)
async def test_time_limits(gateway, start, seconds, reason):
    line = await gateway.connect()
    if start == "login":
        await line.ask(LOGIN)
    elif start == "half a frame":
        await line.ask(LOGIN)
        await line.send(b"6300")
        await asyncio.sleep(0.02)  # until the bytes have arrived
    else:
        await line.ask("9900302.00")
    gateway.clock.advance(seconds)
    async with asyncio.timeout(30):
        assert await line.ended()
    assert any(entry.get("reason") == reason for entry in gateway.logged())


async def test_b14_a_terminal_may_try_again_when_a_later_login_fails(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    gateway.clock.advance(500)
    assert await kiosk.ask("9300CNkiosk-1|COwrong|") == "940"
    (line,) = gateway.app.server._lines.values()
    assert line.expired(gateway.clock.monotonic()) is None
    assert line.expired(gateway.clock.monotonic() + 61) == "login_timeout"


async def test_a_poll_every_seven_minutes_keeps_the_line(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    for _ in range(3):
        gateway.clock.advance(420)
        assert (await kiosk.ask("9900302.00")).startswith("98Y")


async def test_newcomers_at_a_cap_are_refused_and_the_others_never_notice(tmp_path):
    config = CONFIG.replace("[server]", "[server]\nmax_connections_per_address = 2")
    async with running(tmp_path, config=config) as gateway:
        first, second = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
        third = await gateway.connect()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await third.ask("9900302.00")
        assert gateway.metrics.connections_refused == {"address": 1}
        first.close()
        assert (await second.ask("9900302.00")).startswith("98Y")


async def test_a_foreign_institution_is_answered_with_ours_and_counted(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    answer = await kiosk.ask(ask_23("1001", "1001").replace("AOHUB", "AOELSEWHERE") + "ZZ1|")
    assert "AOHUB|" in answer
    assert gateway.metrics.foreign_institution == 1
    assert gateway.metrics.unknown_fields == 1


# When things fail -------------------------------------------------------------------------------


class BrokenStore:
    """A store whose every use fails as told."""

    def __init__(self, store, error):
        self._store, self._error = store, error

    def __getattr__(self, name):
        if name in ("find_by_card", "book_payment", "ping"):
            return self._fail
        return getattr(self._store, name)

    async def _fail(self, *arguments):
        raise self._error


def break_store(gateway, error):
    broken = BrokenStore(gateway.store, error)
    gateway.app.gateway.backend = gateway.app.gateway.services.backend = broken


async def test_without_a_backend_everything_is_still_answered(gateway):
    pay = await gateway.terminal("pay-1")
    healthy = gateway.store
    break_store(gateway, UnavailableError("gone"))
    assert (await pay.ask(ask_23("1004", "1004"))).startswith("24YYYY")
    assert (await pay.ask(ask_37("1004", "1.00", pin="1004"))).startswith("38N")
    assert (await pay.ask("9900302.00")).startswith("98NNNNNN000")
    assert gateway.metrics.backend_errors["23", "unavailable"] == 1
    gateway.app.gateway.backend = gateway.app.gateway.services.backend = healthy
    assert (await pay.ask("9900302.00")).startswith("98Y")
    assert (await pay.ask(ask_37("1004", "1.00", pin="1004"))).startswith("38Y")


async def test_our_own_bug_is_a_refusal_and_tells_the_log_where_not_what(gateway):
    door = await gateway.terminal("door-1")
    break_store(gateway, KeyError("1004 and PIN 4321"))
    assert (await door.ask(ask_23("1004", "4321"))).startswith("24YYYY")
    (entry,) = [line for line in gateway.logged() if line["event"] == "request_failed"]
    assert entry["exception"] == "KeyError"
    assert entry["frames"]
    assert "4321" not in str(entry)


# What is written about it -----------------------------------------------------------------------


async def test_the_log_line_of_a_message_has_a_pseudonym_and_no_secret(gateway):
    door = await gateway.terminal("door-1")
    await door.ask(ask_23("1001", "8765"))
    entries = gateway.logged()
    (line,) = [entry for entry in entries if entry.get("message") == "23"]
    assert (line["terminal"], line["outcome"], line["reason"]) == ("door-1", "refused", "wrong_pin")
    assert re.fullmatch(r"[0-9a-f]{12}", line["card"])
    assert "8765" not in str(entries)
    assert "1001" not in str(entries)


async def test_a_reload_reaches_logged_in_terminals_and_a_bad_one_changes_nothing(gateway):
    kiosk, door = await gateway.terminal("kiosk-1"), await gateway.terminal("door-1")
    path = gateway.app.config.path
    path.write_text(CONFIG.replace('name = "Hub Library"', "name = 5"))
    await gateway.app.reload()
    assert "AMHub Library|" in await kiosk.ask("9900302.00")
    without_door = re.sub(r"\[terminals\.door-1\][^\[]*", "", CONFIG)
    path.write_text(without_door.replace("Hub Library", "New Name"))
    await gateway.app.reload()
    assert "AMNew Name|" in await kiosk.ask("9900302.00")
    assert await door.ended()
    events = [entry["event"] for entry in gateway.logged()]
    assert events.count("reload_failed") == 1
    assert events.count("reload_done") == 1


async def test_c48_a_reload_reaches_everything_from_the_next_request_on(gateway):
    """How a line is written too, and the brakes against guessing."""
    kiosk = await gateway.terminal("kiosk-1")
    assert "GLONBE|" in await kiosk.ask(ask_23("1001", "1001"))
    path = gateway.app.config.path
    profile = '[profiles.kiosk]\nhide_fields = ["GL"]\nerror_detection = "always"\n'
    changed = CONFIG.replace("[profiles.kiosk]\n", profile)
    path.write_text(changed.replace("login_backoff_s = 0", "pin_failures_max = 1"))
    await gateway.app.reload()
    assert await kiosk.ask(ask_23("1001", "1001")) == "96AZFEF6"
    answer = await kiosk.ask(seal(ask_23("1001", "1001").encode(), b"3", True) + b"\r")
    assert "BLY|CQY|" in answer
    assert "GL" not in answer
    for pin in ("wrong", "1001"):
        assert "CQN|" in await kiosk.ask(seal(ask_23("1001", pin).encode(), b"", True) + b"\r")
    assert gateway.metrics.pin_locks == 1


async def test_c48_a_log_level_takes_effect_at_a_reload(gateway):
    kiosk = await gateway.terminal("kiosk-1")
    gateway.app.config.path.write_text(CONFIG + '[log]\nlevel = "warning"\n')
    await gateway.app.reload()
    await kiosk.ask("9900302.00")
    assert [entry["message"] for entry in gateway.logged() if entry["event"] == "request"] == ["93"]


async def test_a_sweep_right_after_a_request_began_to_wait_does_not_end_it(gateway, monkeypatch):
    """The line had no deadline before the task's first step, and was then stuck for ever."""
    begin = TerminalLine._begin

    def begin_and_sweep(self, conversation, *arguments):
        going_on = begin(self, conversation, *arguments)
        self.enforce_deadlines(gateway.clock.monotonic())
        return going_on

    line = await gateway.terminal("kiosk-1")
    monkeypatch.setattr(TerminalLine, "_begin", begin_and_sweep)
    assert (await line.ask(ask_23("1001", "wrong"))).startswith("24")
