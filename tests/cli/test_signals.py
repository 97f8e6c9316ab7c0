"""Signals that come before the loop runs (see `e2e/test_operators` for real processes)."""

import asyncio
import os
import signal

import pytest

from sip2gw.cli import app, main
from sip2gw.daemon import signals


def test_without_a_loop_they_are_noted_and_afterwards_all_is_as_before() -> None:
    before = [signal.getsignal(number) for number in (*signals.STOP, signals.RELOAD)]
    with signals.noted_early():
        os.kill(os.getpid(), signal.SIGHUP)
        assert not signals.stop_was_asked_for()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop_was_asked_for()
    assert not signals.stop_was_asked_for()
    assert [signal.getsignal(number) for number in (*signals.STOP, signals.RELOAD)] == before


async def test_a_loop_hears_them_and_what_came_before() -> None:
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    with signals.noted_early():
        os.kill(os.getpid(), signal.SIGHUP)
        signals.hear(loop, lambda: heard.append("stop"), lambda: heard.append("reload"))
        await asyncio.sleep(0)
        assert heard == ["reload"]
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            while len(heard) < 2:  # noqa: ASYNC110 -- the kernel sends it
                await asyncio.sleep(0.001)
        assert heard == ["reload", "stop"]
        for number in (*signals.STOP, signals.RELOAD):
            loop.remove_signal_handler(number)


def test_ctrl_c_before_the_command_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its modules are imported: no traceback."""

    def press() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "main", press)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
