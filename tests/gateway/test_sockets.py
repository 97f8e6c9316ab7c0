"""Which of the sockets that were handed over is for which address, and which is of no use (B89)."""

import asyncio
import os
import socket
from contextlib import ExitStack

import pytest

from sip2gw.config import Address, Listener, UnixAddress
from sip2gw.daemon.handover import sockets
from sip2gw.daemon.handover.sockets import (
    Offered,
    SocketError,
    gather,
    inherited,
    insist_on_nothing_left,
)
from sip2gw.foundation.unix_socket import reachable

ANY = Address("127.0.0.1", 0)


async def found_for(addresses, http, *offers):
    """The sockets for terminals, and that for HTTP."""
    found = await gather([Listener(address) for address in addresses], http, *offers)
    return [bound.sock for bound in found.terminals], found.http


@pytest.fixture
def opened():
    """Opens a bound socket; the test's end closes it."""
    with ExitStack() as stack:

        def open_at(host="127.0.0.1", **options):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            made = socket.create_server((host, 0), family=family, **options)
            return stack.enter_context(made)

        yield open_at


def address_of(sock):
    return Address(*sock.getsockname()[:2])


async def test_each_address_gets_the_socket_that_is_bound_there_in_whatever_order(opened):
    first, second, http = opened(), opened(), opened()
    offer = Offered([http, second, first])
    wanted = [address_of(first), address_of(second)]
    assert await found_for(wanted, address_of(http), offer) == ([first, second], http)
    assert offer.left == []


async def test_port_0_takes_what_nobody_names_and_keeps_its_port(opened):
    """So a restart keeps the port that the system chose."""
    named, other = opened(), opened()
    offer = Offered([named, other])
    assert await found_for([ANY, address_of(named)], None, offer) == ([other, named], None)


async def test_what_nobody_hands_over_is_bound(opened):
    elsewhere = opened("127.0.0.2")
    offer = Offered([elsewhere])
    (bound,), _ = await found_for([ANY], None, offer)
    with bound:
        assert bound.getsockname()[0] == "127.0.0.1"
    assert offer.left == [elsewhere]


async def test_http_is_bound_early_only_when_terminals_do_not_wait_for_it(opened):
    assert await found_for([], ANY, Offered()) == ([], None)
    _, http = await found_for([], ANY, Offered([opened("127.0.0.2")]))
    with http:
        assert http.getsockname()[0] == "127.0.0.1"


async def test_the_first_offer_goes_first(opened):
    of_systemd, lent = opened(), opened()
    offers = Offered([of_systemd]), Offered([lent])
    assert await found_for([ANY], None, *offers) == ([of_systemd], None)
    assert offers[1].left == [lent]


async def test_a_name_may_stand_for_a_socket_that_is_there_and_one_that_is_not(opened, monkeypatch):
    """`localhost`, after IPv6 was switched on, say."""
    there = opened()
    port = there.getsockname()[1]
    places = [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port, 0, 0))]

    async def look_up(host, port, **options):
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in places]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up, raising=False)
    (first, second), _ = await found_for([Address("localhost", port)], None, Offered([there]))
    assert first is there
    with second:
        assert second.getsockname()[:2] == ("::1", port)


@pytest.mark.parametrize("above", ["", "d" * 100])
async def test_the_file_of_a_unix_socket_goes_with_the_last_gateway(tmp_path, above):
    """A path that is too long for the kernel goes through a descriptor of its directory."""
    (tmp_path / above).mkdir(exist_ok=True)
    path = tmp_path / above / "sip2"
    listener = Listener(UnixAddress(path), proxy=True)
    before = (await gather([listener], None)).terminals[0]
    lent = before.sock.dup()
    after = await gather([listener], None, Offered([lent]))
    assert [bound.sock for bound in after.terminals] == [lent]
    before.sock.close()  # it has handed over
    after.adopt([lent])
    with socket.socket(socket.AF_UNIX) as terminal, reachable(path) as name:
        terminal.connect(name)
    after.terminals[0].close()
    assert not path.exists()


async def test_the_file_of_a_unix_socket_of_systemd_is_left_to_systemd(tmp_path):
    listener = Listener(UnixAddress(tmp_path / "sip2"), proxy=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sip2"))
        found = await gather([listener], None, Offered([sock]))
        found.adopt([])
        found.terminals[0].close()
    assert (tmp_path / "sip2").exists()


async def test_after_a_failure_nothing_stays_open(opened):
    other = opened()
    lent = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(OSError, match="in use") as problem:
        await found_for([address_of(lent), address_of(other)], None, Offered([lent]))
    assert problem.value.filename == str(address_of(other))
    assert lent.fileno() == -1
    lent = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(OSError, match="in use") as problem:
        await found_for([address_of(lent)], address_of(other), Offered([lent, opened()]))
    assert problem.value.filename == str(address_of(other))
    assert lent.fileno() == -1


async def test_a_closed_socket_is_not_handed_on(opened):
    found = await gather([Listener(ANY)] * 2, None, Offered([opened(), opened()]))
    first, second = (bound.sock for bound in found.terminals)
    first.close()
    assert found.open() == [second]


# From systemd -------------------------------------------------------------------------------


@pytest.fixture
def of_systemd(monkeypatch):
    """What `inherited` makes of a socket, as a process that systemd has started sees it."""

    def seen(sock, *, pid=None, number="1"):
        monkeypatch.setattr(sockets, "_FIRST_DESCRIPTOR", os.dup(sock.fileno()))
        environment = {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": number, "X": "x"}
        try:
            return inherited(environment)
        finally:
            assert environment == {"X": "x"}, "no process of ours takes them for its own"

    return seen


def test_a_listening_socket_is_taken_and_not_passed_on(opened, of_systemd):
    sock = opened()
    (taken,) = of_systemd(sock)
    with taken:
        assert taken.getsockname() == sock.getsockname()
        assert not os.get_inheritable(taken.fileno())
        assert not taken.getblocking()


@pytest.mark.parametrize("options", [{"pid": 1}, {"number": "0"}, {"number": ""}, {"number": "x"}])
def test_those_of_another_process_are_not_ours(opened, of_systemd, options):
    assert of_systemd(opened(), **options) == []


def test_without_systemd_there_are_none():
    assert inherited({}) == []


def test_a_socket_for_both_families_is_refused(opened, of_systemd):
    """Terminals with IPv4 would come from ::ffff:…, which is in nobody's `networks`."""
    both = opened("::", dualstack_ipv6=True)
    with pytest.raises(SocketError, match=r"\[::\]:\d+ from systemd takes IPv4 too: add BindIPv6"):
        of_systemd(both)
    (taken,) = of_systemd(opened("::1"))
    taken.close()


def test_a_connection_a_datagram_socket_and_a_file_are_refused(opened, of_systemd, tmp_path):
    with (
        socket.create_connection(opened().getsockname()) as connected,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        (tmp_path / "file").open("wb") as file,
    ):
        for wrong, told in (
            (connected, "needs ListenStream= and Accept=no"),
            (datagrams, "needs ListenStream= and Accept=no"),
            (file, "is not a socket"),
        ):
            with pytest.raises(SocketError, match=told):
                of_systemd(wrong)


def test_a_socket_that_no_address_names_is_refused(opened):
    stray = opened()
    with pytest.raises(SocketError, match=f"listens at {address_of(stray)}, which neither"):
        insist_on_nothing_left(Offered([stray]))
    insist_on_nothing_left(Offered())
