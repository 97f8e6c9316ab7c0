"""Who comes in: behind a proxy, by a Unix socket, and when no more can be accepted.  (B88, C132)

The proxy is this machine: its address is in `proxy_networks` unless a test says otherwise.
"""

import asyncio
import errno
import os
import socket
import stat
import struct
from contextlib import suppress

import pytest
from harness import CONFIG, Terminal, running, settled

from sip2gw.config import Listener, UnixAddress
from sip2gw.protocol.line.proxy import HEADER_BYTES_MAX
from sip2gw.serving.listeners import bind

LOGIN = "9300CNkiosk-1|COpw|"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BEHIND = "192.0.2.7"
NAMED = f"PROXY TCP4 {BEHIND} 10.0.0.1 40000 6001\r\n".encode()
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
BINARY = SIGNATURE + b"\x21\x11\x00\x14" + bytes((192, 0, 2, 7)) + bytes(8) + b"\x02\x00\x05kiosk"
"""Version 2 with a TLV behind the addresses."""


def with_server(*lines, config=CONFIG):
    """The harness's configuration with these keys in `[server]`."""
    known = [line.partition(" ")[0] for line in lines]
    kept = [line for line in config.splitlines() if line.partition(" ")[0] not in known]
    return "\n".join(kept).replace("[server]", "\n".join(["[server]", *lines]), 1) + "\n"


PROXIED = with_server('listen = [{ address = "127.0.0.1:0", proxy = true }]')


async def closed(line):
    """Whether the gateway hangs up without a word; a reset is no word."""
    with suppress(ConnectionError):
        return await line.ended()
    return True


def addresses(gateway):
    return [line.conversation.address for line in gateway.app.server._lines.values()]


@pytest.mark.parametrize("header", [NAMED, BINARY])
async def test_the_address_is_the_one_in_the_header(tmp_path, header):
    async with running(tmp_path, config=PROXIED) as gateway:
        kiosk = await gateway.connect()
        await kiosk.send(header + LOGIN.encode() + b"\r")  # all in one segment
        assert await kiosk.read() == "941"
        assert addresses(gateway) == [BEHIND]
        assert [line["address"] for line in gateway.logged() if line["event"] == "login"] == [
            BEHIND
        ]


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
async def test_a_header_that_names_nobody_stands_for_the_proxy(tmp_path, header):
    async with running(tmp_path, config=PROXIED) as gateway:
        kiosk = await gateway.connect()
        await kiosk.send(header)
        assert await kiosk.ask(LOGIN) == "941"
        assert addresses(gateway) == ["127.0.0.1"]


@pytest.mark.parametrize("header", [NAMED, BINARY, LOCAL])
async def test_a_header_may_come_byte_by_byte_and_the_loop_does_not_spin(tmp_path, header):
    async with running(tmp_path, config=PROXIED) as gateway:
        reads = 0
        read = gateway.app.acceptor._read_header

        def counted(waiting):
            nonlocal reads
            reads += 1
            read(waiting)

        gateway.app.acceptor._read_header = counted
        kiosk = await gateway.connect()
        for position in range(len(header) - 1):
            await kiosk.send(header[position : position + 1])
            for _ in range(3):
                await asyncio.sleep(0)
        await kiosk.send(header[-1:] + LOGIN.encode() + b"\r")
        assert await kiosk.read() == "941"
        assert reads <= len(header)


@pytest.mark.parametrize(
    "sent",
    [
        LOGIN.encode() + b"\r",  # a kiosk that speaks without a proxy
        b"PROXY TCP4 192.0.2.7\r\n" + LOGIN.encode() + b"\r",
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        b"\x16\x03\x01\x02\x00\x01" + bytes(600),  # TLS
        b"PROXY UNKNOWN " + b"x" * 200,
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(70_000),
    ],
)
async def test_without_a_header_nobody_is_heard(tmp_path, sent):
    async with running(tmp_path, config=PROXIED) as gateway:
        line = await gateway.connect()
        with suppress(ConnectionError):
            await line.send(sent)
        assert await closed(line)
        assert gateway.metrics.connections_refused == {"header": 1}
        assert gateway.app.state.doorkeeper._lines == 0
        (told,) = [line for line in gateway.logged() if line["event"] == "proxy_refused"]
        assert (told["address"], told["reason"]) == ("127.0.0.1", "header_wrong")


