"""The event loop starts no thread while it serves (C114)."""

import threading

from sip2gw.foundation.threads import ready_pool


def test_a_pool_has_all_its_threads_at_once_and_starts_no_other_ones():
    prepared, before = [], threading.active_count()
    pool = ready_pool(3, "some", lambda: prepared.append(threading.current_thread()))
    assert len(set(prepared)) == 3
    assert threading.active_count() == before + 3
    used = {pool.submit(threading.current_thread).result() for _ in range(20)}
    assert used <= set(prepared)
    pool.shutdown()
    assert threading.active_count() == before
