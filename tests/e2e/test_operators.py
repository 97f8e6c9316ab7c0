"""Monitoring and control stand beside the gateway: real processes, killed and told (B86, C130)."""

import asyncio
import json
import os
import resource
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from harness import CONFIG, LIBRARY, ask_37, ask_63
from proofs import clerk
from proofs.process import ROOT, GatewayProcess, prepare

from sip2gw.foundation.priority import NICENESS

STATUS = "9900302.00"
PAY = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")


def alive(pid):
    """Whether it runs, and is no mere entry that nobody has read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.01)


async def started(config, *arguments):
    """A command, beside the gateway that runs on `config`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sip2gw", *arguments, "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def command(config, *arguments):
    """Its exit status, what it printed, and what it told people."""
    (said,) = await clerk.ask(config, arguments)
    return said


# Two processes ------------------------------------------------------------------------------


async def test_http_is_started_again_when_it_is_killed_and_terminals_notice_nothing(start):
    async with start(http=True) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert "sip2gw_http_restarts_total 0.0" in (await gateway.http("/metrics"))[1]
        for times in (1, 2):
            os.kill(gateway.http_pid, signal.SIGKILL)
            asking = asyncio.create_task(gateway.http("/metrics"))  # and nobody is refused
            assert (await kiosk.ask(STATUS)).startswith("98Y")
            status, text = await asking
            assert status == 200
            assert f"sip2gw_http_restarts_total {times}.0" in text
        assert [line["status"] for line in gateway.events("http_ended")] == [-9, -9]
        assert gateway.other_output == []


async def test_http_yields_to_the_gateway_tells_that_it_hangs_and_ends_with_it(start):
    async with start(http=True) as gateway:
        assert (await gateway.http("/livez"))[0] == 200
        child = gateway.http_pid
        own, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (gateway.pid, child))
        assert its == min(own + NICENESS, 19), "the gateway comes first when both want a core"
        assert os.getsid(child) == os.getsid(gateway.pid)  # else it would not count

        gateway.signal(signal.SIGSTOP)
        asked = map(gateway.http, ("/livez", "/readyz", "/metrics"))
        assert [status for status, _ in await asyncio.gather(*asked)] == [503, 503, 503]
        gateway.signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            while (await gateway.http("/livez"))[0] != 200:
                pass

        gateway.signal(signal.SIGKILL)
        await until(lambda: not alive(child))
        await gateway.ended()


async def test_http_serves_until_the_gateway_has_ended_whatever_signals_it_gets(start, tmp_path):
    """systemd sends SIGTERM to both, Ctrl-C goes to both."""
    async with start(http=True) as gateway:
        pay = await gateway.terminal("pay-1")
        assert (await gateway.http("/livez"))[0] == 200
        child = gateway.http_pid
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(child, number)
        assert os.getpgid(child) != os.getpgid(gateway.pid)
        other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await pay.send(PAY)
        gateway.signal(signal.SIGTERM)
        await gateway.logged("stopping")
        assert (await gateway.http("/readyz"))[0] == 503
        assert (await gateway.http("/livez"))[0] == 200
        other.execute("COMMIT")
        other.close()
        assert (await pay.read()).startswith("38Y")
        assert await gateway.ended() == 0
        assert not alive(child)
        assert gateway.events("http_ended") == []


async def test_http_without_descriptors_does_not_spin(start):
    async with start(http=True) as gateway:
        assert (await gateway.http("/livez"))[0] == 200
        child = gateway.http_pid
        limit = resource.prlimit(child, resource.RLIMIT_NOFILE)
        resource.prlimit(child, resource.RLIMIT_NOFILE, (3, limit[1]))
        waiting = asyncio.create_task(gateway.http("/livez"))
        await gateway.logged("resources_exhausted")
        used = cpu_s(child)
        await asyncio.sleep(1)
        assert cpu_s(child) - used < 0.5
        resource.prlimit(child, resource.RLIMIT_NOFILE, limit)
        assert (await waiting)[0] == 200