async def test_who_hangs_up_before_the_end_of_the_header_is_forgotten(tmp_path):
    async with running(tmp_path, config=PROXIED) as gateway:
        line = await gateway.connect()
        await line.send(NAMED[:20])
        line.close()
        await settled(lambda: gateway.metrics.connections_refused == {"header": 1})
        assert gateway.app.acceptor._behind == {}
        assert gateway.app.state.doorkeeper._lines == 0


async def test_a_reset_in_the_middle_of_a_header_frees_the_place(tmp_path):
    async with running(tmp_path, config=PROXIED) as gateway:
        acceptor = gateway.app.acceptor
        line = await gateway.connect()
        await line.send(NAMED[:20])
        await settled(lambda: any(one.read for one in acceptor._behind.values()))
        (waiting,) = acceptor._behind.values()
        acceptor._read_header(waiting)  # woken for nothing
        assert list(acceptor._behind.values()) == [waiting]
        sock = line.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
        await settled(lambda: not acceptor._behind)
        assert gateway.metrics.connections_refused == {"header": 1}
        assert gateway.app.state.doorkeeper._lines == 0


async def test_a_proxy_that_only_looks_whether_we_are_there_is_not_refused(tmp_path):
    async with running(tmp_path, config=PROXIED) as gateway:
        line = await gateway.connect()
        await settled(lambda: gateway.app.acceptor._behind)
        line.close()
        await settled(lambda: not gateway.app.acceptor._behind)
        assert gateway.metrics.connections_refused == {}
        assert gateway.app.state.doorkeeper._lines == 0
        assert [line for line in gateway.logged() if line["event"] == "proxy_refused"] == []


async def test_a_header_from_elsewhere_is_not_believed(tmp_path):
    config = with_server('proxy_networks = ["10.0.0.0/8"]', config=PROXIED)
    async with running(tmp_path, config=config) as gateway:
        forger = await gateway.connect()
        assert await closed(forger)
        assert gateway.metrics.connections_refused == {"proxy": 1}
        assert gateway.app.state.doorkeeper._lines == 0
        (told,) = [line for line in gateway.logged() if line["event"] == "proxy_refused"]
        assert (told["address"], told["reason"]) == ("127.0.0.1", "not_a_proxy")


async def test_a_reload_changes_who_is_believed(tmp_path):
    async with running(tmp_path, config=PROXIED) as gateway:
        path = gateway.app.config.path
        path.write_text(with_server('proxy_networks = ["10.0.0.0/8"]', config=PROXIED))
        assert (await gateway.app.reload()).needs_restart == []
        assert await closed(await gateway.connect())
        assert gateway.metrics.connections_refused == {"proxy": 1}


async def test_a_half_header_takes_a_place_until_its_time_is_over(tmp_path):
    config = with_server("max_connections = 2", config=PROXIED)
    async with running(tmp_path, config=config) as gateway:
        acceptor = gateway.app.acceptor
        halves = [await gateway.connect() for _ in range(2)]
        await halves[0].send(NAMED[:-1])
        await settled(lambda: len(acceptor._behind) == 2)
        assert await closed(await gateway.connect())
        assert gateway.metrics.connections_refused == {"total": 1}
        gateway.clock.advance(gateway.app.config.server.login_timeout_s)
        acceptor._look()
        assert len(acceptor._behind) == 2, "not before it is over"
        assert acceptor._look_again is not None
        acceptor._look_again.cancel()
        gateway.clock.advance(1)
        acceptor._look()
        assert acceptor._look_again is None, "nobody is waiting"
        assert [await closed(half) for half in halves] == [True, True]
        assert gateway.metrics.connections_refused == {"total": 1, "header": 2}
        kiosk = await gateway.connect()
        await kiosk.send(NAMED)
        assert await kiosk.ask(LOGIN) == "941"


