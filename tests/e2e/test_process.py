"""A real process through its life: start, signals, reload, refusal to start (B66, C48)."""

import os
import signal
import sqlite3

import pytest
from harness import CONFIG, LIBRARY, ask_23, ask_37
from proofs.process import GatewayProcess, prepare

PAY = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")


async def test_it_says_when_it_listens_and_ends_with_0(start):
    async with start(http=True) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert await gateway.http("/livez") == (200, "ok\n")
        assert await gateway.http("/readyz") == (200, "ok\n")
        assert await gateway.stop() == 0
        assert await kiosk.ended()
        assert [line["event"] for line in gateway.log if line["event"] != "request"] == [
            "listening",
            "login",
            "stopping",
            "connection_closed",
            "stopped",
        ]
        assert gateway.other_output == []


async def test_ctrl_c_ends_it_as_well(start):
    async with start() as gateway:
        gateway.signal(signal.SIGINT)
        assert await gateway.ended() == 0


async def test_sigterm_waits_for_a_running_payment(start, tmp_path):
    async with start(http=True) as gateway:
        pay, idle = await gateway.terminal("pay-1"), await gateway.terminal("kiosk-1")
        await pay.ask(ask_23("1004", "1004"))
        other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await pay.send(PAY)
        gateway.signal(signal.SIGTERM)
        await gateway.logged("stopping")
        assert await idle.ended()  # and the payment still waits for the store
        other.execute("COMMIT")
        other.close()
        assert (await pay.read()).startswith("38Y")
        assert await pay.ended()
        assert await gateway.ended() == 0
        await gateway.start()
        pay = await gateway.terminal("pay-1")
        assert (await pay.ask(PAY)).startswith("38Y")  # the first 38 once more: it was booked
        assert 'outcome="replayed"' in (await gateway.http("/metrics"))[1]


async def test_a_payment_acknowledged_before_sigkill_is_the_same_after_it(start):
    async with start() as gateway:
        first = await (await gateway.terminal("pay-1")).ask(PAY)
        await gateway.kill()
        await gateway.start()
        again = await (await gateway.terminal("pay-1")).ask(PAY)
    assert first == again
    assert first.startswith("38Y")


async def test_a_store_that_breaks_under_it_is_answered_and_does_not_end_it(start, tmp_path):
    async with start(http=True) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        other = sqlite3.connect(tmp_path / "library.db")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        assert (await (await gateway.terminal("pay-1")).ask(PAY)).startswith("38Y")
        os.truncate(tmp_path / "library.db", 0)
        os.truncate(tmp_path / "library.db-wal", 0)
        assert (await kiosk.ask(ask_23("1010"))).startswith("24")
        assert (await kiosk.ask("9900302.00")).startswith("98NNNNNN000")
        assert (await gateway.http("/readyz"))[0] == 503


async def test_sighup_reloads_without_dropping_terminals(start):
    async with start(http=True) as gateway:
        kiosk, removed = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-2")
        new = CONFIG.replace("Hub Library", "New Library").replace(
            "[terminals.pay-2]", "[terminals.pay-9]"
        )
        gateway.config.write_text(new.replace('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:1"'))
        gateway.signal(signal.SIGHUP)
        done = await gateway.logged("reload_done")
        assert done["needs_restart"] == ["admin.listen"]
        assert "AMNew Library|" in await kiosk.ask("9900302.00")
        assert await removed.ended()
        assert await (await gateway.terminal("pay-9")).ask("9900302.00")


MANY = "".join(
    f'[terminals.t{number}]\nprofile = "kiosk"\nbranch = "MAIN"\npassword = "pw"\n'
    for number in range(3_000)
)


async def test_a_reload_of_thousands_of_terminals_holds_up_nobody(start):
    """C114; a watchdog looks on."""
    async with start(CONFIG + MANY) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        for times in (1, 2):
            gateway.config.write_text(CONFIG.replace("Hub Library", f"Library {times}") + MANY)
            gateway.signal(signal.SIGHUP)
            while not gateway.events("reload_done")[times - 1 :]:
                assert (await kiosk.ask("9900302.00")).startswith("98Y")
            assert f"AMLibrary {times}|" in await kiosk.ask("9900302.00")


