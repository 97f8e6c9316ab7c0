"""Where terminals come in: sockets made here or handed over, and who has come.  (B14, C101)"""

import asyncio
import errno
import socket
import ssl

import pytest
from harness import CONFIG, Terminal, running

from sip2gw.config import Address
from sip2gw.daemon.handover.sockets import gather
from sip2gw.serving.line import TerminalLine
from sip2gw.serving.listeners import RECEIVE_BYTES

HERE = Address("127.0.0.1", 0)
LOGIN = "9300CNkiosk-1|COpw|"


async def bind(addresses):
    return (await gather(addresses, None)).terminals


async def open_line(place):
    return Terminal(*await asyncio.open_connection(*place))


async def test_a_socket_that_was_handed_over_serves_terminals(gateway):
    with socket.create_server(("127.0.0.1", 0)) as parents:
        handed_over = socket.socket(fileno=parents.detach())
    sweeper = gateway.app.server._sweeper
    await gateway.app.server.listen([handed_over])
    assert gateway.app.server._sweeper is sweeper, "one look after the time-outs is enough"
    place = handed_over.getsockname()
    assert gateway.app.server.bound_addresses()[1:] == [f"127.0.0.1:{place[1]}"]
    kiosk = await open_line(place)
    gateway.terminals.append(kiosk)
    assert await kiosk.ask(LOGIN) == "941"


async def test_each_address_gets_a_socket_and_lines_inherit_its_small_buffer(gateway):
    sockets = await bind([HERE, HERE])
    ports = {sock.getsockname()[1] for sock in sockets}
    assert len(ports) == 2
    for sock in sockets:  # or a gateway that is started again finds its address taken
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    await gateway.app.server.listen(sockets)
    gateway.terminals += [await open_line(sock.getsockname()) for sock in sockets]
    assert [await line.ask(LOGIN) for line in gateway.terminals] == ["941", "941"]
    for line in gateway.app.server._lines.values():
        sock = line._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * RECEIVE_BYTES


async def test_when_one_address_is_taken_none_is_bound():
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Address(*other.getsockname())
        (free,) = await bind([HERE])
        before = Address(*free.getsockname())
        free.close()
        with pytest.raises(OSError, match="in use") as problem:
            await bind([before, taken])
    assert problem.value.filename == str(taken)
    (again,) = await bind([before])
    again.close()


def names(*families):
    """A look-up that finds an address in each of `families`."""
    places = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0, 0, 0)}

    async def look_up(*arguments, **options):
        return [(family, socket.SOCK_STREAM, 6, "", places[family]) for family in families * 2]

    return look_up


async def test_a_name_may_stand_for_addresses_that_the_system_does_not_have(monkeypatch):
    make = socket.socket

    def without_ipv6(family, *arguments, **options):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, *arguments, **options)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(socket, "socket", without_ipv6)
    monkeypatch.setattr(loop, "getaddrinfo", names(socket.AF_INET6, socket.AF_INET))
    (sock,) = await bind([Address("localhost", 0)])
    sock.close()
    monkeypatch.setattr(loop, "getaddrinfo", names(socket.AF_INET6))
    with pytest.raises(OSError, match="not supported"):
        await bind([Address("localhost", 0)])


async def test_an_ipv6_address_leaves_the_ipv4_ones_to_others():
    try:
        (sock,) = await bind([Address("::1", 0)])
    except OSError:
        pytest.skip("no IPv6 here")
    with sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


# A prelude that takes its time: one that reads who is behind a proxy, for example -----------------


class Wire(asyncio.Transport):
    """The network's end of a line."""

    def __init__(self):
        super().__init__({"peername": ("10.0.0.1", 1)})
        self.sent, self.paused, self.closed = b"", False, False

    def write(self, data):
        self.sent += data

    def pause_reading(self):
        self.paused = True

    def is_closing(self):
        return self.closed

    def abort(self):
        self.closed = True

    close = abort


class Waiting:
    """Lines whose prelude has not come to its end."""

    def __init__(self, gateway):
        self.server, self.known = gateway.app.server, []

    def come(self):
        def prelude(transport, known):
            self.known.append(known)

        line, wire = TerminalLine(self.server, prelude=prelude), Wire()
        line.connection_made(wire)
        return line, wire


async def test_the_address_is_what_the_prelude_tells(gateway):
    waiting = Waiting(gateway)
    line, wire = waiting.come()
    assert line.conversation is None
    waiting.known[0]("192.0.2.7")
    assert line.conversation is not None
    assert line.conversation.address == "192.0.2.7"
    line.data_received(LOGIN.encode() + b"\r")
    assert wire.sent == b"941\r"
    line.connection_lost(None)
    assert gateway.metrics.connections == {"": 0, "kiosk": 0}


async def test_nothing_is_read_until_tls_has_taken_over(gateway):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    line, wire = TerminalLine(gateway.app.server, context), Wire()
    line.connection_made(wire)
    assert wire.paused
    assert line._handshake is not None
    await asyncio.wait_for(line._handshake, 5)  # which fails: there is no socket
    assert wire.closed


async def test_a_line_counts_from_accept_whatever_the_prelude_waits_for(tmp_path):
    config = CONFIG.replace("[server]", "[server]\ndrain_timeout_s = 0.1\nmax_connections = 2")
    async with running(tmp_path, config=config) as gateway:
        waiting = Waiting(gateway)
        first, _ = waiting.come()
        waiting.come()
        late, refused = waiting.come()
        assert refused.closed
        late.connection_lost(None)  # it had no place to leave
        assert len(waiting.known) == 2
        assert gateway.metrics.connections_refused == {"total": 1}
        assert gateway.metrics.connections[""] == 2
        first.connection_lost(None)
        waiting.known[0]("192.0.2.7")  # too late
        assert first.conversation is None
        assert gateway.metrics.connections[""] == 1
        _, wire = waiting.come()
        assert not wire.closed


async def test_a_prelude_must_end_before_the_login_time_out(gateway):
    waiting = Waiting(gateway)
    line, wire = waiting.come()
    gateway.clock.advance(gateway.app.config.server.login_timeout_s + 1)
    gateway.app.server._sweep()
    assert wire.closed
    line.connection_lost(None)


async def test_who_is_refused_by_address_leaves_its_place_at_once(tmp_path):
    config = CONFIG.replace(
        "[server]", "[server]\ndrain_timeout_s = 0.1\nmax_connections_per_address = 1"
    )
    async with running(tmp_path, config=config) as gateway:
        waiting = Waiting(gateway)
        (line, wire), (_, other) = waiting.come(), waiting.come()
        for known in waiting.known:
            known("192.0.2.7")
        assert (wire.closed, other.closed) == (False, True)
        assert gateway.metrics.connections_refused == {"address": 1}
        assert list(gateway.app.server._lines.values()) == [line]
        assert gateway.app.server._doorkeeper._lines == 1


async def test_all_that_lines_have_in_common_is_the_one_state_of_the_process(gateway):
    app = gateway.app
    state, services = app.state, app.gateway.services
    assert services.passages is state.passages
    assert services.admissions is app._pins._admissions is state.admissions
    assert app._pins.guesses.terminals is state.pin_guesses
    assert app.gateway.logins._guard is state.callers
    assert app.server._doorkeeper is state.doorkeeper
    assert app.server._connected is state.connected
    assert app.server._replacements is state.replacements
