"""`send` and `check --live` over TLS, against a real gateway: what to do when it fails.  (B88)"""

import asyncio
import socket
import ssl
import threading
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

import pytest
import trustme
from harness import CONFIG, running

LOGIN = ("--login", "kiosk-1", "--password", "pw")
TLS = """[server]
tls_certificate = "server.pem"
tls_key = "server.key"
"""


@pytest.fixture
def authority(tmp_path):
    """The library's own, which no system trusts; its file is `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


def write(directory, name, certificate):
    certificate.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
    certificate.private_key_pem.write_to_path(directory / f"{name}.key")


@asynccontextmanager
async def serving(tmp_path, certificate, more=""):
    write(tmp_path, "server", certificate)
    config = CONFIG.replace("[server]\n", TLS + more)
    async with running(tmp_path, config=config) as gateway:
        yield f"127.0.0.1:{gateway.address[1]}"


async def asked(sip2gw, command, address, *options):
    """One of the two commands; its exit status, and what it says to people."""
    to = ("--to", address, "99") if command == "send" else ("--live", address)
    result = await asyncio.to_thread(sip2gw, command, *to, *LOGIN, *options)
    return result.status, result.err


both = pytest.mark.parametrize("command", ["send", "check"])


@both
async def test_a_gateway_that_the_authority_vouches_for_is_asked(
    sip2gw, tmp_path, authority, command
):
    ca = tmp_path / "ca.pem"
    async with serving(tmp_path, authority.issue_cert("127.0.0.1")) as address:
        status, said = await asked(sip2gw, command, address, "--tls", "--ca", ca)
    assert (status, "TLS failed" in said) == (0, False), said


async def test_a_script_speaks_tls_on_each_of_its_lines(sip2gw, tmp_path, authority):
    script = tmp_path / "two.sip"
    script.write_text("99\nexpect 98\nreconnect\n99\nexpect 98\n")
    options = ("--script", script, "--tls", "--ca", tmp_path / "ca.pem")
    async with serving(tmp_path, authority.issue_cert("127.0.0.1")) as address:
        result = await asyncio.to_thread(sip2gw, "send", "--to", address, *LOGIN, *options)
    assert (result.status, "2 sent, 2 checked, 0 failed" in result.err) == (0, True), result.err


@both
async def test_a_foreign_authority_and_what_to_do(sip2gw, tmp_path, authority, command):
    """Without --ca the authorities of the system count, and the library's is none of them."""
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    async with serving(tmp_path, authority.issue_cert("127.0.0.1")) as address:
        status, said = await asked(sip2gw, command, address, "--tls")
        assert (status, "not from an authority that is trusted here" in said) == (1, True), said
        assert "name the file of its authority with --ca" in said
        status, said = await asked(sip2gw, command, address, "--tls", "--ca", stranger)
    assert (status, f"not from the authority in {stranger}" in said) == (1, True), said


@both
async def test_a_certificate_for_another_name(sip2gw, tmp_path, authority, command):
    ca = tmp_path / "ca.pem"
    async with serving(tmp_path, authority.issue_cert("sip.example.org")) as address:
        status, said = await asked(sip2gw, command, address, "--tls", "--ca", ca)
        assert (status, "is not for 127.0.0.1; use a name that is in it" in said) == (1, True), said
        named = address.replace("127.0.0.1", "localhost")
        status, said = await asked(sip2gw, command, named, "--tls", "--ca", ca)
    assert (status, "is not for localhost" in said) == (1, True), said


@pytest.mark.parametrize(
    ("dates", "told"),
    [
        ({"not_after": datetime(2020, 1, 2, tzinfo=UTC)}, "has expired; renew it, and reload"),
        ({"not_before": datetime(2999, 1, 1, tzinfo=UTC)}, "not valid yet; check the clocks"),
    ],
)
async def test_a_certificate_before_and_after_its_time(sip2gw, tmp_path, authority, dates, told):
    limits = {
        "not_before": datetime(2020, 1, 1, tzinfo=UTC),
        "not_after": datetime(2999, 1, 2, tzinfo=UTC),
    }
    certificate = authority.issue_cert("127.0.0.1", **(limits | dates))
    async with serving(tmp_path, certificate) as address:
        status, said = await asked(sip2gw, "send", address, "--tls", "--ca", tmp_path / "ca.pem")
    assert (status, told in said) == (1, True), said


@both
async def test_a_client_certificate_is_demanded(sip2gw, tmp_path, authority, command):
    write(tmp_path, "mine", authority.issue_cert("k1"))
    write(tmp_path, "theirs", trustme.CA().issue_cert("k1"))
    options = ("--tls", "--ca", tmp_path / "ca.pem")
    demand = 'tls_client_ca = "ca.pem"\n'
    async with serving(tmp_path, authority.issue_cert("127.0.0.1"), demand) as address:
        status, said = await asked(sip2gw, command, address, *options)
        assert (status, "may demand a client certificate" in said) == (1, True), said
        theirs = ("--cert", tmp_path / "theirs.pem", "--key", tmp_path / "theirs.key")
        status, said = await asked(sip2gw, command, address, *options, *theirs)
        assert (status, "does not take the client certificate" in said) == (1, True), said
        mine = ("--cert", tmp_path / "mine.pem", "--key", tmp_path / "mine.key")
        status, said = await asked(sip2gw, command, address, *options, *mine)
        assert status == 0, said
        together = tmp_path / "both.pem"
        together.write_bytes(
            (tmp_path / "mine.pem").read_bytes() + (tmp_path / "mine.key").read_bytes()
        )
        status, said = await asked(sip2gw, command, address, *options, "--cert", together)
        assert status == 0, said


