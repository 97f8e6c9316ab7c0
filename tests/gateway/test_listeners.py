"""Where terminals come in: sockets made here or handed over, and who has come.  (B14, C101)"""

import asyncio
import errno
import socket

import pytest
from harness import HANGS_S, Terminal, settled

from sip2gw.config import Address, Listener
from sip2gw.serving.arrivals import RECEIVE_BYTES, Arrival
from sip2gw.serving.listeners import Bound, bind

HERE = Listener(Address("127.0.0.1", 0))
LOGIN = "9300CNkiosk-1|COpw|"


async def open_line(bound):
    return Terminal(*await asyncio.open_connection(*bound.sock.getsockname()))


async def test_a_socket_that_was_handed_over_serves_terminals(gateway):
    with socket.create_server(("127.0.0.1", 0)) as parents:
        handed_over = Bound(socket.socket(fileno=parents.detach()), HERE)
    gateway.app.acceptor.listen([handed_over])
    port = handed_over.sock.getsockname()[1]
    assert gateway.app.acceptor.addresses[1:] == [f"127.0.0.1:{port}"]
    kiosk = await open_line(handed_over)
    gateway.terminals.append(kiosk)
    assert await kiosk.ask(LOGIN) == "941"


async def test_each_address_gets_a_socket_and_lines_inherit_its_small_buffer(gateway):
    bound = await bind([HERE, HERE])
    ports = {one.sock.getsockname()[1] for one in bound}
    assert len(ports) == 2
    for one in bound:  # or a gateway that is started again finds its address taken
        assert one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    gateway.app.acceptor.listen(bound)
    gateway.terminals += [await open_line(one) for one in bound]
    assert [await line.ask(LOGIN) for line in gateway.terminals] == ["941", "941"]
    for line in gateway.app.server._lines.values():
        sock = line._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * RECEIVE_BYTES


async def test_the_kernel_looks_after_lines_that_are_silent(gateway):
    """B14: a half-open connection is noticed."""
    kiosk = await gateway.terminal("kiosk-1")
    (line,) = gateway.app.server._lines.values()
    sock = line._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    kiosk.close()


async def test_when_one_address_is_taken_none_is_bound():
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Address(*other.getsockname())
        (free,) = await bind([HERE])
        before = Listener(Address(*free.sock.getsockname()))
        free.close()
        with pytest.raises(OSError, match="in use") as problem:
            await bind([before, Listener(taken)])
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
    (one,) = await bind([Listener(Address("localhost", 0))])
    one.close()
    monkeypatch.setattr(loop, "getaddrinfo", names(socket.AF_INET6))
    with pytest.raises(OSError, match="not supported"):
        await bind([Listener(Address("localhost", 0))])


async def test_an_ipv6_address_leaves_the_ipv4_ones_to_others():
    try:
        (one,) = await bind([Listener(Address("::1", 0))])
    except OSError:
        pytest.skip("no IPv6 here")
    with one.sock as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


async def test_a_line_that_is_to_end_before_it_can_speak_ends(gateway):
    """It was handed over, and a sweep or a drain came before the loop had made its transport."""
    ours, terminals = socket.socketpair()
    ours.setblocking(False)
    terminals.setblocking(False)
    state = gateway.app.state
    state.doorkeeper.take_place()
    state.doorkeeper.enter("192.0.2.7")
    gateway.app.server.take(Arrival(ours, "192.0.2.7", HERE, gateway.clock.monotonic()))
    (line,) = gateway.app.server._lines.values()
    line.close("login_timeout")
    with terminals:
        async with asyncio.timeout(HANGS_S):
            assert await asyncio.get_running_loop().sock_recv(terminals, 10) == b""
    await settled(lambda: not gateway.app.server._lines)
    assert state.doorkeeper._lines == 0
    assert gateway.metrics.tls_handshake_failures == {}, "it was plain"


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
