"""Two workers and their parent are one gateway: real processes on PostgreSQL (B87, C131)."""

import asyncio
import os
import re
import signal

import pytest
import trustme
from harness import CONFIG, LIBRARY, ask_37, ask_63
from postgres import running_server
from proofs import clerk
from proofs.process import GatewayProcess, prepare

STATUS = "9900302.00"
PAY = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
PLAIN = '[server]\nlisten = ["127.0.0.1:0"]\n'
MANY = """[server]
workers = 2
tls_certificate = "server.pem"
tls_key = "server.key"
listen = [{ address = "127.0.0.1:0", tls = false }]
"""
KIOSKS = "".join(
    f'[terminals.k{number}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n'
    for number in range(20)
)


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running


@pytest.fixture
async def gateway(server, tmp_path, watch):
    url = f'url = "{server.url(server.make_database())}"'
    config = re.sub(r'url = "sqlite:[^"]*"', lambda _: url, CONFIG)
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    file = await prepare(tmp_path, config.replace(PLAIN, MANY) + KIOSKS, LIBRARY)
    async with GatewayProcess(file, program=watch.program()) as started:
        await started.start()
        await becomes(started, "sip2gw_workers", 2)
        yield started


async def becomes(gateway, series, value):
    """Wait until the page shows `value`; it may be half a second old."""
    async with asyncio.timeout(30):
        while await number(gateway, series) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def number(gateway, series):
    """The value of a series of the page; None without it."""
    status, page = await gateway.http("/metrics")
    assert status == 200
    found = re.findall(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return float(found[0]) if found else None


async def command(gateway, *arguments):
    (said,) = await clerk.ask(gateway.config, arguments)
    return said


async def connected(gateway, logins):
    """Terminals that have logged in."""
    return {login: await gateway.terminal(login) for login in logins}


def places(gateway):
    """At which worker each terminal has logged in last."""
    return {line["terminal"]: line["worker"] for line in gateway.events("login")}


async def test_several_workers_are_one_gateway(gateway):
    logins = [f"k{number}" for number in range(10)]
    kiosks = await connected(gateway, logins)
    for kiosk in kiosks.values():
        assert (await kiosk.ask(ask_63("1001"))).startswith("64")

    await gateway.logged("login", 10)
    # Each serves as many, and there is one page, and one list.
    assert sorted(places(gateway)[login] for login in logins) == [0] * 5 + [1] * 5
    await becomes(gateway, 'sip2gw_connections{profile="kiosk"}', 10)
    answered = 'sip2gw_requests_total{message="63",outcome="ok",profile="kiosk"}'
    await becomes(gateway, answered, 10)
    await becomes(gateway, 'sip2gw_terminals_configured{profile="kiosk"}', 21)
    assert await gateway.http("/readyz") == (200, "ok\n")
    listed = await command(gateway, "terminal", "list")
    assert len(re.findall(r"^k\d+ .* yes .* 127.0.0.1 ", listed.output, re.MULTILINE)) == 10

    # A terminal that comes again replaces its older line, wherever that is.
    for _ in range(3):
        newer = await gateway.terminal("k5")
        assert await kiosks["k5"].ended()
        kiosks["k5"] = newer
    assert (await kiosks["k5"].ask(STATUS)).startswith("98Y")
    numbers = [line["connection"] for line in gateway.events("login")]
    assert len(set(numbers)) == len(numbers)

    # A terminal is found wherever it is.
    for login in ("k0", "k1"):
        assert (await command(gateway, "terminal", "kick", login)).status == 0
        assert await kiosks[login].ended()
    refused = await command(gateway, "terminal", "kick", "k0")
    assert "not connected" in refused.complaints
    tracing = asyncio.create_task(
        command(gateway, "terminal", "trace", "k2", "--frames", "2", "--seconds", "60")
    )
    await gateway.logged("trace_began")
    await kiosks["k2"].ask(ask_63("1002"))
    shown = await tracing
    assert "63 Patron information" in shown.output
    assert "64 Patron information response" in shown.output

    # All follow a reload, or none does.
    good = gateway.config.read_text()
    gateway.config.write_text(good.replace('kind = "selfcheck"', 'kind = "robot"', 1))
    assert "profiles.kiosk.kind" in (await command(gateway, "reload")).complaints
    gateway.config.write_text(
        good.replace("Hub Library", "New Library").replace("[terminals.k9]", "[terminals.k99]")
    )
    assert (await command(gateway, "reload")).status == 0
    assert await kiosks.pop("k9").ended()
    for login in ("k3", "k4"):
        assert "AMNew Library|" in await kiosks[login].ask(STATUS)
    await becomes(gateway, "sip2gw_config_last_reload_successful", 1)

    # The end is one, too.
    assert (await command(gateway, "drain")).status == 0
    assert await gateway.ended() == 0
    assert await kiosks["k3"].ended()
    assert gateway.other_output == []
    assert len(gateway.events("stopped")) == 3, gateway.log[-12:]


async def test_a_worker_that_crashes_or_stands_still_is_replaced(gateway):
    kiosks = await connected(gateway, [f"k{number}" for number in range(4)])
    await gateway.logged("login", 4)
    answered = 'sip2gw_requests_total{message="63",outcome="ok",profile="kiosk"}'
    for kiosk in kiosks.values():
        await kiosk.ask(ask_63("1001"))
    await becomes(gateway, answered, 4)
    pids, at = gateway.workers, places(gateway)

    # What is wrong with a certificate by now is no matter of its successors.
    (gateway.config.parent / "server.pem").write_bytes(b"")

    # One crashes: its terminals come again, the others notice nothing, and no counter goes back.
    os.kill(pids[1], signal.SIGKILL)
    for login, kiosk in kiosks.items():
        if at[login] == 1:
            assert await kiosk.ended()
            kiosks[login] = await gateway.terminal(login)
        assert (await kiosks[login].ask(ask_63("1001"))).startswith("64")
    await becomes(gateway, answered, 8)
    await becomes(gateway, 'sip2gw_worker_restarts_total{reason="crash"}', 1)
    await becomes(gateway, "sip2gw_workers", 2)
    ended = await gateway.logged("worker_ended")
    assert (ended["worker"], ended["reason"], ended["status"]) == (1, "crash", -9)
    # Its place is free again: the next one goes where there are fewer.
    late = [await gateway.terminal(f"k{number}") for number in range(4, 8)]
    await gateway.logged("login", 10)
    assert sorted(places(gateway).values()) == [0] * 4 + [1] * 4
    assert await number(gateway, 'sip2gw_connections{profile="kiosk"}') is not None

    # One stands still: whoever comes is served by the other, and it is replaced.
    os.kill(gateway.workers[0], signal.SIGSTOP)
    for login in ("k8", "k9", "k10"):
        kiosk = await gateway.terminal(login)
        assert (await kiosk.ask(ask_63("1001"))).startswith("64")
    assert await gateway.http("/readyz") == (200, "ok\n")
    await becomes(gateway, 'sip2gw_worker_restarts_total{reason="stuck"}', 1)
    await becomes(gateway, "sip2gw_workers", 2)
    assert (await late[0].ask(STATUS) if places(gateway)["k4"] == 1 else "98").startswith("98")
    assert (await gateway.logged("worker_ended", 2))["reason"] == "stuck"
    assert await gateway.stop() == 0


async def test_while_no_worker_can_take_them_newcomers_wait(gateway):
    for pid in gateway.workers.values():
        os.kill(pid, signal.SIGKILL)
    await gateway.logged("worker_ended", 2)
    waiting = [asyncio.create_task(gateway.terminal(f"k{number}")) for number in range(3)]
    assert (await gateway.http("/readyz"))[0] == 503
    for kiosk in await asyncio.gather(*waiting):
        assert (await kiosk.ask(STATUS)).startswith("98Y")
    await becomes(gateway, "sip2gw_workers", 2)

    # Another start follows this gateway, with its own workers, and payments go on at once.
    async with GatewayProcess(gateway.config) as after:
        await after.start()
        assert after.other_output == [f"sip2gw: taking over from process {gateway.pid}"]
        assert await gateway.ended() == 0
        assert after.addresses == gateway.addresses
        till = await after.terminal("pay-1")
        assert (await till.ask(PAY)).startswith("38Y")
        await killed_alone(after)


async def killed_alone(gateway):
    """Its workers end with it, even if it could not say so.

    Who waits for what only it can allow gets no answer: a no could be untrue, if the request
    repeats a booked payment.
    """
    kiosks = [await gateway.terminal(f"k{number}") for number in range(4, 8)]
    pids = gateway.workers.values()
    os.kill(gateway.pid, signal.SIGSTOP)
    for kiosk in kiosks:
        await kiosk.send(ask_63("1001", "1001"))
    # All have asked for the patron's turn. Whatever a busy worker reads later ends alike.
    await asyncio.sleep(0.2)
    await gateway.kill()
    assert [await kiosk.reader.read() for kiosk in kiosks] == [b""] * len(kiosks)
    async with asyncio.timeout(20):
        while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def is_alive(pid):
    """Whether it runs, and is no mere entry that nobody has read."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_without_a_store_it_does_not_start_and_says_why_once(server, tmp_path):
    config = tmp_path / "sip2gw.toml"
    text = CONFIG.replace("[server]", "[server]\nworkers = 2")
    config.write_text(text.replace("sqlite:library.db", server.url("nowhere")))
    async with GatewayProcess(config) as gateway:
        await gateway.launch()
        assert await gateway.ended() == 1
        (said,) = gateway.other_output
        assert "nowhere" in said
