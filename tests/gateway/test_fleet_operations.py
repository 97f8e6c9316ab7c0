"""What operators ask, all workers answer as one gateway (B86, B87)."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fleets import House
from harness import CONFIG
from msgspec.structs import replace

from sip2gw.backend.base import Capability
from sip2gw.config import load_config
from sip2gw.config.passing import unpack
from sip2gw.control.messages import (
    Alive,
    Drain,
    Drained,
    Draining,
    FollowedUp,
    FollowUp,
    Kick,
    Kicked,
    ListTerminals,
    Numbers,
    Ping,
    ReadConfiguration,
    ReadNumbers,
    Refused,
    Terminals,
    TerminalState,
    Trace,
    TraceBegan,
    TraceEnded,
    TraceEvent,
    UpstreamStatus,
)
from sip2gw.control.operations import TRACES_MAX
from sip2gw.daemon.fleet import member as member_module
from sip2gw.daemon.fleet.operations import FleetOperations
from sip2gw.monitoring.metrics import FamilyMaker, Metrics
from sip2gw.serving.site import build_site


class Desk:
    """What carries out requests at a worker."""

    def __init__(self):
        self.metrics = Metrics()
        self.terminals = []
        self.kicked = 0
        self.peer: Any = None
        """Who traces here."""
        self.traced = None
        self.forgotten = []
        self.silent = False

    def answer(self, request, peer):
        if self.silent:
            return asyncio.get_running_loop().create_future()
        match request:
            case ReadNumbers():
                return Numbers(1, FamilyMaker(self.metrics).families())
            case ListTerminals():
                return Terminals(self.terminals)
            case Kick():
                return Kicked(self.kicked) if self.kicked else Refused("not here")
            case Trace():
                self.peer, self.traced = peer, request
                return TraceBegan(request.terminal, 1)
            case FollowUp():
                return FollowedUp()
        raise AssertionError(request)

    def forget(self, peer):
        self.forgotten.append(peer)

    def shows(self, text, what="received", missed=0):
        """Something happens on a traced line."""
        self.peer.tell(TraceEvent("now", 1, what, [text], missed))


class Peer:
    """An operator."""

    uid, pid = 1000, 1

    def __init__(self, operations):
        self._operations = operations
        self.told, self.ready = [], True

    def tell(self, answer):
        self.told.append(answer)

    async def ask(self, request):
        """Its first answer, told as `ControlLine` tells it."""
        answer = self._operations.answer(request, self)
        if isinstance(answer, asyncio.Future):
            told = asyncio.Event()

            def tell(done):
                self.tell(done.result())
                told.set()

            answer.add_done_callback(tell)
            await told.wait()
            return answer.result()
        return answer

    @property
    def shown(self):
        return [one.shown[0] for one in self.told if isinstance(one, TraceEvent)]


@pytest.fixture
async def fleet(tmp_path):
    """Two workers, each with a `Desk`."""
    path = tmp_path / "sip2gw.toml"
    path.write_text(CONFIG)
    config = load_config(path)
    house = House(
        replace(config, server=config.server.model_copy(update={"workers": 2})),
    )
    gateway = SimpleNamespace(
        site=build_site(config, frozenset(Capability)),
        drain=lambda: 25.0,
        config_file="here",
        reloads=0,
    )
    noted = []
    operations = FleetOperations(
        gateway, house.team, house.metrics, lambda event, **more: noted.append((event, more))
    )
    house.team._joined = operations.joined
    desks = [Desk(), Desk()]
    house.team.begin([0, 1])
    for number, desk in enumerate(desks):
        await house.until(lambda number=number: number in house.workers)
        await house.workers[number].operate(desk)
    await house.until(lambda: all(one.serving for one in house.team.members))
    yield SimpleNamespace(
        house=house,
        gateway=gateway,
        operations=operations,
        desks=desks,
        noted=noted,
        peer=Peer(operations),
    )
    operations.end_traces()
    await house.close()


def state(name, **known):
    nothing = {"lines": 0, "address": None, "since": None, "requests": 0, "last_message": None}
    told = {**nothing, **known}
    return TerminalState(name, "kiosk", "MAIN", told["lines"] > 0, **told)


async def test_it_is_ready_when_the_store_works_for_any_that_takes_its_turns(fleet):
    assert await fleet.peer.ask(Ping()) == Alive(ready=True)
    first, second = fleet.house.team.members
    first.store_works = False
    assert await fleet.peer.ask(Ping()) == Alive(ready=True)
    second.serving = False
    assert await fleet.peer.ask(Ping()) == Alive(ready=False)


async def test_the_process_for_http_learns_of_each_reload(fleet):
    fleet.gateway.reloads = 2
    assert await fleet.peer.ask(Ping()) == Alive(ready=True, reloads=2)
    told = await fleet.peer.ask(ReadConfiguration())
    assert told.reloads == 2
    assert unpack(told.packed) == fleet.gateway.site.config


async def test_there_is_one_page_on_which_no_counter_goes_back(fleet):
    for desk, times in zip(fleet.desks, (3, 4), strict=True):
        desk.metrics.unknown_fields = times
    fleet.house.metrics.unknown_fields = 1

    async def unknown_fields():
        numbers = await fleet.peer.ask(ReadNumbers())
        (family,) = [one for one in numbers.families if one.name == "sip2gw_unknown_fields"]
        ((_, _, value),) = family.samples
        return value

    assert await unknown_fields() == 8
    fleet.desks[0].silent = True
    fleet.desks[1].metrics.unknown_fields = 5
    member_module.ANSWER_WITHIN_S, before = 0.01, member_module.ANSWER_WITHIN_S
    try:
        assert await unknown_fields() == 9  # of the silent one what it said last
    finally:
        member_module.ANSWER_WITHIN_S = before
    ended = fleet.house.workers[0]
    ended.end(-9)
    await fleet.house.until(lambda: fleet.house.workers[0] is not ended)
    assert await unknown_fields() == 9


async def test_a_terminal_is_listed_once_with_its_newest_line(fleet):
    one, other = fleet.desks
    one.terminals = [
        state("pay-1"),
        state("kiosk-1", lines=1, address="A", since="2026-10-25T02:59:00+02:00", requests=3,
              last_message="2026-10-25T02:59:30+02:00"),
    ]  # fmt: skip
    other.terminals = [
        state("pay-1", lines=1, address="C", since="2026-10-25T02:59:00+02:00", requests=1),
        state("kiosk-1", lines=2, address="B", since="2026-10-25T02:10:00+01:00", requests=4,
              last_message="2026-10-25T02:10:30+01:00"),
    ]  # fmt: skip
    answer = await fleet.peer.ask(ListTerminals())
    assert [terminal.name for terminal in answer.terminals] == ["kiosk-1", "pay-1"]
    kiosk, pay = answer.terminals
    # The clock was put back in between: 2:10 was after 2:59.
    assert (kiosk.address, kiosk.since) == ("B", "2026-10-25T02:10:00+01:00")
    assert (kiosk.lines, kiosk.requests, kiosk.connected) == (3, 4, True)
    assert kiosk.last_message == "2026-10-25T02:10:30+01:00"
    assert (pay.lines, pay.connected, pay.address, pay.requests) == (1, True, "C", 1)


async def test_a_terminal_is_disconnected_wherever_it_is(fleet):
    assert "not connected" in (await fleet.peer.ask(Kick("kiosk-1"))).problem
    assert "no terminal of that name" in (await fleet.peer.ask(Kick("nobody"))).problem
    fleet.desks[0].kicked, fleet.desks[1].kicked = 1, 2
    assert await fleet.peer.ask(Kick("kiosk-1")) == Kicked(3)
    assert fleet.noted == [("terminal_kicked", {"terminal": "kiosk-1", "lines": 3, "uid": 1000})]


async def test_what_takes_long_is_asked_of_one_that_serves(fleet):
    assert await fleet.peer.ask(FollowUp()) == FollowedUp()
    fleet.house.team.members[0].serving = False
    assert await fleet.peer.ask(FollowUp()) == FollowedUp()
    fleet.house.team.members[1].serving = False
    assert "no worker serves" in (await fleet.peer.ask(FollowUp())).problem
    assert "no worker serves" in (await fleet.peer.ask(ListTerminals())).problem
    assert "no library system" in (await fleet.peer.ask(UpstreamStatus())).problem


async def test_whoever_drains_hears_of_the_end(fleet):
    assert await fleet.peer.ask(Drain()) == Draining(25.0)
    gone = Peer(fleet.operations)
    await gone.ask(Drain())
    fleet.operations.forget(gone)
    fleet.operations.finish(["worker 1"])
    assert fleet.peer.told == [Drained(["worker 1"])]
    assert gone.told == []


# Traces ------------------------------------------------------------------------------------


async def test_a_trace_shows_what_all_workers_have_and_ends_once(fleet):
    one, other = fleet.desks
    assert await fleet.peer.ask(Trace("kiosk-1", frames=3)) == TraceBegan("kiosk-1", 2)
    one.shows("first")
    await fleet.house.until(lambda: len(fleet.peer.shown) == 1)
    other.shows("from B", "connected")
    await fleet.house.until(lambda: len(fleet.peer.shown) == 2)
    other.shows("second", missed=2)
    await fleet.house.until(lambda: len(fleet.peer.shown) == 3)
    one.shows("third", "sent")
    one.shows("fourth")
    await fleet.house.until(lambda: isinstance(fleet.peer.told[-1], TraceEnded))
    assert fleet.peer.shown == ["first", "from B", "second", "third"]
    assert isinstance(fleet.peer.told[0], TraceBegan)
    assert fleet.peer.told[-1] == TraceEnded("frames", 2)
    await fleet.house.until(lambda: one.forgotten and other.forgotten)
    assert [event for event, _ in fleet.noted] == ["trace_began", "trace_ended"]


async def test_what_happens_at_once_is_shown_after_the_beginning(fleet):
    one, other = fleet.desks
    begun = other.answer

    def begins(request, peer):
        answer = begun(request, peer)
        if isinstance(request, Trace):
            asyncio.get_running_loop().call_soon(other.shows, "early")
        return answer

    other.answer = begins
    # The first worker takes its time, so the peer hears later.
    slow, first = asyncio.get_running_loop().create_future(), one.answer
    one.answer = lambda request, peer: slow if first(request, peer) else None
    asking = asyncio.ensure_future(fleet.peer.ask(Trace("kiosk-1")))
    await fleet.house.until(lambda: other.peer is not None and one.peer is not None)
    await asyncio.sleep(0.01)
    assert fleet.peer.told == []
    slow.set_result(TraceBegan("kiosk-1", 1))
    await asking
    await fleet.house.until(lambda: fleet.peer.shown == ["early"])
    assert isinstance(fleet.peer.told[0], TraceBegan)


async def test_a_peer_that_does_not_read_misses_frames_and_is_told_how_many(fleet):
    one, _ = fleet.desks
    await fleet.peer.ask(Trace("kiosk-1"))
    fleet.peer.ready = False
    one.shows("lost")
    one.shows("lost, too", missed=1)
    one.shows("the end of a line", "disconnected")
    (trace,) = fleet.operations._traces
    await fleet.house.until(lambda: trace._missed == 3)
    fleet.peer.ready = True
    one.shows("seen")
    await fleet.house.until(lambda: fleet.peer.shown == ["seen"])
    assert fleet.peer.told[-1].missed == 3


async def test_a_trace_ends_with_its_time_for_all(fleet):
    await fleet.peer.ask(Trace("kiosk-1", seconds=0.01))
    await fleet.house.until(lambda: isinstance(fleet.peer.told[-1], TraceEnded))
    assert fleet.peer.told[-1] == TraceEnded("seconds", 0)


async def test_a_trace_ends_here_before_it_ends_at_a_worker(fleet):
    await fleet.peer.ask(Trace("kiosk-1", seconds=60))
    assert 60 < fleet.desks[0].traced.seconds < 61.5


async def test_a_trace_whose_time_ends_before_its_workers_have_answered_begins_first(fleet):
    one, other = fleet.desks
    slow, first = asyncio.get_running_loop().create_future(), one.answer
    one.answer = lambda request, peer: slow if first(request, peer) else None
    asking = asyncio.ensure_future(fleet.peer.ask(Trace("kiosk-1")))
    await fleet.house.until(lambda: other.peer is not None and one.peer is not None)
    other.shows("early")
    (trace,) = fleet.operations._traces
    await fleet.house.until(lambda: len(trace._early) == 1)
    trace.end("seconds")  # as its timer does
    assert fleet.peer.told == []
    slow.set_result(TraceBegan("kiosk-1", 1))
    await asking
    await fleet.house.until(lambda: not fleet.operations._traces)
    began, early, ended = fleet.peer.told
    assert isinstance(began, TraceBegan)
    assert early.shown == ["early"]
    assert ended == TraceEnded("seconds", 0)


async def test_a_worker_that_comes_later_takes_part(fleet):
    await fleet.peer.ask(Trace("kiosk-1", frames=50))
    ended, desk = fleet.house.workers[1], Desk()
    ended.end(-9)
    await fleet.house.until(lambda: fleet.house.workers[1] is not ended)
    await fleet.house.workers[1].operate(desk)
    await fleet.house.until(lambda: desk.peer is not None)
    desk.shows("from the new one")
    await fleet.house.until(lambda: fleet.peer.shown == ["from the new one"])


async def test_a_trace_of_a_peer_that_has_gone_ends_everywhere(fleet):
    await fleet.peer.ask(Trace("kiosk-1"))
    fleet.operations.forget(fleet.peer)
    await fleet.house.until(lambda: all(desk.forgotten for desk in fleet.desks))
    assert not any(isinstance(one, TraceEnded) for one in fleet.peer.told)


async def test_traces_have_the_limits_of_one_gateway(fleet):
    for wrong in (Trace("nobody"), Trace("kiosk-1", seconds=0), Trace("kiosk-1", frames=0)):
        assert isinstance(await fleet.peer.ask(wrong), Refused)
    peers = [Peer(fleet.operations) for _ in range(TRACES_MAX)]
    for peer in peers:
        await peer.ask(Trace("kiosk-1"))
    assert "already running" in (await fleet.peer.ask(Trace("kiosk-1"))).problem
    fleet.operations.forget(peers.pop())
    assert "already has a trace" in (await peers[0].ask(Trace("kiosk-1"))).problem
    fleet.operations.end_traces()
    assert all(peer.told[-1] == TraceEnded("stopping", 0) for peer in peers)
