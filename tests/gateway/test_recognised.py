"""Terminals that never log in: address or certificate says who they are.  (B94, C101, C134)"""

import asyncio
import ssl
from datetime import timedelta

import pytest
import trustme
from behind import DIALECTS, behind, in_front
from harness import CONFIG, LIBRARY, Terminal, ask_23, ask_63, fields, running

from sip2gw.control.messages import Kick, Kicked, ListTerminals, Trace, TraceBegan, TraceEvent
from sip2gw.protocol.checksum import seal

HERE, THERE, NOWHERE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
PROXY = f"""
[terminals.ezproxy]
profile = "desk"
branch = "MAIN"
login_required = false
networks = ["{HERE}"]
"""
SORTER = f"""
[profiles.sorter]
kind = "selfcheck"
encoding = "utf-8"
terminator = "CRLF"
error_detection = "always"
[terminals.sorter]
profile = "sorter"
branch = "MAIN"
login_required = false
networks = ["{THERE}"]
"""
LOGIN = "9300CNkiosk-1|COpw|"
ASK = "9900302.00"


async def call(gateway, address, **tls):
    """A line from the IP `address`."""
    opened = await asyncio.open_connection(*gateway.address, local_addr=(address, 0), **tls)
    gateway.terminals.append(Terminal(*opened))
    return gateway.terminals[-1]


