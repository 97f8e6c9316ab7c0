"""The control socket in the loop: whatever peers do, terminals are served (B68, C130)."""

import asyncio
import gc
import os
import socket
import threading
import time
from contextlib import suppress

import pytest
import pytest_asyncio

from sip2gw.config.passing import unpack
from sip2gw.control import server
from sip2gw.control.channel import Channel, GatewayGoneError, Shared
from sip2gw.control.client import Control, NoGatewayError, RefusedError
from sip2gw.control.messages import (
    REQUEST_BYTES_MAX,
    Alive,
    Drain,
    Drained,
    Draining,
    Kick,
    Lend,
    Numbers,
    Ping,
    ReadConfiguration,
    ReadNumbers,
    Refused,
    Reload,
    Trace,
    TraceBegan,
    TraceEnded,
    TraceEvent,
    encode,
    read_answer,
)
from sip2gw.foundation.unix_socket import Place

STATUS = "9900302.00"


@pytest_asyncio.fixture
async def place(gateway):
    """Where the gateway's socket is."""
    path = gateway.app.config.socket_path
    assert await gateway.app.operators.open_socket(path) == str(path)
    return path


async def connect(place):
    return await asyncio.open_unix_connection(str(place), limit=1 << 24)


async def answers(reader):
    """All that it is told until it is hung up on."""
    async with asyncio.timeout(60):
        return [read_answer(line) for line in (await reader.read()).splitlines()]


async def answer(reader):
    async with asyncio.timeout(60):
        return read_answer(await reader.readline())


async def test_requests_are_answered_in_order(place):
    reader, writer = await connect(place)
    writer.write(encode(Ping()) + encode(Kick("nobody")) + b"junk\n" + encode(ReadNumbers()))
    told = [type(await answer(reader)).__name__ for _ in range(4)]
    assert told == ["Alive", "Refused", "Refused", "Numbers"]
    writer.close()


async def test_a_request_may_come_in_pieces(place):
    reader, writer = await connect(place)
    for byte in encode(Ping()):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert await answer(reader) == Alive(ready=True)
    writer.close()


async def test_a_request_without_end_is_not_kept(place):
    reader, writer = await connect(place)
    writer.write(b"x" * (REQUEST_BYTES_MAX + 1))
    (refused,) = await answers(reader)
    assert "at most 4096 bytes" in refused.problem
    writer.close()


async def test_so_many_are_served_and_the_next_one_is_told(place, gateway):
    peers = [await connect(place) for _ in range(server.PEERS_MAX)]
    for reader, writer in peers:
        writer.write(encode(Ping()))
        await answer(reader)
    reader, writer = await connect(place)
    (refused,) = await answers(reader)
    assert "too many" in refused.problem
    for _, peer in (*peers, (reader, writer)):
        peer.close()
    control = gateway.app.operators._control
    async with asyncio.timeout(60):
        while control.lines:  # noqa: ASYNC110 -- they go
            await asyncio.sleep(0.001)


async def test_who_is_silent_is_hung_up_on(place, monkeypatch):
    monkeypatch.setattr(server, "SILENT_MAX_S", 0.05)
    reader, writer = await connect(place)
    assert await answers(reader) == []
    writer.close()


async def test_whoever_asks_has_its_time_again(place, gateway):
    reader, writer = await connect(place)
    writer.write(encode(Ping()))
    await answer(reader)
    (line,) = gateway.app.operators._control.lines
    before = line._timer.when()
    await asyncio.sleep(0.01)
    writer.write(encode(Ping()))
    await answer(reader)
    assert line._timer.when() > before
    writer.close()


async def test_after_a_trace_who_is_silent_is_hung_up_on(place, monkeypatch):
    monkeypatch.setattr(server, "SILENT_MAX_S", 0.05)
    reader, writer = await connect(place)
    writer.write(encode(Trace("kiosk-1", seconds=0.2)))  # meanwhile it may wait
    assert [type(one) for one in await answers(reader)] == [TraceBegan, TraceEnded]
    writer.close()


async def test_who_traces_and_does_not_read_is_hung_up_on(place, gateway, monkeypatch):
    monkeypatch.setattr(server, "SILENT_MAX_S", 0.05)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(place))
        deaf.sendall(encode(Trace("kiosk-1")))
        async with asyncio.timeout(60):
            while not (lines := gateway.app.operators._control.lines):  # noqa: ASYNC110 -- it comes
                await asyncio.sleep(0.001)
            (line,) = lines
            while line.ready:
                line.tell(TraceEvent("", 1, "sent", ["x" * 100_000]))
            await line.ended


