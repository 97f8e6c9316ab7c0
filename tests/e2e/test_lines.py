"""Connections of a real process: take-over, limits, time-outs, line ends, silence (B3, B8-B14)."""

import asyncio

from harness import CONFIG, ask_23, ask_37, ask_63

from sip2gw.protocol.checksum import seal

STATUS = "9900302.00"


def with_server(**settings):
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return CONFIG.replace("[server]\n", "[server]\n" + lines)


async def refused(gateway, **options):
    """Whether a newcomer is turned away without a word."""
    try:
        return await (await gateway.connect(**options)).ended()
    except ConnectionError:
        return True


async def test_the_same_terminal_again_replaces_its_older_connection(start):
    async with start() as gateway:
        first, other = await gateway.terminal("kiosk-1"), await gateway.terminal("pay-1")
        second = await gateway.terminal("kiosk-1")
        assert await first.ended()
        assert (await second.ask(STATUS)).startswith("98Y")
        assert (await other.ask(STATUS)).startswith("98Y")
        closed = await gateway.logged("connection_closed")
        assert closed["reason"] == "replaced"


async def test_failing_logins_are_held_back_good_ones_are_not(start):
    config = CONFIG.replace("login_backoff_s = 0", "login_backoff_s = 1")
    async with start(config) as gateway:
        bad, good = await gateway.connect(), await gateway.connect()
        await bad.send("9300CNkiosk-1|COwrong|")
        await gateway.logged("login_refused")
        waiting = asyncio.create_task(bad.read())
        assert await good.ask("9300CNkiosk-1|COpw|") == "941"
        assert not waiting.done()
        assert await waiting == "940"


async def test_three_failing_logins_close_the_line(start):
    async with start() as gateway:
        line = await gateway.connect()
        for password in ("a", "b", "c"):
            assert await line.ask(f"9300CNnobody|CO{password}|") == "940"
        assert await line.ended()
        closed = await gateway.logged("connection_closed")
        assert closed["reason"] == "login_attempts"


async def test_each_time_limit_closes_what_it_is_for(start):
    limits = {"login_timeout_s": 2, "idle_timeout_s": 3, "frame_timeout_s": 1}
    async with start(with_server(**limits), http=True) as gateway:
        silent, half = await gateway.connect(), await gateway.terminal("pay-1")
        idle = await gateway.terminal("kiosk-1")
        await half.send(b"2300120260310")
        for line in (half, silent, idle):
            assert await line.ended()
        await gateway.logged("connection_closed", 3)
        reasons = [line["reason"] for line in gateway.events("connection_closed")]
        assert sorted(reasons) == ["idle", "login_timeout", "stalled"]
        assert 'frames_rejected_total{reason="stalled"} 1.0' in (await gateway.http("/metrics"))[1]


async def test_at_a_cap_the_newcomer_is_refused_and_counted(start):
    limits = {"max_connections": 3, "max_connections_per_address": 2}
    async with start(with_server(**limits), http=True) as gateway:
        kiosk, _second = await gateway.terminal("kiosk-1"), await gateway.connect()
        assert await refused(gateway)
        third = await gateway.connect(local_addr=("127.0.0.2", 0))
        assert (await third.ask(STATUS)).startswith("98Y")
        assert await refused(gateway, local_addr=("127.0.0.3", 0))
        assert (await kiosk.ask(STATUS)).startswith("98Y")
        _, metrics = await gateway.http("/metrics")
        assert 'connections_refused_total{reason="address"} 1.0' in metrics
        assert 'connections_refused_total{reason="total"} 1.0' in metrics


async def test_ipv6_beside_ipv4(start):
    config = CONFIG.replace('listen = ["127.0.0.1:0"]', 'listen = ["127.0.0.1:0", "[::1]:0"]')
    async with start(config) as gateway:
        four, six = gateway.addresses
        assert four.startswith("127.0.0.1:")
        assert six.startswith("[::1]:")
        line = await gateway.connect(("::1", int(six.rpartition(":")[2])))
        assert await line.ask("9300CNkiosk-1|COpw|") == "941"


async def test_line_ends_of_every_sort(start):
    config = CONFIG.replace('kind = "selfcheck"', 'kind = "selfcheck"\nterminator = "CRLF"')
    async with start(config) as gateway:
        kiosk = await gateway.connect()
        for end in (b"\r", b"\n", b"\r\n", b"\r\r\n", b"\n\r\0 "):
            await kiosk.send(b"9300CNkiosk-1|COpw|" + end)
            assert (await kiosk.read()).lstrip("\n") == "941"
        await kiosk.send(b"9900302.00\n9900302.00\r\n9900302.00\r")
        answers = [await kiosk.reader.readuntil(b"\r\n") for _ in range(3)]
        assert [answer.strip()[:3] for answer in answers] == [b"98Y"] * 3


async def test_a_terminal_that_never_reads_hurts_nobody(start):
    async with start() as gateway:
        deaf, kiosk = await gateway.terminal("pay-1"), await gateway.terminal("kiosk-1")
        deaf.writer.transport.pause_reading()
        question = ask_63("1001", "1001", summary="Y" * 10).encode() + b"\r"
        sent = 0
        try:
            async with asyncio.timeout(1):
                while sent < 64 << 20:
                    deaf.writer.write(question * 500)
                    sent += len(question) * 500
                    await deaf.writer.drain()
        except TimeoutError:
            pass  # it is not listened to any longer either, which is the point
        assert sent < 64 << 20
        assert (await kiosk.ask(ask_23("1001", "1001"))).startswith("24")
        deaf.writer.transport.abort()
        assert await gateway.stop() == 0


async def test_97_and_replay_over_a_real_socket(start):
    async with start(http=True) as gateway:
        pay = await gateway.connect()
        assert await pay.ask(b"97AZFEF5\r") == "96AZFEF6"
        assert await pay.ask(seal(b"9300CNpay-1|COpw|", b"1", True) + b"\r") == "941AY1AZFDFC"
        bill = seal(ask_37("1004", "2.50", pin="1004").encode(), b"2", True) + b"\r"
        first = await pay.ask(bill)
        assert first.startswith("38Y")
        assert await pay.ask(bill) == first  # the same AY and bytes: stored, not done again
        resent = await pay.ask(b"97AZFEF5\r")
        assert resent.partition("AY")[0].partition("AZ")[0] == first.partition("AY")[0]
        assert "AY" not in resent
        await pay.send(bill + bill)
        assert [await pay.read(), await pay.read()] == [first, first]
        _, metrics = await gateway.http("/metrics")
        assert 'payments_total{outcome="booked",relation="own"} 1.0' in metrics
        assert 'resends_total{kind="replayed"} 3.0' in metrics


async def test_bad_checksums_are_asked_again_then_the_line_is_closed(start):
    async with start() as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        for _ in range(3):
            assert await kiosk.ask(b"9900302.00AY1AZ0000\r") == "96AZFEF6"
        assert await kiosk.ended()


async def test_a_frame_beyond_the_limit_closes_the_line(start):
    async with start(with_server(frame_bytes_max=512), http=True) as gateway:
        kiosk = await gateway.terminal("kiosk-1")
        assert (await kiosk.ask(STATUS + "x" * (512 - len(STATUS)))).startswith("98")
        await kiosk.send(STATUS + "x" * (513 - len(STATUS)))
        assert await kiosk.ended()
        assert 'frames_rejected_total{reason="too_long"} 1.0' in (await gateway.http("/metrics"))[1]
