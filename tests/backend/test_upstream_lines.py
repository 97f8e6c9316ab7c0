"""How lines are opened, kept, shared and given up (B71, C120, C122, C152)."""

import asyncio
import gc
import ssl
import weakref
from contextlib import suppress
from typing import Any

import pytest
import trustme
from hostile_library import HELD, HostileLibrary, right_answer, script
from pydantic import SecretStr
from upstream import Client, account, asks, client_of

from sip2gw.backend.system import BadAnswerError, Lease, NoAnswerError, NotAskedError
from sip2gw.backend.upstream import pool as pool_module
from sip2gw.backend.upstream.breaker import FAILURES_MAX, FIRST_REFUSED_S, FIRST_WAIT_S
from sip2gw.backend.upstream.opening import problem_of
from sip2gw.backend.upstream.pool import IDLE_S
from sip2gw.config.tables.upstream import UpstreamTls
from sip2gw.protocol.checksum import character_checksum_digits
from sip2gw.protocol.messages import EndPatronSession, ItemInformation, ScStatus

PIECE = 1.0
"""Long enough for what happens at once."""


# Login ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "codes"),
    [
        ("login", [b"93", b"99"]),
        ("status_first", [b"99", b"93", b"99"]),
        ("none", [b"99"]),
    ],
)
async def test_what_is_said_first(order, codes):
    async with HostileLibrary() as library, client_of(library, login_order=order):
        assert library.codes == codes


async def test_the_login_says_who_we_are():
    keys: dict[str, Any] = {
        "login": "gw",
        "password": SecretStr("pw"),
        "location": "EAST",
        "login_algorithm": " ",
    }
    async with HostileLibrary() as library, client_of(library, **keys):
        assert library.heard[0].body == b"93  CNgw|COpw|CPEAST|"
    async with HostileLibrary() as library, client_of(library, login="gw"):
        assert library.heard[0].body == b"9300CNgw|CO|"


async def test_without_a_login_a_99_may_stay_unanswered():
    """The line on which it was asked is of no use; the next one is up without it."""

    def behave(heard):
        return "silent" if heard.code == b"99" else "right"

    async with (
        HostileLibrary(behave) as library,
        client_of(library, login_order="none", keepalive_s=0) as client,
    ):
        assert library.codes == [b"99"]
        assert client.offers("default") is None
        await client.status("2100")
        client.sweep()
        assert client.state.idle == 1


async def test_a_refused_login_is_not_tried_again_soon():
    async with HostileLibrary(login=b"940") as library, client_of(library, up=False) as client:
        await client.until(lambda: client.is_away("default"))
        assert client.state.state == "refused"
        with pytest.raises(NotAskedError):
            await client.status("2100")
        client.later(FIRST_REFUSED_S - PIECE)
        assert client.state.breaker == "open"
        client.later(FIRST_REFUSED_S / 2 + PIECE)
        await client.until(lambda: len(library.codes) == 2)
        await client.until(lambda: client.state.breaker == "open")
        client.later(FIRST_REFUSED_S * 2 - PIECE)
        assert client.state.breaker == "open"
        assert [event["event"] for event in client.logged()] == ["upstream_refused"]


async def test_offers_are_those_of_the_last_98_unless_the_account_knows_better():
    async with HostileLibrary() as library, client_of(library) as client:
        offered = client.offers("default")
        assert offered is not None
        assert "63" in offered
        assert "37" in offered
        assert "25" not in offered
    known = frozenset({"23"})
    async with HostileLibrary() as library, client_of(library, messages=known) as client:
        assert client.offers("default") == known


async def test_an_account_that_the_gateway_was_started_without_is_away():
    async with HostileLibrary() as library, client_of(library) as client:
        assert client.is_away("added by a reload")
        assert client.offers("added by a reload") is None
        with pytest.raises(NotAskedError):
            await client.ask("added by a reload", "kiosk-1", ScStatus())
        with pytest.raises(NotAskedError):
            await client.pass_on("added by a reload", "kiosk-1", b"9900302.00")


async def test_a_98_without_bx_says_nothing_about_offers():
    def answer(heard):
        return right_answer(heard).split(b"BX")[0]

    async with HostileLibrary(answer=answer) as library, client_of(library) as client:
        assert client.offers("default") is None