async def test_who_asks_and_does_not_read_costs_no_more_than_a_few_answers(
    place, gateway, monkeypatch
):
    monkeypatch.setattr(server, "SILENT_MAX_S", 0.3)
    gateway.metrics.configure({f"t{n}": "kiosk" for n in range(5_000)}, [], "EUR", 2)
    kiosk = await gateway.terminal("kiosk-1")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setblocking(False)
        deaf.connect(str(place))
        with suppress(BlockingIOError):
            while True:
                deaf.send(encode(ReadNumbers()) * 100)
        assert (await kiosk.ask(STATUS)).startswith("98Y")
        (line,) = gateway.app.operators._control.lines
        largest = 0
        async with asyncio.timeout(60):
            while line._transport is not None:
                largest = max(largest, line._transport.get_write_buffer_size())
                await asyncio.sleep(0.01)
    one = gateway.app.operators._operations.answer(ReadNumbers(), line)
    assert 0 < largest <= server.WRITE_BYTES_MAX + len(encode(one))


async def test_a_flood_of_requests_gives_terminals_their_turns(place, gateway):
    kiosk = await gateway.terminal("kiosk-1")
    reader, writer = await connect(place)
    writer.write(encode(Ping()) * 5_000)
    assert (await kiosk.ask(STATUS)).startswith("98Y")
    assert not writer.is_closing()
    read = 0
    async with asyncio.timeout(20):
        while read < 5_000:
            read += (await reader.readline()).endswith(b"\n")
    writer.close()


async def test_sockets_do_not_overtake_answers_that_are_still_on_their_way(place, gateway):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(place))
        peer.sendall(encode(Ping()))
        control = gateway.app.operators._control
        async with asyncio.timeout(60):
            while not control.lines:  # noqa: ASYNC110 -- it comes
                await asyncio.sleep(0.001)
            (line,) = control.lines
            while not line._transport.get_write_buffer_size():
                line.tell(TraceEvent("", 1, "sent", ["x" * 10_000]))
            peer.sendall(encode(Lend(gateway.app.config_file)))
            await asyncio.sleep(0.05)
            said = b""
            while not said.endswith(b'first"}\n'):
                said += await asyncio.to_thread(peer.recv, 1 << 20)
    assert read_answer(said.splitlines()[-1]) == Refused("read the earlier answers first")


async def test_the_process_of_another_user_is_refused(place, monkeypatch):
    monkeypatch.setattr(server, "_owner_of", lambda line: (1, os.geteuid() + 1))
    reader, writer = await connect(place)
    (refused,) = await answers(reader)
    assert "only the gateway's own user" in refused.problem
    writer.close()


@pytest.mark.parametrize(("uid", "may"), [(1000, True), (0, True), (1001, False)])
async def test_the_own_user_and_root_are_served(gateway, monkeypatch, uid, may):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (gateway.app.operators._control.obstacle(uid) == "") is may


def test_whose_process_it_is():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert server._owner_of(ours) == (os.getpid(), os.geteuid())


async def test_a_socket_that_cannot_be_made_is_told_and_terminals_are_served(gateway, tmp_path):
    assert await gateway.app.operators.open_socket(tmp_path / "missing" / "x.control") == ""
    kiosk = await gateway.terminal("kiosk-1")
    assert (await kiosk.ask(STATUS)).startswith("98Y")
    (failed,) = [line for line in gateway.logged() if line["event"] == "control_socket_failed"]
    assert failed["problem"].endswith("x.control: No such file or directory")


async def test_a_fault_of_ours_is_answered_and_told(place, gateway, monkeypatch):
    told = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    monkeypatch.setattr(gateway.app, "reload", lambda: 1 / 0)
    reader, writer = await connect(place)
    writer.write(encode(Reload()) + encode(Ping()))
    assert "look in its log" in (await answer(reader)).problem
    assert await answer(reader) == Alive(ready=True)
    assert [type(error) for error in told] == [ZeroDivisionError]
    writer.close()