def cpu_s(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# Commands -----------------------------------------------------------------------------------


async def test_a_reload_says_what_became_of_it(start):
    async with start(http=True) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        new = CONFIG.replace("Hub Library", "New Library")
        gateway.config.write_text(new.replace('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:1"'))
        status, out, err = await command(gateway.config, "reload")
        assert (status, out) == (0, "")
        assert "sip2gw: reloaded\n" in err
        assert "restart the gateway to put these into effect: admin.listen" in err
        assert "AMNew Library|" in await kiosk.ask(STATUS)


REFUSED_RELOADS = [
    ('kind = "selfcheck"', 'kind = "robot"', "profiles.kiosk.kind"),
    ('currency = "EUR"', 'currency = "JPY"', "institution.currency: a reload cannot change"),
    ("[server]", "[server", "is not valid TOML"),
]


async def test_a_reload_that_is_refused_fails_the_command(start):
    new_name = CONFIG.replace("Hub Library", "New Library")
    async with start() as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        for old, new, told in REFUSED_RELOADS:
            gateway.config.write_text(new_name.replace(old, new))
            status, _, err = await command(gateway.config, "reload")
            assert status == 1
            assert "refused the reload" in err
            assert told in err
            assert "AMHub Library|" in await kiosk.ask(STATUS)


async def test_terminals_are_listed_and_disconnected(start):
    async with start() as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        _, out, _ = await command(gateway.config, "terminal", "list", "--json")
        rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
        assert list(rows["kiosk-1"]) == [
            *("name", "profile", "branch", "connected", "lines"),
            *("address", "since", "requests", "last_message"),
        ]
        assert rows["kiosk-1"]["connected"] is True
        assert rows["pay-1"]["connected"] is False
        _, table, _ = await command(gateway.config, "terminal", "list")
        assert table.splitlines()[0].startswith("name ")
        status, _, err = await command(gateway.config, "terminal", "kick", "kiosk-1")
        assert (status, err) == (0, "sip2gw: kiosk-1: 1 line closed\n")
        assert await kiosk.ended()
        for name, why in (("kiosk-1", "not connected"), ("nobody", "no terminal of that name")):
            status, _, err = await command(gateway.config, "terminal", "kick", name)
            assert status == 1
            assert why in err


async def test_a_trace_shows_no_secret_and_ends_by_itself(start):
    secrets = ("71n5ecret", "c05ecret", "cn5ecret", "ac5ecret", "pw|")
    async with start() as gateway:
        tracing = await started(gateway.config, "terminal", "trace", "kiosk-1", "--frames", "7")
        waiting = (await tracing.stderr.readline()).decode()
        assert waiting == "sip2gw: kiosk-1 is not connected; waiting for it for 60 s\n"
        kiosk = await gateway.terminal("kiosk-1")
        await kiosk.ask(ask_63("1001", secrets[0], extra=f"CO{secrets[1]}|CN{secrets[2]}|"))
        await kiosk.ask(ask_63("1001", "1001").replace("AC|", f"AC{secrets[3]}|"))
        await kiosk.ask(STATUS)
        out, err = map(bytes.decode, await tracing.communicate())
        assert tracing.returncode == 0
        assert "→ 63 Patron information\n" in out
        assert "← 64 Patron information response\n" in out
        assert "  AA patron identifier: 1001\n" in out
        assert "  AD patron password: ***\n" in out
        assert "the number of messages is reached" in err
        told = out + err + json.dumps(gateway.log)
        assert not [secret for secret in secrets if secret in told]


async def test_a_trace_ends_with_its_command_after_its_time_and_with_the_gateway(start):
    async with start() as gateway:
        tracing = await started(gateway.config, "terminal", "trace", "kiosk-1")
        await gateway.logged("trace_began")
        tracing.kill()
        await gateway.logged("trace_ended")
        await tracing.wait()

        status, _, err = await command(
            gateway.config, "terminal", "trace", "kiosk-1", "--seconds", "0.1"
        )
        assert status == 0
        assert "the time is up" in err

        tracing = await started(gateway.config, "terminal", "trace", "kiosk-1")
        await gateway.logged("trace_began", 3)
        assert await gateway.stop() == 0
        assert "the gateway is stopping" in (await tracing.communicate())[1].decode()


async def test_drain_finishes_what_runs_and_waits_for_the_end(start, tmp_path):
    async with start() as gateway:
        pay = await gateway.terminal("pay-1")
        await pay.ask(STATUS)
        other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await pay.send(PAY)
        draining = await started(gateway.config, "drain")
        await gateway.logged("stopping")
        assert draining.returncode is None
        other.execute("COMMIT")
        other.close()
        assert (await pay.read()).startswith("38Y")
        _, err = await draining.communicate()
        assert (draining.returncode, err) == (0, b"sip2gw: the gateway has ended\n")
        assert not alive(gateway.pid)
        assert await gateway.ended() == 0
        assert not (tmp_path / "sip2gw.control").exists()


async def test_drain_tells_what_was_given_up(start, tmp_path):
    async with start() as gateway:
        pay = await gateway.terminal("pay-1")
        other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await pay.send(PAY)
        status, _, err = await command(gateway.config, "drain")
        other.close()
        assert status == 1
        assert "took too long and was abandoned: store" in err
        assert await gateway.ended() == 1


async def test_drain_of_a_gateway_that_is_killed_fails(start, tmp_path):
    async with start() as gateway:
        pay = await gateway.terminal("pay-1")
        other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await pay.send(PAY)
        draining = await started(gateway.config, "drain")
        await gateway.logged("stopping")
        await gateway.kill()
        other.close()
        _, err = await draining.communicate()
        assert draining.returncode == 1
        assert "ended before it had finished" in err.decode()
        await gateway.start()  # what it left of its socket is replaced
        assert (await command(gateway.config, "reload"))[0] == 0


@pytest.mark.parametrize(
    "arguments", [("reload",), ("drain",), ("terminal", "list"), ("terminal", "trace", "x")]
)
async def test_without_a_gateway_it_is_said_what_to_do(tmp_path, arguments):
    (tmp_path / "sip2gw.toml").write_text(CONFIG)
    status, _, err = await command(tmp_path / "sip2gw.toml", *arguments)
    assert status == 1
    assert f"no gateway answers at {tmp_path}/sip2gw.control" in err
    assert "start it with `sip2gw serve`" in err


async def test_two_gateways_that_share_a_socket_are_told_and_both_serve(start, tmp_path):
    async with start() as first:
        (tmp_path / "other").mkdir()
        shared = CONFIG.replace("[server]", f'[server]\nsocket = "{tmp_path}/sip2gw.control"')
        async with start(shared, tmp_path / "other") as second:
            (failed,) = second.events("control_socket_failed")
            assert "belongs to a gateway that is running" in failed["problem"]
            for gateway in (first, second):
                assert (await (await gateway.terminal("kiosk-1")).ask(STATUS)).startswith("98Y")
            await second.stop()
        assert (await command(first.config, "reload"))[0] == 0


async def test_it_is_reached_in_a_directory_with_a_long_name_and_under_systemd(start, tmp_path):
    long = tmp_path / ("d" * 150)
    long.mkdir()
    async with start(directory=long) as gateway:
        assert (await command(gateway.config, "reload"))[0] == 0
    run = tmp_path / "run"
    run.mkdir()
    async with start(environment={"RUNTIME_DIRECTORY": str(run)}):
        assert [path.name for path in run.iterdir()] == ["sip2gw.control"]
        assert (run / "sip2gw.control").stat().st_mode & 0o777 == 0o600


# Early signals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGTERM, "imports"), (signal.SIGINT, "store")]
)
async def test_an_early_stop_ends_it_with_0(tmp_path, number, moment):
    gateway = GatewayProcess(await prepare(tmp_path, CONFIG, LIBRARY))
    await gateway.launch()
    await until(lambda: has_come_to(gateway.pid, moment, tmp_path))
    gateway.signal(number)
    assert await gateway.ended() == 0
    assert gateway.other_output == []


async def test_an_early_reload_does_not_kill_it(tmp_path):
    config = await prepare(tmp_path, CONFIG, LIBRARY)
    async with GatewayProcess(config) as gateway:
        starting = asyncio.create_task(gateway.start())
        await asyncio.sleep(0)
        await until(lambda: gateway._process and has_come_to(gateway.pid, "imports", tmp_path))
        while not starting.done():
            gateway.signal(signal.SIGHUP)
            await asyncio.sleep(0.05)
        await starting
        await gateway.logged("reload_done")
        assert (await (await gateway.terminal("kiosk-1")).ask(STATUS)).startswith("98Y")
        assert await gateway.stop() == 0


def has_come_to(pid, moment, directory):
    """Whether it notes signals already, and has opened its store."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    if not caught & 1 << (signal.SIGHUP - 1):
        return False
    return moment == "imports" or any(
        Path(f"/proc/{pid}/fd/{fd}").resolve() == directory / "library.db"
        for fd in os.listdir(f"/proc/{pid}/fd")
    )