@pytest.mark.parametrize(
    ("greets", "problem"),
    [
        ("hangs_up", "no answer in time, or the line was closed"),
        ("silent", "no answer in time, or the line was closed"),
        ("banner", "an answer could not be trusted"),
    ],
)
async def test_who_does_not_let_us_in_is_away_and_tried_again(greets, problem):
    async with HostileLibrary(greets=greets) as library, client_of(library, up=False) as client:
        await client.until(lambda: client.is_away("default"))
        assert client.state.state == "away"
        library.greets = ""
        client.later(2 * FIRST_WAIT_S)
        await client.until(lambda: client.state.open)
        assert (await client.status("2100")).patron_identifier == "2100"
        away, up = client.logged()
        assert (away["event"], up["event"]) == ("upstream_away", "upstream_up")
        assert away["problem"] == problem
        assert "problem" not in up


async def test_the_log_says_that_nobody_is_there():
    async with HostileLibrary() as library:
        pass  # it has gone, and its port is closed
    async with client_of(library, up=False) as client:
        await client.until(lambda: client.is_away("default"))
        (away,) = client.logged()
        assert away["problem"].startswith("nobody answers there (")


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (BadAnswerError(), "an answer could not be trusted"),
        (NoAnswerError(), "no answer in time, or the line was closed"),
        (TimeoutError(), "no answer in time, or the line was closed"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "nobody answers there (Connection refused)",
        ),
        (ConnectionResetError(), "nobody answers there (ConnectionResetError)"),
        (KeyError("canary"), "KeyError"),
    ],
)
def test_why_a_library_system_is_away(error, problem):
    assert problem_of(error) == problem


async def test_a_library_system_that_comes_back_is_used_again():
    async with HostileLibrary() as library, client_of(library, keepalive_s=1) as client:
        library.vanish()
        await client.until(lambda: not client.state.open)
        client.sweep()
        await client.until(lambda: client.is_away("default"))
        with pytest.raises(NotAskedError):
            await client.status("2100")
        await library.listen()
        client.later(2 * FIRST_WAIT_S)
        await client.until(lambda: client.state.open)
        await client.status("2100")


async def test_lines_that_end_at_once_are_not_opened_without_a_pause():
    """It lets us in and hangs up, again and again: accounts are locked for less."""
    async with HostileLibrary() as library, client_of(library) as client:
        for writer in tuple(library._writers):
            writer.transport.abort()
        await client.until(lambda: not client.state.open)
        assert client.is_away("default")
        client.sweep()
        await asyncio.sleep(0.02)
        assert library.connections == 1
        client.later(2 * FIRST_WAIT_S)
        await client.until(lambda: client.state.open)


# TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority, name, *, asks_us=False):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    if asks_us:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_tls_with_a_name_of_its_own_and_our_certificate(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours = authority.issue_cert("gateway.example")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "gateway.pem")
    tls = UpstreamTls(tmp_path / "ca.pem", "ils.example", tmp_path / "gateway.pem")
    context = server_side(authority, "ils.example", asks_us=True)
    async with HostileLibrary(tls=context) as library, client_of(library, tls=tls) as client:
        assert (await client.status("2100")).patron_identifier == "2100"