async def test_one_that_has_been_removed_is_made_again(place, gateway):
    await gateway.app.operators.look()  # nothing is missing
    place.unlink()
    await gateway.app.operators.look()
    reader, writer = await connect(place)
    writer.write(encode(Ping()))
    assert await answer(reader) == Alive(ready=True)
    writer.close()
    opened = [line for line in gateway.logged() if line["event"] == "control_socket_opened"]
    assert [line["path"] for line in opened] == [str(place)]


async def test_one_that_another_gateway_had_is_ours_as_soon_as_that_has_gone(gateway):
    path = gateway.app.config.socket_path
    await gateway.app.operators.look()  # it has not been asked to have one
    with Place(path).open():
        for _ in range(3):
            assert await gateway.app.operators.open_socket(path) == ""
    await gateway.app.operators.look()
    assert await gateway.app.operators._control.is_reachable()
    told = [line["event"] for line in gateway.logged() if line["event"].startswith("control_")]
    assert told == ["control_socket_failed", "control_socket_opened"]


async def test_at_the_end_it_is_gone(place, gateway):
    reader, writer = await connect(place)
    writer.write(encode(Ping()))
    await answer(reader)
    await gateway.app.operators.close_socket()
    assert await answers(reader) == []
    assert not place.exists()
    writer.close()


# The client of the commands -----------------------------------------------------------------


async def test_a_command_asks(place):
    def ask():
        with Control(place) as control:
            return control.ask(Ping(), 10)

    assert await asyncio.to_thread(ask) == Alive(ready=True)


async def test_a_command_is_told_why_not(place):
    def ask():
        with Control(place) as control, pytest.raises(RefusedError, match="no terminal"):
            control.ask(Kick("nobody"), 10)

    await asyncio.to_thread(ask)


async def test_a_command_watches_a_terminal_and_ends_with_the_gateway(place, gateway):
    kiosk = await gateway.terminal("kiosk-1")

    def watch():
        with Control(place) as control:
            yield control.ask(Trace("kiosk-1", frames=2), 10)
            yield from control.answers(10)

    watching = watch()
    assert isinstance(await asyncio.to_thread(next, watching), TraceBegan)
    await kiosk.ask(STATUS)
    told = [await asyncio.to_thread(next, watching) for _ in range(3)]
    assert [type(one) for one in told] == [TraceEvent, TraceEvent, TraceEnded]
    await gateway.app.operators.close_socket()
    assert await asyncio.to_thread(next, watching, None) is None


async def test_a_command_that_drains_is_told_what_was_given_up(place, gateway):
    def drain():
        with Control(place) as control, control.watching_its_end() as process:
            assert not process.has_ended(0)  # it is this one
            yield control.ask(Drain(), 10)
            yield control.next_answer(10)
            yield control.next_answer(10)

    draining = drain()
    assert isinstance(await asyncio.to_thread(next, draining), Draining)
    gateway.app.operators.say_goodbye(["requests"])
    await gateway.app.operators.close_socket()
    assert await asyncio.to_thread(next, draining) == Drained(["requests"])
    assert await asyncio.to_thread(next, draining) is None
    await asyncio.to_thread(next, draining, None)


def test_nobody_answers(tmp_path):
    with pytest.raises(NoGatewayError, match=r"no gateway answers at .*No such file"):
        Control(tmp_path / "x.control")


@pytest.mark.parametrize(
    ("said", "told"),
    [(b"", "ended before"), (b"hello\n", "another version"), (None, "within 0.05 s")],
)
def test_a_gateway_that_answers_oddly(tmp_path, said, told):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "x"))
        listener.listen()
        with Control(tmp_path / "x") as control:
            odd, _ = listener.accept()
            with odd:
                if said is not None:
                    odd.sendall(said)
                    odd.shutdown(socket.SHUT_WR)
                with pytest.raises(NoGatewayError, match=told):
                    control.ask(Ping(), 0.05)


def test_why_it_hung_up_is_told_though_nothing_can_be_asked(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "x"))
        listener.listen()
        with Control(tmp_path / "x") as control:
            odd, _ = listener.accept()
            odd.sendall(encode(Refused("too many")))
            odd.close()
            with pytest.raises(RefusedError, match="too many"):
                control.ask(Ping(), 5)


def test_a_gateway_that_answers_byte_by_byte_has_no_more_time(tmp_path):
    def drip(line):
        with line, suppress(OSError):
            for _ in range(100):
                line.sendall(b" ")
                time.sleep(0.02)
            line.sendall(encode(Alive(ready=True)))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "x"))
        listener.listen()
        with Control(tmp_path / "x") as control:
            dripping = threading.Thread(target=drip, args=[listener.accept()[0]])
            dripping.start()
            with pytest.raises(NoGatewayError, match=r"within 0\.2 s"):
                control.ask(Ping(), 0.2)
        dripping.join()


