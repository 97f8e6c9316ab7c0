"""The event loop starts no thread while it serves (C114)."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sip2gw.foundation.threads import NICENESS, ready_pool, step_back


def test_a_pool_has_all_its_threads_at_once_and_starts_no_other_ones():
    prepared, before = [], threading.active_count()
    pool = ready_pool(3, "some", lambda: prepared.append(threading.current_thread()))
    assert len(set(prepared)) == 3
    assert threading.active_count() == before + 3
    used = {pool.submit(threading.current_thread).result() for _ in range(20)}
    assert used <= set(prepared)
    pool.shutdown()
    assert threading.active_count() == before


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
