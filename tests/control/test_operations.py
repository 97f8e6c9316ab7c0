"""What can be asked of a running gateway, without a socket (B86)."""

import asyncio
import json
import threading

import pytest
from harness import CONFIG, HANGS_S, NOON, ask_23, ask_63, running

from sip2gw.backend.system import AccountState
from sip2gw.control import operations, tracing
from sip2gw.control.messages import (
    Alive,
    Drain,
    Drained,
    Draining,
    Kick,
    Kicked,
    ListTerminals,
    Numbers,
    Ping,
    ReadNumbers,
    Refused,
    Reload,
    Trace,
    TraceBegan,
    TraceEnded,
    TraceEvent,
    UpstreamAccounts,
    UpstreamStatus,
    encode,
    read_answer,
)
from sip2gw.protocol.checksum import seal


class Peer:
    """Somebody who asks, and all that was said to them."""

    uid, pid = 1000, 77

    def __init__(self, gateway):
        self.told, self.ready = [], True
        self._operations = gateway.app.operators._operations

    def tell(self, answer):
        self.told.append(answer)

    def ask(self, request):
        return self._operations.answer(request, self)

    def leave(self):
        self._operations.forget(self)

    def shown(self):
        """What a trace has shown: what happened, and the first line of each frame."""
        return [
            (event.what, *event.shown[:1]) for event in self.told if isinstance(event, TraceEvent)
        ]