def test_a_gateway_that_resets_the_line_has_ended(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "x"))
        listener.listen()
        with Control(tmp_path / "x") as control:
            odd, _ = listener.accept()
            control._line.sendall(b"not read")
            odd.close()
            assert control.next_answer(5) is None


# The client with a loop ---------------------------------------------------------------------


async def channel_to(gateway):
    """A channel, as the process for HTTP has it."""
    ours, theirs = socket.socketpair()
    line = await gateway.app.operators._control.adopt(ours)
    _, channel = await asyncio.get_running_loop().create_unix_connection(Channel, sock=theirs)
    return line, channel


async def test_a_channel_gives_each_its_own_answer(gateway):
    _, channel = await channel_to(gateway)
    async with asyncio.timeout(60):
        numbers, alive = await asyncio.gather(channel.ask(ReadNumbers()), channel.ask(Ping()))
    assert isinstance(numbers, Numbers)
    assert numbers.pid == os.getpid()
    assert isinstance(alive, Alive)


async def test_whoever_has_left_does_not_take_the_answer_of_the_next(gateway):
    _, channel = await channel_to(gateway)
    gone = asyncio.ensure_future(channel.ask(ReadNumbers()))
    await asyncio.sleep(0)
    gone.cancel()
    async with asyncio.timeout(60):
        assert await channel.ask(Ping()) == Alive(ready=True)
    assert not channel.lost.done()


async def test_a_process_of_ours_may_be_silent(gateway, monkeypatch):
    monkeypatch.setattr(server, "SILENT_MAX_S", 0.02)
    _, channel = await channel_to(gateway)
    await asyncio.sleep(0.1)  # longer than anybody else
    assert await channel.ask(Ping()) == Alive(ready=True)


async def test_whoever_waits_hears_that_the_gateway_has_gone(gateway):
    line, channel = await channel_to(gateway)
    asking = asyncio.ensure_future(channel.ask(Ping()))
    await asyncio.sleep(0)
    line._transport.abort()
    with pytest.raises(GatewayGoneError):
        await asking
    await channel.lost
    with pytest.raises(GatewayGoneError):
        await channel.ask(Ping())


@pytest.mark.parametrize("said", [b"junk\n", encode(Alive(ready=True))])
async def test_what_nobody_asked_for_ends_a_channel(said):
    ours, theirs = socket.socketpair()
    _, channel = await asyncio.get_running_loop().create_unix_connection(Channel, sock=theirs)
    ours.sendall(said)
    async with asyncio.timeout(60):
        await channel.lost
    ours.close()


async def test_what_many_want_is_got_once():
    got, go_on = [], asyncio.Event()

    async def get():
        got.append(1)
        await go_on.wait()
        return len(got)

    shared = Shared(get, fresh_s=60)
    with pytest.raises(TimeoutError):
        await shared.within(0.01)
    waiting = asyncio.gather(*(shared.within(10) for _ in range(5)))
    go_on.set()
    assert await waiting == [1] * 5
    assert await shared.within(10) == 1  # it is fresh


async def test_what_failed_is_tried_again():
    tried = []

    async def fail():
        tried.append(1)
        raise GatewayGoneError

    shared = Shared(fail, fresh_s=60)
    for times in (1, 2):
        with pytest.raises(GatewayGoneError):
            await shared.within(10)
        assert len(tried) == times
    gc.collect()


async def test_only_our_own_process_gets_the_configuration_in_force(gateway, place):
    """It has all passwords; the file may say something else by now (C131)."""
    reader, writer = await connect(place)
    writer.write(encode(ReadConfiguration()))
    assert await answer(reader) == Refused("only the gateway's own processes get its configuration")
    writer.close()
    ours, theirs = socket.socketpair()
    line = await gateway.app.operators._control.adopt(ours)
    reader, writer = await asyncio.open_unix_connection(sock=theirs, limit=1 << 24)
    writer.write(encode(ReadConfiguration()))
    told = await answer(reader)
    assert told.reloads == 0
    assert unpack(told.packed) == gateway.app.site.config
    assert line.heard == 1
    writer.close()