async def test_the_time_to_log_in_counts_from_accept_header_included(tmp_path):
    async with running(tmp_path, config=PROXIED) as gateway:
        line = await gateway.connect()
        await settled(lambda: gateway.app.acceptor._behind)
        gateway.clock.advance(50)
        await line.send(NAMED)
        await settled(lambda: gateway.app.server._lines)
        gateway.clock.advance(11)
        gateway.app.server._sweep()
        assert await closed(line)


async def test_caps_and_networks_look_at_the_address_behind(tmp_path):
    config = with_server("max_connections_per_address = 1", config=PROXIED).replace(
        'password = "pw"', f'password = "pw"\nnetworks = ["{BEHIND}/32", "192.0.2.8/32"]'
    )
    async with running(tmp_path, config=config) as gateway:

        async def come(address):
            line = await gateway.connect()
            await line.send(NAMED.replace(BEHIND.encode(), address.encode()))
            return line

        assert await (await come(BEHIND)).ask(LOGIN) == "941"
        assert await closed(await come(BEHIND))
        assert await (await come("192.0.2.8")).ask("9300CNpay-1|COpw|") == "941"
        assert await closed(await come("198.51.100.1"))
        proxy = await gateway.connect()
        await proxy.send(LOCAL)  # no terminal may come from the proxy's own address
        assert await closed(proxy)
        assert gateway.metrics.connections_refused == {"address": 1, "network": 2}


async def test_an_alias_demands_headers_at_each_address(tmp_path):
    async with running(tmp_path, config=with_server("proxy_protocol = true")) as gateway:
        assert [it.proxy for it in gateway.app.config.listeners] == [True]
        kiosk = await gateway.connect()
        await kiosk.send(NAMED)
        assert await kiosk.ask(LOGIN) == "941"


async def test_a_gateway_that_ends_drops_who_has_not_said_who_it_is(tmp_path):
    async with running(tmp_path, config=PROXIED) as gateway:
        line = await gateway.connect()
        await settled(lambda: gateway.app.acceptor._behind)
        look = gateway.app.acceptor._look_again
        gateway.app.acceptor.close()
        assert look.cancelled()
        assert await closed(line)
        assert gateway.app.state.doorkeeper._lines == 0
        assert not gateway.app.is_ready


# Unix sockets -------------------------------------------------------------------------------------


async def by_file(path):
    return Terminal(*await asyncio.open_unix_connection(path))


async def test_a_unix_socket_is_for_owner_and_group_and_goes_at_the_end(tmp_path):
    config = with_server('listen = ["127.0.0.1:0", "unix:sip2"]')
    path = tmp_path / "sip2"
    async with running(tmp_path, config=config) as gateway:
        assert gateway.app.acceptor.addresses[1] == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        kiosk = await by_file(path)
        gateway.terminals.append(kiosk)
        assert await kiosk.ask(LOGIN) == "941"
        assert addresses(gateway) == ["unix"]
    assert not path.exists()


async def test_a_proxy_may_come_by_a_unix_socket(tmp_path):
    listen = 'listen = ["127.0.0.1:0", { address = "unix:sip2", proxy = true }]'
    config = with_server(listen, 'proxy_networks = ["10.0.0.0/8"]').replace(
        'password = "pw"', f'password = "pw"\nnetworks = ["{BEHIND}/32"]'
    )
    async with running(tmp_path, config=config) as gateway:
        kiosk, check = await by_file(tmp_path / "sip2"), await by_file(tmp_path / "sip2")
        gateway.terminals += [kiosk, check]
        await kiosk.send(NAMED)
        assert await kiosk.ask(LOGIN) == "941"
        await check.send(LOCAL)
        assert await closed(check), "who has no address is in no network"
        assert gateway.metrics.connections_refused == {"network": 1}