async def settled(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- nothing tells a test
            await asyncio.sleep(0)


def with_keys(text, config=CONFIG + PROXY):
    return config.replace("[terminals.ezproxy]", f"[terminals.ezproxy]\n{text}")


async def test_the_first_message_is_answered_as_to_a_terminal_that_has_logged_in(tmp_path):
    async with running(tmp_path, config=CONFIG + PROXY) as gateway:
        line = await call(gateway, HERE)
        assert "CQY" in await line.ask(ask_23("1001", "1001"))
        assert gateway.metrics.connections == {"": 0, "desk": 1}
        assert gateway.metrics.last_message["ezproxy"] == gateway.clock.at
        assert gateway.metrics.logins == {}
        assert gateway.metrics.frames_rejected == {}
        said = next(one for one in gateway.logged() if one["event"] == "recognised")
        assert (said["terminal"], said["address"], said["level"]) == ("ezproxy", HERE, "debug")


async def test_an_address_that_belongs_to_nobody_stays_a_stranger(tmp_path):
    """B11: the terminals that log in may come from there."""
    async with running(tmp_path, config=CONFIG + PROXY) as gateway:
        stranger = await call(gateway, NOWHERE)
        assert "CQY" not in await stranger.ask(ask_23("1001", "1001"))
        assert gateway.metrics.frames_rejected == {"not_logged_in": 1}
        assert fields(await stranger.ask(ASK), "BX", fixed=36) == ["NNNNYYYNNNNNNNNN"]
        assert await stranger.ask(LOGIN) == "941"
        assert "CQY" in await stranger.ask(ask_23("1001", "1001"))
        gateway.clock.advance(61)
        silent = await call(gateway, NOWHERE)
        await settled(lambda: gateway.metrics.connections[""] == 1)
        gateway.clock.advance(61)
        gateway.app.server._sweep()
        assert await silent.ended()


async def test_a_line_for_each_question_is_served_as_often_as_it_comes(tmp_path):
    """B94: more lines than one address may have as a stranger; an `auth` terminal has no limit."""
    caps = (CONFIG + PROXY).replace("[server]", "[server]\nmax_connections_per_address = 40")
    async with running(tmp_path, config=caps) as gateway:
        for _ in range(3):
            lines = [await call(gateway, HERE) for _ in range(40)]
            for line in lines:
                assert "CQY" in await line.ask(ask_23("1001", "1001"))
            assert gateway.metrics.connections["desk"] == 40
            assert await (await call(gateway, HERE)).ended()
            for line in lines:
                line.close()
            await settled(lambda: gateway.metrics.connections["desk"] == 0)
        assert gateway.metrics.connections_refused == {"address": 3}
        assert gateway.metrics.connections[""] == 0
        assert gateway.app.server._doorkeeper._lines == 0
        assert not gateway.app.server._doorkeeper._strangers
        assert gateway.app.server.lines_of("ezproxy") == ()


async def test_its_line_is_as_the_profile_says_from_the_first_byte(tmp_path):
    """C73: other lines begin in cp850, end in CR and mirror checksums until the 94 has left."""
    async with running(tmp_path, config=CONFIG + SORTER) as gateway:
        line = await call(gateway, THERE)
        assert await line.ask(ask_23("1001", "1001")) == "96AZFEF6"
        assert await line.reader.readexactly(1) == b"\n"
        said = seal(ask_23("1001", "1001").encode(), b"3", True)
        answer = await line.ask(said + b"\r\n")
        assert answer.endswith(seal(answer.rpartition("AY")[0].encode(), b"3", True)[-9:].decode())
        assert await line.reader.readexactly(1) == b"\n"
        # "é" has two bytes in UTF-8, which cp850 would take for two letters.
        unknown = seal(ask_23("É1", "1001").encode(), b"4", True)
        assert "|AAÉ1|" in (await line.ask(unknown + b"\r\n")).encode("cp850").decode()


async def test_a_newer_line_takes_over_where_the_profile_is_one_machine(tmp_path):
    async with running(tmp_path, config=CONFIG + SORTER) as gateway:
        old = await call(gateway, THERE)
        await settled(lambda: gateway.app.server.lines_of("sorter"))
        new = await call(gateway, THERE)
        assert await old.ended()
        assert await new.ask(ask_23("1001")) == "96AZFEF6"
        assert gateway.metrics.terminal_replaced == {"sorter": 1}
        assert len(gateway.app.server.lines_of("sorter")) == 1


@pytest.mark.parametrize(("number", "left"), [(2, 2), (0, 3)])
async def test_as_many_lines_as_the_terminal_may_have(tmp_path, number, left):
    config = with_keys(f"max_connections = {number}")
    async with running(tmp_path, config=config) as gateway:
        for _ in range(3):
            line = await call(gateway, HERE)
            assert "CQY" in await line.ask(ask_23("1001", "1001"))
        await settled(lambda: gateway.metrics.connections["desk"] == left)
        assert len(gateway.app.server.lines_of("ezproxy")) == left


async def test_a_login_that_it_sends_all_the_same_is_judged_like_any_other(tmp_path):
    config = with_keys('password = "secret"')
    async with running(tmp_path, config=config) as gateway:
        line = await call(gateway, HERE)
        assert await line.ask("9300CNezproxy|COsecret|") == "941"
        assert "CQY" in await line.ask(ask_23("1001", "1001"))
        assert await line.ask(LOGIN) == "941"
        assert gateway.metrics.connections == {"": 0, "desk": 0, "kiosk": 1}
        assert await line.ask("9300CNezproxy|COwrong|") == "940"
        assert "CQY" not in await line.ask(ask_23("1001", "1001"))


async def test_without_a_password_no_login_is_right(tmp_path):
    async with running(tmp_path, config=CONFIG + PROXY) as gateway:
        for said in ("9300CNezproxy|CO|", "9300CNezproxy|COezproxy|"):
            line = await call(gateway, HERE)
            assert await line.ask(said) == "940"
            assert "CQY" not in await line.ask(ask_23("1001", "1001"))
        assert gateway.metrics.logins == {"refused": 2}


async def test_it_is_listed_traced_and_disconnected(tmp_path):
    class Peer:
        uid, ready = 0, True

        def __init__(self):
            self.told = []

        def tell(self, answer):
            self.told.append(answer)

    async with running(tmp_path, config=CONFIG + PROXY) as gateway:
        peer, operations = Peer(), gateway.app.operators._operations
        assert operations.answer(Trace("ezproxy"), peer) == TraceBegan("ezproxy", 0)
        line = await call(gateway, HERE)
        await line.ask(ask_23("1001", "1001"))
        state = next(
            one
            for one in operations.answer(ListTerminals(), peer).terminals
            if one.name == "ezproxy"
        )
        assert (state.lines, state.requests, state.address) == (1, 1, HERE)
        assert operations.answer(Kick("ezproxy"), peer) == Kicked(1)
        assert await line.ended()
        shown = [one.what for one in peer.told if isinstance(one, TraceEvent)]
        assert shown == ["connected", "received", "sent", "disconnected"]
        assert "CQY" in await (await call(gateway, HERE)).ask(ask_23("1001", "1001"))


RELOADS = {
    "another address": (f'networks = ["{HERE}"]', f'networks = ["{THERE}"]'),
    "a login": ("login_required = false", 'password = "pw"'),
    "removed": (PROXY, ""),
}


@pytest.mark.parametrize("change", RELOADS)
async def test_a_reload_ends_the_lines_of_who_is_known_otherwise(tmp_path, change):
    """C101; and whoever is meant now is known at the next connection."""
    async with running(tmp_path, config=CONFIG + PROXY) as gateway:
        line = await call(gateway, HERE)
        assert "CQY" in await line.ask(ask_23("1001", "1001"))
        changed = (CONFIG + PROXY).replace(*RELOADS[change])
        gateway.app.config.path.write_text(changed)
        await gateway.app.reload()
        assert await line.ended()
        again = await call(gateway, HERE)
        assert "CQY" not in await again.ask(ask_23("1001", "1001"))
        if change == "another address":
            there = await call(gateway, THERE)
            assert "CQY" in await there.ask(ask_23("1001", "1001"))


async def test_a_reload_that_demands_a_login_ends_lines_that_had_none(tmp_path):
    config = with_keys('password = "pw"')
    async with running(tmp_path, config=config) as gateway:
        line = await call(gateway, HERE)
        assert "CQY" in await line.ask(ask_23("1001", "1001"))
        gateway.app.config.path.write_text(config.replace("login_required = false\n", ""))
        await gateway.app.reload()
        assert await line.ended()
        again = await call(gateway, HERE)
        assert await again.ask("9300CNezproxy|COpw|") == "941"


async def test_a_reload_that_leaves_its_address_alone_reaches_the_next_request(tmp_path):
    async with running(tmp_path, config=CONFIG + PROXY) as gateway:
        line = await call(gateway, HERE)
        assert "AMHub Library|" in await line.ask(ASK)
        gateway.app.config.path.write_text((CONFIG + PROXY).replace("Hub Library", "New Name"))
        await gateway.app.reload()
        assert "AMNew Name|" in await line.ask(ASK)


async def test_an_expired_terminal_is_ended_and_not_known_any_more(tmp_path):
    """2026-03-10 is the last valid day."""
    async with running(tmp_path, config=with_keys("expires = 2026-03-10")) as gateway:
        line = await call(gateway, HERE)
        assert "CQY" in await line.ask(ask_23("1001", "1001"))
        gateway.clock.advance(timedelta(hours=12).total_seconds())
        assert "CQN" in await line.ask(ask_23("1001", "1001"))
        assert await line.ended()
        late = await call(gateway, HERE)
        assert "CQY" not in await late.ask(ask_23("1001", "1001"))
        (refused,) = [one for one in gateway.logged() if one["event"] == "login_refused"]
        assert (refused["reason"], refused["terminal"]) == ("expired", "ezproxy")


async def test_only_so_many_addresses_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr("sip2gw.serving.site.ADDRESSES_REMEMBERED_MAX", 2)
    async with running(tmp_path, config=CONFIG + PROXY + SORTER) as gateway:
        recognised = gateway.app.site.recognised
        for _ in range(2):
            found = [recognised.find(address, ()) for address in (HERE, THERE, NOWHERE)]
            assert [one and one.view.name for one in found] == ["ezproxy", "sorter", None]
            assert len(recognised._known) <= 2


async def test_in_front_of_a_library_system_it_is_answered_by_that_system(tmp_path):
    """The handlers of that family were chosen when its view was built."""
    dialect, config = DIALECTS["UTF-8 without checksums"], CONFIG + PROXY
    async with (
        behind(tmp_path, dialect, config=CONFIG, records=LIBRARY) as rear,
        in_front(tmp_path, dialect, rear, config=config, records=LIBRARY) as front,
    ):
        for _ in range(2):
            line = await call(front, HERE)
            assert "AEAnna Peeters" in await line.ask(ask_63("1001", "1001"))
            line.close()
        asked = [one["message"] for one in rear.logged() if one["event"] == "request"]
        assert asked.count("63") == 2
        assert asked.count("93") == 1
        assert front.metrics.logins == {}


# Known by a client certificate -------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path):
    authority = trustme.CA()
    server = authority.issue_cert(HERE)
    server.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    server.private_key_pem.write_to_path(tmp_path / "server.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


TLS = """[server]
tls_certificate = "server.pem"
tls_key = "server.key"
tls_client_ca = "ca.pem"
"""
NAMED = """
[terminals.named]
profile = "kiosk"
branch = "MAIN"
login_required = false
tls_client_name = "k1"
[terminals.two]
profile = "cash"
branch = "MAIN"
login_required = false
tls_client_name = "k2"
networks = ["127.0.0.2", "127.0.0.3"]
"""
OVER_TLS = (CONFIG + PROXY + NAMED).replace("[server]\n", TLS)


def client(authority, *names):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("address", "names", "known"),
    [
        (HERE, ["k1"], "named"),
        (THERE, ["k1"], "named"),
        (THERE, ["other", "k2"], "two"),
        (HERE, ["k2"], "ezproxy"),
        (HERE, ["other"], "ezproxy"),
        (THERE, ["other"], None),
        (THERE, ["k1", "k2"], None),
        (HERE, ["k1", "k2"], "named"),
    ],
)
async def test_a_certificate_goes_before_an_address(tmp_path, authority, address, names, known):
    async with running(tmp_path, config=OVER_TLS) as gateway:
        line = await call(gateway, address, ssl=client(authority, *names))
        await line.send(ASK)
        assert (await line.read()).startswith("98Y")
        (seen,) = gateway.app.server._lines.values()
        assert seen.terminal_name == (known or "")
        assert (seen.conversation.session is not None) is bool(known)


async def test_until_the_handshake_is_over_a_line_is_nobodys(tmp_path, authority):
    """C101: also where its address is known; the time to log in goes on."""
    async with running(tmp_path, config=OVER_TLS) as gateway:
        silent = await call(gateway, HERE)
        await settled(lambda: gateway.metrics.connections[""] == 1)
        gateway.clock.advance(61)
        gateway.app.server._sweep()
        assert await silent.ended()


async def test_another_name_ends_the_line(tmp_path, authority):
    async with running(tmp_path, config=OVER_TLS) as gateway:
        line = await call(gateway, THERE, ssl=client(authority, "k1"))
        assert (await line.ask(ASK)).startswith("98Y")
        gateway.app.config.path.write_text(OVER_TLS.replace('"k1"', '"k3"'))
        await gateway.app.reload()
        assert await line.ended()


# Behind a proxy (C132) ----------------------------------------------------------------------------


BEHIND = (CONFIG + PROXY.replace(HERE, "192.0.2.7")).replace(
    'listen = ["127.0.0.1:0"]', 'listen = [{ address = "127.0.0.1:0", proxy = true }]'
)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("PROXY TCP4 192.0.2.7 192.0.2.1 4660 6001", True),
        ("PROXY TCP4 192.0.2.8 192.0.2.1 4660 6001", False),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 4660 6001", True),
        ("PROXY UNKNOWN", False),
    ],
)
async def test_the_address_in_the_header_says_who_it_is(tmp_path, header, known):
    async with running(tmp_path, config=BEHIND) as gateway:
        line = await gateway.connect()
        await line.send(header.encode() + b"\r\n")
        assert ("CQY" in await line.ask(ask_23("1001", "1001"))) is known


async def test_the_proxys_own_address_is_not_that_of_who_comes_through_it(tmp_path):
    config = BEHIND.replace("192.0.2.7", HERE)
    async with running(tmp_path, config=config) as gateway:
        line = await gateway.connect()
        await line.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4660 6001\r\n")
        assert "CQY" not in await line.ask(ask_23("1001", "1001"))


async def test_who_shows_no_certificate_where_none_is_demanded_is_known_by_address(
    tmp_path, authority
):
    listen = '{ address = "127.0.0.1:0", tls = true, client_certificate = "optional" }'
    config = OVER_TLS.replace('listen = ["127.0.0.1:0"]', f"listen = [{listen}]")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with running(tmp_path, config=config) as gateway:
        for address, known in ((HERE, "ezproxy"), (THERE, "")):
            line = await call(gateway, address, ssl=context)
            assert (await line.ask(ASK)).startswith("98Y")
            newest = gateway.app.server._lines[max(gateway.app.server._lines)]
            assert newest.terminal_name == known
