"""What is not urgent gives way to the gateway's event loop, where both want a core."""

import ctypes
import os
import platform
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sip2gw.foundation.priority import LONG_TURN_NS, NICENESS, step_back

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
GRANTS_TURNS = tuple(map(int, platform.release().split(".")[:2])) >= (6, 12)


def turn_ns():
    """How long the turns are that this thread has asked for, from `struct sched_attr`."""
    attributes = (ctypes.c_uint64 * 6)()
    call = _SCHED_GETATTR[platform.machine()]
    assert ctypes.CDLL(None).syscall(call, 0, attributes, ctypes.sizeof(attributes), 0) == 0
    return attributes[3]


@pytest.mark.parametrize("niceness", [0, 3, 12])
def test_a_thread_that_steps_back_is_behind_its_gateway_wherever_that_was_started(niceness):
    def behind() -> list[int]:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, start)
        step_back()
        return [start, os.getpriority(os.PRIO_PROCESS, thread)]

    start = min(os.getpriority(os.PRIO_PROCESS, 0) + niceness, 18)
    with ThreadPoolExecutor(1) as pool:
        own, its = pool.submit(behind).result()
    assert its == min(own + NICENESS, 19) > own


@pytest.mark.skipif(not GRANTS_TURNS, reason="Linux before 6.12 gives everybody the same turns")
@pytest.mark.skipif(platform.machine() not in _SCHED_GETATTR, reason="the call has another number")
def test_it_asks_for_long_turns_so_that_nobody_waits_for_their_end():
    def turns():
        usual = turn_ns()
        step_back()
        found = []
        heir = threading.Thread(target=lambda: found.append(turn_ns()))
        heir.start()
        heir.join()
        return [usual, turn_ns(), *found]

    with ThreadPoolExecutor(1) as pool:
        usual, its, of_heir = pool.submit(turns).result()
    assert usual < its == of_heir == LONG_TURN_NS


def test_where_linux_knows_no_such_call_niceness_counts_all_the_same(monkeypatch):
    def behind():
        step_back()
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    monkeypatch.setattr(platform, "machine", lambda: "another")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(behind).result() == min(own + NICENESS, 19)