async def test_what_a_line_over_tls_held_is_free_as_soon_as_it_has_ended(authority, tmp_path):
    """Each holds a quarter of a MiB, and the garbage of a gateway is collected seldom."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = UpstreamTls(tmp_path / "ca.pem", "ils.example")
    context = server_side(authority, "ils.example")
    async with (
        HostileLibrary(script("wrong_type"), tls=context) as library,
        client_of(library, tls=tls, timeout_s=5) as client,
    ):
        gc.disable()
        try:
            transport = weakref.ref(client._pools["default"]._lines[0]._transport)
            with suppress(BadAnswerError):
                await client.status("2100")
            await client.until(lambda: transport() is None)
        finally:
            gc.enable()


async def test_tls_with_another_name_is_not_believed(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = server_side(authority, "evil.example")
    async with (
        HostileLibrary(tls=context) as library,
        client_of(library, tls=UpstreamTls(tmp_path / "ca.pem", "ils.example"), up=False) as client,
    ):
        await client.until(lambda: client.is_away("default"))
        assert library.heard == []
        assert client.logged()[0]["problem"].startswith("its certificate is not trusted (Hostname")


@pytest.mark.parametrize(
    ("greets", "problem"),
    [
        ("hangs_up", "nobody answers there ("),
        ("silent", "no answer in time"),
        ("banner", "TLS failed (WRONG_VERSION"),
    ],
)
async def test_tls_that_breaks_off_or_never_ends(greets, problem):
    async with (
        HostileLibrary(greets=greets) as library,
        client_of(library, tls=UpstreamTls(), up=False) as client,
    ):
        await client.until(lambda: client.is_away("default"))
        assert client.state.state == "away"
        assert client.logged()[0]["problem"].startswith(problem)


# Checksums ------------------------------------------------------------------------------------


async def test_without_checksums_there_is_no_trailer():
    async with HostileLibrary() as library, client_of(library, checksums="none") as client:
        await client.status("2100")
        assert library.heard[-1].frame == b"23001" + b" " * 18 + b"AOHUB|AA2100|AC|AD1234|"


@pytest.mark.parametrize("by_characters", [True, False])
async def test_checksums_over_characters_go_up_and_either_comes_back(by_characters):
    def digits(data):
        return character_checksum_digits(data.decode("utf-8"))

    async with HostileLibrary() as library:
        if by_characters:
            library.digits = digits
        async with client_of(library, checksums="characters", encoding="utf-8") as client:
            assert (await client.status("Zoë")).patron_identifier == "Zoë"
            frame = library.heard[-1].frame
            assert frame[-4:] == digits(frame[:-4])
            assert library.connections == 1


# Sharing --------------------------------------------------------------------------------------


async def test_lines_are_opened_on_demand_up_to_the_limit():
    async with (
        HostileLibrary(delay_s=0.02) as library,
        client_of(library, connections=3, timeout_s=2) as client,
    ):
        assert client.state.open == 1
        asked = [client.status(str(number), f"t{number}") for number in range(8)]
        answers = await asyncio.gather(*asked)
        assert [answer.patron_identifier for answer in answers] == [*map(str, range(8))]
        assert client.state.open == library.connections == 3


async def test_terminals_have_their_turns():
    """Five requests of one terminal came first; the other terminal waits for one of them only."""
    async with (
        HostileLibrary(delay_s=0.005) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        many = [client.status(f"a{number}", "a") for number in range(5)]
        await asyncio.gather(*many, client.status("b", "b"))
        asked = [body.split(b"|")[1] for body in library.asked]
        assert asked == [b"AAa0", b"AAa1", b"AAb", b"AAa2", b"AAa3", b"AAa4"]


async def test_who_waits_too_long_for_a_line_was_not_asked():
    async with (
        HostileLibrary(script("silent")) as library,
        client_of(library, connections=1) as client,
    ):
        gone_up: list[str] = []
        first = asyncio.create_task(client.status("2100", "a", sent=lambda: gone_up.append("a")))
        await asyncio.sleep(0)
        assert gone_up == ["a"]
        with pytest.raises(NotAskedError):
            await client.status("2101", "b", sent=lambda: gone_up.append("b"))
        with pytest.raises(NoAnswerError):
            await first
        assert gone_up == ["a"]
        assert len(library.asked) == 1
        assert client.outcomes() == {("23", "no_answer"): 1, ("23", "not_asked"): 1}


async def test_who_is_late_when_a_line_is_free_is_not_asked_either():
    """Nothing has looked for what is late yet."""
    async with (
        HostileLibrary(delay_s=0.02) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        assert client._timer is not None
        client._timer.cancel()
        first = asyncio.create_task(client.status("2100", "a"))
        second = asyncio.create_task(client.status("2101", "b"))
        await client.until(lambda: library.asked)
        client.ahead_s += 3
        await first
        with pytest.raises(NotAskedError):
            await second
        assert len(library.asked) == 1


async def test_only_so_many_wait(monkeypatch):
    monkeypatch.setattr(pool_module, "WAITING_MAX", 2)
    async with (
        HostileLibrary(delay_s=0.05) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        waiting = [asyncio.create_task(client.status(str(n))) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(NotAskedError):
            await client.status("4")
        await asyncio.gather(*waiting)


async def test_who_hangs_up_while_waiting_is_never_asked():
    async with (
        HostileLibrary(delay_s=0.02) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        first = asyncio.create_task(client.status("2100", "a"))
        second = asyncio.create_task(client.status("2101", "b"))
        third = asyncio.create_task(client.status("2102", "c"))
        await asyncio.sleep(0)
        second.cancel()
        await first
        await third
        assert len(library.asked) == 2
        assert client.state.waiting == 0
        assert library.connections == 1


async def test_who_hangs_up_after_asking_takes_the_line_along():
    async with (
        HostileLibrary(script("late")) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        first = asyncio.create_task(client.status("2100", "a"))
        await client.until(lambda: library.asked)
        second = asyncio.create_task(client.status("2101", "b"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).patron_identifier == "2101"
        assert library.connections == 2
        assert client.outcomes() == {("23", "no_answer"): 1, ("23", "ok"): 1}


async def test_after_failures_in_a_row_nobody_waits_until_it_was_tried_again():
    behave = script(*["silent"] * FAILURES_MAX)
    timeout_s = 30.0  # of the client's clock, so that a busy machine does not matter
    async with (
        HostileLibrary(behave) as library,
        client_of(library, timeout_s=timeout_s) as client,
    ):
        for number in range(FAILURES_MAX):
            asking = asyncio.ensure_future(client.status(str(number)))
            await client.until(lambda: len(library.asked) > number)  # noqa: B023
            client.later(timeout_s)
            with pytest.raises(NoAnswerError):
                await asking
        assert client.is_away("default")
        assert client.series("upstream_breaker_open") == {("default",): 1.0}
        with pytest.raises(NotAskedError):
            await client.status("2100")
        assert len(library.asked) == FAILURES_MAX
        client.later(2 * FIRST_WAIT_S)
        await client.until(lambda: not client.is_away("default"))
        await client.status("2100")
        assert client.series("upstream_breaker_open") == {("default",): 0.0}


async def test_an_answer_makes_up_for_the_failures_before_it():
    failing = ["silent"] * (FAILURES_MAX - 1)
    behave = script(*failing, "right", *failing)
    timeout_s = 30.0
    async with (
        HostileLibrary(behave) as library,
        client_of(library, timeout_s=timeout_s) as client,
    ):
        for number in range(2 * len(failing) + 1):
            asking = asyncio.ensure_future(client.status(str(number)))
            await client.until(lambda: len(library.asked) > number)  # noqa: B023
            if number == len(failing):
                await asking
                continue
            client.later(timeout_s)
            with pytest.raises(NoAnswerError):
                await asking
        assert not client.is_away("default")


async def test_who_waits_has_a_line_opened_when_one_is_lost():
    behave = script("silent", "hangs_up")
    async with (
        HostileLibrary(behave) as library,
        client_of(library, timeout_s=30, connections=2) as client,
    ):
        held = asyncio.ensure_future(client.status("2100", "a"))
        lost = asyncio.ensure_future(client.status("2101", "b"))
        waiting = asyncio.ensure_future(client.status("2102", "c"))
        async with asyncio.timeout(20):
            assert (await waiting).patron_identifier == "2102"
        with pytest.raises(NoAnswerError):
            await lost
        held.cancel()


# Brown-outs -----------------------------------------------------------------------------------


async def slow_answers(client, count, seconds):
    """So many requests in a row are answered after so long, by the client's clock."""
    for number in range(count):
        asking = asyncio.create_task(client.status(f"9{number}"))
        await asyncio.sleep(0)
        client.ahead_s += seconds
        await asking