async def test_a_configuration_that_nobody_finishes_holds_up_neither_terminals_nor_the_end(start):
    async with start() as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        gateway.config.unlink()
        os.mkfifo(gateway.config)  # and nobody writes
        gateway.signal(signal.SIGHUP)
        for _ in range(10):
            assert (await kiosk.ask("9900302.00")).startswith("98Y")
        (problem,) = (await gateway.logged("reload_failed", 1))["problems"]
        assert "it is a pipe or a device; name a regular file" in problem
        assert await gateway.stop() == 0
        assert gateway.events("reload_done") == []
        assert gateway.other_output == gateway.events("uncaught") == []


async def test_a_reload_that_is_refused_changes_nothing_and_money_stays_what_it_was(start):
    """A key that is wrong, and one that a reload cannot change (C113)."""
    async with start() as gateway:
        kiosk, pay = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
        new = CONFIG.replace("Hub Library", "New Library")
        for number, (old, wrong, told) in enumerate(REFUSED, 1):
            gateway.config.write_text(new.replace(old, wrong))
            gateway.signal(signal.SIGHUP)
            failed = await gateway.logged("reload_failed", number)
            (problem,) = failed["problems"]
            for word in told:
                assert word in problem
            assert "AMHub Library|" in await kiosk.ask("9900302.00")
        answer = await pay.ask(ask_37("1004", "2", pin="1004", fee="D2", bk="K1"))
        assert answer.startswith("38Y")
        assert "EUR 2.00 has been paid." in answer
        gateway.config.write_text(CONFIG)
        gateway.signal(signal.SIGHUP)
        await gateway.logged("reload_done")
        assert "AMHub Library|" in await kiosk.ask("9900302.00")


REFUSED = (
    ('kind = "selfcheck"', 'kind = "robot"', ("profiles.kiosk.kind", "robot")),
    (
        'currency = "EUR"',
        'currency = "JPY"',
        ("institution.currency: a reload cannot change this key",),
    ),
)


async def test_an_address_that_is_taken_is_refused_and_named(start, tmp_path):
    async with start() as gateway:
        elsewhere = tmp_path / "other"
        elsewhere.mkdir()
        address = f"127.0.0.1:{gateway.address[1]}"
        config = await prepare(elsewhere, CONFIG, LIBRARY)
        for key in ('listen = ["127.0.0.1:0"]', 'listen = "127.0.0.1:0"'):
            config.write_text(CONFIG.replace(key, key.replace("127.0.0.1:0", address)))
            second = GatewayProcess(config)
            await second.launch()
            assert await second.ended() == 1
            (told,) = [line for line in second.other_output if "cannot listen" in line]
            assert told.startswith(f"sip2gw: cannot listen: {address}: ")


@pytest.mark.parametrize(
    "wrong",
    [
        (
            ('kind = "selfcheck"', 'kind = "robot"', ("profiles.kiosk.kind", "robot", "selfcheck")),
            ('currency = "EUR"', 'currency = "euro"', ("institution.currency", "euro")),
            ("[server]", "[server]\nidle_timeout = 3", ("server.idle_timeout",)),
        ),
        (
            (
                'profile = "kiosk"',
                'profile = "kisok"',
                ("terminals.kiosk-1.profile", "kisok", "kiosk"),
            ),
        ),
    ],
    ids=["values", "names"],
)
async def test_each_configuration_error_names_file_key_value_and_what_is_allowed(tmp_path, wrong):
    path = tmp_path / "sip2gw.toml"
    config = CONFIG
    for old, new, _ in wrong:
        config = config.replace(old, new)
    path.write_text(config)
    gateway = GatewayProcess(path)
    await gateway.launch()
    assert await gateway.ended() == 2
    assert "Traceback" not in "\n".join(gateway.other_output)
    said = [line for line in gateway.other_output if "sip2gw.toml" in line]
    for _, _, told in wrong:
        assert any(all(word in line for word in told) for line in said), told


async def test_a_missing_configuration_file_exits_2(tmp_path):
    gateway = GatewayProcess(tmp_path / "nothing.toml")
    await gateway.launch()
    assert await gateway.ended() == 2
    assert "nothing.toml" in gateway.other_output[0]


async def test_starts_after_a_stop_and_after_a_kill_find_the_store_sound(start):
    async with start(http=True) as gateway:
        for number in range(2):
            pay = await gateway.terminal("pay-1")
            text = ask_37("1004", "0.10", pin="1004", bk=f"B{number}")
            assert (await pay.ask(text)).startswith("38Y")
            await (gateway.stop() if number % 2 else gateway.kill())
            await gateway.start()
        _, metrics = await gateway.http("/metrics")
        assert "sip2gw_backend_errors_total{" not in metrics
