"""TLS with terminals: side by side with plain lines, changed by a reload, refused with a reason.

B88, C101, C137, C170, C173
"""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from harness import CONFIG, HANGS_S, Terminal, running, settled

from sip2gw.config import ConfigError, load_config
from sip2gw.serving.arrivals import RECEIVE_BYTES
from sip2gw.serving.tls import contexts_of

LOGIN = "9300CNkiosk-1|COpw|"
NAMED = b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 6001\r\n"
KEYS = 'tls_certificate = "server.pem"\ntls_key = "server.key"\ntls_client_ca = "ca.pem"\n'
PLAIN = '{ address = "127.0.0.1:0", tls = false }'
ASKING = '{ address = "127.0.0.1:0", tls = true, client_certificate = "KIND" }'
REQUIRED, OPTIONAL = ASKING.replace("KIND", "required"), ASKING.replace("KIND", "optional")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def certify(directory, authority, name="127.0.0.1"):
    """Our certificate, and the authority that certifies terminals."""
    made = authority.issue_cert(name)
    made.cert_chain_pems[0].write_to_path(directory / "server.pem")
    made.private_key_pem.write_to_path(directory / "server.key")
    authority.cert_pem.write_to_path(directory / "ca.pem")


@pytest.fixture
def site(tmp_path, authority):
    """The directory of a gateway with a certificate."""
    certify(tmp_path, authority)
    return tmp_path


def listening(*entries, keys=KEYS, config=CONFIG):
    """The configuration with these addresses; each gets a port of its own, in this order."""
    hosts = [entry.replace("127.0.0.1", f"127.0.0.{n}") for n, entry in enumerate(entries, 1)]
    return config.replace(
        '[server]\nlisten = ["127.0.0.1:0"]\n',
        f"[server]\n{keys}listen = [{', '.join(hosts)}]\n",
    )