async def test_who_could_not_be_answered_in_time_is_told_so_at_once():
    """Answers take 1.5 s, and 2 s after a request it is too late: nobody can wait for the line."""
    async with (
        HostileLibrary(delay_s=0.01) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        await slow_answers(client, 6, 1.5)
        on_the_line = asyncio.create_task(client.status("2100", "a"))
        await asyncio.sleep(0)
        with pytest.raises(NotAskedError):
            await client.status("2101", "b")
        assert client.state.waiting == 0
        assert not client.is_away("default")
        assert (await on_the_line).patron_identifier == "2100"


async def test_who_has_waited_too_long_for_an_answer_in_time_is_not_sent():
    """It would be cut off, and nobody would know whether it was done (C154)."""
    async with (
        HostileLibrary(delay_s=0.01) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        first = asyncio.create_task(client.status("2100", "a"))
        second = asyncio.create_task(client.status("2101", "b"))
        await client.until(lambda: library.asked)
        client.ahead_s += 1.5  # 0.5 s are left, and answers take 0.75 s by now
        await first
        with pytest.raises(NotAskedError):
            await second
        assert len(library.asked) == 1


async def test_a_brown_out_is_noticed_when_all_lines_wait_and_not_only_by_its_answers():
    """3 s are left of 4. The first slow answer alone may be an exception, so by itself it would let
    one more be sent; but the other line has waited as long."""
    async with (
        HostileLibrary(script("right", "right", HELD, HELD)) as library,
        client_of(library, connections=2, timeout_s=4) as client,
    ):
        await asyncio.gather(client.status("2100", "a"), client.status("2101", "b"))
        await client.until(lambda: client.state.idle == 2)
        first = [asyncio.create_task(client.status(f"220{n}", f"{n}")) for n in range(2)]
        await client.until(lambda: len(library.asked) == 4)
        client.ahead_s += 2
        late = asyncio.create_task(client.status("2102", "c"))
        await client.until(lambda: client.state.waiting)
        client.ahead_s += 1
        library.release()
        with pytest.raises(NotAskedError):
            await late
        await asyncio.gather(*first)
        assert len(library.asked) == 4


async def test_a_free_line_is_always_tried_so_a_brown_out_ends():
    async with (
        HostileLibrary(delay_s=0.01) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        await slow_answers(client, 6, 1.9)
        await slow_answers(client, 6, 0)
        first = asyncio.create_task(client.status("2100", "a"))
        second = asyncio.create_task(client.status("2101", "b"))
        await asyncio.gather(first, second)


@pytest.mark.parametrize(("worked_s", "refused"), [(1.5, 0), (0.0, 3)])
async def test_the_time_of_a_crowd_is_not_the_library_systems(worked_s, refused):
    """An answer lies in the socket while we read what a thousand terminals ask: none of them is
    refused. If the library system takes as long itself, most are."""
    async with (
        HostileLibrary(delay_s=0.01) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        first = asyncio.create_task(client.status("2100", "a"))
        early = asyncio.create_task(client.status("2101", "b"))
        await client.until(lambda: library.asked)
        client.ahead_s += 1.5
        client.worked_s += worked_s
        second = asyncio.create_task(client.status("2102", "c"))
        await first
        with pytest.raises(NotAskedError):
            await early  # has 0.5 s left; the next answer may be read as late as the first
        crowd = [asyncio.create_task(client.status(f"22{n}", f"{n}")) for n in range(4)]
        answers = await asyncio.gather(second, *crowd, return_exceptions=True)
        assert sum(isinstance(answer, NotAskedError) for answer in answers) == refused


async def test_lines_that_cannot_be_opened_serve_nobody_who_waits():
    """Of four lines three are refused: one line needs 6 s for an answer, so two can wait."""
    async with HostileLibrary(delay_s=0.01) as library, client_of(library, timeout_s=20) as client:
        await slow_answers(client, 6, 6)
        pool = client._pools["default"]
        pool._open_after = pool._clock.monotonic() + 60
        asking = [asyncio.create_task(client.status(str(n), str(n))) for n in range(4)]
        await asyncio.sleep(0)
        assert client.state.waiting == 2
        with pytest.raises(NotAskedError):
            await asking[3]
        await asyncio.gather(*asking[:3])


async def test_the_moment_of_the_last_answer_is_a_metric():
    async with HostileLibrary() as library, client_of(library, up=False) as client:
        assert client.series("upstream_last_answer_timestamp_seconds") == {("default",): 0.0}
        assert client.last_answer("default") is None
        assert client.last_answer("unknown") is None
        await client.until(lambda: client.state.open)
        last = client.last_answer("default")
        assert last is not None
        assert client.series("upstream_last_answer_timestamp_seconds") == {
            ("default",): pytest.approx(last.timestamp(), abs=1e-5)
        }


async def test_when_it_was_silent_last_is_known_by_a_late_answer_and_by_its_return():
    """What it had read before it stood still, it may do when it goes on (C97, C127)."""
    behave = script("right", "silent")
    async with (
        HostileLibrary(behave) as library,
        client_of(library, timeout_s=0.05, connections=2) as client,
    ):
        assert client.silent_at("default") is None
        assert client.silent_at("unknown") is None
        await client.status("2100")
        with pytest.raises(NoAnswerError):
            await client.status("2100")
        late = client.silent_at("default")
        assert late is not None
        library.vanish()
        await client.until(lambda: not client.state.open)
        client.sweep()
        await client.until(lambda: client.is_away("default"))
        assert client.silent_at("default") == late
        await library.listen()
        client.later(100)
        await client.until(lambda: client.state.open)
        back = client.silent_at("default")
        assert back is not None
        assert back >= late + 100


# Time -----------------------------------------------------------------------------------------


async def test_a_probe_without_an_answer_to_its_99_lets_no_terminal_through():
    """The login alone is answered by systems that serve nobody."""
    behave = lambda heard: "silent" if heard.code == b"99" else "right"  # noqa: E731
    async with (
        HostileLibrary(behave) as library,
        client_of(library, up=False, timeout_s=0.05) as client,
    ):
        await client.until(lambda: client.is_away("default"))
        client.later(2 * FIRST_WAIT_S)
        await client.until(lambda: library.codes.count(b"99") == 2)
        assert client.is_away("default")
        with pytest.raises(NotAskedError):
            await client.status("2100")
        assert set(library.codes) == {b"93", b"99"}


async def test_an_idle_line_is_kept_alive_by_a_99_and_one_that_does_not_answer_is_closed():
    async with HostileLibrary() as library, client_of(library, keepalive_s=60) as client:
        client.later(59)
        assert client.state.idle == 1
        client.later(2)
        assert client.state.idle == 0
        await client.until(lambda: client.state.idle)
        assert library.codes == [b"93", b"99", b"99"]
        library.behave = lambda heard: "silent"
        client.later(61)
        await client.until(lambda: len(library.codes) == 4)
        client.later(1)
        assert client.state.open == 0


def is_on_line(client):
    last = client.last_status("default")
    return last is not None and last.online


async def test_a_library_system_that_says_it_is_off_line_is_asked_again_soon():
    says = [b"98N"]

    def answer(heard, *others):
        body = right_answer(heard, *others)
        return says[0] + body[3:] if heard.code == b"99" else body

    async with HostileLibrary(answer=answer) as library, client_of(library) as client:
        assert not is_on_line(client)
        says[0] = b"98Y"
        client.later(pool_module.OFF_LINE_S - 1)
        assert client.state.idle == 1
        client.later(1)
        assert client.state.idle == 0
        await client.until(lambda: is_on_line(client))
        client.later(pool_module.OFF_LINE_S)
        assert client.state.idle == 1
        assert library.codes == [b"93", b"99", b"99"]


async def test_after_ten_idle_minutes_one_line_is_left():
    async with (
        HostileLibrary(delay_s=0.02) as library,
        client_of(library, connections=3, timeout_s=2, keepalive_s=10_000) as client,
    ):
        await asyncio.gather(*(client.status(str(n), str(n)) for n in range(6)))
        assert client.state.open == 3
        client.later(599)
        assert client.state.open == 3
        client.later(2)
        assert (client.state.open, client.state.idle) == (1, 1)


async def test_a_line_that_the_library_system_ends_while_it_is_idle_serves_nobody():
    async with HostileLibrary() as library, client_of(library, connections=2) as client:
        await client.status("2100")
        library.vanish()
        await client.until(lambda: client.state.open == 0)
        assert client.state.idle == 0
        await library.listen()
        client.later(2 * FIRST_WAIT_S)
        await client.until(lambda: client.state.idle)
        assert (await client.status("2101")).patron_identifier == "2101"


async def test_after_an_answer_the_first_wait_is_short_again():
    async with HostileLibrary() as library, client_of(library) as client:
        pool = client._pools["default"]
        for backoff in (pool._opening_backoff, pool._refused_backoff, pool._opening_backoff):
            pool._wait_to_open(backoff, 0.0)
        await client.status("2100")
        assert pool._opening_backoff.next_s() < 2 * FIRST_WAIT_S
        assert pool._refused_backoff.next_s() < 2 * FIRST_REFUSED_S


async def test_the_state_and_the_metrics_of_an_account():
    async with (
        HostileLibrary(delay_s=0.02) as library,
        client_of(library, connections=1, timeout_s=2) as client,
    ):
        assert client.state.latency_ms is None
        asked = [asyncio.create_task(client.status(str(n), str(n))) for n in range(3)]
        await asyncio.sleep(0)
        state = client.state
        assert (state.account, state.state, state.open) == ("default", "up", 1)
        assert (state.idle, state.waiting, state.breaker) == (0, 2, "closed")
        assert client.series("upstream_connections")["default", "busy"] == 1
        await asyncio.gather(*asked)
        assert client.series("upstream_connections")["default", "idle"] == 1
        latency = client.state.latency_ms
        assert latency is not None
        assert 10 < latency < 2000
        counted = client.series("upstream_requests")
        assert counted["default", "23", "ok"] == 3
        assert counted["default", "93", "ok"] == 1
        assert client.series("upstream_seconds")["default", "+Inf"] == 5


async def test_closing_ends_whoever_asks_or_waits():
    async with (
        HostileLibrary(script("silent")) as library,
        client_of(library, connections=1, timeout_s=5) as client,
    ):
        first = asyncio.create_task(client.status("2100", "a"))
        second = asyncio.create_task(client.status("2101", "b"))
        await client.until(lambda: library.asked)
        await client.close()
        with pytest.raises(NoAnswerError):
            await first
        with pytest.raises(NotAskedError):
            await second
        with pytest.raises(NotAskedError):
            await client.status("2102")


async def test_closing_while_a_line_is_being_opened():
    async with HostileLibrary(greets="silent") as library:
        client = Client(account(library, timeout_s=30))
        await client.start()
        await client.until(lambda: library.connections)
        await client.close()
        assert client.state.open == 0


# Leases ---------------------------------------------------------------------------------------


async def two_lines(client, library):
    """Both lines of the account, idle; what was heard before is forgotten."""
    await asyncio.gather(*(client.status(str(n), str(n)) for n in range(3)))
    assert client.state.idle == 2
    library.heard.clear()


def lines(library):
    """On which lines was asked, told apart by letters: `aab`."""
    names: dict[int, str] = {}
    return "".join(names.setdefault(heard.line, "abc"[len(names)]) for heard in library.heard)


@pytest.fixture
async def library():
    async with HostileLibrary(delay_s=0.005) as library:
        yield library


@pytest.fixture
async def client(library):
    """No line is kept alive meanwhile: that would be another order of use."""
    async with client_of(library, connections=2, timeout_s=2, keepalive_s=600) as client:
        await two_lines(client, library)
        yield client


async def test_a_session_stays_on_its_line_while_another_uses_the_other(client, library):
    one, two = Lease(), Lease()
    await client.status("2100", "a", lease=one)
    await client.status("2101", "b", lease=two)
    await client.ask("default", "a", ItemInformation(item_identifier="I"), lease=one)
    await client.status("2100", "a", lease=one)
    await client.status("2101", "b", lease=two)
    assert lines(library) == "abaab"


async def test_the_next_patron_of_a_session_has_its_line_too(client, library):
    one = Lease()
    await client.status("2100", "a", lease=one)
    await client.status("2101", "b")  # on the other line, which is nobody's and was used last
    await client.status("2102", "a", lease=one)
    assert lines(library) == "aba"
    assert one.card == b"2102"


async def test_a_lease_ends_with_the_session(client, library):
    lease = Lease()
    await client.status("2100", "a", lease=lease)
    assert lease.line is not None
    ending = EndPatronSession(institution_id="HUB", patron_identifier="2100")
    await client.ask("default", "a", ending, lease=lease)
    assert (lease.line, lease.card) == (None, b"")
    assert lines(library) == "aa"


async def test_a_lease_ends_with_another_card_when_released_and_after_a_minute(client, library):
    one, two = Lease(), Lease()
    await client.status("2100", "a", lease=one)
    assert one.card == b"2100"
    first = one.line
    await client.status("2101", "a", lease=one)
    assert one.card == b"2101"
    client.release(one)
    assert one.line is None
    assert first.lease is None
    await client.status("2102", "b", lease=two)
    client.ahead_s += 61
    held = two.line
    await client.status("2103", "c")
    assert library.heard[-1].line == library.heard[-2].line
    assert held.lease is None


async def test_after_a_minute_a_session_takes_any_line(client, library):
    lease = Lease()
    await client.status("2100", "a", lease=lease)
    await client.status("2101", "b")
    client.ahead_s += 61
    await client.status("2100", "a", lease=lease)
    assert lines(library) == "abb"


async def test_the_next_patron_of_a_session_takes_no_line_that_is_in_use(client, library):
    lease = Lease()
    await client.status("2100", "a", lease=lease)
    held = lease.line
    keep_alive(client, held)
    same = client.ask("default", "a", ItemInformation(item_identifier="I"), lease=lease)
    assert lease.line is held, "it may be the same patron's"
    await same
    await client.until(lambda: held.job is None)
    keep_alive(client, held)
    asking = client.ask("default", "a", asks("2101"), lease=lease)
    assert (lease.line, held.lease) == (None, None)
    await asking
    assert lease.line is not held


async def test_only_what_terminals_ask_keeps_a_second_line_open(library):
    async with client_of(library, connections=2, keepalive_s=60, timeout_s=2) as client:
        await two_lines(client, library)
        client.ahead_s += IDLE_S - 1
        await two_lines(client, library)
        client.later(2)
        await client.until(lambda: client.state.idle == 2)  # both were kept alive
        client.later(IDLE_S / 2)
        await client.until(lambda: client.state.idle == 2)
        client.later(IDLE_S / 2)
        assert client.state.open == 1


async def test_b16_a_question_that_had_to_wait_is_forgotten_soon_after_its_answer(library):
    async with client_of(library, connections=1) as client:
        await asyncio.gather(*(client.status(f"210{number}", str(number)) for number in range(3)))
        pool = client._pools["default"]
        assert len(pool._waited) == 2  # for the one before
        client.sweep()
        assert not pool._waited


async def test_who_waits_takes_a_leased_line_and_the_lease_is_over(client, library):
    one, two = Lease(), Lease()
    await client.status("2100", "a", lease=one)
    await client.status("2101", "b", lease=two)
    await client.status("2102", "c")
    assert one.line is None
    assert two.line is not None
    assert lines(library) == "aba"


async def test_who_takes_the_only_line_of_a_session_has_another_opened(library):
    async with client_of(library, connections=2, timeout_s=2, keepalive_s=600) as client:
        lease = Lease()
        await client.status("2100", "a", lease=lease)
        await client.status("2100", "a", lease=lease)
        assert client.state.open == 1, "the session itself needs no other"
        await client.status("2101", "b")
        assert lease.line is None
        await client.until(lambda: client.state.open == 2)


async def test_a_lease_outlasts_a_wait_for_its_own_line_and_is_over_when_another_has_waited(
    library,
):
    async with client_of(library, connections=1, timeout_s=2, keepalive_s=600) as client:
        lease, item = Lease(), ItemInformation(item_identifier="I")
        await client.status("2100", "a", lease=lease)
        held = lease.line
        keep_alive(client, held)
        await client.ask("default", "a", item, lease=lease)
        assert (lease.line, lease.card) == (held, b"2100")
        keep_alive(client, held)
        await client.ask("default", "b", item)
        assert (lease.line, held.lease) == (None, None)


def keep_alive(client, line):
    """Ask a 99 of our own on an idle line, which is in use then."""
    del client._pools["default"]._idle[line]
    client._pools["default"]._send_ours(line, ScStatus())


async def test_a_lease_ends_with_its_line(client, library):
    lease = Lease()
    await client.status("2100", "a", lease=lease)
    library.behave = script("hangs_up")
    with pytest.raises(NoAnswerError):
        await client.status("2100", "a", lease=lease)
    assert lease.line is None
    await client.status("2100", "a", lease=lease)
    assert lease.line is not None


async def test_a_lease_of_another_account_is_none(client, library):
    """After a reload the terminal's account is another one."""
    async with client_of(library) as other:
        lease = Lease()
        await other.status("2100", "a", lease=lease)
        await client.status("2100", "a", lease=lease)
        assert (await other.ask("default", "a", asks("2100"), lease=lease)) is not None