@both
async def test_a_line_without_tls_to_a_listener_with_tls(sip2gw, tmp_path, authority, command):
    async with serving(tmp_path, authority.issue_cert("127.0.0.1")) as address:
        status, said = await asked(sip2gw, command, address)
    assert (status, "because it speaks TLS there; add --tls" in said) == (1, True), said


async def test_a_line_that_ends_after_an_answer_has_nothing_to_do_with_tls(
    sip2gw, tmp_path, authority
):
    """One wrong login ends it, over TLS and without, even if TLS were spoken there."""
    script = tmp_path / "wrong.sip"
    script.write_text("93 CN=kiosk-1 CO=wrong\nexpect 94 ok=0\n99\n")
    certificate = authority.issue_cert("127.0.0.1")
    async with serving(tmp_path, certificate, "login_attempts = 1\n") as address:
        options = ("--script", script, "--tls", "--ca", tmp_path / "ca.pem")
        result = await asyncio.to_thread(sip2gw, "send", "--to", address, *options)
    assert (result.status, "closed" in result.err) == (1, True)
    assert "certificate" not in result.err


def test_only_a_line_without_any_answer_is_tried_with_tls(sip2gw, monkeypatch):
    monkeypatch.setattr("sip2gw.cli.kiosk.client.speaks_tls", lambda *_: True)
    with answering(b"941\r") as address:
        result = sip2gw("check", "--live", address, *LOGIN)
    assert (result.status, "TLS" in result.err) == (1, False), result.err


@contextmanager
def answering(said):
    """Somebody who says `said` to whoever comes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            line, _ = listener.accept()
            with line:
                line.recv(1000)
                line.sendall(said)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"96AZFEF6\r", "speaks no TLS (WRONG_VERSION_NUMBER); leave --tls out"),
        (b"", "closed before TLS was agreed on; check that a terminal may come from this"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "may demand a client certificate"),
    ],
)
def test_what_answers_speaks_no_tls_or_none_with_us(sip2gw, said, told):
    """The last one is the alert of TLS 1.2 for many things, above all that one."""
    with answering(said) as address:
        result = sip2gw("check", "--live", address, "--tls")
    assert (result.status, told in result.err) == (1, True), result.err


def test_a_gateway_without_tls_that_waits_for_more(sip2gw):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        result = sip2gw("send", "--to", address, "--tls", "--timeout", "0.1")
    assert (result.status, "no answer in time; leave --tls out" in result.err) == (1, True)


def test_a_line_that_is_closed_without_tls_is_no_tls(sip2gw, monkeypatch):
    monkeypatch.setattr("sip2gw.cli.kiosk.tls.PROBE_WITHIN_S", 0.1)
    with answering(b"") as address:
        result = sip2gw("send", "--to", address, *LOGIN)
    assert (result.status, "TLS" in result.err) == (1, False), result.err
    assert "the gateway closed the line; check that a terminal may come from this" in result.err
    assert "takes connections with a PROXY header only, so go through the proxy" in result.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--ca", "ca.pem"), "--ca, --cert and --key need --tls"),
        (("--cert", "ca.pem"), "--ca, --cert and --key need --tls"),
        (("--tls", "--key", "ca.pem"), "--key needs --cert"),
        (("--tls", "--ca", "none.pem"), "none.pem: cannot be read: No such file"),
        (("--tls", "--ca", "empty"), "empty: holds no certificate in PEM form"),
        (("--tls", "--cert", "ca.pem"), "cannot be used with the key in the same file"),
        (("--tls", "--cert", "ca.pem", "--key", "other.key"), "with the key in other.key; name"),
        (("--tls", "--cert", "ca.pem", "--key", "locked.key"), "and unencrypted"),
    ],
)
def test_options_that_cannot_be_used_are_wrong_usage(
    sip2gw, tmp_path, authority, monkeypatch, options, told
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "other", authority.issue_cert("k1"))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "locked.key").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        result = sip2gw("check", "--live", address, *options)
    assert (result.status, told in result.err) == (2, True), result.err


def test_the_password_of_a_locked_key_is_never_asked_for(sip2gw, tmp_path, authority, monkeypatch):
    """A test tool that waits at a prompt hangs a script."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "mine", authority.issue_cert("k1"))
    asked = []

    def load(context, certificate, key, password):
        asked.append(password())
        raise ssl.SSLError(1, "bad decrypt")

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        result = sip2gw("check", "--live", address, "--tls", "--cert", "mine.pem")
    assert (result.status, asked) == (2, [""])
