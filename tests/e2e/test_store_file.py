"""One store, one daemon, and a store file that goes away under it (C109), in real processes.

What else may lead to a file or become of it: `tests/backend/test_place.py`.
"""

import os
import shutil

from harness import CONFIG, ask_23, ask_37, without_http
from proofs.process import GatewayProcess

PAY = ask_37("1004", "2.50", pin="1004", fee="D2", bk="K1")
OTHER_PAY = ask_37("1004", "1.00", pin="1004", bk="K2")
ENTER = ask_23("1001", "1001")


async def test_a_second_daemon_is_refused_whatever_leads_there(start, watch, tmp_path):
    os.symlink("library.db", tmp_path / "link.db")
    other = tmp_path / "other.toml"
    other.write_text(without_http(CONFIG))
    watched = GatewayProcess(other, program=watch.program())
    async with start() as gateway, watched as second:
        for place in ("library.db", "link.db"):
            other.write_text(other.read_text().replace("sqlite:library.db", f"sqlite:{place}"))
            await second.launch()
            assert await second.ended() == 1
            assert "another sip2gw serves this store" in second.other_output.pop(0)
        assert (await (await gateway.terminal("pay-1")).ask(PAY)).startswith("38Y")
        await gateway.stop()
        await second.start()
        assert (await (await second.terminal("pay-1")).ask(PAY)).startswith("38Y")


async def _everything_is_refused(gateway, pay, door):
    assert (await gateway.http("/readyz"))[0] == 503
    assert (await pay.ask(OTHER_PAY)).startswith("38N")
    assert (await door.ask(ENTER)).startswith("24Y")
    assert (await (await gateway.terminal("kiosk-1")).ask("9900302.00")).startswith("98N")


async def test_a_file_that_is_gone_is_noticed_and_served_again_when_it_is_back(start, tmp_path):
    library, aside = tmp_path / "library.db", tmp_path / "aside.db"
    async with start(http=True) as gateway:
        pay, door = await gateway.terminal("pay-1"), await gateway.terminal("door-1")
        assert (await pay.ask(PAY)).startswith("38Y")
        assert (await door.ask(ENTER)).startswith("24 ")
        library.rename(aside)
        failed = await gateway.logged("backend_failed")  # though nobody asked
        assert "library.db: No such file" in failed["problem"]
        await _everything_is_refused(gateway, pay, door)
        aside.rename(library)
        await gateway.logged("backend_up")
        assert await gateway.http("/readyz") == (200, "ok\n")
        assert (await pay.ask(OTHER_PAY)).startswith("38Y")
        assert (await door.ask(ENTER)).startswith("24 ")
        library.unlink()
        assert (await pay.ask(PAY)).startswith("38N")  # at the very moment
        assert (await gateway.http("/readyz"))[0] == 503


async def test_another_file_in_its_place_is_served_after_a_restart(start, tmp_path):
    """A backup that was put back under a running gateway, say."""
    async with start(http=True) as gateway:
        pay, door = await gateway.terminal("pay-1"), await gateway.terminal("door-1")
        shutil.copy(tmp_path / "library.db", tmp_path / "backup.db")
        os.replace(tmp_path / "backup.db", tmp_path / "library.db")
        failed = await gateway.logged("backend_failed")
        assert "another file has taken its place; restart the gateway" in failed["problem"]
        await _everything_is_refused(gateway, pay, door)
        assert await gateway.stop() == 0
        await gateway.start()
        pay, door = await gateway.terminal("pay-1"), await gateway.terminal("door-1")
        assert (await pay.ask(OTHER_PAY)).startswith("38Y")
        assert (await door.ask(ENTER)).startswith("24 ")