def kiosk(authority, *, own=None, trusted=None, until=None):
    """A terminal's side: whose certificate it shows, and whom it trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    (trusted or authority).configure_trust(context)
    if own is not None:
        own.issue_cert("k1", not_after=until).configure_cert(context)
    return context


def place(gateway, number=0):
    host, _, port = gateway.app.acceptor.addresses[number].rpartition(":")
    return host, int(port)


async def come(gateway, context=None, number=0):
    """A line at the listener of that number; with a context over TLS."""
    line = Terminal(*await asyncio.open_connection(*place(gateway, number), ssl=context))
    gateway.terminals.append(line)
    return line


async def logs_in(gateway, context=None, number=0):
    """Whether a kiosk can log in there."""
    try:
        async with asyncio.timeout(HANGS_S):
            line = await come(gateway, context, number)
            return await line.ask(LOGIN) == "941"
    except TimeoutError:
        raise
    except (OSError, asyncio.IncompleteReadError):
        return False


def handshakes(gateway):
    """What the log says of those that failed: address, reason and cause."""
    return [
        (line["address"], line["reason"], line["problem"])
        for line in gateway.logged()
        if line["event"] == "tls_handshake_failed"
    ]


async def shake_hands(talk, reader, writer, heard, words, before=b""):
    """A handshake by hand, with `before` in the first segment; asyncio sends no alerts."""
    while True:
        try:
            talk.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(before + words.read())
            before = b""
            heard.write(await reader.read(65_536))
        else:
            return


# Side by side -------------------------------------------------------------------------------------


async def test_plain_and_tls_stand_side_by_side(site, authority):
    config = listening(PLAIN, '{ address = "127.0.0.1:0", tls = true }')
    async with running(site, config=config) as gateway:
        assert await logs_in(gateway)
        assert await logs_in(gateway, kiosk(authority, own=authority), 1)
        assert not await logs_in(gateway, None, 1)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        # Is it TLS, and does it ask for a certificate? C170
        (('"127.0.0.1:0"', '{ address = "127.0.0.1:0" }'), [(True, "required")] * 2),
        (('"127.0.0.1:0"', PLAIN), [(False, None)] * 2),
        (('"127.0.0.1:0"', REQUIRED), [(False, None), (True, "required")]),
        (
            ('{ address = "127.0.0.1:0", tls = true }', OPTIONAL),
            [(True, None), (True, "optional")],
        ),
    ],
)
def test_what_an_entry_does_not_say_follows_from_the_others(site, entries, expected):
    path = site / "sip2gw.toml"
    path.write_text(listening(*entries))
    found = load_config(path).listeners
    assert [(it.tls, it.client_certificate) for it in found] == expected


async def test_each_listener_asks_for_certificates_in_its_own_way(site, authority):
    entries = (REQUIRED, OPTIONAL, '{ address = "127.0.0.1:0", tls = true }')
    stranger = trustme.CA()
    with_own, without = kiosk(authority, own=authority), kiosk(authority)
    foreign = kiosk(authority, own=stranger)
    async with running(site, config=listening(*entries)) as gateway:
        for shown, welcome in (
            (with_own, [True, True, True]),
            (without, [False, True, True]),
            (foreign, [False, False, True]),  # where nobody asks, it is not shown
        ):
            assert [await logs_in(gateway, shown, n) for n in range(3)] == welcome


async def test_a_terminal_is_bound_to_the_name_in_its_certificate(site, authority):
    bound = 'password = "pw"\ntls_client_name = "k1"'
    config = listening(OPTIONAL, config=CONFIG.replace('password = "pw"', bound, 1))
    async with running(site, config=config) as gateway:
        assert await logs_in(gateway, kiosk(authority, own=authority))
        assert not await logs_in(gateway, kiosk(authority)), "it may show none, but is not known"
        assert gateway.metrics.logins == {"ok": 1, "refused": 1}


async def test_a_header_and_the_first_words_of_tls_in_one_segment(site, authority):
    entry = '{ address = "127.0.0.1:0", tls = true, proxy = true }'
    config = listening(entry, keys=KEYS.replace('tls_client_ca = "ca.pem"\n', ""))
    async with running(site, config=config) as gateway:
        reader, writer = await asyncio.open_connection(*place(gateway))
        words, heard = ssl.MemoryBIO(), ssl.MemoryBIO()
        talk = kiosk(authority).wrap_bio(heard, words, server_hostname="x")
        await shake_hands(talk, reader, writer, heard, words, before=NAMED)
        talk.write(LOGIN.encode() + b"\r")
        writer.write(words.read())
        answer = b""
        while not answer.endswith(b"\r"):
            heard.write(await reader.read(65_536))
            with suppress(ssl.SSLWantReadError):
                answer += talk.read(100)
        assert answer == b"941\r"
        (line,) = gateway.app.server._lines.values()
        assert line.conversation.address == "192.0.2.7"
        writer.close()


async def test_long_messages_come_through_a_small_buffer(site, authority):
    keys = f"{KEYS}frame_bytes_max = 100_000\n"
    async with running(site, config=listening(REQUIRED, keys=keys)) as gateway:
        line = await come(gateway, kiosk(authority, own=authority))
        assert await line.ask(LOGIN) == "941"
        long = "2300120260310    120000AOHUB|AA1001|AC|AD1001|ZZ" + "x" * 3 * RECEIVE_BYTES + "|"
        assert (await line.ask(long)).startswith("24")


# Refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        LOGIN.encode() + b"\r",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\0" * 300,
    ],
)
async def test_who_speaks_no_tls_is_told_apart(site, sent):
    async with running(site, config=listening(REQUIRED)) as gateway:
        line = await come(gateway)
        await line.send(sent)
        with suppress(ConnectionError):
            assert b"941" not in await line.reader.read()
        await settled(lambda: not gateway.app.server._lines)
        assert gateway.metrics.tls_handshake_failures == {"not_tls": 1}
        ((address, reason, problem),) = handshakes(gateway)
        assert (address, reason) == ("127.0.0.1", "not_tls")
        assert problem


def old(authority):
    """A kiosk that speaks nothing newer than TLS 1.1, which OpenSSL allows at level 0 only."""
    context = kiosk(authority, own=authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def of_1_2(authority):
    context = kiosk(authority, own=authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


EXPIRED = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("make", "keys", "reason", "cause"),
    [
        (old, "", "version", "unsupported protocol"),
        (of_1_2, 'tls_minimum = "1.3"\n', "version", "unsupported protocol"),
        (kiosk, "", "no_certificate", "peer did not return a certificate"),
        (
            lambda ours: kiosk(ours, own=trustme.CA()),
            "",
            "bad_certificate",
            "unable to get local issuer certificate",
        ),
        (
            lambda ours: kiosk(ours, own=ours, until=EXPIRED),
            "",
            "bad_certificate",
            "certificate has expired",
        ),
    ],
    ids=["TLS 1.1", "TLS 1.2", "none", "foreign", "expired"],
)
async def test_a_failed_handshake_is_counted_and_logged_with_its_cause(
    site, authority, make, keys, reason, cause
):
    async with running(site, config=listening(REQUIRED, keys=KEYS + keys)) as gateway:
        assert not await logs_in(gateway, make(authority))
        await settled(lambda: not gateway.app.server._lines)
        assert gateway.metrics.tls_handshake_failures == {reason: 1}
        assert gateway.app.state.doorkeeper._lines == 0
        assert handshakes(gateway) == [("127.0.0.1", reason, cause)]


async def test_who_does_not_trust_us_says_so(site, authority):
    async with running(site, config=listening(REQUIRED)) as gateway:
        reader, writer = await asyncio.open_connection(*place(gateway))
        words, heard = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = kiosk(authority, trusted=trustme.CA())
        talk = context.wrap_bio(heard, words, server_hostname="x")
        with pytest.raises(ssl.SSLCertVerificationError):
            await shake_hands(talk, reader, writer, heard, words)
        writer.write(words.read())
        await settled(lambda: gateway.metrics.tls_handshake_failures)
        assert handshakes(gateway) == [("127.0.0.1", "client_aborted", "tlsv1 alert unknown ca")]
        writer.close()


async def test_who_hangs_up_in_the_middle_is_counted(site):
    async with running(site, config=listening(REQUIRED)) as gateway:
        line = await come(gateway)
        await line.send(b"\x16\x03\x01")
        line.close()
        await settled(lambda: gateway.metrics.tls_handshake_failures)
        assert handshakes(gateway) == [("127.0.0.1", "client_aborted", "hung up")]


async def test_silent_lines_harm_nobody_and_their_time_runs_from_accept(site, authority):
    """C101, C137: they take their share of the places, little memory, and end by themselves."""
    async with running(site, config=listening(REQUIRED)) as gateway:
        server = gateway.app.server
        silent = [await come(gateway) for _ in range(40)]
        await settled(lambda: len(server._lines) == 40)
        shaking = [line for line in server._lines.values() if line._shaking_hands]
        assert len(shaking) == 40
        assert await logs_in(gateway, kiosk(authority, own=authority))
        gateway.clock.advance(gateway.app.config.server.login_timeout_s + 1)
        server._sweep()
        for line in silent:
            with suppress(ConnectionError):
                assert await line.ended()
        assert gateway.metrics.tls_handshake_failures == {"timeout": 40}
        assert gateway.metrics.connections == {"": 0, "kiosk": 1}
        assert gateway.app.state.doorkeeper._lines == 1
        assert len(handshakes(gateway)) < 40, "a flood is summed up"


async def test_a_line_over_tls_reserves_no_more_than_it_may_read(site, authority):
    async with running(site, config=listening(REQUIRED)) as gateway:
        assert await logs_in(gateway, kiosk(authority, own=authority))
        (line,) = gateway.app.server._lines.values()
        assert len(line._transport._ssl_protocol._ssl_buffer) <= RECEIVE_BYTES


async def test_a_gateway_that_ends_counts_no_handshake_as_failed(site):
    async with running(site, config=listening(REQUIRED)) as gateway:
        line = await come(gateway)
        await settled(lambda: gateway.app.server._lines)
        await gateway.app.server.stop()
        with suppress(ConnectionError):
            assert await line.ended()
        assert gateway.metrics.tls_handshake_failures == {}
        assert gateway.app.state.doorkeeper._lines == 0


# Reloads ------------------------------------------------------------------------------------------


async def certificate_at(gateway, context):
    """What the gateway shows to a new line."""
    line = await come(gateway, context)
    return line.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


async def test_a_reload_shows_the_new_certificate_and_drops_nobody(site, authority):
    context = kiosk(authority, own=authority)
    async with running(site, config=listening(REQUIRED)) as gateway:
        line = await come(gateway, context)
        assert await line.ask(LOGIN) == "941"
        before = await certificate_at(gateway, context)
        assert await certificate_at(gateway, context) == before
        certify(site, authority, "another-name")
        assert (await gateway.app.reload()).problems == []
        assert await certificate_at(gateway, context) != before
        (site / "server.pem").write_bytes(b"")
        assert contexts_of(gateway.app.config), "what is in force does not need the files"
        assert (await line.ask("9900302.00")).startswith("98")


async def test_a_certificate_that_cannot_be_read_refuses_the_reload(site, authority):
    context = kiosk(authority, own=authority)
    async with running(site, config=listening(REQUIRED)) as gateway:
        before = await certificate_at(gateway, context)
        (site / "server.pem").write_text("-----BEGIN CERTIFICATE-----\nhalf of it")
        changed = listening(REQUIRED).replace("Hub Library", "Another Library")
        (site / "sip2gw.toml").write_text(changed)
        done = await gateway.app.reload()
        (problem,) = done.problems
        assert (
            f"server.tls_key: {site / 'server.key'} cannot be used with tls_certificate" in problem
        )
        assert "name unencrypted PEM files" in problem
        assert gateway.app.config.institution.name == "Hub Library", "all or nothing"
        assert await certificate_at(gateway, context) == before
        assert gateway.metrics.reload_ok is False


async def test_another_authority_counts_for_new_lines(site, authority):
    other = trustme.CA()
    ours, theirs = kiosk(authority, own=authority), kiosk(authority, own=other)
    async with running(site, config=listening(REQUIRED)) as gateway:
        line = await come(gateway, ours)
        assert await line.ask(LOGIN) == "941"
        assert not await logs_in(gateway, theirs)
        other.cert_pem.write_to_path(site / "ca.pem")
        await gateway.app.reload()
        assert (await line.ask("9900302.00")).startswith("98"), "it was let in"
        assert not await logs_in(gateway, ours)
        assert await logs_in(gateway, theirs)


async def test_a_higher_minimum_counts_for_new_lines(site, authority):
    async with running(site, config=listening(REQUIRED)) as gateway:
        assert await logs_in(gateway, of_1_2(authority))
        path = gateway.app.config.path
        path.write_text(listening(REQUIRED, keys=f'{KEYS}tls_minimum = "1.3"\n'))
        assert (await gateway.app.reload()).needs_restart == []
        assert not await logs_in(gateway, of_1_2(authority))
        assert await logs_in(gateway, kiosk(authority, own=authority))


@pytest.mark.parametrize("keys", ["", KEYS.replace('tls_client_ca = "ca.pem"\n', "")])
async def test_what_listeners_still_need_stays_until_the_restart(site, authority, keys):
    """A key that is taken out leaves other listeners, which only a restart can bring."""
    with_own, without = kiosk(authority, own=authority), kiosk(authority)
    async with running(site, config=listening('"127.0.0.1:0"')) as gateway:
        gateway.app.config.path.write_text(listening('"127.0.0.1:0"', keys=keys))
        assert (await gateway.app.reload()).needs_restart == ["server.listen"]
        assert await logs_in(gateway, with_own)
        assert not await logs_in(gateway, without)
        assert not await logs_in(gateway)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("server.key", "server.tls_key: .*server.key cannot be used with tls_certificate"),
        ("other.key", "server.tls_key: .*other.key is not the key of tls_certificate"),
        ("ca.pem", "server.tls_client_ca: .* holds no certificate that can be read"),
    ],
)
async def test_a_gateway_does_not_start_with_files_of_no_use(site, file, told):
    keys = KEYS
    if file == "other.key":
        trustme.CA().issue_cert("x").private_key_pem.write_to_path(site / file)
        keys = KEYS.replace("server.key", file)
    else:
        (site / file).write_text("no PEM")
    with pytest.raises(ConfigError, match=told):
        async with running(site, config=listening(REQUIRED, keys=keys)):
            raise AssertionError