async def test_what_a_dead_gateway_left_is_replaced_and_what_a_living_one_has_is_not(tmp_path):
    config = with_server('listen = ["127.0.0.1:0", "unix:sip2"]')
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "sip2"))
    async with running(tmp_path, config=config) as gateway:
        taken = gateway.app.config.listeners[1]
        with pytest.raises(OSError, match="belongs to a gateway that is running") as problem:
            await bind([taken])
        assert problem.value.filename == str(taken.address)
        kiosk = await by_file(tmp_path / "sip2")
        gateway.terminals.append(kiosk)
        assert await kiosk.ask(LOGIN) == "941"


async def test_a_file_that_is_no_socket_stays(tmp_path):
    file = tmp_path / "sip2"
    file.write_text("mine")
    with pytest.raises(OSError, match=r"is not a socket; remove it or change server\.listen"):
        await bind([Listener(UnixAddress(file))])
    assert file.read_text() == "mine"


# Out of descriptors -------------------------------------------------------------------------------


async def test_without_descriptors_the_gateway_waits_and_then_goes_on(gateway, monkeypatch):
    """Asking again at once would take all of a processor, and each terminal's turns (C80)."""
    monkeypatch.setattr("sip2gw.serving.arrivals.PAUSE_S", 0.01)
    (bound,) = gateway.app.acceptor._bound
    sock = Failing(bound.sock)
    with_failures = type(bound)(sock, bound.listener)
    gateway.app.acceptor._bound[:] = [with_failures]
    loop = asyncio.get_running_loop()
    loop.remove_reader(bound.sock.fileno())
    gateway.app.acceptor._watch(with_failures)
    kiosk = await gateway.connect()
    assert await kiosk.ask(LOGIN) == "941"
    assert sock.errors == []
    told = [line for line in gateway.logged() if line.get("where") == "accept"]
    assert [line["problem"] for line in told] == [
        os.strerror(errno.EMFILE),
        os.strerror(errno.ENOBUFS),
    ]
    assert told[0]["listener"] == gateway.app.acceptor.addresses[0]


class Failing:
    """A listening socket that has troubles with its first newcomers."""

    def __init__(self, sock):
        self._sock, self.errors = sock, [errno.ECONNABORTED, errno.EMFILE, errno.ENOBUFS]

    def accept(self):
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self._sock.accept()

    def __getattr__(self, name):
        return getattr(self._sock, name)


async def test_a_paused_listener_is_closed_like_any_other(gateway):
    (bound,) = gateway.app.acceptor._bound
    gateway.app.acceptor._pause(bound, OSError(errno.EMFILE, "none left"))
    again = gateway.app.acceptor._paused[bound]
    assert again.when() > asyncio.get_running_loop().time()
    gateway.app.acceptor.close()
    assert again.cancelled()
    assert gateway.app.acceptor._paused == {}
    assert bound.sock.fileno() == -1


async def test_the_others_get_their_turn_while_many_come(gateway, monkeypatch):
    monkeypatch.setattr("sip2gw.serving.arrivals.ACCEPTED_AT_ONCE", 2)
    acceptor = gateway.app.acceptor
    turns: list[int] = []
    (bound,) = acceptor._bound
    accept, came = acceptor._accept, acceptor._came

    def counted(*who):
        turns[-1] += 1
        came(*who)

    def turn(bound):
        turns.append(0)
        accept(bound)

    acceptor._came, acceptor._accept = counted, turn
    asyncio.get_running_loop().remove_reader(bound.sock.fileno())
    acceptor._watch(bound)
    lines = [socket.create_connection(gateway.address) for _ in range(5)]
    await settled(lambda: sum(turns) == 5)
    assert max(turns) == 2
    for line in lines:
        line.close()


def test_no_header_that_we_take_is_longer_than_what_a_line_keeps():
    assert HEADER_BYTES_MAX <= 8_192