async def until(holds):
    """Let the loop turn until something holds."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 -- whatever it is
            await asyncio.sleep(0.001)


@pytest.fixture
def peer(gateway):
    return Peer(gateway)


def state_of(peer, name):
    return next(one for one in peer.ask(ListTerminals()).terminals if one.name == name)


async def test_it_is_alive_and_ready_as_long_as_the_store_works(gateway, peer):
    assert peer.ask(Ping()) == Alive(ready=True)
    gateway.metrics.backend_up = False
    assert peer.ask(Ping()) == Alive(ready=False)


async def test_numbers_are_those_of_this_moment(gateway, peer):
    await gateway.terminal("kiosk-1")
    numbers = peer.ask(ReadNumbers())
    assert isinstance(numbers, Numbers)
    logins = next(family for family in numbers.families if family.name == "sip2gw_logins")
    assert ("_total", ("ok",), 1.0) in logins.samples


async def test_a_reload_says_what_became_of_it(gateway, peer):
    path = gateway.app.config.path
    good = path.read_text()
    path.write_text(good.replace("[server]", '[server]\nsocket = "other.control"'))
    answer = await peer.ask(Reload())
    assert (answer.problems, answer.needs_restart) == ([], ["server.socket"])
    path.write_text(good.replace("selfcheck", "robot"))
    (problem,) = (await peer.ask(Reload())).problems
    assert "profiles.kiosk.kind" in problem


async def test_every_configured_terminal_is_listed(gateway, peer):
    kiosk = await gateway.terminal("kiosk-1")
    await kiosk.ask(ask_23("1001"))
    gateway.clock.advance(60)
    connected, missing = state_of(peer, "kiosk-1"), state_of(peer, "door-nowhere")
    assert (connected.connected, connected.lines, connected.requests) == (True, 1, 2)
    assert (connected.profile, connected.branch) == ("kiosk", "MAIN")
    assert connected.address == "127.0.0.1"
    assert connected.since == NOON.isoformat(timespec="milliseconds")
    assert connected.last_message == connected.since
    assert (missing.connected, missing.lines, missing.requests) == (False, 0, 0)
    assert (missing.branch, missing.address, missing.since, missing.last_message) == (None,) * 4
    assert [one.name for one in peer.ask(ListTerminals()).terminals] == list(
        gateway.app.site.by_name
    )


async def test_of_several_lines_the_newest_is_listed(tmp_path):
    config = CONFIG.replace("[terminals.kiosk-1]", "[terminals.kiosk-1]\nmax_connections = 2")
    async with running(tmp_path, config=config) as gateway:
        await (await gateway.terminal("kiosk-1")).ask("9900302.00")
        gateway.clock.advance(60)
        await gateway.terminal("kiosk-1")
        state = state_of(Peer(gateway), "kiosk-1")
        assert (state.lines, state.requests) == (2, 1)
        assert state.since == state.last_message


async def test_a_terminal_is_disconnected_and_comes_again(gateway, peer):
    kiosk = await gateway.terminal("kiosk-1")
    assert peer.ask(Kick("kiosk-1")) == Kicked(1)
    assert await kiosk.ended()
    assert await (await gateway.terminal("kiosk-1")).ask("9900302.00")
    (kicked,) = [line for line in gateway.logged() if line["event"] == "terminal_kicked"]
    assert (kicked["terminal"], kicked["lines"], kicked["uid"]) == ("kiosk-1", 1, 1000)


async def test_the_request_that_is_running_is_answered_first(gateway, peer, monkeypatch):
    verified = threading.Event()
    monkeypatch.setattr("sip2gw.authentication.pins.verify_pin", lambda *_: verified.wait(HANGS_S))
    door = await gateway.terminal("door-1")
    await door.send(ask_23("1001", "1001"))  # the PIN is verified in a thread
    await until(lambda: gateway.app.server.lines_of("door-1")[0].busy)
    assert peer.ask(Kick("door-1")) == Kicked(1)
    verified.set()
    assert (await door.read()).startswith("24 ")
    assert await door.ended()


@pytest.mark.parametrize("ask", [Kick, Trace])
async def test_a_terminal_that_does_not_exist(gateway, peer, ask):
    assert "no terminal of that name" in peer.ask(ask("nobody")).problem


async def test_one_that_is_not_connected_cannot_be_disconnected(peer):
    assert peer.ask(Kick("kiosk-1")) == Refused("the terminal is not connected")


async def test_a_terminal_is_known_by_its_login_too(tmp_path):
    config = CONFIG.replace("[terminals.kiosk-1]", '[terminals.kiosk-1]\nlogin = "K1"')
    async with running(tmp_path, config=config) as gateway:
        assert Peer(gateway).ask(Trace("K1")) == TraceBegan("kiosk-1", 0)


async def test_draining_is_told_at_its_end(gateway, peer):
    begun = peer.ask(Drain())
    assert isinstance(begun, Draining)
    assert begun.within_s > gateway.app.config.server.drain_timeout_s
    assert (await peer.ask(Reload())).problems == ["the gateway is stopping"]
    gone = Peer(gateway)
    gone.ask(Drain())
    gone.leave()
    gateway.app.operators.say_goodbye(["store"])
    assert peer.told == [Drained(["store"])]
    assert gone.told == []


# Traces ------------------------------------------------------------------------------------


async def test_a_trace_shows_both_sides_without_secrets(gateway, peer):
    kiosk = await gateway.terminal("kiosk-1")
    assert peer.ask(Trace("kiosk-1")) == TraceBegan("kiosk-1", 1)
    asked = ask_63("1001", "s3cret-pin", extra="COp4ss|CNl0gin|")
    await kiosk.ask(seal(asked.encode(), b"3", with_checksum=True) + b"\r")
    await kiosk.ask("9300CNkiosk-1|COwr0ng|CPs3cret-place|")
    assert peer.shown()[:2] == [
        ("received", "63 Patron information"),
        ("sent", "64 Patron information response"),
    ]
    told = json.dumps([event.shown for event in peer.told])
    for secret in ("s3cret-pin", "p4ss", "l0gin", "wr0ng", '"1001'):
        assert secret not in told
    assert "AD patron password: ***" in told
    assert "AZ checksum: *** (right)" in told  # it would tell the sum of the PIN's digits
    assert "AA patron identifier: 1001" in told


async def test_a_trace_shows_what_gets_no_usual_answer(gateway, peer):
    kiosk = await gateway.terminal("kiosk-1")
    peer.ask(Trace("kiosk-1"))
    for text in ("9900302.00AY1AZ0000", "97", "23short"):
        await kiosk.ask(text)
    await kiosk.send("ZZ unknown")
    await kiosk.ask("9900302.00")
    assert [what for what, *_ in peer.shown()] == [
        *("received", "sent") * 3,
        *("received", "received", "sent"),
    ]


async def test_a_trace_waits_for_a_terminal_and_says_when_it_goes(gateway, peer):
    assert peer.ask(Trace("kiosk-1")) == TraceBegan("kiosk-1", 0)
    kiosk = await gateway.terminal("kiosk-1")
    kiosk.close()
    await until(lambda: not gateway.app.server.lines_of("kiosk-1"))
    assert peer.shown() == [
        ("connected", "127.0.0.1"),
        ("sent", "94 Login response"),
        ("disconnected",),
    ]


async def test_a_trace_ends_by_itself_after_so_many_messages(gateway, peer):
    kiosk = await gateway.terminal("kiosk-1")
    peer.ask(Trace("kiosk-1", frames=3))
    for _ in range(3):
        await kiosk.ask("9900302.00")
    assert [what for what, *_ in peer.shown()] == ["received", "sent", "received"]
    assert peer.told[-1] == TraceEnded("frames", 0)
    assert gateway.app.server._watchers == {}


async def test_and_after_its_time(gateway, peer):
    peer.ask(Trace("kiosk-1", seconds=0.01))
    await until(lambda: peer.told)
    assert peer.told == [TraceEnded("seconds", 0)]


async def test_and_when_whoever_asked_has_gone(gateway, peer):
    kiosk = await gateway.terminal("kiosk-1")
    peer.ask(Trace("kiosk-1"))
    peer.leave()
    await kiosk.ask("9900302.00")
    assert peer.told == []
    assert [line["event"] for line in gateway.logged() if "trace" in line["event"]] == [
        "trace_began",
        "trace_ended",
    ]


async def test_and_when_the_gateway_ends(gateway, peer):
    peer.ask(Trace("kiosk-1"))
    gateway.app.operators.say_goodbye([])
    assert peer.told == [TraceEnded("stopping", 0)]


async def test_who_reads_slowly_is_told_how_much_is_missing(gateway, peer):
    kiosk = await gateway.terminal("kiosk-1")
    peer.ask(Trace("kiosk-1", frames=2))
    peer.ready = False
    await kiosk.ask("9900302.00")
    peer.ready = True
    await kiosk.ask("9900302.00")
    assert [event.missed for event in peer.told if isinstance(event, TraceEvent)] == [2, 0]
    assert peer.told[-1] == TraceEnded("frames", 2)


async def test_a_flood_is_shown_in_part(gateway, peer, monkeypatch):
    monkeypatch.setattr(tracing, "FRAMES_PER_SECOND_MAX", 3)
    kiosk = await gateway.terminal("kiosk-1")
    peer.ask(Trace("kiosk-1"))
    for _ in range(10):
        await kiosk.ask("9900302.00")
    gateway.clock.advance(1)
    await kiosk.ask("9900302.00")
    assert [event.missed for event in peer.told] == [0, 0, 0, 17, 0]


async def test_so_many_traces_run_at_a_time(gateway, monkeypatch):
    monkeypatch.setattr(operations, "TRACES_MAX", 2)
    first, second, third = (Peer(gateway) for _ in range(3))
    assert isinstance(first.ask(Trace("kiosk-1")), TraceBegan)
    assert "already has a trace" in first.ask(Trace("pay-1")).problem
    assert isinstance(second.ask(Trace("kiosk-1")), TraceBegan)
    assert "2 traces are already running" in third.ask(Trace("kiosk-1")).problem
    first.leave()
    assert isinstance(third.ask(Trace("kiosk-1")), TraceBegan)


@pytest.mark.parametrize(
    "asked", [{"seconds": 0}, {"seconds": 3601}, {"frames": 0}, {"frames": 10_001}]
)
async def test_no_trace_is_for_ever(peer, asked):
    assert isinstance(peer.ask(Trace("kiosk-1", **asked)), Refused)


async def test_but_it_may_be_as_long_as_is_said(peer):
    assert isinstance(peer.ask(Trace("kiosk-1", seconds=3600, frames=10_000)), TraceBegan)


async def test_a_terminal_that_logs_in_anew_is_another_one_from_then_on(gateway, peer):
    line = await gateway.terminal("kiosk-1")
    peer.ask(Trace("kiosk-1"))
    await line.ask("9300CNpay-1|COpw|")
    await line.ask("9900302.00")
    assert peer.shown() == [("received", "93 Login"), ("disconnected",)]


# The library system behind it --------------------------------------------------------------------


async def test_c157_without_a_library_system_there_is_a_sentence(peer):
    assert peer.ask(UpstreamStatus()) == Refused(
        'there is no library system behind this gateway: backend.kind is "store"'
    )


async def test_c157_the_accounts_are_those_of_the_library_system(gateway, peer):
    class Library:
        def states(self):
            return (AccountState("default", "up", 2, 1, 0, "closed", 3.5),)

    gateway.app.library = Library()
    answer = peer.ask(UpstreamStatus())
    assert answer == UpstreamAccounts([AccountState("default", "up", 2, 1, 0, "closed", 3.5)])
    assert read_answer(encode(answer).rstrip()) == answer
